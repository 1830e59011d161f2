"""Which of a broker's sockets take a key's CURVE handshake: asked by ``scot doctor``."""

from __future__ import annotations

import zmq

from scot.bus.keys import PORTS, Link
from scot.bus.socket import CONTROL_BYTES, connect, context

OUT = frozenset({"ctl_out", "bulk_out"})


def reached(link: Link, within_ms: int = 2_000) -> set[str]:
    """Return the names of the sockets with which a handshake succeeded in time.

    A ZeroMQ socket speaks one mechanism, and the handshake proves the broker's key as well as ours:
    what is named here asks everybody for CURVE. Nothing is sent.
    """
    found: set[str] = set()
    ctx = context()
    poller = zmq.Poller()
    monitors: dict[zmq.Socket[bytes], str] = {}
    sockets: list[zmq.Socket[bytes]] = []
    try:
        for name in PORTS:
            sock = ctx.socket(zmq.SUB if name in OUT else zmq.DEALER)
            monitor = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            sockets.append(sock)
            monitors[monitor] = name
            poller.register(monitor, zmq.POLLIN)
            connect(sock, link, name, CONTROL_BYTES, 1)
        while len(found) < len(PORTS) and (ready := poller.poll(within_ms)):
            for monitor, _ in ready:
                monitor.recv_multipart()
                poller.unregister(monitor)
                found.add(monitors[monitor])
        return found
    finally:
        for sock in (*monitors, *sockets):
            sock.close(linger=0)
        ctx.term()
