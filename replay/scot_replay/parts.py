"""Parts of a recording: a journal or a sealed segment, read in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot.channel import Catalogue, Kind
from scot.codec import Frame, Header
from scot.errors import CodecError, RecordingError
from scot.sample import Flags
from scot_replay import came
from scot_replay import rows as reading
from scot_replay.came import Came
from scot_replay.disk import File, OpenFile
from scot_replay.found import with_headers
from scot_replay.index import ChannelIndex, Entries, Row, Span, span
from scot_replay.journal import RECORD_BYTES as HEAD
from scot_replay.journal import (
    JournalReader,
    Record,
    RecordKind,
    decode_catalogue,
    decode_erased,
    decode_frame,
    read_frame,
    topic_of,
)
from scot_replay.layout import Manifest, parse_manifest
from scot_replay.levels import Envelope
from scot_replay.raw import Raw, indexed, laid
from scot_replay.rows import Quality, Rows

LOOKED_AT = 32
ERASED = "erased"
Int64s = NDArray[np.int64]
_KEYFRAME = int(Flags.KEYFRAME)  # the flag's own & takes eight times as long


class Part(Protocol):
    """One stretch of a recording.

    Attributes:
        number: of the part within the recording, from 1.
        path: of its file.
        state: the last frame, before this part, of each channel that is not waveform, video or
            image.
        catalogues: bus time and version, ascending; the first was true when the part began.
        damage: lines that say what of the file cannot be read; empty when it is whole.
        losses: what was not written then: by address ``count``, ``first_ns``, ``last_ns``, and
            ``why`` where it is not that the disk refused it.
        came: which samples were asked back, and which came late.
    """

    number: int
    path: Path
    state: dict[str, Frame]
    catalogues: list[tuple[int, Catalogue]]
    damage: list[str]
    losses: list[dict[str, Any]]
    came: list[Came]

    def addresses(self) -> list[str]:
        """Channels with samples in this part."""

    def times(self, address: str) -> Int64s:
        """Bus times of a channel's samples, ascending (int64 ns); empty if it has none."""

    def read(self, address: str, first: int, last: int) -> list[Frame]:
        """Return the frames at places [first, last) of `times`."""

    def reach(self, address: str) -> tuple[int, int] | None:
        """Bus time of a channel's first and last sample; None if it has none."""

    def span(self, address: str) -> Span | None:
        """Which samples of a channel this part holds."""

    def keyframes(self, address: str) -> Int64s:
        """Bus times at which decoding of a video can start, ascending."""

    def rows(self, address: str, kind: Kind, from_ns: int, to_ns: int, brief: bool = False) -> Rows:
        """Return a channel's samples of [from_ns, to_ns) as arrays.

        With `brief` how well their times are known may be left out, which is quicker: errors are
        then `scot_replay.heads.NONE`, and states mean nothing.

        Raises:
            RecordingError: the kind has no columns, or a payload is not of it.
        """

    def level(self, address: str, width_ns: int) -> Envelope | None:
        """Return least and greatest values in stretches of one length, if they are kept."""

    def quality(self, address: str) -> Quality | None:
        """Return how well the times of a channel's samples are known; None if it has none."""

    def close(self) -> None:
        """Give the file back."""


def quality_of(part: Part, address: str) -> Quality | None:
    """Return what `Part.quality` does, from some headers evenly over the part."""
    total = len(part.times(address))
    places = np.unique(np.linspace(0, total - 1, min(total, LOOKED_AT)).astype(np.int64)).tolist()
    frames = [frame for place in places for frame in part.read(address, place, place + 1)]
    found = with_headers(address, frames)
    return reading.quality(reading.headers(found)) if found else None


def rows_of(part: Part, address: str, kind: Kind, from_ns: int, to_ns: int) -> Rows:
    """Return what `Part.rows` does, from the frames."""
    first, last = np.searchsorted(part.times(address), (from_ns, to_ns))
    found = with_headers(address, part.read(address, int(first), int(last)))
    return reading.of(found, kind).in_order()


def bounds(part: Part) -> tuple[int, int] | None:
    """Return bus time of the first and the last sample of a part, None when it has none."""
    spans = [s for address in part.addresses() if (s := part.span(address)) is not None]
    if not spans:
        return None
    return min(s.first_ns for s in spans), max(s.last_ns for s in spans)


