"""The page's time. Live it is bus time; in a replay it is the recording's own, the surgery's.

A replay's bus time grows by a period with every lap (see `scot.transport`). Here, at the gateway's
edge, whole periods are taken off whatever comes from the bus and added to whatever is asked, so
that a page sees one recording on one axis, wherever its player has been sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from scot.bus.connection import Connection
from scot.bus.subscriber import Delivery
from scot.channel import Catalogue
from scot.history import HistoryReply, HistoryRequest
from scot.transport import LAST_NS, PLAYER, STATE, Laps

_encode = msgspec.msgpack.Encoder().encode


class Recorded:
    """Turns bus time into the page's time, and back.

    Attributes:
        lap: that is played; 0 where nothing is.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.lap = 0
        self._laps: Laps | None = None

    def follow(self, catalogue: Catalogue) -> None:
        """Learn from the catalogue where laps lie."""
        device = catalogue.devices.get(PLAYER) if catalogue.replay else None
        channel = device.channels.get(STATE) if device is not None else None
        if channel is None:
            return
        try:
            self._laps = msgspec.convert(channel.attrs, Laps)
        except msgspec.ValidationError:
            self._laps = None

    def now(self) -> int:
        """Return the page's time now, ns."""
        bus_ns = self.connection.clock.now()
        return bus_ns if self._laps is None else self._laps.recorded(bus_ns)

    @property
    def replayed(self) -> bool:
        """Whether all there is, is known already: a recording's past and its future."""
        return self._laps is not None

    def horizon(self) -> int:
        """Return up to when a page may ask: now, or the end of a recording, which is all past."""
        return self.now() if self._laps is None else LAST_NS

    def take(self, batch: Sequence[Delivery]) -> tuple[list[Delivery], bool]:
        """Return what came, in the page's time, and whether a next lap has begun.

        What is left of a lap that is over is not passed on.
        """
        if self._laps is None:
            return [*batch], False
        newest = max((self._laps.number(one.header.bus_ns) for one in batch), default=0)
        turned = newest > self.lap
        if turned:
            self.lap = newest
            self.connection.retime()
        room = f"{self.connection.workspace}/room/"
        return [
            self.back(one)
            for one in batch
            if self._laps.number(one.header.bus_ns) == self.lap
            or one.frame.address.startswith(room)
        ], turned

    def back(self, one: Delivery) -> Delivery:
        """Return a delivery with the stamps that were recorded."""
        if self._laps is None:
            return one
        shift_ns = self._laps.shift_ns(self._laps.number(one.header.bus_ns))
        if not shift_ns:
            return one
        header = msgspec.structs.replace(
            one.header, bus_ns=one.header.bus_ns - shift_ns, epoch=one.header.epoch - shift_ns
        )
        return one._replace(header=header, frame=one.frame._replace(header=_encode(header)))

    def ask(self, ask: HistoryRequest) -> HistoryRequest:
        """Return a question in bus time."""
        if self._laps is None or not self.lap:
            return ask
        shift_ns, origin_ns = self._laps.shift_ns(self.lap), self._laps.origin_ns
        if ask.between is not None:
            from_ns, to_ns = (min(max(t, origin_ns) + shift_ns, LAST_NS) for t in ask.between)
            return msgspec.structs.replace(ask, between=(from_ns, to_ns))
        at_ns = max(ask.at or 0, origin_ns) + shift_ns
        return msgspec.structs.replace(ask, at=at_ns)

    def answered(self, reply: HistoryReply, ask: HistoryRequest) -> HistoryReply:
        """Return an answer to a question in bus time, in the page's time; its frames stay."""
        laps = self._laps
        if laps is None:
            return reply
        shift_ns = laps.shift_ns(laps.number(ask.between[0] if ask.between else ask.at or 0))
        if not shift_ns:
            return reply
        first_ns, next_ns = (
            None if t is None else laps.recorded(t) for t in (reply.first_ns, reply.next_ns)
        )
        return HistoryReply(
            frames=reply.frames,
            complete=reply.complete,
            first_ns=first_ns,
            next_ns=next_ns,
            levels={a: one.moved(-shift_ns) for a, one in reply.levels.items()},
            densities={a: one.moved(-shift_ns) for a, one in reply.densities.items()},
        )
