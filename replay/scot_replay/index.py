"""Where each sample of a journal stands, by channel and bus time; and which samples there are.

The index grows in one thread while others read it: rows are written before the count that makes
them visible, and an array that is full is replaced, never resized.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

ENTRY = np.dtype(
    [
        ("bus_ns", "i8"),
        ("epoch", "i8"),
        ("seq", "i8"),
        ("at", "i8"),  # byte of the file where the frame's record begins
        ("size", "i4"),  # bytes of that record
        ("key", "?"),  # a keyframe of video
    ]
)
Row = tuple[int, int, int, int, int, bool]
Entries = NDArray[Any]


class ChannelIndex:
    """The entries of one channel in one journal."""

    def __init__(self) -> None:
        self._rows = np.empty(64, dtype=ENTRY)
        self._count = 0
        self._ordered: tuple[int, Entries] = (0, self._rows[:0])

    def add(self, rows: Sequence[Row]) -> None:
        """Take entries as they were written; of one thread only."""
        count = self._count + len(rows)
        if count > len(self._rows):
            grown = np.empty(max(count, 2 * len(self._rows)), dtype=ENTRY)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : count] = np.array(rows, dtype=ENTRY)
        self._count = count

    def entries(self) -> Entries:
        """Return the entries in order of bus time, epoch and seq, each sample once."""
        count = self._count
        of, entries = self._ordered
        if of != count:
            entries = _in_order(self._rows[:count])
            self._ordered = count, entries
        return entries


def _in_order(rows: Entries) -> Entries:
    times = rows["bus_ns"]
    if bool(np.all(times[1:] > times[:-1])):
        return rows
    rows = rows[np.lexsort((rows["seq"], rows["epoch"], times))]
    again = np.zeros(len(rows), dtype=bool)
    again[1:] = True
    for name in ("bus_ns", "epoch", "seq"):
        again[1:] &= rows[name][1:] == rows[name][:-1]
    return rows[~again]


class Span(msgspec.Struct):
    """Which samples of one channel a part holds.

    Attributes:
        count: samples, each counted once.
        first_ns, last_ns: bus time of the earliest and the latest.
        runs: by epoch (its number as text, for JSON): first and last seq of each stretch without
            a hole, ascending.
        keys: bus times of keyframes, for video.
    """

    count: int
    first_ns: int
    last_ns: int
    runs: dict[str, list[tuple[int, int]]]
    keys: list[int] = []

    @property
    def missing(self) -> list[tuple[int, int, int]]:
        """Holes between runs as (epoch, first, last), seqs inclusive."""
        holes: list[tuple[int, int, int]] = []
        for epoch, runs in self.runs.items():
            for (_, before), (after, _) in pairwise(runs):
                holes.append((int(epoch), before + 1, after - 1))
        return holes


def span(entries: Entries) -> Span | None:
    """Return the span of the entries of one channel; None when there are none."""
    if not len(entries):
        return None
    runs: dict[str, list[tuple[int, int]]] = {}
    count = 0
    for epoch in np.unique(entries["epoch"]):
        seqs = np.unique(entries["seq"][entries["epoch"] == epoch])
        count += len(seqs)
        breaks = np.flatnonzero(np.diff(seqs) != 1)
        firsts = seqs[np.concatenate(([0], breaks + 1))]
        lasts = seqs[np.concatenate((breaks, [len(seqs) - 1]))]
        runs[str(epoch)] = list(zip(firsts.tolist(), lasts.tolist(), strict=True))
    times = entries["bus_ns"]
    keys = times[entries["key"]].tolist()
    return Span(count, int(times.min()), int(times.max()), runs, keys)


def join(spans: Iterable[Span]) -> Span | None:
    """Return the span of all of them together; a sample that is in two counts once."""
    joined: Span | None = None
    for one in spans:
        if joined is None:
            joined = msgspec.structs.replace(one, runs={k: list(v) for k, v in one.runs.items()})
            continue
        joined.first_ns = min(joined.first_ns, one.first_ns)
        joined.last_ns = max(joined.last_ns, one.last_ns)
        for epoch, runs in one.runs.items():
            joined.runs.setdefault(epoch, []).extend(runs)
    if joined is not None:
        joined.runs = {epoch: _merge(runs) for epoch, runs in sorted(
            joined.runs.items(), key=lambda item: int(item[0])
        )}  # fmt: skip
        joined.count = sum(b - a + 1 for runs in joined.runs.values() for a, b in runs)
        joined.keys = []
    return joined


class Seen:
    """Which samples an earlier life of the recorder has written; they are not taken again.

    Args:
        spans: by address.
    """

    def __init__(self, spans: Mapping[str, Span]) -> None:
        self._spans = spans

    def __bool__(self) -> bool:
        return bool(self._spans)

    def has(self, address: str, epoch: int, seq: int) -> bool:
        """Say whether a sample is there."""
        span = self._spans.get(address)
        runs = span.runs.get(str(epoch), []) if span is not None else []
        place = bisect_right(runs, seq, key=lambda run: run[0])
        return bool(place) and seq <= runs[place - 1][1]


def _merge(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
