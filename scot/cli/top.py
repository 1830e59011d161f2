"""``scot top``: a running room at a glance, once a second."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live

from scot.bus.connection import Connection
from scot.cli import clocks, trouble
from scot.cli.heard import Heard
from scot.cli.sheet import WIDE, DeviceRow, Sheet, drawn, rows_of
from scot.cli.watch import Json, Key, Workspace, join
from scot.finding import worst_first
from scot.room import state_folder

LOOK_S = 1.0
FIRST_S = 2.0
LATELY_NS = 60_000_000_000

Devices = Annotated[
    list[str] | None, typer.Argument(help="Only these devices, with every channel; all when none.")
]


def top(
    devices: Devices = None,
    workspace: Workspace = None,
    key: Key = None,
    once: Annotated[bool, typer.Option("--once", help="One look of two seconds.")] = False,
    as_json: Json = False,
) -> int:
    """Watch devices, channels, queues and clocks of a running room, and what is wrong now.

    In a terminal it fills the window, worst first; Ctrl-C ends it. In a pipe it prints a sheet
    each second; --json is one look as one document.
    """
    try:
        asyncio.run(_top(devices or [], lambda: join(workspace, key), once, as_json))
    except KeyboardInterrupt:
        return 0
    return 0


async def _top(
    devices: list[str], joining: Callable[[], Awaitable[Connection]], once: bool, as_json: bool
) -> None:
    connection = await joining()
    heard = Heard()
    try:
        connection.subscribe([f"{connection.workspace}/"], heard)
        await heard.before(connection, connection.clock.now() - LATELY_NS, every=True)
        await heard.latest(connection)
        heard.look(connection)  # what came so far was not at its own rate
        await asyncio.sleep(FIRST_S if once or as_json else LOOK_S)
        sheet = look(connection, heard, devices)
        if as_json:
            print(json.dumps(plain(sheet)))
        elif once:
            show(sheet)
        else:
            await _watch(connection, heard, devices, sheet)
    finally:
        await connection.close()


async def _watch(connection: Connection, heard: Heard, devices: list[str], sheet: Sheet) -> None:
    """Show a sheet each second, until interrupted."""
    if not sys.stdout.isatty():
        while True:
            show(sheet)
            print(flush=True)
            await asyncio.sleep(LOOK_S)
            sheet = look(connection, heard, devices)
    with Live(auto_refresh=False, screen=True) as live:
        while True:
            size = live.console.size
            live.update(Group(*drawn(sheet, size.width, size.height)), refresh=True)
            await asyncio.sleep(LOOK_S)
            sheet = look(connection, heard, devices)


def show(sheet: Sheet) -> None:
    """Print a sheet whole: as wide as the terminal, or as it needs in a pipe."""
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    for line in drawn(sheet, console.width, None):
        console.print(line, soft_wrap=True)


def look(connection: Connection, heard: Heard, devices: list[str]) -> Sheet:
    """Return the room as it is now."""
    now_ns = connection.clock.now()
    catalogue = connection.catalogue
    logs = state_folder(connection.workspace) / "logs"
    room = trouble.Room(catalogue, heard.health, now_ns, now_ns - LATELY_NS, logs)
    wrong = trouble.judge(room)
    if trouble.silence(room) is None:  # else no clock can be judged either
        said = clocks.judge(heard.clocks, heard.health, now_ns)
        wrong += [finding for finding in said if finding.level != "ok"]
    rows = rows_of(catalogue, heard, heard.look(connection), now_ns)
    if devices:
        rows = [row for row in rows if row.name in devices]
    return Sheet(
        workspace=connection.workspace,
        replay=catalogue.replay,
        bus_ns=now_ns,
        title=catalogue.title.get("en", ""),
        devices=rows,
        wrong=worst_first(wrong),
        chosen=bool(devices),
    )


def plain(sheet: Sheet) -> dict[str, Any]:
    """Return a sheet as plain values for machines."""
    return {
        "workspace": sheet.workspace,
        "replay": sheet.replay,
        "bus_ns": sheet.bus_ns,
        "devices": [_device(row) for row in sheet.devices],
        "wrong": [finding._asdict() for finding in sheet.wrong],
    }


def _device(row: DeviceRow) -> dict[str, Any]:
    health = None
    if row.health is not None:  # what a process does not say is left out
        said = msgspec.to_builtins(row.health)
        health = {name: value for name, value in said.items() if value not in (None, {}, "")}
    return {
        "device": row.name,
        "state": row.state,
        "reason": row.reason,
        "drift_ppm": row.drift_ppm,
        "clock_steps": row.steps,
        "health": health,
        "channels": [channel._asdict() for channel in row.channels],
    }
