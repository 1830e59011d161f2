"""``scot replay``: a recorded room, brought up through the same bus and the same page."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

import scot
from scot import plugin, zone
from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.cli.rooms import Json, Port, announce, tell
from scot.cli.transport import drive
from scot.clock.clock import Clock
from scot.config import DashboardTable, RecorderTable, RoomFile, RoomTable, VolumeTable
from scot.errors import ConfigError
from scot.room import CONSOLE, Room
from scot.transport import FASTEST, FLAT_OUT, SLOWEST

_TIME = re.compile(r"^(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)$")


def replay(  # noqa: PLR0913, PLR0917 - the options of a command line
    recordings: Annotated[
        list[Path], typer.Argument(help="Directory of a recording; more of them are compared.")
    ],
    rate: Annotated[
        str, typer.Option(help="0.1 to 16, negative to go back, or max: as fast as it is read.")
    ] = "1",
    start: Annotated[str, typer.Option("--from", help="Begin at [[H:]M:]S into it.")] = "0",
    digest: Annotated[
        bool, typer.Option("--digest", help="Send all of it over the bus and print its digest.")
    ] = False,
    loop: Annotated[
        str | None, typer.Option("--loop", help="A-B, as 1:20-2:05: again and again; or all.")
    ] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Wait for a key, or the page.")] = False,
    align: Annotated[
        str,
        typer.Option(
            help="Of several: start, chapter:NAME, utc, or an instant of each, as 1:20,0:45.5."
        ),
    ] = "start",
    sync: Annotated[
        str, typer.Option(help="Clock maps: as-recorded, recomputed or refined (by later probes).")
    ] = "as-recorded",
    port: Port = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="Name of the room; as recorded.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Bring a recorded room up again, as if it were live.

    The page says REPLAY, and commands are refused. In a terminal, keys move the player: space,
    arrows, comma and dot for a picture back and on, [ ] for a loop, + and - for the rate, r to go
    back, q to quit; the page's /engineer moves the same player. --json prints each of its states
    as a line.

    With --digest the recording goes over the bus once, as fast as its reader acknowledges, and the
    digest of what arrived is compared with that of the file. With --sync the clocks are estimated
    again from the recorded probes, and what that moved is said first.

    Several recordings play on one axis, that of the first: their devices are called a_monitor,
    b_monitor and so on, --align says which of their moments are the same, and what was moved by how
    much is said. One player and one room drive them all; the page's /engineer shows them together.
    """
    speed = read_rate(rate)
    opened = _open(recordings, align, sync, workspace, digest)
    from_ns = opened.first_ns + read_offset(start)
    if from_ns > opened.last_ns:
        length_s = (opened.last_ns - opened.first_ns) / 1e9
        raise ConfigError("--from", "", f"{start} is past the end", f"it lasts {length_s:.1f} s")
    room = _room(opened, port, digest, workspace)
    looped = read_loop(loop, opened.first_ns)
    from_ns = max([from_ns, *looped.get("stretch", [])[:1]])
    if any(a_ns >= opened.last_ns for a_ns in looped.get("stretch", [])[:1]):
        raise ConfigError(
            "--loop", "", f"{loop} is past the end", "give a stretch of the recording"
        )
    first, *others = [str(one.absolute()) for one in recordings]
    options = {
        "recording": first,
        "beside": others,
        "align": align,
        "rate": speed,
        "from_ns": from_ns,
        "playing": not paused,
        "sync": sync,
        **looped,
    }
    if digest:
        return _print_digest(asyncio.run(_digest(room, opened)), as_json)
    opened.close()
    asyncio.run(_play(room, options, from_ns, browser, as_json))
    return 0


def _open(
    recordings: list[Path], align: str, sync: str, workspace: str | None, digest: bool
) -> Any:
    """Open what is to be played; say on stderr what was done to its times.

    Raises:
        ConfigError: the options do not go together.
        RecordingError: one cannot be opened, or they cannot be aligned.
    """
    if len(recordings) == 1:
        if align != "start":
            what = "one recording has nothing to be aligned with"
            raise ConfigError("--align", "", what, "name two recordings")
        opened: Any = scot.open(recordings[0], sync)
        if sync != "as-recorded":
            tell_sync(opened.sync_report())
        return opened
    if digest:
        what = "it compares what arrived with one recording"
        raise ConfigError("--digest", "", what, "name one recording")
    comparison: Any = plugin.load("scot.recordings", "comparison")
    together = comparison(
        *recordings, align=align, sync=sync, **({"workspace": workspace} if workspace else {})
    )
    for line in (*together.lines(), *together.damage):
        tell(line)
    return together


