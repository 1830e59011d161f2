"""One run: the processes of one bus, started together and ended together."""

from __future__ import annotations

import inspect
import multiprocessing as mp
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from benchmarks.peers import ours, roles
from benchmarks.peers.buses import PEERS
from benchmarks.peers.load import WARM_S, Ages, Notes, Shared, ages
from scot.clock import machine

LEAD_NS = 300_000_000
FLAT_WARM_S = 0.5
TAIL_S = 0.8


class Flat(NamedTuple):
    """Of a run flat out: messages a second to each subscriber, and how many never came."""

    each_hz: float
    missing: int


class Processes:
    """Starts processes that say when they are ready; ends them all."""

    def __init__(self) -> None:
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(["benchmarks.peers.ours", "benchmarks.peers.roles"])
        self._running: list[Any] = []

    def start(self, work: Callable[..., None], *arguments: Any) -> Pipe:
        """Start one and wait until it is ready.

        Raises:
            EOFError: it died.
        """
        here, there = mp.Pipe()
        process = self._context.Process(target=work, args=(there, *arguments), daemon=True)
        process.start()
        there.close()  # so that its death ends our waiting
        self._running.append(process)
        assert here.recv() == "ready"
        return here

    def end(self) -> None:
        """End those that are still there."""
        for process in self._running:
            process.join(3)
        for process in self._running:
            process.terminate()


@contextmanager
def processes() -> Iterator[Processes]:
    """Yield a starter and end what it started."""
    started = Processes()
    try:
        yield started
    finally:
        started.end()


Start = Callable[..., Pipe]


def role(pipe: Pipe, part: Callable[..., Any], *arguments: Any) -> None:
    """Be one process of a run, a coroutine on uvloop."""
    work = part(pipe, *arguments)
    if inspect.iscoroutine(work):
        uvloop.run(work)


@contextmanager
def side(of_ours: bool) -> Iterator[tuple[Any, Start]]:
    """Yield where our broker, or the C proxy, is met, and what starts a process beside it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bus = ours.serve(folder) if of_ours else PEERS["proxy"].serve(folder)
        where = stack.enter_context(bus)
        start = stack.enter_context(processes()).start
        yield where, lambda part, *arguments: start(role, part, *arguments)


def played(writer: Pipe, readers: list[Pipe], seconds: float) -> list[Any]:
    """Let processes that are ready begin together; return what the readers noted."""
    start_ns = machine.monotonic_ns() + LEAD_NS
    for pipe in (*readers, writer):
        pipe.send(start_ns)
    machine.sleep(LEAD_NS / 1e9 + WARM_S + seconds + TAIL_S)
    for pipe in readers:
        pipe.send("stop")
    got = [pipe.recv() for pipe in readers]
    writer.send("stop")
    return got


def spoken(bus: str, subscribers: int, seconds: float, video: str = "") -> Ages:
    """Let a bus carry an OR's signals, beside ``packets`` or ``raw`` video, and return the ages."""
    shared = Shared(subscribers)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if bus == "ours":
            where: Any = stack.enter_context(ours.serve(folder))
            start = stack.enter_context(processes()).start
            readers = [start(ours.subscriber, where, shared, n) for n in range(subscribers)]
            writers = [start(ours.publisher, where, seconds)]
            if video:
                writers.append(start(ours.camera, where, video, seconds))
        else:
            where = stack.enter_context(PEERS[bus].serve(folder))
            start = stack.enter_context(processes()).start
            readers = [
                start(roles.subscriber, bus, where, shared, n, False) for n in range(subscribers)
            ]
            writers = [start(roles.publisher, bus, where, shared, seconds)]
            if video:
                writers.append(start(roles.camera, bus, where, video, seconds))
        start_ns = machine.monotonic_ns() + LEAD_NS
        for pipe in writers:
            pipe.send(start_ns)
        machine.sleep(LEAD_NS / 1e9 + WARM_S + seconds + TAIL_S)
        for pipe in (*readers, *writers):
            pipe.send("stop")
        notes = [_noted(pipe.recv(), shared) for pipe in readers]
    return ages(notes, start_ns, seconds)


def _noted(got: tuple[Any, Any, Any], shared: Shared) -> Notes:
    notes = Notes(shared, 0, flat=False)
    notes.poses, notes.others, notes.video = got
    return notes


def poured(bus: str, subscribers: int, seconds: float) -> Flat:
    """Let a peer carry messages of 128 B as fast as every subscriber takes them."""
    shared = Shared(subscribers)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        where = stack.enter_context(PEERS[bus].serve(folder))
        start = stack.enter_context(processes()).start
        readers = [start(roles.subscriber, bus, where, shared, n, True) for n in range(subscribers)]
        writer = start(roles.publisher, bus, where, shared, 0.0)
        writer.send(0)
        machine.sleep(FLAT_WARM_S)
        began_ns, before = machine.monotonic_ns(), list(shared.counts)
        machine.sleep(seconds)
        ended_ns, after = machine.monotonic_ns(), list(shared.counts)
        writer.send("stop")
        sent = writer.recv()
        until_ns = machine.monotonic_ns() + 2_000_000_000
        while min(shared.counts) < sent and machine.monotonic_ns() < until_ns:
            machine.sleep(0.02)
        missing = sent * subscribers - sum(shared.counts)
        for pipe in (*readers, writer):
            pipe.send("stop")
        for pipe in readers:
            pipe.recv()
    each = sum(b - a for a, b in zip(before, after, strict=True)) / subscribers
    return Flat(each * 1e9 / (ended_ns - began_ns), missing)
