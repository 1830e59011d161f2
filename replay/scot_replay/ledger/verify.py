"""Says of a recording whether it is as it was recorded, who signed that, and how far it goes.

Two ways. Sealed segments are compared byte by byte with what their sealer entered after it had
compared every record with the blocks; journals, and segments of which that does not stand, record
by record. Both rest on the last checkpoint whose signature is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.x509 import Certificate

from scot.errors import RecordingError
from scot.note import Verifier
from scot_replay.layout import MANIFEST, Layout, list_parts, parse_manifest, read_manifest
from scot_replay.ledger import keys, site
from scot_replay.ledger.checkpoint import cosigned
from scot_replay.ledger.compare import Fault, compare
from scot_replay.ledger.entry import Begin, Block, End, Opened, Opening, Redaction, Sealed, Shredded
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.read import Ledger, read_ledger, text_of
from scot_replay.ledger.stored import (
    DAMAGED,
    JournalSource,
    SegmentSource,
    Source,
    journal_manifest,
)
from scot_replay.place import sliced
from scot_replay.segment import SegmentPart

WORKERS = 2


class Part(msgspec.Struct, kw_only=True):
    """What was found of one part.

    Attributes:
        file: that was looked at; empty when there is none.
        how: ``bytes`` or ``records``.
        proven, erased: records that are as they were; whose leaf only is left.
        beyond: records after the last checkpoint, of which nothing can be said.
        beyond_first_ns, beyond_last_ns: their bus time; 0 when it is not known.
    """

    number: int
    file: str = ""
    how: str = "records"
    proven: int = 0
    erased: int = 0
    beyond: int = 0
    beyond_first_ns: int = 0
    beyond_last_ns: int = 0


class Report(msgspec.Struct, kw_only=True):
    """What `verify` found.

    Attributes:
        path: of the recording.
        origin: of its checkpoints.
        signer: name and key of who signed them.
        known: that key is one the verifier was given, or this machine's own.
        entries, checkpoints: in the ledger, and with a right signature.
        covered: entries that the last of those covers.
        until_ns: bus time up to which records are covered; 0 without any.
        parts: by number.
        faults: what is not as it was recorded; the first is the first in time.
        redactions: who erased what, why.
        shredded: who destroyed the key of its samples.
        witnesses: who cosigned it, at which size and when.
        tokens: RFC 3161 tokens over its checkpoints.
        ended: it was ended in order.
    """

    path: str
    origin: str = ""
    signer: str = ""
    known: bool = False
    entries: int = 0
    checkpoints: int = 0
    covered: int = 0
    until_ns: int = 0
    parts: list[Part] = []
    faults: list[Fault] = []
    redactions: list[Redaction] = []
    shredded: list[Shredded] = []
    witnesses: list[dict[str, object]] = []
    tokens: list[dict[str, object]] = []
    ended: bool = False

    @property
    def intact(self) -> bool:
        """Nothing is other than it was recorded, as far as the ledger reaches."""
        return not self.faults and self.covered > 0


def fault(what: str, file: str, detail: str, part: int = 0) -> Fault:
    """Return a fault that is of no record."""
    return Fault(what, part, file, "", -1, -1, 0, 0, 0, detail)


def verify(
    path: Path,
    believed: Sequence[Verifier] = (),
    folder: Path | None = None,
    *,
    witnesses: Sequence[Verifier] = (),
    authorities: Sequence[Certificate] = (),
    records: bool = False,
) -> Report:
    """Verify a recording.

    Args:
        path: of its directory.
        believed: whose signature is believed; without any, that of the key it names itself.
        folder: of this machine's key and of the site's log.
        authorities: roots of those whose time stamps are believed; without any, none is checked.
        witnesses: whose cosignatures are looked for; one that says nothing is a fault.
        records: compare sealed segments record by record, too.

    Raises:
        RecordingError: there is no recording, or it has no ledger.
    """
    layout = list_parts(path)
    ledger = read_ledger(path, believed)
    report = Report(path=str(path), origin=ledger.origin, signer=ledger.signer.text())
    report.known = ledger.signer in believed or ledger.signer == keys.own_key(folder)
    report.entries, report.checkpoints = len(ledger.entries), ledger.checkpoints
    report.covered, report.faults = ledger.covered, [fault(*found) for found in ledger.faults]
    report.tokens = [_token(ledger, *one, authorities) for one in ledger.tokens]
    report.faults += [
        fault("signature", LEDGER, str(one["says"])) for one in report.tokens if one["bad"]
    ]
    _witnessed(ledger, witnesses, report)
    proof = _Proof(layout, ledger, report)
    proof.parts(records)
    proof.manifest()
    proof.heads(folder)
    report.faults.sort(key=lambda one: (one.part == 0, one.part, one.first_ns))
    return report


class _Proof:
    """The work of `verify` on one recording."""

    def __init__(self, layout: Layout, ledger: Ledger, report: Report) -> None:
        self._layout, self._ledger, self._report = layout, ledger, report
        self._blocks: dict[int, list[tuple[Block, Opening]]] = {}
        self._sealed: dict[int, Sealed] = {}
        self._end: End | None = None
        self._before = _given_up(layout)
        for place, one in enumerate(ledger.entries[: ledger.covered]):
            self._sort(place, one)

    def _sort(self, place: int, one: Opened) -> None:
        entry, report = one.entry, self._report
        if isinstance(entry, Block):
            opening = one.opening or Opening(b"", b"")
            self._blocks.setdefault(entry.part, []).append((entry, opening))
            report.until_ns = max(report.until_ns, entry.last_ns)
        elif isinstance(entry, Sealed):
            self._sealed[entry.part] = entry
        elif isinstance(entry, Redaction):
            report.redactions.append(entry)
        elif isinstance(entry, Shredded):
            report.shredded.append(entry)
        elif isinstance(entry, End):
            self._end = entry
            report.ended = True
        elif not (isinstance(entry, Begin) and place == 0):
            report.faults.append(fault("ledger", "", f"entry {place} does not belong there"))

    def parts(self, records: bool) -> None:
        """Look at every part that there is, or that there should be."""
        report, layout = self._report, self._layout
        by_bytes: list[tuple[Part, Path, Sealed]] = []
        for number in sorted({*self._blocks, *self._sealed, *layout.numbers}):
            part = Part(number=number)
            report.parts.append(part)
            segment, sealed = layout.segments.get(number), self._sealed.get(number)
            file = segment or layout.journals.get(number)
            if file is None:
                if number > self._before:
                    self._gone(number)
                continue
            part.file = file.name
            if segment and sealed and sealed.records >= 0 and not records:
                by_bytes.append((part, segment, sealed))
            else:
                self._by_records(part, file)
        with ThreadPoolExecutor(WORKERS) as pool:  # sha256 lets other threads go on meanwhile
            found = pool.map(lambda one: list(_differing(one[1], one[2])), by_bytes)
            for (part, segment, sealed), faults in zip(by_bytes, found, strict=True):
                report.faults += faults
                if faults:
                    self._by_records(part, segment)
                    continue
                part.how, part.proven, part.beyond = "bytes", sealed.records, sealed.beyond
                part.erased = sum(len(o.kept) for _, o in self._blocks.get(part.number, []))

    def _gone(self, number: int) -> None:
        blocks = [block for block, _ in self._blocks.get(number, [])]
        times = [t for b in blocks if b.last_ns for t in (b.first_ns, b.last_ns)] or [0]
        records = sum(block.count for block in blocks)
        name = f"segment-{number}.mcap"
        self._report.faults.append(
            Fault(
                "missing", number, name, "", -1, -1, records, min(times), max(times),
                "the whole part: neither a segment nor a journal is there",
            )
        )  # fmt: skip

    def _by_records(self, part: Part, file: Path) -> None:
        faults = self._report.faults
        source: Source
        try:
            if file.suffix == ".mcap":
                source = SegmentSource(SegmentPart(file, part.number))
            else:
                source = JournalSource(file)
            found = compare(part.number, self._blocks.get(part.number, []), source)
        except DAMAGED as error:
            faults.append(fault("file", file.name, str(error), part.number))
            self._gone(part.number)
            return
        faults += found.faults
        faults += [fault("damaged", file.name, line, part.number) for line in source.damage]
        if source.torn and self._end is not None and part.number == self._layout.numbers[-1]:
            detail = "it is cut at its end, though the recording was ended in order"
            faults.append(fault("damaged", file.name, detail, part.number))
        part.how, part.proven, part.erased = "records", found.proven, found.erased
        sealed = self._sealed.get(part.number)
        for address, beyond in found.beyond.items():
            added = [one for one in beyond if source.others and one.at < found.last_at]
            if not source.others and sealed is not None and not sealed.beyond:
                added = beyond
            if added:
                first = min(added, key=lambda one: one.at)
                faults.append(
                    Fault(
                        "added", part.number, file.name, address, first.key[0], first.key[1],
                        len(added), min(a.key[2] for a in added), max(a.key[2] for a in added),
                        "no checkpoint speaks of them, though later records have one",
                    )
                )  # fmt: skip
            times = [one.key[2] for one in beyond if one not in added and one.key[2]]
            part.beyond += len(beyond) - len(added)
            if times:
                since = part.beyond_first_ns or min(times)
                part.beyond_first_ns = min(since, *times)
                part.beyond_last_ns = max(part.beyond_last_ns, *times)

    def manifest(self) -> None:
        """Look at what the directory says of itself."""
        path, faults, ledger = self._layout.path, self._report.faults, self._ledger
        try:
            data = (path / MANIFEST).read_bytes()
        except OSError as error:
            faults.append(fault("file", MANIFEST, f"cannot be read: {error.strerror}"))
            return
        if self._end is None:
            self._first_manifest(data)
            return
        if sha256(data).digest() != self._end.manifest:
            faults.append(fault("altered", MANIFEST, "it was changed after the end"))
        if ledger.torn and not ledger.faults:
            detail = f"its last {ledger.torn} B are no record, though it was ended in order"
            faults.append(fault("ledger", LEDGER, detail))

    def _first_manifest(self, data: bytes) -> None:
        """Compare the manifest of what was never ended with that in its first part."""
        number = self._layout.numbers[0]
        try:
            if number in self._layout.segments:
                first = SegmentPart(self._layout.segments[number], number).manifest
            else:
                first = journal_manifest(self._layout.journals[number])
            here = parse_manifest(data, MANIFEST)
        except RecordingError as error:
            self._report.faults.append(fault("file", MANIFEST, str(error)))
            return
        if first is not None:
            now = msgspec.structs.replace(here, finished_ns=first.finished_ns)
            if msgspec.structs.replace(now, finished=first.finished) != first:
                detail = "it says otherwise than the first part"
                self._report.faults.append(fault("altered", MANIFEST, detail))

    def heads(self, folder: Path | None) -> None:
        """Look at what the site's log says of this recording."""
        faults = self._report.faults
        for head in site.heads((folder or keys.folder()) / site.SITE):
            if head.origin != self._ledger.origin or not head.size:
                continue
            if not self._ledger.was(head.size, head.root):
                faults.append(
                    fault(
                        "ledger", site.SITE,
                        f"the site's log knows this ledger with {head.size} entries; of those, "
                        f"{self._report.covered} are here as they were",
                    )
                )  # fmt: skip


