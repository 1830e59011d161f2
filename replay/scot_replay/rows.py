"""One channel's samples as arrays: every field of the header, and the values by kind.

Frames and the Parquet columns of a segment are both read into this, so that what is made of it
(tables, plots, thinned samples) is the same from either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot.channel import Kind
from scot.errors import RecordingError
from scot.sample import (
    AlarmValue,
    AnnotationValue,
    NumericValue,
    PoseValue,
    Sample,
    Validity,
    Value,
    flags_of,
)
from scot.timestamp import ClockState, Timestamp
from scot_replay.found import Found
from scot_replay.heads import NONE

Array = NDArray[Any]
Int64s = NDArray[np.int64]

POSE = ("x", "y", "z", "qx", "qy", "qz", "qw", "quality", "err_mm")
VALIDITIES = tuple(Validity)
FIXED = ("bus_ns", "epoch", "seq", "source_ns", "no_source", "bound_ns", "err_ns", "state", "flags")
JSON = frozenset({Kind.TEXT, Kind.EVENT, Kind.ALARM, Kind.ANNOTATION})
KINDS = frozenset({Kind.NUMERIC, Kind.WAVEFORM, Kind.POSE, Kind.VIDEO, *JSON})
_DTYPES = {"no_source": np.bool_, "state": np.uint8, "flags": np.uint16}
_CODES = {validity: code for code, validity in enumerate(VALIDITIES)}
_numeric = msgspec.msgpack.Decoder(NumericValue)
_pose = msgspec.msgpack.Decoder(PoseValue)
_MAPS: dict[Kind, Any] = {
    Kind.EVENT: dict,
    Kind.ALARM: AlarmValue,
    Kind.ANNOTATION: AnnotationValue,
}
UNFIT = (msgspec.DecodeError, ValueError, TypeError, RecursionError, KeyError)
"""What a payload of another kind raises."""
SAMPLED = frozenset({Kind.NUMERIC, Kind.POSE, Kind.WAVEFORM})
"""Kinds whose rows say everything of a sample."""


@dataclass(frozen=True)
class Rows:
    """Samples of one channel, n of them, in order of bus time, epoch and seq.

    Attributes:
        kind: of the channel.
        bus_ns, epoch, seq: int64 (n,), as in a sample.
        source_ns: int64 (n,), meaningless where `no_source`, bool (n,).
        bound_ns, err_ns: int64 (n,), `NONE` where unknown.
        state, flags: uint8 and uint16 (n,).
        values: numerics ``value`` float64 with ``no_value`` bool and ``validity`` (a place in
            `VALIDITIES`); poses `POSE` float64 and ``visible`` bool; waveforms ``length`` int64
            (n,) and all blocks end to end as ``values`` float32; video ``size`` int64, B; texts
            ``json`` object (n,), the words themselves; events, alarms and annotations ``json``
            object (n,), one JSON object each.
    """

    kind: Kind
    bus_ns: Int64s
    epoch: Int64s
    seq: Int64s
    source_ns: Int64s
    no_source: NDArray[np.bool_]
    bound_ns: Int64s
    err_ns: Int64s
    state: NDArray[np.uint8]
    flags: NDArray[np.uint16]
    values: dict[str, Array]

    def __len__(self) -> int:
        return len(self.bus_ns)

    def fixed(self) -> dict[str, Array]:
        """Return the fields of the header by name."""
        return {name: getattr(self, name) for name in FIXED}

    def cut(self, first: int, last: int) -> Rows:
        """Return rows [first, last)."""
        if first <= 0 and last >= len(self):
            return self
        fixed = {name: column[first:last] for name, column in self.fixed().items()}
        values = {name: column[first:last] for name, column in self.values.items()}
        if self.kind is Kind.WAVEFORM:
            ends = np.concatenate(([0], np.cumsum(self.values["length"])))
            values["values"] = self.values["values"][ends[first] : ends[max(first, last)]]
        return Rows(self.kind, **fixed, values=values)

    def within(self, from_ns: int, to_ns: int) -> Rows:
        """Return the rows of [from_ns, to_ns)."""
        first, last = np.searchsorted(self.bus_ns, (from_ns, to_ns))
        return self.cut(int(first), int(last))

    def take(self, places: Int64s) -> Rows:
        """Return the rows at some places, in that order."""
        fixed = {name: column[places] for name, column in self.fixed().items()}
        values = {n: c[places] for n, c in self.values.items() if n != "values"}
        if self.kind is Kind.WAVEFORM:
            lengths = self.values["length"]
            starts = (np.cumsum(lengths) - lengths)[places]
            picked = lengths[places]
            within = np.arange(int(picked.sum())) - np.repeat(np.cumsum(picked) - picked, picked)
            values["values"] = self.values["values"][np.repeat(starts, picked) + within]
        return Rows(self.kind, **fixed, values=values)

    def in_order(self) -> Rows:
        """Return the rows in order of bus time, epoch and seq, each sample once."""
        times = self.bus_ns
        if bool(np.all(times[1:] > times[:-1])):
            return self
        order = np.lexsort((self.seq, self.epoch, times))
        new = np.ones(len(order), dtype=bool)
        new[1:] = False
        for name in ("bus_ns", "epoch", "seq"):
            column = getattr(self, name)[order]
            new[1:] |= column[1:] != column[:-1]
        return self.take(order[new])

    def samples(self, address: str) -> list[Sample]:
        """Return the rows as samples; of kinds in `SAMPLED` only."""
        values = _VALUES[self.kind](self)
        columns = (self.fixed()[name].tolist() for name in FIXED)
        made: list[Sample] = []
        for value, row in zip(values, zip(*columns, strict=True), strict=True):
            bus_ns, epoch, seq, source_ns, no_source, bound_ns, err_ns, state, flags = row
            time = Timestamp(
                None if no_source else source_ns,
                bus_ns,
                None if bound_ns == NONE else bound_ns,
                None if err_ns == NONE else err_ns,
                ClockState(state),
            )
            made.append(Sample(address, epoch, seq, time, flags_of(flags), value))
        return made


class Quality(msgspec.Struct, frozen=True, array_like=True):
    """How well the times of one channel's samples are known.

    Attributes:
        err_ns, bound_ns: the median likely and the greatest guaranteed error; None unknown.
        states: how many samples were stamped in each clock state, by its number.
    """

    err_ns: int | None
    bound_ns: int | None
    states: dict[int, int]


def quality(rows: Rows) -> Quality:
    """Return how well the times of some rows are known."""
    errs, bounds = (column[column != NONE] for column in (rows.err_ns, rows.bound_ns))
    states, counts = np.unique(rows.state, return_counts=True)
    return Quality(
        int(np.median(errs)) if len(errs) else None,
        int(bounds.max()) if len(bounds) else None,
        dict(zip(states.tolist(), counts.tolist(), strict=True)),
    )


def merged(parts: Sequence[Quality]) -> Quality | None:
    """Return one for several parts: the median of their medians, each by its samples."""
    if not parts:
        return None
    states: dict[int, int] = {}
    for part in parts:
        for state, count in part.states.items():
            states[state] = states.get(state, 0) + count
    known = sorted((p.err_ns, sum(p.states.values())) for p in parts if p.err_ns is not None)
    half, err_ns = sum(count for _, count in known) / 2, None
    for value, count in known:
        err_ns, half = value, half - count
        if half <= 0:
            break
    bounds = [part.bound_ns for part in parts if part.bound_ns is not None]
    return Quality(err_ns, max(bounds, default=None), states)


def join(kind: Kind, parts: Sequence[Rows]) -> Rows:
    """Return the rows of several parts as one, in order, each sample once."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return of([], kind)
    if len(parts) == 1:
        return parts[0].in_order()
    fixed = {name: np.concatenate([getattr(p, name) for p in parts]) for name in FIXED}
    values = {name: np.concatenate([p.values[name] for p in parts]) for name in parts[0].values}
    return Rows(kind, **fixed, values=values).in_order()


