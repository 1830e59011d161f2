"""Publishing: numbered frames go out as credit allows; what the broker has not taken is kept."""

from __future__ import annotations

import asyncio
import os
from collections import deque

import zmq

from scot.bus.keys import Link
from scot.bus.socket import CONTROL_BYTES, Drained, connect
from scot.codec import Frame

WINDOW = {"ctl_in": 256, "bulk_in": 12}
KEEP_BYTES = {"ctl_in": 32 << 20, "bulk_in": 24 << 20}
POKE_S = 0.5


class Lane:
    """One socket to the broker, with its window of unacknowledged frames.

    The broker says, at least ten times a second, how many of our frames have come. When it falls
    silent we ask; its answer settles what was under way when a link broke or a new broker started:
    those frames are sent again, and receivers drop by seq what they already have.

    Attributes:
        dropped: frames given up because `KEEP_BYTES` were waiting, by address.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], link: Link, name: str) -> None:
        self.name = name
        self.dropped: dict[str, int] = {}
        self._window = WINDOW[name]
        self._waiting: deque[Frame] = deque()
        self._flying: deque[Frame] = deque()
        self._bytes = 0
        self._broker = b""
        self._received = 0
        self._stalled = 0
        sock = context.socket(zmq.DEALER)
        sock.setsockopt(zmq.ROUTING_ID, b"\1" + os.urandom(16))
        connect(sock, link, name, CONTROL_BYTES, 1024)
        self._sock = Drained(sock, self._credit)
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def held(self) -> int:
        """Frames waiting for credit."""
        return len(self._waiting)

    def put(self, frame: Frame) -> None:
        """Send a frame now, or as soon as there is credit."""
        self.idle.clear()
        self._waiting.append(frame)
        self._bytes += _size(frame)
        while self._bytes > KEEP_BYTES[self.name] and self._waiting:
            old = self._waiting.popleft()
            self._bytes -= _size(old)
            self.dropped[old.address] = self.dropped.get(old.address, 0) + 1
        self._flush()

    def poke(self) -> None:
        """Ask for credit when none has come for two pokes (the broker may be new)."""
        if not self._flying:
            self._stalled = 0
            return
        self._stalled += 1
        if self._stalled >= 2:
            self._sock.send([b""])

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _flush(self) -> None:
        while self._waiting and len(self._flying) < self._window:
            frame = self._waiting[0]
            if not self._sock.send(list(frame)):
                return
            self._waiting.popleft()
            self._flying.append(frame)

    def _credit(self, batch: list[list[bytes]]) -> None:
        for parts in batch:
            if len(parts) < 2:
                continue
            broker, received = parts[0], int.from_bytes(parts[1], "big")
            asked = len(parts) > 2
            if asked or (self._broker and broker != self._broker):
                self._waiting.extendleft(reversed(self._flying))
                self._flying.clear()
            else:
                self._take(received - self._received)
            self._broker, self._received = broker, received
        self._stalled = 0
        self._flush()
        if not self._waiting and not self._flying:
            self.idle.set()

    def _take(self, count: int) -> None:
        for _ in range(min(count, len(self._flying))):
            self._bytes -= _size(self._flying.popleft())


def _size(frame: Frame) -> int:
    return len(frame.topic) + len(frame.header) + len(frame.payload)
