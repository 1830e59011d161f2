"""What waits for one viewer: bounded, with a policy a kind, so that a slow viewer costs nobody.

A viewer that keeps up, a few batches of jitter allowed, gets the very bytes that everybody of its
role gets. For one that does not, what waits is kept by kind (DESIGN §8):

- alarms, annotations and clinical events wait in full; beyond the bound the viewer is told to come
  back, and resumes from the newest state;
- numerics, poses, texts and images: the newest of each channel;
- waveforms and technical events: the newest stretch, and the sample after a hole says AFTER_GAP;
- video: whole groups of pictures; a viewer that falls behind goes on at the next keyframe. Of a
  video that a page shows small only the newest key picture waits, behind what it shows large.

What a page does not show does not come here (`Showing`); it is counted, not left out.

No I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

from scot.channel import Channel, Kind, Sensitivity
from scot.sample import Flags
from scot_dashboard.showing import NOTHING, Showing
from scot_dashboard.wire import samples

KEYS_WAIT_NS = 4_000_000_000  # a small picture waits behind large ones at most so long


class Policy(Enum):
    """What may be left out for a viewer that is behind."""

    KEEP = auto()
    NEWEST = auto()
    STRETCH = auto()
    PICTURES = auto()


def policy(channel: Channel) -> Policy:
    """Return how a channel waits."""
    if channel.kind is Kind.VIDEO:
        return Policy.PICTURES
    if channel.kind is Kind.WAVEFORM:
        return Policy.STRETCH
    if channel.kind in (Kind.ALARM, Kind.ANNOTATION):
        return Policy.KEEP
    if channel.kind is Kind.EVENT:
        technical = channel.sensitivity is Sensitivity.TECHNICAL
        return Policy.STRETCH if technical else Policy.KEEP
    return Policy.NEWEST


@dataclass(frozen=True, slots=True)
class Item:
    """One packed sample.

    Attributes:
        data: MessagePack of ``[address, header, payload]``; shared by all viewers.
        flags: wire and receiver's.
    """

    address: str
    policy: Policy
    flags: Flags
    bus_ns: int
    data: bytes

    def header(self) -> list[int | None]:
        """Return the header as it travels."""
        head: list[int | None] = msgspec.msgpack.decode(self.data)[1]
        return head

    def after_gap(self) -> Item:
        """Return the item flagged AFTER_GAP."""
        address, header, payload = msgspec.msgpack.decode(self.data)
        flags = self.flags | Flags.AFTER_GAP
        header[8] = int(flags)
        data = msgspec.msgpack.encode([address, header, payload])
        return Item(self.address, self.policy, flags, self.bus_ns, data)


class Batch:
    """Samples that go out together; packed once, the first time anybody needs the bytes."""

    def __init__(self, items: Sequence[Item], bus_now_ns: int) -> None:
        self.items = tuple(items)
        self.pictures = tuple(item for item in items if item.policy is Policy.PICTURES)
        self._bus_now_ns = bus_now_ns
        self._bytes: bytes | None = None

    @property
    def packed(self) -> bytes:
        """The whole message."""
        if self._bytes is None:
            self._bytes = samples(self._bus_now_ns, [item.data for item in self.items])
        return self._bytes


@dataclass(frozen=True)
class Bounds:
    """How much may wait for one viewer; more than `batches` and it counts as behind."""

    batches: int = 4
    kept: int = 2_000
    kept_bytes: int = 1 << 20
    stretch_bytes: int = 48 << 10  # a channel; 500 Hz of float32 for 24 s
    pictures_bytes: int = 2 << 20  # a channel
    picture_tail: int = 8  # pictures of an older group worth sending when a new one begins
    messages: int = 128
    message_bytes: int = 256 << 10


@dataclass
class _Stretch:
    items: deque[Item] = field(default_factory=deque)
    size: int = 0
    hole: bool = False


@dataclass
class _Pictures:
    items: deque[Item] = field(default_factory=deque)
    size: int = 0
    waiting: bool = True  # for a keyframe: nothing before it can be decoded


class Outbox:
    """Offer batches and messages; take one message at a time when the line is free.

    Attributes:
        overflowed: something that must not be left out had no room; disconnect, the page resumes.
        left_out: samples not sent, by address, since `report`.
        showing: the videos that the page shows; change it with `show`.
        unshown: of videos that it does not, by address: how many pictures were not asked for.
    """

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self.bounds = bounds
        self.overflowed = False
        self.left_out: dict[str, int] = {}
        self.showing = NOTHING
        self.unshown: dict[str, int] = {}
        self._newest_unshown: dict[str, Item] = {}  # since `report_unshown`
        self._keys_ns = 0
        self._messages: deque[tuple[str, bytes]] = deque()
        self._answers: deque[bytes] = deque()
        self._shared: deque[Batch] = deque()
        self._kept: deque[Item] = deque()
        self._kept_bytes = 0
        self._newest: dict[str, Item] = {}
        self._stretches: dict[str, _Stretch] = {}
        self._pictures: dict[str, _Pictures] = {}
        self._answer_next = False

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return not (self._messages or self._answers or self._shared or self._waiting)

    @property
    def answering(self) -> bool:
        """An answer waits; the next part of it should not be fetched yet."""
        return bool(self._answers)

    @property
    def size(self) -> int:
        """Bytes that wait, those shared with other viewers included."""
        shared = sum(len(item.data) for batch in self._shared for item in batch.items)
        return (
            shared
            + self._kept_bytes
            + sum(len(item.data) for item in self._newest.values())
            + sum(stretch.size for stretch in self._stretches.values())
            + sum(pictures.size for pictures in self._pictures.values())
            + sum(len(message) for _, message in self._messages)
            + sum(len(answer) for answer in self._answers)
        )

    @property
    def _waiting(self) -> bool:
        return bool(
            self._kept
            or self._newest
            or any(stretch.items for stretch in self._stretches.values())
            or any(pictures.items for pictures in self._pictures.values())
        )

    def say(self, message: bytes, replaces: str = "") -> None:
        """Add a message that is not samples; one that `replaces` takes an older one's place."""
        if replaces:
            for index, (key, _) in enumerate(self._messages):
                if key == replaces:
                    self._messages[index] = (key, message)
                    return
        self._messages.append((replaces, message))
        self.overflowed |= len(self._messages) > self.bounds.messages

    def answer(self, message: bytes) -> None:
        """Add a part of an answer of History or lanes; it takes turns with live samples."""
        self._answers.append(message)

    def offer(self, batch: Batch) -> None:
        """Take a batch; keep the shared bytes while few wait."""
        few = len(self._shared) < self.bounds.batches and not self._waiting
        if few and self._all_decodable(batch):
            self._shared.append(batch)
            return
        self._sort_shared()
        self._sort_in(batch)

    def take(self, bus_now_ns: int) -> bytes | None:
        """Return the next message to send, or None."""
        if self._messages:
            return self._messages.popleft()[1]
        if self._answers and (self._answer_next or not (self._shared or self._waiting)):
            self._answer_next = False
            return self._answers.popleft()
        self._answer_next = True
        if self._shared:
            return self._shared.popleft().packed
        chosen = self._choose(bus_now_ns)
        return samples(bus_now_ns, [item.data for item in chosen]) if chosen else None

    def report(self) -> dict[str, int]:
        """Return what was left out since the last report."""
        left_out, self.left_out = self.left_out, {}
        return left_out

    def show(self, showing: Showing) -> None:
        """Go by what the page shows now; forget what waits of anything else."""
        before, self.showing = self.showing, showing
        self._sort_shared()
        for address, pictures in self._pictures.items():
            passed = [i for i in pictures.items if showing.passes(address, _is_key(i))]
            self._unshow(address, len(pictures.items) - len(passed), pictures.items)
            pictures.items = deque(passed)
            pictures.size = sum(len(item.data) for item in passed)
        for address in showing.begun(before).full | (before.full - showing.full):
            self._pictures.setdefault(address, _Pictures()).waiting = True

    def pass_over(self, pictures: Sequence[Item]) -> None:
        """Count pictures of videos that this page does not show."""
        for item in pictures:
            self._unshow(item.address, 1, (item,))

    def report_unshown(self) -> dict[str, Item]:
        """Return the newest picture of each video that was not asked for since the last report."""
        newest, self._newest_unshown = self._newest_unshown, {}
        return newest

    def _unshow(self, address: str, count: int, items: Sequence[Item]) -> None:
        if count:
            self.unshown[address] = self.unshown.get(address, 0) + count
            self._newest_unshown[address] = items[-1]

    def keep_only(self, passes: frozenset[str]) -> None:
        """Forget what waits of addresses that may no longer leave."""
        self._sort_shared()
        self._kept = deque(item for item in self._kept if item.address in passes)
        self._kept_bytes = sum(len(item.data) for item in self._kept)
        self._newest = {a: item for a, item in self._newest.items() if a in passes}
        self._stretches = {a: s for a, s in self._stretches.items() if a in passes}
        self._pictures = {a: p for a, p in self._pictures.items() if a in passes}

    def clear(self) -> None:
        """Forget everything that waits: the viewer was shut out."""
        self._messages.clear()
        self._answers.clear()
        self._shared.clear()
        self.keep_only(frozenset())

    def _all_decodable(self, batch: Batch) -> bool:
        """Whether every picture of a batch can be decoded by this viewer; note those that can."""
        for item in batch.pictures:
            state = self._pictures.get(item.address)
            broken = Flags.AFTER_GAP | Flags.BACKFILLED
            if Flags.KEYFRAME not in item.flags and (
                state is None or state.waiting or item.flags & broken
            ):
                return False
            if Flags.KEYFRAME in item.flags:
                self._pictures.setdefault(item.address, _Pictures()).waiting = False
        return True

    def _sort_shared(self) -> None:
        while self._shared:
            self._sort_in(self._shared.popleft())

    def _sort_in(self, batch: Batch) -> None:
        for item in batch.items:
            if item.policy is Policy.KEEP:
                self._kept.append(item)
                self._kept_bytes += len(item.data)
            elif item.policy is Policy.NEWEST:
                self._sort_newest(item)
            elif item.policy is Policy.STRETCH:
                self._sort_stretch(item)
            else:
                self._sort_picture(item)
        bounds = self.bounds
        self.overflowed |= len(self._kept) > bounds.kept or self._kept_bytes > bounds.kept_bytes

    def _sort_newest(self, item: Item) -> None:
        waiting = self._newest.get(item.address)
        if waiting is None:
            self._newest[item.address] = item
            return
        self._leave_out(item.address, 1)
        if waiting.bus_ns <= item.bus_ns:
            self._newest[item.address] = item

    def _sort_stretch(self, item: Item) -> None:
        stretch = self._stretches.setdefault(item.address, _Stretch())
        stretch.items.append(item)
        stretch.size += len(item.data)
        while stretch.size > self.bounds.stretch_bytes and len(stretch.items) > 1:
            stretch.size -= len(stretch.items.popleft().data)
            stretch.hole = True
            self._leave_out(item.address, 1)

    def _sort_picture(self, item: Item) -> None:
        pictures = self._pictures.setdefault(item.address, _Pictures())
        if item.flags & Flags.BACKFILLED:  # a live decoder cannot go back; the page asks History
            self._leave_out(item.address, 1)
            return
        if Flags.KEYFRAME in item.flags:
            small = item.address in self.showing.keys
            if len(pictures.items) > (0 if small else self.bounds.picture_tail):
                self._drop_pictures(pictures, item.address)
            pictures.waiting = False
        elif item.flags & Flags.AFTER_GAP:
            pictures.waiting = True
        if pictures.waiting:
            self._leave_out(item.address, 1)
            return
        pictures.items.append(item)
        pictures.size += len(item.data)
        if pictures.size > self.bounds.pictures_bytes and len(pictures.items) > 1:
            self._drop_pictures(pictures, item.address)
            pictures.waiting = True

    def _drop_pictures(self, pictures: _Pictures, address: str) -> None:
        self._leave_out(address, len(pictures.items))
        pictures.items.clear()
        pictures.size = 0

    def _leave_out(self, address: str, count: int) -> None:
        if count:
            self.left_out[address] = self.left_out.get(address, 0) + count

    def _choose(self, bus_now_ns: int) -> list[Item]:
        """Take what fits into one message, the most urgent first."""
        chosen: list[Item] = list(self._kept)
        self._kept.clear()
        self._kept_bytes = 0
        chosen += self._newest.values()
        self._newest.clear()
        room = self.bounds.message_bytes - sum(len(item.data) for item in chosen)
        for stretch in self._stretches.values():
            while stretch.items and room > 0:
                item = stretch.items.popleft()
                stretch.size -= len(item.data)
                room -= len(item.data)
                chosen.append(item.after_gap() if stretch.hole else item)
                stretch.hole = False
        for pictures in self._due(bus_now_ns):
            while pictures.items and (room > 0 or not chosen):
                item = pictures.items.popleft()
                pictures.size -= len(item.data)
                room -= len(item.data)
                chosen.append(item)
        return chosen

    def _due(self, bus_now_ns: int) -> list[_Pictures]:
        """Return the videos whose pictures may go: small ones when no large one waits, or has."""
        small = self.showing.keys
        large = [p for address, p in self._pictures.items() if p.items and address not in small]
        if large and bus_now_ns - self._keys_ns < KEYS_WAIT_NS:
            return large
        self._keys_ns = bus_now_ns
        return large + [p for address, p in self._pictures.items() if address in small]


def _is_key(item: Item) -> bool:
    return Flags.KEYFRAME in item.flags
