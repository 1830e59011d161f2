"""Writes journals in a thread of its own: the disk may be slow, full or gone, the room goes on.

What was handed over is written every 100 ms and forced to the disk every second. What cannot be
written waits, up to 64 MB, while the writer tries again each second; what does not fit any more is
counted by channel with its interval, and a LOSS record says so once the disk takes bytes again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from scot.channel import BULK, Catalogue, Kind
from scot.clock import machine
from scot.codec import Frame, Header
from scot_replay.index import Row
from scot_replay.journal import (
    MAGIC,
    RecordKind,
    encode_catalogue,
    encode_frame,
    encode_record,
)
from scot_replay.layout import Manifest, journal_path, sync_directory
from scot_replay.parts import JournalPart, entry

FLUSH_S = 0.1
SYNC_S = 1.0
RETRY_NS = 1_000_000_000
MAX_WAITING = 64 << 20
_NOT_STATE = BULK | {Kind.WAVEFORM}


class Arrival(NamedTuple):
    """One frame as it is handed over."""

    frame: Frame
    header: Header
    kind: Kind


class Loss(msgspec.Struct):
    """Samples of one channel that could not be written: how many, from when to when (bus ns)."""

    count: int
    first_ns: int
    last_ns: int


class Facts(msgspec.Struct, frozen=True):
    """How the writer stands.

    Attributes:
        bytes, samples: written since it began.
        segment: number of the open journal.
        waiting_bytes: handed over and not yet written.
        lost: of samples given up, by address.
        trouble: why the last write or sync failed, empty when it did not.
        disk_left_bytes: free for us on the file system; -1 when it cannot say.
        bytes_per_s: written lately.
    """

    bytes: int
    samples: int
    segment: int
    waiting_bytes: int
    lost: dict[str, Loss]
    trouble: str
    disk_left_bytes: int
    bytes_per_s: float


class JournalWriter:
    """Owns the open journal of a recording.

    Args:
        directory: of the recording; exists.
        manifest: goes into each journal.
        catalogue: as it is now, and since when (bus ns).
        segment_s: length of a journal.
        finished: called, in the writer's thread, with each journal that is complete.
        first: number of the first journal.

    Raises:
        OSError: the first journal cannot be made.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        catalogue: tuple[int, Catalogue],
        segment_s: float,
        finished: Callable[[JournalPart], None],
        first: int = 1,
    ) -> None:
        self._directory = directory
        self._manifest = msgspec.json.encode(manifest)
        self._catalogue = catalogue
        self._segment_ns = round(segment_s * 1e9)
        self._finished = finished
        self._state: dict[str, Arrival] = {}
        self._hand = threading.Lock()  # over what is handed over
        self._disk = threading.Lock()  # over the file
        self._arrivals: list[Arrival | tuple[int, Catalogue]] = []
        self._waiting_bytes = 0
        self._backlog: list[Arrival | tuple[int, Catalogue]] = []
        self._lost: dict[str, Loss] = {}
        self._unsaid: dict[str, Loss] = {}
        self._bytes = self._samples = 0
        self._write_trouble = self._sync_trouble = ""
        self._retry_ns = 0
        self._rate = (machine.monotonic_ns(), 0, 0.0)
        self._stop = threading.Event()
        self._file = -1
        self._end = 0
        self._unsynced = False
        self._begin(first)
        self._threads = [
            threading.Thread(target=self._flushing, name="journal-flush", daemon=True),
            threading.Thread(target=self._syncing, name="journal-sync", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def put(self, arrivals: Sequence[Arrival]) -> None:
        """Hand frames over; returns at once. Beyond 64 MB waiting they are counted as lost."""
        with self._hand:
            for arrival in arrivals:
                size = sum(map(len, arrival.frame))
                if self._waiting_bytes + size > MAX_WAITING:
                    self._lose(arrival)
                else:
                    self._waiting_bytes += size
                    self._arrivals.append(arrival)

    def note(self, bus_ns: int, catalogue: Catalogue) -> None:
        """Hand over a new version of the catalogue."""
        with self._hand:
            self._arrivals.append((bus_ns, catalogue))

    def flush(self) -> None:
        """Write what was handed over now; trouble is noted in `facts`, not raised."""
        with self._disk:
            self._flush()

    def close(self) -> JournalPart:
        """Write and sync everything that can be, end the journal, and return it."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        with self._disk:
            self._retry_ns = 0
            self._flush()
            self._finish()
        return self.part

    def facts(self) -> Facts:
        """Return how it stands now; asks the file system."""
        with self._hand:
            lost = {address: msgspec.structs.replace(v) for address, v in self._lost.items()}
            waiting = self._waiting_bytes
        return Facts(
            self._bytes,
            self._samples,
            self.part.number,
            waiting,
            lost,
            self._write_trouble or self._sync_trouble,
            _disk_left(self._directory),
            self._rate[2],
        )

    # -- the threads

    def _flushing(self) -> None:
        while not self._stop.wait(FLUSH_S):
            with self._disk:
                self._flush()
                if machine.monotonic_ns() - self._begun_ns > self._segment_ns:
                    self._rotate()
            self._measure()

    def _syncing(self) -> None:
        while not self._stop.wait(SYNC_S):
            with self._disk:
                file = os.dup(self._file) if self._unsynced else -1
                self._unsynced = False
            if file >= 0:
                try:
                    os.fdatasync(file)
                    self._sync_trouble = ""
                except OSError as error:
                    self._sync_trouble = f"sync failed: {error.strerror}"
                    self._unsynced = True
                finally:
                    os.close(file)

    def _measure(self) -> None:
        now_ns = machine.monotonic_ns()
        since_ns, before, _ = self._rate
        if now_ns - since_ns > 5_000_000_000:
            self._rate = now_ns, self._bytes, (self._bytes - before) * 1e9 / (now_ns - since_ns)

    # -- under the disk's lock

    def _begin(self, number: int) -> None:
        """Make a journal that says whose it is, what the catalogue is, and what is true now."""
        path = journal_path(self._directory, number)
        head = [MAGIC, encode_record(RecordKind.MANIFEST, self._manifest)]
        head.append(encode_catalogue(*self._catalogue))
        state = {address: arrival.frame for address, arrival in self._state.items()}
        head += [encode_frame(frame, RecordKind.STATE) for frame in state.values()]
        data = b"".join(head)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            _write_all(file, data, 0)
            os.fsync(file)
            sync_directory(self._directory)
            part = JournalPart(path, number)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        part.state = state
        part.catalogues.append(self._catalogue)
        self._file, self._end, self.part = file, len(data), part
        self._begun_ns = machine.monotonic_ns()

    def _flush(self) -> None:
        with self._hand:
            self._backlog += self._arrivals
            self._arrivals = []
        if not self._backlog or machine.monotonic_ns() < self._retry_ns:
            return
        with self._hand:
            saying, self._unsaid = self._unsaid, {}
        records, rows = self._encode(saying)
        data = b"".join(records)
        try:
            _write_all(self._file, data, self._end)
        except OSError as error:
            self._write_trouble = f"cannot write {self.part.path.name}: {error.strerror}"
            self._retry_ns = machine.monotonic_ns() + RETRY_NS
            with self._hand:  # the losses are not said yet
                for address, loss in saying.items():
                    _add(self._unsaid, address, loss)
            return
        self._written(len(data), rows)

    def _encode(self, saying: dict[str, Loss]) -> tuple[list[bytes], dict[str, list[Row]]]:
        """Return the records of the backlog, and by address where its frames will stand."""
        records: list[bytes] = []
        rows: dict[str, list[Row]] = {}
        at = self._end
        if saying:
            records.append(encode_record(RecordKind.LOSS, msgspec.json.encode(saying)))
            at += len(records[0])
        for item in self._backlog:
            if isinstance(item, Arrival):
                record = encode_frame(item.frame)
                row = entry(item.header, at, at + len(record))
                rows.setdefault(item.frame.address, []).append(row)
            else:
                record = encode_catalogue(*item)
            records.append(record)
            at += len(record)
        return records, rows

    def _written(self, size: int, rows: dict[str, list[Row]]) -> None:
        self._write_trouble, self._retry_ns, self._unsynced = "", 0, True
        self._end += size
        self._bytes += size
        done = 0
        for item in self._backlog:
            if isinstance(item, Arrival):
                done += sum(map(len, item.frame))
                self._samples += 1
                self._remember(item)
            else:
                self._catalogue = item
                self.part.catalogues.append(item)
        self._backlog = []
        with self._hand:
            self._waiting_bytes -= done
        for address, found in rows.items():
            self.part.add(address, found)

    def _remember(self, arrival: Arrival) -> None:
        if arrival.kind in _NOT_STATE:
            return
        before = self._state.get(arrival.frame.address)
        if before is None or arrival.header.bus_ns >= before.header.bus_ns:
            self._state[arrival.frame.address] = arrival

    def _rotate(self) -> None:
        """Begin the next journal; when that fails, go on in this one and try again later."""
        if self._backlog:
            return
        ended, file, end = self.part, self._file, self._end
        try:
            self._begin(ended.number + 1)
        except OSError as error:
            self._write_trouble = f"cannot begin a journal: {error.strerror}"
            self._begun_ns += RETRY_NS
            return
        self._seal_off(file, end)
        self._finished(ended)

    def _finish(self) -> None:
        """End the last journal; what still waits is lost, and the journal says so if it can."""
        with self._hand:
            for item in self._backlog:
                if isinstance(item, Arrival):
                    self._lose(item)
            self._backlog, self._waiting_bytes = [], 0
            unsaid, self._unsaid = self._unsaid, {}
        loss = encode_record(RecordKind.LOSS, msgspec.json.encode(unsaid)) if unsaid else b""
        self._seal_off(self._file, self._end, loss)
        self._file = -1

    def _seal_off(self, file: int, end: int, last: bytes = b"") -> None:
        """Close a journal with an END record; without it, it only looks like one that was cut."""
        try:
            os.ftruncate(file, end)  # what a failed try left
            _write_all(file, last + encode_record(RecordKind.END, b""), end)
            os.fsync(file)
        except OSError as error:
            self._sync_trouble = f"cannot end a journal: {error.strerror}"
        finally:
            os.close(file)

    def _lose(self, arrival: Arrival) -> None:
        at_ns = arrival.header.bus_ns
        for losses in (self._lost, self._unsaid):
            _add(losses, arrival.frame.address, Loss(1, at_ns, at_ns))


def _add(losses: dict[str, Loss], address: str, more: Loss) -> None:
    loss = losses.setdefault(address, Loss(0, more.first_ns, more.last_ns))
    loss.count += more.count
    loss.first_ns = min(loss.first_ns, more.first_ns)
    loss.last_ns = max(loss.last_ns, more.last_ns)


def _write_all(file: int, data: bytes, at: int) -> None:
    """Write at a place of the file, so that a try that failed half way is written over."""
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def _disk_left(directory: Path) -> int:
    try:
        disk: Any = os.statvfs(directory)
    except OSError:
        return -1
    left: int = disk.f_bavail * disk.f_frsize
    return left
