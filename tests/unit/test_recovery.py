"""A broken directory becomes a valid recording: all that can be read, and every loss is stated."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scot.cli import run
from scot.codec import Frame
from scot.errors import RecordingError
from scot_replay.layout import hold, journal_path, segment_path
from scot_replay.recording import open_recording
from scot_replay.recovery import Outcome, Recovery
from scot_replay.salvage import faults
from scot_replay.seal import seal
from tests.golden.recording_frames import case
from tests.golden.recording_writing import write_journal, write_recording

FRAMES = case(12.0)
PARTS = [FRAMES[:200], FRAMES[200:400], FRAMES[400:500], FRAMES[500:]]
VIDEO = "or1/scope/video"
SIGNALS = [frame for frame in FRAMES if frame.address != VIDEO]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Two segments and two journals, never finished."""
    write_recording(tmp_path / "rec", PARTS, sealed=2, finished=False)
    return tmp_path / "rec"


def digests(path: Path) -> dict[str, str]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 16
    path.write_bytes(data)


def cut(path: Path, to: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * to)])


def half_written(path: Path) -> None:
    """The sealer died, and what was copied has no journal."""
    path.rename(path.with_name(f"{path.name}.part"))
    cut(path.with_name(f"{path.name}.part"), 0.9)


def without(*gone: int) -> list[Frame]:
    return [frame for number, part in enumerate(PARTS, 1) if number not in gone for frame in part]


BREAKS: dict[str, tuple[Callable[[Path], object], list[Frame]]] = {
    "only never finished": (lambda path: None, FRAMES),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), FRAMES),
    "a broken manifest": (lambda path: (path / "manifest.json").write_text("{"), FRAMES),
    "a torn journal": (lambda path: cut(journal_path(path, 4), 0.99), []),
    "a journal that rotted": (lambda path: flip(journal_path(path, 3), 0.5), []),
    "a missing segment": (lambda path: segment_path(path, 2).unlink(), []),
    "a missing journal": (lambda path: journal_path(path, 3).unlink(), []),
    "no first part": (lambda path: segment_path(path, 1).unlink(), []),
    "a chunk that rotted": (lambda path: flip(segment_path(path, 2), 0.7), []),
    "a segment without its end": (lambda path: cut(segment_path(path, 2), 0.97), FRAMES),
    "a segment cut in its middle": (lambda path: cut(segment_path(path, 2), 0.4), []),
    "a segment half written": (lambda path: half_written(segment_path(path, 2)), []),
    "another file in a segment's place": (
        lambda path: segment_path(path, 2).write_bytes(b"%PDF-1.7 not ours" * 99),
        [],
    ),
    "an empty journal": (lambda path: journal_path(path, 4).write_bytes(b""), without(4)),
}


def stated(outcome: Outcome) -> Counter[str]:
    counts: Counter[str] = Counter()
    for address, intervals in outcome.lost.items():
        counts[address] += sum(one.count for one in intervals)
    return counts


@pytest.mark.parametrize("name", BREAKS)
def test_what_can_be_read_is_kept_the_rest_stated_and_the_original_not_touched(
    broken: Path, tmp_path: Path, name: str
) -> None:
    harm, expected = BREAKS[name]
    harm(broken)
    before = digests(broken)
    outcome = Recovery(broken, tmp_path / "out").run()
    assert digests(broken) == before
    opened = open_recording(tmp_path / "out")
    found = list(opened.frames())
    assert set(found) <= set(FRAMES)
    if expected:
        assert found == expected
    assert len(found) >= len(FRAMES) - 250
    assert outcome.samples == len(found)
    assert opened.manifest.workspace == "or1"
    assert opened.manifest.finished is not None
    assert all(" are lost, " in line for line in opened.damage)  # nothing but stated losses
    missing = Counter(frame.address for frame in set(FRAMES) - set(found))
    lost = stated(outcome)
    ends = {frame.address for frame in PARTS[-1]} if name in TAIL else set()
    for address, count in missing.items():
        assert lost[address] == count or address in ends, address
    assert {a: n for a, n in lost.items() if n} == {
        a: sum(i.count for i in account.lost_in)
        for a, account in opened.completeness().items()
        if account.lost
    }
    assert sorted(path.suffix for path in (tmp_path / "out").glob("segment*")) == [".mcap"] * 4


TAIL = {"a torn journal", "an empty journal"}  # nobody knows how far the last part would have gone


