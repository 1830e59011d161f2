"""Who may enter: our own ZAP handler (RFC 27), default deny, which no exception can stop."""

from __future__ import annotations

import logging

import zmq
from zmq.utils import z85

from scot.access import Roster
from scot.bus.socket import DOMAIN

log = logging.getLogger(__name__)


class Gate:
    """Answers libzmq's question about every handshake.

    The User-Id it returns is the grant's name, which libzmq attaches to each frame of the
    connection.

    Attributes:
        admitted, refused: counts since start.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], roster: Roster) -> None:
        self.roster = roster
        self.admitted = 0
        self.refused = 0
        self.sock = context.socket(zmq.ROUTER)
        self.sock.setsockopt(zmq.LINGER, 0)
        self.sock.bind("inproc://zeromq.zap.01")

    def answer(self) -> None:
        """Answer every waiting question."""
        while True:
            try:
                parts = self.sock.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            cut = parts.index(b"") + 1 if b"" in parts else len(parts)
            envelope, question = parts[:cut], parts[cut:]
            try:
                verdict = self._judge(question)
            except Exception:
                log.exception("refused a handshake that could not be judged")
                verdict = [b"500", b"internal error", b"", b""]
            request_id = question[1] if len(question) > 1 else b""
            self.sock.send_multipart([*envelope, b"1.0", request_id, *verdict])

    def _judge(self, question: list[bytes]) -> list[bytes]:
        version, _, domain, address, _, mechanism, *credentials = question
        if version == b"1.0" and domain == DOMAIN and mechanism == b"CURVE" and credentials:
            grant = self.roster.keys.get(z85.encode(credentials[0]).decode())
            if grant is not None:
                self.admitted += 1
                return [b"200", b"OK", grant.name.encode(), b""]
        self.refused += 1
        log.warning("refused a stranger from %s", address.decode("ascii", "replace"))
        return [b"400", b"not on the roster", b"", b""]
