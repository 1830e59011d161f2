"""``scot top``: a running room at a glance, once a second."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live

from scot.bus.connection import Connection
from scot.cli import clocks, trouble
from scot.cli.heard import Heard
from scot.cli.sheet import WIDE, DeviceRow, Sheet, drawn, rows_of
from scot.cli.watch import Json, Key, Workspace, join
from scot.errors import ScotError
from scot.finding import worst_first
from scot.room import RoomFacts, running

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
        here = key is None
        asyncio.run(_top(devices or [], lambda: join(workspace, key), here, once, as_json))
    except KeyboardInterrupt:
        return 0
    return 0


class View(NamedTuple):
    """What is looked at.

    Attributes:
        devices: only these; all when empty.
        facts: of the room, when it is up on this machine.
    """

    connection: Connection
    heard: Heard
    devices: list[str]
    facts: RoomFacts | None


async def _top(
    devices: list[str],
    joining: Callable[[], Awaitable[Connection]],
    here: bool,
    once: bool,
    as_json: bool,
) -> None:
    connection = await joining()
    heard = Heard()
    try:
        known = connection.catalogue.devices
        if strange := [name for name in devices if name not in known]:
            there = ", ".join(sorted(known))
            raise ScotError(f"no device {strange[0]!r} in this room; it has: {there}")
        facts = next(iter(running(connection.workspace)), None) if here else None
        view = View(connection, heard, devices, facts)
        connection.subscribe([f"{connection.workspace}/"], heard)
        await heard.before(connection, connection.clock.now() - LATELY_NS, every=True)
        await heard.latest(connection)
        heard.look(connection)  # what came so far was not at its own rate
        await asyncio.sleep(FIRST_S if once or as_json else LOOK_S)
        sheet = look(view)
        if as_json:
            print(json.dumps(plain(sheet)))
        elif once:
            show(sheet)
        else:
            await _watch(view, sheet)
    finally:
        await connection.close()


async def _watch(view: View, sheet: Sheet) -> None:
    """Show a sheet each second, until interrupted."""
    if not sys.stdout.isatty():
        while True:
            show(sheet)
            print(flush=True)
            await asyncio.sleep(LOOK_S)
            sheet = look(view)
    with Live(auto_refresh=False, screen=True) as live:
        while True:
            size = live.console.size
            live.update(Group(*drawn(sheet, size.width, size.height)), refresh=True)
            await asyncio.sleep(LOOK_S)
            sheet = look(view)


def show(sheet: Sheet) -> None:
    """Print a sheet whole: as wide as the terminal, or as it needs in a pipe."""
    if not sys.stdout.isatty():
        for line in drawn(sheet, WIDE, None):
            print(line.plain.rstrip())
        return
    console = Console()
    for line in drawn(sheet, console.width, None):
        console.print(line, soft_wrap=True)


def look(view: View) -> Sheet:
    """Return the room as it is now."""
    connection, heard, devices, facts = view
    now_ns, catalogue = connection.clock.now(), connection.catalogue
    if facts is None:  # every log is on another machine
        since_ns = now_ns - LATELY_NS
        room = trouble.Room(catalogue, heard.health, now_ns, since_ns, None, frozenset())
    else:
        room = trouble.room_of(facts, catalogue, heard.health, now_ns, LATELY_NS)
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
