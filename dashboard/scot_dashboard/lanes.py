"""What the scrubber shows: when each device spoke, how well its time was known, alarms, notes.

Kept in memory since the gateway's start, and filled from History for what was before. Whole
seconds are enough for a bar across a screen. No I/O, no clock; every time is bus ns.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right, insort
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from scot.channel import Catalogue, Channel, Kind
from scot.clock.rows import ClockWatch, Step, publisher_of, step_text
from scot.command import COMMANDS
from scot.condition import Entry, State
from scot.errors import CodecError
from scot.sample import AlarmValue, AnnotationValue
from scot_dashboard import alarms
from scot_dashboard.band import HOUR_S, MAX_HOURS, SECOND_NS, Errors, worst_of
from scot_dashboard.egress import Egress
from scot_dashboard.roles import identified
from scot_dashboard.trends import Trends
from scot_dashboard.wire import LanesAsk

if TYPE_CHECKING:
    from scot.bus.subscriber import Delivery
    from scot.history import Density

MAX_HOLD_S = 10
MAX_CHANGES = 20_000
MAX_NOTES = 5_000
MAX_LISTED = 2_000
CLOCK = "/room/clock"
ALARM_LOG = f"/{alarms.DEVICE}/{alarms.LOG.name}"
SIDE = re.compile(r"(?<=/)[a-h]_(?=(room/clock|alarms/log)$)")
"""Of several recordings side by side each has its own clocks and log: ``a_room/clock``."""
FEEDS = frozenset({Kind.NUMERIC, Kind.WAVEFORM, Kind.POSE, Kind.VIDEO, Kind.IMAGE})


class Activity:
    """In which seconds one device spoke; the oldest hours are forgotten."""

    def __init__(self) -> None:
        self._hours: OrderedDict[int, bytearray] = OrderedDict()
        self._last_s = -1

    def mark(self, from_ns: int, to_ns: int) -> None:
        """Note that the device spoke in every second that [from_ns, to_ns] touches."""
        first_s, last_s = from_ns // SECOND_NS, to_ns // SECOND_NS
        if last_s == self._last_s and first_s == last_s:
            return
        self._last_s = last_s
        for second in range(first_s, last_s + 1):
            hour, place = divmod(second, HOUR_S)
            marks = self._hours.get(hour)
            if marks is None:
                marks = self._hours[hour] = bytearray(HOUR_S)
                while len(self._hours) > MAX_HOURS:
                    del self._hours[min(self._hours)]
            marks[place] = 1

    def bins(self, from_ns: int, to_ns: int, count: int) -> list[float]:
        """Return the share of each bin's seconds in which the device spoke, 0..1."""
        shares = []
        for index in range(count):
            start_ns = from_ns + index * (to_ns - from_ns) // count
            end_ns = from_ns + (index + 1) * (to_ns - from_ns) // count
            start_s = start_ns // SECOND_NS
            end_s = max(start_s + 1, -(-end_ns // SECOND_NS))
            shares.append(round(self._count(start_s, end_s) / (end_s - start_s), 3))
        return shares

    def _count(self, start_s: int, end_s: int) -> int:
        hours = range(start_s // HOUR_S, (end_s - 1) // HOUR_S + 1)
        count = 0
        for hour in hours if len(hours) < len(self._hours) else self._hours:
            marks = self._hours.get(hour)
            if marks is not None and hour in hours:
                base = hour * HOUR_S
                count += sum(marks[max(0, start_s - base) : min(HOUR_S, end_s - base)])
        return count


class _Change(NamedTuple):
    """One word of an alarm condition; they sort by time."""

    bus_ns: int
    epoch: int
    seq: int
    alarm: AlarmValue
    device: str
    delivery: Delivery

    @property
    def key(self) -> tuple[int, int, int]:
        return (self.bus_ns, self.epoch, self.seq)


class _Deed(NamedTuple):
    """A command: when it was asked for, by whom, and its newest state."""

    asked_ns: int
    told: tuple[int, int, int]
    caller: str
    text: str
    delivery: Delivery


class Lanes:
    """The index behind the scrubber, for every role."""

    def __init__(self) -> None:
        self._activity: dict[str, Activity] = {}
        self._errors: dict[str, Errors] = {}
        self.clocks: defaultdict[str, ClockWatch] = defaultdict(ClockWatch)
        self.trends = Trends()
        self._alarms: dict[tuple[str, str], list[_Change]] = {}
        self._changes = 0
        self._notes: OrderedDict[tuple[str, str], tuple[AnnotationValue, Delivery]] = OrderedDict()
        self._deeds: OrderedDict[str, _Deed] = OrderedDict()

    def add(self, delivery: Delivery) -> None:
        """Take one sample, in any order.

        Raises:
            CodecError: an alarm or annotation cannot be read.
        """
        channel = delivery.channel
        if channel.kind in FEEDS:
            bus_ns = delivery.header.bus_ns
            device = delivery.frame.address.split("/")[1]
            self.speaks(device, bus_ns, bus_ns + _hold_ns(channel))
            self.doubts(device, bus_ns, delivery.header.err_ns)
            self.trends.add(delivery)
        elif channel.kind is Kind.ALARM:
            device = delivery.frame.address.split("/")[1]
            self._add_alarm(delivery, cast(AlarmValue, delivery.sample().value), device)
        elif channel.kind is Kind.ANNOTATION:
            self._add_note(delivery, cast(AnnotationValue, delivery.sample().value))
        elif delivery.frame.address.endswith(f"/{COMMANDS.name}"):
            self._add_step(delivery, cast(dict[str, Any], delivery.sample().value))
        elif SIDE.sub("", delivery.frame.address).endswith(ALARM_LOG):
            self._add_entry(delivery, cast(dict[str, Any], delivery.sample().value))
        elif SIDE.sub("", delivery.frame.address).endswith(CLOCK):
            side = delivery.frame.address.split("/")[1].removesuffix("room")
            self.clocks[side].take(delivery.header.bus_ns, delivery.frame.payload)

    def doubts(self, device: str, bus_ns: int, err_ns: int | None) -> None:
        """Note how well the time of one sample was known."""
        self._errors.setdefault(device, Errors()).mark(bus_ns, err_ns)

    def speaks(self, device: str, from_ns: int, to_ns: int) -> None:
        """Note that a device spoke throughout a stretch."""
        self._activity.setdefault(device, Activity()).mark(from_ns, to_ns)

    def fill(self, device: str, channel: Channel, density: Density) -> None:
        """Take when one channel of a device spoke, of a stretch of a recording."""
        width_ns, hold_ns = density.width_ns, _hold_ns(channel)
        places = struct.unpack(f"<{len(density)}I", density.places)
        errs = struct.unpack(f"<{len(density)}q", density.err_ns)
        begun_ns = until_ns = -1
        for place, err_ns in zip(places, errs, strict=True):
            from_ns = density.first_ns + place * width_ns
            if from_ns > until_ns + 1:
                if begun_ns >= 0:
                    self.speaks(device, begun_ns, until_ns)
                begun_ns = from_ns
            until_ns = from_ns + width_ns - 1 + hold_ns
            self.doubts(device, from_ns, None if err_ns < 0 else err_ns)
        if begun_ns >= 0:
            self.speaks(device, begun_ns, until_ns)

    def alarms_at(self, bus_ns: int, addresses: Iterable[str]) -> list[Delivery]:
        """Return the newest word of every condition at an instant."""
        wanted = set(addresses)
        found = []
        for (address, _), changes in self._alarms.items():
            place = bisect_right(changes, bus_ns, key=lambda change: change.bus_ns)
            if address in wanted and place:
                found.append(changes[place - 1].delivery)
        return found

    def notes_at(self, bus_ns: int, addresses: Iterable[str]) -> list[Delivery]:
        """Return the annotations that were alive at an instant."""
        wanted = set(addresses)
        return [
            delivery
            for (address, _), (note, delivery) in self._notes.items()
            if address in wanted
            and delivery.header.bus_ns <= bus_ns < delivery.header.bus_ns + note.ttl_s * SECOND_NS
        ]

    def answer(self, ask: LanesAsk, egress: Egress) -> dict[str, Any]:
        """Return what a role's scrubber draws between two instants."""
        to_ns = max(ask.to_ns, ask.from_ns + ask.bins)
        feeds, errors = {}, []
        for name, device in egress.source.devices.items():
            prefix = f"{egress.source.workspace}/{name}/"
            drawn = [c for c in device.channels.values() if c.kind in FEEDS]
            if any(egress.visible(prefix + channel.name) for channel in drawn):
                activity = self._activity.get(name) or Activity()
                feeds[name] = activity.bins(ask.from_ns, to_ns, ask.bins)
                if name in self._errors:
                    errors.append(self._errors[name].bins(ask.from_ns, to_ns, ask.bins))
        return {
            "from_ns": ask.from_ns,
            "to_ns": to_ns,
            "bins": ask.bins,
            "feeds": feeds,
            "alarms": self._intervals(ask.from_ns, to_ns, egress),
            "notes": self._texts(ask.from_ns, to_ns, egress),
            "band": worst_of(errors, ask.bins),
            "epochs": self._epochs(ask.from_ns, to_ns, egress, feeds),
        }

    def _add_alarm(self, delivery: Delivery, alarm: AlarmValue, device: str) -> None:
        """Keep a device's own word, or what the room made of it, by condition."""
        header = delivery.header
        changes = self._alarms.setdefault((delivery.frame.address, alarm.id), [])
        change = _Change(header.bus_ns, header.epoch, header.seq, alarm, device, delivery)
        place = bisect_right(changes, change.key, key=lambda c: c.key)
        if place and (changes[place - 1].key == change.key or changes[place - 1].alarm == alarm):
            return
        insort(changes, change, key=lambda c: c.key)
        self._changes += 1
        if self._changes > MAX_CHANGES:
            longest = max(self._alarms.values(), key=len)
            del longest[0]
            self._changes -= 1

    def _add_entry(self, delivery: Delivery, entry: dict[str, Any]) -> None:
        """Take a line of the room's alarm log.

        Raises:
            CodecError: it is none.
        """
        try:
            one = msgspec.convert(entry, Entry).condition
        except msgspec.ValidationError as error:
            raise CodecError(f"no line of an alarm log: {error}") from None
        if one is not None:
            held = one.under if one.state is State.UNKNOWN else one.state
            shown = held.holds and held is not State.LATCHED  # the lane shows what was so, and when
            value = AlarmValue(
                id=one.id, kind=one.kind, priority=one.priority, present=shown, text=one.text
            )
            self._add_alarm(delivery, value, one.device)

    def _add_note(self, delivery: Delivery, note: AnnotationValue) -> None:
        key = (delivery.frame.address, note.id)
        before = self._notes.get(key)
        if before is not None and before[1].header.bus_ns > delivery.header.bus_ns:
            return
        self._notes[key] = (note, delivery)
        while len(self._notes) > MAX_NOTES:
            self._notes.popitem(last=False)

    def _add_step(self, delivery: Delivery, step: dict[str, Any]) -> None:
        """Take a step of a command: it stands where it was asked for, and says how it stands."""
        header, key = delivery.header, step.get("key")
        if step.get("step") != "command" or not isinstance(key, str):
            return
        name = str(step.get("address", "")).rpartition("/")[2]
        text = f"{name}: {step.get('state', '')}"
        told = (header.bus_ns, header.epoch, header.seq)
        deed = _Deed(header.bus_ns, told, str(step.get("caller", "")), text, delivery)
        before = self._deeds.get(key)
        if before is not None:
            newest = max(before, deed, key=lambda one: one.told)
            deed = newest._replace(asked_ns=min(before.asked_ns, deed.asked_ns))
        self._deeds[key] = deed
        while len(self._deeds) > MAX_NOTES:
            self._deeds.popitem(last=False)

    def _intervals(self, from_ns: int, to_ns: int, egress: Egress) -> list[list[Any]]:
        found: list[list[Any]] = []
        for (address, _), changes in self._alarms.items():
            # The room's own log says it all; a recording without one has only the devices' words.
            own = _log_of(address, egress.source)
            logged = egress.source.channel(own) is not None
            if not egress.visible(address) or (address == own) != logged:
                continue
            for start_ns, end_ns, alarm in _stretches(changes):
                if start_ns < to_ns and (end_ns is None or end_ns > from_ns):
                    text = alarm.text.get("en") or next(iter(alarm.text.values()), alarm.id)
                    facts = [egress.text(text), alarm.kind, egress.text(changes[0].device)]
                    found.append([start_ns, end_ns, alarm.priority, *facts])
        return sorted(found, key=lambda interval: cast(int, interval[0]))[-MAX_LISTED:]

    def _epochs(
        self, from_ns: int, to_ns: int, egress: Egress, seen: Iterable[str]
    ) -> list[list[Any]]:
        """Return when clocks stepped; outsiders learn it only of devices they see."""
        names = {publisher_of(device) for device in seen}

        def shown(step: Step) -> bool:
            return from_ns <= step.bus_ns < to_ns and (
                identified(egress.role) or step.name in names
            )

        steps = [
            step._replace(name=f"{side}{step.name}")
            for side, watch in self.clocks.items()
            for step in watch.steps(from_ns)
        ]
        steps = sorted(filter(shown, steps), key=lambda step: step.bus_ns)
        return [[s.bus_ns, s.name, egress.text(step_text(s))] for s in steps[-MAX_LISTED:]]

    def _texts(self, from_ns: int, to_ns: int, egress: Egress) -> list[list[Any]]:
        found = [
            [note.at_ns, egress.author(note.author), note.tool, egress.text(note.text)]
            for (address, _), (note, _) in self._notes.items()
            if note.ttl_s > 0 and from_ns <= note.at_ns < to_ns and egress.visible(address)
        ]
        found += [
            [deed.asked_ns, egress.author(deed.caller), "command", egress.text(deed.text)]
            for deed in self._deeds.values()
            if from_ns <= deed.asked_ns < to_ns and egress.visible(deed.delivery.frame.address)
        ]
        return sorted(found, key=lambda text: cast(int, text[0]))[-MAX_LISTED:]


def _stretches(changes: list[_Change]) -> list[tuple[int, int | None, AlarmValue]]:
    """Return from, to (None while it holds) and first word of each stretch of one priority."""
    found: list[tuple[int, int | None, AlarmValue]] = []
    start: _Change | None = None
    for change in changes:
        ends = not change.alarm.present or (
            start is not None and change.alarm.priority != start.alarm.priority
        )
        if start is not None and ends:
            found.append((start.bus_ns, change.bus_ns, start.alarm))
            start = None
        if start is None and change.alarm.present:
            start = change
    if start is not None:
        found.append((start.bus_ns, None, start.alarm))
    return found


def _log_of(address: str, catalogue: Catalogue) -> str:
    """Return the address of the alarm log that an alarm would be told in."""
    device = address.split("/")[1]
    side = f"{device[:2]}{ALARM_LOG[1:]}"
    if device[1:2] == "_" and catalogue.channel(f"{catalogue.workspace}/{side}") is not None:
        return f"{catalogue.workspace}/{side}"
    return f"{catalogue.workspace}{ALARM_LOG}"


def _hold_ns(channel: Channel) -> int:
    """Return how long after a sample its device still counts as speaking."""
    if channel.rate_hz is None or channel.rate_hz > 2 or channel.rate_hz <= 0:
        return 0
    return int(min(1.5 / channel.rate_hz, MAX_HOLD_S) * SECOND_NS)
