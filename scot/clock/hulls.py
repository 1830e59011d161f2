"""Convex hulls of limits, the line that runs widest between two of them, and all that run there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]


def hull(points: list[Point], *, lower: bool) -> list[Point]:
    """Return the lower (or upper) convex hull of points that come in order of x.

    Andrew's monotone chain; of points with the same x the outermost stays.
    """
    sign = 1 if lower else -1
    chain: list[Point] = []
    for x, y in points:
        if chain and chain[-1][0] == x:
            if sign * (y - chain[-1][1]) >= 0:
                continue
            chain.pop()
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2], chain[-1]
            if sign * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def widest(upper: list[Point], lower: list[Point], limit: float) -> float:
    """Return the slope, within ±limit, at which the gap between two hulls is widest.

    The gap is concave and piecewise linear in the slope; its derivative changes sign where the
    supporting points of the two hulls change places in x, so walking both hulls finds it.

    Args:
        upper: a lower hull of upper limits, in order of x.
        lower: an upper hull of lower limits, in order of x.
        limit: greatest slope allowed, either way.
    """
    i, j = 0, len(lower) - 1  # supports at slope −∞: the leftmost above, the rightmost below
    while True:
        if upper[i][0] >= lower[j][0]:
            break
        right = _slope(upper, i, i + 1) if i + 1 < len(upper) else None
        left = _slope(lower, j - 1, j) if j > 0 else None
        if right is None and left is None:
            break
        if left is None or (right is not None and right <= left):
            i += 1
            slope = right
        else:
            j -= 1
            slope = left
        if upper[i][0] >= lower[j][0]:
            return max(-limit, min(limit, slope or 0.0))
    if len(upper) == 1 and len(lower) == 1:
        return 0.0
    return max(-limit, min(limit, _between(upper, i, lower, j)))


def _slope(points: list[Point], a: int, b: int) -> float:
    return (points[b][1] - points[a][1]) / (points[b][0] - points[a][0])


def _between(upper: list[Point], i: int, lower: list[Point], j: int) -> float:
    """Return a slope at which both points support their hulls, when they already lie in order."""
    low = max(
        _slope(upper, i - 1, i) if i else -1.0,
        _slope(lower, j, j + 1) if j + 1 < len(lower) else -1.0,
    )
    high = min(
        _slope(upper, i, i + 1) if i + 1 < len(upper) else 1.0,
        _slope(lower, j - 1, j) if j else 1.0,
    )
    return (low + high) / 2


@dataclass(frozen=True)
class Between:
    """All lines that keep every limit: their slopes, and their heights at x = 0."""

    least_slope: float
    greatest_slope: float
    bottom: float
    top: float


def between(
    upper: Sequence[Point], lower: Sequence[Point], limit: float, wander: float
) -> Between | None:
    """Return what the curves that run below `upper` and above `lower` have in common, if any do.

    A curve may have any slope within ±limit at x = 0, and any other by at most `wander` before.

    Args:
        upper: limits from above at x ≤ 0, in whole ns, which may be off by one.
        lower: limits from below, likewise.
        limit: greatest slope.
        wander: how far a slope may have been from the one at x = 0.
    """
    xu, yu = np.array(upper, dtype=np.float64).T
    xl, yl = np.array(lower, dtype=np.float64).T
    yu, yl = yu - wander * xu + 1, yl + wander * xl - 1
    greatest = _greatest(xu, yu, xl, yl, limit)
    against_least = _greatest(-xu, yu, -xl, yl, limit)
    if greatest is None or against_least is None or -against_least > greatest:
        return None
    least = -against_least
    bottom, top = float((yl - least * xl).max()), float((yu - greatest * xu).min())
    return Between(least, greatest, bottom, max(top, bottom))


def _greatest(
    xu: NDArray[np.float64],
    yu: NDArray[np.float64],
    xl: NDArray[np.float64],
    yl: NDArray[np.float64],
    limit: float,
) -> float | None:
    """Return the greatest slope within ±limit that leaves a gap.

    The gap is concave in the slope, so Newton's steps from outside never pass its last root.
    """
    slope = limit
    for _ in range(64):
        above, below = yu - slope * xu, yl - slope * xl
        i, j = above.argmin(), below.argmax()
        gap, rises = above[i] - below[j], xl[j] - xu[i]
        if gap >= 0:
            return slope
        if rises >= 0:
            return None
        slope -= float(gap / rises)
        if slope < -limit:
            return None
    return slope
