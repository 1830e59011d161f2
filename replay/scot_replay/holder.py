"""Everything a recording holds, over all its parts: merged by bus time, asked by History.

The recorder answers from it while it records, the player and an engineer's script from a finished
directory; all three read the same parts in the same way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from operator import attrgetter, itemgetter

import msgspec
import numpy as np

from scot.channel import Catalogue, Channel, Kind
from scot.codec import Frame
from scot.errors import RecordingError
from scot.history import LEVEL_BYTES, POINT_BYTES, HistoryReply, HistoryRequest
from scot_replay import rows as reading
from scot_replay.density import dense
from scot_replay.found import Found, with_headers
from scot_replay.index import Seen, Span, join
from scot_replay.levels import LEVELLED, WIDTHS_NS, Envelope, envelope, to_level, width_for
from scot_replay.levels import join as join_levels
from scot_replay.parts import Part, bounds, newest_catalogue
from scot_replay.rows import Quality, Rows

_order = itemgetter(0, 1, 2, 3)
_payload = attrgetter("frame.payload")
FIRST_WINDOW_NS = 1_000_000_000
MAX_WINDOW_NS = 60_000_000_000
SMALL_WINDOW = 256 << 10
LARGE_WINDOW = 2 << 20
AROUND = 64
BLOCK_NS = 1_000_000_000  # a waveform goes on for so long after the time of its last block
SEVERAL, WORKERS = 8, 2  # parts from which on they are read at the same time, by so many threads


class Holder:
    """Parts in the order they were recorded, read as one.

    Args:
        parts: may be replaced as a whole at any time, never changed.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)

    def catalogue(self) -> Catalogue:
        """Return every device and channel that any part knew."""
        return newest_catalogue(self.parts)

    def addresses(self) -> list[str]:
        """Channels with samples, sorted."""
        return sorted({address for part in self.parts for address in part.addresses()})

    def known(self) -> list[str]:
        """Channels with samples, or of which a sample from before is known, sorted."""
        return sorted({*self.addresses(), *(a for part in self.parts for a in part.state)})

    def bounds(self) -> tuple[int, int] | None:
        """Return bus time of the first and the last sample; None when there is none."""
        known = [b for part in self.parts if (b := bounds(part)) is not None]
        if not known:
            return None
        return min(first for first, _ in known), max(last for _, last in known)

    def reach(self, addresses: Iterable[str]) -> tuple[int, int] | None:
        """Return bus time of the first and the last sample of some channels; None if none."""
        held = [reach for a in addresses for part in self.parts if (reach := part.reach(a))]
        if not held:
            return None
        return min(first for first, _ in held), max(last for _, last in held)

    def span(self, address: str) -> Span | None:
        """Return which samples of a channel are held, over all parts."""
        return join(s for part in self.parts if (s := part.span(address)) is not None)

    def seen(self) -> Seen:
        """Return which samples are held, of every channel."""
        return Seen({a: span for a in self.addresses() if (span := self.span(a)) is not None})

    def window(self, from_ns: int, to_ns: int, addresses: Iterable[str]) -> list[Found]:
        """Return the samples of [from_ns, to_ns) in order, each once."""
        found: list[Found] = []
        wanted = list(addresses)
        for part in self.parts:
            for address in wanted:
                reach = part.reach(address)
                if reach is None or reach[0] >= to_ns or reach[1] < from_ns:
                    continue
                first, last = np.searchsorted(part.times(address), (from_ns, to_ns))
                found += with_headers(address, part.read(address, int(first), int(last)))
        found.sort(key=_order)
        again = {
            place
            for place, (before, one) in enumerate(pairwise(found), 1)
            if one[0] == before[0] and one[:4] == before[:4]
        }
        return [one for place, one in enumerate(found) if place not in again] if again else found

    def samples(self, addresses: Iterable[str], from_ns: int, to_ns: int) -> Iterator[Found]:
        """Yield the samples of [from_ns, to_ns) in order, reading a stretch at a time."""
        return chain.from_iterable(self._stretches(addresses, from_ns, to_ns))

    def _stretches(
        self, addresses: Iterable[str], from_ns: int, to_ns: int
    ) -> Iterator[list[Found]]:
        wanted = list(addresses)
        reach = self.reach(wanted)
        if reach is None:
            return
        from_ns, to_ns = max(from_ns, reach[0]), min(to_ns, reach[1] + 1)
        at_ns, window_ns = from_ns, FIRST_WINDOW_NS
        while at_ns < to_ns:
            until_ns = min(at_ns + window_ns, to_ns)
            stretch = self.window(at_ns, until_ns, wanted)
            yield stretch
            size = sum(map(len, map(_payload, stretch))) + 64 * len(stretch)
            if size < SMALL_WINDOW:
                window_ns = min(2 * window_ns, MAX_WINDOW_NS)
            elif size > LARGE_WINDOW:
                window_ns = max(window_ns // 2, FIRST_WINDOW_NS // 8)
            at_ns = until_ns

    def channel(self, address: str, from_ns: int, to_ns: int) -> list[Found]:
        """Return one channel's samples of [from_ns, to_ns) in order."""
        return self.window(from_ns, to_ns, [address])

    def rows(self, address: str, kind: Kind, from_ns: int, to_ns: int, brief: bool = False) -> Rows:
        """Return one channel's samples of [from_ns, to_ns) as arrays, each once.

        `brief` as in `scot_replay.parts.Part.rows`.

        Raises:
            RecordingError: the kind has no columns, or a payload is not of it.
        """
        inside = []
        for part in self.parts:
            reach = part.reach(address)
            if reach is not None and reach[0] < to_ns and reach[1] >= from_ns:
                inside.append(part)

        def read(part: Part) -> Rows:
            return part.rows(address, kind, from_ns, to_ns, brief)

        if len(inside) < SEVERAL:
            return reading.join(kind, [read(part) for part in inside])
        with ThreadPoolExecutor(WORKERS) as pool:  # pyarrow unpacks without holding others up
            return reading.join(kind, list(pool.map(read, inside)))

    def envelope(
        self, channel: Channel, address: str, width_ns: int, span: tuple[int, int]
    ) -> Envelope:
        """Return a numeric's or waveform's least and greatest values in stretches of one length.

        A level that a segment keeps is used where its stretches make up whole ones.

        Raises:
            RecordingError: see `rows`.
        """
        kept = [w for w in reversed(WIDTHS_NS) if width_ns % w == 0]
        made: list[Envelope] = []
        for part in self.parts:
            reach = part.reach(address)
            if reach is None or reach[0] >= span[1] or reach[1] < span[0]:
                continue
            level = next((found for w in kept if (found := part.level(address, w))), None)
            if level is None:
                rows = part.rows(address, channel.kind, *span, brief=True)
                level = envelope(rows, channel, width_ns)
            made.append(level.within(*span).coarser(width_ns))
        return join_levels(made, width_ns)

    def quality(self, address: str) -> Quality | None:
        """Return how well the times of one channel's samples are known, over all parts."""
        return reading.merged([q for part in self.parts if (q := part.quality(address))])

    def at(self, bus_ns: int, address: str, kind: Kind | None) -> list[Found]:
        """Return the last sample at or before `bus_ns`; of video all from its last keyframe."""
        if kind is Kind.VIDEO:
            opens_ns = self._keyframe(bus_ns, address)
            if opens_ns is not None:
                return self.window(opens_ns, bus_ns + 1, [address])
        best: Found | None = None
        looked = 0
        for part in reversed(self.parts):
            one = _last(part, address, bus_ns)
            if one is not None and (best is None or one[:4] > best[:4]):
                best = one
            looked += best is not None
            if looked > 1:  # one part further back, for samples that came late
                break
        return [] if best is None else [best]

    def _keyframe(self, bus_ns: int, address: str) -> int | None:
        for part in reversed(self.parts):
            keys = part.keyframes(address)
            place = int(np.searchsorted(keys, bus_ns, side="right"))
            if place:
                return int(keys[place - 1])
        return None

    def numbered(self, address: str, epoch: int, first: int, last: int) -> list[Found]:
        """Return the samples of one epoch with seqs from first to last, both inclusive."""
        found: dict[int, Found] = {}
        for part in self.parts:
            known = part.span(address)
            runs = known.runs.get(str(epoch), []) if known is not None else []
            inside = sum(max(0, min(b, last) - max(a, first) + 1) for a, b in runs)
            if inside:
                near = _near(part, address, (epoch, first), (epoch, last))
                held = [one for one in near if one.epoch == epoch and first <= one.seq <= last]
                if len(held) < inside:  # out of order by more than we looked around
                    everything = with_headers(
                        address, part.read(address, 0, len(part.times(address)))
                    )
                    held = [
                        one for one in everything if one.epoch == epoch and first <= one.seq <= last
                    ]
                found.update((one.seq, one) for one in held)
        return sorted(found.values(), key=lambda one: one[:4])

    def answer(self, ask: HistoryRequest, catalogue: Catalogue | None = None) -> HistoryReply:
        """Answer History (see `scot.history`): bounded by `max_bytes`, cut between instants."""
        reach = self.reach(ask.addresses)
        first_ns = reach[0] if reach is not None else None
        if ask.seqs is not None:
            epoch, first, last = ask.seqs
            found = [one for a in ask.addresses for one in self.numbered(a, epoch, first, last)]
            return _bounded(iter(found), ask.max_bytes, first_ns)
        if ask.between is not None:
            if ask.density_ns > 0:
                return dense(self.parts, ask, catalogue or self.catalogue(), reach)
            if ask.max_points > 0:
                return self._levelled(ask, catalogue or self.catalogue(), first_ns)
            samples = self.samples(ask.addresses, *ask.between)
            return _bounded(samples, ask.max_bytes, first_ns)
        if ask.at is None:
            return HistoryReply(first_ns=first_ns)
        known = catalogue or self.catalogue()
        state: list[Found] = []
        for address in ask.addresses:
            channel = known.channel(address)
            state += self.at(ask.at, address, channel.kind if channel else None)
        state.sort(key=lambda one: one[:4])
        return HistoryReply(frames=[one.frame for one in state], first_ns=first_ns)

    def _levelled(
        self, ask: HistoryRequest, known: Catalogue, first_ns: int | None
    ) -> HistoryReply:
        """Answer with levels, and with samples where there is no least and no greatest value."""
        from_ns, to_ns = ask.between or (0, 0)
        levelled = {
            address: channel
            for address in ask.addresses
            if (channel := known.channel(address)) is not None and channel.kind in LEVELLED
        }
        room = LEVEL_BYTES // POINT_BYTES // max(1, len(levelled))
        points = max(1, min(ask.max_points, room) - 1)  # one more where the grid is not met
        made: dict[str, Envelope] = {}
        reach = self.reach(levelled) or (from_ns, from_ns)
        from_ns, ends_ns = max(from_ns, reach[0]), min(to_ns, reach[1] + BLOCK_NS)
        width_ns = width_for(max(1, ends_ns - from_ns), points)
        for address, channel in levelled.items():
            with contextlib.suppress(RecordingError):  # of another kind before: sent as samples
                made[address] = self.envelope(channel, address, width_ns, (from_ns, ends_ns))
        rest = [address for address in ask.addresses if address not in made]
        samples = self.samples(rest, ask.between[0], to_ns) if ask.between else iter(())
        reply = _bounded(samples, ask.max_bytes, first_ns)
        if reply.next_ns is not None:
            made = {a: one.within(from_ns, reply.next_ns) for a, one in made.items()}
        levels = {address: to_level(one) for address, one in made.items() if len(one)}
        return msgspec.structs.replace(reply, levels=levels)


def _last(part: Part, address: str, bus_ns: int) -> Found | None:
    reach = part.reach(address)
    if reach is not None and reach[0] <= bus_ns:
        place = int(np.searchsorted(part.times(address), bus_ns, side="right"))
        return next(iter(with_headers(address, part.read(address, place - 1, place))), None)
    before = part.state.get(address)
    if before is not None:
        one = next(iter(with_headers(address, [before])), None)
        if one is not None and one.bus_ns <= bus_ns:
            return one
    return None


def _near(part: Part, address: str, first: tuple[int, int], last: tuple[int, int]) -> list[Found]:
    """Return samples around (epoch, seq) first to last, found by halving: seqs grow with time."""
    total = len(part.times(address))

    def place_of(key: tuple[int, int]) -> int:
        low, high = 0, total
        while low < high:
            middle = (low + high) // 2
            one = next(iter(with_headers(address, part.read(address, middle, middle + 1))), None)
            if one is not None and (one.epoch, one.seq) < key:
                low = middle + 1
            else:
                high = middle
        return low

    start = max(0, place_of(first) - AROUND)
    return with_headers(address, part.read(address, start, min(total, place_of(last) + 1 + AROUND)))


def _bounded(found: Iterator[Found], max_bytes: int, first_ns: int | None) -> HistoryReply:
    """Take samples until the next instant would not fit; one instant always goes whole."""
    frames: list[Frame] = []
    used, instant = 0, 0
    pending: list[Frame] = []
    pending_bytes = 0

    for one in found:
        if pending and one.bus_ns != instant:
            if frames and used + pending_bytes > max_bytes:
                return HistoryReply(
                    frames=frames, complete=False, next_ns=instant, first_ns=first_ns
                )
            frames += pending
            used += pending_bytes
            pending, pending_bytes = [], 0
        instant = one.bus_ns
        pending.append(one.frame)
        pending_bytes += sum(map(len, one.frame))
    if frames and used + pending_bytes > max_bytes:
        return HistoryReply(frames=frames, complete=False, next_ns=instant, first_ns=first_ns)
    return HistoryReply(frames=frames + pending, first_ns=first_ns)
