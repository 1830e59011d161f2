"""The kernel's stamp places an arrival, and a wall clock that was set never misplaces one."""

from __future__ import annotations

import pytest

from scot.clock.arrival import BRACKET_NS, MOVED_NS, OLDEST_NS, TRIES, Arrivals

START_NS = 1_700_000_000_000_000_000
MS, S = 1_000_000, 1_000_000_000


class Machine:
    """Both of a machine's clocks, in a hand; each look at one takes some time."""

    def __init__(self, look_ns: int = 50) -> None:
        self.true_ns = 10**15
        self.ahead_ns = START_NS
        self.looks_ns = [look_ns]

    def wall(self) -> int:
        return self._look() + self.ahead_ns

    def monotonic(self) -> int:
        return self._look()

    def _look(self) -> int:
        self.true_ns += self.looks_ns.pop(0) if len(self.looks_ns) > 1 else self.looks_ns[0]
        return self.true_ns


def arriving(machine: Machine, arrivals: Arrivals, waited_ns: int) -> int:
    """A datagram comes and waits; return by how much it is placed too late, ns."""
    came_ns, stamp_ns = machine.true_ns, machine.true_ns + machine.ahead_ns
    machine.true_ns += waited_ns
    age_ns = arrivals.age_ns(stamp_ns)
    return machine.monotonic() - age_ns - came_ns


def made(look_ns: int = 50) -> tuple[Machine, Arrivals]:
    machine = Machine(look_ns)
    return machine, Arrivals(machine.wall, machine.monotonic)


@pytest.mark.parametrize("waited_ns", [0, 1, 3_000, 40 * MS, 9 * S])
def test_a_datagram_is_placed_where_it_came_and_never_before(waited_ns: int) -> None:
    machine, arrivals = made()
    assert 0 <= arriving(machine, arrivals, waited_ns) <= 200
    assert not arrivals.refused


@pytest.mark.parametrize("by_ns", [-3_600 * S, -S, -20 * MS, -6_000, 6_000, 20 * MS, S, 3_600 * S])
@pytest.mark.parametrize("waited_ns", [0, 3 * MS])
def test_a_clock_set_while_a_datagram_waits_costs_its_stamp_and_nothing_else(
    by_ns: int, waited_ns: int
) -> None:
    machine, arrivals = made()
    arriving(machine, arrivals, waited_ns)
    came_ns, stamp_ns = machine.true_ns, machine.true_ns + machine.ahead_ns
    machine.true_ns += waited_ns
    machine.ahead_ns += by_ns
    assert arrivals.age_ns(stamp_ns) == 0  # as late as it was read, as without stamps
    assert arrivals.refused == {"set": 1}
    assert machine.monotonic() >= came_ns
    assert 0 <= arriving(machine, arrivals, waited_ns) <= 200  # and the next is good again


@pytest.mark.parametrize("by_ns", [-MOVED_NS + 500, MOVED_NS - 500])
def test_a_set_too_small_to_be_seen_moves_one_exchange_by_no_more(by_ns: int) -> None:
    machine, arrivals = made()
    came_ns, stamp_ns = machine.true_ns, machine.true_ns + machine.ahead_ns
    machine.true_ns += MS
    machine.ahead_ns += by_ns
    age_ns = arrivals.age_ns(stamp_ns)
    assert abs(machine.monotonic() - age_ns - came_ns) <= MOVED_NS + 200


def test_an_interruption_between_both_clocks_is_seen() -> None:
    machine, arrivals = made()
    machine.looks_ns = [BRACKET_NS + 1]
    assert arrivals.age_ns(machine.true_ns + machine.ahead_ns) == 0
    assert arrivals.refused == {"interrupted": 1}
    machine.looks_ns = [50]
    assert 0 <= arriving(machine, arrivals, MS) <= 200
    machine.looks_ns = [BRACKET_NS + 1] * (3 * TRIES - 3) + [50]  # the last try succeeds
    assert 0 <= arriving(machine, arrivals, 0) <= 3 * TRIES * (BRACKET_NS + 1)


@pytest.mark.parametrize("early_ns", [-1_000, -S, OLDEST_NS + S])
def test_a_stamp_of_the_future_or_of_long_ago_is_not_believed(early_ns: int) -> None:
    machine, arrivals = made()
    assert arrivals.age_ns(machine.true_ns + machine.ahead_ns - early_ns) == 0
    assert arrivals.refused == {"impossible": 1}


def test_without_a_stamp_a_datagram_came_when_it_was_read() -> None:
    _, arrivals = made()
    assert arrivals.age_ns(None) == 0
    assert arrivals.refused == {"none": 1}


def test_a_machine_too_busy_at_the_start_learns_the_difference_later() -> None:
    machine = Machine(BRACKET_NS + 1)
    arrivals = Arrivals(machine.wall, machine.monotonic)
    machine.looks_ns = [50]
    assert arrivals.age_ns(machine.true_ns + machine.ahead_ns) == 0
    assert 0 <= arriving(machine, arrivals, MS) <= 200
