"""Receiving: every frame is numbered, so every gap is known, asked back, and counted if lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from scot.channel import BULK, Catalogue, Channel
from scot.codec import Frame, Header, decode, read_header
from scot.errors import CodecError
from scot.gap import GapDetector, Missing, Verdict
from scot.sample import Flags, Sample

MAX_HELD = 4_096


class Delivery(NamedTuple):
    """One frame as a sink gets it; `sample` decodes it.

    Attributes:
        flags: those that travelled, and the receiver's BACKFILLED and AFTER_GAP.
    """

    frame: Frame
    header: Header
    flags: Flags
    channel: Channel

    def sample(self) -> Sample:
        """Decode.

        Raises:
            CodecError: the payload is not of the channel's kind.
        """
        sample = decode(self.frame, self.channel, self.header)
        return Sample(
            sample.address, sample.epoch, sample.seq, sample.time, self.flags, sample.value
        )


class Sink(Protocol):
    """Where deliveries end: recorder, dashboard feed, timeline."""

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries; must not block."""

    def close(self) -> None:
        """No more will come."""


class Subscription:
    """One sink's view of the bus. Sans-IO: frames in, deliveries out, gaps reported.

    Args:
        prefixes: addresses, or starts of addresses, it takes.
        sink: gets the deliveries.
        fill: report gaps of signals, to be asked back.
        fill_bulk: report gaps of video and images too.
        from_start: what was published before we came is a gap too.
    """

    def __init__(
        self,
        prefixes: Sequence[str],
        sink: Sink,
        ask: Callable[[str, Missing], None],
        *,
        fill: bool = True,
        fill_bulk: bool = False,
        from_start: bool = False,
    ) -> None:
        self.prefixes = tuple(prefixes)
        self.sink = sink
        self.malformed = 0
        self.gaps: dict[str, GapDetector] = {}
        self._ask = ask
        self._fill = fill
        self._fill_bulk = fill_bulk
        self._from_start = from_start
        self._held: list[Frame] = []

    def on_frames(
        self, frames: Sequence[Frame], catalogue: Catalogue, *, back: bool = False
    ) -> bool:
        """Take frames in order of arrival; return False when some await a newer catalogue.

        Args:
            frames: as received.
            catalogue: the newest known.
            back: they are an answer of History.
        """
        batch: list[Delivery] = []
        for frame in frames:
            channel = catalogue.channel(frame.address)
            if channel is None:
                if len(self._held) < MAX_HELD:
                    self._held.append(frame)
                else:
                    self.malformed += 1
                continue
            delivery = self._judge(frame, channel, back)
            if delivery is not None:
                batch.append(delivery)
        if batch:
            self.sink.handle(batch)
        return not self._held

    def release(self, catalogue: Catalogue) -> bool:
        """Try held frames again with a newer catalogue."""
        held, self._held = self._held, []
        return self.on_frames(held, catalogue)

    def expect(self, address: str, epoch: int, next_seq: int, channel: Channel) -> None:
        """Learn from a publisher's health how far a channel has come; ask for a lost tail."""
        if not address.startswith(self.prefixes):
            return
        detector = self.gaps.get(address)
        if detector is None:
            if not self._from_start:
                return
            detector = self.gaps[address] = GapDetector(epoch)
        tail = detector.expect(epoch, next_seq)
        if tail is not None:
            self._want(address, tail, channel)

    def _judge(self, frame: Frame, channel: Channel, back: bool) -> Delivery | None:
        try:
            header = read_header(frame)
        except CodecError:
            self.malformed += 1
            return None
        address = frame.address
        detector = self.gaps.get(address)
        if detector is None:
            start = header.epoch if self._from_start else None
            detector = self.gaps[address] = GapDetector(start)
        verdict = detector.on(header.epoch, header.seq)
        flags = Flags(header.flags)
        if verdict is Verdict.DUPLICATE:
            return None
        if verdict is Verdict.AFTER_GAP:
            flags |= Flags.AFTER_GAP
            self._want(address, detector.missing[-1], channel)
        if back:
            flags |= Flags.BACKFILLED
        return Delivery(frame, header, flags, channel)

    def _want(self, address: str, gap: Missing, channel: Channel) -> None:
        if self._fill_bulk or (self._fill and channel.kind not in BULK):
            self._ask(address, gap)
