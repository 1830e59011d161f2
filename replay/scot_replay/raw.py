"""One channel's samples as they lie in a journal, and what many of them say at once.

What is not plainly as SCOT itself writes it is left to the ways that read one sample at a time;
the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scot.channel import Kind
from scot.codec import MAX_TOPIC, Frame, read_header
from scot.errors import CodecError
from scot.sample import Flags
from scot_replay import rows as reading
from scot_replay.heads import Bytes, Int64s, gather, read_heads
from scot_replay.index import ENTRY, Entries
from scot_replay.journal import RECORD_BYTES
from scot_replay.rows import FIXED, KINDS, POSE, Array, Rows


class Raw(NamedTuple):
    """Where the frames of one channel lie, n of them in order of bus time.

    Attributes:
        data: of the whole journal.
        header_at, header_size, payload_at, payload_size: int64 (n,).
        bus_ns, seq: int64 (n,), as their headers say.
        key: bool (n,), keyframes of video.
    """

    data: Bytes
    header_at: Int64s
    header_size: Int64s
    payload_at: Int64s
    payload_size: Int64s
    bus_ns: Int64s
    seq: Int64s
    key: NDArray[np.bool_]

    def take(self, places: Int64s) -> Raw:
        """Return the frames at some places, in that order."""
        return Raw(
            self.data,
            self.header_at[places],
            self.header_size[places],
            self.payload_at[places],
            self.payload_size[places],
            self.bus_ns[places],
            self.seq[places],
            self.key[places],
        )

    def frames(self, topic: bytes) -> Iterator[Frame]:
        """Yield the frames, all of one topic."""
        view = self.data.data
        for at, size, start, count in zip(*(c.tolist() for c in self[1:5]), strict=True):
            yield Frame(topic, bytes(view[at : at + size]), bytes(view[start : start + count]))

    def payloads(self) -> list[bytes]:
        """Return the payloads."""
        ends = (self.payload_at + self.payload_size).tolist()
        view = self.data.data
        return [bytes(view[a:b]) for a, b in zip(self.payload_at.tolist(), ends, strict=True)]

    def stack(self, size: int) -> Bytes:
        """Return uint8 (n, size), the first bytes of each payload."""
        return gather(self.data, self.payload_at, size)


def indexed(data: Bytes, topic: bytes, places: Int64s) -> tuple[Entries, int]:
    """Return the entries of frame records of one topic, and of how many the header is no header.

    Args:
        data: of the whole journal.
        topic: of all of them.
        places: int64 (n, 2), where each record begins and ends.
    """
    start, end = places.T
    body = start + RECORD_BYTES
    at, size = body + 2 + len(topic), data[body + 1].astype(np.int64)
    heads = read_heads(data, at, size)
    entries = np.zeros(len(start), ENTRY)
    for name in ("bus_ns", "epoch", "seq"):
        entries[name] = getattr(heads, name)
    entries["at"], entries["size"] = start, end - start
    entries["key"] = heads.flags & _KEYFRAME != 0
    read = heads.plain & (3 <= len(topic) <= MAX_TOPIC and topic.endswith(b"\0"))
    for place in np.flatnonzero(~read).tolist():
        raw = data[at[place] : at[place] + size[place]].tobytes()
        try:
            header = read_header(Frame(topic, raw, b""))
        except CodecError:
            continue
        read[place] = True
        key = bool(header.flags & _KEYFRAME)
        where = (int(start[place]), int(end[place] - start[place]))
        entries[place] = (header.bus_ns, header.epoch, header.seq, *where, key)
    return entries[read], int(len(read) - read.sum())


def laid(data: Bytes, entries: Entries) -> Raw:
    """Return where the frames of some entries lie."""
    body = entries["at"] + RECORD_BYTES
    topic, header_size = data[body].astype(np.int64), data[body + 1].astype(np.int64)
    header_at = body + 2 + topic
    payload_at = header_at + header_size
    payload_size = entries["at"] + entries["size"] - payload_at
    times = entries["bus_ns"], entries["seq"], entries["key"]
    return Raw(data, header_at, header_size, payload_at, payload_size, *times)


class Poses(NamedTuple):
    """Payloads of poses that were written alike: where in each its numbers lie.

    Attributes:
        places: int64 (m,), of the frames.
        payloads: uint8 (m, size).
        at: where the seven doubles of position and orientation lie, then that of the quality and
            of the error; None where there is none.
        visible: of all of them.
    """

    places: Int64s
    payloads: Bytes
    at: tuple[int | None, ...]
    visible: bool

    def double(self, at: int) -> Array:
        """Return the numbers at a place, big-endian float64 (m,)."""
        return np.ascontiguousarray(self.payloads[:, at : at + 8]).view(">f8")[:, 0]


_KEYFRAME = int(Flags.KEYFRAME)
_DOUBLE, _NIL, _FALSE, _TRUE = 0xCB, 0xC0, 0xC2, 0xC3
_SEVEN = (3, 12, 21, 31, 40, 49, 58)
_FRONT = ((0, 0x95), (1, 0x93), (29, 0x94), *((at - 1, _DOUBLE) for at in _SEVEN))
_QUALITY = 66  # where the tag of the quality stands


def poses(raw: Raw) -> Iterator[Poses]:
    """Yield poses by how they were written; those written otherwise are in none."""
    for size in np.unique(raw.payload_size).tolist():
        if not _QUALITY < size <= _QUALITY + 9 + 1 + 9:
            continue
        places = np.flatnonzero(raw.payload_size == size)
        payloads = raw.take(places).stack(size)
        plain = np.ones(len(places), np.bool_)
        for at, tag in _FRONT:
            plain &= payloads[:, at] == tag
        for graded in (True, False):
            flag = _QUALITY + (9 if graded else 1)
            if size - flag - 1 not in {1, 9}:
                continue
            known = size - flag - 1 == 9
            alike = plain & (payloads[:, _QUALITY] == (_DOUBLE if graded else _NIL))
            alike &= payloads[:, flag + 1] == (_DOUBLE if known else _NIL)
            for visible in (True, False):
                mine = np.flatnonzero(alike & (payloads[:, flag] == (_TRUE if visible else _FALSE)))
                if len(mine):
                    where = (*_SEVEN, _QUALITY + 1 if graded else None, flag + 2 if known else None)
                    yield Poses(places[mine], payloads[mine], where, visible)


def rows(raw: Raw, kind: Kind) -> Rows | None:
    """Return the rows of samples, exactly; None when columns could not give them back."""
    heads = read_heads(raw.data, raw.header_at, raw.header_size)
    if kind not in KINDS or not heads.plain.all():
        return None
    try:
        values = _values(raw, kind)
    except reading.UNFIT:
        return None
    return Rows(kind, **{name: getattr(heads, name) for name in FIXED}, values=values).in_order()


def _values(raw: Raw, kind: Kind) -> dict[str, Array]:
    if kind is Kind.VIDEO:
        return {"size": raw.payload_size.copy()}
    if kind is Kind.POSE and (values := _pose_values(raw)) is not None:
        return values
    if kind is Kind.WAVEFORM and not (raw.payload_size % 4).any():
        return {"length": raw.payload_size // 4, "values": _blocks(raw)}
    return reading.values_of(raw.payloads(), kind, exact=True)


def _pose_values(raw: Raw) -> dict[str, Array] | None:
    found = list(poses(raw))
    if sum(len(one.places) for one in found) != len(raw.bus_ns):
        return None
    values: dict[str, Any] = {name: np.full(len(raw.bus_ns), np.nan) for name in POSE}
    values["visible"] = np.zeros(len(raw.bus_ns), np.bool_)
    for one in found:
        values["visible"][one.places] = one.visible
        for name, at in zip(POSE, one.at, strict=True):
            if at is not None:
                values[name][one.places] = one.double(at)
    return values


def _blocks(raw: Raw) -> Array:
    """Return all blocks end to end as float32."""
    sizes = np.unique(raw.payload_size).tolist()
    if len(sizes) == 1:
        return raw.stack(sizes[0]).reshape(-1).view("<f4")
    return np.frombuffer(b"".join(raw.payloads()), "<f4")
