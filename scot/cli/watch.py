"""``scot devices`` and ``scot echo``: looking at a running room."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich.console import Console

from scot.bus.connection import Connection
from scot.bus.joining import join_file
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.channel import Catalogue
from scot.errors import CodecError, ScotError
from scot.room import CONSOLE, find
from scot.sample import Sample

Workspace = Annotated[
    str | None, typer.Option("--workspace", "-w", help="Which room, when several are up.")
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key", envvar="SCOT_KEY", help="Key file, for a room on another machine.", metavar="FILE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, one document a line.")]


def devices(workspace: Workspace = None, key: Key = None, as_json: Json = False) -> int:
    """List the devices and channels of a running room."""
    catalogue = catalogue_now(workspace, key)
    if as_json:
        print(json.dumps(msgspec.to_builtins(catalogue)))
        return 0
    out = Console()
    for device in catalogue.devices.values():
        reason = f" ({device.reason})" if device.reason else ""
        out.print(f"[bold]{device.name}[/] {device.provider} · {device.state}{reason}")
        for channel in device.channels.values():
            rate = f"{channel.rate_hz:g} Hz" if channel.rate_hz else ""
            label = channel.label.get("en", "")
            out.print(f"  {channel.name:18} {channel.kind:10} {channel.unit:8} {rate:9} {label}")
    return 0


def catalogue_now(workspace: str | None, key: Path | None = None) -> Catalogue:
    """Return the catalogue of a running room."""
    return asyncio.run(_catalogue(workspace, key))


async def _catalogue(workspace: str | None, key: Path | None) -> Catalogue:
    connection = await join(workspace, key)
    try:
        return connection.catalogue
    finally:
        await connection.close()


async def join(workspace: str | None, key: Path | None = None) -> Connection:
    """Join the running room with the console's key, which may read and not write.

    Args:
        workspace: of a room on this machine; the only one when None.
        key: a key file, for a room anywhere.
    """
    if key is not None:
        return await join_file(key)
    return await Connection.join(Link.load(find(workspace).state, CONSOLE))


class Printer:
    """A sink that prints each sample on a line.

    Args:
        as_json: whole samples; else a line for people.
        count: stop after so many.
    """

    def __init__(self, as_json: bool, count: int | None) -> None:
        self.as_json = as_json
        self.left = count
        self.done = asyncio.Event()

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Print until enough has been printed."""
        for delivery in batch:
            if self.left == 0:
                self.done.set()
                return
            try:
                sample = delivery.sample()
                print(json.dumps(plain(sample)) if self.as_json else line(sample), flush=True)
            except CodecError as error:
                print(f"scot: {error}", file=sys.stderr)
            except BrokenPipeError:
                self.done.set()
                return
            if self.left is not None:
                self.left -= 1
        if self.left == 0:
            self.done.set()

    def close(self) -> None:
        """Nothing to let go."""


def plain(sample: Sample) -> dict[str, Any]:
    """Return a sample as plain values; bytes only by their length."""
    value: Any = sample.value
    if isinstance(value, bytes):
        value = {"bytes": len(value)}
    elif isinstance(value, np.ndarray):
        value = [None if np.isnan(v) else round(float(v), 6) for v in value]
    else:
        value = msgspec.to_builtins(value)
    time = sample.time
    return {
        "address": sample.address,
        "epoch": sample.epoch,
        "seq": sample.seq,
        "source_ns": time.source_ns,
        "bus_ns": time.bus_ns,
        "bound_ns": time.bound_ns,
        "err_ns": time.err_ns,
        "state": time.state.label,
        "flags": int(sample.flags),
        "value": value,
    }


def line(sample: Sample) -> str:
    """Return a sample as one line for people."""
    shown = plain(sample)["value"]
    text = json.dumps(shown, ensure_ascii=False)
    if len(text) > 90:
        text = text[:87] + "..."
    err = sample.time.err_ns
    doubt = f"±{err / 1e6:.2f} ms" if err is not None else "±?"
    return f"{sample.address:24} #{sample.seq:<7} {doubt:12} {sample.time.state.label:10} {text}"


def echo(
    channels: Annotated[
        list[str] | None, typer.Argument(help="monitor/hr, tracker/, … ; all when none")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Stop after.")] = None,
    workspace: Workspace = None,
    key: Key = None,
    as_json: Json = False,
) -> int:
    """Print samples as they come."""
    asyncio.run(_echo(channels or [""], count, lambda: join(workspace, key), as_json))
    return 0


async def _echo(
    channels: list[str],
    count: int | None,
    joining: Callable[[], Awaitable[Connection]],
    as_json: bool,
) -> None:
    connection = await joining()
    try:
        prefixes = [qualify(name, connection) for name in channels]
        printer = Printer(as_json, count)
        connection.subscribe(prefixes, printer, fill=False)
        await printer.done.wait()
    finally:
        await connection.close()


def qualify(name: str, connection: Connection) -> str:
    """Return the address of a channel or device named without its workspace.

    Raises:
        ScotError: the room has no such channel.
    """
    start = f"{connection.workspace}/"
    address = name if name.startswith(start) else start + name
    known = connection.catalogue.addresses()
    if not any(a.startswith(address) for a in known):
        raise ScotError(f"no channel starts with {name!r}; `scot devices` lists what there is")
    return address
