"""The laps of a recording, see `scot.transport`: their frames, and History of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scot.codec import Frame, Header, read_header
from scot.history import HistoryReply, HistoryRequest
from scot.transport import Laps
from scot_replay.found import Found

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scot_replay.cast import Played

SECOND_NS = 1_000_000_000
MARGIN_S = 60  # bus time may run past the end while the player turns to the next lap
MOST_BACK = 4_096  # laps in which a numbered sample is looked for
_encode = msgspec.msgpack.Encoder().encode


def laps_of(recording: Played, state: Iterable[Frame]) -> Laps:
    """Return where the laps of a recording lie.

    Args:
        recording: to play.
        state: what was true at its first instant, and may be from before.
    """
    before = [read_header(frame).bus_ns for frame in state]
    origin_ns = min([recording.first_ns, *before])
    epochs = recording.epochs()
    length_ns = max(recording.last_ns - origin_ns, max(epochs, default=0) - min(epochs, default=0))
    return Laps(origin_ns=origin_ns, period_ns=(length_ns // SECOND_NS + MARGIN_S) * SECOND_NS)


class Lap(NamedTuple):
    """One time round; lap 0 is the recording as it is."""

    number: int
    laps: Laps

    @property
    def shift_ns(self) -> int:
        """How much later than recorded this lap plays."""
        return self.laps.shift_ns(self.number)

    @property
    def last(self) -> bool:
        """Whether no other may follow: bus times would become too large."""
        return not self.laps.left(self.number)

    def out(self, bus_ns: int) -> int:
        """Return when this lap plays what was recorded at `bus_ns`."""
        return bus_ns + self.shift_ns

    def frame(self, one: Found) -> Frame:
        """Return a frame as this lap sends it: bus time and epoch are later, nothing else."""
        return self._shifted(one.frame, one.header)

    def answer(self, ask: HistoryRequest, recording: Played) -> HistoryReply:
        """Answer History; this lap is the newest.

        A stretch is answered from the lap in which it begins, and goes on in the next one.
        """
        if ask.seqs is not None:
            return self._numbered(ask, recording)
        start_ns = ask.at if ask.between is None else ask.between[0]
        lap = Lap(min(self.number, self.laps.number(start_ns or 0)), self.laps)
        if ask.between is None:
            asked = msgspec.structs.replace(ask, at=(ask.at or 0) - lap.shift_ns)
            return lap._back(recording.history(asked), recording)
        ends_ns = lap.out(recording.last_ns) + 1
        inside = ask.between[0] - lap.shift_ns, min(ask.between[1], ends_ns) - lap.shift_ns
        reply = recording.history(msgspec.structs.replace(ask, between=inside))
        if reply.complete and ask.between[1] > ends_ns and lap.number < self.number:
            next_ns = self.laps.origin_ns + self.laps.period_ns  # of this lap: the next one's start
            reply = msgspec.structs.replace(reply, complete=False, next_ns=next_ns)
        return lap._back(reply, recording)

    def _numbered(self, ask: HistoryRequest, recording: Played) -> HistoryReply:
        epoch, first, last = ask.seqs or (0, 0, 0)
        for number in range(self.number, max(-1, self.number - MOST_BACK), -1):
            lap = Lap(number, self.laps)
            asked = msgspec.structs.replace(ask, seqs=(epoch - lap.shift_ns, first, last))
            reply = recording.history(asked)
            if reply.frames:
                return lap._back(reply, recording)
        return HistoryReply(first_ns=recording.first_ns)

    def _back(self, reply: HistoryReply, recording: Played) -> HistoryReply:
        first_ns = self.out(recording.first_ns)
        if not self.number:
            return msgspec.structs.replace(reply, first_ns=first_ns)
        frames = [self._shifted(frame, read_header(frame)) for frame in reply.frames]
        next_ns = None if reply.next_ns is None else self.out(reply.next_ns)
        levels = {a: level.moved(self.shift_ns) for a, level in reply.levels.items()}
        densities = {a: one.moved(self.shift_ns) for a, one in reply.densities.items()}
        return HistoryReply(
            frames=frames,
            complete=reply.complete,
            next_ns=next_ns,
            first_ns=first_ns,
            levels=levels,
            densities=densities,
        )

    def _shifted(self, frame: Frame, header: Header) -> Frame:
        if not self.number:
            return frame
        later = msgspec.structs.replace(
            header, epoch=header.epoch + self.shift_ns, bus_ns=self.out(header.bus_ns)
        )
        return frame._replace(header=_encode(later))
