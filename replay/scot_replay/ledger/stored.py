"""Records as they are stored now, by channel and key: what blocks are compared with."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
from google.protobuf.message import DecodeError
from mcap.exceptions import McapError

from scot.codec import Frame, read_header
from scot.errors import CodecError, RecordingError, ScotError
from scot_replay.journal import MAGIC, JournalReader, RecordKind, decode_head, encode_frame
from scot_replay.journal import RECORD_BYTES as HEAD
from scot_replay.layout import Manifest, parse_manifest
from scot_replay.ledger.entry import OTHER, Key
from scot_replay.place import whole
from scot_replay.segment import SegmentPart

BATCH = 512
DAMAGED = (
    ValueError,  # zstd, msgspec, zlib and text that is none, too
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    msgspec.MsgspecError,
    McapError,
    DecodeError,
    ScotError,
)
"""What reading a file raises whose own index is damaged."""
_EPOCH_SEQ = tuple[int, int]


class Stored(NamedTuple):
    """One record: its key, its kind and body, and where it stands."""

    key: Key
    kind: int
    body: memoryview | bytes
    at: int


Records = dict[_EPOCH_SEQ, list[Stored]]


class Source(Protocol):
    """A part of a recording, record by record.

    Attributes:
        name: of its file.
        torn: it was not ended in order: bytes that are missing or too many at its end, at least 1.
        others: whether records that are no frames are here as they were written.
    """

    name: str
    torn: int
    others: bool

    @property
    def damage(self) -> list[str]:
        """Lines that say what cannot be read, as far as it was tried."""

    def addresses(self) -> list[str]:
        """Whose records there are."""

    def records(self, address: str) -> Records:
        """Return the records of a channel by (epoch, seq); each key once."""


class JournalSource:
    """The records of a journal, whole ones only.

    Args:
        path: of the file.

    Raises:
        RecordingError: it is no journal, or cannot be read.
    """

    others = True

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.damage = list[str]()
        self._records: dict[str, Records] = {}
        try:
            view = whole(path)
        except OSError as error:
            raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
        reader = JournalReader(view, path.name)
        place = 0
        for record in reader.records():
            if record.kind == RecordKind.FRAME:
                self._frame(record.body, record.start)
            elif record.kind == RecordKind.ERASED:
                place += record.body[:1] != bytes((RecordKind.FRAME,))
            elif record.kind != RecordKind.END:
                key = (record.kind, place, 0)
                self._add(OTHER, Stored(key, record.kind, record.body, record.start))
                place += 1
        for first, last in reader.damaged:
            self.damage.append(f"{self.name}: bytes {first} to {last} hold no record")
        self.torn = reader.tail.left + (0 if reader.tail.closed else 1)
        if bytes(view[: len(MAGIC)]) != MAGIC:
            self.damage.append(f"{self.name}: bytes 0 to {len(MAGIC)} are not those of a journal")

    def addresses(self) -> list[str]:
        """Whose records there are."""
        return list(self._records)

    def records(self, address: str) -> Records:
        """Return the records of a channel by (epoch, seq); each key once."""
        return self._records.get(address, {})

    def _frame(self, body: memoryview, at: int) -> None:
        try:
            frame = decode_head(body)
            header = read_header(frame)
        except CodecError:
            self.damage.append(f"{self.name}: the record at byte {at} holds no readable frame")
            return
        key = (header.epoch, header.seq, header.bus_ns)
        self._add(frame.address, Stored(key, RecordKind.FRAME, body, at))

    def _add(self, address: str, stored: Stored) -> None:
        same = self._records.setdefault(address, {}).setdefault(stored.key[:2], [])
        if all(one.key != stored.key for one in same):
            same.append(stored)


def journal_manifest(path: Path) -> Manifest | None:
    """Return the manifest in a journal; None when it holds none.

    Raises:
        RecordingError: it is no journal, or the manifest cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
    for record in JournalReader(data, path.name).records():
        if record.kind == RecordKind.MANIFEST:
            return parse_manifest(bytes(record.body), path.name)
    return None


class SegmentSource:
    """The records of a sealed segment, made again from its messages.

    Args:
        part: opened.
    """

    torn = 0
    others = False

    def __init__(self, part: SegmentPart) -> None:
        self.name = part.path.name
        self._part = part
        self._unread: list[str] = []

    @property
    def damage(self) -> list[str]:
        """Lines that say what cannot be read, as far as it was tried."""
        return [*self._part.damage, *self._unread]

    def addresses(self) -> list[str]:
        """Whose records there are."""
        try:
            return self._part.addresses()
        except DAMAGED as error:
            self._unread.append(f"{self.name}: its index cannot be read: {error}")
            return []

    def records(self, address: str) -> Records:
        """Return the records of a channel by (epoch, seq); each key once."""
        found: Records = {}
        for place, frame in self._frames(address):
            try:
                header = read_header(frame)
            except CodecError:
                continue
            key = (header.epoch, header.seq, header.bus_ns)
            same = found.setdefault(key[:2], [])
            if all(one.key != key for one in same):
                body = encode_frame(frame)[HEAD:]
                same.append(Stored(key, RecordKind.FRAME, body, place))
        return found

    def _frames(self, address: str) -> Iterator[tuple[int, Frame]]:
        try:
            total = len(self._part.times(address)) if address in self.addresses() else 0
        except DAMAGED as error:
            self._unread.append(f"{self.name}: {address} cannot be found: {error}")
            return
        for first in range(0, total, BATCH):
            yield from self._batch(address, first, min(first + BATCH, total))

    def _batch(self, address: str, first: int, last: int) -> list[tuple[int, Frame]]:
        try:
            return list(enumerate(self._part.read(address, first, last), first))
        except DAMAGED as error:
            where = f"samples {first + 1} to {last} of {address}"
            self._unread.append(f"{self.name}: {where} cannot be read: {error}")
            return []
