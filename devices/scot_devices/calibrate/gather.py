"""What of two channels is needed to compare them, collected sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from scot.channel import Channel, Kind
from scot.clock.latency import applied_ns
from scot.recording import Recording
from scot.sample import Flags, PoseValue, Sample
from scot_devices.calibrate.curves import Array, Movement, Track
from scot_devices.calibrate.lag import CalibrationError
from scot_devices.calibrate.motion import Watcher

MAX_SAMPLES: Final = 2_000_000
CHUNK_NS: Final = 10_000_000_000


class Errors:
    """The likely errors of a channel's stamps, apart from what a calibration added to them."""

    def __init__(self, channel: Channel) -> None:
        self._added_ns = channel.attrs.get("latency_err_ns", 0) if applied_ns(channel) else 0
        self._ns: list[int] = []
        self.unknown = 0

    def note(self, sample: Sample) -> None:
        """Remember one stamp's error."""
        if sample.time.err_ns is None:
            self.unknown += 1
        elif len(self._ns) < MAX_SAMPLES:
            self._ns.append(max(0, sample.time.err_ns - self._added_ns))

    @property
    def typical_s(self) -> float | None:
        """Median, s; None when most stamps do not know theirs."""
        if len(self._ns) <= self.unknown:
            return None
        return float(np.median(self._ns)) / 1e9


class Poses:
    """A tool's path, where the tracker saw it."""

    def __init__(self, channel: Channel) -> None:
        self.errors = Errors(channel)
        self._rows: list[tuple[int, float, float, float]] = []

    def take(self, sample: Sample) -> None:
        """Add a pose; hidden and invalid ones leave a hole."""
        value = sample.value
        if not isinstance(value, PoseValue) or len(self._rows) >= MAX_SAMPLES:
            return
        if value.visible and not sample.flags & Flags.INVALID:
            self._rows.append((sample.time.bus_ns, *value.position_mm))
            self.errors.note(sample)

    def track(self, origin_ns: int) -> Track:
        """Return the path in time order, seconds after `origin_ns` and mm."""
        rows = sorted(self._rows)
        times_s = np.array([row[0] - origin_ns for row in rows], np.int64) / 1e9
        places = np.array([row[1:] for row in rows], np.float64).reshape(-1, 3)
        later = np.diff(times_s, prepend=-np.inf) > 1e-6
        return Track(times_s[later], places[later])

    def recent_speed(self) -> float | None:
        """Return how fast the tool was over the last two seconds, mm/s; None when hidden."""
        rows = self._rows[-240:]
        if len(rows) < 2 or rows[-1][0] <= rows[0][0]:
            return None
        moved = np.diff(np.array([row[1:] for row in rows[::6]]), axis=0)
        seconds = (rows[-1][0] - rows[0][0]) / 1e9
        return float(np.linalg.norm(moved, axis=1).sum() / seconds)


class Pictures:
    """A video's movement."""

    def __init__(self, channel: Channel) -> None:
        self.errors = Errors(channel)
        self._watcher = Watcher()

    def take(self, sample: Sample) -> None:
        """Decode and measure one access unit."""
        if isinstance(sample.value, bytes):
            keyframe = bool(sample.flags & Flags.KEYFRAME)
            self._watcher.feed(sample.value, sample.time.bus_ns, keyframe)
            self.errors.note(sample)

    @property
    def count(self) -> int:
        """Pictures so far."""
        return self._watcher.pictures

    def movement(self, origin_ns: int) -> Movement:
        """Return it, in seconds after `origin_ns`."""
        return self._watcher.movement(origin_ns)


class Wave:
    """A waveform, block by block."""

    def __init__(self, channel: Channel) -> None:
        self.errors = Errors(channel)
        self.rate_hz = channel.rate_hz or 0.0
        self._blocks: list[tuple[int, Any]] = []
        self._held = 0

    def take(self, sample: Sample) -> None:
        """Add a block."""
        if isinstance(sample.value, np.ndarray) and self._held < MAX_SAMPLES:
            self._held += sample.value.size
            self._blocks.append((sample.time.bus_ns, sample.value))
            self.errors.note(sample)

    def curve(self, origin_ns: int) -> tuple[Array, Array]:
        """Return times, seconds after `origin_ns`, and values, both (n,), in time order.

        Raises:
            CalibrationError: the channel does not say its rate, or nothing came.
        """
        if not self.rate_hz or not self._blocks:
            raise CalibrationError("one of the waveforms is silent; look at `scot top`")
        blocks = sorted(self._blocks, key=lambda block: block[0])
        times = [(ns - origin_ns) / 1e9 + np.arange(v.size) / self.rate_hz for ns, v in blocks]
        times_s = np.concatenate(times)
        values = np.concatenate([v for _, v in blocks]).astype(np.float64)
        good = np.isfinite(values) & (np.diff(np.maximum.accumulate(times_s), prepend=-np.inf) > 0)
        return times_s[good], values[good]


Taker = Poses | Pictures | Wave


def taker_for(channel: Channel) -> Taker:
    """Return what collects a channel.

    Raises:
        CalibrationError: no latency can be read off a channel of this kind.
    """
    makers: dict[Kind, type[Poses | Pictures | Wave]] = {
        Kind.POSE: Poses,
        Kind.VIDEO: Pictures,
        Kind.WAVEFORM: Wave,
    }
    if channel.kind not in makers:
        raise CalibrationError(
            f"{channel.name} is a {channel.kind} channel; calibrate a video against a pose, "
            "or a waveform against a waveform"
        )
    return makers[channel.kind](channel)


def replayed(
    recording: Recording, addresses: list[str], begin_ns: int, end_ns: int
) -> Iterator[Sample]:
    """Yield the samples of some channels within [begin, end) of a recording, a few at a time."""
    for at_ns in range(begin_ns, end_ns, CHUNK_NS):
        until_ns = min(at_ns + CHUNK_NS, end_ns)
        for samples in recording.between(at_ns, until_ns, addresses).values():
            yield from samples
