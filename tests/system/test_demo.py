"""The demo as a stranger uses it: record it, ask what it holds, replay it, load it into pandas."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import scot

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def run(state: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run ``scot`` and return stdout and stderr; fails unless it ends with `code`."""
    done = subprocess.run(
        [sys.executable, "-c", "from scot.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "SCOT_STATE": str(state)},
    )
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """State folder, recording and what the demo said of itself."""
    state = tmp_path_factory.mktemp("state")
    recording = tmp_path_factory.mktemp("case") / "demo"
    out, _ = run(
        state,
        *("demo", "--headless", "--seconds", "20", "--skip", "60"),
        *("--record", str(recording), "--json"),
    )
    return state, recording, json.loads(out)


Recorded = tuple[Path, Path, dict[str, Any]]


def test_headless_demo_says_what_came_and_that_nothing_was_lost(recorded: Recorded) -> None:
    _, recording, said = recorded
    assert said["lost"] == 0
    assert {"monitor", "tracker", "scope"} <= set(said["devices"])
    assert all(said["devices"][d]["state"] == "running" for d in ("monitor", "tracker", "scope"))
    assert said["samples"] == sum(said["channels"].values()) > 1_000
    for name in ("monitor/hr", "monitor/ecg_ii", "tracker/probe", "scope/video"):
        assert said["channels"][f"or1/{name}"] > 0
    assert said["recording"] == str(recording)


def test_info_lists_every_channel_that_was_on_the_bus(recorded: Recorded) -> None:
    state, recording, said = recorded
    out, _ = run(state, "info", str(recording), "--json")
    listed = json.loads(out)["channels"]
    for address, count in said["channels"].items():
        assert listed[address]["count"] >= count, address
        assert {"kind", "unit", "count", "gaps"} <= set(listed[address])
        assert listed[address]["gaps"] == []
    assert listed["or1/monitor/hr"]["unit"] == "/min"


def test_a_replay_over_the_bus_has_the_recordings_digest_each_time(recorded: Recorded) -> None:
    state, recording, _ = recorded
    digests = {
        run(state, "replay", str(recording), "--rate", "max", "--digest")[0].strip()
        for _ in range(2)
    }
    assert digests == {scot.open(recording).digest()}


def test_pandas_holds_the_values_that_were_recorded(recorded: Recorded) -> None:
    _, recording, _ = recorded
    opened = scot.open(recording)
    table = opened.to_pandas(["monitor/hr", "tracker/probe"], rate="1s")
    rates = table["monitor/hr"].dropna()
    assert len(rates) >= 10
    assert rates.between(50, 140).all()
    assert table.attrs["units"]["monitor/hr"] == "/min"
    assert {"monitor/hr.bus_time", "monitor/hr.source_time"} <= set(table.columns)
    assert table["tracker/probe.x"].notna().any()


def test_a_wrong_command_line_names_its_fix(recorded: Recorded, tmp_path: Path) -> None:
    state, recording, _ = recorded
    cases = {
        ("info", str(tmp_path)): "nothing was recorded",
        ("replay", str(tmp_path / "nothing")): "recording",
        ("replay", str(recording), "--rate", "99"): "0.1 to 16",
        ("replay", str(recording), "--from", "9:00:00"): "past the end",
        ("replay", str(recording), "--from", "soon"): "[[H:]M:]S",
        ("up", str(tmp_path / "room.toml")): "existing room file",
        ("devices",): "scot demo",
        ("invite",): "scot demo",
    }
    for arguments, fix in cases.items():
        _, error = run(state, *arguments, code=1)
        assert fix in error, (arguments, error)
        assert len(error.strip().splitlines()) == 1, error


def test_a_busy_port_of_the_page_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _, error = run(tmp_path, "demo", "--no-browser", "--port", str(port), code=1)
    line = error.strip().splitlines()[-1]
    assert str(port) in line
    assert "--port" in line
