"""The broker's desk: catalogue, liveness and the routing of History. Sans-IO.

Every message is ``[request id, verb, body, *bundles]``; every answer ``[request id, ok | no, body,
*bundles]``. Bodies are MessagePack; bundles (`scot.codec.bundle`) are counted and passed on unread.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from scot.access import Grant
from scot.bus.questions import MAX_PENDING, Allowance, Asker, Handed, Questions
from scot.bus.routes import Routes
from scot.bus.turntable import Turn, Turntable, check_wish
from scot.channel import Catalogue, Channel, Device, Lifecycle
from scot.clock.sealed import ProbeKey, ProbeKeys
from scot.codec import MAX_TOPIC, Frame, bundle, check_bounds, check_plain, write
from scot.errors import UNREADABLE, AccessError, BusError, CodecError, ScotError
from scot.history import History, HistoryRequest
from scot.sample import Flags, Sample, Value
from scot.timestamp import Timestamp
from scot.transport import PLAYER

SILENT_NS = 1_800_000_000  # with a tick and the way there: two seconds (P5)
MAX_ADDRESSES = 4_096  # of one question
MAX_ASK_BYTES = MAX_ADDRESSES * (MAX_TOPIC + 3) + 256  # as many as may be asked for, and the rest
MAX_ANSWER_BYTES = 32 << 20
MAX_DEVICE_BYTES = 256 << 10
MAX_CATALOGUE_BYTES = 3 << 20  # every client must be able to take it in one message
CHANGES_AT_ONCE = 200  # of the catalogue, by one key
CHANGE_EVERY_NS = 50_000_000
OWN_BYTES = 8 << 20
OWN_ANSWER_BYTES = 64 << 10  # longer ones would hold up live samples while they are made
VERBS = frozenset((b"announce", b"history", b"serve", b"answer", b"command", b"pace", b"play"))
MAX_ITEMS = 100_000  # of one body: a device with a thousand channels
NOBODY = Grant(name="")


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a client learns on `hello` and `ping`."""

    broker: int
    catalogue_version: int


class Out(NamedTuple):
    """A message for one client."""

    identity: bytes
    parts: list[bytes]


class Refusal(NamedTuple):
    """What a client was refused, for the audit."""

    user: str
    verb: str
    text: str
    times: int = 1


class _Bounded(HistoryRequest, frozen=True, kw_only=True, omit_defaults=True):
    """A question as it is read: an array too long is refused before anything is made of it."""

    addresses: Annotated[list[str], Meta(max_length=2 * MAX_ADDRESSES)]


_encode = msgspec.msgpack.Encoder().encode
_device = msgspec.msgpack.Decoder(Device)
_ask = msgspec.msgpack.Decoder(_Bounded)
_instance = msgspec.msgpack.Decoder(bytes)


