"""A device that only stamps: placed by its least delays, never backwards, never guaranteed."""

from __future__ import annotations

import random

import pytest

from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.clock.oneway import FLOOR_NS, KNOTS, WINDOW_NS, OneWay
from scot.timestamp import ClockState, Timestamp

MS = 1_000_000
S = 1_000 * MS
START_NS = 1_795_000_000 * S
OFFSET_NS = -3_600 * S


def arrival(bus_ns: int, err_ns: int | None = 1_000) -> Timestamp:
    return Timestamp(None, bus_ns, 5_000, err_ns, ClockState.LOCKED)


def heard(oneway: OneWay, true_ns: int, delay_ns: int, reads_ns: int | None = None) -> int:
    """Return by how much a reading taken at a true time is placed after it."""
    reads_ns = true_ns + OFFSET_NS if reads_ns is None else reads_ns
    return oneway.stamp(reads_ns, arrival(true_ns + delay_ns)).bus_ns - true_ns


def settled(seconds: int = 60, each_ns: int = 40 * MS, jitter_ms: float = 5.0) -> OneWay:
    oneway, rng = OneWay(), random.Random(4)
    for k in range(seconds * S // each_ns):
        delay_ns = 2 * MS + round(rng.expovariate(1 / jitter_ms) * MS)
        heard(oneway, START_NS + k * each_ns, delay_ns)
    return oneway


def test_nothing_is_guaranteed_and_the_state_says_so() -> None:
    stamp = OneWay().stamp(5, arrival(START_NS))
    assert (stamp.source_ns, stamp.bus_ns) == (5, START_NS)
    assert (stamp.bound_ns, stamp.state) == (None, ClockState.ONE_WAY)
    assert stamp.err_ns is not None
    assert stamp.err_ns > 20 * FLOOR_NS, "one arrival says little of the delay"


def test_the_claim_shrinks_to_the_floor_as_the_envelope_settles() -> None:
    oneway = settled()
    stamp = oneway.stamp(START_NS + 61 * S + OFFSET_NS, arrival(START_NS + 61 * S + 9 * MS))
    assert stamp.bus_ns - (START_NS + 61 * S) == pytest.approx(2 * MS, abs=0.1 * MS)
    assert stamp.err_ns is not None
    assert FLOOR_NS < stamp.err_ns < FLOOR_NS + MS
    unknown = oneway.stamp(START_NS + 62 * S + OFFSET_NS, arrival(START_NS + 62 * S, None))
    assert unknown.err_ns is not None


def test_a_late_first_arrival_never_turns_time_back() -> None:
    """The first blocks came late and all at once, the others in time."""
    oneway = OneWay()
    placed, came = [], []
    for k in range(14):
        first_ns = START_NS + k * 128 * MS
        came_ns = max(first_ns + 128 * MS, START_NS + 4 * 128 * MS + 60 * MS)
        came.append(came_ns)
        placed.append(
            oneway.stamp(first_ns + OFFSET_NS, arrival(came_ns), 124 * MS, "ecg_ii").bus_ns
        )
    assert placed == sorted(placed)
    assert all(at_ns <= came_ns for at_ns, came_ns in zip(placed, came, strict=True))
    assert placed[-1] - (START_NS + 13 * 128 * MS) == pytest.approx(4 * MS, abs=MS)


def test_arrivals_that_overtake_one_another_turn_no_time_back() -> None:
    """Reports handled on two threads: the first one's arrival was read 300 ms too late."""
    oneway, placed = OneWay(), []
    for k in range(40):
        true_ns = START_NS + k * 20 * MS
        late_ns = 300 * MS if k == 0 else MS
        placed.append(oneway.stamp(true_ns + OFFSET_NS, arrival(true_ns + late_ns)).bus_ns)
    assert placed == sorted(placed)
    assert len(set(placed)) == 40
    assert placed[-1] - true_ns == MS


def test_a_block_came_after_its_last_value_was_taken() -> None:
    """Without that, every waveform would be late by the length of its block."""
    oneway = OneWay()
    for k in range(40):
        first_ns = START_NS + k * 128 * MS
        stamp = oneway.stamp(first_ns + OFFSET_NS, arrival(first_ns + 125 * MS), 124 * MS)
    assert stamp.bus_ns - first_ns == pytest.approx(1 * MS, abs=0.05 * MS)


@pytest.mark.parametrize("skew", [400e-6, -400e-6])
def test_the_skew_is_found_and_followed(skew: float) -> None:
    oneway, rng, late = OneWay(), random.Random(5), []
    for k in range(6_000):
        true_ns = k * 100 * MS
        delay_ns = round(rng.expovariate(1 / 3) * MS)
        reads_ns = round(true_ns * (1 + skew))
        late.append(heard(oneway, START_NS + true_ns, delay_ns, reads_ns))
    assert max(abs(ns) for ns in late[-600:]) < 0.2 * MS
    assert oneway.epoch == 0


@pytest.mark.parametrize("step_ns", [200 * MS, 3 * S, -200 * MS, -3 * S])
def test_a_step_either_way_begins_an_epoch_and_is_followed(step_ns: int) -> None:
    oneway, rng = settled(), random.Random(6)
    for k in range(200):
        true_ns = START_NS + 61 * S + k * 40 * MS
        delay_ns = 2 * MS + round(rng.expovariate(1 / 5.0) * MS)
        late_ns = heard(oneway, true_ns, delay_ns, true_ns + OFFSET_NS + step_ns)
    assert oneway.epoch == 1
    assert late_ns == pytest.approx(2 * MS, abs=MS)


def test_a_clock_set_back_is_noticed_within_eight_samples_of_its_stream() -> None:
    oneway = settled()
    for k in range(9):
        true_ns = START_NS + 61 * S + k * 40 * MS
        late_ns = heard(oneway, true_ns, 3 * MS, true_ns + OFFSET_NS - 3_600 * S)
    assert oneway.epoch == 1
    assert late_ns == pytest.approx(3 * MS, abs=MS)


def test_congestion_is_no_step() -> None:
    oneway, rng = settled(), random.Random(7)
    for k in range(1_500):
        true_ns = START_NS + 61 * S + k * 40 * MS
        queue_ns = round(250 * MS * min(1.0, k / 100) * rng.uniform(0.1, 1.0))
        heard(oneway, true_ns, 2 * MS + queue_ns)
    assert oneway.epoch == 0


def test_a_stall_and_its_burst_are_no_step() -> None:
    """Three seconds of samples come all at once, as after a lost TCP segment."""
    oneway = settled()
    came_ns = START_NS + 64 * S
    late = []
    for k in range(75):
        true_ns = START_NS + 61 * S + k * 40 * MS
        late.append(heard(oneway, true_ns, came_ns - true_ns))
    assert oneway.epoch == 0
    assert max(abs(ns - 2 * MS) for ns in late) < MS


def test_an_old_value_is_placed_where_it_was_taken_and_is_no_step() -> None:
    """A cuff reading of five minutes ago, told again and again between the waves."""
    oneway = settled()
    for k in range(2_000):
        true_ns = START_NS + 61 * S + k * 40 * MS
        heard(oneway, true_ns, 3 * MS)
        cuff_ns = START_NS - 240 * S
        stamp = oneway.stamp(cuff_ns + OFFSET_NS, arrival(true_ns + 4 * MS), stream="nibp_sys")
        assert abs(stamp.bus_ns - cuff_ns) < 20 * MS
    assert oneway.epoch == 0


def test_a_declared_epoch_keeps_the_skew() -> None:
    oneway = OneWay()
    for k in range(900):
        true_ns = k * 100 * MS
        heard(oneway, START_NS + true_ns, 0, round(true_ns * (1 - 150e-6)))
    oneway.new_epoch()
    again_ns = START_NS + 90 * S
    heard(oneway, again_ns, 0, 7)
    late_ns = heard(oneway, again_ns + 2 * S, 20 * MS, 7 + round(2 * S * (1 - 150e-6)))
    assert oneway.epoch == 1
    assert abs(late_ns) < 0.01 * MS


def test_an_epoch_before_the_first_reading_is_none() -> None:
    oneway = OneWay()
    oneway.new_epoch()
    assert oneway.epoch == 0


@pytest.mark.parametrize(
    ("accuracy_ns", "most_ns"), [(None, FLOOR_NS), (500_000, 700_000), (180 * S, FLOOR_NS)]
)
def test_a_devices_own_accuracy_narrows_the_claim(accuracy_ns: int | None, most_ns: int) -> None:
    """Its clock is UTC within half a millisecond, the least delay is 0.2 ms."""
    oneway = OneWay()
    oneway.accuracy_ns = accuracy_ns
    for k in range(3_000):
        true_ns = START_NS + k * 40 * MS
        came = arrival(true_ns + MS // 5, 0)
        stamp = oneway.stamp(true_ns - TAI_MINUS_UTC_NS, came)
    assert stamp.err_ns is not None
    assert most_ns <= stamp.err_ns < most_ns + 0.15 * MS


def test_a_word_that_the_arrivals_contradict_is_not_believed() -> None:
    oneway = OneWay()
    oneway.accuracy_ns = MS
    for k in range(3_000):
        true_ns = START_NS + k * 40 * MS
        stamp = oneway.stamp(true_ns - TAI_MINUS_UTC_NS + 80 * MS, arrival(true_ns + 100_000))
    assert stamp.err_ns is not None
    assert stamp.err_ns >= FLOOR_NS


def test_memory_is_bounded() -> None:
    oneway = settled(seconds=3 * WINDOW_NS // S)
    follower = oneway._follower
    assert len(follower._line._bins) <= 66
    assert len(follower._readings) == len(follower._placed) <= KNOTS


def test_readings_beyond_all_measure_do_no_harm() -> None:
    oneway = settled(seconds=10)
    for reading in (0, -(2**63), 2**63 - 1, 5):
        assert oneway.stamp(reading, arrival(START_NS + 11 * S)).err_ns is not None
    late_ns = heard(oneway, START_NS + 12 * S, 2 * MS)
    for k in range(100):
        late_ns = heard(oneway, START_NS + 12 * S + k * 40 * MS, 2 * MS)
    assert abs(late_ns - 2 * MS) < 5 * MS
