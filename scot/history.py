"""History: what a holder still has of its channels, asked for by one verb (DESIGN §2).

Publishers hold their last two minutes, the recorder the whole case, the player its file. Gap
back-fill, late join, last value, rewind and seek are all this one question.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import groupby, islice
from operator import attrgetter

import msgspec

from scot.channel import Kind
from scot.codec import Frame, Header, unpack
from scot.codec import pack as joined

KEEP_NS = 150_000_000_000
KEEP_BYTES = 32 << 20
DEFAULT_MAX_BYTES = 8 << 20
ALL_SEQS = 2**63 - 1
SEAM = 1  # byte of a packed frame that is none of its three parts
LEVEL_BYTES = 896 << 10
"""What the levels of one answer take at most, so that it fits into one message."""
POINT_BYTES = 24
DENSITY_BYTES = 16
"""What a stretch of a `Density` takes."""


class HistoryRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One question; exactly one of `between`, `seqs` and `at` is set.

    Attributes:
        addresses: channels asked for.
        between: bus ns, from inclusive, to exclusive.
        seqs: epoch, first and last seq, both inclusive; of one address.
        at: the state at an instant: of each channel the last sample at or before it; of video
            everything from the last keyframe up to it.
        max_bytes: of the answer; what does not fit is asked for again from `next_ns`.
        max_points: with `between`: of a numeric or a waveform no samples but the least and the
            greatest value of at most so many stretches, see `Level`. A holder without levels (a
            publisher) answers with samples. 0: samples.
        density_ns: with `between`: no samples but how many there are, and how well their time was
            known, in stretches of this length, see `Density`. Of a recording, however long, it is
            cheap. A publisher answers with samples. 0: samples.
        holder: who shall answer: ``publisher``, ``recorder``, or whoever is nearest when empty.
    """

    addresses: list[str]
    between: tuple[int, int] | None = None
    seqs: tuple[int, int, int] | None = None
    at: int | None = None
    max_bytes: int = DEFAULT_MAX_BYTES
    max_points: int = 0
    density_ns: int = 0
    holder: str = ""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What a numeric or a waveform did, in stretches of equal length; arrays are little-endian.

    Attributes:
        width_ns: length of a stretch.
        first_ns: bus time at which the first begins.
        places: uint32 (m,), ascending: so many stretches after the first; those without a sample
            are left out.
        low, high: float64 (m,), least and greatest value in the channel's unit; NaN where all were
            lost or invalid.
        count: uint32 (m,), valid values.
    """

    width_ns: int
    first_ns: int
    places: bytes
    low: bytes
    high: bytes
    count: bytes

    def __len__(self) -> int:
        return len(self.places) // 4

    @property
    def sound(self) -> bool:
        """Whether its arrays are of one length."""
        m = len(self)
        lengths = [len(one) for one in (self.places, self.low, self.high, self.count)]
        return self.width_ns > 0 and lengths == [4 * m, 8 * m, 8 * m, 4 * m]

    def moved(self, by_ns: int) -> Level:
        """Return it at a later time."""
        return msgspec.structs.replace(self, first_ns=self.first_ns + by_ns)


class Density(msgspec.Struct, frozen=True, kw_only=True):
    """When a channel spoke, in stretches of equal length; arrays are little-endian.

    Attributes:
        width_ns: length of a stretch.
        first_ns: bus time at which the first begins.
        places: uint32 (m,), ascending: so many stretches after the first; those without a sample
            are left out.
        count: uint32 (m,), samples, whatever their value.
        err_ns: int64 (m,), the worst likely error of their times; -1 where one's is not known.
    """

    width_ns: int
    first_ns: int
    places: bytes
    count: bytes
    err_ns: bytes

    def __len__(self) -> int:
        return len(self.places) // 4

    @property
    def sound(self) -> bool:
        """Whether its arrays are of one length."""
        m = len(self)
        lengths = [len(one) for one in (self.places, self.count, self.err_ns)]
        return self.width_ns > 0 and lengths == [4 * m, 4 * m, 8 * m]

    @property
    def span_ns(self) -> int:
        """From its beginning to its end."""
        return (int.from_bytes(self.places[-4:], "little") + 1) * self.width_ns if self else 0

    def moved(self, by_ns: int) -> Density:
        """Return it at a later time."""
        return msgspec.structs.replace(self, first_ns=self.first_ns + by_ns)


class HistoryReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: frames in bus-time order.

    Attributes:
        complete: nothing that was asked for and is still held was left out.
        next_ns: where to ask again when it is not complete.
        first_ns: oldest bus time the holder has of these channels; None if it has nothing.
        levels: by address, where `max_points` was asked for; of the stretch that the frames are of.
        densities: by address, where `density_ns` was asked for; they go on from `next_ns`.
    """

    frames: list[Frame] = []
    complete: bool = True
    next_ns: int | None = None
    first_ns: int | None = None
    levels: dict[str, Level] = {}
    densities: dict[str, Density] = {}


