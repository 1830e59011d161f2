"""What a plug-in author tests with: a clock in your hand, misbehaving links, and conformance."""

from __future__ import annotations

from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.timestamp import ClockState

__all__ = ["ManualClock"]


class ManualClock(Clock):
    """A clock that stands still until `advance`; bus time equals its local reading."""

    def __init__(self, start_ns: int = 1_000_000_000) -> None:
        self.local_ns = start_ns
        super().__init__(
            BusMap(0, 0, start_ns, start_ns, 1.0, 0, 0, ClockState.LOCKED), lambda: self.local_ns
        )

    def advance(self, ns: int) -> None:
        """Let time pass."""
        self.local_ns += ns
