"""An instant as a person types it: from a recording's start, or UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from scot.errors import RecordingError
from scot.timestamp import TAI_MINUS_UTC_NS

_CLOCK = re.compile(r"^(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?$")
_SECONDS = re.compile(r"^(\d+)(?:\.(\d{1,9}))?s?$")
HOW = "write '12:30' or '1:12:30.5' or '90s' from its start, or UTC as '2026-11-24T13:00:00Z'"


def instant(text: str, first_ns: int) -> int:
    """Return the bus time of `text`, in a recording that starts at `first_ns`.

    Args:
        text: ``[h:]m:s[.f]`` or seconds from the start, or ISO 8601 (UTC when it names no zone).
        first_ns: bus time of its first sample.

    Raises:
        RecordingError: it is none of these.
    """
    if found := _CLOCK.match(text):
        hours, minutes, seconds, part = found.groups()
        whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
        return first_ns + whole * 1_000_000_000 + _part(part)
    if found := _SECONDS.match(text):
        return first_ns + int(found[1]) * 1_000_000_000 + _part(found[2])
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        raise RecordingError(f"{text!r} is no time in a recording; {HOW}") from None
    stamp = stamp.replace(tzinfo=stamp.tzinfo or UTC)
    whole = round((stamp - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6) * 1000
    return whole + TAI_MINUS_UTC_NS


def _part(digits: str | None) -> int:
    return int((digits or "0").ljust(9, "0"))
