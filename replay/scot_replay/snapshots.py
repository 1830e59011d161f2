"""Snapshots that people made: the very frames their marks name, decoded from the recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scot.channel import Kind
from scot.errors import ScotError
from scot.sample import AnnotationValue
from scot_replay.pictures import Decoder

if TYPE_CHECKING:
    from scot_replay.timeline import ReadTimeline

TOOL = "snapshot"
JPEG_QUALITY = 88


class Snapshot(NamedTuple):
    """One snapshot.

    Attributes:
        made_ns: when it was asked for, bus ns.
        author: role of who made it.
        channel: address of the video.
        at_ns: when the frame was taken, bus ns.
        image: uint8 (height, width, 3), RGB; None: this recording does not hold that frame.
    """

    made_ns: int
    author: str
    channel: str
    at_ns: int
    image: NDArray[np.uint8] | None


def snapshots(timeline: ReadTimeline) -> Iterator[Snapshot]:
    """Yield the snapshots of a recording in order of time, one that was made anew as it is last."""
    last: dict[tuple[str, str], tuple[int, AnnotationValue]] = {}
    notes = [
        a for a in timeline.catalogue.addresses() if timeline.channel(a).kind is Kind.ANNOTATION
    ]
    for of_one in timeline.between(None, None, notes).values():
        for sample in of_one:
            note = sample.value
            if isinstance(note, AnnotationValue) and note.tool == TOOL:
                last[(note.author, note.id)] = sample.time.bus_ns, note
    for made_ns, note in sorted(last.values(), key=lambda one: one[0]):
        if note.ttl_s > 0:
            image = _frame(timeline, note.channel, note.at_ns)
            yield Snapshot(made_ns, note.author, note.channel, note.at_ns, image)


def _frame(timeline: ReadTimeline, address: str, at_ns: int) -> NDArray[np.uint8] | None:
    try:
        channel = timeline.channel(address)
        units = timeline.pictures(address, at_ns)
        if channel.kind is not Kind.VIDEO or not units or units[-1].bus_ns != at_ns:
            return None
        return Decoder(channel.codec or "h264").last(units)
    except ScotError:  # the channel was left out of this recording, or its codec is not known
        return None


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return a picture as a JPEG in its own size; empty if it cannot be."""
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes() if done else b""
