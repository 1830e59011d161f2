"""The broker's wait misses no message and does not spin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from scot.bus.readiness import Readiness
from scot.bus.socket import NOW, context

SOON_S = 5.0


class Pairs:
    """Two bound sockets that are waited for, each with a peer."""

    def __init__(self) -> None:
        self.context = context()
        self.near: dict[str, zmq.Socket[bytes]] = {}
        self.far: dict[str, zmq.Socket[bytes]] = {}
        for name in ("a", "b"):
            self.near[name], self.far[name] = (
                self.context.socket(zmq.PAIR),
                self.context.socket(zmq.PAIR),
            )
            port = self.near[name].bind_to_random_port("tcp://127.0.0.1")
            self.far[name].connect(f"tcp://127.0.0.1:{port}")
        self.ready = Readiness(self.near)

    def take(self, within_s: float = SOON_S) -> list[bytes]:
        """Wait once and empty what is ready."""
        got = []
        for name in self.ready.wait(within_s):
            try:
                while True:
                    got.append(self.near[name].recv(NOW))
            except zmq.Again:
                pass
        return got

    def until(self, count: int) -> list[bytes]:
        got: list[bytes] = []
        while len(got) < count:
            got += self.take()
        return got

    def close(self) -> None:
        self.ready.close()
        for sock in (*self.near.values(), *self.far.values()):
            sock.close(linger=0)
        self.context.term()


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    made = Pairs()
    yield made
    made.close()


def meet(pairs: Pairs) -> None:
    """See both connections made, so that nothing but messages happens from then on."""
    for far in pairs.far.values():
        far.send(b"hello")
    assert pairs.until(2) == [b"hello"] * 2
    for name, near in pairs.near.items():
        near.send(b"hello")
        assert pairs.far[name].recv() == b"hello"
        pairs.ready.sent(name)


def test_what_arrives_on_any_socket_ends_the_wait(pairs: Pairs) -> None:
    meet(pairs)
    for name in ("a", "b", "a"):
        pairs.far[name].send(name.encode())
        assert pairs.until(1) == [name.encode()]


def test_a_message_whose_sign_was_used_up_by_sending_is_seen(pairs: Pairs) -> None:
    meet(pairs)
    near, far = pairs.near["a"], pairs.far["a"]
    for number in range(50):
        far.send(b"%d" % number)
        while (
            not int(near.getsockopt(zmq.EVENTS)) & zmq.POLLIN
        ):  # this uses the sign up, as a send may
            pass
        near.send(b"answer")
        pairs.ready.sent("a")
        assert pairs.take(0) == [b"%d" % number]


def test_what_was_left_for_later_is_offered_again_without_waiting(pairs: Pairs) -> None:
    meet(pairs)
    for number in range(3):
        pairs.far["a"].send(b"%d" % number)
    left: list[bytes] = []
    while len(left) < 3:
        if "a" in pairs.ready.wait(SOON_S):
            try:
                left.append(pairs.near["a"].recv(NOW))
                pairs.ready.again(["a"])
            except zmq.Again:
                pass
    assert left == [b"0", b"1", b"2"]


def test_sockets_that_were_emptied_let_it_sleep(pairs: Pairs) -> None:
    meet(pairs)
    while pairs.ready.wait(0):
        for near in pairs.near.values():
            with pytest.raises(zmq.Again):
                near.recv(NOW)
    assert pairs.ready.wait(0.05) == set()
