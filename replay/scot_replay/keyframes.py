"""Thumbnails of a video: keyframes spread over a recording, decoded and made small."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import msgspec

from scot_replay.progress import follow
from scot_replay.recording import DirectoryRecording

log = logging.getLogger(__name__)

WIDTH_PX = 320
JPEG_QUALITY = 80


class Thumbnail(msgspec.Struct, frozen=True, kw_only=True):
    """One picture: channel, bus time, and its JPEG."""

    address: str
    bus_ns: int
    jpeg: bytes


def thumbnails(opened: DirectoryRecording, address: str, count: int) -> Iterator[Thumbnail]:
    """Yield up to `count` keyframes of a video, spread evenly; those that decode."""
    times = [int(at) for part in opened.parts for at in part.keyframes(address)]
    if len(times) > count:
        times = [times[place * (len(times) - 1) // max(1, count - 1)] for place in range(count)]
    codec = opened.channel(address).codec or "h264"
    for at_ns in follow("pictures", times):
        for one in opened.found(address, (at_ns, at_ns + 1))[:1]:
            jpeg = _jpeg(codec, one.frame.payload)
            if jpeg is not None:
                yield Thumbnail(address=address, bus_ns=at_ns, jpeg=jpeg)


def _jpeg(codec: str, unit: bytes) -> bytes | None:
    """Return a keyframe as a small JPEG; None when it cannot be decoded."""
    import av
    import cv2

    try:
        context: Any = av.CodecContext.create(codec, "r")
        frames = [*context.decode(av.Packet(unit)), *context.decode(None)]
        if not frames:
            return None
        picture = frames[0].to_ndarray(format="bgr24")
        height, width = picture.shape[:2]
        size = WIDTH_PX, max(1, round(height * WIDTH_PX / width))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    except (av.FFmpegError, ValueError, cv2.error) as error:
        log.warning("a keyframe cannot be decoded: %s", error)
        return None
    return data.tobytes() if done else None
