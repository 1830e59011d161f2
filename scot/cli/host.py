"""``scot host``: one device of a room, run on another machine than the room."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from scot.access import state_folder
from scot.bus.connection import Connection
from scot.bus.joining import join_file
from scot.cli.rooms import Set, read_values
from scot.config import DeviceTable, load_room
from scot.errors import AccessError, BusError, ConfigError
from scot.host import serve_device

LOOK_S = 5.0


def host(
    room_file: Annotated[Path, typer.Argument(help="A room file that has this device.")],
    device: Annotated[str, typer.Argument(help="Name of the device.")],
    key: Annotated[
        Path, typer.Option("--key", envvar="SCOT_KEY", help="Key file that was carried here.")
    ],
    values: Set = None,
) -> int:
    """Run one device here, for a room on another machine; ends with Ctrl-C.

    The room itself must not have this device in its own room file.
    """
    room = load_room(room_file, read_values(values))
    tables = {table.name: table for table in room.device}
    if device not in tables:
        known = ", ".join(tables) or "none"
        raise ConfigError(room_file, "device", f"there is no {device!r}", f"it has: {known}")
    asyncio.run(_host(tables[device], key))
    return 0


async def _host(table: DeviceTable, key: Path) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    connection = await join_file(key)
    if connection.link.name != table.name:
        name = connection.link.name
        await connection.close()
        raise AccessError(
            f"{key}: is the key of {name!r}; device {table.name!r} needs one of its own "
            f"(`scot keys add {table.name} --as device` in the room)"
        )
    print(
        f"{table.name} runs for {connection.workspace} at {connection.link.endpoints.host}; "
        "Ctrl-C ends it",
        file=sys.stderr,
        flush=True,
    )
    watching = asyncio.create_task(_watch(connection))
    try:
        await serve_device(table, connection, state_folder(connection.workspace), stopping)
    finally:
        watching.cancel()


async def _watch(connection: Connection) -> None:
    """Say when the room does not answer, and when it does again."""
    silent = False
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await connection.request(b"ping", b"\xc0", LOOK_S)
        except BusError:
            if not silent:
                text = "the room does not answer: what comes is kept, two minutes of it. "
                text += "Is it up? Was this key revoked?"
                print(text, file=sys.stderr, flush=True)
            silent = True
        else:
            if silent:
                print("the room answers again", file=sys.stderr, flush=True)
            silent = False
