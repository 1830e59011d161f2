"""The key of one recording: its samples are encrypted with it, and are gone when it is.

What is encrypted is the payload, when the recorder takes a frame over; topic and header stay, so
that everything that finds, counts, seals and proves works on what is stored without the key.

::

    payload = 01 | nonce[12] | AES-256-GCM(key, nonce, payload, topic | header) | tag[16]

The key lies in a file of its own outside the recording, ``case-keys/ID.key`` beside the site's
key; the manifest names its id.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scot.access import read_private, write_private
from scot.channel import Catalogue, Kind
from scot.codec import Frame
from scot.errors import AccessError, CodecError, RecordingError
from scot_replay.came import Came
from scot_replay.index import Span
from scot_replay.layout import sync_directory
from scot_replay.ledger.keys import folder as own_folder
from scot_replay.levels import Envelope
from scot_replay.parts import Int64s, Part, quality_of, rows_of
from scot_replay.rows import Quality, Rows

FOLDER = "case-keys"
FORM = b"\x01"
NONCE_BYTES, TAG_BYTES, KEY_BYTES = 12, 16, 32


class CaseKey:
    """Encrypts and decrypts the frames of one recording.

    Args:
        key: 32 secret bytes.

    Attributes:
        id: tells it from others; says nothing of it.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self.id = sha256(b"scot case key" + key).hexdigest()[:16]

    @classmethod
    def new(cls, folder: Path | None, recording: Path) -> CaseKey:
        """Make a key and keep its file.

        Raises:
            RecordingError: the file cannot be written.
        """
        made = cls(os.urandom(KEY_BYTES))
        path = key_path(made.id, folder)
        kept = _File(key=made._key.hex(), recording=str(recording.absolute()))
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(path, msgspec.json.encode(kept) + b"\n", durable=True)
            sync_directory(path.parent)
        except OSError as error:
            raise RecordingError(f"{path} cannot be written: {error.strerror}") from None
        return made

    @classmethod
    def load(cls, id_: str, folder: Path | None = None) -> CaseKey:
        """Return the key of that id.

        Raises:
            RecordingError: it is not here, or not the one.
        """
        path = key_path(id_, folder)
        if not path.exists():
            raise RecordingError(
                f"its samples are encrypted, and their key {id_} is not here ({path}): it is on "
                "another machine, or was destroyed; scot verify says so, and still proves the rest"
            )
        try:
            found = cls(bytes.fromhex(msgspec.json.decode(read_private(path), type=_File).key))
        except (AccessError, msgspec.DecodeError, ValueError) as error:
            raise RecordingError(f"{path} is no usable key: {error}") from None
        if found.id != id_:
            raise RecordingError(f"{path} holds key {found.id}, not {id_}")
        return found

    def encrypt(self, frame: Frame) -> Frame:
        """Return the frame as it is stored."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, frame.payload, frame.topic + frame.header)
        return Frame(frame.topic, frame.header, FORM + nonce + sealed)

    def decrypt(self, frame: Frame) -> Frame:
        """Return the frame as it came.

        Raises:
            CodecError: it was encrypted with another key, or was altered.
        """
        form, nonce = frame.payload[:1], frame.payload[1 : 1 + NONCE_BYTES]
        try:
            if form != FORM:
                raise ValueError(f"form {form!r}")
            payload = self._cipher.decrypt(
                nonce, frame.payload[1 + NONCE_BYTES :], frame.topic + frame.header
            )
        except (InvalidTag, ValueError) as error:
            raise CodecError(f"{frame.address}: a payload cannot be decrypted: {error}") from None
        return Frame(frame.topic, frame.header, payload)


class _File(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    recording: str


def key_path(id_: str, folder: Path | None = None) -> Path:
    """Return where the key of that id lies; an id is hexadecimal, whatever a manifest says."""
    name = id_ if id_.isalnum() else "none"
    return (folder or own_folder()) / FOLDER / f"{name}.key"


def destroy(id_: str, folder: Path | None = None) -> Path:
    """Overwrite and remove the key of that id; return where it was.

    Raises:
        RecordingError: it is not here, or the disk does not do it.
    """
    path = key_path(id_, folder)
    try:
        with path.open("r+b") as file:
            size = path.stat().st_size
            file.write(os.urandom(size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        sync_directory(path.parent)
    except FileNotFoundError:
        raise RecordingError(f"{path} is not here: destroyed, or elsewhere") from None
    except OSError as error:
        raise RecordingError(f"{path} cannot be destroyed: {error.strerror}") from None
    return path


class Opened:
    """A part whose samples are decrypted as they are read; see `scot_replay.parts.Part`.

    Args:
        part: as it is stored.
        key: of the recording; without one its samples have no payload.
    """

    def __init__(self, part: Part, key: CaseKey | None) -> None:
        self._part, self._key = part, key
        self.number, self.path = part.number, part.path
        self.catalogues: list[tuple[int, Catalogue]] = part.catalogues
        self.damage: list[str] = part.damage
        self.losses: list[dict[str, Any]] = part.losses
        self.came: list[Came] = part.came
        state = self._decrypted(list(part.state.values()))
        self.state: dict[str, Frame] = {frame.address: frame for frame in state}

    def addresses(self) -> list[str]:
        """Channels with samples in this part."""
        return self._part.addresses()

    def times(self, address: str) -> Int64s:
        """Bus times of a channel's samples, ascending."""
        return self._part.times(address)

    def read(self, address: str, first: int, last: int) -> list[Frame]:
        """Return the frames at places [first, last) of `times`; what is altered is left out."""
        return self._decrypted(self._part.read(address, first, last))

    def reach(self, address: str) -> tuple[int, int] | None:
        """Bus time of a channel's first and last sample."""
        return self._part.reach(address)

    def span(self, address: str) -> Span | None:
        """Which samples of a channel this part holds."""
        return self._part.span(address)

    def keyframes(self, address: str) -> Int64s:
        """Bus times at which decoding of a video can start."""
        return self._part.keyframes(address)

    def rows(self, address: str, kind: Kind, from_ns: int, to_ns: int, brief: bool = False) -> Rows:
        """Return a channel's samples as arrays; there are no columns beside what is encrypted."""
        return rows_of(self, address, kind, from_ns, to_ns)

    def level(self, address: str, width_ns: int) -> Envelope | None:
        """No levels are kept of what is encrypted."""
        return None

    def quality(self, address: str) -> Quality | None:
        """Return how well the times of a channel's samples are known."""
        return quality_of(self, address) if len(self.times(address)) else None

    def close(self) -> None:
        """Give the file back."""
        self._part.close()

    def _decrypted(self, frames: list[Frame]) -> list[Frame]:
        if self._key is None:
            return [frame._replace(payload=b"") for frame in frames]
        found: list[Frame] = []
        for frame in frames:
            try:
                found.append(self._key.decrypt(frame))
            except CodecError as error:
                line = f"{self.path.name}: {error}; it was left out, and so is each like it"
                if line not in self.damage:
                    self.damage.append(line)
        return found
