"""The scope as a program of its own, seen by OpenCV, by FFmpeg and by our provider."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import av
import cv2
import numpy as np
import pytest

from scot.clock import machine
from scot.clock.clock import Clock
from scot.errors import DeviceError, DeviceTimeoutError
from scot.provider import DeviceContext
from scot.sample import Flags, Sample
from scot_devices.simulators.scope import PATH, read_barcode
from scot_devices.video.provider import VideoOptions, VideoProvider

pytestmark = pytest.mark.system

PROGRAM = (sys.executable, "-m", "scot_devices.simulators.scope", "--seed", "7")

Start = Callable[..., Awaitable[tuple[asyncio.subprocess.Process, str]]]


@pytest.fixture(scope="module")
def shared_url() -> Iterator[str]:
    """A scope that all tests may look at: it draws the time, 40 s into the surgery."""
    begin = machine.utc_ns() - 40_000_000_000
    more = ["--port", "0", "--barcode", "--start-utc-ns", str(begin)]
    process = subprocess.Popen([*PROGRAM, *more], stdout=subprocess.PIPE)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    assert process.wait(10) == 0


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a scope and wait until it listens; what still runs at the end is killed."""
    running: list[asyncio.subprocess.Process] = []

    async def begin(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running.append(process)
        assert process.stdout is not None
        line = json.loads(await process.stdout.readline())
        assert line["url"] == f"http://127.0.0.1:{line['listening']}{PATH}"
        return process, line["url"]

    yield begin
    for process in running:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[Any]:
    """Our provider's samples of a stream."""
    options = VideoOptions(source=url)
    device: DeviceContext[VideoOptions] = DeviceContext("or1", "scope", options, Clock.session())
    device.offer(*VideoProvider.declared())
    samples: Any = VideoProvider().run(device)
    try:
        yield samples
    finally:
        await samples.aclose()


async def lost(samples: Any, limit_s: float = 20.0) -> str:
    """Read until the source is lost; return the reason."""

    async def read() -> None:
        async for _ in samples:
            pass

    with pytest.raises(DeviceError) as caught:
        await asyncio.wait_for(read(), limit_s)
    return str(caught.value)


async def test_opencv_opens_the_stream_and_sees_the_surgery(shared_url: str) -> None:
    def look() -> tuple[Any, Any]:
        capture = cv2.VideoCapture(shared_url, cv2.CAP_FFMPEG)
        try:
            return capture.read()
        finally:
            capture.release()

    good, picture = await asyncio.to_thread(look)
    assert good
    assert picture.shape == (720, 1280, 3)
    assert picture[:680, :70].max() < 12, "black beside the field"
    assert picture[200:520, 400:800, 2].mean() > 90.0, "red inside"


async def test_a_second_player_is_served_beside_the_first(start: Start) -> None:
    _, url = await start("--port", "0", "--size", "640x360", "--fps", "20")

    def play(count: int) -> list[tuple[int, int]]:
        with av.open(url, options={"fflags": "nobuffer"}) as container:
            frames = container.decode(video=0)
            return [
                (frame.width, frame.height) for _, frame in zip(range(count), frames, strict=False)
            ]

    first, second = asyncio.to_thread(play, 12), asyncio.to_thread(play, 6)
    sizes = tuple(await asyncio.gather(first, second))
    assert sizes == ([(640, 360)] * 12, [(640, 360)] * 6)


async def test_each_sample_carries_the_time_its_picture_was_taken(shared_url: str) -> None:
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    late_ns: list[int] = []
    utc_minus_monotonic_ns = machine.utc_ns() - machine.monotonic_ns()
    async with watching(shared_url) as samples:
        got: list[Sample] = [await anext(samples) for _ in range(40)]
    for sample in got:
        assert isinstance(sample.value, bytes)
        assert sample.time.source_ns is not None
        [frame] = decoder.decode(av.Packet(sample.value))
        taken_ns = read_barcode(frame.to_ndarray(format="bgr24"))
        late_ns.append(sample.time.source_ns + utc_minus_monotonic_ns - taken_ns)
    assert got[0].flags & Flags.KEYFRAME
    # Rendering, compressing and the socket lie between; never before, seldom much after.
    assert min(late_ns) > 0
    assert float(np.median(late_ns)) < 250e6
    assert len(set(late_ns)) == 40


async def test_latency_shows_the_world_as_it_was(start: Start) -> None:
    _, url = await start("--port", "0", "--barcode", "--latency-ms", "3000")

    def taken() -> int:
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
        try:
            return read_barcode(capture.read()[1])
        finally:
            capture.release()

    before_ns = machine.utc_ns()
    taken_ns = await asyncio.to_thread(taken)
    # It came at some moment between, however long that took on a busy machine.
    assert (before_ns - taken_ns) / 1e9 < 3.0 < (machine.utc_ns() - taken_ns) / 1e9 + 0.1


async def test_a_scope_that_dies_is_noticed_and_comes_back(start: Start) -> None:
    process, url = await start("--port", "0")
    async with watching(url) as samples:
        await anext(samples)
        process.kill()
        reason = await lost(samples)
    assert url in reason
    async with watching(url) as samples:
        assert "is the camera on, and the address right?" in await lost(samples)
    await process.wait()
    await start("--port", url.split(":")[2].split("/")[0])
    async with watching(url) as samples:
        assert (await anext(samples)).flags & Flags.KEYFRAME


async def test_a_scope_that_falls_silent_is_noticed_within_two_seconds(start: Start) -> None:
    _, url = await start("--port", "0", "--fault", "silent", "--fault-after", "1")
    last_ns = 0

    async def read() -> None:
        nonlocal last_ns
        async for sample in samples:
            last_ns = sample.time.source_ns

    async with watching(url) as samples:
        with pytest.raises(DeviceTimeoutError, match=r"silent for \d\.\d s \(limit (1\.5|2) s\)"):
            await asyncio.wait_for(read(), 20)
        silent_s = (machine.monotonic_ns() - last_ns) / 1e9
    assert silent_s > 1.0  # and how long it took beyond is the machine's: it said its limit


async def test_a_scope_that_closes_in_a_picture_is_noticed_and_serves_again(start: Start) -> None:
    _, url = await start("--port", "0", "--fault", "close", "--fault-after", "1")
    async with watching(url) as samples:
        assert "stopped sending video" in await lost(samples)
    async with watching(url) as samples:
        await anext(samples)


async def test_a_scope_that_sends_garbage_is_noticed(start: Start) -> None:
    _, url = await start("--port", "0", "--fault", "garbage", "--fault-after", "1")
    async with watching(url) as samples:
        reason = await lost(samples)
    assert url in reason
    assert "\n" not in reason


async def test_another_path_is_told_where_the_picture_is(shared_url: str) -> None:
    host, _, port = shared_url.removeprefix("http://").removesuffix(PATH).partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /index.html HTTP/1.1\r\nHost: scope\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.0 404 ")
    assert answer.endswith(b"the picture is at GET /scope.mjpg\n")


async def test_a_busy_port_is_one_line_with_the_fix(shared_url: str) -> None:
    port = shared_url.removeprefix("http://").removesuffix(PATH).partition(":")[2]
    second = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *("--port", port),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await second.communicate()
    assert second.returncode == 1
    assert errors.decode().startswith(f"cannot listen on 127.0.0.1:{port} (")
    assert errors.decode().count("\n") == 1


async def test_it_stops_cleanly_when_told(start: Start) -> None:
    process, url = await start("--port", "0")
    async with watching(url) as samples:
        await anext(samples)
        process.terminate()
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert errors == b""
