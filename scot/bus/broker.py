"""The broker: reads whose frame it is, checks it against a grant, forwards. Default deny."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import zmq

from scot.access import Access
from scot.audit import Audit
from scot.bus.authority import Posted
from scot.bus.connections import end
from scot.bus.datagram import ProbePort
from scot.bus.desk import Desk, Out
from scot.bus.keys import PORTS, Endpoints, KeyPair
from scot.bus.readiness import Readiness
from scot.bus.relay import Credit, Cut, Denied, Relay
from scot.bus.socket import (
    BULK_BYTES,
    CONTROL_BYTES,
    DATA_BYTES,
    NOW,
    PREFIX_BYTES,
    assert_secure,
    context,
    rank,
    serve,
)
from scot.bus.trail import Trail
from scot.bus.zap import Gate
from scot.channel import Catalogue, Channel, Device, Event, Lifecycle
from scot.clock.clock import Clock
from scot.clock.service import ClockService
from scot.codec import MAX_TOPIC, measure, pack
from scot.command import COMMANDS
from scot.errors import ClockError, RoomError, ScotError
from scot.health import Flow, declare_broker
from scot.timestamp import ClockState, Timestamp

log = logging.getLogger(__name__)

COPY_BYTES = 8 << 10  # up to here a copy costs less than libzmq's own frame
HEAD_BYTES = MAX_TOPIC + 1  # of a larger one: what is judged
CTL_BUDGET = 512
BULK_BUDGET = 4  # of a turn, after which signals are looked at again, as are the following
PROBE_BUDGET = 16
SUBSCRIBE_BUDGET = 16
QUERY_BUDGET = 8
TICK_MS = 100
REPORT_NS = 1_000_000_000
OUT = {"ctl_in": "ctl_out", "bulk_in": "bulk_out"}
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
HEALTH = declare_broker()
HEALTH_NS = 1_000_000_000


class Broker:
    """One workspace's broker; `run` serves until `stop` says so.

    Args:
        endpoints: where to bind.
        pair: the broker's keys.
        access: who may enter, and what for.
        clock: the session's clock.
        catalogue: workspace, title, case and volumes, without devices.
        posted: the signed roster that `access` follows; None for none.
        trail: where the audit's rows go; None for nowhere.

    Attributes:
        faults: messages whose handling failed, by the name of the socket; the broker goes on.

    Raises:
        RoomError: a port is busy.
        ClockError: the clock has no map.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        pair: KeyPair,
        access: Access,
        clock: Clock,
        catalogue: Catalogue,
        *,
        posted: Posted | None = None,
        trail: Trail | None = None,
    ) -> None:
        if clock.map is None:
            raise ClockError("a broker needs the session's own clock")
        self.clock = clock
        self.epoch = clock.now()
        self.faults: Counter[str] = Counter()
        self._context = context()
        self._context.set(zmq.IO_THREADS, 2)
        audit = Audit(catalogue.workspace, "broker")
        self._gate = Gate(self._context, access, posted, audit, trail)
        self._gate.tick()  # the roster is read before anybody can ask
        self.relay = Relay(self.epoch, self._gate.grants)
        self._sock = {name: self._bind(name, endpoints, pair) for name in PORTS}
        # In a replay room/clock is the recording's: its player publishes it.
        own = not catalogue.replay
        self._time = ClockService(clock, lambda row: self._publish(CLOCK, row) if own else None)
        self._datagrams = ProbePort(endpoints, self._time, clock)
        self._doors = {f"gate {number}": sock for number, sock in enumerate(self._gate.socks)}
        self._ready = Readiness({**self._doors, **self._sock})
        if self._datagrams.listening:
            self._ready.watch("probe_udp", self._datagrams.fileno())
        room = Device(
            name="room",
            provider="scot.room",
            label={"en": "Room", "ja": "部屋"},
            state=Lifecycle.RUNNING,
            epoch=self.epoch,
            channels={one.name: one for one in (CATALOGUE, CLOCK, COMMANDS, HEALTH)},
        )
        catalogue = catalogue.with_device(room)
        self._work: dict[str, Callable[[], None]] = {
            "probe_udp": self._datagrams.on_readable,
            "probe": self._probe,
            "ctl_in": lambda: self._forward("ctl_in", CTL_BUDGET),
            "ctl_out": lambda: self._subscribe("ctl_out"),
            "bulk_out": lambda: self._subscribe("bulk_out"),
            "query": self._query,
            "bulk_in": lambda: self._forward("bulk_in", BULK_BUDGET),
        }
        self.desk = Desk(
            self.epoch,
            catalogue,
            self._gate.grants,
            self._changed,
            self._refused,
            self._datagrams.keys if self._datagrams.listening else None,
            self._time.pace,
        )
        self._learnt: dict[str, set[bytes]] = {name: set() for name in OUT}  # since the last tick
        self._reported_ns: dict[str, int] = {}
        self._forwarded = Flow(clock.read())
        self._health_ns = 0

    def _bind(self, name: str, endpoints: Endpoints, pair: KeyPair) -> zmq.Socket[bytes]:
        sock = self._context.socket(KIND[name])
        rank(sock, name)
        serve(sock, pair, LIMIT[name], HWM[name])
        # libzmq's thread that enciphers signals has no pictures, questions or their handshakes
        sock.setsockopt(zmq.AFFINITY, 1 if name.startswith("ctl") else 2)
        if name in OUT:
            sock.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a publisher that reconnects keeps its count
        if KIND[name] == zmq.XPUB:
            sock.setsockopt(zmq.XPUB_MANUAL, 1)
            sock.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._gate.watch(name, sock)
        try:
            sock.bind(endpoints.url(name))
        except zmq.ZMQError as error:
            raise RoomError(
                f"cannot listen on {endpoints.url(name)}: {error.strerror}; another room may use "
                "it: stop that one, or choose another [bus] port (0 takes a free one)"
            ) from None
        assert_secure(sock, name)
        return sock

    @property
    def denied(self) -> int:
        """Frames, subscriptions, questions and probes refused since start."""
        datagrams = self._datagrams.keys.refused.total()
        return self.relay.denied.total() + self.desk.refused + datagrams

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop()`; it is asked at least every 100 ms."""
        tick_ns = 0
        while not stop():
            ready = self._ready.wait(TICK_MS / 1e3)
            if not ready.isdisjoint(self._doors):
                self._guard("gate", self._enter)
            for name, work in self._work.items():  # the clock first, then signals, then pictures
                if name in ready:
                    self._guard(name, work)
            now_ns = self.clock.read()
            if now_ns > tick_ns:
                tick_ns = now_ns + TICK_MS * 1_000_000
                self._guard("tick", self._tick)
                self._ready.again(self._sock)  # whatever we overlooked waits no longer than this
        self.close()

    def close(self) -> None:
        """Close every socket."""
        self._ready.close()
        self._datagrams.close()
        self._gate.close()
        for sock in self._sock.values():
            sock.close(linger=0)
        self._context.term()

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        """Work; whatever one message does to us, the next one is served."""
        try:
            work()
        except Exception:
            self._ready.again(self._doors if name == "gate" else [name])
            self.faults[name] += 1
            now_ns = self.clock.read()
            if now_ns - self._reported_ns.get(name, -REPORT_NS) >= REPORT_NS:
                self._reported_ns[name] = now_ns
                log.exception("a message on %s failed; %d so far", name, self.faults[name])

    def _enter(self) -> None:
        self._gate.answer()
        if self._gate.unheard:
            self._ready.again(self._doors)
        self._regrant()

    def _regrant(self) -> None:
        if self._gate.regranted():
            self.desk.grants = self._gate.grants
            self.relay.regrant(self._gate.grants)
            self._datagrams.keys.clear()  # who may still ask does so again

    def _tick(self) -> None:
        now_ns = self.clock.read()
        self._gate.tick()
        self._regrant()
        for learnt in self._learnt.values():
            learnt.clear()
        self._send(self.desk.tick(now_ns))
        self._datagrams.tick(now_ns)
        for effect in self.relay.tick(now_ns):
            if isinstance(effect, Denied):
                text = "denied %r %d times; the last was %r"
                log.warning(text, effect.user, effect.times, effect.what)
                what = effect.what.rstrip(b"\0").decode("ascii", "replace")
                self._gate.denied(effect.verb, effect.user, what, count=effect.times)
            else:
                self._credit(effect)
        if now_ns >= self._health_ns:
            self._health_ns = now_ns + HEALTH_NS
            self._publish(HEALTH, self._health(now_ns))

    def _health(self, now_ns: int) -> dict[str, Any]:
        self._forwarded.reach(self.relay.forwarded)
        return {
            "state": Lifecycle.RUNNING.value,
            "heads": self.desk.heads(),
            "forwarded": self.relay.forwarded,
            "forwarded_hz": self._forwarded.look(now_ns).get("samples_hz", 0.0),
            "admitted": self._gate.admitted,
            "refused": self._gate.refused,
            "denied": self.relay.denied.total(),
            "denied_of": dict(self.relay.denied),
            "withheld_of": dict(self.relay.withheld),
            "misasked": self.desk.refused,
            "subscriptions": self.relay.subscriptions,
            "questions": self.desk.questions,
            "probes_refused": self._time.refused + self._datagrams.keys.refused.total(),
            "probes_refused_of": dict(self._time.refused_of + self._datagrams.keys.refused_of),
            "faults": self.faults.total(),
            **self._gate.health(),
        }

    def _forward(self, name: str, budget: int) -> None:
        """Take samples of one of the publishers' sockets and pass on what may pass.

        A large frame stays libzmq's own, so that a picture is not copied on its way through.
        """
        out = OUT[name]
        recv, send, relay = self._sock[name].recv, self._sock[out].send, self.relay
        gate, learnt = self._gate, self._learnt[name]
        try:
            for _ in range(budget):
                identity = recv(NOW)
                frame = recv(NOW, False)
                if identity not in learnt:
                    learnt.add(identity)
                    gate.learn(frame)
                size = len(frame)
                data = frame.bytes if size <= COPY_BYTES else bytes(frame.buffer[:HEAD_BYTES])
                if frame.more:
                    rest(self._sock[name])
                    relay.malformed(name, identity, gate.user(frame), data[:MAX_TOPIC])
                    continue
                if not data:
                    self._credit(relay.asked(name, identity))
                    continue
                topic, payload_size = measure(data, size)
                if payload_size < 0:
                    relay.malformed(name, identity, gate.user(frame), topic)
                elif relay.admit(name, identity, gate.user(frame), topic, payload_size):
                    send(data if size <= COPY_BYTES else frame, NOW)
            self._ready.again([name])
        except zmq.Again:
            pass
        self._ready.sent(out)
        for credit in relay.credits():
            self._credit(credit)

    def _credit(self, credit: Credit) -> None:
        lane, identity, parts = credit
        self._ready.sent(lane)
        try:
            self._sock[lane].send_multipart([identity, *parts], zmq.NOBLOCK)
        except zmq.Again:
            self.relay.unsent(credit)

    def _subscribe(self, name: str) -> None:
        sock = self._sock[name]
        for _ in range(SUBSCRIBE_BUDGET):
            try:
                frame = sock.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            listen = self.relay.subscribe(name, self._gate.learn(frame), frame.bytes)
            if isinstance(listen, Cut):
                end(frame)
            elif listen is not None:
                option = zmq.SUBSCRIBE if listen.begins else zmq.UNSUBSCRIBE
                sock.setsockopt(option, listen.prefix)
        self._ready.again([name])

    def _probe(self) -> None:
        sock = self._sock["probe"]
        for _ in range(PROBE_BUDGET):
            try:
                identity = sock.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            received_ns = self.clock.read()
            parts = rest(sock)
            user = self._gate.learn(parts[0])
            try:
                reply = self._time.on_request(user, identity.hex(), parts[0].bytes, received_ns)
            except ScotError as error:
                self.relay.deny(user, str(error).encode(), "probe")
                continue
            sock.send_multipart([identity, reply], zmq.NOBLOCK)
        self._ready.again(["probe"])

    def _query(self) -> None:
        sock = self._sock["query"]
        for _ in range(QUERY_BUDGET):
            try:
                identity = sock.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            parts = rest(sock)
            user = self._gate.learn(parts[0])
            message: list[Any] = [part.bytes for part in parts[:3]]
            message += parts[3:]  # of an answer to History: libzmq's own, passed on uncopied
            self._send(self.desk.on(identity, user, message, self.clock.read()))
        else:
            self._ready.again(["query"])
        refusals, self.desk.refusals = self.desk.refusals, []
        for refusal in refusals:
            self._gate.denied(refusal.verb, refusal.user, "", refusal.text)

    def _send(self, out: list[Out]) -> None:
        self._ready.sent("query")
        for identity, parts in out:
            try:
                self._sock["query"].send_multipart([identity, *parts], zmq.NOBLOCK)
            except zmq.Again:
                self.faults["query"] += 1  # a client does not take its answers; this one is lost

    def _changed(self, catalogue: Catalogue) -> None:
        self._publish(CATALOGUE, {"version": catalogue.version})

    def _refused(self, step: dict[str, Any]) -> None:
        self._publish(COMMANDS, step)

    def _publish(self, channel: Channel, value: dict[str, Any]) -> None:
        local_ns = self.clock.read()
        exact = Timestamp(local_ns, self.clock.now(), 0, 0, ClockState.LOCKED)
        frame = self.desk.own(channel, value, exact)
        self._sock["ctl_out"].send(pack(frame), NOW)
        self._ready.sent("ctl_out")


def rest(sock: zmq.Socket[bytes]) -> list[zmq.Frame]:
    """Return the parts of a message after the one just taken."""
    parts = [sock.recv(NOW, False)]
    while parts[-1].more:
        parts.append(sock.recv(NOW, False))
    return parts
