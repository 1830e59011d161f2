"""One sample as a recording has it: its frame, and its header read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from scot.codec import MAX_HEADER, VERSION, Frame, Header, read_header
from scot.errors import UNREADABLE, CodecError

_decode = msgspec.msgpack.Decoder(Header).decode


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
    add, topic = found.append, b""
    for frame in frames:
        try:
            if frame[0] != topic:
                header = read_header(frame)
                topic = frame[0]  # whose rules need no second look
            else:
                header = _decode(frame[1])
                if header.version != VERSION or len(frame[1]) > MAX_HEADER:
                    continue
        except (CodecError, *UNREADABLE):
            continue  # counted when the part was opened
        add(Found(header.bus_ns, address, header.epoch, header.seq, header, frame))
    return found
