"""From probes to a clock's offset and skew, with a bound that holds.

Each exchange says two things for certain. With θ(t) = broker − client: t2 − t1 = θ + (delay
there) is never below θ, and t3 − t4 = θ − (delay back) is never above it. So there are two clouds
of limits, and θ runs between them.

* **Curve**: the parabola that most likely runs between both clouds (`scot.clock.curve`). No delay
  is averaged, so congestion, which only pushes limits outward, does not move it.
* **Window**: a crystal's frequency wanders with its temperature, and no parabola follows that for
  ever; a short window is noisy. How thinly the limits lie near the envelope says how noisy; the
  window that balances both is used, out of `WINDOWS_S`.
* **Wander**: how fast the frequency changes is learnt from the curvatures found so far (an
  expectation-maximisation step for their variance), and says how far they are believed.
* **Bound**: of all lines that keep every limit of the window (a skew within `MAX_SKEW`, that was
  never off by more than `WANDER` from what it is now), the highest and the lowest at this instant
  are the guaranteed bound, and the steepest and the flattest say how fast it grows until the next
  probe. It needs no symmetry of the delays. The curve above is kept between them.
* **Likely error**: what no two-way exchange can see, an asymmetry of up to `ASYMMETRY` of half the
  shortest round trip, and the spread of the curve.
* **Step**: a step moves both limits by the same amount; congestion only pushes them apart. One
  limit must be inside the envelope of the longest window by more than its spacing explains, and
  the other outside by at least as much, which says something once the shortest delays have been
  seen (`SEASONED`). Less than `PLAIN_NS` needs two witnesses within `WITNESS_WITHIN` probes, who
  together say as much. A clock that reads less than `BACK_NS` before has stepped. When no line at
  all keeps every limit, a step is proved, perhaps in the middle of this very exchange, which then
  says nothing of the new epoch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from scot.clock.curve import Curve, Grid, Prior, likeliest
from scot.clock.hulls import Between, Cloud, Envelope, between
from scot.clock.probe import MAX_RTT_NS, Probe
from scot.timestamp import ClockState

WINDOWS_S = (2, 8, 15, 30, 60, 120)
BINS = 32
BACK_NS = float(MAX_RTT_NS)  # answers overtake one another by less
MAX_SKEW = 500e-6
WANDER = 20e-6
ASYMMETRY = 0.6
LOCK_AFTER = 8
SEASONED = 32
STEP_FLOOR_NS = 150_000.0
STEP_NOISE = 6.0
PLAIN_NS = 6_000_000.0
WITNESS_WITHIN = 20
REACH = 3.0  # spreads of the curve in a likely error; the simulated links need 2.8
LOOK_EVERY = 8
FIT_EVERY = 4
FAR = 8.0  # spacings from an envelope; a limit there says nothing of where it is
GAIN = 2.3
SKEW_PRIOR = 120e-6  # a crystal nobody knows
SKEW_KEPT = 10e-6  # a crystal that was known before it stepped
SWING = 0.012  # 1/s: frequency swings in some minutes
BEND = 3e-8  # 1/s: by 3 ppm, until more is known
BEND_LEAST, BEND_MOST = 1e-8, 1e-6
BEND_PACE = 0.1
NEAR = 40e-6


@dataclass(frozen=True)
class Line:
    """Offset (broker − client) = offset_ns + skew · (t − at_ns), t in client ns.

    Attributes:
        bound_ns: half-width that surely holds the truth at `at_ns`.
        err_ns: half-width that likely does.
        drift: by how much the bound grows in each ns after `at_ns`.
        err_drift: by how much the likely error does, while the frequency stays.
    """

    at_ns: int
    offset_ns: int
    skew: float
    bound_ns: int
    err_ns: int
    drift: float
    err_drift: float


class _Window:
    """The tightest limits of a window, from above and from below."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.above = Envelope(window_s, BINS, 1)
        self.below = Envelope(window_s, BINS, -1)
        self.grid: Grid | None = None

    def clear(self) -> None:
        self.above.clear()
        self.below.clear()
        self.grid = None


