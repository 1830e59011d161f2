"""Sample time of constant-rate streams: the device's sample counter and a lower envelope.

A counter divided by the rate is the reading of a clock, the crystal that paces the samples; it is
exact, whatever happens on the way. So it is followed as any clock that answers no probes
(`scot.clock.oneway`): gaps, bursts and lost batches change nothing, for a lost batch takes its
counts with it. Another rate, or a counter that began anew, is another clock: a new segment.

Without a counter it is inferred from the samples that came. A loss is then only seen as lateness
that stays, and mended by whole samples; until then the claim has to hold both, a loss and a delay.
The time is flagged `inferred` by whoever asks.
"""

from __future__ import annotations

from collections import deque

from scot.clock.oneway import LIKELY, Follower

MAX_SKEW = 0.02
"""Nominal rates are told loosely: 30 for 29.97 pictures a second."""

MENDED_AFTER = (4, 16)
LATE_PERIODS = 1.5
LATE_JITTERS = 12.0
"""So many blocks in a row must be late by 1.5 samples and, together, by 12 mean delays: once in e¹²
blocks chance alone does that."""


class Dejitter:
    """One stream's counter followed; waveforms, pictures and poses alike.

    Attributes:
        mended: samples without a counter that must have been lost.
    """

    def __init__(self) -> None:
        self.mended = 0
        self._follower = Follower(MAX_SKEW)
        self._rate_hz: float | None = None
        self._next = 0
        self._late: deque[int] = deque(maxlen=MENDED_AFTER[-1])

    @property
    def segment(self) -> int:
        """Grows when the rate changes, or the counter begins anew or jumps against time."""
        return self._follower.epoch

    def place(
        self,
        counter: int | None,
        values: int,
        rate_hz: float,
        at_ns: int,
        *,
        at_first: bool = False,
    ) -> tuple[int, int]:
        """Return the time of a block's first value, and its likely error, ns.

        Args:
            counter: of the first value; None infers it.
            values: in the block.
            rate_hz: values a second by the device's word, > 0.
            at_ns: when the last value was here (or was stamped by another clock of the device).
            at_first: `at_ns` is of the first value instead.
        """
        if rate_hz != self._rate_hz:
            if self._rate_hz is not None:
                self._anew()
            self._rate_hz = rate_hz
        period_ns = 1e9 / rate_hz
        span_ns = 0 if at_first else round((values - 1) * period_ns)
        doubt_ns = 0.0
        if counter is None:
            counter, doubt_ns = self._inferred(at_ns - span_ns, period_ns)
        elif counter < self._next - values:
            self._anew()
        self._next = counter + values
        placed_ns, unsure_ns = self._follower.follow(round(counter * period_ns), at_ns, span_ns)
        return placed_ns, unsure_ns + round(doubt_ns)

    def _anew(self) -> None:
        self._follower.new_epoch()
        self._next = 0
        self._late.clear()

    def _inferred(self, first_ns: int, period_ns: float) -> tuple[int, float]:
        """Return the next counter, or a later one when all recent blocks were late by as much.

        With it comes by how much it may be wrong, ns: as much as this block is still late.
        """
        reading_ns, jitter_ns = round(self._next * period_ns), self._follower.jitter_ns
        if not self._next:
            return 0, 0.0
        late_ns = first_ns - reading_ns - self._follower.offset_ns(reading_ns)
        self._late.append(late_ns)
        lost = 0
        for blocks in MENDED_AFTER:
            least_ns = min(list(self._late)[-blocks:])
            needed_ns = LATE_PERIODS * period_ns + LATE_JITTERS / blocks * jitter_ns
            if not lost and len(self._late) >= blocks and least_ns >= needed_ns:
                lost = round((least_ns - jitter_ns / blocks) / period_ns)
        if lost:
            self._late.clear()
            self.mended += lost
        late_ns -= round(lost * period_ns)
        doubt_ns = LATE_PERIODS * period_ns + jitter_ns if self.mended else 0.0
        if late_ns > LATE_PERIODS * period_ns + LIKELY / 2 * jitter_ns:
            doubt_ns += late_ns
        return self._next + lost, doubt_ns