class Kept(msgspec.Struct, frozen=True, gc=False):
    """One sample in a History, in one piece as it travels.

    There may be hundreds of thousands, and what the garbage collector need not know of costs it
    nothing: of as many frames each of its full rounds took 18 ms.
    """

    bus_ns: int
    epoch: int
    seq: int
    keyframe: bool
    data: bytes

    @property
    def frame(self) -> Frame:
        """It as it was added."""
        return unpack(self.data)


class _Shelf:
    """One channel in a History."""

    __slots__ = ("bytes", "queue")

    def __init__(self) -> None:
        self.queue: deque[Kept] = deque()
        self.bytes = 0


_bytes = attrgetter("bytes")


class History:
    """The last samples of some channels, bounded in time and in bytes.

    Args:
        keep_ns: age at which samples go.
        keep_bytes: of all channels together; the channel that uses most pays first.
    """

    def __init__(self, keep_ns: int = KEEP_NS, keep_bytes: int = KEEP_BYTES) -> None:
        self.keep_ns = keep_ns
        self.keep_bytes = keep_bytes
        self.bytes = 0
        self._shelves: dict[bytes, _Shelf] = {}

    def add(self, frame: Frame, header: Header) -> None:
        """Take one sample; of one channel they come in order of seq."""
        shelf = self._shelves.get(frame.topic)
        if shelf is None:
            shelf = self._shelves[frame.topic] = _Shelf()
        queue, bus_ns, data = shelf.queue, header.bus_ns, joined(frame)
        size = len(data) - SEAM
        queue.append(Kept(bus_ns, header.epoch, header.seq, bool(header.flags & 1), data))
        shelf.bytes += size
        self.bytes += size
        while bus_ns - queue[0].bus_ns > self.keep_ns and len(queue) > 1:
            self._drop(shelf)
        while self.bytes > self.keep_bytes:
            self._drop(max(self._shelves.values(), key=_bytes))

    def answer(self, ask: HistoryRequest, kinds: dict[str, Kind] | None = None) -> HistoryReply:
        """Return what is held of what was asked for."""
        found: list[Kept] = []
        first: list[int] = []
        for address in ask.addresses:
            shelf = self._shelves.get(address.encode("ascii", "replace") + b"\0")
            if shelf is not None and shelf.queue:
                first.append(shelf.queue[0].bus_ns)
                found += _select(shelf.queue, ask, (kinds or {}).get(address))
        found.sort(key=lambda kept: kept.bus_ns)
        return pack(found, ask, min(first, default=None))

    def _drop(self, shelf: _Shelf) -> None:
        size = len(shelf.queue.popleft().data) - SEAM
        shelf.bytes -= size
        self.bytes -= size


def pack(found: list[Kept], ask: HistoryRequest, first_ns: int | None) -> HistoryReply:
    """Return the reply of samples in bus-time order, cut at `max_bytes` between instants.

    Samples of one instant stay together, however large, so that `next_ns` never repeats one.
    """
    frames: list[Frame] = []
    used = 0
    for bus_ns, together in groupby(found, key=lambda kept: kept.bus_ns):
        instant = [kept.frame for kept in together]
        size = sum(frame.size for frame in instant)
        if frames and used + size > ask.max_bytes:
            return HistoryReply(frames=frames, complete=False, next_ns=bus_ns, first_ns=first_ns)
        frames += instant
        used += size
    return HistoryReply(frames=frames, first_ns=first_ns)


def _select(queue: deque[Kept], ask: HistoryRequest, kind: Kind | None) -> list[Kept]:
    if ask.seqs is not None:
        epoch, first, last = ask.seqs
        return [k for k in queue if k.epoch == epoch and first <= k.seq <= last]
    if ask.between is not None:
        start, end = ask.between
        return [k for k in queue if start <= k.bus_ns < end]
    if ask.at is None:
        return []
    ordered = sorted(queue, key=lambda k: k.bus_ns)
    end = bisect_left(ordered, ask.at + 1, key=lambda k: k.bus_ns)
    start = end - 1
    if kind is Kind.VIDEO:
        while start > 0 and not ordered[start].keyframe:
            start -= 1
    return list(islice(ordered, max(0, start), end))
