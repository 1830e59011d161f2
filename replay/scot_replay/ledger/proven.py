"""Proves a whole journal by its blocks at once, as it is when nothing happened to it.

What is not plainly as it was written is left to `scot_replay.ledger.compare`, which says what.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from scot_replay.index import ENTRY, Entries
from scot_replay.journal import RECORD_BYTES
from scot_replay.ledger.entry import OTHER, SALT_BYTES, Block, Opening
from scot_replay.ledger.merkle import root
from scot_replay.parts import JournalPart

_KEY_BYTES = 24


def proven(journal: JournalPart, blocks: Sequence[tuple[Block, Opening]]) -> tuple[int, int] | None:
    """Return how many samples of a journal its blocks prove, and how many records are in none.

    None when a block is not proven by just the records it names, in whatever way.
    """
    by_address: dict[str, list[tuple[Block, Opening]]] = {}
    for block, opening in blocks:
        by_address.setdefault(block.address, []).append((block, opening))
    samples = beyond = 0
    data = journal.bytes().data
    for address in {*by_address, *journal.addresses(), OTHER}:
        records = others(journal) if address == OTHER else journal.entries(address)
        records = records[np.lexsort((records["seq"], records["epoch"]))]
        again = (np.diff(records["epoch"]) == 0) & (np.diff(records["seq"]) == 0)
        if again.any():  # some share a seq
            return None
        covered = np.zeros(len(records), np.bool_)
        for block, opening in by_address.get(address, []):
            places = _places(block, records)
            if places is None or opening.kept or not opening.seed:
                return None
            if root(_leaves(opening.seed, records[places], data)) != block.root:
                return None
            covered[places] = True
            samples += len(places) if address != OTHER else 0
        beyond += int((~covered).sum())
    return samples, beyond


def others(journal: JournalPart) -> Entries:
    """Return the records that are no frames, keyed as `scot_replay.ledger.tally` does."""
    rows = [
        (0, kind, place, start, end - start, False)
        for place, (kind, start, end) in enumerate(journal.others)
    ]
    return np.array(rows, ENTRY)


def _places(block: Block, records: Entries) -> Any:
    """Return where the records of a block are; None when they are not just those it names."""
    found = []
    for epoch, first, last in block.runs:
        low, high = np.searchsorted(records["epoch"], (epoch, epoch + 1))
        start, end = low + np.searchsorted(records["seq"][low:high], (first, last + 1))
        if end - start != last - first + 1:
            return None
        found.append(np.arange(start, end))
    places = np.concatenate(found) if found else np.empty(0, np.int64)
    return places if len(places) == block.count else None


def _leaves(seed: bytes, records: Entries, data: memoryview) -> list[bytes]:
    """Return the salted leaves of records (`scot_replay.ledger.entry.salt`, `record_leaf`)."""
    keys = np.stack([records[name] for name in ("epoch", "seq", "bus_ns")], axis=1)
    packed = keys.astype(">i8").tobytes()
    starts = (records["at"] + RECORD_BYTES - 1).tolist()  # its kind, then its body
    ends = (records["at"] + records["size"]).tolist()
    leaves = []
    for at, start, end in zip(range(0, len(packed), _KEY_BYTES), starts, ends, strict=True):
        salt = sha256(seed + packed[at : at + _KEY_BYTES]).digest()[:SALT_BYTES]
        leaves.append(sha256(b"".join((b"\0", salt, data[start:end]))).digest())
    return leaves
