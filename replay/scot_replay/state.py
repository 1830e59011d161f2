"""What every channel showed at one instant, as a person reads it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from scot.channel import Catalogue, Channel
from scot.sample import (
    AlarmValue,
    AnnotationValue,
    Flags,
    ImageValue,
    NumericValue,
    PoseValue,
    Sample,
)
from scot.timeline import Moment
from scot_replay.layout import iso_utc
from scot_replay.when import since_start

if TYPE_CHECKING:
    import pandas as pd


WORDS = 60  # letters of a value in a table


class State(dict[str, Moment]):
    """Of each channel that had one the last sample, by whole address; ``["monitor/hr"]`` works too.

    Attributes:
        bus_ns: the instant.
    """

    def __init__(
        self, moments: dict[str, Moment], bus_ns: int, first_ns: int, catalogue: Catalogue
    ) -> None:
        super().__init__(moments)
        self.bus_ns = bus_ns
        self._first_ns = first_ns
        self._catalogue = catalogue

    def __missing__(self, name: str) -> Moment:
        address = f"{self._catalogue.workspace}/{name}"
        if address in self:
            return self[address]
        raise KeyError(
            f"{name} had no sample at {since_start(self.bus_ns, self._first_ns)}; "
            f"known then: {', '.join(self._short(a) for a in self) or 'nothing'}"
        )

    @property
    def df(self) -> pd.DataFrame:
        """As a table: value, unit, age_s, err_ms (likely, ±), bound_ms (guaranteed, ±), clock."""
        import pandas as pd

        rows = [self._row(address, moment) for address, moment in self.items()]
        names = ("channel", "value", "unit", "age_s", "err_ms", "bound_ms", "clock", "stale")
        return pd.DataFrame(rows, columns=list(names)).set_index("channel")

    def _row(self, address: str, moment: Moment) -> tuple[Any, ...]:
        channel = self._catalogue.channel(address)
        stale = channel is not None and not channel.latched
        return (
            self._short(address),
            told(moment.sample, channel),
            channel.unit if channel else "",
            moment.age_ns / 1e9,
            _ms(moment.err_ns),
            _ms(moment.bound_ns),
            moment.sample.time.state.label,
            stale and moment.age_ns > (channel.stale_after_s if channel else 0) * 1e9,
        )

    def _short(self, address: str) -> str:
        return address.removeprefix(f"{self._catalogue.workspace}/")

    def _lines(self) -> list[tuple[str, ...]]:
        lines: list[tuple[str, ...]] = []
        for address, moment in self.items():
            name, value, unit, age_s, err_ms, _, clock, stale = self._row(address, moment)
            likely = "±?" if err_ms is None else f"±{err_ms:.3g} ms"
            shown = f"— (was {value})" if stale else value  # never as if it held still
            lines.append((name, f"{shown} {unit}".strip(), f"{age_s:.3f} s", likely, clock))
        return lines

    @property
    def _title(self) -> str:
        return f"{since_start(self.bus_ns, self._first_ns)}  ({iso_utc(self.bus_ns)})"

    def __repr__(self) -> str:
        lines = [("channel", "value", "age", "time ±", "clock"), *self._lines()]
        widths = [max(len(line[i]) for line in lines) for i in range(5)]
        told = ["  ".join(f"{c:{w}}" for c, w in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([f"state at {self._title}", *(line.rstrip() for line in told)])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in ("channel", "value", "age", "time ±", "clock"))
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>"
            for line in self._lines()
        )
        return (
            f"<table><caption>State at {escape(self._title)}</caption><tr>{head}</tr>{rows}</table>"
        )


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e6


def told(sample: Sample, channel: Channel | None) -> str:
    """Return a value in a few words."""
    if sample.flags & Flags.INVALID:
        return "invalid"
    words = _words(sample.value, channel)
    return words if len(words) <= WORDS else f"{words[: WORDS - 1]}…"


def _words(value: Any, channel: Channel | None) -> str:
    if isinstance(value, NumericValue):
        return "no value" if value.value is None else f"{value.value:g}"
    if isinstance(value, PoseValue):
        place = ", ".join(f"{v:.1f}" for v in value.position_mm)
        return f"({place})" if value.visible else "not seen"
    if isinstance(value, bytes):
        size = f"{channel.width_px}×{channel.height_px} " if channel and channel.width_px else ""
        return f"{size}picture, {len(value)} B"
    return _rare(value)


def _rare(value: Any) -> str:
    if isinstance(value, AlarmValue):
        text = value.text.get("en") or next(iter(value.text.values()), value.id)
        return f"{value.priority} {text}" if value.present else f"off: {text}"
    if isinstance(value, AnnotationValue):
        return f"{value.tool} {value.text}".strip()
    if isinstance(value, ImageValue):
        return f"{value.width_px}×{value.height_px} {value.media_type}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={what}" for key, what in value.items())
    if isinstance(value, str):
        return value
    ends = f"{float(value[0]):.3g} … {float(value[-1]):.3g} " if len(value) else ""
    return f"{ends}({len(value)} values)"
