"""The machine's own clocks. Nothing outside `scot.clock` may read time any other way."""

from __future__ import annotations

import asyncio
import time

from scot.timestamp import TAI_MINUS_UTC_NS

__all__ = ["TAI_MINUS_UTC_NS", "monotonic_ns", "monotonic_s", "sleep", "until", "utc_ns"]

monotonic_ns = time.monotonic_ns
utc_ns = time.time_ns
sleep = time.sleep


def monotonic_s() -> float:
    """Monotonic seconds, for limits on waiting."""
    return time.monotonic_ns() / 1e9


async def until(due_ns: int) -> None:
    """Sleep on the event loop until the monotonic clock reads `due_ns`."""
    left_ns = due_ns - time.monotonic_ns()
    await asyncio.sleep(max(0.0, left_ns / 1e9))
