"""The camera of the video's benchmark: each picture carries the time of its capture, as a barcode.

64 squares in two lines, white for one, the most significant bit first: the machine's monotonic ns
when the picture was there. A square is large enough for any encoder. `Camera` is a provider of a
room file; `aiortc` is the same camera behind the peer, a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from scot.channel import Video
from scot.clock import machine
from scot.provider import DeviceContext, Provider, ProviderInfo
from scot.sample import Flags, Sample
from scot_devices.video.encoder import Encoder

Picture = NDArray[np.uint8]
HZ = 30
SQUARE_PX, ACROSS, BITS = 36, 32, 64
SECOND_NS = 1_000_000_000
PICTURES = 10
CLOCK_HZ = 90_000  # RTP's, RFC 3551 5


def pictures(width_px: int, height_px: int) -> list[Picture]:
    """Return pictures (height, width, 3) uint8 BGR that move and have grain, as a scope's do."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height_px, :width_px]
    grain = rng.normal(0, 3, (height_px, width_px, 1))
    found = []
    for n in range(PICTURES):
        turn = 2 * np.pi * n / PICTURES
        shades = [128 + 90 * np.sin((x + y) / 43 + turn + c) for c in range(3)]
        found.append((np.stack(shades, axis=-1) + grain).clip(0, 255).astype(np.uint8))
    return found


def stamp(picture: Picture, ns: int) -> Picture:
    """Return a copy with `ns` as a barcode at its top left."""
    bits = np.array([ns >> (BITS - 1 - n) & 1 for n in range(BITS)], np.uint8).reshape(-1, ACROSS)
    squares = np.kron(bits * 255, np.ones((SQUARE_PX, SQUARE_PX), np.uint8))
    made = picture.copy()
    made[: squares.shape[0], : squares.shape[1]] = squares[..., None]
    return made


READ = f"""(pen) => {{
    const [size, across] = [{SQUARE_PX}, {ACROSS}];
    const {{ data, width }} = pen.getImageData(0, 0, size * across, size * 2);
    let ns = 0n;
    for (let i = 0; i < {BITS}; i++) {{
        const [x, y] = [(i % across + 0.5) * size, (Math.floor(i / across) + 0.5) * size];
        ns = ns * 2n + (data[(y * width + x) * 4 + 1] > 127 ? 1n : 0n);
    }}
    return String(ns);
}}"""
"""A function of the page that reads the barcode from a 2D context."""


class CameraOptions(BaseModel):
    """``[device.options]``."""

    width_px: int
    height_px: int
    kbps: int


class Camera(Provider[CameraOptions]):
    """Pictures of 30 Hz, encoded as they come, as the provider `video` does."""

    info = ProviderInfo(id="bench.camera", label={"en": "Camera"})
    Options = CameraOptions

    async def run(self, device: DeviceContext[CameraOptions]) -> AsyncIterator[Sample]:
        """Yield one access unit a picture; its source time is what the barcode says."""
        wanted = device.options
        shown = pictures(wanted.width_px, wanted.height_px)
        encoder = Encoder(wanted.width_px, wanted.height_px, HZ, wanted.kbps)
        channel = Video(
            "video", rate_hz=float(HZ), width_px=wanted.width_px, height_px=wanted.height_px
        )
        device.offer(channel)
        async for number in beats():
            captured_ns = device.arrived()
            picture = stamp(shown[number % PICTURES], captured_ns)
            unit = await asyncio.to_thread(encoder.encode, picture, captured_ns)
            flags = Flags.KEYFRAME if unit.keyframe else Flags(0)
            yield device.sample(
                channel, unit.data, source_ns=captured_ns, base="host", arrived_ns=captured_ns,
                flags=flags,
            )  # fmt: skip


class BlocksOptions(BaseModel):
    """``[device.options]``."""

    hz: int
    size_b: int


class Blocks(Provider[BlocksOptions]):
    """Messages of one size, so many a second, that pass for key pictures."""

    info = ProviderInfo(id="bench.blocks", label={"en": "Blocks"})
    Options = BlocksOptions

    async def run(self, device: DeviceContext[BlocksOptions]) -> AsyncIterator[Sample]:
        """Yield one as it is due."""
        channel = Video("video", rate_hz=float(device.options.hz))
        device.offer(channel)
        block = bytes(device.options.size_b)
        async for _ in beats(device.options.hz):
            now_ns = device.arrived()
            yield device.sample(
                channel, block, source_ns=now_ns, base="host", arrived_ns=now_ns,
                flags=Flags.KEYFRAME,
            )  # fmt: skip


async def beats(hz: int = HZ) -> AsyncIterator[int]:
    """Yield a number `hz` times a second; what is late is left out, as a camera does."""
    start_ns = machine.monotonic_ns()
    number = 0
    while True:
        wait_ns = start_ns + number * SECOND_NS // hz - machine.monotonic_ns()
        if wait_ns > 0:
            await asyncio.sleep(wait_ns / SECOND_NS)
        yield number
        number = max(number + 1, (machine.monotonic_ns() - start_ns) * hz // SECOND_NS)


def track(width_px: int, height_px: int) -> Any:
    """Return the same camera as aiortc's examples make one."""
    import av
    from aiortc import VideoStreamTrack

    shown = pictures(width_px, height_px)

    class Track(VideoStreamTrack):  # type: ignore[misc]
        """Pictures as they come."""

        beat = beats()
        taken = 0

        async def recv(self) -> Any:
            number = await anext(self.beat)
            self.taken += 1
            picture = stamp(shown[number % PICTURES], machine.monotonic_ns())
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number * CLOCK_HZ // HZ, Fraction(1, CLOCK_HZ)
            return frame

    return Track()


async def aiortc(width_px: int, height_px: int) -> None:
    """Answer an offer that comes on stdin, and send until stdin ends."""
    from aiortc import RTCPeerConnection, RTCSessionDescription

    peer = RTCPeerConnection()
    peer.addTrack(track(width_px, height_px))
    offer = json.loads(await asyncio.to_thread(sys.stdin.readline))
    await peer.setRemoteDescription(RTCSessionDescription(**offer))
    await peer.setLocalDescription(await peer.createAnswer())
    made = peer.localDescription
    print(json.dumps({"sdp": made.sdp, "type": made.type}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await peer.close()


if __name__ == "__main__":
    asyncio.run(aiortc(int(sys.argv[1]), int(sys.argv[2])))
