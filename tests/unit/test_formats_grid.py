"""A signal on an even grid keeps its values and says how far its times are off."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot_replay.formats.signals import Blocks, Readings, gaps, held, on_grid, step_of

S = 1_000_000_000


def blocks(starts: list[int], size: int, follows: list[bool], err_ns: int = 1_000) -> Blocks:
    count = len(starts)
    values = np.arange(count * size, dtype="<f4")
    return Blocks(
        np.array(starts, np.int64),
        np.full(count, size, np.int64),
        values,
        np.full(count, err_ns, np.int64),
        np.array(follows),
    )


@given(st.integers(1, 30), st.integers(1, 20), st.sampled_from([50, 125, 250, 1000]))
def test_blocks_that_follow_each_other_lie_side_by_side(n: int, size: int, rate: int) -> None:
    starts = [round(k * size * S / rate) for k in range(n)]
    grid = on_grid(blocks(starts, size, [False] + [True] * (n - 1)), Fraction(rate), 0, n * size)
    assert grid.values.tolist() == list(range(n * size))
    assert grid.shifted == 0
    assert grid.time_error_s < 1e-8


@pytest.mark.parametrize("ppm", [-300, 300])
def test_a_clock_that_runs_wrong_is_kept_within_two_places_and_counted(ppm: int) -> None:
    rate, size, n = 250, 50, 2_000
    starts = [round(k * size * S / rate * (1 - ppm * 1e-6)) for k in range(n)]
    grid = on_grid(blocks(starts, size, [False] + [True] * (n - 1)), Fraction(rate), 0, n * size)
    assert 20 < grid.shifted < 40  # 400 s at 300 ppm are 30 places
    assert grid.time_error_s <= 1.6 / rate
    kept = int((~np.isnan(grid.values)).sum())
    assert n * size - grid.shifted <= kept <= n * size


def test_a_missing_block_is_a_gap_where_it_was() -> None:
    grid = on_grid(blocks([0, 2 * S, 3 * S], 10, [False, False, True]), Fraction(10), 0, 40)
    assert gaps(grid.values) == [(10, 20)]
    assert grid.values[20] == 10.0


def test_jitter_within_what_the_times_claim_moves_nothing() -> None:
    starts = [k * S // 5 + (k % 3) * 8_000_000 for k in range(50)]
    known = blocks(starts, 50, [False] + [True] * 49, err_ns=10_000_000)
    grid = on_grid(known, Fraction(250), 0, 2_500)
    assert grid.shifted == 0
    assert not np.isnan(grid.values).any()
    assert 0.015 < grid.time_error_s < 0.017


def test_a_reading_counts_only_as_long_as_it_may() -> None:
    known = Readings(np.array([0, S, 5 * S]), np.array([1.0, 2.0, 3.0]))
    grid = held(known, Fraction(1), 0, 8, round(1.5 * S))
    assert np.array_equal(
        grid.values, [1.0, 2.0, 2.0, np.nan, np.nan, 3.0, 3.0, np.nan], equal_nan=True
    )
    assert grid.time_error_s == 1.0


@given(
    st.floats(0.01, 100), st.integers(-5_000, 5_000), st.lists(st.integers(0, 2_000), min_size=2)
)
def test_the_steps_of_an_adc_are_found_in_its_float32_values(
    gain: float, offset: int, rungs: list[int]
) -> None:
    rungs = [*rungs, 0, 1, 2_000]
    values = ((np.array(rungs) + offset) / gain).astype(np.float32).astype(np.float64)
    found = step_of(values, 65_534)
    assert found is not None
    assert found[0] == pytest.approx(1 / gain, rel=1e-3)


def test_values_without_steps_have_no_ladder() -> None:
    values = np.random.default_rng(1).normal(size=1_000)
    assert step_of(values, 65_534) is None
