"""``scot info`` and ``scot export`` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from scot.cli import run
from tests.golden.recording_frames import case
from tests.golden.recording_writing import write_recording

FRAMES = case(4.0, frozenset({("or1/monitor/hr", 1), ("or1/monitor/hr", 2)}))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write_recording(tmp_path / "rec", [FRAMES[:90], FRAMES[90:]], sealed=1)
    return tmp_path / "rec"


def test_info_lists_every_channel_with_kind_unit_count_and_gaps(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", str(recording), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    heart = found["channels"]["or1/monitor/hr"]
    assert (heart["kind"], heart["unit"], heart["count"], heart["missing"]) == (
        "numeric",
        "/min",
        2,
        2,
    )
    assert [(gap["first"], gap["last"], gap["count"]) for gap in heart["gaps"]] == [(1, 2, 2)]
    assert heart["first"] == "2026-11-18T11:06:03.000Z"
    assert found["samples"] == len(FRAMES)
    assert found["parts"] == ["journal-2.scotj", "segment-1.mcap"]
    assert found["workspace"] == "or1"
    assert found["damage"] == []
    assert len(found["channels"]) == 8


def test_info_for_people_names_what_is_damaged(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = recording / "journal-2.scotj"
    journal.write_bytes(journal.read_bytes()[:-3])
    assert run(["info", str(recording)]) == 0
    said = capsys.readouterr().out
    assert "or1/monitor/hr" in said
    assert f"{len(FRAMES)} samples of {len(FRAMES) + 2} expected" in said
    assert (
        "lost: or1/monitor/hr: 2 between 2026-11-18T11:06:03.000Z and 2026-11-18T11:06:06.000Z: "
        "never came" in said
    )
    assert "damage: journal-2.scotj: cut short" in said


def test_export_writes_the_channels_asked_for(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.csv"
    command = ["export", str(recording), str(out), "-c", "monitor/hr", "--rate", "native"]
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 4
    table = pd.read_csv(out, index_col="utc", parse_dates=True)
    assert table["monitor/hr [/min]"].isna().tolist() == [False, True, True, False]
    out = tmp_path / "t.parquet"
    assert run(["export", str(recording), str(out)]) == 0
    assert "tracker/probe.x" in pd.read_parquet(out).columns


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["info", "{rec}/nowhere"], "no such directory"),
        (["export", "{rec}", "{rec}/t.csv", "-c", "monitor/pulse"], "no channel 'monitor/pulse'"),
        (["export", "{rec}", "{rec}/t.avi"], "end it in one of .parquet, .csv, .mp4"),
        (["export", "{rec}", "{rec}/t.csv", "--rate", "often"], "no length of time"),
        (["export", "{rec}", "{rec}/no/t.csv"], "cannot be written"),
    ],
)
def test_what_is_wrong_is_one_line_on_stderr_and_exit_code_1(
    recording: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run([argument.format(rec=recording) for argument in arguments]) == 1
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
