"""Many samples of a journal as MCAP messages at once, byte for byte as `scot_replay.messages` does.

Poses and waveforms of one channel are alike but for their numbers: one message is made by the
`Carrier`, where its numbers lie is read from its own bytes, and those of all the others that were
written alike are put there. A kind, or a sample, that is not so goes through the `Carrier`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from scot.channel import Kind
from scot.codec import read_header
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.heads import Bytes, Int64s, gather
from scot_replay.messages import Carrier, utc_ns
from scot_replay.raw import Raw, poses
from scot_replay.schemas import HEADER_FIELD, POSE_EXTRA

MESSAGE = np.dtype(
    [("op", "u1"), ("size", "<u8"), ("id", "<u2"), ("seq", "<u4"), ("log", "<u8"), ("pub", "<u8")]
)
"""The record of a message up to its data (MCAP specification, "Message (op=0x05)")."""
S = 1_000_000_000
_HEAD = struct.Struct("<BQHIQQ")  # the same
_OPCODE, _RECORD_HEAD = 0x05, 9
_SECONDS, _NANOS = (1, 1), (1, 2)
_FROM_S, _TO_S = 1 << 28, 1 << 35  # seconds that take five bytes: 1978 to 3058
_QUALITY, _ERROR = ((number,) for name, number, _ in POSE_EXTRA if name in {"quality", "err_mm"})
_DOUBLES = (
    *((3, 1, number) for number in (1, 2, 3)),
    *((3, 2, number) for number in (1, 2, 3, 4)),
    _QUALITY,
    _ERROR,
)
_VALUES = (4,)
_WITHIN = {
    Kind.POSE: frozenset({(1,), (3,), (3, 1), (3, 2)}),
    Kind.WAVEFORM: frozenset({(1,)}),
}
"""Kinds that are packed at once, and which fields of their messages are messages."""


class Records(NamedTuple):
    """Message records of some of a channel's samples.

    Attributes:
        places: int64 (m,), which samples.
        rows: uint8 (m, size), a record each; all of one size.
    """

    places: Int64s
    rows: Bytes


def packed(
    raw: Raw, kind: Kind, channel_id: int, carry: Carrier, topic: bytes
) -> Iterator[Records]:
    """Yield the message records of a channel's samples, each once."""
    left = np.ones(len(raw.bus_ns), np.bool_)
    if kind in _WITHIN:
        for places, moves in _poses(raw) if kind is Kind.POSE else _waveforms(raw):
            chosen = raw.take(places)
            made = _alike(chosen, moves, carry, topic, _WITHIN[kind])
            if made is not None:
                left[places] = False
                yield Records(places, _records(chosen, channel_id, made))
    others = np.flatnonzero(left)
    for place, frame in zip(others.tolist(), raw.take(others).frames(topic), strict=True):
        header = read_header(frame)
        data = carry.pack(frame, header)
        at_ns = utc_ns(header.bus_ns)
        size = MESSAGE.itemsize - _RECORD_HEAD + len(data)
        head = _HEAD.pack(_OPCODE, size, channel_id, header.seq & 0xFFFFFFFF, at_ns, at_ns)
        yield Records(np.array([place]), np.frombuffer(head + data, np.uint8)[None, :])


class _Move(NamedTuple):
    """What differs from message to message: a field, and its bytes in each."""

    field: tuple[int, ...]
    rows: Bytes


def _poses(raw: Raw) -> Iterator[tuple[Int64s, list[_Move]]]:
    """Yield which poses are alike, and their numbers."""
    for found in poses(raw):
        numbers = [
            (field, found.double(at).astype("<f8"))
            for field, at in zip(_DOUBLES, found.at, strict=True)
            if at is not None
        ]
        zero = np.zeros(len(found.places), np.int64)  # protobuf leaves out what is zero
        for place, (field, column) in enumerate(numbers):
            if len(field) > 1:
                zero |= (column.view("<u8") == 0).astype(np.int64) << place
        for mask in np.unique(zero).tolist():
            mine = np.flatnonzero(zero == mask)
            moves = [
                _Move(field, column[mine].view(np.uint8).reshape(-1, 8))
                for place, (field, column) in enumerate(numbers)
                if not mask >> place & 1
            ]
            yield from _by_head(raw, found.places[mine], moves)


