"""One channel of several recordings in one plot, over seconds from the moment they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scot.channel import Kind
from scot.errors import RecordingError
from scot_replay.columns import columns
from scot_replay.levels import LEVELLED
from scot_replay.plot import DRAWN, POINTS, Drawing, broken

if TYPE_CHECKING:
    from scot_replay.compare import Comparison

STYLES = ("-", "--", ":", "-.")
COLORS = ("#1f4e79", "#c0392b", "#2e7d32", "#8e44ad")


def overlay(comparison: Comparison, name: str, span: tuple[int, int]) -> Any:
    """Return a matplotlib Figure; see `scot_replay.compare.Comparison.overlay`."""
    twins = comparison.twins(name)
    kinds = {comparison.channel(address).kind for address in twins.values()}
    if not kinds <= set(DRAWN):
        raise RecordingError(
            f"{name} is of kind {', '.join(sorted(kinds))}; overlay draws {', '.join(DRAWN)}"
        )
    units = {comparison.channel(address).unit for address in twins.values()}
    if len(units) > 1:
        raise RecordingError(f"{name} is in {' and in '.join(sorted(units))}: one axis has no two")
    (unit,) = units
    rows = 3 if kinds == {Kind.POSE} else 1
    figure = Drawing(figsize=(10, 1 + 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    zero_ns = comparison.sides[0].anchor.at_ns
    for place, (key, address) in enumerate(twins.items()):
        side = comparison.side_of(address)
        label = f"{key.upper()} {side.recording.path.name}"
        style = {
            "linestyle": STYLES[place % len(STYLES)],
            "color": COLORS[place % len(COLORS)],
            "linewidth": 1.0,
            "label": label,
        }
        for axis, (times, values) in zip(axes, _lines(comparison, address, span), strict=True):
            axis.plot((times - zero_ns) / 1e9, values, **style)
    for axis, part in zip(axes, "xyz" if rows == 3 else [""], strict=True):
        axis.set_ylabel(f"{name} {part}".strip() + (f"\n{unit}" if unit else ""))
        axis.spines[["top", "right"]].set_visible(False)
        axis.axvline(0, color="#888888", linewidth=0.8)
    axes[0].legend(loc="upper right", fontsize="small", frameon=False)
    axes[-1].set_xlabel(f"s from what they share (align={comparison.align})")
    return figure


def _lines(comparison: Comparison, address: str, span: tuple[int, int]) -> list[tuple[Any, Any]]:
    channel = comparison.channel(address)
    if channel.kind in LEVELLED:
        found = comparison.envelope(address, *span, POINTS)
        times, low, high = broken(found.start_ns, found.low, found.high, found.width_ns)
        return [(times, (low + high) / 2)]
    known = columns(comparison.rows(address, span), channel)
    few = np.unique(np.linspace(0, max(0, len(known.times) - 1), POINTS).astype(np.int64))
    few = few[: len(known.times)]
    return [(known.times[few], known.values[f".{part}"][few]) for part in "xyz"]
