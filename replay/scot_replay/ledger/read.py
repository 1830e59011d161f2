"""A recording's ledger, read: its entries, and how far signatures cover them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from scot.errors import UNREADABLE, AccessError, RecordingError
from scot.note import Verifier
from scot_replay.journal import RECORD_BYTES
from scot_replay.ledger.checkpoint import Checkpoint, opened
from scot_replay.ledger.entry import Begin, Opened
from scot_replay.ledger.log import LEDGER, MAGIC, Item, Line, check_magic, lines
from scot_replay.ledger.log import opened as entry_of
from scot_replay.ledger.merkle import Frontier, consistency_proof

REACH = 1 << 20
_KINDS = set(map(int, Item))
_token = msgspec.msgpack.Decoder(tuple[int, bytes, bytes])


class Ledger:
    """The entries of a tree with what its checkpoints say.

    Args:
        data: the whole file.
        path: how messages call it.
        keys: whose signature is believed; without any, that of the key in the first entry.

    Attributes:
        entries: in order; after `covered` nobody signed them.
        notes: checkpoints whose signature is right, by size.
        covered: how many the last of those covers.
        checkpoints: how many signatures are right.
        signer: whose.
        origin: of the checkpoints.
        faults: as (what, file, detail).
        torn: bytes at the end that are no record, as a crash leaves them.
        tokens: size, SHA-256 of the checkpoint's text, and RFC 3161 token; not looked at.

    Raises:
        RecordingError: there is nothing in it.
    """

    def __init__(self, data: bytes, path: Path, keys: Sequence[Verifier] = ()) -> None:
        self.path = path
        self.entries: list[Opened] = []
        self.notes: dict[int, bytes] = {}
        self.covered = self.checkpoints = 0
        self.faults: list[tuple[str, str, str]] = []
        self.tokens: list[tuple[int, bytes, bytes]] = []
        self._keys = list(keys)
        self._tree = Frontier()
        self._roots: dict[int, bytes] = {}
        check_magic(data, path)
        end = len(MAGIC)
        for line in lines(data):
            self._take(line, end)
            end = line.end
        if not self.entries:
            raise RecordingError(f"{path} holds no entry; nothing of the recording is proven")
        self.torn = len(data) - end
        if self.torn and _more(data, end):
            detail = f"{self.torn} B from byte {end} on cannot be read"
            self.faults.append(("ledger", path.name, detail))
        if not self.covered:
            why = f"no checkpoint is signed by {', '.join(k.name for k in self._keys)}"
            self.faults.append(("signature", path.name, why))

    @property
    def signer(self) -> Verifier:
        """Whose signature was looked for, or the first of them."""
        return self._keys[0]

    @property
    def last(self) -> bytes:
        """The last checkpoint as it was signed, cosignatures too; empty without one."""
        return self.notes.get(self.covered, b"")

    @property
    def leaves(self) -> list[bytes]:
        """The leaves of what is covered."""
        return [one.leaf for one in self.entries[: self.covered]]

    def was(self, size: int, root: bytes) -> bool:
        """Say whether the tree, as far as it is covered, once had this head."""
        if size > self.covered:
            return False
        known = self._roots.get(size)
        if known is None:
            tree = Frontier()
            for one in self.entries[:size]:
                tree.append(one.leaf)
            known = tree.root()
        return known == root

    def proof(self, size: int) -> list[bytes]:
        """Return the proof that what is covered began with the first `size` entries."""
        return consistency_proof(self.leaves, size) if size < self.covered else []

    def _take(self, line: Line, start: int) -> None:
        if not line.whole:
            detail = f"the record at byte {start} is damaged ({line.end - start} B)"
            self.faults.append(("ledger", self.path.name, detail))
        if line.kind == Item.ENTRY:
            self._entry(line, start)
        elif line.kind == Item.CHECKPOINT:
            self._checkpoint(line.body, start)
        elif line.kind == Item.TOKEN and line.whole:
            try:
                self.tokens.append(_token.decode(line.body))
            except UNREADABLE as error:
                detail = f"the record at byte {start} holds no time stamp: {error}"
                self.faults.append(("ledger", self.path.name, detail))

    def _entry(self, line: Line, start: int) -> None:
        try:
            one = entry_of(line)
        except RecordingError as error:
            if line.whole:
                self.faults.append(("ledger", self.path.name, f"byte {start}: {error}"))
            return
        if not self.entries:
            self._first(one)
        self.entries.append(one)
        self._tree.append(one.leaf)

    def _first(self, one: Opened) -> None:
        entry = one.entry
        self.origin = entry.origin if isinstance(entry, Begin) else ""
        if isinstance(entry, Begin) and not self._keys:
            try:
                self._keys.append(Verifier.parse(entry.key))
            except AccessError as error:
                raise RecordingError(f"{self.path} names no key: {error}") from None
        if not self._keys:
            raise RecordingError(f"{self.path} does not begin as the ledger of a recording")
        if not self.origin:
            self.origin = f"{self._keys[0].name}/recordings"

    def _checkpoint(self, note: bytes, start: int) -> None:
        found: Checkpoint | None = None
        for key in self._keys:
            found = found or opened(note, key)
        if found is None:
            detail = f"the checkpoint at byte {start} is not signed by a key that is believed"
            self.faults.append(("signature", self.path.name, detail))
            return
        if self._roots.get(found.size) == found.root and found.origin == self.origin:
            self.notes[found.size] = note  # the same once more, cosigned
            return
        same = found.size == self._tree.size and found.root == self._tree.root()
        if not same or found.origin != self.origin:
            detail = (
                f"the checkpoint over {found.size} entries does not fit them: one of the entries "
                f"{self.covered + 1} to {found.size} was altered, added or removed"
            )
            if not any(detail.split("one of")[1:] == f[2].split("one of")[1:] for f in self.faults):
                self.faults.append(("ledger", self.path.name, detail))
            return
        self.checkpoints += 1
        self.covered = found.size
        self.notes[found.size] = note
        self._roots[found.size] = found.root


def read_ledger(directory: Path, keys: Sequence[Verifier] = ()) -> Ledger:
    """Read the ledger of a recording.

    Raises:
        RecordingError: it has none, or it cannot be read.
    """
    path = directory / LEDGER
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RecordingError(
            f"{directory} has no {LEDGER}: it was recorded without one, or it was taken away; "
            "nothing can be proven"
        ) from None
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
    return Ledger(data, path, keys)


def text_of(note: bytes) -> bytes:
    """Return the text of a note, which is what was signed."""
    return note.rpartition(b"\n\n")[0] + b"\n"


def _more(data: bytes, at: int) -> bool:
    """Say whether a whole record follows somewhere: then these bytes are no torn end."""
    for start in range(at + 1, min(len(data) - RECORD_BYTES, at + REACH)):
        if data[start + RECORD_BYTES - 1] in _KINDS:
            one = next(lines(data, start), None)
            if one is not None and one.whole:
                return True
    return False
