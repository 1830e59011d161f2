"""What goes wrong in a room is seen in its health, by scot top, by doctor and by Prometheus."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from prometheus_client.parser import text_string_to_metric_families

from scot.bus.connection import Connection
from scot.bus.publisher import KEEP_BYTES, WINDOW
from scot.bus.socket import CONTROL_BYTES, connect, context
from scot.bus.subscriber import Delivery
from scot.channel import Device, Lifecycle, Numeric, Waveform
from scot.clock import machine
from scot.clock.probe import Probe, Request, encode
from scot.health import HEALTH, Health, read
from scot.room import free_ports
from scot.sample import Flags, NumericValue, Sample
from tests.system.conftest import BusProcess, Collector, RunningRoom, StartRoom

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

ROOM = """
[dashboard]
port = 0

[[simulator]]
name = "tracker_sim"
module = "scot_devices.simulators.tracker"
arguments = ["--port", "{port}", "--no-occlusion"]

[[device]]
name = "tracker"
provider = "openigtlink"
silence_limit_s = 1.0
options = {{ host = "127.0.0.1", port = {port} }}
"""
FORGED = Numeric("hr", unit="/min")
LOAD = Waveform("load", unit="1", rate_hz=1_000.0)


@pytest.fixture
def tracker_room(start_room: StartRoom, tmp_path: Path) -> RunningRoom:
    """A small room with a page, recorded."""
    (port,) = free_ports(1)
    file = tmp_path / "room.toml"
    file.write_text(ROOM.format(port=port))
    return start_room("up", str(file), "--record", str(tmp_path / "case"))


class Watcher(Collector):
    """A collector that also keeps everybody's health, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, list[Health]] = {}
        self._place: dict[str, int] = {}

    def handle(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            if delivery.channel.name == HEALTH.name:
                device = delivery.frame.address.split("/")[1]
                self.said.setdefault(device, []).append(read(delivery.frame.payload))
        super().handle(batch)

    async def says(
        self, device: str, what: Callable[[Health], bool], within_s: float = 15.0
    ) -> Health:
        """Return the next health of a device of which `what` holds."""

        def seen() -> bool:
            said, place = self.said.get(device, []), self._place.get(device, 0)
            while place < len(said) and not what(said[place]):
                place += 1
            self._place[device] = place
            return place < len(said)

        await self.until(seen, within_s)
        return self.said[device][self._place[device]]


def scrape(room: RunningRoom, token: str | None) -> tuple[int, dict[tuple[str, ...], float]]:
    """Return status and samples, by name and values of labels, of one scrape."""
    url = room.facts["dashboard"]["metrics"]
    assert url.startswith("http://127.0.0.1:")
    request = urllib.request.Request(url)  # noqa: S310 - checked above
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {}
    return 200, {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metrics_token(room: RunningRoom) -> str:
    path = Path(room.facts["dashboard"]["token"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text()


async def scot(room: RunningRoom, *arguments: str) -> tuple[int, Any]:
    """Run a command on the room and return its exit code and its JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from scot.cli import main; main()", *arguments, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "SCOT_STATE": str(room.state.parent)},
        cwd=room.state,
    )
    out, errors = await process.communicate()
    assert out, errors.decode()
    return process.returncode or 0, json.loads(out)


async def test_a_mute_device_a_denied_publisher_and_a_full_queue_are_seen_by_everybody(
    tracker_room: RunningRoom,
) -> None:
    token = metrics_token(tracker_room)
    wall = tracker_room.url.partition("wall=")[2]
    watcher = Watcher()
    console = await Connection.join(tracker_room.link())
    forger = await Connection.join(tracker_room.link("dashboard"))
    simulator, broker = (tracker_room.pids[name] for name in ("sim-tracker_sim", "broker"))
    try:
        console.subscribe(["or1/"], watcher)
        well = await watcher.says("tracker", lambda h: h.sent.ctl.samples_hz > 30)
        assert (well.silent, well.held, well.restarts) == ({}, 0, 0)
        assert well.times is not None
        assert well.times.state == "one-way"
        (await watcher.says("recorder", lambda h: (h.disk_left_s or 0) > 0))
        assert scrape(tracker_room, None)[0] == 401
        assert scrape(tracker_room, wall)[0] == 401  # it opens the wall and nothing else
        status, found = scrape(tracker_room, token)
        assert status == 200
        assert found["scot_device_up", "tracker"] == 1
        assert found["scot_sent_samples_total", "ctl", "tracker"] > 0
        code, sheet = await scot(tracker_room, "top")
        assert code == 0
        assert {row["device"] for row in sheet["devices"]} == {
            *("tracker", "room", "recorder", "consult", "alarms")
        }

        os.kill(simulator, signal.SIGSTOP)
        for seq in range(5):  # a key that publishes another device's channel
            time = console.clock.stamp()
            value = NumericValue(60.0)
            sample = Sample("or1/tracker/hr", 1, seq, time, Flags(0), value)
            forger.publish(sample, FORGED)
        denied = await watcher.says("room", lambda h: h.denied_of.get("dashboard", 0) >= 5)
        assert denied.denied == sum(denied.denied_of.values())
        mute = await watcher.says("tracker", lambda h: "probe" in h.silent)
        assert mute.silent["probe"] >= 1.0  # said to a tenth of a second
        assert mute.state != "running"

        code, rows = await scot(tracker_room, "doctor")
        assert code == 1
        said = {row["what"]: row for row in rows if row["level"] != "ok"}
        (gone,) = [row for what, row in said.items() if what.startswith("tracker is ")]
        assert str(tracker_room.state / "logs" / "tracker.log") in gone["fix"]
        (key,) = [row for what, row in said.items() if what.startswith("key dashboard: 5 ")]
        assert key["level"] == "problem"
        assert [row["level"] for row in rows if row["check"] == "sockets"] == ["ok"]
        assert not [what for what in said if "without a key" in what]  # doctor itself has one
        _, found = scrape(tracker_room, token)
        assert found["scot_denied_total", "dashboard"] == 5
        assert found["scot_device_up", "tracker"] == 0
        assert found["scot_device_silent_channels", "tracker"] >= 1

        os.kill(simulator, signal.SIGCONT)
        await watcher.says("tracker", lambda h: h.state == "running" and not h.silent)
        await fill_the_queue(forger, broker, watcher)
        _, found = scrape(tracker_room, token)
        assert found["scot_dropped_samples_total", "ctl", "dashboard"] == forger.dropped > 0
        for device in ("room", "recorder", "consult"):
            assert undeclared(console, watcher, device) == set()
    finally:
        os.kill(simulator, signal.SIGCONT)
        os.kill(broker, signal.SIGCONT)
        await forger.close()
        await console.close()


def undeclared(console: Connection, watcher: Watcher, device: str) -> set[str]:
    """Figures of a part of the room that the catalogue gives no unit."""
    channel = console.catalogue.channel(f"or1/{device}/health")
    assert channel is not None
    said: set[str] = set()
    for delivery in watcher.deliveries:
        if delivery.frame.address == f"or1/{device}/health":
            value = msgspec.msgpack.decode(delivery.frame.payload)
            said |= {name for name, one in value.items() if isinstance(one, int | float)}
    assert said
    return said - set(channel.attrs["fields"])


async def test_a_clock_probe_that_was_made_up_is_shown_under_its_key_and_no_other(
    bus: BusProcess,
) -> None:
    watcher = Watcher()
    console = await Connection.join(bus.link("console"))
    ctx = context()
    liar = ctx.socket(zmq.DEALER)
    try:
        console.subscribe(["or1/room/"], watcher)
        connect(liar, bus.link("monitor"), "probe", CONTROL_BYTES, 16)
        for number in range(3):  # answers that this service never gave
            probe = Probe(number, number + 1, number + 2, number + 3)
            liar.send(encode(Request(machine.monotonic_ns(), probe)))
        said = await watcher.says("room", lambda h: h.probes_refused_of.get("monitor", 0) >= 3)
        assert set(said.probes_refused_of) == {"monitor"}
        assert said.probes_refused == said.probes_refused_of["monitor"]
        assert (said.state, said.faults) == ("running", 0)
    finally:
        liar.close(linger=0)
        ctx.term()
        await console.close()


async def fill_the_queue(publisher: Connection, broker: int, watcher: Watcher) -> None:
    """Publish to a broker that takes nothing: what waits is said, then what has no room."""
    device = Device(name="dashboard", provider="test", state=Lifecycle.RUNNING)
    await publisher.announce(msgspec.structs.replace(device, channels={LOAD.name: LOAD}))
    await watcher.says("dashboard", lambda health: health.held == 0)
    epoch = publisher.clock.now()

    def publish(count: int, values: int, first: int) -> None:
        for seq in range(first, first + count):
            block = np.zeros(values, np.float32)
            time = publisher.clock.stamp()
            sample = Sample("or1/dashboard/load", epoch, seq, time, Flags(0), block)
            publisher.publish(sample, LOAD)

    os.kill(broker, signal.SIGSTOP)
    publish(WINDOW["ctl_in"] + 100, 10, 0)
    held = publisher.held
    assert held > 0
    await watcher.until(lambda: publisher.held > held)  # its health waits in the same queue
    os.kill(broker, signal.SIGCONT)
    waited = await watcher.says("dashboard", lambda health: health.held > 0)
    assert waited.sent.ctl.waiting == waited.held
    await watcher.says("dashboard", lambda health: health.held == 0)

    os.kill(broker, signal.SIGSTOP)
    size = KEEP_BYTES["ctl_in"] // WINDOW["ctl_in"] + 1_000
    publish(WINDOW["ctl_in"] + 40, size // 4, WINDOW["ctl_in"] + 100)
    assert publisher.dropped > 0
    os.kill(broker, signal.SIGCONT)
    await watcher.says("dashboard", lambda health: health.dropped == publisher.dropped)
