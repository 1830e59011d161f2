"""What stands in the tree: entries of a recording's ledger and of a site's log. Sans-IO.

An entry is a MessagePack array whose first item says what it is; its leaf's hash is that of RFC
9162. A record of the journal is no entry by itself: the records of one channel between two
checkpoints form a tree of their own, whose root stands in a `Block`. Each record's leaf is salted:

    leaf = SHA-256(0x00 | salt[16] | kind u8 | body)

with kind and body as in `scot_replay.journal`. The salt comes from the block's secret seed and the
record's key, so that it is not stored, and is gone with the seed; see `Opening`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

import msgspec

from scot.errors import RecordingError
from scot_replay.ledger.merkle import leaf_hash, root

SALT_BYTES = 16
SEED_BYTES = 32
OTHER = ""
"""The address of records that are no frames: manifest, state, catalogues, losses."""

Key = tuple[int, int, int]
"""What tells records of one channel in one part: epoch, seq, bus ns; of others kind, place, 0."""

_KEY = struct.Struct(">qqq")


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """The first entry of a recording.

    Attributes:
        recording: name of its directory.
        origin: of its checkpoints.
        session: of the room, as in the manifest.
        key: of the signer, as C2SP signed-note has it.
        site, site_size, site_root: the site's log when it began; the heads of all recordings
            before are in it. Empty and 0 without one.
    """

    recording: str
    origin: str
    session: str
    key: str
    site: str = ""
    site_size: int = 0
    site_root: bytes = b""


class Block(msgspec.Struct, frozen=True, array_like=True, tag="block"):
    """The records of one channel between two checkpoints.

    Attributes:
        part: number of the journal that they were written to.
        address: of the channel, or `OTHER`.
        count: records.
        first_ns, last_ns: bus time of the earliest and the latest; 0 of others.
        runs: their keys without bus time: (epoch, first, last), ascending.
        root: of the tree over their leaves, ascending by key.
    """

    part: int
    address: str
    count: int
    first_ns: int
    last_ns: int
    runs: list[tuple[int, int, int]]
    root: bytes


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of a segment's file: one chunk, or what lies between chunks.

    Attributes:
        at, size: where.
        digest: SHA-256 of the bytes.
        chunk: its number in the file from 1; 0 of what is no chunk.
        first_ns, last_ns: bus time of its messages.
        addresses: whose they are.
    """

    at: int
    size: int
    digest: bytes
    chunk: int = 0
    first_ns: int = 0
    last_ns: int = 0
    addresses: list[str] = []


class Sealed(msgspec.Struct, frozen=True, array_like=True, tag="segment"):
    """A segment's file, whose records the sealer compared with the blocks before it.

    Attributes:
        part: its number.
        size: of the file.
        records: that blocks cover and that are as these say; -1: one was not.
        beyond: records in no block: what came after the last checkpoint before a crash.
        stretches: all bytes of it.
    """

    part: int
    size: int
    records: int
    beyond: int
    stretches: list[Stretch]


class Erased(msgspec.Struct, frozen=True, array_like=True):
    """Which records of a block were erased.

    Attributes:
        block: place of the block's entry.
        runs: (epoch, first, last), as in `Block`.
        count: records.
    """

    block: int
    runs: list[tuple[int, int, int]]
    count: int


class Redaction(msgspec.Struct, frozen=True, array_like=True, tag="redaction"):
    """Somebody erased samples; what the blocks say of them stays.

    Attributes:
        by, reason: as given.
        utc_ns: when.
        channels: addresses.
        from_ns, to_ns: bus time, the end exclusive.
        erased: what of which blocks.
    """

    by: str
    reason: str
    utc_ns: int
    channels: list[str]
    from_ns: int
    to_ns: int
    erased: list[Erased]


