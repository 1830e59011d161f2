"""Whether every recording that the site's log knows is still there, and no shorter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from scot.errors import RecordingError
from scot.note import Verifier
from scot_replay.ledger import keys, site
from scot_replay.ledger.entry import Head
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.read import Ledger, read_ledger


class SiteReport(msgspec.Struct, kw_only=True):
    """What `verify_site` found.

    Attributes:
        path: the folder.
        log: the site's log.
        signer: whose signature it bears.
        known: recordings it knows below the folder.
        faults: what is missing or shorter than it was.
        unknown: recordings it does not know: made before there was one, or brought here.
    """

    path: str
    log: str
    signer: str = ""
    known: int = 0
    faults: list[str] = []
    unknown: list[str] = []

    @property
    def intact(self) -> bool:
        """Every recording that began here is here, as long as it was."""
        return not self.faults and self.known > 0


def verify_site(
    path: Path, believed: Sequence[Verifier] = (), folder: Path | None = None
) -> SiteReport:
    """Compare a folder of recordings with the site's log.

    Args:
        path: the folder.
        believed: whose signature is believed; by default this machine's.
        folder: of the site's log.

    Raises:
        RecordingError: there is no such folder, or no log.
    """
    if not path.is_dir():
        raise RecordingError(f"{path}: there is no such directory; name a recording or a folder")
    log = (folder or keys.folder()) / site.SITE
    if not log.exists():
        raise RecordingError(
            f"{path} is not a recording, and {log} is not there: this machine has recorded nothing "
            "that it could compare with"
        )
    own = keys.own_key(folder)
    signers = list(believed) or ([own] if own else [])
    if not signers:
        raise RecordingError(f"no public key beside {log}; give the one you believe with --key")
    ledger = Ledger(log.read_bytes(), log, signers)
    report = SiteReport(path=str(path), log=str(log), signer=ledger.signer.text())
    report.faults = [f"{file}: {detail}" for _, file, detail in ledger.faults]
    last: dict[str, Head] = {}
    for one in ledger.entries[: ledger.covered]:
        if isinstance(one.entry, Head):
            last[one.entry.origin] = one.entry
    here = path.resolve()
    below = [head for head in last.values() if Path(head.directory).is_relative_to(here)]
    report.known = len(below)
    for head in below:
        report.faults += _missed(head, signers)
    names = {Path(head.directory).name for head in below}
    report.unknown = sorted(p.parent.name for p in here.glob(f"*/{LEDGER}"))
    report.unknown = [name for name in report.unknown if name not in names]
    return report


def _missed(head: Head, signers: Sequence[Verifier]) -> list[str]:
    directory = Path(head.directory)
    if not directory.is_dir():
        return [f"{directory}: the recording is gone; it had {head.size} entries ({head.origin})"]
    try:
        ledger = read_ledger(directory, signers)
    except RecordingError as error:
        return [str(error)] if head.size else []
    if ledger.origin != head.origin:
        return [f"{directory}: another recording lies there: {ledger.origin}, not {head.origin}"]
    if head.size and not ledger.was(head.size, head.root):
        return [
            f"{directory}: had {head.size} entries; of those, {ledger.covered} are as they were"
        ]
    return []
