"""What a UDP probe with the kernel's receive stamps would bring, on the bed's LAN.

    sudo .venv/bin/python -m benchmarks.bed.stamps

On one wire, at one time and with one bent clock: the present probe over ZeroMQ, a probe over UDP
stamped by the program, and the same UDP exchange with the kernel's receive stamps
(SO_TIMESTAMPNS, socket(7)) for t2 and t4. The same estimator takes all three.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.bed import ends
from benchmarks.bed.bent import Bent
from benchmarks.bed.figures import SETTLE, Errors
from benchmarks.bed.wire import NEAR, Wire, before_others, die_with_parent, sweep
from scot.access import Grant
from scot.bus.keys import PORTS, issue
from scot.clock import machine
from scot.clock.clock import Clock
from scot.clock.estimator import Estimator
from scot.clock.probe import BURST, BURST_EVERY_NS, EVERY_NS, Probe

PORT = 18_960
SO_TIMESTAMPNS = 35  # asm-generic/socket.h
WAYS = ("UDP", "UDP, kernel stamps")


class Stamped:
    """A UDP socket that says when the kernel got each datagram, in monotonic ns."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.setblocking(False)

    def receive(self) -> tuple[bytes, tuple[str, int], int, int]:
        """Return datagram, sender, the kernel's stamp and ours.

        The kernel stamps in wall-clock time; the two clocks are slewed together, so their
        difference, read now, places it, unless the wall clock was set in between.
        """
        data, ancillary, _, sender = self.sock.recvmsg(512, 64)
        ours_ns = machine.monotonic_ns()
        wall_ns = time.time_ns()
        later_ns = machine.monotonic_ns()
        seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
        ago_ns = wall_ns - (seconds * 1_000_000_000 + nanoseconds)
        return data, sender, (ours_ns + later_ns) // 2 - ago_ns, ours_ns


def server() -> None:
    """Answer each datagram with (t1, t2 of the kernel, t2 of ours, t3)."""
    end = Stamped()
    end.sock.setblocking(True)
    end.sock.bind((NEAR, PORT))
    while True:
        data, sender, kernel_ns, ours_ns = end.receive()
        t1_ns = int.from_bytes(data, "big")  # the machine's: the client bends it afterwards
        t3_ns = machine.monotonic_ns()
        end.sock.sendto(struct.pack(">4q", t1_ns, kernel_ns, ours_ns, t3_ns), sender)


async def client(plan: ends.Plan) -> list[list[ends.Look]]:
    """Probe as our device does and return one list of looks for each way of stamping."""
    bent, session = plan.bent, plan.session
    end = Stamped()
    end.sock.connect((NEAR, PORT))
    estimators = [Estimator() for _ in WAYS]
    there_ns: list[list[int]] = [[] for _ in WAYS]
    back_ns: list[list[int]] = [[] for _ in WAYS]

    def on_reply() -> None:
        try:
            data, _, kernel_ns, ours_ns = end.receive()
        except ConnectionRefusedError:  # the server is not up yet
            return
        t1_true_ns, t2_kernel_ns, t2_ours_ns, t3_ns = struct.unpack(">4q", data)
        for i, (t2_ns, t4_true_ns) in enumerate(((t2_ours_ns, ours_ns), (t2_kernel_ns, kernel_ns))):
            estimators[i].add(Probe(bent.at(t1_true_ns), t2_ns, t3_ns, bent.at(t4_true_ns)))
            there_ns[i].append(t2_ns - t1_true_ns)
            back_ns[i].append(t4_true_ns - t3_ns)

    asyncio.get_running_loop().add_reader(end.sock.fileno(), on_reply)
    rows: list[list[ends.Look]] = [[] for _ in WAYS]
    tasks = [asyncio.create_task(_asking(end)), asyncio.create_task(ends.busy(plan.busy_s))]
    while (true_ns := machine.monotonic_ns()) < plan.until_ns:
        reading_ns = bent.at(true_ns)
        for estimator, kept in zip(estimators, rows, strict=True):
            if (line := estimator.line) is None:
                continue
            since_ns = reading_ns - line.at_ns
            offset_ns = line.offset_ns + round(line.skew * since_ns)
            bound_ns = line.bound_ns + round(line.drift * since_ns)
            error_ns = session.at(reading_ns + offset_ns) - session.at(true_ns)
            kept.append(ends.Look(true_ns, error_ns, bound_ns, line.err_ns, estimator.epoch))
        await asyncio.sleep(ends.LOOK_S)
    for task in tasks:
        task.cancel()
    end.sock.close()
    for way, there, back in zip(WAYS, there_ns, back_ns, strict=True):
        print(f"  {way:18} there {_spread(there)}, back {_spread(back)}")
    return rows


