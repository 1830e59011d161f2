"""What one message does to the broker, the next one does not feel."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import zmq

from scot.access import Access, Grant, Roster
from scot.bus.broker import Broker
from scot.bus.keys import PORTS, Endpoints, KeyPair, Link
from scot.bus.relay import Relay
from scot.bus.socket import context, dealer
from scot.channel import Catalogue
from scot.clock.clock import Clock
from scot.room import free_ports


class Room:
    """A broker in a thread, and a key to publish with."""

    def __init__(self) -> None:
        server, pair = KeyPair.new(), KeyPair.new()
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        endpoints = Endpoints(workspace="or1", host="127.0.0.1", ports=ports, server=server.public)
        roster = Roster.of({pair.public: Grant(name="monitor", publish=["or1/monitor/"])})
        self.link = Link(endpoints=endpoints, name="monitor", pair=pair)
        self.broker = Broker(
            endpoints, server, Access(roster), Clock.session(), Catalogue(workspace="or1")
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.broker.run, args=[self._stop.is_set])
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.close()


def test_a_message_that_breaks_its_handling_is_counted_and_the_next_is_served(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = Relay.admit

    def broken(
        self: Relay, lane: str, identity: bytes, user: str, topic: bytes, size: int = 0
    ) -> bool:
        if topic == b"or1/monitor/bomb\0":
            raise ZeroDivisionError
        return admit(self, lane, identity, user, topic, size)

    monkeypatch.setattr(Relay, "admit", broken)
    with context() as zmq_context:
        sock = dealer(zmq_context, room.link, "ctl_in")
        sock.setsockopt(zmq.RCVTIMEO, 10_000)
        for name in (b"hr", b"bomb", b"hr", b"bomb", b"hr"):
            sock.send_multipart([b"or1/monitor/" + name + b"\0", b"header", b"payload"])
        sock.send(b"")
        while b"?" not in (said := sock.recv_multipart()):
            pass
        sock.close()
    assert room.broker.faults["ctl_in"] == 2
    assert room.broker.relay.forwarded == 3
    assert int.from_bytes(said[1], "big") == 3
