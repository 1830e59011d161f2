"""Says of a recording whether it is as it was recorded, who signed that, and how far it goes.

Two ways. Sealed segments are compared byte by byte with what their sealer entered after it had
compared every record with the blocks; journals, and segments of which that does not stand, record
by record. Both rest on the last checkpoint whose signature is right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.x509 import Certificate

from scot.errors import RecordingError
from scot.note import Verifier
from scot_replay.layout import (
    MANIFEST,
    Layout,
    Manifest,
    bus_ns_of,
    encode_manifest,
    list_parts,
    parse_manifest,
    read_manifest,
)
from scot_replay.ledger.compare import Fault, compare
from scot_replay.ledger.entry import Begin, Block, End, Opened, Opening, Redaction, Sealed, Shredded
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.packed import verify_packed
from scot_replay.ledger.read import Ledger, read_ledger
from scot_replay.ledger.report import RECOVERED, UNERASED, Part, Report, fault
from scot_replay.ledger.signed import signed
from scot_replay.ledger.stored import (
    DAMAGED,
    JournalSource,
    SegmentSource,
    Source,
    journal_manifest,
)
from scot_replay.place import sliced
from scot_replay.segment import SegmentPart

__all__ = ["Part", "Report", "fault", "verify"]

WORKERS = 2
KEPT_NS = 2_000_000_000  # a recorder that died wrote at most so much that is on no disk
ROUNDED_NS = 1_000_000  # what a manifest says of a trigger is to the ms


_LATER = ("finished_ns", "finished", "triggered", "recovered")
"""What a manifest says that its first part cannot know."""


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
        path: of its directory, or of the file that `scot pack` made of it.
        believed: whose signature is believed; without any, that of the key it names itself.
        folder: of this machine's key and of the site's log.
        authorities: roots of those whose time stamps are believed; without any, none is checked.
        witnesses: whose cosignatures are looked for; one that says nothing is a fault.
        records: compare sealed segments record by record, too.

    Raises:
        RecordingError: there is no recording, or it has no ledger.
    """
    if path.is_file():
        return verify_packed(path, believed, folder, witnesses=witnesses, authorities=authorities)
    layout = list_parts(path)
    ledger = read_ledger(path, believed)
    report = signed(path, ledger, believed, folder, witnesses, authorities)
    proof = _Proof(layout, ledger, report)
    proof.parts(records)
    proof.manifest()
    proof.remarks()
    report.faults.sort(key=lambda one: (one.part == 0, one.part, one.first_ns))
    return report


class _Proof:
    """The work of `verify` on one recording."""

    def __init__(self, layout: Layout, ledger: Ledger, report: Report) -> None:
        self._layout, self._ledger, self._report = layout, ledger, report
        self._blocks: dict[int, list[tuple[Block, Opening]]] = {}
        self._sealed: dict[int, Sealed] = {}
        self._stale: set[int] = set()  # sealed before something was erased from them
        self._end: End | None = None
        self._manifest = _manifest_of(layout)
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
            self._stale.discard(entry.part)
        elif isinstance(entry, Redaction):
            report.redactions.append(entry)
            touched = [self._ledger.entries[one.block].entry for one in entry.erased]
            self._stale.update(block.part for block in touched if isinstance(block, Block))
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
        missing: list[int] = []
        for number in sorted({*self._blocks, *self._sealed, *layout.numbers}):
            part = Part(number=number)
            report.parts.append(part)
            segment, sealed = layout.segments.get(number), self._sealed.get(number)
            file = segment or layout.journals.get(number)
            if file is None:
                missing.append(number)
                continue
            part.file = file.name
            if segment and sealed and self._by_bytes(sealed) and not records:
                by_bytes.append((part, segment, sealed))
            else:
                self._by_records(part, file)
        with ThreadPoolExecutor(WORKERS) as pool:  # sha256 lets other threads go on meanwhile
            found = pool.map(lambda one: list(_differing(one[1], one[2])), by_bytes)
            for (part, segment, sealed), faults in zip(by_bytes, found, strict=True):
                if faults:
                    report.faults += self._instead(part, segment, faults)
                    continue
                part.how, part.proven, part.beyond = "bytes", sealed.records, sealed.beyond
                part.erased = sum(len(o.kept) for _, o in self._blocks.get(part.number, []))
        for number in missing:
            if not self._given_up(number):
                self._gone(number)

    def _by_bytes(self, sealed: Sealed) -> bool:
        """Say whether a segment is as it was when its bytes are those that were entered."""
        return sealed.records >= 0 and sealed.part not in self._stale

    def _given_up(self, number: int) -> bool:
        """Say whether the recorder itself removed a part, for it was too old before a trigger."""
        manifest = self._manifest
        if manifest is None or not manifest.keep_last_s or number > self._layout.numbers[0]:
            return False
        until_ns = manifest.finished_ns
        if until_ns is None:  # it died: it came at most so far
            ends = [self._report.until_ns, *(part.beyond_last_ns for part in self._report.parts)]
            until_ns = max(ends) + KEPT_NS
        with contextlib.suppress(ValueError):
            until_ns = bus_ns_of(manifest.triggered) if manifest.triggered else until_ns
        since_ns = until_ns - round(manifest.keep_last_s * 1e9) + ROUNDED_NS
        last = [block.last_ns for block, _ in self._blocks.get(number, [])]
        return max(last, default=0) <= since_ns

    def _instead(self, part: Part, segment: Path, faults: list[Fault]) -> list[Fault]:
        """Look at the records of a segment whose bytes differ; return which faults are left.

        A redaction that was broken off leaves other bytes and the records that it was to erase.
        """
        before = len(self._report.faults)
        self._by_records(part, segment)
        found = self._report.faults[before:]
        if self._report.redactions and {one.what for one in found} == {UNERASED}:
            return []
        if not found and self._manifest is not None and self._manifest.recovered:
            detail = (
                "scot recover wrote it anew: its samples are as they were; what is none (the "
                "catalogue, what was true before) is not proven any more"
            )
            return [fault(RECOVERED, segment.name, detail, part.number)]
        return faults

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
        if sha256(data).digest() != self._end.manifest and not self._is_recovered():
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
        if first is None:
            return
        then = {name: getattr(first, name) for name in _LATER}
        if msgspec.structs.replace(here, **then) != first:
            detail = "it says otherwise than the first part"
            self._report.faults.append(fault("altered", MANIFEST, detail))

    def _is_recovered(self) -> bool:
        """Say whether the manifest is as it was at the end, but for what ``scot recover`` says."""
        manifest = self._manifest
        if manifest is None or not manifest.recovered or self._end is None:
            return False
        before = encode_manifest(msgspec.structs.replace(manifest, recovered=""))
        return sha256(before).digest() == self._end.manifest

    def remarks(self) -> None:
        """Say what became of it in good order."""
        manifest, remarks = self._manifest, self._report.remarks
        if manifest is None:
            return
        if manifest.recovered:
            remarks.append(f"recovered at {manifest.recovered}")
        gone = [n for n in self._blocks if n < self._layout.numbers[0] and self._given_up(n)]
        if gone:
            parts = f"parts {min(gone)} to {max(gone)}" if len(gone) > 1 else f"part {gone[0]}"
            until = manifest.triggered or "its end"
            remarks.append(
                f"only its last {manifest.keep_last_s:g} s were kept until {until}: the recorder "
                f"removed {parts}, which were older"
            )


def _manifest_of(layout: Layout) -> Manifest | None:
    try:
        return read_manifest(layout.path)
    except RecordingError:
        return None


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
