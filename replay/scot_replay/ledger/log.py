"""The file of a tree: entries, checkpoints and what others say of them, appended under a lock.

::

    file   = "SCOTL" version 0 0, then records as those of a journal
    record = length u32 | crc u32 | kind u8 | body[length]
    ENTRY       MessagePack [leaf, opening]
    CHECKPOINT  a signed note
    TOKEN       MessagePack [size, digest, token]: an RFC 3161 token over a checkpoint's text

Each record is of one writer at a time: the recorder, the sealer and who redacts take turns.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgspec
from fastcrc import crc32

from scot.errors import UNREADABLE, RecordingError
from scot.note import Signer
from scot_replay.journal import RECORD_BYTES
from scot_replay.layout import sync_directory
from scot_replay.ledger.checkpoint import Checkpoint
from scot_replay.ledger.entry import Begin, Entry, Opened, Opening, decode_entry, encode_entry
from scot_replay.ledger.merkle import Frontier, leaf_hash

LEDGER = "ledger.scotl"
VERSION = 1
MAGIC = b"SCOTL" + bytes((VERSION, 0, 0))
MAX_BODY = 64 << 20

_pair = msgspec.msgpack.Decoder(tuple[bytes, bytes])
_encoder = msgspec.msgpack.Encoder()


class Item(IntEnum):
    """What a record of the file holds."""

    ENTRY = 1
    CHECKPOINT = 2
    TOKEN = 3


class Line(NamedTuple):
    """One record: what it holds, its body, where it ends, and whether its CRC is right."""

    kind: int
    body: bytes
    end: int
    whole: bool


def lines(data: bytes, at: int = len(MAGIC)) -> Iterator[Line]:
    """Yield the records from byte `at` on, damaged ones too, up to what cannot be one."""
    while len(data) - at >= RECORD_BYTES:
        size = int.from_bytes(data[at : at + 4], "little")
        end = at + RECORD_BYTES + size
        if size > MAX_BODY or end > len(data):
            return
        told = int.from_bytes(data[at + 4 : at + 8], "little")
        whole = crc32.iscsi(data[at + 8 : end]) == told
        yield Line(data[at + 8], data[at + RECORD_BYTES : end], end, whole)
        at = end


def encode_line(kind: Item, body: bytes) -> bytes:
    """Return the bytes of one record."""
    tail = bytes((kind,)) + body
    return len(body).to_bytes(4, "little") + crc32.iscsi(tail).to_bytes(4, "little") + tail


def opened(line: Line) -> Opened:
    """Return the entry of an ENTRY record.

    Raises:
        RecordingError: it holds none.
    """
    try:
        return decode_entry(*_pair.decode(line.body))
    except UNREADABLE as error:
        raise RecordingError(f"a record of {len(line.body)} B holds no entry: {error}") from None


class Log:
    """Appends to the file of a tree.

    Args:
        path: of the file; its directory exists.
        origin: of its checkpoints; by default as its first entry says.

    Attributes:
        tree: as far as the file was read.
        begin: the first entry of a recording's ledger.
    """

    def __init__(self, path: Path, origin: str = "") -> None:
        self.path = path
        self.origin = origin
        self.begin: Begin | None = None
        self.tree = Frontier()
        self._end = 0
        self._inode = -1
        self._file = -1

    def rewrite(
        self, records: bytes, entries: Sequence[tuple[Entry, None]], signer: Signer
    ) -> None:
        """Put other bytes for the file's, of the same leaves, and append; one step. Within `turn`.

        Raises:
            OSError: the disk does not take them; the file is as it was.
        """
        added, tree, _ = self._encoded(entries, signer)
        records += added
        fresh = self.path.with_name(f"{self.path.name}.part")
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            _put(file, MAGIC + records, 0)
            os.fsync(file)
            fresh.rename(self.path)
            sync_directory(self.path.parent)
            os.dup2(file, self._file, inheritable=False)
        finally:
            os.close(file)
        self._end, self._inode = len(MAGIC) + len(records), os.fstat(self._file).st_ino
        self.tree = tree

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only one who writes; learn what others wrote meanwhile.

        Raises:
            OSError: the file cannot be made or read.
            RecordingError: the file is of a newer version, or no ledger.
        """
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not self._replaced(file):
                    self._catch_up(file)
                    self._file = file
                    yield
                    return
            finally:
                self._file = -1
                os.close(file)

    def _replaced(self, file: int) -> bool:
        """Say whether the file was exchanged by who had its turn before."""
        try:
            return self.path.stat().st_ino != os.fstat(file).st_ino
        except FileNotFoundError:
            return True

    def append(
        self, entries: Sequence[tuple[Entry, Opening | None]], signer: Signer | None
    ) -> Checkpoint:
        """Append entries and, with a signer, a checkpoint; all forced down. Within `turn`.

        Raises:
            OSError: the disk does not take it; what was half written is cut off later.
        """
        if entries and not self.tree.size:
            self._first(entries[0][0])
        records, tree, head = self._encoded(entries, signer)
        self._write(records if self._end else MAGIC + records)
        self.tree = tree
        return head

    def _encoded(
        self, entries: Sequence[tuple[Entry, Opening | None]], signer: Signer | None
    ) -> tuple[bytes, Frontier, Checkpoint]:
        """Return the bytes of entries and their checkpoint, and the tree with them."""
        tree = self.tree.copy()
        records: list[bytes] = []
        for entry, opening in entries:
            leaf, secret = encode_entry(entry, opening)
            tree.append(leaf_hash(leaf))
            records.append(encode_line(Item.ENTRY, _encoder.encode((leaf, secret))))
        head = Checkpoint(self.origin, tree.size, tree.root())
        if signer is not None:
            records.append(encode_line(Item.CHECKPOINT, signer.sign(head.text())))
        return b"".join(records), tree, head

    def add(self, kind: Item, body: bytes) -> None:
        """Append what is no entry; forced down. Within `turn`.

        Raises:
            OSError: the disk does not take it.
        """
        self._write(encode_line(kind, body))

    def _catch_up(self, file: int) -> None:
        about = os.fstat(file)
        if about.st_ino != self._inode or about.st_size < self._end:
            self.tree, self._end = Frontier(), 0
        if about.st_size != self._end:
            data = _read(file, self._end, about.st_size)
            start = self._end
            if not start:
                check_magic(data, self.path)
                start = self._end = len(MAGIC) if len(data) >= len(MAGIC) else 0
                data = data[start:]
            if start:
                self._take(data, start)
        self._inode = about.st_ino

    def _take(self, data: bytes, start: int) -> None:
        for line in lines(MAGIC + data):
            if not line.whole:
                return
            if line.kind == Item.ENTRY:
                try:
                    leaf, _ = _pair.decode(line.body)
                except UNREADABLE as error:
                    raise RecordingError(f"{self.path}: a record holds no entry: {error}") from None
                if not self.tree.size:
                    self._first(opened(line).entry)
                self.tree.append(leaf_hash(leaf))
            self._end = start + line.end - len(MAGIC)

    def _first(self, entry: Entry) -> None:
        if isinstance(entry, Begin):
            self.begin = entry
            self.origin = self.origin or entry.origin

    def _write(self, data: bytes) -> None:
        file, fresh, at = self._file, not self._end, self._end
        os.ftruncate(file, at)  # what an interrupted write left
        _put(file, data, at)
        os.fdatasync(file)
        if fresh:
            sync_directory(self.path.parent)
        self._end = at + len(data)


def _put(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def _read(file: int, start: int, end: int) -> bytes:
    pieces = []
    while start < end and (piece := os.pread(file, end - start, start)):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def check_magic(data: bytes, path: Path) -> None:
    """Look at the beginning of a file.

    Raises:
        RecordingError: it is no ledger, or of a newer version.
    """
    head = data[: len(MAGIC)]
    if not MAGIC.startswith(head[:5]) and head[:5] != MAGIC[:5]:
        raise RecordingError(f"{path} is no ledger: it starts with {head!r}")
    if len(head) > 5 and head[5] > VERSION:
        raise RecordingError(
            f"{path} is a ledger of version {head[5]}, this release reads {VERSION}; install a "
            "newer scot-bus"
        )
    if not MAGIC.startswith(head):
        raise RecordingError(f"{path} is damaged: it starts with {head!r}")
