"""An attacker's ZMTP 3.1 over a plain TCP socket: every byte is ours to choose (RFC 23, 26).

libzmq would not send what an attacker does; this does. CURVE's boxes are PyNaCl's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from nacl.bindings import crypto_box, crypto_box_keypair, crypto_box_open
from zmq.utils import z85

from scot.bus.keys import Endpoints, Link

Claims = dict[bytes, bytes]
Mangle = Callable[[str, bytes], bytes]

ANSWER_S = 5.0
COMMAND, LONG, MORE = 4, 2, 1
INSIDE_COMMAND = 2  # inside CURVE's box


def greeting(mechanism: bytes = b"CURVE", *, server: bool = False, version: int = 3) -> bytes:
    """Return the 64 bytes that open a connection."""
    signature = b"\xff" + bytes(8) + b"\x7f"
    return (
        signature + bytes([version, 1]) + mechanism.ljust(20, b"\0") + bytes([server]) + bytes(31)
    )


def framed(body: bytes, flags: int = 0, size: int | None = None) -> bytes:
    """Return a frame; `size` is what it declares, whatever it holds."""
    declared = len(body) if size is None else size
    if declared > 255 or size is not None:
        return bytes([flags | LONG]) + declared.to_bytes(8, "big") + body
    return bytes([flags, declared]) + body


def ready(socket_type: bytes = b"DEALER", identity: bytes = b"") -> bytes:
    """Return a READY command in clear, as the NULL mechanism has it."""
    return framed(b"\x05READY" + properties(socket_type, identity), COMMAND)


def properties(socket_type: bytes, identity: bytes = b"", more: Claims | None = None) -> bytes:
    """Return the metadata of READY and INITIATE."""
    pairs = {b"Socket-Type": socket_type, b"Identity": identity, **(more or {})}
    return b"".join(
        bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value
        for name, value in pairs.items()
    )


def dial(
    endpoints: Endpoints, name: str, source: str = "", within_s: float = ANSWER_S
) -> socket.socket:
    """Return a TCP connection to one of the broker's sockets; `source`: from which address."""
    place = (endpoints.host, endpoints.ports[name])
    return socket.create_connection(place, within_s, (source, 0) if source else None)


def shout(endpoints: Endpoints, name: str, data: bytes) -> bytes:
    """Send bytes as they are; return what came before the broker hung up or fell silent."""
    with dial(endpoints, name) as raw:
        try:
            raw.sendall(data)
        except OSError:
            pass  # it may hang up before we are done
        return heard(raw, 0.05)


def heard(raw: socket.socket, silence_s: float) -> bytes:
    """Return what comes until the other side hangs up or is silent for so long."""
    raw.settimeout(silence_s)
    answer = b""
    try:
        while data := raw.recv(65536):
            answer += data
    except OSError:
        pass
    return answer


def hung_up(raw: socket.socket, within_s: float = ANSWER_S) -> bool:
    """Whether the other side ends the connection; what it says before is read and dropped."""
    raw.settimeout(within_s)
    try:
        while raw.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def as_it_is(_step: str, data: bytes) -> bytes:
    """Leave the handshake as the protocol has it."""
    return data


class RefusedError(Exception):
    """The broker did not let us in."""


