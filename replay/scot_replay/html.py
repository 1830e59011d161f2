"""A timeline as a notebook shows it: channels with rates, gaps and how well their time is known."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from scot.recording import Recorded
from scot.timestamp import ClockState
from scot_replay.layout import iso_utc
from scot_replay.rows import Quality
from scot_replay.when import since_start

if TYPE_CHECKING:
    from scot_replay.timeline import ReadTimeline

_HEAD = ("channel", "kind", "unit", "rate", "samples", "missing", "time ±", "clock", "label")
_RIGHT = {3, 4, 5, 6}


def page(timeline: ReadTimeline) -> str:
    """Return the whole timeline as HTML."""
    first_ns, last_ns = timeline.span
    catalogue = timeline.catalogue
    title = catalogue.title.get("en", "")
    lasts = since_start(last_ns, first_ns)
    told = f"{iso_utc(first_ns)} to {iso_utc(last_ns)} ({lasts})"
    about = " · ".join(
        part for part in (title, catalogue.case and f"case {catalogue.case}") if part
    )
    remarks = "".join(f"<li>{escape(line)}</li>" for line in timeline.remarks())
    return (
        f"<div><b>{escape(timeline.title)}</b> {escape(about)}<br>{escape(told)}"
        f"{table(timeline, list(timeline.channels))}"
        f"{f'<ul>{remarks}</ul>' if remarks else ''}</div>"
    )


def table(timeline: ReadTimeline, addresses: Sequence[str]) -> str:
    """Return some channels as an HTML table."""
    head = "".join(_cell("th", place, text) for place, text in enumerate(_HEAD))
    known = timeline.channels
    rows = "".join(f"<tr>{_row(timeline, address, known[address])}</tr>" for address in addresses)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(timeline: ReadTimeline, address: str, known: Recorded) -> str:
    channel = known.channel
    missing = sum(gap.count for gap in known.gaps)
    places = f" in {len(known.gaps)} places" if len(known.gaps) > 1 else ""
    quality = timeline.quality(address) if known.count else None
    cells = (
        timeline.short(address),
        channel.kind.value,
        channel.unit,
        rate(known),
        f"{known.count:,}",
        f"{missing:,}{places}" if missing else "0",
        error(quality),
        clock(quality),
        channel.label.get("en", ""),
    )
    return "".join(_cell("td", place, text) for place, text in enumerate(cells))


def rate(known: Recorded) -> str:
    """Return how often samples came, and how often they should when that is far from it."""
    told_hz = known.channel.rate_hz
    if known.count < 2 or known.first_ns is None or known.last_ns is None:
        return f"{told_hz:g} Hz" if told_hz else ""
    lasted_s = (known.last_ns - known.first_ns) / 1e9
    if lasted_s <= 0:
        return ""
    came_hz = (known.count - 1) / lasted_s
    if known.channel.kind.value == "waveform":
        return f"{told_hz:g} Hz in {came_hz:.3g} blocks/s" if told_hz else f"{came_hz:.3g} blocks/s"
    if told_hz and abs(came_hz - told_hz) > 0.1 * told_hz:
        return f"{came_hz:.3g} of {told_hz:g} Hz"
    return f"{came_hz:.3g} Hz"


def error(quality: Quality | None) -> str:
    """Return how well times are known: likely, and at worst."""
    if quality is None or quality.err_ns is None:
        return "?"
    sure = "" if quality.bound_ns is None else f" (≤ {_length(quality.bound_ns)})"
    return f"{_length(quality.err_ns)}{sure}"


def clock(quality: Quality | None) -> str:
    """Return in which states its clock was: the usual one, and the others by their share."""
    if quality is None or not quality.states:
        return ""
    total = sum(quality.states.values())
    ordered = sorted(quality.states.items(), key=lambda item: -item[1])
    told = [
        ClockState(state).label
        if count == total
        else f"{ClockState(state).label} {count / total:.0%}"
        for state, count in ordered
        if count
    ]
    return ", ".join(told)


def _length(ns: int) -> str:
    if ns < 1_000:
        return f"{ns} ns"
    return f"{ns / 1e3:.3g} µs" if ns < 1_000_000 else f"{ns / 1e6:.3g} ms"


def _cell(tag: str, place: int, text: str) -> str:
    side = "right" if place in _RIGHT else "left"
    return f'<{tag} style="text-align:{side};white-space:nowrap">{escape(text)}</{tag}>'
