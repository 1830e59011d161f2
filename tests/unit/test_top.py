"""What is wrong in a room is said with its fix, and the sheet fits its window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scot.channel import Catalogue, Device, Lifecycle, Numeric
from scot.cli.heard import ChannelRow
from scot.cli.sheet import DeviceRow, Sheet, bytes_text, drawn, number, span_text
from scot.cli.trouble import Room, judge, room_of
from scot.codec import encode
from scot.finding import Finding, worst_first
from scot.health import HEALTH, HealthWatch, read
from scot.room import RoomFacts
from scot.sample import Flags, Sample
from scot.timestamp import ClockState, Timestamp

S = 1_000_000_000
NOW = 100 * S
LOGS = Path("logs")
HR = Numeric("hr", unit="/min", stale_after_s=5.0)


def device(name: str, state: Lifecycle = Lifecycle.RUNNING, reason: str = "") -> Device:
    return Device(name=name, provider="x", state=state, reason=reason, channels={"hr": HR})


def judged(*devices: Device, **said: list[dict[str, Any]] | dict[str, Any]) -> list[Finding]:
    """What is wrong when devices said these healths, a second apart, the last one now."""
    catalogue = Catalogue(workspace="or1", devices={d.name: d for d in devices})
    return _judged(catalogue, said)


def _judged(
    catalogue: Catalogue,
    said: Mapping[str, list[dict[str, Any]] | dict[str, Any]],
    epoch_ns: int = 1,
) -> list[Finding]:
    watch = HealthWatch()
    for name, some in said.items():
        rows = some if isinstance(some, list) else [some]
        for back, value in enumerate(reversed(rows)):
            at_ns = NOW - back * S
            time = Timestamp(None, at_ns, 0, 0, ClockState.LOCKED)
            sample = Sample(f"or1/{name}/health", epoch_ns, 0, time, Flags(0), value)
            watch.take(encode(sample, HEALTH.kind))
    return judge(Room(catalogue, watch, NOW, NOW - 60 * S, LOGS))


WELL = {"state": "running", "held": 0, "dropped": 0}


def test_a_sound_room_has_nothing_wrong() -> None:
    assert judged(device("monitor"), device("room"), monitor=WELL, room={"denied": 0}) == []


@pytest.mark.parametrize(
    ("state", "fix"),
    [
        (Lifecycle.DISCONNECTED, "cable"),
        (Lifecycle.CONNECTING, "cable"),
        (Lifecycle.DEGRADED, "cable"),
        (Lifecycle.FAULT, "provider crashed"),
    ],
)
def test_a_device_that_does_not_run_is_named_with_its_reason_and_its_log(
    state: Lifecycle, fix: str
) -> None:
    (found,) = judged(device("monitor", state, "no answer from 10.0.0.7"), monitor=WELL)
    assert found.level == "problem"
    assert found.what == f"monitor is {state}: no answer from 10.0.0.7"
    assert fix in found.fix
    assert found.fix.endswith("log: logs/monitor.log")


def test_a_device_that_is_reached_and_gives_nothing_is_a_warning() -> None:
    (found,) = judged(device("monitor", Lifecycle.CONNECTED), monitor=WELL)
    assert (found.level, found.what) == (
        "warning",
        "monitor is connected and gives no samples",
    )


def test_the_log_of_a_device_that_another_machine_hosts_is_not_named_here() -> None:
    away = device("tracker", Lifecycle.FAULT, "no camera")
    facts = RoomFacts("or1", Path("state"), 1, {"broker": {}}, {})
    catalogue = Catalogue(workspace="or1", devices={"tracker": away})
    (found,) = judge(room_of(facts, catalogue, HealthWatch(), NOW, 60 * S))
    assert found.fix.endswith("; its log is on the machine it runs on")


def test_a_process_that_says_nothing_is_a_problem_but_not_in_a_replay() -> None:
    (found,) = judged(device("monitor"))
    assert found.what == "monitor has said nothing of itself yet (limit 3 s)"
    replay = Catalogue(workspace="or1", replay=True, devices={"monitor": device("monitor")})
    assert _judged(replay, {}) == []


LATER: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("monitor", {}, {"silent": {"hr": 7.2}}, "warning", "monitor: hr silent for 7 s (limit 5 s)"),
    ("monitor", {}, {"dropped": 12}, "problem", "monitor gave up 12 samples in 60 s"),
    ("monitor", {}, {"held": 300}, "warning", "monitor: 300 samples wait for the broker"),
    ("monitor", {"reconnects": 1}, {"reconnects": 4}, "warning", "lost its device 3 times"),
    ("monitor", {"bad_crc": 5}, {"bad_crc": 9}, "warning", "monitor counts 4 bad crc in 60 s"),
    ("recorder", {}, {"lost": 4}, "problem", "recorder could not write 4 samples"),
    (
        "recorder",
        {},
        {"disk_left_s": 300.0, "disk_left_bytes": 1 << 30},
        "problem",
        "disk of recorder lasts 5 min more (1.0 GiB)",
    ),
    (
        "recorder",
        {},
        {"disk_left_s": 3000.0, "disk_left_bytes": 9 << 30},
        "warning",
        "disk of recorder lasts 50 min more",
    ),
    (
        "recorder",
        {"received": {"missing": 2}},
        {"received": {"missing": 9}},
        "problem",
        "recorder misses 9 samples, 7 more in 60 s",
    ),
    ("consult", {}, {"received": {"missing": 9}}, "warning", "consult misses 9 samples, 9 more"),
    ("consult", {}, {"slowest_bytes": 1 << 20}, "warning", "a page is too slow: 1024 kB wait"),
    ("consult", {"left_out": 0}, {"left_out": 8}, "warning", "8 samples left out"),
    ("consult", {"refused": 0}, {"refused": 2}, "warning", "the door refused 2 requests"),
    (
        "room",
        {"denied_of": {}},
        {"denied_of": {"monitor": 3}},
        "problem",
        "key monitor: 3 samples or subscriptions denied in 60 s",
    ),
    ("room", {"refused": 1}, {"refused": 6}, "warning", "5 connections without a key"),
    (
        "room",
        {},
        {"probes_refused_of": {"scope": 31, "monitor": 30}},
        "warning",
        "31 clock probes of scope refused in 60 s (limit 30)",
    ),
    (
        "room",
        {"refused": 1, "refused_of": {"expired": 1}},
        {"refused": 2, "refused_of": {"expired": 2}},
        "warning",
        "1 connections without a key of this room were refused in 60 s: expired",
    ),
    ("room", {}, {"withheld_of": {"scope": 4}}, "warning", "key scope sends more than its quota"),
    ("room", {"half_open_ended": 1}, {"half_open_ended": 4}, "warning", "3 handshakes were ended"),
    ("room", {}, {"shut_out": 2}, "problem", "2 network addresses are shut out now"),
    ("room", {"audit_lost": 0}, {"audit_lost": 2}, "problem", "the audit lost 2 rows"),
    ("room", {}, {"reason": "signature"}, "problem", "signature"),
    ("room", {"faults": 0}, {"faults": 1}, "problem", "could not handle 1 messages"),
]


@pytest.mark.parametrize(("name", "before", "now", "level", "what"), LATER)
def test_each_trouble_is_said_with_its_figure_its_fix_and_where_to_read_more(
    name: str, before: dict[str, Any], now: dict[str, Any], level: str, what: str
) -> None:
    (found,) = judged(device(name), **{name: [{**WELL, **before}, {**WELL, **now}]})
    assert found.level == level
    assert what in found.what
    host = {"consult": "dashboard", "room": "broker"}.get(name, name)
    assert found.fix.endswith(f"; log: logs/{host}.log")
    assert judged(device(name), **{name: [WELL, WELL]}) == []


def test_what_a_new_process_counts_is_news_and_that_it_is_new_is_said() -> None:
    catalogue = Catalogue(workspace="or1", devices={"monitor": device("monitor")})
    said = {"monitor": {**WELL, "restarts": 2, "dropped": 3}}
    found = [one.what for one in _judged(catalogue, said, epoch_ns=NOW - 5 * S)]
    assert "gave up 3 samples in 60 s" in found[0]
    assert found[1].endswith("was started again in 60 s, 2 times since the room began")
    assert _judged(catalogue, said, epoch_ns=NOW - 90 * S) == []


def test_what_happened_long_ago_is_no_news() -> None:
    long_ago = [{**WELL, "dropped": 12, "reconnects": 3, "bad_crc": 7}] * 2
    assert judged(device("monitor"), monitor=long_ago) == []


def test_a_silent_broker_is_one_problem_and_not_one_for_each_device() -> None:
    watch = HealthWatch()
    names = ("room", "monitor", "tracker")
    for name in names:
        time = Timestamp(None, NOW - 7 * S, 0, 0, ClockState.LOCKED)
        sample = Sample(f"or1/{name}/health", 1, 0, time, Flags(0), WELL)
        watch.take(encode(sample, HEALTH.kind))
    catalogue = Catalogue(workspace="or1", devices={name: device(name) for name in names})
    (found,) = judge(Room(catalogue, watch, NOW, NOW - 60 * S, LOGS))
    assert found.what == "nothing has come over the bus for 7 s (limit 3 s)"
    assert found.fix.endswith("log: logs/broker.log")


def test_what_is_missing_for_good_is_said_of_the_recording_only() -> None:
    old = [{**WELL, "received": {"missing": 4}}] * 2
    (found,) = judged(device("recorder"), device("consult"), recorder=old, consult=old)
    assert found.level == "warning"
    assert found.what == "recorder misses 4 samples; none of them is new in 60 s"
    filled = [{**WELL, "received": {"missing": 4}}, {**WELL, "received": {"missing": 0}}]
    assert judged(device("recorder"), recorder=filled) == []


def test_a_health_nobody_can_read_is_said() -> None:
    found = judged(device("monitor"), monitor=[WELL, {"held": -1}])
    assert [one.what for one in found] == ["monitor sent 1 healths that cannot be read"]


def test_the_worst_comes_first() -> None:
    some = [Finding("ok", "a"), Finding("warning", "b"), Finding("problem", "c")]
    assert [one.what for one in worst_first(some)] == ["c", "b", "a"]


def sheet(channels: int, wrong: int = 0, stale: int = 0) -> Sheet:
    """A room with one device of many channels."""
    rows = [
        ChannelRow(
            address=f"or1/monitor/ch{n}",
            hz=1.0,
            bytes_hz=80.0,
            age_s=0.5,
            stale=n >= channels - stale,
            err_ms=0.09,
            bound_ms=3.4,
            clock="locked",
            lost=0,
            backfilled=2,
            kind="numeric",
        )
        for n in range(channels)
    ]
    health = read(b"\x80")
    devices = [
        DeviceRow("monitor", "running", "", health, rows, bool(stale), -1.5, 0),
        DeviceRow("recorder", "disconnected", "gone", None, [], True),
    ]
    findings = [Finding("problem", f"trouble {n} " + "x" * 90, "mend it") for n in range(wrong)]
    return Sheet("or1", False, NOW, "OR 1 · 手術室", devices, findings)


@pytest.mark.parametrize("size", [(80, 24), (80, 5), (40, 12), (120, 40), (200, 60)])
@pytest.mark.parametrize("wrong", [0, 2, 30])
def test_the_sheet_never_exceeds_its_window(size: tuple[int, int], wrong: int) -> None:
    width, height = size
    lines = drawn(sheet(60, wrong), width, height)
    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


def test_what_is_wrong_is_shown_first_when_not_everything_fits() -> None:
    text = [line.plain for line in drawn(sheet(60, stale=3), 80, 20)]
    for name in ("ch57", "ch58", "ch59"):
        (line,) = [one for one in text if f" {name} " in one]
        assert line.startswith("!")
        assert "silent" in line
    assert any("channels more, none of them wrong" in one for one in text)


def test_in_a_pipe_every_channel_and_every_fix_is_there_and_no_colour_is_needed() -> None:
    text = [line.plain for line in drawn(sheet(60, wrong=9, stale=1), 100, None)]
    assert sum("numeric" in one or "silent" in one for one in text) == 60
    assert sum(one == "    fix: mend it" for one in text) == 9
    assert sum(one.startswith("✗ trouble") for one in text) == 9
    (gone,) = [one for one in text if " disconnected" in one]
    assert gone.startswith("✗recorder")
    assert gone.split()[2:] == ["–"] * 10


def test_figures_are_short_and_honest() -> None:
    assert [number(x, 3) for x in (0.0846, 12.345, 345.6, 123_456, None)] == [
        "0.085",
        "12.3",
        "346",
        "123k",
        "–",
    ]
    assert [bytes_text(x) for x in (5, 1_200, 25_000, 3.2e6)] == ["5B", "1.2kB", "25kB", "3.2MB"]
    assert [span_text(x) for x in (30, 500, 8_000, 400_000)] == ["30 s", "8 min", "2 h", "5 d"]
