"""What ``scot doctor`` asks of other packages: checks found by the entry points ``scot.checks``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from scot import plugin
from scot.config import RoomFile
from scot.errors import ScotError
from scot.finding import Finding
from scot.room import RoomFacts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scope:
    """What is to be checked.

    Attributes:
        state: folder of all rooms' states.
        file: the room file somebody named, or that of the running room; None without either.
        facts: of the running room; None when none is up.
    """

    state: Path
    file: RoomFile | None = None
    facts: RoomFacts | None = None


Check = Callable[[Scope], Iterable[Finding]]


def others(scope: Scope) -> list[tuple[str, Finding]]:
    """Return what the checks of other packages found, each with its check's name.

    A check that fails is a finding; it never ends the others.
    """
    found: list[tuple[str, Finding]] = []
    for name in plugin.names("scot.checks"):
        try:
            check: Check = plugin.load("scot.checks", name)
            found += [(name, finding) for finding in check(scope)]
        except (ScotError, OSError) as error:
            fix = "mend what it says, and run scot doctor again"
            found.append((name, Finding("problem", f"check {name}: {error}", fix)))
    return found
