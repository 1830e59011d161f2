"""What a slow viewer is left out of, and what it never is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.bus.subscriber import Delivery
from scot.sample import Flags
from scot_dashboard.feed import pack
from scot_dashboard.outbox import Batch, Bounds, Outbox
from scot_dashboard.showing import NOTHING, Showing
from tests.unit.gateway_room import START_NS, alarm, delivery, ecg, hr, note, picture, pose

VIDEO, ECG, HR = "or1/scope/video", "or1/monitor/ecg_ii", "or1/monitor/hr"
SMALL = "or1/table/video"


def batch(*deliveries: Delivery) -> Batch:
    return Batch([pack(one, one.frame.payload) for one in deliveries], START_NS)


def entries(data: bytes | None) -> list[tuple[str, int, Flags]]:
    """Address, seq and flags of each sample of a message."""
    assert data is not None
    name, _, samples = msgpack.unpackb(data)
    assert name == "samples"
    return [(address, header[2], Flags(header[8])) for address, header, _ in samples]


def drain(outbox: Outbox) -> list[tuple[str, int, Flags]]:
    found = []
    while (data := outbox.take(START_NS)) is not None:
        found += entries(data)
    return found


def seqs(found: Iterable[tuple[str, int, Flags]], address: str) -> list[int]:
    return [seq for where, seq, _ in found if where == address]


def test_viewers_that_keep_up_get_the_very_same_bytes() -> None:
    outboxes = [Outbox() for _ in range(3)]
    for number in range(5):
        shared = batch(hr(number), ecg(number), picture(number))
        for outbox in outboxes:
            outbox.offer(shared)
        taken = [outbox.take(START_NS) for outbox in outboxes]
        assert all(data is shared.packed for data in taken)
        assert all(outbox.empty and not outbox.left_out for outbox in outboxes)


def test_a_few_batches_of_jitter_leave_nothing_out_and_are_not_packed_again() -> None:
    outbox = Outbox()
    shared = [batch(pose(number), picture(number)) for number in range(Bounds().batches)]
    for one in shared:
        outbox.offer(one)
    assert [outbox.take(START_NS) for _ in shared] == [one.packed for one in shared]
    assert outbox.report() == {}
    for number in range(Bounds().batches + 1):
        outbox.offer(batch(pose(number), picture(number)))
    found = drain(outbox)
    assert seqs(found, "or1/tracker/probe") == [Bounds().batches]
    assert seqs(found, VIDEO) == list(range(Bounds().batches + 1))


def test_numerics_and_poses_of_a_slow_viewer_are_the_newest() -> None:
    outbox = Outbox()
    for number in range(40):
        outbox.offer(batch(hr(number), pose(number)))
    found = drain(outbox)
    assert seqs(found, HR) == [39]
    assert seqs(found, "or1/tracker/probe") == [39]
    assert outbox.report() == {HR: 39, "or1/tracker/probe": 39}
    assert outbox.report() == {}


def test_an_older_numeric_that_comes_late_never_replaces_a_newer() -> None:
    outbox = Outbox(Bounds(batches=0))
    outbox.offer(batch(hr(7)))
    outbox.offer(batch(hr(3, own=Flags.BACKFILLED)))
    assert seqs(drain(outbox), HR) == [7]


def test_alarms_and_notes_of_a_slow_viewer_all_wait_in_order_and_go_first() -> None:
    outbox = Outbox()
    for number in range(200):
        outbox.offer(batch(ecg(number), alarm(number, text=f"word {number}"), note(number)))
    assert not outbox.overflowed
    first = entries(outbox.take(START_NS))
    assert seqs(first, "or1/monitor/alarms") == list(range(200))
    assert seqs(first, "or1/consult/notes") == list(range(200))
    assert first[0][0] == "or1/monitor/alarms"


def test_alarms_beyond_the_bound_end_the_viewer_instead_of_being_dropped() -> None:
    outbox = Outbox(Bounds(kept=10))
    for number in range(10):
        outbox.offer(batch(alarm(number)))
        assert not outbox.overflowed
    outbox.offer(batch(alarm(10)))
    assert outbox.overflowed
    outbox = Outbox(Bounds(batches=1, kept_bytes=500))
    outbox.offer(batch(alarm(0, text="x" * 300)))
    outbox.offer(batch(alarm(1, text="x" * 300)))
    assert outbox.overflowed


def test_a_hole_in_a_waveform_is_marked_once_at_its_end() -> None:
    outbox = Outbox(Bounds(stretch_bytes=1_000))
    for number in range(50):
        outbox.offer(batch(ecg(number)))
    found = drain(outbox)
    kept = seqs(found, ECG)
    assert kept == list(range(50 - len(kept), 50))
    assert 1 < len(kept) < 50
    assert [Flags.AFTER_GAP in flags for _, _, flags in found] == [True] + [False] * (len(kept) - 1)
    assert outbox.report() == {ECG: 50 - len(kept)}
    outbox.offer(batch(ecg(50)))
    assert entries(outbox.take(START_NS)) == [(ECG, 50, Flags(0))]


def test_a_block_larger_than_the_bound_still_goes() -> None:
    outbox = Outbox(Bounds(batches=0, stretch_bytes=100))
    outbox.offer(batch(ecg(0, count=500)))
    assert seqs(drain(outbox), ECG) == [0]


def test_clinical_events_wait_in_full_and_technical_ones_do_not() -> None:
    outbox = Outbox(Bounds(stretch_bytes=300))
    for number in range(20):
        outbox.offer(batch(delivery("or1/monitor/health", {"state": "running"}, number)))
    found = seqs(drain(outbox), "or1/monitor/health")
    assert 0 < len(found) < 20
    assert found[-1] == 19


def test_video_begins_at_a_keyframe_and_after_a_drop_goes_on_at_one() -> None:
    outbox = Outbox(Bounds(pictures_bytes=8_000))
    outbox.offer(batch(picture(10)))
    assert outbox.take(START_NS) is None  # no keyframe yet: nothing could be decoded
    for number in range(25, 25 + 3):
        outbox.offer(batch(picture(number)))
    assert seqs(drain(outbox), VIDEO) == [25, 26, 27]
    for number in range(28, 60):  # nobody takes: the group outgrows its bound
        outbox.offer(batch(picture(number)))
    assert seqs(drain(outbox), VIDEO) == []  # half a group would end in pictures of nothing
    assert outbox.report() == {VIDEO: 1 + 32}
    for number in range(60, 80):
        outbox.offer(batch(picture(number)))
    assert seqs(drain(outbox), VIDEO)[0] == 75


def test_a_viewer_that_is_behind_is_given_the_newest_group() -> None:
    outbox = Outbox()
    for number in range(25 * 4 + 6):
        outbox.offer(batch(picture(number)))
    found = drain(outbox)
    assert seqs(found, VIDEO) == list(range(100, 106))
    assert outbox.report() == {VIDEO: 100}


def test_a_short_wait_across_a_keyframe_loses_nothing() -> None:
    outbox = Outbox()
    outbox.offer(batch(picture(0)))
    assert seqs(drain(outbox), VIDEO) == [0]
    for number in range(20, 28):
        outbox.offer(batch(picture(number)))
    assert seqs(drain(outbox), VIDEO) == list(range(20, 28))


def test_a_picture_whose_reference_is_lost_waits_for_a_keyframe() -> None:
    outbox = Outbox()
    outbox.offer(batch(picture(0)))
    assert seqs(drain(outbox), VIDEO) == [0]
    outbox.offer(batch(picture(3, own=Flags.AFTER_GAP)))
    outbox.offer(batch(picture(4)))
    assert outbox.take(START_NS) is None
    outbox.offer(batch(picture(25)))
    assert seqs(drain(outbox), VIDEO) == [25]


def test_pictures_that_came_back_from_history_never_go_live() -> None:
    outbox = Outbox()
    outbox.offer(batch(picture(0)))
    outbox.take(START_NS)
    outbox.offer(batch(picture(2, own=Flags.BACKFILLED), hr(2)))
    found = drain(outbox)
    assert seqs(found, VIDEO) == []
    assert seqs(found, HR) == [2]


def test_messages_come_before_samples_and_answers_take_turns_with_them() -> None:
    outbox = Outbox()
    outbox.answer(b"answer 1")
    outbox.answer(b"answer 2")
    outbox.say(b"clock")
    outbox.offer(batch(hr(1)))
    taken = [outbox.take(START_NS)]
    taken.append(outbox.take(START_NS))
    outbox.offer(batch(hr(2)))
    taken += [outbox.take(START_NS) for _ in range(3)]
    outbox.offer(batch(hr(3)))
    taken.append(outbox.take(START_NS))
    assert taken[0] == b"clock"
    assert entries(taken[1]) == [(HR, 1, Flags(0))]
    assert taken[2] == b"answer 1"
    assert entries(taken[3]) == [(HR, 2, Flags(0))]
    assert taken[4] == b"answer 2"
    assert entries(taken[5]) == [(HR, 3, Flags(0))]


def test_a_newer_list_takes_the_place_of_one_that_waits() -> None:
    outbox = Outbox()
    outbox.say(b"people 1", "people")
    outbox.say(b"clock")
    outbox.say(b"people 2", "people")
    assert [outbox.take(START_NS) for _ in range(3)] == [b"people 2", b"clock", None]


def test_messages_nobody_reads_end_the_viewer() -> None:
    outbox = Outbox(Bounds(messages=20))
    for _ in range(21):
        outbox.say(b"clock")
    assert outbox.overflowed


def test_one_message_stays_small_so_that_an_alarm_can_overtake() -> None:
    outbox = Outbox(Bounds(message_bytes=10_000))
    outbox.offer(batch(hr(0)))
    for number in range(100):
        outbox.offer(batch(ecg(number, count=250), picture(number, size=3_000, group=1_000)))
    first = outbox.take(START_NS)
    assert first is not None
    assert len(first) < 10_000 + 4_000
    outbox.offer(batch(alarm(0)))
    assert entries(outbox.take(START_NS))[0][0] == "or1/monitor/alarms"


def test_who_is_shut_out_gets_nothing_that_waited() -> None:
    outbox = Outbox()
    outbox.say(b"clock")
    outbox.answer(b"history")
    for number in range(3):
        outbox.offer(batch(hr(number), picture(number), alarm(number)))
    outbox.clear()
    assert outbox.take(START_NS) is None
    assert outbox.empty
    assert outbox.size == 0


def test_what_may_no_longer_leave_is_taken_out_of_what_waits() -> None:
    outbox = Outbox()
    outbox.offer(batch(hr(1), ecg(1), picture(0), alarm(1)))
    outbox.keep_only(frozenset({HR}))
    assert drain(outbox) == [(HR, 1, Flags(0))]


def test_a_viewer_that_never_reads_stays_bounded() -> None:
    bounds = Bounds()
    outbox = Outbox(bounds)
    worst = 0
    for number in range(25 * 120):
        outbox.offer(
            batch(hr(number), pose(number), ecg(number, count=100), picture(number, size=20_000))
        )
        worst = max(worst, outbox.size)
    assert not outbox.overflowed
    assert worst < bounds.pictures_bytes + bounds.stretch_bytes + 50_000


_STEPS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(["take", "keep", "keep", "keep"])), max_size=80
)


@settings(deadline=None)
@given(_STEPS, st.integers(2, 9))
def test_whatever_the_pace_pictures_decode_alarms_are_whole_and_counts_add_up(
    steps: list[tuple[int, str]], group: int
) -> None:
    bounds = Bounds(batches=2, stretch_bytes=400, pictures_bytes=6_000, picture_tail=2)
    outbox = Outbox(bounds)
    offered: dict[str, int] = {}
    found: list[tuple[str, int, Flags]] = []
    number = 0
    for many, step in steps:
        for _ in range(many):
            one = batch(hr(number), ecg(number), alarm(number), picture(number, group=group))
            for item in one.items:
                offered[item.address] = offered.get(item.address, 0) + 1
            outbox.offer(one)
            number += 1
        if step == "take" and (data := outbox.take(START_NS)) is not None:
            found += entries(data)
    found += drain(outbox)
    assert seqs(found, "or1/monitor/alarms") == list(range(number))
    last = None
    for seq in seqs(found, VIDEO):  # each is a keyframe or follows the one before it
        assert seq % group == 0 or seq - 1 == last
        last = seq
    for address in (HR, ECG):
        assert seqs(found, address) == sorted(set(seqs(found, address)))
    sent: dict[str, Any] = {address: len(seqs(found, address)) for address in offered}
    left_out = outbox.report()
    assert {a: sent[a] + left_out.get(a, 0) for a in offered} == offered


def test_small_pictures_wait_behind_large_ones_on_a_poor_line_but_not_for_ever() -> None:
    outbox = Outbox(Bounds(batches=0, message_bytes=1_000))
    outbox.show(Showing(frozenset({VIDEO}), frozenset({SMALL})))
    first_small: dict[int, int] = {}
    for second in range(12):
        outbox.offer(batch(picture(second, size=900, group=1), thumb(second)))
        while (data := outbox.take(START_NS + second * 10**9)) is not None:
            for address, seq, _ in entries(data):
                if address == SMALL:
                    first_small[seq] = second
            if len(outbox._pictures[VIDEO].items) <= 1:
                break  # the line takes no more in this second
    assert next(iter(first_small)) == 0
    waits = [b - a for a, b in zip(first_small.values(), [*first_small.values()][1:], strict=False)]
    assert waits
    assert max(waits) <= 5
    assert all(seq == second for seq, second in first_small.items()), "always the newest"


def thumb(seq: int) -> Delivery:
    """A key picture of another camera."""
    one = picture(seq, group=1)
    return one._replace(frame=one.frame._replace(topic=SMALL.encode() + b"\0"))


def test_what_waits_of_a_video_that_is_no_longer_shown_leaves_the_line_at_once() -> None:
    outbox = Outbox(Bounds(batches=0))
    outbox.show(Showing(full=frozenset({VIDEO})))
    for number in range(20):
        outbox.offer(batch(hr(number), picture(number, size=10_000)))
    outbox.show(NOTHING)
    assert outbox.size < 1_000
    assert seqs(drain(outbox), VIDEO) == []
    assert outbox.unshown == {VIDEO: 20}
    assert outbox.report() == {HR: 19}