class Estimator:
    """Feed it one source's probes in order of arrival; read its line.

    Attributes:
        epoch: grows by one with each step of the source's clock.
        state: `converging` until eight probes of the epoch are in, then `locked`.
        line: the present estimate, None before the first probe.
        bend: how fast the frequency wanders, as learnt so far, 1/s.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.line: Line | None = None
        self.state = ClockState.CONVERGING
        self.bend = BEND
        self._windows = [_Window(window_s) for window_s in WINDOWS_S]
        self._rtt: deque[tuple[int, int]] = deque()
        self._curve: tuple[float, Curve] | None = None
        self._look: tuple[float, Curve] | None = None
        self._look_again = 0
        self._left_before: Between | None = None
        self._held = -2 * WITNESS_WITHIN
        self._witnesses: deque[tuple[int, float]] = deque()
        self._newest = 0.0
        self._count = 0
        self._skew = 0.0
        self._prior = (0.0, SKEW_PRIOR)
        self._base_ns = (0, 0)  # of client time and of offsets: differences are exact as floats

    def add(self, probe: Probe) -> Line:
        """Take one exchange and return the new line."""
        limits = self._limits(probe)
        stepped = self._stepped(*limits) or limits[1][0] < self._newest - BACK_NS
        if stepped:
            self._begin_anew()
        (xu, yu), (xl, yl) = self._limits(probe)
        left = self._left((xu, yu), (xl, yl))
        if left is None:
            if not stepped:
                self._begin_anew()
            return self._doubtful(probe)
        self._left_before = left
        self._newest = max(self._newest, xl)
        self._count += 1
        if self._count >= LOCK_AFTER:
            self.state = ClockState.LOCKED
        for window in self._windows:
            window.above.add(xu, yu, self._skew)
            window.below.add(xl, yl, self._skew)
        self.line = self._line(probe, self._fitted((xu, yu), (xl, yl)), left)
        return self.line

    def _limits(self, probe: Probe) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return what an exchange says of the offset from above and from below."""
        above_ns, below_ns = probe.t2_ns - probe.t1_ns, probe.t3_ns - probe.t4_ns
        if not self._count:
            self._base_ns = probe.t1_ns, above_ns
        from_ns, base_ns = self._base_ns
        return (
            (float(probe.t1_ns - from_ns), float(above_ns - base_ns)),
            (float(probe.t4_ns - from_ns), float(below_ns - base_ns)),
        )

    def _doubtful(self, probe: Probe) -> Line:
        """Return the line of an exchange during which the clock may have stepped."""
        middle_ns = (probe.t2_ns - probe.t1_ns + probe.t3_ns - probe.t4_ns) // 2
        drift = MAX_SKEW + WANDER
        return Line(probe.t4_ns, middle_ns, self._skew, MAX_RTT_NS, MAX_RTT_NS, drift, drift)

    def _line(self, probe: Probe, curve: Curve, left: Between) -> Line:
        """Return the fitted line, kept within what the limits leave."""
        self._skew = min(max(curve.skew, left.least_slope), left.greatest_slope)
        offset_ns = min(max(curve.middle, left.bottom), left.top)
        bound_ns = max(left.top - offset_ns, offset_ns - left.bottom)
        err_ns = ASYMMETRY * self._shortest(probe) / 2 + REACH * curve.sd
        if self._count < LOCK_AFTER:
            err_ns = bound_ns  # how the limits lie is not known yet
        slack = max(left.greatest_slope - self._skew, self._skew - left.least_slope)
        return Line(
            probe.t4_ns,
            round(offset_ns) + self._base_ns[1],
            self._skew,
            round(bound_ns) + 1,
            round(min(err_ns, bound_ns)),
            slack + WANDER,
            min(REACH * curve.skew_sd, slack + WANDER),
        )

    def _left(self, upper: tuple[float, float], lower: tuple[float, float]) -> Between | None:
        """Return what all limits, and these two, leave open; None when they contradict."""
        now, before = lower[0], self._left_before
        near = (before.least_slope - NEAR, before.greatest_slope + NEAR) if before else None
        longest, shortest = self._windows[-1], self._windows[1]
        return between(
            _joined(longest.above.cloud(), shortest.above.cloud(), upper, now),
            _joined(longest.below.cloud(), shortest.below.cloud(), lower, now),
            MAX_SKEW,
            WANDER,
            near,
        )

    def _begin_anew(self) -> None:
        """Begin a new epoch; the crystal, and so its skew and its wander, are the same."""
        if self._count >= SEASONED:
            kept = self._curve[1].skew_sd if self._curve else SKEW_PRIOR
            self._prior = (self._skew, min(SKEW_KEPT + 2 * kept, SKEW_PRIOR))
        self.epoch += 1
        for window in self._windows:
            window.clear()
        self._rtt.clear()
        self._newest = 0.0
        self._count = 0
        self._held = -2 * WITNESS_WITHIN
        self._witnesses.clear()
        self._curve = None
        self._look = None
        self._look_again = 0
        self._left_before = None
        self.line = None
        self.state = ClockState.CONVERGING

    def _fitted(self, upper: tuple[float, float], lower: tuple[float, float]) -> Curve:
        """Return the curve at the newest probe: the last one, unless this probe has a say."""
        now = lower[0]
        if self._curve is not None and self._count > SEASONED and self._count % FIT_EVERY:
            at, curve = self._curve
            after = curve.after(now - at)
            high = upper[1] - curve.after(upper[0] - at).top
            low = after.bottom - lower[1]
            if high > FAR * curve.spacing[0] and low > FAR * curve.spacing[1]:
                return after
        curve = self._chosen(now)
        self._curve = now, curve
        return curve

    def _chosen(self, now: float) -> Curve:
        """Fit the window that balances noise against wander.

        Limits at a steady rate lie `spacing` apart near the envelope, which goes as 1 / W, and what
        a parabola cannot follow of a swing goes as W³; GAIN is what the links of
        `scot.testing.clocks` liked.
        """
        longest = next((w for w in self._windows if w.window_s * 1e9 >= now), self._windows[-1])
        if self._look is None or self._count > self._look_again:
            self._look_again = self._count + (LOOK_EVERY - 1 if self._count > LOOK_EVERY else 0)
            curve = self._fit(longest, now)
            self._look = now, curve
            if curve.span_ns > WINDOWS_S[-2] * 1e9:
                self._learn(curve)
        at, look = self._look
        density = sum(look.spacing) * look.span_ns / 1e18  # s²
        ideal_s = GAIN * (density / (self.bend * SWING)) ** 0.25
        for window in self._windows:
            if window.window_s >= ideal_s and window is not longest:
                return self._fit(window, now)
            if window is longest:
                break
        return look if at == now else self._fit(longest, now)

    def _fit(self, window: _Window, now: float) -> Curve:
        prior = Prior(*self._prior, self.bend / 1e9)
        above, below = window.above.cloud(), window.below.cloud()
        curve = likeliest(above, below, now, prior, near=window.grid)
        window.grid = curve.grid
        return curve

    def _learn(self, curve: Curve) -> None:
        """Let the prior of the curvature follow what was found, and how surely."""
        seen = (curve.bend * curve.bend + curve.bend_sd * curve.bend_sd) * 1e18
        square = self.bend * self.bend
        square += BEND_PACE * LOOK_EVERY / BINS * (seen - square)
        self.bend = min(max(float(np.sqrt(square)), BEND_LEAST), BEND_MOST)

    def _shortest(self, probe: Probe) -> int:
        """Return the shortest round trip of the longest window, ns."""
        rtt = self._rtt
        while rtt and rtt[-1][1] >= probe.rtt_ns:
            rtt.pop()
        rtt.append((probe.t4_ns, probe.rtt_ns))
        while probe.t4_ns - rtt[0][0] > WINDOWS_S[-1] * 1_000_000_000:
            rtt.popleft()
        return rtt[0][1]

    def _stepped(self, upper: tuple[float, float], lower: tuple[float, float]) -> bool:
        """Say whether a probe shows a step of the clock, not a change of the link."""
        if self._look is None:
            return False
        at, look = self._look
        after_ns = lower[0] - at
        upper_rose = upper[1] - look.top - look.skew * (upper[0] - at)
        lower_rose = lower[1] - look.bottom - look.skew * after_ns
        unsure = REACH * (look.skew_sd * after_ns + look.sd)
        least = STEP_FLOOR_NS + STEP_NOISE * sum(look.spacing) + unsure
        if upper_rose + lower_rose > 0:
            inward, outward = lower_rose, upper_rose
        else:
            inward, outward = -upper_rose, -lower_rose
        if inward < least / 2:
            return False
        if self._count < SEASONED:
            self._look_again = 0  # it moved the envelope, which must not be compared with any more
            return False
        if self._count > self._held + 2 * WITNESS_WITHIN:
            self._held = self._count  # those that follow are held against the same envelope
            self._look_again = self._count + WITNESS_WITHIN
        if outward < inward - least:
            return False
        if inward > max(least, PLAIN_NS):
            return True
        self._witnesses.append((self._count, inward))
        while self._count - self._witnesses[0][0] > WITNESS_WITHIN:
            self._witnesses.popleft()
        said = sum(inward for _, inward in self._witnesses)
        return len(self._witnesses) > 1 and said > 2 * least


def _joined(one: Cloud, other: Cloud, newest: tuple[float, float], now: float) -> Cloud:
    return (
        np.concatenate([one[0], other[0], newest[:1]]) - now,
        np.concatenate([one[1], other[1], newest[1:]]),
    )
