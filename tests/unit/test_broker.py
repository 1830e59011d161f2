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
from scot.codec import MAX_BULK, MAX_CONTROL, Frame, pack
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
            sock.send(pack(Frame(b"or1/monitor/" + name + b"\0", b"header", b"payload")))
        sock.send(b"")
        while b"?" not in (said := sock.recv_multipart()):
            pass
        sock.close()
    assert room.broker.faults["ctl_in"] == 2
    assert room.broker.relay.forwarded == 3
    assert int.from_bytes(said[1], "big") == 3


@pytest.mark.parametrize(("lane", "size"), [("ctl_in", MAX_CONTROL), ("bulk_in", MAX_BULK)])
def test_the_largest_payload_of_each_class_passes(room: Room, lane: str, size: int) -> None:
    largest = pack(Frame(b"or1/monitor/hr\0", bytes(64), bytes(size)))
    with context() as zmq_context:
        sock = dealer(zmq_context, room.link, lane)
        sock.setsockopt(zmq.RCVTIMEO, 10_000)
        sock.send(largest)
        sock.send(b"")
        while b"?" not in (said := sock.recv_multipart()):
            pass
        sock.close()
    assert int.from_bytes(said[1], "big") == 1
    assert room.broker.relay.forwarded == 1


@pytest.mark.parametrize(
    "parts",
    [
        [b"or1/monitor/hr\0", b"\x99", b"payload"],
        [b"or1/monitor/hr\0\6headerpayload", b"and more"],
        [b"or1/monitor/hr\0"],
        [b"or1/monitor/hr\0\7header"],
        [b"or1/monitor/hr"],
        [b"\0\6headerpayload"],
        [b"x" * 201 + b"\0\6headerpayload"],
        [b"\xff" * 20_000],
    ],
)
def test_what_is_no_sample_is_refused_counted_and_keeps_its_credit(
    room: Room, parts: list[bytes]
) -> None:
    with context() as zmq_context:
        sock = dealer(zmq_context, room.link, "ctl_in")
        sock.setsockopt(zmq.RCVTIMEO, 10_000)
        sock.send_multipart(parts)
        sock.send(b"")
        while b"?" not in (said := sock.recv_multipart()):
            pass
        sock.close()
    assert int.from_bytes(said[1], "big") == 1
    assert room.broker.relay.denied == {"monitor": 1}
    assert (room.broker.relay.forwarded, room.broker.faults.total()) == (0, 0)
