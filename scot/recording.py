"""Recording: a workspace's samples on disk, with the same Timeline interface as live.

This is the interface only, so that the core stays light; `scot.open` finds who implements it
through the entry points ``scot.recordings``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec

from scot.alignment import Aligned
from scot.channel import Catalogue, Channel
from scot.codec import Frame
from scot.history import HistoryReply, HistoryRequest
from scot.sample import Sample

if TYPE_CHECKING:
    import pandas as pd


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one channel that the recording does not have.

    Attributes:
        epoch: start of the publisher that made them, bus ns.
        first, last: their seqs, both inclusive.
    """

    epoch: int
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many."""
        return self.last - self.first + 1


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording has of one channel.

    Attributes:
        channel: as it described itself.
        count: samples.
        gaps: those that are missing between the first and the last of each epoch.
        first_ns, last_ns: bus time of the earliest and the latest sample; None without any.
    """

    channel: Channel
    count: int
    gaps: list[Gap]
    first_ns: int | None
    last_ns: int | None


class Recording(Protocol):
    """A recording that was opened.

    Names of channels may be whole addresses (``or1/monitor/hr``) or leave out the workspace.

    Attributes:
        path: its directory.
        catalogue: every device and channel it knows.
        first_ns, last_ns: bus time of the first and the last sample.
        damage: lines that say what cannot be read; empty when it is whole.
        sync: ``as-recorded``, ``recomputed`` or ``refined``; see `scot.open`.
    """

    path: Path
    catalogue: Catalogue
    first_ns: int
    last_ns: int
    damage: list[str]
    sync: str

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last sample."""

    @property
    def channels(self) -> dict[str, Recorded]:
        """What there is of each channel, by address."""

    def at(self, at: Any, addresses: Iterable[str] | None = None) -> Any:
        """Return, for each channel that had one, the last sample at or before an instant.

        It is a dictionary of `Moment` by address, with a table of them as ``.df``.

        Times may be bus ns, ``"01:12:30"`` from the start, UTC in ISO 8601, a `datetime`, a pandas
        Timestamp, or a `timedelta` from the start, here and everywhere below.
        """

    def between(
        self,
        start: Any,
        end: Any,
        addresses: Iterable[str] | None = None,
        max_points: int | None = None,
    ) -> dict[str, list[Sample]]:
        """Return the samples of [start, end) by channel, as `scot.timeline.Timeline` does."""

    def __getitem__(self, name: str) -> Any:
        """Return one channel: its table is ``.df``, its description ``.channel``."""

    @property
    def alarms(self) -> pd.DataFrame:
        """Every change of every alarm, as a table in order of time."""

    @property
    def annotations(self) -> pd.DataFrame:
        """Everything that people drew, said or marked, as a table in order of time."""

    @property
    def snapshots(self) -> Iterator[Any]:
        """The snapshots that people made, in order of time, each with the frame they saw."""

    def video(self, name: str) -> Any:
        """Return a video; ``.frames(every="1s")`` yields its pictures."""

    def clip(self, start: Any, end: Any, out: str | Path, *, deid: bool = False) -> Recording:
        """Write [start, end) as a recording of its own, and open it."""

    def verify(self) -> Any:
        """Say whether it is as it was recorded, as far as its ledger reaches; true when it is."""

    def plot(
        self, channels: str | Sequence[str] | None = None, between: tuple[Any, Any] | None = None
    ) -> Any:
        """Draw channels over one axis of time; returns a matplotlib Figure."""

    def align(
        self, addresses: Iterable[str], times_ns: Sequence[int], tolerance_ns: int
    ) -> dict[str, Aligned]:
        """Return channels at the same instants, as `scot.timeline.Timeline` does."""

    def frames(
        self,
        addresses: Iterable[str] | None = None,
        between: tuple[int, int] | None = None,
    ) -> Iterator[Frame]:
        """Yield frames as they were received, in order of bus time, address, epoch and seq."""

    def history(self, ask: HistoryRequest) -> HistoryReply:
        """Answer History."""

    def sync_report(self) -> dict[str, dict[str, Any]]:
        """Say, by device, what became of its clock; as recorded, what recomputing would do.

        Returns:
            ``clock``: ``identical`` when every map came out bit for bit as it was live,
            ``differs``, ``exact`` (the room's own is bus time) or ``unknown`` (no probes were
            recorded: its stamps stand). ``maps`` and ``differing`` count them, ``bad`` lines that
            are of no use; ``missing`` probes were not recorded, without which the maps after them
            may differ; ``sources`` names its processes. ``samples``, and by how much
            they moved, either way: ``max_shift_ns`` and ``median_shift_ns``. Samples move with
            the clock of their host; the reading at which one came, and so the envelope of a
            one-way device, is not recorded and is not made again.
        """

    def digest(self) -> str:
        """Return the digest of the whole (see docs, recordings)."""

    def to_pandas(
        self,
        channels: str | Sequence[str],
        rate: str | None = None,
        *,
        how: str = "last",
        tolerance: str | None = None,
        between: tuple[Any, Any] | None = None,
        gaps: str = "nan",
    ) -> pd.DataFrame:
        """Return channels as a table indexed by UTC; units are in ``attrs``.

        Missing samples are NaN, or left out (``gaps="drop"``), or an error (``"raise"``).
        """

    def close(self) -> None:
        """Give its files back."""

    def __enter__(self) -> Self:
        """Return itself; it is closed at the end of the ``with``."""

    def __exit__(self, *_: object) -> None:
        """Give its files back."""
