"""Sample time from a counter: gaps, bursts and losses do not move it; without one it is mended."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from scot.clock.dejitter import Dejitter

MS = 1_000_000
S = 1_000 * MS
RATE_HZ = 250.0
PERIOD_NS = 4 * MS


def batches(
    count: int, size: int = 20, jitter_ms: float = 5.0, seed: int = 1
) -> Iterator[tuple[int, int, int]]:
    """Yield counter, true time of the first value, and arrival of the last, in order."""
    rng, came_ns = random.Random(seed), 0
    for k in range(count):
        first_ns = k * size * PERIOD_NS
        last_ns = first_ns + (size - 1) * PERIOD_NS
        came_ns = max(came_ns, last_ns + MS + round(rng.expovariate(1 / jitter_ms) * MS))
        yield k * size, first_ns, came_ns


def test_lost_batches_gaps_and_bursts_do_not_move_it() -> None:
    stream, rng, off = Dejitter(), random.Random(2), []
    for counter, first_ns, came_ns in batches(2_000):
        in_gap = 40 * S < first_ns < 55 * S
        if in_gap or rng.random() < 0.02:
            continue
        burst_ns = 70 * S if 68 * S < first_ns < 70 * S else 0
        placed_ns, _ = stream.place(counter, 20, RATE_HZ, max(came_ns, burst_ns))
        if first_ns > 20 * S:
            off.append(abs(placed_ns - first_ns - MS))
    assert max(off) < 0.3 * MS
    assert sorted(off)[len(off) * 95 // 100] < 0.1 * MS
    assert (stream.segment, stream.mended) == (0, 0)


def test_the_length_of_a_batch_does_not_matter() -> None:
    stream, counter = Dejitter(), 0
    for size in [1, 40, 7, 25] * 200:
        last_ns = (counter + size - 1) * PERIOD_NS
        placed_ns, _ = stream.place(counter, size, RATE_HZ, last_ns + MS)
        assert placed_ns == pytest.approx(counter * PERIOD_NS + MS, abs=0.01 * MS)
        counter += size


def test_a_nominal_rate_that_is_wrong_by_a_thousandth_is_learnt() -> None:
    stream = Dejitter()
    for counter in range(6_000):
        true_ns = round(counter * 1e9 / 29.97)
        placed_ns, _ = stream.place(counter, 1, 30.0, true_ns)
    assert abs(placed_ns - true_ns) < 0.2 * MS
    assert stream.segment == 0


def test_another_rate_is_another_segment_and_time_goes_on() -> None:
    stream, counter, last_ns = Dejitter(), 0, -1
    for rate_hz in (250.0, 500.0):
        base_ns = 0 if rate_hz == 250.0 else 20 * S
        for _ in range(500):
            in_rate = counter if rate_hz == 250.0 else counter - 5_000
            first_ns = base_ns + round(in_rate * 1e9 / rate_hz)
            came_ns = first_ns + round(9 * 1e9 / rate_hz)
            placed_ns, _ = stream.place(counter, 10, rate_hz, came_ns)
            assert placed_ns > last_ns
            assert abs(placed_ns - first_ns) < 0.1 * MS
            last_ns, counter = placed_ns, counter + 10
    assert stream.segment == 1


def test_a_counter_that_begins_anew_is_a_new_segment() -> None:
    stream, off = Dejitter(), []
    for counter, first_ns, came_ns in batches(200):
        again = 0 if first_ns < 8 * S else 8 * 250
        placed_ns, _ = stream.place(counter - again, 20, RATE_HZ, came_ns)
        off.append(abs(placed_ns - first_ns - MS))
    assert stream.segment == 1
    assert max(off[100:]) < 40 * MS, "followed at once"


def test_a_stamp_of_the_first_value_is_smoothed_in_its_own_time_base() -> None:
    """A camera's frames are grabbed up to a few ms after they are due."""
    rng, stream, off = random.Random(3), Dejitter(), []
    for index in range(3_000):
        due_ns = index * 40 * MS
        grabbed_ns = due_ns + round(rng.expovariate(1 / 2.0) * MS)
        placed_ns, _ = stream.place(index, 1, 25.0, grabbed_ns, at_first=True)
        off.append(abs(placed_ns - due_ns))
        assert placed_ns <= grabbed_ns
    assert sorted(off[200:])[-140] < 0.1 * MS


def test_without_a_counter_a_loss_is_mended_by_whole_samples() -> None:
    stream, off = Dejitter(), []
    for counter, first_ns, came_ns in batches(800):
        if counter in (4_000, 9_000, 9_020):
            continue
        placed_ns, _ = stream.place(None, 20, RATE_HZ, came_ns)
        off.append(placed_ns - first_ns - MS)
    assert stream.mended == 60
    assert max(abs(ns) for ns in off[-300:]) < 0.5 * MS
    assert stream.segment == 0


def test_without_a_counter_jitter_alone_mends_nothing() -> None:
    stream = Dejitter()
    for _, _, came_ns in batches(3_000):
        stream.place(None, 20, RATE_HZ, came_ns)
    assert stream.mended == 0
