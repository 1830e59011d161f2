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
import statistics
import struct
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from benchmarks.peers.run import played, side
from benchmarks.signals import VIDEO_HZ, WARM_S, Stream, due, streams
from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.channel import Device, Lifecycle
from scot.clock import machine
from scot.host import settle
from scot.provider import DeviceContext, NoOptions

Where = dict[str, list[int]]

TARGETS = {(1, "p50"): 1.6, (8, "p50"): 1.3, (1, "p99"): 1.8, (8, "p99"): 1.8}


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


async def our_publisher(pipe: Pipe, state: Path, seconds: float, video: bool) -> None:
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


async def our_subscriber(pipe: Pipe, state: Path) -> None:
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


# -- the peer


def peer_publisher(pipe: Pipe, where: Where, seconds: float, video: bool) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.connect(f"tcp://127.0.0.1:{where['ports'][0]}")
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


def peer_subscriber(pipe: Pipe, where: Where) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.connect(f"tcp://127.0.0.1:{where['ports'][1]}")
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


def run(ours: bool, subscribers: int, seconds: float, video: bool) -> dict[str, Any]:
    """Run one side once; return percentiles in µs."""
    publisher, subscriber = (
        (our_publisher, our_subscriber) if ours else (peer_publisher, peer_subscriber)
    )
    with side(ours) as (where, start):
        readers = [start(subscriber, where) for _ in range(subscribers)]
        writer = start(publisher, where, seconds, video)
        got = played(writer, readers, seconds)
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
