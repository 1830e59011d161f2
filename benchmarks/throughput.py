"""Samples a second, flat out and lossless, ours against libzmq's C proxy and `zmq.asyncio`.

    python benchmarks/throughput.py                  # 5 runs, 1 and 8 subscribers
    python benchmarks/throughput.py --curve --json   # the C proxy with CURVE, too

Ours is the product's path with CURVE, the broker's checks, gap detectors and decoded samples, with
`scot.bus.sync` at both ends or `scot.bus.connection` at both. The peers are `zmq.proxy` between PUB
and SUB with two parts, topic and stamped bytes, without keys or checks, and the same proxy with
`zmq.asyncio` at both ends. Payloads are 128 B. Nobody loses anything: every publisher waits while
a subscriber has yet to take more than 4,096 of what it sent. Also what a header costs. Exit code 1
when a median misses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing as mp
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
import zmq
import zmq.asyncio

from benchmarks.peers.ours import serve
from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.bus.sync import Connection as Blocking
from scot.channel import Device, Lifecycle, Waveform
from scot.clock import machine
from scot.clock.clock import Clock
from scot.codec import encode, read_header
from scot.host import settle
from scot.provider import DeviceContext, NoOptions
from scot.room import free_ports
from scot.sample import Sample

WINDOW = 4096
LOOK = 64
WARM_S = 0.5
BLOCK = np.arange(32, dtype=np.float32)  # 128 B
RAW = BLOCK.tobytes()
WAVE = Waveform("block", rate_hz=1000.0)
TOPIC = b"or1/device/block\0"
OURS, PEERS = ("sync", "async"), ("proxy", "zmq.asyncio")


class Taken:
    """How many each subscriber has taken, seen by all processes."""

    def __init__(self, subscribers: int) -> None:
        self.counts = mp.get_context("spawn").RawArray("q", subscribers)

    def full(self, sent: int) -> bool:
        """Whether somebody has yet to take more than `WINDOW`."""
        return bool(sent - min(self.counts) >= WINDOW)

    async def room(self, sent: int, pipe: Pipe) -> None:
        """Wait, looking again and again: counts of other processes give no event."""
        while self.full(sent) and not pipe.poll():  # noqa: ASYNC110
            await asyncio.sleep(0.0002)


# -- ours


class Sink:
    """Decodes and counts."""

    def __init__(self, taken: Taken, number: int) -> None:
        self.taken = taken
        self.number = number

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take samples."""
        for delivery in batch:
            assert len(delivery.sample().value) == len(BLOCK)  # type: ignore[arg-type]
        self.taken.counts[self.number] += len(batch)

    def close(self) -> None:
        """Nothing to let go."""


def device_of(clock: Clock) -> tuple[DeviceContext[NoOptions], Device]:
    device = DeviceContext("or1", "device", NoOptions(), clock)
    device.offer(WAVE)
    device.move(Lifecycle.RUNNING)
    return device, device.device("bench", {"en": "Load"})


def make(device: DeviceContext[NoOptions]) -> Sample:
    return device.sample(WAVE, BLOCK, source_ns=device.arrived(), base="host")


def sync_publisher(pipe: Pipe, taken: Taken, state: Path) -> None:
    with Blocking.join(Link.load(state, "device")) as connection:
        device, entry = device_of(connection.clock)
        connection.announce(entry)
        settle()
        sent = 0
        pipe.send("ready")
        while not pipe.poll():
            for _ in range(LOOK):
                connection.publish(make(device), WAVE)
            sent += LOOK
            connection.wait(lambda sent=sent: not taken.full(sent), 1.0)  # type: ignore[misc]
        pipe.recv()
        pipe.send(sent)
        pipe.recv()


def sync_subscriber(pipe: Pipe, taken: Taken, state: Path, number: int) -> None:
    with Blocking.join(Link.load(state, "console")) as connection:
        connection.subscribe(["or1/device/block"], Sink(taken, number), from_start=True)
        settle()
        pipe.send("ready")
        connection.wait(pipe.poll)
        pipe.recv()
        pipe.send(sum(connection.lost.values()))


