"""``scot command``: what can be commanded, by whom, and what became of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from typer.core import TyperGroup

from scot.bus.connection import Connection
from scot.bus.control import BEGIN_WITHIN_S, Control, call, look
from scot.bus.joining import join_file
from scot.bus.keys import Link
from scot.channel import Command
from scot.cli.watch import catalogue_now
from scot.cli.wording import read_arguments, sentence, shown, standing
from scot.command import (
    Answer,
    Confirm,
    Lease,
    Offer,
    Outcome,
    Release,
    Standing,
    State,
    Why,
    Withdraw,
    describe,
    device_of,
)
from scot.config import RoomFile
from scot.errors import AccessError, BusError, CommandRefusedError, ConfigError
from scot.room import CONSOLE, RoomFacts, find

GRACE_S: Final = 5.0
_NOBODY_KNOWS: Final = frozenset({Why.RESTARTED, Why.BROKEN})


class _Verbs(TyperGroup):
    """Runs what has a slash in it: ``scot command or1/monitor/nibp_start``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take an address for ``run ADDRESS``."""
        if args and "/" in args[0]:
            args = ["run", *args]
        elif args and args[0] not in self.commands and not args[0].startswith("-"):
            raise ConfigError(
                args[0], "", "is no command", "write DEVICE/COMMAND; `scot command list` has them"
            )
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Verbs,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)
Address = Annotated[str, typer.Argument(help="or1/monitor/nibp_start, or monitor/nibp_start.")]
DeviceName = Annotated[str, typer.Argument(help="or1/monitor, or monitor.")]
As = Annotated[
    str,
    typer.Option("--as", help="Whose key: a [[control]] of the room file, or a key file's path."),
]
KeyText = Annotated[
    str, typer.Option("--key", help="Which command, by its key, when several wait.")
]
Workspace = Annotated[
    str | None, typer.Option("--workspace", "-w", help="Which room, when several are up.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.callback()
def command() -> None:
    """Command a device: `scot command or1/monitor/nibp_start --as NAME`.

    Only what a device offers, the room file lists and a key's grant holds. A risky command waits
    for a second person: `scot command confirm`.
    """


@app.command("list")
def list_(workspace: Workspace = None, as_json: Json = False) -> int:
    """List what the devices of a running room can be told to do."""
    catalogue = catalogue_now(workspace)
    rows = [
        {"address": f"{catalogue.workspace}/{device.name}/{one.name}", **msgspec.to_builtins(one)}
        for device in catalogue.devices.values()
        for one in device.commands.values()
    ]
    if as_json:
        print(json.dumps(rows))
        return 0
    if catalogue.replay:
        tell("this is a recording: nothing in it can be commanded")
    for device in catalogue.devices.values():
        for one in device.commands.values():
            address = f"{catalogue.workspace}/{device.name}/{one.name}"
            two = " · two persons" if one.risk == "high" else ""
            two += " · without control" if one.stops else ""
            arguments = ", ".join(map(describe, one.arguments))
            text = f"{address:34} {one.label.get('en', ''):24} risk {one.risk}{two}"
            print(f"{text} · {arguments}" if arguments else text)
    if not rows and not catalogue.replay:
        tell("no device offers a command; see docs, Commands, for how one does")
    return 0


@app.command()
def run(
    address: Address,
    who: As = "",
    arg: Annotated[
        list[str] | None, typer.Option("--arg", "-a", help="NAME=VALUE, or NAME='VALUE UNIT'.")
    ] = None,
    within: Annotated[
        float, typer.Option(min=1, max=110, help="It must have begun within so many seconds.")
    ] = BEGIN_WITHIN_S,
    workspace: Workspace = None,
    as_json: Json = False,
) -> int:
    """Give a command and follow it to its end; exit code 1 unless it is done."""

    async def work(connection: Connection, at: str) -> Answer:
        declared = _declared(connection, at)
        arguments = read_arguments(declared, arg or [])
        limit_s = within + declared.limit_s + GRACE_S
        async with Control(connection, device_of(at), taking=not declared.stops) as control:
            last: Outcome | None = None
            try:
                async with asyncio.timeout(limit_s):
                    name = at.rpartition("/")[2]
                    async for outcome in control.command(name, arguments, within):
                        last = outcome
                        tell(sentence(outcome))
                        if outcome.why in _NOBODY_KNOWS:
                            break
            except TimeoutError:
                pass
        if last is None:
            raise BusError("no answer: it may or may not happen; look at the device")
        return last

    return _do(work, address, who, workspace, as_json)


@app.command()
def confirm(
    address: Address,
    who: As = "",
    key: KeyText = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> int:
    """Confirm another person's risky command, as the second of two."""

    async def work(connection: Connection, at: str) -> Answer:
        waiting = await _waiting(connection, at, key)
        given = ", ".join(f"{k} = {shown(v)}" for k, v in waiting.arguments.items())
        tell(f"{waiting.caller} asks for {waiting.address} ({given or 'no arguments'})")
        if not yes and not typer.confirm("Confirm?", err=True):
            raise CommandRefusedError(Why.WITHDRAWN, "not confirmed; it expires by itself")
        return await call(
            connection,
            Confirm(address=waiting.address, key=waiting.key, arguments=waiting.arguments),
        )

    return _do(work, address, who, workspace, as_json)


