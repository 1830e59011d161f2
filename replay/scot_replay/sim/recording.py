"""The recorder of a simulated room, and what must be on its disk after a crash."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scot.bus.session import Asked
from scot.bus.subscriber import Delivery, Subscription
from scot.channel import Catalogue, Device, Lifecycle
from scot.codec import Frame, Header
from scot_replay.disk import File
from scot_replay.holder import Holder
from scot_replay.index import Seen
from scot_replay.layout import Manifest
from scot_replay.losses import Loss
from scot_replay.open_journal import FLUSH_S, SYNC_S, Arrival, OpenJournal
from scot_replay.parts import JournalPart
from scot_replay.sim.nodes import WORKSPACE, Member
from scot_replay.sim.storage import SimulatedDisk
from scot_replay.sim.truth import BrokenPromiseError, Watch
from scot_replay.sim.wire import Parts
from scot_replay.sim.world import MS, Life, S

ANSWER_NS = 2 * MS
AGAIN_NS = S
KILLED_NS = 200 * MS
POWER_NS = 1_000 * MS
REMEMBERED = 20_000
Held = dict[tuple[str, int], set[int]]


class RecorderNode(Member):
    """Runs `OpenJournal` and `Holder` as `scot_replay.recorder` does, over a simulated disk.

    Attributes:
        disk: it outlives the process.
        well_since_ns: since when the disk has done all that was asked of it.
        lost: samples that were given up because the disk did not take them, by address.
        kept: what was on the disk after the last crash.
    """

    def __init__(self, *given: Any, segment_s: float, **more: Any) -> None:
        super().__init__(*given, **more)
        self.disk = SimulatedDisk(self.world.stream("disk"))
        self.segment_s = segment_s
        self.max_waiting = 0
        self.journal: OpenJournal | None = None
        self.kept: Held = {}
        self.watch: Watch | None = None
        self.subscription: Subscription | None = None
        self.well_since_ns = 0
        self.lost: dict[str, int] = {}
        self._handed: deque[tuple[int, str, Header]] = deque(maxlen=REMEMBERED)
        self._seen = Seen({})
        self._earlier: list[JournalPart] = []
        self._written: list[JournalPart] = []

    def _started(self, life: Life) -> None:
        self.journal = self.watch = self.subscription = None
        super()._started(life)

    def on_joined(self) -> None:
        """Go on in the recording that is there; without a disk that works, begin again later."""
        self._earlier = self._open_parts()
        self._seen = Holder(self._earlier).seen()
        self._written = []
        self._handed.clear()
        number = 1 + max((part.number for part in self._earlier), default=0)
        try:
            self.journal = OpenJournal(
                self.disk,
                Manifest(workspace=WORKSPACE, session="sim"),
                (self.clock.now(), self.client.catalogue),
                self.segment_s,
                self._written.append,
                number,
                self.crystal.read(),
            )
        except OSError as error:
            self.world.note(f"{self.name} cannot record: {error.strerror}")
            self.crash(power=False)
            self.world.after(AGAIN_NS, None, self.start)
            return
        self.journal.max_waiting = self.max_waiting or self.journal.max_waiting
        self._begin()

    def _begin(self) -> None:
        now_ns = self.crystal.read()
        device = Device(name=self.name, provider="recorder", state=Lifecycle.RUNNING)
        self.request(self.client.announce(device, now_ns))
        self.request(self.client.serve(now_ns))
        self.watch = Watch(self.truth, self.name, self._record)
        self.subscription, effects = self.client.subscribe(
            [f"{WORKSPACE}/"], self.watch, fill=True, fill_bulk=True, from_start=True
        )
        self.act(effects)
        self.world.after(round(FLUSH_S * S), self.life, self._flush)
        self.world.after(round(SYNC_S * S), self.life, self._sync)

    def crash(self, *, power: bool) -> None:
        """End at once; nothing is promised of what came while it is stopped or its disk is slow."""
        if not self.running or self.disk.slow_ns:
            self.well_since_ns = self.world.now_ns
        super().crash(power=power)

    def go_on(self) -> None:
        """Let it go on."""
        self.well_since_ns = self.world.now_ns
        super().go_on()

    def _take(self, name: str, parts: Parts) -> None:
        super()._take(name, parts)
        if self.watch is not None and self.subscription is not None:
            self.watch.check(self.subscription)

    def on_catalogue(self, catalogue: Catalogue) -> None:
        """Note a new version in the journal."""
        super().on_catalogue(catalogue)
        if self.journal is not None:
            self.journal.note(self.clock.now(), catalogue)

    def asked(self, asked: Asked) -> None:
        """Answer from everything that was recorded, off the event loop."""
        self.world.after(ANSWER_NS, self.life, self._answer, asked)

    # -- the disk

    def _record(self, batch: Sequence[Delivery]) -> None:
        if self.journal is None:
            return
        arrivals = []
        for delivery in batch:
            address, header = delivery.frame.address, delivery.header
            if not self._seen.has(address, header.epoch, header.seq):
                arrivals.append(Arrival(delivery.frame, header, delivery.channel.kind))
                self._handed.append((self.world.now_ns, address, header))
        self.journal.put(arrivals)

    def _answer(self, asked: Asked) -> None:
        if self.journal is None:
            return  # it serves only once it has one
        self.journal.flush(self.crystal.read())
        holder = Holder([*self._earlier, *self._written, self.journal.part])
        reply = holder.answer(asked.ask, self.client.catalogue)
        self.act(self.client.answer(asked.key, reply))

    def _flush(self) -> None:
        self.world.after(self.disk.slow_ns, self.life, self._flushed)

    def _flushed(self) -> None:
        if self.journal is None:
            return
        now_ns = self.crystal.read()
        self.journal.flush(now_ns)
        self.journal.rotate(now_ns)
        self.journal.measure(now_ns)
        self._judge_disk(self.journal)
        self.world.after(round(FLUSH_S * S), self.life, self._flush)

    def _sync(self) -> None:
        if self.journal is None:
            return
        file = self.journal.begin_sync()
        if file is None:
            self.world.after(round(SYNC_S * S), self.life, self._sync)
        else:
            self.world.after(self.disk.slow_ns + 5 * MS, self.life, self._synced, file)

    def _synced(self, file: File) -> None:
        if self.journal is None:
            return
        trouble: OSError | None = None
        try:
            file.sync()
        except OSError as error:
            trouble = error
        self.journal.end_sync(trouble)
        if trouble is not None:
            self.well_since_ns = self.world.now_ns
        self.world.after(round(SYNC_S * S), self.life, self._sync)

    def _judge_disk(self, journal: OpenJournal) -> None:
        facts = journal.facts()
        if facts.trouble or facts.waiting_bytes > 0 or self.disk.slow_ns:
            self.well_since_ns = self.world.now_ns

    # -- crashes

    def _open_parts(self) -> list[JournalPart]:
        parts = []
        for name in self.disk.names():
            number = int(name.removeprefix("journal-").removesuffix(".scotj"))
            parts.append(JournalPart.open(Path(name), number, self.disk.open(name)))
        return parts

    def safe(self, name: str) -> int:
        """Return how many bytes of a file are on the disk for sure."""
        if self.journal is not None and self.journal.part.path.name == name:
            return self.journal.safe.end
        return self.disk.open(name).size()

    def finish(self) -> None:
        """End the recording in order."""
        if self.journal is not None:
            self.journal.finish(self.crystal.read())
            self._count_lost(self.journal)
            self.journal = None

    def _count_lost(self, journal: OpenJournal) -> None:
        for address, loss in _stated(journal).items():
            self.lost[address] = self.lost.get(address, 0) + loss.count

    def _ended(self, power: bool) -> None:
        super()._ended(power)
        if self.journal is None:
            return
        self._count_lost(self.journal)
        name, safe = self.journal.part.path.name, self.journal.safe
        before = self.disk.data(name)[: safe.end]
        if power:
            self.disk.power_cut()
        if self.disk.down(name)[: safe.end] != before and power:
            raise BrokenPromiseError(
                f"{name}: of {safe.end} B that were said to be safe some went with the power"
            )
        self._check_loss(POWER_NS if power else KILLED_NS, _stated(self.journal))
        self.kept, self.journal = self.held(), None

    def _check_loss(self, limit_ns: int, stated: dict[str, Loss]) -> None:
        """P3: all that was taken longer ago than the limit is there, or stated as given up."""
        now_ns = self.world.now_ns
        if self.well_since_ns > now_ns - 3 * S or self.disk.flipped:
            return
        held, excused = self.held(), Counter[str]()
        for at_ns, address, header in self._handed:
            if at_ns >= now_ns - limit_ns or header.seq in held.get((address, header.epoch), ()):
                continue
            loss = stated.get(address)
            if loss is not None and loss.first_ns <= header.bus_ns <= loss.last_ns:
                excused[address] += 1
                if excused[address] <= loss.count:
                    continue
            raise BrokenPromiseError(
                f"the recorder took {address} {header.epoch}/{header.seq} "
                f"{(now_ns - at_ns) / S:.3f} s before it ended (limit {limit_ns / S} s); it is "
                "neither on the disk nor stated as lost"
            )

    def held(self) -> Held:
        """Return what is on the disk, read as after a crash: seqs by address and epoch."""
        held: Held = {}
        for part in self._open_parts():
            for address in part.addresses():
                span = part.span(address)
                for epoch, runs in span.runs.items() if span is not None else ():
                    seqs = held.setdefault((address, int(epoch)), set())
                    for first, last in runs:
                        if not seqs.isdisjoint(range(first, last + 1)):
                            raise BrokenPromiseError(f"{address} {epoch} was recorded twice")
                        seqs.update(range(first, last + 1))
        return held

    def check_frames(self) -> None:
        """What the disk gives back is what was published, to the byte."""
        for part in self._open_parts():
            for address in part.addresses():
                for frame in part.read(address, 0, len(part.times(address))):
                    self.truth.place(Frame(*frame), "the disk gave back")


def _stated(journal: OpenJournal) -> dict[str, Loss]:
    """Return what the recorder says it did not write: refused by the disk, or video spared."""
    facts = journal.facts()
    stated = dict(facts.lost)
    for address, more in facts.spared.items():
        loss = stated.get(address, more)
        stated[address] = Loss(
            more.count + (loss.count if address in facts.lost else 0),
            min(loss.first_ns, more.first_ns),
            max(loss.last_ns, more.last_ns),
        )
    return stated
