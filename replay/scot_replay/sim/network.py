"""A network as ZeroMQ over TCP makes one: in order within a connection, and nowhere else.

What is simulated: connections with handshake, keep-alive and reconnection with back-off; packets
that wait while a way is cut, and come in a burst after it; what is lost with a connection (all that
was under way in it) and what is not (what a DEALER had not handed to TCP); bounded queues, of
which ROUTER and XPUB drop the newest and a DEALER says no; slow and long ways; one way cut alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from scot.bus.socket import CONNECT_MS, DEAD_MS, HANDSHAKE_MS, PROBE_S
from scot_replay.sim.wire import Link, Parts, Stream, Way
from scot_replay.sim.world import MS, Life, World

DEAD_NS = DEAD_MS * MS
PROBE_NS = PROBE_S * 1_000 * MS
RECONNECT_NS = (50 * MS, 1_000 * MS)
ROUND_TRIPS = 4  # of TCP and CURVE until both sides may send
AGAIN_NS = 200 * MS


class Connection:
    """A connection of one port with the broker's socket of the same name."""

    def __init__(self, port: Port, hub: Hub) -> None:
        self.port = port
        self.hub = hub
        self.identity = port.identity or hub.new_identity()
        network = port.network
        self.there = Stream(network, port.link.there, port.hwm, port.life)
        self.back = Stream(network, port.link.back, hub.hwm.get(port.name, 1000), hub.life)
        self.there.end = BrokerEnd(self)
        self.back.end = ClientEnd(self)
        self.client_open = self.broker_open = True
        self.prefixes: list[bytes] = []

    def close_client(self, *, silent: bool = False) -> None:
        """The client's side ends; unless it is silent the broker's learns of it by TCP."""
        if not self.client_open:
            return
        self.client_open = False
        self.back.drop()
        if silent or not self.broker_open:
            if silent:
                self.there.under.clear()
                self.port.network.watch(self.there)
            return
        self.there.finish()

    def close_broker(self, *, silent: bool = False) -> None:
        """The broker's side ends."""
        if not self.broker_open:
            return
        self.broker_open = False
        self.there.drop()
        self.hub.forget(self)
        if silent or not self.client_open:
            if silent:
                self.back.under.clear()
                self.hub.stale.append(self)
                self.port.network.watch(self.back)
            return
        self.back.finish()

    def reset(self) -> None:
        """The broker's host, which has power again, refuses a packet of the old connection."""
        if self.client_open and self.port.link.whole:
            self.close_client()
            self.port.lost(self)


class BrokerEnd:
    """Where a connection's messages to the broker end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.life = connection.hub.life

    def on_message(self, parts: Parts) -> None:
        """Hand it to the broker."""
        connection = self._connection
        connection.hub.take(connection, parts)

    def on_end(self) -> None:
        """The client has gone."""
        self._connection.close_broker()


class ClientEnd:
    """Where a connection's messages to the client end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.life = connection.port.life

    def on_message(self, parts: Parts) -> None:
        """Hand it to the client."""
        port = self._connection.port
        port.network.note(f"broker>{port.owner} {port.name}", parts)
        port.deliver(port.name, parts)

    def on_end(self) -> None:
        """The broker has gone."""
        self._connection.close_client()
        self._connection.port.lost(self._connection)