@app.command()
def withdraw(
    address: Address,
    who: As = "",
    key: KeyText = "",
    workspace: Workspace = None,
    as_json: Json = False,
) -> int:
    """Call off a command that waits for a second person."""

    async def work(connection: Connection, at: str) -> Answer:
        waiting = await _waiting(connection, at, key)
        answer = await call(connection, Withdraw(address=waiting.address, key=waiting.key))
        if isinstance(answer, Outcome) and answer.why is Why.WITHDRAWN:
            return Standing(address=device_of(at))  # what was wanted
        return answer

    return _do(work, address, who, workspace, as_json)


@app.command("look")
def look_(
    device: DeviceName, who: As = "", workspace: Workspace = None, as_json: Json = False
) -> int:
    """Say who controls a device, and what waits or runs."""

    async def work(connection: Connection, at: str) -> Answer:
        return await look(connection, at)

    return _do(work, device, who, workspace, as_json)


@app.command("take")
def take_(
    device: DeviceName, who: As = "", workspace: Workspace = None, as_json: Json = False
) -> int:
    """Take control of a device and keep it until Ctrl-C."""

    async def work(connection: Connection, at: str) -> Answer:
        async with Control(connection, at) as control:
            tell(f"{connection.link.name} controls {at}; Ctrl-C gives it up")
            try:
                await control.lost.wait()
            except asyncio.CancelledError:
                return Standing(address=at)
        raise CommandRefusedError(Why.CONTROL_LOST, f"control of {at} was lost")

    return _do(work, device, who, workspace, as_json)


@app.command()
def release(
    device: DeviceName, who: As = "", workspace: Workspace = None, as_json: Json = False
) -> int:
    """Give up control of a device."""

    async def work(connection: Connection, at: str) -> Answer:
        return await call(connection, Release(address=at, term=(await _mine(connection, at)).term))

    return _do(work, device, who, workspace, as_json)


@app.command("hand-over")
def hand_over(
    device: DeviceName,
    to: Annotated[str, typer.Argument(help="Who may take control over, by their key's name.")],
    who: As = "",
    workspace: Workspace = None,
    as_json: Json = False,
) -> int:
    """Offer control of a device to somebody else, who then takes it."""

    async def work(connection: Connection, at: str) -> Answer:
        mine = await _mine(connection, at)
        return await call(connection, Offer(address=at, term=mine.term, to=to))

    return _do(work, device, who, workspace, as_json)


