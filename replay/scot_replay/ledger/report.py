"""What verifying a recording found, as plain values."""

from __future__ import annotations

import msgspec

from scot_replay.ledger.compare import Fault
from scot_replay.ledger.entry import Redaction, Shredded

UNERASED, RECOVERED = "not erased", "recovered"


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
        remarks: what became of it in good order, for people.
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
    remarks: list[str] = []

    @property
    def state(self) -> str:
        """``intact``, or what is the matter.

        ``unfinished``: an erasure was broken off, and nothing else is other than it was.
        ``recovered``: ``scot recover`` wrote parts anew, in which every sample is as it was.
        """
        if self.intact:
            return "intact"
        whats = {one.what for one in self.faults}
        if not self.covered or not whats <= {UNERASED, RECOVERED}:
            return "altered"
        return "unfinished" if UNERASED in whats else "recovered"

    @property
    def intact(self) -> bool:
        """Nothing is other than it was recorded, as far as the ledger reaches."""
        return not self.faults and self.covered > 0


def fault(what: str, file: str, detail: str, part: int = 0) -> Fault:
    """Return a fault that is of no record."""
    return Fault(what, part, file, "", -1, -1, 0, 0, 0, detail)
