"""Sockets: one security profile, and a plain socket drained from the event loop's reader."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import zmq

from scot.bus.keys import KeyPair, Link
from scot.codec import MAX_BULK, MAX_CONTROL, Frame, pack
from scot.errors import BusError

DOMAIN = b"scot"
PREFIX_BYTES = 1 << 10  # to an XPUB: a handshake's command, then one prefix a message
CONTROL_BYTES = 64 << 10
DATA_BYTES = MAX_CONTROL + 4096  # a payload, what stands before it, and the box around both
BULK_BYTES = MAX_BULK + 4096
HANDSHAKE_MS = 5_000  # four round trips; a link of 400 ms that loses packets needs three seconds
DEAD_MS = 2_000  # a peer whose host has not acknowledged for so long is gone
PROBE_S = 1  # of a connection on which nothing is under way
CONNECT_MS = 2_000  # else a SYN into a cut link is tried after 1, 3, 7, 15, 31 and 63 s only
BATCH = 256
BOUNDS = (  # option, least, most; 0 and -1 mean without limit
    (zmq.SocketOption.MAXMSGSIZE, 1, BULK_BYTES),
    (zmq.SocketOption.SNDHWM, 1, 100_000),
    (zmq.SocketOption.RCVHWM, 1, 100_000),
    (zmq.SocketOption.HANDSHAKE_IVL, 1, 10_000),
    (zmq.SocketOption.TCP_KEEPALIVE, 1, 1),
    (zmq.SocketOption.TCP_KEEPALIVE_IDLE, 1, 10),
    (zmq.SocketOption.TCP_MAXRT, 1, 60_000),
)
LOW_DELAY = 0x90  # DSCP AF42 (RFC 4594); its low-delay bit is what Linux's default queue sorts by
NOW = int(zmq.NOBLOCK)  # as plain integers: an enum's | costs as much as a send
EVENTS = int(zmq.EVENTS)
IN = int(zmq.POLLIN)
MINIMUM = (4, 3, 5)

MessageT = TypeVar("MessageT")


class _Context(zmq.Context["zmq.Socket[bytes]"]):
    """A context that never waits for its sockets when it is collected.

    pyzmq would: whatever a test or a crash left behind with an open socket then stopped the whole
    process for ever, because the socket may be collected after its context.
    """

    def __del__(self) -> None:
        """Leave what is left to the end of the process; `term` closes in order."""


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a new context, after checking what libzmq can do.

    Raises:
        BusError: libzmq is too old or was built without CURVE.
    """
    if zmq.zmq_version_info() < MINIMUM or not zmq.has("curve"):
        raise BusError(
            f"libzmq {zmq.zmq_version()}, CURVE {zmq.has('curve')}: 4.3.5 with CURVE is needed; "
            "install the pyzmq wheel from PyPI"
        )
    return _Context()


def profile(sock: zmq.Socket[bytes], max_bytes: int, hwm: int) -> None:
    """Set what every socket has in common (DESIGN §4).

    Dead peers are the kernel's to find (TCP_USER_TIMEOUT, keep-alive): libzmq's own heartbeats
    end the process when a peer dies while its input waits for us.
    """
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.MAXMSGSIZE, max_bytes)
    sock.setsockopt(zmq.SNDHWM, hwm)
    sock.setsockopt(zmq.RCVHWM, hwm)
    sock.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
    sock.setsockopt(zmq.TCP_KEEPALIVE_IDLE, PROBE_S)
    sock.setsockopt(zmq.TCP_KEEPALIVE_INTVL, PROBE_S)
    sock.setsockopt(zmq.TCP_KEEPALIVE_CNT, DEAD_MS // (1_000 * PROBE_S))
    sock.setsockopt(zmq.TCP_MAXRT, DEAD_MS)
    sock.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
    sock.setsockopt(zmq.RECONNECT_IVL, 50)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)


def rank(sock: zmq.Socket[bytes], name: str) -> None:
    """Let signals overtake video where they share a link: all but video ask for low delay."""
    if not name.startswith("bulk"):
        sock.setsockopt(zmq.TOS, LOW_DELAY)


def serve(sock: zmq.Socket[bytes], pair: KeyPair, max_bytes: int, hwm: int) -> None:
    """Make a socket a CURVE server inside our ZAP domain, before it binds."""
    profile(sock, max_bytes, hwm)
    sock.curve_server = True
    sock.curve_secretkey = pair.secret.encode()
    sock.curve_publickey = pair.public.encode()
    sock.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def assert_secure(sock: zmq.Socket[bytes], name: str) -> None:
    """Check, after it was bound, that a socket has the profile of DESIGN §4.

    Raises:
        BusError: it would admit somebody without a key, or let one peer take without bound.
    """
    if sock.getsockopt(zmq.MECHANISM) != zmq.CURVE or not sock.getsockopt(zmq.CURVE_SERVER):
        raise BusError(f"socket {name} is not protected by CURVE; refusing to start")
    if sock.getsockopt(zmq.ZAP_DOMAIN) != DOMAIN or not sock.getsockopt(zmq.ZAP_ENFORCE_DOMAIN):
        raise BusError(
            f"socket {name} is not protected by our gate (ZAP domain "
            f"{sock.getsockopt(zmq.ZAP_DOMAIN)!r}, must be {DOMAIN!r} and enforced); "
            "refusing to start"
        )
    for option, least, most in BOUNDS:
        value = int(sock.getsockopt(option))
        if not least <= value <= most:
            raise BusError(
                f"socket {name}: {option.name} is {value}, must be {least} to {most}; "
                "refusing to start"
            )


