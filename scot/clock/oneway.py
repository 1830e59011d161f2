"""Devices that stamp their samples but answer no probes.

What a reading r and its arrival a say is one-sided: the true time is not after a. So of the offsets
a − r in a window only the lower envelope counts (`LowerLine`): the line that touches all of them
from below, as steep as their lower hull is over the middle half of the window. Delay, which only
pushes offsets up, does not move it. The shortest delay on the way no one-way stream can reveal, so
nothing is guaranteed but "not after arrival"; the likely error is a declared floor for that delay
plus what the envelope has not settled.

What is handed out is one function of the reading (`Follower`): it only ever grows at its newest
end, never bends by more than `SLEW` of the time that passed, and so never runs backwards, also
while the map settles (docs/decisions/0012). An older reading is placed on the part already drawn.

A step of the device's clock begins a new function, an epoch, with the old skew. Forward: an offset
falls far below an envelope that had settled; no delay does that. Backward: for `RISEN_NS` every
offset stays above by an amount that varies no more than the delays did before; a few do when each
is earlier than what its stream had told already.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.timestamp import ClockState, Timestamp

Point = tuple[float, float]

WINDOW_NS = 60_000_000_000
BINS = 64
FINEST = 32  # bins begin so much narrower, and are joined in pairs as the window fills
FLOOR_NS = 2_000_000
STEP_NS = 50_000_000
UNSEASONED_STEP_NS = 2_000_000_000
RISEN_NS = 2_000_000_000
RISEN = 8
SEASONED = 32
SEASONED_NS = 5_000_000_000
SLEW = 90  # %
MAX_SKEW = 500e-6
UNKNOWN_SKEW = 200e-6
WANDER = 20e-6
CURVATURE = 7e-8  # 1/s: a crystal whose frequency swings by 3 ppm in some minutes
FIT_BINS = 8
JITTER_NS = 50_000_000.0  # what a first arrival may be late by, before anything is known
REACH = 10.0  # error at the end of a window, where it is used, against the spacing of its limits
LIKELY = 4.0  # e⁻⁴: 98 % of least delays lie within four times their mean
RECENT = 16
KNOTS = 512


class LowerLine:
    """The line below the offsets of a window.

    Args:
        limit: greatest skew, either way.
        skew: to begin with.
        window_ns: of readings that are kept.

    Attributes:
        skew: slope of the line.
        fitted: the skew was found from offsets, not taken from before.
    """

    def __init__(self, limit: float, skew: float = 0.0, window_ns: int = WINDOW_NS) -> None:
        self.skew = skew
        self.fitted = False
        self._limit = limit
        self._widest_ns = window_ns // BINS
        self._bin_ns = self._widest_ns // FINEST
        self._bins: deque[Point] = deque()
        self._zero = (0, 0)
        self._at = 0.0
        self._height = 0.0
        self._spread_ns = 0.0

    def above(self, reading_ns: int, offset_ns: int) -> float:
        """Return by how much an offset lies above the line, ns; 0 when there is no line yet."""
        if not self._bins:
            return 0.0
        x, y = reading_ns - self._zero[0], offset_ns - self._zero[1]
        return y - self._height - self.skew * (x - self._at)

    def at(self, reading_ns: int) -> int:
        """Return the line's offset at a reading, ns."""
        x = reading_ns - self._zero[0]
        return self._zero[1] + round(self._height + self.skew * (x - self._at))

    def add(self, reading_ns: int, offset_ns: int) -> None:
        """Take in one offset; one below the line takes the line down at once."""
        bins = self._bins
        if not bins:
            self._zero = (reading_ns, offset_ns)
        x, y = float(reading_ns - self._zero[0]), float(offset_ns - self._zero[1])
        self._height += min(0.0, self.above(reading_ns, offset_ns))
        number = x // self._bin_ns
        last = bins[-1][0] // self._bin_ns if bins else number - 1
        if number > last:
            if bins:
                self._fit()
            bins.append((x, y))
            self._tidy(number)
        elif number == last and y - self.skew * x < bins[-1][1] - self.skew * bins[-1][0]:
            bins[-1] = (x, y)

    def _tidy(self, newest: float) -> None:
        """Forget what left the window; join bins in pairs while they may still grow."""
        bins = self._bins
        if self._bin_ns < self._widest_ns and newest - bins[0][0] // self._bin_ns >= BINS:
            self._bin_ns *= 2
            joined: deque[Point] = deque()
            for x, y in bins:
                if not joined or joined[-1][0] // self._bin_ns < x // self._bin_ns:
                    joined.append((x, y))
                elif y - self.skew * x < joined[-1][1] - self.skew * joined[-1][0]:
                    joined[-1] = (x, y)
            self._bins = joined
        oldest = self._bins[-1][0] - self._widest_ns * BINS
        while self._bins[0][0] < oldest:
            self._bins.popleft()

    @property
    def span_ns(self) -> float:
        """Device time between the oldest and the newest bin."""
        return self._bins[-1][0] - self._bins[0][0] if self._bins else 0.0

    @property
    def unsure_ns(self) -> float:
        """Likely error of the line at its newest end, apart from what the delays' count says."""
        if not self.fitted:
            return UNKNOWN_SKEW * self.span_ns
        bend_ns = CURVATURE * (self.span_ns / 1e9) ** 2 / 8 * 1e9
        return REACH * self._spread_ns + bend_ns

    def _fit(self) -> None:
        """Lay the line anew, along the lower hull, where no longer the skew of before must do."""
        at = self._bins[-1][0]
        points = [(x - at, y) for x, y in self._bins]
        if len(points) >= FIT_BINS:
            before, was = self.skew, self.fitted
            self.skew = min(max(_slope(points), -self._limit), self._limit)
            self.fitted = True
            self._lay(points, at)
            if was or LIKELY * self._spread_ns < UNKNOWN_SKEW * self.span_ns:
                return
            self.skew, self.fitted = before, False
        self._lay(points, at)

    def _lay(self, points: list[Point], at: float) -> None:
        """Put the line below all points, and measure how thinly they lie near it."""
        rests = sorted([y - self.skew * x for x, y in points])
        rank = min(6, max(1, len(rests) // 3), len(rests) - 1)
        self._spread_ns = (rests[rank] - rests[0]) / max(1, rank)
        self._at, self._height = at, rests[0]


def _slope(points: list[Point]) -> float:
    """Return the slope of the chord of the lower hull between a quarter and three of its width."""
    chain = _lower_hull(points)
    quarter = (chain[-1][0] - chain[0][0]) / 4
    left, right = chain[0][0] + quarter, chain[-1][0] - quarter
    return (_height_at(chain, right) - _height_at(chain, left)) / (right - left)


def _height_at(chain: list[Point], x: float) -> float:
    """Return the height of a chain of corners at an x within it."""
    i = max(1, next(i for i, (corner, _) in enumerate(chain) if corner >= x))
    (ax, ay), (bx, by) = chain[i - 1], chain[i]
    return ay + (by - ay) * (x - ax) / (bx - ax)


def _lower_hull(points: list[Point]) -> list[Point]:
    """Return the corners of points in order of x below which none lies (monotone chain)."""
    chain: list[Point] = []
    for x, y in points:
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2], chain[-1]
            if (bx - ax) * (y - ay) > (by - ay) * (x - ax):
                break
            chain.pop()
        chain.append((x, y))
    return chain


class _Risen(NamedTuple):
    """Arrivals in a row that came far above the line.

    Attributes:
        since_ns, number: when the first came, and how many.
        least, most: how far above they were.
        back: each was taken earlier than something that its stream had told already.
    """

    since_ns: int
    number: int
    least: float
    most: float
    back: bool


class Follower:
    """Places readings of one clock by their arrivals; sans-IO, a few µs a reading.

    Args:
        limit: greatest skew of the clock, either way.

    Attributes:
        epoch: grows with each step of the clock, found or declared.
    """

    def __init__(self, limit: float = MAX_SKEW) -> None:
        self.epoch = 0
        self._limit = limit
        self._jitter_ns = JITTER_NS
        self._begin(0.0)

    def _begin(self, skew: float) -> None:
        self._line = LowerLine(self._limit, skew)
        self._count = 0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._risen: _Risen | None = None
        self._readings: list[int] = []
        self._placed: list[int] = []
        self._last: dict[str, tuple[int, int]] = {}
        self._newest: dict[str, int] = {}

    def new_epoch(self) -> None:
        """Begin anew, as after a step; the crystal and the way, so skew and jitter, are as before.

        Nothing happens before the first reading.
        """
        if self._count:
            self.epoch += 1
            self._jitter_ns = max(self._jitter_ns, 1_000_000.0)
            self._begin(self._line.skew)

    def follow(
        self, reading_ns: int, arrived_ns: int, span_ns: int = 0, stream: str = ""
    ) -> tuple[int, int]:
        """Place a reading; return its time and the likely error of that, apart from any floor.

        Args:
            reading_ns: of the first value.
            arrived_ns: when it was here, in the time base to place it in.
            span_ns: clock time from the first to the last value: none came before the last was.
            stream: within one, a later reading is never placed before an earlier one.
        """
        end_ns = reading_ns + span_ns
        offset_ns = arrived_ns - end_ns
        above = self._line.above(end_ns, offset_ns)
        newest_ns = self._newest.get(stream, reading_ns)
        if self._stepped(above, arrived_ns, reading_ns < newest_ns - STEP_NS):
            self.new_epoch()
            above = 0.0
        self._learn(end_ns, offset_ns, above)
        self._extend(end_ns, arrived_ns)
        placed_ns, old_ns = self._place(reading_ns)
        before = self._last.get(stream)
        if before is not None and reading_ns >= before[0]:
            placed_ns = max(placed_ns, before[1])
        self._last[stream] = (reading_ns, placed_ns)
        self._newest[stream] = max(reading_ns, self._newest.get(stream, reading_ns))
        return placed_ns, round(self._unsure(placed_ns - reading_ns, reading_ns, old_ns))

    @property
    def jitter_ns(self) -> float:
        """Mean delay beyond the least one."""
        return self._jitter_ns

    def offset_ns(self, reading_ns: int) -> int:
        """Return the envelope's offset, arrival − reading, at a reading."""
        return self._line.at(reading_ns)

    def _stepped(self, above: float, arrived_ns: int, back: bool) -> bool:
        """Say whether an offset shows a step of the clock, not a change of the way."""
        least = float(-UNSEASONED_STEP_NS)
        if self._count >= SEASONED and self._line.span_ns >= SEASONED_NS:
            least = -STEP_NS - 10 * LIKELY * self._jitter_ns / self._count
        if above < least:
            return True
        if above <= STEP_NS + 10 * self._jitter_ns:
            self._risen = None
            return False
        risen = self._risen or _Risen(arrived_ns, 0, above, above, True)
        lowest, most = min(risen.least, above), max(risen.most, above)
        risen = _Risen(risen.since_ns, risen.number + 1, lowest, most, risen.back and back)
        if most - lowest > STEP_NS / 2 + 8 * self._jitter_ns:
            risen = _Risen(arrived_ns, 1, above, above, back)
        self._risen = risen
        long = arrived_ns - risen.since_ns >= RISEN_NS or risen.back
        return risen.number >= RISEN and long

    def _learn(self, end_ns: int, offset_ns: int, above: float) -> None:
        self._line.add(end_ns, offset_ns)
        self._recent.append(above)
        if self._risen is None:
            self._count += 1
            if self._count > 1:
                self._jitter_ns += (max(0.0, above) - self._jitter_ns) / min(self._count, 1_000)

    def _extend(self, end_ns: int, arrived_ns: int) -> None:
        """Draw the function up to a new newest reading."""
        placed_ns = min(end_ns + self._line.at(end_ns), arrived_ns)
        if self._readings:
            passed_ns = end_ns - self._readings[-1]
            if passed_ns <= 0:
                return
            last_ns, bend_ns = self._placed[-1], passed_ns * SLEW // 100
            placed_ns = max(placed_ns, last_ns + passed_ns - bend_ns)
            placed_ns = min(placed_ns, last_ns + passed_ns + bend_ns)
            if arrived_ns >= last_ns:
                placed_ns = min(placed_ns, arrived_ns)
        self._readings.append(end_ns)
        self._placed.append(placed_ns)
        if len(self._readings) > KNOTS:
            del self._readings[: KNOTS // 2], self._placed[: KNOTS // 2]

    def _place(self, reading_ns: int) -> tuple[int, int]:
        """Return where the function puts a reading, and by how much it is older than it reaches."""
        readings, placed = self._readings, self._placed
        i = bisect_right(readings, reading_ns)
        if i == 0:
            old_ns = readings[0] - reading_ns
            return placed[0] - old_ns - round(old_ns * self._line.skew), old_ns
        if i == len(readings) or readings[i - 1] == reading_ns:
            return placed[i - 1], 0
        part = reading_ns - readings[i - 1]
        rise, run = placed[i] - placed[i - 1], readings[i] - readings[i - 1]
        return placed[i - 1] + part * rise // run, 0

    def _unsure(self, offset_ns: int, reading_ns: int, old_ns: int) -> float:
        """Return the likely error of the least delay seen, of the line and of what lies beside it.

        To that comes by how much all of the last arrivals were late: that may have been a step.
        """
        line, count = self._line, len(self._recent)
        unsure = LIKELY * self._jitter_ns / min(self._count, 1_000) + line.unsure_ns
        unsure += abs(offset_ns - line.at(reading_ns))
        unsure += old_ns * (WANDER if line.fitted else UNKNOWN_SKEW)
        if count == RECENT:
            unsure += max(0.0, min(self._recent) - LIKELY * self._jitter_ns / count)
        return unsure


class OneWay:
    """Maps one device's clock to bus time by the lower envelope of its arrivals.

    Args:
        floor_ns: likely error for the shortest delay on the way, declared.

    Attributes:
        accuracy_ns: how far the device says its clock is from UTC at most; None when it does not.
    """

    def __init__(self, floor_ns: int = FLOOR_NS) -> None:
        self.accuracy_ns: int | None = None
        self._floor_ns = floor_ns
        self._follower = Follower()

    @property
    def epoch(self) -> int:
        """Grows with each step of the device's clock, found or declared."""
        return self._follower.epoch

    def new_epoch(self) -> None:
        """Begin anew: the device said that its clock is another one now."""
        self._follower.new_epoch()

    def stamp(
        self, source_ns: int, arrival: Timestamp, span_ns: int = 0, stream: str = ""
    ) -> Timestamp:
        """Return the bus timestamp of a device reading that came at `arrival`.

        Args:
            source_ns: the device's reading at the first value.
            arrival: of the last one.
            span_ns: device time between the two.
            stream: within one, bus time follows the order of the readings.
        """
        bus_ns, unsure_ns = self._follower.follow(source_ns, arrival.bus_ns, span_ns, stream)
        err_ns = self._floor(source_ns) + unsure_ns + (arrival.err_ns or 0)
        return Timestamp(source_ns, bus_ns, None, err_ns, ClockState.ONE_WAY)

    def _floor(self, source_ns: int) -> int:
        """Likely error for the shortest delay: what was declared, or less by the device's word.

        A device within `accuracy_ns` of UTC has an offset of at least TAI − UTC − accuracy, so the
        shortest delay is at most what the envelope lies above that. Negative contradicts it.
        """
        if self.accuracy_ns is None:
            return self._floor_ns
        most_ns = self._follower.offset_ns(source_ns) - TAI_MINUS_UTC_NS + self.accuracy_ns
        return min(self._floor_ns, most_ns) if most_ns >= 0 else self._floor_ns
