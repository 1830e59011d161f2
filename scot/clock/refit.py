"""Clocks from recorded probes: the maps made again, or made better with hindsight.

Rows are the events of ``<workspace>/room/clock`` in recorded order (`scot.clock.service.as_row`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.curve import Prior, likeliest
from scot.clock.estimator import ASYMMETRY, BEND, MAX_SKEW, REACH, SKEW_PRIOR, WANDER
from scot.clock.hulls import Cloud, between
from scot.clock.probe import MAX_RTT_NS, Probe
from scot.clock.service import ClockService
from scot.errors import ClockError
from scot.timestamp import ClockState

Row = dict[str, Any]
REACH_S = 60.0  # how far before and after an instant its probes are used
KNOT_NS = 5_000_000_000
STRETCH_NS = 2_000_000_000
_LABELS = {state.label: state for state in ClockState}


def recompute(rows: Iterable[Row]) -> list[Row]:
    """Return each row made again from its raw probe, by the very service that made it live.

    When all probes of a source since its first were recorded, each row equals the live one to the
    last bit; `missing` tells where that is not so.

    Raises:
        ClockError: a row lacks something.
    """
    made: list[Row] = []
    services: dict[tuple[int, int, float], ClockService] = {}
    for row in rows:
        try:
            key = row["session_local_ns"], row["session_bus_ns"], row["session_rate"]
            if key not in services:
                session = BusMap(0, 0, *key, 0, 0, ClockState.LOCKED, drift_ppb=0, err_ppb=0)
                services[key] = ClockService(Clock(session, lambda: 0), made.append)
            first = row["map_id"] == 1
            services[key].again(row["source"], _probe(row), first=first, way=row.get("way"))
        except (KeyError, TypeError, ValueError) as error:
            raise _lacking(row, error) from None
        if row["map_id"] != made[-1]["map_id"]:
            made[-1]["map_id"] = row["map_id"]
    return made


def missing(rows: Iterable[Row]) -> dict[str, int]:
    """Return for each source how many of its rows, told by their `map_id`, were not recorded."""
    lost: dict[str, int] = {}
    last: dict[str, int] = {}
    for row in rows:
        source, number = row["source"], row["map_id"]
        due = 1 if number == 1 else last.get(source, 0) + 1
        lost[source] = lost.get(source, 0) + max(0, number - due)
        last[source] = number
    return lost


def refined(rows: Iterable[Row]) -> list[Row]:
    """Return each row with the map that its own, earlier and later probes of its epoch give.

    A curve is fitted about a knot every `KNOT_NS`, to the limits of `REACH_S` on both sides; a row
    has the straight line between the knots about it. The bound at a knot is what the probes before
    it and those after it both leave. `local_ns` stays; `moved_ns` says by how much bus time there
    moved. An exchange during which the clock stepped says nothing and stays as it was.

    Raises:
        ClockError: a row lacks something.
    """
    all_of = [dict(row) for row in rows]
    pieces: dict[tuple[Any, ...], list[Row]] = {}
    lives: dict[str, int] = {}
    for row in all_of:
        try:
            source = row["source"]
            lives[source] = lives.get(source, 0) + (row["map_id"] == 1)
            session = row["session_local_ns"], row["session_bus_ns"], row["session_rate"]
            pieces.setdefault((source, lives[source], row["epoch"], *session), []).append(row)
        except (KeyError, TypeError) as error:
            raise _lacking(row, error) from None
    for piece in pieces.values():
        sure = [row for row in piece if row["bound_ns"] < MAX_RTT_NS * row["session_rate"]]
        if sure:
            _Piece(sure).refine()
    for row in all_of:
        row.setdefault("moved_ns", 0)
    return all_of


def _probe(row: Row) -> Probe:
    return Probe(row["t1_ns"], row["t2_ns"], row["t3_ns"], row["t4_ns"])


def _lacking(row: Row, error: Exception) -> ClockError:
    return ClockError(
        f"clock row {row.get('map_id')} of {row.get('source')!r} cannot be used again ({error!r}); "
        "recordings of rooms before 0.2 lack the session's map"
    )


class _Piece:
    """One epoch of one source, all of whose probes are known."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows = sorted(rows, key=lambda row: int(row["t4_ns"]))
        probes = [_probe(row) for row in rows]
        self._t0, self._base = probes[0].t1_ns, probes[0].t2_ns - probes[0].t1_ns
        t1, t4 = (np.array([float(getattr(p, n) - self._t0) for p in probes]) for n in _ENDS)
        self._t4 = t4
        self._rtt = np.array([float(probe.rtt_ns) for probe in probes])
        self._slope = float(rows[-1]["rate"] / rows[-1]["session_rate"] - 1.0)
        above = np.array([float(p.t2_ns - p.t1_ns - self._base) for p in probes])
        below = np.array([float(p.t3_ns - p.t4_ns - self._base) for p in probes])
        self._above = _thin((t1, above), self._slope, 1)
        self._below = _thin((t4, below), self._slope, -1)

    def refine(self) -> None:
        """Put the better map into each row."""
        first, last = float(self._t4[0]), float(self._t4[-1])
        count = min(round((last - first) / KNOT_NS), len(self._rows))
        knots = np.linspace(first, last, 1 + max(1, count))
        made = np.array([self._knot(float(at)) for at in knots])
        offset, skew, bound, err = made.T
        for row, at in zip(self._rows, self._t4, strict=True):
            here = min(int(np.searchsorted(knots, at, side="right")) - 1, len(knots) - 2)
            width = float(knots[here + 1] - knots[here])
            part = (float(at) - float(knots[here])) / width if width else 0.0
            middle = offset[here] + part * (offset[here + 1] - offset[here])
            away_ns = min(part, 1 - part) * width
            self._put(
                row,
                float(middle),
                float(skew[here] + part * (skew[here + 1] - skew[here])),
                float(max(bound[here], bound[here + 1]) + 2 * WANDER * away_ns),
                float(max(err[here], err[here + 1])),
            )

    def _put(self, row: Row, middle: float, skew: float, bound: float, err: float) -> None:
        session = BusMap(
            0,
            0,
            row["session_local_ns"],
            row["session_bus_ns"],
            row["session_rate"],
            0,
            0,
            ClockState.LOCKED,
        )
        bus_ns = session.at(row["t4_ns"] + self._base + round(middle))
        moved_ns = bus_ns - row["bus_ns"]
        # the live bound is as true as this one: both hold
        bound_ns = min(round(bound * session.rate) + 1, row["bound_ns"] + abs(moved_ns))
        row.update(
            local_ns=row["t4_ns"],
            bus_ns=bus_ns,
            rate=session.rate * (1.0 + skew),
            bound_ns=bound_ns,
            err_ns=min(round(err * session.rate), bound_ns),
            moved_ns=moved_ns,
        )

    def _knot(self, at: float) -> tuple[float, float, float, float]:
        """Return offset, skew, bound and likely error at an instant, from both sides."""
        above, below = _about(self._above, at), _about(self._below, at)
        first = min(float(above[0][0]), float(below[0][0]))
        end = max(float(above[0][-1]), float(below[0][-1]), first + 1.0)
        reach = 2 * (at - first) / (end - first) - 1
        prior = Prior(self._slope, SKEW_PRIOR, BEND / 1e9)
        curve = likeliest(above, below, end, prior, reach=reach)
        top, bottom = self._left(at)
        offset = min(max(curve.middle, bottom), top)
        bound = max(top - offset, offset - bottom)
        return offset, curve.skew, bound, min(self._asymmetry(at) + REACH * curve.sd, bound)

    def _asymmetry(self, at: float) -> float:
        t4, rtt = _about((self._t4, self._rtt), at)
        return ASYMMETRY * float(rtt.min()) / 2 if len(t4) else 0.0

    def _left(self, at: float) -> tuple[float, float]:
        """Return the highest and the lowest offset that all probes leave at an instant."""
        (xu, yu), (xl, yl) = _about(self._above, at), _about(self._below, at)
        top, bottom = float("inf"), float("-inf")
        for way in (1.0, -1.0):  # what came before, and time run backwards
            u, low = way * (xu - at) <= 0, way * (xl - at) <= 0
            if not (u.any() and low.any()):
                continue
            left = between(
                (way * (xu[u] - at), yu[u]), (way * (xl[low] - at), yl[low]), MAX_SKEW, WANDER
            )
            if left is not None:
                top, bottom = min(top, left.top), max(bottom, left.bottom)
        if top < bottom:
            top = bottom = (top + bottom) / 2
        return top, bottom


def _thin(cloud: Cloud, slope: float, sign: int) -> Cloud:
    """Return the tightest limit, along a slope, of each stretch of `STRETCH_NS`."""
    x, y = cloud
    stretch = x // STRETCH_NS
    order = np.lexsort((sign * (y - slope * x), stretch))
    _, first = np.unique(stretch[order], return_index=True)
    kept = order[first]
    kept = kept[np.argsort(x[kept])]
    return x[kept], y[kept]


def _about(cloud: Cloud, at: float) -> Cloud:
    """Return what lies within `REACH_S`, and at least the nearest."""
    x, y = cloud
    a, b = (int(np.searchsorted(x, at + way * REACH_S * 1e9)) for way in (-1, 1))
    if a == b:
        a = min(a, len(x) - 1)
        b = a + 1
    return x[a:b], y[a:b]


_ENDS = ("t1_ns", "t4_ns")
