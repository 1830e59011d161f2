"""What the provider makes of a tracker's messages, and of its misbehaviour."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from scot.channel import Kind, Lifecycle
from scot.clock.clock import Clock
from scot.config import DeviceTable, provider_options
from scot.errors import ConfigError, DeviceError, DeviceTimeoutError
from scot.provider import DeviceContext
from scot.sample import Flags, PoseValue, Sample
from scot_devices.openigtlink import messages as m
from scot_devices.openigtlink.options import TrackerOptions
from scot_devices.openigtlink.protocol import encode
from scot_devices.openigtlink.provider import OpenIGTLinkProvider
from scot_devices.openigtlink.session import Session, status_line
from scot_devices.openigtlink.tools import channel_name

UPRIGHT: m.Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0)
NOW_NS = 1_700_000_000_000_000_000
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def context(**options: object) -> DeviceContext[TrackerOptions]:
    checked = TrackerOptions.model_validate({"host": "127.0.0.1", **options})
    return DeviceContext("or1", "tracker", checked, Clock.session())


def samples(device: DeviceContext[TrackerOptions], *messages: m.Message | bytes) -> list[Sample]:
    """Everything one session yields for these messages."""
    session = Session(device, OpenIGTLinkProvider.status)
    found: list[Sample] = []
    for message in messages:
        data = message if isinstance(message, bytes) else encode(message, 2)
        found += session.receive(data, device.arrived())
    return found


def pose(sample: Sample) -> PoseValue:
    assert isinstance(sample.value, PoseValue)
    return sample.value


def probe(**more: object) -> m.Transform:
    fields = {"device": "Probe", "time_ns": NOW_NS, "matrix": UPRIGHT, **more}
    return m.Transform(**fields)  # type: ignore[arg-type]


def test_a_transform_becomes_a_pose_with_the_trackers_own_time() -> None:
    device = context(frame="mni152", tools=[{"name": "Probe", "error_mm": 0.8, "axis": "+z"}])
    (sample,) = samples(device, probe())
    assert sample.address == "or1/tracker/probe"
    assert pose(sample) == PoseValue((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0), err_mm=0.8)
    assert sample.time.source_ns == NOW_NS
    assert sample.flags == Flags(0)
    channel = device.channels["probe"]
    assert (channel.kind, channel.unit, channel.frame) == (Kind.POSE, "mm", "mni152")
    assert (channel.err_mm, channel.attrs) == (0.8, {"tool": "Probe", "axis": "+z"})


def test_the_plan_of_a_tool_is_described_with_its_channel() -> None:
    plan = {"name": "Probe", "target_mm": [-33, 18, 2], "entry_mm": [-44, 50, 36]}
    device = context(tools=[plan])
    samples(device)
    assert device.channels["probe"].attrs == {
        "tool": "Probe",
        "target_mm": [-33.0, 18.0, 2.0],
        "entry_mm": [-44.0, 50.0, 36.0],
    }


def test_no_device_time_is_stamped_on_arrival_and_says_so() -> None:
    (sample,) = samples(context(), probe(time_ns=None))
    assert sample.time.source_ns is None
    assert Flags.ARRIVAL in sample.flags


@pytest.mark.parametrize(
    "metadata", [{"TransformStatus": "OUT_OF_VIEW"}, {"TransformValid": "False"}]
)
def test_a_transform_that_says_it_is_not_valid_has_no_place(metadata: dict[str, str]) -> None:
    before, after = samples(context(), probe(), probe(metadata=metadata))
    assert pose(before).visible
    assert not pose(after).visible
    assert Flags.INVALID in after.flags
    assert all(math.isnan(v) for v in pose(after).position_mm), "the last place is not held"


def test_plus_metadata_of_a_seen_tool_is_no_obstacle() -> None:
    metadata = {"TransformStatus": "OK", "TransformValid": "true"}
    (sample,) = samples(context(), probe(metadata=metadata))
    assert pose(sample).visible


def test_a_tool_left_out_of_a_tracking_frame_is_not_visible() -> None:
    both = m.TrackingData(
        device="T", time_ns=NOW_NS, tools=(m.Tool("Probe", UPRIGHT), m.Tool("Scope", UPRIGHT))
    )
    one = m.TrackingData(device="T", time_ns=NOW_NS + 1, tools=(m.Tool("Scope", UPRIGHT),))
    found = samples(context(), both, one, both)
    seen = [(sample.channel, pose(sample).visible) for sample in found]
    assert seen == [
        ("probe", True),
        ("scope", True),
        ("scope", True),
        ("probe", False),
        ("probe", True),
        ("scope", True),
    ]


def test_a_tool_of_another_sender_is_not_missing_from_a_frame() -> None:
    frame = m.TrackingData(device="T", tools=(m.Tool("Scope", UPRIGHT),))
    other = m.TrackingData(device="U", tools=(m.Tool("Drill", UPRIGHT),))
    found = samples(context(), probe(), frame, other, frame)
    assert [sample.channel for sample in found] == ["probe", "scope", "drill", "scope"]


def test_a_bad_status_with_a_tools_name_makes_it_invisible() -> None:
    status = m.Status(device="Probe", code=16, text="tool not visible")
    found = samples(context(), probe(), status)
    assert [sample.channel for sample in found] == ["probe", "probe", "status"]
    assert not pose(found[1]).visible
    assert found[2].value == "Probe: tool not visible (device not present)"


def test_quaternion_frames_are_read() -> None:
    tool = m.QuaternionTool("Probe", (4.0, 5.0, 6.0), (0.0, 0.6, 0.0, 0.8))
    (sample,) = samples(context(), m.QuaternionTrackingData(device="T", tools=(tool,)))
    assert pose(sample).position_mm == (4.0, 5.0, 6.0)
    assert pose(sample).orientation == pytest.approx((0.0, 0.6, 0.0, 0.8))


def test_a_matrix_that_is_no_rotation_gives_no_place_and_is_counted() -> None:
    device = context()
    (sample,) = samples(device, probe(matrix=(2.0, *UPRIGHT[1:])))
    assert Flags.INVALID in sample.flags
    assert device.health["bad_pose"] == 1


def test_a_slightly_wrong_rotation_is_doubtful() -> None:
    (sample,) = samples(context(), probe(matrix=(1.005, *UPRIGHT[1:])))
    assert sample.flags == Flags.DOUBTFUL
    assert pose(sample).position_mm == (1.0, 2.0, 3.0)


def test_unknown_tools_get_a_channel_unless_discovery_is_off() -> None:
    device = context()
    version = device.version
    samples(device, probe(device="ProbeToReference"), probe(device="プローブ"))
    assert {"probe_to_reference", "tool"} <= set(device.channels)
    assert device.version > version, "the host announces what is new"
    device = context(discover=False, tools=[{"name": "Probe", "channel": "pointer"}])
    found = samples(device, probe(), probe(device="Other"))
    assert [sample.channel for sample in found] == ["pointer"]
    assert device.health["ignored_tools"] == 1


def test_a_peer_cannot_open_channels_without_end() -> None:
    device = context()
    found = samples(device, *[probe(device=f"Tool {n}") for n in range(100)])
    assert len(found) == 64
    assert device.health["ignored_tools"] == 36


def test_channel_names_differ_and_none_takes_status() -> None:
    assert channel_name("Status", {"status"}) == "status_2"
    assert channel_name("3D probe", set()) == "tool_3d_probe"
    assert channel_name("probe-A", {"probe_a", "probe_a_2"}) == "probe_a_3"


def test_status_lines() -> None:
    assert status_line(m.Status(device="T", code=1, text="tracking\n 3 tools")) == (
        "T: tracking 3 tools"
    )
    assert status_line(m.Status(device="", code=18)) == "hardware failure"
    assert status_line(m.Status(device="T", code=99, name="Oops")) == "T: Oops (code 99)"


def test_broken_messages_are_counted_and_the_rest_is_used() -> None:
    device = context()
    broken = bytearray(encode(probe()))
    broken[-1] ^= 1
    short = encode(m.String(device="N", text="x")).replace(b"STRING", b"SENSOR")
    unknown = encode(m.String(device="N", text="x")).replace(b"STRING", b"COLORT")
    found = samples(device, bytes(broken), short, b"garbage" * 20, unknown, probe())
    assert [sample.channel for sample in found] == ["probe"]
    assert device.health == {
        "bad_crc": 1,
        "malformed": 1,
        "garbage_bytes": 140,
        "unknown_messages": 1,
    }


def test_too_many_broken_messages_end_the_connection() -> None:
    broken = bytearray(encode(probe()))
    broken[-1] ^= 1
    device = context(max_errors=5)
    with pytest.raises(DeviceError, match=r"more than 5 broken messages; the last: TRANSFORM"):
        samples(device, bytes(broken) * 50)
    assert device.health["bad_crc"] == 6


def test_rare_broken_messages_are_forgiven() -> None:
    broken = bytearray(encode(probe()))
    broken[-1] ^= 1
    device = context(max_errors=1)
    found = samples(device, *[bytes(broken) + encode(probe()) * 10] * 20)
    assert (len(found), device.health["bad_crc"]) == (200, 20)


def test_a_stream_that_is_no_openigtlink_ends_the_connection() -> None:
    with pytest.raises(DeviceError, match="is it the right port"):
        samples(context(), b"GET / HTTP/1.1\r\n" * 20_000)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"port": 0}, r"device.options.port: 0 is not allowed"),
        ({"tools": [{"name": "P"}, {"name": "P"}]}, "tool 'P' is named twice"),
        ({"tools": [{"name": "P", "channel": "status"}]}, "channel 'status' is named twice"),
        ({"tools": [{"name": "P", "channel": "No!"}]}, r"tools\[0\].channel: 'No!'"),
        ({"tool": []}, "not a known key"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], problem: str) -> None:
    table = DeviceTable(
        name="tracker", provider="openigtlink", options={"host": "localhost", **options}
    )
    with pytest.raises(ConfigError, match=problem):
        provider_options(table, Path("room.toml"), "device")


@contextlib.asynccontextmanager
async def peer(behave: Peer) -> AsyncIterator[int]:
    """A server on a free port that treats each client as `behave` says."""

    async def treat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(treat, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def everything(device: DeviceContext[TrackerOptions]) -> list[Sample]:
    return [sample async for sample in OpenIGTLinkProvider().run(device)]


async def test_nobody_listening_is_one_clear_line() -> None:
    async with peer(lambda _r, w: w.drain()) as port:
        pass
    device = context(port=port)
    with pytest.raises(DeviceError, match=rf"127.0.0.1:{port} cannot be reached .*tracker on"):
        await everything(device)


async def test_a_peer_that_closes_in_mid_message_is_told_of() -> None:
    async def half(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(probe())[:80])
        await writer.drain()

    async with peer(half) as port:
        device = context(port=port)
        with pytest.raises(DeviceError, match=r"closed in mid-message \(80 bytes"):
            await everything(device)
    assert device.health["cut_messages"] == 1


async def test_a_silent_peer_is_degraded_then_given_up() -> None:
    stop = asyncio.Event()

    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(probe()))
        await stop.wait()

    async with peer(mute) as port:
        device = context(port=port, silence_limit_s=0.1, reconnect_after_s=0.3)
        run = OpenIGTLinkProvider().run(device)
        assert (await anext(run)).channel == "probe"
        assert str(device.state) == Lifecycle.RUNNING
        with pytest.raises(DeviceTimeoutError, match=r"silent for 0\.3 s \(limit 0\.3 s\)"):
            await anext(run)
        assert str(device.state) == Lifecycle.DEGRADED
        assert device.reason == "no message for more than 0.1 s"
        stop.set()


async def test_tracking_data_is_asked_for_and_stopped() -> None:
    asked: list[bytes] = []
    gone = asyncio.Event()

    async def on_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readexactly(58 + 36))
        writer.write(encode(m.Reply(device="", what="TDATA", ok=True)))
        writer.write(encode(m.TrackingData(device="T", tools=(m.Tool("Probe", UPRIGHT),))))
        asked.append(await reader.readexactly(58))
        gone.set()

    async with peer(on_request) as port:
        device = context(port=port, start_tdata=True, tdata_interval_ms=50, tdata_frame="CAMERA")
        run = OpenIGTLinkProvider().run(device)
        assert (await anext(run)).channel == "probe"
        await run.aclose()  # type: ignore[attr-defined]
        await gone.wait()
    start = m.Query(device="", verb="STT", what="TDATA", interval_ms=50, frame="CAMERA")
    assert asked == [encode(start), encode(m.Query(device="", verb="STP", what="TDATA"))]


async def test_a_refused_request_is_told_of() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(m.Reply(device="", what="TDATA", ok=False)))
        await writer.drain()

    async with peer(refuse) as port:
        with pytest.raises(DeviceError, match="refused STT_TDATA"):
            await everything(context(port=port, start_tdata=True))
