"""The samples of a journal that share chunks, in order of bus time, packed many at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scot.channel import Channel, Kind
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.container import MAX_CHUNK, Container
from scot_replay.heads import Bytes, Int64s
from scot_replay.messages import Carrier
from scot_replay.packing import packed
from scot_replay.raw import Raw

SIGNAL_CHUNK = 512 << 10
VIDEO_CHUNK = 1 << 20
AT_ONCE = 16 << 20
ROWS = 4096  # records that are put in their places at once
AROUND = 80  # bytes that a message has around header and payload, about


class Group:
    """Channels that share chunks.

    Args:
        raws: their samples, by address; one or more.
        ids: of their channels in the file, and what writes their messages.
        channels: as the catalogue describes them.
    """

    def __init__(
        self,
        raws: dict[str, Raw],
        ids: dict[str, tuple[int, Carrier]],
        channels: dict[str, Channel],
    ) -> None:
        self._addresses = sorted(raws)
        self._raws, self._ids, self._channels = raws, ids, channels
        all_of = [raws[address] for address in self._addresses]
        counts = [len(raw.bus_ns) for raw in all_of]
        which = np.repeat(np.arange(len(all_of)), counts)
        place = np.concatenate([np.arange(count) for count in counts])
        times = np.concatenate([raw.bus_ns for raw in all_of])
        order = np.lexsort((place, which, times))
        self._which, self._place, self._times = which[order], place[order], times[order]
        sizes = [raw.header_size + raw.payload_size + AROUND for raw in all_of]
        self._sizes = np.concatenate(sizes)[order]
        video = any(channels[address].kind is Kind.VIDEO for address in self._addresses)
        self._keys = np.concatenate([raw.key for raw in all_of])[order] if video else None

    def write(self, writer: Container) -> None:
        """Write their chunks; those of video begin with a keyframe where they can."""
        ends = np.cumsum(self._sizes)
        if self._keys is not None:
            for first, last in _cuts(ends, VIDEO_CHUNK, self._keys):
                data, offsets, ids, times = self._pack(first, last)
                writer.add_chunk(data.tobytes(), ids, times, offsets[:-1])
            return
        for first, last in _cuts(ends, AT_ONCE):
            data, offsets, ids, times = self._pack(first, last)
            for a, b in _cuts(offsets[1:], SIGNAL_CHUNK):
                chunk = data[offsets[a] : offsets[b]].tobytes()
                writer.add_chunk(chunk, ids[a:b], times[a:b], offsets[a:b] - offsets[a])

    def _pack(self, first: int, last: int) -> tuple[Bytes, Int64s, Int64s, Int64s]:
        """Return the records of samples [first, last), and of each id and UTC in ns.

        The second of four is where each record begins, and where the last one ends.
        """
        which, place = self._which[first:last], self._place[first:last]
        ids = np.array([self._ids[address][0] for address in self._addresses])[which]
        lengths = np.zeros(len(which), np.int64)
        pieces = []
        for number in np.unique(which).tolist():
            address = self._addresses[number]
            mine = np.flatnonzero(which == number)
            raw = self._raws[address].take(place[mine])
            topic = address.encode("ascii") + b"\0"
            for found in packed(raw, self._channels[address].kind, *self._ids[address], topic):
                lengths[mine[found.places]] = found.rows.shape[1]
                pieces.append((mine[found.places], found.rows))
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        data = np.empty(int(offsets[-1]), np.uint8)
        for places, rows in pieces:
            _put(data, offsets[places], rows)
        times = np.maximum(self._times[first:last] - TAI_MINUS_UTC_NS, 0)
        return data, offsets, ids, times


def _cuts(
    ends: Int64s, size: int, opens: NDArray[np.bool_] | None = None
) -> Iterator[tuple[int, int]]:
    """Yield stretches [first, last) of about `size` B.

    Args:
        ends: where each record ends, ascending.
        size: wanted.
        opens: where a stretch may begin; one that grows beyond `MAX_CHUNK` ends anywhere.
    """
    begins = np.arange(len(ends)) if opens is None else np.flatnonzero(opens)
    first = done = 0
    while first < len(ends):
        full, most = np.searchsorted(ends, (done + size, done + max(size, MAX_CHUNK))) + 1
        after = begins[np.searchsorted(begins, full) :][:1]
        last = int(min(after[0] if len(after) else len(ends), most, len(ends)))
        yield first, last
        first, done = last, int(ends[last - 1])


def _put(data: Bytes, offsets: Int64s, rows: Bytes) -> None:
    """Put records of one size in their places."""
    size = rows.shape[1]
    if len(rows) == 1:
        data[offsets[0] : offsets[0] + size] = rows[0]
        return
    for first in range(0, len(rows), ROWS):
        some = slice(first, first + ROWS)
        data[offsets[some, None] + np.arange(size)] = rows[some]
