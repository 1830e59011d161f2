"""One process's connection to its workspace: catalogue, clock, publishing, reading, History."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import zmq

from scot.bus.desk import Welcome
from scot.bus.filler import Filler
from scot.bus.keys import Link
from scot.bus.probing import Probing
from scot.bus.publisher import Lane
from scot.bus.socket import BULK_BYTES, DATA_BYTES, Drained, connect, context
from scot.bus.subscriber import Sink, Subscription
from scot.channel import BULK, Catalogue, Channel, Device, Event
from scot.clock.clock import Clock
from scot.codec import Frame, decode, encode, read_header
from scot.errors import UNREADABLE, BusError, BusTimeoutError, CodecError, ScotError
from scot.gap import Missing
from scot.history import History, HistoryReply, HistoryRequest
from scot.sample import Flags, Sample

log = logging.getLogger(__name__)

PING_S = 0.5
HEALTH_S = 1.0
JOIN_S = 5.0

HEALTH = Event("health", label={"en": "Health", "ja": "状態"}, stale_after_s=3.0)

Answer = Callable[[HistoryRequest], HistoryReply | Awaitable[HistoryReply]]
_encode = msgspec.msgpack.Encoder().encode
_welcome = msgspec.msgpack.Decoder(Welcome)
_catalogue = msgspec.msgpack.Decoder(Catalogue)
_reply = msgspec.msgpack.Decoder(HistoryReply)
_ask = msgspec.msgpack.Decoder(HistoryRequest)


class Connection:
    """Join with `await Connection.join(link)`; everything happens on the running loop.

    Attributes:
        catalogue: the newest known; `on_catalogue` callbacks follow it.
        clock: bus time; follows the clock service's maps.
        counters: extra numbers that ride along in a device's ``health``, by device name.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.workspace = link.endpoints.workspace
        self.catalogue = Catalogue(workspace=self.workspace)
        self.clock = Clock()
        self.on_catalogue: list[Callable[[Catalogue], None]] = []
        self.counters: dict[str, dict[str, Any]] = {}
        self._history = History()
        self._devices: dict[str, Device] = {}
        self._with_health: set[str] = set()
        self._heads: dict[str, dict[str, tuple[int, int]]] = {}
        self._seq: dict[str, int] = {}
        self._epoch = 0
        self._answer: Answer | None = None
        self._broker = 0
        self._subscriptions: list[Subscription] = []
        self._filler = Filler(self.history, self._subscriptions, lambda: self.catalogue)
        self._waiting: dict[bytes, asyncio.Future[list[bytes]]] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._refreshing = False
        self._context = context()
        self._open()

    def _open(self) -> None:
        link = self.link
        sock = self._context.socket(zmq.DEALER)
        connect(sock, link, "query", BULK_BYTES, 1024)
        self._query = Drained(sock, self._on_query)
        self._probing = Probing(self._context, link, self.clock)
        self._lanes = {name: Lane(self._context, link, name) for name in ("ctl_in", "bulk_in")}
        self._sub: dict[str, Drained] = {}

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
                await connection._meet()
                await connection._probing.timed.wait()
        except TimeoutError:
            await connection.close()
            raise BusTimeoutError("hello", link.endpoints.url("query"), timeout_s) from None
        connection._epoch = connection.clock.now()
        connection._spawn(connection._pinging())
        connection._spawn(connection._healthy())
        return connection

    async def close(self) -> None:
        """Hand over what is waiting (at most 2 s), then leave."""
        try:
            async with asyncio.timeout(2.0):
                await self.drained()
        except TimeoutError:
            log.warning("left %d samples unsent", sum(lane.held for lane in self._lanes.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for subscription in self._subscriptions:
            subscription.sink.close()
        self._probing.close()
        for socket in (self._query, *self._sub.values()):
            socket.close()
        for lane in self._lanes.values():
            lane.close()
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
        if health:
            channels = {**device.channels, HEALTH.name: HEALTH}
            device = msgspec.structs.replace(device, channels=channels)
            self._with_health.add(device.name)
        self._devices[device.name] = device
        await self.request(b"announce", _encode(device))

    def publish(self, sample: Sample, channel: Channel) -> None:
        """Send a sample; it is also kept in this process's History.

        Raises:
            CodecError: the value is not of the channel's kind.
        """
        self.publish_frame(encode(sample, channel.kind), channel)

    def publish_frame(self, frame: Frame, channel: Channel) -> None:
        """Send a frame as it is (a player's)."""
        header = read_header(frame)
        self._history.add(frame, header)
        _, device, name = frame.address.split("/")
        self._heads.setdefault(device, {})[name] = (header.epoch, header.seq + 1)
        self._lanes["bulk_in" if channel.kind in BULK else "ctl_in"].put(frame)

    async def drained(self) -> None:
        """Wait until the broker has everything that was published."""
        for lane in self._lanes.values():
            await lane.idle.wait()

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
        subscription = Subscription(
            prefixes,
            sink,
            self._fill_later,
            fill=fill,
            fill_bulk=fill_bulk,
            from_start=from_start,
        )
        self._subscriptions.append(subscription)
        for name in ("ctl_out", "bulk_out"):
            if name not in self._sub:
                sock = self._context.socket(zmq.SUB)
                limit = DATA_BYTES if name == "ctl_out" else BULK_BYTES
                connect(sock, self.link, name, limit, 20_000 if name == "ctl_out" else 256)
                self._sub[name] = Drained(sock, self._on_frames)
                if name == "ctl_out":
                    sock.setsockopt(zmq.SUBSCRIBE, f"{self.workspace}/room/".encode())
            for prefix in prefixes:
                workspace, _, rest = prefix.partition("/")
                device, _, channel = rest.partition("/")
                topics = [prefix.encode() + (b"\0" if channel else b"")]
                if channel and name == "ctl_out":  # its heads tell of a lost tail
                    topics.append(f"{workspace}/{device}/{HEALTH.name}\0".encode())
                for topic in topics:
                    self._sub[name].sock.setsockopt(zmq.SUBSCRIBE, topic)
        return subscription

    async def history(self, ask: HistoryRequest, timeout_s: float = 5.0) -> HistoryReply:
        """Ask for samples that are not live.

        Raises:
            AccessError, BusError: refused, or nobody holds them.
            BusTimeoutError: no answer in time.
        """
        body, *rest = await self.request(b"history", _encode(ask), timeout_s)
        reply = _reply.decode(body)
        frames = [Frame(*rest[i : i + 3]) for i in range(0, len(rest) - 2, 3)]
        return msgspec.structs.replace(reply, frames=frames)

    async def serve_history(self, answer: Answer) -> None:
        """Answer History for the whole workspace (recorder, player); returns once we are asked.

        Raises:
            AccessError, BusError: this key may not.
        """
        self._answer = answer
        await self.request(b"serve", b"\xc0")

    @property
    def lost(self) -> dict[str, int]:
        """Samples that are missing now, by address; the worst of all subscriptions."""
        lost: dict[str, int] = {}
        for subscription in self._subscriptions:
            for address, detector in subscription.gaps.items():
                if detector.lost:
                    lost[address] = max(lost.get(address, 0), detector.lost)
        return lost

    @property
    def backfilled(self) -> dict[str, int]:
        """Samples that came back from History, by address."""
        return self._filler.backfilled

    @property
    def held(self) -> int:
        """Published frames the broker has not yet given credit for."""
        return sum(lane.held for lane in self._lanes.values())

    @property
    def dropped(self) -> int:
        """Published frames given up because too many were waiting."""
        return sum(sum(lane.dropped.values()) for lane in self._lanes.values())

    # -- questions

    async def request(self, verb: bytes, body: bytes, timeout_s: float = 5.0) -> list[bytes]:
        """Ask the broker; return body and frames of its answer.

        Raises:
            BusError: it refused; the text is its own.
            BusTimeoutError: no answer in time.
        """
        self._count += 1
        request_id = self._count.to_bytes(8, "big")
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        self._query.send([request_id, verb, body])
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            url = self.link.endpoints.url("query")
            raise BusTimeoutError(verb.decode(), url, timeout_s) from None
        finally:
            self._waiting.pop(request_id, None)

    def _on_query(self, batch: list[list[bytes]]) -> None:
        for parts in batch:
            if len(parts) < 3:
                continue
            request_id, status, *rest = parts
            if status == b"ask":
                self._spawn(self._serve(request_id, rest[0]))
                continue
            future = self._waiting.get(request_id)
            if future is None or future.done():
                continue
            if status == b"ok":
                future.set_result(rest)
            else:
                future.set_exception(BusError(str(msgspec.msgpack.decode(rest[0]))))

    async def _serve(self, key: bytes, body: bytes) -> None:
        try:
            ask = _ask.decode(body)
            if self._answer is None:
                kinds = {
                    address: channel.kind
                    for address in ask.addresses
                    if (channel := self.catalogue.channel(address)) is not None
                }
                reply = self._history.answer(ask, kinds)
            else:
                result = self._answer(ask)
                reply = await result if inspect.isawaitable(result) else result
        except (ScotError, OSError, *UNREADABLE) as error:
            log.warning("cannot answer History: %s", error)
            reply = HistoryReply(complete=False)
        head = _encode(msgspec.structs.replace(reply, frames=[]))
        self._query.send([key, b"answer", head, *(part for f in reply.frames for part in f)])

    # -- background

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s", error)

    async def _meet(self) -> None:
        body, *_ = await self.request(b"hello", b"\xc0", JOIN_S)
        self._broker = _welcome.decode(body).broker
        await self._refresh()

    async def _refresh(self) -> None:
        if self._refreshing:
            return
        self._refreshing = True
        try:
            body, *_ = await self.request(b"catalogue", b"\xc0")
            self.catalogue = _catalogue.decode(body)
        finally:
            self._refreshing = False
        for subscription in self._subscriptions:
            subscription.release(self.catalogue)
        for callback in self.on_catalogue:
            callback(self.catalogue)

    async def _pinging(self) -> None:
        """Keep our devices shown as live; notice a new broker and tell it everything again."""
        while True:
            await asyncio.sleep(PING_S)
            for lane in self._lanes.values():
                lane.poke()
            try:
                body, *_ = await self.request(b"ping", b"\xc0", 2.0)
                welcome = _welcome.decode(body)
                if welcome.broker != self._broker:
                    self._broker = welcome.broker
                    for device in self._devices.values():
                        await self.request(b"announce", _encode(device))
                    if self._answer is not None:
                        await self.request(b"serve", b"\xc0")
                if welcome.catalogue_version != self.catalogue.version:
                    await self._refresh()
            except BusError as error:
                log.info("%s", error)

    async def _healthy(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_S)
            for name in self._with_health:
                self._publish_health(name)

    def _publish_health(self, name: str) -> None:
        device = self._devices[name]
        heads = self._heads.get(name, {})
        value = {
            "state": device.state.value,
            "reason": device.reason,
            "held": self.held,
            "dropped": self.dropped,
            "clock": self._state(),
            "heads": {channel: list(head) for channel, head in heads.items()},
            **self.counters.get(name, {}),
        }
        address = f"{self.workspace}/{name}/{HEALTH.name}"
        seq = self._seq.get(name, 0)
        self._seq[name] = seq + 1
        time = self.clock.stamp()
        self.publish(Sample(address, self._epoch, seq, time, Flags(0), value), HEALTH)

    def _state(self) -> dict[str, Any]:
        time = self.clock.stamp()
        return {"state": time.state.label, "bound_ns": time.bound_ns, "err_ns": time.err_ns}

    # -- frames

    def _on_frames(self, batch: list[list[bytes]]) -> None:
        frames = [Frame(*parts) for parts in batch if len(parts) == 3]
        settled = True
        for subscription in self._subscriptions:
            wanted = [f for f in frames if f.address.startswith(subscription.prefixes)]
            if wanted:
                settled &= subscription.on_frames(wanted, self.catalogue)
        for frame in frames:
            if frame.topic.endswith(b"/health\0"):
                self._learn_heads(frame)
        newer = f"{self.workspace}/room/catalogue"
        if not settled or any(frame.address == newer for frame in frames):
            self._spawn(self._refresh())

    def _learn_heads(self, frame: Frame) -> None:
        try:
            health: Any = decode(frame, HEALTH).value
            heads = msgspec.convert(health.get("heads"), dict[str, tuple[int, int]])
            device = frame.address.rsplit("/", 1)[0]
            for name, (epoch, next_seq) in heads.items():
                channel = self.catalogue.channel(f"{device}/{name}")
                if channel is not None and channel.kind not in BULK:
                    for subscription in self._subscriptions:
                        subscription.expect(f"{device}/{name}", epoch, next_seq, channel)
        except (CodecError, msgspec.ValidationError):
            log.warning("%s: health without usable heads", frame.address)

    def _fill_later(self, address: str, gap: Missing) -> None:
        self._spawn(self._filler.fill(address, gap))
