"""What ``scot top`` and ``scot doctor`` say of the clocks of a running room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from scot.bus.connection import Connection
from scot.bus.subscriber import Delivery
from scot.channel import Kind
from scot.clock.busmap import HOLDOVER_AFTER_NS
from scot.clock.rows import ClockWatch, Source, Step, publisher_of, step_text
from scot.codec import Frame, read_header
from scot.errors import UNREADABLE, BusError
from scot.finding import Finding
from scot.health import HealthWatch
from scot.history import HistoryRequest
from scot.timestamp import ClockState, Timestamp

RECENT_NS = 600_000_000_000
LISTEN_S = 2.0
MAX_DRIFT_PPM = 300.0
STAMPED = frozenset({Kind.NUMERIC, Kind.WAVEFORM, Kind.POSE, Kind.VIDEO, Kind.IMAGE})
CLOCK = "/room/clock"
_STEPS = "clock_epochs"  # of a device that answers no probes, in its health


@dataclass
class Clocks:
    """What was heard of a room's clocks (a `scot.bus.connection.Sink`).

    Attributes:
        watch: of every process of the room.
        times: by device: the newest time of each of its channels.
        steps: by device that answers no probes: how often its own clock stepped lately.
    """

    watch: ClockWatch = field(default_factory=ClockWatch)
    times: dict[str, dict[str, Timestamp]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take what matters of a batch."""
        for delivery in batch:
            frame, header = delivery.frame, delivery.header
            if frame.address.endswith(CLOCK):
                self.watch.take(header.bus_ns, frame.payload)
            elif delivery.channel.kind in STAMPED:
                device = frame.address.split("/")[1]
                self.times.setdefault(device, {})[frame.address] = header.time

    def close(self) -> None:
        """Nothing to let go."""

    def of(self, device: str) -> Source | None:
        """Return the clock of the process that publishes a device."""
        return self.watch.sources().get(publisher_of(device))


async def listen(connection: Connection, clocks: Clocks) -> None:
    """Ask what happened to a room's clocks in the ten minutes before, and listen for `LISTEN_S`.

    `clocks` gets what comes live from a subscription of its own.
    """
    try:
        await _before(connection, clocks, connection.clock.now())
    except BusError:  # nobody holds it: what comes now must do
        clocks.steps.clear()
    await asyncio.sleep(LISTEN_S)


async def _before(connection: Connection, clocks: Clocks, now_ns: int) -> None:
    address, from_ns = f"{connection.workspace}{CLOCK}", now_ns - RECENT_NS
    while True:
        ask = HistoryRequest(addresses=[address], between=(from_ns, now_ns))
        reply = await connection.history(ask)
        for frame in reply.frames:
            clocks.watch.take(read_header(frame).bus_ns, frame.payload)
        if reply.complete or reply.next_ns is None:
            break
        from_ns = max(reply.next_ns, from_ns + 1)
    health = [a for a in connection.catalogue.addresses() if a.endswith("/health")]
    counted: Counter[str] = Counter()
    for at_ns, sign in ((now_ns, 1), (now_ns - RECENT_NS, -1)):
        for frame in (await connection.history(HistoryRequest(addresses=health, at=at_ns))).frames:
            counted[frame.address.split("/")[1]] += sign * _counter(frame, _STEPS)
    clocks.steps = {device: count for device, count in counted.items() if count > 0}


def _counter(frame: Frame, name: str) -> int:
    try:
        said: Any = msgspec.msgpack.decode(frame.payload)
    except UNREADABLE:
        return 0
    found = said.get(name, 0) if isinstance(said, dict) else 0
    return found if isinstance(found, int) else 0


def words(source: Source | None) -> dict[str, Any]:
    """Return what a row of ``scot top`` says of a process's clock."""
    if source is None:
        return {"epochs": None, "drift_ppm": None}
    drift = None if source.drift_ppm is None else round(source.drift_ppm, 2)
    return {"epochs": source.row.epoch, "drift_ppm": drift}


