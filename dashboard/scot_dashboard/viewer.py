"""One page's connection: what waits for it, its writer, and how it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from scot.clock import machine
from scot_dashboard.door import Person
from scot_dashboard.limits import Limiter
from scot_dashboard.outbox import Outbox
from scot_dashboard.wire import Question, message

CUT_S = 0.5  # a page that was shut out and does not close is cut then
STUCK_NS = 15_000_000_000
UNDER_WAY = 512 << 10  # bytes that a page may have been sent and not taken
LATE_NS = 2_000_000_000  # and how long: after that it gets the newest, when it has time again
MAX_ASKS = 8

MALFORMED = 4400
UNKNOWN = 4401
FORBIDDEN = 4403
TOO_SLOW = 4408
ELSEWHERE = 4409
FULL = 4429
RESTARTING = 1012


class Line(Protocol):
    """A WebSocket as a viewer needs it; every call may raise ConnectionError."""

    async def send(self, data: bytes) -> None:
        """Send one binary message; waits while the peer does not read."""

    async def receive(self) -> bytes | None:
        """Return the next message; None when it was text."""

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye."""

    def cut(self) -> None:
        """Drop the connection and everything not yet sent, now."""


class Viewer:
    """A person's open page.

    Attributes:
        admitted: samples flow.
        ending: code and text once it must close.
        asks: what it asked from History and lanes, in order.
    """

    def __init__(self, line: Line, person: Person, address: str) -> None:
        self.line = line
        self.person = person
        self.address = address
        self.outbox = Outbox()
        self.admitted = False
        self.ending: tuple[int, str] | None = None
        self.asks: deque[Question] = deque()
        self.asked = asyncio.Event()
        self.rate = Limiter(burst=400, every_ns=5_000_000)
        self._wake = asyncio.Event()
        self._free = asyncio.Event()
        self._sending_since_ns = 0
        self._sent = 0
        self._taken: int | None = None  # a page that does not say what it takes is not held back
        self._under_way: deque[tuple[int, int]] = deque()  # bytes sent by then, and when

    @property
    def late(self) -> bool:
        """It has not taken what it was sent: more would wait in its browser, without a bound."""
        if self._taken is None or not self._under_way:
            return False
        waited_ns = machine.monotonic_ns() - self._under_way[0][1]
        return self._sent - self._taken > UNDER_WAY or waited_ns > LATE_NS

    @property
    def sending(self) -> bool:
        """A message is under way and the peer has not taken it yet."""
        return bool(self._sending_since_ns)

    @property
    def stuck(self) -> bool:
        """The peer has not read for so long that it is not there any more."""
        since_ns = self._sending_since_ns
        if not since_ns and self._taken is not None and self._under_way:
            since_ns = self._under_way[0][1]
        return bool(since_ns) and machine.monotonic_ns() - since_ns > STUCK_NS

    def took(self, total_bytes: int) -> None:
        """The page has taken so many bytes since it opened."""
        self._taken = min(total_bytes, self._sent)
        while self._under_way and self._under_way[0][0] <= total_bytes:
            self._under_way.popleft()
        self.wake()

    def wake(self) -> None:
        """Something waits to be sent."""
        self._wake.set()

    def say(self, *parts: object, replaces: str = "") -> None:
        """Send a message that is not samples."""
        self.outbox.say(message(*parts), replaces)
        self.wake()

    def ask(self, asked: Question) -> bool:
        """Queue a question; False when too many wait."""
        if len(self.asks) >= MAX_ASKS:
            return False
        self.asks.append(asked)
        self.asked.set()
        return True

    async def answer(self, part: bytes) -> None:
        """Send a part of an answer as soon as the part before it has gone."""
        while self.outbox.answering:
            self._free.clear()
            await self._free.wait()
        self.outbox.answer(part)
        self.wake()

    def end(self, code: int, text: str) -> None:
        """Stop sending at once and close; cut the line if the page does not go by itself."""
        if self.ending is not None:
            return
        self.ending = (code, text)
        self.outbox.clear()
        self.wake()
        if self.sending:  # the peer is not reading: a goodbye would never arrive
            self.line.cut()
        else:
            asyncio.get_running_loop().call_later(CUT_S, self.line.cut)

    async def write(self, bus_now: Callable[[], int]) -> None:
        """Send what waits until `end`; returns when the goodbye is said.

        Raises:
            ConnectionError: the peer is gone.
        """
        while self.ending is None:
            await self._wake.wait()
            self._wake.clear()
            while not self.late and (data := self.outbox.take(bus_now())) is not None:
                self._sending_since_ns = machine.monotonic_ns()
                self._sent += len(data)
                if self._taken is not None:
                    self._under_way.append((self._sent, self._sending_since_ns))
                await self.line.send(data)
                self._sending_since_ns = 0
                self._free.set()
                if self.outbox.overflowed:
                    break
            if self.outbox.overflowed:
                self.end(TOO_SLOW, "this page is too slow to show every alarm; connecting again")
        code, text = self.ending
        await self.line.send(message("bye", code, text))
        await self.line.close(code, text.encode()[:120].decode(errors="ignore"))
