"""Recovery: a broken directory becomes a valid recording, and says what could not be saved.

Whole segments are taken as they are. Of every other part all that can be read, from its segment,
its journal and a segment that was half written, becomes a new journal, which is sealed. The
originals are only read; `in_place` replaces them, and keeps them in ``damaged/``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from scot.channel import Catalogue
from scot.clock import machine
from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.codec import Frame
from scot.errors import RecordingError
from scot_replay.completeness import NEVER_CAME, Interval, report
from scot_replay.holder import Holder
from scot_replay.index import Span, join
from scot_replay.journal import RecordKind, encode_frame, encode_record
from scot_replay.layout import (
    DAMAGED,
    MANIFEST,
    WORK,
    Manifest,
    NewerVersionError,
    hold,
    iso_utc,
    journal_path,
    read_manifest,
    segment_path,
    sync_directory,
    write_manifest,
)
from scot_replay.losses import Loss
from scot_replay.parts import JournalPart, Part, bounds, newest_catalogue
from scot_replay.progress import share
from scot_replay.rebuilding import (
    has,
    look,
    manifest_in,
    open_source,
    overlap,
    set_aside,
    write_journal,
)
from scot_replay.salvage import Salvage, faults
from scot_replay.seal import seal
from scot_replay.segment import SegmentPart

RECOVERED = "recovered"
_PART = re.compile(r"^(?:journal|segment)-(\d+)\.")
_OURS = re.compile(r"^(?:journal-\d+\.scotj|segment-\d+\.mcap|manifest\.json)(?:\.\w+)?$")


class Rebuilt(msgspec.Struct, kw_only=True):
    """A part that was made anew.

    Attributes:
        part: its number.
        from_: files that gave something; none when the part was missing.
        samples: that it holds now.
        damage: what was wrong with its files; empty when they were only not sealed.
    """

    part: int
    from_: list[str] = msgspec.field(name="from", default_factory=list)
    samples: int = 0
    damage: list[str] = []


class Outcome(msgspec.Struct, kw_only=True):
    """What a recovery did.

    Attributes:
        recording: the directory that is valid now.
        kept: parts that were whole.
        rebuilt: parts that were made anew.
        notes: what else was wrong.
        samples: of the whole recording.
        lost: by channel, what it has not, and why.
    """

    recording: str
    kept: list[int] = []
    rebuilt: list[Rebuilt] = []
    notes: list[str] = []
    samples: int = 0
    lost: dict[str, list[Interval]] = {}


class Recovery:
    """One recovery of one directory.

    Args:
        source: the broken recording; nothing in it is changed unless `in_place`.
        out: directory of the new one, not there yet; None is `source` itself.

    Raises:
        RecordingError: `source` holds no part, is being recorded, or `out` is there.
    """

    def __init__(self, source: Path, out: Path | None) -> None:
        self.source, self.out = source, out or source
        self.in_place = out is None
        self._layout, self._half = look(source)
        self.outcome = Outcome(recording=str(self.out))
        self._parts: list[Part] = []
        self._work = source / WORK if self.in_place else self.out
        self._manifest = Manifest()
        self._catalogue: tuple[int, Catalogue] | None = None
        self._known: dict[str, list[Span]] = {}
        if not self.in_place and self.out.exists():
            raise RecordingError(f"{self.out} exists; name another directory with --out")

    def run(self) -> Outcome:
        """Do it. A stop before the end leaves `source` as it was and `out` as far as it came.

        Raises:
            RecordingError: nothing can be read, or the disk does not take it; says which.
        """
        held = hold(self.source)
        if held is None:
            raise RecordingError(
                f"{self.source} is being recorded or repaired by another process; wait for its end"
            )
        try:
            self._run()
        except OSError as error:
            where = error.filename or self._work
            fix = "name a place that takes it with --out"
            raise RecordingError(f"{where}: {error.strerror}; {fix}") from None
        finally:
            for part in self._parts:
                part.close()
            os.close(held)
            if self.in_place:
                shutil.rmtree(self._work, ignore_errors=True)
        return self.outcome

    def _run(self) -> None:
        self._manifest = self._find_manifest()
        numbers = {*self._layout.numbers, *self._half}
        first = min(numbers) if self._manifest.keep_last_s else 1
        wanted = range(first, max(numbers) + 1)
        total = 2 * self._size(max(numbers)) or 1
        with share("recovering") as tell:
            faulty = self._check(lambda done: tell(done / total))
            if not (self.outcome.notes or faulty or set(wanted) - set(self._layout.segments)):
                self.outcome.kept = list(wanted)
                return
            if self.in_place:  # what a recovery that was killed left; we hold the directory
                shutil.rmtree(self._work, ignore_errors=True)
            self._work.mkdir(mode=0o700, parents=True)
            write_manifest(self._work, self._manifest)
            for number in wanted:
                self._take(number, faulty.get(number, []))
                tell(0.5 + self._size(number) / total)
        if not any(part.addresses() or part.catalogues for part in self._parts):
            shutil.rmtree(self._work, ignore_errors=True)
            why = "; ".join(line for one in self.outcome.rebuilt for line in one.damage)
            raise RecordingError(f"{self.source} holds nothing that can be read: {why}")
        self._take_states()
        self._reckon()
        for rebuilt in self.outcome.rebuilt:
            seal(self._work, rebuilt.part)
        self._finish()

    def _check(self, tell: Callable[[int], None]) -> dict[int, list[str]]:
        """Return what is damaged of each segment that is not whole."""
        faulty: dict[int, list[str]] = {}
        done = 0
        for number, segment in sorted(self._layout.segments.items()):

            def at(place: int, before: int = done) -> None:
                tell(before + place)

            if damage := faults(segment, at):
                faulty[number] = damage
            done += segment.stat().st_size
        return faulty

    # -- the manifest

    def _find_manifest(self) -> Manifest:
        """Return the manifest; where it is missing or broken, as the parts say."""
        notes = self.outcome.notes
        try:
            manifest = read_manifest(self.source)
            if manifest is not None:
                if manifest.finished_ns is None:
                    notes.append("it was never finished in order")
                return manifest
            notes.append(f"{MANIFEST} was missing")
        except NewerVersionError:
            raise
        except RecordingError as error:
            notes.append(str(error).partition("; ")[0])
        files = [*self._layout.segments.values(), *self._layout.journals.values()]
        return next(filter(None, map(manifest_in, files)), Manifest())

    # -- the parts

    def _take(self, number: int, damage: list[str]) -> None:
        segment = self._layout.segments.get(number)
        if segment is not None and not damage:
            try:
                self._keep(number, segment)
                return
            except NewerVersionError as error:
                self.outcome.notes.append(str(error))
                return
            except RecordingError as error:
                damage = [str(error)]
        files = [self._layout.journals.get(number), segment, self._half.get(number)]
        self._rebuild(number, [file for file in files if file is not None], damage)

    def _size(self, last: int) -> int:
        """Return how many bytes the parts up to a number have."""
        files = (self._layout.journals, self._layout.segments, self._half)
        return sum(path.stat().st_size for known in files for n, path in known.items() if n <= last)

    def _keep(self, number: int, segment: Path) -> None:
        part = SegmentPart(segment, number)
        self._parts.append(part)
        self.outcome.kept.append(number)
        if part.catalogues:
            self._catalogue = part.catalogues[-1]
        if not self.in_place:
            fresh = self.out / f"{segment.name}.part"
            shutil.copyfile(segment, fresh)
            fresh.rename(self.out / segment.name)

    def _rebuild(self, number: int, files: list[Path], damage: list[str]) -> None:
        """Write what can be read of a part as one journal of its own."""
        made = Rebuilt(part=number, damage=damage)
        self.outcome.rebuilt.append(made)
        sources = []
        for file in files:
            try:
                sources.append(open_source(file, number))
            except NewerVersionError as error:
                self.outcome.notes.append(str(error))
            except RecordingError as error:
                made.damage.append(str(error))
        if not files:
            made.damage.append(f"part {number} is missing")
        path = journal_path(self._work, number)
        catalogue, made.from_ = write_journal(path, sources, self._manifest, self._catalogue)
        self._catalogue = catalogue or self._catalogue
        for source in sources:
            made.damage += source.damage
            for address, span in source.spans.items() if isinstance(source, Salvage) else ():
                self._known.setdefault(address, []).append(span)
            source.close()
        part = JournalPart.open(path, number)
        self._parts.append(part)
        made.samples = sum(s.count for a in part.addresses() if (s := part.span(a)) is not None)

    def _take_states(self) -> None:
        """Take what a later part knew to be true before it, and no file of before holds."""
        broken = [one.part for one in self.outcome.rebuilt if one.damage]
        seen = Holder(self._parts).seen()
        found: dict[int, dict[Frame, None]] = {}
        for part in self._parts:
            into = max((number for number in broken if number < part.number), default=None)
            if into is not None:
                fresh = [f for f in part.state.values() if not has(seen, f)]
                found.setdefault(into, {}).update(dict.fromkeys(fresh))
        for number, frames in found.items():
            place = next(n for n, part in enumerate(self._parts) if part.number == number)
            path = journal_path(self._work, number)
            with path.open("ab") as out:
                out.writelines(map(encode_frame, frames))
            after = min(part.number for part in self._parts if part.number > number)
            self._parts[place].close()
            self._parts[place] = JournalPart.open(path, number)
            made = next(one for one in self.outcome.rebuilt if one.part == number)
            made.samples += len(frames)
            if frames:
                made.from_.append(f"what was true when part {after} began")

    # -- what is lost

    def _reckon(self) -> None:
        """State in each rebuilt part what of its time is lost."""
        broken = {one.part for one in self.outcome.rebuilt if one.damage}
        from_start = self._parts[0].number in broken and not self._manifest.keep_last_s
        since_ns = 0 if from_start else None  # how far an epoch had come before is not known
        known = {a: span for a, held in self._known.items() if (span := join(held)) is not None}
        accounts = report(self._parts, newest_catalogue(self._parts), since_ns, known)
        windows = {number: self._window(number) for number in sorted(broken)}
        stated: dict[int, dict[str, Loss]] = {number: {} for number in broken}
        for address, account in accounts.items():
            lost: list[Interval] = []
            for one in account.lost_in:
                number = next((n for n, w in windows.items() if overlap(one, w)), None)
                if one.why != NEVER_CAME or number is None:
                    lost.append(one)
                    continue
                lost.append(msgspec.structs.replace(one, why=RECOVERED))
                from_ns, to_ns = windows[number]
                first_ns, last_ns = one.from_ns or from_ns, one.to_ns or to_ns
                loss = stated[number].setdefault(address, Loss(0, first_ns, last_ns, RECOVERED))
                loss.count += one.count
                loss.last_ns = last_ns
            if lost:
                self.outcome.lost[address] = lost
            self.outcome.samples += account.received
        for rebuilt in self.outcome.rebuilt:
            with journal_path(self._work, rebuilt.part).open("ab") as out:
                if said := stated.get(rebuilt.part):
                    out.write(encode_record(RecordKind.LOSS, msgspec.json.encode(said)))
                out.write(encode_record(RecordKind.END, b""))
                out.flush()
                os.fsync(out.fileno())

    def _window(self, number: int) -> tuple[int, int]:
        """Return the bus time that a part could have held: from its neighbours."""
        known = {part.number: b for part in self._parts if (b := bounds(part)) is not None}
        own = known.get(number)
        before = [last for n, (_, last) in known.items() if n < number]
        after = [first for n, (first, _) in known.items() if n > number]
        from_ns = max(before, default=self._manifest.started_ns)
        to_ns = min(after, default=from_ns if own is None else own[1])
        return from_ns, max(from_ns, to_ns)

    # -- the end

    def _finish(self) -> None:
        now = iso_utc(machine.utc_ns() + TAI_MINUS_UTC_NS)
        lost = sum(one.count for found in self.outcome.lost.values() for one in found)
        known = [b for part in self._parts if (b := bounds(part)) is not None]
        last_ns = max((last for _, last in known), default=self._manifest.started_ns)
        manifest = self._manifest
        if manifest.finished_ns is None:
            manifest = msgspec.structs.replace(
                manifest, finished_ns=last_ns, finished=iso_utc(last_ns)
            )
        manifest = msgspec.structs.replace(
            manifest,
            recovered=f"{now}: {len(self.outcome.kept)} parts whole, "
            f"{len(self.outcome.rebuilt)} rebuilt, {lost} samples lost",
        )
        if self.in_place:
            self._replace()
        else:
            self._copy_rest()
        write_manifest(self.out, manifest)

    def _copy_rest(self) -> None:
        """Take along what else lies there: the ledger, columns."""
        for entry in self.source.iterdir():
            target = self.out / entry.name
            if target.exists() or _OURS.match(entry.name) or entry.name in {DAMAGED, WORK}:
                continue
            if entry.is_dir():
                shutil.copytree(entry, target)
            elif entry.is_file():
                shutil.copyfile(entry, target)

    def _replace(self) -> None:
        """Put new parts where broken ones were, which are kept."""
        damaged = self.source / DAMAGED
        broken = {one.part for one in self.outcome.rebuilt if one.damage}
        (self.source / DAMAGED).mkdir(mode=0o700, exist_ok=True)
        for entry in sorted(self.source.iterdir()):
            numbered = _PART.match(entry.name)
            if entry.name == MANIFEST or (numbered is not None and int(numbered[1]) in broken):
                set_aside(entry, damaged)
        sync_directory(damaged)
        sync_directory(self.source)
        for one in self.outcome.rebuilt:
            target = segment_path(self.source, one.part)
            segment_path(self._work, one.part).replace(target)
            journal_path(self.source, one.part).unlink(missing_ok=True)
            target.with_name(f"{target.name}.part").unlink(missing_ok=True)
        for side in [p for p in self._work.iterdir() if p.is_dir()]:
            (self.source / side.name).mkdir(mode=0o700, exist_ok=True)
            for file in side.iterdir():
                file.replace(self.source / side.name / file.name)
        sync_directory(self.source)
