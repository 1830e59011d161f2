"""A device that notes each sample before it hands it over.

One line a sample, written before the host publishes it, straight to the kernel: what a killed
device had sent is known to the last sample.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from scot.channel import Channel, Lifecycle
from scot.clock import machine
from scot.provider import (
    DeviceContext,
    Event,
    Numeric,
    Pose,
    Provider,
    ProviderInfo,
    Video,
    Waveform,
)
from scot.sample import NumericValue, PoseValue, Sample, Value

TOOLS = [Pose(f"tool{n}", rate_hz=60.0, stale_after_s=1.0) for n in range(8)]
WAVES = [Waveform(f"wave{n}", rate_hz=500.0, unit="mV") for n in range(12)]
NUMBERS = [Numeric(f"number{n}", rate_hz=1.0, unit="/min") for n in range(30)]
TICKS = Event("ticks", rate_hz=10.0)
VIDEOS = [Video(f"video{n}", rate_hz=30.0) for n in range(2)]


class SourceOptions(BaseModel):
    """``[device.options]``.

    Attributes:
        log: where to note what was sent.
        video_bytes: of an access unit of each of two videos of 30 pictures a second; 0: no video.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    log: Path
    video_bytes: int = 0


class Source(Provider[SourceOptions]):
    """An operating room's signals from one device: 8 tools, 12 waveforms, 30 numerics, events."""

    info = ProviderInfo(id="scot.faults.source", label={"en": "Source of faults"})
    Options = SourceOptions

    async def run(self, device: DeviceContext[SourceOptions]) -> AsyncIterator[Sample]:
        """Yield some 1,120 samples a second on absolute deadlines, for ever."""
        pose: Value = PoseValue((12.5, -33.25, 71.0), (0.0, 0.0, 0.6, 0.8), 0.97)
        block: Value = np.linspace(0, 1, 10, dtype=np.float32)
        groups: list[tuple[float, list[Channel], Value]] = [
            (60.0, list(TOOLS), pose),
            (50.0, list(WAVES), block),
            (1.0, list(NUMBERS), NumericValue(72.0)),
            (10.0, [TICKS], {"text": "tick"}),
        ]
        if device.options.video_bytes:
            groups.append((30.0, list(VIDEOS), bytes(device.options.video_bytes)))
        for _, channels, _ in groups:
            device.offer(*channels)
        device.move(Lifecycle.RUNNING)
        note = os.open(device.options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        start_ns = machine.monotonic_ns()
        made = [0] * len(groups)
        try:
            while True:
                dues = [
                    start_ns + round((made[i] + i / 10) * 1e9 / rate_hz)
                    for i, (rate_hz, _, _) in enumerate(groups)
                ]
                which = dues.index(min(dues))
                await machine.until(dues[which])
                made[which] += 1
                _, channels, value = groups[which]
                samples = [device.sample(channel, value) for channel in channels]
                lines = "".join(f"{s.address} {s.epoch} {s.seq}\n" for s in samples)
                os.write(note, lines.encode())
                for sample in samples:
                    yield sample
        finally:
            os.close(note)
