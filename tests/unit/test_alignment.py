"""Channels at the same instants: the last value, its age, how well its time is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.alignment import align
from scot.codec import decode
from scot.sample import Flags, NumericValue, PoseValue, Sample, Validity, Value
from scot.timeline import Timeline
from scot.timestamp import ClockState, Timestamp
from scot_replay.recording import open_recording
from tests.golden.recording_frames import START_NS, S, case, catalogue
from tests.golden.recording_writing import write_recording

HUGE = 10**15


def one(
    seq: int,
    bus_ns: int,
    value: Value,
    err_ns: int | None = 7,
    bound_ns: int | None = 70,
    flags: Flags = Flags(0),  # noqa: B008 - immutable
) -> Sample:
    time = Timestamp(None, bus_ns, bound_ns, err_ns, ClockState.LOCKED)
    return Sample("or1/monitor/hr", 1, seq, time, flags, value)


@given(
    st.lists(st.integers(0, 50), max_size=20).map(sorted),
    st.lists(st.integers(-5, 55), max_size=20),
    st.integers(0, 20),
)
def test_each_instant_has_the_last_value_before_it_unless_too_old(
    times: list[int], asked: list[int], tolerance: int
) -> None:
    samples = [one(i, t, NumericValue(float(i)), err_ns=i, bound_ns=10 * i)
               for i, t in enumerate(times)]  # fmt: skip
    found = align(samples, asked, tolerance)
    for i, at in enumerate(asked):
        before = [n for n, t in enumerate(times) if t <= at]
        if before and at - times[before[-1]] <= tolerance:
            last = before[-1]
            assert found.known[i]
            assert found.age_ns[i] == at - times[last]
            assert (found.values[i], found.err_ns[i], found.bound_ns[i]) == (last, last, 10 * last)
        else:
            assert not found.known[i]
            assert np.isnan([found.values[i], found.err_ns[i], found.bound_ns[i]]).all()


def test_what_the_device_took_back_is_not_replaced_by_what_was_before() -> None:
    samples = [
        one(0, 0, NumericValue(70.0)),
        one(1, 10, NumericValue(None, Validity.NOT_AVAILABLE)),
        one(2, 20, NumericValue(71.0, Validity.INVALID)),
        one(3, 30, NumericValue(72.0), flags=Flags.INVALID),
        one(4, 40, NumericValue(73.0, Validity.QUESTIONABLE)),
    ]
    found = align(samples, [5, 15, 25, 35, 45], HUGE)
    assert found.known.tolist() == [True, False, False, False, True]
    assert found.values[[0, 4]].tolist() == [70.0, 73.0]


def test_an_error_that_nobody_knows_stays_unknown() -> None:
    found = align([one(0, 0, NumericValue(70.0), err_ns=None, bound_ns=None)], [1], 10)
    assert found.known.tolist() == [True]
    assert np.isnan(found.err_ns[0])
    assert np.isnan(found.bound_ns[0])


def test_a_waveform_is_read_at_its_own_rate_and_not_across_a_hole() -> None:
    block = np.arange(10, dtype=np.float32)
    samples = [one(n, n * 1_000, block + 10 * n, err_ns=n) for n in (0, 1, 2, 5)]
    found = align(samples, [0, 250, 999, 1_100, 2_999, 3_500, 5_000], 99)
    assert found.known.tolist() == [True, True, True, True, True, False, True]
    assert found.values[found.known].tolist() == [0, 2, 9, 11, 29, 50]
    assert found.age_ns[found.known].tolist() == [0, 50, 99, 0, 99, 0]
    assert found.err_ns[found.known].tolist() == [0, 0, 0, 1, 2, 5]


def test_a_single_block_has_times_only_by_its_rate() -> None:
    block = [one(0, 0, np.arange(4, dtype=np.float32))]
    alone = align(block, [0, 250_000_000], HUGE)
    assert alone.values.tolist() == [0, 0]
    assert alone.age_ns.tolist() == [0, 250_000_000]
    assert align(block, [0, 250_000_000, 600_000_000], HUGE, 4.0).values.tolist() == [0, 1, 2]


def test_a_pose_has_place_and_turn_and_none_while_it_is_not_seen() -> None:
    seen = PoseValue((1.0, 2.0, 3.0), (0.0, 0.0, 0.6, 0.8))
    hidden = PoseValue((9.0, 9.0, 9.0), (0.0, 0.0, 0.0, 1.0), visible=False)
    found = align([one(0, 0, seen), one(1, 10, hidden)], [5, 15], HUGE)
    assert found.values[0].tolist() == [1.0, 2.0, 3.0, 0.0, 0.0, 0.6, 0.8]
    assert found.known.tolist() == [True, False]
    assert np.isnan(found.values[1]).all()


def test_words_are_given_as_they_are() -> None:
    found = align([one(0, 0, "tracking"), one(1, 10, "lost")], [-1, 5, 15], HUGE)
    assert found.values.tolist() == [None, "tracking", "lost"]


def test_a_channel_that_never_spoke_is_known_nowhere() -> None:
    timeline = Timeline(keep_ns=HUGE)
    timeline.add(one(0, 0, NumericValue(70.0)))
    found = timeline.align(["or1/monitor/hr", "or1/monitor/rr"], [0, 1], 5)
    assert found["or1/monitor/hr"].known.all()
    assert not found["or1/monitor/rr"].known.any()
    assert timeline.align(["or1/monitor/hr"], [], 5)["or1/monitor/hr"].values.shape == (0,)
    with pytest.raises(ValueError, match="never negative"):
        timeline.align(["or1/monitor/hr"], [0], -1)


def test_a_recording_answers_as_the_timeline_did(tmp_path: Path) -> None:
    frames = case(6.0)
    write_recording(tmp_path, [frames[:200], frames[200:]], sealed=1)
    opened, timeline, known = open_recording(tmp_path), Timeline(keep_ns=HUGE), catalogue()
    for frame in frames:
        channel = known.channel(frame.address)
        assert channel is not None
        timeline.add(decode(frame, channel))
    wanted = ["or1/monitor/hr", "or1/monitor/art", "or1/tracker/probe"]
    at = [START_NS + round(t * S) for t in (1.0, 2.34, 3.3, 5.05)]
    live, read = timeline.align(wanted, at, S), opened.align(wanted, at, S)
    for address in wanted:
        for name in ("values", "known", "age_ns", "err_ns", "bound_ns"):
            np.testing.assert_array_equal(
                getattr(read[address], name), getattr(live[address], name), f"{address} {name}"
            )
    assert all(read[address].known.any() for address in wanted)
