"""One H.264 encoder, tuned for delay: a picture goes in, its access unit comes out at once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, NamedTuple

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from scot_devices.video.h264 import codec_string

KEYFRAME_EVERY_NS: Final = 1_000_000_000
BUFFER_FRAMES: Final = 4
"""Of the rate control: a keyframe is at most so many frames' share of the rate."""

# What cv2's BGR2YUV_I420 makes: BT.601, limited range (H.273, tables 2 to 4). Without it a
# browser takes HD for BT.709 and the reds shift.
_SMPTE170M: Final = 6
_LIMITED: Final = 1

Picture = NDArray[np.uint8]


class AccessUnit(NamedTuple):
    """One coded picture.

    Attributes:
        data: Annex B; with SPS and PPS in front of an IDR picture.
        keyframe: decoding can start here.
        captured_ns: as handed to `encode`.
    """

    data: bytes
    keyframe: bool
    captured_ns: int


class Encoder:
    """Encodes pictures of one size as constrained baseline, without B-frames or look-ahead.

    Args:
        width_px: of every picture, even.
        height_px: of every picture, even.
        fps: nominal; the rate control shares the bits out by it.
        bitrate_kbps: mean and, over `BUFFER_FRAMES`, the most.

    Attributes:
        codec: ``avc1.PPCCLL`` of what it makes; empty until the first picture.
    """

    def __init__(self, width_px: int, height_px: int, fps: float, bitrate_kbps: int) -> None:
        self.width_px = width_px
        self.height_px = height_px
        self.codec = ""
        self._count = 0
        self._key_ns: int | None = None
        rate = Fraction(fps).limit_denominator(1001)
        context: Any = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width_px, height_px, "yuv420p"
        context.framerate, context.time_base = rate, 1 / rate
        context.gop_size, context.max_b_frames = max(1, round(fps)), 0
        context.thread_count, context.thread_type = 1, "SLICE"
        context.bit_rate = bitrate_kbps * 1000
        context.color_range, context.colorspace = _LIMITED, _SMPTE170M
        context.color_primaries = context.color_trc = _SMPTE170M
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "maxrate": str(bitrate_kbps * 1000),
            "bufsize": str(int(bitrate_kbps * 1000 * BUFFER_FRAMES / fps)),
            "forced-idr": "1",
            "x264-params": "annexb=1:repeat-headers=1:scenecut=0",
        }
        self._context = context

    @property
    def bitrate_kbps(self) -> int:
        """Mean rate; a new one holds from the next picture on, without a keyframe."""
        return int(self._context.bit_rate) // 1000

    @bitrate_kbps.setter
    def bitrate_kbps(self, value: int) -> None:
        self._context.bit_rate = value * 1000

    def encode(self, bgr: Picture, captured_ns: int, *, keyframe: bool = False) -> AccessUnit:
        """Encode one picture.

        Args:
            bgr: (height, width, 3) uint8, of the encoder's size.
            captured_ns: monotonic; a second after the last keyframe the next is made.
            keyframe: make one now.

        Raises:
            ValueError: the picture is of another size.
        """
        if bgr.shape != (self.height_px, self.width_px, 3):
            raise ValueError(
                f"picture of shape {bgr.shape} for an encoder of {self.width_px}x{self.height_px}"
            )
        planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
        frame: Any = av.VideoFrame.from_ndarray(planes, format="yuv420p")  # type: ignore[arg-type]
        frame.color_range, frame.colorspace = _LIMITED, _SMPTE170M
        frame.pts = self._count
        self._count += 1
        due = self._key_ns is None or captured_ns - self._key_ns >= KEYFRAME_EVERY_NS
        if keyframe or due:
            frame.pict_type = PictureType.I
        packets = self._context.encode(frame)
        data = b"".join(bytes(packet) for packet in packets)
        is_key = any(packet.is_keyframe for packet in packets)
        if is_key:
            self._key_ns = captured_ns
            self.codec = codec_string(data) or self.codec
        return AccessUnit(data, is_key, captured_ns)


def fit(bgr: Picture, max_width_px: int, max_height_px: int) -> Picture:
    """Return a picture an encoder takes: within the limits, even on both sides, contiguous.

    A larger one is made smaller in proportion; an odd column or row is cut off.
    """
    height, width = bgr.shape[:2]
    scale = min(1.0, max_width_px / width, max_height_px / height)
    if scale < 1.0:
        size = (max(2, round(width * scale) & ~1), max(2, round(height * scale) & ~1))
        shrunk: Any = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(shrunk)
    return np.ascontiguousarray(bgr[: height & ~1, : width & ~1])
