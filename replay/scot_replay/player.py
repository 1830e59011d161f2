"""The player: a recording comes back onto the bus, and nothing downstream can tell (DESIGN §2).

A service of a replay room (entry points ``scot.services``). The room's clock is set to the
recording's time and flows at the chosen rate; the player publishes each frame unchanged when the
clock reaches its bus time. Deadlines are absolute, so it never drifts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from scot.bus.connection import Connection
from scot.channel import Device
from scot.clock import machine
from scot.codec import Frame
from scot.errors import ClockError, ConfigError
from scot.history import HistoryReply, HistoryRequest
from scot.host import Service
from scot_replay.found import Found
from scot_replay.laps import Lap
from scot_replay.maps import Sync
from scot_replay.recording import DirectoryRecording, open_recording

NOT_OURS = frozenset({"room", "recorder"})
CLOCK = "room/clock"
"""The room's only channel that is the recording's: how its clocks stood and stepped. The broker of
a replay keeps those of its own processes to itself."""

AHEAD = 512
MAX_HELD = 512
EARLY_NS = 500_000
STILL_NS = 50_000_000


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a start of the player is given.

    Attributes:
        recording: directory.
        rate: bus seconds a second; the room's clock holds to it, the player follows the clock.
        from_ns: bus time to begin at; the recording's first sample when None.
        loop: begin again at the end, later in bus time, under new epochs.
        sync: which clock maps it is played with, see `scot.open`.
    """

    recording: Annotated[str, Meta(min_length=1)]
    rate: Annotated[float, Meta(gt=0)] = 1.0
    from_ns: int | None = None
    loop: bool = False
    sync: Sync = Sync.AS_RECORDED


async def serve(service: Service) -> None:
    """Play until `service.stopping`; at the end of the recording History goes on answering.

    Raises:
        ConfigError: the options are not those of a player.
        RecordingError: the recording cannot be opened.
    """
    try:
        options = msgspec.convert(service.options, Options)
    except msgspec.ValidationError as error:
        allowed = ", ".join(Options.__struct_fields__)
        raise ConfigError("player", "options", str(error), f"allowed: {allowed}") from None
    recording = await asyncio.to_thread(open_recording, Path(options.recording), options.sync)
    player = Player(service.connection, recording, options)
    try:
        await player.announce()
        await service.connection.serve_history(player.answer)
        service.ready(
            recording=options.recording,
            first_ns=recording.first_ns,
            last_ns=recording.last_ns,
            damage=recording.damage,
        )
        playing = asyncio.create_task(player.run())
        stopping = asyncio.create_task(service.stopping.wait())
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()  # an error of ours ends the service
            await stopping
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
    finally:
        recording.close()


def ours(address: str) -> bool:
    """Say whether a player sends a channel: not the room's and the recorder's own, but `CLOCK`."""
    _, _, rest = address.partition("/")
    return rest == CLOCK or rest.partition("/")[0] not in NOT_OURS


def published(recording: DirectoryRecording) -> list[str]:
    """Return the channels a player sends."""
    return [
        address for address, known in recording.channels.items() if known.count and ours(address)
    ]


def device_changes(recording: DirectoryRecording) -> list[tuple[int, Device]]:
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


class Player:
    """Plays one recording onto one connection.

    Args:
        connection: joined to the replay room.
        recording: to play.
        options: see `Options`.
    """

    def __init__(
        self, connection: Connection, recording: DirectoryRecording, options: Options
    ) -> None:
        self.connection = connection
        self.recording = recording
        self.from_ns = options.from_ns if options.from_ns is not None else recording.first_ns
        self.loop = options.loop
        self.lap = Lap(0, recording.last_ns - recording.first_ns + 1)
        self._addresses = published(recording)
        self._changes = device_changes(recording)
        self._changed = 0

    async def announce(self) -> None:
        """Announce every recorded device as it stood at the beginning."""
        now: dict[str, Device] = {}
        for bus_ns, device in self._changes:
            if bus_ns <= self.from_ns or device.name not in now:
                now[device.name] = device
        self._changed = sum(bus_ns <= self.from_ns for bus_ns, _ in self._changes)
        for device in now.values():
            if device.name not in self.connection.catalogue.devices:
                await self.connection.announce(device, health=False)

    async def run(self) -> None:
        """Publish what was true at the beginning, then each frame at its time."""
        for frame in await asyncio.to_thread(self.recording.state, self.from_ns - 1):
            self._publish(frame)
        await self._once(self.from_ns)
        while self.loop:
            self.lap = Lap(self.lap.number + 1, self.lap.period_ns)
            self._changed = 0
            await self._once(self.recording.first_ns)

    async def answer(self, ask: HistoryRequest) -> HistoryReply:
        """Answer History from the file, off the event loop."""
        addresses = [a for a in ask.addresses if ours(a)]
        ask = msgspec.structs.replace(ask, addresses=addresses)
        lap = self.lap if self.loop else None
        if lap is None:
            return await asyncio.to_thread(self.recording.history, ask)
        return await asyncio.to_thread(lap.answer, ask, self.recording)

    async def _once(self, from_ns: int) -> None:
        stream = self.recording.stream(self._addresses, (from_ns, self.recording.last_ns + 1))
        ahead = asyncio.create_task(_next(stream))
        while batch := await ahead:
            ahead = asyncio.create_task(_next(stream))
            try:
                for one in batch:
                    await self._show_changes(one.bus_ns)
                    await self._wait(self.lap.out(one.bus_ns))
                    self._publish(self.lap.frame(one) if self.lap.number else one.frame)
                    if self.connection.held > MAX_HELD:
                        await self.connection.drained()
            except asyncio.CancelledError:
                ahead.cancel()
                raise

    async def _wait(self, bus_ns: int) -> None:
        """Wait until the room's clock reads `bus_ns`; the clock may change meanwhile."""
        clock = self.connection.clock
        while bus_ns - clock.now() > EARLY_NS:
            now_ns = clock.read()
            try:
                due_ns = clock.map.local(bus_ns) if clock.map is not None else now_ns + STILL_NS
            except ClockError:  # paused
                due_ns = now_ns + STILL_NS
            await machine.until(min(due_ns, now_ns + 1_000_000_000))

    async def _show_changes(self, bus_ns: int) -> None:
        while self._changed < len(self._changes) and self._changes[self._changed][0] <= bus_ns:
            at_ns, device = self._changes[self._changed]
            self._changed += 1
            await self._wait(self.lap.out(at_ns))
            await self.connection.announce(device, health=False)

    def _publish(self, frame: Frame) -> None:
        self.connection.publish_frame(frame, self.recording.channel(frame.address))


async def _next(stream: Iterator[Found]) -> list[Found]:
    return await asyncio.to_thread(lambda: list(islice(stream, AHEAD)))
