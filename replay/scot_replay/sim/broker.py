"""The broker of a simulated room."""

from __future__ import annotations

from typing import Any

from scot.access import Grant
from scot.bus.desk import Desk
from scot.bus.relay import Cut, Denied, Relay
from scot.channel import Catalogue, Channel, Device, Lifecycle
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.service import ClockService
from scot.codec import Frame
from scot.errors import ScotError
from scot.health import HEALTH
from scot.timestamp import ClockState, Timestamp
from scot_replay.sim.network import Connection, Network
from scot_replay.sim.nodes import (
    BUS_NS,
    CATALOGUE,
    CLOCK,
    HEALTH_NS,
    OUT,
    TICK_NS,
    WORKSPACE,
    Crystal,
    Node,
)
from scot_replay.sim.truth import Truth
from scot_replay.sim.wire import Parts
from scot_replay.sim.world import Life, S, World


class BrokerNode(Node):
    """Runs `Relay`, `Desk` and `ClockService` as `scot.bus.broker` does on real sockets."""

    def __init__(
        self, world: World, network: Network, truth: Truth, grants: dict[str, Grant]
    ) -> None:
        super().__init__("broker", world, network, Crystal(world, 5 * S, 0))
        self.truth = truth
        self.grants = grants
        self.session = BusMap(
            0, 0, 5 * S, BUS_NS, 1.0, 0, 0, ClockState.LOCKED, drift_ppb=0, err_ppb=0
        )
        self.relay: Relay
        self.desk: Desk
        self.clocks: ClockService
        self.denied: dict[str, int] = {}

    def _started(self, life: Life) -> None:
        clock = Clock(self.session, self.crystal.read)
        start = clock.now()
        room = Device(
            name="room",
            provider="scot.room",
            state=Lifecycle.RUNNING,
            epoch=start,
            channels={one.name: one for one in (CATALOGUE, CLOCK, HEALTH)},
        )
        self.relay = Relay(start, self.grants)
        self.desk = Desk(
            start, Catalogue(workspace=WORKSPACE).with_device(room), self.grants, self._changed
        )
        self.clocks = ClockService(clock, lambda row: self._own(CLOCK, row))
        self.network.hub.bind(life, self._take)
        self.world.after(TICK_NS, life, self._tick)
        self.world.after(HEALTH_NS, life, self._health)

    def _ended(self, power: bool) -> None:
        self.network.hub.close(silent=power)

    def _connections(self) -> list[Connection]:
        return self.network.hub.connections

    def _changed(self, catalogue: Catalogue) -> None:
        self._own(CATALOGUE, {"version": catalogue.version})

    def _own(self, channel: Channel, value: dict[str, Any]) -> None:
        local_ns = self.crystal.read()
        exact = Timestamp(local_ns, self.session.at(local_ns), 0, 0, ClockState.LOCKED)
        frame = self.desk.own(channel, value, exact)
        self.truth.published("broker", frame)
        self.truth.forwarded(frame)
        self.network.hub.publish("ctl_out", frame)

    def _take(self, connection: Connection, parts: Parts) -> None:
        name, user, hub = connection.port.name, connection.port.owner, self.network.hub
        if name in OUT:
            self._frame(name, connection, user, parts)
        elif name == "query":
            for identity, out in self.desk.on(
                connection.identity, user, list(parts), self.crystal.read()
            ):
                hub.send(name, identity, out)
        elif name == "probe":
            self._probe(connection, user, parts[0])
        else:
            listen = self.relay.subscribe(name, user, parts[0])
            if isinstance(listen, Cut):
                connection.close_broker()
            elif listen is not None and listen.begins:
                hub.listen(connection, listen.prefix)

    def _frame(self, name: str, connection: Connection, user: str, parts: Parts) -> None:
        relay, hub, identity = self.relay, self.network.hub, connection.identity
        if len(parts) == 1 and not parts[0]:
            hub.send(name, identity, relay.asked(name, identity).parts)
        elif len(parts) != 3:
            relay.malformed(name, identity, user, parts[0])
        elif relay.admit(name, identity, user, parts[0], len(parts[2])):
            frame = Frame(*parts)
            self.truth.forwarded(frame)
            hub.publish(OUT[name], frame)
        for credit in relay.credits():
            hub.send(credit.lane, credit.identity, credit.parts)

    def _probe(self, connection: Connection, user: str, data: bytes) -> None:
        place = connection.identity.hex()
        try:
            reply = self.clocks.on_request(user, place, data, self.crystal.read())
        except ScotError:
            return
        self.network.hub.send("probe", connection.identity, [reply])

    def _health(self) -> None:
        self.world.after(HEALTH_NS, self.life, self._health)
        self._own(HEALTH, {"heads": self.desk.heads()})

    def _tick(self) -> None:
        self.world.after(TICK_NS, self.life, self._tick)
        now_ns = self.crystal.read()
        self.desk.refusals.clear()  # into the audit, which is not simulated
        for identity, parts in self.desk.tick(now_ns):
            self.network.hub.send("query", identity, parts)
        for effect in self.relay.tick(now_ns):
            if isinstance(effect, Denied):
                self.denied[effect.user] = self.denied.get(effect.user, 0) + effect.times
            else:
                self.network.hub.send(effect.lane, effect.identity, effect.parts)
