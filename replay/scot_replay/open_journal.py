"""The journal that is being written: what waits, what stands, what is safe, what was lost.

Sans-IO: it reads no clock and starts no thread; the file is behind `scot_replay.disk`. Whoever
drives it calls `flush` every `FLUSH_S` and `begin_sync` and `end_sync` every `SYNC_S`, so that
what was handed over is on the disk for sure within a second (P3).

* A write that failed is tried again each second, at the same place.
* A sync that failed may have lost all that was written since the last one that did not: the kernel
  counts those pages as clean (fsync(2)), and the next sync succeeds without them. So they are kept
  here until they are down, and written again.
* What waits is at most `max_waiting` bytes, and so is what is written and not yet safe; beyond it
  samples are counted as lost, by channel with their interval, and a LOSS record says so once the
  disk takes bytes again. Video and images get half of it, so that signals are the last to go.
* When the disk has little left, video is spared (`scot_replay.budget`), and a LOSS record says so
  every ten seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import msgspec

from scot.channel import BULK, Catalogue, Kind
from scot.codec import Frame, Header
from scot.sample import Flags
from scot_replay import came
from scot_replay.budget import Budget
from scot_replay.came import Came
from scot_replay.disk import Disk, File
from scot_replay.facts import Facts, Safe
from scot_replay.index import Row
from scot_replay.journal import (
    MAGIC,
    RecordKind,
    encode_catalogue,
    encode_frame,
    encode_record,
)
from scot_replay.layout import Manifest, journal_path
from scot_replay.ledger.tally import Tally
from scot_replay.losses import GivenUp, Losses, record_of
from scot_replay.parts import JournalPart, entry

FLUSH_S = 0.1
SYNC_S = 0.7  # after the last one ended: 0.1 + 0.7 + two syncs stay below the promised second
RETRY_NS = 1_000_000_000
RATE_NS = 5_000_000_000
MAX_WAITING = 64 << 20
_NOT_STATE = BULK | {Kind.WAVEFORM}


class Arrival(NamedTuple):
    """One frame as it is handed over; `flags` say if it was asked back, or late."""

    frame: Frame
    header: Header
    kind: Kind
    flags: Flags = Flags(0)


class OpenJournal:
    """The open journal of a recording. `put` and `note` hand over; the rest belongs to the disk.

    Args:
        disk: where the files lie.
        manifest: goes into each journal.
        catalogue: as it is now, and since when (bus ns).
        segment_s: length of a journal.
        finished: called with each journal that is complete.
        number: of the first journal.
        now_ns: monotonic, as everywhere here.
        hand: held around everything that `put` and `note` touch; they never wait for the disk.
        state: what was true before the first journal.
        tally: told of every record that was written, for the ledger.

    Attributes:
        max_waiting: bytes.
        segment_ns: length of a journal.
        part: the open journal, readable while it grows.
        safe: what of it a power cut cannot take.

    Raises:
        OSError: the first journal cannot be made.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - whoever drives it makes it once
        self,
        disk: Disk,
        manifest: Manifest,
        catalogue: tuple[int, Catalogue],
        segment_s: float,
        finished: Callable[[JournalPart], None],
        number: int,
        now_ns: int,
        hand: AbstractContextManager[object] | None = None,
        state: Sequence[Arrival] = (),
        tally: Tally | None = None,
    ) -> None:
        self._disk = disk
        self._manifest = msgspec.json.encode(manifest)
        self._catalogue = catalogue
        self.segment_ns = round(segment_s * 1e9)
        self._finished = finished
        self._hand = nullcontext() if hand is None else hand
        self._tally = tally
        self.max_waiting = MAX_WAITING
        self._state: dict[str, Arrival] = {}
        self._arrivals: list[Arrival | tuple[int, Catalogue]] = []
        self._waiting_bytes = 0
        self._backlog: list[Arrival | tuple[int, Catalogue]] = []
        self._budget = Budget(now_ns)
        self._given_up = GivenUp(now_ns)
        self._bytes = self._samples = 0
        self._write_trouble = self._sync_trouble = ""
        self._retry_ns = now_ns
        self._rate = (now_ns, 0, 0.0)
        self._unsafe: list[tuple[int, bytes]] = []
        self._again = False  # what is unsafe must be written again
        self._syncing: Safe | None = None
        for arrival in state:
            self._remember(arrival)
        self._begin(number, now_ns)

    # -- handing over

    def put(self, arrivals: Sequence[Arrival]) -> None:
        """Take frames; what would make more than `max_waiting` bytes wait is counted as lost."""
        takes = self._budget.takes
        with self._hand:
            for arrival in arrivals:
                frame, header, kind, _ = arrival
                size = sum(map(len, frame))
                limit = self.max_waiting // 2 if kind in BULK else self.max_waiting
                if not takes(frame.topic, kind, header, size):
                    self._given_up.spare(frame.address, header.bus_ns)
                elif self._waiting_bytes + size > limit:
                    self._given_up.lose(frame.address, header.bus_ns)
                else:
                    self._waiting_bytes += size
                    self._arrivals.append(arrival)

    def note(self, bus_ns: int, catalogue: Catalogue) -> None:
        """Take a new version of the catalogue."""
        with self._hand:
            self._arrivals.append((bus_ns, catalogue))

    def facts(self) -> Facts:
        """Return how it stands; asks the disk what is left."""
        with self._hand:
            lost, spared = self._given_up.since_it_began()
            waiting = self._waiting_bytes
        return Facts(
            self._bytes,
            self._samples,
            self.part.number,
            waiting,
            lost,
            self._write_trouble or self._sync_trouble,
            self._disk.left(),
            self._rate[2],
            self._budget.signals_hz + self._budget.bulk_hz,
            spared,
            self._budget.sparing,
        )

    # -- the disk's side

    def flush(self, now_ns: int) -> None:
        """Write what was handed over; trouble is noted in `facts`, not raised."""
        with self._hand:
            self._backlog += self._arrivals
            self._arrivals = []
        if now_ns < self._retry_ns or not (self._backlog or self._again):
            return
        unsafe = sum(len(data) for _, data in self._unsafe)
        if not self._write_again(now_ns) or unsafe > self.max_waiting or not self._backlog:
            return
        saying = self._to_say(now_ns)
        records, rows = self._encode(saying)
        data = b"".join(records)
        try:
            self._file.write(data, self._end)
        except OSError as error:
            self._refused(error, now_ns)
            self._say_again(saying)
            return
        items = self._backlog
        self._written(data, rows)
        if self._tally is not None:
            self._tally.wrote(self.part.number, self._end, records, items)

    def rotate(self, now_ns: int) -> None:
        """Begin the next journal if this one is long enough and nothing waits.

        When that fails, or this one is not safe yet, go on in it and try again later.
        """
        if now_ns - self._begun_ns <= self.segment_ns or self._backlog or self._syncing:
            return
        ended, file, end = self.part, self._file, self._end
        try:
            self._secure()
            self._begin(ended.number + 1, now_ns)
        except OSError as error:
            self._write_trouble = f"cannot begin a journal: {error.strerror}"
            self._begun_ns += RETRY_NS
            return
        try:
            _end(file, end)
        except OSError as error:  # it only looks like one that was cut
            self._sync_trouble = f"cannot end a journal: {error.strerror}"
        finally:
            file.close()
        self._finished(ended)

    def begin_sync(self) -> File | None:
        """Return what is to be forced down now and closed; None when all is safe."""
        if self.safe.end == self._end or self._again:
            return None
        self._syncing = Safe(self.part.number, self._end)
        return self._file.again()

    def end_sync(self, error: OSError | None = None) -> None:
        """Learn that what `begin_sync` gave is down, or that it is not."""
        syncing, self._syncing = self._syncing, None
        if error is not None:
            self._sync_trouble = f"sync failed: {error.strerror}"
            self._again = True
        elif syncing is not None:
            self._sync_trouble = ""
            self._down(syncing.end)

    def measure(self, now_ns: int) -> None:
        """Learn how fast it writes and what the disk has left; decide whether video is spared."""
        if self._budget.due(now_ns):
            left = self._disk.left()
            with self._hand:
                self._budget.look(now_ns, left)
        since_ns, before, _ = self._rate
        if now_ns - since_ns > RATE_NS:
            self._rate = now_ns, self._bytes, (self._bytes - before) * 1e9 / (now_ns - since_ns)

    def finish(self, now_ns: int) -> None:
        """Write and force down all that can be, and end the journal; the rest is lost, and said."""
        self._retry_ns = now_ns
        self.flush(now_ns)
        with self._hand:
            for item in self._backlog:
                if isinstance(item, Arrival):
                    self._given_up.lose(item.frame.address, item.header.bus_ns)
            self._backlog, self._waiting_bytes = [], 0
        loss = b"".join(record_of(losses) for losses in self._to_say(now_ns, all_=True))
        for _ in range(2):  # a sync that fails once must be given all again
            try:
                self._rewrite()
                _end(self._file, self._end, loss)
                self._sync_trouble = ""
                self._ended([loss] if loss else [])
                break
            except OSError as error:
                self._sync_trouble = f"cannot end a journal: {error.strerror}"
                self._again = True
        self._file.close()

    def _begin(self, number: int, now_ns: int) -> None:
        """Make a journal that says whose it is, what the catalogue is, and what is true now."""
        path = journal_path(self._disk.path, number)
        head = [MAGIC, encode_record(RecordKind.MANIFEST, self._manifest)]
        head.append(encode_catalogue(*self._catalogue))
        state = {address: arrival.frame for address, arrival in self._state.items()}
        head += [encode_frame(frame, RecordKind.STATE) for frame in state.values()]
        data = b"".join(head)
        file = self._disk.create(path.name, data)
        part = JournalPart(path, number, file.again())
        part.state = state
        part.catalogues.append(self._catalogue)
        self._file, self._end, self.part = file, len(data), part
        self.safe = Safe(number, len(data))
        self._unsafe = []
        self._begun_ns = now_ns
        if self._tally is not None:
            self._tally.began(number, data)

    def _to_say(self, now_ns: int, *, all_: bool = False) -> list[Losses]:
        with self._hand:
            return self._given_up.to_say(now_ns, all_=all_ or not self._budget.sparing)

    def _say_again(self, saying: list[Losses]) -> None:
        with self._hand:
            self._given_up.say_again(saying)

    def _encode(self, saying: list[Losses]) -> tuple[list[bytes], dict[str, list[Row]]]:
        """Return the records of the backlog, and by address where its frames will stand."""
        records = [record_of(losses) for losses in saying]
        rows: dict[str, list[Row]] = {}
        at = self._end + sum(map(len, records))
        notes: Came = {}
        for item in self._backlog:
            if isinstance(item, Arrival):
                record = encode_frame(item.frame)
                row = entry(item.header, at, at + len(record))
                rows.setdefault(item.frame.address, []).append(row)
                if item.flags:
                    came.note(notes, item.frame.address, item.header, item.flags)
            else:
                record = encode_catalogue(*item)
            records.append(record)
            at += len(record)
        if notes:
            records.append(encode_record(RecordKind.CAME, came.encode(notes)))
        return records, rows

    def _written(self, data: bytes, rows: dict[str, list[Row]]) -> None:
        self._write_trouble = ""
        self._unsafe.append((self._end, data))
        self._end += len(data)
        self._bytes += len(data)
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

    def _write_again(self, now_ns: int) -> bool:
        """Write again what a sync that failed may have lost; False when it cannot be."""
        try:
            self._rewrite()
        except OSError as error:
            self._refused(error, now_ns)
            return False
        return True

    def _rewrite(self) -> None:
        if self._again:
            for at, data in self._unsafe:
                self._file.write(data, at)
            self._again = False

    def _secure(self) -> None:
        """Force all of it down now.

        Raises:
            OSError: it is not.
        """
        if self.safe.end == self._end:
            return
        try:
            self._rewrite()
            self._file.sync()
        except OSError:
            self._again = True
            raise
        self._down(self._end)

    def _down(self, end: int) -> None:
        self.safe = Safe(self.part.number, end)
        self._unsafe = [(at, data) for at, data in self._unsafe if at >= end]

    def _ended(self, records: list[bytes]) -> None:
        """Learn that the journal is down to its end, with the last of its records."""
        end = self._end + sum(map(len, records))
        self.safe = Safe(self.part.number, end)
        if self._tally is not None:
            self._tally.wrote(self.part.number, end, records, [])

    def _refused(self, error: OSError, now_ns: int) -> None:
        self._write_trouble = f"cannot write {self.part.path.name}: {error.strerror}"
        self._retry_ns = now_ns + RETRY_NS


def _end(file: File, end: int, last: bytes = b"") -> None:
    """Force a journal down with an END record; without it, it only looks like one that was cut."""
    file.truncate(end)  # what a failed try left
    file.write(last + encode_record(RecordKind.END, b""), end)
    file.sync()
