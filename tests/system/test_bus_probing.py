"""A burst of probes follows whatever leaves a clock badly known."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scot.bus.probing import Probing
from scot.bus.socket import context
from scot.clock import machine
from scot.clock.clock import Clock
from scot.clock.probe import BURST, BURST_EVERY_NS, EVERY_NS
from tests.system.conftest import BusProcess, within

pytestmark = pytest.mark.system

# What a second and a half brings: at four a second six or seven, of a burst twenty.
LOOK_NS = 1_500_000_000
MANY = 14
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
    await pace(clock, EVERY_NS)


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
