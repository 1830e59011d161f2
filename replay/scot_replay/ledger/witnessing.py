"""A witness over HTTP (C2SP tlog-witness), and who asks it."""

from __future__ import annotations

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from scot.clock import machine
from scot.errors import RecordingError
from scot.note import Verifier
from scot_replay.ledger.checkpoint import cosigned
from scot_replay.ledger.log import Item, Log
from scot_replay.ledger.read import Ledger
from scot_replay.ledger.witness import MAX_REQUEST, Answer, Witness, encode_request

PATH = "/add-checkpoint"
PATIENCE_S = 10.0
TRIES = 4


def server(witness: Witness, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that answers for a witness; `serve_forever` runs it.

    Raises:
        OSError: the address cannot be bound.
    """
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        """Answers ``POST /add-checkpoint``; one at a time has the witness."""

        timeout = PATIENCE_S  # of a peer that says nothing
        server_version, sys_version = "scot-witness", ""

        def do_POST(self) -> None:
            size = self.headers.get("Content-Length", "")
            if not self.path.endswith(PATH):
                self._say(Answer(404, b"POST to /add-checkpoint\n"))
            elif not size.isdigit() or int(size) > MAX_REQUEST:
                self._say(Answer(400, f"a body has at most {MAX_REQUEST} B\n".encode()))
            else:
                request = self.rfile.read(int(size))
                try:
                    with turn:
                        answer = witness.add(request, machine.utc_ns() // 1_000_000_000)
                except OSError as error:
                    answer = Answer(500, f"the witness cannot write: {error.strerror}\n".encode())
                if answer.status == 422:
                    self.log_error("%s", answer.body.decode().strip())
                self._say(answer)

        def _say(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing of what is as it should be."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server((host, port), Handler)


class Witnessed(NamedTuple):
    """What a witness cosigned: which tree, how many entries of it, and when (UTC, s)."""

    origin: str
    size: int
    at_s: int


def ask(path: Path, url: str, witness: Verifier, believed: list[Verifier]) -> Witnessed:
    """Have the last checkpoint of a tree cosigned, and keep that in its file.

    Args:
        path: of a recording's ledger, or of a site's log.
        url: of the witness.
        witness: its public key.
        believed: who signs the tree; by default who a recording's ledger names.

    Raises:
        RecordingError: it has no checkpoint, the witness refuses it, or cannot be reached.
    """
    ledger = Ledger(path.read_bytes(), path, believed)
    if not ledger.covered or ledger.faults:
        why = ledger.faults[0][2] if ledger.faults else "no checkpoint is signed yet"
        raise RecordingError(f"{path}: {why}; the witness was not asked")
    old = 0
    for _ in range(TRIES):
        proof = ledger.proof(old) if old else []
        status, body = post(f"{url.rstrip('/')}{PATH}", encode_request(old, proof, ledger.last))
        text = body.decode("utf-8", "replace").strip()
        if status == 200:
            return _kept(path, ledger, body, witness, url)
        if status != 409:
            raise RecordingError(f"the witness at {url} refuses {ledger.origin} ({status}): {text}")
        if not text.isdigit() or int(text) > ledger.covered:
            raise RecordingError(
                f"the witness at {url} has seen {text[:40]} entries of {ledger.origin}, here are "
                f"{ledger.covered}: this one was cut back, or another history was shown"
            )
        old = int(text)
    raise RecordingError(f"the witness at {url} is asked by others all the time; try again")


def _kept(path: Path, ledger: Ledger, line: bytes, witness: Verifier, url: str) -> Witnessed:
    note = ledger.last + line
    said = cosigned(note, witness)
    if said is None:
        raise RecordingError(
            f"the answer of {url} is not signed by {witness.name}; give the key of that witness"
        )
    log = Log(path)
    with log.turn():
        log.add(Item.CHECKPOINT, note)
    return Witnessed(ledger.origin, ledger.covered, said.at_s)


def post(url: str, body: bytes, type_: str = "text/plain") -> tuple[int, bytes]:
    """Send a body and return status and answer, of `MAX_REQUEST` bytes at most.

    Raises:
        RecordingError: it is no address, or cannot be reached.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RecordingError(f"{url} is no address; write http://HOST:PORT")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname, parts.port, timeout=PATIENCE_S)
        try:
            connection.request("POST", parts.path or "/", body, {"Content-Type": type_})
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_REQUEST)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RecordingError(f"{url} cannot be reached: {error}") from None
