"""What a recording and a live room have in common: one Timeline, asked in the same words."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from scot.channel import Catalogue, Channel, Kind
from scot.errors import RecordingError
from scot.recording import Recorded
from scot.sample import Sample
from scot.timeline import Moment, picks, thin
from scot_replay import when
from scot_replay.found import Found
from scot_replay.levels import LEVELLED, Envelope, envelope, width_for
from scot_replay.rows import SAMPLED, Quality, Rows
from scot_replay.state import State
from scot_replay.view import View
from scot_replay.when import Instant

if TYPE_CHECKING:
    import pandas as pd

    from scot_replay.snapshots import Snapshot


class ReadTimeline(ABC):
    """Samples of all channels in bus-time order, from files or from a room that is up.

    Channels are named ``monitor/hr`` or ``or1/monitor/hr``, times as in `scot_replay.when.Instant`.

    Attributes:
        title: what it is, for people.
        catalogue: every device and channel it knows.
    """

    title: str
    catalogue: Catalogue

    # -- what each kind answers itself

    @property
    @abstractmethod
    def span(self) -> tuple[int, int]:
        """Bus time of the first and the last sample."""

    @property
    @abstractmethod
    def channels(self) -> dict[str, Recorded]:
        """What there is of each channel, by address, in the order of the catalogue."""

    @abstractmethod
    def held(self) -> list[str]:
        """Return the channels that have a sample, by address."""

    @abstractmethod
    def known(self) -> list[str]:
        """Return the channels that have a sample, or had one before this began, by address."""

    @abstractmethod
    def latest(self, bus_ns: int, address: str) -> Sample | None:
        """Return one channel's last sample at or before `bus_ns`."""

    @abstractmethod
    def samples(self, address: str, between: tuple[int, int]) -> list[Sample]:
        """Return one channel's samples of [from, to), bus ns."""

    @abstractmethod
    def rows(
        self,
        address: str,
        between: tuple[int, int] | None = None,
        *,
        before: bool = False,
        brief: bool = False,
    ) -> Rows:
        """Return one channel's samples as arrays.

        Args:
            address: whole.
            between: from inclusive, to exclusive, bus ns; all when None.
            before: with the last one before them, which was true when they begin.
            brief: how well times are known may be left out, see `scot_replay.parts.Part.rows`.

        Raises:
            RecordingError: its kind has no columns, or a payload is not of its kind.
        """

    @abstractmethod
    def pictures(self, address: str, bus_ns: int) -> list[Found]:
        """Return a video's access units from the last keyframe up to `bus_ns`."""

    @abstractmethod
    def quality(self, address: str) -> Quality | None:
        """Return how well the times of a channel's samples are known."""

    @abstractmethod
    def remarks(self) -> list[str]:
        """Return what a reader should know: what is damaged, missing, verified."""

    @abstractmethod
    def close(self) -> None:
        """Give back files and connections."""

    # -- what they have in common

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        first_ns, last_ns = self.span
        return (
            f"<{self.title}: {(last_ns - first_ns) / 1e9:.1f} s, "
            f"{len(self.catalogue.addresses())} channels>"
        )

    def _repr_html_(self) -> str:
        from scot_replay.html import page

        return page(self)

    def __getitem__(self, name: str) -> View:
        return View(self, self.resolve(name))

    def __contains__(self, name: object) -> bool:
        try:
            self.resolve(str(name))
        except RecordingError:
            return False
        return True

    def instant(self, at: Instant) -> int:
        """Return a time as bus ns.

        Raises:
            RecordingError: it is none.
        """
        return when.bus_ns(at, *self.span)

    def stretch(self, between: tuple[Instant | None, Instant | None] | None) -> tuple[int, int]:
        """Return two times as bus ns, from inclusive, to exclusive; None: the start, the end.

        Raises:
            RecordingError: one is none, or no time lies between them.
        """
        return when.stretch(between, *self.span)

    def channel(self, address: str) -> Channel:
        """Return the description of a channel; one that no catalogue knew is an event."""
        found = self.catalogue.channel(address)
        return found or Channel(name=address.rsplit("/", 1)[-1], kind=Kind.EVENT)

    def short(self, address: str) -> str:
        """Return an address without the workspace."""
        return address.removeprefix(f"{self.catalogue.workspace}/")

    def resolve(self, name: str) -> str:
        """Return the address of a name that may leave out the workspace.

        Raises:
            RecordingError: there is no such channel; says which come close.
        """
        for address in (name, f"{self.catalogue.workspace}/{name}"):
            if self.catalogue.channel(address) is not None or address in self.held():
                return address
        names = [self.short(address) for address in self.catalogue.addresses()]
        asked = self.short(name)
        of_device = [known for known in names if known.startswith(f"{asked.rstrip('/')}/")]
        close = of_device or _near(asked, names)
        if of_device:
            hint = f"{asked} is a device; its channels are {', '.join(of_device)}"
        elif close:
            hint = f"did you mean {' or '.join(close)}?"
        else:
            hint = f"it has {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
        raise RecordingError(f"{self.title} has no channel {name!r}; {hint}")

    def at(self, at: Instant, addresses: Iterable[str] | None = None) -> State:
        """Return, for each channel that had one, the last sample at or before an instant.

        Raises:
            RecordingError: it is no time, or there is no such channel.
        """
        bus_ns = self.instant(at)
        moments: dict[str, Moment] = {}
        for address in self.known() if addresses is None else self._wanted(addresses):
            sample = self.latest(bus_ns, address)
            if sample is not None:
                time = sample.time
                age_ns = bus_ns - time.bus_ns
                moments[address] = Moment(sample, age_ns, time.bound_ns, time.err_ns)
        return State(moments, bus_ns, self.span[0], self.catalogue)

    def between(
        self,
        start: Instant | None,
        end: Instant | None,
        addresses: Iterable[str] | None = None,
        max_points: int | None = None,
    ) -> dict[str, list[Sample]]:
        """Return the samples of [start, end) by channel, in bus-time order.

        With `max_points` a channel gives at most so many, chosen as `scot.timeline.thin` does.
        """
        first_ns, last_ns = self.span
        from_ns = first_ns if start is None else self.instant(start)
        span = from_ns, last_ns + 1 if end is None else self.instant(end)
        found: dict[str, list[Sample]] = {}
        for address in self._wanted(addresses):
            if max_points is not None and self.channel(address).kind in SAMPLED:
                found[address] = self._thinned(address, span, max_points)
                continue
            samples = self.samples(address, span)
            if max_points is not None and len(samples) > max_points:
                samples = thin(samples, max_points)
            found[address] = samples
        return found

    def envelope(
        self,
        name: str,
        start: Instant | None = None,
        end: Instant | None = None,
        max_points: int = 2_000,
    ) -> Envelope:
        """Return the least and the greatest value of each stretch of a numeric or a waveform.

        Four hours of a waveform cost a few hundred rows of the segments' levels.

        Args:
            name: of the channel.
            start: of what is wanted, inclusive.
            end: of what is wanted, exclusive.
            max_points: stretches at most.

        Raises:
            RecordingError: it is no numeric and no waveform.
        """
        address = self.resolve(name)
        channel = self.channel(address)
        if channel.kind not in LEVELLED:
            raise RecordingError(f"{name} is of kind {channel.kind}; it has no least value")
        span = self.stretch((start, end))
        width_ns = width_for(span[1] - span[0], max(1, max_points - 1))
        return self._envelope(channel, address, width_ns, span)

    def to_pandas(
        self,
        channels: str | Sequence[str],
        rate: str | None = None,
        *,
        how: str = "last",
        tolerance: str | None = None,
        between: tuple[Instant | None, Instant | None] | None = None,
        gaps: str = "nan",
    ) -> pd.DataFrame:
        """Return channels as a table; see `scot_replay.frames.to_pandas`."""
        from scot_replay.frames import to_pandas

        return to_pandas(
            self, channels, rate, how=how, tolerance=tolerance, between=between, gaps=gaps
        )

    @property
    def alarms(self) -> pd.DataFrame:
        """Every change of every alarm, as a table in order of time."""
        from scot_replay.frames import all_of

        return all_of(self, Kind.ALARM)

    @property
    def annotations(self) -> pd.DataFrame:
        """Everything that people drew, said or marked, as a table in order of time."""
        from scot_replay.frames import all_of

        return all_of(self, Kind.ANNOTATION)

    @property
    def snapshots(self) -> Iterator[Snapshot]:
        """The snapshots that people made, in order of time, each with the frame they saw."""
        from scot_replay.snapshots import snapshots

        return snapshots(self)

    def video(self, name: str) -> View:
        """Return a video by its channel, or by its device if that has only one.

        Raises:
            RecordingError: there is none of that name, or the device has several.
        """
        videos = [a for a in self.catalogue.addresses() if self.channel(a).kind is Kind.VIDEO]
        own = [a for a in videos if self.short(a).split("/")[0] == self.short(name).rstrip("/")]
        if len(own) == 1:
            return View(self, own[0])
        names = ", ".join(self.short(a) for a in own or videos) or "none"
        try:
            address = self.resolve(name)
        except RecordingError:
            address = ""
        if address not in videos:
            raise RecordingError(f"{self.title} has no one video {name!r}; its videos: {names}")
        return View(self, address)

    def plot(
        self,
        channels: str | Sequence[str] | None = None,
        between: tuple[Instant | None, Instant | None] | None = None,
    ) -> Any:
        """Draw channels below each other over one axis of time; returns a matplotlib Figure.

        Args:
            channels: numerics, waveforms and poses; the first eight that have samples when None.
            between: from and to; everything when None.

        Raises:
            RecordingError: one cannot be drawn, or matplotlib is not installed.
        """
        try:
            from scot_replay.plot import plot
        except ImportError:
            raise RecordingError(
                "plot needs matplotlib; install it with: pip install 'scot-bus[notebook]'"
            ) from None
        return plot(self, channels, between)

    def _envelope(
        self, channel: Channel, address: str, width_ns: int, span: tuple[int, int]
    ) -> Envelope:
        return envelope(self.rows(address, span), channel, width_ns)

    def _thinned(self, address: str, span: tuple[int, int], max_points: int) -> list[Sample]:
        try:
            rows = self.rows(address, span)
        except RecordingError:  # some payload is not of its kind: leave that one out
            samples = self.samples(address, span)
            return thin(samples, max_points) if len(samples) > max_points else samples
        if len(rows) > max_points:
            values = rows.values["value"] if rows.kind is Kind.NUMERIC else None
            rows = rows.take(picks(len(rows), values, max_points))
        return rows.samples(address)

    def _wanted(self, addresses: Iterable[str] | None) -> list[str]:
        if addresses is None:
            return self.held()
        if isinstance(addresses, str):
            addresses = [addresses]
        return [self.resolve(name) for name in addresses]


def _near(asked: str, names: Sequence[str]) -> list[str]:
    """Return the names that look most like what was asked for; none when none does."""
    alike = {name: difflib.SequenceMatcher(None, asked, name).ratio() for name in names}
    best = max(alike.values(), default=0.0)
    near = [name for name in names if alike[name] >= max(0.6, best - 0.1)]
    return sorted(near, key=lambda name: -alike[name])[:3]
