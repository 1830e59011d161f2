"""``scot calibrate`` (entry point ``scot.commands``)."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

import scot
from scot.channel import Catalogue, Channel, Kind
from scot.clock import machine
from scot.clock.latency import applied_ns
from scot.config import LatencyTable
from scot.errors import ConfigError
from scot.room import RoomFacts, find
from scot_devices.calibrate import roomfile
from scot_devices.calibrate.gather import Pictures, Poses, Taker, Wave, replayed, taker_for
from scot_devices.calibrate.lag import CalibrationError, Lag, find_lag
from scot_devices.calibrate.listen import listen
from scot_devices.calibrate.live import running_from, take_off, taken_off
from scot_devices.calibrate.waves import physiology, wave_lag

SECONDS = 60.0
MOST_S = 600.0
METHOD = "content"

GUIDE = """\
Look at the picture of {of} and move the tool of {against} in the middle of it for {seconds:.0f} s:
to and fro across the picture, not towards it, by about a centimetre, two or three times a second.
Change size, pace and direction all the time: each quick turn tells more than a long way.
Hold the scope still, and keep the tool's markers in the tracker's sight."""


def calibrate(  # noqa: PLR0913, PLR0917 - the options of a command line
    of: Annotated[str | None, typer.Argument(help="Channel that may be late: scope/video.")] = None,
    against: Annotated[
        str | None, typer.Argument(help="Channel that shows the same movement: tracker/probe.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=5, max=MOST_S, help="How long; 60 live, all of a recording to 600."),
    ] = None,
    recording: Annotated[
        Path | None, typer.Option("--recording", "-r", help="From a recording, not a live room.")
    ] = None,
    start: Annotated[
        float, typer.Option("--from", min=0, help="Begin so many seconds into the recording.")
    ] = 0.0,
    room: Annotated[
        Path | None, typer.Option("--room", help="Room file to write the result into.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Take it off in the running room, from now on.")
    ] = False,
    undo: Annotated[
        str | None, typer.Option("--undo", help="Take a channel's latency away again.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="Which room, when several are up.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Find by how much a device is late, from what its picture and a tracker show.

    Move the tracked tool in view of the endoscope for a minute. With --room the latency is written
    into the room file, and a room that is up from that file takes it off from now on; with --apply
    the running room does, until it stops. Without either the lines to add are printed. Between two
    waveforms the lag is told, and never stored or taken off when it is the body's own.
    """
    if undo is not None:
        return _undo(undo, room, workspace, apply, as_json)
    if of is None or against is None:
        raise ConfigError(
            "scot calibrate",
            "",
            "two channels are needed",
            "write `scot calibrate scope/video tracker/probe`, or --undo scope/video",
        )
    if room is not None:
        roomfile.check(room, _device(of))
    up = _room_up(room, workspace, apply)
    if up is not None:
        taken_off(up, _device(of))
    names = (of, against)
    if recording is not None:
        pair = _from_recording(recording, names, start, seconds or MOST_S)
    else:
        pair = _from_room(workspace, names, seconds or SECONDS)
    found = compare(names, *pair)
    if found["store"]:
        store(found, room, up)
    _tell(found, as_json)
    return 0


Pair = tuple[Channel, Taker, Channel, Taker]


def _from_room(workspace: str | None, names: tuple[str, str], seconds: float) -> Pair:
    """Listen to a running room while its staff move the tool."""
    takers: dict[str, tuple[Channel, Taker]] = {}

    def choose(catalogue: Catalogue) -> dict[str, Taker]:
        chosen = _choose(catalogue, names)
        takers.update(chosen)
        if chosen[names[0]][0].kind is Kind.VIDEO:
            _say(GUIDE.format(of=names[0], against=names[1], seconds=seconds))
        return {
            f"{catalogue.workspace}/{_bare(name, catalogue)}": chosen[name][1] for name in names
        }

    asyncio.run(listen(workspace, choose, seconds, lambda s: _say(_progress(takers, s, seconds))))
    return *takers[names[0]], *takers[names[1]]


def _from_recording(path: Path, names: tuple[str, str], start: float, seconds: float) -> Pair:
    """Take both channels out of a recording."""
    opened = scot.open(path)
    try:
        chosen = _choose(opened.catalogue, names)
        by_address = {
            f"{opened.catalogue.workspace}/{_bare(name, opened.catalogue)}": chosen[name][1]
            for name in names
        }
        begin_ns = opened.first_ns + round(start * 1e9)
        end_ns = min(opened.last_ns + 1, begin_ns + round(seconds * 1e9))
        for sample in replayed(opened, list(by_address), begin_ns, end_ns):
            by_address[sample.address].take(sample)
    finally:
        opened.close()
    return *chosen[names[0]], *chosen[names[1]]