class Port:
    """A client's socket: it connects, and connects again.

    Args:
        network: it is on.
        link: of its host.
        owner: the client's name, which is also its key's.
        name: of the broker's socket.
        life: of the client.
        deliver: gets socket name and message.
        identity: routing id; empty for a new one with each connection.
        hwm: messages that may wait.
    """

    def __init__(
        self,
        network: Network,
        link: Link,
        owner: str,
        name: str,
        life: Life,
        deliver: Callable[[str, Parts], None],
        identity: bytes = b"",
        hwm: int = 1024,
    ) -> None:
        self.network = network
        self.link = link
        self.owner = owner
        self.name = name
        self.life = life
        self.deliver = deliver
        self.identity = identity
        self.hwm = hwm
        self.connection: Connection | None = None
        self.subscriptions: list[bytes] = []
        self._waiting: deque[Parts] = deque()
        self._every_ns = RECONNECT_NS[0]
        link.ports.append(self)
        self._connect(0)

    def send(self, parts: Parts) -> bool:
        """Send a message now or after connecting; False when too many wait."""
        if self.connection is not None:
            return self.connection.there.push(parts)
        if len(self._waiting) >= self.hwm:
            return False
        self._waiting.append(parts)
        return True

    def listen(self, prefix: bytes) -> None:
        """Subscribe (a SUB socket); said again on each new connection."""
        if prefix not in self.subscriptions:
            self.subscriptions.append(prefix)
            if self.connection is not None:
                self.connection.there.push([b"\1" + prefix])

    def close(self, *, silent: bool) -> None:
        """The process ends; silent: the host lost power, and nobody is told."""
        if self in self.link.ports:
            self.link.ports.remove(self)
        if self.connection is not None:
            self.connection.close_client(silent=silent)
            self.connection = None

    def lost(self, connection: Connection) -> None:
        """The connection broke: what TCP did not have yet waits for the next one."""
        if self.connection is not connection:
            return
        self.network.note(f"{self.owner} lost {self.name}", ())
        self.connection = None
        if self.name in ("ctl_out", "bulk_out"):
            connection.there.queue.clear()  # subscriptions are said again
        self._waiting.extendleft(reversed(connection.there.queue))
        connection.there.queue.clear()
        self._again()

    def _again(self) -> None:
        wait_ns = self._every_ns + self.network.random.randrange(RECONNECT_NS[0])
        self._every_ns = min(2 * self._every_ns, RECONNECT_NS[1])
        self.network.world.after(wait_ns, self.life, self._connect, 0)

    def _connect(self, tried: int) -> None:
        """Try to connect; a SYN without an answer is sent again after 1, 2, 4 … s by TCP."""
        world, hub = self.network.world, self.network.hub
        if not self.link.whole or hub.dark:
            next_ns = (1 << tried) * 1_000 * MS
            spent_ns = ((1 << tried) - 1) * 1_000 * MS
            if spent_ns + next_ns > CONNECT_MS * MS:
                world.after(CONNECT_MS * MS - spent_ns, self.life, self._again)
            else:
                world.after(next_ns, self.life, self._connect, tried + 1)
        elif not hub.open:
            self._again()  # refused at once
        else:
            round_ns = self.link.there.delay_ns + self.link.back.delay_ns
            world.after(ROUND_TRIPS * round_ns, self.life, self._shake, hub.life, world.now_ns)

    def _shake(self, broker: Life | None, since_ns: int) -> None:
        """End the handshake, unless the broker went or the link broke meanwhile."""
        world, hub = self.network.world, self.network.hub
        if hub.life is not broker or not hub.open:
            self._again()
        elif not self.link.whole or (broker is not None and broker.paused):
            if world.now_ns - since_ns > HANDSHAKE_MS * MS:
                self._again()
            else:
                world.after(AGAIN_NS, self.life, self._shake, broker, since_ns)
        else:
            self._established(hub)

    def _established(self, hub: Hub) -> None:
        connection = self.connection = Connection(self, hub)
        hub.accept(connection)
        self._every_ns = RECONNECT_NS[0]
        self.network.note(f"{self.owner} connected {self.name}", ())
        for prefix in self.subscriptions:
            connection.there.push([b"\1" + prefix])
        while self._waiting and connection.there.push(self._waiting[0]):
            self._waiting.popleft()


