"""Erases samples from a recording for good, so that the rest is still proven.

In this order, so that a crash at any point is repaired by doing it again: the ledger keeps the
leaves of what goes and loses the secrets that open them, and the redaction is signed; then the
bytes go, from journals, segments and what lies beside them; then each new file is entered.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from scot.codec import Frame
from scot.errors import RecordingError
from scot.note import Signer
from scot_replay import sidecar
from scot_replay.beside import make
from scot_replay.journal import JournalReader, Record, RecordKind, decode_head, encode_record
from scot_replay.layout import (
    DAMAGED,
    WORK,
    Layout,
    Manifest,
    hold,
    iso_utc,
    list_parts,
    sync_directory,
)
from scot_replay.ledger.entry import (
    OTHER,
    SALT_BYTES,
    Block,
    Erased,
    Opened,
    Opening,
    Redaction,
    encode_entry,
    record_leaf,
    runs,
)
from scot_replay.ledger.log import LEDGER, Item, Log, encode_line, lines, opened
from scot_replay.ledger.merkle import root
from scot_replay.ledger.sealed import enter
from scot_replay.ledger.stored import JournalSource, Records, SegmentSource, Source, Stored
from scot_replay.ledger.without import Without, within
from scot_replay.seal import write_segment
from scot_replay.segment import SegmentPart

_encoder = msgspec.msgpack.Encoder()


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


class Redacted(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased.

    Attributes:
        path: of the recording.
        records: erased, with copies in the state of later parts.
        files: that were written anew.
        blocks: that lost their seed.
    """

    path: str
    records: int
    files: list[str]
    blocks: int


def redact(path: Path, asked: Asked, signer: Signer) -> Redacted:
    """Erase samples.

    Raises:
        RecordingError: the recording is being made, has no ledger, is damaged or altered where it
            would be erased, or the disk does not take what is written anew.
    """
    layout = list_parts(path)
    _refuse(layout)
    held = hold(path)
    if held is None:
        raise RecordingError(f"{path} is being recorded or repaired; end that first")
    try:
        log = Log(path / LEDGER)
        with log.turn():
            blocks = _in_ledger(log, layout, asked, signer)
        records, files = 0, []
        if blocks:
            _leftovers(path)
        for file in [*layout.journals.values(), *layout.segments.values()]:
            done = _journal(file, asked) if file.suffix == ".scotj" else _segment(file, asked)
            if done:
                records += done
                files.append(file.name)
        if records:
            _leftovers(path)
        for number in layout.segments:
            if layout.segments[number].name in files:
                enter(path, number, signer)
                with contextlib.suppress(OSError):  # without columns it is only slower to read
                    _columns(layout.segments[number], number)
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error.strerror}; do it again") from None
    finally:
        os.close(held)
    if not records and not blocks:
        raise RecordingError(
            f"{path} holds nothing of {', '.join(asked.addresses)} from "
            f"{iso_utc(asked.between[0])} to {iso_utc(asked.between[1])}; nothing was changed"
        )
    return Redacted(path=str(path), records=records, files=files, blocks=blocks)


def _in_ledger(log: Log, layout: Layout, asked: Asked, signer: Signer) -> int:
    """Keep the leaves, drop the secrets, sign; all of it in one step. Return how many blocks."""
    if log.begin is None or log.begin.key != signer.verifier.text():
        raise RecordingError(
            f"{log.path} is signed by {'nobody' if log.begin is None else log.begin.key}; redact "
            "with that key, or a verifier would not believe it"
        )
    data = log.path.read_bytes()
    found = list(lines(data))
    places = [at for at, line in enumerate(found) if line.kind == Item.ENTRY]
    entries = [opened(found[at]) for at in places]
    changed, erased = _openings(entries, layout, asked)
    if not changed:
        return 0
    for place, opening in changed.items():
        leaf, secret = encode_entry(entries[place].entry, opening)
        body = _encoder.encode((leaf, secret))
        found[places[place]] = found[places[place]]._replace(body=body)
    entry = Redaction(asked.by, asked.reason, asked.utc_ns, asked.addresses, *asked.between, erased)
    log.rewrite(b"".join(encode_line(Item(one.kind), one.body) for one in found))
    log.append([(entry, None)], signer)
    return len(changed)


def _openings(
    entries: Sequence[Opened], layout: Layout, asked: Asked
) -> tuple[dict[int, Opening], list[Erased]]:
    """Return new openings by place of the entry, and what they say is erased."""
    changed: dict[int, Opening] = {}
    erased: list[Erased] = []
    parts: dict[int, list[tuple[int, Block, Opening]]] = {}
    for place, one in enumerate(entries):
        block = one.entry
        if isinstance(block, Block) and one.opening and _touched(block, asked):
            parts.setdefault(block.part, []).append((place, block, one.opening))
    for number, blocks in parts.items():
        source, state = _source(layout, number, asked)
        for place, block, opening in blocks:
            if source is None or (block.address == OTHER and not source.others):
                # it is gone, or in another form: of the block, only the seed is left to lose
                if opening.seed and (state or block.address != OTHER):
                    changed[place] = Opening(b"", b"")
                continue
            kept = _Kept(block, opening, source.records(block.address), asked, source.name)
            if kept.fresh:
                changed[place] = kept.opening
                erased.append(Erased(place, runs(kept.fresh), len(kept.fresh)))
    return changed, erased


