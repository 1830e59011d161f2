"""Answers to pages that look back: History and lanes, through the same egress as live."""

from __future__ import annotations

import logging

from scot.bus.subscriber import Delivery
from scot.channel import Kind
from scot.errors import BusError, ScotError
from scot_dashboard import wire
from scot_dashboard.archive import ANSWER_BYTES, Archive
from scot_dashboard.egress import Egress
from scot_dashboard.feed import Fanout
from scot_dashboard.lanes import Lanes
from scot_dashboard.recorded import Recorded
from scot_dashboard.viewer import Viewer

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 << 10
LOGGED = frozenset({Kind.ALARM, Kind.ANNOTATION})


class Answers:
    """Answers one page's questions one after the other, in parts that live samples overtake."""

    def __init__(self, archive: Archive, lanes: Lanes, fanout: Fanout, clock: Recorded) -> None:
        self.archive = archive
        self.lanes = lanes
        self.fanout = fanout
        self.clock = clock

    async def serve(self, viewer: Viewer) -> None:
        """Answer until cancelled."""
        while True:
            await viewer.asked.wait()
            viewer.asked.clear()
            while viewer.asks:
                asked = viewer.asks[0]
                try:
                    await self._answer(viewer, asked)
                except ScotError as error:
                    what = str(asked.__struct_config__.tag)
                    log.info("%s of %s: %s", what, viewer.person.id, error)
                    viewer.say("refused", what, asked.id, _for_people(error))
                viewer.asks.popleft()

    async def _answer(self, viewer: Viewer, asked: wire.Question) -> None:
        egress = self.fanout.audiences[viewer.person.role].egress
        if isinstance(asked, wire.Lanes):
            lanes = self.lanes.answer(asked.ask, egress)
            await viewer.answer(wire.lanes(asked.id, lanes))
        elif isinstance(asked, wire.Trends):
            trends = self.lanes.trends.answer(asked.ask, egress)
            await viewer.answer(wire.trends(asked.id, trends))
        elif asked.ask.at is not None and asked.ask.between is None:
            found = await self.state(asked.ask.addresses, asked.ask.at, egress)
            await self._send(viewer, asked.id, found, None, last=True)
        elif asked.ask.between is not None and asked.ask.at is None:
            await self._stretch(viewer, asked.id, asked.ask.addresses, asked.ask.between)
        else:
            viewer.say("refused", "history", asked.id, "give either `between` or `at`")

    async def state(self, addresses: list[str], at_ns: int, egress: Egress) -> list[Delivery]:
        """Return what a role may know of the state at an instant, never of the future.

        Raises:
            BusError: nobody holds it.
        """
        at_ns = min(at_ns, self.clock.horizon())
        allowed = [address for address in addresses if egress.history_passes(address)]
        logged = [a for a in allowed if self._kind(a) in LOGGED]
        plain = [a for a in allowed if a not in logged]
        found = await self.archive.at(plain, at_ns)
        return [
            *self.lanes.alarms_at(at_ns, logged),
            *self.lanes.notes_at(at_ns, logged),
            *found,
        ]

    async def _stretch(
        self, viewer: Viewer, request: int, addresses: list[str], between: tuple[int, int]
    ) -> None:
        role = viewer.person.role
        egress = self.fanout.audiences[role].egress
        allowed = [address for address in addresses if egress.history_passes(address)]
        until_ns = min(between[1], self.clock.horizon() + 1)
        next_ns = None
        async for page in self.archive.between(allowed, between[0], until_ns, ANSWER_BYTES):
            next_ns = page.next_ns
            await self._send(viewer, request, page.deliveries, None, last=False)
        await self._send(viewer, request, [], next_ns, last=True)

    async def _send(
        self,
        viewer: Viewer,
        request: int,
        found: list[Delivery],
        next_ns: int | None,
        *,
        last: bool,
    ) -> None:
        """Send deliveries in chunks, as the viewer's role may have them when each one goes."""
        chunk: list[bytes] = []
        size = 0
        for delivery in found:
            egress = self.fanout.audiences[viewer.person.role].egress
            address, kind = delivery.frame.address, delivery.channel.kind
            payload = egress.payload(delivery.frame, kind)
            if payload is None or not egress.history_passes(address):
                continue
            chunk.append(wire.entry(delivery.frame, delivery.header, delivery.flags, payload))
            size += len(chunk[-1])
            if size >= CHUNK_BYTES:
                await viewer.answer(wire.history(request, False, None, chunk))
                chunk, size = [], 0
        if chunk or last:
            await viewer.answer(wire.history(request, last, next_ns, chunk))

    def _kind(self, address: str) -> Kind | None:
        channel = self.fanout.catalogue.channel(address)
        return channel.kind if channel else None


def _for_people(error: ScotError) -> str:
    """Return an error's text for a page: what is missing, without the inside of the room."""
    if isinstance(error, BusError):
        return "nobody in the room holds that time; the recorder may be off"
    return "that could not be read; look at another time"
