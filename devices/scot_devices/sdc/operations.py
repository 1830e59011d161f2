"""A device's remote operations as SCOT's commands. Sans-IO.

Offered is what the room file lists by handle, and of that what SCOT knows how to ask for: an
Activate without arguments, and a SetAlertState that moves the limits of a condition. What may harm
is read from the operation's SafetyClassification (ISO/IEEE 11073-10207); an operation that does
not say is taken for the most dangerous.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from scot.channel import Argument, Channel, Command, Risk
from scot_devices.sdc import elements
from scot_devices.sdc.nomenclature import UCUM, is_mdc

RISK: Final = {"Inf": Risk.LOW, "MedA": Risk.LOW, "MedB": Risk.MEDIUM, "MedC": Risk.HIGH}
LIMIT_S: Final = 30.0
"""When the device does not say how long an operation takes at most."""

SIDES: Final = {
    "lower": {"en": "Lower limit", "ja": "下限"},
    "upper": {"en": "Upper limit", "ja": "上限"},
}
_MONITORED: Final = {"LoOff": ("upper",), "HiOff": ("lower",), "All": ("lower", "upper")}


class Offer(msgspec.Struct, frozen=True):
    """A command and the operation it stands for."""

    command: Command
    operation: elements.Operation


class Limits(msgspec.Struct, frozen=True):
    """What a SetAlertState proposes: the whole state of a condition with other limits."""

    condition: str
    activation: str
    present: bool
    monitored: str
    lower: Decimal | None
    upper: Decimal | None


def offers(
    described: elements.Description,
    states: Mapping[str, elements.ConditionState],
    disabled: frozenset[str],
    channels: Mapping[str, Channel],
    listed: Sequence[str],
    stopping: Sequence[str] = (),
) -> dict[str, Offer]:
    """Return the commands a device offers, by name.

    Args:
        described: its description.
        states: of its alert conditions, by handle.
        disabled: handles of operations that cannot be invoked now.
        channels: of its metrics, by handle.
        listed: patterns of handles, as the room file gives them: ``op.nibp.*``.
        stopping: of those, which only ever make the device safer.
    """
    found: dict[str, Offer] = {}
    for operation in described.operations.values():
        if operation.handle in disabled:
            continue
        if not _in(operation.handle, listed):
            continue
        arguments = _arguments(operation, described, states)
        if arguments is None:
            continue
        name = command_name(operation.handle, found)
        command = Command(
            name,
            RISK.get(operation.safety, Risk.HIGH),
            arguments,
            _label(operation, described, channels),
            stops=_in(operation.handle, stopping),
            limit_s=operation.limit_s or LIMIT_S,
            code=operation.type.symbol if operation.type.symbol.startswith("MDC_") else "",
            attrs={"handle": operation.handle, "target": operation.target},
        )
        found[name] = Offer(command, operation)
    return found


def _in(handle: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(handle, pattern) for pattern in patterns)


def command_name(handle: str, taken: Mapping[str, object]) -> str:
    """Return a command's name from an operation's handle: ``op.nibp.start`` is ``nibp_start``."""
    name = re.sub(r"[^a-z0-9]+", "_", handle.lower()).strip("_")
    name = re.sub(r"^(operation|op|sco)_", "", name)[:56]
    if not name[:1].isalpha():
        name = f"op_{name}".rstrip("_")
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique


def limits(
    operation: elements.Operation, state: elements.ConditionState, arguments: Mapping[str, float]
) -> Limits:
    """Return what to propose for a condition: as it is now, with other limits."""
    low = arguments.get("lower", state.low)
    high = arguments.get("upper", state.high)
    return Limits(
        condition=operation.target,
        activation=state.activation,
        present=state.present,
        monitored=state.monitored,
        lower=None if low is None else Decimal(str(low)),
        upper=None if high is None else Decimal(str(high)),
    )


def _arguments(
    operation: elements.Operation,
    described: elements.Description,
    states: Mapping[str, elements.ConditionState],
) -> list[Argument] | None:
    """Return an operation's arguments; None when SCOT does not know how to ask for it."""
    if operation.kind == "Activate" and not operation.arguments:
        return []
    condition = described.conditions.get(operation.target)
    state = states.get(operation.target)
    if operation.kind != "SetAlertState" or condition is None or state is None:
        return None
    if operation.modifiable and "Limits" not in operation.modifiable:
        return None
    source = next((s for s in condition.sources if s in described.metrics), None)
    if source is None:
        return None
    metric = described.metrics[source]
    unit = UCUM.get(_code(metric.unit), "")
    low = metric.low if condition.low is None else condition.low
    high = metric.high if condition.high is None else condition.high
    if not unit or low is None or high is None:
        return None  # a limit nobody can check is not set from afar
    return [
        Argument(side, unit=unit, lower=low, upper=high, label=SIDES[side])
        for side in _MONITORED.get(state.monitored, ())
    ] or None


def _code(coded: elements.Coded) -> int:
    return int(coded.code) if is_mdc(coded.system) and coded.code.isdecimal() else 0


def _label(
    operation: elements.Operation, described: elements.Description, channels: Mapping[str, Channel]
) -> dict[str, str]:
    if operation.type.text:
        return dict(operation.type.text)
    condition = described.conditions.get(operation.target)
    for source in () if condition is None else condition.sources:
        if source in channels:
            words = {"en": "alarm limit", "ja": "アラーム限界値"}
            label: dict[str, Any] = channels[source].label
            return {lang: f"{text} {words.get(lang, 'limit')}" for lang, text in label.items()}
    return {"en": operation.handle}
