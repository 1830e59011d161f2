"""A whole simulated room: its nodes, its faults, and its run from start to settled."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import NamedTuple, TextIO

from scot.access import Grant
from scot.channel import Channel, Numeric, Video
from scot_replay.sim.broker import BrokerNode
from scot_replay.sim.mutations import planted
from scot_replay.sim.network import Network
from scot_replay.sim.nodes import (
    WORKSPACE,
    Crystal,
    DeviceNode,
    Member,
    Node,
    ViewerNode,
)
from scot_replay.sim.plan import CLIENTS, DEVICES, Fault, Plan, plan
from scot_replay.sim.promises import Promises
from scot_replay.sim.recording import RecorderNode
from scot_replay.sim.rogue import RogueNode
from scot_replay.sim.truth import BrokenPromiseError, Truth
from scot_replay.sim.wire import Way
from scot_replay.sim.world import MS, S, World

MINUTES = 0.25
SLOW_NS_PER_BYTE = 20_000  # 50 kB/s
LATE_NS = 150 * MS


class Outcome(NamedTuple):
    """What one seed came to.

    Attributes:
        broken: the promise that was not kept, empty when all were.
        at_s: simulated seconds when it ended.
        events: how many things happened.
        samples: published by devices.
        faults: that were on, in words.
        sha256: of the trace.
    """

    seed: int
    broken: str
    at_s: float
    events: int
    samples: int
    faults: list[str]
    sha256: str


class Room:
    """The nodes of one simulation.

    Args:
        seed: decides everything.
        minutes: within which the faults end.
        out: gets the trace.
    """

    def __init__(self, seed: int, minutes: float, out: TextIO | None = None) -> None:
        self.world = World(seed, out)
        self.plan: Plan = plan(self.world.stream("plan"), minutes)
        self.network = Network(self.world, self.plan.kernel, self.plan.hwm)
        self.truth = Truth()
        self.broker = BrokerNode(self.world, self.network, self.truth, grants())
        self.devices = {name: self._device(name) for name in DEVICES}
        self.recorder = RecorderNode(*self._member("recorder"), segment_s=self.plan.segment_s)
        self.recorder.max_waiting = self.plan.max_waiting
        self.viewer = ViewerNode(*self._member("viewer"))
        self.rogue = RogueNode(*self._member("rogue")) if self.plan.rogue else None
        self.members: dict[str, Member] = {
            **self.devices,
            "recorder": self.recorder,
            "viewer": self.viewer,
        }
        self.nodes: dict[str, Node] = {"broker": self.broker, **self.members}
        self.promises = Promises(self)

    def run(self) -> Outcome:
        """Run to the end, or to the first promise that is broken."""
        broken = ""
        try:
            self._run()
        except BrokenPromiseError as error:
            broken = str(error)
        except Exception as error:  # noqa: BLE001 - a core that raises has broken one, too
            place = traceback.extract_tb(error.__traceback__)[-1]
            broken = f"{type(error).__name__} in {place.name}, line {place.lineno}: {error}"
        if broken:
            self.world.note(f"BROKEN {broken}")
        samples = sum(
            len(run)
            for address, epochs in self.truth.frames.items()
            if address.split("/")[1] in DEVICES
            for run in epochs.values()
        )
        return Outcome(
            self.world.seed,
            broken,
            round(self.world.now_ns / S, 3),
            self.world.events,
            samples,
            [
                f"{f.kind} {f.node} {f.from_ns / S:.2f}-{f.to_ns / S:.2f} s"
                for f in self.plan.faults
            ],
            self.world.digest(),
        )

    def _run(self) -> None:
        for name, at_ns in self.plan.starts_ns.items():
            self.world.at(at_ns, None, self.nodes[name].start)
        if self.rogue is not None:
            self.world.at(2 * S, None, self.rogue.start)
        for fault in self.plan.faults:
            self.world.at(fault.from_ns, None, self._begin, fault)
            self.world.at(fault.to_ns, None, self._end, fault)
        self.world.at(self.plan.quiet_ns, None, self.quiet)
        self.promises.begin()
        self.world.run(self.plan.heals_ns + 1)
        self.promises.settle()

    def quiet(self) -> None:
        """Let the devices publish no more."""
        for device in self.devices.values():
            device.silent = True

    def _member(self, name: str) -> tuple[str, World, Network, Crystal, Truth]:
        random = self.world.stream(f"crystal {name}")
        crystal = Crystal(self.world, random.randrange(10 * S), random.randrange(-50_000, 50_000))
        return name, self.world, self.network, crystal, self.truth

    def _device(self, name: str) -> DeviceNode:
        rate = self.plan.rate
        return DeviceNode(
            *self._member(name),
            channels=[declare(rate) for declare in CHANNELS[name]],
            payload=1_500,
            keep=self.plan.keep,
            probing=self.plan.probing and name == "tracker",
        )

    # -- faults

    def _begin(self, fault: Fault) -> None:
        """Let something go wrong."""
        self.world.note(f"fault {fault.kind} {fault.node}")
        node, disk = self.nodes[fault.node], self.recorder.disk
        if fault.kind in ("kill", "power"):
            self.promises.before_crash(node)
            node.crash(power=fault.kind == "power")
        elif fault.kind == "stop":
            node.stop()
        elif fault.kind == "clock-step":
            node.crystal.step(fault.size)
            self.promises.stepped(node, fault.size)
        elif fault.kind == "disk-full":
            disk.capacity = disk.capacity - disk.left() + abs(fault.size) % 3_000
        elif fault.kind == "disk-slow":
            disk.slow_ns = abs(fault.size)
        elif fault.kind == "write-error":
            disk.write_fails = True
        elif fault.kind == "sync-error":
            disk.sync_fails = True
        elif fault.kind == "bit-flip":
            disk.flip(self.recorder.safe)
        else:
            self._disturb(fault)

    def _disturb(self, fault: Fault) -> None:
        for way in self._ways(fault):
            if fault.kind == "slow":
                way.ns_per_byte = SLOW_NS_PER_BYTE
            elif fault.kind == "delay":
                way.delay_ns, way.jitter_ns = LATE_NS, LATE_NS
            else:
                self.network.cut(way)

    def _end(self, fault: Fault) -> None:
        """Put right what went wrong."""
        self.world.note(f"over {fault.kind} {fault.node}")
        node, disk = self.nodes[fault.node], self.recorder.disk
        if fault.kind in ("kill", "power"):
            node.start()
            self.promises.back(node)
        elif fault.kind == "stop":
            node.go_on()
        elif fault.kind == "disk-full":
            disk.capacity = 1 << 40
        elif fault.kind == "disk-slow":
            disk.slow_ns = 0
        elif fault.kind == "write-error":
            disk.write_fails = False
        elif fault.kind == "sync-error":
            disk.sync_fails = False
        elif fault.kind not in ("bit-flip", "clock-step"):
            calm = Way()
            for way in self._ways(fault):
                way.ns_per_byte, way.delay_ns, way.jitter_ns = 0, calm.delay_ns, calm.jitter_ns
                self.network.heal(way)

    def _ways(self, fault: Fault) -> list[Way]:
        link = self.members[fault.node].link
        ways = {"cut-there": [link.there], "cut-back": [link.back]}
        return ways.get(fault.kind, [link.there, link.back])


CHANNELS: dict[str, list[Callable[[float], Channel]]] = {
    "monitor": [
        lambda rate: Numeric("hr", unit="/min", rate_hz=2.0 * rate),
        lambda rate: Numeric("spo2", unit="%", rate_hz=1.0 * rate),
    ],
    "tracker": [lambda rate: Numeric("pointer", unit="mm", rate_hz=5.0 * rate)],
    "scope": [lambda rate: Video("video", rate_hz=2.0 * rate)],
}


def grants() -> dict[str, Grant]:
    """Return who may what in the simulated room."""
    found: dict[str, Grant] = {
        name: Grant(
            name=name,
            publish=[f"{WORKSPACE}/{name}/"],
            subscribe=[f"{WORKSPACE}/"] if name in ("viewer", "recorder") else [],
            devices=[name],
            serve=name == "recorder",
        )
        for name in CLIENTS
    }
    found["rogue"] = Grant(
        name="rogue",
        publish=[f"{WORKSPACE}/rogue/"],
        subscribe=[f"{WORKSPACE}/rogue/"],
        devices=["rogue"],
    )
    return found


def simulate(
    seed: int, minutes: float = MINUTES, out: TextIO | None = None, mutate: str = ""
) -> Outcome:
    """Run one seed.

    Args:
        seed: decides everything.
        minutes: within which the faults end.
        out: gets the trace as lines.
        mutate: name of a bug to plant (`scot_replay.sim.mutations`).

    Raises:
        ConfigError: there is no such bug.
    """
    with planted(mutate):
        return Room(seed, minutes, out).run()