class Desk:
    """Answers queries for the broker.

    Args:
        broker: this start of the broker, bus ns.
        catalogue: workspace, title and volumes; devices come by `announce`.
        grants: by holder's name.
        changed: called with each new catalogue version.
        refused: called with each command that is not passed on, for the record.
        probe_keys: for clock probes over UDP; None when the broker does not listen there.
        pace: lets bus time go on otherwise (bus time or None, rate), for the player of a replay.
    """

    def __init__(
        self,
        broker: int,
        catalogue: Catalogue,
        grants: dict[str, Grant],
        changed: Callable[[Catalogue], None],
        refused: Callable[[dict[str, Any]], None] = lambda step: None,
        probe_keys: ProbeKeys | None = None,
        pace: Turn | None = None,
    ) -> None:
        self.broker = broker
        self.catalogue = catalogue
        self.grants = grants
        self.refused = 0
        self.routes = Routes(catalogue.workspace, catalogue.replay, refused)
        self.refusals: list[Refusal] = []  # since whoever writes the audit took them
        self._own = History(keep_bytes=OWN_BYTES)
        self._seq: dict[str, int] = {}
        self._changed = changed
        self._probe_keys = probe_keys
        self._turntable = Turntable(pace)
        self._announced: dict[str, tuple[str, Device]] = {}
        self._bytes: dict[str, int] = {}  # of each announcement
        self._changes_ns: dict[str, int] = {}  # up to here a key's share of changes is used
        self._seen_ns: dict[str, int] = {}
        self._place: dict[str, bytes] = {}
        self._allowance = Allowance()
        self._waved_off: Counter[str] = Counter()  # over quota, since the last tick
        self.questions = Questions(self._seen_ns)

    def on(self, identity: bytes, user: str, parts: list[bytes], now_ns: int) -> list[Out]:
        """Take one message from a client and return what to send."""
        if len(parts) < 3 or len(parts[0]) > 16:
            self._refuse(user, b"query", f"no question: {len(parts)} parts")
            return []
        request_id, verb, body, *frames = parts
        self._hear(identity, user, now_ns)
        if verb == b"answer" and self.questions.waits(user, request_id):
            return self._route_answer(user, request_id, body, frames)
        over = self._allowance.ask(user, self.grants.get(user, NOBODY).quota, now_ns)
        if over is not None:
            self.refused += 1
            self._waved_off[user] += 1
            return [Out(identity, [request_id, b"no", _encode(over)])] if over else []
        if verb == b"answer":
            self._refuse(user, verb, "nobody asked for this answer")
            return []
        try:
            if verb != b"history":  # which is read as what it must be, and nothing else
                check_bounds(body, MAX_ITEMS)
            return self._request(identity, user, request_id, verb, body, now_ns)
        except (ScotError, *UNREADABLE) as error:
            self._refuse(user, verb, str(error))
            return [Out(identity, [request_id, b"no", _encode(str(error))])]

    def tick(self, now_ns: int) -> list[Out]:
        """Notice silent hosts and unanswered questions."""
        for name, (user, device) in self._announced.items():
            silent_ns = now_ns - self._seen_ns.get(user, 0)
            shown = self.catalogue.devices[name]
            if silent_ns > SILENT_NS and shown.state is not Lifecycle.DISCONNECTED:
                reason = f"its host {user!r} has been silent for more than {SILENT_NS / 1e9:g} s"
                self._show(
                    msgspec.structs.replace(device, state=Lifecycle.DISCONNECTED, reason=reason)
                )
        self._allowance.tick(now_ns)
        for user, count in self._waved_off.items():
            self.refusals.append(Refusal(user, "query", "more questions than its quota", count))
        self._waved_off.clear()
        out = [Out(*message) for message in self.routes.tick(now_ns)]
        for effect in self.questions.tick(now_ns):
            if isinstance(effect, Handed):
                out.append(self._hand(effect))
            else:
                _, client, request_id = effect.asker
                out.append(Out(client, [request_id, b"no", _encode(effect.text)]))
        return out

    def own(self, channel: Channel, value: Value, time: Timestamp) -> Frame:
        """Return a sample of device ``room``, which the broker itself publishes; it is kept."""
        seq = self._seq.get(channel.name, 0)
        self._seq[channel.name] = seq + 1
        address = f"{self.catalogue.workspace}/room/{channel.name}"
        frame, header = write(
            Sample(address, self.broker, seq, time, Flags(0), value), channel.kind
        )
        self._own.add(frame, header)
        return frame

    def heads(self) -> dict[str, list[int]]:
        """Return how far each channel of device ``room`` has come: our start and the next seq."""
        return {name: [self.broker, seq] for name, seq in self._seq.items()}

    def _refuse(self, user: str, verb: bytes, text: str) -> None:
        self.refused += 1
        if len(self.refusals) < MAX_PENDING:
            known = verb.decode("ascii", "replace") if verb in VERBS else "query"
            self.refusals.append(Refusal(user, known, text))

    def _hear(self, identity: bytes, user: str, now_ns: int) -> None:
        was_ns = self._seen_ns.get(user, now_ns)
        self._seen_ns[user] = now_ns
        self._place[user] = identity
        if now_ns - was_ns > SILENT_NS:  # it is back: show its devices as it last said
            for owner, device in list(self._announced.values()):
                if owner == user:
                    self._show(device)

    def _request(
        self, identity: bytes, user: str, request_id: bytes, verb: bytes, body: bytes, now_ns: int
    ) -> list[Out]:
        grant = self.grants.get(user)
        if grant is None:
            raise AccessError(f"key {user!r} has no grant")
        answer: Any
        if verb == b"hello":
            self.questions.forget(user)  # a new process: it says what it serves
        if verb in (b"hello", b"ping"):
            answer = Welcome(broker=self.broker, catalogue_version=self.catalogue.version)
        elif verb == b"catalogue":
            answer = self.catalogue
        elif verb == b"announce":
            answer = self._announce(user, grant, body, now_ns)
        elif verb == b"serve":
            if not grant.serve:
                raise AccessError(f"key {user!r} may not answer History for others")
            self.questions.offer(user)
            answer = True
        elif verb == b"command":
            called = self.routes.on_call(
                identity, grant, request_id, body, self._host(now_ns), self.grants, now_ns
            )
            return [Out(*message) for message in called]
        elif verb == b"commanded":
            return [Out(*message) for message in self.routes.on_answer(user, request_id, body)]
        elif verb == b"probe_key":
            answer = self._probe_key(user, _instance.decode(body), now_ns)
        elif verb in {b"history", b"pace", b"play"}:
            return self._hand_on(identity, grant, request_id, verb, body, now_ns)
        else:
            raise CodecError(f"unknown verb {verb[:20]!r}")
        return [Out(identity, [request_id, b"ok", _encode(answer)])]

    def _probe_key(self, user: str, instance: bytes, now_ns: int) -> ProbeKey:
        if self._probe_keys is None:
            raise BusError("this broker takes no clock probes over UDP; they go over ZeroMQ")
        return self._probe_keys.issue(user, instance, now_ns)

    def _host(self, now_ns: int) -> Callable[[str], tuple[str, bytes] | None]:
        """Return who hosts a device, and where, if they have been heard lately."""

        def host(device: str) -> tuple[str, bytes] | None:
            user = self._announced[device][0] if device in self._announced else ""
            if user not in self._place or now_ns - self._seen_ns[user] > SILENT_NS:
                return None
            return user, self._place[user]

        return host

    def _announce(self, user: str, grant: Grant, body: bytes, now_ns: int) -> int:
        if len(body) > MAX_DEVICE_BYTES:
            raise CodecError(f"a device of {len(body)} B exceeds {MAX_DEVICE_BYTES} B")
        device = _device.decode(body)
        if not grant.may_announce(device.name):
            raise AccessError(f"key {user!r} may not announce device {device.name!r}")
        check_device(device)
        others = sum(size for name, size in self._bytes.items() if name != device.name)
        if others + len(body) > MAX_CATALOGUE_BYTES:
            raise BusError(
                f"{device.name!r} would make the catalogue larger than {MAX_CATALOGUE_BYTES} B; "
                "announce fewer or shorter channels"
            )
        if self.catalogue.devices.get(device.name) != device:
            self._spend(user, now_ns)
        self._bytes[device.name] = len(body)
        self._announced[device.name] = (user, device)
        self._show(device)
        return self.catalogue.version

    def _spend(self, user: str, now_ns: int) -> None:
        """Count a change of the catalogue, which everybody then fetches.

        Raises:
            BusError: this key changes it too often.
        """
        used_ns = max(self._changes_ns.get(user, 0), now_ns) + CHANGE_EVERY_NS
        if used_ns > now_ns + CHANGES_AT_ONCE * CHANGE_EVERY_NS:
            raise BusError(f"key {user!r} changes its devices too often; announce again later")
        self._changes_ns[user] = used_ns

    def _show(self, device: Device) -> None:
        if self.catalogue.devices.get(device.name) != device:
            self.catalogue = self.catalogue.with_device(device)
            self._changed(self.catalogue)

    def _route_ask(
        self, client: bytes, grant: Grant, request_id: bytes, body: bytes, now_ns: int
    ) -> list[Out]:
        meter = self._allowance.history(grant, now_ns)
        if len(body) > MAX_ASK_BYTES:
            raise CodecError(f"a question of {len(body)} bytes (limit {MAX_ASK_BYTES})")
        ask = _ask.decode(body)
        if len(ask.addresses) > MAX_ADDRESSES:
            raise CodecError(f"{len(ask.addresses)} addresses in one question, of {MAX_ADDRESSES}")
        ask = msgspec.structs.replace(
            ask,
            addresses=list(dict.fromkeys(ask.addresses)),
            max_bytes=min(ask.max_bytes, MAX_ANSWER_BYTES),
        )
        for address in ask.addresses:
            if not grant.may_read(address):
                raise AccessError(f"key {grant.name!r} may not read {address!r}")
        room = f"{self.catalogue.workspace}/room/"
        ours = bool(ask.addresses) and all(a.startswith(room) for a in ask.addresses)
        server = self.questions.server(now_ns)
        numbered = ask.seqs is not None and ask.holder != "recorder"
        if ours and (ask.holder == "publisher" or numbered or server is None):
            few = min(ask.max_bytes, OWN_ANSWER_BYTES)  # whoever wants more asks again
            reply = self._own.answer(msgspec.structs.replace(ask, max_bytes=few))
            head = msgspec.structs.replace(reply, frames=[])
            frames = bundle(reply.frames)
            if meter is not None:
                meter.charge(sum(map(len, frames)), messages=0)
            return [Out(client, [request_id, b"ok", _encode(head), *frames])]
        holder = self.questions.holder(ask, server, self._publisher_of)
        asker, again = Asker(grant.name, client, request_id), ask.holder != "publisher"
        body = _encode(ask)
        handed = self.questions.put(asker, holder, b"ask", body, now_ns, meter=meter, again=again)
        return [self._hand(handed)]

    def _publisher_of(self, device: str) -> str | None:
        """Return who announced a device, if it is known where they are."""
        user = self._announced[device][0] if device in self._announced else ""
        return user if user in self._place else None

    def _hand(self, handed: Handed) -> Out:
        return Out(self._place[handed.holder], [handed.key, handed.verb, handed.body])

    def _hand_on(
        self, client: bytes, grant: Grant, request_id: bytes, verb: bytes, body: bytes, now_ns: int
    ) -> list[Out]:
        """Hand a question to its holder, a wish to the player; turn a replay's clock for it."""
        if verb == b"history":
            return self._route_ask(client, grant, request_id, body, now_ns)
        if verb == b"pace":
            session = self._turntable.turn(grant, self.catalogue, body)
            return [Out(client, [request_id, b"ok", _encode(session)])]
        check_wish(grant, self.catalogue)
        player = self._host(now_ns)(PLAYER)  # whoever else serves here: none but it plays
        if player is None:
            raise BusError("no player is there; start the replay again")
        asker = Asker(grant.name, client, request_id)
        return [self._hand(self.questions.put(asker, player[0], verb, body, now_ns))]

    def _route_answer(self, user: str, key: bytes, body: bytes, frames: list[bytes]) -> list[Out]:
        pending = self.questions.answered(user, key, len(body) + sum(map(len, frames)))
        if pending is None:
            return []
        return [Out(pending.asker.client, [pending.asker.request_id, b"ok", body, *frames])]


def check_device(device: Device) -> None:
    """Refuse a device whose channels could not be told apart, drawn or written down.

    Raises:
        CodecError: a channel stands under another name than its own, has a number that is none, or
            attributes that are not plain.
    """
    for key, channel in device.channels.items():
        where = f"{device.name}/{key}"
        if key != channel.name:
            raise CodecError(f"{where}: the channel there is called {channel.name!r}")
        for name, value in msgspec.structs.asdict(channel).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise CodecError(f"{where}: {name} is {value}, which is no number")
        check_plain(channel.attrs)
