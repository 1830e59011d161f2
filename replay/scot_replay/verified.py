"""What `verify` of an opened recording says, in a notebook too."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from scot_replay.ledger.verify import Report, verify

if TYPE_CHECKING:
    from scot.note import Verifier
    from scot_replay.recording import DirectoryRecording

LEDGER = "ledger.scotl"


class Verified:
    """Whether a recording is as it was recorded.

    Args:
        recording: that was looked at.
        believed: whose signatures are believed.

    Attributes:
        report: what its ledger says; None when it has none.
        unread: lines that name what cannot be read.

    Raises:
        RecordingError: its ledger cannot be read.
    """

    def __init__(self, recording: DirectoryRecording, believed: Sequence[Verifier] = ()) -> None:
        path = recording.path
        has = path.is_dir() and (path / LEDGER).exists()
        self.report: Report | None = verify(path, believed) if has else None
        self._name = str(path)
        if self.report is None:
            for _ in recording.frames():  # every chunk is unpacked, its CRC checked
                pass
        self.unread = recording.damage

    @property
    def intact(self) -> bool | None:
        """True or False as far as its ledger reaches; None when it has no ledger to say so."""
        return None if self.report is None else self.report.intact

    @property
    def word(self) -> str:
        """The same in a word."""
        if self.intact is None:
            return "cannot be verified"
        return "verified" if self.intact else "NOT as it was recorded"

    @property
    def lines(self) -> list[str]:
        """What stands behind it."""
        if self.report is None:
            told = "it has no ledger, so nothing proves that nobody changed it; "
            whole = "every record can be read" if not self.unread else "not all of it can be read"
            return [told + whole, *self.unread]
        from scot_replay.ledger.commands import report_lines

        return report_lines(self.report)

    def __bool__(self) -> bool:
        return bool(self.intact)

    def __repr__(self) -> str:
        return "\n".join([f"{self._name}: {self.word}", *(f"  {line}" for line in self.lines)])

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(line)}</li>" for line in self.lines)
        return f"<div><b>{escape(self._name)}: {escape(self.word)}</b><ul>{lines}</ul></div>"
