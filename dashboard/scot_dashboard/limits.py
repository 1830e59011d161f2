"""How often somebody may do something. No I/O, no clock."""

from __future__ import annotations

from collections import OrderedDict

MAX_NAMES = 1024


class Limiter:
    """A bucket of tokens for each name; the least recent name is forgotten first.

    Args:
        burst: how many at once.
        every_ns: one more each.
    """

    def __init__(self, burst: int, every_ns: int) -> None:
        self.burst = burst
        self.every_ns = every_ns
        self._full_at: OrderedDict[str, int] = OrderedDict()  # when the bucket is full again, ns

    def take(self, name: str, now_ns: int) -> int:
        """Take one token; return 0, or in how many whole seconds there is one."""
        full_at_ns = max(self._full_at.pop(name, now_ns), now_ns) + self.every_ns
        over_ns = full_at_ns - now_ns - self.burst * self.every_ns
        if over_ns > 0:
            self._full_at[name] = full_at_ns - self.every_ns
            return -(-over_ns // 1_000_000_000)
        self._full_at[name] = full_at_ns
        while len(self._full_at) > MAX_NAMES:
            self._full_at.popitem(last=False)
        return 0
