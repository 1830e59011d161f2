"""One sample as a recording has it: its frame, and its header read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from scot.codec import Frame, Header, read_header
from scot.errors import CodecError


class Found(NamedTuple):
    """One sample in order: by bus time, then address, epoch and seq."""

    bus_ns: int
    address: str
    epoch: int
    seq: int
    header: Header
    frame: Frame


def with_headers(address: str, frames: Iterable[Frame]) -> list[Found]:
    """Return one channel's frames with their headers; without those that have no readable one."""
    found: list[Found] = []
    for frame in frames:
        try:
            header = read_header(frame)
        except CodecError:
            continue  # counted when the part was opened
        found.append(Found(header.bus_ns, address, header.epoch, header.seq, header, frame))
    return found
