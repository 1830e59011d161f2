"""How much later one stream shows a movement than another: pure functions on arrays.

Plain cross-correlation of two speeds needs both on one grid, and throws direction away. Here the
video's own instants are kept. Between two frames it saw a displacement (many signals: how each part
of the picture moved); for a trial lag the tracker's displacement between the same two instants,
that much earlier, is read off a cubic through its poses. The lag at which the two sets of signals
share most is the answer: the least Wilks' lambda, that is the product of 1 - r² over their
canonical correlations (Hotelling, 1936). It needs no camera calibration, since any linear mixture
is allowed, and what moves for other reasons, such as breathing tissue, is projected out. The tool
covers now more, now less of a part of the picture, so the mixture may also change slowly. What
moves farther between two frames is measured less exactly and weighs less: most is learnt where the
tool turns round.

Both sides pass the same high-pass, so that slow movement that merely follows (an assistant's camera
after the tool) counts little. The error is the delete-one-block jackknife times
Student's t, a bit more than double: ten blocks do not know their own spread exactly.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from scot.errors import ScotError
from scot_devices.calibrate.curves import (
    Array,
    Mask,
    Movement,
    Track,
    gains,
    high_pass,
    moving_sum,
    read,
    slopes_of,
    smoothed,
)

MIN_SECONDS: Final = 20.0
MIN_SPEED: Final = 0.1
"""Of the tool's movement over half seconds, without its slow drift, root mean square, mm/s."""

MAX_ERR_S: Final = 0.010
RANGE_S: Final = (-0.3, 1.0)
GAP_S: Final = 0.1
"""Poses farther apart than this are not joined by a curve."""

FRAME_GAP_S: Final = 0.25
BLOCKS: Final = 10
STUDENT: Final = 2.262
"""Of `BLOCKS` - 1 degrees of freedom, 95 %."""


_COARSE_S: Final = 0.008
_FINE_S: Final = 0.001
_REACH_S: Final = 0.024
_CLOSE_S: Final = 0.0105
_ROUNDS: Final = 2
_APART_S: Final = 0.12
"""Half-width around the best lag within which another cannot be told from its flank."""

_SLOW_S: Final = 2.0
"""Width of the moving average that the high-pass takes off."""

_GAIN_S: Final = 6.0
"""How much of the tool a part of the picture shows may go up or down once in so long."""

_ROWS_EACH: Final = 12
"""At least so many intervals for each signal that is kept, and for each gain."""

_SURE: Final = 6.0
"""The best lag must stand out of the others by so many of their standard deviations."""

_RIVAL: Final = 0.75
_OUTLIER: Final = 2.5


class CalibrationError(ScotError):
    """No lag can be given; its line says what to do."""


class Lag(NamedTuple):
    """The answer.

    Attributes:
        lag_s: positive when the movement is seen that much later than the track has it.
        err_s: half-width that likely (95 %) holds the truth, from the jackknife.
        correlation: greatest canonical correlation at that lag, 0..1.
        seconds: of common movement that were used.
        intervals: how many.
    """

    lag_s: float
    err_s: float
    correlation: float
    seconds: float
    intervals: int


def find_lag(
    track: Track,
    seen: Movement,
    *,
    range_s: tuple[float, float] = RANGE_S,
    min_seconds: float = MIN_SECONDS,
    min_speed: float = MIN_SPEED,
    max_err_s: float = MAX_ERR_S,
) -> Lag:
    """Return how much later `seen` shows what `track` has.

    Raises:
        CalibrationError: too short, too little movement, or nothing in common.
    """
    _require_length(_both_s(track, seen), min_seconds)
    wide = _Pair.of(track, seen, range_s)
    _require_length(wide.seconds + range_s[1] - range_s[0], min_seconds)
    _require_speed(wide.speed(0.5 * sum(range_s)), min_speed)
    lags = np.arange(range_s[0], range_s[1] + _COARSE_S / 2, _COARSE_S)
    costs = np.array([wide.cost(lag) for lag in lags])
    best = _standing_out(lags, costs)
    fine_range = (best - _REACH_S, best + _REACH_S)
    near = _Pair.of(track, seen, (fine_range[0] - 0.01, fine_range[1] + 0.01))
    fine = np.arange(fine_range[0], fine_range[1] + _FINE_S / 2, _FINE_S)
    for _ in range(_ROUNDS):  # at a lag that is off, calming would draw the picture to that lag
        near.calm(best)
        best = near.best(fine[::2])
    near.calm(best)
    lag_s, err_s = _jackknifed(near, fine[np.abs(fine - best) < _CLOSE_S])
    if err_s > max_err_s:
        raise CalibrationError(
            f"the lag is only known to ± {err_s * 1e3:.0f} ms (limit {max_err_s * 1e3:.0f} ms); "
            "move the tool faster, to and fro, in the middle of the picture, and for longer"
        )
    return Lag(lag_s, err_s, near.correlation(lag_s), near.seconds, int(near.used.sum()))


