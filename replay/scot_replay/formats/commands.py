"""``scot export`` and ``scot import`` (entry points ``scot.commands``)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from scot.channel import NAME, NAME_RULE, Sensitivity
from scot.errors import RecordingError
from scot_replay.commands import RecordingPath
from scot_replay.formats import table
from scot_replay.formats.foreign import Foreign, Imported, record
from scot_replay.formats.written import Asked, Written, WrittenChannel
from scot_replay.progress import share
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.when import HOW

WRITERS = {
    ".mp4": "scot_replay.formats.mp4",
    ".edf": "scot_replay.formats.edf",
    ".vital": "scot_replay.formats.vital",
    ".hea": "scot_replay.formats.wfdb_record",
    ".xdf": "scot_replay.formats.xdf",
}
READERS = {
    ".vital": "scot_replay.formats.vital",
    ".hea": "scot_replay.formats.wfdb_record",
    ".dat": "scot_replay.formats.wfdb_record",
    ".xdf": "scot_replay.formats.xdf",
    ".edf": "scot_replay.formats.edf",
    ".mcap": "scot_replay.formats.mcap_file",
}
NAMED = 3
_IDENTITY = "names the patient; name it with -c to write it"

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def export(
    recording: RecordingPath,
    out: Annotated[
        Path, typer.Argument(help="File to write: .parquet .csv .mp4 .edf .vital .xdf, or .hea.")
    ],
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", "-c", help="monitor/hr; all that the format holds when none."),
    ] = None,
    between: Annotated[
        tuple[str, str] | None, typer.Option(help=f"From and to (exclusive): {HOW}.")
    ] = None,
    rate: Annotated[
        str,
        typer.Option(
            help="Parquet, CSV: period of the grid (1s, 20ms), or native for one channel."
        ),
    ] = "1s",
    how: Annotated[
        str, typer.Option(help="Parquet, CSV: last, nearest, mean, min or max.")
    ] = "last",
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    json: Json = False,
) -> int:
    """Write a recording's channels as Parquet, CSV, MP4, EDF+, .vital, WFDB or XDF."""
    suffix = out.suffix.lower()
    if suffix.removeprefix(".") not in table.FORMATS and suffix not in WRITERS:
        allowed = ", ".join([*(f".{name}" for name in table.FORMATS), *WRITERS])
        raise RecordingError(f"{out}: {out.suffix!r} is not known; end it in one of {allowed}")
    opened = open_recording(recording)
    span = opened.stretch(between)
    if suffix in WRITERS:
        asked = Asked(out=out, channels=[], span=span, force=force)
        said: Any = write(opened, asked, channel or [])
        lines = _lines(said)
    else:
        names, native = channel or [], None if rate == "native" else rate
        said = table.write_table(opened, out, names, native, how, force, span if between else None)
        lines = [f"{out}: {said['rows']} rows, {len(said['columns'])} columns"]
    opened.close()
    typer.echo(msgspec.json.encode(said).decode() if json else "\n".join(lines))
    return 0


def write(opened: DirectoryRecording, asked: Asked, names: list[str]) -> Written:
    """Write channels in the format that the name of the file says.

    Args:
        opened: the recording.
        asked: what for; its `channels` are chosen here.
        names: channels; all but those that name the patient when empty.

    Raises:
        RecordingError: a channel is not known or does not fit, nothing fits, the file exists, or
            the disk does not take it.
    """
    left_out: dict[str, str] = {}
    asked.named = bool(names)
    asked.channels = [opened.resolve(name) for name in names]
    for address in opened.channels if not names else ():
        if opened.channel(address).sensitivity is Sensitivity.IDENTITY:
            left_out[address] = _IDENTITY
        else:
            asked.channels.append(address)
    with share(f"{asked.out}") as progress:
        asked.progress = progress
        module: Any = import_module(WRITERS[asked.out.suffix.lower()])
        written: Written = module.write(opened, asked)
    written.left_out |= left_out
    return written


def _lines(said: Written) -> list[str]:
    lines = [f"{said.file}: {said.format}, {len(said.channels)} channels"]
    width = max(len(address) for address in said.channels)
    lines += [f"  {a:{width}}  {_line(one)}" for a, one in said.channels.items()]
    lines += [f"  {note}" for note in said.notes]
    return lines + _left_out(said.left_out)


def _left_out(left_out: dict[str, str]) -> list[str]:
    """Return a line for each reason, with the first channels it is true of."""
    reasons: dict[str, list[str]] = {}
    for address, why in left_out.items():
        reasons.setdefault(why, []).append(address)
    lines = []
    for why, addresses in reasons.items():
        more = f" and {len(addresses) - NAMED} more" if len(addresses) > NAMED else ""
        lines.append(f"left out: {', '.join(addresses[:NAMED])}{more}: {why}")
    return lines


def _line(one: WrittenChannel) -> str:
    parts = [f"{one.count} values"]
    if one.rate_hz:
        parts.append(f"{one.rate_hz:g} Hz")
    if one.gaps:
        parts.append(f"{one.gaps} gaps")
    if one.resolution:
        parts.append(
            f"steps of {one.resolution:.3g} {one.unit}, off by {one.max_error:.2g} at most"
        )
    if one.time_error_s:
        parts.append(f"times off by {one.time_error_s:.2g} s at most")
    if one.shifted:
        parts.append(f"{one.shifted} places moved to keep time")
    return ", ".join(parts)


def import_(
    file: Annotated[Path, typer.Argument(help="A .vital, .hea, .xdf, .edf or .mcap file.")],
    out: Annotated[Path, typer.Argument(help="Directory to make; it must not exist.")],
    workspace: Annotated[str, typer.Option(help="First part of every address.")] = "imported",
    case: Annotated[str, typer.Option(help="Number of the case, never a name.")] = "",
    json: Json = False,
) -> int:
    """Make a recording of a .vital, WFDB, XDF, EDF or MCAP file."""
    with share(f"import of {file}") as progress:
        done = record(read(file, workspace), out, case, progress)
    typer.echo(msgspec.json.encode(done).decode() if json else "\n".join(_said(file, done)))
    return 0


def read(file: Path, workspace: str) -> Foreign:
    """Return what a file holds, in the format that its name says.

    Raises:
        RecordingError: there is none, its format is not known, or it cannot be read.
    """
    if not NAME.fullmatch(workspace):
        raise RecordingError(f"workspace {workspace!r} is not allowed; use {NAME_RULE}")
    suffix = file.suffix.lower()
    if suffix not in READERS:
        raise RecordingError(
            f"{file}: {file.suffix!r} is not known; give one of {', '.join(READERS)}"
        )
    if not file.is_file():
        raise RecordingError(f"{file}: there is no such file")
    module: Any = import_module(READERS[suffix])
    found: Foreign = module.read(file, workspace)
    return found


def _said(file: Path, done: Imported) -> list[str]:
    lines = [f"{done.path}: {sum(done.samples.values())} samples of {len(done.samples)} channels"]
    lines.append(f"  {done.first} to {done.last} as {file.name} says; clock {done.clock}")
    width = max(len(address) for address in done.samples)
    lines += [f"  {address:{width}}  {count:>9}" for address, count in done.samples.items()]
    lines += [f"note: {note}" for note in done.notes]
    return lines + _left_out(done.left_out)