class JournalPart:
    """A journal and its index; the recorder adds to it while others read.

    Args:
        path: of the file.
        number: of the part.
        file: open to be read; it is closed with the part.

    Attributes:
        others: kind, first and last byte of each record that is no frame, once it was opened; for
            the ledger, so the END is not among them.
    """

    def __init__(self, path: Path, number: int, file: File) -> None:
        self.path = path
        self.number = number
        self.state: dict[str, Frame] = {}
        self.catalogues: list[tuple[int, Catalogue]] = []
        self.damage: list[str] = []
        self.manifest: Manifest | None = None
        self.losses: list[dict[str, Any]] = []
        self.came: list[Came] = []
        self.others: list[tuple[int, int, int]] = []
        self._erased: dict[str, dict[str, Any]] = {}
        self._index: dict[str, ChannelIndex] = {}
        self._file: File | None = file
        self._bytes: NDArray[np.uint8] | None = None

    @classmethod
    def open(cls, path: Path, number: int, file: File | None = None) -> JournalPart:
        """Read a journal as far as it is whole.

        Args:
            path: of the file.
            number: of the part.
            file: open to be read; by default the machine's own at `path`.

        Raises:
            RecordingError: it is no journal, of a newer version, or cannot be read.
        """
        try:
            part = cls(path, number, OpenFile.reading(path) if file is None else file)
            view = part._open_file().view()
        except OSError as error:
            raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
        if not len(view):
            part.damage.append(f"{path.name}: the file is empty; nothing of this part was kept")
            return part
        part._scan(view)
        return part

    def _scan(self, view: memoryview) -> None:
        reader = JournalReader(view, self.path.name)
        found: dict[bytes, list[tuple[int, int]]] = {}
        short = 0
        for kind, start, end in reader.places():
            if kind == RecordKind.FRAME:
                topic = topic_of(view, start, end)
                if topic is None:
                    short += 1
                else:
                    found.setdefault(topic, []).append((start, end))
            else:
                body = view[start + HEAD : end]
                short += not self._noted(Record(kind, start, end, body))
                frame = kind == RecordKind.ERASED and body[:1] == bytes((RecordKind.FRAME,))
                if kind != RecordKind.END and not frame:
                    self.others.append((kind, start, end))
        data = np.frombuffer(view, np.uint8)
        for topic, places in found.items():
            entries, unread = indexed(data, topic, np.array(places, np.int64))
            short += unread
            if len(entries):
                index = self._index.setdefault(Frame(topic, b"", b"").address, ChannelIndex())
                index.add(entries)  # nobody else reads it yet
        self.losses += [{address: loss} for address, loss in self._erased.items()]
        tail = reader.tail
        for first, last in reader.damaged:
            self.damage.append(
                f"{self.path.name}: {last - first} B from byte {first} on are damaged and were "
                "left out"
            )
        if tail.left:
            self.damage.append(
                f"{self.path.name}: cut short: {tail.left} B after the last whole record (byte "
                f"{tail.at}) are no record and were left out"
            )
        if short:
            self.damage.append(f"{self.path.name}: {short} records hold no readable sample")

    def _noted(self, record: Record) -> bool:
        """Take a record that is no frame; False when it cannot be read."""
        try:
            self._note(record)
        except (CodecError, msgspec.DecodeError):
            return False
        return True

    def _note(self, record: Record) -> None:
        if record.kind == RecordKind.STATE:
            frame = decode_frame(record.body)
            self.state[frame.address] = frame
        elif record.kind == RecordKind.CATALOGUE:
            self.catalogues.append(decode_catalogue(record.body))
        elif record.kind == RecordKind.MANIFEST:
            self.manifest = parse_manifest(bytes(record.body), self.path.name)
        elif record.kind == RecordKind.LOSS:
            self.losses.append(msgspec.json.decode(record.body))
        elif record.kind == RecordKind.CAME:
            self.came.append(came.decode(record.body))
        elif record.kind == RecordKind.ERASED and (said := decode_erased(record.body)):
            self._erase(*said)

    def _erase(self, address: str, first_ns: int, last_ns: int) -> None:
        """Count a sample that was erased, as the loss it is."""
        loss = {"count": 0, "first_ns": first_ns, "last_ns": last_ns, "why": ERASED}
        known = self._erased.setdefault(address, loss)
        known["count"] += 1
        known["first_ns"] = min(known["first_ns"], first_ns)
        known["last_ns"] = max(known["last_ns"], last_ns)

    def add(self, address: str, rows: list[Row]) -> None:
        """Make frames visible that now lie in the file; of one thread only."""
        index = self._index.get(address)
        if index is None:
            index = ChannelIndex()
            index.add(rows)
            self._index = {**self._index, address: index}  # readers hold the old one
        else:
            index.add(rows)

    def addresses(self) -> list[str]:
        """Channels with samples in this part."""
        return list(self._index)

    def entries(self, address: str) -> Entries:
        """Return a channel's entries, in order of bus time; empty if it has none."""
        index = self._index.get(address)
        return ChannelIndex().entries() if index is None else index.entries()

    def times(self, address: str) -> Int64s:
        """Bus times of a channel's samples, ascending."""
        times: Int64s = self.entries(address)["bus_ns"]
        return times

    def read(self, address: str, first: int, last: int) -> list[Frame]:
        """Return the frames at places [first, last) of `times`; one that has rotted is left out."""
        rows, read = self.entries(address)[first:last], self._open_file().read
        places = zip(rows["size"].tolist(), rows["at"].tolist(), strict=True)
        found = (read_frame(read(size, at)) for size, at in places)
        return [frame for frame in found if frame is not None]

    def raw(self, address: str) -> Raw:
        """Return where a channel's frames lie, of a journal that nobody writes to any more."""
        return laid(self.bytes(), self.entries(address))

    def bytes(self) -> NDArray[np.uint8]:
        """Return all of a journal that nobody writes to any more."""
        if self._bytes is None:
            self._bytes = np.frombuffer(self._open_file().view(), np.uint8)
        return self._bytes

    def _open_file(self) -> File:
        if self._file is None:
            raise RecordingError(f"{self.path} was closed; open the recording again")
        return self._file

    def reach(self, address: str) -> tuple[int, int] | None:
        """Bus time of a channel's first and last sample; None if it has none."""
        times = self.times(address)
        return (int(times[0]), int(times[-1])) if len(times) else None

    def span(self, address: str) -> Span | None:
        """Which samples of a channel this part holds."""
        return span(self.entries(address))

    def keyframes(self, address: str) -> Int64s:
        """Bus times at which decoding of a video can start, ascending."""
        entries = self.entries(address)
        times: Int64s = entries["bus_ns"][entries["key"]]
        return times

    def rows(self, address: str, kind: Kind, from_ns: int, to_ns: int, brief: bool = False) -> Rows:
        """Return a channel's samples of [from_ns, to_ns) as arrays; raises as `Part.rows`."""
        return rows_of(self, address, kind, from_ns, to_ns)

    def quality(self, address: str) -> Quality | None:
        """Return how well the times of a channel's samples are known; None if it has none."""
        return quality_of(self, address)

    def level(self, address: str, width_ns: int) -> Envelope | None:
        """Return nothing: a journal keeps no levels."""
        return None

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
            self._file = self._bytes = None


def entry(header: Header, start: int, end: int) -> Row:
    """Return the index row of a frame whose record takes bytes [start, end) of the file."""
    key = bool(header.flags & _KEYFRAME)
    return header.bus_ns, header.epoch, header.seq, start, end - start, key


class Catalogued(Protocol):
    """What knows versions of the catalogue."""

    catalogues: list[tuple[int, Catalogue]]


def newest_catalogue(parts: Iterable[Catalogued], workspace: str = "") -> Catalogue:
    """Return one catalogue with every device and channel that any part knew, newest first."""
    newest = Catalogue(workspace=workspace)
    versions = [version for part in parts for version in part.catalogues]
    for _, catalogue in versions:
        devices = dict(newest.devices)
        for name, device in catalogue.devices.items():
            channels = {**devices[name].channels, **device.channels} if name in devices else None
            devices[name] = (
                device if channels is None else msgspec.structs.replace(device, channels=channels)
            )
        newest = msgspec.structs.replace(catalogue, devices=devices)
    return newest
