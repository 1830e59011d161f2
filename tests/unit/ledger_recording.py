"""Recordings with a ledger, for tests: the recorder's own journal and notary, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from scot.codec import Frame, read_header
from scot_replay.disk import Directory
from scot_replay.layout import Manifest, write_manifest
from scot_replay.ledger.notary import EVERY_NS, Notary
from scot_replay.ledger.verify import Report, verify
from scot_replay.open_journal import Arrival, OpenJournal
from scot_replay.parts import JournalPart
from scot_replay.seal import seal
from tests.golden.recording_frames import START_NS, catalogue
from tests.golden.recording_writing import manifest

KNOWN = catalogue()


def arrivals(frames: Sequence[Frame]) -> list[Arrival]:
    """Return frames as they are handed to a journal."""
    made = []
    for frame in frames:
        channel = KNOWN.channel(frame.address)
        assert channel is not None
        made.append(Arrival(frame, read_header(frame), channel.kind))
    return made


class Desk:
    """A recording being made, without threads; the site's key and log lie in `site`.

    Args:
        path: of the recording.
        site: folder of the key.
        number: of the first journal.
        encrypted: id of the key of what is written.
    """

    def __init__(self, path: Path, site: Path, number: int = 1, encrypted: str = "") -> None:
        self.path, self.site = path, site
        self._encrypted = encrypted
        path.mkdir(parents=True, exist_ok=True)
        write_manifest(path, self._manifest(False))
        self.notary = Notary(path, self._manifest(False), site)
        self.now_ns = 0
        self.journal = OpenJournal(
            Directory(path), self._manifest(False), (START_NS, KNOWN), 5.0, self._rotated,
            number, 0, tally=self.notary.tally,
        )  # fmt: skip

    def write(self, frames: Sequence[Frame], *, checkpoint: bool = True) -> None:
        """Write frames; force them down and sign, when a checkpoint is wanted."""
        self.journal.put(arrivals(frames))
        self.journal.flush(self.now_ns)
        if checkpoint:
            self.now_ns += EVERY_NS
            self.notary.freeze(self.now_ns)
            file = self.journal.begin_sync()
            if file is not None:
                file.sync()
                file.close()
                self.journal.end_sync()
            self._sign()

    def rotate(self) -> None:
        """Begin the next journal."""
        self.now_ns += EVERY_NS
        self.journal.rotate(self.now_ns)

    def end(self) -> None:
        """End in order."""
        self.journal.finish(self.now_ns)
        self.notary.freeze(self.now_ns, at_once=True)
        self._sign()
        write_manifest(self.path, self._manifest(True))
        self.notary.finish()

    def _manifest(self, finished: bool) -> Manifest:
        return msgspec.structs.replace(manifest(finished), encrypted=self._encrypted)

    def verify(self, *, records: bool = False) -> Report:
        """Verify it as the site does."""
        return verify(self.path, folder=self.site, records=records)

    def _rotated(self, part: JournalPart) -> None:
        self.notary.freeze(self.now_ns, at_once=True)
        self._sign()

    def _sign(self) -> None:
        self.notary.take(*self.journal.safe)
        self.notary.sign()
        assert not self.notary.trouble


def recorded(
    tmp_path: Path, parts: Sequence[Sequence[Frame]], sealed: int = 0, *, end: bool = True
) -> Desk:
    """Return a recording of so many parts, each with two checkpoints; the first are sealed."""
    desk = Desk(tmp_path / "case", tmp_path / "site")
    for number, frames in enumerate(parts, 1):
        if number > 1:
            desk.rotate()
        half = len(frames) // 2
        desk.write(frames[:half])
        desk.write(frames[half:])
    if end:
        desk.end()
    for number in range(1, sealed + 1):
        seal(desk.path, number)
    return desk
