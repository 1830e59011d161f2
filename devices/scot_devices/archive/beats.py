"""The numbers a monitor shows, measured on the last seconds of a waveform.

Pure functions over a window: (n,) float samples and their rate in, readings out, None where the
window does not hold enough to say. They find beats and breaths by shape and by size relative to
the window itself, so that gain, lead and polarity do not matter. NaN marks a missing sample.

Sources: Pan and Tompkins 1985 (energy of the differentiated ECG), Zong et al. 2003 (slope sum of
the pressure's upstroke).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]
Indices = NDArray[np.intp]

REFRACTORY_S: Final = 0.26
"""No heart beats twice within this time (230 /min)."""


@dataclass(frozen=True)
class Pressure:
    """Means over the whole beats of a window, in the wave's unit; `rate_min` is the pulse."""

    sys: float
    dia: float
    mean: float
    rate_min: float


def _moving_mean(x: Wave, n: int) -> Wave:
    """Centred mean over `n` samples; edges see fewer."""
    kernel = np.ones(max(n, 1))
    weight = np.convolve(np.ones(x.size), kernel, "same")
    mean: Wave = np.convolve(x, kernel, "same") / weight
    return mean


def _filled(x: Wave) -> Wave | None:
    """The window with short holes bridged; None when more than a fifth is missing."""
    good = np.isfinite(x)
    if x.size == 0 or np.count_nonzero(good) < 0.8 * x.size:
        return None
    if good.all():
        return x
    at = np.arange(x.size)
    return np.interp(at, at[good], x[good])


def _tops(strength: Wave, threshold: float, apart: int) -> Indices:
    """Largest place of each stretch above `threshold`, at least `apart` samples from the last."""
    above = np.concatenate([[False], strength > threshold, [False]])
    edges = np.flatnonzero(above[1:] != above[:-1])
    found: list[int] = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        top = int(begin + np.argmax(strength[begin:end]))
        if found and top - found[-1] < apart:
            if strength[top] > strength[found[-1]]:
                found[-1] = top
        else:
            found.append(top)
    return np.array(found, dtype=np.intp)


def _typical_top(strength: Wave, rate_hz: float) -> float:
    """Median over 1.5 s pieces of each piece's largest value: one artefact cannot move it."""
    piece = max(1, round(1.5 * rate_hz))
    count = max(1, strength.size // piece)
    return float(np.median([part.max() for part in np.array_split(strength, count)]))


def qrs_complexes(ecg: Wave, rate_hz: float) -> Indices:
    """Return the sample of each QRS complex: the steepest energy, to some 20 ms.

    Args:
        ecg: (n,) at least 2 s, any unit, lead and polarity.
        rate_hz: 100 or more.
    """
    x = _filled(ecg)
    if x is None or x.size < 2 * rate_hz:
        return np.array([], dtype=np.intp)
    band = _moving_mean(x, round(0.016 * rate_hz)) - _moving_mean(x, round(0.11 * rate_hz))
    energy = _moving_mean(band**2, round(0.09 * rate_hz))
    typical = _typical_top(energy, rate_hz)
    quiet = max(10.0 * float(np.percentile(energy, 20.0)), 0.003 * float(np.var(x)), 1e-12)
    if typical <= quiet:
        return np.array([], dtype=np.intp)
    return _tops(energy, 0.28 * typical, round(REFRACTORY_S * rate_hz))


def heart_rate(ecg: Wave, rate_hz: float) -> float | None:
    """Return beats a minute over a window of 3 s or more; None when fewer than three beats show."""
    beats = qrs_complexes(ecg, rate_hz)
    if beats.size < 3:
        return None
    return 60.0 * rate_hz / float(np.mean(np.diff(beats)))


def upstrokes(pulse: Wave, rate_hz: float) -> Indices:
    """Return the foot of each pulse wave (arterial pressure or pleth) in the window.

    Args:
        pulse: (n,) at least 2 s, any unit.
        rate_hz: 50 or more.
    """
    x = _filled(pulse)
    if x is None or x.size < 2 * rate_hz:
        return np.array([], dtype=np.intp)
    x = _moving_mean(x, max(1, round(0.03 * rate_hz)))
    window = round(0.13 * rate_hz)
    rise = np.maximum(np.diff(x, prepend=x[0]), 0.0)
    slope_sum = np.convolve(rise, np.ones(window))[: x.size]
    typical = _typical_top(slope_sum, rate_hz)
    if typical <= 4.0 * float(np.median(slope_sum)) or typical < 1e-9:
        return np.array([], dtype=np.intp)
    tops = _tops(slope_sum, 0.38 * typical, round(REFRACTORY_S * rate_hz))
    reach = round(0.2 * rate_hz)
    feet = [
        int(top) - reach + int(np.argmin(x[top - reach : top + 1])) for top in tops if top >= reach
    ]
    return np.array(feet, dtype=np.intp)


def pressure(art: Wave, rate_hz: float) -> Pressure | None:
    """Measure the whole beats of a pressure window of 3 s or more.

    Returns:
        Systolic, diastolic and time-averaged mean over whole beats, and the pulse rate; None when
        the window holds fewer than two whole beats (flat line, flush, disconnected).
    """
    x = _filled(art)
    feet = upstrokes(art, rate_hz)
    if x is None or feet.size < 3:
        return None
    beats = [x[a:b] for a, b in pairwise(feet)]
    low = np.array([x[max(0, a - 2) : a + 3].min() for a in feet])
    return Pressure(
        sys=float(np.mean([beat.max() for beat in beats])),
        dia=float(low.mean()),
        mean=float(x[feet[0] : feet[-1]].mean()),
        rate_min=60.0 * rate_hz * (feet.size - 1) / float(feet[-1] - feet[0]),
    )


def breath_starts(wave: Wave, rate_hz: float) -> Indices:
    """Return where the wave rises through its middle, once a breath, however it ripples between.

    A breath must swing over half of the window's range (5th to 95th percentile): capnogram,
    impedance and airway pressure all do, the heart's ripple on them does not.
    """
    x = _filled(wave)
    if x is None or x.size < 4 * rate_hz:
        return np.array([], dtype=np.intp)
    x = _moving_mean(x, round(0.15 * rate_hz))
    low, high = np.percentile(x, [5.0, 95.0])
    if high - low < 1e-6:
        return np.array([], dtype=np.intp)
    side = np.where(
        x > low + 0.70 * (high - low), 1, np.where(x < low + 0.30 * (high - low), -1, 0)
    )
    known = np.flatnonzero(side)
    rising = np.flatnonzero((side[known][:-1] < 0) & (side[known][1:] > 0))
    return known[rising + 1]


def breath_rate(wave: Wave, rate_hz: float) -> float | None:
    """Return breaths a minute over a window of 15 s or more; None when fewer than two show."""
    starts = breath_starts(wave, rate_hz)
    if starts.size < 2:
        return None
    return 60.0 * rate_hz * (starts.size - 1) / float(starts[-1] - starts[0])


def end_tidal(co2: Wave, rate_hz: float) -> float | None:
    """Return the highest CO2 of the last whole breath, in the wave's unit; None without one."""
    starts = breath_starts(co2, rate_hz)
    if starts.size < 2:
        return None
    return float(np.nanmax(co2[starts[-2] : starts[-1]]))
