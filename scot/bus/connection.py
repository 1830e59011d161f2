"""One process's connection to its workspace: catalogue, clock, publishing, reading, History.

The rules are those of `scot.bus.client`; here they have sockets, a clock and an event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec
import zmq

from scot.bus.client import Client, Effect
from scot.bus.keys import Link
from scot.bus.probing import Probing
from scot.bus.publisher import Publish, lane_of
from scot.bus.reply import read_reply
from scot.bus.session import Answered, Asked, Called, NewCatalogue, Send, Wished
from scot.bus.socket import Drained, context, dealer, receive, receive_samples, subscriber
from scot.bus.subscriber import Listen, Sink, Subscription
from scot.channel import Catalogue, Channel, Device
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.codec import Frame, Header, read_header, write
from scot.errors import UNREADABLE, BusError, BusTimeoutError, ScotError
from scot.health import Reports
from scot.history import HistoryReply, HistoryRequest
from scot.sample import Sample
from scot.transport import Pace

log = logging.getLogger(__name__)

HEALTH_S = 1.0
JOIN_S = 5.0
TICK_S = 0.1  # at the latest; sooner when something is due

Answer = Callable[[HistoryRequest], HistoryReply | Awaitable[HistoryReply]]


class Connection:
    """Join with `await Connection.join(link)`; everything happens on the running loop.

    Attributes:
        client: what it knows and does; sans-IO.
        clock: bus time; follows the clock service's maps.
        on_catalogue: called with each new catalogue.
        on_command: called with the key and body of each command for a device of ours; answer
            with `commanded`.
        on_wish: called with the key and body of each wish for the player; answer with `granted`.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.workspace = link.endpoints.workspace
        self.client = Client(self.workspace, link.endpoints.url("query"))
        self.clock = Clock()
        self.on_catalogue: list[Callable[[Catalogue], None]] = []
        self.on_command: Callable[[bytes, bytes], None] = lambda key, body: None
        self.on_wish: Callable[[bytes, bytes], None] = lambda key, body: None
        self._answer: Answer = self.client.own_history
        self._waiting: dict[bytes, asyncio.Future[list[bytes]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._met = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._timer: asyncio.TimerHandle | None = None
        self._context = context()
        self._probing = Probing(self._context, link, self.clock, self.request)
        self._broker = 0
        self._sockets: dict[str, Drained[Any]] = {}
        for name in ("query", *self.client.lanes):
            sock = dealer(self._context, link, name)
            self._sockets[name] = Drained(sock, partial(self._on, name), receive)

    def _hear(self, name: str) -> Drained[bytes]:
        sock = subscriber(self._context, self.link, name)
        heard = Drained(sock, partial(self._on_samples, name), receive_samples)
        self._sockets[name] = heard
        return heard

    @classmethod
    async def join(cls, link: Link, timeout_s: float = JOIN_S) -> Connection:
        """Connect, learn the catalogue and bus time.

        Raises:
            BusTimeoutError: the broker does not answer (not running, or it does not know the key).
        """
        connection = cls(link)
        try:
            async with asyncio.timeout(timeout_s):
                connection._spawn(connection._probing.run())
                connection._tick()
                await connection._met.wait()
                await connection._probing.timed.wait()
        except TimeoutError:
            await connection.close()
            raise BusTimeoutError("hello", link.endpoints.url("query"), timeout_s) from None
        connection.client.epoch = connection.clock.now()
        connection._spawn(connection._healthy())
        return connection

    async def close(self) -> None:
        """Hand over what is waiting (at most 2 s), then leave."""
        try:
            async with asyncio.timeout(2.0):
                await self.drained()
        except TimeoutError:
            log.warning("left %d samples unsent", self.client.held)
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for subscription in self.client.subscriptions:
            subscription.sink.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(BusError("the connection was closed"))
        self._probing.close()
        for socket in self._sockets.values():
            socket.close()
        self._context.term()

    # -- publishing

    async def announce(self, device: Device, *, health: bool = True) -> None:
        """Put a device into the catalogue, or change it.

        Args:
            device: whole, with its channels.
            health: publish its ``health`` each second; False for a player's devices.

        Raises:
            AccessError, BusError: this key may not.
        """
        await self._answered(*self.client.announce(device, self.clock.read(), health=health))

    def publish(self, sample: Sample, channel: Channel) -> None:
        """Send a sample; it is also kept in this process's History.

        Raises:
            CodecError: the value is not of the channel's kind.
        """
        frame, header = write(sample, channel.kind)
        self._publish(frame, header, channel)

    def publish_frame(self, frame: Frame, channel: Channel) -> None:
        """Send a frame as it is; it is also kept in this process's History."""
        self._publish(frame, read_header(frame), channel)

    def pass_on(self, frames: Iterable[tuple[Frame, Channel]]) -> None:
        """Send frames as they are, in order on each lane (a player's).

        They are not kept in this process's History: who passes them on answers for them.
        """
        lanes: dict[str, list[Frame]] = {}
        for frame, channel in frames:
            lanes.setdefault(lane_of(channel), []).append(frame)
        self._idle.clear()
        self._do(self.client.pass_on(lanes, self.clock.read()))
        if self.client.held:
            self._flowing.clear()

    def _publish(self, frame: Frame, header: Header, channel: Channel) -> None:
        self._idle.clear()
        went = False
        for publish in self.client.publish(frame, header, channel, self.clock.read()):
            went = self._send(publish)
        if not went:
            self._flowing.clear()

    def _send(self, publish: Publish) -> bool:
        """Send frames; False when the socket had no room for some, which wait again."""
        sent = self._sockets[publish.socket].send_all(publish.frames)
        if sent == len(publish.frames):
            return True
        self.client.back(publish, sent)
        return False

    async def credit(self) -> None:
        """Wait until nothing that was published waits for credit; for publishing flat out."""
        await self._flowing.wait()

    async def drained(self) -> None:
        """Wait until the broker has everything that was published."""
        await self._idle.wait()

    # -- reading

    def subscribe(
        self,
        prefixes: Sequence[str],
        sink: Sink,
        *,
        fill: bool = True,
        fill_bulk: bool = False,
        from_start: bool = False,
    ) -> Subscription:
        """Deliver every sample whose address starts with one of `prefixes` to `sink`.

        What is missing is asked back from History and delivered late, flagged BACKFILLED.

        Args:
            prefixes: ``or1/`` or ``or1/monitor/hr``.
            sink: gets deliveries in batches, on the loop.
            fill: ask back gaps of signals.
            fill_bulk: ask back gaps of video and images too.
            from_start: ask back what was published before we came, as far as it is held.
        """
        subscription, effects = self.client.subscribe(
            prefixes, sink, fill=fill, fill_bulk=fill_bulk, from_start=from_start
        )
        self._do(effects)
        return subscription

    async def history(self, ask: HistoryRequest, timeout_s: float = 5.0) -> HistoryReply:
        """Ask for samples that are not live.

        Raises:
            AccessError, BusError: refused, or nobody holds them.
            BusTimeoutError: no answer in time.
        """
        within_ns = round(timeout_s * 1e9)
        asking = self.client.ask_history(ask, self.clock.read(), within_ns)
        return read_reply(await self._answered(*asking), ask.addresses)

    async def serve_history(self, answer: Answer) -> None:
        """Answer History for the whole workspace (recorder, player); returns once we are asked.

        Raises:
            AccessError, BusError: this key may not.
        """
        self._answer = answer
        await self._answered(*self.client.serve(self.clock.read()))

    async def request(self, verb: bytes, body: bytes, timeout_s: float = 5.0) -> list[bytes]:
        """Ask the broker; return body and frames of its answer.

        Raises:
            BusError: it refused; the text is its own.
            BusTimeoutError: no answer in time.
        """
        within_ns = round(timeout_s * 1e9)
        return await self._answered(*self.client.request(verb, body, self.clock.read(), within_ns))

    def commanded(self, key: bytes, answer: bytes) -> None:
        """Answer a command that `on_command` was called with."""
        self._do(self.client.commanded(key, answer))

    def granted(self, key: bytes, answer: bytes) -> None:
        """Answer a wish that `on_wish` was called with."""
        self._do(self.client.granted(key, answer))

    async def pace(self, bus_ns: int | None, rate: float) -> None:
        """Let this replay room's bus time go on from `bus_ns`, at `rate`; for its player.

        Returns once our own clock follows.

        Raises:
            BusError: this key may not, or time would go back.
            BusTimeoutError: no answer in time.
        """
        body = msgspec.msgpack.encode(Pace(bus_ns=bus_ns, rate=rate))
        answer, *_ = await self.request(b"pace", body)
        session = msgspec.msgpack.decode(answer, type=BusMap)
        await self._probing.follow(session)

    def retime(self) -> None:
        """Probe at once: the player has turned the clock of this room."""
        self._probing.retime()

    # -- what it knows

    @property
    def catalogue(self) -> Catalogue:
        """The newest known; `on_catalogue` callbacks follow it."""
        return self.client.catalogue

    @property
    def counters(self) -> dict[str, dict[str, Any]]:
        """Extra numbers that ride along in a device's ``health``, by device name."""
        return self.client.counters

    @property
    def reports(self) -> Reports:
        """What its devices' ``health`` says of samples, links and this process."""
        return self.client.reports

    @property
    def lost(self) -> dict[str, int]:
        """Samples that are missing now, by address; the worst of all subscriptions."""
        return self.client.lost

    @property
    def backfilled(self) -> dict[str, int]:
        """Samples that came back from History, by address."""
        return self.client.filler.backfilled

    @property
    def probe_way(self) -> str:
        """By which way this process's clock probes go now: `zmq` or `udp`."""
        return self._probing.way

    @property
    def held(self) -> int:
        """Published frames the broker has not yet given credit for."""
        return self.client.held

    @property
    def dropped(self) -> int:
        """Published frames given up because too many were waiting."""
        return self.client.dropped

    # -- events in, effects out

    def _on_samples(self, name: str, batch: list[bytes]) -> None:
        self._do(self.client.on_samples(name, batch, self.clock.read()))

    def _on(self, name: str, batch: list[list[bytes]]) -> None:
        self._do(self.client.on(name, batch, self.clock.read()))
        before, self._broker = self._broker, self.client.session.broker
        if before not in (0, self._broker):
            self._probing.anew()
        if not self._idle.is_set() and self.client.idle:
            self._idle.set()
        if not self._flowing.is_set() and not self.client.held:
            self._flowing.set()

    def _tick(self) -> None:
        now_ns = self.clock.read()
        self._do(self.client.tick(now_ns))
        wait_s = min(TICK_S, max(0.001, (self.client.due_ns - self.clock.read()) / 1e9))
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Publish():
                    self._send(effect)
                case Send(name, parts):
                    self._sockets[name].send(parts)
                case Listen(name, topic):
                    drained = self._sockets.get(name) or self._hear(name)
                    drained.sock.setsockopt(zmq.SUBSCRIBE, topic)
                case Answered():
                    self._settle(effect)
                case Asked(key, ask):
                    self._spawn(self._serve(key, ask))
                case Called(key, body):
                    self.on_command(key, body)
                case Wished(key, body):
                    self.on_wish(key, body)
                case NewCatalogue(catalogue):
                    self._met.set()
                    for callback in self.on_catalogue:
                        callback(catalogue)

    async def _answered(self, request_id: bytes, effects: Iterable[Effect]) -> list[bytes]:
        """Ask, and return body and frames of the answer."""
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        self._do(effects)
        try:
            return await future
        finally:
            self._waiting.pop(request_id, None)

    def _settle(self, answer: Answered) -> None:
        future = self._waiting.get(answer.request_id)
        if future is None or future.done():
            return
        if answer.error is None:
            future.set_result(answer.parts)
        else:
            future.set_exception(answer.error)

    async def _serve(self, key: bytes, ask: HistoryRequest) -> None:
        try:
            result = self._answer(ask)
            reply = await result if inspect.isawaitable(result) else result
        except (ScotError, OSError, *UNREADABLE) as error:
            log.warning("cannot answer History: %s", error)
            reply = HistoryReply(complete=False)
        self._do(self.client.answer(key, reply))

    # -- background

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s", error)

    async def _healthy(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_S)
            self._idle.clear()
            local_ns = self.clock.read()
            self._do(self.client.health(self.clock.stamp(local_ns), local_ns, self.clock.map))
            if self.client.idle:
                self._idle.set()
