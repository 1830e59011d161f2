"""One process's part of a workspace: publishing, reading, History. Sans-IO.

What comes from the broker's sockets and the passing of time go in; what to send, and what callers
wait for, come out. `scot.bus.connection` runs it on an event loop, `scot.bus.sync` without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from scot.bus.filler import Ask, Filler
from scot.bus.publisher import QUESTION, WINDOW, Lane, Publish, lane_of
from scot.bus.reply import filled
from scot.bus.session import Answered, Asked, Called, NewCatalogue, Send, Session, Wished
from scot.bus.subscriber import Listen, Sink, Subscription
from scot.channel import BULK, Catalogue, Channel, Device
from scot.clock.busmap import BusMap
from scot.codec import Frame, Header, bundle, decode, unpack, write
from scot.errors import CodecError
from scot.health import HEALTH, Head, Reports, clock, reception
from scot.history import History, HistoryReply, HistoryRequest
from scot.sample import Flags, Sample
from scot.timestamp import Timestamp

FILL_WITHIN_NS = 5_000_000_000
OUT = ("ctl_out", "bulk_out")
MAX_ROUTES = 4_096


class _Said(NamedTuple):
    """A channel this process publishes: what is counted of it, and the way it goes."""

    lane: Lane
    head: Head


class _Route(NamedTuple):
    """Where the frames of a topic wait to be delivered, and whether they tell the client itself."""

    batches: tuple[list[Frame], ...]
    tells: bool


Effect: TypeAlias = Send | Publish | Listen | Answered | Asked | Called | Wished | NewCatalogue

_encode = msgspec.msgpack.Encoder().encode


class Client:
    """Drives session, lanes, subscriptions and gap fill of one process.

    Args:
        workspace: joined.
        where: the broker's address, for errors.

    Attributes:
        epoch: of the samples this client numbers itself (health): bus time when it joined.
        counters: extra numbers that ride along in a device's ``health``, by device name.
        history: what this process published lately.
        reports: what each ``health`` says of samples, links and this process.
        malformed: messages that could not be read.
    """

    def __init__(self, workspace: str, where: str = "the broker") -> None:
        self.workspace = workspace
        self.epoch = 0
        self.counters: dict[str, dict[str, Any]] = {}
        self.history = History()
        self.reports = Reports()
        self.malformed = 0
        self.session = Session(workspace, where)
        self.lanes = {name: Lane(name) for name in WINDOW}
        self.subscriptions: list[Subscription] = []
        self.filler = Filler(self.subscriptions)
        self._with_health: dict[str, Device] = {}
        self._health_seq: dict[str, int] = {}
        self._serving = False
        self._fills: dict[bytes, tuple[int, list[str]]] = {}
        self._said: dict[bytes, _Said] = {}
        self._routes: dict[bytes, _Route] = {}
        self._batches: list[tuple[Subscription, list[Frame]]] = []  # filled and emptied in one call
        self._news = f"{workspace}/room/catalogue\0".encode()
        self._now_ns = 0

    @property
    def catalogue(self) -> Catalogue:
        """The newest known."""
        return self.session.catalogue

    @property
    def due_ns(self) -> int:
        """When `tick` has something to do, monotonic."""
        lanes = (lane.due_ns for lane in self.lanes.values())
        return min(self.session.due_ns, self.filler.due_ns, *lanes)

    def tick(self, now_ns: int) -> list[Effect]:
        """Do what is due: hello and ping, questions for credit, gaps to ask for."""
        self._now_ns = now_ns
        effects = self._settle(self.session.tick(now_ns), now_ns)
        effects += self._ask(self.filler.tick(now_ns), now_ns)
        effects += [Send(name, QUESTION) for name, lane in self.lanes.items() if lane.tick(now_ns)]
        return effects

    def on(self, socket: str, messages: Sequence[list[bytes]], now_ns: int) -> list[Effect]:
        """Take what came from the broker's ``query``, ``ctl_in`` or ``bulk_in``, in order."""
        self._now_ns = now_ns
        effects: list[Effect] = []
        if socket == "query":
            for parts in messages:
                effects += self._settle(self.session.on(parts, now_ns), now_ns)
        else:
            lane = self.lanes[socket]
            for parts in messages:
                effects += _publish(socket, lane.on_credit(parts, now_ns))
        return effects

    def on_samples(self, socket: str, samples: Sequence[bytes], now_ns: int) -> list[Effect]:
        """Take the packed samples that came from ``ctl_out`` or ``bulk_out``, in order."""
        self._now_ns = now_ns
        self.reports.heard[socket.removesuffix("_out")].add(sum(map(len, samples)), len(samples))
        told: list[Frame] = []
        route_of = self._routes.get
        for data in samples:
            try:
                frame = unpack(data)
            except CodecError:
                self.malformed += 1
                continue
            batches, tells = route_of(frame[0]) or self._route(frame)
            for batch in batches:
                batch.append(frame)
            if tells:
                told.append(frame)
        settled = self._deliver()
        surely = False
        for frame in told:
            if frame.topic == self._news:
                surely = True
            else:
                self._learn_heads(frame)
        if surely or not settled:
            return list(self.session.refresh(now_ns, surely=surely))
        return []

    def _deliver(self) -> bool:
        """Hand every subscription what came for it; return False when some await a catalogue."""
        settled = True
        for subscription, batch in tuple(self._batches):
            if batch:
                frames = batch.copy()
                batch.clear()  # first: whoever takes them may take more
                settled &= subscription.on_frames(frames, self.session.catalogue)
        return settled

    # -- publishing

    def announce(
        self, device: Device, now_ns: int, *, health: bool = True
    ) -> tuple[bytes, list[Effect]]:
        """Put a device into the catalogue, or change it; return the id of the question.

        Args:
            device: whole, with its channels.
            now_ns: monotonic.
            health: publish its ``health``; False for a player's devices.
        """
        if health:
            channels = {**device.channels}
            channels.setdefault(HEALTH.name, HEALTH)  # it may declare fields of its own
            device = msgspec.structs.replace(device, channels=channels)
            self._with_health[device.name] = device
        request_id, effects = self.session.announce(device, now_ns)
        return request_id, list(effects)

    def publish(self, frame: Frame, header: Header, channel: Channel, now_ns: int) -> list[Publish]:
        """Send a frame now, or as soon as there is credit; it is also kept in our History."""
        size = frame.size
        self.history.add(frame, header)
        said = self._said.get(frame.topic)
        if said is None:
            lane = self.lanes[lane_of(channel)]
            head = self.reports.head(frame.address.split("/")[1], channel, header)
            said = self._said[frame.topic] = _Said(lane, head)
        said.head.published(channel, header, size)
        lane = said.lane
        return _publish(lane.name, lane.put(frame, now_ns, size))

    def pass_on(self, frames: Mapping[str, Sequence[Frame]], now_ns: int) -> list[Effect]:
        """Send frames of a recording by lane, as they are; History has them already."""
        effects: list[Effect] = []
        for name, some in frames.items():
            effects += _publish(name, self.lanes[name].put_all(some, now_ns))
        return effects

    def back(self, publish: Publish, sent: int) -> None:
        """Take back what a socket had no room for: all but the first `sent` frames wait again."""
        self.lanes[publish.socket].back(publish.frames[sent:])

    def health(self, time: Timestamp, now_ns: int, known: BusMap | None = None) -> list[Effect]:
        """Publish how each device fares, and how far its channels have come; once a second.

        Args:
            time: now.
            now_ns: monotonic.
            known: the map that `time` is by.
        """
        effects: list[Effect] = []
        lanes = {
            name.removesuffix("_in"): {"waiting": lane.held, "dropped": sum(lane.dropped.values())}
            for name, lane in self.lanes.items()
        }
        missed = self._missed()
        age_s = 0.0 if known is None else (now_ns - known.local_ns) / 1e9
        self.reports.rejoined = self.session.rejoined
        common = {
            "held": self.held,
            "dropped": self.dropped,
            "clock": clock(time, 0 if known is None else known.epoch, age_s),
        }
        for name, device in self._with_health.items():
            value = {
                "state": device.state.value,
                "reason": device.reason,
                **common,
                "heads": self.reports.heads(name),
                **self.reports.say(name, now_ns, time.bus_ns, lanes, missed),
                **self.counters.get(name, {}),
            }
            seq = self._health_seq.get(name, 0)
            self._health_seq[name] = seq + 1
            address = f"{self.workspace}/{name}/{HEALTH.name}"
            sample = Sample(address, self.epoch, seq, time, Flags(0), value)
            effects += self.publish(*write(sample, HEALTH.kind), HEALTH, now_ns)
        return effects

    def _missed(self) -> dict[str, int] | None:
        """Return what this process misses; None when it does not listen."""
        if not self.subscriptions:
            return None
        malformed = self.malformed + self.session.malformed
        malformed += sum(one.malformed for one in self.subscriptions)
        filled = sum(self.filler.backfilled.values())
        return reception([one.gaps for one in self.subscriptions], filled, malformed)

    @property
    def idle(self) -> bool:
        """Whether the broker has everything that was published."""
        return all(lane.idle for lane in self.lanes.values())

    @property
    def held(self) -> int:
        """Published frames the broker has not yet given credit for."""
        held = 0
        for lane in self.lanes.values():
            held += lane.held
        return held

    @property
    def dropped(self) -> int:
        """Published frames given up because too many were waiting."""
        return sum(sum(lane.dropped.values()) for lane in self.lanes.values())

    # -- reading

    def subscribe(
        self,
        prefixes: Sequence[str],
        sink: Sink,
        *,
        fill: bool = True,
        fill_bulk: bool = False,
        from_start: bool = False,
    ) -> tuple[Subscription, list[Effect]]:
        """Begin to deliver to `sink`; see `Connection.subscribe`."""
        subscription = Subscription(
            prefixes,
            sink,
            lambda address, gap: self.filler.on_gap(address, gap, self._now_ns),
            fill=fill,
            fill_bulk=fill_bulk,
            from_start=from_start,
        )
        effects: list[Effect] = []
        if not self.subscriptions:
            effects.append(Listen("ctl_out", f"{self.workspace}/room/".encode()))
        self.subscriptions.append(subscription)
        self._batches.append((subscription, []))
        self._routes.clear()
        for prefix in subscription.prefixes:
            workspace, _, rest = prefix.partition("/")
            device, _, channel = rest.partition("/")
            start = prefix.encode() + (b"\0" if channel else b"")
            effects += [Listen(name, start) for name in OUT]
            if channel:  # its heads tell of a lost tail
                health = f"{workspace}/{device}/{HEALTH.name}\0"
                effects.append(Listen("ctl_out", health.encode()))
        return subscription, effects

    @property
    def lost(self) -> dict[str, int]:
        """Samples that are missing now, by address; the worst of all subscriptions."""
        lost: dict[str, int] = {}
        for subscription in self.subscriptions:
            for address, detector in subscription.gaps.items():
                if detector.lost:
                    lost[address] = max(lost.get(address, 0), detector.lost)
        return lost

    def _route(self, frame: Frame) -> _Route:
        """Return who gets the frames of a topic, and whether we learn from them ourselves."""
        address = frame.address
        takers = tuple(b for s, b in self._batches if address.startswith(s.prefixes))
        tells = frame.topic == self._news or frame.topic.endswith(b"/health\0")
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        route = self._routes[frame.topic] = _Route(takers, tells)
        return route

    def _learn_heads(self, frame: Frame) -> None:
        try:
            health: Any = decode(frame, HEALTH).value
            heads = msgspec.convert(health.get("heads", {}), dict[str, tuple[int, int]])
        except (CodecError, msgspec.ValidationError):
            self.malformed += 1
            return
        device = frame.address.rsplit("/", 1)[0]
        for name, (epoch, next_seq) in heads.items():
            channel = self.catalogue.channel(f"{device}/{name}")
            if channel is not None and channel.kind not in BULK:
                for subscription in self.subscriptions:
                    subscription.expect(f"{device}/{name}", epoch, next_seq, channel)

    # -- questions

    def request(
        self, verb: bytes, body: bytes, now_ns: int, within_ns: int
    ) -> tuple[bytes, list[Effect]]:
        """Ask the desk; an `Answered` with the returned id follows."""
        request_id, effects = self.session.ask(verb, body, now_ns, within_ns)
        return request_id, list(effects)

    def ask_history(
        self, ask: HistoryRequest, now_ns: int, within_ns: int = FILL_WITHIN_NS
    ) -> tuple[bytes, list[Effect]]:
        """Ask for samples that are not live; read the answer with `scot.bus.reply.read_reply`."""
        return self.request(b"history", _encode(ask), now_ns, within_ns)

    def serve(self, now_ns: int) -> tuple[bytes, list[Effect]]:
        """Offer to answer History for the whole workspace: `Asked` follow, see `answer`."""
        self._serving = True
        request_id, effects = self.session.serve(now_ns)
        return request_id, list(effects)

    def answer(self, key: bytes, reply: HistoryReply) -> list[Effect]:
        """Answer an `Asked`."""
        head = _encode(msgspec.structs.replace(reply, frames=[]))
        return [Send("query", [key, b"answer", head, *bundle(reply.frames)])]

    def commanded(self, key: bytes, answer: bytes) -> list[Effect]:
        """Answer a `Called`."""
        return [Send("query", [key, b"commanded", answer])]

    def granted(self, key: bytes, answer: bytes) -> list[Effect]:
        """Answer a `Wished`."""
        return [Send("query", [key, b"answer", answer])]

    def _ask(self, asks: Iterable[Ask], now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        for token, request in asks:
            request_id, sends = self.ask_history(request, now_ns)
            self._fills[request_id] = token, request.addresses
            effects += sends
        return effects

    def _settle(self, said: Iterable[Effect], now_ns: int) -> list[Effect]:
        """Act on what the session says as far as that is ours to do; pass the rest on."""
        effects: list[Effect] = []
        for effect in said:
            if isinstance(effect, Answered) and effect.request_id in self._fills:
                token, asked = self._fills.pop(effect.request_id)
                found = filled(effect, asked)
                asks = self.filler.on_reply(token, found, self.catalogue, now_ns)
                effects += self._ask(asks, now_ns)
            elif isinstance(effect, Asked) and (
                not self._serving or effect.ask.holder == "publisher"
            ):
                effects += self.answer(effect.key, self.own_history(effect.ask))
            else:
                effects.append(effect)
                if isinstance(effect, NewCatalogue):
                    for subscription in self.subscriptions:
                        subscription.release(effect.catalogue)
        return effects

    def own_history(self, ask: HistoryRequest) -> HistoryReply:
        """Answer from what we published ourselves."""
        kinds = {
            address: channel.kind
            for address in ask.addresses
            if (channel := self.catalogue.channel(address)) is not None
        }
        return self.history.answer(ask, kinds)


def _publish(socket: str, frames: Sequence[Frame]) -> list[Publish]:
    return [Publish(socket, frames)] if frames else []