def _do(
    work: Callable[[Connection, str], Awaitable[Answer]],
    address: str,
    who: str,
    workspace: str | None,
    as_json: bool,
) -> int:
    """Join as somebody, work, and print what came of it."""

    async def joined() -> Answer:
        if who.endswith(".json") or "/" in who:
            connection = await join_file(Path(who))
        else:
            connection = await Connection.join(link_of(who, address, workspace))
        try:
            start = f"{connection.workspace}/"
            at = address if address.startswith(start) else start + address
            return await work(connection, at.rstrip("/"))
        finally:
            await connection.close()

    answer = asyncio.run(joined())
    if as_json:
        print(json.dumps(msgspec.to_builtins(answer)))
    if isinstance(answer, Outcome):
        if not as_json and answer.state is State.DONE:
            print("done" if answer.value is None else json.dumps(answer.value, ensure_ascii=False))
        if answer.state in (State.DONE, State.RUNNING, State.ACCEPTED):
            return 0
        raise CommandRefusedError(answer.why, sentence(answer))
    if answer.why is not Why.NONE:
        raise CommandRefusedError(answer.why, answer.text)
    if not as_json:
        print(standing(answer))
    return 0


def link_of(who: str, address: str, workspace: str | None) -> Link:
    """Return the link of the person who commands.

    Raises:
        AccessError, RoomError: no such key, no such room; says whose keys there are.
    """
    if workspace is None and address.count("/") == 2:
        workspace = address.partition("/")[0]
    room = find(workspace)
    people = _people(room)
    if who in people:
        return Link.load(room.state, who)
    if _is_replay(room):  # nobody's key: let the broker say that it is a recording
        return Link.load(room.state, CONSOLE)
    known = f"this room's [[control]] has: {', '.join(people)}" if people else (
        "this room's file has no [[control]], so nobody may command; add one"
    )  # fmt: skip
    if not who:
        raise AccessError(f"say who commands with --as NAME; {known}")
    raise AccessError(f"nobody named {who!r} has a key here; {known}")


def _people(room: RoomFacts) -> list[str]:
    try:
        file = RoomFile.model_validate_json((room.state / "room.json").read_text())
    except (OSError, ValueError):
        return []
    return [person.name for person in file.control]


def _is_replay(room: RoomFacts) -> bool:
    return "player" in room.processes


def _declared(connection: Connection, address: str) -> Command:
    """Return what the catalogue says of a command; in a recording anything will do."""
    found = connection.catalogue.command(address)
    if found is not None:
        return found
    if connection.catalogue.replay:
        return Command(name="unknown")
    device = connection.catalogue.devices.get(device_of(address).rpartition("/")[2])
    if device is None:
        raise ConfigError(address, "", "no such device", "`scot devices` lists them")
    offered = ", ".join(device.commands) or "nothing"
    raise ConfigError(address, "", "no such command", f"{device.name} offers: {offered}")


async def _mine(connection: Connection, address: str) -> Lease:
    found = await look(connection, address)
    if found.why is not Why.NONE:
        raise CommandRefusedError(found.why, found.text)
    if found.lease is None or found.lease.holder != connection.link.name:
        raise CommandRefusedError(Why.NO_CONTROL, standing(found))
    return found.lease


async def _waiting(connection: Connection, address: str, key: str) -> Outcome:
    """Return the one command that waits at an address for a second person."""
    found = await look(connection, device_of(address))
    if found.why is not Why.NONE:
        raise CommandRefusedError(found.why, found.text)
    waiting = [
        one
        for one in found.open
        if one.state is State.WAITING and one.address == address and one.key.startswith(key)
    ]
    if not waiting:
        raise CommandRefusedError(Why.NOT_WAITING, f"nothing waits at {address}")
    if len(waiting) > 1:
        keys = ", ".join(one.key for one in waiting)
        raise ConfigError("--key", "", f"several wait at {address}", f"choose one of {keys}")
    return waiting[0]


def tell(line: str) -> None:
    """Write progress for people to stderr."""
    print(line, file=sys.stderr, flush=True)