def async_publisher(pipe: Pipe, taken: Taken, state: Path) -> None:
    async def work() -> None:
        connection = await Connection.join(Link.load(state, "device"))
        device, entry = device_of(connection.clock)
        await connection.announce(entry)
        settle()
        sent = 0
        pipe.send("ready")
        while not pipe.poll():
            for _ in range(LOOK):
                connection.publish(make(device), WAVE)
            sent += LOOK
            await connection.credit()
            await taken.room(sent, pipe)
        pipe.recv()
        pipe.send(sent)
        await asyncio.to_thread(pipe.recv)
        await connection.close()

    uvloop.run(work())


def async_subscriber(pipe: Pipe, taken: Taken, state: Path, number: int) -> None:
    async def work() -> None:
        connection = await Connection.join(Link.load(state, "console"))
        connection.subscribe(["or1/device/block"], Sink(taken, number), from_start=True)
        settle()
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        pipe.send(sum(connection.lost.values()))
        await connection.close()

    uvloop.run(work())


# -- the peers


def curved(sock: zmq.Socket[bytes], keys: dict[str, bytes] | None) -> None:
    """Make a socket speak CURVE, when there are keys."""
    if keys is None:
        return
    sock.curve_publickey, sock.curve_secretkey = keys["public"], keys["secret"]
    sock.curve_serverkey = keys["server"]


def proxy(pipe: Pipe, ports: list[int], keys: dict[str, bytes] | None = None) -> None:
    with (
        zmq.Context() as context,
        context.socket(zmq.XSUB) as xsub,
        context.socket(zmq.XPUB) as xpub,
    ):
        for sock, port in ((xsub, ports[0]), (xpub, ports[1])):
            sock.setsockopt(zmq.SNDHWM, 0)
            sock.setsockopt(zmq.RCVHWM, 0)
            if keys is not None:
                sock.curve_server = True
                sock.curve_secretkey = keys["server_secret"]
            sock.bind(f"tcp://127.0.0.1:{port}")
        pipe.send("ready")
        zmq.proxy(xsub, xpub)


def stamped(whole: bool = False) -> list[bytes]:
    """Return a message that says when it was made; in one part, as ours is, if `whole`."""
    stamp = struct.pack("<q", machine.monotonic_ns()) + RAW
    return [TOPIC + stamp] if whole else [TOPIC, stamp]


def proxy_publisher(pipe: Pipe, taken: Taken, ports: list[int], keys: Any = None) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.setsockopt(zmq.SNDHWM, 0)
        curved(pub, keys)
        pub.connect(f"tcp://127.0.0.1:{ports[0]}")
        whole = keys is not None
        hello(pub, taken, whole)
        sent = 0
        pipe.send("ready")
        while not pipe.poll():
            for _ in range(LOOK):
                pub.send_multipart(stamped(whole))
            sent += LOOK
            while taken.full(sent) and not pipe.poll():
                machine.sleep(0.0002)
        pipe.recv()
        pipe.send(sent)
        pipe.recv()


def hello(pub: zmq.Socket[bytes], taken: Taken, whole: bool) -> None:
    """Send until every subscriber has heard one, then begin to count."""
    while min(taken.counts) == 0:
        pub.send_multipart(stamped(whole))
        machine.sleep(0.01)
    machine.sleep(0.3)
    taken.counts[:] = [0] * len(taken.counts)


def proxy_subscriber(
    pipe: Pipe, taken: Taken, ports: list[int], number: int, keys: Any = None
) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.setsockopt(zmq.RCVHWM, 0)
        sub.setsockopt(zmq.RCVTIMEO, 100)
        curved(sub, keys)
        sub.connect(f"tcp://127.0.0.1:{ports[1]}")
        sub.setsockopt(zmq.SUBSCRIBE, TOPIC)
        pipe.send("ready")
        got = 0
        while True:
            try:
                if keys is None:
                    sub.recv()
                struct.unpack_from("<q", sub.recv(), 0 if keys is None else len(TOPIC))
                got += 1
            except zmq.Again:
                if pipe.poll():
                    break
                continue
            taken.counts[number] += 1
            if got % LOOK == 0 and pipe.poll():
                break
        pipe.recv()
        pipe.send(0)


