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
from scot.sample import (
    AlarmValue,
    AnnotationValue,
    Flags,
    NumericValue,
    PoseValue,
    Validity,
)
from scot_replay.holder import Found

Array = NDArray[Any]
MAX_FILL = 100_000
_INVALID = int(Flags.INVALID)
_NO_VALUE = frozenset({Validity.INVALID, Validity.NOT_AVAILABLE})
_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw", "quality", "err_mm")
_UNSEEN = (np.nan,) * 7
_numeric = msgspec.msgpack.Decoder(NumericValue)
_pose = msgspec.msgpack.Decoder(PoseValue)
_alarm = msgspec.msgpack.Decoder(AlarmValue)
_annotation = msgspec.msgpack.Decoder(AnnotationValue)


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


def columns(found: Sequence[Found], channel: Channel) -> Columns:
    """Return the columns of a channel's samples.

    Raises:
        RecordingError: the channel's kind has no columns, or a payload is not of its kind.
    """
    if channel.kind is Kind.WAVEFORM:
        return _waveform(found, channel)
    times = np.fromiter((one.bus_ns for one in found), np.int64, len(found))
    source, no_source = _source(found)
    try:
        values, units = _VALUES[channel.kind](found, channel)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError) as error:
        raise RecordingError(f"{channel.name}: a sample is no {channel.kind}: {error}") from None
    except KeyError:
        raise RecordingError(
            f"{channel.name} is of kind {channel.kind}, which has no columns; read it by `frames`"
        ) from None
    absent = np.zeros(len(found), bool)
    return _fill(found, Columns(times, source, no_source, absent, values, units))


