"""Bus time over slow links, and the burst of probes that follows what leaves it badly known."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest

from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.probing import Probing
from scot.bus.socket import context
from scot.clock import machine
from scot.clock.clock import Clock
from scot.clock.probe import BURST, BURST_EVERY_NS, EARLY_EVERY_NS
from tests.system.conftest import BusProcess, within

pytestmark = pytest.mark.system

# What a second and a half brings: at eight a second twelve or thirteen, with a burst 24.
LOOK_NS = 1_500_000_000
MANY = 19
SILENCE_NS = 2_200_000_000


class Stepping:
    """A monotonic clock that can be made to jump."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def read(self) -> int:
        return machine.monotonic_ns() + self.ahead_ns


@asynccontextmanager
async def probing(bus: BusProcess, clock: Clock) -> AsyncIterator[Probing]:
    zmq_context = context()
    client = Probing(zmq_context, bus.link("console"), clock)
    running = asyncio.create_task(client.run())
    try:
        await asyncio.wait_for(client.timed.wait(), 15.0)
        yield client
    finally:
        running.cancel()
        client.close()
        zmq_context.term()


def maps(clock: Clock) -> int:
    assert clock.map is not None
    return clock.map.id


def epoch(clock: Clock) -> int:
    assert clock.map is not None
    return clock.map.epoch


async def settled(clock: Clock) -> None:
    """Wait until the first burst is over."""
    await within(15.0, lambda: maps(clock) > BURST)
    await pace(clock, EARLY_EVERY_NS)


async def pace(clock: Clock, least_ns: int) -> None:
    """Wait until two maps come at least about `least_ns` apart."""
    async with asyncio.timeout(10.0):
        while True:
            before, from_ns = maps(clock), machine.monotonic_ns()
            await within(5.0, lambda before=before: maps(clock) > before)  # type: ignore[misc]
            if machine.monotonic_ns() - from_ns > least_ns // 2:
                return


async def came_within_the_look(clock: Clock) -> int:
    before, until_ns = maps(clock), machine.monotonic_ns() + LOOK_NS
    await within(10.0, lambda: machine.monotonic_ns() >= until_ns)
    return maps(clock) - before


async def test_the_pace_falls_after_the_first_burst(bus: BusProcess) -> None:
    clock = Clock()
    async with probing(bus, clock):
        await settled(clock)
        assert await came_within_the_look(clock) < MANY


async def test_a_step_of_the_clock_is_followed_by_a_burst(bus: BusProcess) -> None:
    stepping = Stepping()
    clock = Clock(read=stepping.read)
    async with probing(bus, clock):
        await settled(clock)
        was = epoch(clock)
        stepping.ahead_ns = 500_000_000
        await within(15.0, lambda: epoch(clock) != was)
        assert await came_within_the_look(clock) >= MANY


async def test_a_silence_of_the_broker_is_followed_by_a_burst(bus: BusProcess) -> None:
    clock = Clock()
    async with probing(bus, clock):
        await settled(clock)
        os.kill(bus.pid, signal.SIGSTOP)
        silent_ns = machine.monotonic_ns()
        await within(10.0, lambda: machine.monotonic_ns() - silent_ns > SILENCE_NS)
        os.kill(bus.pid, signal.SIGCONT)
        before = maps(clock)
        await within(10.0, lambda: maps(clock) > before)
        assert await came_within_the_look(clock) >= MANY
        assert BURST * BURST_EVERY_NS < LOOK_NS


@asynccontextmanager
async def delayed(link: Link, way_s: float) -> AsyncIterator[Link]:
    """Yield a link to the same broker on which every byte takes `way_s` each way."""
    loop = asyncio.get_running_loop()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            loop.call_later(way_s, writer.write, data)
        loop.call_later(way_s, writer.close)

    def carry(port: int) -> asyncio.Task[asyncio.Server]:
        async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(link.endpoints.host, port)
            for ends in ((reader, back), (there, writer)):
                pumps.add(asyncio.create_task(pump(*ends)))

        return asyncio.create_task(asyncio.start_server(on_client, "127.0.0.1", 0))

    async with AsyncExitStack() as stack:
        ports = {}
        for name, port in link.endpoints.ports.items():
            server = await stack.enter_async_context(await carry(port))
            ports[name] = server.sockets[0].getsockname()[1]
        endpoints = msgspec.structs.replace(link.endpoints, ports=ports, probe_udp=0)
        try:
            yield msgspec.structs.replace(link, endpoints=endpoints)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def test_a_client_400_ms_away_joins_and_knows_the_time(bus: BusProcess) -> None:
    async with delayed(bus.link("console"), 0.2) as link:
        connection = await Connection.join(link, 15.0)
        try:
            stamp = connection.clock.stamp()
            assert stamp.bound_ns is not None
            assert stamp.bound_ns > 190_000_000
        finally:
            await connection.close()
