"""Fan-out: each sample is packed once and the same bytes go to everybody of a role.

No I/O and no clock: the gateway calls `add` with what the bus delivers, `flush` when `due`, and
viewers take from their outboxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from scot.channel import Catalogue, Kind, Sensitivity
from scot.errors import CodecError
from scot.names import Names
from scot.sample import AlarmValue, AnnotationValue, Flags
from scot_dashboard.egress import Cases, Egress
from scot_dashboard.outbox import Batch, Item, Outbox, Policy, policy
from scot_dashboard.roles import Role
from scot_dashboard.showing import Showing
from scot_dashboard.wire import entry

if TYPE_CHECKING:
    from scot.bus.subscriber import Delivery

MAX_GOP_BYTES = 4 << 20
MAX_CONDITIONS = 256
MAX_NOTES = 256
AHEAD_NS = 1_000_000_000  # a time later than now by more is of a clock that is wrong
URGENT = frozenset({Kind.ALARM, Kind.ANNOTATION, Kind.VIDEO})
# A value that cannot be read, or that nothing can be reckoned with: it costs no other sample.
UNUSABLE = (CodecError, ArithmeticError, TypeError, ValueError)
LEARNT = frozenset({Kind.TEXT, Kind.EVENT})


class Latest:
    """The newest of every channel, for whoever joins.

    Of alarms that is every condition, of annotations every one alive, of video the last group of
    pictures.
    """

    def __init__(self) -> None:
        self._newest: dict[str, Delivery] = {}
        self._alarms: dict[tuple[str, str], Delivery] = {}
        self._notes: dict[tuple[str, str], tuple[int, Delivery]] = {}  # with the end of its life
        self._pictures: dict[str, list[Delivery]] = {}
        self._picture_bytes: dict[str, int] = {}

    def add(self, delivery: Delivery) -> None:
        """Take one sample; an older one never replaces a newer.

        Raises:
            CodecError: an alarm or annotation cannot be read.
        """
        kind = delivery.channel.kind
        if kind is Kind.VIDEO:
            self._add_picture(delivery)
        elif kind is Kind.ALARM:
            alarm = cast(AlarmValue, delivery.sample().value)
            _put(self._alarms, (delivery.frame.address, alarm.id), delivery, MAX_CONDITIONS)
        elif kind is Kind.ANNOTATION:
            self._add_note(delivery)
        else:
            _put(self._newest, delivery.frame.address, delivery, 1 << 20)

    def has(self, delivery: Delivery) -> bool:
        """Say whether something as new of the same channel, or condition, is here.

        Raises:
            CodecError: an alarm cannot be read.
        """
        address = delivery.frame.address
        if delivery.channel.kind is Kind.ALARM:
            alarm = cast(AlarmValue, delivery.sample().value)
            held = self._alarms.get((address, alarm.id))
        elif delivery.channel.kind is Kind.ANNOTATION:
            note = cast(AnnotationValue, delivery.sample().value)
            return (address, note.id) in self._notes
        else:
            held = self._newest.get(address)
        return held is not None and _order(held) >= _order(delivery)

    def snapshot(self, bus_now_ns: int) -> list[Delivery]:
        """Return what a newcomer needs, alarms first; pictures come when it says which.

        Of a device whose clock runs ahead it is nothing but alarms and notes: nobody could say how
        old the rest is.
        """
        notes = [note for end_ns, note in self._notes.values() if end_ns > bus_now_ns]
        last_ns = bus_now_ns + AHEAD_NS
        newest = [one for one in self._newest.values() if one.header.bus_ns <= last_ns]
        return [*self._alarms.values(), *notes, *newest]

    def pictures(self, showing: Showing, bus_now_ns: int) -> list[Delivery]:
        """Return what a page needs that begins to show these: the last groups, or their keys.

        Of a device whose clock runs ahead it is nothing.
        """
        last_ns = bus_now_ns + AHEAD_NS
        return [
            one
            for address, group in self._pictures.items()
            if group and group[-1].header.bus_ns <= last_ns
            for number, one in enumerate(group)
            if showing.passes(address, number == 0)
        ]

    def _add_note(self, delivery: Delivery) -> None:
        note = cast(AnnotationValue, delivery.sample().value)
        key = (delivery.frame.address, note.id)
        self._notes.pop(key, None)
        if note.ttl_s > 0:
            end_ns = delivery.header.bus_ns + round(note.ttl_s * 1e9)
            self._notes[key] = (end_ns, delivery)
            while len(self._notes) > MAX_NOTES:
                del self._notes[next(iter(self._notes))]

    def _add_picture(self, delivery: Delivery) -> None:
        address = delivery.frame.address
        if Flags.BACKFILLED in delivery.flags:
            return
        group = self._pictures.setdefault(address, [])
        if Flags.KEYFRAME in delivery.flags:
            group.clear()
            self._picture_bytes[address] = 0
        elif not group or Flags.AFTER_GAP in delivery.flags:
            group.clear()
            return
        group.append(delivery)
        self._picture_bytes[address] += len(delivery.frame.payload)
        if self._picture_bytes[address] > MAX_GOP_BYTES:
            group.clear()


@dataclass
class Audience:
    """Everybody of one role."""

    egress: Egress
    outboxes: set[Outbox] = field(default_factory=set)
    pending: list[Item] = field(default_factory=list)


class Fanout:
    """Packs samples and hands them to the outboxes of every role that may have them.

    Attributes:
        names: words that must not leave, learnt from identity channels.
        latest: what newcomers get.
        malformed: samples that could not be read and were not passed on.
        due: something waits for `flush`.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.names = Names()
        self.latest = Latest()
        self.malformed = 0
        self.catalogue = catalogue
        self._cases = Cases()
        self.audiences = {role: Audience(self._egress(role)) for role in Role}

    @property
    def due(self) -> bool:
        """Something waits for `flush`."""
        return any(audience.pending for audience in self.audiences.values())

    def follow(self, catalogue: Catalogue) -> None:
        """Go by a new catalogue at once, also for what already waits."""
        self.catalogue = catalogue
        for role, audience in self.audiences.items():
            audience.egress = self._egress(role)
            passes = audience.egress.addresses
            audience.pending = [item for item in audience.pending if item.address in passes]
            for outbox in audience.outboxes:
                outbox.keep_only(passes)

    def turn(self) -> None:
        """A replay's player has gone elsewhere: what was newest is of another time."""
        self.latest = Latest()

    def add(self, batch: Sequence[Delivery]) -> bool:
        """Take what the bus delivered; return True when it should go out at once."""
        urgent = False
        for delivery in batch:  # first, so that no word of this batch leaves with it
            self._learn(delivery)
        for delivery in batch:
            try:
                self.latest.add(delivery)
            except UNUSABLE:
                self.malformed += 1
                continue
            if self._spread(delivery) and delivery.channel.kind in URGENT:
                urgent = True
        return urgent

    def flush(self, bus_now_ns: int) -> list[Outbox]:
        """Offer what waits; return the outboxes that have something now."""
        woken: list[Outbox] = []
        for audience in self.audiences.values():
            if audience.pending:
                items, audience.pending = audience.pending, []
                woken += _offer(audience.outboxes, items, bus_now_ns)
        return woken

    def join(self, role: Role, outbox: Outbox, bus_now_ns: int) -> list[Outbox]:
        """Add a viewer and give it the newest of everything; return the outboxes to wake.

        Of videos it gets those that it shows.
        """
        woken = self.flush(bus_now_ns)  # or the newcomer would get those twice
        newest = self.latest.snapshot(bus_now_ns)
        newest += self.latest.pictures(outbox.showing, bus_now_ns)
        self._give(role, outbox, newest, bus_now_ns)
        self.audiences[role].outboxes.add(outbox)
        return [*woken, outbox]

    def show(self, role: Role, outbox: Outbox, showing: Showing, bus_now_ns: int) -> list[Outbox]:
        """Send a viewer the videos that it shows from now on; return the outboxes to wake.

        What it did not show before begins at once with the group of pictures under way.
        """
        woken = self.flush(bus_now_ns)
        begun = showing.begun(outbox.showing)
        outbox.show(showing)
        if outbox in self.audiences[role].outboxes:
            self._give(role, outbox, self.latest.pictures(begun, bus_now_ns), bus_now_ns)
        return [*woken, outbox]

    def _give(
        self, role: Role, outbox: Outbox, deliveries: Sequence[Delivery], bus_now_ns: int
    ) -> None:
        egress = self.audiences[role].egress
        items = [
            pack(delivery, payload)
            for delivery in deliveries
            if (payload := egress.of(delivery)) is not None
        ]
        if items:
            outbox.offer(Batch(items, bus_now_ns))

    def leave(self, outbox: Outbox) -> None:
        """Remove a viewer; nothing more reaches it."""
        for audience in self.audiences.values():
            audience.outboxes.discard(outbox)

    def _spread(self, delivery: Delivery) -> bool:
        """Queue a sample for every role that may have it and has viewers; say whether any has."""
        whole: Item | None = None
        spread = False
        for audience in self.audiences.values():
            payload = audience.egress.of(delivery) if audience.outboxes else None
            if payload is None:
                continue
            if payload is not delivery.frame.payload:
                audience.pending.append(pack(delivery, payload))
            else:
                whole = whole or pack(delivery, payload)
                audience.pending.append(whole)
            spread = True
        return spread

    def _egress(self, role: Role) -> Egress:
        return Egress(role, self.catalogue, self.names, self._cases.number(self.catalogue.case))

    def _learn(self, delivery: Delivery) -> None:
        channel = delivery.channel
        if channel.sensitivity is Sensitivity.IDENTITY and channel.kind in LEARNT:
            try:
                self.names.learn(delivery.sample().value)
            except CodecError:
                self.malformed += 1


