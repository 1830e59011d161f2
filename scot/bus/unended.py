"""Messages that are never ended: what a connection has sent since it last said something whole.

libzmq hands a message over when its last part has come, keeps the parts until then, and counts
messages: parts without end would fill the memory. Nobody's message is that large. Sans-IO.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from scot.bus.crowd import Arrival

MOST_BYTES = 64 << 20  # twice what an answer of History may have
LATE = 3  # looks, a tenth of a second each: for so long what has come whole may wait to be taken


class Unended:
    """Follows what each connection has received."""

    def __init__(self) -> None:
        self._heard: dict[bytes, tuple[int, int]] = {}  # by mark: bytes when it spoke, looks since

    def look(self, received: Iterable[tuple[Arrival, int]], spoke: set[bytes]) -> list[Arrival]:
        """Return the connections to end.

        Args:
            received: some of the live connections, and the bytes that have come over each so far.
            spoke: marks of those from which a message was taken; those looked at are taken out.
        """
        endless: list[Arrival] = []
        for one, size in received:
            before, looks = self._heard.get(one.mark, (0, 0))
            if one.mark in spoke:
                spoke.discard(one.mark)
                self._heard[one.mark] = (size, 0)
                continue
            over = size - before > MOST_BYTES
            self._heard[one.mark] = (before, looks + 1 if over else 0)
            if over and looks + 1 >= LATE:
                endless.append(one)
        return endless

    def keep(self, live: Set[bytes]) -> None:
        """Forget every connection but these."""
        for mark in self._heard.keys() - live:
            del self._heard[mark]
