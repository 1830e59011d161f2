"""What ``scot doctor`` checks of recordings (entry point ``scot.checks``)."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from scot.checking import Scope
from scot.errors import RecordingError
from scot.finding import Finding
from scot_replay.layout import list_parts, read_manifest

NEWEST = 200
NAMED = 5


def recordings(scope: Scope) -> Iterator[Finding]:
    """Check the recordings beside the room's own: cut short, unsealed, readable by others."""
    current = scope.facts.facts.get("recorder", {}).get("recording") if scope.facts else None
    if current:
        parent = Path(current).parent
    elif scope.file is not None:
        parent = scope.file.recorder.directory.absolute()
    else:
        parent = Path.cwd() / "recordings"
    if not parent.is_dir():
        return
    found = sorted((p for p in parent.iterdir() if p.is_dir()), reverse=True)[:NEWEST]
    whole, open_to_others = 0, []
    for path in found:
        try:
            layout = list_parts(path)
        except (RecordingError, OSError):
            continue  # another folder, or an empty one
        whole += 1
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            open_to_others.append(path)
        if not (current and path.samefile(current)):
            yield from _cut_short(path, layout.unsealed)
    yield from _readable(open_to_others)
    if whole:
        yield Finding("ok", f"{whole} recordings in {parent}")


def _cut_short(path: Path, unsealed: list[int]) -> Iterator[Finding]:
    """Yield what is left to do for a recording that nobody makes any more."""
    try:
        manifest = read_manifest(path)
    except RecordingError as error:
        yield Finding("problem", str(error), f"scot info {path} says what can be read")
        return
    if unsealed:
        numbers = " ".join(map(str, unsealed))
        ended = manifest is not None and manifest.finished_ns is not None
        why = "journal" if ended else "cut short; journal"
        what = f"recording {path}: {why} {numbers} not sealed; it opens as it is"
        fix = f"the next room here seals it, or: scot recover --in-place {path}"
        yield Finding("warning", what, fix)
    elif manifest is None:
        what = f"recording {path} has no manifest.json; it opens as it is"
        yield Finding("warning", what, f"scot info {path} says what is missing")


def _readable(paths: list[Path]) -> Iterator[Finding]:
    if paths:
        names = ", ".join(path.name for path in paths[:NAMED])
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        what = f"other users of this machine can read recordings: {names}{more}"
        yield Finding(
            "warning",
            what,
            f"chmod -R go= {paths[0]}" + (", and each other" if len(paths) > 1 else ""),
        )
