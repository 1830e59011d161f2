"""A subscription delivers each sample once, flags what came late, and asks for what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from scot.bus.subscriber import MAX_HELD, Delivery, Subscription
from scot.channel import Catalogue, Channel, Device, Numeric, Video
from scot.codec import Frame, encode
from scot.gap import Missing
from scot.sample import Flags, NumericValue, Sample
from scot.timestamp import ClockState, Timestamp

HR, VIDEO = "or1/monitor/hr", "or1/scope/video"
EPOCH = 7
CATALOGUE = (
    Catalogue(workspace="or1")
    .with_device(Device(name="monitor", provider="sdc", channels={"hr": Numeric("hr")}))
    .with_device(Device(name="scope", provider="video", channels={"video": Video("video")}))
)
EMPTY = Catalogue(workspace="or1")


class Sink:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Delivery] = []

    def handle(self, batch: Sequence[Delivery]) -> None:
        self.got += batch

    def close(self) -> None:
        self.got.clear()

    @property
    def seqs(self) -> list[int]:
        return [delivery.header.seq for delivery in self.got]


class Asking(Subscription):
    """A subscription to the whole workspace that notes what it asks back."""

    def __init__(self, **how: bool) -> None:
        self.asked: list[tuple[str, Missing]] = []
        self.into = Sink()
        super().__init__(
            ["or1/"], self.into, lambda address, gap: self.asked.append((address, gap)), **how
        )


def frame(seq: int, address: str = HR, epoch: int = EPOCH) -> Frame:
    time = Timestamp(None, 1_000 + seq, 0, 0, ClockState.LOCKED)
    if address == VIDEO:
        return encode(
            Sample(address, epoch, seq, time, Flags.KEYFRAME, b"unit"), Video("video").kind
        )
    value = NumericValue(float(seq))
    return encode(Sample(address, epoch, seq, time, Flags.SIMULATED, value), Numeric("hr").kind)


def frames(*seqs: int, address: str = HR) -> list[Frame]:
    return [frame(seq, address) for seq in seqs]


def hr() -> Channel:
    channel = CATALOGUE.channel(HR)
    assert channel is not None
    return channel


def test_what_comes_in_order_is_delivered_and_nothing_is_asked() -> None:
    subscription = Asking()
    assert subscription.on_frames(frames(4, 5, 6), CATALOGUE)
    assert subscription.into.seqs == [4, 5, 6]
    assert subscription.asked == []
    sample = subscription.into.got[0].sample()
    assert (sample.value, sample.flags) == (NumericValue(4.0), Flags.SIMULATED)


def test_a_gap_is_flagged_asked_back_and_filled_once() -> None:
    subscription = Asking()
    subscription.on_frames(frames(0, 3), CATALOGUE)
    assert subscription.into.got[1].flags == Flags.SIMULATED | Flags.AFTER_GAP
    assert subscription.asked == [(HR, Missing(EPOCH, 1, 2))]
    subscription.on_frames(frames(1, 2), CATALOGUE, back=True)
    subscription.on_frames(frames(1, 2), CATALOGUE)
    assert subscription.into.seqs == [0, 3, 1, 2]
    assert subscription.into.got[2].flags == Flags.SIMULATED | Flags.BACKFILLED
    assert subscription.gaps[HR].lost == 0
    assert subscription.gaps[HR].duplicates == 2


def test_pictures_are_asked_back_only_by_who_records_them() -> None:
    viewer, recorder, neither = Asking(), Asking(fill_bulk=True), Asking(fill=False)
    for subscription in (viewer, recorder, neither):
        subscription.on_frames(frames(0, 2, address=VIDEO) + frames(0, 2), CATALOGUE)
    gap = Missing(EPOCH, 1, 1)
    assert viewer.asked == [(HR, gap)]
    assert recorder.asked == [(VIDEO, gap), (HR, gap)]
    assert neither.asked == []
    assert neither.gaps[HR].lost == neither.gaps[VIDEO].lost == 1


def test_from_the_start_means_from_seq_zero() -> None:
    subscription = Asking(from_start=True)
    subscription.on_frames(frames(3), CATALOGUE)
    assert subscription.asked == [(HR, Missing(EPOCH, 0, 2))]


def test_a_lost_tail_is_asked_back_when_heads_tell_of_it() -> None:
    subscription = Asking()
    subscription.on_frames(frames(0, 1), CATALOGUE)
    subscription.expect(HR, EPOCH, 2, hr())
    assert subscription.asked == []
    subscription.expect(HR, EPOCH, 5, hr())
    subscription.expect(HR, EPOCH, 5, hr())
    assert subscription.asked == [(HR, Missing(EPOCH, 2, 4))]


def test_a_channel_never_heard_is_missed_only_by_who_wants_all() -> None:
    live, all_of = Asking(), Asking(from_start=True)
    for subscription in (live, all_of):
        subscription.expect(HR, EPOCH, 3, hr())
        subscription.expect("or2/monitor/hr", EPOCH, 3, hr())
    assert live.asked == []
    assert all_of.asked == [(HR, Missing(EPOCH, 0, 2))]


def test_frames_ahead_of_the_catalogue_wait_for_it_in_order() -> None:
    subscription = Asking()
    assert not subscription.on_frames(frames(0, 1), EMPTY)
    assert not subscription.on_frames(frames(2), EMPTY)
    assert subscription.into.got == []
    assert subscription.release(CATALOGUE)
    assert subscription.into.seqs == [0, 1, 2]


def test_what_no_catalogue_will_ever_know_is_bounded_and_counted() -> None:
    subscription = Asking()
    ghost = frame(0)._replace(topic=b"or1/ghost/x\0")
    subscription.on_frames([ghost] * (MAX_HELD + 10), CATALOGUE)
    assert subscription.malformed == 10
    assert len(subscription._held) == MAX_HELD


def test_a_malformed_frame_is_counted_and_the_batch_goes_on() -> None:
    subscription = Asking()
    bad = frame(1)._replace(header=b"\xc0")
    subscription.on_frames([frame(0), bad, frame(1)], CATALOGUE)
    assert subscription.into.seqs == [0, 1]
    assert subscription.malformed == 1
