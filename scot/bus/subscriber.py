"""Receiving: every frame is numbered, so every gap is known, asked back, and counted if lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from scot.channel import BULK, Catalogue, Channel
from scot.codec import Frame, Header, decode, read_known_header
from scot.errors import CodecError
from scot.gap import GapDetector, Missing, Verdict
from scot.sample import Flags, Sample, flags_of

MAX_HELD = 4_096
NEXT = Verdict.NEXT


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
        return decode(self.frame, self.channel, self.header, self.flags)


_delivery = tuple.__new__  # as `Delivery` does in twice the time


class Listen(NamedTuple):
    """Subscribe one of the SUB sockets to a topic's start; open the socket if need be."""

    socket: str
    topic: bytes


class Sink(Protocol):
    """Where deliveries end: recorder, dashboard feed, timeline."""

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries; must not block."""

    def close(self) -> None:
        """No more will come."""


class _Followed:
    """One channel of a subscription."""

    __slots__ = ("address", "bits", "channel", "detector", "flags")

    def __init__(self, address: str, channel: Channel, detector: GapDetector | None) -> None:
        self.address = address
        self.channel = channel
        self.detector = detector
        self.bits, self.flags = 0, Flags(0)  # of its last sample: they hardly ever change


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
        self._followed: dict[bytes, _Followed] = {}
        self._catalogue: Catalogue | None = None
        self._replay = False

    def on_frames(
        self, frames: Sequence[Frame], catalogue: Catalogue, *, back: bool = False
    ) -> bool:
        """Take frames in order of arrival; return False when some await a newer catalogue.

        Args:
            frames: as received.
            catalogue: the newest known.
            back: they are an answer of History.
        """
        if catalogue is not self._catalogue:
            self._catalogue = catalogue
            self._replay = catalogue.replay
            self._followed.clear()
        batch: list[Delivery] = []
        known = self._followed.get
        for frame in frames:
            followed = known(frame[0]) or self._follow(frame, catalogue)
            if followed is None:
                continue
            try:
                header = read_known_header(frame)
            except CodecError:
                self.malformed += 1
                continue
            detector = followed.detector or self._begin(followed, header)
            verdict = detector.on(header.epoch, header.seq)
            bits = header.flags
            if verdict is not NEXT or back:
                if verdict is Verdict.DUPLICATE:
                    continue
                bits |= self._marks(followed, detector, verdict, back)
            if bits != followed.bits:
                followed.bits, followed.flags = bits, flags_of(bits)
            batch.append(_delivery(Delivery, (frame, header, followed.flags, followed.channel)))
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

    def _follow(self, frame: Frame, catalogue: Catalogue) -> _Followed | None:
        """Begin to follow a channel; hold the frame back when the catalogue does not know it."""
        address = frame.address
        channel = catalogue.channel(address)
        if channel is not None:
            followed = _Followed(address, channel, self.gaps.get(address))
            self._followed[frame.topic] = followed
            return followed
        if len(self._held) < MAX_HELD:
            self._held.append(frame)
        else:
            self.malformed += 1
        return None

    def _marks(
        self, followed: _Followed, detector: GapDetector, verdict: Verdict, back: bool
    ) -> int:
        """Return the flags that say how a sample came; a new gap is reported."""
        bits = int(Flags.BACKFILLED) if back else 0
        if verdict is Verdict.AFTER_GAP:
            gap = detector.missing[-1]
            if self._replay and not gap.first:
                # A player began its next lap here: what lies before was not sent, and is no gap.
                detector.earlier.append(detector.missing.pop())
                return bits
            bits |= Flags.AFTER_GAP
            self._want(followed.address, gap, followed.channel)
        return bits

    def _begin(self, followed: _Followed, header: Header) -> GapDetector:
        start = header.epoch if self._from_start else None
        detector = self.gaps.setdefault(followed.address, GapDetector(start))
        followed.detector = detector
        return detector

    def _want(self, address: str, gap: Missing, channel: Channel) -> None:
        if self._fill_bulk or (self._fill and channel.kind not in BULK):
            self._ask(address, gap)
