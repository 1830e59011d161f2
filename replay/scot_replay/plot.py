"""Channels drawn below each other over one axis of time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import dates
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scot.channel import Kind
from scot.errors import RecordingError
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.columns import columns
from scot_replay.levels import LEVELLED
from scot_replay.when import Instant

if TYPE_CHECKING:
    from scot_replay.timeline import ReadTimeline

POINTS = 2_000
DRAWN = (*sorted(LEVELLED), Kind.POSE)
MOST = 8
_INK, _ALARM = "#1f4e79", "#c0392b"


class Drawing(Figure):
    """A figure that a notebook shows, whether or not pyplot was loaded."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=110)
        return out.getvalue()


def plot(
    timeline: ReadTimeline,
    names: str | Sequence[str] | None,
    between: tuple[Instant | None, Instant | None] | None,
) -> Any:
    """Return a matplotlib Figure; see `scot_replay.timeline.ReadTimeline.plot`."""
    span = timeline.stretch(between)
    addresses = _chosen(timeline, names)
    figure = Drawing(figsize=(10, 1 + 1.5 * len(addresses)), layout="constrained")
    axes = figure.subplots(len(addresses), 1, sharex=True, squeeze=False)[:, 0]
    for axis, address in zip(axes, addresses, strict=True):
        channel = timeline.channel(address)
        if channel.kind is Kind.POSE:
            _pose(timeline, axis, address, span)
        else:
            _values(timeline, axis, address, span)
        unit = f"\n{channel.unit}" if channel.unit else ""
        axis.set_ylabel(f"{timeline.short(address)}{unit}", rotation=0, ha="right", va="center")
        axis.spines[["top", "right"]].set_visible(False)
        _alarms(timeline, axis, address, span)
    first, last = (_utc(np.array([limit]))[0] for limit in span)
    axes[-1].set_xlim(first, last)
    ticks: Any = axes[-1].xaxis
    ticks.set_major_formatter(dates.ConciseDateFormatter(ticks.get_major_locator()))  # type: ignore[no-untyped-call]
    axes[-1].set_xlabel("UTC")
    figure.suptitle(timeline.title, x=0.01, ha="left", fontsize="medium")
    return figure


def _chosen(timeline: ReadTimeline, names: str | Sequence[str] | None) -> list[str]:
    if names is None:
        held = set(timeline.held())
        known = [a for a in timeline.catalogue.addresses() if a in held]
        addresses = [a for a in known if timeline.channel(a).kind in DRAWN][:MOST]
        if not addresses:
            raise RecordingError(f"{timeline.title} has no numeric, waveform or pose to draw")
        return addresses
    addresses = [timeline.resolve(n) for n in ([names] if isinstance(names, str) else names)]
    for address in addresses:
        kind = timeline.channel(address).kind
        if kind not in DRAWN:
            raise RecordingError(f"{address} is of kind {kind}; plot draws {', '.join(DRAWN)}")
    return addresses


def _values(timeline: ReadTimeline, axis: Any, address: str, span: tuple[int, int]) -> None:
    found = timeline.envelope(address, *span, POINTS)
    times, low, high = broken(found.start_ns, found.low, found.high, found.width_ns)
    several = len(found) > 0 and int(found.count.sum()) > 2 * len(found)
    axis.fill_between(_utc(times), low, high, color=_INK, alpha=0.6, linewidth=0)
    if not several:  # of many values there is no one line
        axis.plot(_utc(times), (low + high) / 2, color=_INK, linewidth=0.9)


def broken(
    start_ns: NDArray[np.int64], low: Any, high: Any, width_ns: int
) -> tuple[NDArray[np.int64], Any, Any]:
    """Put a NaN where samples are missing for long, so that no line bridges the hole."""
    steps = np.diff(start_ns)
    usual = int(np.median(steps)) if len(steps) else width_ns
    holes = np.flatnonzero(steps > 3 * max(usual, width_ns)) + 1
    times = np.insert(start_ns, holes, start_ns[holes - 1] + width_ns if len(holes) else [])
    return times, np.insert(low, holes, np.nan), np.insert(high, holes, np.nan)


def _pose(timeline: ReadTimeline, axis: Any, address: str, span: tuple[int, int]) -> None:
    known = columns(timeline.rows(address, span), timeline.channel(address))
    few = np.unique(np.linspace(0, max(0, len(known.times) - 1), POINTS).astype(np.int64))
    few = few[: len(known.times)]
    for name, style in (("x", "-"), ("y", "--"), ("z", ":")):
        values = known.values[f".{name}"][few]
        axis.plot(_utc(known.times[few]), values, style, color=_INK, linewidth=0.9, label=name)
    axis.legend(loc="upper right", ncols=3, fontsize="x-small", frameon=False)


def _alarms(timeline: ReadTimeline, axis: Any, address: str, span: tuple[int, int]) -> None:
    """Shade while an alarm that speaks of this channel was on."""
    device, name = address.rsplit("/", 1)
    for other in timeline.held():
        if timeline.channel(other).kind is not Kind.ALARM or other.rsplit("/", 1)[0] != device:
            continue
        since: dict[str, int] = {}
        for sample in timeline.samples(other, span):
            alarm: Any = sample.value
            if alarm.channel != name:
                continue
            if alarm.present:
                since.setdefault(alarm.id, sample.time.bus_ns)
            elif alarm.id in since:
                _shade(axis, since.pop(alarm.id), sample.time.bus_ns)
        for start_ns in since.values():
            _shade(axis, start_ns, span[1])


def _shade(axis: Any, start_ns: int, end_ns: int) -> None:
    start, end = _utc(np.array([start_ns, end_ns]))
    axis.axvspan(start, end, color=_ALARM, alpha=0.12, linewidth=0)


def _utc(bus_ns: NDArray[np.int64]) -> Any:
    return (bus_ns - TAI_MINUS_UTC_NS).astype("M8[ns]")
