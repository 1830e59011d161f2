"""From probes to a clock's offset and skew, with a bound that holds.

Each exchange says two things for certain. With θ(t) = broker − client: t2 − t1 = θ + (delay
there) is never below θ, and t3 − t4 = θ − (delay back) is never above it. So there are two clouds
of limits, and θ runs between them.

* **Line**: of the limits in a window, the line that keeps the greatest equal distance from both
  clouds (a maximum-margin line between two convex hulls). No delay is averaged, so congestion,
  which only pushes limits outward, does not move it.
* **Window**: a crystal's frequency wanders with its temperature, so a long window bends and a short
  one is noisy. How thinly the limits lie near the envelope says how noisy; the window that
  balances both for `CURVATURE` is used, out of five from 8 to 120 s.
* **Bound**: of all lines that keep every limit of the window (a skew within `MAX_SKEW`, that was
  never off by more than `WANDER` from what it is now), the highest and the lowest at this instant
  are the guaranteed bound, and the steepest and the flattest say how fast it grows until the next
  probe. It needs no symmetry of the delays. The line above is kept between them.
* **Likely error**: what no two-way exchange can see, an asymmetry of up to `ASYMMETRY` of half the
  shortest round trip, and the noise of the line.
* **Step**: a step moves both limits by the same amount; congestion only pushes them apart. One
  limit must be inside the recent ones by more than their spacing explains, and the other outside by
  as much, which says something once the shortest delays have been seen (`SEASONED`). When no line
  at all keeps every limit, a step is proved, perhaps in the middle of this very exchange, which
  then says nothing of the new epoch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from scot.clock.hulls import Between, Point, between, hull, widest
from scot.clock.probe import MAX_RTT_NS, Probe
from scot.timestamp import ClockState

WINDOWS_S = (8, 16, 32, 64, 120)
BINS = 32
MAX_SKEW = 500e-6
WANDER = 20e-6
ASYMMETRY = 0.6
LOCK_AFTER = 8
SEASONED = 32
STEP_FLOOR_NS = 150_000.0
STEP_NOISE = 10.0
SPACING_RANK = 8
REACH = 3.0  # noise at the end of a window, where it is used, against its middle
RECENT = 64
LOOK_EVERY = 8
GAIN = 0.55
CURVATURE = 5e-8  # 1/s: a crystal whose frequency swings by 3 ppm in some minutes


@dataclass(frozen=True)
class Line:
    """Offset (broker − client) = offset_ns + skew · (t − at_ns), t in client ns.

    Attributes:
        bound_ns: half-width that surely holds the truth at `at_ns`.
        err_ns: half-width that likely does.
        drift: by how much the bound grows in each ns after `at_ns`.
    """

    at_ns: int
    offset_ns: int
    skew: float
    bound_ns: int
    err_ns: int
    drift: float


@dataclass(frozen=True)
class _Fit:
    """A line through one window, at the time of its newest probe."""

    at_ns: int
    middle: float
    skew: float
    noise: float
    span_ns: int

    def middle_at(self, t_ns: int) -> float:
        return self.middle + self.skew * (t_ns - self.at_ns)


class _Window:
    """The tightest limits of each of some thirty bins."""

    def __init__(self, window_s: int) -> None:
        self.window_s = window_s
        self._bin_ns = window_s * 1_000_000_000 // BINS
        self._upper: deque[Point] = deque()
        self._lower: deque[Point] = deque()

    def add(self, upper: Point, lower: Point) -> None:
        self._put(self._upper, upper, lower=True)
        self._put(self._lower, lower, lower=False)

    def clear(self) -> None:
        self._upper.clear()
        self._lower.clear()

    def before(self, x_ns: int) -> tuple[list[Point], list[Point]]:
        """Return the limits that are older than `x_ns`."""
        older = [point for point in self._upper if point[0] < x_ns]
        return older, [point for point in self._lower if point[0] < x_ns]

    def fitted(self, at_ns: int, skew: float) -> _Fit:
        """Return the line; the given skew stands in until the window is long enough to have one."""
        upper = hull([(x - at_ns, y) for x, y in self._upper], lower=True)
        lower = hull([(x - at_ns, y) for x, y in self._lower], lower=False)
        if len(self._upper) >= LOCK_AFTER:
            skew = widest(upper, lower, MAX_SKEW)
        top = min(y - skew * x for x, y in upper)
        bottom = max(y - skew * x for x, y in lower)
        noise = _sparsity([y - skew * (x - at_ns) - top for x, y in self._upper]) + _sparsity(
            [bottom - (y - skew * (x - at_ns)) for x, y in self._lower]
        )
        span_ns = self._upper[-1][0] - self._upper[0][0]
        return _Fit(at_ns, (top + bottom) / 2, skew, noise, span_ns)

    def _put(self, queue: deque[Point], point: Point, *, lower: bool) -> None:
        x, y = point
        if queue and queue[-1][0] // self._bin_ns == x // self._bin_ns:
            if (y < queue[-1][1]) == lower:
                queue[-1] = point
        else:
            queue.append(point)
        while x - queue[0][0] > self.window_s * 1_000_000_000:
            queue.popleft()


def _sparsity(residuals: list[float]) -> float:
    """Return how far apart the limits lie near the line: the noise of their envelope, ns."""
    ordered = sorted(residuals)
    rank = min(6, max(1, len(ordered) // 3))
    return max(0.0, ordered[min(rank, len(ordered) - 1)]) / rank


class Estimator:
    """Feed it one source's probes in order of arrival; read its line.

    Attributes:
        epoch: grows by one with each step of the source's clock.
        state: `converging` until eight probes of the epoch are in, then `locked`.
        line: the present estimate, None before the first probe.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.line: Line | None = None
        self.state = ClockState.CONVERGING
        self._windows = [_Window(window_s) for window_s in WINDOWS_S]
        self._recent: deque[tuple[Point, Point]] = deque(maxlen=RECENT)
        self._rtt: deque[tuple[int, int]] = deque()
        self._look: _Fit | None = None
        self._count = 0
        self._skew = 0.0
        self._base_ns = 0  # limits are kept as differences to it, exact as floats

    def add(self, probe: Probe) -> Line:
        """Take one exchange and return the new line."""
        stepped = self._stepped(*self._limits(probe))
        if stepped:
            self._begin_anew()
        upper, lower = self._limits(probe)
        left = self._left(probe.t4_ns, upper, lower)
        if left is None:
            if not stepped:
                self._begin_anew()
            return self._doubtful(probe)
        self._count += 1
        if self._count >= LOCK_AFTER:
            self.state = ClockState.LOCKED
        self._recent.append((upper, lower))
        for window in self._windows:
            window.add(upper, lower)
        self.line = self._line(probe, self._fitted(probe.t4_ns), left)
        return self.line

    def _limits(self, probe: Probe) -> tuple[Point, Point]:
        """Return what an exchange says of the offset from above and from below."""
        above_ns, below_ns = probe.t2_ns - probe.t1_ns, probe.t3_ns - probe.t4_ns
        if not self._count:
            self._base_ns = above_ns
        return (probe.t1_ns, above_ns - self._base_ns), (probe.t4_ns, below_ns - self._base_ns)

    def _doubtful(self, probe: Probe) -> Line:
        """Return the line of an exchange during which the clock may have stepped."""
        middle_ns = (probe.t2_ns - probe.t1_ns + probe.t3_ns - probe.t4_ns) // 2
        return Line(probe.t4_ns, middle_ns, self._skew, MAX_RTT_NS, MAX_RTT_NS, MAX_SKEW + WANDER)

    def _line(self, probe: Probe, fit: _Fit, left: Between) -> Line:
        """Return the fitted line, kept within what the limits leave."""
        self._skew = min(max(fit.skew, left.least_slope), left.greatest_slope)
        offset_ns = min(max(fit.middle_at(probe.t4_ns), left.bottom), left.top)
        bend = CURVATURE * (fit.span_ns / 1e9) ** 2 / 8 * 1e9
        err_ns = ASYMMETRY * self._shortest(probe) / 2 + REACH * fit.noise + bend
        bound_ns = max(left.top - offset_ns, offset_ns - left.bottom)
        slack = max(left.greatest_slope - self._skew, self._skew - left.least_slope)
        return Line(
            probe.t4_ns,
            round(offset_ns) + self._base_ns,
            self._skew,
            round(bound_ns) + 1,
            round(min(err_ns, bound_ns)),
            slack + WANDER,
        )

    def _left(self, at_ns: int, upper: Point, lower: Point) -> Between | None:
        """Return what all limits, and these two, leave open; None when they contradict."""
        uppers, lowers = self._windows[-1].before(self._recent[0][0][0] if self._recent else at_ns)
        uppers += [*(above for above, _ in self._recent), upper]
        lowers += [*(below for _, below in self._recent), lower]
        return between(
            [(x - at_ns, y) for x, y in uppers],
            [(x - at_ns, y) for x, y in lowers],
            MAX_SKEW,
            WANDER,
        )

    def _begin_anew(self) -> None:
        """Begin a new epoch; the crystal, and so its skew, is the same."""
        self.epoch += 1
        for window in self._windows:
            window.clear()
        self._recent.clear()
        self._rtt.clear()
        self._count = 0
        self._look = None
        self.line = None
        self.state = ClockState.CONVERGING

    def _fitted(self, at_ns: int) -> _Fit:
        """Fit the window that balances noise against wander.

        After n probes at a steady rate limits lie about a/n from the line, and a bend of
        CURVATURE · W² / 8 shows at the ends, so the sum is least where W³ goes as
        (noise · W) / CURVATURE; GAIN is what the simulated links of `scot.testing.clocks` liked.
        """
        longest = self._windows[-1]
        if self._look is None or self._count % LOOK_EVERY == 0 or self._count < 4 * LOOK_EVERY:
            self._look = longest.fitted(at_ns, self._skew)
        look = self._look
        held_s = min(longest.window_s, look.span_ns / 1e9)
        ideal_s = GAIN * (8 * look.noise / 1e9 * held_s / CURVATURE) ** (1 / 3)
        for window in self._windows[:-1]:
            if window.window_s >= ideal_s:
                return window.fitted(at_ns, self._skew)
        return look if look.at_ns == at_ns else longest.fitted(at_ns, self._skew)

    def _shortest(self, probe: Probe) -> int:
        """Return the shortest round trip of the longest window, ns."""
        rtt = self._rtt
        while rtt and rtt[-1][1] >= probe.rtt_ns:
            rtt.pop()
        rtt.append((probe.t4_ns, probe.rtt_ns))
        while probe.t4_ns - rtt[0][0] > WINDOWS_S[-1] * 1_000_000_000:
            rtt.popleft()
        return rtt[0][1]

    def _stepped(self, upper: Point, lower: Point) -> bool:
        """Say whether a probe shows a step of the clock, not a change of the link."""
        line = self.line
        if line is None or self._count < SEASONED:
            return False
        skew, at_ns = line.skew, lower[0]
        above = sorted(y + skew * (at_ns - x) for (x, y), _ in self._recent)
        below = sorted((y + skew * (at_ns - x) for _, (x, y) in self._recent), reverse=True)
        spacing = above[SPACING_RANK] - above[0] + below[0] - below[SPACING_RANK]
        least = STEP_FLOOR_NS + STEP_NOISE * spacing / SPACING_RANK
        upper_rose = upper[1] + skew * (at_ns - upper[0]) - above[0]
        lower_rose = lower[1] - below[0]
        return min(upper_rose, lower_rose) > least or max(upper_rose, lower_rose) < -least
