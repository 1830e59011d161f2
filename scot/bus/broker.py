"""The broker: reads whose frame it is, checks it against a grant, forwards. Default deny."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import zmq

from scot.access import MAX_SUBSCRIPTIONS, Grant, Roster
from scot.bus.desk import Desk, Out
from scot.bus.keys import PORTS, Endpoints, KeyPair
from scot.bus.socket import (
    BULK_BYTES,
    CONTROL_BYTES,
    DATA_BYTES,
    PREFIX_BYTES,
    assert_secure,
    context,
    serve,
)
from scot.bus.zap import Gate
from scot.channel import Catalogue, Channel, Device, Event, Lifecycle
from scot.clock.clock import Clock
from scot.clock.service import ClockService
from scot.codec import MAX_TOPIC, encode, read_header
from scot.errors import ClockError, RoomError, ScotError
from scot.history import History
from scot.sample import Flags, Sample
from scot.timestamp import ClockState, Timestamp

log = logging.getLogger(__name__)

CREDIT_EVERY = {"ctl_in": 64, "bulk_in": 2}
CTL_BUDGET = 512
BULK_BUDGET = 4
TICK_MS = 100
CACHE = 20_000
HWM = {"ctl_in": 4096, "ctl_out": 8192, "bulk_in": 64, "bulk_out": 96, "query": 1024, "probe": 256}
LIMIT = {
    "query": BULK_BYTES,
    "probe": CONTROL_BYTES,
    "ctl_in": DATA_BYTES,
    "bulk_in": BULK_BYTES,
    "ctl_out": PREFIX_BYTES,
    "bulk_out": PREFIX_BYTES,
}
KIND = {
    "ctl_in": zmq.ROUTER,
    "ctl_out": zmq.XPUB,
    "bulk_in": zmq.ROUTER,
    "bulk_out": zmq.XPUB,
    "query": zmq.ROUTER,
    "probe": zmq.ROUTER,
}

CATALOGUE = Event("catalogue", label={"en": "Catalogue versions"}, latched=True)
CLOCK = Event("clock", label={"en": "Clock probes and maps"})


class Broker:
    """One workspace's broker; `run` serves until `stop` says so.

    Args:
        endpoints: where to bind.
        pair: the broker's keys.
        roster: who may enter, and what for.
        clock: the session's clock.
        catalogue: workspace, title, case and volumes, without devices.

    Raises:
        RoomError: a port is busy.
        ClockError: the clock has no map.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        pair: KeyPair,
        roster: Roster,
        clock: Clock,
        catalogue: Catalogue,
    ) -> None:
        if clock.map is None:
            raise ClockError("a broker needs the session's own clock")
        self.clock = clock
        self._session = clock.map
        self.epoch = clock.now()
        self.denied = 0
        self.forwarded = 0
        self._grants = roster.by_name()
        self._context = context()
        self._gate = Gate(self._context, roster)
        self._sock = {name: self._bind(name, endpoints, pair) for name in PORTS}
        self._may: dict[tuple[str, bytes], bool] = {}
        self._received: dict[tuple[str, bytes], int] = {}
        self._owed: set[tuple[str, bytes]] = set()
        self._subscriptions: dict[tuple[str, str], Counter[bytes]] = {}
        self._seq: dict[str, int] = {}
        self._own = History(keep_bytes=8 << 20)
        self._time = ClockService(clock, lambda row: self._publish(CLOCK, row))
        room = Device(
            name="room",
            provider="scot.room",
            label={"en": "Room", "ja": "部屋"},
            state=Lifecycle.RUNNING,
            epoch=self.epoch,
            channels={CATALOGUE.name: CATALOGUE, CLOCK.name: CLOCK},
        )
        catalogue = catalogue.with_device(room)
        self.desk = Desk(self.epoch, catalogue, self._grants, self._own, self._changed)
        self._workspace = catalogue.workspace

    def _bind(self, name: str, endpoints: Endpoints, pair: KeyPair) -> zmq.Socket[bytes]:
        sock = self._context.socket(KIND[name])
        serve(sock, pair, LIMIT[name], HWM[name])
        if name in CREDIT_EVERY:
            sock.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a publisher that reconnects keeps its count
        if KIND[name] == zmq.XPUB:
            sock.setsockopt(zmq.XPUB_MANUAL, 1)
            sock.setsockopt(zmq.XPUB_VERBOSE, 1)
        try:
            sock.bind(endpoints.url(name))
        except zmq.ZMQError as error:
            raise RoomError(
                f"cannot listen on {endpoints.url(name)}: {error.strerror}; another room may use "
                "it: stop that one, or choose another [bus] port (0 takes a free one)"
            ) from None
        assert_secure(sock, name)
        return sock

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop()`; it is asked at least every 100 ms."""
        poller = zmq.Poller()
        poller.register(self._gate.sock, zmq.POLLIN)
        for sock in self._sock.values():
            poller.register(sock, zmq.POLLIN)
        into = self._sock
        tick_ns = 0
        while not stop():
            ready = dict(poller.poll(TICK_MS))
            if self._gate.sock in ready:
                self._gate.answer()
            if into["probe"] in ready:
                self._probe(into["probe"])
            if into["ctl_in"] in ready:
                self._forward("ctl_in", into["ctl_out"], CTL_BUDGET)
            for name in ("ctl_out", "bulk_out"):
                if into[name] in ready:
                    self._subscribe(name)
            if into["query"] in ready:
                self._query()
            if into["bulk_in"] in ready:
                self._forward("bulk_in", into["bulk_out"], BULK_BUDGET)
            now_ns = self.clock.read()
            if now_ns > tick_ns:
                tick_ns = now_ns + TICK_MS * 1_000_000
                self._send(self.desk.tick(now_ns))
                for key in list(self._owed):
                    self._acknowledge(key, asked=False)
        self.close()

    def close(self) -> None:
        """Close every socket."""
        for sock in (*self._sock.values(), self._gate.sock):
            sock.close(linger=0)
        self._context.term()

    def _forward(self, name: str, out: zmq.Socket[bytes], budget: int) -> None:
        source = self._sock[name]
        for _ in range(budget):
            try:
                identity = source.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            parts = []
            while source.getsockopt(zmq.RCVMORE):
                parts.append(source.recv(copy=False))
            if not parts:
                continue
            topic = parts[0].bytes
            self._credit(name, identity, asked=not topic)
            if len(parts) == 3 and self._allowed(user_id(parts[0]), topic):
                self.forwarded += 1
                out.send_multipart(parts, zmq.NOBLOCK, copy=False)
            elif topic:
                self.denied += 1
                log.warning("denied %r from %s", topic[:MAX_TOPIC], user_id(parts[0]))

    def _allowed(self, user: str, topic: bytes) -> bool:
        key = (user, topic)
        verdict = self._may.get(key)
        if verdict is None:
            grant = self._grants.get(user, Grant(name=""))
            sound = 3 <= len(topic) <= MAX_TOPIC and topic[-1] == 0 and topic.isascii()
            verdict = sound and grant.may_publish(topic[:-1].decode("ascii"))
            if len(self._may) < CACHE:
                self._may[key] = verdict
        return verdict

    def _credit(self, name: str, identity: bytes, asked: bool) -> None:
        """Count a publisher's message, or answer its question how many have come."""
        key = (name, identity)
        if key not in self._received and len(self._received) > CACHE:
            self._received.clear()  # publishers that are still there ask, and are told
            self._owed.clear()
        count = self._received[key] = self._received.get(key, 0) + (not asked)
        self._owed.add(key)
        if asked or count % CREDIT_EVERY[name] == 0:
            self._acknowledge(key, asked)

    def _acknowledge(self, key: tuple[str, bytes], asked: bool) -> None:
        self._owed.discard(key)
        name, identity = key
        parts = [identity, self.epoch.to_bytes(8, "big"), self._received[key].to_bytes(8, "big")]
        try:
            self._sock[name].send_multipart([*parts, b"?"] if asked else parts, zmq.NOBLOCK)
        except zmq.Again:
            self._owed.add(key)

    def _subscribe(self, name: str) -> None:
        sock = self._sock[name]
        while True:
            try:
                frame = sock.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            data = frame.bytes
            if data[:1] == b"\0":
                self._left(name, data[1:])
                sock.setsockopt(zmq.UNSUBSCRIBE, data[1:])
            elif data[:1] == b"\1" and self._may_subscribe(name, user_id(frame), data[1:]):
                sock.setsockopt(zmq.SUBSCRIBE, data[1:])

    def _may_subscribe(self, name: str, user: str, prefix: bytes) -> bool:
        grant = self._grants.get(user, Grant(name=""))
        held = self._subscriptions.setdefault((name, user), Counter())
        readable = prefix.isascii() and grant.may_read(prefix.rstrip(b"\0").decode("ascii"))
        if not readable or held.total() >= MAX_SUBSCRIPTIONS:
            self.denied += 1
            log.warning("denied %r to %s (%d held)", prefix[:MAX_TOPIC], user, held.total())
            return False
        held[prefix] += 1
        return True

    def _left(self, name: str, prefix: bytes) -> None:
        """Count one subscription less.

        A connection that just went has no User-Id any more: of those who hold the prefix, the
        one who holds it most often is taken to have let go.
        """
        holders = [h for (at, _), h in self._subscriptions.items() if at == name and h[prefix]]
        if holders:
            held = max(holders, key=lambda h: h[prefix])
            held[prefix] -= 1
            if not held[prefix]:
                del held[prefix]

    def _probe(self, sock: zmq.Socket[bytes]) -> None:
        while True:
            try:
                identity = sock.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            received_ns = self.clock.read()
            frame = sock.recv(copy=False)
            rest = []
            while sock.getsockopt(zmq.RCVMORE):
                rest.append(sock.recv())
            try:
                reply = self._time.on_request(
                    user_id(frame), identity.hex(), frame.bytes, received_ns
                )
            except ScotError as error:
                self.denied += 1
                log.warning("%s: %s", user_id(frame), error)
                continue
            sock.send_multipart([identity, reply], zmq.NOBLOCK)

    def _query(self) -> None:
        sock = self._sock["query"]
        for _ in range(CTL_BUDGET):
            try:
                identity = sock.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            parts = []
            while sock.getsockopt(zmq.RCVMORE):
                parts.append(sock.recv(copy=False))
            if parts:
                user = user_id(parts[0])
                message = [part.bytes for part in parts]
                self._send(self.desk.on(identity, user, message, self.clock.read()))

    def _send(self, out: list[Out]) -> None:
        for identity, parts in out:
            try:
                self._sock["query"].send_multipart([identity, *parts], zmq.NOBLOCK)
            except zmq.Again:
                log.warning("a client does not take its answers; one was dropped")

    def _changed(self, catalogue: Catalogue) -> None:
        self._publish(CATALOGUE, {"version": catalogue.version})

    def _publish(self, channel: Channel, value: dict[str, Any]) -> None:
        seq = self._seq.get(channel.name, 0)
        self._seq[channel.name] = seq + 1
        address = f"{self._workspace}/room/{channel.name}"
        local_ns = self.clock.read()
        exact = Timestamp(local_ns, self._session.at(local_ns), 0, 0, ClockState.LOCKED)
        sample = Sample(address, self.epoch, seq, exact, Flags(0), value)
        frame = encode(sample, channel.kind)
        self._own.add(frame, read_header(frame))
        self._sock["ctl_out"].send_multipart(list(frame), zmq.NOBLOCK)


def user_id(frame: zmq.Frame) -> str:
    """Return whose frame it is: the grant's name our gate gave; empty when nobody's."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
