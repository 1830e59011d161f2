"""The processes of a run with a peer: subscriber, publisher and camera."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection as Pipe

from benchmarks.peers.buses import PEERS, Nats, Sender, Where
from benchmarks.peers.load import (
    SMALL,
    WARM_S,
    Notes,
    Shared,
    bursts,
    pictures,
    stamped,
)
from scot.clock import machine

WINDOW, LOOK = 4096, 64


def subscriber(pipe: Pipe, bus: str, where: Where, shared: Shared, number: int, flat: bool) -> None:
    """Take everything until told to stop, then give the notes back."""
    peer = PEERS[bus]
    notes = Notes(shared, number, flat)
    if isinstance(peer, Nats):
        peer.run(_listening(pipe, peer, where, notes))
    else:
        pipe.send("ready")
        peer.receive(where, notes.take, pipe.poll)
    pipe.recv()
    pipe.send((notes.poses, notes.others, notes.video))


async def _listening(pipe: Pipe, peer: Nats, where: Where, notes: Notes) -> None:
    client = await peer.connect(where)
    await peer.subscribe(client, notes.take)
    pipe.send("ready")
    while not pipe.poll():  # noqa: ASYNC110 - a pipe gives no event here
        await asyncio.sleep(0.05)


def publisher(pipe: Pipe, bus: str, where: Where, shared: Shared, seconds: float) -> None:
    """Send an OR's signals, each when it is due; with `seconds` 0, as fast as all can take."""
    peer = PEERS[bus]
    if isinstance(peer, Nats):
        peer.run(_publishing(pipe, peer, where, shared, seconds))
        return
    with peer.sending(where) as sender:
        while not shared.heard():
            sender.send("hello", stamped(16))
            sender.flush()
            machine.sleep(0.02)
        machine.sleep(0.3)
        shared.reset()
        pipe.send("ready")
        start_ns = pipe.recv()
        if seconds:
            _speak(sender, start_ns, seconds)
        else:
            pipe.send(_pour(sender, shared, pipe))
        pipe.recv()


def _speak(sender: Sender, start_ns: int, seconds: float) -> None:
    for at_ns, group in bursts(seconds + WARM_S):
        _await(start_ns + at_ns)
        for stream in group:
            sender.send(stream.channel.name, stamped(stream.raw))
        sender.flush()


def _pour(sender: Sender, shared: Shared, pipe: Pipe) -> int:
    """Send until told to stop; return how many."""
    sent = 0
    while not pipe.poll():
        for _ in range(LOOK):
            sender.send("block", stamped(SMALL))
        sender.flush()
        sent += LOOK
        while shared.full(sent, WINDOW) and not pipe.poll():
            machine.sleep(0.0002)
    pipe.recv()
    return sent


def _await(at_ns: int) -> None:
    left_ns = at_ns - machine.monotonic_ns()
    if left_ns > 0:
        machine.sleep(left_ns / 1e9)


async def _publishing(pipe: Pipe, peer: Nats, where: Where, shared: Shared, seconds: float) -> None:
    client = await peer.connect(where)
    while not shared.heard():
        await peer.send(client, "hello", stamped(16))
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    shared.reset()
    pipe.send("ready")
    start_ns: int = await asyncio.to_thread(pipe.recv)
    if seconds:
        for at_ns, group in bursts(seconds + WARM_S):
            await machine.until(start_ns + at_ns)
            for stream in group:
                await peer.send(client, stream.channel.name, stamped(stream.raw))
    else:
        sent = 0
        while not pipe.poll():
            for _ in range(LOOK):
                await peer.send(client, "block", stamped(SMALL))
            sent += LOOK
            while shared.full(sent, WINDOW) and not pipe.poll():  # noqa: ASYNC110
                await asyncio.sleep(0.0002)
        pipe.recv()
        await client.flush()
        pipe.send(sent)
    await asyncio.to_thread(pipe.recv)


def camera(pipe: Pipe, bus: str, where: Where, kind: str, seconds: float) -> None:
    """Send video by a connection of its own; a picture that cannot leave in time is left out."""
    peer = PEERS[bus]
    if isinstance(peer, Nats):
        peer.run(_filming(pipe, peer, where, kind, seconds))
        return
    with peer.sending(where, 1) as sender:
        pipe.send("ready")
        start_ns = pipe.recv()
        skipped = 0
        for at_ns, name, size in pictures(kind, seconds + WARM_S):
            if _late(start_ns + at_ns):
                skipped += 1
                continue
            _await(start_ns + at_ns)
            sender.send(name, stamped(size))
            sender.flush()
        pipe.recv()
        pipe.send(skipped)


async def _filming(pipe: Pipe, peer: Nats, where: Where, kind: str, seconds: float) -> None:
    client = await peer.connect(where)
    pipe.send("ready")
    start_ns: int = await asyncio.to_thread(pipe.recv)
    skipped = 0
    for at_ns, name, size in pictures(kind, seconds + WARM_S):
        if _late(start_ns + at_ns):
            skipped += 1
            continue
        await machine.until(start_ns + at_ns)
        await peer.send(client, name, stamped(size))
        if kind == "raw":
            await client.flush(5)
    await asyncio.to_thread(pipe.recv)
    pipe.send(skipped)


def _late(due_ns: int) -> bool:
    return machine.monotonic_ns() - due_ns > 40_000_000