def _choose(catalogue: Catalogue, names: tuple[str, str]) -> dict[str, tuple[Channel, Taker]]:
    """Return both channels with what collects them.

    Raises:
        CalibrationError: there is no such channel, or the two cannot be compared.
    """
    chosen: dict[str, tuple[Channel, Taker]] = {}
    for name in names:
        channel = catalogue.channel(f"{catalogue.workspace}/{_bare(name, catalogue)}")
        if channel is None:
            raise CalibrationError(f"no channel {name!r}; `scot devices` lists what there is")
        chosen[name] = (channel, taker_for(channel))
    kinds = tuple(chosen[name][0].kind for name in names)
    if kinds not in {(Kind.VIDEO, Kind.POSE), (Kind.WAVEFORM, Kind.WAVEFORM)}:
        raise CalibrationError(
            f"a {kinds[0]} cannot be compared with a {kinds[-1]}; name a video and then a pose, "
            "or two waveforms"
        )
    return chosen


def _bare(name: str, catalogue: Catalogue) -> str:
    """Return ``device/channel`` of a name that may begin with the workspace."""
    return name.removeprefix(f"{catalogue.workspace}/")


def compare(
    names: tuple[str, str], channel: Channel, late: Taker, base: Channel, early: Taker
) -> dict[str, Any]:
    """Return what was found, as plain values; ``store`` says whether it is a latency."""
    why = ""
    if isinstance(late, Pictures) and isinstance(early, Poses):
        lag = find_lag(early.track(_ORIGIN), late.movement(_ORIGIN))
    elif isinstance(late, Wave) and isinstance(early, Wave):
        lag = wave_lag(early.curve(_ORIGIN), late.curve(_ORIGIN))
        why = physiology(base, channel)
        if not why and _device(names[0]) == _device(names[1]):
            why = "both come from one device, so from one clock"
    else:
        raise CalibrationError("name a video and then a pose, or two waveforms")
    clocks = [late.errors.typical_s, early.errors.typical_s]
    return {
        **figures(names, lag, applied_ns(channel) / 1e6, clocks),
        "not_a_clock_error": why,
        "store": not why,
        "stored": None,
        "applied": None,
        "lines": None,
    }


_ORIGIN = 0


