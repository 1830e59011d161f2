"""A client's talk with the broker's desk: hello, ping, questions, the catalogue. Sans-IO.

A client says hello until it is answered, then pings. When the broker that answers is a new one it
announces its devices and serves again; when the catalogue's version is a new one it asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from scot.bus.desk import Welcome
from scot.channel import Catalogue, Device
from scot.errors import UNREADABLE, BusError, BusTimeoutError, CodecError, ScotError
from scot.history import HistoryRequest

PING_NS = 500_000_000
HELLO_WITHIN_NS = 1_000_000_000
PING_WITHIN_NS = 2_000_000_000
ASK_WITHIN_NS = 5_000_000_000
REFRESH_EVERY_NS = 200_000_000
FAR_NS = 2**63 - 1
NIL = b"\xc0"
FOR_US = frozenset((b"ask", b"command", b"play"))

_encode = msgspec.msgpack.Encoder().encode
_welcome = msgspec.msgpack.Decoder(Welcome)
_catalogue = msgspec.msgpack.Decoder(Catalogue)
_ask = msgspec.msgpack.Decoder(HistoryRequest)


class Send(NamedTuple):
    """A message for one of the broker's sockets."""

    socket: str
    parts: Sequence[bytes]


class Answered(NamedTuple):
    """The end of a question: body and frames of its answer, or why there is none."""

    request_id: bytes
    parts: list[bytes]
    error: ScotError | None = None


class Asked(NamedTuple):
    """Somebody's History question is for us; answer with ``[key, "answer", reply, frames …]``."""

    key: bytes
    ask: HistoryRequest


class Called(NamedTuple):
    """A command is for a device of ours; answer with ``[key, "commanded", answer]``."""

    key: bytes
    body: bytes


class Wished(NamedTuple):
    """A wish is for us, the player; answer with ``[key, "answer", answer]``."""

    key: bytes
    body: bytes


class NewCatalogue(NamedTuple):
    """The catalogue changed."""

    catalogue: Catalogue


Effect: TypeAlias = Send | Answered | Asked | Called | Wished | NewCatalogue


def _for_us(key: bytes, verb: bytes, body: bytes) -> Effect:
    """Return what the desk hands on to us."""
    if verb == b"ask":
        return Asked(key, _ask.decode(body))
    return Called(key, body) if verb == b"command" else Wished(key, body)


class _Question(NamedTuple):
    verb: bytes
    due_ns: int
    within_ns: int


