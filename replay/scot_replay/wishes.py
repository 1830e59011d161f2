"""What a wish for the player means in one recording: where it leads, and whether it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scot.channel import Kind
from scot.errors import ConfigError
from scot.transport import Wish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scot_replay.cast import Played

SLACK_NS = 1_000_000_000
"""A wish may miss the recording by so much: a page rounds."""


def target(wish: Wish, first_ns: int, last_ns: int) -> int | None:
    """Return the recorded instant that a wish leads to; None when it stays.

    Raises:
        ConfigError: it is outside the recording.
    """
    where = [t for t in (wish.to_ns, *(wish.loop or ())) if t is not None]
    reach = f"{first_ns} to {last_ns}"
    for t_ns in where:
        if not first_ns - SLACK_NS <= t_ns <= last_ns + SLACK_NS:
            raise ConfigError("player", "to_ns", f"{t_ns} is outside the recording", reach)
    if wish.loop and max(wish.loop[0], first_ns) >= min(wish.loop[1], last_ns):
        raise ConfigError("player", "loop", "nothing of it is inside the recording", reach)
    return None if wish.to_ns is None else min(max(wish.to_ns, first_ns), last_ns)


def pictures(recording: Played, addresses: Iterable[str]) -> str:
    """Return the first video, whose pictures a step counts; empty when there is none."""
    for address in addresses:
        if recording.channel(address).kind is Kind.VIDEO:
            return address
    return ""
