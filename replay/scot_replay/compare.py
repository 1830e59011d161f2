"""Several recordings side by side on one axis of time: a trainee beside an expert.

The first recording's bus time is the axis; the others are shifted so that their anchors lie at its
own. A device says whose it is by the first letter of its name: ``a_monitor``, ``b_monitor``. Every
sample keeps its source time and how well its time is known in its own recording; what lies between
two recordings is known no better than their anchors too, see `Comparison.delta`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from scot.channel import Catalogue, Channel
from scot.errors import RecordingError
from scot.history import HistoryReply, HistoryRequest
from scot.recording import Recorded
from scot.sample import Sample
from scot.timeline import Moment
from scot_replay.alignment import START, anchors
from scot_replay.delta import Delta, delta
from scot_replay.density import until
from scot_replay.found import Found, with_headers
from scot_replay.layout import iso_utc
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.rows import Quality, Rows
from scot_replay.side import Side
from scot_replay.timeline import ReadTimeline

KEYS = "abcdefgh"
WORKSPACE = "compare"


def compare(
    *recordings: str | Path | DirectoryRecording,
    align: str = START,
    sync: str = "as-recorded",
    workspace: str = WORKSPACE,
) -> Comparison:
    """Open recordings side by side as one Timeline.

    Args:
        recordings: two to eight, as `scot.open` takes them, or already open.
        align: see `scot_replay.alignment`.
        sync: see `scot.open`.
        workspace: the first part of every address.

    Raises:
        RecordingError: fewer than two or more than eight, one cannot be opened, or one has no such
            moment to align by.
    """
    if not 2 <= len(recordings) <= len(KEYS):
        raise RecordingError(
            f"{len(recordings)} recordings cannot be compared; name 2 to {len(KEYS)}"
        )
    opened: list[DirectoryRecording] = []
    try:
        for one in recordings:
            known = isinstance(one, DirectoryRecording)
            opened.append(one if known else open_recording(one, sync))  # type: ignore[arg-type]
        return Comparison(opened, align, workspace)
    except RecordingError:
        for one in opened:
            one.close()
        raise


class Comparison(ReadTimeline):
    """See `compare`.

    Attributes:
        sides: the recordings, in the order they were named.
        align: how they are aligned.
        path: of the first.
    """

    def __init__(self, opened: Sequence[DirectoryRecording], align: str, workspace: str) -> None:
        self.align = align
        self.path = opened[0].path
        found = anchors(opened, align)
        self.sides = [
            Side(key, one, workspace, anchor, found[0].at_ns - anchor.at_ns)
            for key, one, anchor in zip(KEYS, opened, found, strict=False)
        ]
        names = " | ".join(f"{s.key.upper()} {_name(s.recording)}" for s in self.sides)
        self.title = f"comparison {names}"
        parts = [side.catalogue(side.recording.catalogue) for side in self.sides]
        self.catalogue: Catalogue = Catalogue(
            workspace=workspace,
            replay=True,
            title={"en": names, "ja": names},
            time_zone=self.sides[0].recording.catalogue.time_zone,
            devices={name: one for part in parts for name, one in part.devices.items()},
            volumes={frame: file for part in parts for frame, file in part.volumes.items()},
        )
        self._side = {out: side for side in self.sides for out in side.addresses().values()}
        spans = [
            (side.recording.first_ns + side.shift_ns, side.recording.last_ns + side.shift_ns)
            for side in self.sides
        ]
        self.first_ns = min(first for first, _ in spans)
        self.last_ns = max(last for _, last in spans)

    # -- how they lie

    def lines(self) -> list[str]:
        """Say of each recording which it is and how it is laid over the first."""
        told = []
        for side in self.sides:
            one, own = side.recording, iso_utc(side.anchor.at_ns)
            moved = "is the axis" if side is self.sides[0] else f"moved by {_span(side.shift_ns)}"
            known = side.anchor.bound_ns
            sure = "" if known == 0 else f", known to {_bound(known)}"
            told.append(
                f"{side.key.upper()} = {one.path} ({one.catalogue.workspace}), {_length(one)}: its "
                f"{own} is the same moment{sure}; {moved}"
            )
        return told

    def layout(self) -> list[list[int]]:
        """Return, of each side, shift, first and last on the axis, anchor and bound (-1: none)."""
        return [
            [
                side.shift_ns,
                side.recording.first_ns + side.shift_ns,
                side.recording.last_ns + side.shift_ns,
                side.anchor.at_ns + side.shift_ns,
                -1 if side.anchor.bound_ns is None else side.anchor.bound_ns,
                -1 if side.anchor.err_ns is None else side.anchor.err_ns,
            ]
            for side in self.sides
        ]

    def twins(self, name: str) -> dict[str, str]:
        """Return the addresses of a channel by side: of ``monitor/hr`` those that have it.

        Raises:
            RecordingError: none has.
        """
        bare = name.strip("/")
        found = {}
        for side in self.sides:
            own = f"{side.recording.catalogue.workspace}/{bare}"
            if own in side.addresses():
                found[side.key] = side.addresses()[own]
        if not found:
            raise RecordingError(f"{self.title}: no side has a channel {name!r}")
        return found

    def side_of(self, address: str) -> Side:
        """Return whose an address is.

        Raises:
            RecordingError: it is of no side.
        """
        try:
            return self._side[address]
        except KeyError:
            raise RecordingError(f"{self.title} has no channel {address!r}") from None

    def delta(self, one: Sample | Moment, two: Sample | Moment) -> Delta:
        """Return what lies between two samples, of one recording or of two."""
        first, second = (m.sample if isinstance(m, Moment) else m for m in (one, two))
        sides = [self.side_of(first.address), self.side_of(second.address)]
        across = [] if sides[0] is sides[1] else [side.anchor for side in sides]
        return delta(first.time, second.time, across)

    # -- a Timeline

    @property
    def span(self) -> tuple[int, int]:
        """Bus time of the first and the last sample, on the axis."""
        return self.first_ns, self.last_ns

    @property
    def channels(self) -> dict[str, Recorded]:
        """What there is of each channel, by address."""
        found: dict[str, Recorded] = {}
        for side in self.sides:
            known = side.recording.channels
            for own, out in side.addresses().items():
                one = known.get(own)
                if one is not None:
                    found[out] = _shifted(one, side)
        return found

    @property
    def catalogues(self) -> list[tuple[int, Catalogue]]:
        """Versions of each side's catalogue with the bus time of the axis, ascending."""
        versions = [
            (at_ns + side.shift_ns, side.catalogue(catalogue))
            for side in self.sides
            for at_ns, catalogue in side.recording.catalogues
        ]
        return sorted(versions, key=lambda version: version[0])

    @property
    def damage(self) -> list[str]:
        """Lines that say what cannot be read, and of which."""
        return [f"{s.key.upper()}: {line}" for s in self.sides for line in s.recording.damage]

    def channel(self, address: str) -> Channel:
        """Return the description of a channel."""
        side = self._side.get(address)
        if side is None:
            return super().channel(address)
        return side.channel(side.recording.channel(side.own(address) or address))

    def resolve(self, name: str) -> str:
        """Return the address of a name; one that both sides have must say whose.

        Raises:
            RecordingError: there is none, or it is not said whose.
        """
        bare = name.strip("/").removeprefix(f"{self.catalogue.workspace}/")
        if f"{self.catalogue.workspace}/{bare}" not in self._side:
            try:
                twins = self.twins(bare)
            except RecordingError:
                return super().resolve(name)
            whose = " or ".join(self.short(address) for address in twins.values())
            raise RecordingError(f"{name} is of several recordings; name {whose}, or use .twins")
        return super().resolve(name)

    def held(self) -> list[str]:
        """Return the channels that have a sample, by address."""
        return self._addresses([side.recording.held() for side in self.sides])

    def known(self) -> list[str]:
        """Return the channels that have a sample, or had one before, by address."""
        return self._addresses([side.recording.known() for side in self.sides])

    def latest(self, bus_ns: int, address: str) -> Sample | None:
        """Return one channel's last sample at or before `bus_ns`."""
        side = self.side_of(address)
        found = side.recording.latest(bus_ns - side.shift_ns, side.own(address) or "")
        return None if found is None else side.sample(found)

    def samples(self, address: str, between: tuple[int, int]) -> list[Sample]:
        """Return one channel's samples of [from, to), bus ns."""
        side = self.side_of(address)
        span = between[0] - side.shift_ns, between[1] - side.shift_ns
        return [side.sample(s) for s in side.recording.samples(side.own(address) or "", span)]

    def rows(
        self,
        address: str,
        between: tuple[int, int] | None = None,
        *,
        before: bool = False,
        brief: bool = False,
    ) -> Rows:
        """Return one channel's samples as arrays; see `ReadTimeline.rows`."""
        side = self.side_of(address)
        span = between or (self.first_ns, self.last_ns + 1)
        own = (span[0] - side.shift_ns, span[1] - side.shift_ns)
        found = side.recording.rows(side.own(address) or "", own, before=before, brief=brief)
        moved = side.shift_ns
        return replace(found, bus_ns=found.bus_ns + moved, epoch=found.epoch + moved)

    def pictures(self, address: str, bus_ns: int) -> list[Found]:
        """Return a video's access units from the last keyframe up to `bus_ns`."""
        side = self.side_of(address)
        found = side.recording.pictures(side.own(address) or "", bus_ns - side.shift_ns)
        return [side.found(one) for one in found]

    def quality(self, address: str) -> Quality | None:
        """Return how well the times of a channel's samples are known, in its own recording."""
        side = self.side_of(address)
        return side.recording.quality(side.own(address) or "")

    def remarks(self) -> list[str]:
        """Return what a reader should know: whose is what, and what is damaged."""
        return [*self.lines(), *self.damage]

    def overlay(self, name: str, between: tuple[Any, Any] | None = None) -> Any:
        """Draw one channel of every side in one plot, over seconds from the anchor.

        Args:
            name: as each recording has it: ``monitor/hr``.
            between: instants of the axis, from and to; everything when None.

        Raises:
            RecordingError: no side has it, it cannot be drawn, or matplotlib is not installed.
        """
        try:
            from scot_replay.overlay import overlay
        except ImportError:
            raise RecordingError(
                "overlay needs matplotlib; install it with: pip install 'scot-bus[notebook]'"
            ) from None
        return overlay(self, name, self.stretch(between))

    # -- what a player asks

    def epochs(self) -> list[int]:
        """Return when publishers started, bus ns of the axis."""
        return [e + side.shift_ns for side in self.sides for e in side.recording.epochs()]

    def stream(self, addresses: Iterable[str], between: tuple[int, int]) -> Iterator[Found]:
        """Yield the samples of [from, to) of all sides, in order."""
        streams = [side.stream(own, between) for side, own in self._split(addresses)]
        return heapq.merge(*streams, key=lambda one: one[:4])

    def found_all(self, addresses: Iterable[str], bus_ns: int) -> list[Found]:
        """Return each channel's last frame at or before `bus_ns`; of video its whole group."""
        return [one for s, own in self._split(addresses) for one in s.found_all(own, bus_ns)]

    def history(self, ask: HistoryRequest) -> HistoryReply:
        """Answer History, each side for its own; cut where the first of them was cut."""
        asked = self._split(ask.addresses)
        ask = msgspec.structs.replace(ask, max_bytes=max(1, ask.max_bytes // max(1, len(asked))))
        replies = [side.history(ask, own) for side, own in asked]
        if len(replies) == 1:
            return replies[0]
        return merged(replies)

    def close(self) -> None:
        """Give their files back."""
        for side in self.sides:
            side.recording.close()

    def _split(self, addresses: Iterable[str]) -> list[tuple[Side, list[str]]]:
        wanted: dict[str, list[str]] = {}
        for address in addresses:
            side = self._side.get(address)
            own = side.own(address) if side is not None else None
            if side is not None and own is not None:
                wanted.setdefault(side.key, []).append(own)
        return [(side, wanted[side.key]) for side in self.sides if side.key in wanted]

    def _addresses(self, own: Sequence[Sequence[str]]) -> list[str]:
        pairs = zip(self.sides, own, strict=True)
        return [s.addresses()[a] for s, some in pairs for a in some if a in s.addresses()]


def merged(replies: Sequence[HistoryReply]) -> HistoryReply:
    """Return several answers as one, in bus-time order, complete up to the earliest cut."""
    cut_ns = min((r.next_ns for r in replies if r.next_ns is not None), default=None)
    found = [
        one for r in replies for frame in r.frames for one in with_headers(frame.address, [frame])
    ]
    found.sort(key=lambda one: one[:4])
    levels = {a: until(one, cut_ns) for r in replies for a, one in r.levels.items()}
    densities = {a: until(one, cut_ns) for r in replies for a, one in r.densities.items()}
    return HistoryReply(
        levels={a: one for a, one in levels.items() if len(one)},
        densities={a: one for a, one in densities.items() if len(one)},
        frames=[one.frame for one in found if cut_ns is None or one.bus_ns < cut_ns],
        complete=cut_ns is None and all(reply.complete for reply in replies),
        next_ns=cut_ns,
        first_ns=min((r.first_ns for r in replies if r.first_ns is not None), default=None),
    )


def _shifted(one: Recorded, side: Side) -> Recorded:
    first_ns, last_ns = (
        None if t is None else t + side.shift_ns for t in (one.first_ns, one.last_ns)
    )
    gaps = [msgspec.structs.replace(gap, epoch=gap.epoch + side.shift_ns) for gap in one.gaps]
    return msgspec.structs.replace(
        one, channel=side.channel(one.channel), gaps=gaps, first_ns=first_ns, last_ns=last_ns
    )


def _name(recording: DirectoryRecording) -> str:
    return Path(str(recording.path)).name


def _length(recording: DirectoryRecording) -> str:
    return f"{(recording.last_ns - recording.first_ns) / 1e9:.1f} s"


def _span(ns: int) -> str:
    return f"{ns / 1e9:+,.6f} s"


def _bound(ns: int | None) -> str:
    return "nobody knows how well" if ns is None else f"±{ns / 1e6:.3f} ms"
