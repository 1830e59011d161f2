"""``scot recover`` (entry point ``scot.commands``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from scot.errors import RecordingError
from scot_replay.completeness import WHY
from scot_replay.layout import DAMAGED, iso_utc
from scot_replay.recovery import Outcome, Recovery

SHOWN = 20


def recover(
    recording: Annotated[Path, typer.Argument(help="Directory of a broken recording.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Directory to make; DIRECTORY-recovered beside it if none."),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Repair it where it is; broken files go to damaged/."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Make a valid recording of a broken directory, and say what could not be saved.

    Copied, torn, bit-flipped or half-written files, missing segments, no manifest: whatever can be
    read is kept. The directory itself is not changed unless --in-place is given.
    """
    if in_place and out is not None:
        raise RecordingError("--in-place and --out exclude each other; leave one of them out")
    path = recording.absolute()
    beside = path.with_name(f"{path.name}-recovered") if out is None else out
    recovery = Recovery(recording, None if in_place else beside)
    try:
        outcome = recovery.run()
    except KeyboardInterrupt:
        if not in_place and beside.exists():
            typer.echo(f"stopped: {beside} holds what was recovered so far", err=True)
        raise
    if json:
        typer.echo(msgspec.json.encode(plain(outcome)).decode())
    else:
        for line in _lines(outcome, in_place):
            typer.echo(line)
    return 0


def plain(outcome: Outcome) -> dict[str, Any]:
    """Return what ``scot recover --json`` prints, times as UTC."""
    found: dict[str, Any] = msgspec.to_builtins(outcome)
    found["lost"] = {
        address: [
            {"from": _utc(one.from_ns), "to": _utc(one.to_ns), "count": one.count, "why": one.why}
            for one in intervals
        ]
        for address, intervals in outcome.lost.items()
    }
    found["samples_lost"] = sum(one.count for many in outcome.lost.values() for one in many)
    return found


def _utc(bus_ns: int | None) -> str | None:
    return None if bus_ns is None else iso_utc(bus_ns)


def _lines(outcome: Outcome, in_place: bool) -> list[str]:
    if not outcome.rebuilt and not outcome.notes:
        return [f"nothing to repair: all {len(outcome.kept)} parts are whole"]
    lines = list(outcome.notes)
    for one in outcome.rebuilt:
        files = f"from {', '.join(one.from_)}" if one.from_ else "nothing of it is left"
        why = "; ".join(one.damage) or "it was not sealed"
        lines.append(f"part {one.part}: {one.samples} samples, {files} ({why})")
    for address, intervals in outcome.lost.items():
        for lost in intervals[:SHOWN]:
            since, until = _utc(lost.from_ns) or "the start", _utc(lost.to_ns) or "the end"
            why = WHY[lost.why]["en"] if lost.why in WHY else lost.why
            lines.append(f"lost: {address}: {lost.count} between {since} and {until}: {why}")
        if len(intervals) > SHOWN:
            lines.append(f"lost: {address}: … and in {len(intervals) - SHOWN} more, see --json")
    lost_in_all = sum(one.count for many in outcome.lost.values() for one in many)
    kept = f", broken files are in {DAMAGED}/" if in_place and outcome.rebuilt else ""
    lines.append(
        f"{outcome.recording}: {len(outcome.kept)} parts were whole, {len(outcome.rebuilt)} are "
        f"made anew; {outcome.samples} samples, {lost_in_all} lost{kept}"
    )
    return lines
