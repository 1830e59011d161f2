"""Erases samples from a recording for good, so that the rest is still proven.

In this order, so that a crash leaves nothing done, or what `scot verify` calls unfinished and
`finish` ends: in one step the ledger keeps the leaves of what goes, loses the secrets that open
them, and has the redaction signed; then the bytes go, file by file. A segment that is written anew
is entered in the ledger before it gets its name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from scot.errors import RecordingError
from scot.note import Signer
from scot_replay.journal import RecordKind
from scot_replay.layout import (
    DAMAGED,
    WORK,
    Layout,
    hold,
    iso_utc,
    list_parts,
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
from scot_replay.ledger.erase import Asked, erase, is_asked
from scot_replay.ledger.log import LEDGER, Item, Log, encode_line, lines, opened
from scot_replay.ledger.merkle import root
from scot_replay.ledger.read import read_ledger
from scot_replay.ledger.stored import JournalSource, Records, SegmentSource, Source, Stored
from scot_replay.ledger.without import within
from scot_replay.segment import SegmentPart

_encoder = msgspec.msgpack.Encoder()


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
        records, files = erase(layout, asked, signer, tidy=blocks > 0)
    except OSError as error:
        why = f"{error.strerror}; mend that, then: scot redact --resume {path}"
        raise RecordingError(f"{path} cannot be written: {why}") from None
    finally:
        os.close(held)
    if not records and not blocks:
        raise RecordingError(
            f"{path} holds nothing of {', '.join(asked.addresses)} from "
            f"{iso_utc(asked.between[0])} to {iso_utc(asked.between[1])}; nothing was changed"
        )
    return Redacted(path=str(path), records=records, files=files, blocks=blocks)


def finish(path: Path, signer: Signer) -> Redacted:
    """End every erasure that the ledger tells of and that a crash broke off.

    Raises:
        RecordingError: as `redact` does; there is none to end.
    """
    layout = list_parts(path)
    _refuse(layout)
    held = hold(path)
    if held is None:
        raise RecordingError(f"{path} is being recorded or repaired; end that first")
    records, files = 0, list[str]()
    try:
        log = Log(path / LEDGER)
        with log.turn():
            _check_signer(log, signer)
        ledger = read_ledger(path, [signer.verifier])
        signed = [one.entry for one in ledger.entries[: ledger.covered]]
        told = [entry for entry in signed if isinstance(entry, Redaction)]
        for entry in told:
            asked = Asked(
                addresses=entry.channels, between=(entry.from_ns, entry.to_ns), by=entry.by,
                reason=entry.reason, utc_ns=entry.utc_ns,
            )  # fmt: skip
            done, names = erase(list_parts(path), asked, signer, tidy=True)
            records, files = records + done, [*files, *names]
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error.strerror}; do it again") from None
    finally:
        os.close(held)
    if not told:
        raise RecordingError(f"{path}: nothing was ever erased from it; there is nothing to end")
    return Redacted(path=str(path), records=records, files=list(dict.fromkeys(files)), blocks=0)


def _check_signer(log: Log, signer: Signer) -> None:
    if log.begin is None or log.begin.key != signer.verifier.text():
        raise RecordingError(
            f"{log.path} is signed by {'nobody' if log.begin is None else log.begin.key}; redact "
            "with that key, or a verifier would not believe it"
        )


def _in_ledger(log: Log, layout: Layout, asked: Asked, signer: Signer) -> int:
    """Keep the leaves, drop the secrets, sign; all of it in one step. Return how many blocks."""
    _check_signer(log, signer)
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
    kept = b"".join(encode_line(Item(one.kind), one.body) for one in found)
    log.rewrite(kept, [(entry, None)], signer)
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
    return stored.kind == RecordKind.STATE and is_asked(bytes(stored.body), asked)


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
