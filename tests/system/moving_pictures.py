"""H.264 for the tests of the page: pictures of any size, each told apart by its colour."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def quadrants(width: int, height: int, grey: int = 40) -> Picture:
    """A picture whose top left is red, top right green, bottom left blue, bottom right grey."""
    image = np.full((height, width, 3), grey, np.uint8)
    across, down = width // 2, height // 2
    image[:down, :across] = 200, 20, 20
    image[:down, across:] = 20, 200, 20
    image[down:, :across] = 20, 20, 200
    return image


def units(
    pictures: list[Picture], group: int = 25, pix_fmt: str = "yuv420p", profile: str = "baseline"
) -> list[tuple[bytes, bool]]:
    """Return Annex B access units of pictures of one size, and which are keyframes."""
    context: Any = av.CodecContext.create("libx264", "w")
    context.height, context.width = pictures[0].shape[:2]
    context.pix_fmt, context.time_base, context.gop_size = pix_fmt, Fraction(1, 25), group
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": profile}
    found = []
    for image in pictures:
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
        found += [(bytes(p), bool(p.is_keyframe)) for p in context.encode(frame)]
    return found + [(bytes(p), bool(p.is_keyframe)) for p in context.encode(None)]


def clip(path: Path, width: int, height: int, seconds: float = 2.0) -> Path:
    """Write a clip of `quadrants` that a camera's file source can play."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(round(10 * seconds)):
            image = quadrants(width, height, 40 + 2 * number)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path
