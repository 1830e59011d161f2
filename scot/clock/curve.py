"""The curve that most likely runs between limits from above and limits from below.

Near the envelope limits lie as raindrops do: how many fall in a strip under it depends only on the
strip's area. So of two curves that keep every limit, the one that leaves the greater area between
them is the likelier, by e for each mean `spacing` of the limits; how thin the limits are on one
side says how much that side is worth. Curves are parabolas in Legendre form,
θ = a + b·u + c·(u² − 1/3) with u from −1 to 1 over the window, whose mean height is a, and the
curvature has a prior: what the crystal's warmth has done so far. Offset, skew and their spread are
the means of a grid over (b, c), which moves and scales itself to where the weight is.

Only sums, products, quotients, square roots and minima are used, no exp, no BLAS: the same limits
give the same bits on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_B = np.linspace(-3.0, 3.0, 9)
_C = np.linspace(-3.0, 3.0, 7)
_TRIES = 12
FLOOR_NS = 50.0
RANK = 6
FEW = 6


@dataclass(frozen=True)
class Prior:
    """What is thought of a crystal before its limits are seen.

    Attributes:
        skew, skew_sd: frequency error in the middle of the window.
        bend_sd: of the frequency's change, in 1/ns.
    """

    skew: float
    skew_sd: float
    bend_sd: float


@dataclass(frozen=True)
class Grid:
    """Where the weight was: middles and scales of both axes, per ns of half a window."""

    b: float
    b_wide: float
    c: float
    c_wide: float


@dataclass(frozen=True)
class Curve:
    """What a window of limits says of the offset at its newest end; ns.

    Attributes:
        middle, sd: offset half way between both envelopes, and its spread.
        skew, skew_sd: slope there.
        bend, bend_sd: curvature, 1/ns.
        top, bottom: the envelopes there.
        spacing: mean distance of limits near the envelopes, above and below.
        span_ns: length of the window.
        grid: to begin with next time.
    """

    middle: float
    sd: float
    skew: float
    skew_sd: float
    bend: float
    bend_sd: float
    top: float
    bottom: float
    spacing: tuple[float, float]
    span_ns: float
    grid: Grid

    def after(self, ns: float) -> Curve:
        """Return the same curve, seen from a little later."""
        rise = (self.skew + self.bend * ns / 2) * ns
        return replace(
            self,
            middle=self.middle + rise,
            sd=self.sd + self.skew_sd * ns,
            skew=self.skew + self.bend * ns,
            top=self.top + rise,
            bottom=self.bottom + rise,
        )


def spacing(residual: Array) -> float:
    """Return the mean distance between the limits that lie nearest to the envelope, ns.

    About two of them lie on the curve itself, which they made. Of very few all may, and their
    whole spread says more.
    """
    count = len(residual)
    least = float(residual.min())
    if count < FEW:
        return max(FLOOR_NS, (float(residual.max()) - least) / (2 * count))
    rank = min(RANK, max(FEW // 2, count // 3))
    near = float(np.partition(residual, rank)[rank]) - least
    return max(FLOOR_NS, near / (rank - 1))


def _scale(scale: float, off: float, spread: float) -> float:
    """Return the scale of an axis for the next try: wider when the weight is at its edge."""
    if off > 2 * scale:
        return 4 * scale
    return min(max(spread, scale / 4), 2 * scale)


def _weights(fit: Array) -> Array:
    """Return exp(fit), nearly, scaled to a sum of one.

    (1 + x / 64)⁶⁴ has the same bits everywhere, exp has not.
    """
    weight: Array = 1.0 + np.minimum(fit.max() - fit, 1e4) / 64
    for _ in range(6):
        weight *= weight
    np.divide(1.0, weight, out=weight)
    weight /= weight.sum()
    return weight


class _Sides(NamedTuple):
    """Both clouds in the window's own units: u from −1 to 1, p = u² − 1/3, and the limits."""

    uu: Array
    pu: Array
    yu: Array
    ul: Array
    pl: Array
    yl: Array


class _Place(NamedTuple):
    """Where a grid lies: middles and scales of both axes, ns."""

    b: float
    b_wide: float
    c: float
    c_wide: float


class _Weighed(NamedTuple):
    """A grid and the weight of each of its curves, with the means and spreads of both axes."""

    b: Array
    c: Array
    top: Array
    bottom: Array
    spacing: tuple[float, float]
    weight: Array
    mean: tuple[float, float]
    spread: tuple[float, float]


