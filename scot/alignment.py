"""Channels with clocks and rates of their own, brought to the same instants.

Each instant gets the last value at or before it, how old that was, and how well its time is known.
Nothing is interpolated, and nothing is taken from later: a value older than the caller allows, or
one that the device itself called invalid, is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scot.sample import Flags, NumericValue, PoseValue, Sample, Validity, Value

_NO_VALUE = frozenset({Validity.INVALID, Validity.NOT_AVAILABLE})
Places = NDArray[np.int64]
_POSE = 7  # x, y, z in mm, unit quaternion x, y, z, w


@dataclass(frozen=True)
class Aligned:
    """One channel at n instants.

    Attributes:
        values: numerics and waveforms float64 (n,), in the channel's unit; poses float64 (n, 7):
            x, y, z in mm, then the unit quaternion x, y, z, w; any other kind object (n,). NaN or
            None where it is not known.
        known: bool (n,); whether there is a value at all.
        age_ns: int64 (n,); how long before the instant the value was true. Meaningless where it
            is not known.
        err_ns, bound_ns: float64 (n,); likely and guaranteed error of the value's time; NaN where
            the sample says none, or is not known.
    """

    values: NDArray[Any]
    known: NDArray[np.bool_]
    age_ns: NDArray[np.int64]
    err_ns: NDArray[np.float64]
    bound_ns: NDArray[np.float64]


def align(
    samples: Sequence[Sample],
    times_ns: Sequence[int],
    tolerance_ns: int,
    rate_hz: float | None = None,
) -> Aligned:
    """Return one channel at some instants.

    Args:
        samples: of one channel, in bus-time order.
        times_ns: the instants, bus ns, in any order.
        tolerance_ns: age up to which a value counts.
        rate_hz: of a waveform, for where no two blocks without a hole between them say it.

    Raises:
        ValueError: the tolerance is negative.
    """
    if tolerance_ns < 0:
        raise ValueError(f"tolerance_ns is {tolerance_ns}; an age is never negative")
    asked = np.asarray(times_ns, dtype=np.int64).reshape(-1)
    if samples and isinstance(samples[0].value, np.ndarray):
        starts, values, of = _spread(samples, rate_hz)
    else:
        starts = np.array([s.time.bus_ns for s in samples], dtype=np.int64)
        values = _values([s.value for s in samples])
        of = np.arange(len(samples))
    if not len(starts):
        return _nothing(len(asked))
    places = np.searchsorted(starts, asked, side="right") - 1
    at = np.maximum(places, 0)
    age_ns = asked - starts[at]
    block = of[at]
    known = (places >= 0) & (age_ns <= tolerance_ns) & _good(samples, values, of)[at]
    picked = values[at]
    picked[~known] = None if picked.dtype == object else np.nan
    err, bound = _errors(samples)
    return Aligned(
        picked,
        known,
        age_ns,
        np.where(known, err[block], np.nan),
        np.where(known, bound[block], np.nan),
    )


def _nothing(count: int) -> Aligned:
    nan = np.full(count, np.nan)
    never = np.zeros(count, dtype=bool)
    return Aligned(nan, never, np.zeros(count, dtype=np.int64), nan.copy(), nan.copy())


def _values(values: Sequence[Value]) -> NDArray[Any]:
    if all(isinstance(v, NumericValue) for v in values):
        return np.array([_number(v) for v in values], dtype=np.float64)
    if all(isinstance(v, PoseValue) for v in values):
        rows = [_pose(v) for v in values if isinstance(v, PoseValue)]
        return np.array(rows, dtype=np.float64).reshape(-1, _POSE)
    plain = np.empty(len(values), dtype=object)
    plain[:] = list(values)
    return plain


def _number(value: Value) -> float:
    if not isinstance(value, NumericValue) or value.value is None or value.validity in _NO_VALUE:
        return np.nan
    return value.value


def _pose(value: PoseValue) -> Sequence[float]:
    if not value.visible:
        return (np.nan,) * _POSE
    return (*value.position_mm, *value.orientation)


def _good(samples: Sequence[Sample], values: NDArray[Any], of: Places) -> NDArray[np.bool_]:
    """Return which values the device stands by; `of` says of which sample each is."""
    invalid = np.array([bool(s.flags & Flags.INVALID) for s in samples])[of]
    if values.dtype == object:
        return ~invalid
    missing = np.isnan(values.reshape(len(values), -1)).any(axis=1)
    good: NDArray[np.bool_] = ~invalid & ~missing
    return good


def _spread(
    samples: Sequence[Sample], rate_hz: float | None
) -> tuple[Places, NDArray[np.float64], Places]:
    """Return time, value and block of each value of a waveform.

    The step from value to value is what most blocks took that the next one followed without a
    hole. Where neither those nor a rate tell it, only a block's first value has a time.
    """
    blocks = [s.value for s in samples if isinstance(s.value, np.ndarray)]
    steps = [
        (b.time.bus_ns - a.time.bus_ns) / len(values)
        for (a, b), values in zip(pairwise(samples), blocks, strict=False)
        if b.seq == a.seq + 1 and b.epoch == a.epoch and len(values)
    ]
    if not steps and rate_hz is None:
        blocks = [values[:1] for values in blocks]
    step_ns = float(np.median(steps)) if steps else 1e9 / (rate_hz or 1.0)
    counts = [len(values) for values in blocks]
    of = np.repeat(np.arange(len(blocks)), counts)
    within = np.concatenate([np.arange(n) for n in counts]) if counts else np.empty(0)
    starts = np.array([s.time.bus_ns for s in samples], dtype=np.int64)
    times = starts[of] + np.rint(within * step_ns).astype(np.int64)
    order = np.argsort(times, kind="stable")
    values = np.concatenate(blocks).astype(np.float64) if blocks else np.empty(0)
    return times[order], values[order], of[order]


def _errors(samples: Sequence[Sample]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    err = [np.nan if s.time.err_ns is None else s.time.err_ns for s in samples]
    bound = [np.nan if s.time.bound_ns is None else s.time.bound_ns for s in samples]
    return np.array(err, dtype=np.float64), np.array(bound, dtype=np.float64)