def _offer(outboxes: set[Outbox], items: list[Item], bus_now_ns: int) -> list[Outbox]:
    """Offer each outbox what it shows; those that show the same get the same batch."""
    pictures = [item for item in items if item.policy is Policy.PICTURES]
    alike: dict[Showing | None, list[Outbox]] = {}
    for outbox in outboxes:
        alike.setdefault(outbox.showing if pictures else None, []).append(outbox)
    whole = Batch(items, bus_now_ns)
    woken: list[Outbox] = []
    for showing, group in alike.items():
        hidden = [
            item
            for item in pictures
            if showing is not None
            and not showing.passes(item.address, Flags.KEYFRAME in item.flags)
        ]
        batch = whole
        if hidden:
            left = {id(item) for item in hidden}
            batch = Batch([item for item in items if id(item) not in left], bus_now_ns)
        for outbox in group:
            outbox.pass_over(hidden)
            if batch.items:
                outbox.offer(batch)
                woken.append(outbox)
    return woken


def pack(delivery: Delivery, payload: bytes) -> Item:
    """Return the packed sample with the payload that leaves."""
    frame, header, flags, channel = delivery
    data = entry(frame, header, flags, payload)
    return Item(frame.address, policy(channel), flags, header.bus_ns, data)


Key = TypeVar("Key")


def _order(delivery: Delivery) -> tuple[int, int]:
    """What came after what of one channel, whatever the clock of its device says."""
    return delivery.header.epoch, delivery.header.seq


def _put(into: dict[Key, Delivery], key: Key, delivery: Delivery, most: int) -> None:
    before = into.get(key)
    if before is None or _order(before) <= _order(delivery):
        into.pop(key, None)
        into[key] = delivery
        while len(into) > most:
            del into[next(iter(into))]