def likeliest(
    above: tuple[Array, Array],
    below: tuple[Array, Array],
    now: float,
    prior: Prior,
    *,
    near: Grid | None = None,
    reach: float = 1.0,
) -> Curve:
    """Return the posterior mean of the curve between the limits (x, y) above and below.

    Args:
        above: times and limits from above, ns, in order of time.
        below: likewise from below.
        now: the time of the window's newest end.
        prior: of the crystal.
        near: where the weight lay one probe ago.
        reach: where in the window the answer is wanted: 1 its end, 0 its middle.
    """
    (xu, yu), (xl, yl) = above, below
    first = float(min(xu[0], xl[0]))
    half = max(float(now - first) / 2, 1.0)
    uu, ul = (xu - first) / half - 1.0, (xl - first) / half - 1.0
    sides = _Sides(uu, uu * uu - 1 / 3, yu, ul, ul * ul - 1 / 3, yl)
    believed = _Place(prior.skew * half, prior.skew_sd * half, 0.0, prior.bend_sd * half * half / 2)
    place = believed
    if near is not None:
        c, c_wide = near.c * half * half, near.c_wide * half * half
        place = _Place(near.b * half, near.b_wide * half, c, c_wide)
    for _ in range(_TRIES):
        found = _weighed(sides, place, believed)
        place, well = _moved(place, found)
        if well:
            break
    return _mean(found, place, half, reach)


def _weighed(sides: _Sides, place: _Place, believed: _Place) -> _Weighed:
    """Weigh the curves of one grid."""
    uu, pu, yu, ul, pl, yl = sides
    b0, sb, c0, sc = place
    su = spacing(yu - b0 * uu - c0 * pu)
    sl = spacing(b0 * ul + c0 * pl - yl)
    b, c = b0 + sb * _B, c0 + sc * _C
    top = ((yu - b[:, None] * uu)[:, None, :] - (c[:, None] * pu)[None, :, :]).min(axis=2)
    bottom = ((yl - b[:, None] * ul)[:, None, :] - (c[:, None] * pl)[None, :, :]).max(axis=2)
    zb, zc = (b - believed.b) / believed.b_wide, c / believed.c_wide
    fit = top / su - bottom / sl - (zb * zb / 2)[:, None] - (zc * zc / 2)[None, :]
    weight = _weights(fit)
    wb, wc = weight.sum(axis=1), weight.sum(axis=0)
    mb, mc = float((wb * b).sum()), float((wc * c).sum())
    vb = sqrt(float((wb * (b - mb) ** 2).sum()))
    vc = sqrt(float((wc * (c - mc) ** 2).sum()))
    return _Weighed(b, c, top, bottom, (su, sl), weight, (mb, mc), (vb, vc))


def _moved(place: _Place, found: _Weighed) -> tuple[_Place, bool]:
    """Return where the grid should lie next, and whether it lay well enough."""
    b0, sb, c0, sc = place
    (mb, mc), (vb, vc) = found.mean, found.spread
    well = abs(mb - b0) < sb and abs(mc - c0) < sc
    well = well and 0.5 * sb < vb < 1.6 * sb and 0.5 * sc < vc < 1.6 * sc
    return _Place(mb, _scale(sb, abs(mb - b0), vb), mc, _scale(sc, abs(mc - c0), vc)), well


def _mean(found: _Weighed, place: _Place, half: float, reach: float) -> Curve:
    """Return the mean of the weighed curves at `reach`."""
    b, c, top, bottom, (su, sl), weight, (mb, mc), (vb, vc) = found
    height = b[:, None] * reach + (c * (reach * reach - 1 / 3))[None, :]
    centre = (top + bottom) / 2 + height
    middle = float((weight * centre).sum())
    spread = float((weight * (centre - middle) ** 2).sum())
    return Curve(
        middle=middle + (sl - su) / 2,
        sd=sqrt(spread + (su * su + sl * sl) / 4),
        skew=float((mb + 2 * mc * reach) / half),
        skew_sd=sqrt(vb * vb + 4 * vc * vc * reach * reach) / half,
        bend=2 * mc / (half * half),
        bend_sd=2 * vc / (half * half),
        top=float((weight * (top + height)).sum()),
        bottom=float((weight * (bottom + height)).sum()),
        spacing=(su, sl),
        span_ns=2 * half,
        grid=Grid(place.b / half, place.b_wide / half, place.c / half**2, place.c_wide / half**2),
    )