def asyncio_publisher(pipe: Pipe, taken: Taken, ports: list[int]) -> None:
    async def work() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.PUB) as pub:
            pub.setsockopt(zmq.SNDHWM, 0)
            pub.connect(f"tcp://127.0.0.1:{ports[0]}")
            while min(taken.counts) == 0:
                await pub.send_multipart([TOPIC, bytes(8)])
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            taken.counts[:] = [0] * len(taken.counts)
            sent = 0
            pipe.send("ready")
            while not pipe.poll():
                for _ in range(LOOK):
                    await pub.send_multipart(stamped())
                sent += LOOK
                await taken.room(sent, pipe)
            pipe.recv()
            pipe.send(sent)
            await asyncio.to_thread(pipe.recv)

    uvloop.run(work())


def asyncio_subscriber(pipe: Pipe, taken: Taken, ports: list[int], number: int) -> None:
    async def work() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as sub:
            sub.setsockopt(zmq.RCVHWM, 0)
            sub.connect(f"tcp://127.0.0.1:{ports[1]}")
            sub.setsockopt(zmq.SUBSCRIBE, TOPIC)
            pipe.send("ready")

            async def take() -> None:
                while True:
                    struct.unpack_from("<q", (await sub.recv_multipart())[1])
                    taken.counts[number] += 1

            taking = asyncio.create_task(take())
            await asyncio.to_thread(pipe.recv)
            taking.cancel()
            pipe.send(0)

    uvloop.run(work())


# -- one run


@contextmanager
def place(what: str, start: Callable[..., Pipe]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield where a side's ends meet, and keys, while its broker or proxy runs."""
    if what in OURS:
        with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as state:
            yield (state,), None
        return
    ports, keys = free_ports(2), None
    if what == "proxy+curve":
        (server, server_secret), (public, secret) = zmq.curve_keypair(), zmq.curve_keypair()
        keys = {"server": server, "server_secret": server_secret}
        keys |= {"public": public, "secret": secret}
    start(proxy, ports, keys)
    yield (ports,), keys


def run(what: str, subscribers: int, seconds: float) -> dict[str, float]:
    """Run one side once; return samples a second to each subscriber, and what was lost."""
    spawn = mp.get_context("spawn")
    processes: list[mp.process.BaseProcess] = []

    def start(role: Callable[..., None], *arguments: Any) -> Pipe:
        here, there = spawn.Pipe()
        process = spawn.Process(target=role, args=(there, *arguments), daemon=True)
        process.start()
        there.close()
        processes.append(process)
        assert here.recv() == "ready"
        return here

    writer_role, reader_role = ROLES[what]
    taken = Taken(subscribers)
    with place(what, start) as (where, keys):
        extra = () if keys is None else (keys,)
        readers = [start(reader_role, taken, *where, n, *extra) for n in range(subscribers)]
        writer = start(writer_role, taken, *where, *extra)
        machine.sleep(WARM_S)
        before, began_ns = list(taken.counts), machine.monotonic_ns()
        machine.sleep(seconds)
        after, ended_ns = list(taken.counts), machine.monotonic_ns()
        writer.send("stop")
        sent = writer.recv()
        end_ns = machine.monotonic_ns() + 5_000_000_000
        while min(taken.counts) < sent and machine.monotonic_ns() < end_ns:
            machine.sleep(0.05)
        missing = sum(max(0, sent - count) for count in taken.counts)
        for pipe in (*readers, writer):
            pipe.send("stop")
        for process in processes:
            process.join(0.1 if process is processes[0] and what not in OURS else 5)
            process.terminate()
    rates = [(b - a) * 1e9 / (ended_ns - began_ns) for a, b in zip(before, after, strict=True)]
    return {"each_hz": statistics.mean(rates), "missing": missing}


ROLES: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "sync": (sync_publisher, sync_subscriber),
    "async": (async_publisher, async_subscriber),
    "proxy": (proxy_publisher, proxy_subscriber),
    "proxy+curve": (proxy_publisher, proxy_subscriber),
    "zmq.asyncio": (asyncio_publisher, asyncio_subscriber),
}
RATIOS = {  # (ours, peer): target by number of subscribers
    ("sync", "proxy"): {1: 0.5, 8: 0.55},
    ("async", "proxy"): {1: 0.5, 8: 0.55},
    ("async", "sync"): {1: 0.7, 8: 0.7},
    ("async", "zmq.asyncio"): {1: 5.0, 8: 5.0},
    ("sync", "proxy+curve"): {},
    ("proxy+curve", "proxy"): {},
}


