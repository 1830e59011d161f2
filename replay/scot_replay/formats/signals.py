"""Channels of a recording as arrays, and on the even grid that some formats want.

Formats with one rate a signal cannot say that a device's clock runs a little fast, or that a block
came late. `on_grid` keeps blocks that follow each other side by side as long as their time agrees
within what the timestamps themselves claim, sets them anew when it does not, and says by how much
the grid is off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scot.channel import Channel, Kind
from scot.codec import decode
from scot.errors import CodecError, RecordingError
from scot.sample import Flags, Sample, Validity
from scot_replay.rows import VALIDITIES

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Int64s = NDArray[np.int64]

INVALID = int(Flags.INVALID)
NO_VALUE = frozenset({Validity.INVALID, Validity.NOT_AVAILABLE})
NUMERIC_HZ = 1.0
_UNKNOWN_NS = 25_000_000  # likely error of a time that claims none
_MAX_GRID = 1 << 31
_NO_VALUE_CODES = [VALIDITIES.index(validity) for validity in NO_VALUE]


class Blocks(NamedTuple):
    """A waveform's blocks in order of bus time.

    Attributes:
        starts: bus time of each block's first value, ns (n,).
        lengths: values in each (n,).
        values: all of them, one after another; NaN where the device said not to use them.
        errs: likely error of each start, ns (n,).
        follows: whether a block is the next after the one before it (n,).
    """

    starts: Int64s
    lengths: Int64s
    values: Floats
    errs: Int64s
    follows: NDArray[np.bool_]


class Readings(NamedTuple):
    """A numeric's readings in order: bus time ns (n,), and value (n,) with NaN for none."""

    times: Int64s
    values: Doubles


class Grid(NamedTuple):
    """Values at an even rate, float64 with NaN where there is none, and how true it is.

    Attributes:
        values: of the grid.
        time_error_s: greatest distance between a sample's time and its place.
        shifted: places put in or values left out where the rate is not the true one.
    """

    values: Doubles
    time_error_s: float
    shifted: int


def blocks(recording: DirectoryRecording, address: str, span: tuple[int, int]) -> Blocks:
    """Return a waveform's blocks that begin within `span`."""
    rows = recording.rows(address, span)
    lengths = rows.values["length"]
    values = rows.values["values"].astype("<f4")
    values[np.repeat((rows.flags & INVALID) != 0, lengths)] = np.nan
    follows = np.zeros(len(rows), bool)
    follows[1:] = (np.diff(rows.epoch) == 0) & (np.diff(rows.seq) == 1)
    errs = np.where(rows.err_ns < 0, _UNKNOWN_NS, rows.err_ns)
    return Blocks(rows.bus_ns, lengths, values, errs, follows)


def readings(recording: DirectoryRecording, address: str, span: tuple[int, int]) -> Readings:
    """Return a numeric's readings within `span`."""
    rows = recording.rows(address, span)
    values = rows.values["value"].astype(np.float64)
    none = rows.values["no_value"] | ((rows.flags & INVALID) != 0)
    none |= np.isin(rows.values["validity"], _NO_VALUE_CODES)
    values[none] = np.nan
    return Readings(rows.bus_ns, values)


def samples(recording: DirectoryRecording, address: str, span: tuple[int, int]) -> Iterator[Sample]:
    """Yield a channel's samples within `span`, a stretch at a time; unreadable ones are skipped."""
    channel = recording.channel(address)
    for one in recording.stream([address], span):
        try:
            yield decode(one.frame, channel, one.header)
        except CodecError:
            continue


def rate_of(channel: Channel, known: Blocks) -> float:
    """Return a waveform's rate: as declared, or found from its blocks.

    Raises:
        RecordingError: it declares none and one block alone shows none.
    """
    if channel.rate_hz:
        return channel.rate_hz
    if len(known.starts) < 2:
        raise RecordingError(f"{channel.name} states no rate, and one block alone shows none")
    period_ns = np.median(np.diff(known.starts) / np.maximum(known.lengths[:-1], 1))
    return float(round(1e9 / period_ns, 3))


def fraction(rate_hz: float) -> Fraction:
    """Return a rate as a fraction with a denominator of at most 1,000."""
    return Fraction(rate_hz).limit_denominator(1_000)


