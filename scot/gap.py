"""Which samples are missing: every receiver knows from epoch and seq alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What one arrival means."""

    NEXT = "next"
    FIRST = "first"
    AFTER_GAP = "after gap"
    FILLED = "filled"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Missing:
    """Seqs that did not come, both ends inclusive."""

    epoch: int
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many."""
        return self.last - self.first + 1


class GapDetector:
    """Follows one channel.

    Args:
        from_epoch: count from seq 0 of this epoch; None takes the first arrival as the start.

    Attributes:
        missing: ranges that have not come (yet), oldest first; at most `MAX_RANGES`.
        earlier: ranges before the first arrival, which are taken when they come and not missed
            when they do not.
        given_up: samples of older ranges, which are counted but can no longer be filled.
        received, duplicates: counts over all epochs.
    """

    MAX_RANGES = 1024

    def __init__(self, from_epoch: int | None = None) -> None:
        self.epoch = -1 if from_epoch is None else from_epoch
        self.next_seq = 0
        self.missing: list[Missing] = []
        self.earlier: list[Missing] = []
        self.given_up = 0
        self.received = 0
        self.duplicates = 0

    def on(self, epoch: int, seq: int) -> Verdict:
        """Take one arrival and say what it means; a gap is then last in `missing`."""
        if seq == self.next_seq and epoch == self.epoch:
            self.next_seq = seq + 1
            self.received += 1
            return Verdict.NEXT
        awaited = any(m.epoch == epoch for m in (*self.missing, *self.earlier))
        if epoch != self.epoch and not awaited:
            if epoch < self.epoch:
                self.duplicates += 1
                return Verdict.DUPLICATE
            first = self.epoch < 0
            self.epoch, self.next_seq = epoch, seq + 1
            self.received += 1
            if seq > 0 and first:
                self.earlier.append(Missing(epoch, 0, seq - 1))
            elif seq > 0:
                self._miss(Missing(epoch, 0, seq - 1))
                return Verdict.AFTER_GAP
            return Verdict.FIRST
        if epoch == self.epoch and seq > self.next_seq:
            self._miss(Missing(epoch, self.next_seq, seq - 1))
            self.next_seq = seq + 1
            self.received += 1
            return Verdict.AFTER_GAP
        if _take(self.missing, epoch, seq) or _take(self.earlier, epoch, seq):
            self._forget()
            self.received += 1
            return Verdict.FILLED
        self.duplicates += 1
        return Verdict.DUPLICATE

    def expect(self, epoch: int, next_seq: int) -> Missing | None:
        """Learn how far the publisher has come; return the tail that never arrived, if any."""
        if epoch < self.epoch or (epoch == self.epoch and next_seq <= self.next_seq):
            return None
        if epoch > self.epoch:
            self.epoch, self.next_seq = epoch, 0
        if next_seq <= self.next_seq:
            return None
        tail = Missing(epoch, self.next_seq, next_seq - 1)
        self.next_seq = next_seq
        self._miss(tail)
        return tail

    @property
    def lost(self) -> int:
        """How many samples are missing now."""
        return self.given_up + sum(gap.count for gap in self.missing)

    def _miss(self, gap: Missing) -> None:
        self.missing.append(gap)
        self._forget()

    def _forget(self) -> None:
        """Give up the oldest range when there are too many; one arrival adds at most one."""
        if len(self.missing) > self.MAX_RANGES:
            self.given_up += self.missing.pop(0).count
        if len(self.earlier) > self.MAX_RANGES:
            self.earlier.pop(0)


def _take(ranges: list[Missing], epoch: int, seq: int) -> bool:
    """Cut one seq out of ranges; False when none holds it."""
    for index, gap in enumerate(ranges):
        if gap.epoch == epoch and gap.first <= seq <= gap.last:
            rest = [Missing(epoch, gap.first, seq - 1), Missing(epoch, seq + 1, gap.last)]
            ranges[index : index + 1] = [part for part in rest if part.count > 0]
            return True
    return False
