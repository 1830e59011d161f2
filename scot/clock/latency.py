"""Device latency: by how much a device's samples lag behind the world, as a calibration.

An endoscope's picture reaches the host 80 ms after the light did. No clock protocol can see that:
it is declared, or found from content (``scot calibrate``), and then taken off the bus time of the
samples. Their raw source time is never touched, so a later calibration can be put in its place.
"""

from __future__ import annotations

from typing import Any

import msgspec

from scot.channel import Channel
from scot.timestamp import Timestamp


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How late a device's samples are, with its own uncertainty.

    Attributes:
        value_ns: taken off the bus time; positive when the samples come later than the world.
        err_ns: half-width that likely (95 %) holds the truth.
        method: how it was found: ``content``, ``declared`` or what its writer says.
        channel: the only channel it is for; every channel of the device when empty.
    """

    value_ns: int
    err_ns: int
    method: str
    channel: str = ""

    def concerns(self, channel: str) -> bool:
        """Say whether it is for the channel of that name."""
        return self.channel in ("", channel)

    def apply(self, time: Timestamp) -> Timestamp:
        """Return the time at which the world was as the sample shows it.

        The likely error grows by the calibration's. The bound grows by twice that: it stays wider
        than the likely error, but remains a promise about the clock only, since nothing can
        guarantee how a camera works.
        """
        bound_ns, err_ns = time.bound_ns, time.err_ns
        return Timestamp(
            time.source_ns,
            time.bus_ns - self.value_ns,
            None if bound_ns is None else bound_ns + 2 * self.err_ns,
            None if err_ns is None else err_ns + self.err_ns,
            time.state,
        )

    def attrs(self) -> dict[str, Any]:
        """Return what the catalogue says of it."""
        return {
            "latency_ns": self.value_ns,
            "latency_err_ns": self.err_ns,
            "latency_method": self.method,
        }


_ATTRS = frozenset({"latency_ns", "latency_err_ns", "latency_method"})


def described(channel: Channel, latency: Latency | None) -> Channel:
    """Return a channel with what the catalogue says of its latency, and of no other one."""
    attrs = {key: value for key, value in channel.attrs.items() if key not in _ATTRS}
    if latency is not None and latency.concerns(channel.name):
        attrs |= latency.attrs()
    return channel if attrs == channel.attrs else msgspec.structs.replace(channel, attrs=attrs)


class Lateness:
    """One device's latency, taken off its samples, which may change while they flow.

    A channel's bus time never runs back. Where a change would make it, samples are held just after
    the last one until the others have caught up: their errors grow by as much as they are moved,
    so that what they say stays true, and they are told apart.

    Attributes:
        latency: what is taken off now; None: nothing.
    """

    def __init__(self, latency: Latency | None) -> None:
        self.latency = latency
        self._newest: dict[str, int] = {}
        self._floor: dict[str, int] = {}

    def change(self, latency: Latency | None) -> None:
        """Take another one off from now on."""
        self.latency = latency
        self._floor |= self._newest

    def applied(self, channel: str, time: Timestamp) -> tuple[Timestamp, bool]:
        """Return the time to publish, and whether it was held."""
        if self.latency is not None and self.latency.concerns(channel):
            time = self.latency.apply(time)
        floor_ns = self._floor.get(channel) if self._floor else None
        if floor_ns is not None and time.bus_ns <= floor_ns:
            self._floor[channel] = self._newest[channel] = floor_ns + 1
            return _held(time, floor_ns + 1), True
        if floor_ns is not None:
            del self._floor[channel]
        self._newest[channel] = time.bus_ns
        return time, False


def _held(time: Timestamp, bus_ns: int) -> Timestamp:
    """Return a time moved to `bus_ns`, its errors wider by as much."""
    by_ns = abs(bus_ns - time.bus_ns)
    bound_ns, err_ns = (None if e is None else e + by_ns for e in (time.bound_ns, time.err_ns))
    return Timestamp(time.source_ns, bus_ns, bound_ns, err_ns, time.state)


def applied_ns(channel: Channel) -> int:
    """Return the latency already taken off a channel's bus times, ns; 0 when none is."""
    value = channel.attrs.get("latency_ns", 0)
    return value if isinstance(value, int) else 0