@dataclass
class Attacker:
    """One CURVE connection that keeps to the handshake, and to nothing afterwards.

    Args:
        link: whose key it uses.
        name: the broker's socket.
        socket_type: what it claims to be.
        identity: the routing id it claims.
        claims: further metadata, as a peer may send it.
        mangle: gets the name of each step of the handshake and its bytes, returns what is sent:
            ``greeting``, ``hello``, ``inside`` (of INITIATE, before its box) and ``initiate``.
        patience_s: how long it waits for each answer.
    """

    link: Link
    name: str
    socket_type: bytes = b"DEALER"
    identity: bytes = b""
    claims: Claims = field(default_factory=dict)
    mangle: Mangle = as_it_is
    patience_s: float = ANSWER_S
    raw: socket.socket = field(init=False)
    _public: bytes = field(init=False)
    _secret: bytes = field(init=False)
    _server: bytes = field(init=False)
    _count: int = 0

    def __post_init__(self) -> None:
        """Connect and shake hands.

        Raises:
            RefusedError: the broker hung up.
        """
        self._public, self._secret = crypto_box_keypair()
        self.raw = dial(self.link.endpoints, self.name)
        self.raw.settimeout(self.patience_s)
        try:
            self._shake()
        except (OSError, RefusedError) as error:
            self.raw.close()
            raise RefusedError(str(error)) from None

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()

    def _next(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(8, "big")

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.raw.recv(count - len(data))
            if not more:
                raise RefusedError("the broker hung up")
            data += more
        return data

    def command(self) -> bytes:
        """Return the body of the next frame."""
        (flags,) = self._exactly(1)
        size = int.from_bytes(self._exactly(8 if flags & LONG else 1), "big")
        return self._exactly(size)

    def _shake(self) -> None:
        ours = z85.decode(self.link.pair.public.encode())
        secret = z85.decode(self.link.pair.secret.encode())
        server = z85.decode(self.link.endpoints.server.encode())
        self.raw.sendall(self.mangle("greeting", greeting()))
        self._exactly(64)
        count = self._next()
        box = crypto_box(bytes(64), b"CurveZMQHELLO---" + count, server, self._secret)
        hello = b"\x05HELLO\x01\x00" + bytes(72) + self._public + count + box
        self.raw.sendall(self.mangle("hello", framed(hello, COMMAND)))
        welcome = self.command()
        if not welcome.startswith(b"\x07WELCOME"):
            raise RefusedError(repr(welcome[:40]))
        opened = crypto_box_open(welcome[24:], b"WELCOME-" + welcome[8:24], server, self._secret)
        self._server, cookie = opened[:32], opened[32:]
        nonce = os.urandom(16)
        vouch = crypto_box(self._public + server, b"VOUCH---" + nonce, self._server, secret)
        claimed = properties(self.socket_type, self.identity, self.claims)
        inside = self.mangle("inside", ours + nonce + vouch + claimed)
        count = self._next()
        box = crypto_box(inside, b"CurveZMQINITIATE" + count, self._server, self._secret)
        initiate = framed(b"\x08INITIATE" + cookie + count + box, COMMAND)
        self.raw.sendall(self.mangle("initiate", initiate))
        answer = self.command()
        if not answer.startswith(b"\x05READY"):
            raise RefusedError(repr(answer[:40]))

    def box(self, body: bytes, flags: int = 0) -> bytes:
        """Return one part of a message in its box, unframed."""
        count = self._next()
        inside = bytes([flags]) + body
        return (
            b"\x07MESSAGE"
            + count
            + crypto_box(inside, b"CurveZMQMESSAGEC" + count, self._server, self._secret)
        )

    def send(self, *parts: bytes) -> None:
        """Send one message."""
        data = [
            framed(self.box(part, MORE if number < len(parts) - 1 else 0))
            for number, part in enumerate(parts)
        ]
        self.raw.sendall(b"".join(data))

    def say(self, topic: bytes, header: bytes, payload: bytes) -> None:
        """Send one sample, as the bus has it: one part."""
        self.send(topic + bytes([len(header)]) + header + payload)

    def receive(self) -> list[bytes]:
        """Return the next message; heartbeats are answered and passed over.

        Raises:
            RefusedError: the broker hung up.
            TimeoutError: it is silent.
        """
        parts: list[bytes] = []
        while True:
            body = self.command()
            nonce = b"CurveZMQMESSAGES" + body[8:16]
            inside = crypto_box_open(body[16:], nonce, self._server, self._secret)
            if inside[0] & INSIDE_COMMAND:
                if inside[1:].startswith(b"\x04PING"):
                    self.raw.sendall(framed(self.box(b"\x04PONG" + inside[8:], INSIDE_COMMAND)))
                continue
            parts.append(inside[1:])
            if not inside[0] & MORE:
                return parts
