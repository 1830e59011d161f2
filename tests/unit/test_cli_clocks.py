"""What is said of a room's clocks, from lines that the real service made of simulated clocks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scot.channel import Numeric
from scot.cli.clocks import Clocks, judge, words
from scot.cli.machine_checks import clock as machine_clock
from scot.clock import discipline
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.discipline import Discipline
from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.clock.rows import ClockRow, ClockWatch, step_text
from scot.clock.service import ClockService
from scot.codec import encode, read_header
from scot.finding import Finding
from scot.health import HEALTH, HealthWatch, Reports
from scot.provider import DeviceContext, NoOptions
from scot.sample import Flags, NumericValue, Sample
from scot.testing.clocks import LINKS, CrystalClock, exchanges
from scot.timestamp import ClockState, Timestamp

S = 1_000_000_000
START_NS = 1_800_000_000 * S
SESSION = BusMap(0, 0, 0, START_NS, 1.0, 0, 0, ClockState.LOCKED, drift_ppb=0)
HR = Numeric("hr", unit="/min", rate_hz=1.0)


def heard(crystal: CrystalClock, seconds: float = 30.0, source: str = "monitor-1a2b") -> Clocks:
    """What doctor hears of a monitor on a LAN whose host has that clock."""
    rows: list[dict[str, Any]] = []
    service = ClockService(Clock(SESSION, read=lambda: 0), rows.append)
    clocks = Clocks()
    for number, (probe, true_ns) in enumerate(exchanges(crystal, LINKS["LAN"], seconds, seed=5)):
        service.again(source, probe, first=number == 0)
        clocks.watch.take(START_NS + round(true_ns), msgspec.msgpack.encode(rows[-1]))
    assert clocks.watch.bad == 0
    stamped(clocks, rows[-1]["bus_ns"])
    return clocks


def stamped(
    clocks: Clocks,
    bus_ns: int,
    err_ns: int | None = 90_000,
    state: ClockState = ClockState.LOCKED,
) -> None:
    time = Timestamp(bus_ns, bus_ns, 500_000, err_ns, state)
    clocks.times["monitor"] = {"or1/monitor/hr": time}


def end(clocks: Clocks) -> int:
    """Bus time just after the newest line."""
    return max(source.at_ns for source in clocks.watch.sources().values()) + S // 4


def only(found: list[Finding], level: str) -> tuple[str, str]:
    ((seen, what, fix),) = found
    assert seen == level
    return what, fix


def test_sound_clocks_are_one_quiet_line() -> None:
    clocks = heard(CrystalClock(offset_ns=7 * S, skew_ppm=80.0))
    what, fix = only(judge(clocks, HealthWatch(), end(clocks)), "ok")
    assert what == "clocks of 1 processes, known to ±0.09 ms or better"
    assert fix == ""


def test_the_drift_of_a_source_is_that_of_its_crystal() -> None:
    said = words(heard(CrystalClock(skew_ppm=-120.0), 60).of("monitor"))
    assert said["drift_ppm"] == pytest.approx(-120.0, abs=3)
    assert said["epochs"] == 0
    assert words(None) == {"epochs": None, "drift_ppm": None}


@pytest.mark.parametrize(("skew", "way"), [(420.0, "fast"), (-420.0, "slow")])
def test_a_drift_no_crystal_has_is_said_with_its_direction(skew: float, way: str) -> None:
    clocks = heard(CrystalClock(skew_ppm=skew), 60)
    what, fix = only(judge(clocks, HealthWatch(), end(clocks)), "warning")
    assert what.startswith(f"clock of monitor is {way} by 4")
    assert what.endswith("ppm (limit 300)")
    assert "virtual machine" in fix


def test_a_drift_of_290_ppm_is_borne() -> None:
    clocks = heard(CrystalClock(skew_ppm=290.0), 60)
    assert [level for level, _, _ in judge(clocks, HealthWatch(), end(clocks))] == ["ok"]


@pytest.mark.parametrize(("step_ns", "said"), [(25_000_000, "+25"), (-12_000_000, "-12")])
def test_a_step_is_said_with_its_size_and_direction(step_ns: int, said: str) -> None:
    clocks = heard(CrystalClock(skew_ppm=40.0, steps=[(20.0, step_ns)]), 40)
    (step,) = clocks.watch.steps()
    assert (step.bus_ns - START_NS) / S == pytest.approx(20, abs=1)
    assert step.by_ns == pytest.approx(step_ns, abs=1_000_000)
    what, fix = only(judge(clocks, HealthWatch(), end(clocks)), "warning")
    assert what == step_text(step)
    assert "suspend" in fix
    later = end(clocks) + 600 * S
    assert not any("stepped" in what for _, what, _ in judge(clocks, HealthWatch(), later))
    assert words(clocks.of("monitor"))["epochs"] == 1


def test_a_clock_that_steps_again_and_again_is_one_finding() -> None:
    steps = [(20.0, 30_000_000), (40.0, 30_000_000), (60.0, -60_000_000)]
    clocks = heard(CrystalClock(steps=steps), 80)
    what, _ = only(judge(clocks, HealthWatch(), end(clocks)), "warning")
    assert what.endswith(", 3 times in ten minutes")


def test_a_source_that_no_probe_comes_from_runs_on_alone() -> None:
    clocks = heard(CrystalClock())
    now_ns = end(clocks) + 12 * S
    what, fix = only(judge(clocks, HealthWatch(), now_ns), "problem")
    assert "clock of monitor runs on alone: no probe for 12 s" in what
    assert "more each second" in what
    assert "network" in fix


def declaring(accuracy_s: float | None, at_ns: int) -> HealthWatch:
    """The health of a monitor that stamps by its own clock, as its host says it."""
    bus = Clock(SESSION, read=lambda: at_ns - START_NS)
    device = DeviceContext("or1", "monitor", NoOptions(), bus)
    device.offer(HR)
    device.declare_accuracy(accuracy_s)
    told_ns = at_ns - TAI_MINUS_UTC_NS - 300_000
    sample = device.sample(HR, NumericValue(60.0), source_ns=told_ns)
    reports = Reports()
    reports.accuracy_ns["monitor"] = device.accuracy_ns
    reports.published("monitor", HR, read_header(encode(sample, HR.kind)), 60)
    said = {"state": "running", **reports.say("monitor", bus.read(), at_ns, {}, None)}
    address, stamp = "or1/monitor/health", Timestamp(None, at_ns, 0, 0, ClockState.LOCKED)
    watch = HealthWatch()
    watch.take(encode(Sample(address, 1, 0, stamp, Flags(0), said), HEALTH.kind))
    return watch


def test_a_device_that_answers_no_probes_and_declares_nothing_is_said() -> None:
    clocks = heard(CrystalClock())
    found = judge(clocks, declaring(None, end(clocks)), end(clocks))
    what, fix = only(found, "warning")
    assert "declares no accuracy" in what
    assert "guaranteed by nothing, and likely only within" in what
    assert "ClockState/@Accuracy" in fix


@pytest.mark.parametrize("accuracy_s", [0.0005, 0.5])
def test_a_device_that_declares_its_accuracy_is_believed_however_bad_it_is(
    accuracy_s: float,
) -> None:
    clocks = heard(CrystalClock())
    found = judge(clocks, declaring(accuracy_s, end(clocks)), end(clocks))
    assert [one.level for one in found] == ["ok"]


def test_a_one_way_device_whose_own_clock_stepped_is_said() -> None:
    clocks = heard(CrystalClock())
    clocks.steps = {"monitor": 2}
    what, _ = only(judge(clocks, HealthWatch(), end(clocks)), "warning")
    assert what == "the clock inside monitor began anew 2 times in ten minutes"


def test_who_does_not_know_bus_time_is_a_problem() -> None:
    clocks = heard(CrystalClock())
    stamped(clocks, end(clocks), None, ClockState.UNSYNCED)
    what, _ = only(judge(clocks, HealthWatch(), end(clocks)), "problem")
    assert what == "monitor does not know bus time"


def test_a_replay_at_another_speed_has_no_drift() -> None:
    watch = ClockWatch()
    plain: dict[str, Any] = dict.fromkeys(
        ("t1_ns", "t2_ns", "t3_ns", "t4_ns", "map_id", "epoch"), 0
    )
    for number, rate in enumerate((4.0, 4.0004, 4.0)):
        row = ClockRow(
            source=f"p{number}-1",
            local_ns=0,
            bus_ns=START_NS,
            rate=rate,
            bound_ns=1,
            err_ns=1,
            state="locked",
            **plain,
        )
        watch.add(START_NS, row)
    drifts = [source.drift_ppm for source in watch.sources().values()]
    assert drifts == pytest.approx([0.0, -100.0, 0.0], abs=0.1)


def test_whether_ntp_keeps_this_machine_is_said_with_the_way_there() -> None:
    (said,) = machine_clock(lambda: Discipline(True, 0.004))
    assert said == ("ok", "this machine's clock is set by NTP, within 0.004 s", "")
    ((level, what, fix),) = machine_clock(lambda: Discipline(False, 16.0))
    assert (level, what) == ("warning", "this machine's clock is not set by NTP")
    assert "chrony" in fix
    ((level, what, _),) = machine_clock(lambda: None)
    assert (level, what[:11]) == ("warning", "cannot tell")


def test_the_kernel_is_asked_and_nothing_is_changed() -> None:
    first, second = discipline.read(), discipline.read()
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert first.synchronised == second.synchronised
        assert 0 <= first.within_s <= 10_000
