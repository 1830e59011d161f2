"""Of each channel the newest: once, in order, while the background delivers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from scot.bus.samples import Samples
from scot.bus.subscriber import Delivery
from scot.channel import Numeric
from scot.codec import write
from scot.sample import Flags, NumericValue, Sample
from scot.timestamp import ClockState, Timestamp

BATCHES = 4_000
RATE = Numeric("hr")
TIME = Timestamp(None, 1, None, None, ClockState.LOCKED)


def deliveries(seq: int) -> list[Delivery]:
    made = []
    for name in "abcdefgh":
        sample = Sample(f"or1/monitor/{name}", 1, seq, TIME, Flags(0), NumericValue(float(seq)))
        made.append(Delivery(*write(sample, RATE.kind), Flags(0), RATE))
    return made


class Background:
    """A connection whose samples come from a thread of its own, as fast as they can."""

    def __init__(self) -> None:
        self.batches = [deliveries(seq) for seq in range(BATCHES)]
        self.came = threading.Condition()

    def deliver(self, samples: Samples) -> None:
        for batch in self.batches:
            samples.handle(batch)
            with self.came:
                self.came.notify()
        samples.close()
        with self.came:
            self.came.notify()

    def look(self) -> None:
        """Others do."""

    def wait(self, seen: Callable[[], bool], timeout_s: float | None = None) -> bool:
        with self.came:
            return self.came.wait_for(seen, timeout_s)


def test_no_sample_is_given_twice_while_the_background_brings_newer_ones() -> None:
    room = Background()
    samples = Samples(room, 10.0, threading.Lock(), newest=True)
    thread = threading.Thread(target=room.deliver, args=[samples])
    thread.start()
    given: dict[str, list[int]] = {}
    for sample in samples:
        given.setdefault(sample.address, []).append(sample.seq)
    thread.join()
    assert len(given) == 8
    for seqs in given.values():
        assert seqs == sorted(set(seqs))
        assert seqs[-1] == BATCHES - 1
    assert sum(map(len, given.values())) + samples.dropped == 8 * BATCHES
