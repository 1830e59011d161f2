"""pandas gets true values at true times, and NaN wherever nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scot.channel import Kind
from scot.codec import Frame, encode, read_header
from scot.errors import RecordingError
from scot.health.fields import declare
from scot.sample import Flags, NumericValue, PoseValue, Sample, Validity
from scot.timestamp import ClockState, Timestamp
from scot_replay.columns import columns
from scot_replay.formats.table import safe_csv, write_table
from scot_replay.found import Found
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.rows import of
from tests.golden.recording_frames import START_NS, S, case, frame, pressure
from tests.golden.recording_writing import write_recording

LOST = frozenset(
    {
        ("or1/monitor/hr", 4),
        ("or1/monitor/hr", 5),
        ("or1/tracker/probe", 100),
        ("or1/monitor/art", 10),
    }
)
FIRST = pd.Timestamp(START_NS - 37 * S, tz="UTC")


@pytest.fixture
def recording(tmp_path: Path) -> DirectoryRecording:
    frames = case(12.0, LOST)
    write_recording(tmp_path, [frames[:300], frames[300:]], sealed=1)
    return open_recording(tmp_path)


def recording_of(path: Path, frames: list[Frame]) -> DirectoryRecording:
    write_recording(path, [frames])
    return open_recording(path)


def test_a_numeric_at_its_own_times(recording: DirectoryRecording) -> None:
    table = recording.to_pandas(["monitor/hr"])
    assert list(table.columns) == ["monitor/hr", "monitor/hr.bus_time", "monitor/hr.source_time"]
    assert str(table.index.dtype) == "datetime64[ns, UTC]"
    assert table.index[0] == FIRST
    assert table["monitor/hr"].tolist()[:4] == [70.0, 71.0, 72.0, 73.0]
    assert table["monitor/hr.bus_time"].iloc[1] == FIRST + pd.Timedelta("1s")
    assert table["monitor/hr.source_time"].tolist()[:3] == [0, S, 2 * S]


def test_lost_samples_are_rows_of_nan_between_their_neighbours(
    recording: DirectoryRecording,
) -> None:
    table = recording.to_pandas(["monitor/hr"])
    assert len(table) == 12
    lost = table[table["monitor/hr"].isna()]
    assert [(t - FIRST).total_seconds() for t in lost.index] == [4.0, 5.0]
    assert lost["monitor/hr.source_time"].isna().all()
    assert lost["monitor/hr.bus_time"].isna().all()  # the row's time is a guess
    assert table.attrs["missing"] == {"monitor/hr": 2}


def test_units_and_codes_are_in_attrs(recording: DirectoryRecording) -> None:
    table = recording.to_pandas(["monitor/hr", "tracker/probe"], rate="1s")
    assert table.attrs["units"]["monitor/hr"] == "/min"
    assert table.attrs["units"]["tracker/probe.x"] == "mm"
    assert table.attrs["codes"]["monitor/hr"] == "MDC_ECG_HEART_RATE"
    assert table.attrs["workspace"] == "or1"


def test_two_channels_on_one_grid(recording: DirectoryRecording) -> None:
    table = recording.to_pandas(["monitor/hr", "tracker/probe"], rate="1s")
    assert len(table) == 12
    assert table.index[0] == FIRST
    assert table["monitor/hr"].iloc[7] == 77.0
    assert table["tracker/probe.x"].iloc[7] == pytest.approx(7.0)
    assert table["tracker/probe.qw"].iloc[7] == 1.0
    assert table["tracker/probe.err_mm"].iloc[7] == pytest.approx(0.3)
    assert np.isnan(table["monitor/hr"].iloc[4])
    assert np.isnan(table["monitor/hr"].iloc[5])
    assert np.isnan(table["tracker/probe.x"].iloc[5])  # seq 100, at 5.0 s, was lost
    assert table["tracker/probe.x"].iloc[6] == pytest.approx(6.0)


def test_the_last_value_counts_until_its_tolerance_and_not_longer(tmp_path: Path) -> None:
    hr = "or1/monitor/hr"
    frames = [
        frame(hr, Kind.NUMERIC, seq, t, NumericValue(60.0 + seq))
        for seq, t in enumerate([0.0, 1.0, 9.0])
    ]
    opened = recording_of(tmp_path, frames)
    values = opened.to_pandas(["monitor/hr"], rate="1s")["monitor/hr"]
    assert values.iloc[6] == 61.0  # 5 s: stale_after_s of the channel
    assert np.isnan(values.iloc[7])
    values = opened.to_pandas(["monitor/hr"], rate="1s", tolerance="2s")["monitor/hr"]
    assert values.iloc[3] == 61.0
    assert np.isnan(values.iloc[4])
    nearest = opened.to_pandas(["monitor/hr"], rate="1s", how="nearest", tolerance="2s")
    assert nearest["monitor/hr"].iloc[8] == 62.0
    assert np.isnan(nearest["monitor/hr"].iloc[5])


def test_what_the_device_calls_invalid_is_no_number(tmp_path: Path) -> None:
    hr, probe = "or1/monitor/hr", "or1/tracker/probe"
    frames = [
        frame(hr, Kind.NUMERIC, 0, 0.0, NumericValue(60.0)),
        frame(hr, Kind.NUMERIC, 1, 1.0, NumericValue(0.0, Validity.INVALID)),
        frame(hr, Kind.NUMERIC, 2, 2.0, NumericValue(61.0), flags=Flags.INVALID),
        frame(hr, Kind.NUMERIC, 3, 3.0, NumericValue(None)),
        frame(hr, Kind.NUMERIC, 4, 4.0, NumericValue(62.0, Validity.QUESTIONABLE)),
        frame(
            probe, Kind.POSE, 0, 4.0, PoseValue((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0), 0.1, False)
        ),
    ]
    opened = recording_of(tmp_path, frames)
    values = opened.to_pandas(["monitor/hr"])["monitor/hr"].tolist()
    assert values[0] == 60.0
    assert all(np.isnan(v) for v in values[1:4])
    assert values[4] == 62.0
    pose = opened.to_pandas(["tracker/probe"]).iloc[0]
    assert np.isnan(pose["tracker/probe.x"])  # the tracker could not see it
    assert pose["tracker/probe.quality"] == pytest.approx(0.1)


def test_a_waveform_at_its_native_rate_with_its_lost_block(recording: DirectoryRecording) -> None:
    table = recording.to_pandas(["monitor/art"])
    assert len(table) == 60 * 25
    steps = np.diff(table.index.asi8)
    assert set(steps) == {8_000_000}  # 125 Hz, without a hole
    values = table["monitor/art"].to_numpy()
    assert np.isnan(values[250:275]).all()
    assert not np.isnan(np.delete(values, slice(250, 275))).any()
    assert values[275:300].tolist() == pressure(11).tolist()


def test_a_block_the_device_calls_invalid_is_nan(tmp_path: Path) -> None:
    frames = [
        frame("or1/monitor/art", Kind.WAVEFORM, n, n / 5, pressure(n), flags=flags)
        for n, flags in enumerate([Flags(0), Flags.INVALID, Flags(0)])
    ]
    values = recording_of(tmp_path, frames).to_pandas(["monitor/art"])["monitor/art"]
    assert values.isna().tolist() == [False] * 25 + [True] * 25 + [False] * 25


def test_a_waveform_on_a_grid_by_mean_min_and_max(recording: DirectoryRecording) -> None:
    native = recording.to_pandas(["monitor/art"])["monitor/art"]
    for how in ("mean", "min", "max"):
        table = recording.to_pandas(["monitor/art"], rate="1s", how=how)["monitor/art"]
        inside = native[(native.index > table.index[4]) & (native.index <= table.index[5])]
        assert table.iloc[5] == pytest.approx(getattr(inside, how)())


def test_a_period_without_a_sample_is_nan(tmp_path: Path) -> None:
    hr = "or1/monitor/hr"
    frames = [frame(hr, Kind.NUMERIC, n, t, NumericValue(5.0)) for n, t in enumerate([0.0, 4.5])]
    for how in ("mean", "min", "max"):
        path = tmp_path / how
        values = recording_of(path, frames).to_pandas(["monitor/hr"], rate="1s", how=how)
        assert np.isnan(values["monitor/hr"].iloc[1:5]).all()


def test_a_stretch_of_time_by_utc_or_by_bus_time(recording: DirectoryRecording) -> None:
    by_utc = recording.to_pandas(
        ["monitor/hr"], between=(FIRST + pd.Timedelta("2s"), FIRST + pd.Timedelta("4s"))
    )
    assert by_utc["monitor/hr"].tolist() == [72.0, 73.0]
    by_bus = recording.to_pandas(["monitor/hr"], between=(START_NS + 2 * S, START_NS + 4 * S))
    pd.testing.assert_frame_equal(by_utc, by_bus)
    text = str((FIRST + pd.Timedelta("2s")).tz_localize(None))
    by_text = recording.to_pandas(["monitor/hr"], between=(text, FIRST + pd.Timedelta("4s")))
    pd.testing.assert_frame_equal(by_utc, by_text)


def test_a_stretch_on_a_grid_knows_what_was_true_before_it(recording: DirectoryRecording) -> None:
    stretch = (START_NS + 2 * S + S // 2, START_NS + 9 * S)
    table = recording.to_pandas(["monitor/hr", "tracker/status"], "500ms", between=stretch)
    assert table["monitor/hr"].tolist()[:2] == [72.0, 73.0]
    assert (table["tracker/status"] == "追跡中 tracking").all()  # latched: no age limit


def test_times_of_one_channel_that_are_out_of_order_lose_nothing(tmp_path: Path) -> None:
    hr = "or1/monitor/hr"
    times = [0.0, 1.0, 3.0, 2.0, 4.0]
    frames = [frame(hr, Kind.NUMERIC, n, t, NumericValue(float(n))) for n, t in enumerate(times)]
    table = recording_of(tmp_path, frames).to_pandas(["monitor/hr"])
    assert table["monitor/hr"].tolist() == [0.0, 1.0, 3.0, 2.0, 4.0]
    assert table.attrs["missing"] == {"monitor/hr": 0}


def test_a_new_start_of_the_publisher_is_no_gap(tmp_path: Path) -> None:
    hr = "or1/monitor/hr"
    frames = [frame(hr, Kind.NUMERIC, n, float(n), NumericValue(1.0)) for n in range(3)]
    frames += [
        frame(hr, Kind.NUMERIC, n, 5.0 + n, NumericValue(2.0), epoch=START_NS + 4 * S)
        for n in range(2)
    ]
    table = recording_of(tmp_path, frames).to_pandas(["monitor/hr"])
    assert table["monitor/hr"].tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("tracker/status", "tracker/status", "追跡中 tracking"),
        ("monitor/alarms", "monitor/alarms.text", "HR high"),
        ("monitor/alarms", "monitor/alarms.present", True),
        ("room/clock", "room/clock", '{"source":"monitor","map_id":0}'),
        ("scope/video", "scope/video.keyframe", 1.0),
        ("scope/video", "scope/video.size", 905.0),
    ],
)
def test_other_kinds_have_columns_too(
    recording: DirectoryRecording, name: str, column: str, value: object
) -> None:
    assert recording.to_pandas([name])[column].iloc[0] == value


def test_a_channel_that_was_announced_but_never_spoke_is_empty(
    recording: DirectoryRecording,
) -> None:
    table = recording.to_pandas(["monitor/hr", "room/notes"], rate="1s")
    assert table["room/notes.text"].isna().all()
    assert recording.to_pandas(["room/notes"]).empty


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"channels": ["monitor/pulse"], "rate": "1s"}, "no channel 'monitor/pulse'"),
        ({"channels": []}, "at least one"),
        ({"channels": ["monitor/hr", "tracker/probe"]}, "name a rate"),
        ({"channels": ["monitor/hr"], "rate": "fast"}, "no length of time"),
        ({"channels": ["monitor/hr"], "rate": "-1s"}, "no length of time"),
        ({"channels": ["monitor/hr"], "rate": "1ns"}, "choose a longer rate"),
        ({"channels": ["monitor/hr"], "rate": "1s", "how": "median"}, "use one of last"),
        ({"channels": ["tracker/probe"], "rate": "1s", "how": "mean"}, "has no meaning"),
        ({"channels": ["monitor/hr"], "between": ("soon", "later")}, "is no time"),
        ({"channels": ["monitor/hr"], "between": (5, 5)}, "lies no time"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    recording: DirectoryRecording, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(RecordingError, match=says):
        recording.to_pandas(**arguments)  # type: ignore[arg-type]


def test_csv_cannot_run_as_a_formula(tmp_path: Path) -> None:
    evil = ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(1)", "\tx", "harmless = yes"]
    frames = [
        frame("or1/tracker/status", Kind.TEXT, n, float(n), text) for n, text in enumerate(evil)
    ]
    frames.append(frame("or1/monitor/hr", Kind.NUMERIC, 0, 6.0, NumericValue(-3.5)))
    opened = recording_of(tmp_path / "rec", frames)
    out = tmp_path / "table.csv"
    write_table(opened, out, ["tracker/status", "monitor/hr"], "1s")
    back = pd.read_csv(out)
    texts = back["tracker/status"].dropna().tolist()
    assert not any(text.startswith(("=", "+", "-", "@", "\t")) for text in texts)
    assert texts[0] == f"'{evil[0]}"
    assert "harmless = yes" in texts
    assert back["monitor/hr [/min]"].iloc[-1] == -3.5  # numbers stay numbers


def test_parquet_keeps_values_times_and_units(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    out = tmp_path / "table.parquet"
    written = write_table(recording, out, [], "1s")
    assert written["channels"] == ["monitor/hr", "tracker/probe"]
    back = pd.read_parquet(out)
    expected = recording.to_pandas(["monitor/hr", "tracker/probe"], rate="1s")
    pd.testing.assert_frame_equal(back, expected, check_freq=False)
    assert back.attrs["units"]["monitor/hr"] == "/min"


def test_export_does_not_write_over_a_file_unasked(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    out = tmp_path / "table.csv"
    out.write_text("mine")
    with pytest.raises(RecordingError, match="exists"):
        write_table(recording, out, ["monitor/hr"], "1s")
    assert out.read_text() == "mine"
    write_table(recording, out, ["monitor/hr"], "1s", force=True)
    assert out.read_text() != "mine"
    with pytest.raises(RecordingError, match=r"end it in \.parquet or \.csv"):
        write_table(recording, tmp_path / "table.xlsx", ["monitor/hr"], "1s")
    assert sorted(p.name for p in tmp_path.glob("table*")) == ["table.csv"]


def test_the_csv_of_a_table_leaves_the_table_alone(recording: DirectoryRecording) -> None:
    table = recording.to_pandas(["tracker/status"])
    safe_csv(table)
    assert table["tracker/status"].iloc[0] == "追跡中 tracking"


def test_figures_an_event_declares_are_columns_with_their_units() -> None:
    channel = declare({"sent.hz": ("/s", "rate", "毎秒")})
    said: list[dict[str, Any]] = [{"sent": {"hz": 25.5}, "held": 3}, {"sent": 7}, {}]
    found = []
    for seq, value in enumerate(said):
        time = Timestamp(None, START_NS + seq * S, 0, 0, ClockState.LOCKED)
        one = encode(Sample("or1/m/health", 1, seq, time, Flags(0), value), Kind.EVENT)
        header = read_header(one)
        found.append(Found(header.bus_ns, one.address, 1, seq, header, one))
    known = columns(of(found, Kind.EVENT), channel)
    assert known.values[""][0] == '{"sent":{"hz":25.5},"held":3}'
    assert known.values[".sent.hz"].tolist()[0] == 25.5
    assert np.isnan(known.values[".sent.hz"].tolist()[1:]).all()
    assert known.values[".held"].tolist()[0] == 3.0
    assert known.units[".sent.hz"] == "/s"
    assert known.units[".held"] == "{sample}"
