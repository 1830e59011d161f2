"""What was really published, forwarded and delivered, and the promises that must hold of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scot.bus.subscriber import Delivery, Subscription
from scot.channel import BULK
from scot.codec import Frame, read_header
from scot.gap import GapDetector, Missing


class BrokenPromiseError(AssertionError):
    """The simulation found a promise that was not kept."""


class Truth:
    """Every sample of every publisher, as only the simulation can know them.

    Attributes:
        frames: by address and epoch, in order of seq.
        passed: what a broker forwarded: seqs by address and epoch.
    """

    def __init__(self) -> None:
        self.frames: dict[str, dict[int, list[Frame]]] = {}
        self.passed: dict[str, dict[int, set[int]]] = {}
        self._place: dict[tuple[bytes, bytes], tuple[str, int, int, bytes]] = {}

    def published(self, owner: str, frame: Frame) -> None:
        """A publisher made a sample; it numbers them without holes (wire format)."""
        address = frame.address
        header = read_header(frame)
        _, device, _ = address.split("/")
        if device != owner and (device, owner) != ("room", "broker"):
            raise BrokenPromiseError(f"{owner} numbered a sample of {address}")
        epochs = self.frames.setdefault(address, {})
        if header.epoch not in epochs and epochs and header.epoch <= next(reversed(epochs)):
            raise BrokenPromiseError(f"{address}: a new epoch that is not newer: {header.epoch}")
        run = epochs.setdefault(header.epoch, [])
        if header.seq != len(run):
            raise BrokenPromiseError(f"{address}: seq {header.seq} where {len(run)} comes next")
        self._place[frame.topic, frame.header] = address, header.epoch, header.seq, frame.payload
        run.append(frame)

    def place(self, frame: Frame, what: str) -> tuple[str, int, int]:
        """Return address, epoch and seq of a frame.

        Raises:
            BrokenPromiseError: nobody who may published it, or not with this content.
        """
        found = self._place.get((frame.topic, frame.header))
        if found is None or found[3] != frame.payload:
            raise BrokenPromiseError(f"{what} a sample of {frame.address} that was not its own")
        return found[:3]

    def forwarded(self, frame: Frame) -> None:
        """A broker let a frame pass."""
        address, epoch, seq = self.place(frame, "the broker forwarded")
        self.passed.setdefault(address, {}).setdefault(epoch, set()).add(seq)


class Watch:
    """A sink that keeps the promises made to it in mind: each sample once, none unstated.

    Args:
        truth: what is so.
        name: of who listens, for messages.
        then: gets each batch after it was checked.

    Attributes:
        got: delivered seqs, by address and epoch.
        reach: how far each epoch is known to go: the seq after the last.
    """

    def __init__(
        self,
        truth: Truth,
        name: str,
        then: Callable[[Sequence[Delivery]], None] | None = None,
    ) -> None:
        self.name = name
        self.got: dict[str, dict[int, set[int]]] = {}
        self.reach: dict[str, dict[int, int]] = {}
        self.bulk: set[str] = set()
        self.last_ns: dict[str, int] = {}
        self._truth = truth
        self._then = then
        self._touched: dict[str, None] = {}

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries; each is checked against the truth."""
        for delivery in batch:
            address, epoch, seq = self._truth.place(delivery.frame, f"{self.name} was given")
            got = self.got.setdefault(address, {}).setdefault(epoch, set())
            if seq in got:
                raise BrokenPromiseError(f"{self.name} got {address} {epoch}/{seq} twice")
            got.add(seq)
            if delivery.channel.kind in BULK:
                self.bulk.add(address)
            if delivery.header.bus_ns > self.last_ns.get(address, 0):
                self.last_ns[address] = delivery.header.bus_ns
            self._touched[address] = None
        if self._then is not None:
            self._then(batch)

    def close(self) -> None:
        """Nothing more comes."""

    def check(self, subscription: Subscription) -> None:
        """Compare counts of what was just touched; `check_sets` compares the sets."""
        for address in self._touched:
            detector = subscription.gaps[address]
            epoch = detector.epoch
            self.reach.setdefault(address, {})[epoch] = detector.next_seq
            got = self.got[address].get(epoch, ())
            stated = sum(m.count for m in _ranges(detector) if m.epoch == epoch)
            if len(got) + stated != detector.next_seq and not detector.given_up:
                self._differ(address, epoch, detector)
        self._touched = {}

    def check_sets(self, subscription: Subscription) -> None:
        """Delivered and stated missing together are all seqs up to where each epoch is known."""
        for address, detector in subscription.gaps.items():
            reach = self.reach.setdefault(address, {})
            reach[detector.epoch] = detector.next_seq
            if detector.given_up:
                continue
            for epoch, until in reach.items():
                got = self.got.get(address, {}).get(epoch, set())
                stated = self.stated(detector, epoch)
                if got & stated or (got | stated) != set(range(until)):
                    self._differ(address, epoch, detector)

    @staticmethod
    def stated(detector: GapDetector, epoch: int) -> set[int]:
        """Return the seqs that a detector says are missing, or were before its time."""
        return {
            seq
            for gap in _ranges(detector)
            if gap.epoch == epoch
            for seq in range(gap.first, gap.last + 1)
        }

    def _differ(self, address: str, epoch: int, detector: GapDetector) -> None:
        got = self.got.get(address, {}).get(epoch, set())
        stated = self.stated(detector, epoch)
        unsaid = sorted(set(range(detector.next_seq)) - got - stated)
        raise BrokenPromiseError(
            f"{self.name}: {address} {epoch}: {len(unsaid)} samples are neither delivered nor "
            f"stated missing ({unsaid[:5]}), {len(got & stated)} are both"
        )


def _ranges(detector: GapDetector) -> list[Missing]:
    return [*detector.missing, *detector.earlier]