def figures(
    names: tuple[str, str], lag: Lag, applied_ms: float, clocks: list[float | None]
) -> dict[str, Any]:
    """Return a lag as it is printed: ms, with the doubt of both clocks added to its own.

    Args:
        names: channel that is late, channel it was compared with.
        lag: found between their bus times.
        applied_ms: taken off the first one's times already.
        clocks: likely errors of their stamps, s; None unknown.
    """
    known_ms = [1e3 * clock for clock in clocks if clock is not None]
    clock_ms = math.hypot(*known_ms)
    return {
        "of": names[0],
        "against": names[1],
        "lag_ms": round(1e3 * lag.lag_s, 3),
        "applied_ms": round(applied_ms, 3),
        "latency_ms": round(applied_ms + 1e3 * lag.lag_s, 3),
        "err_ms": round(math.hypot(1e3 * lag.err_s, clock_ms), 3),
        "content_err_ms": round(1e3 * lag.err_s, 3),
        "clock_err_ms": round(clock_ms, 3) if len(known_ms) == len(clocks) else None,
        "correlation": round(lag.correlation, 3),
        "seconds": round(lag.seconds, 1),
        "intervals": lag.intervals,
        "when": datetime.fromtimestamp(machine.utc_ns() // 10**9, UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
    }


def _room_up(room: Path | None, workspace: str | None, apply: bool) -> RoomFacts | None:
    """Return the room that shall take a latency off at once; None: there is none.

    Raises:
        RoomError: `apply` was asked for, and no room is up, or several are.
    """
    if apply:
        return find(workspace)
    return None if room is None else running_from(room)


def store(found: dict[str, Any], room: Path | None, up: RoomFacts | None = None) -> None:
    """Write a latency into the room file, or say the lines to add; have a running room use it."""
    device, _, channel = found["of"].rpartition("/")
    table = LatencyTable(
        value_ms=found["latency_ms"],
        err_ms=found["err_ms"],
        method=METHOD,
        when=found["when"],
        against=found["against"],
        channel=channel,
    )
    bare = _device(device + "/")
    if room is None or roomfile.is_bundled(room):
        found["lines"] = roomfile.lines_for(table)
    else:
        roomfile.write(room, bare, table)
        found["stored"] = str(room)
    if up is not None:
        take_off(up, bare, table)
        found["applied"] = up.workspace


def _undo(name: str, room: Path | None, workspace: str | None, apply: bool, as_json: bool) -> int:
    """Take a latency out of a room file, and away from the room that is up."""
    if room is None and not apply:
        raise ConfigError(
            "scot calibrate",
            "--undo",
            "needs the room file",
            f"add --room ROOM.toml, or --apply for the running room, or delete [device.latency] of "
            f"{_device(name)!r} by hand",
        )
    device, up = _device(name), _room_up(room, workspace, apply)
    in_file = room is not None and roomfile.check(room, device) is not None
    if room is not None and in_file:
        roomfile.write(room, device, None)
    live = up is not None and take_off(up, device, None)
    if as_json:
        told = {"undone": in_file or live, "room": room and str(room), "live": live}
        typer.echo(json.dumps({"of": name, **told}))
        return 0
    if room is not None:
        typer.echo(f"{room}: {name} {'has no latency any more' if in_file else 'had no latency'}")
    if up is not None:
        said = "nothing is taken off any more, from now on" if live else "nothing was taken off"
        typer.echo(f"room {up.workspace}: {name}: {said}")
    elif in_file:
        typer.echo("No room is up from that file; it counts from its next start.")
    return 0


def _device(name: str) -> str:
    """Return the device of ``scope``, ``scope/video`` or ``or1/scope/video``."""
    parts = [part for part in name.split("/") if part]
    return parts[-2] if len(parts) > 1 else name.strip("/")


def _tell(found: dict[str, Any], as_json: bool) -> None:
    """Print the result, on stdout."""
    if as_json:
        typer.echo(json.dumps(found))
        return
    for line in lines(found):
        typer.echo(line)


def lines(found: dict[str, Any]) -> list[str]:
    """Return what was found as people read it."""
    if found["not_a_clock_error"]:
        return [
            f"{found['of']} comes {found['lag_ms']:.1f} ms after {found['against']} "
            f"(± {found['err_ms']:.1f} ms)",
            f"This is no clock error and is not stored: {found['not_a_clock_error']}.",
        ]
    clock = found["clock_err_ms"]
    share = "not all known" if clock is None else f"{clock:.2f} ms"
    out = [
        f"{found['of']} shows the world {found['latency_ms']:.2f} ms late, "
        f"± {found['err_ms']:.2f} ms likely, against {found['against']}",
        f"  of that ±: content {found['content_err_ms']:.2f} ms, clocks {share}; "
        f"correlation {found['correlation']:.2f} over {found['seconds']:.0f} s",
    ]
    if found["applied_ms"]:
        out.append(
            f"  {found['applied_ms']:.2f} ms of it were taken off already; "
            f"{found['lag_ms']:+.2f} ms were left"
        )
    if found["stored"]:
        when = "" if found["applied"] else "; it counts from the room's next start"
        out.append(f"{found['stored']}: written{when}")
    if found["applied"]:
        out.append(f"room {found['applied']}: taken off {found['of']} from now on")
    if found["stored"] or found["applied"]:
        where = f"--room {found['stored']}" if found["stored"] else "--apply"
        out.append(f"To take it back: scot calibrate --undo {found['of']} {where}")
    if found["lines"]:
        until = "it ends with the room" if found["applied"] else "nothing was written"
        out.append(f"In no room file: {until}. Add to the device in yours (or give --room):")
        out += ["", *found["lines"].splitlines()]
    return out


def _progress(takers: dict[str, tuple[Channel, Taker]], at_s: float, seconds: float) -> str:
    """Return a line that says how far it is and whether it is going well."""
    parts = [f"{at_s:4.0f} of {seconds:.0f} s"]
    for _, taker in takers.values():
        if isinstance(taker, Pictures):
            parts.append(f"{taker.count} pictures")
        if isinstance(taker, Poses):
            speed = taker.recent_speed()
            if speed is None:
                parts.append("the tracker does not see the tool")
            else:
                parts.append(f"the tool moves at {speed:.0f} mm/s")
                if speed < 5.0:
                    parts.append("move it more")
    return ", ".join(parts)


def _say(line: str) -> None:
    """Write progress for people to stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
