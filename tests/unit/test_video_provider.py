"""The provider on files and on streams: capture time, order, loops, changes and ends."""

from __future__ import annotations

import asyncio
import http.server
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scot.channel import Kind, Lifecycle
from scot.clock import machine
from scot.clock.clock import Clock
from scot.errors import DeviceError, RingError
from scot.provider import DeviceContext
from scot.ring import RingFrame, RingReader
from scot.sample import Flags, Sample
from scot.testing.conformance import check_run
from scot_devices.video.h264 import is_decodable_alone
from scot_devices.video.provider import VideoOptions, VideoProvider

FPS = 25
BLOCK_PX = 16


def numbered(index: int, size: tuple[int, int] = (320, 192)) -> NDArray[Any]:
    """A picture that carries its number: eight black or white blocks."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    for bit in range(8):
        colour = 255 if index >> bit & 1 else 0
        picture[32:64, 32 + bit * 2 * BLOCK_PX : 32 + (2 * bit + 2) * BLOCK_PX] = colour
    return picture


def number(picture: NDArray[Any]) -> int:
    """Read the number of a `numbered` picture back."""
    middle = [picture[48, 32 + (2 * bit + 1) * BLOCK_PX].mean() > 128 for bit in range(8)]
    return sum(1 << bit for bit, on in enumerate(middle) if on)


def write_clip(path: Path, count: int, size: tuple[int, int] = (320, 192)) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(index, size), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class WatchedContext(DeviceContext[VideoOptions]):
    """A device that says when its provider has moved it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.moved = asyncio.Event()

    def move(self, state: Lifecycle, reason: str = "") -> None:
        super().move(state, reason)
        self.moved.set()


@asynccontextmanager
async def running(source: str, **options: Any) -> AsyncIterator[tuple[WatchedContext, Any]]:
    """The device and its samples, as a host runs them."""
    parsed = VideoOptions(source=source, **options)
    device = WatchedContext("or1", "scope", parsed, Clock.session())
    device.offer(*VideoProvider.declared())
    samples: Any = VideoProvider().run(device)
    try:
        yield device, samples
    finally:
        await samples.aclose()


async def take(samples: Any, count: int) -> list[Sample]:
    return [await anext(samples) for _ in range(count)]


def captured_ns(sample: Sample) -> int:
    assert sample.time.source_ns is not None
    return sample.time.source_ns


def pictures(samples: list[Sample]) -> list[NDArray[Any]]:
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames: list[Any] = []
    for sample in samples:
        assert isinstance(sample.value, bytes)
        frames += decoder.decode(av.Packet(sample.value))
    frames += decoder.decode(None)
    return [frame.to_ndarray(format="bgr24") for frame in frames]


async def test_a_file_becomes_numbered_samples_at_its_own_pace(tmp_path: Path) -> None:
    async with running(str(write_clip(tmp_path / "clip.mp4", 60))) as (device, samples):
        before_ns = device.arrived()
        got = await take(samples, 20)
        after_ns = device.arrived()
    assert [sample.seq for sample in got] == list(range(20))
    assert {sample.address for sample in got} == {"or1/scope/video"}
    times = [captured_ns(sample) for sample in got]
    assert before_ns < times[0] < times[-1] < after_ns
    assert times == sorted(times)
    # 19 periods of 40 ms, however busy the machine is: never faster than the file.
    assert times[-1] - times[0] >= 19 * 40_000_000 - 5_000_000
    assert not any(sample.flags & Flags.ARRIVAL for sample in got)


async def test_a_files_pictures_stand_where_the_file_has_them(tmp_path: Path) -> None:
    """However late each was grabbed, over the loop, and never after it was grabbed."""
    async with running(str(write_clip(tmp_path / "clip.mp4", 20))) as (device, samples):
        got = await take(samples, 70)
        zero_ns = device.sample(device.channels["video"], b"").time.bus_ns - device.arrived()
    bus = [sample.time.bus_ns for sample in got]
    assert bus == sorted(bus)
    late = [captured_ns(sample) + zero_ns - sample.time.bus_ns for sample in got]
    assert min(late) > -1_000_000
    apart = [b - a for a, b in pairwise(bus[30:])]
    off = [abs(ns - round(ns / 40e6) * 40e6) for ns in apart]
    assert max(off) < 2_000_000, "whole periods"
    assert all((s.time.err_ns or 0) <= (s.time.bound_ns or 0) for s in got)
    assert not any(sample.flags & Flags.ARRIVAL for sample in got)


async def test_raw_pictures_are_shared_as_they_were_captured(tmp_path: Path) -> None:
    """Before they are encoded, each with the same capture time as its access unit."""
    reader = RingReader()
    seen: dict[int, int] = {}
    coded: set[int] = set()
    async with running(str(write_clip(tmp_path / "clip.mp4", 60)), raw=True) as (device, samples):
        while len(coded) < 20:
            sample = await anext(samples)
            if sample.address.endswith("/raw"):
                frame = RingFrame.of(sample.value)
                assert frame.shape == [192, 320, 3]
                seen[captured_ns(sample)] = number(reader.read(frame))
            else:
                coded.add(captured_ns(sample))
        assert device.channels["raw"].rate_hz == FPS
    assert coded <= set(seen), "each encoded picture had been shared"
    assert list(seen.values()) == sorted(seen.values())
    with pytest.raises(RingError):
        RingReader().view(frame)  # the ring has ended with its provider


