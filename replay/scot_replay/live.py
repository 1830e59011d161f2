"""A room that is up, as a Timeline: asked by History, in the words a recording is asked in.

``scot.open("bus:")`` takes the only room of this machine, ``scot.open("bus:or1")`` the one of that
name. What was is asked of the recorder; what no recorder holds, of the devices themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

import scot
from scot.channel import Channel
from scot.codec import Frame, decode
from scot.errors import BusError, CodecError, RecordingError
from scot.history import HistoryReply, HistoryRequest
from scot.recording import Recorded
from scot.sample import Sample
from scot_replay import rows as reading
from scot_replay.found import Found, with_headers
from scot_replay.levels import Envelope, envelope, join, of_level
from scot_replay.rows import Quality, Rows
from scot_replay.timeline import ReadTimeline

if TYPE_CHECKING:
    from scot.bus.samples import Samples
    from scot.bus.sync import Connection

SCHEME = "bus:"
_ASK_BYTES = 4 << 20


def open_room(target: str, sync: str = "as-recorded") -> LiveTimeline:
    """Join a room as a Timeline.

    Args:
        target: ``bus:`` or ``bus:or1``.
        sync: only ``as-recorded``: a live room's clocks are what they are.

    Raises:
        RecordingError: another `sync`.
        RoomError: no room is up here, or several are.
        AccessError, BusTimeoutError: see `scot.connect`.
    """
    if sync != "as-recorded":
        raise RecordingError(f"sync={sync!r} needs a recording; a live room is as-recorded")
    return LiveTimeline(scot.connect(target.removeprefix(SCHEME).strip("/") or None))


class LiveTimeline(ReadTimeline):
    """See `scot_replay.timeline.ReadTimeline`; `span` ends now.

    Args:
        room: joined; it is closed with this.
    """

    def __init__(self, room: Connection) -> None:
        self.room = room
        self.title = f"room {room.workspace}, live"
        self.catalogue = room.catalogue
        self._state = lru_cache(maxsize=8)(self._ask_state)
        now_ns = room.clock.now()
        reply = self._ask(HistoryRequest(addresses=self.catalogue.addresses(), at=now_ns))
        self._first_ns = now_ns if reply.first_ns is None else reply.first_ns
        self._held = (now_ns, {frame.address for frame in reply.frames})

    @property
    def span(self) -> tuple[int, int]:
        """Bus time of the first sample anybody holds, and now."""
        self.catalogue = self.room.catalogue
        return self._first_ns, self.room.clock.now()

    @property
    def channels(self) -> dict[str, Recorded]:
        """What there is of each channel; counted as its publisher numbers it."""
        state = self._state(self.room.clock.now() // 1_000_000_000 * 1_000_000_000)
        return {
            address: Recorded(
                channel=self.channel(address),
                count=state[address].seq + 1 if address in state else 0,
                gaps=[],
                first_ns=None,
                last_ns=state[address].bus_ns if address in state else None,
            )
            for address in self.catalogue.addresses()
        }

    def held(self) -> list[str]:
        """Return the channels that have a sample, by address; asked anew each second."""
        now_ns = self.room.clock.now()
        if now_ns - self._held[0] > 1_000_000_000:
            self._held = (now_ns, set(self._ask_state(now_ns)))
        return sorted(self._held[1])

    def known(self) -> list[str]:
        """Return the channels that have a sample, by address."""
        return self.held()

    def latest(self, bus_ns: int, address: str) -> Sample | None:
        """Return one channel's last sample at or before `bus_ns`."""
        found = self._state(bus_ns).get(address)
        if found is None:
            return None
        try:
            return decode(found.frame, self.channel(address), found.header)
        except CodecError:
            return None

    def samples(self, address: str, between: tuple[int, int]) -> list[Sample]:
        """Return one channel's samples of [from, to), bus ns."""
        made: list[Sample] = []
        for one in with_headers(address, self._frames(address, between)):
            try:
                made.append(decode(one.frame, self.channel(address), one.header))
            except CodecError:
                continue
        return made

    def rows(
        self,
        address: str,
        between: tuple[int, int] | None = None,
        *,
        before: bool = False,
        brief: bool = False,
    ) -> Rows:
        """Return one channel's samples as arrays; see `ReadTimeline.rows`."""
        first_ns, last_ns = self.span
        span = between or (first_ns, last_ns + 1)
        found = with_headers(address, self._frames(address, span))
        last = self._state(span[0] - 1).get(address) if before else None
        return reading.of([last, *found] if last else found, self.channel(address).kind).in_order()

    def _envelope(
        self, channel: Channel, address: str, width_ns: int, span: tuple[int, int]
    ) -> Envelope:
        """Ask for levels, not for samples: hours of a waveform are some kB on the way here."""
        points = -(-(span[1] - span[0]) // width_ns) + 1
        made: list[Envelope] = []
        at_ns: int | None = span[0]
        while at_ns is not None and at_ns < span[1]:
            reply = self._ask(
                HistoryRequest(addresses=[address], between=(at_ns, span[1]), max_points=points)
            )
            if address in reply.levels:
                made.append(of_level(reply.levels[address]))
            elif reply.frames:  # of a device, which keeps no levels
                rows = reading.of(with_headers(address, reply.frames), channel.kind).in_order()
                made.append(envelope(rows, channel, width_ns))
            at_ns = reply.next_ns
        return join(made, max((one.width_ns for one in made), default=width_ns))

    def pictures(self, address: str, bus_ns: int) -> list[Found]:
        """Return a video's access units from the last keyframe up to `bus_ns`."""
        return with_headers(
            address, self._ask(HistoryRequest(addresses=[address], at=bus_ns)).frames
        )

    def quality(self, address: str) -> Quality | None:
        """Return how well the time of a channel's last sample is known."""
        state = self._state(self.room.clock.now() // 1_000_000_000 * 1_000_000_000)
        return reading.quality(reading.headers([state[address]])) if address in state else None

    def remarks(self) -> list[str]:
        """Return what a reader should know."""
        lost = {a: n for a, n in self.room.lost.items() if n}
        told = ["live: what was is asked of the recorder, or of the devices where there is none"]
        return told + [f"{self.short(a)}: {n} samples are missing" for a, n in lost.items()]

    def follow(self, *names: str, timeout_s: float | None = None) -> Samples:
        """Return samples as they come from now on, decoded; see `scot.bus.sync.Connection`.

        Args:
            names: channels or devices; everything when none is given.
            timeout_s: end the iteration after so long without a sample; None waits for ever.
        """
        workspace = self.catalogue.workspace
        prefixes = [n if n.startswith(f"{workspace}/") else f"{workspace}/{n}" for n in names]
        return self.room.samples(*prefixes, timeout_s=timeout_s)

    def close(self) -> None:
        """Leave the room."""
        self.room.close()

    def _ask_state(self, bus_ns: int) -> dict[str, Found]:
        """Return the last sample of every channel at or before an instant."""
        state: dict[str, Found] = {}
        ask = HistoryRequest(addresses=self.catalogue.addresses(), at=bus_ns)
        for frame in self._ask(ask).frames:
            for one in with_headers(frame.address, [frame]):
                before = state.get(one.address)
                if before is None or one[:4] >= before[:4]:
                    state[one.address] = one
        return state

    def _frames(self, address: str, between: tuple[int, int]) -> Iterator[Frame]:
        at_ns: int | None = between[0]
        while at_ns is not None and at_ns < between[1]:
            ask = HistoryRequest(
                addresses=[address], between=(at_ns, between[1]), max_bytes=_ASK_BYTES
            )
            reply = self._ask(ask)
            yield from reply.frames
            at_ns = reply.next_ns

    def _ask(self, ask: HistoryRequest) -> HistoryReply:
        """Ask the recorder; where there is none, the devices one by one."""
        try:
            return self.room.history(ask)
        except BusError:
            devices: dict[str, list[str]] = {}
            for address in ask.addresses:
                devices.setdefault(address.split("/")[1], []).append(address)
            if len(devices) < 2:
                return HistoryReply()
        frames: list[Frame] = []
        firsts: list[int] = []
        for addresses in devices.values():
            reply = self._ask(_of(ask, addresses))
            frames += reply.frames
            firsts += [] if reply.first_ns is None else [reply.first_ns]
        return HistoryReply(frames=frames, first_ns=min(firsts, default=None))


def _of(ask: HistoryRequest, addresses: list[str]) -> HistoryRequest:
    return msgspec.structs.replace(ask, addresses=addresses)
