"""Checkpoints of a tree in the form of C2SP tlog-checkpoint, and cosignatures. Sans-IO.

A checkpoint is a signed note (`scot.note`) whose text is origin, size and root in base64, a line
each. A witness adds a line of its own by which it says that, at a time, this was the latest
checkpoint of that origin it had seen and that it follows from the ones before (C2SP
tlog-cosignature, ``cosignature/v1``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scot.errors import AccessError, RecordingError
from scot.note import DASH, Signer, Verifier

COSIGNATURE = b"\x04"
_TIME = struct.Struct(">Q")


class Checkpoint(NamedTuple):
    """The head of a tree.

    Attributes:
        origin: which tree.
        size: leaves.
        root: its hash.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> bytes:
        """Return what is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()

    @classmethod
    def parse(cls, text: bytes) -> Checkpoint:
        """Read the text of a checkpoint; lines that extend it are passed over.

        Raises:
            RecordingError: it is none.
        """
        lines = text.decode("utf-8", "replace").split("\n")
        try:
            origin, size, head = lines[:3]
            raw = base64.b64decode(head, validate=True)
            if not origin or str(int(size)) != size or len(raw) != 32:
                raise ValueError(text[:80])
        except (ValueError, binascii.Error):
            raise RecordingError(f"{text[:80]!r} is no checkpoint") from None
        return cls(origin, int(size), raw)


class Cosigned(NamedTuple):
    """What a witness says of a checkpoint: who, and when (UTC, s)."""

    witness: Verifier
    at_s: int


def witness_hash(verifier: Verifier) -> bytes:
    """Return the four bytes that tell a witness's keys of one name apart."""
    told = verifier.name.encode() + b"\n" + COSIGNATURE + verifier.raw
    return hashlib.sha256(told).digest()[:4]


def cosign(signer: Signer, text: bytes, at_s: int) -> bytes:
    """Return the line by which a witness cosigns the text of a checkpoint."""
    private = Ed25519PrivateKey.from_private_bytes(signer.seed)
    stamp = _TIME.pack(at_s)
    data = witness_hash(signer.verifier) + stamp + private.sign(_cosigned(text, at_s))
    return f"{DASH}{signer.name} {base64.b64encode(data).decode()}\n".encode()


def cosigned(note: bytes, witness: Verifier) -> Cosigned | None:
    """Return what a witness says of a note; None when it says nothing, or that is forged."""
    text, _, lines = note.rpartition(b"\n\n")
    for line in lines.decode("utf-8", "replace").splitlines():
        name, _, data = line.removeprefix(DASH).partition(" ")
        try:
            raw = base64.b64decode(data, validate=True)
        except (ValueError, binascii.Error):
            continue
        if name != witness.name or raw[:4] != witness_hash(witness) or len(raw) != 76:
            continue
        (at_s,) = _TIME.unpack(raw[4:12])
        try:
            public = Ed25519PublicKey.from_public_bytes(witness.raw)
            public.verify(raw[12:], _cosigned(text + b"\n", at_s))
        except InvalidSignature:
            continue
        return Cosigned(witness, at_s)
    return None


def _cosigned(text: bytes, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n".encode() + text


def opened(note: bytes, verifier: Verifier) -> Checkpoint | None:
    """Return the checkpoint that a key signed; None when it did not, or the text was changed."""
    try:
        return Checkpoint.parse(verifier.open(note))
    except (AccessError, RecordingError):
        return None
