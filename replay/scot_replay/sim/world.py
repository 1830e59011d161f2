"""The one heap, the one seed and the trace: everything that happens in a simulation."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from random import Random
from typing import Any, TextIO

S = 1_000_000_000
MS = 1_000_000

Act = Callable[..., None]


class Life:
    """One run of a process, from its start to its end.

    Attributes:
        alive: it has not ended.
        paused: it is stopped (SIGSTOP); what comes due waits in `waiting`.
    """

    __slots__ = ("alive", "paused", "waiting")

    def __init__(self) -> None:
        self.alive = True
        self.paused = False
        self.waiting: list[tuple[Act, tuple[Any, ...]]] = []


class World:
    """True time, what is due, and what has happened.

    Args:
        seed: of everything that is drawn.
        out: gets the trace as lines, one an event; None keeps only its digest.

    Attributes:
        now_ns: true time since the simulation began; only the world moves it.
        events: how many things have happened.
        after_each: called after each event; a promise that is broken raises there.
    """

    def __init__(self, seed: int, out: TextIO | None = None) -> None:
        self.seed = seed
        self.now_ns = 0
        self.events = 0
        self.after_each: Callable[[], None] | None = None
        self._heap: list[tuple[int, int, Life | None, Act, tuple[Any, ...]]] = []
        self._count = 0
        self._hash = hashlib.sha256()
        self._out = out

    def stream(self, name: str) -> Random:
        """Return a source of draws that no other part of the simulation disturbs."""
        return Random(f"{self.seed}/{name}")

    def at(self, due_ns: int, life: Life | None, act: Act, *args: Any) -> None:
        """Do something at a true time, if `life` has not ended by then."""
        self._count += 1
        heapq.heappush(self._heap, (max(due_ns, self.now_ns), self._count, life, act, args))

    def after(self, wait_ns: int, life: Life | None, act: Act, *args: Any) -> None:
        """Do something after a while, if `life` has not ended by then."""
        self.at(self.now_ns + wait_ns, life, act, *args)

    def resume(self, life: Life) -> None:
        """Let a stopped process go on: what came due meanwhile happens now, in order."""
        life.paused = False
        waiting, life.waiting = life.waiting, []
        for act, args in waiting:
            self.at(self.now_ns, life, act, *args)

    def run(self, until_ns: int) -> None:
        """Let everything happen that is due before `until_ns`."""
        heap = self._heap
        while heap and heap[0][0] < until_ns:
            self.now_ns, _, life, act, args = heapq.heappop(heap)
            if life is not None:
                if not life.alive:
                    continue
                if life.paused:
                    life.waiting.append((act, args))
                    continue
            self.events += 1
            act(*args)
            if self.after_each is not None:
                self.after_each()
        self.now_ns = until_ns

    def note(self, line: str, data: bytes = b"") -> None:
        """Add a line, and the bytes it is about, to the trace."""
        text = f"{self.now_ns} {line}\n"
        self._hash.update(text.encode())
        if data:
            self._hash.update(data)
        if self._out is not None:
            self._out.write(f"{self.now_ns / S:12.6f} {line}\n")

    def digest(self) -> str:
        """Return SHA-256 of the trace so far."""
        return self._hash.hexdigest()
