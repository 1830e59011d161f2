"""Questions that somebody else answers: who holds History, who is asked, who waits. Sans-IO.

A key that serves may answer for everybody's channels (recorder, player), a publisher for its own.
Of several that serve, the one that offered last is asked, so that a new one takes over; one that
leaves a question unanswered is asked only when there is no other, until it has answered again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scot.access import Grant, Quota, Rate
from scot.errors import BusError
from scot.history import HistoryRequest
from scot.meter import Meter

ANSWER_WITHIN_NS = 15_000_000_000
LATE_NS = 4_000_000_000  # from then on others are asked first; a client gives up after five seconds
GONE_NS = 3_600_000_000  # without a word of it, somebody else who serves is asked instead
MAX_PENDING = 1_000
MAX_PENDING_OF_KEY = 64
MAX_TOLD = 16  # questions over quota that are answered with the time to wait, before it is paid


class Handed(NamedTuple):
    """A question for its holder, who answers under `key`."""

    holder: str
    key: bytes
    verb: bytes
    body: bytes


class Asker(NamedTuple):
    """Whose question it is, and where its answer goes."""

    name: str
    client: bytes
    request_id: bytes


class Ended(NamedTuple):
    """A question that its holder did not answer in time."""

    asker: Asker
    text: str


class Pending(NamedTuple):
    """A question that waits.

    Attributes:
        asker: whose it is.
        holder: who was asked, at `asked_ns`.
        meter: what the asker pays for the answer's bytes.
        again: may be put to another who serves, because to answer it changes nothing.
    """

    asker: Asker
    holder: str
    verb: bytes
    body: bytes
    asked_ns: int
    meter: Meter | None
    again: bool


class Questions:
    """What is asked of holders, and who they are.

    Args:
        seen_ns: when each key was last heard, monotonic; kept by whoever owns this.
    """

    def __init__(self, seen_ns: dict[str, int]) -> None:
        self._seen_ns = seen_ns
        self._servers: dict[str, bool] = {}  # in the order of their offers; True: owes an answer
        self._pending: dict[bytes, Pending] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many wait for an answer of their holder."""
        return len(self._pending)

    @property
    def servers(self) -> list[str]:
        """Who offered to answer for everybody, in the order of their offers."""
        return list(self._servers)

    def offer(self, user: str) -> None:
        """Note that a key serves."""
        self._servers.pop(user, None)
        self._servers[user] = False

    def forget(self, user: str) -> None:
        """Note that a key has begun anew, and has not said what it serves."""
        self._servers.pop(user, None)

    def server(self, now_ns: int, but: str = "") -> str | None:
        """Return who is asked of those who serve: of those that answer, who offered last."""
        there = [name for name in self._servers if name != but and not self._gone(name, now_ns)]
        prompt = [name for name in there if not self._servers[name]]
        best = prompt or there
        return best[-1] if best else None

    def holder(
        self, ask: HistoryRequest, server: str | None, publisher_of: Callable[[str], str | None]
    ) -> str:
        """Return who shall answer: the publisher for seqs, who serves for stretches of time.

        Raises:
            BusError: nobody has it.
        """
        devices = {address.split("/")[1] for address in ask.addresses if address.count("/") == 2}
        owners = {owner for one in devices if (owner := publisher_of(one)) is not None}
        alone = owners.pop() if len(owners) == 1 else None
        prefer_publisher = ask.holder == "publisher" or (ask.seqs is not None and not ask.holder)
        if prefer_publisher and alone is not None:
            return alone
        if ask.holder != "publisher" and server is not None:
            return server
        if alone is not None and ask.holder != "recorder":
            return alone
        raise BusError("nobody holds this History: no recorder is running")

    def put(
        self,
        asker: Asker,
        holder: str,
        verb: bytes,
        body: bytes,
        now_ns: int,
        *,
        meter: Meter | None = None,
        again: bool = False,
    ) -> Handed:
        """Take a question for a holder; return what to send to it.

        Raises:
            BusError: too many wait already.
        """
        if len(self._pending) >= MAX_PENDING:
            raise BusError(f"{MAX_PENDING} questions are waiting for an answer; ask again later")
        if (
            sum(one.asker.name == asker.name for one in self._pending.values())
            >= MAX_PENDING_OF_KEY
        ):
            raise BusError(
                f"{MAX_PENDING_OF_KEY} questions of key {asker.name!r} are waiting; ask again later"
            )
        self._count += 1
        key = self._count.to_bytes(8, "big")
        self._pending[key] = Pending(asker, holder, verb, body, now_ns, meter, again)
        return Handed(holder, key, verb, body)

    def waits(self, user: str, key: bytes) -> bool:
        """Whether an answer of this key is waited for."""
        pending = self._pending.get(key)
        return pending is not None and pending.holder == user

    def answered(self, user: str, key: bytes, size: int) -> Pending | None:
        """Take an answer of `size` bytes; return what it answers, None when nobody asked."""
        if not self.waits(user, key):
            return None
        pending = self._pending.pop(key)
        if user in self._servers:
            self._servers[user] = False
        if pending.meter is not None:
            pending.meter.charge(size, messages=0)
        return pending

    def tick(self, now_ns: int) -> list[Handed | Ended]:
        """End what was not answered in time; ask another where the one that was asked is gone."""
        out: list[Handed | Ended] = []
        for key, one in list(self._pending.items()):
            waited_ns = now_ns - one.asked_ns
            if waited_ns > ANSWER_WITHIN_NS:
                del self._pending[key]
                limit_s = ANSWER_WITHIN_NS / 1e9
                text = f"{one.holder!r} did not answer within {limit_s:g} s"
                out.append(Ended(one.asker, text))
                continue
            if waited_ns > LATE_NS and one.holder in self._servers:
                self._servers[one.holder] = True
            if one.again and self._gone(one.holder, now_ns):
                other = self.server(now_ns, but=one.holder)
                if other is not None:
                    self._pending[key] = one._replace(holder=other)
                    out.append(Handed(other, key, one.verb, one.body))
        return out

    def _gone(self, user: str, now_ns: int) -> bool:
        return now_ns - self._seen_ns.get(user, -GONE_NS) > GONE_NS


