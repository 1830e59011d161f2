"""What is known of the health of every device of a room, from its samples in any order. Sans-IO."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from scot.codec import Frame, read_header
from scot.errors import CodecError
from scot.health.fields import STALE_AFTER_S, Health, read

SUFFIX = "/health"
KEPT = 128  # of each device: two minutes
MAX_DEVICES = 1_000


class Known(NamedTuple):
    """One device's health.

    Attributes:
        at_ns: when it said so, bus time.
        epoch_ns: when the process that said it joined; its counts are from then.
    """

    at_ns: int
    epoch_ns: int
    health: Health


class HealthWatch:
    """The newest health of every device, and what it was lately.

    Attributes:
        bad: events that were no health, by device.
    """

    def __init__(self) -> None:
        self.bad: dict[str, int] = {}
        self._known: dict[str, list[Known]] = {}

    def take(self, frame: Frame) -> None:
        """Take a frame of any channel; those that are no ``health`` are left alone."""
        address = frame.address
        if not address.endswith(SUFFIX):
            return
        device = address.split("/")[1]
        if device not in self._known and len(self._known) >= MAX_DEVICES:
            return
        try:
            header = read_header(frame)
            known = Known(header.bus_ns, header.epoch, read(frame.payload))
        except CodecError:
            self.bad[device] = self.bad.get(device, 0) + 1
            return
        held = self._known.setdefault(device, [])
        place = bisect_left(held, known.at_ns, key=lambda one: one.at_ns)
        if place == len(held) or held[place].at_ns != known.at_ns:
            held.insert(place, known)
        if len(held) > KEPT:
            del held[0]

    @property
    def devices(self) -> list[str]:
        """Names of those that said anything, sorted."""
        return sorted(self._known)

    def newest(self, device: str) -> Known | None:
        """Return the newest that a device said."""
        held = self._known.get(device)
        return held[-1] if held else None

    def now(self, device: str, bus_ns: int) -> Health | None:
        """Return a device's health if it is of now: never a number that has grown old."""
        known = self.newest(device)
        fresh = known is not None and (bus_ns - known.at_ns) / 1e9 <= STALE_AFTER_S
        return known.health if known is not None and fresh else None

    def rise(self, device: str, name: str, since_ns: int = 0) -> int:
        """Return by how much a count of a device grew since `since_ns`, as far as is known.

        A process that was started since then counts from 0. Of an older one something from before
        must be known; otherwise nothing grew.
        """
        held = self._known.get(device)
        if not held:
            return 0
        newest = held[-1]
        count = _count(newest.health, name)
        if newest.epoch_ns >= since_ns > 0:
            return count
        place = bisect_left(held, since_ns, key=lambda one: one.at_ns)
        first = held[min(place, len(held) - 1)]
        return count - _count(first.health, name) * (first.epoch_ns == newest.epoch_ns)


def _count(health: Health, name: str) -> int:
    found: object = health
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
    return found if isinstance(found, int) else 0
