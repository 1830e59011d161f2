"""What is wrong in a running room now, and its fix: from its catalogue, healths and clocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scot.channel import Catalogue, Device, Lifecycle
from scot.finding import Finding, Level
from scot.health import Health, HealthWatch
from scot.health.fields import STALE_AFTER_S
from scot.room import RoomFacts

HURRIED_HZ = 0.5  # refused clock probes; a client sends four a second
WAITING = 64  # samples that wait for credit: more than a moment's
LITTLE_DISK_S = 600.0
SOME_DISK_S = 3_600.0
SLOW_BYTES = 256 << 10
BROKER = "room"
HOST_OF = {"alarms": "dashboard", "consult": "dashboard", "room": "broker"}
_FAULTS = re.compile(r"bad|malformed|refused|error|missing|lost|dropped|cut|garbage|unknown")
_BEGINNING = frozenset({Lifecycle.CREATED, Lifecycle.CONNECTED})


@dataclass(frozen=True)
class Room:
    """What is judged.

    Attributes:
        catalogue: the newest.
        health: of its devices.
        now_ns: bus time.
        since_ns: counts that grew since then are news; older ones are history.
        logs: folder of its processes' logs; None when it is not known.
        processes: that run on this machine; None: all.
    """

    catalogue: Catalogue
    health: HealthWatch
    now_ns: int
    since_ns: int
    logs: Path | None = None
    processes: frozenset[str] | None = None

    def log(self, device: str) -> str:
        """Return where the process of a device says more, as words to append to a fix."""
        process = HOST_OF.get(device, device)
        if self.processes is not None and process not in self.processes:
            return "; its log is on the machine it runs on"
        return f"; log: {self.logs / process if self.logs else process}.log"

    def rise(self, device: str, name: str) -> int:
        """Return by how much a count grew lately."""
        return self.health.rise(device, name, self.since_ns)

    @property
    def span_s(self) -> float:
        """How long ago `since_ns` is."""
        return (self.now_ns - self.since_ns) / 1e9

    @property
    def lately(self) -> str:
        """How long ago `since_ns` is, for people."""
        span_s = round(self.span_s)
        return f"in {span_s // 60} min" if span_s >= 120 else f"in {span_s} s"


def room_of(
    facts: RoomFacts, catalogue: Catalogue, health: HealthWatch, now_ns: int, lately_ns: int
) -> Room:
    """Return a running room to judge; counts that grew within `lately_ns` are news."""
    here = frozenset(facts.processes)
    return Room(catalogue, health, now_ns, now_ns - lately_ns, facts.state / "logs", here)


def judge(room: Room) -> list[Finding]:
    """Return what is wrong with the devices and processes of a room; nothing when nothing is."""
    if silent := silence(room):
        return [silent]  # of nobody is anything known that is of now
    found: list[Finding] = []
    for device in room.catalogue.devices.values():
        health = room.health.now(device.name, room.now_ns)
        if device.name == BROKER:
            found += [] if health is None else _broker(room, health)
            continue
        found += _state(room, device, health)
        if health is not None:
            found += [*_samples(room, device, health), *_counted(room, device.name, health)]
            found += [*_disk(room, device.name, health), *_pages(room, device.name, health)]
    return found


def silence(room: Room) -> Finding | None:
    """Return that nothing comes over the bus any more, which says more than who is silent."""
    broker = room.health.newest(BROKER)
    if broker is None or any(room.health.now(one, room.now_ns) for one in room.health.devices):
        return None
    for_s = (room.now_ns - broker.at_ns) / 1e9
    what = f"nothing has come over the bus for {for_s:.0f} s (limit {STALE_AFTER_S:.0f} s)"
    fix = "the broker hangs or is being started again, or the network to it is cut"
    return Finding("problem", what, fix + room.log(BROKER))


def _state(room: Room, device: Device, health: Health | None) -> Iterator[Finding]:
    name, log = device.name, room.log(device.name)
    if device.state in _BEGINNING:
        what = f"{name} is {device.state} and gives no samples"
        yield Finding("warning", what, "wait a moment; then see whether it measures" + log)
    elif device.state is not Lifecycle.RUNNING:
        why = f": {device.reason}" if device.reason else ""
        fix = "check its power, cable and address in the room file"
        if device.state is Lifecycle.FAULT:
            fix = "its provider crashed and is started again; report it with the log"
        elif name == "recorder":
            fix = "free the disk it records on, or move [recorder] directory"
        yield Finding("problem", f"{name} is {device.state}{why}", fix + log)
    elif health is None and not room.catalogue.replay:
        known = room.health.newest(name)
        ago = "yet" if known is None else f"for {(room.now_ns - known.at_ns) / 1e9:.0f} s"
        what = f"{name} has said nothing of itself {ago} (limit {STALE_AFTER_S:.0f} s)"
        yield Finding("problem", what, "its process hangs or its link to the broker is cut" + log)
    if bad := room.health.bad.get(name):
        what = f"{name} sent {bad} healths that cannot be read"
        yield Finding("warning", what, "its SCOT is of another version, or it is no SCOT" + log)


def _samples(room: Room, device: Device, health: Health) -> Iterator[Finding]:
    name, log = device.name, room.log(device.name)
    if health.silent and device.state is Lifecycle.RUNNING:
        longest = max(health.silent.values())
        names = ", ".join([*health.silent][:3]) + (", …" if len(health.silent) > 3 else "")
        limit = min(c.stale_after_s for n, c in device.channels.items() if n in health.silent)
        what = f"{name}: {names} silent for {longest:.0f} s (limit {limit:g} s)"
        yield Finding("warning", what, "see whether its sensor, lead or tool is on" + log)
    if dropped := room.rise(name, "dropped"):
        what = f"{name} gave up {dropped} samples {room.lately}: too many waited for the broker"
        fix = "the broker or the link to it was away or is too slow; `scot top` shows the queue"
        yield Finding("problem", what, fix + log)
    if health.held > WAITING:
        what = f"{name}: {health.held} samples wait for the broker (limit {WAITING})"
        fix = "the broker, or the link to it, is slower than the device; they are kept and sent"
        yield Finding("warning", what, fix + log)
    yield from _missing(room, name, health)


def _missing(room: Room, name: str, health: Health) -> Iterator[Finding]:
    """Yield what a listener misses: of the recorder for as long as it does, of others when new."""
    missing = health.received.missing if health.received is not None else 0
    new = max(0, room.rise(name, "received.missing"))
    if not new and (name != "recorder" or not missing):
        return
    what = f"{name} misses {missing} samples"
    what += f", {new} more {room.lately}" if new else f"; none of them is new {room.lately}"
    fix = "their publisher was away for longer than it keeps (150 s), or has ended"
    level: Level = "problem" if name == "recorder" and new else "warning"
    yield Finding(level, what, fix + room.log(name))


def _counted(room: Room, name: str, health: Health) -> Iterator[Finding]:
    log = room.log(name)
    known = room.health.newest(name)
    if health.restarts and known is not None and known.epoch_ns >= room.since_ns:
        what = f"the process of {name} was started again {room.lately}"
        what += f", {_times(health.restarts)} since the room began"
        yield Finding("warning", what, "its log says why it ended" + log)
    if reconnects := room.rise(name, "reconnects"):
        what = f"{name} lost its device {_times(reconnects)} {room.lately} and found it again"
        yield Finding("warning", what, "check cable, network and power of the device" + log)
    for count in sorted(health.counts):
        grown = room.rise(name, f"counts.{count}")
        if grown and _FAULTS.search(count):
            what = f"{name} counts {grown} {count.replace('_', ' ')} {room.lately}"
            fix = "what comes from the device is damaged, or not what its provider expects"
            yield Finding("warning", what, fix + log)


def _disk(room: Room, name: str, health: Health) -> Iterator[Finding]:
    log = room.log(name)
    if health.lost:
        what = f"{name} could not write {health.lost} samples"
        yield Finding("problem", what, "free the disk; the recording says which are missing" + log)
    left_s, left = health.disk_left_s, health.disk_left_bytes
    if left_s is not None and left is not None and left_s < SOME_DISK_S:
        what = f"disk of {name} lasts {left_s / 60:.0f} min more ({left / 2**30:.1f} GiB)"
        level: Level = "problem" if left_s < LITTLE_DISK_S else "warning"
        fix = "move or delete old recordings; it goes on by itself when there is room"
        yield Finding(level, what, fix + log)


def _pages(room: Room, name: str, health: Health) -> Iterator[Finding]:
    log = room.log(name)
    slow = health.slowest_bytes or 0
    left_out = room.rise(name, "left_out")
    if slow > SLOW_BYTES or left_out:
        what = f"a page is too slow: {slow >> 10} kB wait, {left_out} samples left out"
        what += f" {room.lately}; alarms are never left out"
        yield Finding("warning", what, "its network or computer is too slow for the video" + log)
    if refused := room.rise(name, "refused"):
        what = f"the door refused {refused} requests {room.lately}"
        fix = "who tried, and why not, is in audit.jsonl beside the logs"
        yield Finding("warning", what, fix + log)


def _broker(room: Room, health: Health) -> Iterator[Finding]:
    log = room.log(BROKER)
    if health.reason:  # the roster is not in force
        what, _, fix = health.reason.partition("; ")
        yield Finding("problem", what, (fix or "`scot keys doctor` says more") + log)
    for key in sorted(health.denied_of):
        if denied := room.rise(BROKER, f"denied_of.{key}"):
            what = f"key {key or '(none)'}: {denied} samples or subscriptions denied {room.lately}"
            fix = "it publishes or reads what no grant of it holds; a room file's [[device]] name "
            fix += "must be the one the process uses"
            yield Finding("problem", what, fix + log)
    for key in sorted(health.withheld_of):
        if withheld := room.rise(BROKER, f"withheld_of.{key}"):
            waited_s = withheld / 10
            what = f"key {key} sends more than its quota: it waited {waited_s:.1f} s {room.lately}"
            fix = "it keeps what waits; find out what it sends, or give it more: "
            fix += f"`scot keys add {key} … --unlimited`"
            yield Finding("warning", what, fix + log)
    yield from _keys(room, health)
    for key in sorted(health.probes_refused_of):
        refused, limit = room.rise(BROKER, f"probes_refused_of.{key}"), room.span_s * HURRIED_HZ
        if refused > limit:  # a few come late or twice on any busy link
            what = f"{refused} clock probes of {key or 'nobody'} refused {room.lately}"
            what += f" (limit {limit:.0f})"
            fix = "its times are not our answers to it: two processes with one key, or a client "
            fix += "that makes them up; its own clock alone is concerned"
            yield Finding("warning", what, fix + log)
    if faults := room.rise(BROKER, "faults"):
        what = f"the broker could not handle {faults} messages {room.lately}"
        yield Finding("problem", what, "a fault of SCOT's own: report it with the log" + log)


def _keys(room: Room, health: Health) -> Iterator[Finding]:
    """Yield who was refused, and what the audit lost."""
    log = room.log(BROKER)
    if refused := room.rise(BROKER, "refused"):
        what = f"{refused} connections without a key of this room were refused {room.lately}"
        why = ", ".join(sorted(health.refused_of))
        fix = "a process of an older start of this room, a key that ended, or a stranger: the log "
        yield Finding("warning", what + (f": {why}" if why else ""), fix + "has the address" + log)
    if ended := room.rise(BROKER, "half_open_ended"):
        what = f"{ended} handshakes were ended {room.lately}: too many at once that were not done"
        fix = "somebody opens connections and does not go on: the audit has the address, and the "
        fix += "room's own devices are served meanwhile"
        yield Finding("warning", what, fix + log)
    if health.shut_out:
        what = f"{health.shut_out} network addresses are shut out now: too many handshakes"
        fix = "the log names them; they may try again ten seconds after they stop"
        yield Finding("problem", what, fix + log)
    if lost := room.rise(BROKER, "audit_lost"):
        what = f"the audit lost {lost} rows {room.lately}: its disk refused them or was too slow"
        yield Finding("problem", what, "free the disk of the room's state folder" + log)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
