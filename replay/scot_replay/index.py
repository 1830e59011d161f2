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
Pair = tuple[int, int]

MAX_STEPS = 20
BACK_NS = 100_000_000  # less is jitter
AHEAD_NS = 1_000_000_000
REGULAR = 16  # distances, before a rate is believed


class ChannelIndex:
    """The entries of one channel in one journal."""

    def __init__(self) -> None:
        self._rows = np.empty(64, dtype=ENTRY)
        self._count = 0
        self._ordered: tuple[int, Entries] = (0, self._rows[:0])

    def add(self, rows: Sequence[Row] | Entries) -> None:
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
        times: by epoch, for each of `runs`: bus time of its first and last sample; empty in a
            segment of before there were any.
        doubled: samples with the number of another one, at another time.
        steps: where time jumps from one seq to the next: bus time before it, and by how much
            (ns); at most `MAX_STEPS`.
    """

    count: int
    first_ns: int
    last_ns: int
    runs: dict[str, list[Pair]]
    keys: list[int] = []
    times: dict[str, list[Pair]] = {}
    doubled: int = 0
    steps: list[Pair] = []

    @property
    def missing(self) -> list[tuple[int, int, int]]:
        """Holes between runs as (epoch, first, last), seqs inclusive."""
        holes: list[tuple[int, int, int]] = []
        for epoch, runs in self.runs.items():
            for (_, before), (after, _) in pairwise(runs):
                holes.append((int(epoch), before + 1, after - 1))
        return holes

    def timed(self, epoch: str) -> list[tuple[Pair, Pair]]:
        """Return the runs of an epoch, each with the bus time of its first and last sample."""
        whole = (self.first_ns, self.last_ns)
        times = self.times.get(epoch) or [whole] * len(self.runs[epoch])
        return list(zip(self.runs[epoch], times, strict=True))


def span(entries: Entries) -> Span | None:
    """Return the span of the entries of one channel; None when there are none."""
    if not len(entries):
        return None
    bus_ns = entries["bus_ns"]
    found = Span(0, int(bus_ns.min()), int(bus_ns.max()), {}, bus_ns[entries["key"]].tolist())
    for epoch in np.unique(entries["epoch"]):
        mine = entries[entries["epoch"] == epoch]
        seqs, first = np.unique(mine["seq"], return_index=True)
        at = mine["bus_ns"][first]
        found.count += len(seqs)
        found.doubled += len(mine) - len(seqs)
        breaks = np.flatnonzero(np.diff(seqs) != 1)
        starts, ends = np.concatenate(([0], breaks + 1)), np.concatenate((breaks, [len(seqs) - 1]))
        for into, values in ((found.runs, seqs), (found.times, at)):
            pairs = zip(values[starts].tolist(), values[ends].tolist(), strict=True)
            into[str(epoch)] = list(pairs)
        found.steps += _steps(seqs, at)
    del found.steps[MAX_STEPS:]
    return found


def _steps(seqs: Entries, at: Entries) -> list[Pair]:
    """Return where times of consecutive seqs go back, or jump ahead of a regular rate."""
    if len(seqs) < 2:
        return []
    apart = np.diff(at)
    step = np.where(apart < -BACK_NS, apart, 0)
    usual = int(np.median(apart))
    regular = len(apart) >= REGULAR and np.mean(np.abs(apart - usual) <= usual / 2) > 0.9
    if regular and usual > 0:
        ahead = (np.diff(seqs) == 1) & (apart > usual + AHEAD_NS)
        step = np.where(step | ahead, apart - usual, 0)
    places = np.flatnonzero(step)[:MAX_STEPS]
    return list(zip(at[places].tolist(), step[places].tolist(), strict=True))


def join(spans: Iterable[Span]) -> Span | None:
    """Return the span of all of them together; a sample that is in two counts once."""
    known = list(spans)
    if not known:
        return None
    joined = Span(
        0,
        min(one.first_ns for one in known),
        max(one.last_ns for one in known),
        {},
        doubled=sum(one.doubled for one in known),
    )
    joined.steps = [step for one in known for step in one.steps]
    for epoch in sorted({epoch for one in known for epoch in one.runs}, key=int):
        timed = [pair for one in known if epoch in one.runs for pair in one.timed(epoch)]
        joined.runs[epoch], joined.times[epoch], steps = _merge(timed)
        joined.steps += steps
    joined.steps = sorted(set(joined.steps))[:MAX_STEPS]
    joined.count = sum(b - a + 1 for runs in joined.runs.values() for a, b in runs)
    return joined


def _merge(timed: list[tuple[Pair, Pair]]) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return runs that meet or overlap as one, their times, and where time goes back between."""
    runs: list[Pair] = []
    times: list[Pair] = []
    steps: list[Pair] = []
    for (first, last), (first_ns, last_ns) in sorted(timed):
        if runs and first <= runs[-1][1] + 1:
            if first == runs[-1][1] + 1 and first_ns < times[-1][1] - BACK_NS:
                steps.append((times[-1][1], first_ns - times[-1][1]))
            if last > runs[-1][1]:
                runs[-1] = (runs[-1][0], last)
                times[-1] = (times[-1][0], last_ns)
        else:
            runs.append((first, last))
            times.append((first_ns, last_ns))
    return runs, times, steps


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
