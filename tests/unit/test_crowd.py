"""Who has too many handshakes under way is ended and shut out; this machine never is."""

from __future__ import annotations

import socket

import pytest

from scot.bus.crowd import (
    FAILURES,
    FAILURES_NS,
    LOOKS,
    MOST,
    MOST_SHUT,
    OWN_MOST,
    OWN_PATIENCE_NS,
    SHUT_NS,
    Arrival,
    Crowd,
    Place,
)
from scot.bus.listening import shut_out

OTHER, OURS = "10.0.0.7", "127.0.0.1"


def come(crowd: Crowd, count: int, address: str = OTHER, now_ns: int = 0, first: int = 0) -> None:
    for number in range(first, first + count):
        place = Place("ctl_in", number)
        crowd.came(Arrival(place, b"", address, address == OURS, now_ns))


def test_who_stays_within_the_limit_is_left_alone() -> None:
    crowd = Crowd()
    come(crowd, MOST)
    assert crowd.excess(10 * SHUT_NS) == []
    for number in range(10 * FAILURES):
        place = Place("query", number)
        crowd.came(Arrival(place, b"", OTHER, False, 0))
        crowd.gone(place, 0)
    assert crowd.shut == {}


def test_who_has_too_many_loses_the_oldest_and_is_shut_out_for_a_while() -> None:
    crowd = Crowd()
    come(crowd, MOST + 2)
    excess = crowd.excess(1)
    assert [one.place.descriptor for one in excess] == [0, 1]
    for one in excess:
        crowd.end(one, 1)
    assert (crowd.excess(1), crowd.ended, list(crowd.shut), crowd.news) == ([], 2, [OTHER], [OTHER])
    crowd.changed = False
    crowd.tick(SHUT_NS)
    assert (list(crowd.shut), crowd.changed) == ([OTHER], False)
    crowd.tick(SHUT_NS + 1)
    assert (list(crowd.shut), crowd.changed) == ([], True)


def test_of_those_who_are_inside_nobody_is_ended() -> None:
    crowd = Crowd()
    come(crowd, MOST + 50)
    looked = 0
    while excess := crowd.excess(1):
        assert len(excess) <= LOOKS
        looked += len(excess)
        for one in excess:
            crowd.gone(one.place, 1)
    assert (looked, crowd.flying, crowd.ended, crowd.shut) == (50, MOST, 0, {})


def test_this_machine_s_handshakes_have_time_and_it_is_never_shut_out() -> None:
    crowd = Crowd()
    come(crowd, OWN_MOST + 1, OURS)
    assert crowd.excess(OWN_PATIENCE_NS - 1) == []
    (one,) = crowd.excess(OWN_PATIENCE_NS)
    crowd.end(one, OWN_PATIENCE_NS)
    for number in range(10 * FAILURES):
        come(crowd, 1, OURS, first=10_000 + number)
        crowd.gone(Place("ctl_in", 10_000 + number), 0, failed=True)
    assert (crowd.ended, crowd.shut) == (1, {})


@pytest.mark.parametrize(("every_ns", "out"), [(0, True), (FAILURES_NS // FAILURES + 10**6, False)])
def test_handshakes_that_fail_one_after_another_shut_out_by_their_rate(
    every_ns: int, out: bool
) -> None:
    crowd = Crowd()
    for number in range(FAILURES):
        come(crowd, 1, first=number)
        crowd.gone(Place("ctl_in", number), number * every_ns, failed=True)
    assert (OTHER in crowd.shut) is out


def test_a_descriptor_that_is_used_again_is_counted_once() -> None:
    crowd = Crowd()
    for _ in range(10 * MOST):
        come(crowd, 1)
    assert (crowd.flying, crowd.excess(1)) == (1, [])


def test_a_thousand_attackers_cost_no_more_than_the_last_few() -> None:
    crowd = Crowd()
    for number in range(1_000):
        come(crowd, MOST + 1, f"10.0.{number // 250}.{number % 250}", number, number * 100)
    for now_ns in range(1_000):
        for one in crowd.excess(now_ns):
            crowd.end(one, now_ns)
    assert len(crowd.shut) == MOST_SHUT
    assert crowd.excess(10_000) == []


def reaches(port: int, source: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 0.3, (source, 0)):
            return True
    except TimeoutError:
        return False


def test_the_kernel_drops_who_is_shut_out_and_nobody_else_and_no_connection_they_have() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        here = socket.create_connection(("127.0.0.1", port), 5, ("127.0.0.66", 0))
        there, _ = listener.accept()
        with here, there:
            shut_out([listener.fileno()], ["127.0.0.65", "127.0.0.66", "::1", "127.0.0.70"])
            assert [reaches(port, f"127.0.0.{n}") for n in (1, 64, 65, 66, 70)] == [
                True,
                True,
                False,
                False,
                False,
            ]
            here.sendall(b"still here")
            assert there.recv(64) == b"still here"
            shut_out([listener.fileno()], [])
            assert reaches(port, "127.0.0.66")
