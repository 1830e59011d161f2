"""Where a recording's frames leave for the bus: each at its time, or as fast as credit comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scot.bus.connection import Connection
from scot.channel import Channel
from scot.clock.deadline import Deadline
from scot.codec import Frame
from scot.errors import ClockError
from scot_replay.cast import Cast, Played
from scot_replay.found import Found
from scot_replay.laps import Lap

MAX_HELD = 512
EARLY_NS = 5_000
STILL_NS = 50_000_000
BUNDLE, BUNDLE_BYTES = 256, 2 << 20
"""Flat out so many frames, or bytes, are handed to the socket at once, then credit is awaited."""


class Outlet:
    """Sends frames of one recording on one connection.

    Args:
        connection: joined to the replay room.
        recording: that is played.
        cast: its devices, which change while it plays.
        lap: that is played.

    Attributes:
        lap: may be replaced between frames.
        last: what was sent last in this lap; None when nothing was.
    """

    def __init__(self, connection: Connection, recording: Played, cast: Cast, lap: Lap) -> None:
        self.connection = connection
        self.recording = recording
        self.cast = cast
        self.lap = lap
        self.last: Found | None = None
        self._deadline = Deadline()
        self._channels: dict[str, Channel] = {}

    def send(self, found: Sequence[Found]) -> None:
        """Send frames now, in this order."""
        self.connection.pass_on(self._frames(found))

    async def in_time(self, batch: Sequence[Found]) -> None:
        """Send each frame when the room's clock reaches it."""
        for one in batch:
            await self.wait(one.bus_ns)
            self.send((one,))
            self.last = one
            if self.connection.held > MAX_HELD:
                await self.connection.drained()

    async def flat_out(self, batch: Sequence[Found]) -> None:
        """Send frames as credit comes; devices change before what follows their change."""
        for bundle in bundles(batch):
            if self.cast.due(bundle[-1].bus_ns) is None:
                self.send(bundle)
            else:
                for one in bundle:
                    while self.cast.due(one.bus_ns) is not None:
                        await self.cast.change()
                    self.send((one,))
                    self.last = one
            self.last = bundle[-1]
            await self.connection.credit()

    async def wait(self, at_ns: int) -> None:
        """Wait until the room's clock plays `at_ns`; show what changed of devices until then."""
        while (change_ns := self.cast.due(at_ns)) is not None:
            await self._until(self.lap.out(change_ns))
            await self.cast.change()
        await self._until(self.lap.out(at_ns))

    async def local(self, due_ns: int) -> None:
        """Wait until the machine's clock reads `due_ns`."""
        await self._deadline.until(due_ns)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._deadline.close()

    def _frames(self, found: Sequence[Found]) -> Iterator[tuple[Frame, Channel]]:
        shifted = bool(self.lap.number)
        for one in found:
            channel = self._channels.get(one.address)
            if channel is None:
                channel = self._channels[one.address] = self.recording.channel(one.address)
            yield (self.lap.frame(one) if shifted else one.frame), channel

    async def _until(self, bus_ns: int) -> None:
        """Wait until the room's clock reads `bus_ns`; the clock may change meanwhile."""
        clock = self.connection.clock
        while bus_ns - clock.now() > EARLY_NS:
            now_ns = clock.read()
            try:
                due_ns = clock.map.local(bus_ns) if clock.map is not None else now_ns + STILL_NS
            except ClockError:  # paused
                due_ns = now_ns + STILL_NS
            await self._deadline.until(min(due_ns, now_ns + 1_000_000_000))


def bundles(batch: Sequence[Found]) -> Iterator[Sequence[Found]]:
    """Yield a batch in pieces that a socket takes at once."""
    first, size = 0, 0
    for place, one in enumerate(batch):
        size += len(one.frame.payload)
        if place - first + 1 >= BUNDLE or size >= BUNDLE_BYTES:
            yield batch[first : place + 1]
            first, size = place + 1, 0
    if first < len(batch):
        yield batch[first:]
