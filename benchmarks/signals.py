"""One operating room's signals: what every benchmark of the bus sends, and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from scot.channel import Channel, Numeric, Pose, Video, Waveform
from scot.sample import NumericValue, PoseValue

TOOLS, TOOL_HZ = 8, 60
WAVES, WAVE_HZ = 12, 50
NUMERICS = 30
VIDEO_HZ, VIDEO_BYTES = 30, 25_000
WARM_S = 1.0


class Stream(NamedTuple):
    """One channel with what it sends."""

    channel: Channel
    value: Any
    raw: bytes


def streams(video: bool) -> list[tuple[float, list[Stream]]]:
    """Return groups of channels that speak together, with their rate."""
    pose = PoseValue((12.5, -33.25, 71.0), (0.0, 0.0, 0.6, 0.8), 0.97)
    block = np.linspace(0, 1, 500 // WAVE_HZ, dtype=np.float32)
    tools = [Stream(Pose(f"tool{n}"), pose, bytes(75)) for n in range(TOOLS)]
    waves = [Stream(Waveform(f"wave{n}"), block, block.tobytes()) for n in range(WAVES)]
    numbers = [
        Stream(Numeric(f"number{n}"), NumericValue(72.0), bytes(14)) for n in range(NUMERICS)
    ]
    groups = [(float(TOOL_HZ), tools), (float(WAVE_HZ), waves), (1.0, numbers)]
    if video:
        unit = bytes(VIDEO_BYTES)
        groups.append((float(VIDEO_HZ), [Stream(Video("video"), unit, unit)]))
    return groups


def due(groups: list[tuple[float, list[Stream]]], seconds: float) -> Iterator[tuple[int, Stream]]:
    """Yield when (ns from the start) each sample is due; a group speaks at once."""
    times = [
        (round((n + place / 10) * 1e9 / rate_hz), speaking)
        for place, (rate_hz, speaking) in enumerate(groups)
        for n in range(round(rate_hz * seconds))
    ]
    for at_ns, speaking in sorted(times, key=lambda item: item[0]):
        for stream in speaking:
            yield at_ns, stream
