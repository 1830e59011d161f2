"""When something happened, and how well that is known.

All times are integers of nanoseconds. Bus time reads like TAI nanoseconds since 1970 (UTC plus
the leap seconds), never steps and never slews.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

TAI_MINUS_UTC_NS = 37_000_000_000
"""TAI − UTC since 2017-01-01 (IERS Bulletin C 52); bus time counts it, so it reads like TAI."""


class ClockState(IntEnum):
    """How a source's clock stands to bus time (DESIGN §5)."""

    LOCKED = 0
    CONVERGING = 1
    HOLDOVER = 2
    ONE_WAY = 3
    UNSYNCED = 4

    @property
    def label(self) -> str:
        """The word shown to people and written to files."""
        return self.name.lower().replace("_", "-")


class Order(IntEnum):
    """What comparing two timestamps can say."""

    BEFORE = -1
    CANNOT_TELL = 0
    AFTER = 1


class Timestamp(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The time of a sample.

    Attributes:
        source_ns: the device's own reading in its own time base, as received; None if it gave none.
        bus_ns: bus time.
        bound_ns: half-width that surely holds the truth; None when nothing can be guaranteed.
        err_ns: half-width that likely (95 %) holds the truth; None when unknown.
        state: how the source's clock stood when the sample was stamped.
    """

    source_ns: int | None
    bus_ns: int
    bound_ns: int | None
    err_ns: int | None
    state: ClockState

    def compare(self, other: Timestamp) -> Order:
        """Say whether this is surely before or after `other`, or cannot tell.

        Only the guaranteed bounds decide; a timestamp without a bound can never be ordered.
        """
        if self.bound_ns is None or other.bound_ns is None:
            return Order.CANNOT_TELL
        apart_ns = self.bus_ns - other.bus_ns
        reach_ns = self.bound_ns + other.bound_ns
        if apart_ns > reach_ns:
            return Order.AFTER
        if apart_ns < -reach_ns:
            return Order.BEFORE
        return Order.CANNOT_TELL
