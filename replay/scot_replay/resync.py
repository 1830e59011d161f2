"""A recording read with other clock maps than it was stamped with.

What can be made again: every map of every host's clock, from its recorded probes. What cannot:
the reading of that clock at which a sample came, which a frame does not carry, and the envelope of
a one-way device, which is made of such readings. So a sample moves by as much as its host's clock
does at its instant. Of a device of state ``one-way`` that is the move at its sample, not at the
arrival (up to a minute before) that set the envelope, and its own likely error stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from scot.channel import Channel, Kind
from scot.clock.rows import publisher_of
from scot.codec import Frame
from scot.sample import Flags
from scot_replay.found import Found
from scot_replay.holder import Holder
from scot_replay.index import Span
from scot_replay.levels import Envelope, envelope
from scot_replay.maps import Maps, Sync, derive, read_rows
from scot_replay.parts import Part
from scot_replay.rows import Rows

OWN = "room"  # the broker's clock is bus time: it never moves


class ResyncedHolder(Holder):
    """See `Holder`; every answer is in the order of the new stamps.

    Args:
        parts: of the recording.
        workspace: its name.
        sync: recomputed or refined.

    Attributes:
        maps: by the name of a publisher's key.
        unread: lines of ``room/clock`` that could not be read.
    """

    def __init__(self, parts: Sequence[Part], workspace: str, sync: Sync) -> None:
        super().__init__(parts)
        self.sync = sync
        times, rows, self.unread = read_rows(Holder(parts), workspace)
        self.maps = derive(times, rows, sync)
        self._most: dict[str, int] = {}
        span = super().bounds() or (0, 0)
        for name, maps in self.maps.items():
            self._most[name] = maps.greatest_ns(*span)

    def maps_of(self, device: str) -> Maps | None:
        """Return the maps a device's samples were stamped with; None if none were recorded."""
        return self.maps.get(publisher_of(device)) if device != OWN else None

    def bounds(self) -> tuple[int, int] | None:
        """Return bus time of the first and the last sample; None when there is none."""
        recorded = super().bounds()
        if recorded is None:
            return None
        known, most = self.addresses(), max(self._most.values(), default=0)
        if not most:
            return recorded
        first = self._raw(known, recorded[0], recorded[0] + 2 * most + 1)
        last = self._raw(known, recorded[1] - 2 * most, recorded[1] + 1)
        return first[0].bus_ns, last[-1].bus_ns

    def reach(self, addresses: Iterable[str]) -> tuple[int, int] | None:
        """Return bus times that enclose some channels, with room for what moved."""
        wanted = list(addresses)
        recorded = super().reach(wanted)
        if recorded is None:
            return None
        most = self._reach_ns(wanted)
        return recorded[0] - most, recorded[1] + most

    def span(self, address: str) -> Span | None:
        """Return which samples of a channel are held, over all parts."""
        span = super().span(address)
        maps = self.maps_of(_device(address))
        if span is None or maps is None or not self._most[maps.name]:
            return span
        first_ns = span.first_ns + maps.shift_ns(span.first_ns)
        last_ns = span.last_ns + maps.shift_ns(span.last_ns)
        return msgspec.structs.replace(span, first_ns=first_ns, last_ns=last_ns)

    def window(self, from_ns: int, to_ns: int, addresses: Iterable[str]) -> list[Found]:
        """Return the samples of [from_ns, to_ns) in order, each once."""
        wanted = list(addresses)
        most = self._reach_ns(wanted)
        found = self._raw(wanted, from_ns - most, to_ns + most)
        return [one for one in found if from_ns <= one.bus_ns < to_ns] if most else found

    def rows(self, address: str, kind: Kind, from_ns: int, to_ns: int, brief: bool = False) -> Rows:
        """Return one channel's samples of [from_ns, to_ns) as arrays; raises as `Holder.rows`."""
        maps = self.maps_of(_device(address))
        if maps is None:
            return super().rows(address, kind, from_ns, to_ns, brief)
        most = self._reach_ns([address])
        found = super().rows(address, kind, from_ns - most, to_ns + most)
        return maps.moved_rows(found).within(from_ns, to_ns)

    def envelope(
        self, channel: Channel, address: str, width_ns: int, span: tuple[int, int]
    ) -> Envelope:
        """Return least and greatest values; see `Holder.envelope`."""
        if not self._reach_ns([address]):
            return super().envelope(channel, address, width_ns, span)
        rows = self.rows(address, channel.kind, *span)
        return envelope(rows, channel, width_ns)

    def at(self, bus_ns: int, address: str, kind: Kind | None) -> list[Found]:
        """Return the last sample at or before `bus_ns`; of video all from its last keyframe."""
        most = self._reach_ns([address])
        if kind is Kind.VIDEO and (found := self._video_at(bus_ns, address, most)):
            return found
        before = super().at(bus_ns - most, address, None)
        start_ns = before[0].bus_ns - 2 * most if before else bus_ns - most
        near = self._raw([address], start_ns, bus_ns + most + 1)
        found = sorted([*self._moved(before), *near], key=lambda one: one[:4])
        return [one for one in found if one.bus_ns <= bus_ns][-1:]

    def numbered(self, address: str, epoch: int, first: int, last: int) -> list[Found]:
        """Return the samples of one epoch with seqs from first to last, both inclusive."""
        return self._moved(super().numbered(address, epoch, first, last))

    def _video_at(self, bus_ns: int, address: str, most: int) -> list[Found]:
        for reach_ns in (most, -most):
            opens_ns = self._keyframe(bus_ns + reach_ns, address)
            if opens_ns is not None:
                found = self._raw([address], opens_ns, bus_ns + most + 1)
                found = [one for one in found if one.bus_ns <= bus_ns]
                if found and found[0].header.flags & Flags.KEYFRAME:
                    return found
        return []

    def _reach_ns(self, addresses: Iterable[str]) -> int:
        """Return by how much any sample of some channels moves at most."""
        found = [self.maps_of(device) for device in {_device(a) for a in addresses}]
        return max((self._most[maps.name] for maps in found if maps is not None), default=0)

    def _raw(self, addresses: Iterable[str], from_ns: int, to_ns: int) -> list[Found]:
        """Return what was recorded in [from_ns, to_ns), moved, in the new order."""
        return self._moved(super().window(from_ns, to_ns, addresses))

    def _moved(self, found: Sequence[Found]) -> list[Found]:
        moved = [self._move(one) for one in found]
        moved.sort(key=lambda one: one[:4])
        return moved

    def _move(self, one: Found) -> Found:
        maps = self.maps_of(_device(one.address))
        header = one.header if maps is None else maps.moved(one.header)
        if header is one.header:
            return one
        frame = Frame(one.frame.topic, msgspec.msgpack.encode(header), one.frame.payload)
        return Found(header.bus_ns, one.address, one.epoch, one.seq, header, frame)

    def report(self) -> dict[str, dict[str, Any]]:
        """Say, by device, what became of its clock and how far its samples moved.

        See `scot.recording.Recording.sync_report`.
        """
        devices = sorted({_device(address) for address in self.addresses()})
        return {device: self._report(device) for device in devices}

    def _report(self, device: str) -> dict[str, Any]:
        maps = self.maps_of(device)
        if maps is None:
            if device == OWN:
                return {"clock": "exact", "samples": self._count(device), "bad": self.unread}
            return {"clock": "unknown", "samples": self._count(device)}
        moves = np.array([abs(ns) for ns in self._moves(device, maps)], dtype=np.float64)
        differing = maps.differing
        return {
            "clock": "differs" if differing else "identical",
            "sources": maps.sources,
            "maps": len(maps.live),
            "differing": differing,
            "missing": maps.missing,
            "samples": len(moves),
            "max_shift_ns": int(moves.max()) if len(moves) else 0,
            "median_shift_ns": int(np.median(moves)) if len(moves) else 0,
        }

    def _moves(self, device: str, maps: Maps) -> Iterator[int]:
        if not self._most[maps.name]:
            yield from (0 for _ in range(self._count(device)))
            return
        for times in self._times(device):
            yield from (maps.shift_ns(int(bus_ns)) for bus_ns in times)

    def _count(self, device: str) -> int:
        return sum(len(times) for times in self._times(device))

    def _times(self, device: str) -> Iterator[Any]:
        for part in self.parts:
            for address in part.addresses():
                if _device(address) == device:
                    yield part.times(address)


def _device(address: str) -> str:
    return address.split("/")[1]
