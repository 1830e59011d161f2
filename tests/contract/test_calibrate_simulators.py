"""The latency of the simulated endoscope is found from its picture and the simulated tracker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import av
import msgspec
import numpy as np
import pytest

from scot.clock import machine
from scot.clock.clock import Clock
from scot.provider import DeviceContext, Provider
from scot.sample import Sample
from scot.timestamp import ClockState, Timestamp
from scot_devices.calibrate.curves import Track
from scot_devices.calibrate.gather import Pictures, Poses
from scot_devices.calibrate.lag import find_lag
from scot_devices.calibrate.motion import Watcher, luma
from scot_devices.openigtlink.provider import OpenIGTLinkProvider
from scot_devices.simulators.scene import FRAME_HEIGHT, FRAME_WIDTH
from scot_devices.simulators.scene import Scene as Picture
from scot_devices.simulators.scope import read_barcode
from scot_devices.simulators.tracker_scene import PROBE
from scot_devices.simulators.tracker_scene import Scene as Tools
from scot_devices.video.encoder import Encoder
from scot_devices.video.provider import VideoProvider

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

FPS = 10
PICTURES = 280
"""28 s of them; a busy machine takes longer, and all are there then too."""

BUSY_S = 0.040
"""Where it leaves out every other picture, less is known, and more claimed, than it could store."""

LATE_S = 0.080
STORY_S = 20.0
"""Into the surgery: the tool is in the picture and on its way."""


@contextmanager
def program(name: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run a simulator and return what it said when it listened."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"scot_devices.simulators.{name}", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


async def watch(
    provider: type[Provider[Any]],
    options: dict[str, Any],
    channel: str,
    clock: Clock,
    enough: Callable[[list[Sample]], bool],
) -> tuple[list[Sample], DeviceContext[Any]]:
    """Return the samples of one channel until there are enough of them."""
    device: DeviceContext[Any] = DeviceContext(
        "or1", provider.__name__.lower(), provider.Options(**options), clock
    )
    device.offer(*provider.declared())
    samples: Any = provider().run(device)
    kept: list[Sample] = []
    async for sample in samples:
        if sample.channel == channel:
            kept.append(sample)
        if enough(kept):
            break
    await samples.aclose()
    return kept, device


def has(count: int, enough: asyncio.Event) -> Callable[[list[Sample]], bool]:
    """Return what sets `enough` when there are so many samples."""

    def look(kept: list[Sample]) -> bool:
        if len(kept) >= count:
            enough.set()
        return enough.is_set()

    return look


def at(sample: Sample, utc_ns: int) -> Sample:
    """The sample as if its clock were exact."""
    time = Timestamp(sample.time.source_ns, utc_ns, 0, 0, ClockState.LOCKED)
    return msgspec.structs.replace(sample, time=time)


def drawn_ns(video: list[Sample]) -> list[int]:
    """Return the UTC that is drawn into each frame: when the world was so."""
    decoder: Any = av.CodecContext.create("h264", "r")
    frames = [frame for s in video for frame in decoder.decode(av.Packet(cast("bytes", s.value)))]
    return [read_barcode(luma(frame)) for frame in frames]


def test_the_lag_of_rendered_and_coded_pictures_is_found_to_a_millisecond_or_two() -> None:
    scene, tools = Picture(7), Tools(7)
    eye, encoder = Watcher(), Encoder(FRAME_WIDTH, FRAME_HEIGHT, 15.0, 4000)
    for at_s in np.arange(24.0, 47.0, 1 / 15):
        unit = encoder.encode(scene.frame(float(at_s)), round(at_s * 1e9))
        eye.feed(unit.data, round((at_s + LATE_S) * 1e9), unit.keyframe)
    times_s = [t for t in np.arange(22.0, 49.0, 1 / 60) if tools.visible(PROBE, float(t))]
    places = [tools.pose(PROBE, float(t))[9:12] for t in times_s]
    found = find_lag(Track(np.array(times_s), np.array(places)), eye.movement(0))
    assert eye.pictures == 345
    assert eye.broken == 0
    assert abs(found.lag_s - LATE_S) < found.err_s < 0.004
    assert found.correlation > 0.8


async def test_the_latency_the_running_endoscope_declares_is_found_within_the_claim() -> None:
    """Real programs, sockets and codecs; the stamps are those of the two devices themselves.

    What a busy machine adds between them is in every arrival, so not a property of the search. The
    picture says when the world was as it shows it; the camera declares by how much later it comes.
    """
    start = ["--start-utc-ns", str(machine.utc_ns() - round(STORY_S * 1e9))]
    look = ["--fps", str(FPS), "--barcode", "--latency-ms", str(LATE_S * 1e3)]
    with program("tracker", *start) as tracker, program("scope", *start, *look) as scope:
        host = {"host": "127.0.0.1", "port": tracker["listening"], "frame": "mni152"}
        clock, enough = Clock.session(), asyncio.Event()
        (poses, aim), (video, head) = await asyncio.gather(
            watch(OpenIGTLinkProvider, host, "probe", clock, lambda _: enough.is_set()),
            watch(VideoProvider, {"source": scope["url"]}, "video", clock, has(PICTURES, enough)),
        )
    drawn = drawn_ns(video)
    arrived = [s.time.bus_ns - machine.TAI_MINUS_UTC_NS for s in video]
    # Rendering, compression and the network come on top of what is declared.
    assert np.median(np.subtract(arrived, drawn)) > LATE_S * 1e9
    path, seen = Poses(aim.channels["probe"]), Pictures(head.channels["video"])
    for sample in poses:
        assert sample.time.source_ns is not None
        path.take(at(sample, sample.time.source_ns))
    for sample, ns in zip(video, drawn, strict=True):
        seen.take(at(sample, ns + round(LATE_S * 1e9)))
    assert seen.count == len(video) >= PICTURES
    found = find_lag(path.track(drawn[0]), seen.movement(drawn[0]), max_err_s=BUSY_S)
    assert abs(found.lag_s - LATE_S) < found.err_s
