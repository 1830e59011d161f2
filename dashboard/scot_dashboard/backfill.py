"""What was before the gateway came: asked from History once for each device, never in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from scot.bus.subscriber import Delivery
from scot.channel import Catalogue, Device, Kind, Lifecycle
from scot.errors import BusError, CodecError
from scot.timestamp import ClockState
from scot_dashboard.answers import LOGGED
from scot_dashboard.archive import Archive
from scot_dashboard.feed import Fanout
from scot_dashboard.lanes import CLOCK, FEEDS, SIDE, Lanes
from scot_dashboard.recorded import Recorded
from scot_dashboard.trends import CELL_NS, MAX_HOURS

log = logging.getLogger(__name__)

HEALTH = "health"
SECOND_NS = HEALTH_NS = 1_000_000_000
CLOCKS_NS = 3_600_000_000_000
TRENDS_NS = 3_600_000_000_000
MOST_TRENDS_NS = MAX_HOURS * 3_600_000_000_000
LEVELS, LEVEL_NS = 1_440, CELL_NS // 2  # of one question: an hour of levels that fit into a cell
FOREVER_NS = 2**62
LIMIT_BYTES = 128 << 20
TRIES = 3
AGAIN_S = 1.0


class Backfill:
    """Fills the newest values and the lanes from before; `want` what the catalogue names.

    `learn` is told of every alarm condition that was found.
    """

    def __init__(
        self,
        archive: Archive,
        lanes: Lanes,
        fanout: Fanout,
        clock: Recorded,
        learn: Callable[[Delivery], None],
    ) -> None:
        self.archive = archive
        self.lanes = lanes
        self.fanout = fanout
        self.clock = clock
        self.learn = learn
        self._known: set[str] = {"room"}
        self._devices: asyncio.Queue[str] = asyncio.Queue()

    def want(self, catalogue: Catalogue) -> None:
        """Queue devices that are new."""
        for name in catalogue.devices:
            if name not in self._known:
                self._known.add(name)
                self._devices.put_nowait(name)

    async def done(self) -> None:
        """Wait until everything wanted so far is filled, or was given up."""
        await self._devices.join()

    async def run(self) -> None:
        """Fill until cancelled."""
        try:
            await self._clocks()
        except BusError as error:
            log.info("steps of clocks from before: %s", error)
        while True:
            name = await self._devices.get()
            device = self.fanout.catalogue.devices.get(name)
            if device is not None:
                await self._try(device)
            self._devices.task_done()
            if self.clock.replayed and device is not None:
                await self._whole(device)

    async def _try(self, device: Device) -> None:
        for attempt in range(TRIES):
            try:
                await self._fill(device)
                return
            except BusError as error:
                log.info("%s from before, try %d: %s", device.name, attempt + 1, error)
                await asyncio.sleep(AGAIN_S)

    async def _fill(self, device: Device) -> None:
        """Ask for the state now, then for alarms, notes and health of the whole case.

        Raises:
            BusError: nobody answered.
        """
        prefix = f"{self.fanout.catalogue.workspace}/{device.name}/"
        channels = device.channels.values()
        plain = [prefix + c.name for c in channels if c.kind is not Kind.VIDEO]
        logged = [
            prefix + c.name
            for c in channels
            if c.kind in LOGGED or c.name == HEALTH or c.attrs.get("log")
        ]
        now_ns = self.clock.now()
        newest = await self.archive.at(plain, now_ns)
        self._take(newest)
        # A device's health is stamped by its host, which knows better than a one-way device.
        hosted = not any(
            d.header.state is ClockState.ONE_WAY for d in newest if d.channel.kind in FEEDS
        )
        async for page in self.archive.between(logged, 0, FOREVER_NS, LIMIT_BYTES):
            for delivery in page.deliveries:
                self._log(device.name, delivery, hosted)
            await asyncio.sleep(0)  # live samples go first
        if not self.clock.replayed:
            numerics = [prefix + c.name for c in channels if c.kind is Kind.NUMERIC]
            await self._trends(numerics, now_ns - TRENDS_NS, now_ns)
        conditions = [prefix + c.name for c in channels if c.kind in LOGGED]
        self._take(self.lanes.alarms_at(now_ns, conditions))
        self._take(self.lanes.notes_at(now_ns, conditions))

    async def _whole(self, device: Device) -> None:
        """Fill a recorded device's lanes and trend lines, before and after what is played."""
        prefix = f"{self.fanout.catalogue.workspace}/{device.name}/"
        drawn = {prefix + c.name: c for c in device.channels.values() if c.kind in FEEDS}
        stretch = self.archive.between([*drawn], 0, FOREVER_NS, LIMIT_BYTES, density_ns=SECOND_NS)
        first_ns, last_ns = FOREVER_NS, 0
        try:
            async for page in stretch:
                for address, one in page.densities.items():
                    if one.width_ns != SECOND_NS:
                        continue
                    self.lanes.fill(device.name, drawn[address], one)
                    first_ns = min(first_ns, one.first_ns)
                    last_ns = max(last_ns, one.first_ns + one.span_ns)
                    await asyncio.sleep(0)  # live samples go first
            numerics = [a for a, channel in drawn.items() if channel.kind is Kind.NUMERIC]
            await self._trends(numerics, max(first_ns, last_ns - MOST_TRENDS_NS), last_ns)
        except BusError as error:
            log.info("%s, all of it: %s", device.name, error)

    async def _trends(self, numerics: list[str], from_ns: int, to_ns: int) -> None:
        """Fill trend lines, from levels where there are any.

        Raises:
            BusError: nobody answered.
        """
        for at_ns in range(from_ns, to_ns, LEVELS * LEVEL_NS):
            ends_ns = min(at_ns + LEVELS * LEVEL_NS, to_ns)
            stretch = self.archive.between(
                numerics, at_ns, ends_ns, LIMIT_BYTES, max_points=LEVELS + 1
            )
            async for page in stretch:
                for address, level in page.levels.items():
                    self.lanes.trends.fill(address, level)
                for delivery in page.deliveries:
                    try:
                        self.lanes.trends.add(delivery)
                    except CodecError as error:
                        log.info("%s", error)
                await asyncio.sleep(0)  # live samples go first

    def _take(self, found: list[Delivery]) -> None:
        """Hand over what nothing newer has come for."""
        older = []
        for delivery in found:
            try:
                if not self.fanout.latest.has(delivery):
                    older.append(delivery)
            except CodecError as error:
                log.info("%s", error)
        self.fanout.add(older)
        for delivery in older:
            if delivery.channel.kind in LOGGED:
                self.learn(delivery)

    async def _clocks(self) -> None:
        """Learn which clocks stepped in the last hour; in a replay, in its recording.

        Raises:
            BusError: nobody answered.
        """
        catalogue = self.fanout.catalogue
        addresses = [a for a in catalogue.addresses() if SIDE.sub("", a).endswith(CLOCK)]
        addresses = addresses or [f"{catalogue.workspace}{CLOCK}"]
        since_ns = 0 if self.clock.replayed else self.clock.now() - CLOCKS_NS
        async for page in self.archive.between(addresses, since_ns, FOREVER_NS, LIMIT_BYTES):
            for delivery in page.deliveries:
                self.lanes.add(delivery)
            await asyncio.sleep(0)  # live samples go first

    def _log(self, device: str, delivery: Delivery, hosted: bool) -> None:
        try:
            if delivery.channel.name != HEALTH:
                self.lanes.add(delivery)
            elif not self.clock.replayed and _running(delivery):  # else the samples say it
                bus_ns = delivery.header.bus_ns
                self.lanes.speaks(device, bus_ns - HEALTH_NS, bus_ns)
                if hosted:
                    self.lanes.doubts(device, bus_ns, delivery.header.err_ns)
        except CodecError as error:
            log.info("%s", error)


def _running(delivery: Delivery) -> bool:
    """Whether a host said that its device gives samples."""
    try:
        said = msgspec.msgpack.decode(delivery.frame.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("state") == Lifecycle.RUNNING.value
