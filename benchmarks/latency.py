"""End-to-end latency at an OR's load, ours against libzmq's C proxy in the same run.

    python benchmarks/latency.py                 # 3 runs, 1 and 8 subscribers
    python benchmarks/latency.py --video --json

Ours is the product's own path: `DeviceContext.sample`, `Connection.publish`, CURVE, the broker with
its checks in a process of its own, `Subscription` with its gap detector, decoding. The peer is
`zmq.proxy` between PUB and SUB with two-part raw messages: no keys, no checks, no envelope. A
latency runs from just before a sample is made to just after it is decoded. Exit code 1 when a
median ratio is above its target.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing as mp
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import uvloop
import zmq

from scot.access import Grant, write_private
from scot.bus.connection import Connection
from scot.bus.keys import PORTS, Link, issue
from scot.bus.subscriber import Delivery
from scot.channel import Channel, Device, Lifecycle, Numeric, Pose, Video, Waveform
from scot.clock import machine
from scot.clock.clock import Clock
from scot.config import RoomFile
from scot.host import settle
from scot.provider import DeviceContext, NoOptions
from scot.room import free_ports
from scot.sample import NumericValue, PoseValue

TOOLS, TOOL_HZ = 8, 60
WAVES, WAVE_HZ = 12, 50
NUMERICS = 30
VIDEO_HZ, VIDEO_BYTES = 30, 25_000
WARM_S = 1.0
TARGETS = {(1, "p50"): 1.6, (8, "p50"): 1.3, (1, "p99"): 1.8, (8, "p99"): 1.8}


class Stream(NamedTuple):
    """One channel with what it sends."""

    channel: Channel
    value: Any
    raw: bytes


def streams(video: bool) -> list[tuple[float, list[Stream]]]:
    """Return groups of channels that speak together, with their rate."""
    pose = PoseValue((12.5, -33.25, 71.0), (0.0, 0.0, 0.6, 0.8), 0.97)
    block = np.linspace(0, 1, 500 // WAVE_HZ, dtype=np.float32)
    tools = [Stream(Pose(f"tool{n}"), pose, bytes(75)) for n in range(TOOLS)]
    waves = [Stream(Waveform(f"wave{n}"), block, block.tobytes()) for n in range(WAVES)]
    numbers = [
        Stream(Numeric(f"number{n}"), NumericValue(72.0), bytes(14)) for n in range(NUMERICS)
    ]
    groups = [(float(TOOL_HZ), tools), (float(WAVE_HZ), waves), (1.0, numbers)]
    if video:
        unit = bytes(VIDEO_BYTES)
        groups.append((float(VIDEO_HZ), [Stream(Video("video"), unit, unit)]))
    return groups


def due(groups: list[tuple[float, list[Stream]]], seconds: float) -> Iterator[tuple[int, Stream]]:
    """Yield when (ns from the start) each sample is due; a group speaks at once."""
    times = [
        (round((n + place / 10) * 1e9 / rate_hz), speaking)
        for place, (rate_hz, speaking) in enumerate(groups)
        for n in range(round(rate_hz * seconds))
    ]
    for at_ns, speaking in sorted(times, key=lambda item: item[0]):
        for stream in speaking:
            yield at_ns, stream


class Latencies:
    """What one subscriber saw, ns, apart from the first second."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.video: list[int] = []
        self._from_ns = machine.monotonic_ns() + 10**18

    def begin(self, from_ns: int) -> None:
        """Keep what is sent from now on."""
        self._from_ns = from_ns

    def note(self, sent_ns: int, is_video: bool) -> None:
        """Take one sample."""
        now_ns = machine.monotonic_ns()
        if sent_ns >= self._from_ns:
            (self.video if is_video else self.signals).append(now_ns - sent_ns)


# -- ours


