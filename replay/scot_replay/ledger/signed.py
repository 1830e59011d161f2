"""What a report of a recording says by its ledger alone: who signed, who saw it, when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography.x509 import Certificate

from scot.errors import RecordingError
from scot.note import Verifier
from scot_replay.ledger import keys, site
from scot_replay.ledger.checkpoint import cosigned
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.read import Ledger, text_of
from scot_replay.ledger.report import Report, fault


def signed(
    path: Path,
    ledger: Ledger,
    believed: Sequence[Verifier],
    folder: Path | None,
    witnesses: Sequence[Verifier],
    authorities: Sequence[Certificate],
) -> Report:
    """Return a report that says what the ledger does of itself; see `verify` for what is given."""
    report = Report(path=str(path), origin=ledger.origin, signer=ledger.signer.text())
    report.known = ledger.signer in believed or ledger.signer == keys.own_key(folder)
    report.entries, report.checkpoints = len(ledger.entries), ledger.checkpoints
    report.covered, report.faults = ledger.covered, [fault(*found) for found in ledger.faults]
    report.tokens = [_token(ledger, *one, authorities) for one in ledger.tokens]
    report.faults += [
        fault("signature", LEDGER, str(one["says"])) for one in report.tokens if one["bad"]
    ]
    _witnessed(ledger, witnesses, report)
    _heads(ledger, folder, report)
    return report


def _heads(ledger: Ledger, folder: Path | None, report: Report) -> None:
    """Look at what the site's log says of this recording."""
    for head in site.heads((folder or keys.folder()) / site.SITE):
        if head.origin == ledger.origin and head.size and not ledger.was(head.size, head.root):
            report.faults.append(
                fault(
                    "ledger", site.SITE,
                    f"the site's log knows this ledger with {head.size} entries; of those, "
                    f"{report.covered} are here as they were",
                )
            )  # fmt: skip


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
