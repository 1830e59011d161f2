"""The gap detector against a model that keeps every number: no loss is missed or invented."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from scot.gap import GapDetector, Verdict

Number = tuple[int, int]  # epoch, seq


@dataclass
class Model:
    """What a receiver can know, in sets."""

    epoch: int = -1
    start: dict[int, int] = field(default_factory=dict)
    head: dict[int, int] = field(default_factory=dict)
    got: set[Number] = field(default_factory=set)

    @property
    def missing(self) -> set[Number]:
        return {
            (epoch, seq)
            for epoch, head in self.head.items()
            for seq in range(self.start[epoch], head)
        } - self.got

    def before_we_came(self, epoch: int, seq: int) -> bool:
        known = epoch in self.start and seq < self.start[epoch]
        return known and (epoch, seq) not in self.got

    def on(self, epoch: int, seq: int) -> Verdict:
        if (epoch, seq) in self.missing or self.before_we_came(epoch, seq):
            self.got.add((epoch, seq))
            return Verdict.FILLED
        if epoch < self.epoch or (epoch == self.epoch and seq < self.head[epoch]):
            return Verdict.DUPLICATE
        verdict = Verdict.NEXT
        if epoch > self.epoch:
            self.start[epoch] = seq if self.epoch < 0 else 0
            self.head[epoch], self.epoch = self.start[epoch], epoch
            verdict = Verdict.FIRST
        if seq > self.head[epoch]:
            verdict = Verdict.AFTER_GAP
        self.head[epoch] = seq + 1
        self.got.add((epoch, seq))
        return verdict

    def expect(self, epoch: int, next_seq: int) -> None:
        if epoch > self.epoch:
            self.start[epoch], self.head[epoch], self.epoch = 0, 0, epoch
        if epoch == self.epoch:
            self.head[epoch] = max(self.head[epoch], next_seq)


def numbers_of(detector: GapDetector) -> set[Number]:
    """The missing numbers, one by one; fails when two ranges overlap."""
    listed = [(m.epoch, s) for m in detector.missing for s in range(m.first, m.last + 1)]
    assert len(set(listed)) == len(listed)
    return set(listed)


ARRIVAL = st.tuples(st.just("on"), st.integers(0, 3), st.integers(0, 12))
HEAD = st.tuples(st.just("expect"), st.integers(0, 3), st.integers(0, 14))


@settings(max_examples=300, deadline=None)
@given(st.lists(ARRIVAL | HEAD, max_size=60))
def test_any_order_of_arrivals_and_heads_is_judged_as_the_model_does(
    events: list[tuple[str, int, int]],
) -> None:
    detector, model = GapDetector(), Model()
    for what, epoch, number in events:
        if what == "on":
            assert detector.on(epoch, number) is model.on(epoch, number)
        elif model.epoch >= 0:  # heads are only asked about channels that have been seen
            detector.expect(epoch, number)
            model.expect(epoch, number)
        assert numbers_of(detector) == model.missing
        assert detector.lost == len(model.missing)
    assert detector.received == len(model.got)
    arrivals = sum(what == "on" for what, _, _ in events)
    assert detector.duplicates == arrivals - len(model.got)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_through_loss_duplication_reordering_and_restarts_the_lost_are_the_lost(
    data: st.DataObject,
) -> None:
    """A link that loses, repeats and delays; each life of the publisher ends with its heads."""
    lives = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    sent = [(epoch, seq) for epoch, count in enumerate(lives) for seq in range(count)]
    fate = data.draw(
        st.lists(
            st.tuples(st.integers(0, 2), st.floats(0, 12), st.floats(0, 12)),
            min_size=len(sent),
            max_size=len(sent),
        )
    )
    wire: list[tuple[float, str, Number]] = []
    for place, (number, (copies, delay, again)) in enumerate(zip(sent, fate, strict=True)):
        wire += [(place + late, "on", number) for late in (delay, again)[:copies]]
    for epoch, count in enumerate(lives):
        wire.append((sum(lives[: epoch + 1]) - 0.5, "expect", (epoch, count)))
    detector = GapDetector(from_epoch=0)
    for _, what, (epoch, count) in sorted(wire):
        if what == "on":
            detector.on(epoch, count)
        else:
            detector.expect(epoch, count)
    lost = {number for number, (copies, _, _) in zip(sent, fate, strict=True) if copies == 0}
    assert numbers_of(detector) == lost
    assert detector.lost == len(lost)
    assert detector.received == len(sent) - len(lost)
