"""The bus without an event loop: for scripts and notebooks.

::

    with scot.connect() as room:
        for sample in room.samples("or1/monitor/"):
            print(sample.address, sample.time.bus_ns, sample.value)

The rules are those of `scot.bus.client`, as in `scot.bus.connection`; the calling thread does the
work while it waits. Between two calls a thread in the background keeps the connection alive and
takes what comes, so that a notebook may think for as long as it likes.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable, Iterable, Sequence

import zmq

from scot.bus.client import OUT, Client, Effect
from scot.bus.keys import Link
from scot.bus.publisher import Publish
from scot.bus.readiness import Readiness
from scot.bus.reply import read_reply
from scot.bus.samples import Samples
from scot.bus.session import Answered, Send
from scot.bus.socket import (
    CONTROL_BYTES,
    NOW,
    connect,
    context,
    dealer,
    plain_send,
    receive,
    receive_samples,
    send_frames,
    subscriber,
)
from scot.bus.subscriber import Listen, Sink, Subscription
from scot.channel import Catalogue, Channel, Device
from scot.clock.clock import Clock
from scot.clock.probe import ZMQ
from scot.clock.prober import Prober
from scot.codec import Frame, Header, read_header, write
from scot.errors import BusError, BusTimeoutError, RemoteProtocolError
from scot.history import HistoryReply, HistoryRequest
from scot.sample import Sample

log = logging.getLogger(__name__)

JOIN_S = 5.0
KEEP_S = 0.05  # how often the background looks whether the caller is away
TURN_S = 0.1
STUCK_S = 1.0
HEALTH_NS = 1_000_000_000


class Connection:
    """Join with `Connection.join(link)` or `scot.connect()`; close it, or use `with`.

    One thread calls it.

    Attributes:
        client: what it knows and does; sans-IO.
        clock: bus time; follows the clock service's maps.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.workspace = link.endpoints.workspace
        self.client = Client(self.workspace, link.endpoints.url("query"))
        self.clock = Clock()
        self._prober = Prober(os.urandom(8), random.random)
        self._context = context()
        self._socks: dict[str, zmq.Socket[bytes]] = {
            name: dealer(self._context, link, name) for name in ("query", *self.client.lanes)
        }
        self._socks["probe"] = self._context.socket(zmq.DEALER)
        connect(self._socks["probe"], link, "probe", CONTROL_BYTES, 16)
        self._plain = {name: plain_send(self._socks[name]) for name in self.client.lanes}
        self._ready = Readiness(self._socks)
        self._answers: dict[bytes, Answered | None] = {}
        self._probe_ns = self._turned_ns = 0
        self._health_ns = self.clock.read() + HEALTH_NS
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="scot-keeper", daemon=True)

    @classmethod
    def join(cls, link: Link, timeout_s: float = JOIN_S) -> Connection:
        """Connect, learn the catalogue and bus time.

        Raises:
            BusTimeoutError: the broker does not answer (not running, or it does not know the key).
        """
        connection = cls(link)
        connection._keeper.start()
        client, prober = connection.client, connection._prober
        if not connection.wait(lambda: client.session.met and prober.timed, timeout_s):
            connection.close()
            raise BusTimeoutError("hello", link.endpoints.url("query"), timeout_s)
        client.epoch = connection.clock.now()
        return connection

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hand over what is waiting (at most 2 s), then leave."""
        if self._closing.is_set():
            return
        if not self.drained(2.0):
            log.warning("left %d samples unsent", self.client.held)
        self._closing.set()
        self._keeper.join()
        with self._lock:
            for subscription in self.client.subscriptions:
                subscription.sink.close()
            self._ready.close()
            for sock in self._socks.values():
                sock.close(linger=200)
            self._context.term()

    # -- publishing

    def announce(self, device: Device, *, health: bool = True) -> None:
        """Put a device into the catalogue, or change it; see the asynchronous connection.

        Raises:
            AccessError, BusError: this key may not.
        """
        with self._lock:
            asking = self.client.announce(device, self.clock.read(), health=health)
            self._answered(*asking)

    def publish(self, sample: Sample, channel: Channel) -> None:
        """Send a sample; it is also kept in this process's History.

        While the broker has not taken what went before this waits, but not for longer than a
        second without any progress: then the sample waits in the queue, as it does asynchronously.

        Raises:
            CodecError: the value is not of the channel's kind.
        """
        self._publish(*write(sample, channel.kind), channel)

    def publish_frame(self, frame: Frame, channel: Channel) -> None:
        """Send a frame as it is."""
        self._publish(frame, read_header(frame), channel)

    def _publish(self, frame: Frame, header: Header, channel: Channel) -> None:
        with self._lock:
            now_ns = self.clock.read()
            self._do(self.client.publish(frame, header, channel, now_ns))
            if self.client.held or now_ns - self._turned_ns > TURN_S * 1e9:
                self._turn(0)
            held = self.client.held
            while held and self.wait(lambda held=held: self.client.held < held, STUCK_S):  # type: ignore[misc]
                held = self.client.held

    def drained(self, timeout_s: float | None = None) -> bool:
        """Wait until the broker has everything that was published; False: it has not in time."""
        return self.wait(lambda: self.client.idle, timeout_s)

    # -- reading

    def samples(
        self,
        *prefixes: str,
        timeout_s: float | None = None,
        fill: bool = True,
        from_start: bool = False,
        newest: bool = False,
    ) -> Samples:
        """Return samples as they come, decoded; what is missing is asked back and comes late.

        Args:
            prefixes: ``or1/`` or ``or1/monitor/hr``; the whole workspace when none is given.
            timeout_s: end the iteration after so long without a sample; None waits for ever.
            fill: ask back gaps of signals.
            from_start: ask back what was published before we came, as far as it is held.
            newest: of each channel only the newest sample at the moment when it is taken, and
                nothing is asked back: for a program that is slower than a device.
        """
        samples = Samples(self, timeout_s, threading.Lock(), newest)
        wanted = prefixes or (f"{self.workspace}/",)
        self.subscribe(wanted, samples, fill=fill and not newest, from_start=from_start)
        return samples

    def subscribe(
        self,
        prefixes: Sequence[str],
        sink: Sink,
        *,
        fill: bool = True,
        fill_bulk: bool = False,
        from_start: bool = False,
    ) -> Subscription:
        """Deliver to `sink`, from this thread while it waits or from the one in the background.

        The arguments are those of the asynchronous connection.
        """
        with self._lock:
            subscription, effects = self.client.subscribe(
                prefixes, sink, fill=fill, fill_bulk=fill_bulk, from_start=from_start
            )
            self._do(effects)
        return subscription

    def history(self, ask: HistoryRequest, timeout_s: float = 5.0) -> HistoryReply:
        """Ask for samples that are not live.

        Raises:
            AccessError, BusError: refused, or nobody holds them.
            BusTimeoutError: no answer in time.
        """
        with self._lock:
            within_ns = round(timeout_s * 1e9)
            asking = self.client.ask_history(ask, self.clock.read(), within_ns)
            return read_reply(self._answered(*asking), ask.addresses)

    @property
    def catalogue(self) -> Catalogue:
        """The newest known."""
        return self.client.catalogue

    @property
    def lost(self) -> dict[str, int]:
        """Samples that are missing now, by address."""
        return self.client.lost

    # -- the loop

    def wait(self, seen: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Work until `seen` holds; return False when it does not within `timeout_s`.

        Raises:
            BusError: the connection is closed.
        """
        end_ns = None if timeout_s is None else self.clock.read() + round(timeout_s * 1e9)
        while not seen():
            left_s = TURN_S
            if end_ns is not None:
                left_s = min(TURN_S, (end_ns - self.clock.read()) / 1e9)
                if left_s <= 0:
                    return False
            if self._closing.is_set():
                raise BusError("the connection is closed")
            with self._lock:
                self._turn(left_s)
        return True

    def look(self) -> None:
        """Take all that has come, without waiting.

        Raises:
            BusError: the connection is closed.
        """
        if self._closing.is_set():
            raise BusError("the connection is closed")
        with self._lock:
            self._turn(0)

    def _keep(self) -> None:
        """Do the caller's work while it is away."""
        while not self._closing.wait(KEEP_S):
            if self._lock.acquire(blocking=False):
                try:
                    if self.clock.read() - self._turned_ns > KEEP_S * 1e9:
                        self._turn(0)
                except Exception:
                    log.exception("the background could not take what came")
                finally:
                    self._lock.release()

    def _turn(self, timeout_s: float) -> None:
        """Do what is due, then take what comes within `timeout_s`."""
        now_ns = self._due(self.clock.read())
        due_ns = min(self.client.due_ns, self._probe_ns, self._health_ns)
        for name in self._ready.wait(max(0.0, min(timeout_s, (due_ns - now_ns) / 1e9))):
            now_ns = self._take(name)
        self._turned_ns = now_ns

    def _take(self, name: str) -> int:
        """Take what has come to a socket; return when."""
        samples: list[bytes] = []
        messages: list[list[bytes]] = []
        if name in OUT:
            samples, more = receive_samples(self._socks[name])
        else:
            messages, more = receive(self._socks[name])
        if more:
            self._ready.again([name])
        now_ns = self.clock.read()
        if samples:
            self._do(self.client.on_samples(name, samples, now_ns))
        elif name == "probe":
            self._timed(messages, now_ns)
        elif messages:
            self._do(self.client.on(name, messages, now_ns))
        return now_ns

    def _due(self, now_ns: int) -> int:
        if now_ns >= self.client.due_ns:
            self._do(self.client.tick(now_ns))
        if now_ns >= self._probe_ns:
            self._prober.rehearse(ZMQ)
            self._send("probe", [self._prober.request(ZMQ, self.clock.read())])
            self._probe_ns = now_ns + self._prober.wait_ns()
        if now_ns >= self._health_ns and self._prober.timed:
            self._health_ns = now_ns + HEALTH_NS
            self._do(self.client.health(self.clock.stamp(now_ns), now_ns, self.clock.map))
        return now_ns

    def _timed(self, batch: Iterable[list[bytes]], now_ns: int) -> None:
        for parts in batch:
            try:
                new = self._prober.on_answer(ZMQ, parts[0], now_ns)
            except RemoteProtocolError as error:
                log.warning("%s", error)
                continue
            if new is not None:
                self.clock.map = new
        if self._prober.hurries:
            self._probe_ns = now_ns

    def _do(self, effects: Iterable[Effect]) -> None:
        if self._context.closed:
            raise BusError("the connection is closed")
        for effect in effects:
            match effect:
                case Publish(name, frames):
                    sent = send_frames(self._plain[name], frames)
                    self._ready.sent(name)
                    if sent < len(frames):
                        self.client.back(effect, sent)
                case Send(name, parts):
                    self._send(name, parts)
                case Listen(name, topic):
                    if name not in self._socks:
                        self._socks[name] = subscriber(self._context, self.link, name)
                        self._ready.close()
                        self._ready = Readiness(self._socks)
                    self._socks[name].setsockopt(zmq.SUBSCRIBE, topic)
                case Answered():
                    if effect.request_id in self._answers:
                        self._answers[effect.request_id] = effect
                case _:  # we serve nobody and take no commands; the catalogue is the client's
                    pass

    def _send(self, name: str, parts: Sequence[bytes]) -> None:
        try:
            self._socks[name].send_multipart(parts, NOW)
        except zmq.Again:
            log.info("no room for a message to %s", name)
        self._ready.sent(name)

    def _answered(self, request_id: bytes, effects: Iterable[Effect]) -> list[bytes]:
        """Ask, and return body and frames of the answer."""
        self._answers[request_id] = None
        self._do(effects)
        try:
            self.wait(lambda: self._answers[request_id] is not None)
            answer = self._answers[request_id]
        finally:
            del self._answers[request_id]
        if answer is None:
            raise BusError("no answer came")
        if answer.error is not None:
            raise answer.error
        return answer.parts
