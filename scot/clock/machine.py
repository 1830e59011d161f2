"""The machine's own clocks. Nothing outside `scot.clock` may read time any other way."""

from __future__ import annotations

import asyncio
import time

TAI_MINUS_UTC_NS = 37_000_000_000
"""TAI − UTC since 2017-01-01 (IERS Bulletin C 52); bus time counts it, so it reads like TAI."""

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
