"""Raw 1080p frames to local consumers: the shared-memory ring against libzmq's C proxy, same run.

    python benchmarks/frames.py                  # 5 runs, 1 and 8 consumers
    python benchmarks/frames.py --json

30 frames a second of 1920x1080 BGR (6.2 MB). Ours: `Ring.write`, the descriptor as a sample through
the broker with CURVE and its checks, `RingReader.view`. The peer: the same bytes by ``zmq.proxy``
between PUB and SUB, without copies in Python. A latency runs from just before the frame is written
or sent to the moment when its first and last bytes have been read and compared; a frame whose ends
differ is torn. Exit code 1 when a target is missed.
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

from benchmarks.latency import Where, begin
from benchmarks.peers.run import played, side
from benchmarks.signals import WARM_S
from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.channel import Event, Lifecycle
from scot.clock import machine
from scot.errors import RingError
from scot.provider import DeviceContext, NoOptions
from scot.ring import Ring, RingFrame, RingReader

SHAPE = (1080, 1920, 3)
BYTES = 1080 * 1920 * 3
HZ = 30
TARGETS_MS = {"p50": 1.5, "p99": 3.0}
STAMP = struct.Struct("<q")
RAW = Event("raw", rate_hz=float(HZ))


class Seen:
    """What one consumer saw."""

    def __init__(self) -> None:
        self.ns: list[int] = []
        self.torn = 0
        self.gone = 0
        self._from_ns = 2**62

    def begin(self, from_ns: int) -> None:
        """Keep what is sent from now on."""
        self._from_ns = from_ns

    def note(self, head: Any, tail: Any) -> None:
        """Compare a frame's ends and note how old it is."""
        (sent_ns,), (last_ns,) = STAMP.unpack(head), STAMP.unpack(tail)
        if sent_ns >= self._from_ns:
            self.torn += sent_ns != last_ns
            self.ns.append(machine.monotonic_ns() - sent_ns)


class Consumer:
    """Sink: looks at each frame where it lies."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.reader = RingReader()

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take descriptors."""
        for delivery in batch:
            frame = RingFrame.of(delivery.sample().value)
            try:
                flat = self.reader.view(frame).reshape(-1)
            except RingError:
                self.seen.gone += 1
                continue
            head, tail = flat[:8].tobytes(), flat[-8:].tobytes()
            if self.reader.still_there(frame):
                self.seen.note(head, tail)
            else:
                self.seen.gone += 1

    def close(self) -> None:
        """Let go of the ring."""
        self.reader.close()


def stamped(pixels: Any, now_ns: int) -> None:
    flat = pixels.reshape(-1)
    flat[:8] = flat[-8:] = np.frombuffer(STAMP.pack(now_ns), np.uint8)


def due(seconds: float) -> list[int]:
    return [round(n * 1e9 / HZ) for n in range(round((seconds + WARM_S) * HZ))]


async def our_publisher(pipe: Pipe, state: Path, seconds: float) -> None:
    connection = await Connection.join(Link.load(state, "device"))
    device = DeviceContext("or1", "device", NoOptions(), connection.clock)
    device.offer(RAW)
    device.move(Lifecycle.RUNNING)
    await connection.announce(device.device("bench", {"en": "Camera"}))
    ring, pixels = Ring(BYTES), np.full(SHAPE, 90, np.uint8)
    start_ns = await begin(pipe)
    for at_ns in due(seconds):
        await machine.until(start_ns + at_ns)
        now_ns = machine.monotonic_ns()
        stamped(pixels, now_ns)
        frame = ring.write(pixels)
        sample = device.sample(RAW, frame.value(), source_ns=now_ns, base="host")
        connection.publish(sample, RAW)
    await connection.drained()
    await asyncio.to_thread(pipe.recv)
    await connection.close()


async def our_subscriber(pipe: Pipe, state: Path) -> None:
    connection = await Connection.join(Link.load(state, "console"))
    seen = Seen()
    connection.subscribe(["or1/device/raw"], Consumer(seen))
    seen.begin(await begin(pipe) + round(WARM_S * 1e9))
    await asyncio.to_thread(pipe.recv)
    pipe.send((seen.ns, seen.torn, seen.gone))
    await connection.close()


