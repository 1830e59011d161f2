"""``scot doctor``: what is broken or insecure on this machine and in a room, and the fix."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from scot.access import state_folder
from scot.checking import Scope, others
from scot.cli import clocks, machine_checks, room_checks, trouble
from scot.cli.heard import Heard
from scot.cli.rooms import Set, read_values
from scot.cli.watch import join
from scot.config import RoomFile, load_room
from scot.errors import ConfigError, RoomError, ScotError
from scot.finding import Finding, Level, worst_first
from scot.room import RoomFacts, find, running

SIGNS: dict[Level, str] = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
Named = tuple[str, Finding]


def doctor(
    room_file: Annotated[
        Path | None, typer.Argument(help="Check this room file too, before it is started.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="Which room, when several are up.")
    ] = None,
    values: Set = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as wrong.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> int:
    """Say what is broken or insecure here, and its fix. Exit code 1 when something is wrong.

    It checks the machine, and the room that is up, which it listens to for two seconds.
    """
    found = [*_machine(), *_room(room_file, workspace, read_values(values))]
    if as_json:
        print(json.dumps([{"check": check, **one._asdict()} for check, one in found]))
    else:
        for one in worst_first([one for _, one in found]):
            print(SIGNS[one.level] + one.what + (f"\n         fix: {one.fix}" if one.fix else ""))
    wrong = {"problem", "warning"} if strict else {"problem"}
    return int(any(one.level in wrong for _, one in found))


def _named(check: str, found: Iterable[Finding]) -> Iterator[Named]:
    for one in found:
        yield check, one


def _machine() -> Iterator[Named]:
    yield from _named("zeromq", machine_checks.zeromq())
    yield from _named("opencv", machine_checks.opencv())
    yield from _named("video", machine_checks.video())
    yield from _named("plugins", machine_checks.plugins())
    yield from _named("ntp", machine_checks.clock())


def _room(path: Path | None, workspace: str | None, values: dict[str, str]) -> Iterator[Named]:
    """Check a room file, and the room that is up."""
    file: RoomFile | None = None
    if path is not None:
        try:
            file = load_room(path, values)
            yield "room file", Finding("ok", f"{path}: {len(file.device)} devices, all known")
        except ConfigError as error:
            place = f"{path}: {error.key}: " if error.key else f"{path}: "
            yield "room file", Finding("problem", place + error.problem, error.allowed)
    facts: RoomFacts | None = None
    try:
        facts = find(workspace)
    except RoomError as error:
        level: Level = "problem" if workspace or running() else "ok"  # none has to be up
        yield "room", Finding(level, str(error))
    scope = Scope(state_folder("x").parent, file or _running_file(facts), facts)
    yield from _named("kernel", machine_checks.kernel(scope))
    yield from _named("disk", machine_checks.disk(scope))
    yield from _named("privacy", room_checks.privacy(scope))
    if file is not None:
        yield from _named("ports", room_checks.ports(file, facts))
    if scope.file is not None:
        yield from _named("bus", room_checks.bus(scope.file))
    yield from others(scope)
    if facts is not None:
        yield from _named("processes", room_checks.processes(facts))
        yield from _named("sockets", room_checks.sockets(facts))
        yield from asyncio.run(_listen(facts))


def _running_file(facts: RoomFacts | None) -> RoomFile | None:
    """Return the room file of a running room, as it was checked when it started."""
    if facts is None:
        return None
    try:
        return RoomFile.model_validate_json((facts.state / "room.json").read_text())
    except (OSError, ValueError):
        return None


async def _listen(facts: RoomFacts) -> list[Named]:
    """Listen to a room for two seconds, with what it was in the ten minutes before."""
    try:
        connection = await join(facts.workspace)
    except ScotError as error:
        fix = f"restart the room; the broker's log: {facts.log('broker')}"
        return [("broker", Finding("problem", f"the bus cannot be joined: {error}", fix))]
    heard = Heard()
    try:
        since_ns = connection.clock.now() - clocks.RECENT_NS
        connection.subscribe([f"{connection.workspace}/"], heard, fill=False)
        await heard.before(connection, since_ns, every=False)
        await clocks.listen(connection, heard.clocks)
        now_ns = connection.clock.now()
        lately_ns = now_ns - since_ns
        room = trouble.room_of(facts, connection.catalogue, heard.health, now_ns, lately_ns)
        devices = trouble.judge(room)
        if not devices:
            count = len(connection.catalogue.devices)
            devices = [Finding("ok", f"{count} devices and parts of the room are well")]
        found = [*_named("devices", devices)]
        return [*found, *_named("clocks", clocks.judge(heard.clocks, heard.health, now_ns))]
    finally:
        await connection.close()
