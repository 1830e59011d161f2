"""A part of a recording without what is to be erased, for a segment that is written anew."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from scot.channel import Catalogue
from scot.codec import Frame, read_header
from scot.errors import CodecError
from scot.sample import Flags
from scot_replay.came import Came
from scot_replay.index import ENTRY, Span, span
from scot_replay.layout import Manifest
from scot_replay.parts import ERASED, Int64s
from scot_replay.segment import SegmentPart

BATCH = 512


class Without:
    """A segment as `scot_replay.parts.Part`, without some samples.

    Args:
        part: whole.
        addresses: channels to erase from.
        between: bus time, the end exclusive.

    Attributes:
        erased: samples left out, and states of before the part.
    """

    def __init__(
        self, part: SegmentPart, addresses: Collection[str], between: tuple[int, int]
    ) -> None:
        self._part = part
        self._between = between
        self._keep: dict[str, Int64s] = {}
        self.erased = 0
        self.number: int = part.number
        self.path: Path = part.path
        self.manifest: Manifest | None = part.manifest
        self.catalogues: list[tuple[int, Catalogue]] = part.catalogues
        self.damage: list[str] = part.damage
        self.losses: list[dict[str, Any]] = part.losses
        self.came: list[Came] = part.came
        self.state: dict[str, Frame] = {}
        for address, frame in part.state.items():
            if address in addresses and within(frame, between):
                self.erased += 1
            else:
                self.state[address] = frame
        for address in set(addresses) & set(part.addresses()):
            times = part.times(address)
            gone = (times >= between[0]) & (times < between[1])
            if gone.any():
                self._keep[address] = np.flatnonzero(~gone)
                self.erased += int(gone.sum())
                said = {"first_ns": int(times[gone][0]), "last_ns": int(times[gone][-1])}
                loss = {"count": int(gone.sum()), **said, "why": ERASED}
                self.losses = [*self.losses, {address: loss}]

    def addresses(self) -> list[str]:
        """Channels with samples that are left."""
        return [a for a in self._part.addresses() if a not in self._keep or len(self._keep[a])]

    def times(self, address: str) -> Int64s:
        """Bus times of the samples that are left, ascending."""
        times = self._part.times(address)
        return times[self._keep[address]] if address in self._keep else times

    def read(self, address: str, first: int, last: int) -> list[Frame]:
        """Return the frames at places [first, last) of `times`."""
        if address not in self._keep:
            return self._part.read(address, first, last)
        found: list[Frame] = []
        places = self._keep[address][first:last]
        for run in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1):
            if len(run):
                found += self._part.read(address, int(run[0]), int(run[-1]) + 1)
        return found

    def span(self, address: str) -> Span | None:
        """Which samples of a channel are left."""
        if address not in self._keep:
            return self._part.span(address)
        rows = []
        for first in range(0, len(self._keep[address]), BATCH):
            for frame in self.read(address, first, first + BATCH):
                try:
                    header = read_header(frame)
                except CodecError:
                    continue
                key = bool(header.flags & int(Flags.KEYFRAME))
                rows.append((header.bus_ns, header.epoch, header.seq, 0, 0, key))
        return span(np.array(rows, dtype=ENTRY))

    def keyframes(self, address: str) -> Int64s:
        """Bus times at which decoding of a video can start."""
        found = self.span(address)
        return np.array([] if found is None else found.keys, dtype=np.int64)

    def close(self) -> None:
        """Give the file back."""
        self._part.close()


def within(frame: Frame, between: tuple[int, int]) -> bool:
    """Say whether a frame's bus time lies in a stretch; one without a readable header does not."""
    try:
        return between[0] <= read_header(frame).bus_ns < between[1]
    except CodecError:
        return False
