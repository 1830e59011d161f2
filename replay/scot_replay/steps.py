"""One sample on, or back: where the next picture, number or word of a channel lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scot.errors import ConfigError
from scot_replay.found import Found

if TYPE_CHECKING:
    from scot_replay.cast import Played

FIRST_NS = 2_000_000_000
MOST_NS = 4_000_000_000_000


def step_to(recording: Played, address: str, at_ns: int, count: int) -> int:
    """Return the recorded instant of the `count`-th sample of a channel after `at_ns`.

    Args:
        recording: that is played.
        address: of the channel.
        at_ns: recorded instant; a sample of that very instant is where we stand.
        count: negative looks back. Past the end is the first or the last sample.

    Raises:
        ConfigError: the recording has no such channel, or there are no samples of it.
    """
    known = recording.channels.get(address)
    if known is None or not known.count or known.first_ns is None or known.last_ns is None:
        have = ", ".join(a for a, one in recording.channels.items() if one.count)
        what = f"{address!r} has no samples here" if address else "there is no video to step"
        raise ConfigError("player", "of", what, f"name one of {have}")
    first_ns, last_ns = known.first_ns, known.last_ns
    reach_ns = FIRST_NS
    while True:
        if count > 0:
            span = at_ns + 1, min(at_ns + reach_ns, last_ns) + 1
        else:
            span = max(at_ns - reach_ns, first_ns), at_ns
        found: list[Found] = list(recording.stream([address], span)) if span[0] < span[1] else []
        times = sorted({one.bus_ns for one in found})
        if len(times) >= abs(count):
            return times[count - 1] if count > 0 else times[count]
        if span[1] > last_ns and count > 0:
            return max(at_ns, last_ns)
        if count < 0 and span[0] <= first_ns:
            return min(at_ns, first_ns)
        reach_ns = min(reach_ns * 8, MOST_NS)
