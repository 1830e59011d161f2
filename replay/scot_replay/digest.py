"""The digest of a workspace's samples: equal digests mean equal recordings or replays.

Of a channel it is SHA-256 over its samples in order of epoch and seq: for each the header without
its epoch as MessagePack, then the payload. Of a whole it is SHA-256 over the lines ``address
digest`` of the channels, sorted. The room's own channels and the devices' health differ from one
run to the next by nature and are left out.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Mapping

import msgspec

from scot.codec import Frame, Header, read_header

REORDER = 256
_encode = msgspec.msgpack.Encoder().encode


def in_digest(address: str) -> bool:
    """Say whether a channel counts: not the room's own and its services', not a device's health."""
    _, _, rest = address.partition("/")
    return not rest.startswith(("room/", "recorder/", "player/")) and not rest.endswith("/health")


class ChannelDigest:
    """Takes one channel's frames; puts right an order that is off by up to 256 samples."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._waiting: list[tuple[int, int, bytes]] = []
        self._last: tuple[int, int] | None = None

    def add(self, frame: Frame, header: Header | None = None) -> None:
        """Take a frame; one that came before counts once."""
        header = header or read_header(frame)
        fields = (
            header.version,
            header.seq,
            header.source_ns,
            header.bus_ns,
            header.bound_ns,
            header.err_ns,
            int(header.state),
            header.flags,
        )
        item = (header.epoch, header.seq, _encode(fields) + frame.payload)
        heapq.heappush(self._waiting, item)
        if len(self._waiting) > REORDER:
            self._take(heapq.heappop(self._waiting))

    def hex(self) -> str:
        """Return the digest of what came; no more frames may follow."""
        while self._waiting:
            self._take(heapq.heappop(self._waiting))
        return self._hash.hexdigest()

    def _take(self, item: tuple[int, int, bytes]) -> None:
        if item[:2] != self._last:
            self._last = item[:2]
            self._hash.update(item[2])


class Digest:
    """Takes the frames of all channels; the result is by channel and of the whole."""

    def __init__(self) -> None:
        self._channels: dict[str, ChannelDigest] = {}

    def add(self, frame: Frame, header: Header | None = None) -> None:
        """Take a frame; channels that do not count are passed over."""
        address = frame.address
        if in_digest(address):
            self._channels.setdefault(address, ChannelDigest()).add(frame, header)

    def result(self) -> dict[str, str]:
        """Return the digest of each channel by address, and of the whole under ``""``."""
        channels = {address: self._channels[address].hex() for address in sorted(self._channels)}
        return {"": whole(channels), **channels}


def whole(channels: Mapping[str, str]) -> str:
    """Return the digest of a whole from those of its channels."""
    lines = "".join(f"{address} {channels[address]}\n" for address in sorted(channels))
    return hashlib.sha256(lines.encode()).hexdigest()
