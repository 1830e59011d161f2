"""What is in the chunks of an MCAP file, and a cache of those that were unpacked lately."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator

import zstandard

CACHE_BYTES = 96 << 20
RECORD = struct.Struct("<BQ")
"""Head of a record: opcode, length of what follows."""
MESSAGE = 0x05


class ChunkCache:
    """Chunks that were unpacked lately, over all segments of one holder; safe between threads."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._chunks: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int]) -> bytes | None:
        """Return the chunk, if it is still here."""
        with self._lock:
            data = self._chunks.get(key)
            if data is not None:
                self._chunks.move_to_end(key)
            return data

    def put(self, key: tuple[int, int], data: bytes) -> None:
        """Keep a chunk; the ones used longest ago go."""
        with self._lock:
            if key not in self._chunks:
                self._bytes += len(data)
            self._chunks[key] = data
            while self._bytes > self._max_bytes and len(self._chunks) > 1:
                self._bytes -= len(self._chunks.popitem(last=False)[1])


def unpack(compression: str, data: bytes, size: int) -> bytes:
    """Return what a chunk holds.

    Raises:
        ValueError: it is packed in another way, or does not come to `size` bytes.
        zstandard.ZstdError: it is damaged.
    """
    if compression == "zstd":
        data = zstandard.decompress(data, size)
    elif compression:
        raise ValueError(f"compression {compression!r} is not one of SCOT's")
    if len(data) != size:
        raise ValueError(f"{len(data)} of {size} B")
    return data


def inside_chunk(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield place and body length of the messages in a chunk."""
    return ((at, length) for opcode, at, length in records_of(data) if opcode == MESSAGE)


def records_of(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield opcode, place and body length of the records in a chunk."""
    at = 0
    while at + RECORD.size <= len(data):
        opcode, length = RECORD.unpack_from(data, at)
        yield opcode, at, length
        at += RECORD.size + length