async def test_the_first_sample_can_be_decoded_and_the_channel_says_how(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 30)
    async with running(str(clip), label={"en": "Endoscope"}) as (device, samples):
        declared = device.channels["video"]
        assert (declared.kind, declared.width_px) == (Kind.VIDEO, None)
        first = await anext(samples)
        channel = device.channels["video"]
    assert first.flags & Flags.KEYFRAME
    assert is_decodable_alone(first.value)
    assert (channel.width_px, channel.height_px, channel.rate_hz) == (320, 192, 25.0)
    assert channel.codec == "h264"
    assert channel.attrs["codec_string"].startswith("avc1.42C0")
    assert channel.label == {"en": "Endoscope"}


async def test_a_looped_file_goes_on_and_pictures_stay_in_order(tmp_path: Path) -> None:
    async with running(str(write_clip(tmp_path / "clip.mp4", 12))) as (device, samples):
        got = await take(samples, 30)
        skipped = device.health.get("skipped", 0)
    seen = [number(picture) for picture in pictures(got)]
    steps = [(after - before) % 12 for before, after in itertools.pairwise(seen)]
    assert len(seen) == 30
    assert all(1 <= step <= 1 + skipped for step in steps)
    assert sum(steps) >= 29 >= 2 * 12
    assert seen.count(0) + skipped >= 2


async def test_a_file_that_is_not_looped_ends_once_and_stays_ended(tmp_path: Path) -> None:
    async with running(str(write_clip(tmp_path / "clip.mp4", 5)), loop=False) as (device, samples):
        got: list[Sample] = []

        async def rest() -> None:
            got.extend([sample async for sample in samples])

        reading = asyncio.create_task(rest())
        async with asyncio.timeout(20):
            await device.moved.wait()
        assert device.state is Lifecycle.DISCONNECTED
        assert device.reason.endswith("has ended (loop = false)")
        assert not reading.done(), "it is not to be started again"
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_fps_leaves_pictures_out(tmp_path: Path) -> None:
    async with running(str(write_clip(tmp_path / "clip.mp4", 40)), fps=10) as (device, samples):
        got = await take(samples, 6)
        assert device.channels["video"].rate_hz == 10.0
    assert captured_ns(got[-1]) - captured_ns(got[0]) >= 5 * 80_000_000


async def test_a_large_picture_is_made_smaller(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 10)
    async with running(str(clip), max_width_px=160) as (device, samples):
        got = await take(samples, 2)
        channel = device.channels["video"]
    assert (channel.width_px, channel.height_px) == (160, 96)
    assert pictures(got)[0].shape == (96, 160, 3)


async def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    async with running(str(tmp_path / "gone.mp4")) as (_, samples):
        with pytest.raises(DeviceError, match=r"gone\.mp4 does not exist; name a video file"):
            await anext(samples)


async def test_it_keeps_the_rules_for_providers(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "clip.mp4", 40))
    report = await check_run(VideoProvider, {"source": clip}, 3.0)
    assert report.failed == []
    assert report.samples > 5


async def test_it_leaves_no_thread_behind(tmp_path: Path) -> None:
    async with running(str(write_clip(tmp_path / "clip.mp4", 40))) as (_, samples):
        await take(samples, 3)
        mine = [t for t in threading.enumerate() if t.name in ("capture", "encode")]
        assert len(mine) == 2
    for thread in mine:
        thread.join(5.0)
        assert not thread.is_alive()


@pytest.fixture
def mjpeg() -> Iterator[Callable[[list[NDArray[Any]]], str]]:
    """A camera, on a socket, that sends the pictures it is given, 25 a second, and then closes."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(shown: list[NDArray[Any]]) -> str:
        class Camera(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
                self.end_headers()
                due_ns = machine.monotonic_ns()
                for picture in shown:
                    due_ns += 1_000_000_000 // FPS
                    machine.sleep(max(0.0, (due_ns - machine.monotonic_ns()) / 1e9))
                    data = cv2.imencode(".jpg", picture)[1].tobytes()
                    head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/camera"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


async def test_a_camera_that_closes_is_a_device_error(
    mjpeg: Callable[[list[NDArray[Any]]], str],
) -> None:
    url = mjpeg([numbered(i) for i in range(10)])
    async with running(url) as (_, samples):
        await anext(samples)
        with pytest.raises(DeviceError, match="stopped sending video"):
            async with asyncio.timeout(10):
                await take(samples, 1000)


async def test_another_size_is_announced_with_a_keyframe(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 10)
    larger = write_clip(tmp_path / "larger.mp4", 10, size=(640, 384))
    sizes: list[tuple[Any, Any]] = []
    changes: list[Sample] = []
    async with running(str(clip)) as (device, samples):
        async for sample in samples:
            channel = device.channels["video"]
            size = (channel.width_px, channel.height_px)
            if not sizes or size != sizes[-1]:
                sizes.append(size)
                changes.append(sample)
            if len(sizes) == 2:
                break
            if sample.seq == 2:
                larger.replace(clip)  # seen when the loop begins again
    assert sizes == [(320, 192), (640, 384)]
    assert all(sample.flags & Flags.KEYFRAME for sample in changes)
    assert pictures(changes[1:])[0].shape == (384, 640, 3)
