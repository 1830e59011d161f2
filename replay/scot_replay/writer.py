"""Writes journals in threads of its own: the disk may be slow, full or gone, the room goes on.

What is decided is in `scot_replay.open_journal`; here are the two threads that drive it: one writes
every 100 ms, the other forces down what was written without standing in the first one's way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from scot.channel import Catalogue
from scot.clock import machine
from scot_replay.disk import Directory
from scot_replay.facts import Facts
from scot_replay.layout import Manifest
from scot_replay.ledger.notary import Notary
from scot_replay.losses import Loss
from scot_replay.open_journal import FLUSH_S, SYNC_S, Arrival, OpenJournal
from scot_replay.parts import JournalPart

log = logging.getLogger(__name__)
__all__ = ["Arrival", "Facts", "JournalWriter", "Loss"]


class JournalWriter:
    """Owns the open journal of a recording.

    Args:
        directory: of the recording; exists.
        manifest: goes into each journal.
        catalogue: as it is now, and since when (bus ns).
        segment_s: length of a journal.
        finished: called, in the writer's thread, with each journal that is complete.
        first: number of the first journal.
        notary: signs what was written.

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
        notary: Notary | None = None,
    ) -> None:
        self._disk = threading.Lock()  # over the file; what is handed over has its own
        self._notary = notary
        self._finished = finished
        self._journal = OpenJournal(
            Directory(directory),
            manifest,
            catalogue,
            segment_s,
            self._rotated,
            first,
            machine.monotonic_ns(),
            hand=threading.Lock(),
            tally=None if notary is None else notary.tally,
        )
        self._stop = threading.Event()
        self._broken: dict[str, str] = {}  # by thread: what its last turn failed of
        self._threads = [
            threading.Thread(target=self._turn, args=(name, work, every_s), name=name, daemon=True)
            for name, work, every_s in (
                ("journal-flush", self._flush_once, FLUSH_S),
                ("journal-sync", self._sync_once, SYNC_S),
            )
        ]
        for thread in self._threads:
            thread.start()

    @property
    def part(self) -> JournalPart:
        """The open journal, readable while it grows."""
        return self._journal.part

    def put(self, arrivals: Sequence[Arrival]) -> None:
        """Hand frames over; returns at once. Beyond 64 MB waiting they are counted as lost."""
        self._journal.put(arrivals)

    def note(self, bus_ns: int, catalogue: Catalogue) -> None:
        """Hand over a new version of the catalogue."""
        self._journal.note(bus_ns, catalogue)

    def lengthen(self, segment_s: float) -> None:
        """Let journals from now on be so long."""
        self._journal.segment_ns = round(segment_s * 1e9)

    def facts(self) -> Facts:
        """Return how it stands now; asks the file system. A thread that fails is trouble, too."""
        facts = self._journal.facts()
        broken = {**self._broken}
        if not self._stop.is_set():
            broken |= {t.name: f"{t.name} ended" for t in self._threads if not t.is_alive()}
        if facts.trouble or not broken:
            return facts
        return msgspec.structs.replace(facts, trouble="; ".join(broken.values()))

    def flush(self) -> None:
        """Write what was handed over now; trouble is noted in `facts`, not raised."""
        with self._disk:
            self._journal.flush(machine.monotonic_ns())

    def close(self) -> JournalPart:
        """Write and sync everything that can be, end the journal, and return it."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        with self._disk:
            self._journal.finish(machine.monotonic_ns())
            self._sign(at_once=True)
        return self.part

    def _rotated(self, part: JournalPart) -> None:
        """Sign what the journal that ended holds before it is sealed."""
        self._sign(at_once=True)
        self._finished(part)

    def _sign(self, *, at_once: bool) -> None:
        if self._notary is not None:
            self._notary.freeze(machine.monotonic_ns(), at_once=at_once)
            self._notary.take(*self._journal.safe)
            self._notary.sign()

    def _turn(self, name: str, work: Callable[[], None], every_s: float) -> None:
        """Do a thread's work again and again; one turn that fails is said, and not the last."""
        while not self._stop.wait(every_s):
            try:
                work()
            except Exception as error:
                if name not in self._broken:
                    log.exception("%s failed; it tries again", name)
                self._broken[name] = f"{name} failed: {type(error).__name__}: {error}"
            else:
                self._broken.pop(name, None)

    def _flush_once(self) -> None:
        now_ns = machine.monotonic_ns()
        with self._disk:
            self._journal.flush(now_ns)
            self._journal.rotate(now_ns)
        self._journal.measure(now_ns)

    def _sync_once(self) -> None:
        with self._disk:
            if self._notary is not None:
                self._notary.freeze(machine.monotonic_ns())
            file = self._journal.begin_sync()
        if file is None:
            self._sign_safe()
            return
        trouble: OSError | None = None
        try:
            file.sync()
        except OSError as error:
            trouble = error
        finally:
            file.close()
        with self._disk:
            self._journal.end_sync(trouble)
        self._sign_safe()

    def _sign_safe(self) -> None:
        """Sign what is due and down, without standing in the way of what is written."""
        if self._notary is not None:
            with self._disk:
                self._notary.take(*self._journal.safe)
            self._notary.sign()