def connect(sock: zmq.Socket[bytes], link: Link, socket: str, max_bytes: int, hwm: int) -> None:
    """Connect a socket to one of the broker's, proving who we are."""
    profile(sock, max_bytes, hwm)
    rank(sock, socket)
    sock.curve_serverkey = link.endpoints.server.encode()
    sock.curve_secretkey = link.pair.secret.encode()
    sock.curve_publickey = link.pair.public.encode()
    sock.connect(link.endpoints.url(socket))


CONNECTED = {  # most bytes of a message from the broker, messages that may queue up
    "query": (BULK_BYTES, 1024),
    "ctl_in": (CONTROL_BYTES, 1024),
    "bulk_in": (CONTROL_BYTES, 64),
    "ctl_out": (DATA_BYTES, 20_000),
    "bulk_out": (BULK_BYTES, 256),
}


def dealer(context: zmq.Context[zmq.Socket[bytes]], link: Link, name: str) -> zmq.Socket[bytes]:
    """Return a socket that talks to the broker's ``query``, ``ctl_in`` or ``bulk_in``.

    To publish, it keeps one routing id over its connections, so that a reconnect keeps its count.
    """
    sock = context.socket(zmq.DEALER)
    if name != "query":
        sock.setsockopt(zmq.ROUTING_ID, b"\1" + os.urandom(16))
    connect(sock, link, name, *CONNECTED[name])
    return sock


def subscriber(context: zmq.Context[zmq.Socket[bytes]], link: Link, name: str) -> zmq.Socket[bytes]:
    """Return a socket to hear the broker's ``ctl_out`` or ``bulk_out`` on."""
    sock = context.socket(zmq.SUB)
    connect(sock, link, name, *CONNECTED[name])
    return sock


def plain_send(sock: zmq.Socket[bytes]) -> Callable[[bytes | zmq.Frame, int], Any]:
    """Return libzmq's send of one part: a `Socket.send` that knows no draft sockets.

    pyzmq's own looks first for what only those have, for as long as the sending itself takes.
    """
    send: Any = super(zmq.Socket, sock).send
    found: Callable[[bytes | zmq.Frame, int], Any] = send
    return found


def send_frames(send: Callable[[bytes, int], Any], frames: Sequence[Frame]) -> int:
    """Send samples in order, without waiting; return how many the queue took.

    Args:
        send: `plain_send` of the socket.
        frames: the samples.
    """
    sent = 0
    try:
        for frame in frames:
            send(pack(frame), NOW)
            sent += 1
    except zmq.Again:
        pass
    return sent


def receive_samples(sock: zmq.Socket[bytes]) -> tuple[list[bytes], bool]:
    """Return the samples that are there, at most `BATCH`, and whether there may be more.

    Each has one part; of what has more, each part is taken for a sample, and none is one.
    """
    recv = sock.recv
    batch: list[bytes] = []
    add = batch.append
    try:
        for _ in range(BATCH):
            add(recv(NOW))
    except zmq.Again:
        return batch, False
    return batch, True


def receive(sock: zmq.Socket[bytes]) -> tuple[list[list[bytes]], bool]:
    """Return the messages that are there, at most `BATCH`, and whether there may be more."""
    recv = sock.recv
    batch: list[list[bytes]] = []
    try:
        while len(batch) < BATCH:
            frame = recv(NOW, False)
            parts = [frame.bytes]
            while frame.more:
                frame = recv(NOW, False)
                parts.append(frame.bytes)
            batch.append(parts)
    except zmq.Again:
        return batch, False
    return batch, True


class Drained(Generic[MessageT]):
    """A plain socket on the event loop: its messages come in batches, in order.

    ZeroMQ's descriptor is edge-triggered, so every send looks again for input.

    Args:
        sock: connected.
        on_batch: gets what `take` returned; called on the loop.
        take: `receive` or `receive_samples`.
    """

    def __init__(
        self,
        sock: zmq.Socket[bytes],
        on_batch: Callable[[list[MessageT]], None],
        take: Callable[[zmq.Socket[bytes]], tuple[list[MessageT], bool]],
    ) -> None:
        self.sock = sock
        self._send = plain_send(sock)
        self._closed = False
        self._on_batch = on_batch
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._fd = int(sock.getsockopt(zmq.FD))
        self._waking = False
        self._loop.add_reader(self._fd, self._wake)
        self._look()

    def send_all(self, frames: Sequence[Frame]) -> int:
        """Send samples in order; return how many the queue took."""
        sent = send_frames(self._send, frames)
        if not self._waking:
            self._look()
        return sent

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send without waiting; False when the queue is full."""
        try:
            self.sock.send_multipart(parts, NOW, copy=True)
            sent = True
        except zmq.Again:
            sent = False
        self._look()
        return sent

    def close(self) -> None:
        """Leave the loop and close."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            self.sock.close(linger=200)

    def _look(self) -> None:
        """Look for input soon: sending may have swallowed the descriptor's sign of it."""
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._peek)

    def _peek(self) -> None:
        self._waking = False
        if not self._closed and int(self.sock.getsockopt(EVENTS)) & IN:
            self._wake()

    def _wake(self) -> None:
        if self._closed:
            return
        batch, more = self._take(self.sock)
        if more:
            self._look()
        if batch:
            self._on_batch(batch)
