"""Clock probes in datagrams: sealed with a key of their own, and all of one size. Sans-IO.

UDP has no CURVE, and who could forge t2 and t3 could break a *guaranteed* bound. So the client gets
a probe key from the desk, where the broker knows who it is, and each datagram is

    [id 16 | count 8 | length 1 | message, filled up with zeros to 119 | tag 16]

with the messages of `scot.clock.probe`. The tag is BLAKE2s (RFC 7693), keyed, 16 bytes, with
``scot ask`` or ``scot ans`` as its personalisation, of all the rest. `count` is big-endian and
grows with each question of a key; the answer has its question's. An answer is as long as its
question: the port cannot be used to multiply anybody's traffic.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from hmac import compare_digest
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from scot.clock.probe import MAX_INSTANCE, Reply, Request, encode, read_reply
from scot.errors import BusError, RemoteProtocolError

ASK, ANSWER = b"scot ask", b"scot ans"
ID, KEY, TAG = 16, 32, 16
_COUNT, _BODY = ID + 8, ID + 9
ROOM = 119
SIZE = _BODY + ROOM + TAG

MAX_KEYS = 1_000
MAX_OF_USER = 16
IDLE_NS = 30_000_000_000
EVERY_NS = 25_000_000  # of one key, on the average; a burst is twenty a second
AT_ONCE_NS = 1_000_000_000
UNDER_WAY = 64


class ProbeKey(msgspec.Struct, frozen=True, kw_only=True):
    """What the desk gives for `probe_key`."""

    id: Annotated[bytes, Meta(min_length=ID, max_length=ID)]
    key: Annotated[bytes, Meta(min_length=KEY, max_length=KEY)]


def seal(key: ProbeKey, side: bytes, count: int, message: bytes) -> bytes:
    """Return the datagram of a message of at most `ROOM` bytes; `side` is `ASK` or `ANSWER`."""
    length = len(message).to_bytes(1, "big")
    rest = key.id + count.to_bytes(8, "big") + length + message.ljust(ROOM, b"\0")
    return rest + _tag(key, side, rest)


def unseal(key: ProbeKey, side: bytes, datagram: bytes) -> tuple[int, bytes]:
    """Return count and message of a datagram.

    Raises:
        RemoteProtocolError: it is not one of this key and side.
    """
    rest, tag = datagram[:-TAG], datagram[-TAG:]
    sized = len(datagram) == SIZE and datagram[_COUNT] <= ROOM
    if not sized or not compare_digest(_tag(key, side, rest), tag):
        raise RemoteProtocolError(f"a datagram of {len(datagram)} bytes is not sealed by its key")
    end = _BODY + datagram[_COUNT]
    return int.from_bytes(datagram[ID:_COUNT], "big"), datagram[_BODY:end]


def _tag(key: ProbeKey, side: bytes, rest: bytes) -> bytes:
    return blake2s(rest, digest_size=TAG, key=key.key, person=side).digest()


class Question(NamedTuple):
    """A datagram that is believed: whose, and what it says."""

    user: str
    instance: bytes
    key: ProbeKey
    number: int
    message: bytes


@dataclass
class _Issued:
    """A key and what was asked with it."""

    user: str
    instance: bytes
    key: ProbeKey
    used_ns: int
    count: int = -1
    paid_ns: int = 0  # until when its questions are spread, at one each `EVERY_NS`


class ProbeKeys:
    """The broker's probe keys: new at each start, one for each process that asks.

    At most `MAX_OF_USER` of one user, of which the one that was used longest ago makes way; at most
    `MAX_KEYS` in all, of which one does that was not used for `IDLE_NS`.

    Attributes:
        refused: datagrams that get no answer, by reason: `size`, `stranger` (unknown id), `forged`
            (wrong tag), `replayed` (a count that is not new), `hurried` (too many in a second).
        refused_of: the last three by the user whose key it was.

    Args:
        token: returns so many random bytes.
    """

    def __init__(self, token: Callable[[int], bytes]) -> None:
        self.refused: Counter[str] = Counter()
        self.refused_of: Counter[str] = Counter()
        self._token = token
        self._issued: OrderedDict[bytes, _Issued] = OrderedDict()  # longest unused first

    def __len__(self) -> int:
        return len(self._issued)

    def clear(self) -> None:
        """Make every key void: who may still ask for one does so again."""
        self._issued.clear()

    def issue(self, user: str, instance: bytes, now_ns: int) -> ProbeKey:
        """Return a new key for one process of a user; an older one of the same is void.

        Raises:
            RemoteProtocolError: the process has no name, or too long a one.
            BusError: all keys are in use.
        """
        if not 0 < len(instance) <= MAX_INSTANCE:
            raise RemoteProtocolError(
                f"a probe key is for a process named in 1 to {MAX_INSTANCE} bytes, "
                f"not {len(instance)}"
            )
        theirs = [one for one in self._issued.values() if one.user == user]
        same = next((one for one in theirs if one.instance == instance), None)
        if same is None and len(theirs) >= MAX_OF_USER:
            same = theirs[0]
        if same is None and len(self._issued) >= MAX_KEYS:
            same = next(iter(self._issued.values()))
            if now_ns - same.used_ns < IDLE_NS:
                raise BusError(f"all {MAX_KEYS} probe keys are in use; probes go over ZeroMQ")
        if same is not None:
            del self._issued[same.key.id]
        key = ProbeKey(id=self._token(ID), key=self._token(KEY))
        self._issued[key.id] = _Issued(user, instance, key, now_ns)
        return key

    def open(self, datagram: bytes, now_ns: int) -> Question | None:
        """Return the question in a datagram, None when it gets no answer."""
        issued = self._issued.get(datagram[:ID])
        question = None
        if len(datagram) != SIZE:
            why = "size"
        elif issued is None:
            why = "stranger"
        else:
            why, question = self._judged(issued, datagram, now_ns)
            self.refused_of[issued.user] += question is None
        if question is None:
            self.refused[why] += 1
        return question

    def _judged(self, issued: _Issued, datagram: bytes, now_ns: int) -> tuple[str, Question | None]:
        try:
            count, message = unseal(issued.key, ASK, datagram)
        except RemoteProtocolError:
            return "forged", None
        if count <= issued.count:
            return "replayed", None
        issued.count, issued.used_ns = count, now_ns
        self._issued.move_to_end(issued.key.id)
        paid_ns = max(issued.paid_ns, now_ns) + EVERY_NS
        if paid_ns > now_ns + AT_ONCE_NS:
            return "hurried", None
        issued.paid_ns = paid_ns
        return "", Question(issued.user, issued.instance, issued.key, count, message)


class Asking:
    """The client's side of one probe key: it numbers questions and takes each answer once.

    Attributes:
        refused: datagrams that were no answer to a question under way.
    """

    def __init__(self, key: ProbeKey) -> None:
        self.key = key
        self.refused = 0
        self._count = 0
        self._under_way: OrderedDict[int, int] = OrderedDict()  # count: t1

    def ask(self, request: Request) -> bytes:
        """Return the datagram of a request."""
        self._count += 1
        self._under_way[self._count] = request.t1_ns
        if len(self._under_way) > UNDER_WAY:
            self._under_way.popitem(last=False)
        return seal(self.key, ASK, self._count, encode(request))

    def answered(self, datagram: bytes) -> Reply | None:
        """Return the reply in a datagram, None when it is not one of ours or came before."""
        try:
            count, message = unseal(self.key, ANSWER, datagram)
            reply = read_reply(message)
        except RemoteProtocolError:
            self.refused += 1
            return None
        if self._under_way.get(count) != reply.t1_ns:
            self.refused += 1
            return None
        del self._under_way[count]
        return reply
