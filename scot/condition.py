"""What is known of one alarm condition, and one line of the log of them. Values, no I/O.

The words are those of ISO/IEEE 11073-10207: a condition has a kind, a priority and is present or
not; its signal's presence is On, Off, Latch or Ack; activation is On, Psd (paused) or Off.
"""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

from scot.sample import AlarmValue

MAX_TEXT = 160
RANKS = {"None": 0, "Lo": 1, "Me": 2, "Hi": 3}
ROOM = "room"


class State(StrEnum):
    """What people are shown of a condition."""

    INACTIVE = "inactive"
    PENDING = "pending"  # holds, and its device still waits before it signals
    ACTIVE = "active"
    ACKED = "acked"
    LATCHED = "latched"  # held, and nobody has acknowledged it
    UNKNOWN = "unknown"  # its source is lost, or not to be relied on

    @property
    def holds(self) -> bool:
        """A word of this kind says that something is, or was, wrong."""
        return self not in (State.INACTIVE, State.UNKNOWN)


class Activation(StrEnum):
    """Whether signals are given; the words of ISO/IEEE 11073-10207."""

    ON = "On"
    PAUSED = "Psd"
    OFF = "Off"


class Why(StrEnum):
    """Why a source is not relied on, with the priority of the room's own technical alarm."""

    LOST = "lost"
    CLOCK = "clock"
    INVALID = "invalid"

    @property
    def priority(self) -> str:
        """A lost source may hide anything; the others only make doubtful."""
        return "Me" if self is Why.LOST else "Lo"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm condition of one source.

    Attributes:
        id: ``monitor/spo2_low``; of the room's own, ``room/lost/monitor``.
        device: the source it speaks of.
        kind: ``Phy`` or ``Tec``.
        priority: ``None``, ``Lo``, ``Me``, ``Hi``.
        state: as shown: `under`, or UNKNOWN while that cannot be relied on.
        under: what the device's last word and people's acts make of it.
        said: what the device's last word alone makes of it.
        activation: the device's own: it may have paused or switched off this alarm.
        channel: name of the channel it speaks of, empty if none.
        text: what people read, by language.
        value: reading when this occurrence began, in the channel's unit.
        limit: what it broke, in the same unit.
        since_ns: when this occurrence began; an acknowledgement names it.
        by: who acknowledged this occurrence; empty if nobody.
        unseen: the highest priority it has had that nobody has acknowledged; empty if none.
        epoch: of the publisher that told it.
        retold: False from the publisher's restart until it tells the condition again.
    """

    id: str
    device: str
    kind: str
    priority: str
    state: State = State.INACTIVE
    under: State = State.INACTIVE
    said: State = State.INACTIVE
    activation: str = "On"
    channel: str = ""
    text: dict[str, str] = {}
    value: float | None = None
    limit: float | None = None
    since_ns: int = 0
    by: str = ""
    unseen: str = ""
    epoch: int = 0
    retold: bool = True

    @property
    def own(self) -> bool:
        """The room's conclusion, not a device's word."""
        return self.id.startswith(f"{ROOM}/")


class Signals(msgspec.Struct, frozen=True):
    """Whether the room's displays signal.

    Attributes:
        until_ns: ends a pause.
        since_ns: when a person paused them or switched them off; None when nobody did.
        by: role label of that person.
    """

    activation: Activation = Activation.ON
    until_ns: int | None = None
    since_ns: int | None = None
    by: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log.

    Attributes:
        at_ns: when.
        was: the state before, of a condition; empty when only its facts changed.
        by: role label of the person who acted; empty when nobody did.
        condition: as it is from then on.
        signals: as they are from then on.
    """

    at_ns: int
    was: str = ""
    by: str = ""
    condition: Condition | None = None
    signals: Signals | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that is not INACTIVE, and what must be known of the rest to go on from here."""

    at_ns: int
    conditions: list[Condition]
    signals: Signals


def said(alarm: AlarmValue) -> State:
    """Return what a device's word alone makes of its condition."""
    if alarm.activation == "Off":
        return State.INACTIVE
    if alarm.presence == "Latch":
        return State.LATCHED
    if not alarm.present:
        return State.INACTIVE
    return {"Ack": State.ACKED, "Off": State.PENDING}.get(alarm.presence, State.ACTIVE)


def short(text: str) -> str:
    """Return a foreign text as a screen can bear it: printable, and of one line."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT]).strip()


def finite(value: float | None) -> float | None:
    """Return a number that can be written down; None for NaN and infinity."""
    return value if value is not None and math.isfinite(value) else None
