"""The least and the greatest value of each stretch of a numeric or a waveform, coarse to fine.

Stretches lie on one grid of bus time for all segments, so that those of two segments join. A plot
of four hours reads some hundred stretches instead of millions of values, and no peak is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scot.channel import Channel, Kind
from scot.history import Level
from scot_replay.columns import columns
from scot_replay.rows import Rows

WIDTHS_NS = (250_000_000, 4_000_000_000, 64_000_000_000)
"""Lengths of the stretches that are kept."""
LEVELLED = frozenset({Kind.NUMERIC, Kind.WAVEFORM})
WORTH = 4  # values a stretch, below which a level saves too little to be kept


@dataclass(frozen=True)
class Envelope:
    """What a channel did between two instants, m stretches of equal length.

    Attributes:
        width_ns: length of a stretch.
        start_ns: int64 (m,), bus time at which each begins, ascending; stretches without any
            sample are left out.
        low, high: float64 (m,), least and greatest value; NaN where all were lost or invalid.
        count: int64 (m,), valid values.
    """

    width_ns: int
    start_ns: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    count: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start_ns)

    def within(self, from_ns: int, to_ns: int) -> Envelope:
        """Return the stretches that touch [from_ns, to_ns)."""
        first = int(np.searchsorted(self.start_ns + self.width_ns, from_ns, side="right"))
        last = int(np.searchsorted(self.start_ns, to_ns))
        inside = slice(first, last)
        low, high, count = self.low[inside], self.high[inside], self.count[inside]
        return Envelope(self.width_ns, self.start_ns[inside], low, high, count)

    def coarser(self, width_ns: int) -> Envelope:
        """Return it in stretches of `width_ns`, a multiple of its own length."""
        return _reduced(width_ns, self.start_ns, self.low, self.high, self.count)


def to_level(found: Envelope) -> Level:
    """Return an envelope as History's answer carries it."""
    first_ns = int(found.start_ns[0]) if len(found) else 0
    places = (found.start_ns - first_ns) // found.width_ns
    return Level(
        width_ns=found.width_ns,
        first_ns=first_ns,
        places=places.astype("<u4").tobytes(),
        low=found.low.astype("<f8").tobytes(),
        high=found.high.astype("<f8").tobytes(),
        count=found.count.astype("<u4").tobytes(),
    )


def of_level(level: Level) -> Envelope:
    """Return the envelope that `to_level` made a level of; it is sound."""
    places = np.frombuffer(level.places, "<u4").astype(np.int64)
    return Envelope(
        level.width_ns,
        level.first_ns + places * level.width_ns,
        np.frombuffer(level.low, "<f8"),
        np.frombuffer(level.high, "<f8"),
        np.frombuffer(level.count, "<u4").astype(np.int64),
    )


def envelope(rows: Rows, channel: Channel, width_ns: int) -> Envelope:
    """Return the stretches of a channel's rows."""
    known = columns(rows, channel)
    values = known.values[""]
    return _reduced(width_ns, known.times, values, values, (~np.isnan(values)).astype(np.int64))


def join(parts: Sequence[Envelope], width_ns: int) -> Envelope:
    """Return several envelopes as one; a stretch that is in two of them becomes one."""
    fields = [(p.start_ns, p.low, p.high, p.count) for p in parts]
    empty = np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.int64)
    start, low, high, count = (np.concatenate(f) for f in zip(empty, *fields, strict=True))
    order = np.argsort(start, kind="stable")
    return _reduced(width_ns, start[order], low[order], high[order], count[order])


def width_for(span_ns: int, max_points: int) -> int:
    """Return the least length of a stretch of which `max_points` cover a span.

    From the shortest that segments keep on it is a multiple of one they keep.
    """
    least_ns = max(1, -(-span_ns // max(1, max_points)))
    kept_ns = max((w for w in WIDTHS_NS if w <= least_ns), default=1)
    return -(-least_ns // kept_ns) * kept_ns


def worth(found: Envelope) -> bool:
    """Say whether a level is so much smaller than the values that it is kept."""
    return len(found) > 0 and int(found.count.sum()) >= WORTH * len(found)


def _reduced(
    width_ns: int, times: NDArray[np.int64], low: NDArray[Any], high: NDArray[Any], count: Any
) -> Envelope:
    """Bring values at ascending times into stretches."""
    if not len(times):
        none = np.empty(0)
        return Envelope(width_ns, np.empty(0, np.int64), none, none, np.empty(0, np.int64))
    buckets = times // width_ns
    edges = np.flatnonzero(np.concatenate(([True], buckets[1:] != buckets[:-1])))
    return Envelope(
        width_ns,
        buckets[edges] * width_ns,
        np.fmin.reduceat(low, edges),
        np.fmax.reduceat(high, edges),
        np.add.reduceat(count, edges),
    )
