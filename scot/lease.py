"""Control of one device: who has it, until when, and how it passes on. Sans-IO.

A lease lasts only as long as its holder keeps taking it again, so it is lost with the holder. Its
term is a number that is never used again: a call under an older term is a call from the past.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from scot.command import Caller, Lease, Offer, Outcome, Release, Take, Why
from scot.timestamp import ClockState, Timestamp

MAX_LEASE_NS: Final = 30_000_000_000
MIN_LEASE_NS: Final = 1_000_000_000
OFFER_NS: Final = 15_000_000_000
MAX_AHEAD_NS: Final = 120_000_000_000
"""Furthest expiry: nothing waits longer than this to happen."""
MAX_BOUND_NS: Final = 250_000_000
"""Bus time that may be wrong by more than this decides nothing."""
MAX_TAKES: Final = 1_000

_SOUND: Final = frozenset({ClockState.LOCKED, ClockState.CONVERGING, ClockState.HOLDOVER})


def sound(stamp: Timestamp) -> bool:
    """Whether bus time is known well enough to decide what has expired."""
    bound_ns = stamp.bound_ns
    return stamp.state in _SOUND and bound_ns is not None and bound_ns <= MAX_BOUND_NS


def surely_before(stamp: Timestamp, bus_ns: int) -> bool:
    """Whether it is surely not yet `bus_ns`."""
    return stamp.bound_ns is not None and stamp.bus_ns + stamp.bound_ns < bus_ns


def surely_past(stamp: Timestamp, bus_ns: int) -> bool:
    """Whether it is surely `bus_ns` or later."""
    return stamp.bound_ns is not None and stamp.bus_ns - stamp.bound_ns >= bus_ns


def judge(stamp: Timestamp, expires_ns: int) -> tuple[Why, str]:
    """Return why bus time forbids a call: doubtful, too late, or too far ahead; NONE if not."""
    if not sound(stamp):
        within = (
            "by nobody knows what" if stamp.bound_ns is None else f"{stamp.bound_ns / 1e6:g} ms"
        )
        return Why.CLOCK, (
            f"the host's bus time is {stamp.state.label} and may be wrong {within} (limit "
            f"{MAX_BOUND_NS / 1e6:g} ms): whether it has expired cannot be told"
        )
    if not surely_before(stamp, expires_ns):
        late_s = (stamp.bus_ns - expires_ns) / 1e9
        return Why.LATE, f"it came {late_s:.3f} s after its expiry, or so close that it may be"
    ahead_s = (expires_ns - stamp.bus_ns) / 1e9
    if ahead_s > MAX_AHEAD_NS / 1e9:
        return Why.AHEAD, f"it expires in {ahead_s:.0f} s (limit {MAX_AHEAD_NS / 1e9:.0f} s)"
    return Why.NONE, ""


@dataclass
class Held:
    """The present lease; times on the host's monotonic clock."""

    holder: str
    role: str
    term: int
    until_ns: int
    offered_to: str = ""
    offer_until_ns: int = 0


class Control:
    """Who may command one device now.

    Args:
        address: ``workspace/device``, for messages.
        first_term: terms are numbered from the one after it.
    """

    def __init__(self, address: str, first_term: int) -> None:
        self.address = address
        self.held: Held | None = None
        self._term = first_term
        self._takes: OrderedDict[str, None] = OrderedDict()

    def lapse(self, now_ns: int) -> Held | None:
        """Drop a lease whose time is over and return it."""
        held = self.held
        if held is None or held.until_ns > now_ns:
            return None
        self.held = None
        return held

    def covers(self, outcome: Outcome) -> bool:
        """Whether a command's caller still has the control it was asked under."""
        return self.has(outcome.caller, outcome.term)

    def has(self, key: str, term: int) -> bool:
        """Whether `key` is in control, under this very term."""
        return self.held is not None and (self.held.holder, self.held.term) == (key, term)

    def take(
        self, caller: Caller, call: Take, stamp: Timestamp, now_ns: int
    ) -> tuple[Why, str, str]:
        """Take, keep or take over; returns a refusal's reason and text, or what has changed."""
        held = self.held
        if call.id in self._takes:
            return Why.NONE, "", ""
        why, text = judge(stamp, call.expires_ns)
        if why is not Why.NONE:
            return why, text, ""
        offered = held is not None and held.offered_to == caller.key
        offered = offered and held is not None and now_ns < held.offer_until_ns
        if held is not None and held.holder != caller.key and not offered:
            return Why.HELD, f"{self.describe(now_ns)}; they can hand it over", ""
        self._takes[call.id] = None
        if len(self._takes) > MAX_TAKES:
            self._takes.popitem(last=False)
        until_ns = now_ns + max(MIN_LEASE_NS, min(call.for_ns, MAX_LEASE_NS))
        if held is not None and held.holder == caller.key:
            held.until_ns = until_ns
            return Why.NONE, "", ""
        self._term += 1
        self.held = Held(caller.key, caller.role, self._term, until_ns)
        return Why.NONE, "", "handed over" if offered else "taken"

    def give_up(self, caller: Caller, call: Release | Offer, now_ns: int) -> tuple[Why, str, str]:
        """Release or offer; returns a refusal's reason and text, or what has changed."""
        held = self.held
        if held is None or not self.has(caller.key, call.term):
            return Why.NO_CONTROL, self.describe(now_ns), ""
        if isinstance(call, Offer):
            held.offered_to, held.offer_until_ns = call.to, now_ns + OFFER_NS
            return Why.NONE, "", "offered"
        self.held = None
        return Why.NONE, "", "released"

    def lease(self, now_ns: int) -> Lease | None:
        """Return who is in control, for callers."""
        held = self.held
        if held is None or held.until_ns <= now_ns:
            return None
        return Lease(
            holder=held.holder,
            role=held.role,
            term=held.term,
            left_ns=held.until_ns - now_ns,
            offered_to=held.offered_to if held.offer_until_ns > now_ns else "",
        )

    def describe(self, now_ns: int) -> str:
        """Say who is in control, for people."""
        lease = self.lease(now_ns)
        if lease is None:
            return f"nobody has control of {self.address}"
        return f"{lease.holder} controls {self.address} for {lease.left_ns / 1e9:.0f} s more"
