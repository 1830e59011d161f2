"""What lies beside a segment so that reading is quick: an index, and its samples as columns.

::

    case-17/
        segment-1.mcap              the recording
        columns/
            index-1.scoti           what the segment holds and where; opening reads only this
            numeric-1.parquet       samples as columns: numeric, pose, waveform, video, events
            levels-1.parquet        least and greatest value of each stretch

All of it is made from the segment and can be made again at any time (``scot columns``). It is
believed only if it names the very segment that lies there, by size and by the MCAP footer, whose
CRC covers the summary; what is missing, stale or damaged is ignored, and the segment is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from scot.channel import Catalogue, Kind
from scot.codec import Frame
from scot.errors import UNREADABLE, CodecError
from scot_replay.came import Came
from scot_replay.index import Span
from scot_replay.layout import Manifest
from scot_replay.levels import Envelope
from scot_replay.rows import Quality, Rows

DIRECTORY = "columns"
MAGIC = b"SCOTI\x01"
_FOOTER = 37  # footer record and magic, MCAP specification, "Footer (op=0x02)"


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """Which segment something was made from.

    Attributes:
        size: of its file, B.
        footer: the last bytes of the file: where the summary begins, and its CRC.
    """

    size: int
    footer: bytes

    @property
    def hex(self) -> str:
        """The same as text."""
        return f"{self.size:x}-{self.footer.hex()}"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Rows [first, first + count) of one row group of a Parquet file."""

    group: int
    first: int
    count: int


class Index(msgspec.Struct, kw_only=True):
    """What a segment holds.

    Attributes:
        segment: which.
        manifest, state, losses, damage, came, spans: as in the segment.
        catalogues: bus time and version, packed.
        kinds: of the channels with samples.
        places: rows of each channel in the file of its kind; a channel whose samples columns
            cannot give back has none.
        levels: by channel, rows of ``levels`` by length of the stretch.
        quality: by channel.
    """

    segment: Identity
    manifest: Manifest
    state: list[Frame]
    catalogues: list[tuple[int, bytes]]
    losses: list[dict[str, Any]]
    damage: list[str]
    came: Came
    spans: dict[str, Span]
    kinds: dict[str, Kind]
    places: dict[str, Place] = {}
    levels: dict[str, dict[int, Place]] = {}
    quality: dict[str, Quality] = {}


class Beside:
    """What lies beside one segment and is believed.

    Attributes:
        index: of the segment.
        trouble: why columns that should be there were not read.
    """

    def __init__(self, directory: Path, number: int, index: Index) -> None:
        self.index = index
        self.trouble: list[str] = []
        self._directory = directory
        self._number = number
        self._files: dict[str, Any] = {}

    @classmethod
    def of(cls, segment: Path, number: int) -> Beside | None:
        """Return what lies beside a segment; None when there is nothing to believe."""
        index = read_index(segment, number)
        return None if index is None else cls(segment.parent, number, index)

    def rows(self, address: str, kind: Kind, brief: bool = False) -> Rows | None:
        """Return all samples of a channel; None when its columns are not there or damaged."""
        place = self.index.places.get(address)
        if place is None:
            return None
        rows: Rows | None = self._read(file_of(kind), lambda file: file.rows(place, kind, brief))
        return rows

    def level(self, address: str, width_ns: int) -> Envelope | None:
        """Return least and greatest values in stretches of one length, if they are kept."""
        place = self.index.levels.get(address, {}).get(width_ns)
        if place is None:
            return None
        found: Envelope | None = self._read("levels", lambda file: file.level(place, width_ns))
        return found

    def quality(self, address: str) -> Quality | None:
        """Return how well the times of a channel's samples are known."""
        return self.index.quality.get(address)

    def _read(self, name: str, read: Callable[[Any], Any]) -> Any:
        from scot_replay import parquet

        try:
            file = self._files.get(name)
            if file is None:
                path = file_path(self._directory, self._number, name)
                file = self._files[name] = parquet.ColumnFile(path, self.index.segment)
            return read(file)
        except parquet.Unreadable as error:
            self.trouble.append(f"{name}-{self._number}.parquet was not read: {error}")
            self.index.places = {
                a: p for a, p in self.index.places.items() if file_of(self.index.kinds[a]) != name
            }
            if name == "levels":
                self.index.levels = {}
            return None


def identity(segment: Path) -> Identity:
    """Return which segment lies at a path.

    Raises:
        OSError: there is none, or it is too short.
    """
    with segment.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _FOOTER))
        return Identity(size, file.read(_FOOTER))


def index_path(directory: Path, number: int) -> Path:
    """Return where the index of a segment lies."""
    return directory / DIRECTORY / f"index-{number}.scoti"


def file_path(directory: Path, number: int, name: str) -> Path:
    """Return where a segment's columns lie; `name` is a kind's file or ``levels``."""
    return directory / DIRECTORY / f"{name}-{number}.parquet"


def file_of(kind: Kind) -> str:
    """Return in which file the columns of a kind lie."""
    return kind.value if kind in {Kind.NUMERIC, Kind.POSE, Kind.WAVEFORM, Kind.VIDEO} else "events"


def write_index(path: Path, index: Index) -> None:
    """Put an index in place; a crash leaves the old one or the new one."""
    body = msgspec.msgpack.encode(index)
    fresh = path.with_name(f"{path.name}.part")
    fresh.write_bytes(MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)
    fresh.rename(path)


def read_index(segment: Path, number: int) -> Index | None:
    """Return the index of the segment that lies at a path; None when there is none to believe."""
    try:
        data = index_path(segment.parent, number).read_bytes()
        body = memoryview(data)[len(MAGIC) + 4 :]
        crc = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "little")
        if not data.startswith(MAGIC) or zlib.crc32(body) != crc:
            return None
        index = _index.decode(body)
        for _, packed in index.catalogues:
            catalogue_of(packed)
        if not index.places.keys() <= index.kinds.keys():  # rows of nobody knows what
            return None
        return index if index.segment == identity(segment) else None
    except (OSError, CodecError, *UNREADABLE):
        return None


def remove(directory: Path, number: int) -> None:
    """Remove what lies beside a segment.

    Whoever takes something out of a segment (a redaction, a lost key) must call this: columns
    hold the same samples once more.

    Raises:
        OSError: it cannot be removed.
    """
    for path in (directory / DIRECTORY).glob(f"*-{number}.*"):
        path.unlink(missing_ok=True)


@lru_cache(maxsize=64)
def catalogue_of(packed: bytes) -> Catalogue:
    """Return a packed catalogue; the segments of a recording mostly have the same."""
    return msgspec.msgpack.decode(packed, type=Catalogue)


_index = msgspec.msgpack.Decoder(Index)
