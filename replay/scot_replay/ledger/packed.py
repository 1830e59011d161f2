"""Verifies the file that ``scot pack`` made: the ledger it carries, and each of its samples.

The file has neither the journals nor the segments, so what the ledger says of their bytes says
nothing here; every sample is compared with its block. What is no sample (the catalogue, what was
true before) is proven by the directory only.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from cryptography.x509 import Certificate
from mcap.exceptions import McapError
from mcap.reader import make_reader

from scot.errors import RecordingError
from scot.note import Verifier
from scot_replay.layout import MANIFEST, Manifest, bus_ns_of, parse_manifest
from scot_replay.ledger.compare import Compared, Fault, compare
from scot_replay.ledger.entry import OTHER, Block, End, Opening, Redaction, Sealed, Shredded
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.read import Ledger
from scot_replay.ledger.report import Part, Report, fault
from scot_replay.ledger.signed import signed
from scot_replay.ledger.stored import DAMAGED, SegmentSource
from scot_replay.segment import SegmentPart

LEDGER_HELD, MANIFEST_HELD = "scot.ledger", "scot.manifest"
"""Attachments: the ledger and the manifest of the recording, as they were in its directory."""
ROUNDED_NS = 1_000_000  # what a manifest says of a trigger is to the ms


def held(path: Path) -> dict[str, bytes]:
    """Return what a packed file holds for who verifies it, by name; empty of an older one's.

    Raises:
        RecordingError: it is no MCAP file, or cannot be read to its end.
    """
    names = {LEDGER_HELD, MANIFEST_HELD}
    try:
        with path.open("rb") as file:
            attachments = make_reader(file).iter_attachments()
            return {one.name: one.data for one in attachments if one.name in names}
    except (McapError, OSError, *DAMAGED) as error:
        raise RecordingError(f"{path} cannot be verified: {error}") from None


def verify_packed(
    path: Path,
    believed: Sequence[Verifier] = (),
    folder: Path | None = None,
    *,
    witnesses: Sequence[Verifier] = (),
    authorities: Sequence[Certificate] = (),
) -> Report:
    """Verify a packed recording; see `scot_replay.ledger.verify.verify`.

    Raises:
        RecordingError: it is none, or carries no ledger.
    """
    found = held(path)
    if LEDGER_HELD not in found:
        raise RecordingError(
            f"{path} carries no ledger: it was packed from a recording without one or with "
            "encrypted samples, or by an older release; verify the recording's directory"
        )
    ledger = Ledger(found[LEDGER_HELD], Path(LEDGER), believed)
    report = signed(path, ledger, believed, folder, witnesses, authorities)
    said = _Said(ledger, report)
    manifest = _manifest(path, found.get(MANIFEST_HELD), said.end, report)
    blocks = said.kept(manifest, report)
    part = Part(number=1, file=path.name)
    report.parts = [part]
    try:
        source = SegmentSource(SegmentPart(path, 1))
        compared = compare(1, blocks, source)
    except DAMAGED as error:
        report.faults.append(fault("file", path.name, str(error), 1))
        return report
    report.faults += compared.faults
    report.faults += [fault("damaged", path.name, line, 1) for line in source.damage]
    part.proven, part.erased = compared.proven, compared.erased
    _beyond(compared, said.beyond, part, report)
    report.remarks.append("a packed file: its samples are proven, not its catalogue and states")
    report.faults.sort(key=lambda one: (one.part == 0, one.first_ns))
    return report


class _Said:
    """What a ledger says of a recording's samples.

    Attributes:
        end: the entry of its end, None when it was never ended.
    """

    def __init__(self, ledger: Ledger, report: Report) -> None:
        self.end: End | None = None
        self._blocks: list[tuple[Block, Opening]] = []
        self._sealed: dict[int, Sealed] = {}
        for one in ledger.entries[: ledger.covered]:
            entry = one.entry
            if isinstance(entry, Block):
                report.until_ns = max(report.until_ns, entry.last_ns)
                self._blocks.append((entry, one.opening or Opening(b"", b"")))
            elif isinstance(entry, Sealed):
                self._sealed[entry.part] = entry
            elif isinstance(entry, Redaction):
                report.redactions.append(entry)
            elif isinstance(entry, Shredded):
                report.shredded.append(entry)
            elif isinstance(entry, End):
                self.end, report.ended = entry, True

    @property
    def beyond(self) -> int | None:
        """How many records are in no block by what the sealer found; None when it did not look."""
        parts = {block.part for block, _ in self._blocks}
        if not parts <= set(self._sealed):
            return None
        return sum(one.beyond for one in self._sealed.values())

    def kept(self, manifest: Manifest | None, report: Report) -> list[tuple[Block, Opening]]:
        """Return the blocks of samples that the recorder did not remove by its own rule."""
        blocks = [(block, opening) for block, opening in self._blocks if block.address != OTHER]
        if manifest is None or not manifest.keep_last_s:
            return blocks
        until_ns = manifest.finished_ns or report.until_ns
        if manifest.triggered:
            until_ns = bus_ns_of(manifest.triggered)
        since_ns = until_ns - round(manifest.keep_last_s * 1e9) + ROUNDED_NS
        last: dict[int, int] = {}
        for block, _ in blocks:
            last[block.part] = max(last.get(block.part, 0), block.last_ns)
        gone = {part for part, last_ns in last.items() if last_ns <= since_ns}
        if gone:
            report.remarks.append(f"of parts {sorted(gone)} nothing was kept: older than a trigger")
        return [(block, opening) for block, opening in blocks if block.part not in gone]


def _manifest(path: Path, data: bytes | None, end: End | None, report: Report) -> Manifest | None:
    """Return the manifest the file carries, compared with what the ledger says of it."""
    if data is None:
        return None
    try:
        manifest = parse_manifest(data, MANIFEST)
    except RecordingError as error:
        report.faults.append(fault("file", MANIFEST, str(error)))
        return None
    recovered = bool(manifest.recovered)
    if end is not None and sha256(data).digest() != end.manifest and not recovered:
        report.faults.append(fault("altered", MANIFEST, f"that in {path.name} is another"))
    return manifest


def _beyond(found: Compared, expected: int | None, part: Part, report: Report) -> None:
    """Say of samples in no block whether they were added, or came after the last checkpoint."""
    count = sum(len(records) for records in found.beyond.values())
    if expected is not None and count > expected:
        for address, records in found.beyond.items():
            first = min(records, key=lambda one: one.at)
            times = [one.key[2] for one in records]
            report.faults.append(
                Fault(
                    "added", 1, part.file, address, first.key[0], first.key[1], len(records),
                    min(times), max(times), f"of {count} in no block the recorder wrote {expected}",
                )
            )  # fmt: skip
        return
    times = [one.key[2] for records in found.beyond.values() for one in records]
    part.beyond = count
    if times:
        part.beyond_first_ns, part.beyond_last_ns = min(times), max(times)
