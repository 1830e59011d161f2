"""Sets of sequence numbers: what was sent, what came, what is missing, what was said of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scot_replay.recording import open_recording

Key = tuple[str, int]  # address, epoch


class Tally(NamedTuple):
    """One receiver against what was sent. All are counts of samples; the sets were compared.

    Attributes:
        lost: sent, not received, apart from `tail`.
        tail: of a device that was killed: the last it had made, which nobody can have told of.
        stated: of the lost, those the receiver names.
        misstated: named as missing although received, or never sent.
    """

    receiver: str
    sent: int
    received: int
    lost: int
    duplicated: int
    stated: int
    misstated: int
    tail: int
    unsent: int

    @property
    def honest(self) -> bool:
        """Whether all that is lost, and only that, is stated, nothing twice, nothing invented."""
        exact = self.lost == self.stated and self.misstated == 0
        return exact and self.duplicated == 0 and self.unsent == 0


def read_log(path: Path, prefix: str = "") -> dict[Key, Counter[int]]:
    """Read what a source or a listener noted; a line that a kill cut short is left out."""
    found: dict[Key, Counter[int]] = {}
    for line in path.read_text().splitlines(keepends=True):
        if not line.endswith("\n") or not line.startswith(prefix):
            continue
        address, epoch, seq, *_ = line.split()
        found.setdefault((address, int(epoch)), Counter())[int(seq)] += 1
    return found


def ages_ms(path: Path, part: str, from_line: int = 0) -> NDArray[np.float64]:
    """Return the ages that a listener noted of addresses with `part` in them, ms."""
    lines = path.read_text().splitlines()[from_line:-1]
    return np.array([int(text.split()[3]) / 1e3 for text in lines if part in text])


def read_recording(path: Path, prefix: str) -> tuple[dict[Key, Counter[int]], set[tuple[Key, int]]]:
    """Return what a recording holds of addresses below a prefix, and what it says is missing."""
    recording = open_recording(path)
    held: dict[Key, Counter[int]] = {}
    missing: set[tuple[Key, int]] = set()
    for address, recorded in recording.channels.items():
        if not address.startswith(prefix):
            continue
        for one in recording.found(address):
            held.setdefault((address, one.header.epoch), Counter())[one.header.seq] += 1
        for gap in recorded.gaps:
            missing |= {((address, gap.epoch), seq) for seq in range(gap.first, gap.last + 1)}
    recording.close()
    return held, missing


def read_stated(path: Path, prefix: str) -> set[tuple[Key, int]]:
    """Return what a listener named as missing."""
    return {
        ((address, epoch), seq)
        for address, epoch, first, last in json.loads(path.read_text())
        if address.startswith(prefix)
        for seq in range(first, last + 1)
    }


def compare(
    receiver: str,
    sent: dict[Key, Counter[int]],
    got: dict[Key, Counter[int]],
    stated: Iterable[tuple[Key, int]],
    killed: set[Key] | None = None,
) -> Tally:
    """Compare two sets of samples.

    Args:
        receiver: for people.
        sent: by the sources.
        got: by the receiver.
        stated: as missing, by the receiver.
        killed: epochs whose source was killed: what it made after the last that came is its tail.
    """
    lost: set[tuple[Key, int]] = set()
    tail = unsent = 0
    for key, seqs in sent.items():
        here = got.get(key, Counter())
        missing = set(seqs) - set(here)
        if killed and key in killed:
            end = max(here, default=-1)
            tail += sum(seq > end for seq in missing)
            missing = {seq for seq in missing if seq <= end}
        lost |= {(key, seq) for seq in missing}
        unsent += len(set(here) - set(seqs))
    named = set(stated)
    return Tally(
        receiver=receiver,
        sent=sum(map(len, sent.values())),
        received=sum(map(len, got.values())),
        lost=len(lost),
        duplicated=sum(count - 1 for seqs in got.values() for count in seqs.values()),
        stated=len(lost & named),
        misstated=len(named - lost),
        tail=tail,
        unsent=unsent + sum(len(seqs) for key, seqs in got.items() if key not in sent),
    )
