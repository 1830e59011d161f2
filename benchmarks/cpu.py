"""What a sample costs in processor time and in wake-ups, thread by thread; valid on a busy machine.

    python -m benchmarks.cpu                       # ours and the C proxy, 1 and 8 subscribers
    python -m benchmarks.cpu --subscribers 1 --bus ours --seconds 10

An OR's signals (`benchmarks.peers`) are sent as they are due. Processor time is the kernel's own of
each thread (``schedstat``), wake-ups are its voluntary context switches; both are divided by the
samples that were published. Linux only. There is no target: the figures say where time goes, and
before and after a change whether it went. Latency is the business of `benchmarks.peers`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers import ours, roles
from benchmarks.peers.buses import PEERS
from benchmarks.peers.load import WARM_S, Shared
from benchmarks.peers.run import LEAD_NS, TAIL_S, processes
from benchmarks.signals import streams
from scot.clock import machine

SAMPLES_HZ = sum(rate_hz * len(speaking) for rate_hz, speaking in streams(video=False))


class Used(NamedTuple):
    """What threads have used: processor time, ns, and times they woke up."""

    cpu_ns: int
    wakes: int


Threads = dict[tuple[int, str], Used]


def children() -> list[int]:
    """Return the processes that this one started, and what those started."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(stat.parent.name))
    found, ahead = [], [os.getpid()]
    while ahead:
        ahead += (here := parents.get(ahead.pop(), []))
        found += here
    return found


def used() -> Threads:
    """Return what each thread of the run has used, by process and kind of thread."""
    total: Threads = {}
    for pid in children():
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                kind = "libzmq" if (task / "comm").read_text().startswith("ZMQbg") else "python"
                cpu_ns = int((task / "schedstat").read_text().split()[0])
                lines = (task / "status").read_text().splitlines()
            except OSError:
                continue
            wakes = int(next(x.split()[1] for x in lines if x.startswith("voluntary")))
            before = total.get((pid, kind), Used(0, 0))
            total[pid, kind] = Used(before.cpu_ns + cpu_ns, before.wakes + wakes)
    return total


def run(bus: str, subscribers: int, seconds: float) -> dict[str, tuple[float, float]]:
    """Carry an OR's signals; return µs and wake-ups a sample of each role's threads."""
    shared, pipes = Shared(subscribers), []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        where: Any = stack.enter_context(
            ours.serve(folder) if bus == "ours" else PEERS[bus].serve(folder)
        )
        named = dict.fromkeys(children(), "broker")
        start = stack.enter_context(processes()).start
        for number in range(subscribers):
            if bus == "ours":
                pipes.append(start(ours.subscriber, where, shared, number))
            else:
                pipes.append(start(roles.subscriber, bus, where, shared, number, False))
            named |= dict.fromkeys(set(children()) - set(named), "subscribers")
        if bus == "ours":
            pipes.append(start(ours.publisher, where, seconds))
        else:
            pipes.append(start(roles.publisher, bus, where, shared, seconds))
        named |= dict.fromkeys(set(children()) - set(named), "publisher")
        pipes[-1].send(machine.monotonic_ns() + LEAD_NS)
        machine.sleep(LEAD_NS / 1e9 + WARM_S)
        began, began_ns = used(), machine.monotonic_ns()
        machine.sleep(seconds - WARM_S)
        ended, ended_ns = used(), machine.monotonic_ns()
        machine.sleep(WARM_S + TAIL_S)
        for pipe in pipes:
            pipe.send("stop")
        for pipe in pipes[:subscribers]:
            pipe.recv()
    samples = SAMPLES_HZ * (ended_ns - began_ns) / 1e9
    return shares(began, ended, named, samples)


def shares(
    began: Threads, ended: Threads, named: dict[int, str], samples: float
) -> dict[str, tuple[float, float]]:
    """Return µs and wake-ups a sample between two looks, by role and kind of thread."""
    rows: dict[str, tuple[float, float]] = {}
    for (pid, kind), after in ended.items():
        was = began.get((pid, kind), after)
        name = f"{named.get(pid, 'broker')} {kind}"
        us, wakes = rows.get(name, (0.0, 0.0))
        us += (after.cpu_ns - was.cpu_ns) / 1e3 / samples
        rows[name] = us, wakes + (after.wakes - was.wakes) / samples
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--bus", nargs="+", default=["ours", "proxy"])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = []
    for subscribers in asked.subscribers:
        for bus in asked.bus:
            rows = run(bus, subscribers, asked.seconds)
            found.append({"bus": bus, "subscribers": subscribers, "threads": rows})
            if asked.json:
                continue
            print(f"\n{bus}, {subscribers} subscriber(s)    µs a sample   wake-ups a sample")
            for name, (us, wakes) in sorted(rows.items()):
                print(f"  {name:24}{us:14.2f}{wakes:14.2f}", flush=True)
            total = sum(us for us, _ in rows.values()), sum(wakes for _, wakes in rows.values())
            print(f"  {'all':24}{total[0]:14.2f}{total[1]:14.2f}", flush=True)
    if asked.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
