"""``scot columns`` and ``scot pack`` (entry points ``scot.commands``)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from scot.errors import RecordingError
from scot_replay import sidecar
from scot_replay.beside import make
from scot_replay.commands import RecordingPath as Named
from scot_replay.layout import list_parts
from scot_replay.progress import progress, share
from scot_replay.segment import SegmentPart

RecordingPath = Annotated[Path, typer.Argument(help="Directory of a recording.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def columns(
    recording: RecordingPath,
    again: Annotated[bool, typer.Option("--again", help="Make those that are there, too.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove them instead.")] = False,
    json: Json = False,
) -> int:
    """Make the columns that lie beside segments, for quick reading, where they are missing."""
    if again and remove:
        raise RecordingError("--again and --remove exclude each other; give one of them")
    segments = list_parts(recording).segments
    if remove:
        shutil.rmtree(recording / sidecar.DIRECTORY, ignore_errors=True)
        done: dict[str, Any] = {"recording": str(recording), "made": 0, "kept": 0, "bytes": 0}
    else:
        done = make_columns(recording, segments, again)
    if json:
        typer.echo(msgspec.json.encode(done).decode())
    elif remove:
        typer.echo(f"{recording}: columns removed; the recording itself is as it was")
    else:
        typer.echo(
            f"{recording}: columns of {done['made']} segments made, {done['kept']} were there, "
            f"{done['bytes'] / 1e6:.1f} MB"
        )
        for line in done["skipped"]:
            typer.echo(f"skipped: {line}")
    return 0


def pack(
    recording: Named,
    out: Annotated[Path, typer.Argument(help="File to make; .mcap.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    json: Json = False,
) -> int:
    """Write a recording as one MCAP file, which viewers and scot open."""
    from scot_replay.pack import pack as write
    from scot_replay.recording import open_recording

    with open_recording(recording) as opened, share(f"pack {opened.path}") as progress:
        packed = write(opened, out, force=force, progress=progress)
    if json:
        typer.echo(msgspec.json.encode(packed).decode())
        return 0
    typer.echo(
        f"{out}: {packed.messages} messages of {packed.channels} channels, "
        f"{packed.bytes / 1e6:.1f} MB"
    )
    for line in packed.damage:
        typer.echo(f"damage: {line}")
    return 0


def make_columns(recording: Path, segments: dict[int, Path], again: bool) -> dict[str, Any]:
    """Make the columns of segments; return what ``--json`` prints.

    Raises:
        RecordingError: the disk does not take them.
    """
    made, kept = 0, 0
    skipped: list[str] = []
    with progress("columns", len(segments)) as advance:
        for number, path in sorted(segments.items()):
            if not again and sidecar.read_index(path, number) is not None:
                kept += 1
            elif why := _make(recording, number, path):
                skipped.append(why)
            else:
                made += 1
            advance(1)
    beside = recording / sidecar.DIRECTORY
    size = sum(file.stat().st_size for file in beside.iterdir()) if beside.is_dir() else 0
    return {
        "recording": str(recording),
        "made": made,
        "kept": kept,
        "bytes": size,
        "skipped": skipped,
    }


def _make(recording: Path, number: int, path: Path) -> str:
    """Make one segment's columns; return why they cannot be, empty when they were."""
    try:
        sidecar.remove(recording, number)
        part = SegmentPart(path, number)
        if not part.whole or part.manifest is None:
            return "; ".join(part.damage) or f"{path} does not say what it is"
        make(part, path, part.manifest)
        part.close()
    except RecordingError as error:
        return str(error)
    except OSError as error:
        raise RecordingError(
            f"{recording / sidecar.DIRECTORY} cannot be written: {error.strerror or error}; "
            "copy the recording to where there is room, or read it without columns"
        ) from None
    return ""
