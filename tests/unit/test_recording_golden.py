"""Recordings of format 1 stay readable: the files in tests/golden never change.

Made once by ``python -m tests.unit.test_recording_golden``; a change that breaks this test needs a
new format, and a new golden recording beside this one.
"""

from __future__ import annotations

from pathlib import Path

from scot_replay.journal import MAGIC, JournalReader, RecordKind, decode_frame, encode_frame
from scot_replay.recording import open_recording
from tests.golden.recording_frames import case
from tests.golden.recording_writing import write_recording

GOLDEN = Path(__file__).parents[1] / "golden" / "recording-1"
FRAMES = case(3.0, frozenset({("or1/monitor/hr", 1)}))
CUT = len(FRAMES) // 2
DIGEST = "3b159e29e81d7d82cb0a3adda5a5547a3d75526ec7b0e1515d8dd46c32f70e60"


def test_the_golden_recording_gives_every_frame_and_its_digest() -> None:
    opened = open_recording(GOLDEN)
    assert list(opened.frames()) == FRAMES
    assert opened.damage == []
    assert opened.digest() == DIGEST
    assert opened.channels["or1/monitor/hr"].gaps[0].first == 1
    assert opened.manifest.case == "case-7"


def test_todays_journal_has_the_bytes_of_the_golden_one() -> None:
    data = (GOLDEN / "journal-2.scotj").read_bytes()
    frames = [
        data[record.start : record.end]
        for record in JournalReader(data).records()
        if record.kind == RecordKind.FRAME
    ]
    assert data.startswith(MAGIC)
    assert frames == [encode_frame(frame) for frame in FRAMES[CUT:]]
    assert [decode_frame(record[9:]) for record in frames] == FRAMES[CUT:]


if __name__ == "__main__":
    write_recording(GOLDEN, [FRAMES[:CUT], FRAMES[CUT:]], sealed=1)
