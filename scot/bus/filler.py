"""Asking back what did not come: of the publisher, then of the recorder, until it is settled.

Sans-IO: gaps and answers in, questions out. A holder that answers, answers for good. One that
cannot be reached is asked again, for two minutes, as long as publishers keep what they sent: the
broker or the recorder may be starting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from scot.bus.subscriber import Subscription
from scot.channel import Catalogue
from scot.gap import Missing
from scot.history import HistoryReply, HistoryRequest

HOLDERS = ("publisher", "recorder")
SETTLE_NS = 50_000_000
AGAIN_NS = tuple(round(s * 1e9) for s in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0))
MAX_ASKING = 16
FAR_NS = 2**63 - 1


class Ask(NamedTuple):
    """Ask History; hand the answer to `Filler.on_reply` with this token."""

    token: int
    request: HistoryRequest


class _Fill:
    """One gap on its way to being filled or given up.

    Attributes:
        due_ns: when it is asked for next, unless a question is under way.
        holder: index into `HOLDERS` of who is asked now.
        tries: how often all holders have been asked.
        answered: how many of them answered in this try.
        before: what was missing when this holder was last asked.
    """

    __slots__ = ("address", "answered", "before", "due_ns", "gap", "holder", "tries")

    def __init__(self, address: str, gap: Missing, due_ns: int) -> None:
        self.address = address
        self.gap = gap
        self.due_ns = due_ns
        self.holder = 0
        self.tries = 0
        self.answered = 0
        self.before: Missing | None = None


class Filler:
    """Fills the gaps of one client's subscriptions.

    Attributes:
        backfilled: samples that came back, by address.
        given_up: gaps whose holders could not be reached for two minutes.
        due_ns: when `tick` has something to do.
    """

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self.backfilled: dict[str, int] = {}
        self.given_up = 0
        self.due_ns = FAR_NS
        self._subscriptions = subscriptions
        self._fills: dict[tuple[str, Missing], _Fill] = {}
        self._ready: deque[_Fill] = deque()
        self._asking: dict[int, _Fill] = {}
        self._count = 0

    def on_gap(self, address: str, gap: Missing, now_ns: int) -> None:
        """Learn of a gap; what is only out of order has `SETTLE_NS` to come by itself."""
        key = (address, gap)
        if key not in self._fills:
            self._fills[key] = _Fill(address, gap, now_ns + SETTLE_NS)
            self.due_ns = min(self.due_ns, now_ns + SETTLE_NS)

    def tick(self, now_ns: int) -> list[Ask]:
        """Ask for what is due."""
        if now_ns < self.due_ns:
            return []
        for fill in self._fills.values():
            if fill.due_ns <= now_ns:
                fill.due_ns = FAR_NS
                fill.holder = fill.answered = 0
                self._ready.append(fill)
        self.due_ns = min((fill.due_ns for fill in self._fills.values()), default=FAR_NS)
        return self._next(now_ns)

    def on_reply(
        self, token: int, reply: HistoryReply | None, catalogue: Catalogue, now_ns: int
    ) -> list[Ask]:
        """Take the answer to an `Ask`; None when the holder could not be reached or refused."""
        fill = self._asking.pop(token, None)
        if fill is None:
            return []
        if reply is not None:
            self._deliver(fill.address, reply, catalogue)
        left = self._left(fill)
        if left is None:
            self._end(fill)
        elif reply is not None and not reply.complete and reply.frames and left != fill.before:
            self._ready.appendleft(fill)  # this holder has more of it
        else:
            fill.answered += reply is not None and (reply.complete or bool(reply.frames))
            fill.holder += 1
            fill.before = None
            if fill.holder < len(HOLDERS):
                self._ready.appendleft(fill)
            else:
                self._settle(fill, now_ns)
        return self._next(now_ns)

    def _settle(self, fill: _Fill, now_ns: int) -> None:
        """All holders have been asked: end, or try again later."""
        if fill.answered == len(HOLDERS):
            self._end(fill)
        elif fill.tries == len(AGAIN_NS):
            self.given_up += 1
            self._end(fill)
        else:
            fill.due_ns = now_ns + AGAIN_NS[fill.tries]
            fill.tries += 1
            self.due_ns = min(self.due_ns, fill.due_ns)

    def _end(self, fill: _Fill) -> None:
        self._fills.pop((fill.address, fill.gap), None)

    def _next(self, now_ns: int) -> list[Ask]:
        """Ask for the gaps that are ready, as long as not too many questions are under way."""
        asks: list[Ask] = []
        while self._ready and len(self._asking) < MAX_ASKING:
            fill = self._ready.popleft()
            left = self._left(fill)
            if left is None:
                self._end(fill)
                continue
            fill.before = left
            self._count += 1
            self._asking[self._count] = fill
            seqs = (left.epoch, left.first, left.last)
            holder = HOLDERS[fill.holder]
            request = HistoryRequest(addresses=[fill.address], seqs=seqs, holder=holder)
            asks.append(Ask(self._count, request))
        return asks

    def _left(self, fill: _Fill) -> Missing | None:
        """Return the range of a gap that still holds missing samples; None when none are."""
        gap = fill.gap
        firsts, lasts = [], []
        for subscription in self._of(fill.address):
            for missing in subscription.gaps[fill.address].missing:
                first, last = max(missing.first, gap.first), min(missing.last, gap.last)
                if missing.epoch == gap.epoch and first <= last:
                    firsts.append(first)
                    lasts.append(last)
        return Missing(gap.epoch, min(firsts), max(lasts)) if firsts else None

    def _deliver(self, address: str, reply: HistoryReply, catalogue: Catalogue) -> None:
        for subscription in self._of(address):
            before = subscription.gaps[address].lost
            subscription.on_frames(reply.frames, catalogue, back=True)
            came = before - subscription.gaps[address].lost
            self.backfilled[address] = self.backfilled.get(address, 0) + came

    def _of(self, address: str) -> list[Subscription]:
        return [
            subscription
            for subscription in self._subscriptions
            if address.startswith(subscription.prefixes) and address in subscription.gaps
        ]