def ratios(rows: list[dict[str, dict[str, float]]], subscribers: int) -> list[dict[str, Any]]:
    """Return each pair's median ratio over the runs, with spread and target."""
    found = []
    for (ours, peer), targets in RATIOS.items():
        if ours in rows[0] and peer in rows[0]:
            each = sorted(row[ours]["each_hz"] / row[peer]["each_hz"] for row in rows)
            found.append(
                {
                    "ours": ours,
                    "peer": peer,
                    "ratio": round(statistics.median(each), 2),
                    "spread": [round(each[0], 2), round(each[-1], 2)],
                    "target": targets.get(subscribers),
                }
            )
    return found


def headers(count: int = 200_000) -> list[dict[str, Any]]:
    """Return what encoding and decoding one header costs, µs, the least of five."""
    device, _ = device_of(Clock.session())
    frame = encode(make(device), WAVE.kind)
    header = read_header(frame)
    packed = type(header)
    import msgspec

    write, read = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(packed).decode

    def least(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(count // 5):
                work()
            times.append((time.perf_counter() - began) / (count // 5) * 1e6)
        return round(min(times), 3)

    return [
        {"what": "header encode", "us": least(lambda: write(header)), "target": 0.3},
        {"what": "header decode", "us": least(lambda: read(frame.header)), "target": 0.5},
    ]


def show(table: dict[str, Any]) -> None:
    print(f"\n{table['subscribers']} subscriber(s), samples a second to each")
    for what, hz in table["each_hz"].items():
        print(f"  {what:14}{hz:12,.0f}")
    for row in table["ratios"]:
        low, high = row["spread"]
        target = f"  target ≥ {row['target']}" if row["target"] else ""
        pair = f"{row['ours']} / {row['peer']}"
        print(f"  {pair:22}{row['ratio']:8.2f} ({low:.2f} to {high:.2f}){target}")
    print(f"  missing {table['missing']}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 8])
    parser.add_argument(
        "--curve", action="store_true", help="also the C proxy with CURVE, in one part"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    sides = [*OURS, *PEERS, *(["proxy+curve"] if arguments.curve else [])]
    tables = []
    for subscribers in arguments.subscribers:
        rows = []
        for number in range(arguments.runs):
            print(f"run {number + 1} with {subscribers} …", file=sys.stderr, flush=True)
            rows.append({what: run(what, subscribers, arguments.seconds) for what in sides})
        each = {w: statistics.median(row[w]["each_hz"] for row in rows) for w in sides}
        missing = int(sum(one["missing"] for row in rows for one in row.values()))
        found = ratios(rows, subscribers)
        table = {"subscribers": subscribers, "each_hz": each, "ratios": found, "missing": missing}
        tables.append(table)
        if not arguments.json:
            show(table)
    costs = headers()
    if arguments.json:
        print(json.dumps({"tables": tables, "headers": costs}))
    else:
        for cost in costs:
            print(f"{cost['what']}: {cost['us']} µs  target ≤ {cost['target']}")
    checked = [row for table in tables for row in table["ratios"] if row["target"]]
    missed = any(row["ratio"] < row["target"] for row in checked)
    missed |= any(cost["us"] > cost["target"] for cost in costs)
    return int(missed or any(table["missing"] for table in tables))


if __name__ == "__main__":
    sys.exit(main())
