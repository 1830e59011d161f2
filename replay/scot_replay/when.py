"""An instant as a person types it, or as Python has it: from a recording's start, or UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np

from scot.errors import RecordingError
from scot.timestamp import TAI_MINUS_UTC_NS

Instant: TypeAlias = int | str | datetime | timedelta | np.datetime64 | np.timedelta64
"""Bus ns; ``"01:12:30"`` from the start (``"-00:05:00"``: before the end); UTC in ISO 8601; a
`datetime` or pandas Timestamp (UTC when it names no zone); a `timedelta` from the start."""

_CLOCK = re.compile(r"^(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?$")
_SECONDS = re.compile(r"^(\d+)(?:\.(\d{1,9}))?s?$")
_FINE = re.compile(r"\.\d{7,}")  # finer than a datetime
LIMIT_NS = 2**63
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
        if int(seconds) > 59 or (hours and int(minutes) > 59):
            raise RecordingError(f"{text!r} has 60 minutes or seconds, or more; {HOW}")
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


def bus_ns(at: Any, first_ns: int, last_ns: int) -> int:
    """Return the bus time of an `Instant`, in a recording from `first_ns` to `last_ns`.

    Raises:
        RecordingError: it is none: no time, NaT, or beyond what bus time can say.
    """
    if at != at:  # noqa: PLR0124 - NaT, which is of every type of time
        raise RecordingError(f"{at!r} is no time in a recording; {HOW}")
    try:
        found = _bus_ns(at, first_ns, last_ns)
    except (ValueError, OverflowError) as error:
        raise RecordingError(f"{at!r} is no time in a recording: {error}; {HOW}") from None
    if not -LIMIT_NS <= found < LIMIT_NS:
        raise RecordingError(f"{at!r} is beyond what bus time can say, 292 years around 1970")
    return found


def _bus_ns(at: Any, first_ns: int, last_ns: int) -> int:
    if isinstance(at, timedelta | np.timedelta64):
        return first_ns + _length_ns(at)
    if isinstance(at, int | np.integer) and not isinstance(at, bool):
        return int(at)
    if isinstance(at, str):
        text = at.strip()
        if text.startswith("-"):
            return last_ns - instant(text[1:], 0)
        if _CLOCK.match(text) or not _FINE.search(text):
            return instant(text, first_ns)
    elif not isinstance(at, datetime | np.datetime64):
        raise RecordingError(f"{at!r} is no time in a recording; {HOW}, or bus ns as int")
    import pandas as pd  # takes half a second, which a script without tables need not wait

    try:
        stamp = pd.Timestamp(at)
        stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
        return int(stamp.as_unit("ns").value) + TAI_MINUS_UTC_NS
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise RecordingError(f"{at!r} is no time in a recording: {error}; {HOW}") from None


def stretch(between: Any, first_ns: int, last_ns: int) -> tuple[int, int]:
    """Return from (inclusive) and to (exclusive) as bus ns; None stands for the start or the end.

    Raises:
        RecordingError: a limit is no time, or no time lies between them.
    """
    if between is None:
        return first_ns, last_ns + 1
    try:
        start, end = between
    except (TypeError, ValueError):
        raise RecordingError(f"between={between!r} is no pair of times; {HOW}") from None
    from_ns = first_ns if start is None else bus_ns(start, first_ns, last_ns)
    to_ns = last_ns + 1 if end is None else bus_ns(end, first_ns, last_ns)
    if from_ns >= to_ns:
        raise RecordingError(f"between {start} and {end} lies no time")
    return from_ns, to_ns


def duration_ns(length: Any, what: str) -> int:
    """Return a length of time, such as ``1s``, ``20ms`` or a `timedelta`, in ns.

    Raises:
        RecordingError: it is none, or not above 0.
    """
    import pandas as pd

    try:
        ns = int(pd.Timedelta(length).as_unit("ns").value)
    except (ValueError, TypeError, OverflowError, AttributeError):  # NaT has no unit
        ns = 0
    if ns <= 0:
        raise RecordingError(f"{what}={length!r} is no length of time; write '1s', '20ms', '5min'")
    return ns


def since_start(bus_ns: int, first_ns: int) -> str:
    """Return how long after the start something was, as ``01:12:30.500``."""
    sign, ns = ("-", first_ns - bus_ns) if bus_ns < first_ns else ("", bus_ns - first_ns)
    seconds, ms = divmod(ns // 1_000_000, 1_000)
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def _length_ns(length: timedelta | np.timedelta64) -> int:
    if isinstance(length, np.timedelta64):
        return int(length.astype("m8[ns]").astype(np.int64))
    fine = getattr(length, "nanoseconds", 0)  # of a pandas Timedelta
    whole = (length.days * 86_400 + length.seconds) * 1_000_000_000 + length.microseconds * 1_000
    return whole + int(fine)
