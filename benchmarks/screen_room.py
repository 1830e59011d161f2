"""The devices of the screen's benchmark: twelve waveforms of 500 Hz, ten numerics, a pose, a video.

Providers of a room file, each a process of its own, as any device of a room. What they publish is
made beforehand, so that they take little of the machine that is being measured: the waveforms are
one pulse that repeats itself, the video is two seconds of H.264 in 720p, encoded once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import numpy as np

from scot.channel import Numeric, Pose, Video, Waveform
from scot.provider import DeviceContext, NoOptions, Provider, ProviderInfo
from scot.sample import Flags, NumericValue, PoseValue, Sample
from scot_devices.video.encoder import Encoder

WAVES, RATE_HZ, BLOCK_HZ = 12, 500, 50
NUMERICS = 10
POSE_HZ = 60
VIDEO_HZ, WIDTH_PX, HEIGHT_PX, VIDEO_KBPS = 25, 1280, 720, 2_500
VIDEO_S = 2
SECOND_NS = 1_000_000_000
PULSE_S = 0.8


async def beats(device: DeviceContext[NoOptions], hz: int) -> AsyncIterator[tuple[int, int]]:
    """Yield number and due time, ns of the host's clock, `hz` times a second; late ones at once."""
    start_ns = device.arrived()
    number = 0
    while True:
        due_ns = start_ns + number * SECOND_NS // hz
        wait_ns = due_ns - device.arrived()
        if wait_ns > 0:
            await asyncio.sleep(wait_ns / SECOND_NS)
        yield number, due_ns
        number += 1


def pulse() -> np.ndarray:
    """Return one beat, (n,) float32, 0 to 1: a spike and a slower wave, as an ECG or a pressure."""
    t = np.arange(round(PULSE_S * RATE_HZ)) / RATE_HZ
    shape = np.exp(-(((t - 0.2) / 0.012) ** 2)) + 0.3 * np.exp(-(((t - 0.45) / 0.05) ** 2))
    return np.asarray(shape, dtype=np.float32)


class Monitor(Provider[NoOptions]):
    """Twelve waveforms of 500 Hz in 50 blocks a second, ten numerics each second."""

    info = ProviderInfo(id="bench.monitor", label={"en": "Monitor"})

    async def run(self, device: DeviceContext[NoOptions]) -> AsyncIterator[Sample]:
        """Yield blocks and numbers on absolute deadlines."""
        numerics = [
            Numeric(f"n{n}", unit="1", rate_hz=1.0, label={"en": f"N{n}"}) for n in range(NUMERICS)
        ]
        waves = [
            Waveform(
                f"w{n}",
                unit="mV",
                rate_hz=float(RATE_HZ),
                scale_min=-0.2,
                scale_max=1.2,
                stale_after_s=2.0,
                label={"en": f"W{n}"},
                numeric_of=[f"n{n}"] if n < NUMERICS else [],
            )
            for n in range(WAVES)
        ]
        device.offer(*numerics, *waves)
        shape, size = pulse(), RATE_HZ // BLOCK_HZ
        async for number, due_ns in beats(device, BLOCK_HZ):
            at = np.arange(number * size, number * size + size)
            for n, wave in enumerate(waves):
                block = shape[(at + 37 * n) % shape.size]
                yield device.sample(wave, block, source_ns=due_ns, base="host")
            if number % BLOCK_HZ == 0:
                for n, channel in enumerate(numerics):
                    value = NumericValue(float(60 + n + number // BLOCK_HZ % 7))
                    yield device.sample(channel, value, source_ns=due_ns, base="host")


class Tracker(Provider[NoOptions]):
    """One tool at 60 Hz in the frame of the bundled head."""

    info = ProviderInfo(id="bench.tracker", label={"en": "Tracker"})
    tool = Pose(
        "tool", rate_hz=float(POSE_HZ), frame="head", attrs={"target_mm": [10.0, 10.0, 5.0]}
    )

    async def run(self, device: DeviceContext[NoOptions]) -> AsyncIterator[Sample]:
        """Yield a tip that circles."""
        async for number, due_ns in beats(device, POSE_HZ):
            turn = number / POSE_HZ
            tip = (20 * math.cos(turn), 20 * math.sin(turn), 15.0)
            pose = PoseValue(tip, (0.0, 0.0, 0.0, 1.0), 0.9, True, 0.4)
            yield device.sample(self.tool, pose, source_ns=due_ns, base="host")


class Scope(Provider[NoOptions]):
    """720p25, encoded before; the timestamp is that of sending."""

    info = ProviderInfo(id="bench.scope", label={"en": "Scope"})
    video = Video("video", rate_hz=float(VIDEO_HZ))

    async def run(self, device: DeviceContext[NoOptions]) -> AsyncIterator[Sample]:
        """Yield the same two seconds again and again; each second begins with a keyframe."""
        units = await asyncio.to_thread(encoded)
        async for number, _ in beats(device, VIDEO_HZ):
            data, keyframe = units[number % len(units)]
            flags = Flags.KEYFRAME if keyframe else Flags(0)
            sent_ns = device.arrived()
            yield device.sample(self.video, data, source_ns=sent_ns, base="host", flags=flags)


def encoded() -> list[tuple[bytes, bool]]:
    """Return access units of two seconds, with whether each is a keyframe."""
    rng = np.random.default_rng(7)
    encoder = Encoder(WIDTH_PX, HEIGHT_PX, VIDEO_HZ, VIDEO_KBPS)
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    grain = rng.normal(0, 3, (HEIGHT_PX, WIDTH_PX, 1))
    units = []
    for n in range(VIDEO_S * VIDEO_HZ):
        shades = np.stack([128 + 90 * np.sin((x + y) / 43 + n / 6 + c) for c in range(3)], axis=-1)
        picture = (shades + grain).clip(0, 255).astype(np.uint8)
        key = n % VIDEO_HZ == 0
        unit = encoder.encode(picture, n * SECOND_NS // VIDEO_HZ, keyframe=key)
        units.append((unit.data, unit.keyframe))
    return units


ROOM = """
[room]
title = { en = "Benchmark of the screen" }
[recorder]
enabled = false
[[device]]
name = "monitor"
provider = "benchmarks.screen_room:Monitor"
[[device]]
name = "tracker"
provider = "benchmarks.screen_room:Tracker"
[[device]]
name = "scope"
provider = "benchmarks.screen_room:Scope"
[[volume]]
frame = "head"
file = "brain"
"""