def _spread(delays_ns: list[int]) -> str:
    least, middle = np.percentile(delays_ns, [0, 50]) / 1e3
    return f"from {least:.0f}, median {middle:.0f} µs"


async def _asking(end: Stamped) -> None:
    sent = 0
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            end.sock.send(machine.monotonic_ns().to_bytes(8, "big"))
        sent += 1
        every_ns = BURST_EVERY_NS if sent < BURST else EVERY_NS
        await asyncio.sleep(every_ns * random.uniform(0.8, 1.2) / 1e9)


def run(link: str, seconds: float, seed: int, busy_s: float, folder: Path) -> None:
    """Run all ways at once on one link and print what each reached."""
    state = folder / "state"
    ports = {name: 18_950 + i for i, name in enumerate(PORTS)}
    issue(state, NEAR, ports, "bed", [Grant(name="device")])
    session = Clock.session().map
    assert session is not None
    begin_ns = machine.monotonic_ns()
    until_ns = begin_ns + round(seconds * 1e9)
    plan = ends.Plan(str(state), session, Bent(begin_ns, 200_000, [], 0), until_ns, busy_s)
    where = folder / "plan.json"
    where.write_bytes(msgspec.json.encode(plan))
    with Wire(link, seed) as wire:
        python = [sys.executable, "-m"]
        near, far = ([*("ip", "netns", "exec", space), *python] for space in (wire.near, wire.far))
        udp = [__spec__.name, "--role"]
        served = [
            subprocess.Popen([*near, ends.__name__, "broker", where, folder / "none"]),
            subprocess.Popen([*near, *udp, "server"]),
        ]
        looking = [
            subprocess.Popen([*far, ends.__name__, "device", where, folder / "zmq.json"]),
            subprocess.Popen([*far, *udp, "client", "--folder", folder]),
        ]
        try:
            for process in looking:
                process.wait(timeout=seconds + 12)
        finally:
            for process in (*served, *looking):
                process.kill()
                process.wait()
    zmq = msgspec.json.decode((folder / "zmq.json").read_bytes(), type=list[ends.Look])
    udp_rows = msgspec.json.decode((folder / "udp.json").read_bytes(), type=list[list[ends.Look]])
    for way, rows in zip(("ZeroMQ", *WAYS), (zmq, *udp_rows), strict=True):
        calm = [row for row in rows if row.true_ns >= begin_ns + SETTLE * seconds * 1e9]
        errors = Errors.of(calm)
        bound_us = np.median([(row.bound_ns or 0) / 1e3 for row in calm])
        mean_us = np.mean([row.error_ns / 1e3 for row in calm])
        print(
            f"  {way:18} error p50 {errors.p50_us:7.1f}  p95 {errors.p95_us:7.1f}  "
            f"max {errors.max_us:7.1f}  mean {mean_us:+7.1f} µs   sure ± {bound_us:.1f} µs"
        )


def main() -> None:
    """Run the comparison, or one of its roles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--role", choices=["server", "client"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--link", default="LAN")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fifo", action="store_true", help="before others on a busy machine")
    parser.add_argument("--busy", type=float, default=0.0, help="ms of each 10 the device works")
    told = parser.parse_args()
    if told.role == "server":
        die_with_parent()
        server()
    elif told.role == "client":
        die_with_parent()
        plan = msgspec.json.decode((told.folder / "plan.json").read_bytes(), type=ends.Plan)
        rows = asyncio.run(client(plan))
        (told.folder / "udp.json").write_bytes(msgspec.json.encode(rows))
    else:
        if os.geteuid() != 0:
            raise SystemExit("network namespaces need root")
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
        sweep()
        if told.fifo:
            before_others()
        print(f"{told.link}, device busy {told.busy:g} ms of each 10")
        with tempfile.TemporaryDirectory(prefix="scot-bed-") as folder:
            run(told.link, told.seconds, told.seed, told.busy / 1e3, Path(folder))


if __name__ == "__main__":
    main()