class Hub:
    """The broker's sockets.

    Args:
        network: they are on.
        hwm: of each XPUB and ROUTER socket.

    Attributes:
        open: a broker is bound to them.
        dark: their host has no power.
        dropped: messages that a full queue took away, by socket.
        on_message: gets connection and message.
    """

    def __init__(self, network: Network, hwm: dict[str, int]) -> None:
        self.network = network
        self.hwm = hwm
        self.open = False
        self.dark = False
        self.life: Life | None = None
        self.dropped: dict[str, int] = {}
        self.on_message: Callable[[Connection, Parts], None] | None = None
        self.stale: list[Connection] = []  # of which only the clients still believe
        self._of: dict[str, dict[bytes, Connection]] = {}
        self._routes: dict[tuple[str, bytes], list[Connection]] = {}
        self._identities = 0

    def bind(self, life: Life, on_message: Callable[[Connection, Parts], None]) -> None:
        """Begin to accept connections."""
        self.life, self.on_message, self.open, self.dark = life, on_message, True, False
        stale, self.stale = self.stale, []
        for connection in stale:
            wait_ns = self.network.random.randrange(PROBE_NS)
            self.network.world.after(wait_ns, connection.port.life, connection.reset)

    def close(self, *, silent: bool) -> None:
        """End every connection; silent: the host lost power."""
        self.open, self.dark = False, silent
        for connection in self.connections:
            connection.close_broker(silent=silent)
        self.life = None

    def new_identity(self) -> bytes:
        """Return the routing id of a connection that brings none."""
        self._identities += 1
        return b"\0" + self._identities.to_bytes(4, "big")

    def accept(self, connection: Connection) -> None:
        """Take a new connection; one of the same routing id makes way (ROUTER_HANDOVER)."""
        known = self._of.setdefault(connection.port.name, {})
        before = known.get(connection.identity)
        if before is not None:
            before.close_broker()
        known[connection.identity] = connection

    def forget(self, connection: Connection) -> None:
        """A connection has gone."""
        known = self._of.get(connection.port.name, {})
        if known.get(connection.identity) is connection:
            del known[connection.identity]
        if connection.prefixes:
            self._routes.clear()
            for prefix in connection.prefixes:
                self.network.note(f"unsubscribe {connection.port.owner}", (prefix,))
                if self.on_message is not None and self.life is not None and self.life.alive:
                    self.on_message(connection, [b"\0" + prefix])
            connection.prefixes = []

    def take(self, connection: Connection, parts: Parts) -> None:
        """A message came."""
        self.network.note(f"{connection.port.owner}>broker {connection.port.name}", parts)
        if self.on_message is not None:
            self.on_message(connection, parts)

    @property
    def connections(self) -> list[Connection]:
        """Every connection that is open."""
        return [one for known in self._of.values() for one in known.values()]

    def send(self, name: str, identity: bytes, parts: Parts) -> None:
        """Send to one connection; dropped when there is none, or its queue is full."""
        connection = self._of.get(name, {}).get(identity)
        if connection is None or not connection.back.push(parts):
            self.dropped[name] = self.dropped.get(name, 0) + 1

    def listen(self, connection: Connection, prefix: bytes) -> None:
        """Let a connection have what starts with `prefix`."""
        connection.prefixes.append(prefix)
        self._routes.clear()

    def publish(self, name: str, parts: Parts) -> None:
        """Send to everybody who listens; a full queue loses the newest."""
        key = name, parts[0]
        routes = self._routes.get(key)
        if routes is None:
            routes = self._routes[key] = [
                connection
                for connection in self._of.get(name, {}).values()
                if any(parts[0].startswith(prefix) for prefix in connection.prefixes)
            ]
        for connection in routes:
            if not connection.back.push(parts):
                self.dropped[name] = self.dropped.get(name, 0) + 1


class Network:
    """All links, and the broker's sockets.

    Args:
        world: it is in.
        kernel: messages that TCP takes of one direction of a connection.
        hwm: of the broker's sockets.
    """

    def __init__(self, world: World, kernel: int, hwm: dict[str, int]) -> None:
        self.world = world
        self.kernel = kernel
        self.random: Random = world.stream("network")
        self.hub = Hub(self, hwm)

    def note(self, line: str, parts: Parts) -> None:
        """Write a message into the trace."""
        self.world.note(f"{line} {sum(map(len, parts))}", b"".join(parts))

    def cut(self, way: Way) -> None:
        """Let nothing pass from now on."""
        if not way.cut:
            way.cut, way.since_ns = True, self.world.now_ns
            for stream in way.streams:
                self.watch(stream)

    def heal(self, way: Way) -> None:
        """Let packets pass again."""
        if way.cut:
            way.cut = False
            for stream in list(way.streams):
                stream.release(self.world.now_ns - way.since_ns)
            way.since_ns = self.world.now_ns

    def stop(self, life: Life, connections: Sequence[Connection]) -> None:
        """Stop a process: it takes nothing, and the other side of each connection hears nothing."""
        life.paused = True
        for one in connections:
            self.watch(one.there if one.port.life is life else one.back)

    def go_on(self, life: Life, connections: Sequence[Connection]) -> None:
        """Let a stopped process go on."""
        self.world.resume(life)
        for one in connections:
            (one.back if one.port.life is life else one.there).release(0)

    def watch(self, stream: Stream) -> None:
        """The receiver hears nothing on a stream from now on; it gives up after a while."""
        wait_ns = DEAD_NS + self.random.randrange(PROBE_NS)
        self.world.after(wait_ns, None, self._silent, stream, self.world.now_ns)

    def _silent(self, stream: Stream, since_ns: int) -> None:
        end, sender, way = stream.end, stream.sender, stream.way
        gone = sender is not None and (not sender.alive or sender.paused)
        if stream.closed or end is None or not (gone or (way.cut and way.since_ns <= since_ns)):
            return
        if end.life is not None and end.life.paused:
            self.world.after(AGAIN_NS, None, self._silent, stream, since_ns)
        elif end.life is not None and end.life.alive:
            end.on_end()
