"""The client's side of the clock probes: what to ask next, by which way, and when. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable

from scot.clock.busmap import BusMap
from scot.clock.probe import (
    MAX_RTT_NS,
    UDP,
    ZMQ,
    Probe,
    Reply,
    Request,
    encode,
    every_ns,
    read_reply,
)
from scot.clock.sealed import ASK, Asking, ProbeKey, seal

FIRST = 3
FIRST_EVERY_NS = 10_000_000
DITHER = 0.2
SILENT_NS = 2_000_000_000
KEY_EVERY_NS = 5_000_000_000
RARELY = 5


class Prober:
    """Asks in a burst for the first second, then ever more rarely, with dither.

    Another burst follows a silence of the service (it, or the way to it, is back) and each new
    epoch of our clock (of whose offset nothing older is left).

    Where datagrams are answered they carry the probes, and every fifth goes over ZeroMQ. Where
    they are not, all go over ZeroMQ, each fifth time a datagram as well, and each `KEY_EVERY_NS` a
    new key is wanted: the broker may be another.

    Attributes:
        instance: names this process among those of its key.
        maps: how many came.
        hurries: a burst is due now.

    Args:
        instance: at most `scot.clock.probe.MAX_INSTANCE` bytes.
        draw: returns a number from 0 to 1; no two clients keep step.
    """

    def __init__(self, instance: bytes, draw: Callable[[], float]) -> None:
        self.instance = instance
        self.maps = 0
        self._draw = draw
        self._epoch: int | None = None
        self._t3_ns = 0
        self._sent = 0  # since the last burst began
        self._turn = 0
        self.hurries = False
        self._last: Probe | None = None
        self._heard_ns: dict[str, int] = {}
        self._asking: Asking | None = None
        self._key_asked_ns: int | None = None

    @property
    def timed(self) -> bool:
        """Whether a few maps came, so that the clock may be used."""
        return self.maps >= FIRST

    @property
    def refused(self) -> int:
        """Datagrams that were no answer to a question of this key."""
        return 0 if self._asking is None else self._asking.refused

    def way(self, now_ns: int) -> str:
        """Return by which way probes go at this reading of our clock."""
        heard_ns = self._heard_ns.get(UDP)
        return UDP if heard_ns is not None and abs(now_ns - heard_ns) <= SILENT_NS else ZMQ

    def ways(self, now_ns: int) -> list[str]:
        """Return by which ways to ask now."""
        self.hurries = False
        self._sent += 1
        self._turn += 1
        rarely = self._turn % RARELY == 0
        if self._asking is None:
            return [ZMQ]
        if self.way(now_ns) == UDP:
            return [ZMQ] if rarely else [UDP]
        return [UDP, ZMQ] if rarely else [ZMQ]

    def rehearse(self, way: str) -> None:
        """Make a request for nothing, before our clock is read for the next.

        A process that slept takes 29 µs to make one, and 3 when it has just made another: all of
        it would count as delay there, and none of it comes back.
        """
        request = encode(Request(self._t3_ns, self._last, self.instance))
        if way == UDP and self._asking is not None:
            seal(self._asking.key, ASK, 0, request)

    def request(self, way: str, now_ns: int) -> bytes:
        """Return what to send at once, by one of `ways`."""
        if way == UDP and self._asking is not None:
            return self._asking.ask(Request(now_ns, self._last))
        return encode(Request(now_ns, self._last, self.instance))

    def wait_ns(self) -> int:
        """Return how long until the next probe."""
        if self._sent <= FIRST + 1 and not self.timed:
            wait_ns = FIRST_EVERY_NS
        else:
            wait_ns = every_ns(self._sent)
        return round(wait_ns * (1 + DITHER * (2 * self._draw() - 1)))

    def retime(self) -> None:
        """Ask in a burst: bus time is known to go on otherwise."""
        self._burst()

    def wants_key(self, now_ns: int) -> bool:
        """Say whether to ask for a probe key now; it is then taken to be asked for."""
        asked_ns = self._key_asked_ns
        if self.way(now_ns) == UDP or (
            asked_ns is not None and abs(now_ns - asked_ns) < KEY_EVERY_NS
        ):
            return False
        self._key_asked_ns = now_ns
        return True

    def take_key(self, key: ProbeKey) -> None:
        """Use a probe key from now on, and try it with the next probe."""
        self._asking = Asking(key)
        self._heard_ns.pop(UDP, None)
        self._turn = RARELY - 1

    def anew(self) -> None:
        """Ask over ZeroMQ and for a new key: there is another broker."""
        self._asking = None
        self._heard_ns.pop(UDP, None)
        self._key_asked_ns = None

    def on_answer(self, way: str, data: bytes, now_ns: int, age_ns: int = 0) -> BusMap | None:
        """Take an answer and return the map to follow, if there is a new one.

        Args:
            way: by which it came.
            data: the answer.
            now_ns: our clock's reading.
            age_ns: for how long it has been here.

        Raises:
            RemoteProtocolError: over ZeroMQ, malformed.
        """
        reply = self._reply(way, data)
        if reply is None:
            return None
        t4_ns = now_ns - age_ns if now_ns - age_ns >= reply.t1_ns else now_ns
        self._heard(way, now_ns)
        if -MAX_RTT_NS < reply.t3_ns - self._t3_ns < 0:
            return None  # a newer one came before it, on the other way
        self._t3_ns = reply.t3_ns
        if 0 <= reply.t1_ns <= t4_ns:
            self._last = Probe(reply.t1_ns, reply.t2_ns, reply.t3_ns, t4_ns)
        if reply.map is not None:
            self._follow(reply.map)
        return reply.map

    def _follow(self, new: BusMap) -> None:
        if self._epoch is not None and new.epoch != self._epoch:
            self._burst()
        self._epoch = new.epoch
        self.maps += 1

    def _reply(self, way: str, data: bytes) -> Reply | None:
        if way == ZMQ:
            return read_reply(data)
        return None if self._asking is None else self._asking.answered(data)

    def _heard(self, way: str, now_ns: int) -> None:
        """Note that the service answers; it may have been away."""
        before_ns = max(self._heard_ns.values(), default=now_ns)
        if now_ns - before_ns > SILENT_NS:
            self._burst()
        self._heard_ns[way] = now_ns

    def _burst(self) -> None:
        self._sent = 0
        self.hurries = True