def judge(clocks: Clocks, health: HealthWatch, now_ns: int) -> list[Finding]:
    """Return what is wrong with a room's clocks, and its fix; one line when nothing is."""
    found = [
        *_stepped(clocks.watch.steps(now_ns - RECENT_NS), clocks.steps),
        *_drifting(clocks.watch.sources()),
    ]
    for device, times in sorted(clocks.times.items()):
        found += _device(device, list(times.values()), clocks.of(device), now_ns)
        found += _declared(device, health, now_ns)
    if found:
        return found
    worst = [t.err_ns for times in clocks.times.values() for t in times.values() if t.err_ns]
    known = f", known to ±{max(worst) / 1e6:.2f} ms or better" if worst else ""
    return [Finding("ok", f"clocks of {len(clocks.watch.sources())} processes{known}")]


def _stepped(steps: list[Step], one_way: dict[str, int]) -> list[Finding]:
    of: dict[str, list[Step]] = {}
    for step in steps:
        of.setdefault(step.name, []).append(step)
    found: list[Finding] = []
    for name, some in of.items():
        times = "" if len(some) == 1 else f", {len(some)} times in ten minutes"
        fix = (
            f"the machine of {name} slept, was paused or moved: turn off suspend and snapshots "
            "of virtual machines; what was stamped before keeps its time"
        )
        found.append(Finding("warning", f"{step_text(some[-1])}{times}", fix))
    for device, count in sorted(one_way.items()):
        often = "once" if count == 1 else f"{count} times"
        what = f"the clock inside {device} began anew {often} in ten minutes"
        fix = f"unless {device} was restarted: set its clock by NTP before a case, so that nothing "
        fix += "has to set it during one"
        found.append(Finding("warning", what, fix))
    return found


def _drifting(sources: dict[str, Source]) -> list[Finding]:
    found: list[Finding] = []
    for name, source in sources.items():
        drift = source.drift_ppm
        if drift is not None and abs(drift) > MAX_DRIFT_PPM:
            way = "fast" if drift > 0 else "slow"
            what = f"clock of {name} is {way} by {abs(drift):.0f} ppm (limit {MAX_DRIFT_PPM:.0f})"
            fix = (
                "no sound crystal is that far off: in a virtual machine choose its host's clock "
                "source (kvm-clock, hyperv), elsewhere have the machine looked at"
            )
            found.append(Finding("warning", what, fix))
    return found


def _device(
    device: str, times: list[Timestamp], source: Source | None, now_ns: int
) -> list[Finding]:
    states = {time.state for time in times}
    if ClockState.UNSYNCED in states:
        fix = "look at its log; it stamps samples before a clock probe has come back"
        return [Finding("problem", f"{device} does not know bus time", fix)]
    silent_ns = 0 if source is None else now_ns - source.at_ns
    if silent_ns > HOLDOVER_AFTER_NS or ClockState.HOLDOVER in states:
        grows = "" if source is None else f"; it may be off by {source.row.drift_ppb / 1e3:.0f} µs "
        grows += "" if source is None else "more each second"
        what = f"clock of {device} runs on alone: no probe for {silent_ns / 1e9:.0f} s{grows}"
        return [
            Finding("problem", what, f"check the network between {device} and the room's broker")
        ]
    return []


def _declared(device: str, health: HealthWatch, now_ns: int) -> list[Finding]:
    """Return a device that answers no probes and does not say how good its clock is."""
    known = health.now(device, now_ns)
    times = None if known is None else known.times
    one_way = times is not None and times.state == ClockState.ONE_WAY.label
    if times is None or not one_way or times.accuracy_ns is not None:
        return []
    what = f"{device} answers no probes and declares no accuracy: its time is guaranteed by nothing"
    what += f", and likely only within {(times.err_ns or 0) / 1e6:.1f} ms"
    fix = "let the device declare it (SDC: ClockState/@Accuracy), with its clock set by NTP; "
    fix += "or run its provider where the device's own clock can answer probes"
    return [Finding("warning", what, fix)]
