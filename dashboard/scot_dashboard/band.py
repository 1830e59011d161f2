"""How well each device's time was known, second by second: the ± band of the scrubber.

No I/O, no clock; every time is bus ns. Errors are ms; NaN stands for "no sample", infinity for a
sample whose error nobody knows.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

SECOND_NS = 1_000_000_000
HOUR_S = 3600
MAX_HOURS = 72


class Errors:
    """The worst likely error of one device in each second; the oldest hours are forgotten."""

    def __init__(self) -> None:
        self._hours: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._last = (-1, 0.0)  # second, its error

    def mark(self, bus_ns: int, err_ns: int | None) -> None:
        """Take the time of one sample."""
        second = bus_ns // SECOND_NS
        err_ms = math.inf if err_ns is None else err_ns / 1e6
        if second == self._last[0] and err_ms <= self._last[1]:
            return
        hour, place = divmod(second, HOUR_S)
        errors = self._hours.get(hour)
        if errors is None:
            errors = self._hours[hour] = np.full(HOUR_S, np.nan, np.float32)
            while len(self._hours) > MAX_HOURS:
                del self._hours[min(self._hours)]
        errors[place] = np.fmax(errors[place], err_ms)
        self._last = (second, float(errors[place]))

    def bins(self, from_ns: int, to_ns: int, count: int) -> NDArray[np.float64]:
        """Return the worst error of each bin, ms (count,)."""
        worst = np.full(count, np.nan)
        for index in range(count):
            start_ns = from_ns + index * (to_ns - from_ns) // count
            end_ns = from_ns + (index + 1) * (to_ns - from_ns) // count
            start_s = start_ns // SECOND_NS
            worst[index] = self._worst(start_s, max(start_s + 1, -(-end_ns // SECOND_NS)))
        return worst

    def _worst(self, start_s: int, end_s: int) -> float:
        hours = range(start_s // HOUR_S, (end_s - 1) // HOUR_S + 1)
        worst = math.nan
        for hour in hours if len(hours) < len(self._hours) else self._hours:
            errors = self._hours.get(hour)
            if errors is not None and hour in hours:
                base = hour * HOUR_S
                part = errors[max(0, start_s - base) : min(HOUR_S, end_s - base)]
                worst = float(np.fmax(worst, np.fmax.reduce(part)))
        return worst


def worst_of(bins: list[NDArray[np.float64]], count: int) -> list[float | None]:
    """Return the worst of several devices in each bin, ms; None where there was no sample."""
    worst = np.full(count, np.nan)
    for one in bins:
        worst = np.fmax(worst, one)
    return [None if np.isnan(value) else round(float(value), 3) for value in worst]
