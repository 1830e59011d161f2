"""What a check found, in words for people: what is wrong, and the fix."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "problem"]
_WORST: tuple[Level, ...] = ("problem", "warning", "ok")


class Finding(NamedTuple):
    """One line of ``scot doctor``.

    Attributes:
        level: ``problem``: something is broken, insecure or lost now; ``warning``: it may become
            so; ``ok``.
        what: one line, with the figure and its limit.
        fix: what to do about it; empty when it is ok.
    """

    level: Level
    what: str
    fix: str = ""


def worst_first(found: list[Finding]) -> list[Finding]:
    """Return findings by level, otherwise in their order."""
    return sorted(found, key=lambda one: _WORST.index(one.level))