class _Pair:
    """Both sides over the instants at which both are known for every lag of a range.

    Attributes:
        used: (m,), which intervals.
        seconds: their sum.
        other: (n, k), the seen movement, filtered, of unit covariance.
    """

    def __init__(self, track: Track, times_s: Array, used: Mask, steps: Array) -> None:
        self.track = smoothed(track)
        self.times_s = times_s
        self.used = used
        self.seconds = float(np.diff(times_s)[used].sum())
        self._slopes = slopes_of(self.track)
        middle_s = 0.5 * (times_s[:-1] + times_s[1:])[used]
        spare_s = _ROWS_EACH * track.values.shape[1] * self.seconds / len(middle_s)
        self._gains = gains(middle_s, max(_GAIN_S, spare_s))
        period_s = float(np.median(np.diff(times_s)))
        self._width = 2 * max(1, round(_SLOW_S / period_s / 2)) + 1
        self._raw = high_pass(steps, used, self._width)[used]
        self._seen = self._raw
        self._weight = np.ones((len(self._raw), 1))
        self.other = _whitened(self._seen)

    @classmethod
    def of(cls, track: Track, seen: Movement, range_s: tuple[float, float]) -> _Pair:
        """Return the pair for lags within `range_s`."""
        used = _known(track, seen, range_s)
        if used.sum() < 8 * _ROWS_EACH:
            raise CalibrationError(
                "the tool and the picture are hardly known at the same time; "
                "keep the tool's markers in the tracker's sight and begin again"
            )
        return cls(track, seen.times_s, used, np.nan_to_num(seen.steps))

    def moved(self, lag_s: float) -> Array:
        """Return the track's displacement over the used intervals, filtered, (n, d)."""
        steps = np.diff(read(self.track, self._slopes, self.times_s - lag_s), axis=0)
        return high_pass(steps, self.used, self._width)[self.used]

    def gained(self, lag_s: float) -> Array:
        """Return the same under each slow gain and the weight of each interval, (n, d * j)."""
        under = self.moved(lag_s)[:, :, None] * (self._weight * self._gains)[:, None, :]
        every: Array = under.reshape(len(under), -1)
        return every

    def calm(self, lag_s: float) -> None:
        """Draw in what lies far from what the track explains at a lag: glints, drops, bad frames.

        Of each signal, rests beyond `_OUTLIER` of their robust deviations are cut there (Huber).
        Intervals with larger movement are seen less exactly, and weigh less: the rests' square is
        taken to grow with that of the movement.
        """
        moved, seen = self.gained(lag_s), self._weight * self._raw
        for _ in range(2):
            explained = moved @ np.linalg.lstsq(moved, seen, rcond=None)[0]
            rest = self._weight * self._raw - explained
            limit = _OUTLIER * 1.4826 * np.median(np.abs(rest), axis=0)
            rest = np.clip(rest, -limit, limit)
            seen = explained + rest
        size, doubt = ((x / self._weight) ** 2 for x in (explained, rest))
        self._seen = seen / self._weight
        self._weight = _weights(size.sum(axis=1), doubt.sum(axis=1))
        self.other = _whitened(self._weight * self._seen)

    def best(self, lags: Array) -> float:
        """Return the lag of least cost, gains and weights included, between grid points."""
        inverse = np.linalg.pinv(self.other.T @ self.other, hermitian=True).astype(np.float64)
        costs = [
            _cost(moved.T @ moved, moved.T @ self.other, inverse)
            for moved in map(self.gained, lags.tolist())
        ]
        return _bottom(lags, np.array(costs))

    def speed(self, lag_s: float) -> float:
        """Return the root mean square of the track's movement over half seconds, a second."""
        width = max(1, self._width // 4)
        far = moving_sum(self.moved(lag_s), width) / width
        period_s = float(np.median(np.diff(self.times_s)))
        return float(np.sqrt(np.mean(np.sum(far**2, axis=1)))) / period_s

    def cost(self, lag_s: float) -> float:
        """Return the logarithm of Wilks' lambda at a lag: 0 without anything in common."""
        return float(np.sum(np.log1p(-self._squares(lag_s))))

    def correlation(self, lag_s: float) -> float:
        """Return the greatest canonical correlation at a lag."""
        return float(np.sqrt(self._squares(lag_s).max()))

    def _squares(self, lag_s: float) -> Array:
        """Return the squared canonical correlations at a lag, below 1."""
        shared = _whitened(self.moved(lag_s)).T @ self.other / len(self.other)
        return np.clip(np.linalg.eigvalsh(shared @ shared.T), 0.0, 1.0 - 1e-9)


def _whitened(values: Array) -> Array:
    """Return the strongest principal parts of the columns, of unit covariance, (n, k).

    Raises:
        CalibrationError: nothing moves.
    """
    values = values - values.mean(axis=0)
    sizes, axes = np.linalg.eigh(values.T @ values / len(values))
    keep = min(int(np.sum(sizes > 1e-9 * sizes[-1])), len(values) // _ROWS_EACH)
    if keep < 1 or sizes[-1] <= 1e-18:
        raise CalibrationError("nothing moves; move the tool to and fro in the picture")
    white: Array = values @ (axes[:, -keep:] / np.sqrt(sizes[-keep:]))
    return white


def _known(track: Track, seen: Movement, range_s: tuple[float, float]) -> Mask:
    """Return which intervals can be used at every lag of the range, (m,).

    Left out are frames that were missed, steps that are not known or wildly larger than the rest,
    and those for which the tool may have been hidden.
    """
    begin_s = seen.times_s[:-1] - range_s[1] - GAP_S / 2
    end_s = seen.times_s[1:] - range_s[0] + GAP_S / 2
    # Intervals of the track without a hole: how many holes lie before either end.
    holes = np.concatenate([[0], np.cumsum(np.diff(track.times_s) > GAP_S)])
    first = np.searchsorted(track.times_s, begin_s, side="right") - 1
    last = np.searchsorted(track.times_s, end_s, side="left")
    inside = (first >= 0) & (last < track.times_s.size)
    top = track.times_s.size - 1
    whole = holes[np.clip(first, 0, top)] == holes[np.clip(last, 0, top)]
    period_s = np.diff(seen.times_s)
    steady = (period_s > 0) & (period_s < FRAME_GAP_S)
    size = np.sqrt(np.nansum(seen.steps**2, axis=1))
    large = float(np.percentile(size, 95)) if size.size else 0.0
    calm = np.isfinite(seen.steps).all(axis=1) & (size <= 10.0 * large + 1e-12)
    used: Mask = inside & whole & steady & calm
    return used


def _standing_out(lags: Array, costs: Array) -> float:
    """Return the lag of least cost.

    Raises:
        CalibrationError: it is no better than chance, at the edge, or not the only one.
    """
    at = int(costs.argmin())
    best = float(lags[at])
    far = np.abs(lags - best) > _APART_S
    usual = float(np.median(costs[far]))
    spread = 1.4826 * float(np.median(np.abs(costs[far] - usual))) + 1e-9
    depth = usual - float(costs[at])
    if depth < _SURE * spread or depth < 0.05:
        raise CalibrationError(
            "the picture does not follow the tool; move it in the middle of the picture, hold the "
            "scope still, and check that it is the tool the tracker sees"
        )
    if at in (0, lags.size - 1):
        raise CalibrationError(
            f"the lag is at the edge of what is searched ({lags[0]:g} to {lags[-1]:g} s); "
            "check the clocks of both devices with `scot top`"
        )
    low = far & (costs <= np.roll(costs, 1)) & (costs <= np.roll(costs, -1))
    low[[0, -1]] = False
    rival = float(np.max(usual - costs[low], initial=0.0))
    if rival > _RIVAL * depth:
        raise CalibrationError(
            "two lags fit almost equally well: the movement repeats itself; move irregularly, "
            "now fast, now slow, in changing directions"
        )
    return best


def _jackknifed(pair: _Pair, lags: Array) -> tuple[float, float]:
    """Return the lag of least cost between grid points, and its half-width of 95 %."""
    edges = np.linspace(0, len(pair.other), BLOCKS + 1).astype(int)
    blocks = [slice(a, b) for a, b in pairwise(edges)]
    others = np.array([pair.other[b].T @ pair.other[b] for b in blocks])
    inverse = [np.linalg.pinv(others.sum(axis=0) - part) for part in (0.0, *others)]
    costs = np.empty((BLOCKS + 1, lags.size))
    for column, lag in enumerate(lags):
        moved = pair.gained(float(lag))
        own = np.array([moved[b].T @ moved[b] for b in blocks])
        cross = np.array([moved[b].T @ pair.other[b] for b in blocks])
        for row in range(BLOCKS + 1):
            left = own.sum(axis=0) - (own[row - 1] if row else 0.0)
            both = cross.sum(axis=0) - (cross[row - 1] if row else 0.0)
            costs[row, column] = _cost(left, both, inverse[row])
    found = np.array([_bottom(lags, row) for row in costs])
    parts = found[1:]
    error = np.sqrt((BLOCKS - 1) / BLOCKS * np.sum((parts - parts.mean()) ** 2))
    return float(found[0]), float(STUDENT * error)


def _cost(own: Array, cross: Array, inverse: Array) -> float:
    """Return the logarithm of Wilks' lambda from sums of products.

    Args:
        own: (d, d), of the track's signals.
        cross: (d, k), of them with what is seen.
        inverse: (k, k), of the sum of products of what is seen.
    """
    shared = np.linalg.pinv(own, hermitian=True) @ cross @ inverse @ cross.T
    return float(np.linalg.slogdet(np.eye(len(shared)) - shared)[1])


def _weights(sizes: Array, doubts: Array) -> Array:
    """Return the weight of each interval, (n, 1), at most 1.

    Args:
        sizes: squared movement that is explained, (n,).
        doubts: squared rest, (n,); modelled as a constant and a share of `sizes`, both fitted to
            the means of eight groups of like size.
    """
    groups = np.array_split(np.argsort(sizes), 8)
    size, doubt = (np.array([values[g].mean() for g in groups]) for values in (sizes, doubts))
    slope = max(0.0, float(np.polyfit(size, doubt, 1, w=1.0 / np.maximum(doubt, 1e-12))[0]))
    still = max(float(doubt.min()) * 0.5, float(np.mean(doubt - slope * size)), 1e-12)
    weight: Array = np.sqrt(still / (still + slope * sizes))[:, None]
    return weight


def _bottom(lags: Array, costs: Array) -> float:
    """Return where a parabola through the least cost and its neighbours is lowest."""
    at = int(np.clip(costs.argmin(), 1, lags.size - 2))
    before, here, after = costs[at - 1 : at + 2]
    bend = before - 2.0 * here + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return float(lags[at] + np.clip(shift, -1.0, 1.0) * (lags[1] - lags[0]))


def _both_s(track: Track, seen: Movement) -> float:
    """Return for how long there is something of both."""
    if min(track.times_s.size, seen.times_s.size) < 2:
        return 0.0
    begin_s = max(track.times_s[0], seen.times_s[0])
    return max(0.0, float(min(track.times_s[-1], seen.times_s[-1]) - begin_s))


def _require_length(seconds: float, limit_s: float) -> None:
    if seconds < limit_s:
        raise CalibrationError(
            f"only {seconds:.0f} s of common movement (at least {limit_s:.0f} s); "
            "go on for a minute, with the tool in sight of the tracker and of the scope"
        )


def _require_speed(speed: float, limit: float) -> None:
    if speed < limit:
        raise CalibrationError(
            f"the tool moved at only {speed:.1f} mm/s (at least {limit:g} mm/s); "
            "move it to and fro by a centimetre, two or three times a second"
        )
