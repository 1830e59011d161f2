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
* **Bound**: each limit, carried to now at the fitted skew, still limits θ if the skew was never
  wrong by more than `WANDER` and what the window leaves open. The tightest on each side is the
  guaranteed bound. It needs no symmetry of the delays.
* **Likely error**: what no two-way exchange can see, an asymmetry of up to `ASYMMETRY` of half the
  shortest round trip, and the noise of the line.
* **Step**: a step moves both limits by the same amount; congestion only pushes them apart. One
  limit must be inside its cloud by more than noise explains, and the other outside by as much.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from scot.clock.hulls import Point, hull, widest
from scot.clock.probe import Probe
from scot.timestamp import ClockState

WINDOWS_S = (8, 16, 32, 64, 120)
BINS = 32
MAX_SKEW = 500e-6
WANDER = 20e-6
SETTLED_NS = 10_000_000_000
ASYMMETRY = 0.6
LOCK_AFTER = 8
STEP_FLOOR_NS = 150_000.0
STEP_NOISE = 10.0
YOUNG = 60  # probes: a young epoch has not seen its shortest delays yet
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
    """

    at_ns: int
    offset_ns: int
    skew: float
    bound_ns: int
    err_ns: int


@dataclass(frozen=True)
class _Fit:
    """A line through one window, at the time of its newest probe."""

    at_ns: int
    middle: float
    half_gap: float
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
        return _Fit(at_ns, (top + bottom) / 2, (top - bottom) / 2, skew, noise, span_ns)

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

    def add(self, probe: Probe) -> Line:
        """Take one exchange and return the new line."""
        upper = (probe.t1_ns, probe.t2_ns - probe.t1_ns)
        lower = (probe.t4_ns, probe.t3_ns - probe.t4_ns)
        if self._stepped(upper, lower):
            self.epoch += 1
            self._forget()
        self._count += 1
        if self._count >= LOCK_AFTER:
            self.state = ClockState.LOCKED
        self._recent.append((upper, lower))
        at_ns = probe.t4_ns
        for window in self._windows:
            window.add(upper, lower)
        fit = self._fitted(at_ns)
        self._skew = fit.skew
        offset_ns = fit.middle_at(at_ns)
        bend = CURVATURE * (fit.span_ns / 1e9) ** 2 / 8 * 1e9
        err_ns = ASYMMETRY * self._shortest(probe) / 2 + REACH * fit.noise + bend
        bound_ns = self._bound(at_ns, offset_ns, fit)
        self.line = Line(
            at_ns,
            round(offset_ns),
            fit.skew,
            round(bound_ns),
            round(min(err_ns, bound_ns)),
        )
        return self.line

    def _forget(self) -> None:
        """Begin a new epoch; the crystal, and so its skew, is the same."""
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

    def _bound(self, at_ns: int, offset_ns: float, fit: _Fit) -> float:
        """Return the half-width that every recent limit, carried to now, leaves open."""
        slack = MAX_SKEW
        if fit.span_ns >= SETTLED_NS:
            slack = min(MAX_SKEW, WANDER + max(0.0, 2 * fit.half_gap) / fit.span_ns)
        up, down = slack + fit.skew, slack - fit.skew
        top = min(y + up * (at_ns - x) for (x, y), _ in self._recent)
        bottom = max(y - down * (at_ns - x) for _, (x, y) in self._recent)
        return max(top - offset_ns, offset_ns - bottom, 0.0)

    def _stepped(self, upper: Point, lower: Point) -> bool:
        """Say whether a probe shows a step of the clock, not a change of the link."""
        line, look = self.line, self._look
        if line is None or look is None or self._count < LOCK_AFTER:
            return False
        half_gap = max(look.half_gap, 0.0)
        at = line.offset_ns + line.skew * (lower[0] - line.at_ns)
        above_lower = lower[1] - (at - half_gap)
        above_upper = upper[1] - (at + half_gap)
        age_ns = lower[0] - line.at_ns
        slack = MAX_SKEW if look.span_ns < SETTLED_NS else WANDER
        least = (STEP_FLOOR_NS + STEP_NOISE * look.noise) * (1 + YOUNG / self._count)
        least += slack * age_ns
        forward = above_lower > least and above_upper > least
        back = above_upper < -least and above_lower < -least
        return forward or back
