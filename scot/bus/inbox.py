"""Messages of many parts from a bound socket, so many parts a turn, whatever a peer sends.

A message is taken whole only while it has no more parts than any honest one. What has more is
passed over part by part, in as many turns as that takes, and its connection ended: libzmq counts
messages, so that nothing else would bound the parts of one.
"""

from __future__ import annotations

from typing import NamedTuple

import zmq

from scot.bus.connections import end
from scot.bus.socket import NOW

MOST_PARTS = 256  # an answer of History has up to 32 MiB in bundles of up to 1 MiB, and its head


class Message(NamedTuple):
    """What a peer sent.

    Attributes:
        parts: of its message; only the first `MOST_PARTS` where it was `torn`.
        torn: there were more.
    """

    identity: bytes
    parts: list[zmq.Frame]
    torn: bool


class Inbox:
    """Takes messages from a ROUTER."""

    def __init__(self, sock: zmq.Socket[bytes]) -> None:
        self._recv = sock.recv
        self._passing_over = False

    def take(self) -> Message | None:
        """Return the next message; None when the turn went into one that has too many parts.

        Raises:
            zmq.Again: there is none.
        """
        if self._passing_over:
            self.pass_over()
            return None
        identity = self._recv(NOW)
        parts = [self._recv(NOW, False)]
        while parts[-1].more and len(parts) < MOST_PARTS:
            parts.append(self._recv(NOW, False))
        torn = parts[-1].more
        if torn:
            end(parts[-1])
            self._passing_over = True
        return Message(identity, parts, torn)

    def skip(self, frame: zmq.Frame) -> bool:
        """Pass over what follows `frame` in its message; return whether all of it is gone."""
        self._passing_over = True
        if self.pass_over():
            return True
        end(frame)
        return False

    def pass_over(self) -> bool:
        """Drop some more parts of a message that has too many; return whether all are gone."""
        for _ in range(MOST_PARTS if self._passing_over else 0):
            if not self._recv(NOW, False).more:
                self._passing_over = False
                break
        return not self._passing_over