def _touched(block: Block, asked: Asked) -> bool:
    if block.address == OTHER:
        return True
    from_ns, to_ns = asked.between
    return block.address in asked.addresses and block.first_ns < to_ns and block.last_ns >= from_ns


def _source(layout: Layout, number: int, asked: Asked) -> tuple[Source | None, bool]:
    """Return the records of a part, and whether what was true before it is to be erased, too."""
    if number in layout.segments:
        part = SegmentPart(layout.segments[number], number)
        if part.damage:
            raise RecordingError(f"{part.path} is damaged: {part.damage[0]}; recover it first")
        state = [f for a, f in part.state.items() if a in asked.addresses]
        return SegmentSource(part), any(within(frame, asked.between) for frame in state)
    if number in layout.journals:
        return JournalSource(layout.journals[number]), True
    return None, True


class _Kept:
    """The new opening of one block."""

    def __init__(
        self, block: Block, opening: Opening, records: Records, asked: Asked, file: str
    ) -> None:
        keys = [(e, seq) for e, first, last in block.runs for seq in range(first, last + 1)]
        if len(keys) != block.count:
            raise RecordingError(
                f"{file}: two samples of {block.address} share a seq; not erasable"
            )
        self.fresh = []
        salts, leaves, kept = [], [], dict(opening.kept)
        for place, key in enumerate(keys):
            same = records.get(key, [])
            if place in kept or not same:
                salts.append(bytes(SALT_BYTES))
                leaves.append(kept.get(place, b""))
                continue
            salt = opening.salt(place, same[0].key)
            leaves.append(record_leaf(salt, same[0].kind, bytes(same[0].body)))
            if selected(block.address, same[0], asked):
                kept[place] = leaves[-1]
                self.fresh.append(same[0].key)
                salts.append(bytes(SALT_BYTES))
            else:
                salts.append(salt)
        if self.fresh and root(leaves) != block.root:
            raise RecordingError(
                f"{file}: {block.address} is not as it was recorded; to erase from it now would "
                "hide that. scot verify says what differs"
            )
        self.opening = Opening(b"", opening.marks, b"".join(salts), kept)


def selected(address: str, stored: Stored, asked: Asked) -> bool:
    """Say whether a record is to be erased."""
    if address != OTHER:
        return asked.between[0] <= stored.key[2] < asked.between[1]
    return stored.kind == RecordKind.STATE and _is_state(bytes(stored.body), asked)


def _is_state(body: bytes, asked: Asked) -> bool:
    frame: Frame = decode_head(body)
    return frame.address in asked.addresses and within(frame, asked.between)


def _refuse(layout: Layout) -> None:
    """Look for what would be left over.

    Raises:
        RecordingError: there is no ledger, or files beside the parts that it knows nothing of.
    """
    path = layout.path
    if not (path / LEDGER).exists():
        raise RecordingError(f"{path} has no {LEDGER}; what is erased could not be accounted for")
    for kept in (path / DAMAGED, path / WORK, *layout.doubles):
        if kept.exists():
            raise RecordingError(
                f"{kept} may hold what is to be erased, and nothing accounts for it; move it away "
                "or remove it first"
            )


def _leftovers(path: Path) -> None:
    """Remove what sealing left of journals beside the parts: rotten copies, half segments."""
    for pattern in ("journal-*.damaged", "journal-*.part", "segment-*.part"):
        for entry in path.glob(pattern):
            entry.unlink()
    sync_directory(path)


def _journal(path: Path, asked: Asked) -> int:
    """Write a journal anew with zeros for what goes; return how many records."""
    data = path.read_bytes()
    reader = JournalReader(data, path.name)
    fresh, done = bytearray(data), 0
    for record in reader.records():
        if _goes(record, asked):
            body = bytes((record.kind,)) + bytes(len(record.body) - 1)
            fresh[record.start : record.end] = encode_record(RecordKind.ERASED, body)
            done += 1
    if done:
        _replace(path, bytes(fresh))
    return done


def _goes(record: Record, asked: Asked) -> bool:
    return record.kind in {RecordKind.FRAME, RecordKind.STATE} and _is_state(
        bytes(record.body), asked
    )


def _segment(path: Path, asked: Asked) -> int:
    """Write a segment anew without what goes; return how many samples and states."""
    part = SegmentPart(path, int(path.stem.rsplit("-", 1)[-1]))
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
