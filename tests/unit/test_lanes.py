"""What the scrubber shows, whatever the order in which it was learnt."""

from __future__ import annotations

from itertools import permutations
from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.bus.subscriber import Delivery
from scot.channel import Event
from scot.codec import encode, read_header
from scot.command import COMMANDS
from scot.names import Names
from scot.sample import AlarmValue, Flags, Sample
from scot.timestamp import ClockState, Timestamp
from scot_dashboard.band import MAX_HOURS
from scot_dashboard.egress import Egress
from scot_dashboard.lanes import Activity, Lanes
from scot_dashboard.roles import Role
from scot_dashboard.wire import LanesAsk
from tests.unit.gateway_room import (
    PATIENT,
    SECOND_NS,
    START_NS,
    alarm,
    catalogue,
    delivery,
    ecg,
    hr,
    note,
    picture,
)

CLOCK = Event("clock")
STAFF = Egress(Role.OR_STAFF, catalogue(), Names(), 1)
HOUR_NS = 3600 * SECOND_NS


def ask(from_s: float, to_s: float, bins: int = 10) -> LanesAsk:
    return LanesAsk(START_NS + round(from_s * SECOND_NS), START_NS + round(to_s * SECOND_NS), bins)


def second(alarm_ns: int | None) -> float | None:
    return None if alarm_ns is None else (alarm_ns - START_NS) / SECOND_NS


def test_a_bar_has_holes_where_the_device_was_silent() -> None:
    lanes = Lanes()
    for number in [*range(20), *range(40, 60)]:
        lanes.add(picture(number))
    told = lanes.answer(ask(0, 60, 6), STAFF)
    assert told["feeds"]["scope"] == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    assert told["feeds"]["tracker"] == [0.0] * 6
    assert lanes.answer(ask(15, 25, 1), STAFF)["feeds"]["scope"] == [0.5]


def test_bins_shorter_than_a_second_and_bins_of_an_hour_are_both_right() -> None:
    lanes = Lanes()
    lanes.add(picture(5))
    assert lanes.answer(ask(5, 6, 4), STAFF)["feeds"]["scope"] == [1.0] * 4
    assert lanes.answer(ask(4, 5, 4), STAFF)["feeds"]["scope"] == [0.0] * 4
    for number in range(0, 7200, 2):
        lanes.add(picture(number))
    assert lanes.answer(ask(0, 7200, 2), STAFF)["feeds"]["scope"] == [0.5, 0.5]


def test_a_device_that_speaks_once_a_second_has_no_holes_from_jitter() -> None:
    lanes = Lanes()
    for number in range(60):
        lanes.add(hr(number, at_s=number + (0.99 if number % 2 else 0.01)))
    assert lanes.answer(ask(0, 60, 60), STAFF)["feeds"]["monitor"] == [1.0] * 60


@given(st.sets(st.integers(0, 400), max_size=80), st.integers(1, 60))
def test_bins_agree_with_counting_seconds(seconds: set[int], bins: int) -> None:
    activity = Activity()
    for number in seconds:
        activity.mark(number * SECOND_NS, number * SECOND_NS)
    width = 400 // bins
    shares = activity.bins(0, width * bins * SECOND_NS, bins) if width else []
    for index, share in enumerate(shares):
        inside = [n for n in seconds if index * width <= n < (index + 1) * width]
        assert share == pytest.approx(len(inside) / width, abs=6e-4)


def test_the_oldest_hours_are_forgotten_first() -> None:
    activity = Activity()
    for hour in range(MAX_HOURS + 5):
        activity.mark(hour * HOUR_NS, hour * HOUR_NS)
    assert activity.bins(0, HOUR_NS, 1) == [0.0]
    assert activity.bins(5 * HOUR_NS, 5 * HOUR_NS + SECOND_NS, 1) == [1.0]


def test_an_alarm_holds_from_its_start_to_its_end_in_any_order_of_arrival() -> None:
    words = [
        alarm(10),
        alarm(20),  # the monitor repeats itself
        alarm(30, present=False),
        alarm(50, priority="Me"),
        alarm(60, priority="Hi"),
    ]
    for order in permutations(words):
        lanes = Lanes()
        for word in (*order, *order):  # live and back-filled
            lanes.add(word)
        told = lanes.answer(ask(0, 100), STAFF)["alarms"]
        assert [(second(a), second(b), p) for a, b, p, *_ in told] == [
            (10, 30, "Hi"),
            (50, 60, "Me"),
            (60, None, "Hi"),
        ]


def test_only_alarms_that_touch_the_stretch_are_told() -> None:
    lanes = Lanes()
    for one in (alarm(10), alarm(20, present=False), alarm(30, "hr_high", text="HR high")):
        lanes.add(one)
    assert len(lanes.answer(ask(0, 9), STAFF)["alarms"]) == 0
    assert len(lanes.answer(ask(12, 14), STAFF)["alarms"]) == 1
    assert [row[3:] for row in lanes.answer(ask(40, 50), STAFF)["alarms"]] == [
        ["HR high", "Phy", "monitor"]
    ]


