"""A line from one process's monotonic clock to bus time, with what is known of its error."""

from __future__ import annotations

import msgspec

from scot.errors import ClockError
from scot.timestamp import ClockState, Timestamp

HOLDOVER_AFTER_NS = 2_000_000_000
WANDER_PPB = 1_000
BEND_PPB = 60
WARM_PPB = 5_000


class BusMap(msgspec.Struct, frozen=True, array_like=True):
    """A straight line from a local monotonic clock to bus time, with its error.

    Attributes:
        id: grows with each new line of one source.
        epoch: grows when the source's clock, or bus time itself, stepped.
        local_ns, bus_ns: a point on the line.
        rate: bus ns a local ns (1.0 live; the speed when a recording is played).
        bound_ns, err_ns: guaranteed and likely half-width at that point; None unknown.
        state: as the estimator judged it.
        drift_ppb: by how much `bound_ns` grows in each second away from that point, ns.
        err_ppb: by how much `err_ns` does, while the crystal stays as it is.
    """

    id: int
    epoch: int
    local_ns: int
    bus_ns: int
    rate: float
    bound_ns: int | None
    err_ns: int | None
    state: ClockState
    drift_ppb: int = WANDER_PPB
    err_ppb: int = WANDER_PPB // 2

    def at(self, local_ns: int) -> int:
        """Return the bus time at a local reading."""
        since_ns = local_ns - self.local_ns
        return self.bus_ns + since_ns + round(since_ns * (self.rate - 1.0))

    def local(self, bus_ns: int) -> int:
        """Return the local reading at a bus time.

        Raises:
            ClockError: bus time stands still (a paused replay).
        """
        if self.rate <= 0:
            raise ClockError("bus time stands still; it never reaches another time")
        return self.local_ns + round((bus_ns - self.bus_ns) / self.rate)

    def stamp(self, local_ns: int, source_ns: int | None = None) -> Timestamp:
        """Return the timestamp of a local reading; the error grows with the line's age.

        The likely error grows with what is not known of the skew, and with what the skew may do
        meanwhile: `BEND_PPB` more in each second, until it is `WARM_PPB` more.
        """
        age_ns = local_ns - self.local_ns
        bus_ns = self.bus_ns + age_ns + round(age_ns * (self.rate - 1.0))  # as `at` does
        if age_ns < 0:
            age_ns = -age_ns
        state = self.state
        if age_ns > HOLDOVER_AFTER_NS and state is ClockState.LOCKED:
            state = ClockState.HOLDOVER
        bound_ns, err_ns = self.bound_ns, self.err_ns
        if bound_ns is not None:
            bound_ns += -(-age_ns * self.drift_ppb // 1_000_000_000)
        if err_ns is not None:
            # Comparisons: each sample passes here, and a `min` takes as long as all the rest.
            bend_ppb = age_ns * BEND_PPB // 2_000_000_000
            grows_ppb = self.err_ppb + (bend_ppb if bend_ppb < WARM_PPB else WARM_PPB)  # noqa: FURB136
            if grows_ppb > self.drift_ppb:  # noqa: PLR1730
                grows_ppb = self.drift_ppb
            err_ns += age_ns * grows_ppb // 1_000_000_000
        return Timestamp(source_ns, bus_ns, bound_ns, err_ns, state)
