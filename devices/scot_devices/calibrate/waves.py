"""The lag between two waveforms, and when it is the body's and not a clock's.

Where a waveform changes fastest it beats: the R wave of an ECG, the upstroke of a pulse. How fast
it changes, squared and smoothed, is compared as the movement of a tool is (`lag`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from scot.channel import Channel
from scot_devices.calibrate.curves import Array, Movement, Track
from scot_devices.calibrate.lag import CalibrationError, Lag, find_lag

RANGE_S: Final = (-0.35, 0.65)
"""Shorter than the time between two beats, or each would fit its neighbour."""

GRID_HZ: Final = 125.0
_SMOOTH_S: Final = 0.02
_EVERY: Final = 2

_ECG: Final = "MDC_ECG_ELEC_POTL"
_PULSE: Final = ("MDC_PULS_OXIM_PLETH", "MDC_PRESS_BLD")


def wave_lag(first: tuple[Array, Array], second: tuple[Array, Array]) -> Lag:
    """Return how much later the second waveform beats than the first.

    Args:
        first: times in s, increasing, and values, both (n,).
        second: likewise.

    Raises:
        CalibrationError: too short, or they do not beat together.
    """
    begin_s, end_s = max(first[0][0], second[0][0]), min(first[0][-1], second[0][-1])
    grid = np.arange(begin_s, end_s, 1.0 / GRID_HZ)
    if grid.size < 2 * GRID_HZ:
        raise CalibrationError("the two waveforms have no time in common; look at `scot top`")
    own, other = _activity(*first, grid), _activity(*second, grid)
    steps = np.diff(np.cumsum(other)[::_EVERY])[:, None]
    track = Track(grid, np.cumsum(own)[:, None])
    return find_lag(track, Movement(grid[::_EVERY], steps), range_s=RANGE_S, min_speed=0.0)


def physiology(first: Channel, second: Channel) -> str:
    """Return why a lag between two waveforms is the body's own, or nothing when it is not.

    Two waveforms of the same quantity, such as two ECG leads, show the same event; a lag between
    them is the devices'. All others are apart in the body.
    """
    if first.code.startswith(_ECG) and second.code.startswith(_PULSE):
        return "pulse transit time: the heart's wave needs it to reach the sensor"
    if first.code.startswith(_PULSE) and second.code.startswith(_ECG):
        return "pulse transit time, seen from the sensor back to the heart"
    same = first.code == second.code or (
        first.code.startswith(_ECG) and second.code.startswith(_ECG)
    )
    if first.code and same and first.unit == second.unit:
        return ""
    return "two different quantities, whose lag the body makes"


def _activity(times_s: Array, values: Array, grid: Array) -> Array:
    """Return how fast a waveform changes at each point of a grid, squared, smooth, of mean 1."""
    slope = np.gradient(np.interp(grid, times_s, values))
    half = round(3 * _SMOOTH_S * GRID_HZ)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / (_SMOOTH_S * GRID_HZ)) ** 2)
    active: Array = np.convolve(slope**2, kernel / kernel.sum(), mode="same")
    mean = float(active.mean())
    if mean <= 1e-18:
        raise CalibrationError("one of the waveforms is flat; look at its electrode or sensor")
    return np.minimum(active / mean, 20.0)
