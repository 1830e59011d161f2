"""Commands in words: what a person types, and what they read."""

from __future__ import annotations

import re
from typing import Any, Final

from scot.channel import Argument, ArgumentType, Command
from scot.command import Outcome, Standing, State, describe
from scot.errors import ConfigError

_NUMBER: Final = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*$")
_YES: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read_arguments(declared: Command, given: list[str]) -> dict[str, Any]:
    """Return what ``--arg NAME=VALUE`` says, as the command wants it.

    Raises:
        ConfigError: one has no name or no value, or a number is none.
    """
    known = {argument.name: argument for argument in declared.arguments}
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError("--arg", "", f"{text!r} is not allowed", "write NAME=VALUE")
        if name not in known:
            allowed = ", ".join(map(describe, declared.arguments)) or "no arguments"
            raise ConfigError("--arg", name, "no such argument", f"it takes {allowed}")
        if name in found:
            raise ConfigError("--arg", name, "given twice", "say it once")
        found[name] = _read(known[name], value)
    missing = [describe(argument) for name, argument in known.items() if name not in found]
    if missing:
        raise ConfigError("--arg", "", f"it needs {', '.join(missing)}", "say each one")
    return found


def _read(argument: Argument, text: str) -> Any:
    if argument.type in (ArgumentType.CHOICE, ArgumentType.TEXT):
        return text
    if argument.type is ArgumentType.BOOLEAN and text.lower() in _YES:
        return _YES[text.lower()]
    match = _NUMBER.match(text)
    if argument.type is ArgumentType.BOOLEAN or match is None:
        raise ConfigError("--arg", argument.name, f"{text!r} is not allowed", describe(argument))
    number, unit = match.groups()
    value = int(number) if re.fullmatch(r"[-+]?\d+", number) else float(number)
    return [value, unit or argument.unit] if argument.unit or unit else value


def sentence(outcome: Outcome) -> str:
    """Say where a command stands, for people."""
    text = f"{outcome.address}: {outcome.state}"
    if outcome.state is State.WAITING:
        return f"{text}: `scot command confirm {outcome.address} --as ANOTHER` within its time"
    if outcome.state is State.RUNNING and outcome.second:
        return f"{text}, confirmed by {outcome.second}"
    return f"{text}: {outcome.text}" if outcome.text else text


def standing(found: Standing) -> str:
    """Say who is in control and what is open, for people."""
    lease = found.lease
    lines = [f"{found.address}: nobody is in control"]
    if lease is not None:
        lines = [f"{found.address}: {lease.holder} is in control, {lease.left_ns / 1e9:.0f} s more"]
        if lease.offered_to:
            lines[0] += f", and offers it to {lease.offered_to}"
    for one in found.open:
        given = ", ".join(f"{k} = {shown(v)}" for k, v in one.arguments.items())
        lines.append(f"  {one.state} {one.address} ({given}) for {one.caller}, key {one.key}")
    return "\n".join(lines)


def shown(value: Any) -> str:
    """Return an argument's value, with its unit, for people."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
