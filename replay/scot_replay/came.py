"""How samples came to the recorder: asked back from History, or late; in stretches of seqs.

A frame says nothing of it, so the journal does, beside the frames of each flush, and the segment
after it. Sans-IO.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from scot.codec import Header
from scot.sample import Flags

WAYS = {"backfilled": Flags.BACKFILLED, "late": Flags.LATE}


class Stretch(msgspec.Struct, array_like=True):
    """Samples of one epoch without a hole: seqs and bus times of the first and the last."""

    epoch: int
    first: int
    last: int
    first_ns: int
    last_ns: int

    @property
    def count(self) -> int:
        """How many."""
        return self.last - self.first + 1


Came = dict[str, dict[str, list[Stretch]]]  # by address, then by way


def note(came: Came, address: str, header: Header, flags: Flags) -> None:
    """Add one sample under each way that its flags name."""
    for way, flag in WAYS.items():
        if flags & flag:
            stretches = came.setdefault(address, {}).setdefault(way, [])
            bus_ns, seq = header.bus_ns, header.seq
            before = stretches[-1] if stretches else None
            if before is not None and before.epoch == header.epoch and before.last + 1 == seq:
                before.last, before.last_ns = seq, bus_ns
            else:
                stretches.append(Stretch(header.epoch, seq, seq, bus_ns, bus_ns))


def gather(notes: Iterable[Came]) -> Came:
    """Return several notes as one: stretches in order, those that meet or overlap made one."""
    gathered: Came = {}
    for came in notes:
        for address, ways in came.items():
            for way, stretches in ways.items():
                gathered.setdefault(address, {}).setdefault(way, []).extend(stretches)
    return {
        address: {way: list(merge(stretches)) for way, stretches in ways.items()}
        for address, ways in gathered.items()
    }


def merge(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """Yield stretches by epoch and seq, those that meet or overlap as one."""
    open_: Stretch | None = None
    for one in sorted(stretches, key=lambda s: (s.epoch, s.first, s.last)):
        if open_ is not None and open_.epoch == one.epoch and one.first <= open_.last + 1:
            if one.last > open_.last:
                open_.last, open_.last_ns = one.last, one.last_ns
            continue
        if open_ is not None:
            yield open_
        open_ = msgspec.structs.replace(one)
    if open_ is not None:
        yield open_


def encode(came: Came) -> bytes:
    """Return the note as JSON."""
    return msgspec.json.encode(came)


def decode(data: Any) -> Came:
    """Return the note in `data`.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(data, type=Came)
