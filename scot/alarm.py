"""Alarm conditions of a room as people see them: one state machine, and the log it is made from.

A device says which conditions hold (`report`), the room says which sources it cannot rely on
(`doubt`), people acknowledge and pause. Each change is an `Entry`; state changes by `apply` alone,
so the state is a function of the log and a replay of the log gives the same state. No I/O, no
clock; every time is bus ns.

Source: ISO/IEEE 11073-10207 AlertCondition, AlertSignal (kind, priority, presence, activation);
IEC 60601-1-8, 6.1.2 (priority), 6.8 (inactivation), 6.10 (latching), 6.11 (distributed systems).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from scot.condition import (
    RANKS,
    ROOM,
    Activation,
    Condition,
    Entry,
    Signals,
    Snapshot,
    State,
    Why,
    finite,
    said,
    short,
)
from scot.sample import AlarmValue, Flags

PAUSE_NS = 120_000_000_000
RETOLD_NS = 15_000_000_000
MAX_CONDITIONS = 256
MAX_LANGUAGES = 4
MAX_DOUBTS = 128
LATCHING = frozenset({"Hi"})
UNSEEN = frozenset({State.ACTIVE, State.LATCHED})


class Board:
    """The alarm conditions of one room.

    Attributes:
        conditions: by id.
        signals: of the room.
        refused: reports of conditions beyond `MAX_CONDITIONS`.
    """

    def __init__(self) -> None:
        self.conditions: dict[str, Condition] = {}
        self.signals = Signals()
        self.refused = 0
        self._restarted: dict[str, int] = {}

    # -- the log

    @classmethod
    def replay(cls, log: Iterable[Entry]) -> Board:
        """Return the board that a log makes."""
        board = cls()
        for entry in log:
            board.apply(entry)
        return board

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Board:
        """Return the board that stood when a snapshot was taken."""
        board = cls()
        board.conditions = {one.id: one for one in snapshot.conditions}
        board.signals = snapshot.signals
        return board

    def apply(self, entry: Entry) -> None:
        """Take one line of the log; nothing else changes the state."""
        if entry.condition is not None:
            if entry.condition.id not in self.conditions and not entry.condition.own:
                self._make_room()
            self.conditions[entry.condition.id] = entry.condition
        if entry.signals is not None:
            self.signals = entry.signals

    def snapshot(self, now_ns: int) -> Snapshot:
        """Return the state as displays need it, the most urgent first.

        Of the room's own of low priority the `MAX_DOUBTS` newest: it has to fit into one sample.
        """
        shown = [one for one in self.conditions.values() if _matters(one)]
        shown.sort(key=lambda one: (-RANKS.get(one.priority, 0), -one.since_ns, one.id))
        doubts = [one for one in shown if one.own and one.priority != "Me"]
        beyond = {one.id for one in doubts[MAX_DOUBTS:]}
        shown = [one for one in shown if one.id not in beyond]
        return Snapshot(at_ns=now_ns, conditions=shown, signals=self.signals)

    # -- what devices say

    def report(
        self, device: str, alarm: AlarmValue, now_ns: int, *, epoch: int = 0, flags: int = 0
    ) -> list[Entry]:
        """Take a device's word on one of its conditions."""
        name = f"{device}/{short(alarm.id)}"
        before = self.conditions.get(name)
        if before is None and self._full():
            self.refused += 1
            return []
        word = State.UNKNOWN if flags & Flags.INVALID else said(alarm)
        priority = alarm.priority if alarm.priority in RANKS else "Hi"  # unheard of: be careful
        fresh = Condition(
            id=name,
            device=device,
            kind="Phy" if alarm.kind == "Phy" else "Tec",
            priority=priority,
            said=word,
            activation=alarm.activation,
            channel=short(alarm.channel),
            text={short(k): short(v) for k, v in [*alarm.text.items()][:MAX_LANGUAGES]},
            value=finite(alarm.value),
            limit=finite(alarm.limit),
            epoch=epoch,
        )
        return self._settle(before, fresh, now_ns)

    def restarted(self, device: str, epoch: int, now_ns: int) -> list[Entry]:
        """Take that a device's publisher is a new one, which may not know what the old one said."""
        entries: list[Entry] = []
        self._restarted.pop(device, None)  # its time to tell begins again
        for one in [*self.conditions.values()]:
            if one.device == device and not one.own and one.epoch != epoch:
                stale = msgspec.structs.replace(one, retold=False)
                entries += self._show(one, stale, now_ns)
        return entries

    def doubt(
        self, why: Why, device: str, present: bool, now_ns: int, *, channel: str = "",
        text: dict[str, str] | None = None,
    ) -> list[Entry]:  # fmt: skip
        """Take that a source, or one channel of it, is not to be relied on, or is again.

        Args:
            why: what is wrong.
            device: the source.
            present: it is wrong now.
            now_ns: bus time.
            channel: the only channel it concerns; all when empty.
            text: what people read, by language.
        """
        name = "/".join(part for part in (ROOM, why.value, device, channel) if part)
        before = self.conditions.get(name)
        if (before is None and not present) or (before and before.said.holds == present):
            return []
        fresh = Condition(
            id=name,
            device=device,
            kind="Tec",
            priority=why.priority,
            said=State.ACTIVE if present else State.INACTIVE,
            channel=channel,
            text={k: short(v) for k, v in text.items()}
            if text
            else (before.text if before else {}),
        )
        entries = self._settle(before, fresh, now_ns)
        for one in [*self.conditions.values()]:
            if one.device == device and not one.own:
                entries += self._show(one, one, now_ns)
        return entries

    # -- what people do

    def acknowledge(self, seen: Iterable[tuple[str, int]], by: str, now_ns: int) -> list[Entry]:
        """Acknowledge occurrences, here only and never at the source.

        A second display's same wish changes nothing, nor does one that means an occurrence which
        is over: what has come since then was on nobody's screen.

        Args:
            seen: id and `since_ns` of each, as they were on the screen.
            by: role label of who did.
            now_ns: bus time.
        """
        entries: list[Entry] = []
        for name, since_ns in seen:
            one = self.conditions.get(name)
            if one is None or one.since_ns != since_ns or one.by:
                continue
            if one.under not in (State.ACTIVE, State.LATCHED):
                continue
            under = State.ACKED if one.under is State.ACTIVE else State.INACTIVE
            if one.said is State.PENDING:
                under = State.PENDING
            done = msgspec.structs.replace(one, under=under, by=by, unseen="")
            entries += self._show(one, done, now_ns, by)
        return entries

    def signal(self, activation: Activation, by: str, now_ns: int) -> list[Entry]:
        """Pause the room's signals for two minutes, switch them off, or on again.

        A new alarm of high priority ends a pause, and an off, at once.
        """
        signals = Signals()
        if activation is not Activation.ON:
            until_ns = now_ns + PAUSE_NS if activation is Activation.PAUSED else None
            signals = Signals(activation, until_ns, now_ns, by)
        if activation is self.signals.activation and activation is not Activation.PAUSED:
            return []
        return self._log(Entry(at_ns=now_ns, by=by, signals=signals))

    def tick(self, now_ns: int) -> list[Entry]:
        """End a pause whose time is over, and conditions that a new publisher does not tell."""
        entries: list[Entry] = []
        for one in self.conditions.values():
            if not one.retold:
                self._restarted.setdefault(one.device, now_ns)
        until_ns = self.signals.until_ns
        if until_ns is not None and now_ns >= until_ns:
            entries += self._log(Entry(at_ns=now_ns, signals=Signals()))
        for device in [*self._restarted]:
            if self._doubted(Why.LOST, device):
                self._restarted[device] = now_ns  # who is silent tells nothing, not that it is over
            if now_ns - self._restarted[device] < RETOLD_NS:
                continue
            del self._restarted[device]
            for one in [*self.conditions.values()]:
                if one.device == device and not one.own and not one.retold:
                    fresh = msgspec.structs.replace(one, said=State.INACTIVE, retold=True)
                    entries += self._settle(one, fresh, now_ns)
        return entries

    # -- the rules

    def _settle(self, before: Condition | None, fresh: Condition, now_ns: int) -> list[Entry]:
        """Work a new word into what is known of its condition."""
        under = _under(before, fresh)
        began = before is None or _begins(before, fresh, under)
        by = "" if before is None or began or fresh.said is State.INACTIVE else before.by
        unseen = "" if by else _unseen(before, fresh, under)
        if before is not None:
            priority = _priority(before, fresh, under, unseen)
            fresh = msgspec.structs.replace(fresh, priority=priority, unseen=unseen)
        else:
            fresh = msgspec.structs.replace(fresh, unseen=unseen)
        if under is State.ACKED and not by:
            by = fresh.device
        since_ns, value = now_ns, fresh.value
        if before is not None and not began:
            since_ns, value = before.since_ns, before.value
        if under is State.INACTIVE:
            value = None
        after = msgspec.structs.replace(fresh, under=under, by=by, since_ns=since_ns, value=value)
        return self._show(before, after, now_ns)

    def _show(
        self, before: Condition | None, after: Condition, now_ns: int, by: str = ""
    ) -> list[Entry]:
        """Log a condition as it is shown, and what a new alarm of high priority breaks."""
        after = msgspec.structs.replace(after, state=self._shown(after))
        if after == before:
            return []
        was = before.state if before is not None else State.INACTIVE
        moved = was if after.state is not was or by else ""
        entries = self._log(Entry(at_ns=now_ns, was=moved, by=by, condition=after))
        unseen = (State.ACTIVE, State.LATCHED)  # it may be over before we hear of it
        rose = after.state in unseen and (
            was not in unseen or (before is not None and after.since_ns != before.since_ns)
        )
        if rose and after.priority == "Hi" and self.signals.activation is not Activation.ON:
            entries += self._log(Entry(at_ns=now_ns, signals=Signals()))
        return entries

    def _shown(self, one: Condition) -> State:
        if one.own:
            return one.under
        if one.said is State.UNKNOWN or not one.retold or self._doubted(Why.LOST, one.device):
            return State.UNKNOWN
        doubtful = self._doubted(Why.CLOCK, one.device) or (
            one.channel and self._doubted(Why.INVALID, one.device, one.channel)
        )
        # A device's word that something is wrong is believed; that nothing is, is not.
        believed = one.said.holds and one.under.holds
        return State.UNKNOWN if doubtful and not believed else one.under

    def _doubted(self, why: Why, *where: str) -> bool:
        own = self.conditions.get("/".join((ROOM, why.value, *where)))
        return own is not None and own.said.holds

    def _log(self, entry: Entry) -> list[Entry]:
        self.apply(entry)
        return [entry]

    def _full(self) -> bool:
        told = [one for one in self.conditions.values() if not one.own]
        return len(told) >= MAX_CONDITIONS and all(o.state is not State.INACTIVE for o in told)

    def _make_room(self) -> None:
        """Forget one condition that is over, when one more would be too many."""
        told = [one for one in self.conditions.values() if not one.own]
        over = [one.id for one in told if one.state is State.INACTIVE]
        if len(told) >= MAX_CONDITIONS and over:
            del self.conditions[over[0]]


