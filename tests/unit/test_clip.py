"""A clip is the stretch that was asked for, nothing more; de-identified it fails closed."""

from __future__ import annotations

import itertools
import json
import resource
from pathlib import Path

import msgspec
import pytest

from scot.channel import Channel, Kind, Sensitivity
from scot.cli import run
from scot.codec import Frame, encode, read_header
from scot.errors import RecordingError
from scot.names import Names
from scot.sample import AlarmValue, AnnotationValue, Flags, Sample
from scot.timestamp import ClockState, Timestamp
from scot_dashboard.roles import Role, Verb, may
from scot_replay.clip import clip, head
from scot_replay.deid import NO_DATE_NS, Deidentifier, withheld
from scot_replay.layout import read_manifest
from scot_replay.ledger.verify import verify
from scot_replay.recording import DirectoryRecording, open_recording
from tests.golden import made_recording as case
from tests.golden.made_recording import NAME, START_NS, S
from tests.golden.recording_frames import START_NS as VIDEO_START_NS
from tests.golden.recording_frames import case as video_case
from tests.golden.recording_writing import write_recording


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> DirectoryRecording:
    return open_recording(case.make(tmp_path_factory.mktemp("case") / "rec"))


def test_a_clip_holds_exactly_the_frames_of_its_stretch(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    span = (START_NS + 3 * S, START_NS + 8 * S)
    done = clip(recording, tmp_path / "clip", span)
    opened = open_recording(tmp_path / "clip")
    assert list(opened.frames()) == list(recording.frames(between=span))
    assert sum(done.samples.values()) == len(list(opened.frames()))
    assert opened.damage == []
    assert opened.manifest.origin == "clip"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip"]


def test_a_clip_verifies_and_names_the_ledger_it_was_taken_from(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    span = (START_NS + 3 * S, START_NS + 8 * S)
    for name, deid in (("plain", False), ("deid", True)):
        done = clip(recording, tmp_path / name, span, deid=deid)
        report = verify(tmp_path / name)
        assert report.faults == []
        assert report.covered == report.entries > 1
        opened = open_recording(tmp_path / name)
        assert opened.manifest.origin_head == done.origin_head == head(recording.path)
        assert len(done.origin_head) == 64
    assert case.NAME not in (tmp_path / "deid" / "ledger.scotl").read_text("latin-1")


def test_what_was_true_when_a_clip_begins_is_known_in_it(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    span = (START_NS + 3 * S, START_NS + 5 * S)
    clip(recording, tmp_path / "clip", span)
    opened = open_recording(tmp_path / "clip")
    alarms = "or1/monitor/alarms"
    assert opened.at(span[0], [alarms]) == recording.at(span[0], [alarms])
    assert opened.at(span[0], [alarms])[alarms].sample.value.present  # type: ignore[union-attr]


def test_a_video_begins_with_its_first_keyframe_inside_and_says_what_it_left_out(
    tmp_path: Path,
) -> None:
    frames = video_case(4.0)
    write_recording(tmp_path / "rec", [frames], sealed=1)
    video = "or1/scope/video"
    span = (VIDEO_START_NS + S // 2, VIDEO_START_NS + 3 * S)
    done = clip(open_recording(tmp_path / "rec"), tmp_path / "clip", span)
    units = list(open_recording(tmp_path / "clip").frames([video]))
    assert read_header(units[0]).bus_ns == VIDEO_START_NS + S
    inside = [f for f in frames if f.address == video and _within(f, span)]
    assert units == inside[done.no_keyframe[video] :]


def _within(frame: Frame, span: tuple[int, int]) -> bool:
    return span[0] <= read_header(frame).bus_ns < span[1]


def test_what_a_deidentified_clip_leaves_out_is_the_gateways_rule_for_a_consultant() -> None:
    for kind, sensitivity in itertools.product(Kind, Sensitivity):
        channel = Channel(name="c", kind=kind, sensitivity=sensitivity)
        assert (not withheld(channel)) == may(Role.CONSULTANT, channel, Verb.HISTORY)


def test_a_deidentified_clip_has_no_name_no_case_no_date_and_no_unclassified_channel(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    done = clip(recording, tmp_path / "clip", (START_NS, START_NS + 20 * S), deid=True, notes=True)
    opened = open_recording(tmp_path / "clip")
    kept = {"or1/monitor/hr", "or1/monitor/art", "or1/monitor/alarms", "or1/tracker/probe",
            "or1/room/notes"}  # fmt: skip
    assert set(opened.channels) == kept
    assert set(done.left_out) == set(recording.channels) - kept
    said = repr([*opened.frames(), opened.catalogues, opened.manifest])
    for word in (NAME, NAME.lower(), "4711", "OR 1"):
        assert word not in said
    assert opened.first_ns == NO_DATE_NS
    assert opened.manifest.started == "2000-01-01T00:00:00.000Z"
    assert not any(h.epoch // S >= START_NS // S for h in map(read_header, opened.frames()))
    ours = list(recording.frames(["or1/monitor/hr"]))
    theirs = list(opened.frames(["or1/monitor/hr"]))
    assert [f.payload for f in theirs] == [f.payload for f in ours]
    sources = [read_header(f).source_ns for f in theirs]
    assert sources[0] == 0
    first, last = (read_header(ours[n]).source_ns for n in (0, -1))
    assert first is not None
    assert last is not None
    assert sources[-1] == last - first


@pytest.mark.parametrize(("notes", "texts"), [(False, ["–", "–"]), (True, ["incision", "–"])])
def test_what_people_wrote_stays_unless_asked_for_and_never_with_a_name(
    recording: DirectoryRecording, tmp_path: Path, notes: bool, texts: list[str]
) -> None:
    span = (START_NS, START_NS + 20 * S)
    done = clip(recording, tmp_path / "clip", span, deid=True, keep_times=True, notes=notes)
    opened = open_recording(tmp_path / "clip")
    found = opened.between(*span, ["or1/room/notes"])["or1/room/notes"]
    values = [one.value for one in found if isinstance(one.value, AnnotationValue)]
    assert [value.text for value in values] == texts
    assert done.texts >= texts.count("–")
    assert opened.first_ns == START_NS


@pytest.mark.parametrize("why", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_clip_that_is_broken_off_leaves_nothing(
    recording: DirectoryRecording, tmp_path: Path, why: BaseException
) -> None:
    def stop(done: float) -> None:
        raise why

    with pytest.raises(type(why)):
        clip(recording, tmp_path / "clip", (START_NS, START_NS + 20 * S), progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_is_named_and_nothing_is_left(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(RecordingError, match=r"was not made: .*free space, or name"):
            clip(recording, tmp_path / "clip", (START_NS, START_NS + 20 * S))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_the_command_takes_times_as_people_write_them(
    recording: DirectoryRecording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clip"
    command = ["clip", str(recording.path), str(out), "--between", "0:02", "4.5s"]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["first_ns"], found["last_ns"]) == (START_NS + 2 * S, START_NS + 4_500_000_000)
    assert run(command) == 1
    assert "exists; name another directory" in capsys.readouterr().err
    command[2] = str(tmp_path / "other")
    assert run([*command[:-2], "2026-11-18T11:07:19Z", "soon"]) == 1
    assert "'soon' is no time in a recording" in capsys.readouterr().err
    assert run([*command[:-2], "5:00", "6:00"]) == 1
    assert "has nothing between" in capsys.readouterr().err
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.finished_ns == START_NS + 4_500_000_000


def test_a_field_of_an_alarm_that_this_release_does_not_know_stays_inside() -> None:
    alarm = AlarmValue(id="a", kind="Phy", priority="Hi", present=True)
    stamp = Timestamp(None, 1, None, None, ClockState.UNSYNCED)
    known = encode(Sample("or1/monitor/alarm", 1, 1, stamp, Flags(0), alarm), Kind.ALARM)
    more = msgspec.msgpack.encode(msgspec.structs.asdict(alarm) | {"patient": "Aiko"})
    frame = Frame(known.topic, known.header, more)
    left = Deidentifier(Names(), "").frame(frame, read_header(frame), Kind.ALARM)
    assert left is not None
    assert b"Aiko" not in left.payload


def test_more_words_of_the_patient_than_can_be_looked_for_stop_a_deidentified_clip(
    recording: DirectoryRecording, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("scot.names.MAX_WORDS", 1)
    with pytest.raises(RecordingError, match="nothing is written"):
        clip(recording, tmp_path / "out", recording.stretch(None), deid=True)
    assert not list(tmp_path.iterdir())
