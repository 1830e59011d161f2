"""The recorder: always on, takes everything in the workspace, answers History for the whole case.

A service of the room (entry points ``scot.services``). Frames go to the journal as they were
received; a journal that is complete is sealed into an MCAP segment by a process of its own. The
recorder's health says how it stands, its alarms when the disk fills or fails.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from scot.bus.subscriber import Delivery
from scot.channel import Catalogue
from scot.clock import machine
from scot.errors import RecordingError
from scot.history import HistoryReply, HistoryRequest
from scot.host import Service
from scot.sample import Flags
from scot_replay.chunks import ChunkCache
from scot_replay.digest import in_digest
from scot_replay.holder import Holder
from scot_replay.index import Seen
from scot_replay.layout import (
    Manifest,
    directory_name,
    hold,
    iso_utc,
    list_parts,
    read_manifest,
    write_manifest,
)
from scot_replay.ledger.casekey import CaseKey, Opened
from scot_replay.ledger.notary import Notary
from scot_replay.opening import open_parts
from scot_replay.parts import JournalPart, Part
from scot_replay.pretrigger import FILE, PreTrigger
from scot_replay.sealing import Sealing, seal_left
from scot_replay.vigil import Vigil
from scot_replay.writer import Arrival, JournalWriter

log = logging.getLogger(__name__)

LOOK_S = 0.5
QUIET_NS = 300_000_000
LAST_NS = 2_000_000_000
SEAL_AT_END_S = 6.0
_ON_TIME = Flags(0)
_BACKFILLED = int(Flags.BACKFILLED)


async def serve(service: Service) -> None:
    """Record until `service.stopping`; returns when everything is on disk.

    Options: ``directory``: exactly where; otherwise a new one, named by start, workspace and
    case, below the room file's ``[recorder] directory``.

    Raises:
        RecordingError: the directory cannot be made, or holds another recording.
    """
    recorder = Recorder(service)
    recorder.begin()
    try:
        await recorder.join()
        service.ready(recording=str(recorder.directory))
        work = [asyncio.create_task(task) for task in (recorder.watch(), recorder.tidy())]
        await service.stopping.wait()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    finally:
        await recorder.end()


class Recorder:
    """One recording being made; also the sink of the recorder's subscription."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.connection = service.connection
        self.vigil = Vigil(self.connection)
        self.cache = ChunkCache()
        self.manifest = Manifest()
        self.directory = Path()
        self._earlier: tuple[Part, ...] = ()
        self._seen = Seen({})
        self._last_ns = 0
        self._written = ""
        self._sealing: Sealing
        self._pretrigger = PreTrigger(0)
        self._held: int | None = None
        self._writer: JournalWriter | None = None
        self._notary: Notary | None = None
        self._key: CaseKey | None = None

    # -- beginning

    def begin(self) -> None:
        """Make the directory, or go on in the one this very room began.

        Raises:
            RecordingError: it cannot be made, or holds another recording.
        """
        now_ns = self.connection.clock.now()
        session = self._session()
        room = self.service.room.room
        case = room.case or self.connection.catalogue.case
        self.directory = self._choose(now_ns, session, case)
        number = self._go_on(session)
        if not number:
            self.manifest = Manifest(
                workspace=room.workspace,
                case=case,
                started_ns=now_ns,
                started=iso_utc(now_ns),
                session=session,
                keep_last_s=self.service.room.recorder.keep_last_s,
            )
        table = self.service.room.recorder
        keeps_all = bool(number) and not (self.manifest.keep_last_s and not self.manifest.triggered)
        self._pretrigger = PreTrigger(0 if keeps_all else table.keep_last_s, table.trigger)
        self._sealing = Sealing(self.directory, self.cache)
        self._sealing.paused = self._pretrigger.armed
        if not number:  # who asked this recording to be kept before a crash is still heard
            (self.service.state / FILE).unlink(missing_ok=True)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._held = hold(self.directory)
            self._take_key()
            write_manifest(self.directory, self.manifest)
            self._notary = Notary(self.directory, self.manifest, self.service.state.parent)
            loop = asyncio.get_running_loop()
            self._writer = JournalWriter(
                self.directory,
                self.manifest,
                (now_ns, self.connection.catalogue),
                self._pretrigger.segment_s(table.segment_s),
                lambda part: _tell(loop, self._sealing, part),
                number + 1,
                self._notary,
            )
            self._seal_earlier()
        except OSError as error:
            raise RecordingError(
                f"cannot record into {self.directory}: {error.strerror}; choose another directory "
                "with --record or [recorder] directory"
            ) from None

    def _take_key(self) -> None:
        """Take the key that samples are encrypted with, if they are; make a new recording's."""
        folder, room = self.service.state.parent, self.service.room.recorder
        if self.manifest.encrypted:
            self._key = CaseKey.load(self.manifest.encrypted, folder)
        elif room.encrypt and not self._earlier:
            self._key = CaseKey.new(folder, self.directory)
            self.manifest = msgspec.structs.replace(self.manifest, encrypted=self._key.id)

    def _seal_earlier(self) -> None:
        """Seal what our earlier life left: it stays readable meanwhile."""
        left = [part for part in self._earlier if isinstance(part, JournalPart)]
        self._earlier = tuple(part for part in self._earlier if part not in left)
        for part in left:
            self._sealing.add(part)

    async def tidy(self) -> None:
        """Seal what earlier recordings beside this one left unsealed: crashes, hasty ends."""
        if not self.service.options.get("directory"):
            async for line in seal_left(self.directory.parent):
                log.warning("%s", line)

    def _session(self) -> str:
        """Return what tells this room from the next that has the same name."""
        try:
            return hashlib.sha256((self.service.state / "session.json").read_bytes()).hexdigest()
        except OSError:
            return os.urandom(16).hex()

    def _choose(self, now_ns: int, session: str, case: str) -> Path:
        given = self.service.options.get("directory")
        if given:
            return Path(given).absolute()
        memo = self.service.state / "recording.json"
        try:
            last = msgspec.json.decode(memo.read_bytes(), type=dict[str, str])
            if last.get("session") == session and Path(last["directory"]).is_dir():
                return Path(last["directory"])  # we died in the middle of this very room
        except (OSError, msgspec.DecodeError, KeyError):
            pass
        parent = self.service.room.recorder.directory.absolute()
        chosen = parent / directory_name(now_ns, self.service.room.room.workspace, case)
        memo.write_bytes(msgspec.json.encode({"session": session, "directory": str(chosen)}))
        return chosen

    def _go_on(self, session: str) -> int:
        """Return the number of the last part that is there; 0 in a new directory.

        Raises:
            RecordingError: the directory holds another room's recording.
        """
        if not self.directory.exists():
            return 0
        manifest = read_manifest(self.directory)
        if manifest is not None and manifest.session == session:
            self.manifest = msgspec.structs.replace(manifest, finished_ns=None, finished=None)
        try:
            numbers = list_parts(self.directory).numbers
        except RecordingError:
            if manifest is None and any(self.directory.iterdir()):
                raise RecordingError(
                    f"{self.directory} holds other files; name a new or an empty directory"
                ) from None
            return 0
        if manifest is None or manifest.session != session:
            since = manifest.started if manifest is not None else "another time"
            raise RecordingError(
                f"{self.directory} already holds a recording of {since}; name a new directory"
            )
        _, parts, damage = open_parts(self.directory, self.cache)
        for line in damage:
            log.warning("%s", line)
        self._seen = Holder(parts).seen()
        self._earlier = tuple(parts)
        return numbers[-1]

    async def join(self) -> None:
        """Announce, answer History, and take everything from the start."""
        await self.connection.announce(self.vigil.device())
        self.connection.on_catalogue.append(self._on_catalogue)
        await self.connection.serve_history(self.answer)
        self.connection.subscribe(
            [f"{self.connection.workspace}/"], self, fill=True, fill_bulk=True, from_start=True
        )

    # -- the sink

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Hand frames over to the writer; what an earlier life of ours has is left out."""
        if self._writer is None:
            return
        if any(in_digest(delivery.frame.address) for delivery in batch):
            self._last_ns = machine.monotonic_ns()
        now_ns = self.connection.clock.now()
        arrivals = [Arrival(d.frame, d.header, d.channel.kind, _how(d, now_ns)) for d in batch]
        if self._key is not None:
            encrypt = self._key.encrypt
            arrivals = [a._replace(frame=encrypt(a.frame)) for a in arrivals]
        if self._seen:
            seen = self._seen.has
            arrivals = [
                a for a in arrivals if not seen(a.frame.address, a.header.epoch, a.header.seq)
            ]
        self._writer.put(arrivals)
        if self._pretrigger.triggers(batch):
            self._trigger()

    def close(self) -> None:
        """Nothing more will come; `end` writes what did."""

    def _on_catalogue(self, catalogue: Catalogue) -> None:
        if self._writer is not None:
            self._writer.note(self.connection.clock.now(), catalogue)

    # -- what is kept before something happens

    def _trigger(self) -> None:
        """Keep everything from now on."""
        self._pretrigger.armed = False
        now = iso_utc(self.connection.clock.now())
        self.manifest = msgspec.structs.replace(self.manifest, triggered=now)
        if self._writer is not None:
            self._writer.lengthen(self.service.room.recorder.segment_s)
        self._sealing.resume()
        log.warning("triggered: everything is kept, and the %g s before", self._pretrigger.keep_s)

    async def _trim(self) -> None:
        """Until it is triggered remove what is too old."""
        if self._pretrigger.armed and (self.service.state / FILE).exists():
            self._trigger()
        if self._written != self.manifest.triggered:
            now = self.manifest
            await asyncio.to_thread(write_manifest, self.directory, now)
            self._written = now.triggered  # not before: a recorder that restarts would trim again
        parts = [*self._earlier, *self._sealing.parts]
        old = self._pretrigger.outdated(parts, self.connection.clock.now())
        if old:
            self._sealing.forget(old)
            self._earlier = tuple(part for part in self._earlier if part not in old)
            for part in old:  # who reads it now has it open
                await asyncio.to_thread(part.path.unlink, missing_ok=True)

    # -- History

    async def answer(self, ask: HistoryRequest) -> HistoryReply:
        """Answer from everything recorded up to this moment, off the event loop."""
        return await asyncio.to_thread(self._answer, ask)

    def _answer(self, ask: HistoryRequest) -> HistoryReply:
        writer = self._writer
        parts = [*self._earlier, *self._sealing.parts]
        if writer is not None:
            writer.flush()
            parts += [part for part in (writer.part,) if part not in parts]
        parts.sort(key=lambda part: part.number)
        key = self._key
        holder = Holder(parts if key is None else [Opened(part, key) for part in parts])
        return holder.answer(ask, self.connection.catalogue)

    async def watch(self) -> None:
        """Show health and raise alarms until cancelled."""
        while self._writer is not None:
            writer = self._writer
            facts = await asyncio.to_thread(writer.facts)
            try:
                await self._trim()
            except OSError as error:
                log.error("cannot trim %s: %s", self.directory, error.strerror)
            waiting = 0 if self._sealing.paused else self._sealing.waiting
            keeps = self._pretrigger.keep_s if self._pretrigger.armed else 0.0
            unsigned = self._notary.trouble if self._notary is not None else ""
            await self.vigil.look(facts, self._sealing.trouble, waiting, keeps, unsigned)
            await asyncio.sleep(LOOK_S)

    # -- ending

    async def end(self) -> None:
        """Take what is still on its way, write it, seal it, and say that it is finished."""
        if self._writer is None:
            return
        limit_ns = machine.monotonic_ns() + LAST_NS
        while (now_ns := machine.monotonic_ns()) < min(limit_ns, self._last_ns + QUIET_NS):
            await machine.until(min(limit_ns, self._last_ns + QUIET_NS, now_ns + QUIET_NS))
        writer, self._writer = self._writer, None
        last = await asyncio.to_thread(writer.close)
        now_ns = self.connection.clock.now()
        if not writer.facts().trouble:
            finished = msgspec.structs.replace(
                self.manifest, finished_ns=now_ns, finished=iso_utc(now_ns)
            )
            try:
                write_manifest(self.directory, finished)
            except OSError as error:
                log.error("cannot finish %s: %s", self.directory, error.strerror)
            else:
                await self._signed()
        self._sealing.resume()
        self._sealing.add(last)
        await self._sealing.finish(SEAL_AT_END_S)
        if self._held is not None:
            os.close(self._held)

    async def _signed(self) -> None:
        """Say in the ledger that the recording ended in order."""
        if self._notary is not None:
            await asyncio.to_thread(self._notary.finish)
            if self._notary.trouble:
                log.warning("%s", self._notary.trouble)


def _how(delivery: Delivery, now_ns: int) -> Flags:
    """Say whether a sample was asked back, or came after a screen had to call its channel stale."""
    if delivery.flags.value & _BACKFILLED:  # the flag's own & takes eight times as long
        return Flags.BACKFILLED
    late = now_ns - delivery.header.bus_ns > delivery.channel.stale_after_s * 1e9
    return Flags.LATE if late else _ON_TIME


def _tell(loop: asyncio.AbstractEventLoop, sealing: Sealing, part: JournalPart) -> None:
    loop.call_soon_threadsafe(sealing.add, part)
