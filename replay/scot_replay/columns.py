"""One channel of a recording as numpy columns: times, values, and NaN where samples are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot.channel import Channel, Kind
from scot.errors import RecordingError
from scot.sample import AlarmValue, AnnotationValue, Flags, Validity
from scot_replay.rows import POSE, VALIDITIES, Rows

Array = NDArray[Any]
MAX_FILL = 100_000
_INVALID = int(Flags.INVALID)
_NO_VALUE = [VALIDITIES.index(v) for v in (Validity.INVALID, Validity.NOT_AVAILABLE)]
_alarm = msgspec.json.Decoder(AlarmValue)
_annotation = msgspec.json.Decoder(AnnotationValue)


@dataclass(frozen=True)
class Columns:
    """One channel's samples in bus-time order, with a row of no value for each missing one.

    Attributes:
        times: bus time, int64 ns (n,).
        source: the device's own time, int64 ns (n,); meaningless where `no_source`.
        no_source: bool (n,), where the device gave no time or the sample is missing.
        absent: bool (n,), rows of missing samples, whose times are guessed.
        values: by suffix (``""``, ``".x"``): float64 (n,) with NaN, or object (n,) with None.
        units: UCUM code by suffix.
    """

    times: NDArray[np.int64]
    source: NDArray[np.int64]
    no_source: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    values: dict[str, Array]
    units: dict[str, str]

    @property
    def missing(self) -> int:
        """How many rows stand for samples that never came."""
        return int(self.absent.sum())


def columns(rows: Rows, channel: Channel) -> Columns:
    """Return the columns of a channel's rows.

    Raises:
        RecordingError: it is a waveform of no known rate.
    """
    if channel.kind is Kind.WAVEFORM:
        return _waveform(rows, channel)
    values, units = _VALUES[channel.kind](rows, channel)
    absent = np.zeros(len(rows), bool)
    return _fill(rows, Columns(rows.bus_ns, rows.source_ns, rows.no_source, absent, values, units))


class _Holes(NamedTuple):
    """Places of the samples around each hole in the seqs, and how many are missing there."""

    before: Array
    after: Array
    counts: Array


def _holes(rows: Rows) -> _Holes:
    epochs, seqs = rows.epoch, rows.seq
    steps = np.diff(seqs)
    if len(rows) < 2 or (bool(np.all(steps > 0)) and bool(np.all(epochs == epochs[0]))):
        places = np.flatnonzero(steps > 1)  # as nearly always: they came in order
        return _Holes(places, places + 1, np.minimum(steps[places] - 1, MAX_FILL))
    order = np.lexsort((seqs, epochs))  # bus times of one channel may be out of order
    same = epochs[order][1:] == epochs[order][:-1]
    missing = np.where(same, np.diff(seqs[order]) - 1, 0)
    places = np.flatnonzero(missing > 0)
    counts = np.minimum(missing[places], MAX_FILL)
    return _Holes(order[places], order[places + 1], counts)


def _fill(rows: Rows, known: Columns) -> Columns:
    """Add the rows of missing samples, spread evenly between their neighbours."""
    before, after, counts = _holes(rows)
    if not len(counts):
        return known
    step = np.concatenate([np.arange(1, n + 1) / (n + 1) for n in counts])
    since, until = np.repeat(known.times[before], counts), np.repeat(known.times[after], counts)
    return _with_nothing(known, since + ((until - since) * step).astype(np.int64))


def _with_nothing(known: Columns, times: NDArray[np.int64]) -> Columns:
    """Add rows without a value at `times`, in order."""
    count = len(times)
    joined = np.concatenate((known.times, times))
    order = np.argsort(joined, kind="stable")
    source = np.concatenate((known.source, np.zeros(count, np.int64)))
    no_source = np.concatenate((known.no_source, np.ones(count, bool)))
    values: dict[str, Array] = {}
    for suffix, column in known.values.items():
        nothing = np.full(count, None if column.dtype == object else np.nan, dtype=column.dtype)
        values[suffix] = np.concatenate((column, nothing))[order]
    absent = np.concatenate((known.absent, np.ones(count, bool)))[order]
    return Columns(joined[order], source[order], no_source[order], absent, values, known.units)


def _waveform(rows: Rows, channel: Channel) -> Columns:
    starts, lengths = rows.bus_ns, rows.values["length"]
    period_ns = _period_ns(channel, starts, lengths)
    values = rows.values["values"].astype(np.float64)
    values[np.repeat(rows.flags & _INVALID != 0, lengths)] = np.nan
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    offset = np.rint(within * period_ns).astype(np.int64)
    known = Columns(
        np.repeat(starts, lengths) + offset,
        np.repeat(rows.source_ns, lengths) + offset,
        np.repeat(rows.no_source, lengths),
        np.zeros(len(values), bool),
        {"": values},
        {"": channel.unit},
    )
    return _fill_waveform(rows, known, starts, lengths, period_ns)


def _period_ns(channel: Channel, starts: Array, lengths: Array) -> float:
    if channel.rate_hz:
        return 1e9 / channel.rate_hz
    if len(starts) < 2:
        raise RecordingError(f"{channel.name} states no rate, and one block alone shows none")
    return float(np.median(np.diff(starts) / np.maximum(lengths[:-1], 1)))


def _fill_waveform(
    rows: Rows, known: Columns, starts: Array, lengths: Array, period_ns: float
) -> Columns:
    before, after, _ = _holes(rows)
    ends = starts[before] + np.rint(lengths[before] * period_ns).astype(np.int64)
    counts = np.rint((starts[after] - ends) / period_ns).astype(np.int64)
    counts = np.clip(counts, 0, MAX_FILL)
    if not counts.sum():
        return known
    within = np.concatenate([np.arange(n) for n in counts])
    return _with_nothing(known, np.repeat(ends, counts) + np.rint(within * period_ns).astype("i8"))


Values = tuple[dict[str, Array], dict[str, str]]


def _numerics(rows: Rows, channel: Channel) -> Values:
    unusable = np.isin(rows.values["validity"], _NO_VALUE) | (rows.flags & _INVALID != 0)
    return {"": np.where(unusable, np.nan, rows.values["value"])}, {"": channel.unit}


def _poses(rows: Rows, channel: Channel) -> Values:
    unusable = ~rows.values["visible"] | (rows.flags & _INVALID != 0)
    values: dict[str, Array] = {}
    for name in POSE:
        column = rows.values[name]
        values[f".{name}"] = (
            column
            if name == "quality" or not unusable.any()
            else np.where(unusable, np.nan, column)
        )
    units = {f".{name}": "mm" if name in {"x", "y", "z", "err_mm"} else "" for name in POSE}
    return values, units


def _objects(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Values:
    values: dict[str, Array] = {}
    for name in names:
        values[name] = np.empty(len(rows), dtype=object)
        values[name][:] = [row[name] for row in rows]
    return values, dict.fromkeys(names, "")


def _texts(rows: Rows, channel: Channel) -> Values:
    return {"": rows.values["json"]}, {"": ""}


def _events(rows: Rows, channel: Channel) -> Values:
    """Return events as JSON, and beside it each figure the channel declares (``attrs["fields"]``).

    ``.sent.ctl.samples_hz`` is a column of numbers; NaN where an event does not say it.
    """
    words = rows.values["json"]
    values: dict[str, Array] = {"": words}
    units = {"": ""}
    fields = channel.attrs.get("fields")
    wanted = fields if isinstance(fields, dict) else {}
    read = [msgspec.json.decode(text) for text in words] if wanted else []
    for name, field in wanted.items():
        if isinstance(field, dict):
            parts = str(name).split(".")
            values[f".{name}"] = np.array([_figure(row, parts) for row in read], dtype=np.float64)
            units[f".{name}"] = str(field.get("unit", ""))
    return values, units


def _figure(row: Any, parts: Sequence[str]) -> float:
    for part in parts:
        row = row.get(part) if isinstance(row, dict) else None
    return float(row) if isinstance(row, int | float) else np.nan


def _alarms(rows: Rows, channel: Channel) -> Values:
    made = []
    for words in rows.values["json"]:
        alarm = _alarm.decode(words)
        text = alarm.text.get("en") or next(iter(alarm.text.values()), "")
        made.append(
            {
                ".id": alarm.id,
                ".kind": alarm.kind,
                ".priority": alarm.priority,
                ".present": alarm.present,
                ".presence": alarm.presence,
                ".channel": alarm.channel,
                ".text": text,
                ".value": alarm.value,
                ".limit": alarm.limit,
            }
        )
    names = (".id", ".kind", ".priority", ".present", ".presence", ".channel", ".text")
    return _objects(made, (*names, ".value", ".limit"))


def _annotations(rows: Rows, channel: Channel) -> Values:
    made = []
    for words in rows.values["json"]:
        note = _annotation.decode(words)
        made.append(
            {
                ".id": note.id,
                ".channel": note.channel,
                ".at_ns": note.at_ns,
                ".author": note.author,
                ".tool": note.tool,
                ".text": note.text,
            }
        )
    return _objects(made, (".id", ".channel", ".at_ns", ".author", ".tool", ".text"))


def _videos(rows: Rows, channel: Channel) -> Values:
    sizes = rows.values["size"].astype(np.float64)
    keys = (rows.flags & int(Flags.KEYFRAME) != 0).astype(np.float64)
    return {".size": sizes, ".keyframe": keys}, {".size": "By", ".keyframe": ""}


_VALUES: dict[Kind, Callable[[Rows, Channel], Values]] = {
    Kind.NUMERIC: _numerics,
    Kind.POSE: _poses,
    Kind.TEXT: _texts,
    Kind.EVENT: _events,
    Kind.ALARM: _alarms,
    Kind.ANNOTATION: _annotations,
    Kind.VIDEO: _videos,
}
