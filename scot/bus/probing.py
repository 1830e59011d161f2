"""The client's side of the clock probes: it asks, and its `Clock` follows the answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Awaitable, Callable

import msgspec
import zmq

from scot.bus.datagram import ProbeEnd
from scot.bus.keys import Link
from scot.bus.socket import CONTROL_BYTES, Drained, connect, receive
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.probe import UDP, ZMQ
from scot.clock.prober import Prober
from scot.clock.sealed import ProbeKey
from scot.errors import BusError, RemoteProtocolError

log = logging.getLogger(__name__)

FOLLOW_S = 2.0
SLACK_NS = 50_000_000

Ask = Callable[[bytes, bytes], Awaitable[list[bytes]]]
_key = msgspec.msgpack.Decoder(ProbeKey)
_encode = msgspec.msgpack.Encoder().encode


class Probing:
    """Probes the clock service, over ZeroMQ and, where that passes, over UDP.

    Attributes:
        timed: set once the clock has followed a few answers and may be used.
        mapped: set by each new map.

    Args:
        context: of the process.
        link: whom to ask, as whom.
        clock: follows the answers.
        ask: asks the desk (verb, body), for the probe key that UDP needs; without it, and where the
            room has no such port, all probes go over ZeroMQ.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        link: Link,
        clock: Clock,
        ask: Ask | None = None,
    ) -> None:
        self.clock = clock
        self.timed = asyncio.Event()
        self.mapped = asyncio.Event()
        self._prober = Prober(os.urandom(8), random.random)
        self._sooner = asyncio.Event()
        sock = context.socket(zmq.DEALER)
        connect(sock, link, "probe", CONTROL_BYTES, 16)
        self._sock = Drained(sock, self._on_replies, receive)
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None
        self._end: ProbeEnd | None = None
        if ask is not None and link.endpoints.probe_udp:
            try:
                self._end = ProbeEnd(link.endpoints, self._on_datagram)
            except OSError as error:
                log.info("no clock probes over UDP: %s", error)

    @property
    def way(self) -> str:
        """By which way probes go now: `zmq` or `udp`."""
        return self._prober.way(self.clock.read())

    async def run(self) -> None:
        """Probe until cancelled."""
        prober = self._prober
        while True:
            if self._end is not None and prober.wants_key(self.clock.read()):
                self._asking = asyncio.create_task(self._fetch_key())
            for way in prober.ways(self.clock.read()):
                self._send(way)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(prober.wait_ns() / 1e9):
                    await self._sooner.wait()
            self._sooner.clear()

    def retime(self) -> None:
        """Probe at once, and again: bus time goes on otherwise than our clock does."""
        self._prober.retime()
        self._sooner.set()

    async def follow(self, session: BusMap) -> None:
        """Probe until our clock follows the session's new line, at most for `FOLLOW_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOLLOW_S):
                while not self._follows(session):
                    self.mapped.clear()
                    self.retime()
                    await self.mapped.wait()

    def _follows(self, session: BusMap) -> bool:
        """Whether our clock's newest map was made from the session's line."""
        found = self.clock.map
        return (
            found is not None
            and abs(found.rate - session.rate) <= 1e-3 * session.rate
            and found.at(self.clock.read()) >= session.bus_ns - SLACK_NS
        )

    def anew(self) -> None:
        """There is another broker: it knows no key of ours."""
        self._prober.anew()
        self._sooner.set()

    def close(self) -> None:
        """Close the sockets."""
        if self._asking is not None:
            self._asking.cancel()
        if self._end is not None:
            self._end.close()
            self._end = None
        self._sock.close()

    def _send(self, way: str) -> None:
        self._prober.rehearse(way)
        request = self._prober.request(way, self.clock.read())
        if way == UDP and self._end is not None:
            self._end.send(request)
        else:
            self._sock.send([request])

    async def _fetch_key(self) -> None:
        """Ask for a probe key; where there is none, all goes on over ZeroMQ."""
        if self._ask is None:
            return
        try:
            body, *_ = await self._ask(b"probe_key", _encode(self._prober.instance))
            self._prober.take_key(_key.decode(body))
            self._sooner.set()
        except (BusError, msgspec.DecodeError) as error:
            log.info("no clock probes over UDP: %s", error)

    def _on_replies(self, batch: list[list[bytes]]) -> None:
        now_ns = self.clock.read()
        for parts in batch:
            self._on_answer(ZMQ, parts[0], now_ns, 0)

    def _on_datagram(self, data: bytes, age_ns: int) -> None:
        self._on_answer(UDP, data, self.clock.read(), age_ns)

    def _on_answer(self, way: str, data: bytes, now_ns: int, age_ns: int) -> None:
        try:
            new = self._prober.on_answer(way, data, now_ns, age_ns)
        except RemoteProtocolError as error:
            log.warning("%s", error)
            return
        if new is not None:
            self.clock.map = new
            self.mapped.set()
        if self._prober.timed:
            self.timed.set()
        if self._prober.hurries:
            self._sooner.set()
