"""A bad recording opens as far as it can, names what is wrong, and loses nothing else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scot
from scot import channel as declare
from scot.channel import Catalogue, Channel, Device, Kind
from scot.cli import run
from scot.codec import Frame, encode, read_header
from scot.sample import Flags, NumericValue, Sample
from scot.timestamp import ClockState, Timestamp
from scot_replay.journal import MAGIC, encode_catalogue, encode_frame
from scot_replay.layout import NewerVersionError, journal_path, segment_path
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.seal import seal
from tests.golden.recording_frames import EPOCH, MONITOR, START_NS, S, case, catalogue, frame
from tests.golden.recording_writing import write_recording

FRAMES = case(10.0)
PARTS = [FRAMES[:200], FRAMES[200:350], FRAMES[350:]]
HR = "or1/monitor/hr"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Two segments and a journal."""
    write_recording(tmp_path / "rec", PARTS, sealed=2)
    return tmp_path / "rec"


def info(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What ``scot info --json`` says, and that it says the same to people."""
    assert run(["info", str(path)]) == 0
    people = capsys.readouterr().out
    assert run(["info", str(path), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    for line in found["damage"]:
        assert f"damage: {line}" in people
    return found


def write(path: Path, known: list[tuple[int, Catalogue]], frames: list[Frame]) -> None:
    """Write a directory of one journal, without a manifest."""
    path.mkdir(exist_ok=True)
    records = [encode_catalogue(*version) for version in known]
    records += [encode_frame(one) for one in frames]
    journal_path(path, 1).write_bytes(MAGIC + b"".join(records))


@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_one_flipped_bit_anywhere_costs_its_part_of_its_part_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, ready: Path, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "rec"
    shutil.copytree(ready, path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files), "file")
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1), "at")
    content[at] ^= 1 << data.draw(st.integers(0, 7), "bit")
    file.write_bytes(content)
    try:
        opened = scot.open(path)
    except NewerVersionError:
        return  # the bit made a version of it
    found = list(opened.frames())
    assert set(found) <= set(FRAMES)
    number = {"segment-1.mcap": 0, "segment-2.mcap": 1, "journal-3.scotj": 2}.get(file.name)
    for part, frames in enumerate(PARTS):
        assert part == number or set(frames) <= set(found)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ready") / "rec"
    write_recording(path, PARTS, sealed=2)
    return path


def test_a_manifest_that_is_not_json_is_named_and_the_parts_say_what_it_said(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (whole / "manifest.json").write_text("{")
    found = info(whole, capsys)
    assert (found["workspace"], found["case"], found["samples"]) == ("or1", "case-7", len(FRAMES))
    assert any("manifest.json cannot be read" in line for line in found["damage"])


def test_a_foreign_file_in_a_parts_place_is_named_and_the_others_open(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment_path(whole, 2).write_bytes(b"%PDF-1.7 of somebody else" * 50)
    found = info(whole, capsys)
    assert found["samples"] == len(PARTS[0]) + len(PARTS[2])
    assert any("segment-2.mcap" in line for line in found["damage"])


def test_a_part_of_a_newer_release_is_named_and_the_others_open(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = journal_path(whole, 3)
    path.write_bytes(b"SCOTJ\x09\0\0" + path.read_bytes()[8:])
    found = info(whole, capsys)
    assert found["samples"] == len(PARTS[0]) + len(PARTS[1])
    assert any("version 9" in line and "install a newer" in line for line in found["damage"])


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user who owns nothing here; an ordinary user is one already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_recording_opens_and_is_recovered_elsewhere(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        shelf = Path(name)
        path = shelf / "rec"
        shutil.copytree(whole, path)
        for file in path.rglob("*"):
            file.chmod(0o555 if file.is_dir() else 0o444)
        (shelf / "out").mkdir(mode=0o777)
        (shelf / "out").chmod(0o777)
        for directory in (path, shelf):
            directory.chmod(0o555)
        with nobody():
            assert info(path, capsys)["samples"] == len(FRAMES)
            assert list(open_recording(path).frames()) == FRAMES
            assert run(["recover", str(path)]) == 1
            assert "name a place that takes it with --out" in capsys.readouterr().err
            assert run(["recover", "--in-place", str(path)]) == 1
            assert "Permission denied" in capsys.readouterr().err
            assert run(["recover", str(path), "--out", str(shelf / "out" / "rec")]) == 0
            assert list(open_recording(shelf / "out" / "rec").frames()) == FRAMES
        shelf.chmod(0o755)
        path.chmod(0o755)


def test_two_files_of_the_same_part_are_named_and_one_is_read(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(segment_path(whole, 1), whole / "segment-01.mcap")
    found = info(whole, capsys)
    assert found["samples"] == len(FRAMES)
    assert any("segment-01.mcap" in line and "same part" in line for line in found["damage"])


def test_a_part_that_is_there_twice_under_two_numbers_counts_once(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(segment_path(whole, 1), segment_path(whole, 4))
    found = info(whole, capsys)
    assert (found["samples"], found["lost"]) == (len(FRAMES), 0)
    assert list(open_recording(whole).frames()) == FRAMES


@pytest.mark.parametrize("sealed", [False, True])
def test_samples_with_the_number_of_another_are_all_kept_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sealed: bool
) -> None:
    again = [frame(HR, Kind.NUMERIC, seq, 20.0 + seq, NumericValue(50.0)) for seq in range(3)]
    mine = [one for one in FRAMES if one.address == HR]
    write(tmp_path, [(START_NS, catalogue())], mine + again)
    if sealed:
        seal(tmp_path, 1)
    assert list(open_recording(tmp_path).frames()) == mine + again
    assert info(tmp_path, capsys)["channels"][HR]["doubled"] == 3
    assert run(["info", str(tmp_path)]) == 0
    assert f"odd: {HR}: 3 samples have another one's number" in capsys.readouterr().out


@pytest.mark.parametrize("by_s", [2.0, -2.0])
def test_a_clock_stepped_in_the_middle_is_named_and_every_sample_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], by_s: float
) -> None:
    def moved(seq: int) -> Frame:
        t_s = seq / 5 + (by_s if seq >= 100 else 0)
        return frame(HR, Kind.NUMERIC, seq, t_s, NumericValue(float(seq)))

    frames = [moved(seq) for seq in range(200)]
    write(tmp_path, [(START_NS, catalogue())], frames)
    for _ in ("as a journal", "as a segment"):
        opened = open_recording(tmp_path)
        assert set(opened.frames()) == set(frames)
        times = [read_header(one).bus_ns for one in opened.frames()]
        assert times == sorted(times)
        assert len(opened.to_pandas(["monitor/hr"])) == 200
        heard = info(tmp_path, capsys)["channels"][HR]
        assert [step["by_s"] for step in heard["steps"]] == [pytest.approx(by_s)]
        assert (heard["received"], heard["lost"]) == (200, 0)
        if journal_path(tmp_path, 1).exists():
            seal(tmp_path, 1)


def retyped() -> tuple[list[tuple[int, Catalogue]], list[Frame]]:
    """The monitor starts again, with another software: its hr is a waveform now."""
    other = EPOCH + 60 * S
    new = msgspec.structs.replace(
        MONITOR, epoch=other, channels={**MONITOR.channels, "hr": declare.Waveform("hr", unit="1")}
    )
    before = [frame(HR, Kind.NUMERIC, n, float(n), NumericValue(60.0 + n)) for n in range(20)]
    block = np.arange(5, dtype=np.float32)
    after = [frame(HR, Kind.WAVEFORM, n, 60.0 + n, block, epoch=other) for n in range(20)]
    versions = [(START_NS, catalogue()), (other, catalogue().with_device(new))]
    return versions, before + after


@pytest.mark.parametrize("sealed", [False, True])
def test_a_channel_whose_type_changed_is_named_and_read_as_what_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sealed: bool
) -> None:
    versions, frames = retyped()
    write(tmp_path, versions, frames)
    if sealed:
        seal(tmp_path, 1)
    opened: DirectoryRecording = open_recording(tmp_path)
    assert list(opened.frames()) == frames
    samples = opened.between(START_NS, START_NS + 200 * S, [HR])[HR]
    assert [type(s.value).__name__ for s in samples] == ["NumericValue"] * 20 + ["ndarray"] * 20
    assert opened.at(START_NS + 5 * S)[HR].sample.value == NumericValue(65.0)
    assert isinstance(opened.at(START_NS + 99 * S)[HR].sample.value, np.ndarray)
    (line,) = [line for line in info(tmp_path, capsys)["damage"] if HR in line]
    assert "numeric, then waveform" in line
    table = opened.to_pandas(["monitor/hr"])  # as it is described now
    assert len(table) == 100


def test_ten_thousand_channels_open_and_each_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = {f"c{n}": Channel(name=f"c{n}", kind=Kind.NUMERIC, unit="1") for n in range(10_000)}
    known = Catalogue(workspace="or1").with_device(
        Device(name="wide", provider="x", epoch=EPOCH, channels=channels)
    )
    time = Timestamp(None, START_NS, None, None, ClockState.UNSYNCED)
    made = [
        encode(
            Sample(f"or1/wide/{name}", EPOCH, 0, time, Flags(0), NumericValue(1.0)), Kind.NUMERIC
        )
        for name in channels
    ]
    write(tmp_path, [(START_NS, known)], made)
    opened = open_recording(tmp_path)
    assert len(opened.at(START_NS)) == 10_000
    assert len(list(opened.frames())) == 10_000
    assert run(["info", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (len(found["channels"]), found["samples"], found["lost"]) == (10_000, 10_000, 0)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_case_of_no_length_opens_and_is_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sealed: bool
) -> None:
    write_recording(tmp_path, [[]], sealed=1 if sealed else 0)
    found = info(tmp_path, capsys)
    assert (found["samples"], found["duration_s"], found["damage"]) == (0, 0.0, [])
    assert len(found["channels"]) == 8
    opened = open_recording(tmp_path)
    assert (list(opened.frames()), opened.at(START_NS)) == ([], {})
    assert opened.to_pandas(["monitor/hr"]).empty
    assert run(["replay", str(tmp_path), "--digest", "--from", "5"]) == 1
    assert "past the end" in capsys.readouterr().err