class Allowance:
    """How many questions, and how many bytes of History, each key may still ask for.

    A question costs the broker time even where its answer is short. Who asks faster than its
    quota allows is told how long to wait, a few times; what it goes on to ask is not answered.
    """

    def __init__(self) -> None:
        self._asked: dict[str, Meter] = {}
        self._told: dict[str, int] = {}
        self._had: dict[str, Meter] = {}  # of History

    def tick(self, now_ns: int) -> None:
        """Let time count."""
        for user, meter in self._asked.items():
            meter.refill(now_ns)
            if not meter.over:
                self._told.pop(user, None)

    def ask(self, user: str, quota: Quota, now_ns: int) -> str | None:
        """Count a question; return None, or what to say instead of an answer; empty: nothing."""
        meter = self._asked.get(user)
        if meter is None or meter.rate.messages_hz != quota.questions_hz:
            rate = Rate(messages_hz=quota.questions_hz, bytes_hz=1.0)
            meter = self._asked[user] = Meter(rate, now_ns)
        if not meter.over:
            meter.charge(0)
            return None
        told = self._told[user] = self._told.get(user, 0) + 1
        if told > MAX_TOLD:
            return ""
        return (
            f"key {user!r} asks more than its quota of {quota.questions_hz:g} questions a second; "
            f"ask again in {max(0.1, meter.wait_s):.1f} s"
        )

    def history(self, grant: Grant, now_ns: int) -> Meter | None:
        """Return what a key has had of History, if it has a quota of that.

        Raises:
            BusError: it is over it.
        """
        rate = grant.quota.history_bytes_hz
        if rate is None:
            return None
        meter = self._had.get(grant.name)
        if meter is None or meter.rate.bytes_hz != rate:
            meter = self._had[grant.name] = Meter(Rate(messages_hz=1.0, bytes_hz=rate))
        meter.refill(now_ns)
        if meter.over:
            raise BusError(
                f"key {grant.name!r} is over its quota of History ({rate:g} bytes a second); "
                f"ask again in {meter.wait_s:.1f} s"
            )
        return meter