def _source(found: Sequence[Found]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    readings = [one.header.source_ns for one in found]
    none = np.fromiter((r is None for r in readings), np.bool_, len(readings))
    return np.fromiter((r or 0 for r in readings), np.int64, len(readings)), none


class _Holes(NamedTuple):
    """Places of the samples around each hole in the seqs, and how many are missing there."""

    before: Array
    after: Array
    counts: Array


def _holes(found: Sequence[Found]) -> _Holes:
    epochs = np.fromiter((one.epoch for one in found), np.int64, len(found))
    seqs = np.fromiter((one.seq for one in found), np.int64, len(found))
    order = np.lexsort((seqs, epochs))  # bus times of one channel may be out of order
    same = epochs[order][1:] == epochs[order][:-1]
    missing = np.where(same, np.diff(seqs[order]) - 1, 0)
    places = np.flatnonzero(missing > 0)
    counts = np.minimum(missing[places], MAX_FILL)
    return _Holes(order[places], order[places + 1], counts)


def _fill(found: Sequence[Found], known: Columns) -> Columns:
    """Add the rows of missing samples, spread evenly between their neighbours."""
    before, after, counts = _holes(found)
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


def _waveform(found: Sequence[Found], channel: Channel) -> Columns:
    blocks = [np.frombuffer(one.frame.payload, dtype="<f4") for one in found]
    lengths = np.array([len(block) for block in blocks], dtype=np.int64)
    starts = np.fromiter((one.bus_ns for one in found), np.int64, len(found))
    period_ns = _period_ns(channel, starts, lengths)
    bad = np.array([bool(one.header.flags & _INVALID) for one in found], dtype=bool)
    values = np.concatenate([*blocks, np.empty(0, "<f4")]).astype(np.float64)
    values[np.repeat(bad, lengths)] = np.nan
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    offset = np.rint(within * period_ns).astype(np.int64)
    source, no_source = _source(found)
    known = Columns(
        np.repeat(starts, lengths) + offset,
        np.repeat(source, lengths) + offset,
        np.repeat(no_source, lengths),
        np.zeros(len(values), bool),
        {"": values},
        {"": channel.unit},
    )
    return _fill_waveform(found, known, starts, lengths, period_ns)


def _period_ns(channel: Channel, starts: Array, lengths: Array) -> float:
    if channel.rate_hz:
        return 1e9 / channel.rate_hz
    if len(starts) < 2:
        raise RecordingError(f"{channel.name} states no rate, and one block alone shows none")
    return float(np.median(np.diff(starts) / np.maximum(lengths[:-1], 1)))


def _fill_waveform(
    found: Sequence[Found], known: Columns, starts: Array, lengths: Array, period_ns: float
) -> Columns:
    before, after, _ = _holes(found)
    ends = starts[before] + np.rint(lengths[before] * period_ns).astype(np.int64)
    counts = np.rint((starts[after] - ends) / period_ns).astype(np.int64)
    counts = np.clip(counts, 0, MAX_FILL)
    if not counts.sum():
        return known
    within = np.concatenate([np.arange(n) for n in counts])
    return _with_nothing(known, np.repeat(ends, counts) + np.rint(within * period_ns).astype("i8"))


Values = tuple[dict[str, Array], dict[str, str]]


def _numerics(found: Sequence[Found], channel: Channel) -> Values:
    values = np.full(len(found), np.nan)
    for place, one in enumerate(found):
        reading = _numeric.decode(one.frame.payload)
        unusable = reading.validity in _NO_VALUE or one.header.flags & _INVALID
        if reading.value is not None and not unusable:
            values[place] = reading.value
    return {"": values}, {"": channel.unit}


def _poses(found: Sequence[Found], channel: Channel) -> Values:
    rows: list[tuple[float, ...]] = []
    for one in found:
        pose = _pose.decode(one.frame.payload)
        quality = np.nan if pose.quality is None else pose.quality
        if pose.visible and not one.header.flags & _INVALID:
            err_mm = np.nan if pose.err_mm is None else pose.err_mm
            rows.append((*pose.position_mm, *pose.orientation, quality, err_mm))
        else:
            rows.append((*_UNSEEN, quality, np.nan))
    table = np.array(rows, dtype=np.float64).reshape(-1, len(_POSE))
    units = {f".{name}": "mm" if name in {"x", "y", "z", "err_mm"} else "" for name in _POSE}
    return {f".{name}": table[:, i] for i, name in enumerate(_POSE)}, units


def _objects(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Values:
    values: dict[str, Array] = {}
    for name in names:
        values[name] = np.empty(len(rows), dtype=object)
        values[name][:] = [row[name] for row in rows]
    return values, dict.fromkeys(names, "")


def _texts(found: Sequence[Found], channel: Channel) -> Values:
    return _objects([{"": one.frame.payload.decode()} for one in found], [""])


def _events(found: Sequence[Found], channel: Channel) -> Values:
    """Return events as JSON, and beside it each figure the channel declares (``attrs["fields"]``).

    ``.sent.ctl.samples_hz`` is a column of numbers; NaN where an event does not say it.
    """
    decode, encode = msgspec.msgpack.decode, msgspec.json.encode
    rows = [decode(one.frame.payload) for one in found]
    values, units = _objects([{"": encode(row).decode()} for row in rows], [""])
    fields = channel.attrs.get("fields")
    for name, field in fields.items() if isinstance(fields, dict) else ():
        if isinstance(field, dict):
            parts = str(name).split(".")
            values[f".{name}"] = np.array([_figure(row, parts) for row in rows], dtype=np.float64)
            units[f".{name}"] = str(field.get("unit", ""))
    return values, units


def _figure(row: Any, parts: Sequence[str]) -> float:
    for part in parts:
        row = row.get(part) if isinstance(row, dict) else None
    return float(row) if isinstance(row, int | float) else np.nan


def _alarms(found: Sequence[Found], channel: Channel) -> Values:
    rows = []
    for one in found:
        alarm = _alarm.decode(one.frame.payload)
        text = alarm.text.get("en") or next(iter(alarm.text.values()), "")
        rows.append(
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
    return _objects(rows, (*names, ".value", ".limit"))


def _annotations(found: Sequence[Found], channel: Channel) -> Values:
    rows = []
    for one in found:
        note = _annotation.decode(one.frame.payload)
        rows.append(
            {
                ".id": note.id,
                ".channel": note.channel,
                ".at_ns": note.at_ns,
                ".author": note.author,
                ".tool": note.tool,
                ".text": note.text,
            }
        )
    return _objects(rows, (".id", ".channel", ".at_ns", ".author", ".tool", ".text"))


def _videos(found: Sequence[Found], channel: Channel) -> Values:
    sizes = np.array([float(len(one.frame.payload)) for one in found])
    keys = np.array([float(bool(one.header.flags & Flags.KEYFRAME)) for one in found])
    return {".size": sizes, ".keyframe": keys}, {".size": "By", ".keyframe": ""}


_VALUES: dict[Kind, Callable[[Sequence[Found], Channel], Values]] = {
    Kind.NUMERIC: _numerics,
    Kind.POSE: _poses,
    Kind.TEXT: _texts,
    Kind.EVENT: _events,
    Kind.ALARM: _alarms,
    Kind.ANNOTATION: _annotations,
    Kind.VIDEO: _videos,
}
