"""Devices that stamp their samples but answer no probes.

The device's reading plus the smallest (arrival − reading) yet seen places a sample; the true time
is earlier by the shortest delay on the way, which no one-way stream can reveal. So there is no
guaranteed bound, and the likely error is a declared floor plus what the minimum has not settled.
"""

from __future__ import annotations

from collections import deque

from scot.timestamp import ClockState, Timestamp

WINDOW_NS = 60_000_000_000
FLOOR_NS = 2_000_000
STEP_NS = 1_000_000_000
_BINS = 60


class OneWay:
    """Maps one device's clock to bus time by the lower envelope of its arrivals.

    Attributes:
        epoch: grows when the device's clock steps by more than a second.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._bins: deque[tuple[int, int]] = deque(maxlen=_BINS)  # (bin, least offset)

    def stamp(self, source_ns: int, arrival: Timestamp) -> Timestamp:
        """Return the bus timestamp of a device reading that came at `arrival`."""
        offset_ns = arrival.bus_ns - source_ns
        least_ns = min((least for _, least in self._bins), default=offset_ns)
        if abs(offset_ns - least_ns) > STEP_NS:
            self.epoch += 1
            self._bins.clear()
            least_ns = offset_ns
        width_ns = WINDOW_NS // _BINS
        index = arrival.bus_ns // width_ns
        if not self._bins or self._bins[-1][0] != index:
            self._bins.append((index, offset_ns))
        elif offset_ns < self._bins[-1][1]:
            self._bins[-1] = (index, offset_ns)
        least_ns = min(least_ns, offset_ns)
        err_ns = FLOOR_NS + (arrival.err_ns or 0)
        return Timestamp(source_ns, source_ns + least_ns, None, err_ns, ClockState.ONE_WAY)
