"""The processes of a simulated room: what each does around the production core it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scot.bus.client import Client
from scot.bus.publisher import Publish
from scot.bus.session import Answered, Asked, NewCatalogue, Send
from scot.bus.subscriber import Listen, Subscription
from scot.channel import Catalogue, Channel, Device, Event, Lifecycle
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.probe import ZMQ
from scot.clock.prober import Prober
from scot.codec import Frame, Header, pack, write
from scot.errors import RemoteProtocolError
from scot.sample import Flags, NumericValue, Sample
from scot.timestamp import ClockState
from scot_replay.sim.network import Connection, Network, Port
from scot_replay.sim.truth import Truth, Watch
from scot_replay.sim.wire import Link, Parts
from scot_replay.sim.world import MS, Life, S, World

WORKSPACE = "or1"
BUS_NS = 1_790_000_000 * S  # bus time when the simulation begins
TICK_NS = 100 * MS
HEALTH_NS = S
AGAIN_NS = 200 * MS  # a device's host looks whether its announcement came
TIGHT_WINDOW = 4  # of a publisher that may keep little
OUT = {"ctl_in": "ctl_out", "bulk_in": "bulk_out"}
CATALOGUE = Event("catalogue", label={"en": "Catalogue versions"}, latched=True)
CLOCK = Event("clock", label={"en": "Clock probes and maps"})


class Crystal:
    """A node's monotonic clock: off by an offset, fast by some ppb, and sometimes it steps."""

    def __init__(self, world: World, offset_ns: int, ppb: int) -> None:
        self._world = world
        self._offset_ns = offset_ns
        self._ppb = ppb

    def read(self) -> int:
        """Return what it reads now, ns."""
        now_ns = self._world.now_ns
        return now_ns + now_ns * self._ppb // S + self._offset_ns

    def step(self, by_ns: int) -> None:
        """Jump."""
        self._offset_ns += by_ns

    def exact(self) -> BusMap:
        """Return the line to bus time that is true now."""
        local_ns, bus_ns = self.read(), BUS_NS + self._world.now_ns
        rate = 1.0 / (1.0 + self._ppb / S)
        return BusMap(1, 1, local_ns, bus_ns, rate, 50_000, 20_000, ClockState.LOCKED)


class Node:
    """A process on a host of its own, which can end and begin again.

    Attributes:
        life: its present run, None while it does not run.
        ended_ns: true time at which it last ended.
    """

    def __init__(self, name: str, world: World, network: Network, crystal: Crystal) -> None:
        self.name = name
        self.world = world
        self.network = network
        self.crystal = crystal
        self.life: Life | None = None
        self.started_ns = 0
        self.ended_ns = 0

    @property
    def running(self) -> bool:
        """Whether it runs and is not stopped."""
        return self.life is not None and not self.life.paused

    def start(self) -> None:
        """Begin a new run, if none is under way."""
        if self.life is None:
            self.world.note(f"{self.name} starts")
            self.life = Life()
            self.started_ns = self.world.now_ns
            self._started(self.life)

    def crash(self, *, power: bool) -> None:
        """End at once: killed, or because its host loses power."""
        if self.life is None:
            return
        self.world.note(f"{self.name} {'loses power' if power else 'is killed'}")
        life, self.life = self.life, None
        life.alive = False
        self.ended_ns = self.world.now_ns
        self._ended(power)

    def stop(self) -> None:
        """Stop it (SIGSTOP)."""
        if self.running and self.life is not None:
            self.world.note(f"{self.name} is stopped")
            self.network.stop(self.life, self._connections())

    def go_on(self) -> None:
        """Let it go on (SIGCONT)."""
        if self.life is not None and self.life.paused:
            self.world.note(f"{self.name} goes on")
            self.network.go_on(self.life, self._connections())

    def _started(self, life: Life) -> None:
        raise NotImplementedError

    def _ended(self, power: bool) -> None:
        raise NotImplementedError

    def _connections(self) -> list[Connection]:
        raise NotImplementedError


class Witnessed(Client):
    """The production client; what it publishes is also noted as the truth."""

    def __init__(self, truth: Truth, owner: str) -> None:
        super().__init__(WORKSPACE)
        self._truth = truth
        self._owner = owner

    def publish(self, frame: Frame, header: Header, channel: Channel, now_ns: int) -> list[Any]:
        """Note a frame, and publish it."""
        self._truth.published(self._owner, frame)
        return super().publish(frame, header, channel, now_ns)


