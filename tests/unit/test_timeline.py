"""The timeline answers as if it had kept everything and sorted it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.sample import Flags, NumericValue, Sample, Value
from scot.timeline import Moment, Timeline, thin
from scot.timestamp import ClockState, Timestamp

A, B = "or1/monitor/hr", "or1/tracker/probe"
HUGE = 10**15


def sample(address: str, seq: int, bus_ns: int, value: Value = "", bound_ns: int = 5) -> Sample:
    time = Timestamp(None, bus_ns, bound_ns, 2, ClockState.LOCKED)
    return Sample(address, 1, seq, time, Flags(0), value)


def number(seq: int, value: float | None) -> Sample:
    return sample(A, seq, seq, NumericValue(value))


def filled(timeline: Timeline, *times: int, address: str = A) -> Timeline:
    for seq, bus_ns in enumerate(times):
        timeline.add(sample(address, seq, bus_ns))
    return timeline


def times(samples: list[Sample]) -> list[int]:
    return [one.time.bus_ns for one in samples]


ARRIVALS = st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 60)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(ARRIVALS, st.integers(-2, 62))
def test_at_is_the_last_sample_at_or_before_the_instant_whatever_came_first(
    arrivals: list[tuple[str, int]], instant: int
) -> None:
    timeline = Timeline(keep_ns=HUGE, lateness_ns=HUGE)
    sent = [sample(address, seq, bus_ns) for seq, (address, bus_ns) in enumerate(arrivals)]
    for one in sent:
        timeline.add(one)
    expected: dict[str, Sample] = {}
    for one in sent:
        if one.time.bus_ns <= instant:
            best = expected.get(one.address)
            if best is None or one.time.bus_ns >= best.time.bus_ns:
                expected[one.address] = one
    found = timeline.at(instant)
    assert {address: moment.sample for address, moment in found.items()} == expected
    for moment in found.values():
        assert moment.age_ns == instant - moment.sample.time.bus_ns


@settings(max_examples=150, deadline=None)
@given(ARRIVALS, st.integers(-2, 62), st.integers(-2, 62))
def test_between_is_every_sample_of_the_stretch_in_bus_time_order(
    arrivals: list[tuple[str, int]], start: int, end: int
) -> None:
    timeline = Timeline(keep_ns=HUGE, lateness_ns=HUGE)
    sent = [sample(address, seq, bus_ns) for seq, (address, bus_ns) in enumerate(arrivals)]
    for one in sent:
        timeline.add(one)
    found = timeline.between(start, end)
    for address in {one.address for one in sent}:
        inside = [o for o in sent if o.address == address and start <= o.time.bus_ns < end]
        assert found[address] == sorted(inside, key=lambda o: o.time.bus_ns)


@settings(max_examples=150, deadline=None)
@given(ARRIVALS, st.integers(0, 30))
def test_late_means_that_the_watermark_had_passed(
    arrivals: list[tuple[str, int]], lateness_ns: int
) -> None:
    timeline = Timeline(keep_ns=HUGE, lateness_ns=lateness_ns)
    newest: int | None = None
    late = 0
    for seq, (address, bus_ns) in enumerate(arrivals):
        assert timeline.watermark_ns == (None if newest is None else newest - lateness_ns)
        passed = newest is not None and bus_ns < newest - lateness_ns
        late += passed
        assert bool(timeline.add(sample(address, seq, bus_ns)).flags & Flags.LATE) is passed
        newest = bus_ns if newest is None else max(newest, bus_ns)
    assert timeline.late == late
    kept = sum(len(found) for found in timeline.between(-1, HUGE).values())
    assert kept == len(arrivals)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=50), st.integers(10, 200))
def test_what_is_forgotten_is_never_needed_within_the_time_kept(
    steps: list[int], keep_ns: int
) -> None:
    timeline = Timeline(keep_ns=keep_ns)
    sent: list[int] = []
    for seq in range(150):
        sent.append((sent[-1] if sent else 0) + steps[seq % len(steps)])
        timeline.add(sample(A, seq, sent[-1]))
        edge = sent[-1] - keep_ns
        known = [bus_ns for bus_ns in sent if bus_ns <= edge]
        assert [m.sample.time.bus_ns for m in timeline.at(edge).values()] == known[-1:]
        assert times(timeline.between(edge, HUGE)[A]) == [t for t in sent if t >= edge]


def test_old_samples_go() -> None:
    timeline = filled(Timeline(keep_ns=1_000), *range(0, 100_000, 10))
    assert len(timeline.between(0, HUGE)[A]) < 200


def test_a_quiet_channel_keeps_its_last_value_for_ever() -> None:
    timeline = filled(Timeline(keep_ns=1_000), 5)
    filled(timeline, *range(0, 50_000, 10), address=B)
    moment = timeline.at(49_990)[A]
    assert (moment.sample.time.bus_ns, moment.age_ns) == (5, 49_985)


def test_a_moment_tells_age_and_error() -> None:
    timeline = Timeline()
    timeline.add(sample(A, 0, 100, "value", bound_ns=7))
    assert timeline.at(130) == {A: Moment(sample(A, 0, 100, "value", bound_ns=7), 30, 7, 2)}


def test_an_empty_timeline_knows_nothing() -> None:
    timeline = Timeline()
    assert timeline.watermark_ns is None
    assert timeline.addresses == []
    assert timeline.at(0) == {}
    assert timeline.at(0, [A]) == {}
    assert timeline.between(0, 1, [A]) == {A: []}


def test_only_the_channels_asked_for_are_answered() -> None:
    timeline = filled(filled(Timeline(), 1, 2), 1, 2, address=B)
    assert timeline.addresses == [A, B]
    assert list(timeline.at(2, [B])) == [B]
    assert list(timeline.between(0, 9, [A])) == [A]


VALUES = st.none() | st.floats(allow_nan=True, allow_infinity=False)


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=200), st.integers(2, 50))
def test_thinned_numerics_are_few_in_order_and_hide_no_peak(
    values: list[float | None], max_points: int
) -> None:
    timeline = Timeline(keep_ns=HUGE)
    sent = [number(seq, value) for seq, value in enumerate(values)]
    for one in sent:
        timeline.add(one)
    found = timeline.between(0, HUGE, max_points=max_points)[A]
    assert len(found) <= max_points
    assert [one.seq for one in found] == sorted({one.seq for one in found})
    if len(sent) <= max_points:
        assert found == sent
    sound = [v for v in values if v is not None and not math.isnan(v)]
    if sound:
        shown = [o.value.value for o in found if isinstance(o.value, NumericValue)]
        assert min(sound) in shown
        assert max(sound) in shown


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 200))
def test_other_samples_are_thinned_evenly_from_first_to_last(max_points: int, count: int) -> None:
    sent = [sample(B, seq, seq, np.zeros(1, np.float32)) for seq in range(count)]
    if count <= max_points:
        return
    kept = [one.seq for one in thin(sent, max_points)]
    assert len(kept) == max_points
    assert (kept[0], kept[-1]) == (0, count - 1)
    steps = np.diff(kept)
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize("max_points", [1, 0, -1])
def test_fewer_than_two_points_cannot_show_a_stretch(max_points: int) -> None:
    timeline = filled(Timeline(), *range(10))
    with pytest.raises(ValueError, match="at least 2"):
        timeline.between(0, 10, max_points=max_points)
