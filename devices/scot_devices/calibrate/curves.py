"""Curves through a track, and the filters both sides of a comparison pass: pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEAR: Final = 5
"""Points on either side that the smoothing takes in."""


@dataclass(frozen=True)
class Track:
    """Where something was.

    Attributes:
        times_s: (n,), increasing.
        values: (n, d), any unit; of poses mm.
    """

    times_s: Array
    values: Array


@dataclass(frozen=True)
class Movement:
    """What was seen to move between instants.

    Attributes:
        times_s: (m + 1,), increasing: the instants.
        steps: (m, k): displacement between each and the next, any unit, nan if not known.
    """

    times_s: Array
    steps: Array


def smoothed(track: Track) -> Track:
    """Return the track on a grid four times as fine, by local lines under a Gaussian.

    The Gaussian is one interval wide. Plain interpolation averages noise between two points and
    keeps it at them; where the rates of both streams are multiples, the best lag would then lock
    to the points' spacing. Under this one the noise is the same at every instant.
    """
    period_s = float(np.median(np.diff(track.times_s)))
    grid = np.arange(track.times_s[0], track.times_s[-1], period_s / 4)
    nearest = np.searchsorted(track.times_s, grid)[:, None] + np.arange(-NEAR, NEAR)
    inside = (nearest >= 0) & (nearest < track.times_s.size)
    nearest = np.clip(nearest, 0, track.times_s.size - 1)
    away = (track.times_s[nearest] - grid[:, None]) / period_s
    weight = np.where(inside, np.exp(-0.5 * np.minimum(away**2, 60.0)), 0.0)
    whole, first, second = (np.sum(weight * away**k, axis=1) for k in (0, 1, 2))
    level = weight * (second[:, None] - first[:, None] * away)
    level /= np.maximum(whole * second - first**2, 1e-300)[:, None]
    return Track(grid, np.einsum("gn,gnd->gd", level, track.values[nearest]))


def high_pass(steps: Array, used: Mask, width: int) -> Array:
    """Return the steps less their moving average over `width` of those that are used, (m, k)."""
    weight = moving_sum(used.astype(np.float64)[:, None], width)
    mean = moving_sum(np.where(used[:, None], steps, 0.0), width) / np.maximum(weight, 1.0)
    return steps - mean


def moving_sum(values: Array, width: int) -> Array:
    """Return the sum of the `width` rows around each row, fewer at the ends."""
    half = width // 2
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    row = np.arange(len(values))
    summed: Array = (
        total[np.minimum(row + half + 1, len(values))] - total[np.maximum(row - half, 0)]
    )
    return summed


def slopes_of(track: Track) -> Array:
    """Return the derivative at each point of the track, by second-order differences, (n, d)."""
    slopes: Array = np.gradient(track.values, track.times_s, axis=0)
    return slopes


def read(track: Track, slopes: Array, at_s: Array) -> Array:
    """Return the track at instants, by cubic Hermite pieces, (m, d); held beyond its ends."""
    times_s, values = track.times_s, track.values
    at_s = np.clip(at_s, times_s[0], times_s[-1])
    left = np.clip(np.searchsorted(times_s, at_s, side="right") - 1, 0, times_s.size - 2)
    span = times_s[left + 1] - times_s[left]
    u = ((at_s - times_s[left]) / span)[:, None]
    width = span[:, None]
    back = 1.0 - u
    curve: Array = (
        (1.0 + 2.0 * u) * back**2 * values[left]
        + u * back**2 * width * slopes[left]
        + u**2 * (3.0 - 2.0 * u) * values[left + 1]
        - u**2 * back * width * slopes[left + 1]
    )
    return curve


def gains(at_s: Array, every_s: float) -> Array:
    """Return slow curves that a gain is made of, (n, j): cosines, and two ramps for its ends.

    Args:
        at_s: (n,), increasing.
        every_s: the fastest of them goes up or down once in so long.
    """
    along = (at_s - at_s[0]) / max(float(at_s[-1] - at_s[0]), 1e-9)
    count = 1 + max(0, round(float(at_s[-1] - at_s[0]) / every_s))
    waves = np.cos(np.pi * np.outer(along, np.arange(count)))
    ramps = np.array([along, along**2]).T if count > 2 else np.empty((along.size, 0))
    curves: Array = np.hstack([waves, ramps])
    return curves
