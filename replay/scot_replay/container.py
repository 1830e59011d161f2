"""The MCAP file of a segment: the library's writer, and chunks that were made whole.

The library packs one message at a time. `Container.add_chunk` takes a chunk's records as bytes,
with where each message stands, and writes chunk, indexes and statistics as the library would.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import zstandard
from mcap import records
from mcap.opcode import Opcode
from mcap.writer import LIBRARY_IDENTIFIER, CompressionType, Writer

from scot import __version__
from scot_replay.heads import Int64s

MAX_CHUNK = 8 << 20
_INDEX_HEAD = struct.Struct("<BQHI")  # record head, channel id, bytes of the entries
_zstd = zstandard.ZstdCompressor()


class Container(Writer):
    """A writer of MCAP to an open binary file, which says that it is ours."""

    def __init__(self, out: Any) -> None:
        super().__init__(out, chunk_size=2 * MAX_CHUNK, compression=CompressionType.ZSTD)
        self._of_library: Any = _Private(self)
        self.start(profile="scot", library=f"scot-bus {__version__}; {LIBRARY_IDENTIFIER}")

    def finish(self) -> None:
        """Write the summary; nothing more can be added."""
        super().finish()  # type: ignore[no-untyped-call]

    def flush(self) -> None:
        """End the chunk that messages were added to."""
        super().flush()  # type: ignore[no-untyped-call]

    def compress(self, compression: CompressionType) -> None:
        """Choose how the next chunks are packed; the library offers one choice a file only."""
        self.flush()
        self._of_library.compression = compression

    def add_chunk(self, data: bytes, ids: Int64s, times: Int64s, offsets: Int64s) -> None:
        """Write a chunk.

        Args:
            data: Message records, one behind the other.
            ids: of the channel of each, registered before.
            times: of each, UTC ns.
            offsets: where in `data` each begins.
        """
        own = self._of_library
        self.flush()
        before: bytes = own.chunk_builder.end()  # channels and schemas that no message followed yet
        if before:
            data, offsets = before + data, offsets + len(before)
        packed = own.compression is CompressionType.ZSTD
        stored = _zstd.compress(data) if packed else data
        first, last = int(times.min()), int(times.max())
        chunk = records.Chunk(
            compression="zstd" if packed else "",
            data=stored,
            message_start_time=first,
            message_end_time=last,
            uncompressed_crc=zlib.crc32(data),
            uncompressed_size=len(data),
        )
        at = own.stream.tell()
        chunk.write(own.record_builder)
        length = own.record_builder.count
        self.flush()
        places = own.stream.tell()
        index = _index(ids, times, offsets)
        begins: dict[int, int] = {}
        for channel_id, entries in index.items():
            begins[channel_id] = places
            head = _INDEX_HEAD.pack(
                Opcode.MESSAGE_INDEX, 6 + len(entries), channel_id, len(entries)
            )
            own.stream.write(head + entries)
            places += len(head) + len(entries)
        own.chunk_indices.append(
            records.ChunkIndex(
                message_start_time=first,
                message_end_time=last,
                chunk_start_offset=at,
                chunk_length=length,
                message_index_offsets=begins,
                message_index_length=own.stream.tell() - at - length,
                compression=chunk.compression,
                compressed_size=len(stored),
                uncompressed_size=len(data),
            )
        )
        self._count(ids, first, last)

    def _count(self, ids: Int64s, first: int, last: int) -> None:
        said = self._of_library.statistics
        said.chunk_count += 1
        known = said.message_count > 0
        said.message_start_time = min(first, said.message_start_time) if known else first
        said.message_end_time = max(last, said.message_end_time)
        said.message_count += len(ids)
        for channel_id, count in zip(*np.unique(ids, return_counts=True), strict=True):
            said.channel_message_counts[int(channel_id)] += int(count)


class _Private:
    """What the library's writer keeps for itself, by name."""

    def __init__(self, writer: Writer) -> None:
        object.__setattr__(self, "_writer", writer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, f"_Writer__{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._writer, f"_Writer__{name}", value)


def _index(ids: Int64s, times: Int64s, offsets: Int64s) -> dict[int, bytes]:
    """Return the entries of the message index of each channel of a chunk."""
    entries = np.stack([times, offsets], axis=1).astype("<u8")
    return {int(one): entries[ids == one].tobytes() for one in np.unique(ids)}
