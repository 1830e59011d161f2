"""Against pyigtl, an OpenIGTLink implementation that we did not write."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pyigtl
import pytest
from pyigtl.messages import MessageBase

from scot.clock import machine
from scot.clock.clock import Clock
from scot.provider import DeviceContext
from scot.sample import PoseValue, Sample
from scot_devices.openigtlink import messages as m
from scot_devices.openigtlink.options import TrackerOptions
from scot_devices.openigtlink.protocol import Connection, encode
from scot_devices.openigtlink.provider import OpenIGTLinkProvider
from scot_devices.simulators.surgery import Surgery

TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def their_matrix(x: float, y: float, z: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    matrix = np.eye(4)
    matrix[:3, :3] = TURN
    matrix[:3, 3] = (x, y, z)
    return matrix


def decode_one(data: bytes) -> m.Message:
    connection = Connection()
    connection.receive_data(data)
    message = connection.next_event()
    assert message is not None
    assert connection.pending == 0
    return message


@contextlib.contextmanager
def their_server() -> Iterator[pyigtl.OpenIGTLinkServer]:
    """A pyigtl server on a free port; the signal handlers that it installs are taken back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    server = pyigtl.OpenIGTLinkServer(port=0, local_server=True)
    try:
        yield server
    finally:
        server.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


async def test_our_provider_receives_everything_that_their_server_sends() -> None:
    """300 poses of two tools: none lost, in order, with the right values and times."""
    count = 150

    def send(server: pyigtl.OpenIGTLinkServer) -> None:
        for n in range(count):
            for tool, z in (("Probe", 5.0), ("Reference", -5.0)):
                server.send_message(
                    pyigtl.TransformMessage(
                        their_matrix(n, n / 4.0, z),
                        device_name=tool,
                        timestamp=1_700_000_000.0 + n / 64.0,
                    ),
                    wait=True,
                )

    with their_server() as server:
        options = TrackerOptions(host="127.0.0.1", port=server.server_address[1], frame="mni152")
        device = DeviceContext("or1", "tracker", options, Clock.session())
        found: dict[str, list[Sample]] = {"probe": [], "reference": []}
        sender = threading.Thread(target=send, args=(server,))
        sender.start()
        async with contextlib.aclosing(OpenIGTLinkProvider().run(device)) as samples:  # type: ignore[type-var]
            async for sample in samples:
                found[sample.channel].append(sample)
                if sum(map(len, found.values())) == 2 * count:
                    break
        await asyncio.to_thread(sender.join)
    assert device.health == {}
    for tool, z in (("probe", 5.0), ("reference", -5.0)):
        assert [sample.seq for sample in found[tool]] == list(range(count))
        for n, sample in enumerate(found[tool]):
            pose = sample.value
            assert isinstance(pose, PoseValue)
            assert pose.position_mm == (float(n), n / 4.0, z)
            assert pose.orientation == pytest.approx((0.0, 0.0, 0.5**0.5, 0.5**0.5))
            assert sample.time.source_ns == 1_700_000_000_000_000_000 + n * 15_625_000


def test_their_messages_of_every_type_decode_to_the_same_values() -> None:
    point = pyigtl.PointMessage(
        positions=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        names=["Entry", "Target"],
        rgba_colors=[[1, 2, 3, 4], [5, 6, 7, 8]],
        device_name="Plan",
    )
    points = decode_one(point.pack())
    assert isinstance(points, m.Points)
    assert [p.name for p in points.points] == ["Entry", "Target"]
    assert points.points[1].position_mm == (4.0, 5.0, 6.0)
    assert points.points[1].colour == (5, 6, 7, 8)

    pixels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = decode_one(pyigtl.ImageMessage(pixels, device_name="MR").pack())
    assert isinstance(image, m.Image)
    assert (image.size, image.scalar, image.axes) == ((4, 3, 2), 4, "LPS")
    assert image.pixel_bytes == 48

    text = decode_one(pyigtl.StringMessage("suction", device_name="Note").pack())
    assert isinstance(text, m.String)
    assert (text.text, text.encoding) == ("suction", 3)


def test_their_metadata_and_id_decode() -> None:
    theirs = pyigtl.TransformMessage(their_matrix(1, 2, 3), device_name="Probe", timestamp=12.5)
    theirs.header_version = 2
    theirs.message_id = 4711
    theirs.metadata = {"TransformStatus": "OK", "Rig": "polaris"}
    ours = decode_one(theirs.pack())
    assert isinstance(ours, m.Transform)
    assert (ours.message_id, ours.metadata) == (4711, theirs.metadata)
    assert ours.time_ns == 12_500_000_000


def test_our_messages_decode_at_their_side() -> None:
    ours = m.Transform(
        device="Probe",
        time_ns=1_700_000_000_250_000_000,
        message_id=9,
        metadata={"TransformStatus": "OK"},
        matrix=(0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 7.0, 8.0, 9.0),
    )
    plain = m.Transform(device="Probe", time_ns=ours.time_ns, matrix=ours.matrix)
    for data in (encode(plain, 1), encode(ours, 2)):
        head = MessageBase.parse_header(data[:58])
        theirs = MessageBase.create_message(head["message_type"])
        theirs.unpack(head, data[58:])
        np.testing.assert_array_equal(theirs.matrix, their_matrix(7.0, 8.0, 9.0))
        assert theirs.timestamp == pytest.approx(1_700_000_000.25, abs=1e-6)
        assert theirs.device_name == "Probe"
    assert theirs.metadata == {"TransformStatus": "OK"}
    assert theirs.message_id == 9


@pytest.mark.parametrize("version", [1, 3])
def test_their_client_follows_the_tip_from_our_simulator(version: int) -> None:
    """What pyigtl reads is the surgery at the very time that the message states."""
    start_ns = machine.utc_ns() - 50_000_000_000
    command = [sys.executable, "-m", "scot_devices.simulators.tracker", "--port", "0"]
    command += ["--no-occlusion", "--version", str(version), "--start-utc-ns", str(start_ns)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as simulator:
        assert simulator.stdout is not None
        port = json.loads(simulator.stdout.readline())["listening"]
        client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
        try:
            times = set()
            for _ in range(20):
                message = client.wait_for_message("Probe", timeout=5)
                assert message is not None, "no message within 5 s"
                times.add(message.timestamp)
                tip_mm = Surgery(7).tip_mm(message.timestamp - start_ns / 1e9)
                np.testing.assert_allclose(message.matrix[:3, 3], tip_mm, atol=0.01)
                np.testing.assert_allclose(
                    message.matrix[:3, :3].T @ message.matrix[:3, :3], np.eye(3), atol=1e-5
                )
            assert len(times) == 20, "poses move on"
            assert client.wait_for_message("Scope", timeout=5) is not None
        finally:
            client.stop()
            simulator.terminate()
    assert simulator.returncode == 0
