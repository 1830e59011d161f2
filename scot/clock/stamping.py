"""How one device's samples get their timestamps: whatever it gives, the best that can be said."""

from __future__ import annotations

from typing import Literal

from scot.clock.clock import Clock
from scot.clock.dejitter import Dejitter
from scot.clock.oneway import FLOOR_NS, OneWay
from scot.timestamp import ClockState, Timestamp

Base = Literal["device", "host"]


class Stamping:
    """One device's clock and the counters of its streams.

    Args:
        clock: bus time in this process.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._oneway = OneWay()
        self._streams: dict[str, Dejitter] = {}
        self._segments = 0  # of streams that are no more
        self._identity = ""

    def heard(self, source_ns: int, arrived_ns: int) -> None:
        """Learn from a reading of the device's clock that came without a sample."""
        self._oneway.stamp(source_ns, self._clock.stamp(arrived_ns))

    def declare_accuracy(self, accuracy_s: float | None) -> None:
        """Take the device's word for how far its clock is from UTC at most; None: none given."""
        self._oneway.accuracy_ns = None if accuracy_s is None else round(accuracy_s * 1e9)

    @property
    def accuracy_ns(self) -> int | None:
        """How far the device says its clock is from UTC at most; None: it does not say."""
        return self._oneway.accuracy_ns

    def new_epoch(self, identity: str = "") -> bool:
        """Begin anew with another clock of the device; False when `identity` is still the same.

        The first identity names the clock that is there already.
        """
        before, self._identity = self._identity, identity
        if identity and before in ("", identity):
            return False
        self._oneway.new_epoch()
        self._segments += sum(stream.segment for stream in self._streams.values())
        self._streams.clear()
        return True

    @property
    def counts(self) -> dict[str, int]:
        """What became of the device's clocks, for its health; only what is not 0."""
        streams = self._streams.values()
        counts = {
            "clock_epochs": self._oneway.epoch,
            "stream_segments": self._segments + sum(stream.segment for stream in streams),
            "samples_missing": sum(stream.mended for stream in streams),
        }
        return {what: count for what, count in counts.items() if count}

    def arrival(self, arrived_ns: int) -> Timestamp:
        """Return the time of arrival, where the device gives no time and no rate."""
        return self._clock.stamp(arrived_ns)

    def paced(
        self, stream: str, counter: int | None, values: int, rate_hz: float, arrived_ns: int
    ) -> Timestamp:
        """Return the time of a block's first value by its counter; None infers the counter."""
        arrival = self._clock.stamp(arrived_ns)
        place = self._streams.setdefault(stream, Dejitter()).place
        bus_ns, unsure_ns = place(counter, values, rate_hz, arrival.bus_ns)
        err_ns = FLOOR_NS + unsure_ns + (arrival.err_ns or 0)
        return Timestamp(None, bus_ns, None, err_ns, ClockState.ONE_WAY)

    def told(
        self,
        stream: str,
        source_ns: int,
        base: Base,
        arrived_ns: int,
        values: int,
        rate_hz: float | None,
        counter: int | None,
    ) -> Timestamp:
        """Return the time of what carries one; a counter takes the jitter of stamping out of it."""
        if base == "host" and counter is None:
            return self._clock.stamp(source_ns, source_ns)
        if counter is None or not rate_hz:
            return self._placed(stream, source_ns, source_ns, base, arrived_ns, values, rate_hz)
        place = self._streams.setdefault(stream, Dejitter()).place
        at_ns, unsure_ns = place(counter, values, rate_hz, source_ns, at_first=True)
        time = self._placed(stream, at_ns, source_ns, base, arrived_ns, values, rate_hz)
        bound_ns = None if time.bound_ns is None else time.bound_ns + abs(at_ns - source_ns)
        err_ns = None if time.err_ns is None else time.err_ns + unsure_ns
        if err_ns is not None and bound_ns is not None:
            err_ns = min(err_ns, bound_ns)
        return Timestamp(source_ns, time.bus_ns, bound_ns, err_ns, time.state)

    def _placed(
        self,
        stream: str,
        at_ns: int,
        source_ns: int,
        base: Base,
        arrived_ns: int,
        values: int,
        rate_hz: float | None,
    ) -> Timestamp:
        if base == "host":
            return self._clock.stamp(at_ns, source_ns)
        span_ns = round((values - 1) * 1e9 / rate_hz) if rate_hz else 0
        return self._oneway.stamp(at_ns, self._clock.stamp(arrived_ns), span_ns, stream)
