"""Publisher and subscriber as processes of their own: ``python -m tests.system.bus_peers ROLE …``.

They say one JSON line for each thing that happens and do what they are told, a word a line, on
stdin; they end when it closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.channel import Channel, Device, Lifecycle, Numeric, Waveform
from scot.clock import machine
from scot.sample import Flags, NumericValue, Sample

NUMERICS = [Numeric(f"n{n}", unit="1") for n in range(10)]
BLOCK = Waveform("block", unit="1", rate_hz=1000.0)


def say(**line: Any) -> None:
    """Write one line for the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def lines() -> asyncio.StreamReader:
    """Return stdin as a stream."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


class Publisher:
    """Announces device `name` and publishes what it is told to."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.epoch = connection.clock.now()
        self.sent: dict[str, int] = {}

    async def announce(self) -> None:
        channels = {channel.name: channel for channel in (*NUMERICS, BLOCK)}
        await self.connection.announce(
            Device(
                name=self.name,
                provider="test",
                state=Lifecycle.RUNNING,
                epoch=self.epoch,
                channels=channels,
            )
        )

    def publish(self, channel: Channel, value: Any) -> None:
        address = f"{self.connection.workspace}/{self.name}/{channel.name}"
        seq = self.sent.get(address, 0)
        self.sent[address] = seq + 1
        time = self.connection.clock.stamp()
        sample = Sample(address, self.epoch, seq, time, Flags.SIMULATED, value)
        self.connection.publish(sample, channel)

    async def stream(self, rate_hz: float, seconds: float) -> None:
        """Publish numerics at a steady rate, on absolute deadlines."""
        start_ns = machine.monotonic_ns()
        for number in range(round(rate_hz * seconds)):
            await machine.until(start_ns + round(number * 1e9 / rate_hz))
            self.publish(NUMERICS[number % len(NUMERICS)], NumericValue(float(number)))

    async def burst(self, count: int) -> None:
        """Publish blocks of 1 kB as fast as they go."""
        block = np.zeros(250, np.float32)
        for number in range(count):
            self.publish(BLOCK, block)
            if number % 100 == 0:
                await asyncio.sleep(0)


async def publish(link: Link) -> None:
    connection = await Connection.join(link, 20.0)
    publisher = Publisher(connection, link.name)
    await publisher.announce()
    say(ready=True)
    stdin = await lines()
    while line := (await stdin.readline()).decode().split():
        if line[0] == "stream":
            await publisher.stream(float(line[1]), float(line[2]))
        elif line[0] == "burst":
            await publisher.burst(int(line[1]))
        await connection.drained()
        say(sent=publisher.sent, dropped=connection.dropped)
    await connection.close()


class Counted:
    """A sink that keeps only numbers."""

    def __init__(self) -> None:
        self.seqs: dict[str, list[int]] = {}

    def handle(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            self.seqs.setdefault(delivery.frame.address, []).append(delivery.header.seq)

    def close(self) -> None:
        """Nothing to let go."""


async def subscribe(link: Link, prefix: str) -> None:
    connection = await Connection.join(link, 20.0)
    sink = Counted()
    connection.subscribe([prefix], sink, from_start=True)
    say(ready=True)
    stdin = await lines()
    while (await stdin.readline()).strip():
        say(
            count={address: len(seqs) for address, seqs in sink.seqs.items()},
            distinct={address: len(set(seqs)) for address, seqs in sink.seqs.items()},
            lost=connection.lost,
            backfilled=sum(connection.backfilled.values()),
        )
    await connection.close()


def main(arguments: list[str]) -> int:
    """Run ``publish STATE NAME`` or ``subscribe STATE NAME PREFIX``."""
    role, state, name, *prefix = arguments
    link = Link.load(Path(state), name)
    work = publish(link) if role == "publish" else subscribe(link, prefix[0])
    asyncio.run(work)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
