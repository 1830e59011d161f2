"""What runs at the ends of the wire: our broker and devices, and the peer's inlet and outlet.

Each is a process in its namespace, told by a plan; devices and inlet write one row a look. Of the
two devices, which share one bent clock, one probes as a room does, the other by ZeroMQ alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq

from benchmarks.bed.bent import Bent
from benchmarks.bed.wire import die_with_parent
from scot.access import Access, Roster
from scot.bus.broker import Broker
from scot.bus.keys import OWN, Endpoints, KeyPair, Link
from scot.bus.probing import Ask, Probing
from scot.bus.socket import CONTROL_BYTES, Drained, connect, context, receive
from scot.channel import Catalogue
from scot.clock import machine
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock

LOOK_S = 0.02
BUSY_EVERY_S = 0.01
STREAM = "scot-bed"


class Plan(msgspec.Struct, frozen=True):
    """What all four ends know.

    Attributes:
        state: folder of the broker's keys.
        session: the broker's clock: bus time of the machine's monotonic ns, exact.
        bent: the device's clock.
        until_ns: when to end, machine's monotonic ns.
        busy_s: how long of each hundredth of a second the device's loop does other work.
    """

    state: str
    session: BusMap
    bent: Bent
    until_ns: int
    busy_s: float = 0.0


class Look(NamedTuple):
    """One comparison with the truth; all in ns."""

    true_ns: int
    error_ns: int
    bound_ns: int | None = None
    err_ns: int | None = None
    epoch: int = 0


def broker(plan: Plan, _log: Path) -> None:
    """Serve until SIGTERM."""
    state = Path(plan.state)
    endpoints = msgspec.json.decode((state / "endpoints.json").read_bytes(), type=Endpoints)
    pair = msgspec.json.decode((state / "keys" / "broker.json").read_bytes(), type=KeyPair)
    roster = Roster.parse((state / OWN).read_bytes(), state / OWN)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    catalogue = Catalogue(workspace=endpoints.workspace)
    Broker(endpoints, pair, Access(roster), Clock(plan.session), catalogue).run(
        lambda: bool(stopped)
    )


def device(plan: Plan, log: Path) -> None:
    """Follow the clock service with the bent clock and compare each look with the truth."""
    log.write_bytes(msgspec.json.encode(asyncio.run(_device(plan, "device"))))


def plain(plan: Plan, log: Path) -> None:
    """Do the same by ZeroMQ alone, as where UDP does not pass."""
    log.write_bytes(msgspec.json.encode(asyncio.run(_device(plan, "plain"))))


def asking(context: zmq.Context[zmq.Socket[bytes]], link: Link) -> Ask:
    """Return what asks the broker's desk, one question at a time."""
    answers: asyncio.Queue[list[bytes]] = asyncio.Queue()

    def take(batch: list[list[bytes]]) -> None:
        for _, _, *rest in batch:
            answers.put_nowait(rest)

    sock = context.socket(zmq.DEALER)
    connect(sock, link, "query", CONTROL_BYTES, 16)
    drained = Drained(sock, take, receive)

    async def ask(verb: bytes, body: bytes) -> list[bytes]:
        drained.send([b"1", verb, body])
        return await answers.get()

    return ask


async def _device(plan: Plan, name: str) -> list[Look]:
    bent, session = plan.bent, plan.session
    clock = Clock(read=bent.read)
    zmq_context, link = context(), Link.load(Path(plan.state), name)
    ask = asking(zmq_context, link) if name == "device" else None
    probing = Probing(zmq_context, link, clock, ask)
    tasks = [asyncio.create_task(probing.run()), asyncio.create_task(busy(plan.busy_s))]
    rows: list[Look] = []
    with contextlib.suppress(TimeoutError):  # a device that never learns the time has no rows
        async with asyncio.timeout((plan.until_ns - machine.monotonic_ns()) / 1e9):
            await probing.timed.wait()
    while (true_ns := machine.monotonic_ns()) < plan.until_ns:
        stamp = clock.stamp(bent.at(true_ns) + bent.offset_ns)
        error_ns = stamp.bus_ns - session.at(true_ns)
        epoch = clock.map.epoch if clock.map is not None else 0
        rows.append(Look(true_ns, error_ns, stamp.bound_ns, stamp.err_ns, epoch))
        await asyncio.sleep(LOOK_S)
    for task in tasks:
        task.cancel()
    probing.close()
    return rows


async def busy(busy_s: float) -> None:
    """Keep the loop from everything else for `busy_s` in each hundredth of a second."""
    while busy_s:
        end_ns = machine.monotonic_ns() + round(busy_s * 1e9)
        while machine.monotonic_ns() < end_ns:
            pass
        await asyncio.sleep(BUSY_EVERY_S - busy_s)


def outlet(plan: Plan, _log: Path) -> None:
    """Offer one stream of the peer's until the end; `bent.c` bends this process's clock."""
    import pylsl

    info = pylsl.StreamInfo(STREAM, "bed", 1, 50, "double64", STREAM)
    stream = pylsl.StreamOutlet(info)
    while machine.monotonic_ns() < plan.until_ns:
        stream.push_sample([0.0])
        machine.sleep(LOOK_S)


def inlet(plan: Plan, log: Path) -> None:
    """Ask the peer for its correction, as its manual says, and compare with the truth.

    A stamp of the outlet's clock plus the correction is a time of ours: for a look at the true
    instant t the outlet reads bent(t), so the error is bent(t) + correction − t.
    """
    import pylsl

    rows: list[Look] = []
    found: list[pylsl.StreamInfo] = []
    while not found and machine.monotonic_ns() < plan.until_ns:
        found = pylsl.resolve_byprop("name", STREAM, 1, 2.0)
    if found:
        stream = pylsl.StreamInlet(found[0], max_buflen=1)
        while machine.monotonic_ns() < plan.until_ns:
            try:
                correction_ns = round(stream.time_correction(timeout=2.0) * 1e9)
            except pylsl.util.TimeoutError:
                continue
            true_ns = machine.monotonic_ns()
            rows.append(Look(true_ns, plan.bent.at(true_ns) + correction_ns - true_ns))
            machine.sleep(LOOK_S)
    log.write_bytes(msgspec.json.encode(rows))


ROLES: dict[str, Callable[[Plan, Path], None]] = {
    "broker": broker,
    "device": device,
    "plain": plain,
    "outlet": outlet,
    "inlet": inlet,
}


def main() -> None:
    """Play one role."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("plan", type=Path)
    parser.add_argument("log", type=Path)
    told = parser.parse_args()
    die_with_parent()
    ROLES[told.role](msgspec.json.decode(told.plan.read_bytes(), type=Plan), told.log)


if __name__ == "__main__":
    main()
