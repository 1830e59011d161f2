"""When the disk has little left, video goes first; it is said, and it comes back by itself."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from scot.codec import Frame, read_header
from scot.sample import Flags
from scot_replay.budget import VIDEO_FIRST
from scot_replay.disk import File
from scot_replay.layout import Manifest
from scot_replay.losses import Loss
from scot_replay.open_journal import Arrival, OpenJournal
from scot_replay.parts import JournalPart
from scot_replay.sim.storage import SimulatedDisk
from scot_replay.vigil import filling
from tests.golden.recording_frames import EPOCH, START_NS, S, case, catalogue

NAME = "journal-1.scotj"
FRAMES = case(12.0)
KNOWN = catalogue()
VIDEO = "or1/scope/video"
MB = 1 << 20


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk(Random(1))


@pytest.fixture
def journal(disk: SimulatedDisk) -> OpenJournal:
    return OpenJournal(disk, Manifest(), (START_NS, KNOWN), 300.0, lambda part: None, 1, now_ns=0)


def arrival(frame: Frame, flags: Flags = Flags(0)) -> Arrival:  # noqa: B008
    channel = KNOWN.channel(frame.address)
    assert channel is not None
    return Arrival(frame, read_header(frame), channel.kind, flags)


def drive(journal: OpenJournal, frames: list[Frame]) -> None:
    """Hand frames over at their time, flush each 100 ms and force down each second."""
    flushed = 0
    for frame in frames:
        now_ns = read_header(frame).bus_ns - START_NS
        while now_ns - flushed >= S // 10:
            flushed += S // 10
            journal.flush(flushed)
            journal.measure(flushed)
            force(journal)
        journal.put([arrival(frame)])
    journal.flush(flushed + S)


def force(journal: OpenJournal) -> None:
    file: File | None = journal.begin_sync()
    if file is not None:
        file.sync()
        journal.end_sync()


def reopened(disk: SimulatedDisk) -> JournalPart:
    return JournalPart.open(disk.path / NAME, 1, disk.open(NAME))


def seqs(part: JournalPart, address: str) -> list[int]:
    entries = part.entries(address)
    return sorted(entries["seq"].tolist())


def test_video_is_given_up_first_said_with_its_interval_and_begins_again_at_a_keyframe(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    third, two_thirds = START_NS + 4 * S, START_NS + 8 * S
    drive(journal, [f for f in FRAMES if read_header(f).bus_ns < third])
    assert not journal.facts().sparing
    disk.capacity = 40 * MB  # less than the floor
    middle = [f for f in FRAMES if third <= read_header(f).bus_ns < two_thirds]
    journal.measure(5 * S)
    for frame in middle:
        journal.put([arrival(frame)])
    journal.flush(9 * S)
    facts = journal.facts()
    assert facts.sparing
    assert facts.lost == {}
    assert set(facts.spared) == {VIDEO}
    disk.capacity = 1 << 40
    journal.measure(10 * S)
    assert not journal.facts().sparing
    rest = [f for f in FRAMES if read_header(f).bus_ns >= two_thirds]
    rest = [f for f in rest if not (f.address == VIDEO and read_header(f).seq == 200)]  # a keyframe
    for frame in rest:
        journal.put([arrival(frame)])
    journal.flush(11 * S)
    journal.finish(12 * S)
    part = reopened(disk)
    for address in {f.address for f in FRAMES}:
        expected = sorted(read_header(f).seq for f in FRAMES if f.address == address)
        if address == VIDEO:  # 4 s to 8 s, and on to the next keyframe that came
            expected = [*range(100), *range(225, 300)]
        assert seqs(part, address) == expected, address
    said = [msgspec.convert(losses[VIDEO], Loss) for losses in part.losses]
    assert {loss.why for loss in said} == {VIDEO_FIRST}
    assert sum(loss.count for loss in said) == 124  # 200 never came
    assert min(loss.first_ns for loss in said) == third
    assert max(loss.last_ns for loss in said) == START_NS + 9 * S - S // 25


def test_ten_minutes_before_the_disk_is_full_it_alarms_and_three_before_video_goes(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    drive(journal, FRAMES)
    rate = journal.facts().offered_per_s
    assert rate > 20_000
    assert not filling(journal.facts())
    used = disk.capacity - disk.left()
    for left_s, alarm, spared in ((700, False, False), (500, True, False), (150, True, True),
                                  (250, True, True), (400, True, False)):  # fmt: skip
        # as a disk of an operating room: the rates of this case a hundred times
        journal._budget.bulk_hz = 100 * rate
        disk.capacity = used + round(100 * rate * left_s)
        journal._budget.look(30 * S, disk.left())
        facts = msgspec.structs.replace(journal.facts(), offered_per_s=100 * rate)
        assert (left_s, filling(facts)) == (left_s, alarm or spared)
        assert (left_s, facts.sparing) == (left_s, spared)


def test_while_the_disk_refuses_video_leaves_memory_to_signals(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    journal.max_waiting = 120_000
    disk.write_fails = True
    for frame in FRAMES:
        journal.put([arrival(frame)])
        journal.flush(0)
    lost = journal.facts().lost
    assert set(lost) == {VIDEO}  # 12 s of signals take less than the whole, video more than half
    disk.write_fails = False
    journal.flush(10 * S)
    journal.finish(11 * S)
    part = reopened(disk)
    assert len(seqs(part, "or1/tracker/probe")) == 240
    assert len(seqs(part, VIDEO)) + lost[VIDEO].count == 300


def test_the_journal_says_what_was_asked_back_and_what_came_late(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    mine = [f for f in FRAMES if f.address == "or1/tracker/probe"]
    back = [*mine[:5], *mine[7:9]]
    journal.put([arrival(f, Flags.BACKFILLED) for f in back])
    journal.put([arrival(mine[5]), arrival(mine[6], Flags.LATE)])
    journal.flush(S)
    journal.finish(2 * S)
    (came,) = reopened(disk).came
    found = {
        way: [(s.epoch, s.first, s.last, s.count) for s in stretches]
        for way, stretches in came["or1/tracker/probe"].items()
    }
    assert found == {
        "backfilled": [(EPOCH, 0, 4, 5), (EPOCH, 7, 8, 2)],
        "late": [(EPOCH, 6, 6, 1)],
    }
