"""Draws a case report as one HTML file that needs nothing else: no script, no network."""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from scot_replay.case_report import CaseReport, ChannelLine
from scot_replay.case_words import WORDS
from scot_replay.completeness import WHY, Interval
from scot_replay.layout import iso_utc

if TYPE_CHECKING:
    from jinja2 import Template

LANGUAGES = ("en", "ja")
STRIP_PX = 160


def draw(case: CaseReport, language: str = "en") -> str:
    """Return the page.

    Args:
        case: what it says.
        language: ``en`` or ``ja``; of its own words and of the catalogue's labels.
    """
    words = {name: found[language] for name, found in WORDS.items()}

    def label(labels: dict[str, str], otherwise: str = "") -> str:
        return labels.get(language) or labels.get("en") or otherwise

    def clock(bus_ns: int | None) -> str:
        return words["unknown"] if bus_ns is None else since(bus_ns - case.started_ns)

    return _template().render(
        case=case,
        language=language,
        w=words,
        label=label,
        since=clock,
        utc=iso_utc,
        lasted=since(case.ended_ns - case.started_ns),
        error=error,
        state=lambda line: state(line, words),
        strip=lambda line: strip(line, case),
        data=lambda jpeg: base64.b64encode(jpeg).decode("ascii"),
        why=lambda one: WHY[one.why][language] if one.why in WHY else one.why,
        totals={
            key: sum(getattr(line.account, key) for line in case.channels)
            for key in ("expected", "received", "backfilled", "late", "lost")
        },
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = files("scot_replay").joinpath("case_report.html.j2").read_text("utf-8")
    return environment.from_string(text)


def since(ns: int) -> str:
    """Return a length of time as ``h:mm:ss.mmm``."""
    sign = "-" if ns < 0 else ""
    ms = abs(ns) // 1_000_000
    return f"{sign}{ms // 3_600_000}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def error(ns: float | None) -> str:
    """Return an error of time in the unit that suits it."""
    if ns is None:
        return "–"
    return f"{ns / 1e6:.1f} ms" if ns >= 1e6 else f"{ns / 1e3:.0f} µs"


def state(line: ChannelLine, words: dict[str, str]) -> str:
    """Return in which states a channel's clock was, with shares where there are several."""
    shares = line.clock.states
    if len(shares) == 1:
        return words.get(next(iter(shares)), next(iter(shares)))
    return ", ".join(f"{words.get(name, name)} {part:.0%}" for name, part in shares.items())


def strip(line: ChannelLine, case: CaseReport) -> list[dict[str, Any]]:
    """Return, along the case, where samples were lost (whole height) and asked back (half)."""
    length_ns = max(1, case.ended_ns - case.started_ns)

    def bar(one: Interval, kind: str) -> dict[str, Any]:
        from_ns = case.started_ns if one.from_ns is None else one.from_ns
        to_ns = case.ended_ns if one.to_ns is None else one.to_ns
        x = max(0.0, (from_ns - case.started_ns) / length_ns * STRIP_PX)
        width = max(1.0, (to_ns - from_ns) / length_ns * STRIP_PX)
        return {"x": round(min(x, STRIP_PX - 1), 1), "width": round(width, 1), "kind": kind}

    account = line.account
    bars = [bar(one, "back") for one in account.backfilled_in]
    return bars + [bar(one, "lost") for one in account.lost_in]
