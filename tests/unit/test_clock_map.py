"""Bus time as a process reads it: a line, its inverse, and an error that only ever grows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.clock import machine
from scot.clock.busmap import HOLDOVER_AFTER_NS, BusMap
from scot.clock.clock import Clock
from scot.errors import ClockError
from scot.testing import ManualClock
from scot.timestamp import ClockState, Timestamp

DAY_NS = 86_400 * 10**9
RATES = st.one_of(
    st.just(1.0), st.floats(1 - 5e-4, 1 + 5e-4), st.floats(0.05, 64.0, exclude_min=True)
)
MAPS = st.builds(
    BusMap,
    id=st.just(1),
    epoch=st.just(0),
    local_ns=st.integers(0, 2**62),
    bus_ns=st.integers(0, 2**61),
    rate=RATES,
    bound_ns=st.none() | st.integers(0, 10**9),
    err_ns=st.none() | st.integers(0, 10**9),
    state=st.sampled_from(ClockState),
)
AGES = st.integers(-DAY_NS, DAY_NS)


def line(**more: object) -> BusMap:
    plain = BusMap(1, 0, 1_000, 5_000, 1.0, 100, 40, ClockState.LOCKED)
    return msgspec.structs.replace(plain, **more)


@settings(deadline=None)
@given(MAPS, AGES)
def test_local_is_the_inverse_of_at(given: BusMap, age_ns: int) -> None:
    local_ns = given.local_ns + age_ns
    assert abs(given.local(given.at(local_ns)) - local_ns) <= 1 + 1 / given.rate
    bus_ns = given.bus_ns + age_ns
    assert abs(given.at(given.local(bus_ns)) - bus_ns) <= 1 + given.rate


@settings(deadline=None)
@given(MAPS, AGES, AGES)
def test_bus_time_never_runs_backwards_along_a_line(given: BusMap, one: int, other: int) -> None:
    early, late = sorted((given.local_ns + one, given.local_ns + other))
    assert given.at(early) <= given.at(late)


@settings(deadline=None)
@given(MAPS, AGES)
def test_at_is_the_line(given: BusMap, age_ns: int) -> None:
    expected = given.bus_ns + age_ns * given.rate
    assert given.at(given.local_ns + age_ns) == pytest.approx(expected, abs=2_048)


def test_a_second_stays_a_second_to_the_nanosecond_after_a_day() -> None:
    given = line(rate=1.0 + 25e-6)
    late_ns = given.local_ns + DAY_NS
    assert given.at(late_ns + 10**9) - given.at(late_ns) == 10**9 + 25_000


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_a_clock_that_stands_still_never_reaches_another_time(rate: float) -> None:
    given = line(rate=rate)
    if rate == 0.0:
        assert given.at(given.local_ns + 10**9) == given.bus_ns
    with pytest.raises(ClockError, match="stands still"):
        given.local(given.bus_ns + 1)


@settings(deadline=None)
@given(MAPS, AGES, st.integers(0, 10**9))
def test_the_error_of_a_stamp_grows_with_the_age_of_its_line(
    given: BusMap, age_ns: int, more_ns: int
) -> None:
    near = given.stamp(given.local_ns + age_ns)
    far = given.stamp(given.local_ns + age_ns + (more_ns if age_ns >= 0 else -more_ns))
    for name in ("bound_ns", "err_ns"):
        at_line, at_near, at_far = (getattr(t, name) for t in (given, near, far))
        if at_line is None:
            assert at_near is at_far is None
        else:
            assert at_line <= at_near <= at_far


def test_a_line_that_is_no_longer_renewed_is_in_holdover() -> None:
    given = line()
    assert given.stamp(given.local_ns + HOLDOVER_AFTER_NS).state is ClockState.LOCKED
    assert given.stamp(given.local_ns + HOLDOVER_AFTER_NS + 1).state is ClockState.HOLDOVER
    for state in set(ClockState) - {ClockState.LOCKED}:
        assert line(state=state).stamp(DAY_NS).state is state


def test_a_stamp_keeps_the_devices_own_reading() -> None:
    assert line().stamp(1_000, source_ns=77) == Timestamp(77, 5_000, 100, 40, ClockState.LOCKED)


def test_before_the_first_probe_is_back_no_time_is_known() -> None:
    clock = Clock()
    with pytest.raises(ClockError, match="not known yet"):
        clock.now()
    with pytest.raises(ClockError, match="not known yet"):
        clock.stamp()


def test_a_session_reads_like_tai_and_goes_on_from_where_it_is_told() -> None:
    before_ns = machine.utc_ns() + 37 * 10**9
    now_ns = Clock.session().now()
    assert before_ns - 10**9 < now_ns < machine.utc_ns() + 38 * 10**9
    assert Clock.session().stamp().bound_ns == 0
    recorded = Clock.session(bus_ns=12_345, rate=0.0)
    assert recorded.now() == 12_345


def test_a_clock_in_the_hand_moves_only_when_it_is_moved() -> None:
    clock = ManualClock(50)
    assert (clock.now(), clock.now()) == (50, 50)
    clock.advance(7)
    assert clock.now() == clock.read() == 57
    assert clock.stamp(52).bus_ns == 52
