"""The sealer's side of the ledger: a segment's bytes, its records compared with the blocks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from mcap.reader import make_reader

from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.errors import RecordingError, ScotError
from scot.note import Signer
from scot_replay.layout import segment_path
from scot_replay.ledger.compare import compare
from scot_replay.ledger.entry import Block, Opened, Opening, Sealed, Stretch
from scot_replay.ledger.keys import find
from scot_replay.ledger.log import LEDGER, Item, Log, lines, opened
from scot_replay.ledger.proven import proven
from scot_replay.ledger.stored import JournalSource, SegmentSource, Source
from scot_replay.parts import JournalPart
from scot_replay.segment import SegmentPart

MAX_STRETCH = 4 << 20


class _Chunk(NamedTuple):
    at: int
    size: int
    first_ns: int
    last_ns: int
    addresses: list[str]


def enter(directory: Path, number: int, journal: JournalPart | None = None) -> None:
    """Enter segment `number` in the recording's ledger; nothing happens without a ledger.

    Its records are compared with the blocks: those of the journal, where it is still there, or the
    segment's own. Trouble is said on stderr and stops nobody: the segment is then verified
    record by record.
    """
    path = directory / LEDGER
    if not path.exists():
        return
    try:
        segment = segment_path(directory, number)
        _enter(segment, number, Log(path), find(), journal)
    except (OSError, ScotError) as error:
        sys.stderr.write(f"segment {number} is not in {path}: {error}\n")


def enter_fresh(directory: Path, number: int, fresh: Path, signer: Signer) -> None:
    """Enter segment `number` in the ledger while it has another name, before it gets its own.

    Raises:
        OSError, ScotError: it cannot be read, or the ledger not be written.
    """
    _enter(fresh, number, Log(directory / LEDGER), signer)


def _enter(
    segment: Path, number: int, log: Log, signer: Signer | None, journal: JournalPart | None = None
) -> None:
    size, pieces = segment.stat().st_size, stretches(segment)
    records, beyond = _compared(segment, number, blocks(log.path, number), journal)
    with log.turn():  # short: the recorder forces nothing down while it waits for its own
        if signer is not None and log.begin is not None:
            signer = signer if signer.verifier.text() == log.begin.key else None
        entry = Sealed(number, size, records, beyond, pieces)
        log.append([(entry, None)], signer)


def _compared(
    segment: Path,
    number: int,
    blocks: list[tuple[Block, Opening]],
    journal: JournalPart | None,
) -> tuple[int, int]:
    """Return how many samples the blocks prove (-1: not all they name), and what is beyond."""
    if journal is not None and (all_of_it := proven(journal, blocks)) is not None:
        return all_of_it
    source: Source
    if journal is not None:
        source = JournalSource(journal.path)
    else:
        source = SegmentSource(SegmentPart(segment, number))
    found = compare(number, blocks, source)
    beyond = sum(len(records) for records in found.beyond.values())
    return -1 if found.faults else found.proven, beyond


def blocks(ledger: Path, number: int) -> list[tuple[Block, Opening]]:
    """Return the blocks of one part, with what opens them."""
    found: list[tuple[Block, Opening]] = []
    for line in lines(ledger.read_bytes()):
        if line.kind == Item.ENTRY:
            one: Opened = opened(line)
            if isinstance(one.entry, Block) and one.entry.part == number and one.opening:
                found.append((one.entry, one.opening))
    return found


def stretches(path: Path) -> list[Stretch]:
    """Return all bytes of an MCAP file as stretches with their digests.

    Raises:
        RecordingError: the file has no summary.
        OSError: it cannot be read.
    """
    found: list[Stretch] = []
    with path.open("rb") as file:
        chunks = list(_chunks(path))
        size = path.stat().st_size
        at = number = 0
        for chunk in [*chunks, _Chunk(size, 0, 0, 0, [])]:
            while at < chunk.at:
                length = min(MAX_STRETCH, chunk.at - at)
                found.append(Stretch(at, length, sha256(file.read(length)).digest()))
                at += length
            if chunk.size:
                number += 1
                digest = sha256(file.read(chunk.size)).digest()
                found.append(
                    Stretch(
                        at, chunk.size, digest, number, chunk.first_ns, chunk.last_ns,
                        chunk.addresses,
                    )
                )  # fmt: skip
                at += chunk.size
    return found


def _chunks(path: Path) -> Iterator[_Chunk]:
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
        if summary is None:
            raise RecordingError(f"{path} has no summary")
        for index in sorted(summary.chunk_indexes, key=lambda one: one.chunk_start_offset):
            addresses = sorted(summary.channels[n].topic for n in index.message_index_offsets)
            yield _Chunk(
                index.chunk_start_offset,
                index.chunk_length,
                index.message_start_time + TAI_MINUS_UTC_NS,
                index.message_end_time + TAI_MINUS_UTC_NS,
                addresses,
            )
