"""No journal stays unsealed: not at a hasty end, not after a crash."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from scot.codec import read_header
from scot.sample import Flags
from scot_replay import came
from scot_replay.came import Came
from scot_replay.chunks import ChunkCache
from scot_replay.journal import RecordKind, encode_record
from scot_replay.layout import hold, journal_path, list_parts
from scot_replay.parts import JournalPart
from scot_replay.recording import open_recording
from scot_replay.seal import seal
from scot_replay.sealer import main as sealer
from scot_replay.sealing import Sealing, seal_left
from scot_replay.segment import SegmentPart
from tests.contract.recorder_bus import until
from tests.golden.recording_frames import case
from tests.golden.recording_writing import write_recording

FRAMES = case(6.0)
THREE = [FRAMES[:100], FRAMES[100:200], FRAMES[200:]]


def sealed(path: Path) -> bool:
    return list_parts(path).unsealed == []


async def test_what_is_not_sealed_when_the_recorder_ends_is_sealed_without_it(
    tmp_path: Path,
) -> None:
    write_recording(tmp_path, THREE)
    sealing = Sealing(tmp_path, ChunkCache())
    for number in (1, 2, 3):
        sealing.add(JournalPart.open(journal_path(tmp_path, number), number))
    await sealing.finish(0.01)
    assert not sealed(tmp_path)
    assert sealing._running is not None
    sealing._running.cancel()  # the recorder is gone
    await until(lambda: sealed(tmp_path))
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES
    assert opened.damage == []


async def test_what_an_earlier_recorder_left_is_sealed_by_the_next_one(tmp_path: Path) -> None:
    dead, live, other = tmp_path / "dead", tmp_path / "live", tmp_path / "other"
    write_recording(dead, THREE, sealed=1, finished=False)
    write_recording(live, THREE, finished=False)
    other.mkdir()
    torn = journal_path(dead, 3)
    torn.write_bytes(torn.read_bytes()[:-7])
    held = hold(live)
    assert held is not None
    assert [line async for line in seal_left(tmp_path)] == []
    assert sealed(dead)
    assert len(list_parts(live).unsealed) == 3  # somebody makes it
    os.close(held)
    opened = open_recording(dead)
    assert list(opened.frames()) == FRAMES[:-1]
    assert any("cut short" in line for line in opened.damage)  # the segment goes on to say so


async def test_what_cannot_be_sealed_is_said_and_the_next_is(tmp_path: Path) -> None:
    first, second = tmp_path / "b", tmp_path / "a"
    for path in (first, second):
        write_recording(path, [FRAMES])
    (first / "segment-1.mcap.part").mkdir()  # its name is taken
    lines = [line async for line in seal_left(tmp_path)]
    assert len(lines) == 1
    assert f"{first} stays unsealed" in lines[0]
    assert sealed(second)


def test_a_journal_that_rotted_keeps_its_bytes_beside_its_segment(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES])
    path = journal_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert sealer([str(tmp_path), "1"]) == 0
    assert (tmp_path / "journal-1.scotj.damaged").read_bytes() == bytes(data)
    opened = open_recording(tmp_path)
    assert len(list(opened.frames())) == len(FRAMES) - 1
    assert any("damaged" in line for line in opened.damage)


def test_sealing_twice_at_once_seals_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording(tmp_path, [FRAMES])
    assert sealer([str(tmp_path), "1", "1"]) == 0
    assert sealer([str(tmp_path), "1", "2"]) == 1
    assert "journal-2.scotj: there is no such journal" in capsys.readouterr().err


def test_a_segment_goes_on_to_say_what_was_asked_back(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES], finished=False)
    notes: list[Came] = [{}, {}]
    poses = [f for f in FRAMES if f.address == "or1/tracker/probe"]
    for place, frame in enumerate(poses[:9]):
        came.note(notes[place > 4], frame.address, read_header(frame), Flags.BACKFILLED)
    with journal_path(tmp_path, 1).open("ab") as out:
        out.writelines(encode_record(RecordKind.CAME, came.encode(one)) for one in notes)
    segment = SegmentPart(seal(tmp_path, 1), 1)
    (stretch,) = segment.came[0]["or1/tracker/probe"]["backfilled"]
    assert (stretch.first, stretch.last, stretch.count) == (0, 8, 9)
    assert stretch.last_ns == read_header(poses[8]).bus_ns
    assert msgspec.json.decode(came.encode(segment.came[0]), type=Came) == segment.came[0]
