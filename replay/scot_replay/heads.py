"""Many samples' headers read at once: columns of numbers instead of an object a sample.

A header is a MessagePack array of nine whole numbers (see `scot.codec`). What a sample's own
header says must not depend on how it is read: whatever is not plainly so here is left to
`scot.codec.read_header`, which says why it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scot.codec import MAX_HEADER, VERSION
from scot.timestamp import ClockState

Bytes = NDArray[np.uint8]
Int64s = NDArray[np.int64]

NONE = -1
"""In place of an error that is not known; errors themselves are never below 0."""
FIELDS = 9
_NINE = 0x90 + FIELDS
_NIL = 0xC0
_MAX_FLAGS = 0xFFFF


@dataclass(frozen=True)
class Heads:
    """Headers of n samples, by field.

    Attributes:
        plain: bool (n,), where the header was read; the other fields mean nothing elsewhere.
        epoch, seq, source_ns, bus_ns, bound_ns, err_ns: int64 (n,), errors `NONE` where unknown.
        no_source: bool (n,), where the device gave no time.
        state, flags: uint8 and uint16 (n,).
    """

    plain: NDArray[np.bool_]
    epoch: Int64s
    seq: Int64s
    source_ns: Int64s
    no_source: NDArray[np.bool_]
    bus_ns: Int64s
    bound_ns: Int64s
    err_ns: Int64s
    state: NDArray[np.uint8]
    flags: NDArray[np.uint16]


def _table(default: int, **spans: tuple[int, int, int]) -> Any:
    table = np.full(256, default, np.int64)
    for first, last, value in spans.values():
        table[first : last + 1] = value
    return table


_WIDTH = _table(  # bytes behind a tag; -1: no whole number
    -1, small=(0x00, 0x7F, 0), below=(0xE0, 0xFF, 0), nil=(_NIL, _NIL, 0),
    u8=(0xCC, 0xCC, 1), u16=(0xCD, 0xCD, 2), u32=(0xCE, 0xCE, 4), u64=(0xCF, 0xCF, 8),
    i8=(0xD0, 0xD0, 1), i16=(0xD1, 0xD1, 2), i32=(0xD2, 0xD2, 4), i64=(0xD3, 0xD3, 8),
)  # fmt: skip
_SHORT = np.arange(256, dtype=np.int64)
_SHORT[0xE0:] -= 256


def gather(data: Bytes, at: Int64s, size: int) -> Bytes:
    """Return uint8 (n, size): the bytes of `data` from each place on; its last one beyond it."""
    places = at[:, None] + np.arange(size)
    return data.take(places, mode="clip")


def read_heads(data: Bytes, at: Int64s, size: Int64s) -> Heads:
    """Read the headers that lie in `data` at some places, of some sizes each."""
    count = len(at)
    width = int(size.max(initial=0)) if count else 0
    heads = gather(data, at, min(max(width, 1), MAX_HEADER) + 9)
    plain = (size <= MAX_HEADER) & (heads[:, 0] == _NINE)
    cursor = np.ones(count, np.int64)
    last = heads.shape[1] - 9
    columns: list[tuple[Int64s, NDArray[np.bool_]]] = []
    for _ in range(FIELDS):
        value, nil, cursor, read = _field(heads, np.minimum(cursor, last))
        plain &= read
        columns.append((value, nil))
    plain &= cursor == size
    (version, _), (epoch, _), (seq, _), source, bus, bound, err, state, flags = columns
    for place, (_, nil) in enumerate(columns):
        if place not in {3, 5, 6}:  # only these three may be unknown
            plain &= ~nil
    plain &= (version == VERSION) & (epoch >= 0) & (seq >= 0)
    for value, nil in (bound, err):
        plain &= nil | (value >= 0)
    plain &= (state[0] >= 0) & (state[0] <= max(ClockState))
    plain &= (flags[0] >= 0) & (flags[0] <= _MAX_FLAGS)
    return Heads(
        plain,
        epoch,
        seq,
        np.where(source[1], 0, source[0]),
        source[1],
        bus[0],
        np.where(bound[1], NONE, bound[0]),
        np.where(err[1], NONE, err[0]),
        state[0].astype(np.uint8),
        flags[0].astype(np.uint16),
    )


def _field(heads: Bytes, at: Int64s) -> tuple[Int64s, Any, Int64s, Any]:
    """Read one number of each header: values, where there is none, what follows, what was read."""
    rows = np.arange(len(heads))
    tag = heads[rows, at]
    width = _WIDTH[tag]
    read = width >= 0
    value = _SHORT[tag]
    long = np.flatnonzero(width > 0)
    if len(long):
        words = gather(heads.reshape(-1), long * heads.shape[1] + at[long] + 1, 8)
        word = np.ascontiguousarray(words).view(">u8")[:, 0].astype(np.uint64)
        tags, bits = tag[long], (64 - 8 * width[long]).astype(np.uint64)
        below = tags >= 0xD0  # signed: its first bit goes down with the shift
        signed = word.view(np.int64) >> bits.astype(np.int64)
        value[long] = np.where(below, signed, (word >> bits).view(np.int64))
        read[long] &= below | (value[long] >= 0)  # of 64 bits without a sign, only 63 are ours
    return value, tag == _NIL, at + 1 + np.maximum(width, 0), read
