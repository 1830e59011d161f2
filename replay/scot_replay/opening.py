"""The parts of a recording, opened: its directory's, or the one that `scot pack` made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scot.errors import RecordingError
from scot_replay.chunks import ChunkCache
from scot_replay.layout import (
    Manifest,
    NewerVersionError,
    list_parts,
    read_manifest,
    segment_path,
)
from scot_replay.parts import JournalPart, Part
from scot_replay.segment import SegmentPart


def open_parts(
    path: Path, cache: ChunkCache | None = None
) -> tuple[Manifest | None, list[Part], list[str]]:
    """Open every part of a directory; a segment goes before the journal it was made from.

    A file is what `scot pack` made: one long segment.

    Returns:
        The manifest if one was found, the parts in order, and lines that name what is damaged.

    Raises:
        RecordingError: nothing was recorded there, or a part is of a newer version.
    """
    cache = cache or ChunkCache()
    if path.is_file():
        return _open_file(path, cache)
    layout = list_parts(path)
    manifest, damage = _manifest(path)
    parts: list[Part] = []
    newer: NewerVersionError | None = None
    for double in layout.doubles:
        damage.append(f"{double.name} is of the same part as another file, and was left out")
    kept_from = layout.numbers[0] - 1 if manifest is not None and manifest.keep_last_s else 0
    before = kept_from
    for number in layout.numbers:
        if number != before + 1:
            missing = f"{before + 1}" if number == before + 2 else f"{before + 1} to {number - 1}"
            damage.append(f"part {missing} is missing: neither a journal nor a segment is there")
        before = number
        segment, journal = layout.segments.get(number), layout.journals.get(number)
        try:
            part, broken = _open_part(segment, journal, cache)
        except NewerVersionError as error:
            newer, part, broken = error, None, [str(error)]
        damage += broken
        if part is not None:
            found = part.manifest
            manifest = manifest or (found if found is not None and found.workspace else None)
            parts.append(part)
    if not parts and newer is not None:
        raise newer
    if not parts:
        raise RecordingError(f"{path} holds nothing that can be read: {'; '.join(damage)}")
    return manifest, parts, damage


def _manifest(path: Path) -> tuple[Manifest | None, list[str]]:
    """Return the manifest, or None and why it is not there.

    Raises:
        NewerVersionError: the whole recording is of a later release.
    """
    taken = "what it said is taken from the parts"
    try:
        manifest = read_manifest(path)
    except NewerVersionError:
        raise
    except RecordingError as error:
        return None, [f"{str(error).partition(';')[0]}; {taken}"]
    return manifest, [] if manifest is not None else [f"manifest.json is missing; {taken}"]


def _open_file(path: Path, cache: ChunkCache) -> tuple[Manifest | None, list[Part], list[str]]:
    try:
        packed = SegmentPart(path, 1, cache)
    except NewerVersionError:
        raise
    except RecordingError as error:
        raise RecordingError(
            f"{path} is a file, and none that scot pack made ({error}); name the directory of a "
            "recording"
        ) from None
    return packed.manifest, [packed], []


def _fetched(journal: Any) -> Any:
    """Return a journal of a store; None for one of this machine."""
    if isinstance(journal, Path):
        return None
    from scot_replay.remote import HeldFile

    return HeldFile(journal)


def _open_part(
    segment: Path | None, journal: Path | None, cache: ChunkCache
) -> tuple[SegmentPart | JournalPart | None, list[str]]:
    number = int((segment or journal or Path("-0")).stem.rsplit("-", 1)[-1])
    damage: list[str] = []
    if segment is not None:
        try:
            part = SegmentPart(segment, number, cache)
        except NewerVersionError:
            raise
        except RecordingError as error:
            damage.append(str(error))
        else:
            if journal is None or not part.damage:
                return part, damage
    if journal is None:
        return None, damage
    try:
        return JournalPart.open(journal, number, _fetched(journal)), damage
    except NewerVersionError:
        raise
    except RecordingError as error:
        sealed = segment_path(journal.parent, number)
        if segment is None and sealed.exists():  # it was sealed while we looked
            return _open_part(sealed, None, cache)
        return None, [*damage, str(error)]
