"""A recording that is made at full speed: of a clip, or of a file in another format.

It goes the recorder's own way: a journal, five minutes each by the samples' own time, sealed into
MCAP, with whatever lies beside a segment. It has a temporary name until it is whole, so whatever
ends the work early (a full disk, Ctrl-C, a bad file) leaves nothing that looks like a recording.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from scot.channel import Catalogue, Kind
from scot.clock import machine
from scot.codec import Frame, read_header
from scot.errors import RecordingError
from scot_replay.disk import Directory
from scot_replay.layout import Manifest, iso_utc, sync_directory, write_manifest
from scot_replay.ledger.notary import Notary
from scot_replay.open_journal import Arrival, OpenJournal
from scot_replay.parts import JournalPart
from scot_replay.sealer import seal_once

SEGMENT_S = 300.0
FLUSH_BYTES = 2 << 20
SYNC_BYTES = 24 << 20
LOOK_S = 0.02
_AT_ONCE_NS = 2**62


class NewRecording:
    """Writes a recording's directory; use it in a ``with``: without `finish` nothing stays.

    Args:
        out: directory that is made; it must not exist.
        manifest: of it; `session` is filled in.
        catalogue: as it is when the recording begins.
        state: frames of before it, the last of each latched channel.

    Attributes:
        samples: written so far.

    The ledger is signed once all is written: what is broken off is in no log.

    Raises:
        RecordingError: `out` exists, or the disk does not take it.
    """

    def __init__(
        self, out: Path, manifest: Manifest, catalogue: Catalogue, state: Iterable[Frame] = ()
    ) -> None:
        self.out = out
        self.samples = 0
        self._catalogue = catalogue
        self._manifest = msgspec.structs.replace(manifest, session=os.urandom(16).hex())
        self._kinds: dict[bytes, Kind] = {}
        self._pending = self._unsynced = 0
        self._begun_ns = manifest.started_ns
        self._ended: list[int] = []
        if out.exists() or out.is_symlink():
            raise RecordingError(f"{out} exists; name another directory, or remove it")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        except OSError as error:
            raise RecordingError(f"{out} cannot be made: {error.strerror}") from None
        self._path = self._stage / out.name
        try:
            self._begin([self._arrival(frame) for frame in state])
        except OSError as error:
            shutil.rmtree(self._stage, ignore_errors=True)
            raise RecordingError(f"{out} cannot be written: {error.strerror}") from None

    def _begin(self, state: Sequence[Arrival]) -> None:
        self._path.mkdir(mode=0o700)
        write_manifest(self._path, self._manifest)
        start_ns = self._manifest.started_ns
        self._notary = Notary(self._path, self._manifest, home=self.out)
        self._journal = OpenJournal(
            Directory(self._path),
            self._manifest,
            (start_ns, self._catalogue),
            SEGMENT_S,
            self._finished,
            1,
            start_ns,
            state=state,
            tally=self._notary.tally,
        )

    def __enter__(self) -> NewRecording:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.part.close()
        shutil.rmtree(self._stage, ignore_errors=True)

    def put(self, frames: Iterable[Frame]) -> None:
        """Take frames in order of bus time.

        Raises:
            RecordingError: the disk does not take them.
            CodecError: one has no readable header.
        """
        for frame in frames:
            arrival = self._arrival(frame)
            self._journal.put([arrival])
            self.samples += 1
            self._pending += frame.size
            if self._pending > FLUSH_BYTES:
                self._flush(arrival.header.bus_ns)
            if arrival.header.bus_ns - self._begun_ns > SEGMENT_S * 1e9:
                self._flush(arrival.header.bus_ns)
                self._journal.rotate(arrival.header.bus_ns)
                self._begun_ns = arrival.header.bus_ns

    def note(self, bus_ns: int, catalogue: Catalogue) -> None:
        """Take a new version of the catalogue, true from `bus_ns` on."""
        self._catalogue = catalogue
        self._kinds.clear()
        self._journal.note(bus_ns, catalogue)

    def finish(self, bus_ns: int, progress: Callable[[int, int], None] | None = None) -> None:
        """Seal it and give it its name.

        Args:
            bus_ns: when it ends.
            progress: told of so many of so many journals that are sealed.

        Raises:
            RecordingError: the disk does not take it, or the name was taken meanwhile.
        """
        self._journal.finish(_AT_ONCE_NS)
        facts = self._journal.facts()
        if facts.trouble or facts.lost or facts.spared:
            raise self._full(facts.trouble or "samples were lost")
        self._finished(self._journal.part)
        self._notary.sign()
        _seal(self._path, self._ended, progress)
        done = msgspec.structs.replace(self._manifest, finished_ns=bus_ns, finished=iso_utc(bus_ns))
        try:
            write_manifest(self._path, done)
            self._notary.finish()
            self._path.rename(self.out)
            sync_directory(self.out.parent)
        except OSError as error:
            raise self._full(error.strerror or str(error)) from None

    def _arrival(self, frame: Frame) -> Arrival:
        kind = self._kinds.get(frame.topic)
        if kind is None:
            known = self._catalogue.channel(frame.address)
            kind = self._kinds[frame.topic] = known.kind if known else Kind.EVENT
        return Arrival(frame, read_header(frame), kind)

    def _flush(self, now_ns: int) -> None:
        self._journal.flush(now_ns)
        if trouble := self._journal.facts().trouble:
            raise self._full(trouble)
        self._unsynced += self._pending
        self._pending = 0
        if self._unsynced > SYNC_BYTES:
            self._unsynced = 0
            file = self._journal.begin_sync()
            if file is not None:
                try:
                    file.sync()
                finally:
                    file.close()
                self._journal.end_sync()
                self._notary.freeze(now_ns)
                self._notary.take(*self._journal.safe)

    def _full(self, why: str) -> RecordingError:
        return RecordingError(
            f"{self.out} was not made: {why}; free space, or name a directory on another disk"
        )

    def _finished(self, part: JournalPart) -> None:
        part.close()
        self._notary.freeze(0, at_once=True)
        self._notary.take(*self._journal.safe)
        self._ended.append(part.number)


def _seal(
    directory: Path, numbers: Sequence[int], progress: Callable[[int, int], None] | None
) -> None:
    """Seal journals: one here, several each in a process of its own, on every core."""
    if len(numbers) == 1:
        seal_once(directory, numbers[0])
        return
    waiting = list(numbers)
    running: list[subprocess.Popen[str]] = []
    done = 0
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                running.append(_start(directory, waiting.pop(0)))
            for process in [one for one in running if one.poll() is not None]:
                running.remove(process)
                said = process.communicate()[1].strip()
                if process.returncode:
                    raise RecordingError(said.splitlines()[-1] if said else "the sealer died")
                done += 1
                if progress is not None:
                    progress(done, len(numbers))
            if running:
                machine.sleep(LOOK_S)
    finally:
        for process in running:
            process.kill()
            process.communicate()


def _start(directory: Path, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scot_replay.sealer", str(directory), str(number)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
