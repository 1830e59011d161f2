"""What callers say to a guarded device, and what they are told. Values only, no I/O.

A call goes from the caller to the broker, which adds who it is, and on to the device's host, where
`scot.arbiter` decides. Its answer comes back the same way; whatever happens is also a sample of
the device's channel ``commands``.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, Final

import msgspec

from scot.channel import Argument, ArgumentType, Command, Event

MAX_TEXT: Final = 200
"""Longest key, address, text argument: characters."""

COMMANDS: Final = Event(
    "commands", label={"en": "Commands", "ja": "コマンド"}, stale_after_s=86_400.0
)
"""The channel of each device that offers commands, and of the room: every step, for the record."""


class State(StrEnum):
    """Where a command stands; `NEXT` says what may follow."""

    WAITING = "waiting"  # for the second person
    ACCEPTED = "accepted"  # being written down; not begun
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # the device said so
    REFUSED = "refused"  # surely never begun
    EXPIRED = "expired"  # surely never begun: it was too late
    UNKNOWN = "unknown"  # may have happened: look at the device


NEXT: Final[dict[State | None, frozenset[State]]] = {
    None: frozenset({State.WAITING, State.ACCEPTED, State.REFUSED, State.EXPIRED}),
    State.WAITING: frozenset({State.ACCEPTED, State.REFUSED, State.EXPIRED}),
    State.ACCEPTED: frozenset({State.RUNNING, State.REFUSED, State.EXPIRED}),
    State.RUNNING: frozenset({State.DONE, State.FAILED, State.UNKNOWN}),
    State.UNKNOWN: frozenset({State.DONE, State.FAILED}),  # the truth may come late
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.REFUSED: frozenset(),
    State.EXPIRED: frozenset(),
}
"""What may follow what; None is a command nobody has heard of."""

OPEN: Final = frozenset({State.WAITING, State.ACCEPTED, State.RUNNING})


class Why(StrEnum):
    """Why a command or call ended as it did; for programs, `text` is for people."""

    NONE = ""
    # refused
    GRANT = "grant"
    ROLE = "role"
    REPLAY = "replay"
    NO_DEVICE = "no_device"
    NO_COMMAND = "no_command"
    NOT_READY = "not_ready"
    ARGUMENTS = "arguments"
    NO_CONTROL = "no_control"
    HELD = "held"
    CLOCK = "clock"
    AHEAD = "ahead"
    OLD = "old"
    CONFLICT = "conflict"
    BUSY = "busy"
    FULL = "full"
    SAME_PERSON = "same_person"
    NOT_WAITING = "not_waiting"
    WITHDRAWN = "withdrawn"
    CONTROL_LOST = "control_lost"
    BOOK = "book"
    # expired
    LATE = "late"
    UNCONFIRMED = "unconfirmed"
    # failed
    DEVICE = "device"
    # unknown
    RESTARTED = "restarted"
    SILENT = "silent"
    BROKEN = "broken"
    NO_ANSWER = "no_answer"
    NEVER_HEARD = "never_heard"


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the holder of the key that the broker authenticated, and the key's role."""

    key: str
    role: str


class _Call(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    address: str


class Take(_Call, frozen=True, kw_only=True, tag="take"):
    """Take control of a device, keep it, or accept an offer of it.

    Attributes:
        address: ``or1/monitor``.
        id: of this call; the same one again changes nothing.
        for_ns: how long, unless taken again.
        expires_ns: bus time from which it is refused.
    """

    id: str
    for_ns: int
    expires_ns: int


class Release(_Call, frozen=True, kw_only=True, tag="release"):
    """Give up control."""

    term: int


class Offer(_Call, frozen=True, kw_only=True, tag="offer"):
    """Hand control over: `to` has it as soon as they take it."""

    term: int
    to: str


class Request(_Call, frozen=True, kw_only=True, tag="request"):
    """Ask for a command.

    Attributes:
        address: ``or1/monitor/nibp_start``.
        key: idempotency key, the caller's own (a UUID): the device runs it at most once, ever.
        arguments: by name; a number with a unit as ``[value, unit]``.
        term: of the control it is asked under.
        issued_ns, expires_ns: bus time, by the caller's clock.
    """

    key: str
    arguments: dict[str, Any]
    term: int
    issued_ns: int
    expires_ns: int


class Confirm(_Call, frozen=True, kw_only=True, tag="confirm"):
    """Confirm another person's request; repeats what is confirmed."""

    key: str
    arguments: dict[str, Any]


class Withdraw(_Call, frozen=True, kw_only=True, tag="withdraw"):
    """Call off what waits for confirmation: its caller, or a second person who says no."""

    key: str


class Ask(_Call, frozen=True, kw_only=True, tag="ask"):
    """Ask what became of a command. Runs nothing."""

    key: str


class Look(_Call, frozen=True, kw_only=True, tag="look"):
    """Ask who is in control and what is open."""


Call = Take | Release | Offer | Request | Confirm | Withdraw | Ask | Look


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="outcome"):
    """Where a command stands.

    Attributes:
        caller, role: who asked; `second`: who confirmed.
        value: what the device gave back, plain.
    """

    address: str
    key: str
    state: State
    why: Why = Why.NONE
    text: str = ""
    value: Any = None
    arguments: dict[str, Any] = {}
    caller: str = ""
    role: str = ""
    second: str = ""
    term: int = 0
    issued_ns: int = 0
    expires_ns: int = 0


