"""What fails on the bus loses nothing: a killed broker, a stopped subscriber, a lost tail."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scot.access import Grant
from scot.bus.connection import Connection
from scot.clock import machine
from tests.system.conftest import GRANTS, BusProcess, Collector, Peer, StartPeer, within

pytestmark = pytest.mark.system


BLOCK = "or1/monitor/block"
MakeBus = Callable[[list[Grant]], BusProcess]


@asynccontextmanager
async def joined(bus: BusProcess, name: str = "console") -> AsyncIterator[Connection]:
    connection = await Connection.join(bus.link(name), 15.0)
    try:
        yield connection
    finally:
        await connection.close()


def expected(sent: dict[str, int]) -> dict[str, list[int]]:
    return {address: list(range(count)) for address, count in sent.items()}


def came(sink: Collector) -> dict[str, list[int]]:
    seqs: dict[str, list[int]] = {}
    for delivery in sink.deliveries:
        seqs.setdefault(delivery.frame.address, []).append(delivery.header.seq)
    return {address: sorted(numbers) for address, numbers in seqs.items() if "/n" in address}


async def test_a_broker_killed_in_mid_stream_loses_and_doubles_nothing(
    bus: BusProcess, start_peer: StartPeer
) -> None:
    publisher = await start_peer(bus, "publish", "monitor")
    await publisher.hear()
    sink = Collector()
    async with joined(bus) as console:
        console.subscribe(["or1/monitor/"], sink, from_start=True)
        publisher.tell("stream", 1_000, 3)
        for kill in (1, 2):
            await sink.until(lambda kill=kill: len(sink.deliveries) > 800 * kill)  # type: ignore[misc]
            bus.kill()
            bus.start()
            back_ns, had = machine.monotonic_ns(), len(sink.deliveries)
            await sink.until(lambda had=had: len(sink.deliveries) > had)  # type: ignore[misc]
            assert machine.monotonic_ns() - back_ns < 2_000_000_000
        sent = (await publisher.hear())["sent"]
        assert sum(sent.values()) == 3_000
        await sink.until(lambda: came(sink) == expected(sent) and not console.lost)


async def test_a_broker_that_is_away_for_a_while_is_caught_up_with(
    bus: BusProcess, start_peer: StartPeer
) -> None:
    publisher = await start_peer(bus, "publish", "monitor")
    await publisher.hear()
    sink = Collector()
    async with joined(bus) as console:
        console.subscribe(["or1/monitor/"], sink, from_start=True)
        await publisher.ask("stream", 500, 0.5)
        bus.kill()
        publisher.tell("stream", 2_000, 1.5)
        started_ns = machine.monotonic_ns()
        await within(5.0, lambda: machine.monotonic_ns() - started_ns > 1_600_000_000)
        bus.start()
        sent = (await publisher.hear())["sent"]
        assert sum(sent.values()) == 3_250
        await sink.until(lambda: came(sink) == expected(sent) and not console.lost)


async def test_a_stopped_subscriber_holds_nobody_up_and_misses_nothing_in_the_end(
    bus: BusProcess, start_peer: StartPeer
) -> None:
    """Stopped through a burst that no queue can hold: its tail is found by the health's heads."""
    publisher = await start_peer(bus, "publish", "monitor")
    stopped = await start_peer(bus, "subscribe", "console", BLOCK)
    await publisher.hear()
    await stopped.hear()
    sink = Collector()
    async with joined(bus) as console:
        console.subscribe(["or1/monitor/"], sink, from_start=True)
        await publisher.ask("burst", 10)
        await sink.until(lambda: sorted(sink.seqs(BLOCK)) == list(range(10)))
        before, rss = console.backfilled.copy(), resident_bytes(bus.pid)
        stopped.signal(signal.SIGSTOP)
        sent = (await publisher.ask("burst", 24_000))["sent"][BLOCK]
        done_ns = machine.monotonic_ns()
        await sink.until(lambda: len(sink.seqs(BLOCK)) == sent)
        assert machine.monotonic_ns() - done_ns < 2_000_000_000
        assert sink.seqs(BLOCK)[10:] == list(range(10, sent))
        assert (console.lost, console.backfilled) == ({}, before)
        assert resident_bytes(bus.pid) - rss < 64 << 20
        stopped.signal(signal.SIGCONT)
        state = await until_complete(stopped, BLOCK, sent)
        assert state["backfilled"] > 1_000
        assert state["distinct"][BLOCK] == state["count"][BLOCK] == sent


async def until_complete(peer: Peer, address: str, count: int) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            state = await peer.ask("state")
            if state["count"].get(address) == count and not state["lost"]:
                return state
            await asyncio.sleep(0.1)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


ORDERS = [
    ("publisher", "broker", "subscriber"),
    ("publisher", "subscriber", "broker"),
    ("subscriber", "broker", "publisher"),
    ("broker", "subscriber", "publisher"),
]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
async def test_start_order_does_not_matter(
    make_bus: MakeBus, start_peer: StartPeer, order: tuple[str, ...]
) -> None:
    bus = make_bus(GRANTS)
    peers: dict[str, Peer] = {}
    for what in order:
        if what == "broker":
            bus.start()
        elif what == "publisher":
            peers[what] = await start_peer(bus, "publish", "monitor")
        else:
            peers[what] = await start_peer(bus, "subscribe", "console", "or1/monitor/")
        if what != order[-1]:  # let it begin to wait for the others
            started_ns = machine.monotonic_ns()
            await within(5.0, lambda since=started_ns: machine.monotonic_ns() - since > 400_000_000)  # type: ignore[misc]
    last_ns = machine.monotonic_ns()
    await peers["publisher"].hear()
    await peers["subscriber"].hear()
    sent = (await peers["publisher"].ask("stream", 1_000, 0.2))["sent"]
    assert machine.monotonic_ns() - last_ns < 4_000_000_000  # ready ≤ 3 s after the last
    for address, count in sent.items():
        await until_complete(peers["subscriber"], address, count)
