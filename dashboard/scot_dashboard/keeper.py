"""Keeps the room's alarms for a gateway: takes from the bus, publishes, hears people's wishes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import msgspec

from scot.bus.subscriber import Delivery
from scot.channel import Catalogue
from scot.clock import machine
from scot.errors import BusError, CodecError
from scot_dashboard import alarms
from scot_dashboard.alarms import Alarms
from scot_dashboard.door import Person, RefusedError
from scot_dashboard.feed import UNUSABLE
from scot_dashboard.roles import Act, may_act

if TYPE_CHECKING:
    from scot_dashboard.gateway import Gateway

log = logging.getLogger(__name__)


class AlarmKeeper:
    """The one place of a room where its alarms are kept; in a replay it does nothing.

    Attributes:
        state: sans-IO.
        keeping: the bus takes what it publishes.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.state = Alarms()
        self.keeping = False

    async def start(self) -> None:
        """Announce the device, and go on from what an earlier gateway of this room published.

        Acknowledgements that nobody holds any more are gone: those alarms signal again.

        Raises:
            AccessError, BusError: this gateway may not publish alarms.
        """
        await self.gateway.connection.announce(alarms.device(self.gateway.started_ns))
        address = f"{self.gateway.connection.workspace}/{alarms.DEVICE}/{alarms.STATE.name}"
        try:
            for delivery in await self.gateway.archive.at([address], self._now()):
                self.state.restore(cast(dict[str, Any], delivery.sample().value))
        except (BusError, CodecError, msgspec.ValidationError) as error:
            log.info("no alarms from before: %s", error)
        self.keeping = True

    def follow(self, catalogue: Catalogue) -> None:
        """Learn which sources there are."""
        self.state.follow(catalogue, self._now())

    def take(self, delivery: Delivery) -> None:
        """Take one sample of the bus."""
        if not self.keeping:
            return
        try:
            self.state.take(delivery, self._now())
        except UNUSABLE as error:  # counted by the fan-out
            log.info("%s", error)

    def tick(self) -> None:
        """Find out who is silent, and publish what became of it."""
        if self.keeping:
            self.state.tick(self._now())
            self.tell()

    def tell(self) -> None:
        """Publish what is due."""
        if self.keeping:
            for channel, value in self.state.due(self._now()):
                self.gateway.publish(channel, value, alarms.DEVICE)

    def act(self, by: Person, do: str, seen: list[tuple[str, int]], address: str) -> None:
        """Acknowledge alarms, or pause the signals of every display, and write who did.

        Args:
            by: who wants it.
            do: ``ack``, ``pause``, ``off`` or ``on``.
            seen: id and `since_ns` of what is acknowledged, as it was on their screen.
            address: where the wish came from.

        Raises:
            RefusedError: not theirs to do, or nobody keeps alarms here.
        """
        if not may_act(by.role, Act.ACKNOWLEDGE):
            raise RefusedError(403, "only the operating room may acknowledge alarms")
        if not self.keeping:
            raise RefusedError(409, "this is a recording; its alarms are past")
        if self.state.act(do, seen, by.author, self._now()):
            what = Act.ACKNOWLEDGE.value if do == "ack" else f"alarm signals {do}"
            whom = ", ".join(name for name, _ in seen)[:200]
            self.gateway.audit.acted(by, what, whom, address, machine.utc_ns())
        self.tell()

    def _now(self) -> int:
        return self.gateway.time.now()
