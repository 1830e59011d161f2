"""The processes of a run with ours: `DeviceContext.sample`, `Connection`, CURVE and all checks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import msgspec
import numpy as np
import uvloop

from benchmarks.peers.load import (
    PACKET_HZ,
    PACKETS,
    RAW_BYTES,
    STAMP,
    WARM_S,
    Notes,
    Shared,
    bursts,
    pictures,
)
from scot.access import Grant, write_private
from scot.bus.connection import Connection
from scot.bus.keys import PORTS, Link, issue
from scot.bus.subscriber import Delivery
from scot.channel import Channel, Event, Lifecycle, Video
from scot.clock import machine
from scot.clock.clock import Clock
from scot.config import RoomFile
from scot.errors import RingError
from scot.host import settle
from scot.provider import DeviceContext, NoOptions
from scot.ring import Ring, RingFrame, RingReader
from scot.room import free_ports
from scot.sample import Flags

RAW = Event("raw", rate_hz=30.0)


@contextmanager
def serve(folder: Path, more: Sequence[Grant] = ()) -> Iterator[Path]:
    """Run a room's broker with a device, a camera, a console and `more`; yield its keys' folder."""
    devices = ("device", "camera")
    grants = [
        *(
            Grant(name=name, publish=[f"or1/{name}/"], subscribe=["or1/room/"], devices=[name])
            for name in devices
        ),
        Grant(name="console", subscribe=["or1/"]),
        *more,
    ]
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    issue(folder, "127.0.0.1", ports, "or1", grants)
    write_private(folder / "room.json", RoomFile().model_dump_json().encode())
    write_private(folder / "session.json", msgspec.json.encode(Clock.session().map))
    command = [sys.executable, "-m", "scot.host", "broker", "-", "--state", str(folder)]
    process = subprocess.Popen([*command, "--options", "{}"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert b"ready" in process.stdout.readline()
        yield folder
    finally:
        process.terminate()
        process.wait(10)


class Sink:
    """Decodes each sample; looks at raw pictures where they lie."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.reader = RingReader()

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take samples."""
        for delivery in batch:
            sample = delivery.sample()
            name = delivery.channel.name
            if name == "raw":
                self._look(RingFrame.of(sample.value))
            elif sample.time.source_ns is not None:
                self.notes.note(name, sample.time.source_ns)

    def _look(self, frame: RingFrame) -> None:
        try:
            head = self.reader.view(frame).reshape(-1)[: STAMP.size].tobytes()
        except RingError:
            return
        self.notes.note("video0", STAMP.unpack(head)[0])

    def close(self) -> None:
        """Let go of the ring."""
        self.reader.close()


def subscriber(pipe: Pipe, state: Path, shared: Shared, number: int) -> None:
    """Take everything until told to stop, then give the notes back."""

    async def work() -> None:
        connection = await Connection.join(Link.load(state, "console"))
        notes = Notes(shared, number, flat=False)
        connection.subscribe(["or1/device/", "or1/camera/"], Sink(notes))
        settle()  # as every process of a room does
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        pipe.send((notes.poses, notes.others, notes.video))
        await connection.close()

    uvloop.run(work())


async def _join(
    state: Path, name: str, channels: Sequence[Channel]
) -> tuple[Connection, DeviceContext[NoOptions]]:
    connection = await Connection.join(Link.load(state, name))
    device = DeviceContext("or1", name, NoOptions(), connection.clock)
    device.offer(*channels)
    device.move(Lifecycle.RUNNING)
    await connection.announce(device.device("bench", {"en": "Load"}))
    settle()
    return connection, device


def publisher(pipe: Pipe, state: Path, seconds: float) -> None:
    """Send an OR's signals, each when it is due."""

    async def work() -> None:
        everything = {s.channel.name: s.channel for _, group in bursts(1.0) for s in group}
        connection, device = await _join(state, "device", list(everything.values()))
        pipe.send("ready")
        start_ns: int = await asyncio.to_thread(pipe.recv)
        for at_ns, group in bursts(seconds + WARM_S):
            await machine.until(start_ns + at_ns)
            for stream in group:
                now_ns = device.arrived()
                sample = device.sample(stream.channel, stream.value, source_ns=now_ns, base="host")
                connection.publish(sample, stream.channel)
        await connection.drained()
        await asyncio.to_thread(pipe.recv)
        await connection.close()

    uvloop.run(work())


def camera(pipe: Pipe, state: Path, kind: str, seconds: float) -> None:
    """Send video: packets as samples, raw pictures through shared memory."""

    async def work() -> None:
        channels = {f"video{n}": Video(f"video{n}") for n in range(PACKETS)}
        connection, device = await _join(state, "camera", [*channels.values(), RAW])
        ring, pixels = Ring(RAW_BYTES), np.full(RAW_BYTES, 90, np.uint8)
        pipe.send("ready")
        start_ns: int = await asyncio.to_thread(pipe.recv)
        skipped, sent = 0, dict.fromkeys(channels, 0)
        for at_ns, name, size in pictures(kind, seconds + WARM_S):
            if machine.monotonic_ns() - start_ns - at_ns > 40_000_000:
                skipped += 1
                continue
            await machine.until(start_ns + at_ns)
            now_ns = device.arrived()
            if kind == "raw":
                pixels[: STAMP.size] = np.frombuffer(STAMP.pack(now_ns), np.uint8)
                value = ring.write(pixels).value()
                sample = device.sample(RAW, value, source_ns=now_ns, base="host")
                connection.publish(sample, RAW)
            else:
                channel = channels[name]
                opens = Flags.KEYFRAME if sent[name] % PACKET_HZ == 0 else Flags(0)
                sent[name] += 1
                sample = device.sample(
                    channel, bytes(size), source_ns=now_ns, base="host", flags=opens
                )
                connection.publish(sample, channel)
        await asyncio.to_thread(pipe.recv)
        pipe.send(skipped)
        await connection.close()
        ring.close()

    uvloop.run(work())