class End(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The recording was ended in order.

    Attributes:
        manifest: SHA-256 of ``manifest.json``.
    """

    manifest: bytes


class Shredded(msgspec.Struct, frozen=True, array_like=True, tag="shredded"):
    """Somebody destroyed the key that the recording's samples are encrypted with.

    Attributes:
        by, reason: as given.
        utc_ns: when.
        key_id: which key.
    """

    by: str
    reason: str
    utc_ns: int
    key_id: str


class Head(msgspec.Struct, frozen=True, array_like=True, tag="head"):
    """Of a site's log: how far a recording's ledger was.

    Attributes:
        directory: where it was recorded to.
        origin: of its checkpoints.
        size, root: of its tree; 0 and empty when it began.
    """

    directory: str
    origin: str
    size: int
    root: bytes


Entry = Begin | Block | Sealed | Redaction | End | Shredded | Head
_entry = msgspec.msgpack.Decoder(Entry)
_encoder = msgspec.msgpack.Encoder()


class Opening(msgspec.Struct, array_like=True):
    """What of a block is not in the tree: it opens the leaves, and can be destroyed.

    Attributes:
        seed: gives the salt of each record; empty once a record was erased.
        marks: the first byte of each leaf, ascending by key, to name the record that differs.
        salts: instead of the seed, 16 bytes of each record; zeros of an erased one.
        kept: leaves of erased records by their place in the block.
    """

    seed: bytes
    marks: bytes
    salts: bytes = b""
    kept: dict[int, bytes] = {}

    def salt(self, place: int, key: Key) -> bytes:
        """Return the salt of the record at `place` in the block."""
        if self.seed:
            return salt(self.seed, key)
        return self.salts[place * SALT_BYTES : (place + 1) * SALT_BYTES]


_opening = msgspec.msgpack.Decoder(Opening)


class Opened(NamedTuple):
    """An entry with what opens it (None of what is no block) and its leaf's hash."""

    entry: Entry
    opening: Opening | None
    leaf: bytes


def encode_entry(entry: Entry, opening: Opening | None = None) -> tuple[bytes, bytes]:
    """Return the leaf, and the encoded opening (empty without one)."""
    return _encoder.encode(entry), b"" if opening is None else _encoder.encode(opening)


def decode_entry(leaf: bytes, opening: bytes) -> Opened:
    """Return the entry of a leaf.

    Raises:
        RecordingError: it is none.
    """
    try:
        opened = _opening.decode(opening) if opening else None
        return Opened(_entry.decode(leaf), opened, leaf_hash(leaf))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordingError(f"a leaf of {len(leaf)} B is no entry of a ledger: {error}") from None


def salt(seed: bytes, key: Key) -> bytes:
    """Return the salt of one record."""
    return sha256(seed + _KEY.pack(*key)).digest()[:SALT_BYTES]


def record_leaf(salt: bytes, kind: int, body: bytes) -> bytes:
    """Return the salted leaf of one record."""
    return sha256(b"\0" + salt + bytes((kind,)) + body).digest()


def block(
    part: int, address: str, leaves: Sequence[tuple[Key, bytes]], seed: bytes
) -> tuple[Block, Opening]:
    """Return the block of a channel's leaves, in any order but each key once, and its opening."""
    ordered = sorted(leaves)
    keys = [key for key, _ in ordered]
    hashes = [leaf for _, leaf in ordered]
    times = [key[2] for key in keys]
    made = Block(
        part=part,
        address=address,
        count=len(keys),
        first_ns=min(times),
        last_ns=max(times),
        runs=runs(keys),
        root=root(hashes),
    )
    return made, Opening(seed, bytes(leaf[0] for leaf in hashes))


def runs(keys: Iterable[Key]) -> list[tuple[int, int, int]]:
    """Return ascending keys as stretches (epoch, first, last) without a hole."""
    found: list[tuple[int, int, int]] = []
    ordered = list(keys)
    start = ordered[0] if ordered else (0, 0, 0)
    for one, after in pairwise([*ordered, (-1, -1, -1)]):
        if after[0] != one[0] or after[1] not in (one[1], one[1] + 1):
            found.append((one[0], start[1], one[1]))
            start = after
    return found
