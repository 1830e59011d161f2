"""Samples one after another, for a script that iterates them (see `scot.bus.sync`)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from scot.bus.subscriber import Delivery
from scot.errors import CodecError
from scot.sample import Sample

log = logging.getLogger(__name__)

MAX_WAITING = 100_000


class Waiting(Protocol):
    """A connection as an iteration needs it."""

    def look(self) -> None:
        """Take all that has come, without waiting."""

    def wait(self, seen: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Work until `seen` holds; return False when it does not within `timeout_s`."""


class Samples(Iterator[Sample]):
    """Samples as they come; `next` waits for one.

    Args:
        connection: they come from.
        timeout_s: end after so long without a sample; None never.
        turn: a lock of its own: the background delivers while the caller takes.
        newest: of each channel only the newest.

    Attributes:
        dropped: samples that nobody took: the oldest of more than `MAX_WAITING`, or, where only the
            `newest` are wanted, those that had a newer one of their channel behind them.
        malformed: samples whose payload was not of their channel's kind.
    """

    def __init__(
        self,
        connection: Waiting,
        timeout_s: float | None,
        turn: AbstractContextManager[object],
        newest: bool = False,
    ) -> None:
        self.dropped = 0
        self.malformed = 0
        self._only_newest = newest
        self._newest: dict[bytes, tuple[int, int]] = {}
        self._connection = connection
        self._timeout_s = timeout_s
        self._waiting: deque[Delivery] = deque(maxlen=MAX_WAITING)
        self._turn = turn
        self._closed = False

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries (as a sink)."""
        if self._only_newest:
            self._replace(batch)
            return
        with self._turn:
            self.dropped += max(0, len(self._waiting) + len(batch) - MAX_WAITING)
            self._waiting.extend(batch)

    def _replace(self, batch: Sequence[Delivery]) -> None:
        """Keep the newest of each channel; what is asked back comes late and is older."""
        with self._turn:
            waiting = {delivery.frame.topic: delivery for delivery in self._waiting}
            for delivery in batch:
                topic, place = delivery.frame.topic, (delivery.header.epoch, delivery.header.seq)
                if place > self._newest.get(topic, (0, -1)):
                    self._newest[topic] = place
                    self.dropped += topic in waiting
                    waiting[topic] = delivery
                else:
                    self.dropped += 1
            self._waiting = deque(waiting.values())

    def close(self) -> None:
        """End the iteration once what has come is taken (as a sink)."""
        self._closed = True

    def __next__(self) -> Sample:
        while True:
            delivery = self._next()
            try:
                return delivery.sample()
            except CodecError as error:
                self.malformed += 1
                log.info("%s", error)

    def _next(self) -> Delivery:
        if self._only_newest and not self._closed:
            self._connection.look()
        delivery = self._pop()
        if delivery is None and not self._closed:
            self._connection.wait(lambda: bool(self._waiting) or self._closed, self._timeout_s)
            delivery = self._pop()
        if delivery is None:
            raise StopIteration
        return delivery

    def _pop(self) -> Delivery | None:
        with self._turn:
            return self._waiting.popleft() if self._waiting else None
