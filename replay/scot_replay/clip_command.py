"""``scot clip`` (entry points ``scot.commands``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.clip import Clipped
from scot_replay.clip import clip as write
from scot_replay.commands import RecordingPath
from scot_replay.progress import share
from scot_replay.recording import open_recording
from scot_replay.when import HOW


def clip(
    recording: RecordingPath,
    out: Annotated[Path, typer.Argument(help="Directory to make; it must not exist.")],
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(help=f"From and to (exclusive); the whole when not given: {HOW}."),
    ] = None,
    deid: Annotated[
        bool,
        typer.Option("--deid", help="Only what may leave the house, and no date or free text."),
    ] = False,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="With --deid: leave times as they are.")
    ] = False,
    notes: Annotated[
        bool, typer.Option("--keep-notes", help="With --deid: keep what people wrote, cleaned.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Write a stretch of a recording as a recording of its own."""
    if (keep_times or notes) and not deid:
        raise typer.BadParameter("--keep-times and --keep-notes go with --deid")
    opened = open_recording(recording)
    span = opened.stretch(between)
    with share(f"clip of {opened.path}") as progress:
        done = write(
            opened, out, span, deid=deid, keep_times=keep_times, notes=notes, progress=progress
        )
    opened.close()
    if json:
        typer.echo(msgspec.json.encode(done).decode())
    else:
        for line in _lines(done, deid):
            typer.echo(line)
    return 0


def _lines(done: Clipped, deid: bool) -> list[str]:
    seconds = (done.last_ns - done.first_ns) / 1e9
    lines = [
        f"{done.path}: {sum(done.samples.values())} samples of {len(done.samples)} channels, "
        f"{seconds:.1f} s"
    ]
    for address, count in done.no_keyframe.items():
        lines.append(f"  {address}: {count} frames before its first keyframe were left out")
    if deid:
        lines += [f"  left out: {address} ({why})" for address, why in done.left_out.items()]
        lines.append(f"  {done.texts} texts withheld")
        if done.moved_ns:
            start_s = (done.first_ns + done.moved_ns - TAI_MINUS_UTC_NS) // 1_000_000_000
            lines.append(f"  times moved: it begins at 2000-01-01 ({start_s} s since 1970)")
        lines.append("  a person must look at it before it leaves: pictures are not changed")
    return lines
