"""Two timestamps are ordered only when no truth within their bounds could contradict it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.timestamp import ClockState, Order, Timestamp

INSTANT = st.integers(-(2**62), 2**62)
WIDTH = st.integers(0, 2**40)


def at(bus_ns: int, bound_ns: int | None, err_ns: int | None = 0) -> Timestamp:
    return Timestamp(None, bus_ns, bound_ns, err_ns, ClockState.LOCKED)


@settings(deadline=None)
@given(INSTANT, st.integers(-(2**42), 2**42), WIDTH, WIDTH)
def test_the_order_is_what_every_truth_within_the_bounds_agrees_on(
    base_ns: int, apart_ns: int, bound_ns: int, other_bound_ns: int
) -> None:
    one, other = at(base_ns + apart_ns, bound_ns), at(base_ns, other_bound_ns)
    earliest_apart = (one.bus_ns - bound_ns) - (other.bus_ns + other_bound_ns)
    latest_apart = (one.bus_ns + bound_ns) - (other.bus_ns - other_bound_ns)
    if earliest_apart > 0:
        expected = Order.AFTER
    elif latest_apart < 0:
        expected = Order.BEFORE
    else:
        expected = Order.CANNOT_TELL
    assert one.compare(other) is expected
    assert other.compare(one) is Order(-expected)


@pytest.mark.parametrize(
    ("apart_ns", "order"),
    [(30, Order.CANNOT_TELL), (31, Order.AFTER), (-30, Order.CANNOT_TELL), (-31, Order.BEFORE)],
)
def test_bounds_that_touch_cannot_be_told_apart(apart_ns: int, order: Order) -> None:
    assert at(1_000 + apart_ns, 10).compare(at(1_000, 20)) is order


@pytest.mark.parametrize("bounds", [(None, 0), (0, None), (None, None)])
def test_without_a_bound_nothing_is_ordered(bounds: tuple[int | None, int | None]) -> None:
    assert at(0, bounds[0]).compare(at(10**18, bounds[1])) is Order.CANNOT_TELL


def test_a_small_likely_error_orders_nothing() -> None:
    assert at(100, 1_000, err_ns=1).compare(at(0, 1_000, err_ns=1)) is Order.CANNOT_TELL


def test_a_state_is_shown_as_a_word() -> None:
    assert [state.label for state in ClockState] == [
        "locked",
        "converging",
        "holdover",
        "one-way",
        "unsynced",
    ]
