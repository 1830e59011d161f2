"""Limits on a clock's offset, the tightest of each stretch of time, and all lines they leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Cloud = tuple[Array, Array]  # times and limits, ns, in order of time
_ROOM = 256


class Envelope:
    """The tightest limit of each bin of a window, on one side.

    Tightest along a slope: a crystal of 200 ppm goes 750 µs in a bin of 3.75 s, and by height alone
    the end of the bin would always win.

    Args:
        window_s: length.
        bins: how many make the window.
        sign: 1 for limits from above, −1 for limits from below.
    """

    def __init__(self, window_s: float, bins: int, sign: int) -> None:
        self._window_ns = window_s * 1e9
        self._bin_ns = self._window_ns / bins
        self._sign = sign
        self._x, self._y = np.zeros(_ROOM), np.zeros(_ROOM)
        self._first = self._end = 0
        self._bin = -1.0

    def __len__(self) -> int:
        return self._end - self._first

    def clear(self) -> None:
        """Forget everything."""
        self._first = self._end = 0
        self._bin = -1.0

    def add(self, x: float, y: float, slope: float) -> None:
        """Take a limit; of two in a bin the one that is tighter along `slope` stays."""
        number = x // self._bin_ns
        last = self._end - 1
        if number == self._bin:
            rise = y - self._y[last] - slope * (x - self._x[last])
            if self._sign * rise < 0:
                self._x[last], self._y[last] = x, y
        else:
            self._bin = number
            if self._end == _ROOM:
                self._make_room()
            self._x[self._end], self._y[self._end] = x, y
            self._end += 1
        while x - self._x[self._first] > self._window_ns:
            self._first += 1

    def cloud(self) -> Cloud:
        """Return the limits in order of time; valid until the next `add`."""
        kept = slice(self._first, self._end)
        return self._x[kept], self._y[kept]

    def _make_room(self) -> None:
        count = len(self)
        for column in (self._x, self._y):
            column[:count] = column[self._first : self._end].copy()
        self._first, self._end = 0, count


@dataclass(frozen=True)
class Between:
    """All lines that keep every limit: their slopes, and their heights at x = 0."""

    least_slope: float
    greatest_slope: float
    bottom: float
    top: float


def between(
    above: Cloud,
    below: Cloud,
    limit: float,
    wander: float,
    near: tuple[float, float] | None = None,
) -> Between | None:
    """Return what the curves that run below `above` and above `below` have in common, if any do.

    A curve may have any slope within ±limit at x = 0, and another by at most `wander` at
    any other time.

    Args:
        above: limits from above, in whole ns, which may be off by one.
        below: limits from below, likewise.
        limit: greatest slope.
        wander: how far a slope may have been from the one at x = 0.
        near: slopes outside of which the search may begin, if they turn out to be outside.
    """
    (xu, yu), (xl, yl) = above, below
    yu, yl = yu + wander * np.abs(xu) + 1, yl - wander * np.abs(xl) - 1
    low, high = near or (-limit, limit)
    greatest = _greatest(xu, yu, xl, yl, limit, min(high, limit))
    if greatest is None:
        return None
    against_least = _greatest(-xu, yu, -xl, yl, limit, min(-low, limit))
    if against_least is None or -against_least > greatest:
        return None
    least = -against_least
    bottom, top = float((yl - least * xl).max()), float((yu - greatest * xu).min())
    return Between(least, greatest, bottom, max(top, bottom))


def _greatest(
    xu: Array, yu: Array, xl: Array, yl: Array, limit: float, start: float
) -> float | None:
    """Return the greatest slope within ±limit that leaves a gap.

    The gap is concave in the slope, so Newton's steps from outside never pass its last root. From
    a start that is not outside the search begins again at the limit. Where a step ends at the two
    limits that it began from, the gap is naught but for rounding, and no step would help it.
    """
    slope = start
    touched = (-1, -1)
    for _ in range(64):
        above, below = yu - slope * xu, yl - slope * xl
        i, j = int(above.argmin()), int(below.argmax())
        gap, rises = above[i] - below[j], xl[j] - xu[i]
        if slope == start < limit and (gap >= 0 or rises >= 0):
            start = slope = limit
            continue
        if gap >= 0 or touched == (i, j):
            return slope
        if rises >= 0:
            return None
        touched = i, j
        slope -= float(gap) / float(rises)
        if slope < -limit:
            return None
    return slope
