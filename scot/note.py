"""Signed notes: a text, a blank line, and Ed25519 signatures over its very bytes. No I/O.

The form is C2SP signed-note (as Go's ``sumdb/note`` writes it), with the keys' text forms too, so
that a note can be checked by tools we did not write. What is signed are the bytes as they stand:
there is nothing to bring into a canonical form before checking.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scot.errors import AccessError

ED25519 = b"\x01"
DASH = "\N{EM DASH} "
MAX_BYTES = 16 << 20
PREFIX = "PRIVATE+KEY+"


class Verifier(NamedTuple):
    """Whose signature is believed.

    Attributes:
        name: of the signer; no spaces, no plus sign.
        raw: its Ed25519 public key, 32 bytes.
    """

    name: str
    raw: bytes

    @property
    def hash(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.raw).digest()[:4]

    def text(self) -> str:
        """Return the key as text: ``name+hash+key``."""
        return f"{self.name}+{self.hash.hex()}+{_encode(ED25519 + self.raw)}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read what `text` returned.

        Raises:
            AccessError: it is no key, or it was changed.
        """
        name, _, rest = text.strip().partition("+")
        told, _, data = rest.partition("+")
        key = _decode(data)
        verifier = cls(name, key[1:])
        if not _named(name) or key[:1] != ED25519 or len(key) != 33 or verifier.hash.hex() != told:
            raise AccessError(f"{text.strip()[:40]!r} is no Ed25519 key of a signed note")
        return verifier

    def open(self, note: bytes) -> bytes:
        """Return the text of a note that this key signed.

        Raises:
            AccessError: it is no note, or not signed by this key, or was changed since.
        """
        if len(note) > MAX_BYTES:
            raise AccessError(f"a note of {len(note)} bytes (limit {MAX_BYTES})")
        text, blank, lines = note.rpartition(b"\n\n")
        if not blank or not note.endswith(b"\n"):
            raise AccessError("not a signed note: no signature behind a blank line")
        text += b"\n"
        for line in lines.decode("utf-8", "replace").splitlines():
            name, _, data = line.removeprefix(DASH).partition(" ")
            signature = _decode(data)
            if name == self.name and line.startswith(DASH) and signature[:4] == self.hash:
                try:
                    Ed25519PublicKey.from_public_bytes(self.raw).verify(signature[4:], text)
                except InvalidSignature:
                    raise AccessError(
                        f"the signature of {self.name} is wrong: the text was changed"
                    ) from None
                return text
        raise AccessError(f"not signed by {self.name} (key {self.hash.hex()})")


class Signer(NamedTuple):
    """Who signs.

    Attributes:
        name: as in its `Verifier`.
        seed: the Ed25519 private key, 32 bytes.
    """

    name: str
    seed: bytes

    @classmethod
    def new(cls, name: str) -> Signer:
        """Make a key.

        Raises:
            AccessError: a name that no note could hold.
        """
        if not _named(name):
            raise AccessError(f"{name!r} cannot sign: a name has no spaces and no plus sign")
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return Verifier(self.name, private.public_key().public_bytes_raw())

    def text(self) -> str:
        """Return the secret as text: ``PRIVATE+KEY+name+hash+key``."""
        told = self.verifier.hash.hex()
        return f"{PREFIX}{self.name}+{told}+{_encode(ED25519 + self.seed)}"

    @classmethod
    def parse(cls, text: str) -> Signer:
        """Read what `text` returned.

        Raises:
            AccessError: it is no such secret; it is not shown.
        """
        name, _, rest = text.strip().removeprefix(PREFIX).partition("+")
        told, _, data = rest.partition("+")
        key = _decode(data)
        sound = text.startswith(PREFIX) and _named(name) and key[:1] == ED25519 and len(key) == 33
        if not sound or (signer := cls(name, key[1:])).verifier.hash.hex() != told:
            raise AccessError("no Ed25519 secret of a signed note")
        return signer

    def sign(self, text: bytes) -> bytes:
        """Return the note of a text, which must end with a newline.

        Raises:
            AccessError: the text has no newline at its end.
        """
        if not text.endswith(b"\n"):
            raise AccessError("a note's text must end with a newline")
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text)
        line = f"{DASH}{self.name} {_encode(self.verifier.hash + signature)}\n"
        return text + b"\n" + line.encode()


def _named(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() for c in name)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
        return data if _encode(data) == text else b""  # unused last bits must be 0 (RFC 4648, 3.5)
    except (binascii.Error, ValueError):
        return b""
