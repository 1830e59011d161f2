"""The journal: what a recorder received, in the order it came, safe against a crash (DESIGN §7).

::

    file    = "SCOTJ" version 0 0, then records
    record  = length u32 | crc u32 | kind u8 | body[length]        little-endian
    frame   = topic length u8 | header length u8 | topic | header | payload

The CRC is CRC-32C (Castagnoli) over kind and body, so a record that was cut by a crash is found at
the first byte that does not fit; one that has rotted costs itself, and reading goes on at the next
that is whole. Nothing here does I/O: bytes in, records out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import msgspec
from fastcrc import crc32

from scot.channel import Catalogue
from scot.codec import MAX_BULK, MAX_HEADER, MAX_TOPIC, Frame
from scot.errors import CodecError, RecordingError
from scot_replay.layout import NewerVersionError

VERSION = 1
MAGIC = b"SCOTJ" + bytes((VERSION, 0, 0))
MAX_BODY = MAX_BULK + MAX_HEADER + MAX_TOPIC + 2

_RECORD = struct.Struct("<IIB")
RECORD_BYTES = _RECORD.size
_PLAUSIBLE = re.compile(  # the head of a record: a length below MAX_BODY, a CRC, a kind
    rb"(?=[\x00-\xff]{2}[\x00-\x%02x]\x00[\x00-\xff]{4}[\x01-\x0f])" % (MAX_BODY >> 16)
)
_LENGTHS = struct.Struct("<BB")
_NS = struct.Struct("<q")
_encoder = msgspec.msgpack.Encoder()
_catalogue = msgspec.msgpack.Decoder(Catalogue)
_erased = msgspec.msgpack.Decoder(tuple[str, int, int])


class RecordKind(IntEnum):
    """What a record holds."""

    MANIFEST = 1  # JSON, as in manifest.json
    CATALOGUE = 2  # bus ns i64, then the catalogue as MessagePack
    STATE = 3  # a frame of before this journal: the last of its channel
    FRAME = 4  # a frame as received
    LOSS = 5  # JSON: what could not be written, by channel
    END = 6  # the journal was closed in order
    CAME = 7  # JSON: which of the frames around it were asked back, or late (`scot_replay.came`)
    ERASED = 8  # what was here is erased, see `encode_erased`


class Record(NamedTuple):
    """One whole record and where it stands.

    Attributes:
        kind: a `RecordKind`, or a number that a later version knows.
        start, end: bytes of the file it takes.
        body: its content; only valid while the journal's bytes are.
    """

    kind: int
    start: int
    end: int
    body: memoryview


class Tail(NamedTuple):
    """What follows the last whole record.

    Attributes:
        at: where the last whole record ends.
        left: bytes after it that are no record; 0 when nothing was cut.
        closed: an END record was seen: the writer had nothing more to say.
    """

    at: int
    left: int
    closed: bool


def encode_record(kind: RecordKind, body: bytes) -> bytes:
    """Return the bytes of one record.

    Raises:
        CodecError: the body is longer than any frame can be.
    """
    if len(body) > MAX_BODY:
        raise CodecError(f"a journal record of {len(body)} B exceeds {MAX_BODY} B")
    crc = crc32.iscsi(bytes((kind,)) + body)
    return _RECORD.pack(len(body), crc, kind) + body


def encode_frame(frame: Frame, kind: RecordKind = RecordKind.FRAME) -> bytes:
    """Return the record of a frame (kind FRAME or STATE).

    Raises:
        CodecError: topic or header is longer than the wire allows.
    """
    if len(frame.topic) > MAX_TOPIC or len(frame.header) > MAX_HEADER:
        raise CodecError(
            f"topic of {len(frame.topic)} B and header of {len(frame.header)} B exceed "
            f"{MAX_TOPIC} and {MAX_HEADER} B"
        )
    lengths = _LENGTHS.pack(len(frame.topic), len(frame.header))
    return encode_record(kind, b"".join((lengths, frame.topic, frame.header, frame.payload)))


def decode_frame(body: memoryview | bytes) -> Frame:
    """Return the frame in the body of a FRAME or STATE record.

    Raises:
        CodecError: the body is shorter than the lengths it states.
    """
    start, end = _head(body)
    return Frame(bytes(body[_LENGTHS.size : start]), bytes(body[start:end]), bytes(body[end:]))


def decode_head(body: memoryview | bytes) -> Frame:
    """Return the frame in the body of a FRAME or STATE record without its payload.

    Raises:
        CodecError: the body is shorter than the lengths it states.
    """
    start, end = _head(body)
    return Frame(bytes(body[_LENGTHS.size : start]), bytes(body[start:end]), b"")


def topic_of(data: memoryview, start: int, end: int) -> bytes | None:
    """Return the topic of the FRAME record in bytes [start, end); None when it states too much."""
    body = start + RECORD_BYTES
    if end - body < _LENGTHS.size:
        return None
    first = body + _LENGTHS.size
    if first + data[body] + data[body + 1] > end:
        return None
    return data[first : first + data[body]].tobytes()


def _head(body: memoryview | bytes) -> tuple[int, int]:
    """Return where in the body the header begins and ends."""
    if len(body) < _LENGTHS.size:
        raise CodecError(f"a frame record of {len(body)} B has no lengths")
    topic, header = _LENGTHS.unpack_from(body)
    start, end = _LENGTHS.size + topic, _LENGTHS.size + topic + header
    if len(body) < end:
        raise CodecError(f"a frame record of {len(body)} B states {end} B of topic and header")
    return start, end


def encode_erased(kind: int, size: int, said: tuple[str, int, int] | None) -> bytes:
    """Return the body of an ERASED record: kind u8 | length u8 | note[length] | zeros.

    Args:
        kind: of the record that was here.
        size: of its body, which this takes as well.
        said: address, and bus time of the first and the last sample that were erased with it: the
            note, as MessagePack; left out where it does not fit.
    """
    note = b"" if said is None else _encoder.encode(said)
    if len(note) > min(255, size - 2):
        note = b""
    head = bytes((kind, len(note))) if size > 1 else bytes((kind,))
    return (head + note).ljust(size, b"\0")


def decode_erased(body: memoryview | bytes) -> tuple[str, int, int] | None:
    """Return the note of an ERASED record's body; None when it has none.

    Raises:
        CodecError: it is no note.
    """
    if len(body) < 2 or not body[1]:
        return None
    try:
        return _erased.decode(body[2 : 2 + body[1]])
    except msgspec.DecodeError as error:
        raise CodecError(f"bad note of erased samples: {error}") from None


def encode_catalogue(bus_ns: int, catalogue: Catalogue) -> bytes:
    """Return the record of a catalogue version that holds from `bus_ns` on."""
    return encode_record(RecordKind.CATALOGUE, _NS.pack(bus_ns) + _encoder.encode(catalogue))


def decode_catalogue(body: memoryview | bytes) -> tuple[int, Catalogue]:
    """Return bus time and catalogue of a CATALOGUE record's body.

    Raises:
        CodecError: it is not a catalogue.
    """
    try:
        (bus_ns,) = _NS.unpack_from(body)
        return bus_ns, _catalogue.decode(body[_NS.size :])
    except (struct.error, msgspec.DecodeError) as error:
        raise CodecError(f"bad catalogue record of {len(body)} B: {error}") from None


def read_record(data: memoryview | bytes, at: int = 0) -> Record | None:
    """Return the record that begins at byte `at`; None when none does, or it is not whole."""
    view = memoryview(data)
    if len(view) - at < RECORD_BYTES:
        return None
    length, crc, kind = _RECORD.unpack_from(view, at)
    start, stop = at + RECORD_BYTES, at + RECORD_BYTES + length
    if length > MAX_BODY or stop > len(view):
        return None
    if crc32.iscsi(view[start - 1 : stop].tobytes()) != crc:
        return None
    return Record(kind, at, stop, view[start:stop])


def read_frame(data: bytes) -> Frame | None:
    """Return the frame in the bytes of one FRAME record; None when they are not whole.

    What `read_record` and `decode_frame` do, without looking for where the record ends.

    Raises:
        CodecError: the body is shorter than the lengths it states.
    """
    if len(data) < RECORD_BYTES + _LENGTHS.size:
        return None
    length, crc, _ = _RECORD.unpack_from(data)
    if length != len(data) - RECORD_BYTES or crc32.iscsi(data[RECORD_BYTES - 1 :]) != crc:
        return None
    start = RECORD_BYTES + _LENGTHS.size
    header = start + data[RECORD_BYTES]
    payload = header + data[RECORD_BYTES + 1]
    if len(data) < payload:
        raise CodecError(f"a frame record of {length} B states {payload - RECORD_BYTES} B of heads")
    return Frame(data[start:header], data[header:payload], data[payload:])


class JournalReader:
    """Takes the bytes of a journal apart; passes over, without an error, what is no record.

    Args:
        data: the whole file (bytes or a map of it).
        name: how messages call it.

    Attributes:
        tail: what follows the last whole record, known once `records` has ended.
        damaged: stretches of bytes [from, to) between whole records that are no record.

    Raises:
        RecordingError: the bytes are no journal, or of a newer version.
    """

    def __init__(self, data: memoryview | bytes, name: str = "journal") -> None:
        self.name = name
        self.damaged: list[tuple[int, int]] = []
        self._data = memoryview(data)
        head = bytes(self._data[: len(MAGIC)])
        self.tail = Tail(len(MAGIC), 0, False)
        ours = head[:5] == MAGIC[:5] or MAGIC.startswith(head)
        if not ours and read_record(self._data, len(MAGIC)) is None:
            raise RecordingError(f"{name} is not a SCOT journal: it starts with {head[:8]!r}")
        if ours and len(head) > 5 and head[5] > VERSION:
            raise NewerVersionError(
                f"{name} is a journal of version {head[5]}, this release reads {VERSION}; "
                "install a newer scot-bus"
            )
        if len(head) < len(MAGIC):  # the power went while the file was made
            self.tail = Tail(0, len(head), False)

    def records(self) -> Iterator[Record]:
        """Yield every whole record in order and set `tail`."""
        data = self._data
        for kind, start, end in self.places():
            yield Record(kind, start, end, data[start + RECORD_BYTES : end])

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Yield kind, start and end of every whole record in order, and set `tail`."""
        data, end = self._data, len(self._data)
        at, closed = self.tail.at, False
        unpack, crc_of = _RECORD.unpack_from, crc32.iscsi
        while end - at >= RECORD_BYTES:
            length, crc, kind = unpack(data, at)
            stop = at + RECORD_BYTES + length
            whole = length <= MAX_BODY and stop <= end
            if not whole or crc_of(data[at + RECORD_BYTES - 1 : stop].tobytes()) != crc:
                follows = self._next(at + 1)
                if follows is None:
                    break
                self.damaged.append((at, follows))
                at = follows
                continue
            yield kind, at, stop
            closed = closed or kind == RecordKind.END
            at = stop
        self.tail = Tail(at, end - at, closed)

    def _next(self, at: int) -> int | None:
        """Return where the next whole record begins, from byte `at` on."""
        while (found := _PLAUSIBLE.search(self._data, at)) is not None:
            if read_record(self._data, found.start()) is not None:
                return found.start()
            at = found.start() + 1
        return None
