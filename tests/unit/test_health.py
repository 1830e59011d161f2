"""Health as data: what a process says of itself, and what others may rely on of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.channel import Channel, Event, Kind, Numeric, Pose, Video
from scot.codec import Frame, Header, check_bounds, encode, read_header
from scot.errors import CodecError
from scot.gap import GapDetector
from scot.health import HEALTH, Flow, HealthWatch, Reports, clock, declare, read, reception
from scot.health.fields import BROKER, DASHBOARD, LISTENING, RECORDER, declare_broker
from scot.sample import Flags, Sample
from scot.timestamp import ClockState, Timestamp

S = 1_000_000_000
HR = Numeric("hr", unit="/min", rate_hz=1.0, stale_after_s=5.0)
PROBE = Pose("probe", rate_hz=60.0)
SCOPE = Video("video", rate_hz=25.0)
NOTE = Event("note")


def header(bus_ns: int, state: ClockState = ClockState.LOCKED, err_ns: int = 1_000) -> Header:
    return Header(1, 1, 0, None, bus_ns, 2 * err_ns, err_ns, state, 0)


def frame(device: str, at_ns: int, value: dict[str, Any], epoch_ns: int = 1) -> Frame:
    time = Timestamp(None, at_ns, 0, 0, ClockState.LOCKED)
    return encode(Sample(f"or1/{device}/health", epoch_ns, 0, time, Flags(0), value), HEALTH.kind)


def test_rates_are_of_the_last_looks_and_a_slow_channel_does_not_flicker() -> None:
    flow = Flow()
    assert flow.look(0) == {}
    said = []
    for second in range(1, 9):
        flow.add(200, 2 if second % 2 else 0)  # 0 and 2 in turn: one a second
        said.append(flow.look(second * S)["samples_hz"])
    assert said[3:] == pytest.approx([1.0] * 5, abs=0.4)
    assert flow.look(8 * S + 1)["samples"] == 8


def test_a_device_says_its_rates_age_and_what_is_silent_in_their_class() -> None:
    reports = Reports()
    reports.say("tracker", 0, 0, {}, None)
    for number in range(60):
        reports.published("tracker", PROBE, header(number * S // 60), 100)
    for number in range(25):
        reports.published("tracker", SCOPE, header(number * S // 25), 1_000)
    reports.published("tracker", HR, header(-7 * S), 50)
    lanes = {"ctl": {"waiting": 3, "dropped": 1}, "bulk": {"waiting": 0, "dropped": 0}}
    said = reports.say("tracker", S, S, lanes, None)
    assert said["sent"]["ctl"]["samples_hz"] == 61
    assert said["sent"]["ctl"]["bytes_hz"] == 6_050
    assert said["sent"]["ctl"]["waiting"] == 3
    assert said["sent"]["bulk"]["samples_hz"] == 25
    assert said["age_s"] == pytest.approx(1 / 60, abs=0.001)
    assert said["silent"] == {"hr": 8.0}
    assert "received" not in said


def test_what_comes_when_it_comes_is_never_silent() -> None:
    reports = Reports()
    reports.published("consult", NOTE, header(0), 10)
    assert "silent" not in reports.say("consult", 900 * S, 900 * S, {}, None)


def test_how_well_times_are_known_is_of_the_worst_that_is_still_fresh() -> None:
    reports = Reports()
    reports.published("monitor", HR, header(0, ClockState.UNSYNCED, 90_000_000), 10)
    reports.published("monitor", PROBE, header(10 * S, ClockState.LOCKED, 2_000), 10)
    other = Numeric("spo2", unit="%")
    reports.published("monitor", other, header(10 * S, ClockState.ONE_WAY, 3_000), 10)
    times = reports.say("monitor", 0, 10 * S, {}, None)["times"]
    assert (times["state"], times["err_ns"]) == ("one-way", 3_000)
    assert times["reason"] == "answers no probes and declares no accuracy"
    reports.accuracy_ns["monitor"] = 5_000_000
    times = reports.say("monitor", 0, 10 * S, {}, None)["times"]
    assert times["reason"] == "answers no probes; declares ±5 ms of UTC"


def test_a_clock_says_why_it_is_not_locked() -> None:
    said = clock(Timestamp(None, 0, 5, 5, ClockState.HOLDOVER), 2, 12.4)
    assert said["reason"] == "no probe has come back for 12 s; the error grows"
    assert said["epoch"] == 2
    assert clock(Timestamp(None, 0, 5, 5, ClockState.LOCKED), 0, 0.1)["reason"] == ""


def test_who_listens_says_what_it_misses_of_the_worst_subscription() -> None:
    first, second = GapDetector(), GapDetector()
    for seq in (0, 1, 1, 5):
        first.on(1, seq)
    second.on(1, 0)
    said = reception([{"or1/a/b": first}, {"or1/a/b": second}], backfilled=4, malformed=2)
    assert said == {"missing": 3, "backfilled": 4, "duplicates": 1, "malformed": 2}


@pytest.mark.parametrize("channel", [HEALTH, declare(LISTENING, RECORDER, DASHBOARD)])
def test_every_figure_a_process_says_is_declared_with_its_unit(channel: Channel) -> None:
    reports = Reports()
    reports.restarts = 0
    reports.published("m", HR, header(0, ClockState.ONE_WAY), 10)
    reports.published("m", SCOPE, header(0), 10)
    for flow in reports.heard.values():
        flow.add(10)
    reports.say("m", 0, 0, {}, {})
    counts = {"waiting": 0, "dropped": 0}
    missed = reception([], 0, 0) if channel is not HEALTH else None
    said = reports.say("m", S, S, {"ctl": counts, "bulk": counts}, missed)
    said["clock"] = clock(Timestamp(None, 0, 5, 5, ClockState.LOCKED), 0, 0.1)
    declared = channel.attrs["fields"]
    for name, value in leaves(said):
        if isinstance(value, int | float):
            assert declared[name]["unit"], name
            assert set(declared[name]["label"]) == {"en", "ja"}


def leaves(value: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, one in value.items():
        found += (
            leaves(one, f"{before}{name}.") if isinstance(one, dict) else [(before + name, one)]
        )
    return found


def test_the_declaration_is_plain_and_small_enough_for_every_catalogue() -> None:
    for channel in (HEALTH, declare(LISTENING, RECORDER), declare_broker()):
        packed = msgspec.msgpack.encode(channel)
        check_bounds(packed)
        assert len(packed) < 6_000
        assert channel.kind is Kind.EVENT
    assert set(BROKER) == set(declare_broker().attrs["fields"])


def test_a_health_of_before_and_one_with_more_are_both_read() -> None:
    old = {"state": "running", "reason": "", "held": 2, "dropped": 1, "heads": {"hr": [1, 5]}}
    old["clock"] = {"state": "locked", "bound_ns": 10, "err_ns": 5}
    known = read(msgspec.msgpack.encode({**old, "bad_crc": 3, "invented": {"a": 1}}))
    assert (known.held, known.dropped, known.counts) == (2, 1, {"bad_crc": 3})
    assert known.clock is not None
    assert known.clock.err_ns == 5


@pytest.mark.parametrize(
    "said",
    [
        {"held": -1},
        {"held": "many"},
        {"sent": {"ctl": {"samples": -5}}},
        {"clock": {"state": "x" * 3_000}},
        {"denied_of": {str(n): 1 for n in range(2_000)}},
        [1, 2],
        "running",
    ],
)
def test_a_device_that_lies_about_its_health_is_counted_and_harms_no_other(said: Any) -> None:
    watch = HealthWatch()
    watch.take(frame("tracker", S, {"state": "running"}))
    good = frame("monitor", S, {"state": "running"})
    watch.take(good._replace(payload=msgspec.msgpack.encode(said)))
    assert watch.bad == {"monitor": 1}
    assert watch.now("monitor", S) is None
    assert watch.now("tracker", S) is not None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        read(data)
    except CodecError:
        pass


def test_an_old_health_is_not_shown_as_if_it_were_now() -> None:
    watch = HealthWatch()
    watch.take(frame("monitor", S, {"state": "running", "held": 7}))
    assert watch.now("monitor", 4 * S) is not None
    assert watch.now("monitor", 4 * S + 1) is None
    newest = watch.newest("monitor")
    assert newest is not None
    assert newest.health.held == 7


@given(st.permutations(range(6)))
def test_the_order_of_arrival_changes_nothing(order: list[int]) -> None:
    watch = HealthWatch()
    for second in order:
        watch.take(frame("monitor", second * S, {"dropped": 10 * second}))
    assert watch.rise("monitor", "dropped") == 50
    assert watch.rise("monitor", "dropped", 2 * S) == 30
    newest = watch.newest("monitor")
    assert newest is not None
    assert newest.at_ns == 5 * S


def test_a_count_that_begins_again_is_news_from_zero() -> None:
    watch = HealthWatch()
    watch.take(frame("room", S, {"denied": 2, "denied_of": {"monitor": 2}}))
    watch.take(frame("room", 3 * S, {"denied": 3, "denied_of": {"monitor": 3}}, 2 * S))
    assert watch.rise("room", "denied_of.monitor", S) == 3  # another process: from 0
    assert watch.rise("room", "denied_of.monitor", 2 * S) == 3
    assert watch.rise("room", "denied_of.monitor", 3 * S) == 0
    assert watch.rise("room", "denied_of.tracker") == 0
    assert watch.rise("nobody", "denied") == 0


def test_the_watch_is_bounded() -> None:
    watch = HealthWatch()
    for number in range(1_200):
        watch.take(frame(f"d{number}", S, {}))
    assert len(watch.devices) == 1_000
    for second in range(500):
        watch.take(frame("d1", second * S, {"dropped": second}))
    assert watch.rise("d1", "dropped") == 127


def test_a_frame_of_another_channel_is_left_alone() -> None:
    watch = HealthWatch()
    other = frame("monitor", S, {})
    watch.take(other._replace(topic=b"or1/monitor/hr\0"))
    assert watch.devices == []
    assert read_header(other).bus_ns == S
