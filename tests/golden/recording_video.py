"""The made-up case with a video that can be decoded: each second of another grey."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scot.channel import Kind
from scot.codec import Frame, read_header
from scot.sample import Flags
from scot_devices.video.encoder import Encoder
from tests.golden.recording_frames import S, case, frame

PIXELS = (64, 48)
RATE_HZ = 5


def grey(second: int) -> int:
    """How bright the pictures of a second are."""
    return 40 + 6 * second


def video(seconds: float, silent: tuple[float, float] = (0.0, 0.0)) -> Iterator[Frame]:
    """Access units at 5 Hz, none within `silent`."""
    encoder = Encoder(*PIXELS, RATE_HZ, 200)
    for n in range(round(seconds * RATE_HZ)):
        t_s = n / RATE_HZ
        shade = np.full((PIXELS[1], PIXELS[0], 3), grey(int(t_s)), np.uint8)
        unit = encoder.encode(shade, n * S // RATE_HZ)
        if not silent[0] <= t_s < silent[1]:
            flags = Flags.KEYFRAME if unit.keyframe else Flags(0)
            yield frame("or1/scope/video", Kind.VIDEO, n, t_s, unit.data, flags=flags)


def with_video(
    seconds: float,
    lost: frozenset[tuple[str, int]] = frozenset(),
    silent: tuple[float, float] = (0.0, 0.0),
) -> list[Frame]:
    """The made-up case in bus-time order, with this video in place of its own."""
    frames = [f for f in case(seconds, lost) if f.address != "or1/scope/video"]
    frames += video(seconds, silent)
    return sorted(frames, key=lambda f: (read_header(f).bus_ns, f.address))