def headers(found: Sequence[Found]) -> Rows:
    """Return rows of the headers of frames, without values."""
    rows = [
        (
            h.bus_ns,
            h.epoch,
            h.seq,
            h.source_ns or 0,
            h.source_ns is None,
            NONE if h.bound_ns is None else h.bound_ns,
            NONE if h.err_ns is None else h.err_ns,
            int(h.state),
            h.flags,
        )
        for h in (one.header for one in found)
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(FIXED)
    fixed: dict[str, Array] = {
        name: np.array(column, dtype=_DTYPES.get(name, np.int64))
        for name, column in zip(FIXED, columns, strict=True)
    }
    return Rows(Kind.EVENT, **fixed, values={})


def of(found: Sequence[Found], kind: Kind, exact: bool = False) -> Rows:
    """Return the rows of frames.

    Args:
        found: of one channel, in order.
        kind: of that channel.
        exact: refuse what the columns cannot give back as it was.

    Raises:
        RecordingError: the kind has no columns, or a payload is not of it.
    """
    if kind not in KINDS:
        name = found[0].address if found else "a channel"
        raise RecordingError(f"{name} is of kind {kind}, which has no columns; read it by `frames`")
    fixed = headers(found).fixed()
    try:
        values = values_of([one.frame.payload for one in found], kind, exact)
    except UNFIT as error:
        name = found[0].address if found else "a channel"
        raise RecordingError(f"{name}: a sample is no {kind}: {error}") from None
    return Rows(kind, **fixed, values=values)


def values_of(payloads: Sequence[bytes], kind: Kind, exact: bool) -> dict[str, Array]:
    """Return the values of payloads, as in `Rows`; raises what is in `UNFIT` for another kind's."""
    maps = _MAPS.get(kind)
    return _MADE[kind](payloads) if maps is None else _maps(payloads, maps, exact)


def _numerics(payloads: Sequence[bytes]) -> dict[str, Array]:
    read = [_numeric.decode(payload) for payload in payloads]
    return {
        "value": np.array([np.nan if r.value is None else r.value for r in read], np.float64),
        "no_value": np.array([r.value is None for r in read], np.bool_),
        "validity": np.array([_CODES[r.validity] for r in read], np.uint8),
    }


def _poses(payloads: Sequence[bytes]) -> dict[str, Array]:
    read = [_pose.decode(payload) for payload in payloads]
    nan = np.nan
    rows = [
        (
            *pose.position_mm,
            *pose.orientation,
            nan if pose.quality is None else pose.quality,
            nan if pose.err_mm is None else pose.err_mm,
        )
        for pose in read
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, len(POSE))
    values: dict[str, Array] = {name: table[:, i] for i, name in enumerate(POSE)}
    values["visible"] = np.array([pose.visible for pose in read], np.bool_)
    return values


def _waveforms(payloads: Sequence[bytes]) -> dict[str, Array]:
    whole = b"".join(payloads)
    for payload in payloads:
        if len(payload) % 4:
            raise ValueError(f"{len(payload)} B are no float32 values")
    return {
        "length": np.array([len(payload) // 4 for payload in payloads], np.int64),
        "values": np.frombuffer(whole, dtype="<f4"),
    }


def _videos(payloads: Sequence[bytes]) -> dict[str, Array]:
    return {"size": np.array([len(payload) for payload in payloads], np.int64)}


def _texts(payloads: Sequence[bytes]) -> dict[str, Array]:
    return {"json": _objects([payload.decode() for payload in payloads])}


def _maps(payloads: Sequence[bytes], reader: Any, exact: bool) -> dict[str, Array]:
    decode, encode = msgspec.msgpack.Decoder(reader).decode, msgspec.json.encode
    again = msgspec.json.Decoder(reader).decode
    words: list[str] = []
    for payload in payloads:
        value = decode(payload)
        text = encode(value)
        if exact and again(text) != value:
            raise ValueError("it holds what JSON has no word for")
        words.append(text.decode())
    return {"json": _objects(words)}


def _objects(rows: Sequence[Any]) -> Array:
    column = np.empty(len(rows), dtype=object)
    column[:] = rows
    return column


_MADE: dict[Kind, Callable[[Sequence[bytes]], dict[str, Array]]] = {
    Kind.NUMERIC: _numerics,
    Kind.POSE: _poses,
    Kind.WAVEFORM: _waveforms,
    Kind.VIDEO: _videos,
    Kind.TEXT: _texts,
}


def _numeric_values(rows: Rows) -> list[Value]:
    columns = (rows.values[name].tolist() for name in ("value", "no_value", "validity"))
    return [
        NumericValue(None if none else value, VALIDITIES[code])
        for value, none, code in zip(*columns, strict=True)
    ]


def _pose_values(rows: Rows) -> list[Value]:
    columns = (rows.values[name].tolist() for name in (*POSE, "visible"))
    return [_pose_of(row) for row in zip(*columns, strict=True)]


def _pose_of(row: Sequence[Any]) -> PoseValue:
    quality, err_mm = (None if math.isnan(value) else value for value in row[7:9])
    return PoseValue(row[0:3], row[3:7], quality, row[9], err_mm)  # type: ignore[arg-type]


def _blocks(rows: Rows) -> list[Value]:
    ends = np.cumsum(rows.values["length"])[:-1]
    return list(np.split(rows.values["values"], ends)) if len(rows) else []


_VALUES: dict[Kind, Callable[[Rows], list[Value]]] = {
    Kind.NUMERIC: _numeric_values,
    Kind.POSE: _pose_values,
    Kind.WAVEFORM: _blocks,
}
