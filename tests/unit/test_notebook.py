"""What an engineer types into a notebook: one timeline, times in any form, errors that help."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import scot
from scot.channel import Kind
from scot.codec import read_header
from scot.errors import RecordingError, RoomError
from scot.sample import AlarmValue, NumericValue
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.when import since_start
from tests.golden.recording_frames import START_NS, S, frame
from tests.golden.recording_video import PIXELS, grey, with_video
from tests.golden.recording_writing import write_recording

LOST = frozenset({("or1/monitor/hr", 4), ("or1/monitor/hr", 5)})
UTC_START = pd.Timestamp(START_NS - 37 * S, tz="UTC")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short case in a segment and a journal, with a video that can be decoded."""
    path = tmp_path_factory.mktemp("notebook") / "rec"
    frames = with_video(30.0, LOST, silent=(12.0, 18.0))
    off = AlarmValue(id="hr-high", kind="Phy", priority="Me", present=False, channel="hr")
    frames.append(frame("or1/monitor/alarms", Kind.ALARM, 1, 20.0, off))
    frames.sort(key=lambda one: read_header(one).bus_ns)
    write_recording(path, [frames[:600], frames[600:]], sealed=1)
    return path


@pytest.fixture
def rec(path: Path) -> Iterator[DirectoryRecording]:
    with open_recording(path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("instant", "since_ns"),
    [
        (START_NS + 7, 7),
        (np.int64(START_NS + 7), 7),
        ("00:00:12", 12 * S),
        ("0:12.5", 12 * S + S // 2),
        ("01:02:03.000000004", 3723 * S + 4),
        ("-00:00:10", 19_950_000_000),  # before the end
        ("2026-11-18T11:06:13Z", 10 * S),
        ("2026-11-18 11:06:13", 10 * S),
        ("2026-11-18T20:06:13+09:00", 10 * S),
        ("2026-11-18T11:06:13.000000001Z", 10 * S + 1),
        (UTC_START + pd.Timedelta("3.000000002s"), 3 * S + 2),
        (datetime(2026, 11, 18, 11, 6, 13, tzinfo=UTC), 10 * S),
        (datetime(2026, 11, 18, 11, 6, 13), 10 * S),  # noqa: DTZ001 - UTC when it names no zone
        (np.datetime64("2026-11-18T11:06:13"), 10 * S),
        (timedelta(seconds=2), 2 * S),
        (pd.Timedelta("1.000000003s"), S + 3),
        (np.timedelta64(1500, "ms"), 1_500_000_000),
    ],
)
def test_a_time_may_be_written_as_it_is_known(
    rec: DirectoryRecording, instant: Any, since_ns: int
) -> None:
    assert rec.instant(instant) - START_NS == since_ns


@pytest.mark.parametrize("instant", ["soon", 3.5, True, None, "12", [1], "2026-13-45", object()])
def test_what_is_no_time_is_refused_with_the_ways_to_write_one(
    rec: DirectoryRecording, instant: Any
) -> None:
    if instant == "12":  # seconds, as `scot replay --from` reads it
        assert rec.instant(instant) == START_NS + 12 * S
        return
    with pytest.raises(RecordingError, match=r"is no time in a recording.*12:30"):
        rec.at(instant)


def test_a_time_since_the_start_reads_back() -> None:
    assert since_start(START_NS + 4_350_500_000_000, START_NS) == "01:12:30.500"
    assert since_start(START_NS - 1_500_000_000, START_NS) == "-00:00:01.500"


def test_one_channel_is_one_subscript_away(rec: DirectoryRecording) -> None:
    pd.testing.assert_frame_equal(rec["monitor/hr"].df, rec.to_pandas(["monitor/hr"]))
    assert repr(rec["monitor/hr"]) == "<monitor/hr: numeric in /min, 28 samples, 2 missing>"
    assert rec["or1/monitor/hr"].channel.code == "MDC_ECG_HEART_RATE"
    assert "monitor/hr" in rec
    assert "monitor/pulse" not in rec
    assert len(rec["monitor/hr"]) == 28
    assert [s.seq for s in rec["monitor/hr"].between("00:00:02", "00:00:05")] == [2, 3]
    moment = rec["monitor/hr"].at("00:00:05.5")
    assert moment is not None
    assert moment.age_ns == 2_500_000_000


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("monitor/h", r"did you mean monitor/hr\?"),
        ("montor/hr", r"did you mean monitor/hr\?"),
        ("or1/monitor/hrr", r"did you mean monitor/hr\?"),
        ("monitor", "monitor is a device; its channels are monitor/hr, monitor/art"),
        ("zzz", "it has room/clock"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(
    rec: DirectoryRecording, name: str, says: str
) -> None:
    with pytest.raises(RecordingError, match=says):
        rec[name]


def test_the_state_says_ages_and_how_well_times_are_known(rec: DirectoryRecording) -> None:
    state = rec.at("00:00:07.02")
    assert state["monitor/hr"].sample.value == NumericValue(77.0)
    assert state["or1/monitor/hr"].age_ns == 20_000_000
    table = state.df
    assert table.loc["monitor/hr", "value"] == "77"
    assert table.loc["monitor/hr", "unit"] == "/min"
    assert table.loc["monitor/hr", "age_s"] == pytest.approx(0.02)
    assert table.loc["monitor/hr", "err_ms"] == pytest.approx(0.009)
    assert table.loc["monitor/hr", "bound_ms"] == pytest.approx(0.04)
    assert table.loc["monitor/hr", "clock"] == "locked"
    told = repr(state)
    assert told.startswith("state at 00:00:07.020  (2026-11-18T11:06:10.020Z)")
    assert "monitor/hr" in told
    assert "±0.009 ms" in told
    assert "<td>monitor/hr</td><td>77 /min</td>" in state._repr_html_()
    with pytest.raises(KeyError, match=r"had no sample at 00:00:07\.020; known then: monitor/"):
        state["room/notes"]


def test_a_value_too_old_is_never_shown_as_if_it_held(rec: DirectoryRecording) -> None:
    state = rec.at("00:00:16")  # the camera is silent since 12 s
    assert state.df["stale"].to_dict()["scope/video"]
    assert "— (was 640×360 picture" in repr(state)
    assert not state.df["stale"].to_dict()["monitor/alarms"]  # latched: true until it changes


def test_gaps_are_shown_left_out_or_refused(rec: DirectoryRecording) -> None:
    shown = rec.to_pandas("monitor/hr")
    assert len(shown) == 30
    dropped = rec.to_pandas("monitor/hr", gaps="drop")
    assert len(dropped) == 28
    assert dropped["monitor/hr"].notna().all()
    with pytest.raises(RecordingError, match="lacks 2 samples, the first about 00:00:04"):
        rec.to_pandas("monitor/hr", gaps="raise")
    rec.to_pandas("monitor/hr", gaps="raise", between=("00:00:10", None))
    grid = rec.to_pandas(["monitor/hr"], "500ms", tolerance="400ms", gaps="drop")
    assert len(grid) == 28
    with pytest.raises(RecordingError, match="use one of nan, drop, raise"):
        rec.to_pandas("monitor/hr", gaps="fill")


def test_a_stretch_may_be_open_at_either_end(rec: DirectoryRecording) -> None:
    assert len(rec.to_pandas("monitor/hr", between=("-00:00:05", None))) == 5
    assert len(rec.to_pandas("monitor/hr", between=(None, "00:00:03"))) == 3
    assert len(rec.between(None, None, ["monitor/hr"])["or1/monitor/hr"]) == 28


def test_alarms_and_annotations_are_tables(rec: DirectoryRecording) -> None:
    alarms = rec.alarms
    assert alarms["id"].tolist() == ["hr-high", "hr-high"]
    assert alarms["present"].tolist() == [True, False]
    assert alarms["source"].tolist() == ["monitor/alarms"] * 2
    assert (alarms.index[1] - UTC_START).total_seconds() == 20.0
    assert rec.annotations.empty


def test_pictures_are_those_that_were_on_the_screen(rec: DirectoryRecording) -> None:
    found = list(rec.video("scope").frames(every="1s"))
    seconds = [(picture.at_ns - START_NS) // S for picture in found]
    assert seconds == [*range(13), *range(18, 30)]  # while the camera was silent, nothing
    for picture, second in zip(found, seconds, strict=True):
        assert picture.image.shape == (*PIXELS[::-1], 3)
        shown = (picture.bus_ns - START_NS) // S
        assert picture.image.mean() == pytest.approx(grey(shown), abs=3), second
        assert picture.err_ns == 9_000


@pytest.mark.parametrize("every", ["200ms", "700ms", "9s"])
def test_pictures_do_not_depend_on_how_many_are_asked_for(
    rec: DirectoryRecording, every: str
) -> None:
    span = ("00:00:01", "00:00:11")
    for picture in rec["scope/video"].frames(every, span):
        assert picture.image.mean() == pytest.approx(grey((picture.bus_ns - START_NS) // S), abs=3)


def test_what_is_no_video_says_so(rec: DirectoryRecording) -> None:
    with pytest.raises(RecordingError, match="no one video 'monitor'; its videos: scope/video"):
        rec.video("monitor")
    with pytest.raises(RecordingError, match="is of kind numeric, not a video"):
        rec["monitor/hr"].frames()


def test_a_notebook_shows_channels_gaps_and_clocks(rec: DirectoryRecording) -> None:
    html = rec._repr_html_()
    assert ">monitor/hr<" in html
    assert "0.931 Hz" in html or "0.966 Hz" in html
    assert ">2<" in html  # missing
    assert "9 µs (≤ 40 µs)" in html
    assert ">locked<" in html
    assert "00:00:29.950" in html
    assert "never finished" not in html
    assert "<script" not in html


def test_html_from_a_devices_words_is_only_shown(tmp_path: Path) -> None:
    text = [frame("or1/tracker/status", Kind.TEXT, 0, 0.0, "<script>alert(1)</script>")]
    write_recording(tmp_path, [text])
    state = open_recording(tmp_path).at("00:00:00")
    assert "<script" not in state._repr_html_()
    assert "&lt;script&gt;" in state._repr_html_()


def test_a_clip_is_a_recording_of_its_own(rec: DirectoryRecording, tmp_path: Path) -> None:
    with rec.clip("00:00:05", "00:00:15", tmp_path / "clip") as clip:
        assert [s.seq for s in clip["monitor/hr"].between()] == list(range(6, 15))
        assert clip.at(clip.first_ns)["tracker/status"].sample.value == "追跡中 tracking"


def test_a_plot_draws_the_channels_and_leaves_holes_open(rec: DirectoryRecording) -> None:
    figure = rec.plot(["monitor/hr", "monitor/art", "tracker/probe"], ("00:00:01", "00:00:28"))
    assert [axis.get_ylabel().splitlines()[0] for axis in figure.axes] == [
        "monitor/hr", "monitor/art", "tracker/probe",
    ]  # fmt: skip
    band = figure.axes[1].collections[0].get_datalim(figure.axes[1].transData)
    values = rec.to_pandas("monitor/art", between=("00:00:01", "00:00:28"))["monitor/art"]
    assert (band.y0, band.y1) == pytest.approx((values.min(), values.max()))
    assert len(figure.axes[0].patches) == 1  # the alarm about the heart rate
    with pytest.raises(RecordingError, match="is of kind text; plot draws"):
        rec.plot("tracker/status")


def test_scot_open_gives_all_of_it(path: Path) -> None:
    with scot.open(path) as rec:
        assert rec["monitor/hr"].df.shape == (30, 3)


def test_a_recording_without_a_ledger_says_that_nothing_proves_it(
    rec: DirectoryRecording, path: Path
) -> None:
    assert "not verified yet" in rec._repr_html_()
    found = rec.verify()
    assert found.intact is None
    assert not found
    assert "cannot be verified" in repr(found)
    assert "every record can be read" in repr(found)
    assert "cannot be verified" in rec._repr_html_()


def test_a_live_room_that_is_not_up_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOT_STATE", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(RoomError):
        scot.open("bus:nowhere")
    with pytest.raises(RecordingError, match="needs a recording"):
        scot.open("bus:nowhere", sync="refined")
