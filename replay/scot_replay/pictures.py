"""The pictures of a video, decoded at the instants that are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scot.errors import RecordingError
from scot_replay.found import Found

if TYPE_CHECKING:
    from scot_replay.timeline import ReadTimeline


class Picture(NamedTuple):
    """What was on the screen at an instant.

    Attributes:
        at_ns: the instant, bus ns.
        bus_ns: when the picture was taken; its age is the difference.
        err_ns: likely error of that, None unknown.
        image: uint8 (height, width, 3), RGB.
    """

    at_ns: int
    bus_ns: int
    err_ns: int | None
    image: NDArray[np.uint8]


def pictures(
    timeline: ReadTimeline, address: str, span: tuple[int, int], every_ns: int
) -> Iterator[Picture]:
    """Yield a picture for each instant of [from, to); none where nothing was on the screen yet.

    Raises:
        RecordingError: the codec is not known here.
    """
    decoder = Decoder(timeline.channel(address).codec or "h264")
    stale_ns = round(timeline.channel(address).stale_after_s * 1e9)
    for at_ns in range(span[0], span[1], every_ns):
        units = timeline.pictures(address, at_ns)
        if not units or at_ns - units[-1].bus_ns > stale_ns:
            continue  # the camera was silent: nobody saw a picture then
        image = decoder.last(units)
        if image is not None:
            yield Picture(at_ns, units[-1].bus_ns, units[-1].header.err_ns, image)


class Decoder:
    """Decodes access units up to the one that is wanted, and goes on from there if it can.

    Args:
        codec: as FFmpeg names it.

    Raises:
        RecordingError: it is not known here.
    """

    def __init__(self, codec: str) -> None:
        import av

        self._av = av
        self._codec = codec
        self._fed: list[tuple[int, int]] = []  # epoch and seq since the keyframe
        self._image: NDArray[np.uint8] | None = None
        try:
            self._context = self._fresh()
        except (ValueError, av.FFmpegError) as error:
            raise RecordingError(f"video codec {codec!r} is not known here: {error}") from None

    def last(self, units: list[Found]) -> NDArray[np.uint8] | None:
        """Return the picture of the last unit; None if it cannot be decoded.

        Args:
            units: from a keyframe on.
        """
        keys = [(unit.epoch, unit.seq) for unit in units]
        if keys == self._fed:
            return self._image
        frame = None
        if self._fed and keys[: len(self._fed)] == self._fed:
            frame = self._feed(units[len(self._fed) :])
        if frame is None:  # another group, or the decoder held it back
            self._context = self._fresh()
            frame = self._feed(units) or self._flushed()
        self._fed = keys if self._context is not None else []
        self._image = None if frame is None else frame.to_ndarray(format="rgb24")
        return self._image

    def _fresh(self) -> Any:
        context = self._av.CodecContext.create(self._codec, "r")
        context.thread_count = 1  # more threads hold pictures back
        return context

    def _feed(self, units: list[Found]) -> Any:
        """Return the frame of the last unit, if the decoder gives it at once."""
        frame = None
        for unit in units:
            packet = self._av.Packet(unit.frame.payload)
            packet.pts = unit.seq
            try:
                decoded = self._context.decode(packet)
            except self._av.FFmpegError:
                continue  # a damaged unit: the next ones may do
            frame = next((f for f in decoded if f.pts == units[-1].seq), frame)
        return frame if frame is not None and frame.pts == units[-1].seq else None

    def _flushed(self) -> Any:
        """Return what the decoder held back; it takes nothing after that."""
        try:
            held = self._context.decode(None)
        except self._av.FFmpegError:
            held = []
        self._context = None
        return held[-1] if held else None