class Sink:
    """Decodes each sample and notes how old it is."""

    def __init__(self, seen: Latencies) -> None:
        self.seen = seen

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take samples."""
        for delivery in batch:
            sample = delivery.sample()
            if sample.time.source_ns is not None:
                self.seen.note(sample.time.source_ns, delivery.channel.name == "video")

    def close(self) -> None:
        """Nothing to let go."""


async def our_publisher(state: Path, pipe: Pipe, seconds: float, video: bool) -> None:
    connection = await Connection.join(Link.load(state, "device"))
    device = DeviceContext("or1", "device", NoOptions(), connection.clock)
    groups = streams(video)
    device.offer(*(stream.channel for _, speaking in groups for stream in speaking))
    device.move(Lifecycle.RUNNING)
    entry: Device = device.device("bench", {"en": "Load"})
    await connection.announce(entry)
    settle()  # as every process of a room does
    start_ns = await begin(pipe)
    for at_ns, stream in due(groups, seconds + WARM_S):
        if start_ns + at_ns > machine.monotonic_ns():
            await machine.until(start_ns + at_ns)
        now_ns = device.arrived()
        sample = device.sample(stream.channel, stream.value, source_ns=now_ns, base="host")
        connection.publish(sample, stream.channel)
    await connection.drained()
    await asyncio.to_thread(pipe.recv)
    await connection.close()


async def our_subscriber(state: Path, pipe: Pipe) -> None:
    connection = await Connection.join(Link.load(state, "console"))
    seen = Latencies()
    connection.subscribe(["or1/device/"], Sink(seen))
    settle()
    seen.begin(await begin(pipe) + round(WARM_S * 1e9))
    await asyncio.to_thread(pipe.recv)
    pipe.send((seen.signals, seen.video, sum(connection.lost.values())))
    await connection.close()


async def begin(pipe: Pipe) -> int:
    """Say that we are ready and return when, monotonic ns, to begin."""
    pipe.send("ready")
    start_ns: int = await asyncio.to_thread(pipe.recv)
    return start_ns


def our_broker(state: Path) -> subprocess.Popen[bytes]:
    grants = [
        Grant(name="device", publish=["or1/device/"], subscribe=["or1/room/"], devices=["device"]),
        Grant(name="console", subscribe=["or1/"]),
    ]
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    issue(state, "127.0.0.1", ports, "or1", grants)
    write_private(state / "room.json", RoomFile().model_dump_json().encode())
    write_private(state / "session.json", msgspec.json.encode(Clock.session().map))
    command = [sys.executable, "-m", "scot.host", "broker", "-", "--state", str(state)]
    process = subprocess.Popen([*command, "--options", "{}"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert b"ready" in process.stdout.readline()
    return process


# -- the peer


def peer_proxy(pipe: Pipe, ports: list[int]) -> None:
    with (
        zmq.Context() as context,
        context.socket(zmq.XSUB) as xsub,
        context.socket(zmq.XPUB) as xpub,
    ):
        xsub.bind(f"tcp://127.0.0.1:{ports[0]}")
        xpub.bind(f"tcp://127.0.0.1:{ports[1]}")
        pipe.send("ready")
        zmq.proxy(xsub, xpub)


def peer_publisher(pipe: Pipe, ports: list[int], seconds: float, video: bool) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.connect(f"tcp://127.0.0.1:{ports[0]}")
        pipe.send("ready")
        start_ns = pipe.recv()
        for at_ns, stream in due(streams(video), seconds + WARM_S):
            left_ns = start_ns + at_ns - machine.monotonic_ns()
            if left_ns > 0:
                machine.sleep(left_ns / 1e9)
            topic = f"or1/device/{stream.channel.name}\0".encode()
            stamp = struct.pack("<q", machine.monotonic_ns())
            pub.send_multipart([topic, stamp + stream.raw])
        pipe.recv()


def peer_subscriber(pipe: Pipe, ports: list[int]) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.connect(f"tcp://127.0.0.1:{ports[1]}")
        sub.setsockopt(zmq.SUBSCRIBE, b"or1/device/")
        seen = Latencies()
        pipe.send("ready")
        seen.begin(pipe.recv() + round(WARM_S * 1e9))
        while not pipe.poll(0):
            if not sub.poll(50):
                continue
            topic = sub.recv()
            (sent_ns,) = struct.unpack_from("<q", sub.recv())
            seen.note(sent_ns, topic.endswith(b"video\0"))
        pipe.recv()
        pipe.send((seen.signals, seen.video, 0))


# -- one run


def role(name: str, pipe: Pipe, arguments: tuple[Any, ...]) -> None:
    """Run one process of a run."""
    if name == "our_publisher":
        state, seconds, video = arguments
        uvloop.run(our_publisher(state, pipe, seconds, video))
    elif name == "our_subscriber":
        uvloop.run(our_subscriber(arguments[0], pipe))
    else:
        globals()[name](pipe, *arguments)


def run(ours: bool, subscribers: int, seconds: float, video: bool) -> dict[str, Any]:
    """Run one side once; return percentiles in µs."""
    spawn = mp.get_context("spawn")
    pipes: list[Pipe] = []
    processes = []

    def start(name: str, *arguments: Any) -> Pipe:
        here, there = spawn.Pipe()
        process = spawn.Process(target=role, args=(name, there, arguments), daemon=True)
        process.start()
        there.close()  # so that its death ends our waiting
        processes.append(process)
        pipes.append(here)
        assert here.recv() == "ready"
        return here

    with tempfile.TemporaryDirectory() as folder:
        state, ports = Path(folder), free_ports(2)
        broker = our_broker(state) if ours else None
        if not ours:
            start("peer_proxy", ports)
        head: tuple[Any, ...] = (state,) if ours else (ports,)
        side = "our" if ours else "peer"
        readers = [start(f"{side}_subscriber", *head) for _ in range(subscribers)]
        writer = start(f"{side}_publisher", *head, seconds, video)
        start_ns = machine.monotonic_ns() + 300_000_000
        for pipe in (*readers, writer):
            pipe.send(start_ns)
        machine.sleep(seconds + WARM_S + 0.8)
        for pipe in readers:
            pipe.send("stop")
        got = [pipe.recv() for pipe in readers]
        writer.send("stop")
        for process in processes[1 if not ours else 0 :]:
            process.join(5)
        for process in processes:
            process.terminate()
        if broker is not None:
            broker.terminate()
            broker.wait(10)
    return summary(got, streams(video), subscribers, seconds)


def summary(
    got: list[tuple[list[int], list[int], int]],
    groups: list[tuple[float, list[Stream]]],
    subscribers: int,
    seconds: float,
) -> dict[str, Any]:
    signals = np.array([ns for one, _, _ in got for ns in one]) / 1e3
    video = np.array([ns for _, one, _ in got for ns in one]) / 1e3
    each_s = sum(rate * len(speaking) for rate, speaking in groups if rate != VIDEO_HZ)
    row: dict[str, Any] = {
        **percentiles(signals),
        "samples": len(signals),
        "missing": max(0, round(each_s * seconds * subscribers * 0.99) - len(signals)),
        "lost": sum(lost for _, _, lost in got),
    }
    if len(video):
        row["video"] = percentiles(video)
    return row


def percentiles(us: Any) -> dict[str, float]:
    values = np.percentile(us, [50, 90, 99, 100])
    return dict(zip(("p50", "p90", "p99", "max"), map(float, values.round(1)), strict=True))


# -- the table


def compare(runs: list[tuple[dict[str, Any], dict[str, Any]]], subscribers: int) -> dict[str, Any]:
    """Return medians of ours and the peer, and the ratio of each run with its spread."""
    found: dict[str, Any] = {"subscribers": subscribers, "runs": [list(pair) for pair in runs]}
    for name in ("p50", "p90", "p99", "max"):
        ratios = sorted(ours[name] / peer[name] for ours, peer in runs)
        found[name] = {
            "ours_us": statistics.median(ours[name] for ours, _ in runs),
            "peer_us": statistics.median(peer[name] for _, peer in runs),
            "ratio": round(statistics.median(ratios), 2),
            "spread": [round(ratios[0], 2), round(ratios[-1], 2)],
            "target": TARGETS.get((subscribers, name)),
        }
    return found


def show(found: dict[str, Any]) -> None:
    print(f"\n{found['subscribers']} subscriber(s), µs        ours      peer     ratio (spread)")
    for name in ("p50", "p90", "p99", "max"):
        row = found[name]
        target = f"  target ≤ {row['target']}" if row["target"] else ""
        low, high = row["spread"]
        print(
            f"  {name:24}{row['ours_us']:9.1f} {row['peer_us']:9.1f}"
            f"     {row['ratio']:.2f} ({low:.2f} to {high:.2f}){target}"
        )
    both = [side for pair in found["runs"] for side in pair]
    print(f"  missing {sum(s['missing'] for s in both)}, lost {sum(s['lost'] for s in both)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--video", action="store_true", help="add packets of video on the way")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    missed = False
    tables = []
    for subscribers in arguments.subscribers:
        runs = []
        for number in range(arguments.runs):
            print(f"run {number + 1} with {subscribers} …", file=sys.stderr, flush=True)
            ours = run(True, subscribers, arguments.seconds, arguments.video)
            runs.append((ours, run(False, subscribers, arguments.seconds, arguments.video)))
        found = compare(runs, subscribers)
        tables.append(found)
        missed |= any(
            row["target"] is not None and row["ratio"] > row["target"]
            for row in (found[name] for name in ("p50", "p99"))
        )
        if not arguments.json:
            show(found)
    if arguments.json:
        print(json.dumps({"video": arguments.video, "tables": tables}))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
