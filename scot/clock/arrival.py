"""How long ago the kernel got a datagram, from its receive stamp in wall-clock time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from scot.clock import machine

BRACKET_NS = 5_000
MOVED_NS = 5_000
OLDEST_NS = 10_000_000_000
TRIES = 4


class Arrivals:
    """Turns receive stamps (SO_TIMESTAMPNS, socket(7)) into ages.

    The kernel stamps in wall-clock time, which anybody may set. But wall clock and monotonic clock
    are slewed together, so their difference stays to the nanosecond until the wall clock is set.
    It is read with each stamp; when it moved by more than `MOVED_NS`, or cannot be read within
    `BRACKET_NS`, the stamp is not believed. So a clock that is set moves an exchange by no more.

    Attributes:
        refused: stamps that were not believed, by reason: `none`, `set`, `interrupted`,
            `impossible`.

    Args:
        wall: reads wall-clock ns.
        monotonic: reads monotonic ns.
    """

    def __init__(
        self,
        wall: Callable[[], int] = machine.utc_ns,
        monotonic: Callable[[], int] = machine.monotonic_ns,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self._wall, self._monotonic = wall, monotonic
        self._apart_ns = self._look()[1]

    def age_ns(self, stamp_ns: int | None) -> int:
        """Return for how long a datagram has been here, ns; 0 when its stamp says nothing.

        Read the clock to subtract it from after this: the result is then never earlier than the
        arrival, as both limits of an offset need it.
        """
        if stamp_ns is None:
            self.refused["none"] += 1
            return 0
        wall_ns, apart_ns = self._look()
        if apart_ns is None:
            self.refused["interrupted"] += 1
            return 0
        before_ns, self._apart_ns = self._apart_ns, apart_ns
        if before_ns is None or abs(apart_ns - before_ns) > MOVED_NS:
            self.refused["set"] += 1
            return 0
        age_ns = wall_ns - stamp_ns
        if not 0 <= age_ns <= OLDEST_NS:
            self.refused["impossible"] += 1
            return 0
        return age_ns

    def _look(self) -> tuple[int, int | None]:
        """Return the wall clock, and by how much it is ahead; None when we were interrupted."""
        wall_ns = 0
        for _ in range(TRIES):
            before_ns = self._monotonic()
            wall_ns = self._wall()
            if self._monotonic() - before_ns <= BRACKET_NS:
                return wall_ns, wall_ns - before_ns
        return wall_ns, None
