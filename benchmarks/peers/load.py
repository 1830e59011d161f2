"""What is sent, and what a subscriber notes: the same for every bus."""

from __future__ import annotations

import multiprocessing as mp
import struct
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from benchmarks.signals import Stream, due, streams
from scot.clock import machine

STAMP = struct.Struct("<q")
WARM_S = 1.0
PACKETS, PACKET_HZ, PACKET_BYTES = 2, 30, 25_000
RAW_HZ, RAW_BYTES = 30, 1920 * 1080 * 3
SMALL = bytes(120)  # with the stamp: 128 B


class Shared:
    """Numbers that all processes of a run see: what each subscriber has, and the start.

    Args:
        subscribers: how many.
    """

    def __init__(self, subscribers: int) -> None:
        self.counts = mp.get_context("spawn").RawArray("q", subscribers)

    def full(self, sent: int, window: int) -> bool:
        """Whether somebody has yet to take `window` of what was sent."""
        return bool(sent - min(self.counts) >= window)

    def heard(self) -> bool:
        """Whether every subscriber has heard something."""
        return bool(min(self.counts) > 0)

    def reset(self) -> None:
        """Count from the start."""
        self.counts[:] = [0] * len(self.counts)


class Notes:
    """What one subscriber saw: when each was sent and how old it was, ns."""

    def __init__(self, shared: Shared, number: int, flat: bool) -> None:
        self.poses: list[tuple[int, int]] = []
        self.others: list[tuple[int, int]] = []
        self.video: list[tuple[int, int]] = []
        self._shared, self._number, self._flat = shared, number, flat

    def take(self, name: str, data: Any) -> None:
        """Take one message of a peer's."""
        if name == "hello":
            self._shared.counts[self._number] = 1
            return
        (sent_ns,) = STAMP.unpack_from(data)
        if self._flat:
            self._shared.counts[self._number] += 1
        else:
            self.note(name, sent_ns)

    def note(self, name: str, sent_ns: int) -> None:
        """Take one sample."""
        item = (sent_ns, machine.monotonic_ns() - sent_ns)
        if name.startswith("tool"):
            self.poses.append(item)
        elif name.startswith("video"):
            self.video.append(item)
        else:
            self.others.append(item)


class Ages(NamedTuple):
    """Ages of one run from all subscribers, µs, and how many signals never came."""

    poses: Any
    signals: Any
    video: Any
    missing: int


def ages(notes: list[Notes], start_ns: int, seconds: float) -> Ages:
    """Return the ages of what was sent between a second after the start and the end."""
    from_ns = start_ns + round(WARM_S * 1e9)

    def of(found: list[tuple[int, int]]) -> list[float]:
        return [age / 1e3 for sent_ns, age in found if sent_ns >= from_ns]

    poses = np.array([us for one in notes for us in of(one.poses)])
    others = np.array([us for one in notes for us in of(one.others)])
    video = np.array([us for one in notes for us in of(one.video)])
    signals = np.concatenate([poses, others])
    each_s = sum(rate_hz * len(speaking) for rate_hz, speaking in streams(video=False))
    expected = round(each_s * seconds * len(notes) * 0.99)
    return Ages(poses, signals, video, max(0, expected - len(signals)))


def bursts(seconds: float) -> Iterator[tuple[int, list[Stream]]]:
    """Yield when (ns from the start) which signals speak together."""
    for at_ns, group in groupby(due(streams(video=False), seconds), key=lambda item: item[0]):
        yield at_ns, [stream for _, stream in group]


def pictures(kind: str, seconds: float) -> Iterator[tuple[int, str, int]]:
    """Yield when (ns from the start), which video and how many bytes, for a camera's process."""
    hz, names, size = (
        (RAW_HZ, ["video0"], RAW_BYTES)
        if kind == "raw"
        else (PACKET_HZ, [f"video{n}" for n in range(PACKETS)], PACKET_BYTES)
    )
    for n in range(round(seconds * hz)):
        for name in names:
            yield round((n + 0.05) * 1e9 / hz), name, size


def stamped(size_or_raw: int | bytes) -> bytes:
    """Return bytes that begin with the time, of a size or before other bytes."""
    rest = bytes(size_or_raw - STAMP.size) if isinstance(size_or_raw, int) else size_or_raw
    return STAMP.pack(machine.monotonic_ns()) + rest
