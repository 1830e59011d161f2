"""Bus time as one process reads it."""

from __future__ import annotations

from collections.abc import Callable

from scot.clock import machine
from scot.clock.busmap import BusMap
from scot.errors import ClockError
from scot.timestamp import ClockState, Timestamp


class Clock:
    """The only thing in a process that reads time; bus time is its reading.

    Args:
        map: where to start; None until the first probe is back.
        read: the local monotonic clock in ns; tests hand in their own.
    """

    def __init__(
        self, map: BusMap | None = None, read: Callable[[], int] = machine.monotonic_ns
    ) -> None:
        self.map = map
        self.read = read

    @classmethod
    def session(cls, bus_ns: int | None = None, rate: float = 1.0) -> Clock:
        """Return the clock of a new bus: bus time starts at `bus_ns`, or now as TAI-like ns."""
        local_ns = machine.monotonic_ns()
        if bus_ns is None:
            bus_ns = machine.utc_ns() + machine.TAI_MINUS_UTC_NS
        return cls(
            BusMap(0, 0, local_ns, bus_ns, rate, 0, 0, ClockState.LOCKED, drift_ppb=0, err_ppb=0)
        )

    def now(self) -> int:
        """Return bus time now, ns.

        Raises:
            ClockError: no probe has come back yet.
        """
        return self._map().at(self.read())

    def stamp(self, local_ns: int | None = None, source_ns: int | None = None) -> Timestamp:
        """Return the timestamp of a local monotonic reading (of now when None).

        Raises:
            ClockError: no probe has come back yet.
        """
        known = self.map or self._map()
        return known.stamp(self.read() if local_ns is None else local_ns, source_ns)

    def _map(self) -> BusMap:
        if self.map is None:
            raise ClockError("bus time is not known yet: no clock probe has come back")
        return self.map
