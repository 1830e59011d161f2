"""Takes the bytes of erased samples out of the files of a recording, one file after the other.

Each file is written anew beside the old one, and gets its name when it is whole and forced down; a
segment is entered in the ledger before that. Doing it again does what is left.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from scot.codec import Frame, read_header
from scot.errors import RecordingError
from scot.note import Signer
from scot_replay import sidecar
from scot_replay.beside import make
from scot_replay.journal import (
    JournalReader,
    Record,
    RecordKind,
    decode_head,
    encode_erased,
    encode_record,
)
from scot_replay.layout import Layout, Manifest, sync_directory
from scot_replay.ledger.sealed import enter_fresh
from scot_replay.ledger.without import Without, within
from scot_replay.seal import write_segment
from scot_replay.segment import SegmentPart


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be erased, and why.

    Attributes:
        addresses: channels.
        between: bus time, the end exclusive.
        by, reason: for the ledger; a reason names no patient.
        utc_ns: now.
    """

    addresses: list[str]
    between: tuple[int, int]
    by: str
    reason: str
    utc_ns: int


def erase(layout: Layout, asked: Asked, signer: Signer, *, tidy: bool) -> tuple[int, list[str]]:
    """Take the bytes out of every file; return how many records, and of which files."""
    records, files = 0, []
    if tidy:
        _leftovers(layout.path)
    for number, file in [*layout.journals.items(), *layout.segments.items()]:
        sealed = file.suffix != ".scotj"
        done = _segment(file, number, asked, signer) if sealed else _journal(file, asked)
        if done:
            records += done
            files.append(file.name)
            if sealed:
                with contextlib.suppress(OSError):  # without columns it is only slower to read
                    _columns(file, number)
    if records:
        _leftovers(layout.path)
    return records, files


def is_asked(body: bytes, asked: Asked) -> bool:
    """Say whether a frame is to be erased."""
    frame: Frame = decode_head(body)
    return frame.address in asked.addresses and within(frame, asked.between)


def _leftovers(path: Path) -> None:
    """Remove what sealing left of journals beside the parts: rotten copies, half segments."""
    for pattern in ("journal-*.damaged", "journal-*.part", "segment-*.part"):
        for entry in path.glob(pattern):
            entry.unlink()
    for entry in (path / sidecar.DIRECTORY).glob("*.part"):
        entry.unlink()
    sync_directory(path)


def _journal(path: Path, asked: Asked) -> int:
    """Write a journal anew with zeros for what goes; return how many records."""
    data = path.read_bytes()
    goes = [one for one in JournalReader(data, path.name).records() if _goes(one, asked)]
    times: dict[str, list[int]] = {}
    for record in goes:
        if record.kind == RecordKind.FRAME:
            frame = decode_head(record.body)
            times.setdefault(frame.address, []).append(read_header(frame).bus_ns)
    fresh = bytearray(data)
    for record in goes:
        said = None
        if record.kind == RecordKind.FRAME:
            address = decode_head(record.body).address
            said = address, min(times[address]), max(times[address])
        body = encode_erased(record.kind, len(record.body), said)
        fresh[record.start : record.end] = encode_record(RecordKind.ERASED, body)
    if goes:
        _replace(path, bytes(fresh))
    return len(goes)


def _goes(record: Record, asked: Asked) -> bool:
    return record.kind in {RecordKind.FRAME, RecordKind.STATE} and is_asked(
        bytes(record.body), asked
    )


def _segment(path: Path, number: int, asked: Asked, signer: Signer) -> int:
    """Write a segment anew without what goes; return how many samples and states."""
    part = SegmentPart(path, number)
    left = Without(part, asked.addresses, asked.between)
    try:
        if not left.erased:
            return 0
        if part.damage:
            raise RecordingError(f"{path} is damaged: {part.damage[0]}; recover it first")
        sidecar.remove(path.parent, part.number)
        fresh = path.with_name(f"{path.name}.part")
        with fresh.open("wb") as out:
            write_segment(left, out)
            out.flush()
            os.fsync(out.fileno())
        again = SegmentPart(fresh, part.number)
        for address in left.addresses():
            if len(again.times(address)) != len(left.times(address)):
                raise RecordingError(f"{fresh} holds other samples of {address} than it should")
        again.close()
        enter_fresh(path.parent, number, fresh, signer)
        fresh.rename(path)
        sync_directory(path.parent)
        return left.erased
    finally:
        part.close()


def _columns(path: Path, number: int) -> None:
    part = SegmentPart(path, number)
    try:
        make(part, path, part.manifest or Manifest())
    finally:
        part.close()


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.part")
    with fresh.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(path)
    sync_directory(path.parent)
