"""Channels of a recording as a pandas table.

The index is UTC. Beside each channel's values stand both its times: ``.bus_time``, which all
devices share, as UTC, and ``.source_time``, the device's own reading in ns of its own time base.
A missing sample is NaN, on a grid too: what is not known is never filled with what was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scot.channel import Channel, Kind
from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.errors import RecordingError
from scot_replay.columns import Columns, columns
from scot_replay.when import Instant, duration_ns, since_start

if TYPE_CHECKING:
    from scot_replay.timeline import ReadTimeline

HOW = ("last", "nearest", "mean", "min", "max")
GAPS = ("nan", "drop", "raise")
MAX_ROWS = 50_000_000
_AVERAGED = {Kind.NUMERIC, Kind.WAVEFORM}
_LATCHED = 2**62  # ns: a latched value has no age limit
Int64s = NDArray[np.int64]


def to_pandas(
    recording: ReadTimeline,
    names: str | Sequence[str],
    rate: str | None = None,
    *,
    how: str = "last",
    tolerance: str | None = None,
    between: tuple[Instant | None, Instant | None] | None = None,
    gaps: str = "nan",
) -> pd.DataFrame:
    """Return channels as a table indexed by UTC.

    Args:
        recording: to read.
        names: channels, ``monitor/hr`` or ``or1/monitor/hr``; they name the columns.
        rate: period of the grid, as pandas writes it (``1s``, ``20ms``); None keeps one
            channel's own times.
        how: on a grid, ``last`` sample at or before, ``nearest``, or ``mean``, ``min``, ``max``
            of the period that ends there (numerics and waveforms).
        tolerance: age up to which a sample counts on a grid (``2s``); when None each channel's
            own ``stale_after_s``, and no limit for latched ones (alarms, text).
        between: from inclusive, to exclusive, see `scot_replay.when.Instant`; None: all.
        gaps: what becomes of samples that are missing: ``nan`` (rows without a value; on a grid
            as well), ``drop`` (no such rows), ``raise`` (an error that says how many and where).

    Returns:
        Columns ``name`` (poses: ``name.x`` to ``name.qw``, ``name.quality``, ``name.err_mm``),
        then ``name.bus_time`` and ``name.source_time``. ``attrs`` holds ``units`` (UCUM) and
        ``codes`` (MDC) by column, ``missing`` (rows that stand for lost samples) by name,
        ``workspace`` and ``recording``.

    Raises:
        RecordingError: no such channel, or they cannot be put into one table as asked.
    """
    names = [names] if isinstance(names, str) else list(names)
    _check(names, rate, how, gaps)
    span = recording.stretch(between)
    read: dict[str, tuple[Channel, Columns]] = {}
    for name in names:
        address = recording.resolve(name)
        channel = recording.channel(address)
        rows = recording.rows(address, span, before=rate is not None, brief=True)
        read[name] = channel, columns(rows, channel)
    if gaps == "raise":
        _refuse_gaps(read, recording.span[0])
    if rate is None:
        ((name, (channel, known)),) = read.items()
        table = _native(name, known)
        if gaps == "drop":
            table = table[~known.absent]
    else:
        table = _grid(read, duration_ns(rate, "rate"), how, tolerance, span)
        if gaps == "drop":
            values = [f"{name}{s}" for name, (_, known) in read.items() for s in known.values]
            table = table.dropna(how="all", subset=values)
    _describe(table, recording, read)
    return table


def all_of(recording: ReadTimeline, kind: Kind) -> pd.DataFrame:
    """Return all channels of a kind (alarms, annotations) in one table, in order of UTC.

    Column ``source`` names the channel; the others are what `to_pandas` gives, without its name.
    """
    made: list[pd.DataFrame] = []
    for address in recording.held():
        if recording.channel(address).kind is not kind:
            continue
        name = recording.short(address)
        known = columns(recording.rows(address, brief=True), recording.channel(address))
        data: dict[str, Any] = {"source": [name] * len(known.times)}
        data |= {suffix.lstrip(".") or "value": v for suffix, v in known.values.items()}
        made.append(pd.DataFrame(data, index=_utc(known.times))[~known.absent])
    if not made:
        return pd.DataFrame(index=pd.DatetimeIndex([], name="utc", tz="UTC"))
    return pd.concat(made).sort_index(kind="stable")


def _check(names: list[str], rate: str | None, how: str, gaps: str) -> None:
    if not names:
        raise RecordingError("name at least one channel, for example monitor/hr")
    if how not in HOW:
        raise RecordingError(f"how={how!r} is not known; use one of {', '.join(HOW)}")
    if gaps not in GAPS:
        raise RecordingError(f"gaps={gaps!r} is not known; use one of {', '.join(GAPS)}")
    if rate is None and len(names) > 1:
        raise RecordingError(
            f"{len(names)} channels have {len(names)} time bases; name a rate, such as rate='1s', "
            "to put them on one grid, or read one at a time"
        )


def _refuse_gaps(read: dict[str, tuple[Channel, Columns]], first_ns: int) -> None:
    for name, (_, known) in read.items():
        if known.missing:
            at = since_start(int(known.times[known.absent][0]), first_ns)
            raise RecordingError(
                f"{name} lacks {known.missing} samples, the first about {at} after the start; "
                "gaps='nan' shows where, gaps='drop' leaves them out"
            )


def _native(name: str, known: Columns) -> pd.DataFrame:
    own = [known.source, known.no_source, *known.values.values()]  # what is read may be shared
    source, none, *values = (a if a.flags.writeable else a.copy() for a in own)
    data: dict[str, Any] = {f"{name}{s}": v for s, v in zip(known.values, values, strict=True)}
    data[f"{name}.bus_time"] = _utc(known.times, known.absent if known.missing else None)
    data[f"{name}.source_time"] = pd.arrays.IntegerArray(source, none)
    return pd.DataFrame(data, index=_utc(known.times), copy=False)


def _grid(
    read: dict[str, tuple[Channel, Columns]],
    period_ns: int,
    how: str,
    tolerance: str | None,
    span: tuple[int, int],
) -> pd.DataFrame:
    at = _instants(span, period_ns)
    data: dict[str, Any] = {}
    for name, (channel, known) in read.items():
        if how in {"mean", "min", "max"} and channel.kind not in _AVERAGED:
            raise RecordingError(
                f"how={how!r} has no meaning for {name}, a {channel.kind}; use last or nearest"
            )
        limit_ns = _limit_ns(channel, tolerance)
        places, usable = _places(known.times, at, how == "nearest")
        usable &= np.abs(at - known.times[places]) <= limit_ns if len(known.times) else False
        for suffix, values in known.values.items():
            if how in {"mean", "min", "max"}:
                picked = _over_periods(known.times, values, at, period_ns, how)
            else:
                picked = _pick(values, places, usable)
            data[f"{name}{suffix}"] = picked
        times = _pick(known.times, places, usable)
        data[f"{name}.bus_time"] = _utc(times, ~usable | _pick(known.absent, places, usable))
        masked = ~usable | _pick(known.no_source, places, usable)
        data[f"{name}.source_time"] = pd.arrays.IntegerArray(
            _pick(known.source, places, usable), masked
        )
    return pd.DataFrame(data, index=_utc(at))


def _instants(span: tuple[int, int], period_ns: int) -> Int64s:
    """Return the grid: whole periods of UTC within the span, at least its last instant."""
    first_utc = span[0] - TAI_MINUS_UTC_NS
    first = -(-first_utc // period_ns) * period_ns + TAI_MINUS_UTC_NS
    count = max(0, -(-(span[1] - first) // period_ns))
    if count > MAX_ROWS:
        raise RecordingError(f"a grid of {count} rows exceeds {MAX_ROWS}; choose a longer rate")
    if count == 0:
        return np.array([span[1] - 1], dtype=np.int64)
    return first + np.arange(count, dtype=np.int64) * period_ns


def _places(times: Int64s, at: Int64s, nearest: bool) -> tuple[Int64s, NDArray[np.bool_]]:
    """Return for each instant the place of its sample, and whether there is one."""
    before = np.searchsorted(times, at, side="right") - 1
    if not nearest or not len(times):
        return np.maximum(before, 0), before >= 0
    after = np.minimum(before + 1, len(times) - 1)
    first = np.maximum(before, 0)
    closer = np.abs(times[after] - at) < np.abs(at - times[first])
    return np.where(closer, after, first), np.ones(len(at), dtype=bool)


def _pick(values: NDArray[Any], places: Int64s, usable: NDArray[np.bool_]) -> NDArray[Any]:
    if not len(values):
        empty = None if values.dtype == object else np.nan if values.dtype.kind == "f" else 0
        return np.full(len(places), empty, dtype=values.dtype)
    picked = values[places]
    if values.dtype.kind == "f":
        picked[~usable] = np.nan
    elif values.dtype == object:
        picked[~usable] = None
    return picked


def _over_periods(
    times: Int64s, values: NDArray[Any], at: Int64s, period_ns: int, how: str
) -> NDArray[np.float64]:
    """Return the mean, least or greatest value within (t − period, t] of each instant."""
    first = np.searchsorted(times, at - period_ns, side="right")
    last = np.searchsorted(times, at, side="right")
    known = ~np.isnan(values)
    result = np.full(len(at), np.nan)
    if how == "mean":
        sums = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
        counts = np.concatenate(([0], np.cumsum(known)))
        number = counts[last] - counts[first]
        np.divide(sums[last] - sums[first], number, out=result, where=number > 0)
        return result
    worst = np.inf if how == "min" else -np.inf
    padded = np.append(np.where(known, values, worst), worst)
    filled = np.flatnonzero(last > first)
    if len(filled):
        edges = np.stack((first[filled], last[filled]), axis=1).ravel()
        function = np.minimum if how == "min" else np.maximum
        reduced = function.reduceat(padded, edges)[::2]
        result[filled] = np.where(np.isinf(reduced), np.nan, reduced)
    return result


def _limit_ns(channel: Channel, tolerance: str | None) -> int:
    if tolerance is not None:
        return duration_ns(tolerance, "tolerance")
    return _LATCHED if channel.latched else round(channel.stale_after_s * 1e9)


def _utc(bus_ns: Int64s, none: NDArray[np.bool_] | None = None) -> pd.DatetimeIndex:
    stamps = (bus_ns - TAI_MINUS_UTC_NS).astype("M8[ns]")
    if none is not None:
        stamps = np.where(none, np.datetime64("NaT", "ns"), stamps)
    return pd.DatetimeIndex(stamps, name="utc").tz_localize("UTC")


def _describe(
    table: pd.DataFrame, recording: ReadTimeline, read: dict[str, tuple[Channel, Columns]]
) -> None:
    units: dict[str, str] = {}
    codes: dict[str, str] = {}
    for name, (channel, known) in read.items():
        for suffix, unit in known.units.items():
            units[f"{name}{suffix}"] = unit
            codes[f"{name}{suffix}"] = channel.code
        units[f"{name}.source_time"] = "ns"
    table.attrs = {
        "units": units,
        "codes": codes,
        "missing": {name: known.missing for name, (_, known) in read.items()},
        "workspace": recording.catalogue.workspace,
        "recording": recording.title,
    }
