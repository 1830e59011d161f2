"""What was written since the last checkpoint, leaf by leaf. Sans-IO.

The journal tells it of each record as it is written. `freeze` ends the blocks as they stand, `take`
gives them once all of them is on the disk for sure: a checkpoint never speaks of a record that a
power cut takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from scot_replay.journal import MAGIC, RECORD_BYTES, RecordKind
from scot_replay.ledger.entry import (
    OTHER,
    SEED_BYTES,
    Block,
    Key,
    Opening,
    block,
    record_leaf,
    salt,
)


class _Group(NamedTuple):
    """Leaves of one channel in one part, with the seed of their salts."""

    seed: bytes
    leaves: dict[Key, bytes]


_Groups = dict[tuple[int, str], _Group]


class Tally:
    """Takes records as they are written, gives blocks of what is safe; for one thread at a time.

    Args:
        random: gives secret bytes.
    """

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._open: _Groups = {}
        self._end = (0, 0)
        self._frozen: list[tuple[tuple[int, int], _Groups]] = []
        self._others: tuple[int, int] = (0, 0)

    def began(self, part: int, head: bytes) -> None:
        """Take the head of a new journal: all that is in it."""
        at = len(MAGIC)
        while at < len(head):
            end = at + RECORD_BYTES + int.from_bytes(head[at : at + 4], "little")
            self._other(part, head[at:end])
            at = end
        self._end = (part, at)

    def wrote(self, part: int, end: int, records: Sequence[bytes], items: Sequence[Any]) -> None:
        """Take records that were written.

        Args:
            part: number of the journal.
            end: where the last one ends.
            records: encoded.
            items: what they hold, in their order: arrivals with frame and header, among others.
        """
        arrivals = (item for item in items if hasattr(item, "frame"))
        for record in records:
            if record[RECORD_BYTES - 1] != RecordKind.FRAME:
                self._other(part, record)
                continue
            arrival: Any = next(arrivals)
            header = arrival.header
            key = (header.epoch, header.seq, header.bus_ns)
            group = self._group(part, arrival.frame.address)
            if key not in group.leaves:  # one that came twice is kept as it came first
                salted = salt(group.seed, key) + record[RECORD_BYTES - 1 :]
                group.leaves[key] = sha256(b"\0" + salted).digest()
        self._end = (part, end)

    def freeze(self) -> None:
        """End the blocks as they stand; what comes from now on is of the next ones."""
        if self._open:
            self._frozen.append((self._end, self._open))
            self._open = {}

    def take(self, part: int, end: int) -> list[tuple[Block, Opening]]:
        """Return the frozen blocks that lie before byte `end` of journal `part`."""
        ready = [groups for at, groups in self._frozen if at <= (part, end)]
        self._frozen = [(at, groups) for at, groups in self._frozen if at > (part, end)]
        return [made for groups in ready for made in _blocks(groups)]

    def _other(self, part: int, record: bytes) -> None:
        kind = record[RECORD_BYTES - 1]
        if kind == RecordKind.END:  # says only that nothing follows
            return
        of, place = self._others
        place = place + 1 if of == part else 0
        self._others = (part, place)
        key = (kind, place, 0)
        group = self._group(part, OTHER)
        group.leaves[key] = record_leaf(salt(group.seed, key), kind, record[RECORD_BYTES:])

    def _group(self, part: int, address: str) -> _Group:
        group = self._open.get((part, address))
        if group is None:
            group = self._open[part, address] = _Group(self._random(SEED_BYTES), {})
        return group


def _blocks(groups: _Groups) -> Iterator[tuple[Block, Opening]]:
    for (part, address), group in groups.items():
        yield block(part, address, list(group.leaves.items()), group.seed)
