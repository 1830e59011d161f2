"""A room whose parts are killed, absent or mute goes on, says so, and loses nothing recorded."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import scot
from scot.bus.connection import Connection
from scot.channel import Lifecycle
from scot.cli import run
from scot.room import free_ports
from tests.system.conftest import Collector, RunningRoom, StartRoom

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

TRACKER_ROOM = """
[room]
workspace = "or1"
[dashboard]
enabled = false

[[simulator]]
name = "tracker_sim"
module = "scot_devices.simulators.tracker"
arguments = ["--port", "{port}", "--no-occlusion"]

[[device]]
name = "tracker"
provider = "openigtlink"
silence_limit_s = 1.0
options = {{ host = "127.0.0.1", port = {port} }}

[[device]]
name = "absent"
provider = "openigtlink"
options = {{ host = "127.0.0.1", port = {nobody} }}
"""


@pytest.fixture
def tracker_room(start_room: StartRoom, tmp_path: Path) -> RunningRoom:
    """A small room: one tracker, and one device that nobody plugged in."""
    port, nobody = free_ports(2)
    file = tmp_path / "room.toml"
    file.write_text(TRACKER_ROOM.format(port=port, nobody=nobody))
    return start_room("up", str(file), "--record", str(tmp_path / "case"))


async def poses(room: RunningRoom, collector: Collector) -> Connection:
    """Join, and wait until poses come."""
    connection = await Connection.join(room.link())
    connection.subscribe(["or1/tracker/"], collector, from_start=True)
    await collector.until(lambda: len(collector.seqs("or1/tracker/probe")) > 30, 20)
    return connection


@pytest.mark.parametrize("victim", ["broker", "recorder", "tracker"])
async def test_a_killed_process_is_started_again_and_no_pose_is_lost(
    tracker_room: RunningRoom, victim: str
) -> None:
    collector = Collector()
    connection = await poses(tracker_room, collector)
    try:
        old = tracker_room.pids[victim]
        os.kill(old, signal.SIGKILL)
        await collector.until(lambda: tracker_room.pids.get(victim, old) != old, 10)
        came = len(collector.deliveries)
        await collector.until(lambda: len(collector.deliveries) > came + 200, 15)
        await collector.until(lambda: not connection.lost, 5)
    finally:
        await connection.close()
    assert tracker_room.stop() == 0
    epochs: dict[int, set[int]] = {}
    for delivery in collector.deliveries:
        if delivery.frame.address == "or1/tracker/probe":
            epochs.setdefault(delivery.header.epoch, set()).add(delivery.header.seq)
    assert len(epochs) == (2 if victim == "tracker" else 1)
    newest = epochs[max(epochs)]
    assert newest == set(range(max(newest) + 1))


async def test_an_absent_device_is_named_and_the_others_go_on(
    tracker_room: RunningRoom,
) -> None:
    connection = await poses(tracker_room, Collector())
    try:
        devices = connection.catalogue.devices
        assert devices["tracker"].state is Lifecycle.RUNNING
        absent = devices["absent"]
        assert absent.state in (Lifecycle.DISCONNECTED, Lifecycle.CONNECTING)
        assert "127.0.0.1" in absent.reason
    finally:
        await connection.close()


async def test_a_device_that_falls_silent_and_comes_back_is_shown_as_it_is(
    tracker_room: RunningRoom,
) -> None:
    collector = Collector()
    connection = await poses(tracker_room, collector)

    def state() -> Any:
        return connection.catalogue.devices["tracker"].state

    simulator = tracker_room.pids["sim-tracker_sim"]
    try:
        os.kill(simulator, signal.SIGSTOP)
        try:
            await collector.until(lambda: state() is not Lifecycle.RUNNING, 5)
        finally:
            os.kill(simulator, signal.SIGCONT)
        await collector.until(lambda: state() is Lifecycle.RUNNING, 15)
    finally:
        await connection.close()


async def test_what_was_recorded_before_the_recorder_was_killed_is_whole(
    tracker_room: RunningRoom, tmp_path: Path
) -> None:
    collector = Collector()
    connection = await poses(tracker_room, collector)
    before = set(collector.seqs("or1/tracker/probe"))
    try:
        await collector.until(lambda: len(collector.deliveries) > 500, 15)
        os.kill(tracker_room.pids["recorder"], signal.SIGKILL)
        came = len(collector.deliveries)
        await collector.until(lambda: len(collector.deliveries) > came + 400, 20)
    finally:
        await connection.close()
    assert tracker_room.stop() == 0
    opened = scot.open(tmp_path / "case")
    table = opened.to_pandas(["tracker/probe"])
    assert len(table) >= len(before)
    assert opened.channels["or1/tracker/probe"].gaps == []


def test_a_second_room_of_the_same_name_is_refused(
    tracker_room: RunningRoom, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state = os.environ.get("SCOT_STATE")
    os.environ["SCOT_STATE"] = str(tracker_room.state.parent)
    try:
        code = run(["up", str(tmp_path / "room.toml")])
    finally:
        del os.environ["SCOT_STATE"]
        if state is not None:
            os.environ["SCOT_STATE"] = state
    assert code == 1
    assert "already up" in capfd.readouterr().err
    assert tracker_room.process.poll() is None
