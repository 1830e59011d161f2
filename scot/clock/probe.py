"""Probes: four readings of two clocks in one exchange, and their messages.

A client reads t1 and sends; the service reads t2 on receipt and t3 before it answers; the client
reads t4 on receipt. t1 and t4 are the client's monotonic ns, t2 and t3 the broker's. The client
returns all four in its *next* request, so that the service, which records them, estimates. There
are two ways: over ZeroMQ, and in datagrams (`scot.clock.sealed`).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from scot.clock.busmap import BusMap
from scot.errors import UNREADABLE, RemoteProtocolError

_Ns = Annotated[int, Meta(ge=0, le=2**63 - 1)]
MAX_RTT_NS = 10_000_000_000
MAX_INSTANCE = 16
ZMQ, UDP = "zmq", "udp"

BURST = 20
BURST_EVERY_NS = 50_000_000
EARLY = 240
EARLY_EVERY_NS = 125_000_000
EVERY_NS = 250_000_000


class Probe(msgspec.Struct, frozen=True, array_like=True):
    """One complete exchange; all in ns."""

    t1_ns: _Ns
    t2_ns: _Ns
    t3_ns: _Ns
    t4_ns: _Ns

    @property
    def rtt_ns(self) -> int:
        """Time on the way, both ways together."""
        return (self.t4_ns - self.t1_ns) - (self.t3_ns - self.t2_ns)


class Request(msgspec.Struct, frozen=True, array_like=True):
    """Client to service: its reading, and the previous exchange whole.

    Attributes:
        instance: tells apart the processes that have one key, and is the same by both ways.
    """

    t1_ns: _Ns
    previous: Probe | None
    instance: Annotated[bytes, Meta(max_length=MAX_INSTANCE)] = b""


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """Service to client: both readings, and the map from the client's clock to bus time."""

    t1_ns: _Ns
    t2_ns: _Ns
    t3_ns: _Ns
    map: BusMap | None


def every_ns(sent: int) -> int:
    """Return how long after its `sent`-th probe, the first being 1, a client sends the next.

    Twenty in the first second, then eight a second for half a minute, in which a skew that nobody
    knows yet is most of the error; then four a second. Each to be dithered.
    """
    if sent < BURST:
        return BURST_EVERY_NS
    return EARLY_EVERY_NS if sent < BURST + EARLY else EVERY_NS


_encoder = msgspec.msgpack.Encoder()
_request = msgspec.msgpack.Decoder(Request)
_reply = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Return the bytes of a message."""
    return _encoder.encode(message)


def read_request(data: bytes) -> Request:
    """Return the checked request.

    Raises:
        RemoteProtocolError: malformed, or times that no exchange can have.
    """
    try:
        request = _request.decode(data)
    except UNREADABLE as error:
        raise RemoteProtocolError(f"bad clock probe: {error}") from None
    probe = request.previous
    if probe is not None:
        ordered = probe.t1_ns <= probe.t4_ns and probe.t2_ns <= probe.t3_ns
        if not ordered or not 0 <= probe.rtt_ns <= MAX_RTT_NS:
            raise RemoteProtocolError(
                f"impossible clock probe {msgspec.structs.astuple(probe)}: round trip "
                f"{probe.rtt_ns} ns (0 to {MAX_RTT_NS})"
            )
    return request


def read_reply(data: bytes) -> Reply:
    """Return the reply.

    Raises:
        RemoteProtocolError: malformed.
    """
    try:
        return _reply.decode(data)
    except UNREADABLE as error:
        raise RemoteProtocolError(f"bad clock reply: {error}") from None
