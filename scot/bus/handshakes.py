"""Connections that end before they were made: garbage, half-open, the wrong mechanism.

libzmq refuses them by itself, before our gate is asked. It tells of them on a socket's monitor,
and nowhere else.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import zmq

from scot.bus.crowd import Arrival, Crowd, Place
from scot.bus.listening import arrival

EVENTS = (
    zmq.EVENT_LISTENING
    | zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
EVENT = struct.Struct("=Hi")  # zmq_socket_monitor(3): number and value
BUDGET = 8  # events a turn: forwarding must not wait for a flood of connections
NOW = int(zmq.NOBLOCK)  # plain integers: to look an enum's member up costs as much as an event
LISTENING = int(zmq.EVENT_LISTENING)
ACCEPTED = int(zmq.EVENT_ACCEPTED)
SUCCEEDED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
DISCONNECTED = int(zmq.EVENT_DISCONNECTED)
NO_ZMTP = "not ZMTP 3"
BY_GATE = "refused by the gate"
UNFINISHED = "hung up, or not done in time"


class Failed(NamedTuple):
    """One handshake that failed.

    Attributes:
        name: of the bound socket.
        came: network address, when it could still be had.
        why: in a few words.
    """

    name: str
    came: str
    why: str


class _Open(NamedTuple):
    came: Arrival | None
    made: int


class Handshakes:
    """The monitor of one bound socket.

    A refusal by the gate (authentication) is the gate's to tell and is not told here.

    Args:
        name: of the socket.
        sock: not yet bound.
        crowd: told who comes and goes.

    Attributes:
        listener: the descriptor it listens on; −1 until it does.
        more: something was left waiting when `failures` was last called.
    """

    def __init__(self, name: str, sock: zmq.Socket[bytes], crowd: Crowd | None = None) -> None:
        self.name = name
        self.crowd = crowd or Crowd()
        self.listener = -1
        self.more = False
        address = f"inproc://handshakes.{name}"
        sock.monitor(address, EVENTS)
        self.monitor = sock.context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.LINGER, 0)
        # libzmq's own thread would wait when this queue is full, and with it the whole bus
        self.monitor.setsockopt(zmq.RCVHWM, 0)
        self.monitor.connect(address)
        self._bound = sock
        self._made = 0
        self._why = ""
        self._open: dict[int, _Open] = {}

    def failures(self, now_ns: int) -> list[Failed]:
        """Return what failed since the last time; after a flood the rest comes the next time."""
        failed: list[Failed] = []
        recv = self.monitor.recv
        for _ in range(BUDGET):
            try:
                event, value = EVENT.unpack(recv(NOW))
            except zmq.Again:
                self.more = False
                return failed
            recv(NOW)  # our own address
            if event == ACCEPTED:
                self._came(value, now_ns)
            elif event == SUCCEEDED:
                self._made += 1
            elif event == DISCONNECTED:
                failed += self._ended(value, now_ns)
            elif event == LISTENING:
                self.listener = value
            else:
                self._why = _reason(event, value)  # its disconnection follows at once
        self.more = True
        return failed

    @property
    def arrivals(self) -> list[Arrival]:
        """Connections that have not ended, as far as it was seen who they are."""
        return [opened.came for opened in self._open.values() if opened.came is not None]

    def _came(self, descriptor: int, now_ns: int) -> None:
        came = arrival(self.name, descriptor, now_ns)
        self._open[descriptor] = _Open(came, self._made)
        if came is not None:
            self.crowd.came(came)

    def _ended(self, descriptor: int, now_ns: int) -> list[Failed]:
        why, self._why = self._why, ""
        opened = self._open.pop(descriptor, None)
        if not why and opened is not None and opened.made == self._made:
            why = NO_ZMTP  # nobody's handshake succeeded while it was there
        self.crowd.gone(Place(self.name, descriptor), now_ns, failed=bool(why))
        if not why or why == BY_GATE:
            return []
        came = opened.came if opened is not None else None
        return [Failed(self.name, came.address if came is not None else "", why)]

    def close(self) -> None:
        """Stop; before the bound socket is closed."""
        self._bound.monitor(None, 0)
        self.monitor.close()


def _reason(event: int, value: int) -> str:
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        return BY_GATE
    if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return f"protocol error 0x{value:x}"
    return UNFINISHED