def _given_up(layout: Layout) -> int:
    """Return up to which part the recorder itself may have removed parts: before a trigger."""
    try:
        manifest = read_manifest(layout.path)
    except RecordingError:
        return 0
    return layout.numbers[0] - 1 if manifest is not None and manifest.keep_last_s else 0


def _token(
    ledger: Ledger, size: int, digest: bytes, token: bytes, authorities: Sequence[Certificate]
) -> dict[str, object]:
    """Return what a time stamp says, and whether it is bad."""
    text = text_of(ledger.notes.get(size, b""))
    found: dict[str, object] = {"size": size, "at": "", "bad": False}
    if sha256(text).digest() != digest:
        return {
            **found,
            "bad": True,
            "says": f"a time stamp ({size}) fits no checkpoint",
        }
    if not authorities:
        return {**found, "says": "not checked; give the authority's root with --authority"}
    from scot_replay.ledger.timestamp import when

    try:
        at = when(token, text, authorities)
    except RecordingError as error:
        return {**found, "bad": True, "says": str(error)}
    return {**found, "at": at, "says": at}


def _witnessed(ledger: Ledger, witnesses: Sequence[Verifier], report: Report) -> None:
    for witness in witnesses:
        seen = [(size, said) for size, note in ledger.notes.items()
                if (said := cosigned(note, witness))]  # fmt: skip
        if not seen:
            detail = f"the witness {witness.name} says nothing of it"
            report.faults.append(fault("signature", LEDGER, detail))
            continue
        size, said = max(seen)
        at = datetime.fromtimestamp(said.at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        report.witnesses.append({"witness": witness.name, "size": size, "at": at})


def _differing(path: Path, sealed: Sealed) -> Iterator[Fault]:
    """Yield the stretches of a segment's file that are not as its sealer entered them."""
    try:
        data = sliced(path)
    except (OSError, ValueError) as error:
        yield fault("file", path.name, str(error), sealed.part)
        return
    if len(data) != sealed.size:
        detail = f"it has {len(data)} B, it was sealed with {sealed.size}"
        yield fault("file", path.name, detail, sealed.part)
    for one in sealed.stretches:
        if sha256(data[one.at : one.at + one.size]).digest() == one.digest:
            continue
        where = f"bytes {one.at} to {one.at + one.size}"
        what = f"chunk {one.chunk}, {where}" if one.chunk else f"{where}, between chunks"
        yield Fault(
            "chunk", sealed.part, path.name, ", ".join(one.addresses), -1, -1, 0,
            one.first_ns, one.last_ns, what,
        )  # fmt: skip