def test_the_state_of_every_condition_at_an_instant() -> None:
    lanes = Lanes()
    for one in (alarm(10), alarm(15, "hr_high"), alarm(20, present=False), alarm(30)):
        lanes.add(one)
    address = "or1/monitor/alarms"

    def at(at_s: float) -> dict[str, bool]:
        found = lanes.alarms_at(START_NS + round(at_s * SECOND_NS), [address])
        values = [one.sample().value for one in found]
        return {v.id: v.present for v in values if isinstance(v, AlarmValue)}

    assert at(9.9) == {}
    assert at(10) == {"spo2_low": True}
    assert at(25) == {"spo2_low": False, "hr_high": True}
    assert at(99) == {"spo2_low": True, "hr_high": True}
    assert lanes.alarms_at(START_NS + 99 * SECOND_NS, ["or1/other/alarms"]) == []


def test_notes_are_alive_for_their_time_and_a_removed_one_is_gone() -> None:
    lanes = Lanes()
    for one in (note(10, "a", text="here", tool="text"), note(12, "b"), note(14, "b", ttl_s=0)):
        lanes.add(one)
    address = "or1/consult/notes"

    def alive(at_s: float) -> int:
        return len(lanes.notes_at(START_NS + round(at_s * SECOND_NS), [address]))

    assert [alive(s) for s in (9, 10, 17.9, 18)] == [0, 1, 1, 0]
    told = lanes.answer(ask(0, 100), STAFF)["notes"]
    assert [(second(at), *rest) for at, *rest in told] == [(10, "consultant 1", "text", "here")]


def test_outside_the_room_lanes_show_no_hidden_device_author_or_name() -> None:
    names = Names()
    names.learn(PATIENT)
    outside = Egress(Role.CONSULTANT, catalogue(), names, 1)
    lanes = Lanes()
    lanes.add(delivery("or1/ward/patient", PATIENT))
    lanes.add(alarm(10, text=f"{PATIENT} low"))
    lanes.add(note(10, author="Dr Mori", text=f"ask {PATIENT}", tool="text"))
    lanes.add(ecg(10))
    told = lanes.answer(ask(0, 100), outside)
    assert set(told["feeds"]) == {"monitor", "tracker", "scope"}
    assert [row[3] for row in told["alarms"]] == ["–"]
    assert [rest for _, *rest in told["notes"]] == [["room", "text", "–"]]
    assert PATIENT in lanes.answer(ask(0, 100), STAFF)["alarms"][0][3]


def test_alarms_of_a_channel_that_is_not_theirs_are_not_told() -> None:
    lanes = Lanes()
    lanes.add(alarm(10))
    lanes.add(note(10))
    admin = Egress(Role.ADMIN, catalogue(), Names(), 1)
    told = lanes.answer(ask(0, 100), admin)
    assert (told["feeds"], told["alarms"], told["notes"]) == ({}, [], [])


@given(st.integers(0, 2**62), st.integers(0, 2**62), st.integers(1, 50))
def test_no_question_can_make_it_fail_or_grow(from_ns: int, to_ns: int, bins: int) -> None:
    lanes = Lanes()
    lanes.add(picture(5))
    told = lanes.answer(LanesAsk(from_ns, to_ns, bins), STAFF)
    assert all(len(bar) == bins for bar in told["feeds"].values())


def row(
    at_s: float, epoch: int = 0, *, ahead_ms: float = 0.0, source: str = "monitor-1a2b"
) -> Delivery:
    """A line of ``room/clock``: the source's clock reads true time, and is then `ahead_ms`."""
    bus_ns = START_NS + round(at_s * SECOND_NS)
    local_ns = round(at_s * SECOND_NS + ahead_ms * 1e6)
    told = {
        **dict.fromkeys(("t1_ns", "t2_ns", "t3_ns", "t4_ns"), 0),
        "source": source,
        "map_id": 1,
        "epoch": epoch,
        "local_ns": local_ns,
        "bus_ns": bus_ns,
        "rate": 1.0,
        "bound_ns": 200_000,
        "err_ns": 50_000,
        "state": "locked",
    }
    return clock_line(told, at_s)


def clock_line(told: dict[str, Any], at_s: float) -> Delivery:
    bus_ns = START_NS + round(at_s * SECOND_NS)
    time = Timestamp(bus_ns, bus_ns, 0, 0, ClockState.LOCKED)
    sample = Sample("or1/room/clock", START_NS, round(at_s * 4), time, Flags(0), told)
    frame = encode(sample, CLOCK.kind)
    return Delivery(frame, read_header(frame), Flags(0), CLOCK)


def known_to(err_ns: int | None, one: Delivery) -> Delivery:
    return one._replace(header=msgspec.structs.replace(one.header, err_ns=err_ns))


