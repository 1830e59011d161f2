"""The six sockets that a broker binds: what kind each is, and what it takes at most."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from scot.bus.keys import Endpoints, KeyPair
from scot.bus.socket import (
    BULK_BYTES,
    CONTROL_BYTES,
    DATA_BYTES,
    PREFIX_BYTES,
    assert_secure,
    rank,
    serve,
)
from scot.errors import RoomError

OUT = {"ctl_in": "ctl_out", "bulk_in": "bulk_out"}
HWM = {"ctl_in": 4096, "ctl_out": 8192, "bulk_in": 64, "bulk_out": 96, "query": 1024, "probe": 256}
LIMIT = {
    "query": BULK_BYTES,
    "probe": CONTROL_BYTES,
    "ctl_in": DATA_BYTES,
    "bulk_in": BULK_BYTES,
    "ctl_out": PREFIX_BYTES,
    "bulk_out": PREFIX_BYTES,
}
KIND = {
    "ctl_in": zmq.ROUTER,
    "ctl_out": zmq.XPUB,
    "bulk_in": zmq.ROUTER,
    "bulk_out": zmq.XPUB,
    "query": zmq.ROUTER,
    "probe": zmq.ROUTER,
}


def bind(
    context: zmq.Context[zmq.Socket[bytes]],
    name: str,
    endpoints: Endpoints,
    pair: KeyPair,
    watch: Callable[[str, zmq.Socket[bytes]], None],
) -> zmq.Socket[bytes]:
    """Return a socket that listens.

    Args:
        context: the broker's, with two threads.
        name: of `KIND`.
        endpoints: where.
        pair: the broker's keys.
        watch: told of the socket before it listens, so that no handshake is missed.

    Raises:
        RoomError: the port is busy.
        BusError: it would not be secure.
    """
    sock = context.socket(KIND[name])
    rank(sock, name)
    serve(sock, pair, LIMIT[name], HWM[name])
    # libzmq's thread that enciphers signals has no pictures, questions or their handshakes
    sock.setsockopt(zmq.AFFINITY, 1 if name.startswith("ctl") else 2)
    if name in OUT:
        sock.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a publisher that reconnects keeps its count
    if KIND[name] == zmq.XPUB:
        sock.setsockopt(zmq.XPUB_MANUAL, 1)
        sock.setsockopt(zmq.XPUB_VERBOSE, 1)
    watch(name, sock)
    try:
        sock.bind(endpoints.url(name))
    except zmq.ZMQError as error:
        raise RoomError(
            f"cannot listen on {endpoints.url(name)}: {error.strerror}; another room may use "
            "it: stop that one, or choose another [bus] port (0 takes a free one)"
        ) from None
    assert_secure(sock, name)
    return sock
