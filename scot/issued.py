"""One command as its caller sees it: sent once, then only asked about. Sans-IO.

A caller who hears nothing is told `unknown` and the command is asked about, never sent again. Only
when it has surely expired and the device's host, asked after that, has never heard of it, is it
told `expired`: it can then never run any more.
"""

from __future__ import annotations

from typing import Final

import msgspec

from scot.command import NEXT, Answer, Ask, Call, Outcome, Request, State, Why
from scot.lease import surely_past
from scot.timestamp import Timestamp

ANSWER_NS: Final = 2_000_000_000
ASK_EVERY_NS: Final = 1_000_000_000


def _reach(state: State) -> frozenset[State]:
    """Return every state that may still follow."""
    found: set[State] = set()
    following = list(NEXT[state])
    while following:
        one = following.pop()
        if one not in found:
            found.add(one)
            following += NEXT[one]
    return frozenset(found)


_REACH: Final = {state: _reach(state) for state in State}


class Begun(msgspec.Struct, frozen=True):
    """Send it."""


class Replied(msgspec.Struct, frozen=True):
    """An answer to `call`, which was sent at `sent_ns` of our monotonic clock."""

    answer: Answer
    call: Call
    sent_ns: int


class Seen(msgspec.Struct, frozen=True):
    """A sample of the device's channel ``commands`` spoke of it."""

    outcome: Outcome


class Ticked(msgspec.Struct, frozen=True):
    """Time went on; `stamp` is bus time now."""

    stamp: Timestamp


class Send(msgspec.Struct, frozen=True):
    """Send a call to the broker."""

    call: Call


class Told(msgspec.Struct, frozen=True):
    """Tell the person."""

    outcome: Outcome


Event = Begun | Replied | Seen | Ticked
Effect = Send | Told


class Issued:
    """Follows one request to its end.

    Args:
        request: complete, with its key.

    Attributes:
        outcome: the newest that is known; None until something is.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.outcome: Outcome | None = None
        self._told = False  # by somebody else than ourselves
        self._sent_ns: int | None = None
        self._asked_ns = 0
        self._past_ns: int | None = None
        self._out: list[Effect] = []

    @property
    def ended(self) -> bool:
        """Nothing will change any more."""
        return self.outcome is not None and not _REACH[self.outcome.state]

    def on(self, event: Event, now_ns: int) -> list[Effect]:
        """Take an event in and return what is to be done; `now_ns` is monotonic."""
        if isinstance(event, Begun):
            if self._sent_ns is None:
                self._sent_ns = self._asked_ns = now_ns
                self._out.append(Send(self.request))
        elif isinstance(event, Replied):
            self._replied(event)
        elif isinstance(event, Seen):
            self._learn(event.outcome)
        elif self._sent_ns is not None and not self.ended:
            self._tick(event.stamp, now_ns, self._sent_ns)
        out, self._out = self._out, []
        return out

    def _replied(self, event: Replied) -> None:
        answer = event.answer
        if isinstance(answer, Outcome):
            if answer.why is not Why.NEVER_HEARD:
                self._learn(answer)
            elif self._past_ns is not None and event.sent_ns >= self._past_ns:
                text = "it never reached the device, and can no longer be carried out"
                self._learn(self._own(State.EXPIRED, Why.LATE, text))
        elif event.call == self.request and answer.why not in (Why.NONE, Why.FULL):
            self._learn(self._own(State.REFUSED, answer.why, answer.text))

    def _own(self, state: State, why: Why, text: str) -> Outcome:
        """Return an outcome that nobody told us."""
        request = self.request
        return Outcome(
            address=request.address, key=request.key, state=state, why=why, text=text,
            arguments=request.arguments, term=request.term,
            issued_ns=request.issued_ns, expires_ns=request.expires_ns,
        )  # fmt: skip

    def _learn(self, outcome: Outcome) -> None:
        """Take what somebody says of it, unless we know better already."""
        if outcome.key != self.request.key:
            return
        was = self.outcome
        if was is None or not self._told or outcome.state in _REACH[was.state]:
            self._told = True
            self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._out.append(Told(outcome))

    def _tick(self, stamp: Timestamp, now_ns: int, sent_ns: int) -> None:
        if self._past_ns is None and surely_past(stamp, self.request.expires_ns):
            self._past_ns = now_ns
        if now_ns - sent_ns < ANSWER_NS:
            return
        if self.outcome is None:
            text = "no answer: it may or may not happen; look at the device"
            self._tell(self._own(State.UNKNOWN, Why.NO_ANSWER, text))
        if now_ns - self._asked_ns >= ASK_EVERY_NS:
            self._asked_ns = now_ns
            self._out.append(Send(Ask(address=self.request.address, key=self.request.key)))
