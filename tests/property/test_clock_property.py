"""Whatever the clock and the link: the bound is true, order is no matter, and nothing can crash it.

Clocks wander by less than `WANDER` within a window and do not step; links delay, burst, lose and
reorder at will.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scot.clock.busmap import HOLDOVER_AFTER_NS, BusMap
from scot.clock.clock import Clock
from scot.clock.estimator import Estimator
from scot.clock.probe import MAX_RTT_NS, Probe, Request, encode, read_reply
from scot.clock.refit import missing, recompute, refined
from scot.clock.service import ClockService
from scot.errors import ClockError, RemoteProtocolError
from scot.testing.clocks import LINKS, CrystalClock, Link, exchanges
from scot.timestamp import ClockState

MS, S = 1_000_000, 1_000_000_000
MOST = 2**63 - 1
SESSION = BusMap(0, 0, 17, 10**18, 1.0, 0, 0, ClockState.LOCKED, 0, 0)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
ON_CI = settings(max_examples=20, deadline=None, suppress_health_check=SLOW)


def delay(least: float, spread: float, heavy: bool, period_s: float) -> Callable[..., float]:
    """A queue that fills and empties on top of noise, ms."""

    def draw(rng: np.random.Generator, t_s: float) -> float:
        noise = rng.exponential(spread) if heavy else rng.uniform(0, spread)
        return float(least + noise * (1 + 9 * max(0.0, np.sin(t_s * 2 * np.pi / period_s))))

    return draw


DELAYS = st.builds(
    delay,
    st.sampled_from([0.0, 0.05, 3.0, 60.0]),
    st.sampled_from([0.0, 0.03, 4.0, 40.0]),
    st.booleans(),
    st.floats(2.0, 60.0),
)
GENERATED = st.builds(Link, st.just("generated"), DELAYS, DELAYS, st.sampled_from([0.0, 0.02, 0.5]))
CRYSTALS = st.builds(
    CrystalClock,
    offset_ns=st.sampled_from([0, 10**15 + 7, 2**61]),
    skew_ppm=st.floats(-300, 300),
    thermal_ppm=st.floats(0, 5),
    thermal_s=st.floats(300, 900),
    walk_ppm=st.floats(0, 1),
    seed=st.integers(0, 99),
)


def recorded(
    clocks: dict[str, CrystalClock], link: Link, seconds: float, seed: int
) -> tuple[list[dict[str, Any]], list[int]]:
    """Rows of several sources, mixed as they come, and the bus time that each should say."""
    came = sorted(
        (back_ns, name, probe)
        for name, clock in clocks.items()
        for probe, back_ns in exchanges(clock, link, seconds, seed + len(name))
    )
    rows: list[dict[str, Any]] = []
    service = ClockService(Clock(SESSION, lambda: 0), rows.append)
    for _, name, probe in came:
        service.again(name, probe, first=False)
    return rows, [SESSION.at(round(back_ns)) for back_ns, _, _ in came]


@ON_CI
@given(CRYSTALS, GENERATED, st.integers(0, 999))
def test_the_bound_contains_the_truth_also_between_probes(
    clock: CrystalClock, link: Link, seed: int
) -> None:
    service = ClockService(Clock(SESSION, lambda: 0), lambda row: None)
    used: BusMap | None = None
    asked_ns = 0.0
    for probe, back_ns in exchanges(clock, link, 16.0, seed):
        if used is not None:
            for part in (0.3, 1.0):
                at_ns = asked_ns + part * (back_ns - asked_ns)
                stamp = used.stamp(clock.read(at_ns))
                assert stamp.bound_ns is not None
                assert abs(stamp.bus_ns - SESSION.at(round(at_ns))) <= stamp.bound_ns + 2
                assert stamp.err_ns is not None
                assert 0 <= stamp.err_ns <= stamp.bound_ns
        used, asked_ns = service.again("device", probe, first=False), back_ns
        assert used.epoch == 0


@ON_CI
@given(CRYSTALS, GENERATED, st.integers(0, 999))
def test_a_link_that_was_cut_is_bounded_when_it_comes_back(
    clock: CrystalClock, link: Link, seed: int
) -> None:
    """Holdover: five minutes later the last map still says how wrong it may be."""
    service = ClockService(Clock(SESSION, lambda: 0), lambda row: None)
    maps = [service.again("d", probe, first=False) for probe, _ in exchanges(clock, link, 12, seed)]
    if not maps:
        return
    for later_s in (15, 60, 300):
        stamp = maps[-1].stamp(clock.read(later_s * S))
        assert stamp.bound_ns is not None
        assert abs(stamp.bus_ns - SESSION.at(later_s * S)) <= stamp.bound_ns + 2
        aged = (
            clock.read(later_s * S) - maps[-1].local_ns > HOLDOVER_AFTER_NS
        )  # answers may be late
        held = maps[-1].state is ClockState.LOCKED and aged
        assert stamp.state is (ClockState.HOLDOVER if held else maps[-1].state)


@settings(parent=ON_CI, max_examples=15)
@given(CRYSTALS, GENERATED, st.integers(0, 999), st.randoms(use_true_random=False))
def test_order_of_arrival_never_moves_the_result_beyond_the_bound(
    clock: CrystalClock, link: Link, seed: int, chance: Any
) -> None:
    """Exchanges of one second overtake one another."""
    probes = [p for p, _ in exchanges(clock, link, 12.0, seed) if p.rtt_ns <= MAX_RTT_NS]
    mixed = sorted(probes, key=lambda probe: probe.t3_ns + chance.randrange(S))
    one, other = Estimator(), Estimator()
    for probe in probes:
        one.add(probe)
    for probe in mixed:
        other.add(probe)
    a, b = one.line, other.line
    if a is None or b is None:
        return
    assert one.epoch == other.epoch == 0
    apart_ns = abs(a.offset_ns + a.skew * (b.at_ns - a.at_ns) - b.offset_ns)
    assert apart_ns <= a.bound_ns + b.bound_ns + a.drift * abs(b.at_ns - a.at_ns) + 2


@pytest.mark.parametrize("link", ["LAN", "5±2 ms, 2 % loss", "WAN bufferbloat"])
def test_recomputed_maps_equal_the_live_ones_to_the_last_bit(link: str) -> None:
    """Two sources, a step, a broker that was started again; through the bytes of a recording."""
    clocks = {
        "a": CrystalClock(10**15, skew_ppm=120, thermal_ppm=3, steps=[(20.0, 30 * MS)]),
        "pump": CrystalClock(5, skew_ppm=-80, thermal_ppm=5, thermal_s=300, seed=4),
    }
    rows, _ = recorded(clocks, LINKS[link], 40.0, 3)
    again: list[dict[str, Any]] = []
    start = msgspec.structs.replace(SESSION, local_ns=99, rate=4.0)
    other = ClockService(Clock(start, lambda: 0), again.append)
    for probe, _ in exchanges(clocks["a"], LINKS[link], 15.0, 9):
        other.again("a", probe, first=False)
    live = rows + again
    assert {row["epoch"] for row in live} == {0, 1}
    for wire in (msgspec.msgpack, msgspec.json):
        read = wire.decode(wire.encode(live))
        made = recompute(read)
        assert made == live
        assert [float(row["rate"]).hex() for row in made] == [r["rate"].hex() for r in live]
    assert missing(live) == {"a": 0, "pump": 0}


@settings(parent=ON_CI, max_examples=15)
@given(CRYSTALS, GENERATED, st.integers(0, 999))
def test_hindsight_keeps_the_bound_and_says_what_it_moved(
    clock: CrystalClock, link: Link, seed: int
) -> None:
    rows, truth = recorded({"device": clock}, link, 30.0, seed)
    for row, better, true_ns in zip(rows, refined(rows), truth, strict=True):
        assert abs(better["bus_ns"] - true_ns) <= better["bound_ns"] + 2
        assert better["moved_ns"] == better["bus_ns"] - row["bus_ns"]
        assert better["err_ns"] <= better["bound_ns"]
        assert {key for key in better if key != "moved_ns"} == set(row)


@pytest.mark.parametrize("link", ["LAN", "5±2 ms, 2 % loss", "one-sided upload queue"])
def test_hindsight_is_closer_to_the_truth(link: str) -> None:
    clock = CrystalClock(10**15, skew_ppm=-150, thermal_ppm=3, seed=2)
    rows, truth = recorded({"device": clock}, LINKS[link], 150.0, 4)
    live, better = (
        np.percentile([abs(r["bus_ns"] - t) for r, t in zip(of, truth, strict=True)], 95)
        for of in (rows, refined(rows))
    )
    assert better < 0.7 * live


def test_rows_that_lack_something_are_refused_and_lost_ones_counted() -> None:
    rows, _ = recorded({"a": CrystalClock(7)}, LINKS["LAN"], 5.0, 1)
    assert missing(rows[:3] + rows[7:]) == {"a": 4}
    assert len(recompute(rows[5:])) == len(rows) - 5
    for name in ("t3_ns", "session_bus_ns", "map_id"):
        lacking = [{key: value for key, value in rows[0].items() if key != name}]
        with pytest.raises(ClockError, match="cannot be used again"):
            recompute(lacking)


NUMBERS = st.one_of(st.integers(-(2**64), 2**64), st.sampled_from([0, 1, MOST, MOST - 1, 2**62]))
WILD = st.one_of(
    st.none(),
    st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.lists(NUMBERS, max_size=6),
    st.text(max_size=5),
)


@settings(parent=ON_CI, max_examples=50)
@given(st.lists(st.tuples(NUMBERS, WILD), min_size=1, max_size=30))
def test_a_source_that_sends_anything_harms_no_other(all_of: list[tuple[int, Any]]) -> None:
    """What a sound source gets is the same to the last bit, whatever a liar sends meanwhile."""

    def sound_maps(lies: list[tuple[int, Any]]) -> tuple[list[BusMap], ClockService]:
        service = ClockService(Clock(SESSION, lambda: now_ns), lambda row: None)
        maps, previous = [], None
        for number in range(40):
            now_ns = (number + 2) * S // 4
            sent_ns = now_ns + 7_000 * number
            data = encode(Request(sent_ns, previous))
            reply = read_reply(service.on_request("sound", "1", data, now_ns))
            previous = Probe(sent_ns, reply.t2_ns, reply.t3_ns, sent_ns + 300_000)
            maps += [reply.map] if reply.map else []
            for t1_ns, probe in lies[number : number + 1]:
                try:
                    service.on_request("liar", "1", _bytes(t1_ns, probe), now_ns)
                except RemoteProtocolError:
                    pass
        return maps, service

    alone, _ = sound_maps([])
    beside, service = sound_maps(all_of)
    assert beside == alone
    assert len(alone) == 39
    assert service.refused_of["sound"] == 0


def _bytes(t1_ns: int, probe: Any) -> bytes:
    try:
        return msgspec.msgpack.encode([t1_ns, probe])
    except OverflowError:
        return repr((t1_ns, probe)).encode()


@settings(parent=ON_CI, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, MOST), st.integers(0, 2**40)), min_size=1, max_size=60),
    st.sampled_from([1.0, 64.0]),
)
def test_a_clock_that_jumps_and_runs_backwards_never_stops_the_service(
    readings: list[tuple[int, int]], rate: float
) -> None:
    """Any readings of its own: each map still says what the bus time was, within its bound."""
    now_ns = S
    rows: list[dict[str, Any]] = []
    start = msgspec.structs.replace(SESSION, rate=rate)
    service = ClockService(Clock(start, lambda: now_ns), rows.append)
    previous: Probe | None = None
    for t1_ns, more_ns in readings:
        now_ns += S
        request = encode(Request(t1_ns, previous))
        reply = read_reply(service.on_request("jumps", "1", request, now_ns))
        took_ns = min(more_ns, MOST - t1_ns)
        previous = Probe(t1_ns, reply.t2_ns, reply.t3_ns, t1_ns + took_ns)
        if previous.rtt_ns > 10 * S:
            previous = None
    for row in rows:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(row)) == row
        assert row["bound_ns"] >= row["err_ns"] >= 0
    assert recompute(rows) == rows


def test_a_clock_that_runs_backwards_begins_a_new_epoch() -> None:
    """By an hour, when six probes are known: no envelope is needed to see that."""
    clock = CrystalClock(10**15, steps=[(0.5, -3_600 * S)])
    estimator = Estimator()
    for probe, back_ns in exchanges(clock, LINKS["5±2 ms, 2 % loss"], 4.0, 1):
        if probe.rtt_ns < 0:
            continue  # the service refuses it
        line = estimator.add(probe)
        assert estimator.epoch == (back_ns > 0.5 * S)
        assert abs(line.offset_ns - (round(back_ns) - clock.read(back_ns))) <= line.bound_ns
