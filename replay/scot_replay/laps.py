"""A recording that is played again and again: each lap lies later in bus time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scot.codec import Frame, Header, read_header
from scot.history import HistoryReply, HistoryRequest
from scot_replay.found import Found

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

_encode = msgspec.msgpack.Encoder().encode


class Lap(NamedTuple):
    """One time round; lap 0 is the recording as it is.

    Attributes:
        number: from 0.
        period_ns: from the start of one lap to that of the next.
    """

    number: int
    period_ns: int

    @property
    def shift_ns(self) -> int:
        """How much later than recorded this lap plays."""
        return self.number * self.period_ns

    def out(self, bus_ns: int) -> int:
        """Return when this lap plays what was recorded at `bus_ns`."""
        return bus_ns + self.shift_ns

    def frame(self, one: Found) -> Frame:
        """Return a frame as this lap sends it: bus time and epoch are later, nothing else."""
        return self._shifted(one.frame, one.header)

    def answer(self, ask: HistoryRequest, recording: DirectoryRecording) -> HistoryReply:
        """Answer History of all laps up to this one."""
        if ask.seqs is not None:
            return self._numbered(ask, recording)
        start_ns = ask.at if ask.between is None else ask.between[0]
        number = max(0, ((start_ns or 0) - recording.first_ns) // self.period_ns)
        lap = Lap(min(self.number, number), self.period_ns)
        if ask.between is None:
            asked = msgspec.structs.replace(ask, at=(ask.at or 0) - lap.shift_ns)
            return lap._back(recording.history(asked), recording)
        ends_ns = lap.out(recording.last_ns) + 1
        inside = ask.between[0] - lap.shift_ns, min(ask.between[1], ends_ns) - lap.shift_ns
        reply = recording.history(msgspec.structs.replace(ask, between=inside))
        if reply.complete and ask.between[1] > ends_ns and lap.number < self.number:
            reply = msgspec.structs.replace(reply, complete=False, next_ns=ends_ns - lap.shift_ns)
        return lap._back(reply, recording)

    def _numbered(self, ask: HistoryRequest, recording: DirectoryRecording) -> HistoryReply:
        epoch, first, last = ask.seqs or (0, 0, 0)
        for number in range(self.number, -1, -1):
            lap = Lap(number, self.period_ns)
            asked = msgspec.structs.replace(ask, seqs=(epoch - lap.shift_ns, first, last))
            reply = recording.history(asked)
            if reply.frames:
                return lap._back(reply, recording)
        return HistoryReply(first_ns=recording.first_ns)

    def _back(self, reply: HistoryReply, recording: DirectoryRecording) -> HistoryReply:
        frames = [self._shifted(frame, read_header(frame)) for frame in reply.frames]
        next_ns = None if reply.next_ns is None else self.out(reply.next_ns)
        return msgspec.structs.replace(
            reply, frames=frames, next_ns=next_ns, first_ns=recording.first_ns
        )

    def _shifted(self, frame: Frame, header: Header) -> Frame:
        later = msgspec.structs.replace(
            header, epoch=header.epoch + self.shift_ns, bus_ns=self.out(header.bus_ns)
        )
        return frame._replace(header=_encode(later))
