"""The simulated disk forgets what a real one may; the open journal keeps its word over it."""

from __future__ import annotations

from random import Random

import pytest

from scot.codec import Frame, read_header
from scot_replay.journal import JournalReader, RecordKind, decode_frame
from scot_replay.layout import Manifest
from scot_replay.open_journal import Arrival, OpenJournal
from scot_replay.sim.storage import SimulatedDisk
from tests.golden.recording_frames import START_NS, case, catalogue

S = 1_000_000_000
NAME = "journal-1.scotj"
FRAMES = case(3.0)
KNOWN = catalogue()


def arrivals(frames: list[Frame]) -> list[Arrival]:
    made = []
    for frame in frames:
        channel = KNOWN.channel(frame.address)
        assert channel is not None
        made.append(Arrival(frame, read_header(frame), channel.kind))
    return made


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk(Random(1))


@pytest.fixture
def journal(disk: SimulatedDisk) -> OpenJournal:
    return OpenJournal(disk, Manifest(), (START_NS, KNOWN), 300.0, lambda part: None, 1, now_ns=0)


def force(journal: OpenJournal) -> bool:
    file = journal.begin_sync()
    if file is None:
        return False
    try:
        file.sync()
    except OSError as error:
        journal.end_sync(error)
        return False
    journal.end_sync()
    return True


def found(disk: SimulatedDisk) -> list[Frame]:
    records = JournalReader(disk.data(NAME)).records()
    return [decode_frame(one.body) for one in records if one.kind == RecordKind.FRAME]


def test_a_power_cut_takes_what_was_written_and_not_forced_down(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    journal.put(arrivals(FRAMES[:20]))
    journal.flush(S)
    assert force(journal)
    journal.put(arrivals(FRAMES[20:]))
    journal.flush(2 * S)
    assert found(disk) == FRAMES
    disk.power_cut()
    assert found(disk)[:20] == FRAMES[:20]
    assert journal.safe.end <= len(disk.data(NAME))


def test_what_was_written_while_a_sync_lasts_is_not_taken_to_be_safe(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    journal.put(arrivals(FRAMES[:20]))
    journal.flush(S)
    file = journal.begin_sync()
    assert file is not None
    journal.put(arrivals(FRAMES[20:]))
    journal.flush(2 * S)
    file.sync()
    journal.end_sync()
    assert journal.safe.end < len(disk.data(NAME))
    assert disk.down(NAME) == disk.data(NAME)[: journal.safe.end]
    assert force(journal)
    assert disk.down(NAME) == disk.data(NAME)


def test_after_a_sync_that_failed_all_is_written_again(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    journal.put(arrivals(FRAMES[:20]))
    journal.flush(S)
    disk.sync_fails = True
    assert not force(journal)
    assert "sync failed" in journal.facts().trouble
    disk.sync_fails = False
    assert not force(journal)  # the kernel would say yes, and the pages are gone
    journal.flush(2 * S)
    assert force(journal)
    assert journal.facts().trouble == ""
    disk.power_cut()
    assert found(disk) == FRAMES[:20]


def test_a_journal_that_cannot_be_made_safe_is_not_ended(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    journal.put(arrivals(FRAMES))
    journal.flush(S)
    disk.sync_fails = True
    journal.rotate(301 * S)
    assert (journal.part.number, disk.names()) == (1, [NAME])
    assert "cannot begin a journal" in journal.facts().trouble
    disk.sync_fails = False
    journal.flush(303 * S)
    journal.rotate(303 * S)
    assert journal.part.number == 2
    disk.power_cut()
    assert found(disk) == FRAMES


def test_a_disk_without_room_takes_a_part_and_the_rest_comes_when_there_is_some(
    disk: SimulatedDisk, journal: OpenJournal
) -> None:
    disk.capacity = len(disk.data(NAME)) + 300
    journal.put(arrivals(FRAMES))
    journal.flush(S)
    assert "No space left" in journal.facts().trouble
    assert disk.left() == 0
    disk.capacity = 1 << 30
    journal.flush(2 * S)
    assert journal.facts().trouble == ""
    journal.finish(3 * S)
    disk.power_cut()
    assert found(disk) == FRAMES
