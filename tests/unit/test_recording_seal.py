"""A journal goes only after its segment was read back and gave every byte of it."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from scot.codec import Frame
from scot.errors import RecordingError
from scot_replay.index import join, span
from scot_replay.journal import MAGIC, RecordKind, encode_record
from scot_replay.layout import journal_path, segment_path
from scot_replay.parts import JournalPart
from scot_replay.recording import open_recording
from scot_replay.seal import main, seal, verify, write_segment
from scot_replay.segment import SegmentPart
from tests.golden.recording_frames import START_NS, S, case
from tests.golden.recording_writing import write_journal, write_recording

FRAMES = case(5.0)


def _without(place: int) -> Callable[[list[Frame]], list[Frame]]:
    return lambda frames: frames[:place] + frames[place + 1 :]


def _flipped(place: int) -> Callable[[list[Frame]], list[Frame]]:
    def change(frames: list[Frame]) -> list[Frame]:
        frame = frames[place]
        payload = frame.payload[:-1] + bytes([frame.payload[-1] ^ 1])
        return [*frames[:place], frame._replace(payload=payload), *frames[place + 1 :]]

    return change


@pytest.mark.parametrize(
    "change",
    [
        _without(0),
        _without(len(FRAMES) - 1),
        _flipped(3),
        _flipped(len(FRAMES) // 2),
        lambda frames: [f for f in frames if f.address != "or1/monitor/alarms"],
    ],
)
def test_a_segment_that_gives_back_anything_else_is_found(
    tmp_path: Path, change: Callable[[list[Frame]], list[Frame]]
) -> None:
    write_journal(journal_path(tmp_path, 1), FRAMES)
    write_journal(journal_path(tmp_path, 2), change(FRAMES))
    other = JournalPart.open(journal_path(tmp_path, 2), 2)
    with segment_path(tmp_path, 1).open("wb") as out:
        write_segment(other, out)
    journal = JournalPart.open(journal_path(tmp_path, 1), 1)
    with pytest.raises(RecordingError):
        verify(journal, SegmentPart(segment_path(tmp_path, 1), 1))


def test_a_segment_with_another_state_is_found(tmp_path: Path) -> None:
    write_journal(journal_path(tmp_path, 1), FRAMES, state=FRAMES[:1])
    write_journal(journal_path(tmp_path, 2), FRAMES)
    with segment_path(tmp_path, 1).open("wb") as out:
        write_segment(JournalPart.open(journal_path(tmp_path, 2), 2), out)
    journal = JournalPart.open(journal_path(tmp_path, 1), 1)
    with pytest.raises(RecordingError, match="its state differ"):
        verify(journal, SegmentPart(segment_path(tmp_path, 1), 1))


def test_what_could_not_be_written_is_said_by_journal_and_segment(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES])
    loss = {"or1/scope/video": {"count": 7, "first_ns": START_NS, "last_ns": START_NS + S}}
    with journal_path(tmp_path, 1).open("ab") as out:
        out.write(encode_record(RecordKind.LOSS, msgspec.json.encode(loss)))
    expected = [
        f"-1.{suffix}: 7 samples of or1/scope/video are lost, "
        "2026-11-18T11:06:03.000Z to 2026-11-18T11:06:04.000Z: they could not be written"
        for suffix in ("scotj", "mcap")
    ]
    assert open_recording(tmp_path).damage == [f"journal{expected[0]}"]
    seal(tmp_path, 1)
    assert open_recording(tmp_path).damage == [f"segment{expected[1]}"]


def test_a_sample_that_came_twice_is_sealed_once(tmp_path: Path) -> None:
    write_recording(tmp_path, [[*FRAMES, *FRAMES[:50]]])
    seal(tmp_path, 1)
    part = SegmentPart(segment_path(tmp_path, 1), 1)
    assert sum(len(part.times(address)) for address in part.addresses()) == len(FRAMES)


def test_sealing_replaces_the_journal(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES])
    assert seal(tmp_path, 1) == segment_path(tmp_path, 1)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "manifest.json",
        "segment-1.mcap",
    ]
    assert list(open_recording(tmp_path).frames()) == FRAMES


def test_a_disk_that_fills_while_sealing_costs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording(tmp_path, [FRAMES])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(RecordingError, match=r"segment-1\.mcap cannot be written"):
            seal(tmp_path, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handled)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journal-1.scotj", "manifest.json"]
    assert list(open_recording(tmp_path).frames()) == FRAMES


@pytest.mark.parametrize("content", [b"", b"no journal at all"])
def test_the_program_says_in_one_line_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    journal_path(tmp_path, 1).write_bytes(content)
    code = main([str(tmp_path), "1"])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == ((1, 1) if content else (0, 0))
    assert journal_path(tmp_path, 1).exists() is bool(content)


def test_a_journal_without_a_sample_seals_to_an_empty_segment(tmp_path: Path) -> None:
    write_recording(tmp_path, [[], FRAMES])
    seal(tmp_path, 1)
    assert list(open_recording(tmp_path).frames()) == FRAMES


def test_a_journal_that_was_cut_seals_what_it_has(tmp_path: Path) -> None:
    path = journal_path(tmp_path, 1)
    write_journal(path, FRAMES, end=False)
    path.write_bytes(path.read_bytes()[:-5])
    seal(tmp_path, 1)
    assert list(open_recording(tmp_path).frames()) == FRAMES[:-1]


def test_a_journal_of_nothing_but_its_head_is_empty(tmp_path: Path) -> None:
    path = journal_path(tmp_path, 1)
    path.write_bytes(MAGIC)
    part = JournalPart.open(path, 1)
    assert (part.addresses(), part.damage) == ([], [])


def test_spans_of_parts_join_to_the_span_of_the_whole(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES[:120], FRAMES[100:200], FRAMES[230:]])
    parts = [JournalPart.open(journal_path(tmp_path, n), n) for n in (1, 2, 3)]
    kept: Sequence[Frame] = FRAMES[:200] + FRAMES[230:]
    write_journal(tmp_path / "whole.scotj", kept)
    whole = JournalPart.open(tmp_path / "whole.scotj", 1)
    for address in whole.addresses():
        expected = span(whole.entries(address))
        joined = join(s for part in parts if (s := part.span(address)) is not None)
        assert expected is not None
        assert joined is not None
        assert (joined.count, joined.runs) == (expected.count, expected.runs)
        assert joined.missing == expected.missing
        assert (joined.first_ns, joined.last_ns) == (expected.first_ns, expected.last_ns)
