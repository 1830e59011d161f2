"""Clock probes over UDP: sockets that know when the kernel got each datagram, at both ends."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable

from scot.bus.keys import Endpoints
from scot.clock.arrival import Arrivals
from scot.clock.clock import Clock
from scot.clock.probe import UDP
from scot.clock.sealed import ANSWER, SIZE, ProbeKeys, seal
from scot.clock.service import ClockService
from scot.errors import ScotError

log = logging.getLogger(__name__)

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the control message has the same number
BUDGET = 16
SAY_EVERY_NS = 60_000_000_000
_TIMESPEC = struct.Struct("@ll")

Address = tuple[str, int] | tuple[str, int, int, int]


class Stamped:
    """A UDP socket that knows for how long each datagram has been here.

    Linux begins to stamp some ms after the machine's first socket asked it to; a datagram before
    that is stamped when it is read, which is late and therefore harmless.

    Args:
        host: to resolve; takes the first address.
        port: of it.
        serve: bind there; connect there otherwise.

    Raises:
        OSError: the address cannot be used.
    """

    def __init__(self, host: str, port: int, *, serve: bool) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE if serve else 0
        )[0]
        self.sock = socket.socket(family, kind, protocol)
        try:
            self.sock.setblocking(False)
            if sys.platform == "linux":
                self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            if serve:
                self.sock.bind(address)
            else:
                self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self.arrivals = Arrivals()

    def receive(self) -> tuple[bytes, Address, int] | None:
        """Return a datagram, its sender and for how long it has been here, ns; None: no more.

        What is longer than a sealed probe comes one byte longer than that, to be refused.
        """
        try:
            data, ancillary, _, sender = self.sock.recvmsg(SIZE + 1, 64)
        except (BlockingIOError, InterruptedError):
            return None
        stamp_ns = None
        for level, kind, value in ancillary:
            if (level, kind, len(value)) == (socket.SOL_SOCKET, SO_TIMESTAMPNS, _TIMESPEC.size):
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                stamp_ns = seconds * 1_000_000_000 + nanoseconds
        return data, sender, self.arrivals.age_ns(stamp_ns)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


class ProbePort:
    """The broker's end: answers whoever holds a probe key, and nobody else.

    A room goes on without it when it cannot listen: probes then go over ZeroMQ.

    Attributes:
        keys: what the desk gives out.
        unsent: answers the machine would not send.

    Args:
        endpoints: where to bind; `probe_udp` 0: nowhere.
        service: estimates.
        clock: the session's.
    """

    def __init__(self, endpoints: Endpoints, service: ClockService, clock: Clock) -> None:
        self.keys = ProbeKeys(os.urandom)
        self.unsent = 0
        self._service, self._clock = service, clock
        self._end: Stamped | None = None
        self._said: Counter[str] = Counter()
        self._say_ns = 0
        host, port = endpoints.host, endpoints.probe_udp
        if port:
            try:
                self._end = Stamped(host, port, serve=True)
            except OSError as error:
                log.warning(
                    "no clock probes over UDP: cannot listen on udp://%s:%d: %s", host, port, error
                )

    @property
    def listening(self) -> bool:
        """Whether it does."""
        return self._end is not None

    def fileno(self) -> int:
        """Return the descriptor to poll for input; −1 when it does not listen."""
        return -1 if self._end is None else self._end.sock.fileno()

    def on_readable(self, budget: int = BUDGET) -> None:
        """Take datagrams up to one that is answered, and at most `budget` of them.

        An estimate takes as long as forwarding fifty samples, which must not wait for several.
        """
        if self._end is None:
            return
        for _ in range(budget):
            try:
                got = self._end.receive()
            except OSError:  # an answer could not be delivered
                continue
            if got is None:
                return
            data, sender, age_ns = got
            if self._answer(self._end, data, sender, self._clock.read() - age_ns):
                return

    def tick(self, now_ns: int) -> None:
        """Say, at most once a minute, what was refused since."""
        if now_ns >= self._say_ns and self.keys.refused != self._said:
            self._say_ns = now_ns + SAY_EVERY_NS
            self._say()

    def close(self) -> None:
        """Close the socket."""
        if self._end is not None:
            self._say()
            self._end.close()
            self._end = None

    def _say(self) -> None:
        new = self.keys.refused - self._said
        self._said = self.keys.refused.copy()
        if new:
            counts = ", ".join(f"{count} {why}" for why, count in sorted(new.items()))
            log.warning("refused clock probes over UDP: %s", counts)

    def _answer(self, end: Stamped, data: bytes, sender: Address, t2_ns: int) -> bool:
        """Answer a datagram; return whether it was worth one."""
        question = self.keys.open(data, t2_ns)
        if question is None:
            return False
        user, place = question.user, question.instance.hex()
        try:
            reply = self._service.on_request(user, place, question.message, t2_ns, UDP)
            end.sock.sendto(seal(question.key, ANSWER, question.number, reply), sender)
        except ScotError as error:  # the service counts it
            log.debug("%s: %s", user, error)
        except OSError:
            self.unsent += 1
        return True


class ProbeEnd:
    """A client's end, on the running loop.

    Args:
        endpoints: where the broker listens.
        on_datagram: gets each datagram and for how long it has been here, ns.

    Raises:
        OSError: no such socket can be had here.
    """

    def __init__(self, endpoints: Endpoints, on_datagram: Callable[[bytes, int], None]) -> None:
        self._end = Stamped(endpoints.host, endpoints.probe_udp, serve=False)
        self._on_datagram = on_datagram
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end.sock.fileno(), self._wake)

    def send(self, datagram: bytes) -> None:
        """Send, or not: nobody is told where UDP does not pass."""
        try:
            self._end.sock.send(datagram)
        except OSError as error:
            log.debug("datagram not sent: %s", error)

    def close(self) -> None:
        """Leave the loop and close."""
        self._loop.remove_reader(self._end.sock.fileno())
        self._end.close()

    def _wake(self) -> None:
        for _ in range(BUDGET):
            try:
                got = self._end.receive()
            except OSError:  # nobody listens there
                continue
            if got is None:
                return
            data, _, age_ns = got
            self._on_datagram(data, age_ns)
