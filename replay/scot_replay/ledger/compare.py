"""Compares blocks with what is stored: which records are other, missing, erased, or too many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from scot_replay.ledger.entry import OTHER, Block, Key, Opening, record_leaf
from scot_replay.ledger.merkle import root
from scot_replay.ledger.stored import Records, Source, Stored

__all__ = ["Compared", "Fault", "compare"]


class Fault(msgspec.Struct, frozen=True):
    """One thing that is not as it was recorded.

    Attributes:
        what: ``altered``, ``missing``, ``added``, ``not erased``, ``chunk``, ``file``,
            ``signature``, ``ledger`` or ``recording``.
        part: number, 0 when it is of no part.
        file: where.
        address: of the channel; empty of others.
        epoch, seq: of the first record; -1 when it cannot be told.
        records: how many, where that is known.
        first_ns, last_ns: bus time within which it lies; 0 when it has none.
        detail: for people.
    """

    what: str
    part: int
    file: str
    address: str
    epoch: int
    seq: int
    records: int
    first_ns: int
    last_ns: int
    detail: str


class Compared(NamedTuple):
    """What came out of one part.

    Attributes:
        faults: at most some of each block.
        proven: samples that a block covers and that are as they were.
        erased: records whose leaf only is left, as a redaction wanted.
        beyond: records in no block, by address: they came after the last checkpoint, or were added.
        last_at: where the last record of a block stands.
    """

    faults: list[Fault]
    proven: int
    erased: int
    beyond: dict[str, list[Stored]]
    last_at: int


def compare(part: int, blocks: Sequence[tuple[Block, Opening]], source: Source) -> Compared:
    """Compare the blocks of one part with its records."""
    faults: list[Fault] = []
    proven = erased = last_at = 0
    beyond: dict[str, list[Stored]] = {}
    by_address: dict[str, list[tuple[Block, Opening]]] = {}
    for block, opening in blocks:
        by_address.setdefault(block.address, []).append((block, opening))
    for address in sorted({*by_address, *source.addresses()}):
        if address == OTHER and not source.others:
            continue
        records = source.records(address)
        covered: set[tuple[int, int]] = set()
        for block, opening in by_address.get(address, []):
            one = _Comparison(part, source.name, block, opening, records)
            faults += one.faults
            proven += one.proven if address != OTHER else 0  # they are no samples
            erased += len(opening.kept)
            covered.update(one.keys)
            last_at = max(last_at, one.last_at)
        left = [s for place, same in records.items() if place not in covered for s in same]
        if left:
            beyond[address] = left
    return Compared(faults, proven, erased, beyond, last_at)


class _Comparison:
    """One block against the records that bear its keys."""

    def __init__(
        self, part: int, file: str, block: Block, opening: Opening, records: Records
    ) -> None:
        self.faults: list[Fault] = []
        self.proven = 0
        self._part, self._file, self._block, self._opening = part, file, block, opening
        self.keys = [(e, seq) for e, first, last in block.runs for seq in range(first, last + 1)]
        self.last_at = 0
        found = [sorted(records.get(key, []), key=_key) for key in self.keys]
        if block.count != len(self.keys):  # some share a seq: only all of them together are placed
            self._crowded([one for same in found for one in same])
            return
        self.last_at = max((same[-1].at for same in found if same), default=0)
        stored = [same[0] if same else None for same in found]
        leaves = [self._leaf(place, one) for place, one in enumerate(stored)]
        whole = all(leaf is not None for leaf in leaves)
        if whole and root([leaf for leaf in leaves if leaf is not None]) == block.root:
            self._unerased(stored)
            self.proven = block.count - len(opening.kept)
            return
        self._name(stored, leaves)

    def _leaf(self, place: int, stored: Stored | None) -> bytes | None:
        kept = self._opening.kept.get(place)
        if kept is not None:
            return kept
        if stored is None:
            return None
        salt = self._opening.salt(place, stored.key)
        return record_leaf(salt, stored.kind, bytes(stored.body))

    def _crowded(self, stored: list[Stored]) -> None:
        block = self._block
        leaves = [self._leaf(place, one) for place, one in enumerate(stored)]
        if len(stored) == block.count and root([x for x in leaves if x is not None]) == block.root:
            self.proven = block.count
        else:
            self._fault("altered", -1, -1, block.count, "or missing, within this block")

    def _unerased(self, stored: list[Stored | None]) -> None:
        for place in self._opening.kept:
            if stored[place] is not None:
                epoch, seq = self.keys[place]
                self._fault("not erased", epoch, seq, 1, "the ledger says it was erased")

    def _name(self, stored: list[Stored | None], leaves: list[bytes | None]) -> None:
        """Name what is missing and what differs, as well as the marks can tell."""
        missing = [place for place, leaf in enumerate(leaves) if leaf is None]
        marks = self._opening.marks
        altered = [
            place
            for place, leaf in enumerate(leaves)
            if leaf is not None and place < len(marks) and leaf[0] != marks[place]
        ]
        if missing:
            self._fault_at("missing", missing)
        if altered:
            self._fault_at("altered", altered, stored)
        if not missing and not altered:
            self._fault("altered", -1, -1, 0, "which record of this block cannot be told")

    def _fault_at(self, what: str, places: list[int], stored: Sequence[Stored | None] = ()) -> None:
        epoch, seq = self.keys[places[0]]
        first = stored[places[0]] if stored else None
        detail = "" if first is None else f"at {_where(self._file, first.at)}"
        self._fault(what, epoch, seq, len(places), detail)

    def _fault(self, what: str, epoch: int, seq: int, count: int, detail: str) -> None:
        block = self._block
        self.faults.append(
            Fault(
                what, self._part, self._file, block.address, epoch, seq, count,
                block.first_ns, block.last_ns, detail,
            )
        )  # fmt: skip


def _where(file: str, at: int) -> str:
    return f"byte {at}" if file.endswith(".scotj") else f"sample {at + 1} of the channel"


def _key(stored: Stored) -> Key:
    return stored.key
