"""Asking back what did not come: of the publisher, then of the recorder, until it is settled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from scot.bus.subscriber import Subscription
from scot.channel import Catalogue
from scot.errors import BusError
from scot.gap import Missing
from scot.history import HistoryReply, HistoryRequest

log = logging.getLogger(__name__)

HOLDERS = ("publisher", "recorder")
SETTLE_S = 0.05
AGAIN_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)

History = Callable[[HistoryRequest], Awaitable[HistoryReply]]


class Filler:
    """Fills the gaps of one connection's subscriptions.

    A holder that answers, answers for good. One that cannot be reached is asked again, for two
    minutes, as long as publishers keep what they sent: the broker or the recorder may be starting.

    Attributes:
        backfilled: samples that came back, by address.
    """

    def __init__(
        self,
        history: History,
        subscriptions: Sequence[Subscription],
        catalogue: Callable[[], Catalogue],
    ) -> None:
        self.backfilled: dict[str, int] = {}
        self._history = history
        self._subscriptions = subscriptions
        self._catalogue = catalogue
        self._asking: set[tuple[str, Missing]] = set()

    async def fill(self, address: str, gap: Missing) -> None:
        """Ask for a gap until it is filled, or every holder has said what it has."""
        if (address, gap) in self._asking:
            return
        self._asking.add((address, gap))
        try:
            await asyncio.sleep(SETTLE_S)  # what is only out of order comes by itself
            for wait_s in AGAIN_S:
                answered = [await self._ask(address, gap, holder) for holder in HOLDERS]
                if all(answered) or self._left(address, gap) is None:
                    return
                await asyncio.sleep(wait_s)
        finally:
            self._asking.discard((address, gap))

    async def _ask(self, address: str, gap: Missing, holder: str) -> bool:
        """Ask one holder for all it has of a gap; return whether it answered."""
        before: Missing | None = None
        while (left := self._left(address, gap)) is not None and left != before:
            before = left
            seqs = (left.epoch, left.first, left.last)
            try:
                reply = await self._history(
                    HistoryRequest(addresses=[address], seqs=seqs, holder=holder)
                )
            except BusError as error:
                log.info("gap of %d in %s: %s", left.count, address, error)
                return False
            self._deliver(address, reply)
            if reply.complete:
                return True
            if not reply.frames:
                return False
        return True

    def _left(self, address: str, gap: Missing) -> Missing | None:
        """Return the range of a gap that still holds missing samples; None when none are."""
        firsts, lasts = [], []
        for subscription in self._of(address):
            for missing in subscription.gaps[address].missing:
                first, last = max(missing.first, gap.first), min(missing.last, gap.last)
                if missing.epoch == gap.epoch and first <= last:
                    firsts.append(first)
                    lasts.append(last)
        return Missing(gap.epoch, min(firsts), max(lasts)) if firsts else None

    def _deliver(self, address: str, reply: HistoryReply) -> None:
        for subscription in self._of(address):
            before = subscription.gaps[address].lost
            subscription.on_frames(reply.frames, self._catalogue(), back=True)
            came = before - subscription.gaps[address].lost
            self.backfilled[address] = self.backfilled.get(address, 0) + came

    def _of(self, address: str) -> list[Subscription]:
        return [
            subscription
            for subscription in self._subscriptions
            if address.startswith(subscription.prefixes) and address in subscription.gaps
        ]
