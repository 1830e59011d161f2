"""From probes to a clock's offset and skew, with a bound that holds.

Each exchange says two things for certain. With θ(t) = broker − client: t2 − t1 = θ + (delay
there) is never below θ, and t3 − t4 = θ − (delay back) is never above it. Over a window the line
that keeps the greatest equal distance from both clouds is the estimate; half the gap between the
clouds is the guaranteed bound. No symmetry is assumed for the bound; the likely error assumes
that delays differ by less than half the shortest round trip (DESIGN §5).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from scot.clock.probe import Probe
from scot.timestamp import ClockState

WINDOW_NS = 120_000_000_000
MAX_SKEW = 500e-6
LOCK_AFTER = 8
STEP_MARGIN_NS = 200_000
ASYMMETRY_SHARE = 0.25
WANDER = 1e-6  # of elapsed time: what an uncompensated crystal drifts off a straight line

Point = tuple[int, int]


@dataclass(frozen=True)
class Line:
    """Offset (broker − client) = offset_ns + skew · (t − at_ns), t in client ns."""

    at_ns: int
    offset_ns: int
    skew: float
    bound_ns: int
    err_ns: int


class Estimator:
    """Feed it one source's probes in order; read its line.

    Attributes:
        epoch: grows by one with each step of the source's clock.
        state: `converging` until eight probes agree, then `locked`.
        line: the present estimate, None before the first probe.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.line: Line | None = None
        self.state = ClockState.CONVERGING
        self._probes: deque[Probe] = deque()

    def add(self, probe: Probe) -> Line:
        """Take one exchange and return the new line."""
        if self.line is not None and _stepped(self.line, probe):
            self.epoch += 1
            self._probes.clear()
            self.state = ClockState.CONVERGING
        self._probes.append(probe)
        while probe.t4_ns - self._probes[0].t1_ns > WINDOW_NS:
            self._probes.popleft()
        if len(self._probes) >= LOCK_AFTER:
            self.state = ClockState.LOCKED
        self.line = _fit(self._probes, self.line.skew if self.line else 0.0)
        return self.line


def _stepped(line: Line, probe: Probe) -> bool:
    """Say whether a probe contradicts the line whatever the delays were.

    Congestion only pushes the two limits apart; a step pushes one of them through the line.
    """
    at = line.offset_ns + line.skew * (probe.t1_ns - line.at_ns)
    reach = line.bound_ns + STEP_MARGIN_NS + WANDER * abs(probe.t1_ns - line.at_ns)
    above = (probe.t3_ns - probe.t4_ns) - at
    below = at - (probe.t2_ns - probe.t1_ns)
    return max(above, below) > reach


def _fit(probes: deque[Probe], skew: float) -> Line:
    at_ns = probes[-1].t4_ns
    upper = _hull([(p.t1_ns - at_ns, p.t2_ns - p.t1_ns) for p in probes], lower=True)
    lower = _hull([(p.t4_ns - at_ns, p.t3_ns - p.t4_ns) for p in probes], lower=False)
    if len(probes) >= LOCK_AFTER:
        skew = _widest(upper, lower)
    top = min(y - skew * x for x, y in upper)
    bottom = max(y - skew * x for x, y in lower)
    gap = max(0.0, (top - bottom) / 2)
    span_ns = at_ns - probes[0].t1_ns
    shortest = min(p.rtt_ns for p in probes)
    err = min(gap, ASYMMETRY_SHARE * shortest + WANDER * min(span_ns, 10_000_000_000))
    bound = gap + max(0.0, (bottom - top) / 2) + WANDER * span_ns / 2
    return Line(at_ns, round((top + bottom) / 2), skew, round(bound), round(err))


def _hull(points: list[Point], lower: bool) -> list[Point]:
    """Return the lower (or upper) convex hull of points sorted by x (Andrew's monotone chain)."""
    sign = 1 if lower else -1
    hull: list[Point] = []
    for x, y in sorted(points):
        while len(hull) > 1:
            (ax, ay), (bx, by) = hull[-2], hull[-1]
            if sign * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) > 0:
                break
            hull.pop()
        hull.append((x, y))
    return hull


def _widest(upper: list[Point], lower: list[Point]) -> float:
    """Return the slope that leaves the widest gap, which is concave in it: search by thirds."""

    def gap(slope: float) -> float:
        return min(y - slope * x for x, y in upper) - max(y - slope * x for x, y in lower)

    low, high = -MAX_SKEW, MAX_SKEW
    for _ in range(40):
        third = (high - low) / 3
        if gap(low + third) < gap(high - third):
            low += third
        else:
            high -= third
    return (low + high) / 2
