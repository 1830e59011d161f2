"""A recording's directory, opened: sealed segments and journals read as one Timeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scot.alignment import Aligned, align
from scot.channel import Catalogue, Channel, Kind
from scot.codec import Frame, decode
from scot.errors import CodecError, RecordingError
from scot.history import HistoryReply, HistoryRequest
from scot.recording import Gap, Recorded
from scot.sample import Sample
from scot_replay.completeness import DISK, WHY, Account, report
from scot_replay.described import Version, as_of, described
from scot_replay.digest import Digest, in_digest
from scot_replay.found import Found
from scot_replay.holder import Holder
from scot_replay.layout import Manifest, bus_ns_of, iso_utc
from scot_replay.levels import Envelope
from scot_replay.maps import Sync
from scot_replay.opening import open_parts
from scot_replay.parts import Part
from scot_replay.place import place
from scot_replay.resync import ResyncedHolder
from scot_replay.rows import Quality, Rows, join, of
from scot_replay.timeline import ReadTimeline
from scot_replay.when import Instant

if TYPE_CHECKING:
    from scot.note import Verifier
    from scot_replay.verified import Verified


KEPT_NS = 2_000_000_000  # a room says its health every second


def open_recording(path: str | Path, sync: str = Sync.AS_RECORDED) -> DirectoryRecording:
    """Open a recording.

    Args:
        path: of its directory, or of a file that `scot pack` made of it; or a URL of either
            (``s3://cases/case-17``), which is read by ranges.
        sync: ``as-recorded``, ``recomputed`` or ``refined``; see `scot.open`.

    Raises:
        RecordingError: there is none, it is empty, holds nothing readable, is of a newer
            version, or `sync` is not known.
    """
    try:
        known = Sync(sync)
    except ValueError:
        allowed = ", ".join(Sync)
        raise RecordingError(f"sync={sync!r} is not known; use one of {allowed}") from None
    return DirectoryRecording(place(path), known)


class DirectoryRecording(ReadTimeline):
    """See `scot.recording.Recording`, which this implements.

    Args:
        path: of the directory.
        sync: which clock maps it is read with.
        locked: open it without the key of its samples, too: they have no payload then.

    Attributes:
        missing_key: why its samples have no payload; empty when they have.

    Raises:
        RecordingError: see `open_recording`.
    """

    def __init__(self, path: Path, sync: Sync = Sync.AS_RECORDED, *, locked: bool = False) -> None:
        self.path = path
        self.sync = sync
        self.title = f"recording {path}"
        self.missing_key = ""
        self._verified: Verified | None = None
        manifest, parts, self._opened_with = open_parts(path)
        if manifest is not None and manifest.encrypted:
            parts, self.missing_key = decrypted(path, parts, manifest.encrypted, locked)
        self._holder = Holder(parts)
        if sync is not Sync.AS_RECORDED:
            self._holder = ResyncedHolder(parts, self._holder.catalogue().workspace, sync)
        self.catalogue: Catalogue = self._holder.catalogue()
        self._described = described(self.catalogues)
        if manifest is None:
            first = parts[0].catalogues[0][0] if parts[0].catalogues else 0
            manifest = Manifest(workspace=self.catalogue.workspace, started_ns=first)
        self.manifest = manifest
        bounds = self._holder.bounds() or (manifest.started_ns, manifest.started_ns)
        self.first_ns, self.last_ns = bounds

    @property
    def span(self) -> tuple[int, int]:
        """Bus time of the first and the last sample."""
        return self.first_ns, self.last_ns

    @property
    def damage(self) -> list[str]:
        """Lines that say what cannot be read, as far as it was tried; empty when whole."""
        lines = [line for part in self._holder.parts for line in [*part.damage, *_losses(part)]]
        lines += [
            f"{address}: it was {', then '.join(kinds)}; each sample is read as what it was"
            for address in sorted(self._described)
            if len(kinds := self._kinds(address)) > 1
        ]
        lines += _kept_too_little(self.manifest, self.first_ns)
        if self.manifest.finished_ns is None:
            lines.append("it was never finished in order: still recording, or the recorder died")
        return [*self._opened_with, *lines]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Journals and segments, in order."""
        return self._holder.parts

    def completeness(self) -> dict[str, Account]:
        """Return, by address, what was expected, came, was asked back, came late, was lost."""
        return report(self.parts, self.catalogue)

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last sample."""
        return (self.last_ns - self.first_ns) / 1e9

    @property
    def catalogues(self) -> list[tuple[int, Catalogue]]:
        """Versions of the catalogue with the bus time from which each was true, ascending."""
        versions = [version for part in self._holder.parts for version in part.catalogues]
        return sorted(versions, key=lambda version: version[0])

    @property
    def channels(self) -> dict[str, Recorded]:
        """What there is of each channel, by address, in the order of the catalogue."""
        known = [*self.catalogue.addresses()]
        described = set(known)
        known += [a for a in self._holder.addresses() if a not in described]
        recorded: dict[str, Recorded] = {}
        for address in known:
            span = self._holder.span(address)
            recorded[address] = Recorded(
                channel=self.channel(address),
                count=span.count if span else 0,
                gaps=[Gap(epoch=e, first=a, last=b) for e, a, b in span.missing] if span else [],
                first_ns=span.first_ns if span else None,
                last_ns=span.last_ns if span else None,
            )
        return recorded

    def held(self) -> list[str]:
        """Return the channels that have a sample, by address."""
        return self._holder.addresses()

    def known(self) -> list[str]:
        """Return the channels that have a sample, or had one before this began, by address."""
        return self._holder.known()

    def latest(self, bus_ns: int, address: str) -> Sample | None:
        """Return one channel's last sample at or before `bus_ns`."""
        samples = self._samples(address, self._holder.at(bus_ns, address, None)[-1:])
        return samples[0] if samples else None

    def samples(self, address: str, between: tuple[int, int]) -> list[Sample]:
        """Return one channel's samples of [from, to), bus ns."""
        return self._samples(address, self._holder.channel(address, *between))

    def pictures(self, address: str, bus_ns: int) -> list[Found]:
        """Return a video's access units from the last keyframe up to `bus_ns`."""
        return self._holder.at(bus_ns, address, Kind.VIDEO)

    def quality(self, address: str) -> Quality | None:
        """Return how well the times of a channel's samples are known."""
        return self._holder.quality(address)

    def remarks(self) -> list[str]:
        """Return what a reader should know: what is damaged, and whether it was verified."""
        told = [f"read with sync={self.sync}"] if self.sync is not Sync.AS_RECORDED else []
        seen = self._verified.word if self._verified is not None else "not verified yet: .verify()"
        return [*told, seen, *self.damage]

    def verify(self, believed: Sequence[Verifier] = ()) -> Verified:
        """Say whether it is as it was recorded, who signed that, and how far it goes.

        Args:
            believed: whose signature is believed; without any, that of the key it names itself.

        Raises:
            RecordingError: its ledger cannot be read.
        """
        from scot_replay.verified import Verified

        self._verified = Verified(self, believed)
        return self._verified

    def clip(
        self,
        start: Instant | None,
        end: Instant | None,
        out: str | Path,
        *,
        deid: bool = False,
    ) -> DirectoryRecording:
        """Write [start, end) as a recording of its own, and open it; see `scot_replay.clip`.

        Args:
            start: inclusive; None: the beginning.
            end: exclusive; None: the end.
            out: directory to make; it must not exist.
            deid: only what may leave the house, and no date or free text.

        Raises:
            RecordingError: it exists, or the disk does not take it.
        """
        from scot_replay.clip import clip

        clip(self, out, self.stretch((start, end)), deid=deid)
        return open_recording(out)

    def _envelope(
        self, channel: Channel, address: str, width_ns: int, span: tuple[int, int]
    ) -> Envelope:
        return self._holder.envelope(channel, address, width_ns, span)

    def align(
        self, addresses: Iterable[str], times_ns: Sequence[int], tolerance_ns: int
    ) -> dict[str, Aligned]:
        """Return channels at the same instants, by whole address; see `scot.timeline.Timeline`."""
        found: dict[str, Aligned] = {}
        for address in self._wanted(addresses):
            samples: list[Sample] = []
            if len(times_ns):
                first_ns, last_ns = min(times_ns), max(times_ns)
                within = self._holder.channel(address, first_ns + 1, last_ns + 1)
                samples = self._samples(address, [*self.found_at(address, first_ns), *within])
            rate_hz = self.channel(address).rate_hz
            found[address] = align(samples, times_ns, tolerance_ns, rate_hz)
        return found

    def found(self, address: str, between: tuple[int, int] | None = None) -> list[Found]:
        """Return one channel's frames with their headers, in bus-time order."""
        from_ns, to_ns = between or (self.first_ns, self.last_ns + 1)
        return self._holder.channel(address, from_ns, to_ns)

    def found_at(self, address: str, bus_ns: int) -> list[Found]:
        """Return one channel's last frame at or before `bus_ns`, or nothing."""
        return self._holder.at(bus_ns, address, None)

    def rows(
        self,
        address: str,
        between: tuple[int, int] | None = None,
        *,
        before: bool = False,
        brief: bool = False,
    ) -> Rows:
        """Return one channel's samples as arrays; see `ReadTimeline.rows`."""
        from_ns, to_ns = between or (self.first_ns, self.last_ns + 1)
        kind = self.channel(address).kind
        if (was := self._described.get(address)) is not None:  # what it was before has no column
            held = self._holder.channel(address, from_ns, to_ns)
            found = of([one for one in held if _kind(was, one) in {kind, None}], kind).in_order()
        else:
            found = self._holder.rows(address, kind, from_ns, to_ns, brief)
        last = self.found_at(address, from_ns - 1) if before else []
        return join(kind, [of(last, kind), found]) if last else found

    def found_all(self, addresses: Iterable[str], bus_ns: int) -> list[Found]:
        """Return each channel's last frame at or before `bus_ns`; of video its whole group."""
        holder = self._holder
        return [one for a in addresses for one in holder.at(bus_ns, a, self.channel(a).kind)]

    def frames(
        self,
        addresses: Iterable[str] | None = None,
        between: tuple[int, int] | None = None,
    ) -> Iterator[Frame]:
        """Yield frames as they were received, in order of bus time, address, epoch and seq."""
        span = between or (self.first_ns, self.last_ns + 1)
        for one in self.stream(self._wanted(addresses), span):
            yield one.frame

    def stream(self, addresses: Iterable[str], between: tuple[int, int]) -> Iterator[Found]:
        """Yield what `frames` yields, with headers; of whole addresses."""
        return self._holder.samples(addresses, *between)

    def epochs(self) -> list[int]:
        """Return the start of every publisher whose samples it holds, bus ns."""
        spans = [s for a in self._holder.addresses() if (s := self._holder.span(a)) is not None]
        return [int(epoch) for span in spans for epoch in span.runs]

    def state(self, bus_ns: int) -> list[Frame]:
        """Return what was true at an instant: of each latched channel the last frame."""
        latched = [a for a in self._holder.known() if self.channel(a).latched]
        ask = HistoryRequest(addresses=latched, at=bus_ns)
        return self._holder.answer(ask, self.catalogue).frames

    def history(self, ask: HistoryRequest) -> HistoryReply:
        """Answer History (see `scot.history`)."""
        return self._holder.answer(ask, self.catalogue)

    def sync_report(self) -> dict[str, dict[str, Any]]:
        """Return what became of each device's clock; see `scot.recording.Recording`."""
        holder = self._holder
        if not isinstance(holder, ResyncedHolder):
            holder = ResyncedHolder(self._holder.parts, self.catalogue.workspace, Sync.RECOMPUTED)
        return holder.report()

    def digests(self) -> dict[str, str]:
        """Return the digest of each channel by address, and of the whole under ``""``."""
        digest = Digest()
        counted = [a for a in self._wanted(None) if in_digest(a)]
        for one in self._holder.samples(counted, self.first_ns, self.last_ns + 1):
            digest.add(one.frame, one.header)
        return digest.result()

    def digest(self) -> str:
        """Return the digest of the whole (see `scot_replay.digest`)."""
        return self.digests()[""]

    def close(self) -> None:
        """Give its files back."""
        for part in self._holder.parts:
            part.close()

    def _samples(self, address: str, found: Iterable[Found]) -> list[Sample]:
        channel = self.channel(address)
        was = self._described.get(address)
        samples: list[Sample] = []
        for one in found:
            try:
                known = channel if was is None else as_of(was, one.header) or channel
                samples.append(decode(one.frame, known, one.header))
            except CodecError:
                continue  # kept as bytes; `frames` gives them
        return samples

    def _kinds(self, address: str) -> list[str]:
        """Return what a channel was described as, in order of time."""
        kinds = [channel.kind.value for _, _, channel in self._described[address]]
        return [kind for place, kind in enumerate(kinds) if not place or kind != kinds[place - 1]]


def _kind(was: list[Version], one: Found) -> Kind | None:
    channel = as_of(was, one.header)
    return None if channel is None else channel.kind


def decrypted(
    path: Path, parts: Sequence[Part], key_id: str, locked: bool
) -> tuple[list[Part], str]:
    """Return parts whose samples are decrypted as they are read, and why they cannot be.

    Raises:
        RecordingError: the key is not here, and they are not wanted `locked`.
    """
    from scot_replay.ledger.casekey import CaseKey, Opened

    try:
        key = CaseKey.load(key_id)
    except RecordingError as error:
        if not locked:
            raise RecordingError(f"{path} cannot be read: {error}") from None
        return [Opened(part, None) for part in parts], str(error)
    return [Opened(part, key) for part in parts], ""


def _kept_too_little(manifest: Manifest, first_ns: int) -> list[str]:
    """Say whether a recording that kept only its last minutes reaches back as far as it must."""
    try:
        until_ns = bus_ns_of(manifest.triggered) if manifest.triggered else manifest.finished_ns
    except ValueError:
        return [f"manifest.json: {manifest.triggered!r} is no time of a trigger"]
    if not manifest.keep_last_s or until_ns is None:
        return []
    due_ns = max(manifest.started_ns, until_ns - round(manifest.keep_last_s * 1e9))
    if first_ns <= due_ns + KEPT_NS:
        return []
    return [f"its first parts are missing: it kept all since {iso_utc(due_ns)}"]


def _losses(part: Part) -> list[str]:
    """Say what was not written, and why, while a part was made."""
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for losses in part.losses:
        for address, loss in losses.items():
            why = loss.get("why") or DISK
            count, first, last = found.get((address, why), (0, loss["first_ns"], loss["last_ns"]))
            first, last = min(first, loss["first_ns"]), max(last, loss["last_ns"])
            found[address, why] = count + loss["count"], first, last
    return [
        f"{part.path.name}: {count} samples of {address} are lost, {iso_utc(first)} to "
        f"{iso_utc(last)}: {WHY[why]['en'] if why in WHY else why}"
        for (address, why), (count, first, last) in found.items()
    ]
