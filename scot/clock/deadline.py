"""Waiting on an event loop until an instant, to some ten microseconds.

An event loop's own timers are whole milliseconds. Linux has a descriptor that becomes readable at a
given reading of the monotonic clock (timerfd_create(2)), which every loop can wait for.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time

_MONOTONIC = 1
_NONBLOCK = 0o4000
_CLOEXEC = 0o2000000
_ABSOLUTE = 1
_SECOND_NS = 1_000_000_000


class _Setting(ctypes.Structure):
    """struct itimerspec: interval, then value, each in seconds and nanoseconds."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class Deadline:
    """One waiter's deadlines, one after the other; close it.

    Where the system has no such descriptor it waits with the loop's own timers.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._fd = -1
        if self._libc is not None:
            self._fd = self._libc.timerfd_create(_MONOTONIC, _NONBLOCK | _CLOEXEC)

    async def until(self, due_ns: int) -> None:
        """Return when the monotonic clock reads `due_ns`, at once when it has."""
        left_ns = due_ns - time.monotonic_ns()
        if left_ns <= 0:
            return
        if self._fd < 0 or self._libc is None:
            await asyncio.sleep(left_ns / _SECOND_NS)
            return
        loop = asyncio.get_running_loop()
        due = loop.create_future()
        setting = _Setting(0, 0, *divmod(due_ns, _SECOND_NS))
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(setting), None)

        def reached() -> None:
            if not due.done():
                due.set_result(None)

        loop.add_reader(self._fd, reached)
        try:
            await due
        finally:
            loop.remove_reader(self._fd)
            try:
                os.read(self._fd, 8)
            except BlockingIOError:
                pass  # given up before it was due

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
