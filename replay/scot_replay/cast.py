"""Who plays in a recording: the channels a player sends, and its devices as they stood."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Protocol

import msgspec

from scot.channel import Catalogue, Channel, Device
from scot.history import HistoryReply, HistoryRequest
from scot.recording import Recorded
from scot.transport import PLAYER
from scot_replay.found import Found

NOT_OURS = frozenset({"room", "recorder", PLAYER})
CLOCK = "room/clock"
"""The room's only channel that is the recording's: how its clocks stood and stepped. The broker of
a replay keeps those of its own processes to itself."""


class Played(Protocol):
    """What a player needs of a recording, or of several side by side.

    Attributes:
        catalogue: all it knows.
        first_ns, last_ns: bus time of the first and the last sample.
        damage: lines that say what cannot be read.
    """

    catalogue: Catalogue
    first_ns: int
    last_ns: int

    @property
    def damage(self) -> list[str]:
        """Lines that say what cannot be read."""

    @property
    def channels(self) -> dict[str, Recorded]:
        """What there is of each channel, by address."""

    @property
    def catalogues(self) -> list[tuple[int, Catalogue]]:
        """Versions of the catalogue, with the bus time from which each was true."""

    def channel(self, address: str) -> Channel:
        """Return the description of a channel."""

    def epochs(self) -> list[int]:
        """Return when publishers started, bus ns."""

    def stream(self, addresses: Iterable[str], between: tuple[int, int]) -> Iterator[Found]:
        """Yield the samples of [from, to) in order of bus time, address, epoch and seq."""

    def found_all(self, addresses: Iterable[str], bus_ns: int) -> list[Found]:
        """Return each channel's last frame at or before `bus_ns`; of video its whole group."""

    def history(self, ask: HistoryRequest) -> HistoryReply:
        """Answer History."""

    def close(self) -> None:
        """Give its files back."""


def ours(address: str) -> bool:
    """Say whether a player sends a channel: not the room's and the recorder's own, but `CLOCK`."""
    _, _, rest = address.partition("/")
    return rest == CLOCK or rest.partition("/")[0] not in NOT_OURS


def published(recording: Played) -> list[str]:
    """Return the channels a player sends."""
    return [
        address for address, known in recording.channels.items() if known.count and ours(address)
    ]


def device_changes(recording: Played) -> list[tuple[int, Device]]:
    """Return, in bus-time order, each state a device was in, with every channel it ever had."""
    whole = recording.catalogue.devices
    seen: dict[str, Device] = {}
    changes: list[tuple[int, Device]] = []
    for bus_ns, catalogue in recording.catalogues:
        for name, device in catalogue.devices.items():
            if name not in NOT_OURS:
                now = msgspec.structs.replace(device, channels=whole[name].channels)
                if seen.get(name) != now:
                    seen[name] = now
                    changes.append((bus_ns, now))
    return changes


class Cast:
    """The devices of a recording, announced as they stood at the instant that is played.

    Args:
        recording: that is played.
        announce: puts a device into the catalogue.
    """

    def __init__(self, recording: Played, announce: Callable[[Device], Awaitable[None]]) -> None:
        self._announce = announce
        self._changes = device_changes(recording)
        self._changed = 0
        self._shown: dict[str, Device] = {}

    async def stand(self, at_ns: int, *, everyone: bool = False) -> None:
        """Show each device as it stood at a recorded instant, if it is not shown so.

        Args:
            at_ns: that instant.
            everyone: also those that came later, as they came.
        """
        then: dict[str, Device] = {}
        for bus_ns, device in self._changes:
            if bus_ns <= at_ns or (everyone and device.name not in then):
                then[device.name] = device
        for device in then.values():
            await self._show(device)
        self._changed = sum(bus_ns <= at_ns for bus_ns, _ in self._changes)

    def due(self, at_ns: int) -> int | None:
        """Return when the next change was, if it was by `at_ns`."""
        if self._changed < len(self._changes) and self._changes[self._changed][0] <= at_ns:
            return self._changes[self._changed][0]
        return None

    async def change(self) -> None:
        """Show the next change."""
        _, device = self._changes[self._changed]
        self._changed += 1
        await self._show(device)

    async def _show(self, device: Device) -> None:
        if self._shown.get(device.name) != device:
            await self._announce(device)
            self._shown[device.name] = device
