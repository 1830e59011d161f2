"""The client's side of the clock probes: it asks, and its `Clock` follows the answers."""

from __future__ import annotations

import asyncio
import logging
import random

import zmq

from scot.bus.keys import Link
from scot.bus.socket import CONTROL_BYTES, Drained, connect
from scot.clock import probe as probes
from scot.clock.clock import Clock
from scot.errors import RemoteProtocolError

log = logging.getLogger(__name__)

FIRST = 3
FIRST_EVERY_NS = 10_000_000
DITHER = 0.2


class Probing:
    """Probes the clock service: a burst in the first second, then four a second with dither.

    Attributes:
        timed: set once the clock has followed a few answers and may be used.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], link: Link, clock: Clock) -> None:
        self.clock = clock
        self.timed = asyncio.Event()
        self._maps = 0
        self._last: probes.Probe | None = None
        sock = context.socket(zmq.DEALER)
        connect(sock, link, "probe", CONTROL_BYTES, 16)
        self._sock = Drained(sock, self._on_replies)

    async def run(self) -> None:
        """Probe until cancelled."""
        sent = 0
        while True:
            request = probes.Request(self.clock.read(), self._last)
            self._sock.send([probes.encode(request)])
            sent += 1
            if sent <= FIRST + 1:
                every_ns = FIRST_EVERY_NS
            else:
                every_ns = probes.BURST_EVERY_NS if sent < probes.BURST else probes.EVERY_NS
            dither = 1 + DITHER * (2 * random.random() - 1)
            await asyncio.sleep(every_ns * dither / 1e9)

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
            if 0 <= reply.t1_ns <= t4_ns:
                self._last = probes.Probe(reply.t1_ns, reply.t2_ns, reply.t3_ns, t4_ns)
            if reply.map is not None:
                self.clock.map = reply.map
                self._maps += 1
                if self._maps >= FIRST:
                    self.timed.set()
