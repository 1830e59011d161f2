"""What ``scot top`` and ``scot doctor`` hear of a running room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scot.bus.connection import Connection
from scot.bus.subscriber import Delivery
from scot.channel import BULK
from scot.cli.clocks import Clocks
from scot.codec import read_header
from scot.errors import BusError
from scot.health import HealthWatch
from scot.health.report import AGING, Flow
from scot.history import HistoryRequest
from scot.sample import Flags


class ChannelRow(NamedTuple):
    """How one channel stands; see `ChannelRow._asdict` for machines.

    Attributes:
        address: of the channel.
        hz, bytes_hz: samples and bytes a second since the last look.
        age_s: of its newest sample.
        stale: older than a screen may show it.
        err_ms, bound_ms: likely and sure half-width of its newest time.
        clock: state of that time.
        lost, backfilled: missing here now; came back from History.
        kind: of the channel.
    """

    address: str
    hz: float
    bytes_hz: float
    age_s: float
    stale: bool
    err_ms: float | None
    bound_ms: float | None
    clock: str
    lost: int
    backfilled: int
    kind: str

    @property
    def device(self) -> str:
        """The device's name."""
        return self.address.split("/")[1]

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self.address.split("/")[2]


class Heard:
    """A sink that keeps, of each channel, rate and newest; of the room, healths and clocks.

    Attributes:
        health: of every device.
        clocks: of every process.
    """

    def __init__(self) -> None:
        self.health = HealthWatch()
        self.clocks = Clocks()
        self._flows: dict[str, Flow] = {}
        self._last: dict[str, Delivery] = {}
        self._looked_ns: int | None = None

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take a batch."""
        for delivery in batch:
            frame, address = delivery.frame, delivery.frame.address
            flow = self._flows.get(address)
            if flow is None:
                flow = self._flows[address] = Flow(self._looked_ns)
            flow.add(sum(map(len, frame)))
            before = self._last.get(address)
            if before is None or before.header.bus_ns <= delivery.header.bus_ns:
                self._last[address] = delivery
            self.health.take(frame)
        self.clocks.handle(batch)

    def close(self) -> None:
        """Nothing to let go."""

    async def before(self, connection: Connection, since_ns: int, every: bool) -> None:
        """Ask what the healths were since `since_ns`: each of them, or only the first."""
        wanted = [a for a in connection.catalogue.addresses() if a.endswith("/health")]
        now_ns = connection.clock.now()
        while wanted and since_ns < now_ns:
            ask = HistoryRequest(addresses=wanted, at=since_ns)
            if every:
                ask = HistoryRequest(addresses=wanted, between=(since_ns, now_ns))
            try:
                reply = await connection.history(ask)
            except BusError:  # nobody holds it: what comes now must do
                return
            for frame in reply.frames:
                self.health.take(frame)
            if not every or reply.complete or reply.next_ns is None:
                return
            since_ns = max(reply.next_ns, since_ns + 1)

    async def latest(self, connection: Connection) -> None:
        """Ask for the newest of each signal, so that one that is silent is known too."""
        channels = {
            address: channel
            for address in connection.catalogue.addresses()
            if (channel := connection.catalogue.channel(address)) and channel.kind not in BULK
        }
        if not channels:
            return
        ask = HistoryRequest(addresses=[*channels], at=connection.clock.now())
        try:
            reply = await connection.history(ask)
        except BusError:
            return
        for frame in reply.frames:
            channel = channels.get(frame.address)
            if channel is not None and frame.address not in self._last:
                header = read_header(frame)
                self._last[frame.address] = Delivery(frame, header, Flags(header.flags), channel)

    def look(self, connection: Connection) -> list[ChannelRow]:
        """Return a row for each channel that was heard, by address."""
        now_ns, local_ns = connection.clock.now(), connection.clock.read()
        self._looked_ns = local_ns
        lost, backfilled = connection.lost, connection.backfilled
        rows = []
        for address, delivery in sorted(self._last.items()):
            time, channel = delivery.header.time, delivery.channel
            age_s = (now_ns - time.bus_ns) / 1e9
            flow: dict[str, Any] = self._flows.setdefault(address, Flow()).look(local_ns)
            aging = channel.kind in AGING and not channel.latched
            rows.append(
                ChannelRow(
                    address,
                    flow.get("samples_hz", 0.0),
                    flow.get("bytes_hz", 0.0),
                    round(age_s, 3),
                    aging and age_s > channel.stale_after_s,
                    None if time.err_ns is None else round(time.err_ns / 1e6, 3),
                    None if time.bound_ns is None else round(time.bound_ns / 1e6, 3),
                    time.state.label,
                    lost.get(address, 0),
                    backfilled.get(address, 0),
                    channel.kind.value,
                )
            )
        return rows