def peer_publisher(pipe: Pipe, where: Where, seconds: float) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.connect(f"tcp://127.0.0.1:{where['ports'][0]}")
        pixels = np.full(SHAPE, 90, np.uint8)
        pipe.send("ready")
        start_ns = pipe.recv()
        for at_ns in due(seconds):
            machine.sleep(max(0.0, (start_ns + at_ns - machine.monotonic_ns()) / 1e9))
            now_ns = machine.monotonic_ns()
            stamped(pixels, now_ns)
            pub.send(pixels.tobytes(), copy=False)
        pipe.recv()


def peer_subscriber(pipe: Pipe, where: Where) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.connect(f"tcp://127.0.0.1:{where['ports'][1]}")
        sub.setsockopt(zmq.SUBSCRIBE, b"")
        seen = Seen()
        pipe.send("ready")
        seen.begin(pipe.recv() + round(WARM_S * 1e9))
        while not pipe.poll(0):
            if sub.poll(50):
                data = sub.recv(copy=False).buffer
                seen.note(data[:8], data[-8:])
        pipe.recv()
        pipe.send((seen.ns, seen.torn, seen.gone))


def run(ours: bool, consumers: int, seconds: float) -> dict[str, Any]:
    """Run one side once; return percentiles in ms."""
    publisher, subscriber = (
        (our_publisher, our_subscriber) if ours else (peer_publisher, peer_subscriber)
    )
    with side(ours) as (where, start):
        readers = [start(subscriber, where) for _ in range(consumers)]
        got = played(start(publisher, where, seconds), readers, seconds)
    ms = np.array([ns for each, _, _ in got for ns in each]) / 1e6
    return {
        "p50": float(np.percentile(ms, 50)),
        "p99": float(np.percentile(ms, 99)),
        "frames": len(ms),
        "of": round(seconds * HZ) * consumers,
        "torn": sum(torn for _, torn, _ in got),
        "gone": sum(gone for _, _, gone in got),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--consumers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    missed, tables = False, []
    for consumers in arguments.consumers:
        pairs = []
        for number in range(arguments.runs):
            print(f"run {number + 1} with {consumers} …", file=sys.stderr, flush=True)
            pairs.append(tuple(run(ours, consumers, arguments.seconds) for ours in (True, False)))
        table: dict[str, Any] = {"consumers": consumers, "runs": pairs}
        for name, target in TARGETS_MS.items():
            ours, peer = ([pair[side][name] for pair in pairs] for side in (0, 1))
            ratios = sorted(a / b for a, b in zip(ours, peer, strict=True))
            table[name] = {
                "ours_ms": round(statistics.median(ours), 3),
                "peer_ms": round(statistics.median(peer), 3),
                "ratio": round(statistics.median(ratios), 3),
                "spread": [round(ratios[0], 3), round(ratios[-1], 3)],
                "target_ms": target,
            }
            missed |= table[name]["ours_ms"] > target
        torn = sum(pair[0]["torn"] for pair in pairs)
        missed |= torn > 0
        tables.append(table)
        if not arguments.json:
            show(table, torn)
    if arguments.json:
        print(json.dumps({"tables": tables}))
    return int(missed)


def show(table: dict[str, Any], torn: int) -> None:
    print(f"\n{table['consumers']} consumer(s), ms    ours     proxy     ratio (spread)")
    for name in TARGETS_MS:
        row = table[name]
        print(
            f"  {name:16}{row['ours_ms']:9.2f} {row['peer_ms']:9.2f}     {row['ratio']:.3f} "
            f"({row['spread'][0]:.3f} to {row['spread'][1]:.3f})  target ≤ {row['target_ms']} ms"
        )
    ours = [pair[0] for pair in table["runs"]]
    seen, of = sum(run["frames"] for run in ours), sum(run["of"] for run in ours)
    print(f"  {seen} of {of} frames, torn {torn}, overwritten {sum(r['gone'] for r in ours)}")


if __name__ == "__main__":
    sys.exit(main())
