"""When channels spoke, and how well their time was known: of a whole recording at once.

A scrubber draws it. Where a segment has columns, two of them are read; elsewhere samples are
counted by their times, and of some headers, evenly over the part, the error is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot.channel import Catalogue, Kind
from scot.errors import RecordingError
from scot.history import (
    DENSITY_BYTES,
    LEVEL_BYTES,
    Density,
    HistoryReply,
    HistoryRequest,
    Level,
)
from scot_replay.found import with_headers
from scot_replay.heads import NONE
from scot_replay.parts import LOOKED_AT, Part
from scot_replay.rows import KINDS
from scot_replay.segment import SegmentPart

Int64s = NDArray[np.int64]
Stretches = TypeVar("Stretches", Level, Density)
_UNKNOWN = np.iinfo(np.int64).max


def dense(
    parts: Sequence[Part], ask: HistoryRequest, known: Catalogue, reach: tuple[int, int] | None
) -> HistoryReply:
    """Answer a question for `density_ns`, cut where its stretches would be too many.

    Args:
        parts: of the recording.
        ask: with `between`.
        known: what it knows of channels.
        reach: bus time of the first and last sample of those that are asked for.
    """
    if reach is None or ask.between is None:
        return HistoryReply(first_ns=None if reach is None else reach[0])
    width_ns = ask.density_ns
    from_ns, to_ns = max(ask.between[0], reach[0]), min(ask.between[1], reach[1] + 1)
    stretches = max(1, LEVEL_BYTES // DENSITY_BYTES // max(1, len(ask.addresses)) - 1)
    ends_ns = min(to_ns, (from_ns // width_ns + stretches) * width_ns)
    found = {}
    for address in ask.addresses:
        channel = known.channel(address)
        kind = channel.kind if channel is not None else Kind.EVENT
        looked = [look(part, address, kind, from_ns, ends_ns) for part in parts]
        times = np.concatenate([one[0] for one in looked])
        if len(times):
            found[address] = density(times, np.concatenate([one[1] for one in looked]), width_ns)
    return HistoryReply(
        complete=ends_ns >= to_ns,
        next_ns=None if ends_ns >= to_ns else ends_ns,
        first_ns=reach[0],
        densities=found,
    )


def density(times: Int64s, errs: Int64s, width_ns: int) -> Density:
    """Return the stretches of samples at some times.

    Args:
        times: bus ns (n,), in any order; at least one.
        errs: likely errors in ns (n,), `NONE` where unknown.
        width_ns: length of a stretch; they lie on one grid of bus time.
    """
    order = np.argsort(times, kind="stable")
    stretch = times[order] // width_ns
    worst = np.where(errs == NONE, _UNKNOWN, errs)[order]
    edges = np.flatnonzero(np.concatenate(([True], stretch[1:] != stretch[:-1])))
    err_ns = np.maximum.reduceat(worst, edges)
    return Density(
        width_ns=width_ns,
        first_ns=int(stretch[0]) * width_ns,
        places=(stretch[edges] - stretch[0]).astype("<u4").tobytes(),
        count=np.diff(np.append(edges, len(times))).astype("<u4").tobytes(),
        err_ns=np.where(err_ns == _UNKNOWN, NONE, err_ns).astype("<i8").tobytes(),
    )


def until(one: Stretches, cut_ns: int | None) -> Stretches:
    """Return the stretches that begin before an instant; all when None."""
    if cut_ns is None:
        return one
    before = max(0, -(-(cut_ns - one.first_ns) // one.width_ns))
    kept = int(np.searchsorted(np.frombuffer(one.places, "<u4"), before))
    held = len(one)
    cut = {
        name: value[: kept * (len(value) // held)]
        for name in one.__struct_fields__
        if held and isinstance(value := getattr(one, name), bytes)
    }
    return msgspec.structs.replace(one, **cut)


def look(part: Part, address: str, kind: Kind, from_ns: int, to_ns: int) -> tuple[Int64s, Int64s]:
    """Return bus times and likely errors (n,) of a channel's samples of [from_ns, to_ns)."""
    reach = part.reach(address)
    if reach is None or reach[0] >= to_ns or reach[1] < from_ns:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if kind in KINDS and isinstance(part, SegmentPart) and part.beside is not None:
        try:
            rows = part.rows(address, kind, from_ns, to_ns)
        except RecordingError:  # some payload is not of its kind
            pass
        else:
            return rows.bus_ns, rows.err_ns
    times = part.times(address)
    first, last = (int(place) for place in np.searchsorted(times, (from_ns, to_ns)))
    if first == last:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    places = np.unique(np.linspace(first, last - 1, min(last - first, LOOKED_AT)).astype(np.int64))
    errs = np.full(len(places), NONE, np.int64)
    for number, place in enumerate(places.tolist()):
        for one in with_headers(address, part.read(address, place, place + 1)):
            if one.header.err_ns is not None:
                errs[number] = one.header.err_ns
    nearest = np.searchsorted(places, np.arange(first, last), side="right") - 1
    return times[first:last], errs[nearest]