def on_grid(known: Blocks, rate_hz: Fraction, start_ns: int, count: int) -> Grid:
    """Put a waveform on a grid of `count` places at `rate_hz` from `start_ns` on."""
    if count > _MAX_GRID:
        raise RecordingError(f"{count} values are more than {_MAX_GRID}; export a shorter stretch")
    rate = float(rate_hz)
    wanted = (known.starts - start_ns) * (rate / 1e9)
    slack = np.maximum(1.5, 2 * known.errs * (rate / 1e9))
    places = np.empty(len(wanted), np.int64)
    free, shifted = 0, 0
    rows = zip(
        wanted.tolist(), known.lengths.tolist(), slack.tolist(), known.follows.tolist(),
        strict=True,
    )  # fmt: skip
    for row, (want, length, allowed, follows) in enumerate(rows):
        place = free if follows and abs(want - free) <= allowed else round(want)
        if follows or (row and place < free):
            shifted += abs(place - free)
        places[row] = place
        free = place + length
    at = np.repeat(places, known.lengths) + _within(known.lengths)
    inside = (at >= 0) & (at < count)
    values = np.full(count, np.nan)
    values[at[inside]] = known.values[inside]
    error_s = float(np.max(np.abs(places - wanted)) / rate) if len(wanted) else 0.0
    return Grid(values, error_s, int(shifted))


def _within(lengths: Int64s) -> Int64s:
    """Return 0, 1, 2, … anew for each block."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def held(known: Readings, rate_hz: Fraction, start_ns: int, count: int, limit_ns: int) -> Grid:
    """Put a numeric on a grid: at each place the last reading, for at most `limit_ns`."""
    at = start_ns + np.round(np.arange(count) * (1e9 / float(rate_hz))).astype(np.int64)
    before = np.searchsorted(known.times, at, side="right") - 1
    values = np.full(count, np.nan)
    usable = before >= 0
    if len(known.times):
        age = at - known.times[np.maximum(before, 0)]
        usable &= age <= limit_ns
        values[usable] = known.values[before[usable]]
        error_s = float(np.max(age[usable], initial=0) / 1e9)
    else:
        error_s = 0.0
    return Grid(values, error_s, 0)


def even(
    recording: DirectoryRecording,
    address: str,
    channel: Channel,
    span: tuple[int, int],
    start_ns: int,
    seconds: Fraction,
) -> tuple[Fraction, Grid]:
    """Return a waveform or a numeric at its own even rate, and that rate.

    A numeric is what was last read, for one and a half of its periods (one that states no rate is
    read each second and counts until it is stale): a reading that is missing stays missing.

    Args:
        recording: to read.
        address: of the channel.
        channel: its description.
        span: from inclusive, to exclusive, bus ns.
        start_ns: bus time of the first place.
        seconds: length.
    """
    if channel.kind is Kind.NUMERIC:
        rate = fraction(channel.rate_hz or NUMERIC_HZ)
        limit_s = 1.5 / channel.rate_hz if channel.rate_hz else channel.stale_after_s
        known = readings(recording, address, span)
        grid = held(known, rate, start_ns, int(rate * seconds), round(limit_s * 1e9))
        ends = max(0, math.ceil((span[1] - start_ns) * rate / 1_000_000_000))
        grid.values[ends:] = np.nan
        return rate, grid
    found = blocks(recording, address, span)
    rate = fraction(rate_of(channel, found))
    return rate, on_grid(found, rate, start_ns, int(rate * seconds))


def gaps(values: Doubles) -> list[tuple[int, int]]:
    """Return stretches [first, last) without a value."""
    edge = np.flatnonzero(np.diff(np.concatenate(([False], np.isnan(values), [False]))))
    return [(int(first), int(last)) for first, last in edge.reshape(-1, 2)]


def gaps_within(values: Doubles) -> int:
    """Return how many stretches without a value lie between values."""
    return sum(1 for first, last in gaps(values) if first and last < len(values))


def step_of(values: Doubles, most: int) -> tuple[float, float] | None:
    """Return the step and the origin of values that all lie on one even ladder of ≤ `most` rungs.

    None when they do not: then a format with integers loses something.
    """
    known = np.unique(values[~np.isnan(values)])
    if not len(known):
        return None
    if len(known) == 1:
        return 1.0, float(known[0])
    apart = np.diff(known)
    least = float(np.min(apart))
    near = float(np.mean(apart[apart < 1.5 * least]))
    whole = np.concatenate(([0.0], np.cumsum(np.round(apart / near))))
    if whole[-1] > most:
        return None
    step = float((known[-1] - known[0]) / whole[-1])
    if np.max(np.abs(known[0] + whole * step - known)) > step / 100:  # float32 is a little off
        return None
    return step, float(known[0])


def ends_ns(recording: DirectoryRecording, known: dict[str, Channel], span: tuple[int, int]) -> int:
    """Return when the last value of these channels ends: a block that begins in `span` is whole."""
    end_ns = span[1]
    for address, channel in known.items():
        if channel.kind is Kind.WAVEFORM and channel.rate_hz:
            for one in recording.found_at(address, span[1] - 1):
                length_s = len(one.frame.payload) / 4 / channel.rate_hz
                end_ns = max(end_ns, one.bus_ns + round(length_s * 1e9))
    return end_ns
