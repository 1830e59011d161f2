"""A device that only stamps: placed by the least delay seen, and never with a guarantee."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scot.clock.oneway import FLOOR_NS, STEP_NS, WINDOW_NS, OneWay
from scot.timestamp import ClockState, Timestamp

MS = 1_000_000
START_NS = 1_795_000_000 * 10**9


def arrival(bus_ns: int, err_ns: int | None = 1_000) -> Timestamp:
    return Timestamp(None, bus_ns, 5_000, err_ns, ClockState.LOCKED)


@settings(deadline=None)
@given(
    st.integers(0, 10**15),
    st.lists(st.tuples(st.integers(1, 50 * MS), st.integers(0, 400 * MS)), min_size=1),
)
def test_samples_are_placed_by_the_least_delay_so_far(
    device_ns: int, rows: list[tuple[int, int]]
) -> None:
    oneway = OneWay()
    bus_ns, least = START_NS, None
    for step_ns, delay_ns in rows:
        bus_ns += step_ns
        device_ns += step_ns
        least = delay_ns if least is None else min(least, delay_ns)
        stamp = oneway.stamp(device_ns, arrival(bus_ns + delay_ns))
        assert stamp.bus_ns == bus_ns + least
        assert stamp.source_ns == device_ns
    assert oneway.epoch == 0


def test_nothing_is_guaranteed_and_the_state_says_so() -> None:
    stamp = OneWay().stamp(5, arrival(START_NS))
    assert (stamp.bound_ns, stamp.state) == (None, ClockState.ONE_WAY)
    assert stamp.err_ns == FLOOR_NS + 1_000
    unknown = OneWay().stamp(5, arrival(START_NS, err_ns=None))
    assert unknown.err_ns == FLOOR_NS


def test_a_device_clock_that_steps_begins_a_new_epoch_and_is_followed_at_once() -> None:
    oneway = OneWay()
    for second in range(10):
        oneway.stamp(second * 10**9, arrival(START_NS + second * 10**9))
    bus_ns = START_NS + 10 * 10**9
    stamp = oneway.stamp(10 * 10**9 + 2 * STEP_NS, arrival(bus_ns))
    assert (oneway.epoch, stamp.bus_ns) == (1, bus_ns)
    stamp = oneway.stamp(0, arrival(bus_ns + 10**9))
    assert (oneway.epoch, stamp.bus_ns) == (2, bus_ns + 10**9)


def test_a_device_that_drifts_is_followed_when_old_delays_leave_the_window() -> None:
    """200 ppm slow for ten minutes: the least offset grows, and old bins must go."""
    oneway = OneWay()
    for second in range(600):
        bus_ns = START_NS + second * 10**9
        device_ns = second * (10**9 - 200_000)
        stamp = oneway.stamp(device_ns, arrival(bus_ns))
    assert 0 <= bus_ns - stamp.bus_ns <= 200_000 * (WINDOW_NS // 10**9)
    assert oneway.epoch == 0


def test_memory_is_bounded_by_the_window() -> None:
    oneway = OneWay()
    for number in range(5_000):
        oneway.stamp(number * 10**9, arrival(START_NS + number * 10**9))
    assert len(oneway._bins) == WINDOW_NS // 10**9
