"""What is not live, asked from History: whole answers, in pages, whoever holds the samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from scot.bus.connection import Connection
from scot.bus.subscriber import Delivery
from scot.codec import Frame, read_header
from scot.errors import BusError, BusTimeoutError, CodecError
from scot.history import Density, HistoryReply, HistoryRequest, Level
from scot.sample import Flags
from scot_dashboard.recorded import Recorded

PAGE_BYTES = 1 << 20
STATE_BYTES = 8 << 20
ANSWER_BYTES = 32 << 20
TIMEOUT_S = 6.0
NONE: Mapping[str, Any] = MappingProxyType({})
PUBLISHER_S = 3.0  # one that is gone must not keep the others' answers


class Page(NamedTuple):
    """A part of an answer; `next_ns` says where to ask again when the limit was reached."""

    deliveries: list[Delivery]
    next_ns: int | None
    levels: Mapping[str, Level] = NONE
    densities: Mapping[str, Density] = NONE


class Archive:
    """Asks the recorder or player; without one, each publisher for its last minutes.

    Attributes:
        first_ns: the oldest bus time that anybody said to hold; None until somebody did.
    """

    def __init__(self, connection: Connection, time: Recorded | None = None) -> None:
        self.connection = connection
        self.time = time or Recorded(connection)
        self.first_ns: int | None = None

    async def at(self, addresses: list[str], bus_ns: int) -> list[Delivery]:
        """Return the state of channels at an instant; of video from the last keyframe on.

        Raises:
            BusError: nobody holds it, or nobody answered in time.
        """
        if not addresses:
            return []
        ask = HistoryRequest(addresses=addresses, at=bus_ns, max_bytes=STATE_BYTES)
        return self._deliveries((await self._ask(ask)).frames)

    async def between(
        self,
        addresses: list[str],
        from_ns: int,
        to_ns: int,
        limit: int = ANSWER_BYTES,
        *,
        max_points: int = 0,
        density_ns: int = 0,
    ) -> AsyncIterator[Page]:
        """Yield the samples of [from_ns, to_ns) in pages of about a megabyte.

        With `max_points` or `density_ns` the pages of a recorder's or a player's answer carry
        what `scot.history.HistoryRequest` says instead; those of publishers are samples.

        Raises:
            BusError: nobody holds it, or nobody answered in time.
        """
        sent = 0
        while addresses and from_ns < to_ns:
            ask = HistoryRequest(
                addresses=addresses,
                between=(from_ns, to_ns),
                max_bytes=PAGE_BYTES,
                max_points=max_points,
                density_ns=density_ns,
            )
            reply = await self._ask(ask)
            sent += sum(len(frame.payload) for frame in reply.frames)
            more = not reply.complete and reply.next_ns is not None
            if more and reply.next_ns is not None:
                from_ns = max(reply.next_ns, from_ns + 1)
            over = more and sent >= limit
            next_ns = from_ns if over else None
            yield Page(self._deliveries(reply.frames), next_ns, reply.levels, reply.densities)
            if over or not more:
                return

    def _deliveries(self, frames: Iterable[Frame]) -> list[Delivery]:
        found = []
        for frame in frames:
            channel = self.connection.catalogue.channel(frame.address)
            try:
                header = read_header(frame)
            except CodecError:
                continue
            if channel is not None:
                one = Delivery(frame, header, Flags(header.flags), channel)
                found.append(self.time.back(one))
        return found

    async def _ask(self, ask: HistoryRequest) -> HistoryReply:
        ask = self.time.ask(ask)
        try:
            reply = await self.connection.history(ask, TIMEOUT_S)
        except BusTimeoutError:
            raise
        except BusError:
            reply = await self._ask_each(ask)
        reply = self.time.answered(reply, ask)
        if reply.first_ns is not None:
            self.first_ns = min(self.first_ns or reply.first_ns, reply.first_ns)
        return reply

    async def _ask_each(self, ask: HistoryRequest) -> HistoryReply:
        """Ask each device's publisher; leave out those that are gone, unless all are.

        Raises:
            BusError: nobody answered.
        """
        groups: dict[str, list[str]] = {}
        for address in ask.addresses:
            groups.setdefault(address.split("/")[1], []).append(address)
        parts = [msgspec.structs.replace(ask, addresses=group) for group in groups.values()]
        results = await asyncio.gather(
            *(self.connection.history(part, PUBLISHER_S) for part in parts), return_exceptions=True
        )
        replies: list[HistoryReply] = []
        failure: BaseException | None = None
        for result in results:
            if isinstance(result, HistoryReply):
                replies.append(result)
            elif isinstance(result, BusError):
                failure = result
            else:
                raise result
        if not replies and failure is not None:
            raise failure
        return merge(replies)


def merge(replies: list[HistoryReply]) -> HistoryReply:
    """Return several holders' answers as one, complete up to where the first was cut."""
    cuts = [r.next_ns for r in replies if not r.complete and r.next_ns is not None]
    cut_ns = min(cuts, default=None)
    timed = sorted(
        ((read_header(frame).bus_ns, frame) for reply in replies for frame in reply.frames),
        key=lambda pair: pair[0],
    )
    frames = [frame for bus_ns, frame in timed if cut_ns is None or bus_ns < cut_ns]
    firsts = [reply.first_ns for reply in replies if reply.first_ns is not None]
    return HistoryReply(
        frames=frames,
        complete=cut_ns is None,
        next_ns=cut_ns,
        first_ns=min(firsts, default=None),
    )
