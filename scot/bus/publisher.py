"""Publishing: what the broker has not taken is kept. Sans-IO: frames in, frames to send out.

The broker says, at least ten times a second while we publish, how many of our frames have come.
When it falls silent it is asked; its answer settles what was under way when a link broke or a new
broker started: those frames are sent again, and receivers drop by seq what they already have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from scot.channel import BULK, Channel
from scot.codec import Frame

WINDOW = {"ctl_in": 256, "bulk_in": 12}
KEEP_BYTES = {"ctl_in": 32 << 20, "bulk_in": 24 << 20}
SILENT_NS = 1_000_000_000
AGAIN_NS = 500_000_000
FAR_NS = 2**63 - 1
QUESTION = [b""]
WAIT = b"!"


class Publish(NamedTuple):
    """Frames for a lane's socket, in order; those it has no room for go to `Client.back`."""

    socket: str
    frames: Sequence[Frame]


class Lane:
    """What is under way to one of the broker's sockets, and what waits for credit.

    Args:
        name: ``ctl_in`` or ``bulk_in``.
        window: frames that may be under way at once.
        keep_bytes: of frames under way and waiting together; beyond it the oldest that wait go.

    Attributes:
        dropped: frames given up because `keep_bytes` were waiting, by address.
        due_ns: when `tick` has something to do.
    """

    def __init__(self, name: str, window: int = 0, keep_bytes: int = 0) -> None:
        self.name = name
        self.dropped: dict[str, int] = {}
        self.due_ns = FAR_NS
        self._window = window or WINDOW[name]
        self._keep_bytes = keep_bytes or KEEP_BYTES[name]
        self._waiting: deque[Frame] = deque()
        self._flying: deque[Frame] = deque()
        self._bytes = 0
        self._broker = b""
        self._received = 0
        self._asking = False

    @property
    def held(self) -> int:
        """Frames waiting for credit."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether the broker has everything."""
        return not self._waiting and not self._flying

    def put(self, frame: Frame, now_ns: int, size: int = 0) -> Sequence[Frame]:
        """Take a frame; return what to send now: it, or nothing until there is credit.

        Args:
            frame: to send.
            now_ns: monotonic.
            size: of the frame, when it is known, B.
        """
        self._bytes += size or frame.size
        if not self._waiting and len(self._flying) < self._window:
            self._flying.append(frame)
            if self.due_ns == FAR_NS:
                self.due_ns = now_ns + SILENT_NS
            return (frame,)
        self._waiting.append(frame)
        while self._bytes > self._keep_bytes and self._waiting:
            old = self._waiting.popleft()
            self._bytes -= old.size
            self.dropped[old.address] = self.dropped.get(old.address, 0) + 1
        return self._ready(now_ns)

    def put_all(self, frames: Sequence[Frame], now_ns: int) -> Sequence[Frame]:
        """Take frames; return what to send now of all that wait, in order."""
        waiting = self._waiting
        for frame in frames:
            self._bytes += frame.size
            waiting.append(frame)
            while self._bytes > self._keep_bytes and waiting:
                old = waiting.popleft()
                self._bytes -= old.size
                self.dropped[old.address] = self.dropped.get(old.address, 0) + 1
        return self._ready(now_ns)

    def back(self, frames: Sequence[Frame]) -> None:
        """Take back frames, the newest sent, which the socket had no room for; they go first."""
        for frame in reversed(frames):
            self._flying.pop()
            self._waiting.appendleft(frame)

    def on_credit(self, parts: Sequence[bytes], now_ns: int) -> Sequence[Frame]:
        """Take the broker's word ``[start, count]``, or with ``"?"``; return what to send.

        ``"!"`` instead says that we are over our quota: the broker is there, and credit will come.
        Answers to questions asked before the last answer came settle nothing: after a long cut
        many of them arrive together.
        """
        if len(parts) < 2:
            return ()
        broker, received = parts[0], int.from_bytes(parts[1], "big")
        answered = len(parts) > 2 and parts[2] != WAIT and self._asking
        if answered or (self._broker and broker != self._broker):
            self._asking = False
            self._waiting.extendleft(reversed(self._flying))
            self._flying.clear()
        else:
            for _ in range(min(received - self._received, len(self._flying))):
                self._bytes -= self._flying.popleft().size
        self._broker, self._received = broker, received
        self.due_ns = now_ns + SILENT_NS if self._flying else FAR_NS
        return self._ready(now_ns)

    def tick(self, now_ns: int) -> bool:
        """Return whether to send `QUESTION`: the broker has been silent for a second."""
        if now_ns < self.due_ns:
            return False
        self.due_ns = now_ns + AGAIN_NS
        self._asking = True
        return True

    def _ready(self, now_ns: int) -> Sequence[Frame]:
        frames: list[Frame] = []
        while self._waiting and len(self._flying) < self._window:
            frame = self._waiting.popleft()
            self._flying.append(frame)
            frames.append(frame)
        if frames and self.due_ns == FAR_NS:
            self.due_ns = now_ns + SILENT_NS
        return frames


def lane_of(channel: Channel) -> str:
    """Return the broker's socket that takes a channel's samples."""
    return "bulk_in" if channel.kind in BULK else "ctl_in"
