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
from scot.bus.binding import KIND, OUT, bind
from scot.bus.connections import end
from scot.bus.datagram import ProbePort
from scot.bus.desk import Desk, Out
from scot.bus.inbox import MOST_PARTS, Inbox
from scot.bus.keys import PORTS, Endpoints, KeyPair
from scot.bus.readiness import Readiness
from scot.bus.relay import Credit, Cut, Denied, Relay
from scot.bus.socket import NOW, context, plain_send
from scot.bus.trail import Trail
from scot.bus.zap import Gate
from scot.channel import Catalogue, Channel, Device, Event, Lifecycle
from scot.clock.clock import Clock
from scot.clock.service import ClockService
from scot.codec import MAX_TOPIC, measure, pack
from scot.command import COMMANDS
from scot.errors import ClockError, ScotError
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
        self._sock = {
            name: bind(self._context, name, endpoints, pair, self._gate.watch) for name in PORTS
        }
        self._plain = {name: plain_send(self._sock[name]) for name in OUT.values()}
        self._inbox = {name: Inbox(self._sock[name]) for name in KIND if not name.endswith("out")}
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
        self._tell_refusals()
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
            "questions": len(self.desk.questions),
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
        recv, send, relay = self._sock[name].recv, self._plain[out], self.relay
        gate, learnt, inbox = self._gate, self._learnt[name], self._inbox[name]
        try:
            for _ in range(budget if inbox.pass_over() else 0):
                identity = recv(NOW)
                frame = recv(NOW, False)
                if identity not in learnt:
                    learnt.add(identity)
                    gate.learn(frame)
                size = len(frame)
                data = frame.bytes if size <= COPY_BYTES else bytes(frame.buffer[:HEAD_BYTES])
                if frame.more:
                    relay.malformed(name, identity, gate.user(frame), data[:MAX_TOPIC])
                    if inbox.skip(frame):
                        continue
                    break
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
        for _ in range(PROBE_BUDGET):
            taken = self._take("probe")
            if taken is None:
                return
            user, identity, parts = taken
            if not parts:
                continue
            received_ns = self.clock.read()
            try:
                reply = self._time.on_request(user, identity.hex(), parts[0].bytes, received_ns)
            except ScotError as error:
                self.relay.deny(user, str(error).encode(), "probe")
                continue
            self._sock["probe"].send_multipart([identity, reply], zmq.NOBLOCK)
            break  # signals do not wait for a second estimate
        self._ready.again(["probe"])

    def _query(self) -> None:
        for _ in range(QUERY_BUDGET):
            taken = self._take("query")
            if taken is None:
                break
            user, identity, parts = taken
            if not parts:
                continue
            message: list[Any] = [part.bytes for part in parts[:3]]
            message += parts[3:]  # of an answer to History: libzmq's own, passed on uncopied
            self._send(self.desk.on(identity, user, message, self.clock.read()))
        else:
            self._ready.again(["query"])
        self._tell_refusals()

    def _take(self, name: str) -> tuple[str, bytes, list[zmq.Frame]] | None:
        """Return whose message is next, from where, and its parts; None when there is none.

        It has no parts where it had too many: they are refused, and passed over.
        """
        try:
            message = self._inbox[name].take()
        except zmq.Again:
            return None
        if message is None:
            return "", b"", []
        user = self._gate.learn(message.parts[0])
        if message.torn:
            self.relay.deny(user, b"a message of more than %d parts" % MOST_PARTS, name)
        return user, message.identity, [] if message.torn else message.parts

    def _tell_refusals(self) -> None:
        refusals, self.desk.refusals = self.desk.refusals, []
        for one in refusals:
            self._gate.denied(one.verb, one.user, "", one.text, one.times)

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
        self._plain["ctl_out"](pack(frame), NOW)
        self._ready.sent("ctl_out")
