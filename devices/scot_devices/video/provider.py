"""Provider `video`: a picture source becomes one H.264 stream, encoded once for everybody.

.. code-block:: toml

    [[device]]
    name = "scope"
    provider = "video"
    [device.options]
    source = "rtsp://192.0.2.9/stream1"
    bitrate_kbps = 4000

`source` is a video file (played in a loop at its own speed), a V4L2 device (``/dev/video0`` or its
number), or a stream: rtsp, rtsps, http(s) with MJPEG or MPEG-TS, udp or tcp with MPEG-TS. Every
sample of the channel `video` is one Annex B access unit, stamped with the host's reading when the
picture was there; with `width_px`, `height_px`, `rate_hz` and ``attrs["codec_string"]`` the
channel says how to decode it, and is announced again when a picture of another size comes. (Within
one connection OpenCV itself scales what a stream sends to the size it began with.)

With ``raw = true`` each picture is also there for programs on the same host, as it was captured and
before it is encoded: the channel `raw` says where in shared memory (`scot.ring.RingFrame`).

Health counts ``skipped`` (a newer picture came before one was encoded) and ``broken_pictures``. A
source that cannot be opened, ends or stays silent for two seconds is a `DeviceError`: the host
waits and calls again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scot.channel import Channel, Lifecycle
from scot.errors import DeviceTimeoutError
from scot.provider import DeviceContext, Event, Provider, ProviderInfo, Video
from scot.sample import Flags, Sample
from scot_devices.video.pipeline import Coded, Ended, Pipeline, Raw, Settings
from scot_devices.video.source import OPEN_TIMEOUT_MS, parse

SILENCE_LIMIT_S: Final = 2.0
FIRST_LIMIT_S: Final = OPEN_TIMEOUT_MS / 1000.0 + 3.0
"""For the first picture: to open the source, to look into it and to encode."""


def _parsed(text: str) -> str:
    parse(text)
    return text


RAW: Final = Event(
    "raw", label={"en": "Raw pictures", "ja": "生画像"}, stale_after_s=1.0, attrs={"ring": True}
)


class VideoOptions(BaseModel):
    """``[device.options]`` of a picture source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[
        str,
        Field(min_length=1, max_length=2000, description="file, /dev/video0 or stream URL"),
        AfterValidator(_parsed),
    ]
    fps: Annotated[
        float | None, Field(ge=1, le=120, description="at most so many pictures a second")
    ] = None
    max_width_px: Annotated[
        int, Field(ge=64, le=7680, description="larger pictures are made smaller, px")
    ] = 1920
    max_height_px: Annotated[
        int, Field(ge=64, le=4320, description="larger pictures are made smaller, px")
    ] = 1080
    bitrate_kbps: Annotated[
        int, Field(ge=100, le=50_000, description="of the H.264 stream, kbit/s")
    ] = 4000
    loop: Annotated[bool, Field(description="play a file again when it ends")] = True
    raw: Annotated[
        bool, Field(description="raw pictures in shared memory for programs on this host")
    ] = False
    label: Annotated[dict[str, str], Field(description="of the channel, by language")] = Field(
        default_factory=dict
    )


class VideoProvider(Provider[VideoOptions]):
    """Pictures from a file, a V4L2 device or a network stream, as H.264 (ITU-T H.264 Annex B)."""

    info = ProviderInfo(
        id="scot.video",
        label={"en": "Video", "ja": "映像"},
        source="ITU-T H.264, constrained baseline, Annex B",
    )
    Options = VideoOptions
    video = Video("video", label={"en": "Video", "ja": "映像"})

    async def run(self, device: DeviceContext[VideoOptions]) -> AsyncIterator[Sample]:
        """Yield one sample an access unit until the source is lost.

        Raises:
            DeviceError: it cannot be opened, sends no video, or was lost.
            DeviceTimeoutError: nothing came for `SILENCE_LIMIT_S`.
        """
        options = device.options
        source = parse(options.source)
        pipeline = Pipeline(
            Settings(
                source,
                options.fps,
                options.max_width_px,
                options.max_height_px,
                options.bitrate_kbps,
                options.loop,
                options.raw,
            ),
            device.arrived,
            device.count,
        )
        pipeline.start()
        limit_s = FIRST_LIMIT_S
        channel = self.video
        if options.raw:
            device.offer(RAW)
        try:
            while True:
                try:
                    coded = await pipeline.next(limit_s)
                except TimeoutError:
                    raise DeviceTimeoutError(source.shown, limit_s, limit_s) from None
                except Ended:
                    device.move(Lifecycle.DISCONNECTED, f"{source.shown} has ended (loop = false)")
                    await asyncio.Event().wait()
                limit_s = SILENCE_LIMIT_S
                if isinstance(coded, Raw):
                    yield self._raw(device, coded)
                    continue
                if coded.unit.keyframe:
                    channel = self._described(options, coded)
                    device.offer(channel)
                flags = Flags.KEYFRAME if coded.unit.keyframe else Flags(0)
                yield device.sample(
                    channel,
                    coded.unit.data,
                    source_ns=coded.unit.captured_ns,
                    base="host",
                    arrived_ns=coded.unit.captured_ns,
                    counter=coded.counter,
                    flags=flags,
                )
        finally:
            await pipeline.stop()

    def _raw(self, device: DeviceContext[VideoOptions], raw: Raw) -> Sample:
        """Return the sample that says where a raw picture is."""
        channel = msgspec.structs.replace(RAW, rate_hz=raw.fps)
        device.offer(channel)
        return device.sample(
            channel,
            raw.frame.value(),
            source_ns=raw.captured_ns,
            base="host",
            arrived_ns=raw.captured_ns,
            counter=raw.counter,
        )

    def _described(self, options: VideoOptions, coded: Coded) -> Channel:
        """Return the channel as the stream now is."""
        return msgspec.structs.replace(
            self.video,
            label=options.label or self.video.label,
            rate_hz=coded.fps,
            width_px=coded.width_px,
            height_px=coded.height_px,
            attrs={"codec_string": coded.codec},
        )
