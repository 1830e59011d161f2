"""The clock maps of a recording: as they were live, and derived again from the recorded probes.

Every line of ``room/clock`` holds one raw probe of one source (a process of the room) and the map
that the clock service made of it. So the maps can be made again, and compared with what was used.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot.clock.busmap import BEND_PPB, HOLDOVER_AFTER_NS, WARM_PPB, BusMap
from scot.clock.refit import missing, recompute, refined
from scot.clock.rows import ClockRow, read_row
from scot.codec import Header
from scot.errors import CodecError
from scot.timestamp import ClockState
from scot_replay.found import Found
from scot_replay.heads import NONE
from scot_replay.holder import Holder
from scot_replay.rows import Int64s, Rows


class Sync(StrEnum):
    """Which clock maps a recording is read with.

    Attributes:
        AS_RECORDED: stamps as they were given live.
        RECOMPUTED: maps made again from the recorded probes, each of those before it, as live.
        REFINED: maps fitted to all probes, also to those that came later.
    """

    AS_RECORDED = "as-recorded"
    RECOMPUTED = "recomputed"
    REFINED = "refined"


class Maps:
    """One publisher's maps as they were live, and what replaces each.

    Attributes:
        name: of the publisher's key; `sources` are its processes one after the other.
        from_ns: bus time at which each map was published, ascending.
        live, new: maps, one of each a probe.
        missing: probes that were not recorded.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.sources: list[str] = []
        self.from_ns: list[int] = []
        self.live: list[BusMap] = []
        self.new: list[BusMap] = []
        self.missing = 0
        self._lines: tuple[NDArray[np.bool_], Lines, Lines] | None = None

    @property
    def differing(self) -> int:
        """How many maps are not, field by field, what they were live."""
        return sum(a != b for a, b in zip(self.live, self.new, strict=True))

    def moved(self, header: Header) -> Header:
        """Return a header stamped with the new map instead of the live one.

        The reading of the publisher's clock is not in a header, so it is taken back from the live
        stamp through the map that was newest then; a map that had not yet arrived there moves it
        by less than the two maps differ by. Errors grow or shrink by as much as the maps' do.
        """
        if not self.live:
            return header
        place = max(0, bisect_right(self.from_ns, header.bus_ns) - 1)
        live, new = self.live[place], self.new[place]
        if live == new:
            return header
        local_ns = live.local(header.bus_ns)
        was, now = live.stamp(local_ns), new.stamp(local_ns)
        state = header.state if header.state is ClockState.ONE_WAY else now.state
        return msgspec.structs.replace(
            header,
            bus_ns=header.bus_ns + now.bus_ns - was.bus_ns,
            bound_ns=_changed(header.bound_ns, was.bound_ns, now.bound_ns),
            err_ns=_changed(header.err_ns, was.err_ns, now.err_ns),
            state=state,
        )

    def moved_rows(self, rows: Rows) -> Rows:
        """Return rows whose headers are what `moved` makes of each, in their new order."""
        if not self.live or not len(rows):
            return rows
        places = np.searchsorted(self.from_ns, rows.bus_ns, side="right") - 1
        places = np.maximum(places, 0)
        if self._lines is None:
            pairs = zip(self.live, self.new, strict=True)
            differ = np.array([a != b for a, b in pairs], dtype=np.bool_)
            self._lines = differ, Lines(self.live), Lines(self.new)
        differ, live, new = self._lines
        local_ns = live.local(places, rows.bus_ns)
        was, now = live.stamp(places, local_ns), new.stamp(places, local_ns)
        one_way = rows.state == int(ClockState.ONE_WAY)
        fresh = {
            "bus_ns": rows.bus_ns + now.bus_ns - was.bus_ns,
            "bound_ns": _changed_rows(rows.bound_ns, was.bound_ns, now.bound_ns),
            "err_ns": _changed_rows(rows.err_ns, was.err_ns, now.err_ns),
            "state": np.where(one_way, rows.state, now.state).astype(np.uint8),
        }
        moves = differ[places]
        fixed = rows.fixed()
        fixed |= {name: np.where(moves, new, fixed[name]) for name, new in fresh.items()}
        return Rows(rows.kind, **fixed, values=rows.values).in_order()

    def shift_ns(self, bus_ns: int) -> int:
        """Return by how much a stamp at `bus_ns` moves."""
        place = max(0, bisect_right(self.from_ns, bus_ns) - 1)
        return self._shift(place, bus_ns)

    def greatest_ns(self, from_ns: int, to_ns: int) -> int:
        """Return the greatest move, either way, of any stamp in [from_ns, to_ns], rounded up."""
        if not self.live:
            return 0
        ends = [*self.from_ns[1:], to_ns]
        moves = [abs(self._shift(0, from_ns)), abs(self._shift(len(self.live) - 1, to_ns))]
        for place, (start_ns, end_ns) in enumerate(zip(self.from_ns, ends, strict=True)):
            moves += [abs(self._shift(place, start_ns)), abs(self._shift(place, end_ns))]
        most = max(moves)
        return most + 2 if most else 0

    def _shift(self, place: int, bus_ns: int) -> int:
        live, new = self.live[place], self.new[place]
        if live == new:
            return 0
        local_ns = live.local(bus_ns)
        return new.at(local_ns) - live.at(local_ns)


