"""One broken part written anew: all that its files still hold, as a journal of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from scot.channel import Catalogue
from scot.codec import Frame, read_header
from scot.errors import CodecError, RecordingError
from scot_replay import came
from scot_replay.came import gather
from scot_replay.completeness import Interval
from scot_replay.index import Seen
from scot_replay.journal import (
    MAGIC,
    RecordKind,
    encode_catalogue,
    encode_frame,
    encode_record,
)
from scot_replay.layout import Layout, Manifest, list_parts
from scot_replay.parts import JournalPart
from scot_replay.salvage import Salvage
from scot_replay.segment import SegmentPart

_HALF = re.compile(r"^segment-(\d{1,6})\.mcap\.part$")
Source: TypeAlias = "JournalPart | Salvage"
BATCH = 256


def open_source(path: Path, number: int) -> Source:
    """Open a file of a part, however broken it is.

    Raises:
        RecordingError: nothing in it can be read, or it is of a newer version.
    """
    return JournalPart.open(path, number) if path.suffix == ".scotj" else Salvage(path)


def manifest_in(path: Path) -> Manifest | None:
    """Return what a part says of the recording it belongs to; None when it does not say."""
    for opening in (SegmentPart, open_source):
        try:
            part = opening(path, 1)
        except RecordingError:
            continue
        found = part.manifest
        part.close()
        if found is not None and found.workspace:
            return found
    return None


def write_journal(
    path: Path,
    sources: Sequence[Source],
    manifest: Manifest,
    before: tuple[int, Catalogue] | None,
) -> tuple[tuple[int, Catalogue] | None, list[str]]:
    """Write a journal, without its end, with every sample of the sources once.

    Args:
        path: of the journal; not there yet.
        sources: files of one part, the one that is believed most first.
        manifest: of the recording.
        before: the catalogue that was true before this part, for one that holds none.

    Returns:
        The last catalogue, and the names of the files that gave a sample.

    Raises:
        OSError: it cannot be written.
    """
    versions = {version[0]: version for one in sources for version in one.catalogues}
    if not versions and before is not None:
        versions = {before[0]: before}
    state = {address: frame for one in sources for address, frame in one.state.items()}
    gave: list[str] = []
    seen: dict[str, set[tuple[int, int, int]]] = {}
    with path.open("xb") as out:
        out.write(MAGIC + encode_record(RecordKind.MANIFEST, msgspec.json.encode(manifest)))
        out.writelines(encode_catalogue(*versions[at_ns]) for at_ns in sorted(versions))
        out.writelines(encode_frame(frame, RecordKind.STATE) for frame in state.values())
        for source in sources:
            fresh = _frames(source) if len(sources) == 1 else _unseen(_frames(source), seen)
            start = out.tell()
            out.writelines(map(encode_frame, fresh))
            if out.tell() > start:
                gave.append(source.path.name)
        if notes := gather(note for source in sources[:1] for note in source.came):
            out.write(encode_record(RecordKind.CAME, came.encode(notes)))
        for losses in sources[0].losses if sources else []:
            out.write(encode_record(RecordKind.LOSS, msgspec.json.encode(losses)))
    return (versions[max(versions)] if versions else None), gave


def _unseen(frames: Iterable[Frame], seen: dict[str, set[tuple[int, int, int]]]) -> Iterator[Frame]:
    for frame in frames:
        header = read_header(frame)
        key = header.bus_ns, header.epoch, header.seq
        mine = seen.setdefault(frame.address, set())
        if key not in mine:
            mine.add(key)
            yield frame


def _frames(source: Source) -> Iterator[Frame]:
    """Yield every sample with a readable header."""
    for frame in source.frames() if isinstance(source, Salvage) else _of(source):
        try:
            read_header(frame)
        except CodecError:
            continue
        yield frame


def _of(journal: JournalPart) -> Iterator[Frame]:
    for address in journal.addresses():
        total = len(journal.times(address))
        for first in range(0, total, BATCH):
            yield from journal.read(address, first, min(first + BATCH, total))


def look(source: Path) -> tuple[Layout, dict[int, Path]]:
    """Return the parts that lie there, and segments that were half written."""
    half: dict[int, Path] = {}
    if source.is_dir():
        for entry in source.iterdir():
            if (found := _HALF.match(entry.name)) and entry.is_file():
                half[int(found[1])] = entry
    try:
        return list_parts(source), half
    except RecordingError:
        if not half:
            raise
    return Layout(source), half


def has(seen: Seen, frame: Frame) -> bool:
    """Say whether a frame is among those seen, or is none that anybody could read."""
    try:
        header = read_header(frame)
    except CodecError:
        return True
    return seen.has(frame.address, header.epoch, header.seq)


def overlap(interval: Interval, window: tuple[int, int]) -> bool:
    """Say whether an interval and a window of bus time have an instant in common."""
    from_ns, to_ns = window
    begins = interval.from_ns is None or interval.from_ns <= to_ns
    return begins and (interval.to_ns is None or interval.to_ns >= from_ns)


def set_aside(entry: Path, damaged: Path) -> None:
    """Keep a file under another name; a name that is taken there gets a number."""
    target, number = damaged / entry.name, 1
    while target.exists():
        number += 1
        target = damaged / f"{entry.name}.{number}"
    try:
        target.hardlink_to(entry)
    except OSError:  # a file system without links
        shutil.copyfile(entry, target)