def _under(before: Condition | None, fresh: Condition) -> State:
    """Return what a word makes of a condition, given what was known of it."""
    held = before.under if before is not None else State.INACTIVE
    louder = before is not None and _louder(before, fresh)
    here = before is not None and before.by not in ("", before.device)
    seen = here and not louder  # by people of this room; a device may take its own back
    if fresh.said is State.ACTIVE:
        return State.ACKED if held is State.ACKED and seen else State.ACTIVE
    if fresh.said is State.LATCHED:
        return State.INACTIVE if seen else State.LATCHED
    if fresh.said in (State.INACTIVE, State.PENDING) and held in UNSEEN:
        latching = before is not None and before.unseen in LATCHING and not fresh.own
        return State.LATCHED if latching and fresh.activation != "Off" else fresh.said
    return held if fresh.said is State.UNKNOWN else fresh.said


def _begins(before: Condition, fresh: Condition, under: State) -> bool:
    """Whether this is an occurrence that nobody can have acknowledged yet."""
    if under in UNSEEN and _louder(before, fresh):
        return True
    if under is State.ACTIVE:
        return before.under is not State.ACTIVE
    if under is State.LATCHED:
        return before.under not in UNSEEN
    return before.under is State.INACTIVE and under is not State.INACTIVE


def _unseen(before: Condition | None, fresh: Condition, under: State) -> str:
    """Return the highest priority that nobody has acknowledged: it may have stepped down since."""
    if under not in UNSEEN:
        return ""
    earlier = before.unseen if before is not None else ""
    if fresh.said is State.UNKNOWN:  # a disowned word adds nothing
        return earlier
    return max(earlier, fresh.priority, key=lambda priority: RANKS.get(priority, -1))


def _priority(before: Condition, fresh: Condition, under: State, unseen: str) -> str:
    """Return what counts: an end is often told with no priority, a disowned word says nothing."""
    if fresh.said is State.UNKNOWN:
        return before.priority
    return unseen if under is State.LATCHED and unseen else fresh.priority


def _louder(before: Condition, fresh: Condition) -> bool:
    return RANKS[fresh.priority] > RANKS[before.priority]


def _matters(one: Condition) -> bool:
    return one.state is not State.INACTIVE or one.activation != "On" or one.said is not one.under
