"""The ways of a simulated network: what passes, how long it takes, what waits in a cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from scot_replay.sim.world import MS, Life

if TYPE_CHECKING:
    from scot_replay.sim.network import Network, Port

Parts = Sequence[bytes]
RETRANSMIT_NS = 1_600 * MS  # TCP waits up to twice as long as before between two tries


class Way:
    """One direction of one host's link to the broker.

    Attributes:
        cut: nothing passes.
        delay_ns, jitter_ns: of each message.
        ns_per_byte: of a slow link.
    """

    def __init__(self) -> None:
        self.cut = False
        self.delay_ns = 200_000
        self.jitter_ns = 100_000
        self.ns_per_byte = 0
        self.since_ns = 0  # when `cut` last changed
        self.busy_ns = 0
        self.streams: list[Stream] = []


class Link:
    """One host's link to the broker: to it, and back."""

    def __init__(self) -> None:
        self.there = Way()
        self.back = Way()
        self.ports: list[Port] = []

    @property
    def whole(self) -> bool:
        """Whether packets pass both ways."""
        return not (self.there.cut or self.back.cut)


class Ends(Protocol):
    """What a stream tells the side that receives."""

    @property
    def life(self) -> Life | None:
        """The process that receives."""

    def on_message(self, parts: Parts) -> None:
        """A message came."""

    def on_end(self) -> None:
        """The other side has closed, or is silent for too long."""


class Stream:
    """One direction of one connection.

    Args:
        network: it belongs to.
        way: it takes.
        hwm: messages that may wait before TCP; TCP itself takes `network.kernel`.
    """

    __slots__ = ("closed", "due_ns", "end", "hwm", "late", "network", "queue", "sender", "under",
                 "way")  # fmt: skip

    def __init__(self, network: Network, way: Way, hwm: int, sender: Life | None) -> None:
        self.network = network
        self.way = way
        self.hwm = hwm
        self.sender = sender
        self.end: Ends | None = None
        self.under: deque[Parts | None] = deque()  # with TCP; None ends the connection
        self.queue: deque[Parts] = deque()
        self.due_ns = 0
        self.late = 0  # came due while the way was cut or the receiver stopped
        self.closed = False
        way.streams.append(self)

    def push(self, parts: Parts) -> bool:
        """Send a message; False when both queues are full."""
        if len(self.under) < self.network.kernel:
            self._launch(parts)
        elif len(self.queue) < self.hwm:
            self.queue.append(parts)
        else:
            return False
        return True

    def finish(self) -> None:
        """Close the sending side: what TCP has still goes, then the other side learns of it."""
        self.queue.clear()
        self._launch(None)

    def drop(self) -> list[Parts]:
        """Close at once; return what TCP had not been given."""
        self.closed = True
        if self in self.way.streams:
            self.way.streams.remove(self)
        left = list(self.queue)
        self.queue.clear()
        self.under.clear()
        return left

    def release(self, waited_ns: int) -> None:
        """Deliver what could not be, at the latest when TCP tries again after such a wait."""
        late, self.late = self.late, 0
        if late:
            wait_ns = self.network.random.randrange(min(waited_ns, RETRANSMIT_NS) + 1)
            self.network.world.after(wait_ns, None, self._arrive, late)

    def _launch(self, parts: Parts | None) -> None:
        way, world, network = self.way, self.network.world, self.network
        self.under.append(parts)
        left_ns = world.now_ns
        if way.ns_per_byte and parts is not None:
            size = sum(map(len, parts)) + 40
            left_ns = way.busy_ns = max(way.busy_ns, left_ns) + size * way.ns_per_byte
        due_ns = left_ns + way.delay_ns + int(network.random.random() * way.jitter_ns)
        self.due_ns = max(self.due_ns, due_ns)
        world.at(self.due_ns, None, self._arrive, 1)

    def _arrive(self, count: int) -> None:
        if self.closed:
            return
        end = self.end
        life = None if end is None else end.life
        if self.way.cut or (life is not None and life.paused):
            self.late += count
            return
        for _ in range(min(count, len(self.under))):
            if not self.under:
                return  # what came closed it
            parts = self.under.popleft()
            if self.queue:
                self._launch(self.queue.popleft())
            if end is None or (life is not None and not life.alive):
                continue
            if parts is None:
                end.on_end()
            else:
                end.on_message(parts)
