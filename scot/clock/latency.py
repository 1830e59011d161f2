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

    def describe(self, channel: Channel) -> Channel:
        """Return the channel with the calibration in its attrs, as the catalogue shows it."""
        return msgspec.structs.replace(channel, attrs={**channel.attrs, **self.attrs()})

    def attrs(self) -> dict[str, Any]:
        """Return what the catalogue says of it."""
        return {
            "latency_ns": self.value_ns,
            "latency_err_ns": self.err_ns,
            "latency_method": self.method,
        }


def applied_ns(channel: Channel) -> int:
    """Return the latency already taken off a channel's bus times, ns; 0 when none is."""
    value = channel.attrs.get("latency_ns", 0)
    return value if isinstance(value, int) else 0