class Member(Node):
    """A process with a client: it joins, pings, asks and answers as `Connection` does.

    Args:
        probing: find bus time by probes; otherwise it is known.
    """

    def __init__(
        self,
        name: str,
        world: World,
        network: Network,
        crystal: Crystal,
        truth: Truth,
        *,
        probing: bool = False,
    ) -> None:
        super().__init__(name, world, network, crystal)
        self.truth = truth
        self.link = Link()
        self.probing = probing
        self.joined = False
        self.joined_ns = 0
        self.client: Witnessed
        self.clock: Clock
        self._ports: dict[str, Port] = {}
        self._due_ns = 0
        self._answers: dict[bytes, Callable[[Answered], None]] = {}
        self._prober: Prober
        self._lives = 0
        self._probing = 0

    def _started(self, life: Life) -> None:
        self._lives += 1
        self.joined = False
        self.client = Witnessed(self.truth, self.name)
        self.clock = Clock(None if self.probing else self.crystal.exact(), self.crystal.read)
        self._ports, self._answers, self._due_ns = {}, {}, 1 << 62
        for name in ("query", "ctl_in", "bulk_in"):
            self._open(name)
        if self.probing:
            instance = f"{self.name}{self._lives}".encode()[:8]
            self._prober = Prober(instance, self.world.stream(f"dither {instance!r}").random)
            self._open("probe")
            self._probe()
        self._tick()

    def _ended(self, power: bool) -> None:
        for port in self._ports.values():
            port.close(silent=power)

    def _connections(self) -> list[Connection]:
        return [one for port in self._ports.values() if (one := port.connection) is not None]

    def _open(self, name: str) -> Port:
        identity = f"\1{self.name}-{self._lives}".encode() if name in OUT else b""
        port = self._ports[name] = Port(
            self.network, self.link, self.name, name, self.life or Life(), self._take, identity
        )
        return port

    def _take(self, name: str, parts: Parts) -> None:
        if name == "probe":
            self._on_probe(parts[0])
        elif name in OUT.values():
            self.act(self.client.on_samples(name, [pack(Frame(*parts))], self.crystal.read()))
        else:
            self.act(self.client.on(name, [list(parts)], self.crystal.read()))

    # -- effects and time

    def act(self, effects: Sequence[Any]) -> None:
        """Do what the core says."""
        for effect in effects:
            if isinstance(effect, Publish):
                port = self._ports[effect.socket]
                for sent, frame in enumerate(effect.frames):
                    if not port.send(frame):
                        self.client.back(effect, sent)
                        break
            elif isinstance(effect, Send):
                self._ports[effect.socket].send(effect.parts)
            elif isinstance(effect, Listen):
                (self._ports.get(effect.socket) or self._open(effect.socket)).listen(effect.topic)
            elif isinstance(effect, Answered):
                then = self._answers.pop(effect.request_id, None)
                if then is not None:
                    then(effect)
            elif isinstance(effect, Asked):
                self.asked(effect)
            elif isinstance(effect, NewCatalogue):
                self.on_catalogue(effect.catalogue)
        self._schedule()

    def _schedule(self) -> None:
        wait_ns = max(0, self.client.due_ns - self.crystal.read())
        due_ns = self.world.now_ns + wait_ns + 1_000
        if due_ns < self._due_ns:
            self._due_ns = due_ns
            self.world.at(due_ns, self.life, self._tick)

    def _tick(self) -> None:
        if self.world.now_ns >= self._due_ns or self._due_ns == 1 << 62:
            self._due_ns = 1 << 62
            self.act(self.client.tick(self.crystal.read()))

    def request(
        self, asked: tuple[bytes, list[Any]], then: Callable[[Answered], None] | None = None
    ) -> None:
        """Do the effects of a question; `then` gets its end."""
        request_id, effects = asked
        if then is not None:
            self._answers[request_id] = then
        self.act(effects)

    def on_catalogue(self, catalogue: Catalogue) -> None:
        """Join when the first catalogue is there and bus time is known."""
        if not self.joined and self.clock.map is not None:
            self._join()

    def _join(self) -> None:
        self.joined, self.joined_ns = True, self.world.now_ns
        self.client.epoch = self.clock.now()
        self.world.note(f"{self.name} joined")
        self.world.after(HEALTH_NS, self.life, self._health)
        self.on_joined()

    def on_joined(self) -> None:
        """Begin what this process is there for."""

    def asked(self, asked: Asked) -> None:
        """Answer History for others."""

    def _health(self) -> None:
        self.world.after(HEALTH_NS, self.life, self._health)
        self.act(self.client.health(self.clock.stamp(), self.crystal.read(), self.clock.map))

    # -- bus time

    def _probe(self) -> None:
        """Probe now, and again when the prober says."""
        self._probing += 1
        for way in self._prober.ways(self.crystal.read()):
            self._ports["probe"].send([self._prober.request(way, self.crystal.read())])
        self.world.after(self._prober.wait_ns(), self.life, self._probe_again, self._probing)

    def _probe_again(self, asked: int) -> None:
        if asked == self._probing:  # a burst did not come first
            self._probe()

    def _on_probe(self, data: bytes) -> None:
        try:
            new = self._prober.on_answer(ZMQ, data, self.crystal.read())
        except RemoteProtocolError:
            return
        if new is not None:
            self.clock.map = new
        if self._prober.timed and self.client.session.met and not self.joined:
            self._join()
        if self._prober.hurries:
            self._probe()


