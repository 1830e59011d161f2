"""`scot calibrate` on a recording: what it refuses in one line, stores, prints and undoes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scot.channel import Channel, Pose, Video, Waveform
from scot.cli import run
from scot.config import load_room
from scot.sample import Flags, PoseValue, Sample
from scot.timestamp import ClockState, Timestamp
from scot_devices.calibrate import command
from scot_devices.calibrate.gather import Pictures, Poses, Taker, Wave
from scot_devices.calibrate.lag import Lag

RECORDING = Path(__file__).parent.parent / "golden" / "recording-1"
ROOM = """\
[[device]]
name = "scope"
provider = "video"
[device.options]
source = "/dev/video0"   # the tower
"""


def said(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    return error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "two channels are needed"),
        (["scope/video"], "two channels are needed"),
        (["scope/none", "tracker/probe", "-r", str(RECORDING)], "no channel 'scope/none'"),
        (["--undo", "scope/video"], "needs the room file"),
        (["a/b", "c/d", "--room", "/nowhere/room.toml"], "cannot be read"),
    ],
)
def test_a_wrong_call_is_answered_in_one_line_that_says_what_to_do(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["calibrate", *arguments]) == 1
    assert says in said(capsys)


def found(**more: Any) -> dict[str, Any]:
    lag = Lag(0.0811, 0.0004, 0.97, 55.0, 1300)
    figures = command.figures(("scope/video", "tracker/probe"), lag, 0.0, [0.0001, 0.0003])
    return {
        **figures,
        "not_a_clock_error": "",
        "stored": None,
        "applied": None,
        "lines": None,
        **more,
    }


def test_the_doubt_of_both_clocks_is_added_to_that_of_the_content() -> None:
    got = found()
    assert got["latency_ms"] == 81.1
    assert got["content_err_ms"] == 0.4
    assert got["clock_err_ms"] == 0.316
    assert got["err_ms"] == 0.51
    unknown = command.figures(("a/b", "c/d"), Lag(0.0, 0.001, 1, 60, 9), 0.0, [None, 0.0])
    assert unknown["clock_err_ms"] is None


def test_a_second_calibration_adds_to_what_is_taken_off_already() -> None:
    lag = Lag(-0.002, 0.0004, 0.97, 55.0, 1300)
    got = command.figures(("scope/video", "tracker/probe"), lag, 81.0, [0.0, 0.0])
    assert got["latency_ms"] == 79.0


def test_it_is_written_read_by_the_room_and_undone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "room.toml"
    path.write_text(ROOM)
    got = found()
    command.store(got, path)
    assert got["stored"] == str(path)
    latency = load_room(path).device[0].latency
    assert latency is not None
    assert latency.latency().value_ns == 81_100_000
    assert (latency.against, latency.channel) == ("tracker/probe", "video")
    assert run(["calibrate", "--undo", "scope/video", "--room", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["undone"] is True
    assert path.read_text() == ROOM
    assert run(["calibrate", "--undo", "scope/video", "--room", str(path)]) == 0
    assert "had no latency" in capsys.readouterr().out


def test_without_a_room_file_the_lines_to_add_are_printed() -> None:
    got = found()
    command.store(got, None)
    assert got["stored"] is None
    text = "\n".join(command.lines(got))
    assert "81.10 ms late, ± 0.51 ms likely" in text
    assert "[device.latency]\nvalue_ms = 81.1\n" in text


def wave(channel: Channel, late_s: float) -> Wave:
    at = np.cumsum(0.8 + 0.05 * np.sin(np.arange(60) / 3.0)) + late_s
    taker = Wave(channel)
    for second in range(40):
        t = second + np.arange(125) / 125
        values = np.exp(-0.5 * ((t[:, None] - at) / 0.02) ** 2).sum(axis=1).astype(np.float32)
        time = Timestamp(None, second * 10**9, None, 100_000, ClockState.LOCKED)
        taker.take(Sample("or1/monitor/w", 0, second, time, Flags(0), values))
    return taker


def test_from_ecg_to_pleth_is_told_as_physiology_and_never_stored() -> None:
    ecg = Waveform("ecg_ii", unit="mV", code="MDC_ECG_ELEC_POTL_II", rate_hz=125.0)
    pleth = Waveform("pleth", unit="%", code="MDC_PULS_OXIM_PLETH", rate_hz=125.0)
    names = ("monitor/pleth", "monitor/ecg_ii")
    got = command.compare(names, pleth, wave(pleth, 0.25), ecg, wave(ecg, 0.0))
    assert got["lag_ms"] == pytest.approx(250.0, abs=3.0)
    assert not got["store"]
    text = " ".join(command.lines(got))
    assert "no clock error and is not stored: pulse transit time" in text
    twin = command.compare(
        ("other/ecg_ii", "monitor/ecg_ii"), ecg, wave(ecg, 0.1), ecg, wave(ecg, 0.0)
    )
    assert twin["store"]
    assert twin["latency_ms"] == pytest.approx(100.0, abs=3.0)


def test_hidden_poses_leave_a_hole_and_a_calibrations_own_doubt_is_not_counted_twice() -> None:
    taker = Poses(Pose("probe", attrs={"latency_ns": 5, "latency_err_ns": 40_000}))
    for i in range(300):
        value = PoseValue((float(i), 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), visible=i % 10 != 3)
        time = Timestamp(None, i * 10_000_000, None, 100_000, ClockState.ONE_WAY)
        taker.take(Sample("or1/tracker/probe", 0, i, time, Flags(0), value))
    assert taker.track(0).times_s.size == 270
    assert taker.errors.typical_s == pytest.approx(60e-6)
    assert taker.recent_speed() == pytest.approx(100.0, rel=0.2)


def test_a_broken_picture_is_counted_and_the_rest_goes_on() -> None:
    taker: Taker = Pictures(Video("video"))
    for i in range(5):
        time = Timestamp(None, i * 10**7, None, None, ClockState.UNSYNCED)
        taker.take(Sample("or1/scope/video", 0, i, time, Flags.KEYFRAME, b"\0\0\1\x65" + bytes(40)))
    assert isinstance(taker, Pictures)
    assert taker.count == 0
    assert taker.errors.typical_s is None
