"""A witness: it cosigns a checkpoint only if that follows from the last one it cosigned. No socket.

What it answers are the status codes of C2SP tlog-witness:

=====  ==========================================================================
200    cosigned; the body is the line
400    not a request, or the old size is above the new one
403    no signature by a key that is believed
404    an origin of none of those keys
409    the old size is not what was cosigned last; the body says that, to ask again
422    the proof does not hold: it is not the same history. A fork is kept and named
=====  ==========================================================================
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scot.errors import RecordingError
from scot.note import Signer, Verifier
from scot_replay.layout import sync_directory
from scot_replay.ledger.checkpoint import Checkpoint, cosign, opened
from scot_replay.ledger.merkle import EMPTY, HASH_BYTES, consistent

MAX_REQUEST = 32 << 10
MAX_PROOF = 63
SIZE_TYPE = "text/x.tlog.size"
TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What a witness says: an HTTP status, the body and its type."""

    status: int
    body: bytes
    type: str = TEXT


class Witness:
    """Remembers the last checkpoint of each tree.

    Args:
        folder: of what it remembers; nobody else writes there.
        signer: who cosigns.
        believed: whose trees: those named as the key, or below its name.
    """

    def __init__(self, folder: Path, signer: Signer, believed: Sequence[Verifier]) -> None:
        self.signer = signer
        self._folder = folder
        self._believed = list(believed)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(self, request: bytes, at_s: int) -> Answer:
        """Answer one ``add-checkpoint``; what was cosigned is on the disk before this returns.

        Args:
            request: body of the request; callers take turns.
            at_s: UTC, s.

        Raises:
            OSError: the disk does not take it; nothing was cosigned.
        """
        try:
            old, proof, note = _parse(request)
            told = Checkpoint.parse(note.partition(b"\n\n")[0] + b"\n")
        except (RecordingError, ValueError) as error:
            return Answer(400, f"{error}\n".encode())
        known = [k for k in self._believed if told.origin.startswith(f"{k.name}/")]
        if not known:
            return Answer(404, f"{told.origin}: no key that is believed has this name\n".encode())
        new = next((found for key in known if (found := opened(note, key))), None)
        if new is None:
            return Answer(403, f"{told.origin}: not signed by {known[0].name}\n".encode())
        if old > new.size:
            return Answer(400, f"old size {old} is above {new.size}\n".encode())
        return self._judge(old, proof, note, new, at_s)

    def last(self, origin: str) -> bytes:
        """Return the last note of a tree that was cosigned; empty without one."""
        try:
            return self._path(origin).read_bytes()
        except FileNotFoundError:
            return b""

    def _judge(
        self, old: int, proof: list[bytes], note: bytes, new: Checkpoint, at_s: int
    ) -> Answer:
        seen = Checkpoint(new.origin, 0, EMPTY)
        last = self.last(new.origin)
        if last:
            seen = Checkpoint.parse(last.partition(b"\n\n")[0] + b"\n")
        if old != seen.size:
            return Answer(409, f"{seen.size}\n".encode(), SIZE_TYPE)
        fits = consistent(seen.size, seen.root, new.size, new.root, proof)
        if not (fits or (seen.size == 0 and not proof)):
            return self._fork(last, note, seen, new, at_s)
        text = note.partition(b"\n\n")[0] + b"\n"
        line = cosign(self.signer, text, at_s)
        self._keep(self._path(new.origin), note + line)
        return Answer(200, line)

    def _fork(
        self, last: bytes, note: bytes, seen: Checkpoint, new: Checkpoint, at_s: int
    ) -> Answer:
        kept = self._path(new.origin).with_suffix(f".fork-{at_s}")
        self._keep(kept, last + b"\n" + note)
        return Answer(
            422,
            f"FORK of {new.origin}: {seen.size} entries with root {seen.root.hex()} were cosigned, "
            f"and {new.size} with root {new.root.hex()} do not follow from them; both are kept in "
            f"{kept.name}\n".encode(),
        )

    def _path(self, origin: str) -> Path:
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:24]}.checkpoint"

    def _keep(self, path: Path, data: bytes) -> None:
        fresh = path.with_name(f"{path.name}.part")
        with fresh.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
        sync_directory(path.parent)


def encode_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """Return the body of an ``add-checkpoint``."""
    lines = [f"old {old}", *(base64.b64encode(node).decode() for node in proof)]
    return "\n".join(lines).encode() + b"\n\n" + note


def _parse(request: bytes) -> tuple[int, list[bytes], bytes]:
    if len(request) > MAX_REQUEST:
        raise ValueError(f"a request of {len(request)} B (limit {MAX_REQUEST})")
    head, blank, note = request.partition(b"\n\n")
    first, *rest = head.decode("ascii").split("\n")
    size = first.removeprefix("old ")
    if not blank or not first.startswith("old ") or not size.isdigit() or len(size) > 19:
        raise ValueError("a request begins with 'old SIZE'")
    if len(rest) > MAX_PROOF:
        raise ValueError(f"a proof of {len(rest)} hashes (limit {MAX_PROOF})")
    try:
        proof = [base64.b64decode(line, validate=True) for line in rest]
    except binascii.Error:
        raise ValueError("a proof has a hash in base64 on each line") from None
    if any(len(node) != HASH_BYTES for node in proof):
        raise ValueError(f"a hash of a proof has {HASH_BYTES} B")
    return int(size), proof, note