class DeviceNode(Member):
    """A device's host: announces, and publishes each of its channels at its rate.

    Args:
        channels: with their rate.
        payload: bytes of a sample of video.
        keep: bytes kept of what was published; 0 for what the client keeps of itself.
    """

    def __init__(
        self, *given: Any, channels: Sequence[Channel], payload: int, keep: int, **more: Any
    ) -> None:
        super().__init__(*given, **more)
        self.channels = channels
        self.keep = keep
        self.payload = payload
        self.epoch = 0
        self.seq: dict[str, int] = {}
        self.silent = False  # publishes no more: the simulation is at its end
        self._announced = False
        self._random = self.world.stream(f"device {self.name}")

    def _started(self, life: Life) -> None:
        super()._started(life)
        if self.keep:
            self.client.history.keep_bytes = self.keep
            for lane in self.client.lanes.values():
                lane._keep_bytes, lane._window = self.keep, min(lane._window, TIGHT_WINDOW)

    def on_joined(self) -> None:
        """Announce, and begin to publish."""
        self.epoch = self.clock.now()
        self.seq = {channel.name: 0 for channel in self.channels}
        self._announce()
        for channel in self.channels:
            self._sample(channel)

    def device(self) -> Device:
        """Return its entry for the catalogue."""
        return Device(
            name=self.name,
            provider="sim",
            state=Lifecycle.RUNNING,
            epoch=self.epoch,
            channels={channel.name: channel for channel in self.channels},
        )

    def _announce(self) -> None:
        self.request(self.client.announce(self.device(), self.crystal.read()), self._told)

    def _told(self, answer: Answered) -> None:
        if answer.error is not None:
            self.world.after(AGAIN_NS, self.life, self._announce)

    def _sample(self, channel: Channel) -> None:
        period_ns = round(S / (channel.rate_hz or 1.0))
        jitter_ns = self._random.randrange(period_ns // 5)
        self.world.after(period_ns - period_ns // 10 + jitter_ns, self.life, self._sample, channel)
        if self.silent:
            return
        seq = self.seq[channel.name]
        self.seq[channel.name] = seq + 1
        address = f"{WORKSPACE}/{self.name}/{channel.name}"
        value: Any = NumericValue(float(seq))
        if channel.kind.value == "video":
            value = bytes((self._random.randrange(256),)) * self.payload
        flags = Flags.KEYFRAME if channel.kind.value == "video" and seq % 10 == 0 else Flags(0)
        sample = Sample(address, self.epoch, seq, self.clock.stamp(), flags, value)
        frame, header = write(sample, channel.kind)
        self.act(self.client.publish(frame, header, channel, self.crystal.read()))


class ViewerNode(Member):
    """A plain subscriber: the dashboard's feed, an inference process, a bridge."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.watch: Watch | None = None
        self.subscription: Subscription | None = None

    def _started(self, life: Life) -> None:
        self.watch = self.subscription = None
        super()._started(life)

    def on_joined(self) -> None:
        """Subscribe to the whole workspace."""
        self.watch = Watch(self.truth, self.name)
        self.subscription, effects = self.client.subscribe([f"{WORKSPACE}/"], self.watch)
        self.act(effects)

    def _take(self, name: str, parts: Parts) -> None:
        super()._take(name, parts)
        if self.watch is not None and self.subscription is not None:
            self.watch.check(self.subscription)
