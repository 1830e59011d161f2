"""Who sends parts without end is found; who says something whole, however much, is not."""

from __future__ import annotations

from scot.bus.crowd import Arrival, Place
from scot.bus.unended import LATE, MOST_BYTES, Unended

ONE = Arrival(Place("ctl_in", 7), b"one", "127.0.0.1", True, 0)
TWO = Arrival(Place("ctl_in", 7), b"two", "127.0.0.1", True, 0)  # the descriptor, used again


def test_parts_without_end_are_found_after_a_few_looks() -> None:
    unended = Unended()
    assert unended.look([(ONE, MOST_BYTES)], set()) == []
    for _ in range(LATE - 1):
        assert unended.look([(ONE, MOST_BYTES + 1)], set()) == []
    assert unended.look([(ONE, MOST_BYTES + 1)], set()) == [ONE]


def test_whoever_says_something_whole_may_send_for_ever() -> None:
    unended = Unended()
    for look in range(1_000):
        spoke = {ONE.mark} if look % LATE == 0 else set()
        assert unended.look([(ONE, look * 10 * MOST_BYTES)], spoke) == []
    for _ in range(LATE - 1):
        unended.look([(ONE, 10_000 * MOST_BYTES)], set())
    assert unended.look([(ONE, 10_000 * MOST_BYTES)], set()) == [ONE]


def test_a_new_connection_owes_nothing_of_an_older_one() -> None:
    unended = Unended()
    for _ in range(LATE - 1):
        unended.look([(ONE, MOST_BYTES + 1)], set())
    assert unended.look([(TWO, MOST_BYTES + 1)], set()) == []
    unended.keep({TWO.mark})
    assert unended.look([(ONE, MOST_BYTES + 1)], set()) == []
