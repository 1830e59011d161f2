"""One channel of a timeline: ``recording["monitor/hr"]``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scot.channel import Channel, Kind
from scot.errors import RecordingError
from scot.recording import Recorded
from scot.sample import Sample
from scot.timeline import Moment
from scot_replay.when import Instant, duration_ns

if TYPE_CHECKING:
    import pandas as pd

    from scot_replay.pictures import Picture
    from scot_replay.timeline import ReadTimeline


class View:
    """One channel of a recording or a live room.

    Args:
        timeline: it belongs to.
        address: of the channel.

    Attributes:
        address: ``or1/monitor/hr``.
        name: the same without the workspace.
    """

    def __init__(self, timeline: ReadTimeline, address: str) -> None:
        self.address = address
        self.name = timeline.short(address)
        self._timeline = timeline

    @property
    def channel(self) -> Channel:
        """The channel as it described itself: kind, unit, code, rate, labels."""
        return self._timeline.channel(self.address)

    @property
    def recorded(self) -> Recorded:
        """How many samples there are, and which are missing."""
        return self._timeline.channels[self.address]

    @property
    def df(self) -> pd.DataFrame:
        """All samples at their own times; see `scot_replay.frames.to_pandas`."""
        return self._timeline.to_pandas([self.name])

    def to_pandas(self, rate: str | None = None, **how: Any) -> pd.DataFrame:
        """Return the channel as a table; arguments as `scot_replay.frames.to_pandas`."""
        return self._timeline.to_pandas([self.name], rate, **how)

    def at(self, at: Instant) -> Moment | None:
        """Return the last sample at or before an instant, with its age; None when there is none."""
        return self._timeline.at(at, [self.address]).get(self.address)

    def between(
        self,
        start: Instant | None = None,
        end: Instant | None = None,
        max_points: int | None = None,
    ) -> list[Sample]:
        """Return the samples of [start, end)."""
        found = self._timeline.between(start, end, [self.address], max_points)
        return found[self.address]

    def plot(self, between: tuple[Instant | None, Instant | None] | None = None) -> Any:
        """Draw it; returns a matplotlib Figure."""
        return self._timeline.plot([self.name], between)

    def frames(
        self,
        every: str = "1s",
        between: tuple[Instant | None, Instant | None] | None = None,
    ) -> Iterator[Picture]:
        """Yield a video's pictures: at each instant the one that was then on the screen.

        Args:
            every: length of time from one to the next.
            between: from inclusive, to exclusive; everything when None.

        Raises:
            RecordingError: it is no video, or its codec is not known.
        """
        from scot_replay.pictures import pictures

        if self.channel.kind is not Kind.VIDEO:
            raise RecordingError(
                f"{self.name} is of kind {self.channel.kind}, not a video; its values are in .df"
            )
        span = self._timeline.stretch(between)
        return pictures(self._timeline, self.address, span, duration_ns(every, "every"))

    def __len__(self) -> int:
        return self.recorded.count

    def __repr__(self) -> str:
        channel, known = self.channel, self.recorded
        missing = sum(gap.count for gap in known.gaps)
        unit = f" in {channel.unit}" if channel.unit else ""
        gaps = f", {missing} missing" if missing else ""
        return f"<{self.name}: {channel.kind}{unit}, {known.count} samples{gaps}>"

    def _repr_html_(self) -> str:
        from scot_replay.html import table

        return table(self._timeline, [self.address])