def _waveforms(raw: Raw) -> Iterator[tuple[Int64s, list[_Move]]]:
    """Yield which blocks are alike, and their values."""
    for size in np.unique(raw.payload_size).tolist():
        if size and size % 4 == 0:
            places = np.flatnonzero(raw.payload_size == size)
            values = raw.take(places).stack(size)
            yield from _by_head(raw, places, [_Move(_VALUES, values)])


def _by_head(raw: Raw, places: Int64s, moves: list[_Move]) -> Iterator[tuple[Int64s, list[_Move]]]:
    """Yield samples whose headers and times take as many bytes, with these among what differs."""
    at_ns = np.maximum(raw.bus_ns[places] - TAI_MINUS_UTC_NS, 0)
    seconds, nanos = np.divmod(at_ns, S)
    width = np.searchsorted([1, 1 << 7, 1 << 14, 1 << 21, 1 << 28], nanos, side="right")
    sizes = raw.header_size[places]
    usual = (seconds >= _FROM_S) & (seconds < _TO_S) & (width > 0)
    for key in np.unique((sizes << 3 | width)[usual]).tolist():
        mine = np.flatnonzero(usual & ((sizes << 3 | width) == key))
        chosen = places[mine]
        yield (
            chosen,
            [
                *(move._replace(rows=move.rows[mine]) for move in moves),
                _Move(_SECONDS, _varint(seconds[mine], 5)),
                _Move(_NANOS, _varint(nanos[mine], key & 7)),
                _Move((HEADER_FIELD,), gather(raw.data, raw.header_at[chosen], key >> 3)),
            ],
        )


def _varint(values: Int64s, size: int) -> Bytes:
    """Return numbers as protobuf writes those that take `size` bytes."""
    shifted = values[:, None] >> (7 * np.arange(size))
    more = np.full(size, 0x80)
    more[-1] = 0
    found: Bytes = (shifted & 0x7F | more).astype(np.uint8)
    return found


def _alike(
    raw: Raw,
    moves: Sequence[_Move],
    carry: Carrier,
    topic: bytes,
    within: frozenset[tuple[int, ...]],
) -> Bytes | None:
    """Return the messages of samples that are alike; None when they are not, after all."""
    frame = next(raw.take(np.zeros(1, np.int64)).frames(topic))
    first = carry.pack(frame, read_header(frame))
    places = fields(first, within)
    data = np.tile(np.frombuffer(first, np.uint8), (len(raw.bus_ns), 1))
    for field, rows in moves:
        at, size = places.get(field, (0, -1))
        if size != rows.shape[1]:
            return None
        data[:, at : at + size] = rows
    return data if data[0].tobytes() == first else None


def fields(
    data: bytes, within: frozenset[tuple[int, ...]], path: tuple[int, ...] = ()
) -> dict[tuple[int, ...], tuple[int, int]]:
    """Return where the fields of a protobuf message lie: place and size by their numbers.

    Args:
        data: of the message.
        within: fields that are messages.
        path: of the message, when it lies within another.
    """
    found: dict[tuple[int, ...], tuple[int, int]] = {}
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        field, wire = (*path, tag >> 3), tag & 7
        if wire == 2:
            size, at = _number(data, at)
            if field in within:
                inner = fields(data[at : at + size], within, field)
                found.update({key: (at + place, n) for key, (place, n) in inner.items()})
        else:
            size = {0: _number(data, at)[1] - at, 1: 8, 5: 4}[wire]
        found[field] = at, size
        at += size
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a varint and what follows it."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def _records(raw: Raw, channel_id: int, data: Bytes) -> Bytes:
    """Return Message records of these data."""
    at_ns = np.maximum(raw.bus_ns - TAI_MINUS_UTC_NS, 0)
    heads = np.empty(len(data), MESSAGE)
    heads["op"], heads["id"] = _OPCODE, channel_id
    heads["size"] = MESSAGE.itemsize - _RECORD_HEAD + data.shape[1]
    heads["seq"] = raw.seq & 0xFFFFFFFF
    heads["log"] = heads["pub"] = at_ns
    return np.concatenate([heads.view(np.uint8).reshape(len(data), -1), data], axis=1)
