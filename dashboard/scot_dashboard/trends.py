"""The course of every numeric over hours, for trend lines: least and greatest of each 5 s.

No I/O, no clock; every time is bus ns, every value in its channel's unit. NaN is a gap and stays.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from scot.channel import Kind
from scot.sample import Flags, NumericValue, Validity
from scot_dashboard.egress import Egress
from scot_dashboard.wire import TrendsAsk

if TYPE_CHECKING:
    from scot.bus.subscriber import Delivery
    from scot.history import Level

CELL_NS = 5_000_000_000
HOUR_CELLS = 720
MAX_HOURS = 12
MAX_CHANNELS = 500
UNUSABLE = frozenset(
    {Validity.INVALID, Validity.NOT_AVAILABLE, Validity.CALIBRATION, Validity.OVERFLOW}
)

_Cells = NDArray[np.float32]


class Trends:
    """What the trend lines of every role are drawn from; the oldest hours are forgotten."""

    def __init__(self) -> None:
        self._hours: dict[str, OrderedDict[int, _Cells]] = {}

    def add(self, delivery: Delivery) -> None:
        """Take one sample, in any order; only numerics count, and only what may be used.

        Raises:
            CodecError: it cannot be read.
        """
        if delivery.channel.kind is not Kind.NUMERIC or delivery.flags & Flags.INVALID:
            return
        said = cast(NumericValue, delivery.sample().value)
        value = said.value
        if value is None or not math.isfinite(value) or said.validity in UNUSABLE:
            return
        address = delivery.frame.address
        if address not in self._hours and len(self._hours) >= MAX_CHANNELS:
            return
        hour, place = divmod(delivery.header.bus_ns // CELL_NS, HOUR_CELLS)
        cells = self._cells(address, hour)
        cells[0, place] = np.fmin(cells[0, place], value)
        cells[1, place] = np.fmax(cells[1, place], value)

    def fill(self, address: str, level: Level) -> None:
        """Take the least and greatest values of a stretch, in parts no longer than a cell."""
        if address not in self._hours and len(self._hours) >= MAX_CHANNELS:
            return
        places = np.frombuffer(level.places, "<u4").astype(np.int64)
        cell = (level.first_ns + places * level.width_ns) // CELL_NS
        low, high = (np.frombuffer(one, "<f8") for one in (level.low, level.high))
        sound = np.isfinite(low) & np.isfinite(high)
        cell, low, high = cell[sound], low[sound], high[sound]
        for hour in np.unique(cell // HOUR_CELLS).tolist():
            mine = cell // HOUR_CELLS == hour
            cells = self._cells(address, hour)
            np.fmin.at(cells[0], cell[mine] % HOUR_CELLS, low[mine])
            np.fmax.at(cells[1], cell[mine] % HOUR_CELLS, high[mine])

    def _cells(self, address: str, hour: int) -> _Cells:
        hours = self._hours.setdefault(address, OrderedDict())
        cells = hours.get(hour)
        if cells is None:
            cells = hours[hour] = np.full((2, HOUR_CELLS), np.nan, np.float32)
            while len(hours) > MAX_HOURS:
                del hours[min(hours)]
        return cells

    def answer(self, ask: TrendsAsk, egress: Egress) -> dict[str, Any]:
        """Return the lines that a role may see between two instants.

        ``series`` maps an address to the least and the greatest of each bin, None where there
        was nothing.
        """
        to_ns = max(ask.to_ns, ask.from_ns + ask.bins)
        series = {
            address: self._bins(address, ask.from_ns, to_ns, ask.bins)
            for address in ask.addresses
            if egress.visible(address) and address in self._hours
        }
        return {"from_ns": ask.from_ns, "to_ns": to_ns, "bins": ask.bins, "series": series}

    def _bins(self, address: str, from_ns: int, to_ns: int, count: int) -> list[list[float | None]]:
        hours = self._hours[address]
        first = from_ns // CELL_NS
        last = min(-(-to_ns // CELL_NS), first + MAX_HOURS * HOUR_CELLS)
        line = np.full((2, max(1, last - first)), np.nan, np.float32)
        for hour, cells in hours.items():
            start = hour * HOUR_CELLS - first
            a, b = max(0, start), min(line.shape[1], start + HOUR_CELLS)
            if a < b:
                line[:, a:b] = cells[:, a - start : b - start]
        least: list[float | None] = []
        most: list[float | None] = []
        for index in range(count):
            a = (from_ns + index * (to_ns - from_ns) // count) // CELL_NS - first
            b = -(-(from_ns + (index + 1) * (to_ns - from_ns) // count) // CELL_NS) - first
            least.append(_plain(np.fmin.reduce(line[0, a : max(a + 1, b)], initial=np.nan)))
            most.append(_plain(np.fmax.reduce(line[1, a : max(a + 1, b)], initial=np.nan)))
        return [least, most]


def _plain(value: np.float32) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