def _changed(recorded: int | None, was: int | None, now: int | None) -> int | None:
    """Return an error whose share of the clock changed from `was` to `now`, ns."""
    if recorded is None or was is None or now is None:
        return recorded if recorded is None or now is not None else None
    return max(0, recorded + now - was)


class _Stamps(NamedTuple):
    """Timestamps as arrays; an error that is not known is `NONE`."""

    bus_ns: Int64s
    bound_ns: Int64s
    err_ns: Int64s
    state: Int64s


class Lines:
    """Many maps as arrays; gives to the ns what `BusMap` does, for spans below 2**53 ns."""

    def __init__(self, maps: Sequence[BusMap]) -> None:
        def column(name: str) -> Int64s:
            found = (getattr(one, name) for one in maps)
            return np.array([NONE if value is None else int(value) for value in found], np.int64)

        self._local_ns, self._bus_ns = column("local_ns"), column("bus_ns")
        self._rate = np.array([one.rate for one in maps], np.float64)
        self._bound_ns, self._err_ns = column("bound_ns"), column("err_ns")
        self._state, self._drift, self._bend = (
            column("state"),
            column("drift_ppb"),
            column("err_ppb"),
        )

    def local(self, places: Int64s, bus_ns: Int64s) -> Int64s:
        """Return the local readings at bus times, each by the map at its place."""
        since = (bus_ns - self._bus_ns[places]) / self._rate[places]
        return self._local_ns[places] + np.rint(since).astype(np.int64)

    def stamp(self, places: Int64s, local_ns: Int64s) -> _Stamps:
        """Return the timestamps of local readings."""
        since_ns = local_ns - self._local_ns[places]
        turned = np.rint(since_ns * (self._rate[places] - 1.0)).astype(np.int64)
        age_ns = np.abs(since_ns)
        state = self._state[places]
        old = (state == int(ClockState.LOCKED)) & (age_ns > HOLDOVER_AFTER_NS)
        bound_ns, err_ns = self._bound_ns[places], self._err_ns[places]
        drift = self._drift[places]
        wider = -(-age_ns * drift // 1_000_000_000)
        bend_ppb = np.minimum(age_ns * BEND_PPB // 2_000_000_000, WARM_PPB)
        likely = age_ns * np.minimum(drift, self._bend[places] + bend_ppb) // 1_000_000_000
        return _Stamps(
            self._bus_ns[places] + since_ns + turned,
            np.where(bound_ns == NONE, NONE, bound_ns + wider),
            np.where(err_ns == NONE, NONE, err_ns + likely),
            np.where(old, int(ClockState.HOLDOVER), state),
        )


def _changed_rows(recorded: Int64s, was: Int64s, now: Int64s) -> Int64s:
    """Return what `_changed` does, of arrays."""
    fresh = np.where(now == NONE, NONE, np.maximum(0, recorded + now - was))
    fresh = np.where((was == NONE) & (now != NONE), recorded, fresh)
    return np.where(recorded == NONE, NONE, fresh)


def read_rows(holder: Holder, workspace: str) -> tuple[list[int], list[ClockRow], int]:
    """Return the lines of ``room/clock`` with their bus times, in order, and how many are no use.

    Rooms before 0.2 left out the session's map; it ran at rate 1, and the broker's stamp on a line
    is its own reading through that map.
    """
    address = f"{workspace}/room/clock"
    times: list[int] = []
    rows: list[ClockRow] = []
    bad = 0
    session: tuple[int, int] | None = None
    reach = holder.reach([address])
    found: Sequence[Found] = []
    if reach is not None:
        found = holder.channel(address, reach[0], reach[1] + 1)
    for one in found:
        try:
            row = read_row(one.frame.payload)
        except CodecError:
            bad += 1
            continue
        if row.session_rate is None and one.header.source_ns is not None:
            session = session or (one.header.source_ns, one.bus_ns)
            row = msgspec.structs.replace(
                row, session_local_ns=session[0], session_bus_ns=session[1], session_rate=1.0
            )
        if row.whole:
            times.append(one.bus_ns)
            rows.append(row)
        else:
            bad += 1
    return times, rows, bad


def derive(times: Sequence[int], rows: Sequence[ClockRow], sync: Sync) -> dict[str, Maps]:
    """Return the maps of each publisher, by the name of its key.

    Args:
        times: bus time of each line, ascending.
        rows: the lines.
        sync: what replaces the live maps.
    """
    plain: list[dict[str, Any]] = [msgspec.structs.asdict(row) for row in rows]
    again = recompute(plain) if sync is Sync.RECOMPUTED else refined(plain)
    found: dict[str, Maps] = {}
    for bus_ns, row, new in zip(times, rows, again, strict=True):
        maps = found.setdefault(row.publisher, Maps(row.publisher))
        if row.source not in maps.sources:
            maps.sources.append(row.source)
        maps.from_ns.append(bus_ns)
        maps.live.append(row.map)
        maps.new.append(msgspec.convert(new, ClockRow).map)
    lost = missing(plain)
    for maps in found.values():
        maps.missing = sum(lost[source] for source in maps.sources)
    return found