@settings(
    deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_whatever_is_flipped_or_cut_nothing_else_is_lost(
    tmp_path_factory: pytest.TempPathFactory, whole: Path, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("broken") / "rec"
    shutil.copytree(whole, path)
    number = data.draw(st.integers(1, 3))
    file = segment_path(path, number)
    if not file.exists():
        file = journal_path(path, number)
    if data.draw(st.booleans()):
        flip(file, data.draw(st.floats(0, 0.999)))
    else:
        cut(file, data.draw(st.floats(0.01, 0.999)))
    outcome = Recovery(path, path.with_name("out")).run()
    found = list(open_recording(path.with_name("out")).frames())
    assert set(found) <= set(FRAMES)
    assert set(without(number)) <= set(found)
    missing = Counter(frame.address for frame in set(FRAMES) - set(found))
    assert stated(outcome) == missing


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "rec"
    write_recording(path, PARTS, sealed=2)
    return path


def test_in_place_the_broken_files_are_kept_beside_the_repaired(broken: Path) -> None:
    flip(segment_path(broken, 2), 0.7)
    (broken / "manifest.json").write_text("{")
    (broken / "notes.txt").write_text("of the surgeon")
    before = digests(broken)
    outcome = Recovery(broken, None).run()
    after = digests(broken)
    assert after["damaged/segment-2.mcap"] == before["segment-2.mcap"]
    assert after["damaged/manifest.json"] == before["manifest.json"]
    assert after["segment-1.mcap"] == before["segment-1.mcap"]
    assert after["notes.txt"] == before["notes.txt"]
    assert not any(name.startswith((".recovery", "journal")) for name in after)
    assert outcome.kept == [1]
    assert [one.part for one in outcome.rebuilt] == [2, 3, 4]
    assert all(faults(segment_path(broken, number)) == [] for number in (1, 2, 3, 4))
    opened = open_recording(broken)
    assert {f.address for f in set(FRAMES) - set(opened.frames())} == {VIDEO}


def test_a_whole_recording_is_left_alone(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (3, 4):
        seal(whole, number) if journal_path(whole, number).exists() else None
    before = digests(whole)
    assert run(["recover", str(whole)]) == 0
    assert "nothing to repair: all 4 parts are whole" in capsys.readouterr().out
    assert digests(whole) == before
    assert not whole.with_name("rec-recovered").exists()


def test_a_channel_of_which_nothing_is_left_is_stated_too(tmp_path: Path) -> None:
    write_recording(tmp_path / "rec", [FRAMES], sealed=1)
    segment = segment_path(tmp_path / "rec", 1)
    data = bytearray(segment.read_bytes())
    first = next(frame for frame in FRAMES if frame.address == VIDEO)
    data[data.index(first.payload) + 100] ^= 4  # all of the video is one chunk
    segment.write_bytes(data)
    outcome = Recovery(tmp_path / "rec", tmp_path / "out").run()
    assert list(open_recording(tmp_path / "out").frames()) == SIGNALS
    assert stated(outcome) == {VIDEO: len(FRAMES) - len(SIGNALS)}
    assert open_recording(tmp_path / "out").completeness()[VIDEO].lost == stated(outcome)[VIDEO]


def test_a_journal_and_a_broken_segment_of_the_same_part_complete_each_other(
    broken: Path, tmp_path: Path
) -> None:
    write_journal(journal_path(broken, 2), PARTS[1][:150], end=False)
    cut(segment_path(broken, 2), 0.5)
    Recovery(broken, tmp_path / "out").run()
    opened = open_recording(tmp_path / "out")
    found = list(opened.frames())
    assert set(PARTS[1][:150]) <= set(found)
    assert set(SIGNALS) <= set(found)  # from the segment, which begins with them
    assert len(found) == len(set(found))


def test_what_the_next_part_knew_to_be_true_before_it_is_taken(
    broken: Path, tmp_path: Path
) -> None:
    alarm = next(frame for frame in FRAMES if frame.address == "or1/monitor/alarms")
    number = next(n for n, part in enumerate(PARTS, 1) if alarm in part)
    segment_path(broken, number).unlink()
    Recovery(broken, tmp_path / "out").run()
    assert alarm in list(open_recording(tmp_path / "out").frames(["monitor/alarms"]))


def test_as_a_person_types_it(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment_path(broken, 2).unlink()
    assert run(["recover", str(broken)]) == 0
    said = capsys.readouterr().out
    assert "part 2: 3 samples, from what was true when part 3 began (part 2 is missing)" in said
    probes = [frame for frame in PARTS[1] if frame.address == "or1/tracker/probe"]
    assert f"lost: or1/tracker/probe: {len(probes) - 1} between" in said
    assert "could not be recovered" in said
    assert f"{broken}-recovered: 1 parts were whole, 3 are made anew" in said
    assert run(["recover", str(broken), "--out", str(broken) + "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rebuilt"][0]["part"] == 2
    assert found["lost"]["or1/tracker/probe"][0]["count"] == len(probes) - 1
    assert found["samples"] + found["samples_lost"] == len(FRAMES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{rec}x"], "no such directory"),
        (["{rec}", "--out", "{rec}"], "exists; name another directory with --out"),
        (["{rec}", "--out", "{rec}/b", "--in-place"], "exclude each other"),
        (["{rec}/none"], "holds nothing that can be read"),
        (["{rec}", "--out", "/proc/none/x"], "name a place that takes it with --out"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_the_fix(
    broken: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (broken / "none").mkdir()
    journal_path(broken / "none", 1).write_bytes(b"garbage all of it")
    assert run(["recover", *(argument.format(rec=broken) for argument in arguments)]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_one_that_is_being_recorded_is_refused(broken: Path, tmp_path: Path) -> None:
    held = hold(broken)
    assert held is not None
    with pytest.raises(RecordingError, match="being recorded or repaired"):
        Recovery(broken, tmp_path / "out").run()
    os.close(held)


def test_stopped_half_way_what_is_there_is_valid_and_the_original_is_untouched(
    tmp_path: Path,
) -> None:
    path, out = tmp_path / "rec", tmp_path / "out"
    parts = [FRAMES[a : a + 70] for a in range(0, len(FRAMES), 70)]
    write_recording(path, parts, finished=False)
    before = digests(path)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from scot.cli import main; main()",
            "recover",
            str(path),
            "--out",
            str(out),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    pause = threading.Event()
    while process.poll() is None and not journal_path(out, 2).exists():
        pause.wait(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode in {0, 130}, said
    assert "Traceback" not in said
    assert digests(path) == before
    found = list(open_recording(out).frames())
    assert set(found) <= set(FRAMES)
    assert len(found) >= 70