class Lease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who controls a device.

    Attributes:
        term: number of this stretch of control; never used again.
        left_ns: until it is lost, unless taken again.
        offered_to: who may take it over now.
    """

    holder: str
    role: str
    term: int
    left_ns: int
    offered_to: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="standing"):
    """Who is in control, what is open; with `why`, the call was refused and changed nothing."""

    address: str
    why: Why = Why.NONE
    text: str = ""
    lease: Lease | None = None
    open: list[Outcome] = []


Answer = Outcome | Standing


def refusal_step(call: Call, caller: Caller, why: Why, text: str) -> dict[str, Any]:
    """Return a refused call, as a sample of the channel ``commands`` tells it."""
    return {
        "step": "refused",
        "do": type(call).__name__.lower(),
        "address": call.address,
        "caller": caller.key,
        "role": caller.role,
        "why": why.value,
        "text": text,
    }


def device_of(address: str) -> str:
    """Return ``workspace/device`` of a device's or a command's address."""
    return "/".join(address.split("/")[:2])


def check_arguments(command: Command, given: dict[str, Any]) -> str:
    """Return what is wrong with a call's arguments, for people; nothing when they are right."""
    declared = {argument.name: argument for argument in command.arguments}
    for name in given:
        if name not in declared:
            allowed = ", ".join(declared) or "none"
            return f"{command.name} has no argument {name[:40]!r}; it has: {allowed}"
    for name, argument in declared.items():
        if name not in given:
            return f"{command.name} needs {describe(argument)}"
        if wrong := _check(argument, given[name]):
            return f"{command.name}: {name} {wrong}"
    return ""


def describe(argument: Argument) -> str:
    """Return an argument and what is allowed, in a few words."""
    text = f"{argument.name} ({argument.type}"
    if argument.choices:
        text += f": {', '.join(argument.choices)}"
    if argument.lower is not None or argument.upper is not None:
        text += f" {_number(argument.lower)} to {_number(argument.upper)}"
    return f"{text} {argument.unit}".rstrip() + ")"


def _number(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _check(argument: Argument, value: Any) -> str:
    """Return what is wrong with one value."""
    if argument.type is ArgumentType.BOOLEAN:
        return "" if isinstance(value, bool) else f"{value!r:.40} is neither true nor false"
    if argument.type is ArgumentType.CHOICE:
        allowed = ", ".join(argument.choices)
        return "" if value in argument.choices else f"{value!r:.40} is not one of {allowed}"
    if argument.type is ArgumentType.TEXT:
        if not isinstance(value, str):
            return f"{value!r:.40} is not a text"
        longest = MAX_TEXT if argument.upper is None else min(MAX_TEXT, int(argument.upper))
        return "" if len(value) <= longest else f"has {len(value)} characters (limit {longest})"
    return _check_number(argument, value)


def _check_number(argument: Argument, value: Any) -> str:
    if argument.unit:
        if not isinstance(value, list | tuple) or len(value) != 2:
            return f"{value!r:.40} has no unit; send [value, {argument.unit!r}]"
        value, unit = value
        if unit != argument.unit:
            return f"is in {unit!r:.40}; the device takes {argument.unit}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"{value!r:.40} is not a number"
    if argument.type is ArgumentType.INTEGER and not isinstance(value, int):
        return f"{value!r:.40} is not a whole number"
    low, high = argument.lower, argument.upper
    if (low is not None and value < low) or (high is not None and value > high):
        return f"{value:g} is not within {_number(low)} to {_number(high)} {argument.unit}".rstrip()
    return ""


def plain_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Return checked arguments as a provider gets them: numbers without their unit."""
    return {k: v[0] if isinstance(v, list | tuple) else v for k, v in given.items()}
