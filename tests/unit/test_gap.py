"""A receiver knows from epoch and seq alone what it misses."""

from __future__ import annotations

import pytest

from scot.gap import GapDetector, Missing, Verdict


def fed(*seqs: int, epoch: int = 5, start: int | None = None) -> GapDetector:
    detector = GapDetector(start)
    for seq in seqs:
        detector.on(epoch, seq)
    return detector


def test_who_comes_late_to_a_channel_misses_nothing_before() -> None:
    assert fed(17, 18).lost == 0


def test_who_wants_all_from_the_start_misses_what_was_before() -> None:
    detector = fed(3, start=5)
    assert detector.missing == [Missing(5, 0, 2)]


def test_a_gap_is_known_at_once_and_shrinks_as_it_is_filled() -> None:
    detector = fed(0, 1)
    assert detector.on(5, 6) is Verdict.AFTER_GAP
    assert detector.missing[-1] == Missing(5, 2, 5)
    assert detector.on(5, 3) is Verdict.FILLED
    assert detector.missing == [Missing(5, 2, 2), Missing(5, 4, 5)]
    for seq in (2, 4, 5):
        assert detector.on(5, seq) is Verdict.FILLED
    assert (detector.lost, detector.received, detector.duplicates) == (0, 7, 0)


@pytest.mark.parametrize("seq", [0, 1])
def test_what_was_had_is_a_duplicate(seq: int) -> None:
    detector = fed(0, 1)
    assert detector.on(5, seq) is Verdict.DUPLICATE
    assert (detector.received, detector.duplicates) == (2, 1)


def test_a_new_life_of_the_publisher_counts_from_zero() -> None:
    detector = fed(0, 1)
    assert detector.on(9, 0) is Verdict.FIRST
    assert detector.on(12, 2) is Verdict.AFTER_GAP
    assert detector.missing == [Missing(12, 0, 1)]


def test_a_gap_of_an_earlier_life_can_still_be_filled() -> None:
    detector = fed(0, 3)
    detector.on(9, 0)
    assert detector.on(5, 1) is Verdict.FILLED
    assert detector.missing == [Missing(5, 2, 2)]
    assert detector.on(9, 1) is Verdict.NEXT


def test_an_earlier_life_is_never_taken_for_a_new_one() -> None:
    detector = fed(0)
    assert detector.on(4, 0) is Verdict.DUPLICATE
    assert detector.on(5, 1) is Verdict.NEXT


def test_a_lost_tail_is_known_from_the_publishers_heads() -> None:
    detector = fed(0, 1)
    assert detector.expect(5, 2) is None
    assert detector.expect(5, 5) == Missing(5, 2, 4)
    assert detector.expect(5, 5) is None
    assert detector.on(5, 5) is Verdict.NEXT
    assert detector.lost == 3


def test_heads_of_a_new_life_are_all_missing_and_of_an_old_one_nothing() -> None:
    detector = fed(0, 1)
    assert detector.expect(9, 0) is None
    assert detector.expect(9, 3) == Missing(9, 0, 2)
    assert detector.expect(5, 100) is None


def test_many_gaps_are_bounded_and_every_sample_still_counted() -> None:
    detector = GapDetector(0)
    gaps = 3 * GapDetector.MAX_RANGES
    for number in range(gaps):
        detector.on(0, 2 * number + 1)
        assert len(detector.missing) <= GapDetector.MAX_RANGES
    assert detector.lost == gaps
    assert detector.given_up == gaps - GapDetector.MAX_RANGES


def test_one_gap_filled_in_the_least_convenient_order_is_bounded_too() -> None:
    detector = GapDetector(0)
    detector.on(0, 10 * GapDetector.MAX_RANGES)
    filled = range(1, 10 * GapDetector.MAX_RANGES, 2)
    came = 0
    for seq in filled:
        came += detector.on(0, seq) is Verdict.FILLED
        assert len(detector.missing) <= GapDetector.MAX_RANGES
    assert detector.lost == 10 * GapDetector.MAX_RANGES - came