def test_the_band_is_the_worst_likely_error_of_each_bin() -> None:
    lanes = Lanes()
    for number in range(20):
        lanes.add(known_to(90_000, hr(number)))
    lanes.add(known_to(7_000_000, hr(20, at_s=12.5)))
    lanes.add(known_to(2_000_000, picture(3)))
    assert lanes.answer(ask(0, 40, 8), STAFF)["band"] == [
        2.0, 0.09, 7.0, 0.09, None, None, None, None,
    ]  # fmt: skip
    lanes.add(known_to(None, hr(21, at_s=17)))
    assert lanes.answer(ask(0, 20, 4), STAFF)["band"] == [2.0, 0.09, 7.0, inf]


def test_the_band_of_days_is_bounded_and_of_a_device_that_is_not_seen_unknown() -> None:
    lanes = Lanes()
    for hour in range(MAX_HOURS + 10):
        lanes.add(known_to(90_000, hr(hour, at_s=hour * 3600.0)))
    everything = ask(0, (MAX_HOURS + 10) * 3600.0, MAX_HOURS + 10)
    band = lanes.answer(everything, STAFF)["band"]
    assert band == [None] * 10 + [0.09] * MAX_HOURS
    assert lanes.answer(LanesAsk(0, 2**62, 3), STAFF)["band"] == [None, 0.09, None]
    unseen = Lanes()
    unseen.doubts("stranger", START_NS + SECOND_NS, 5)
    assert unseen.answer(ask(0, 10, 1), STAFF)["band"] == [None]


def test_a_clock_that_stepped_is_a_tick_with_its_source_and_by_how_much() -> None:
    lines = [row(n / 4) for n in range(40)]
    lines += [row(n / 4, 1, ahead_ms=25.0) for n in range(40, 60)]
    lines += [row(n / 4, source="tracker-99") for n in range(60)]
    for order in (lines, lines[::-1]):
        lanes = Lanes()
        for line in order:
            lanes.add(line)
        (tick,) = lanes.answer(ask(0, 60), STAFF)["epochs"]
        assert (second(tick[0]), tick[1]) == (10.0, "monitor")
        assert tick[2] == "clock of monitor stepped by +25 ms"
    assert lanes.answer(ask(0, 9), STAFF)["epochs"] == []
    assert lanes.answer(ask(11, 60), STAFF)["epochs"] == []


def test_outsiders_learn_of_steps_only_of_devices_they_see() -> None:
    guest = Egress(Role.CONSULTANT, catalogue(), Names(), 1)
    lanes = Lanes()
    for source in ("monitor-1", "recorder-1"):
        for epoch in (0, 1):
            lanes.add(row(epoch, epoch, source=source))
    assert [tick[1] for tick in lanes.answer(ask(0, 9), STAFF)["epochs"]] == ["monitor", "recorder"]
    assert [tick[1] for tick in lanes.answer(ask(0, 9), guest)["epochs"]] == ["monitor"]


def test_a_line_that_is_no_map_is_counted_and_nothing_else() -> None:
    lanes = Lanes()
    lanes.add(clock_line({"source": 7}, 1.0))
    assert lanes.clocks[""].bad == 1
    assert lanes.answer(ask(0, 9), STAFF)["epochs"] == []


def step(at_s: float, state: str, seq: int, **more: Any) -> Delivery:
    plain = {"step": "command", "key": "k1", "address": "or1/monitor/nibp_start", "caller": "nurse"}
    bus_ns = START_NS + round(at_s * SECOND_NS)
    time = Timestamp(None, bus_ns, 0, 0, ClockState.LOCKED)
    value = {**plain, "state": state, **more}
    sample = Sample("or1/monitor/commands", START_NS, seq, time, Flags(0), value)
    frame = encode(sample, COMMANDS.kind)
    return Delivery(frame, read_header(frame), Flags(0), COMMANDS)


def test_a_command_stands_where_it_was_asked_for_and_says_how_it_ended() -> None:
    plain = catalogue()
    monitor = plain.devices["monitor"]
    channels = {**monitor.channels, COMMANDS.name: COMMANDS}
    seen = plain.with_device(msgspec.structs.replace(monitor, channels=channels))
    staff, outside = (Egress(r, seen, Names(), 1) for r in (Role.OR_STAFF, Role.CONSULTANT))
    steps = [
        step(3, "running", 1),
        step(21, "done", 2),
        step(3, "accepted", 0),
        step(2, "", 3, step="control", key=None),
    ]
    for order in permutations(steps):
        lanes = Lanes()
        for one in order:
            lanes.add(one)
        told = lanes.answer(ask(0, 60), staff)["notes"]
        assert told == [[START_NS + 3 * SECOND_NS, "nurse", "command", "nibp_start: done"]]
        assert lanes.answer(ask(0, 60), outside)["notes"] == [], "technical: it stays in the room"
        assert lanes.answer(ask(4, 60), staff)["notes"] == []
