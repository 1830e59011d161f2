"""How many connections of one network address may be shaking hands at once. Sans-IO.

Who opens connections and never ends a handshake, or fails one after another, costs the broker work
for each. Another machine that does so is shut out for a while, before libzmq hears of it. This
machine's own address is never shut out, because all devices of the room may share it: of its
handshakes the oldest are ended when there are too many, and only those that had time to be done.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MOST = 64  # in flight at once from another machine: six sockets of ten processes
OWN_MOST = 512  # from this one
OWN_PATIENCE_NS = 1_000_000_000
FAILURES = 200  # of another machine within `FAILURES_NS`
FAILURES_NS = 10_000_000_000
SHUT_NS = 10_000_000_000
MOST_SHUT = 32  # addresses at once; each costs an instruction for a packet of a new connection
MOST_COUNTED = 1_024
LOOKS = 16  # connections to judge a turn


class Place(NamedTuple):
    """Where a connection is: which socket it came to, and its descriptor."""

    name: str
    descriptor: int


class Arrival(NamedTuple):
    """A connection that was accepted and may not have ended its handshake.

    Attributes:
        mark: the kernel's own, so that another with the same descriptor is told from it.
        address: of the peer.
        own: it comes from this machine.
    """

    place: Place
    mark: bytes
    address: str
    own: bool
    came_ns: int


class Crowd:
    """Counts handshakes in flight and failed ones, by network address.

    That a handshake has ended well is not told with its connection: whoever has too many in flight
    is looked at, oldest first, see `excess`.

    Attributes:
        shut: until when an address is shut out, monotonic ns.
        ended: connections ended before their handshake was.
        changed: `shut` is another since this was last set to False.
        news: addresses shut out since somebody took them.
    """

    def __init__(self) -> None:
        self.shut: dict[str, int] = {}
        self.ended = 0
        self.changed = False
        self.news: list[str] = []
        self._flying: dict[str, dict[Place, Arrival]] = {}
        self._crowded: dict[str, None] = {}  # addresses that have, or had, too many
        self._at: dict[Place, str] = {}
        self._failed: dict[str, deque[int]] = {}

    @property
    def flying(self) -> int:
        """Connections whose handshake may not have ended."""
        return len(self._at)

    def came(self, arrival: Arrival) -> None:
        """Note a connection that was accepted."""
        self._forget(arrival.place)
        self._at[arrival.place] = arrival.address
        flying = self._flying.setdefault(arrival.address, {})
        flying[arrival.place] = arrival
        if len(flying) > _most(arrival):
            self._crowded[arrival.address] = None

    def gone(self, place: Place, now_ns: int, *, failed: bool = False) -> None:
        """Note that a connection ended, or that its handshake did."""
        arrival = self._forget(place)
        if not failed or arrival is None or arrival.own:
            return
        if arrival.address not in self._failed and len(self._failed) >= MOST_COUNTED:
            self._failed.pop(next(iter(self._failed)))
        times = self._failed.setdefault(arrival.address, deque(maxlen=FAILURES))
        times.append(now_ns)
        if len(times) == FAILURES and now_ns - times[0] < FAILURES_NS:
            self._shut_out(arrival.address, now_ns)

    def excess(self, now_ns: int) -> list[Arrival]:
        """Return connections of crowded addresses, oldest first, at most `LOOKS`.

        Of each it is to be found out whether its handshake is done: then `gone`, else `end`.
        """
        found: list[Arrival] = []
        for address in list(self._crowded):
            flying = self._flying.get(address, {})
            over = len(flying) - _most(next(iter(flying.values()))) if flying else 0
            if over <= 0:
                del self._crowded[address]
            for arrival in flying.values():
                if over <= 0 or len(found) >= LOOKS:
                    break
                if arrival.own and now_ns - arrival.came_ns < OWN_PATIENCE_NS:
                    break
                found.append(arrival)
                over -= 1
        return found

    def end(self, arrival: Arrival, now_ns: int) -> None:
        """Note that a connection was ended; its machine, if it is another, is shut out."""
        self._forget(arrival.place)
        self.ended += 1
        if not arrival.own:
            self._shut_out(arrival.address, now_ns)

    def tick(self, now_ns: int) -> None:
        """Let in again whoever was out for long enough."""
        for address, until_ns in list(self.shut.items()):
            if now_ns >= until_ns:
                del self.shut[address]
                self.changed = True

    def _shut_out(self, address: str, now_ns: int) -> None:
        self._failed.pop(address, None)
        if address not in self.shut:
            if len(self.shut) >= MOST_SHUT:
                del self.shut[min(self.shut, key=lambda one: self.shut[one])]
            self.changed = True
            self.news.append(address)
        self.shut[address] = now_ns + SHUT_NS

    def _forget(self, place: Place) -> Arrival | None:
        address = self._at.pop(place, None)
        if address is None:
            return None
        flying = self._flying[address]
        arrival = flying.pop(place)
        if not flying:
            del self._flying[address]
        return arrival


def _most(arrival: Arrival) -> int:
    return OWN_MOST if arrival.own else MOST
