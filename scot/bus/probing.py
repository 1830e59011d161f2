"""The client's side of the clock probes: it asks, and its `Clock` follows the answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

import zmq

from scot.bus.keys import Link
from scot.bus.socket import CONTROL_BYTES, Drained, connect
from scot.clock import probe as probes
from scot.clock.clock import BusMap, Clock
from scot.errors import RemoteProtocolError

log = logging.getLogger(__name__)

FIRST = 3
FIRST_EVERY_NS = 10_000_000
DITHER = 0.2
SILENT_NS = 2_000_000_000


class Probing:
    """Probes the clock service: a burst in the first second, then four a second with dither.

    Another burst follows a silence of the service (it, or the way to it, is back) and each new
    epoch of our clock (of whose offset nothing older is left).

    Attributes:
        timed: set once the clock has followed a few answers and may be used.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], link: Link, clock: Clock) -> None:
        self.clock = clock
        self.timed = asyncio.Event()
        self._maps = 0
        self._sent = 0  # since the last burst began
        self._heard_ns: int | None = None
        self._sooner = asyncio.Event()
        self._last: probes.Probe | None = None
        sock = context.socket(zmq.DEALER)
        connect(sock, link, "probe", CONTROL_BYTES, 16)
        self._sock = Drained(sock, self._on_replies)

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            request = probes.Request(self.clock.read(), self._last)
            self._sock.send([probes.encode(request)])
            self._sent += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s()):
                    await self._sooner.wait()
            self._sooner.clear()

    def _wait_s(self) -> float:
        """Return how long until the next probe; no two clients keep step."""
        if self._sent <= FIRST + 1 and not self.timed.is_set():
            every_ns = FIRST_EVERY_NS
        else:
            every_ns = probes.BURST_EVERY_NS if self._sent < probes.BURST else probes.EVERY_NS
        return every_ns * (1 + DITHER * (2 * random.random() - 1)) / 1e9

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _on_replies(self, batch: list[list[bytes]]) -> None:
        t4_ns = self.clock.read()
        for parts in batch:
            try:
                reply = probes.read_reply(parts[0])
            except RemoteProtocolError as error:
                log.warning("%s", error)
                continue
            self._heard(t4_ns)
            if 0 <= reply.t1_ns <= t4_ns:
                self._last = probes.Probe(reply.t1_ns, reply.t2_ns, reply.t3_ns, t4_ns)
            if reply.map is not None:
                self._follow(reply.map)

    def _heard(self, now_ns: int) -> None:
        """Note that the service answers; it may have been away."""
        if self._heard_ns is not None and now_ns - self._heard_ns > SILENT_NS:
            self._burst()
        self._heard_ns = now_ns

    def _follow(self, new: BusMap) -> None:
        """Let the clock follow a new map."""
        old = self.clock.map
        self.clock.map = new
        self._maps += 1
        if self._maps >= FIRST:
            self.timed.set()
        if old is not None and new.epoch != old.epoch:
            self._burst()

    def _burst(self) -> None:
        """Begin a burst now."""
        self._sent = 0
        self._sooner.set()
