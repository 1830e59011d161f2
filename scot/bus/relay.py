"""The broker's rules for frames: whose they are, whether they may pass, who may listen. Sans-IO.

It counts what has come from each publisher, which is the credit they wait for; it checks key and
address of each frame against a grant; it counts the subscriptions of each key. Default deny.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from scot.access import Grant
from scot.codec import MAX_TOPIC
from scot.meter import Meter

CREDIT_EVERY = {"ctl_in": 64, "bulk_in": 2}
MAX_UNPAID = {"ctl_in": 4_096, "bulk_in": 192}  # sixteen windows of an honest publisher
MAX_PUBLISHERS = 20_000
MAX_KNOWN = 4_096  # addresses of one key whose verdict is kept
MAX_REFUSED = 100  # subscriptions of one key, before its connection is ended
REPORT_NS = 1_000_000_000
NOBODY = Grant(name="")


class Credit(NamedTuple):
    """How many messages have come from connection `identity` of socket `lane`."""

    lane: str
    identity: bytes
    parts: list[bytes]


class Denied(NamedTuple):
    """What a key was refused since the last report; at most one a second for each key.

    Attributes:
        user: the grant's name; empty for nobody's.
        what: the last address or prefix it tried, as it was sent.
        times: refusals since the last report.
        verb: publish, subscribe or probe.
    """

    user: str
    what: bytes
    times: int
    verb: str = "publish"


class Listen(NamedTuple):
    """A subscription begins, or ends, on socket `name`."""

    name: str
    prefix: bytes
    begins: bool


class Cut(NamedTuple):
    """End the connection that this came from: it asks on for what it is refused.

    libzmq keeps what was asked for as long as the connection lives, whatever we answer.
    """

    name: str
    user: str


class _Publisher:
    """One connection of a publisher: what came, and what it has not been told of yet."""

    __slots__ = ("count", "every", "identity", "lane", "may", "meter", "told", "user")

    def __init__(self, lane: str, identity: bytes) -> None:
        self.lane = lane
        self.identity = identity
        self.every = CREDIT_EVERY[lane]
        self.count = 0
        self.told = 0
        self.user: str | None = None  # not asked for yet
        self.meter: Meter | None = None
        self.may: dict[bytes, bool] = {}  # what is known of its user's topics

    @property
    def over(self) -> bool:
        """Whether its holder has taken more than its quota, and must wait for credit."""
        return self.meter is not None and self.meter.over


class Relay:
    """Judges frames and subscriptions for the broker.

    Args:
        start: of this broker, bus ns.
        grants: by holder's name; see `regrant`.

    Attributes:
        denied: refused frames and subscriptions since start, by key.
        forwarded: frames that passed.
        withheld: ticks at which a holder over its quota had to wait for credit, by holder.
    """

    def __init__(self, start: int, grants: Mapping[str, Grant]) -> None:
        self.denied: Counter[str] = Counter()
        self.forwarded = 0
        self.withheld: Counter[str] = Counter()
        self._meters: dict[tuple[str, str], Meter] = {}
        self._start = start.to_bytes(8, "big")
        self._grants = grants
        self._may: dict[str, dict[bytes, bool]] = {}
        self._publishers: dict[str, dict[bytes, _Publisher]] = {lane: {} for lane in CREDIT_EVERY}
        self._owed: dict[_Publisher, None] = {}
        self._held: dict[tuple[str, str], Counter[bytes]] = {}
        self._refusals: Counter[tuple[str, str]] = Counter()  # of subscriptions, since a cut
        self._refused: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._reported_ns: dict[tuple[str, str], int] = {}

    def regrant(self, grants: Mapping[str, Grant]) -> None:
        """Judge by another roster from now on."""
        self._grants = grants
        self._may.clear()
        self._meters.clear()
        for known in self._publishers.values():
            for publisher in known.values():
                publisher.user, publisher.meter = None, None  # until its next frame

    # -- frames

    def admit(self, lane: str, identity: bytes, user: str, topic: bytes, size: int = 0) -> bool:
        """Count a frame of a publisher, its payload of `size` bytes; return whether to forward it.

        Who is over quota gets no more credit until it is paid for, and loses nothing by it. Only
        what comes although no credit was given, far beyond every window, is dropped.
        """
        publisher = self._publishers[lane].get(identity)
        if publisher is None or publisher.user != user:
            publisher = self._know(lane, identity, user)
        if publisher.count == publisher.told:
            self._owed[publisher] = None
        publisher.count += 1
        meter = publisher.meter
        if meter is not None:
            if meter.unpaid >= MAX_UNPAID[lane]:
                self.deny(user, topic, "quota")
                return False
            meter.charge(size)
        verdict = publisher.may.get(topic)
        if verdict is None:
            verdict = self._judge(user, topic)
        if verdict:
            self.forwarded += 1
        else:
            self.deny(user, topic)
        return verdict

    def malformed(self, lane: str, identity: bytes, user: str, what: bytes) -> None:
        """Count a message that is no frame, so that its sender keeps its credit."""
        publisher = self._know(lane, identity, user)
        publisher.count += 1
        self._owed[publisher] = None
        self.deny(user, what)

    def asked(self, lane: str, identity: bytes) -> Credit:
        """Return the answer to a publisher's question how many have come.

        Who is over quota is told to wait (``!``): nothing is settled, and nothing sent again.
        """
        publisher = self._publishers[lane].get(identity) or self._meet(lane, identity)
        if publisher.over:
            told = publisher.told.to_bytes(8, "big")
            return Credit(lane, identity, [self._start, told, b"!"])
        credit = self._credit(publisher)
        credit.parts.append(b"?")
        return credit

    def credits(self) -> list[Credit]:
        """Return what is owed to those of whom enough has come; for after a batch."""
        ready = [one for one in self._owed if one.count - one.told >= one.every and not one.over]
        return [self._credit(one) for one in ready]

    def unsent(self, credit: Credit) -> None:
        """Owe a credit again, which could not be sent."""
        publisher = self._publishers[credit.lane].get(credit.identity)
        if publisher is not None:
            self._owed[publisher] = None

    def tick(self, now_ns: int) -> list[Credit | Denied]:
        """Return everything that is owed, and who was refused since they were last reported."""
        effects: list[Credit | Denied] = []
        for meter in self._meters.values():
            meter.refill(now_ns)
        for publisher in list(self._owed):
            if publisher.over:
                self.withheld[publisher.user or ""] += 1
            else:
                effects.append(self._credit(publisher))
        for key, (count, what) in list(self._refused.items()):
            if now_ns - self._reported_ns.get(key, now_ns - REPORT_NS) >= REPORT_NS:
                self._reported_ns[key] = now_ns
                del self._refused[key]
                user, verb = key
                effects.append(Denied(user, what, count, verb))
        return effects

    # -- subscriptions

    @property
    def subscriptions(self) -> int:
        """How many are held, of all keys on both sockets."""
        return sum(held.total() for held in self._held.values())

    def subscribe(self, name: str, user: str, message: bytes) -> Listen | Cut | None:
        """Take what an XPUB says, a 1 or 0 and the prefix; return what to do about it."""
        prefix = message[1:]
        if message[:1] == b"\0":
            self._let_go(name, prefix)
            return Listen(name, prefix, False)
        if message[:1] != b"\1":
            return None
        grant = self._grants.get(user, NOBODY)
        held = self._held.setdefault((name, user), Counter())
        sound = prefix.isascii() and len(prefix) <= MAX_TOPIC
        readable = sound and grant.may_read(prefix.rstrip(b"\0").decode("ascii"))
        if not readable or held.total() >= grant.quota.subscriptions:
            self.deny(user, prefix, "subscribe")
            self._refusals[name, user] += 1
            if self._refusals[name, user] < MAX_REFUSED:
                return None
            del self._refusals[name, user]
            return Cut(name, user)
        held[prefix] += 1
        return Listen(name, prefix, True)

    def _let_go(self, name: str, prefix: bytes) -> None:
        """Count one subscription less.

        A connection that just went has no User-Id any more: of those who hold the prefix, the
        one who holds it most often is taken to have let go.
        """
        holders = [h for (at, _), h in self._held.items() if at == name and h[prefix]]
        if holders:
            held = max(holders, key=lambda h: h[prefix])
            held[prefix] -= 1
            if not held[prefix]:
                del held[prefix]

    # -- what both stand on

    def _judge(self, user: str, topic: bytes) -> bool:
        grant = self._grants.get(user, NOBODY)
        sound = 3 <= len(topic) <= MAX_TOPIC and topic[-1] == 0 and topic.isascii()
        verdict = sound and grant.may_publish(topic[:-1].decode("ascii"))
        known = self._may.setdefault(user, {})
        if len(known) < MAX_KNOWN and len(topic) <= MAX_TOPIC:
            known[topic] = verdict
        return verdict

    def deny(self, user: str, what: bytes, verb: str = "publish") -> None:
        """Count a refusal; `tick` tells of it, at most once a second for each key and verb."""
        self.denied[user] += 1
        count, _ = self._refused.get((user, verb), (0, b""))
        self._refused[user, verb] = (count + 1, what[:MAX_TOPIC])

    def _know(self, lane: str, identity: bytes, user: str) -> _Publisher:
        publisher = self._publishers[lane].get(identity) or self._meet(lane, identity)
        if publisher.user != user:
            publisher.user, publisher.meter = user, self._meter(lane, user)
            publisher.may = self._may.setdefault(user, {})
        return publisher

    def _meter(self, lane: str, user: str) -> Meter | None:
        """Return the meter that all connections of a holder share on a lane, if it has a quota."""
        quota = self._grants.get(user, NOBODY).quota
        rate = quota.ctl if lane == "ctl_in" else quota.bulk
        if rate is None:
            return None
        return self._meters.setdefault((lane, user), Meter(rate))

    def _meet(self, lane: str, identity: bytes) -> _Publisher:
        known = self._publishers[lane]
        if len(known) >= MAX_PUBLISHERS:  # those who are still there ask, and are told
            known.clear()
            self._owed = {one: None for one in self._owed if one.lane != lane}
        publisher = known[identity] = _Publisher(lane, identity)
        return publisher

    def _credit(self, publisher: _Publisher) -> Credit:
        publisher.told = publisher.count
        self._owed.pop(publisher, None)
        count = publisher.count.to_bytes(8, "big")
        return Credit(publisher.lane, publisher.identity, [self._start, count])