def tell_sync(report: dict[str, dict[str, Any]]) -> None:
    """Say on stderr, a line a device, what recomputing did to its clock."""
    for device, found in report.items():
        if "maps" not in found:
            why = "bus time itself" if found["clock"] == "exact" else "no probes were recorded"
            tell(f"{device:12} as recorded: {why}")
            continue
        late = f", {found['missing']} probes are missing" if found["missing"] else ""
        tell(
            f"{device:12} {found['clock']}: {found['differing']} of {found['maps']} maps differ"
            f"{late}; samples moved by {found['median_shift_ns'] / 1e3:.1f} µs (median), "
            f"{found['max_shift_ns'] / 1e3:.1f} µs at most"
        )


def read_rate(text: str) -> float:
    """Return the rate; `scot.transport.FLAT_OUT` for as fast as can be.

    Raises:
        ConfigError: not a number, or outside 0.1 to 16 either way.
    """
    if text == "max":
        return FLAT_OUT
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not SLOWEST <= abs(rate) <= FASTEST:
        allowed = "0.1 to 16, negative to go back, or max"
        raise ConfigError("--rate", "", f"{text!r} is not allowed", allowed)
    return rate


def read_loop(text: str | None, first_ns: int) -> dict[str, Any]:
    """Return the player's options for ``--loop``: of a stretch, or of the whole.

    Raises:
        ConfigError: it is not two times, the later one second.
    """
    if text is None:
        return {}
    if text == "all":
        return {"loop": True}
    ends = text.split("-")
    if len(ends) != 2:
        raise ConfigError("--loop", "", f"{text!r} is not a stretch", "write A-B, as 1:20-2:05")
    a_ns, b_ns = (first_ns + read_offset(end) for end in ends)
    if a_ns >= b_ns:
        raise ConfigError(
            "--loop", "", f"{text!r} ends before it begins", "write the earlier first"
        )
    return {"stretch": [a_ns, b_ns]}


def read_offset(text: str) -> int:
    """Return ``[[H:]M:]S`` as ns.

    Raises:
        ConfigError: it is not a time.
    """
    found = _TIME.match(text)
    if found is None:
        raise ConfigError("--from", "", f"{text!r} is not a time", "write [[H:]M:]S, as 1:12:30")
    hours, minutes, seconds = found.groups()
    return round((int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)) * 1e9)


def _room(opened: Any, port: int | None, digest: bool, workspace: str | None) -> RoomFile:
    catalogue = opened.catalogue
    page: dict[str, Any] = {"enabled": not digest}
    if port is not None:
        page["port"] = port
    if workspace not in (None, catalogue.workspace):
        raise ConfigError(
            "--workspace",
            "",
            f"{workspace!r} is not the recording's",
            f"it was recorded as {catalogue.workspace!r}; stop the room of that name first",
        )
    return RoomFile(
        room=RoomTable(
            workspace=catalogue.workspace,
            title=catalogue.title,
            case=catalogue.case,
            time_zone=catalogue.time_zone if zone.known(catalogue.time_zone) else "",
        ),
        recorder=RecorderTable(enabled=False),
        dashboard=DashboardTable(**page),
        volume=[VolumeTable(frame=k, file=v) for k, v in catalogue.volumes.items()],
    )


async def _play(
    file: RoomFile, options: dict[str, Any], from_ns: int, show: bool, as_json: bool
) -> None:
    services: dict[str, dict[str, Any]] = {"player": options}
    if file.dashboard.enabled:
        services["dashboard"] = {}
    session = Clock.session(from_ns, 0.0)  # it stands still until the player turns it
    room = Room(file, session=session, services=services, replay=True)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    tell("bringing the recorded room up …")
    await room.start()
    try:
        announce(room, show)
        connection = await Connection.join(Link.load(room.state, CONSOLE))
        try:
            await drive(connection, stopping, as_json=as_json, tell=tell)
        finally:
            await connection.close()
    finally:
        await room.stop()


async def _digest(file: RoomFile, opened: Any) -> dict[str, Any]:
    """Send the whole recording over a bus of its own and compare what arrived with the file."""
    through_bus = plugin.resolve("scot_replay.proof:digest_through_bus")
    session = Clock.session(opened.first_ns)
    room = Room(file, session=session, services={}, replay=True)  # we are the player
    await room.start()
    try:
        connection = await Connection.join(Link.load(room.state, "player"))
        try:
            arrived = await through_bus(opened, connection)
        finally:
            await connection.close()
    finally:
        await room.stop()
    recorded = opened.digest()
    return {"digest": arrived, "recording": recorded, "equal": arrived == recorded}


def _print_digest(found: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print(json.dumps(found))
    else:
        print(found["digest"])
        tell("equal to the recording's" if found["equal"] else "NOT equal to the recording's")
    return 0 if found["equal"] else 1
