"""A calibration counts in the running room from then on, is recorded, and is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scot.bus.connection import Connection
from scot.cli import run
from scot.clock.latency import applied_ns
from scot.codec import read_header
from scot.config import load_room
from scot.room import free_ports
from scot.sample import Flags
from scot_devices.calibrate import command
from scot_devices.calibrate.lag import Lag
from scot_devices.calibrate.live import running_from, taken_off
from scot_replay.recording import open_recording
from tests.system.conftest import Collector, StartRoom

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

LATE_S = 0.4
PROBE = "or1/tracker/probe"
ROOM = """
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
options = {{ host = "127.0.0.1", port = {port} }}
"""


class Probe(Collector):
    """What came of the probe, and by how much later bus time is than the device's own."""

    def behind_s(self) -> float:
        header = self.deliveries[-1].header
        assert header.source_ns is not None
        return (header.bus_ns - header.source_ns) / 1e9


def found(lag_s: float) -> dict[str, Any]:
    lag = Lag(lag_s, 0.0004, 0.97, 55.0, 1300)
    return command.figures(("tracker/probe", "scope/video"), lag, 0.0, [0.0, 0.0])


async def test_it_is_applied_told_recorded_and_undone_without_a_restart(
    start_room: StartRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, recording = tmp_path / "room.toml", tmp_path / "case"
    file.write_text(ROOM.format(port=free_ports(1)[0]))
    room = start_room("up", str(file), "--headless", "--record", str(recording))
    monkeypatch.setenv("SCOT_STATE", str(room.state.parent))
    up = running_from(file)
    assert up is not None
    console = await Connection.join(room.link())
    seen = Probe()
    console.subscribe([PROBE], seen)

    def told_ns() -> int:
        channel = console.catalogue.channel(PROBE)
        return 0 if channel is None else applied_ns(channel)

    await seen.until(lambda: len(seen.deliveries) > 30, 20)
    plain_s = seen.behind_s()
    got = {**found(LATE_S), "stored": None, "applied": None}
    command.store(got, file, up)
    assert (got["stored"], got["applied"]) == (str(file), "or1")
    assert load_room(file).device[0].latency == taken_off(up, "tracker") is not None
    await seen.until(lambda: seen.behind_s() < plain_s - LATE_S / 2, 20)
    await seen.until(lambda: told_ns() == round(LATE_S * 1e9), 20)
    assert run(["calibrate", "--undo", "tracker/probe", "--room", str(file)]) == 0
    assert load_room(file).device[0].latency is None
    await seen.until(lambda: seen.behind_s() > plain_s - LATE_S / 2, 20)
    await seen.until(lambda: told_ns() == 0, 20)
    headers = [delivery.header for delivery in seen.deliveries]
    assert [h.bus_ns for h in headers] == sorted(h.bus_ns for h in headers)
    held = [h for h in headers if h.flags & Flags.DOUBTFUL]
    assert held
    assert all(h.err_ns is not None and h.err_ns < LATE_S * 1e9 * 1.5 for h in held)
    await console.close()
    assert room.stop() == 0

    opened = open_recording(recording)
    told = [
        applied_ns(channel)
        for _, catalogue in opened.catalogues
        if (channel := catalogue.channel(PROBE)) is not None
    ]
    changes = [ns for place, ns in enumerate(told) if not place or ns != told[place - 1]]
    assert changes == [0, round(LATE_S * 1e9), 0]
    opened.close()
    assert read_header(seen.deliveries[-1].frame).epoch == headers[0].epoch  # no restart