class Session:
    """What one client and the desk say to each other.

    Args:
        workspace: whose catalogue it is.
        where: the desk's address, for errors.

    Attributes:
        catalogue: the newest known.
        broker: start of the broker that last answered, bus ns; 0 before the first answer.
        rejoined: how often another broker answered than before.
        met: the first catalogue has come.
        malformed: messages of the broker that could not be read.
        due_ns: when `tick` has something to do.
    """

    def __init__(self, workspace: str, where: str = "the broker") -> None:
        self.catalogue = Catalogue(workspace=workspace)
        self.broker = 0
        self.rejoined = 0
        self.met = False
        self.malformed = 0
        self.due_ns = 0
        self._where = where
        self._devices: dict[str, Device] = {}
        self._serving = False
        self._told = 0  # the broker that knows our devices
        self._questions: dict[bytes, _Question] = {}
        self._own: set[bytes] = set()  # questions of the session itself
        self._count = 0
        self._ping_ns = 0
        self._refreshed_ns = -REFRESH_EVERY_NS
        self._stale = False  # the catalogue changed while the answer was on its way

    def ask(
        self, verb: bytes, body: bytes, now_ns: int, within_ns: int = ASK_WITHIN_NS
    ) -> tuple[bytes, list[Effect]]:
        """Return the id of a new question and the effects of asking it."""
        self._count += 1
        request_id = self._count.to_bytes(8, "big")
        self._questions[request_id] = _Question(verb, now_ns + within_ns, within_ns)
        self.due_ns = min(self.due_ns, now_ns + within_ns)
        return request_id, [Send("query", (request_id, verb, body))]

    def announce(self, device: Device, now_ns: int) -> tuple[bytes, list[Effect]]:
        """Put a device into the catalogue, or change it; each new broker is told again."""
        self._devices[device.name] = device
        return self.ask(b"announce", _encode(device), now_ns)

    def serve(self, now_ns: int) -> tuple[bytes, list[Effect]]:
        """Offer to answer History for the whole workspace; each new broker is told again."""
        self._serving = True
        return self.ask(b"serve", NIL, now_ns)

    def refresh(self, now_ns: int, *, surely: bool = False) -> list[Effect]:
        """Ask for the catalogue, unless that is under way or has just been done.

        Args:
            now_ns: monotonic.
            surely: it is known to have changed.
        """
        if any(self._questions[one].verb == b"catalogue" for one in self._own):
            self._stale |= surely
            return []
        if not surely and now_ns - self._refreshed_ns < REFRESH_EVERY_NS:
            return []
        self._refreshed_ns = now_ns
        return self._say(b"catalogue", NIL, now_ns)

    def on(self, parts: list[bytes], now_ns: int) -> list[Effect]:
        """Take one message of the desk."""
        if len(parts) < 3:
            self.malformed += 1
            return []
        request_id, status, *rest = parts
        try:
            if status in FOR_US:
                return [_for_us(request_id, status, rest[0])]
            question = self._questions.pop(request_id, None)
            if question is None:
                return []
            if request_id in self._own:
                self._own.discard(request_id)
                return self._on_own(question, status, rest[0], now_ns)
            if status == b"ok":
                return [Answered(request_id, rest)]
            refusal = BusError(str(msgspec.msgpack.decode(rest[0])))
            return [Answered(request_id, [], refusal)]
        except UNREADABLE as error:
            self.malformed += 1
            unread = CodecError(f"{self._where} answered what cannot be read: {error}")
            return [] if status == b"ask" else [Answered(request_id, [], unread)]

    def tick(self, now_ns: int) -> list[Effect]:
        """Say hello or ping; end questions that nobody answered."""
        if now_ns < self.due_ns:
            return []
        effects: list[Effect] = []
        for request_id in [i for i, q in self._questions.items() if q.due_ns <= now_ns]:
            question = self._questions.pop(request_id)
            if request_id in self._own:
                self._own.discard(request_id)
                if question.verb in (b"announce", b"serve"):
                    self._told = 0
            else:
                verb = question.verb.decode("ascii", "replace")
                error = BusTimeoutError(verb, self._where, question.within_ns / 1e9)
                effects.append(Answered(request_id, [], error))
        if now_ns >= self._ping_ns:
            self._ping_ns = now_ns + PING_NS
            if not any(self._questions[one].verb in (b"hello", b"ping") for one in self._own):
                effects += self._say(b"ping" if self.broker else b"hello", NIL, now_ns)
        self.due_ns = min(
            [self._ping_ns, *(question.due_ns for question in self._questions.values())]
        )
        return effects

    def _say(self, verb: bytes, body: bytes, now_ns: int) -> list[Effect]:
        within_ns = HELLO_WITHIN_NS if verb == b"hello" else PING_WITHIN_NS
        request_id, effects = self.ask(verb, body, now_ns, within_ns)
        self._own.add(request_id)
        return effects

    def _on_own(self, question: _Question, status: bytes, body: bytes, now_ns: int) -> list[Effect]:
        if status != b"ok":
            return []  # the next ping tries again
        if question.verb == b"catalogue":
            self.catalogue = _catalogue.decode(body)
            self.met = True
            again = self._stale
            self._stale = False
            changed: list[Effect] = [NewCatalogue(self.catalogue)]
            return changed + (self.refresh(now_ns, surely=True) if again else [])
        if question.verb in (b"hello", b"ping"):
            return self._on_welcome(_welcome.decode(body), now_ns)
        return []

    def _on_welcome(self, welcome: Welcome, now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        new = welcome.broker != self.broker
        self.rejoined += new and self.broker != 0
        self.broker = welcome.broker
        if welcome.broker != self._told:
            self._told = welcome.broker
            for device in self._devices.values():
                effects += self._say(b"announce", _encode(device), now_ns)
            if self._serving:
                effects += self._say(b"serve", NIL, now_ns)
        if new or not self.met or welcome.catalogue_version != self.catalogue.version:
            effects += self.refresh(now_ns, surely=True)
        return effects
