"""A sealed segment: an MCAP file, read by its index so that one channel costs one channel.

The summary, the attachments and the metadata are read with the official library. Messages are
then taken straight from their chunks at the places that the message indexes name; a file that was
cut short has no summary, so its chunks are walked once.
"""

from __future__ import annotations

import io
import mmap
import struct
import threading
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zstandard
from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader

from scot.channel import Catalogue, Channel, Kind
from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.codec import Frame, read_header
from scot.errors import CodecError, RecordingError
from scot.sample import Flags
from scot_replay import came
from scot_replay.came import Came
from scot_replay.chunks import MESSAGE, RECORD, ChunkCache, records_of, unpack
from scot_replay.index import ENTRY, Span, span
from scot_replay.layout import FORMAT, Manifest, NewerVersionError
from scot_replay.levels import Envelope
from scot_replay.messages import Carrier, carrier
from scot_replay.parts import Int64s, quality_of, rows_of
from scot_replay.rows import Quality, Rows
from scot_replay.sidecar import Beside, Index, catalogue_of

CHANNEL_KEY = "scot.channel"
SEGMENT, CATALOGUE, LOSS = "scot.segment", "scot.catalogue", "scot.loss"  # metadata
DAMAGE = "scot.damage"  # metadata: what of the journal could not be read when it was sealed
CATALOGUES, STATE, SPANS = "scot.catalogues", "scot.state", "scot.spans"  # attachments
CAME = "scot.came"  # attachment

_MESSAGE_START = struct.Struct("<BQH")  # record head, channel id
_MESSAGE_HEAD = 9 + 22  # record head, channel id, sequence, log time, publish time
_CHUNK_FIXED = struct.Struct("<QQQII")
_CHANNEL = 0x04
_Damaged = (McapError, struct.error, zstandard.ZstdError, ValueError, OSError)


class _Places(NamedTuple):
    """Of one channel: bus time, chunk and offset within the chunk of each message."""

    times: Int64s
    chunks: Int64s
    offsets: Int64s


class _Chunk(NamedTuple):
    """Where a chunk lies; by channel id, where its message index lies, or the index itself."""

    at: int
    index_at: dict[int, int]
    entries: dict[int, list[tuple[int, int]]]


class SegmentPart:
    """A sealed segment, see `scot_replay.parts.Part`.

    Args:
        path: of the MCAP file.
        number: of the part.
        cache: shared with other segments of the same holder.

    Attributes:
        whole: the file was not cut short, as far as it was looked at.
        beside: its index and columns; None when there are none to believe.

    Raises:
        RecordingError: it is no segment of ours, or of a newer version.
    """

    def __init__(self, path: Path, number: int, cache: ChunkCache | None = None) -> None:
        self.path = path
        self.number = number
        self.state: dict[str, Frame] = {}
        self.catalogues: list[tuple[int, Catalogue]] = []
        self.damage: list[str] = []
        self.losses: list[dict[str, Any]] = []
        self.came: list[Came] = []
        self.manifest: Manifest | None = None
        self._cache = cache or ChunkCache()
        self._spans: dict[str, Span] | None = None
        self._chunks: list[_Chunk] = []
        self._ids: dict[str, list[int]] = {}
        self._carriers: dict[int, Carrier] = {}
        self._kinds: dict[str, Kind] = {}
        self._places: dict[str, _Places] = {}
        self._bad: set[int] = set()
        self._data: Any = None
        self.whole = True
        self._opening = threading.RLock()
        self.beside = Beside.of(path, number)
        if self.beside is None:
            self._open()
        else:
            self._take_index(self.beside.index)
        if self.manifest is None:
            raise RecordingError(f"{self.path} is an MCAP file, but not a segment of SCOT's")

    def _take_index(self, index: Index) -> None:
        """Know what the segment holds without opening it."""
        self._take_manifest(index.manifest)
        self.state = {frame.address: frame for frame in index.state}
        self.catalogues = [(at_ns, catalogue_of(packed)) for at_ns, packed in index.catalogues]
        self.losses, self.damage = index.losses, list(index.damage)
        self.came = [index.came] if index.came else []
        self._spans, self._kinds = index.spans, index.kinds

    def _opened(self) -> Any:
        """Return the file, opened at the first frame that is wanted from it.

        Raises:
            RecordingError: it cannot be read any more.
        """
        with self._opening:
            if self._data is None:
                self.losses, self.damage = [], []  # they are in the file, too
                self._open()
            data = self._data
        if data is None:
            raise RecordingError(f"{self.path} was closed; open the recording again")
        return data

    def _open(self) -> None:
        try:
            with self.path.open("rb") as file:
                self._data = _sliced(self.path, file)
                try:
                    self._read_summary(file)
                except _Damaged:
                    file.seek(0)
                    self._walk(file)
        except (OSError, ValueError) as error:
            raise RecordingError(f"{self.path} cannot be read: {error}") from None
        except McapError as error:
            raise RecordingError(f"{self.path} is no MCAP file: {error}") from None

    def _read_summary(self, file: io.BufferedReader) -> None:
        reader = make_reader(file)
        summary = reader.get_summary()
        if summary is None:
            raise McapError("no summary")
        for channel in summary.channels.values():
            self._take_channel(channel)
        for metadata in reader.iter_metadata():
            self._take_metadata(metadata)
        for attachment in reader.iter_attachments():
            self._take_attachment(attachment)
        for index in summary.chunk_indexes:
            self._chunks.append(_Chunk(index.chunk_start_offset, index.message_index_offsets, {}))

    def _walk(self, file: io.BufferedReader) -> None:
        """Find what a file that was cut short still holds."""
        self.whole = False
        whole, size = 0, self.path.stat().st_size
        try:
            for record in StreamReader(file, emit_chunks=True).records:
                if isinstance(record, records.Chunk):
                    self._take_chunk(record, file.tell())
                elif isinstance(record, records.Metadata):
                    self._take_metadata(record)
                elif isinstance(record, records.Attachment):
                    self._take_attachment(record)
                whole = file.tell()
        except _Damaged:
            self.damage.append(
                f"{self.path.name}: cut short: of {size} B the first {whole} B are "
                f"whole records, with {len(self._chunks)} chunks; the rest was left out"
            )

    def _take_channel(self, channel: records.Channel) -> None:
        self._ids.setdefault(channel.topic, []).append(channel.id)
        described = msgspec.json.decode(channel.metadata[CHANNEL_KEY], type=Channel)
        self._carriers[channel.id] = carrier(channel.topic, described)
        self._kinds[channel.topic] = described.kind

    def _take_metadata(self, metadata: records.Metadata) -> None:
        if metadata.name == SEGMENT:
            self._take_manifest(msgspec.convert(metadata.metadata, Manifest, strict=False))
        elif metadata.name == LOSS:
            self.losses.append(
                {address: msgspec.json.decode(loss) for address, loss in metadata.metadata.items()}
            )
        elif metadata.name == DAMAGE:
            self.damage += metadata.metadata.values()

    def _take_manifest(self, manifest: Manifest) -> None:
        self.manifest = manifest
        if manifest.format > FORMAT:
            raise NewerVersionError(
                f"{self.path} is of format {manifest.format}, this release reads up to "
                f"{FORMAT}; install a newer scot-bus"
            )

    def _take_attachment(self, attachment: records.Attachment) -> None:
        if attachment.name == STATE:
            frames = msgspec.msgpack.decode(attachment.data, type=list[Frame])
            self.state = {frame.address: frame for frame in frames}
        elif attachment.name == CATALOGUES:
            self.catalogues = msgspec.msgpack.decode(
                attachment.data, type=list[tuple[int, Catalogue]]
            )
        elif attachment.name == CAME:
            self.came = [came.decode(attachment.data)]
        elif attachment.name == SPANS:
            self._spans = msgspec.json.decode(attachment.data, type=dict[str, Span])

    def _take_chunk(self, chunk: records.Chunk, end: int) -> None:
        start = end - RECORD.size - _CHUNK_FIXED.size - len(chunk.compression) - 8
        data = unpack(chunk.compression, chunk.data, chunk.uncompressed_size)
        index: dict[int, list[tuple[int, int]]] = {}
        for opcode, at, length in records_of(data):
            if opcode == _CHANNEL:
                body = io.BytesIO(data[at + RECORD.size : at + RECORD.size + length])
                self._take_channel(records.Channel.read(ReadDataStream(body)))
            elif opcode == MESSAGE:
                channel_id, _, log_ns = struct.unpack_from("<HIQ", data, at + RECORD.size)
                index.setdefault(channel_id, []).append((log_ns, at))
        self._chunks.append(_Chunk(start - len(chunk.data), {}, index))

    def addresses(self) -> list[str]:
        """Channels with samples in this part."""
        if self.beside is not None:
            return list(self.beside.index.kinds)
        return [address for address in self._ids if len(self.times(address))]

    def times(self, address: str) -> Int64s:
        """Bus times of a channel's samples, ascending."""
        return self._find(address).times

    def read(self, address: str, first: int, last: int) -> list[Frame]:
        """Return the frames at places [first, last) of `times`; a chunk that is broken gives none.

        What could not be read is named in `damage`.
        """
        places = self._find(address)
        frames: list[Frame] = []
        chunk, data = -1, b""
        for number, offset in zip(
            places.chunks[first:last].tolist(), places.offsets[first:last].tolist(), strict=True
        ):
            if number != chunk:
                chunk, data = number, self._chunk(number)
            if not data:
                continue
            _, length, channel_id = _MESSAGE_START.unpack_from(data, offset)
            body = data[offset + _MESSAGE_HEAD : offset + RECORD.size + length]
            frames.append(self._carriers[channel_id].unpack(body))
        return frames

    def reach(self, address: str) -> tuple[int, int] | None:
        """Bus time of a channel's first and last sample; None if it has none."""
        if self._spans is not None:
            found = self._spans.get(address)
            return None if found is None else (found.first_ns, found.last_ns)
        times = self.times(address)
        return (int(times[0]), int(times[-1])) if len(times) else None

    def complete(self) -> bool:
        """Open the file and say whether it is whole."""
        self._opened()
        return self.whole

    def chunk(self, number: int) -> bytes:
        """Return a chunk's records, unpacked and checked; empty when it is broken."""
        return self._chunk(number)

    def span(self, address: str) -> Span | None:
        """Which samples of a channel this part holds."""
        if self._spans is None:
            self._spans = self._count()
        return self._spans.get(address)

    def keyframes(self, address: str) -> Int64s:
        """Bus times at which decoding of a video can start, ascending."""
        found = self.span(address)
        return np.array([] if found is None else found.keys, dtype=np.int64)

    def rows(self, address: str, kind: Kind, from_ns: int, to_ns: int, brief: bool = False) -> Rows:
        """Return a channel's samples of [from_ns, to_ns) as arrays; raises as `Part.rows`."""
        if self.beside is not None and self._kinds.get(address) is kind:
            rows = self.beside.rows(address, kind, brief)
            if rows is not None:
                return rows.within(from_ns, to_ns)
        return rows_of(self, address, kind, from_ns, to_ns)

    def level(self, address: str, width_ns: int) -> Envelope | None:
        """Return least and greatest values in stretches of one length, if they are kept."""
        return None if self.beside is None else self.beside.level(address, width_ns)

    def quality(self, address: str) -> Quality | None:
        """Return how well the times of a channel's samples are known; None if it has none."""
        known = None if self.beside is None else self.beside.quality(address)
        return known or quality_of(self, address)

    def close(self) -> None:
        """Give the file back."""
        with self._opening:
            if self._data is not None:
                self._data.close()

    def _find(self, address: str) -> _Places:
        places = self._places.get(address)
        if places is None:
            self._opened()
            pieces = [
                (number, entries)
                for number, chunk in enumerate(self._chunks)
                for channel_id in self._ids.get(address, [])
                if len(entries := self._message_index(chunk, channel_id))
            ]
            found = np.concatenate([e for _, e in pieces]) if pieces else np.empty((0, 2), "<i8")
            chunks = np.repeat([n for n, _ in pieces], [len(e) for _, e in pieces]).astype(np.int64)
            order = np.argsort(found[:, 0], kind="stable")
            times = found[order, 0] + TAI_MINUS_UTC_NS
            places = _Places(times, chunks[order], found[order, 1])
            self._places[address] = places
        return places

    def _message_index(self, chunk: _Chunk, channel_id: int) -> Int64s:
        if channel_id in chunk.entries:
            return np.array(chunk.entries[channel_id], dtype="<i8")
        at = chunk.index_at.get(channel_id)
        if at is None:
            return np.empty((0, 2), dtype="<i8")
        file = self._opened()
        (length,) = struct.unpack("<I", file[at + RECORD.size + 2 : at + RECORD.size + 6])
        start = at + RECORD.size + 6
        return np.frombuffer(file[start : start + length], dtype="<i8").reshape(-1, 2)

    def _chunk(self, number: int) -> bytes:
        """Return a chunk's content, checked; empty when it is broken."""
        key = (id(self), number)
        data = self._cache.get(key)
        if data is not None or number in self._bad:
            return data or b""
        file = self._opened()
        at = self._chunks[number].at + RECORD.size
        _, _, size, crc, name = _CHUNK_FIXED.unpack(file[at : at + _CHUNK_FIXED.size])
        start = at + _CHUNK_FIXED.size + name + 8
        (stored,) = struct.unpack("<Q", file[start - 8 : start])
        compression = file[start - 8 - name : start - 8].decode("ascii", "replace")
        try:
            data = unpack(compression, file[start : start + stored], size)
            if crc and zlib.crc32(data) != crc:
                raise ValueError(f"CRC of {size} B differs")
        except _Damaged as error:
            self._bad.add(number)
            self.damage.append(
                f"{self.path.name}: chunk {number + 1} of {len(self._chunks)} (byte {at}) is "
                f"broken and was left out: {error}"
            )
            return b""
        self._cache.put(key, data)
        return data

    def _count(self) -> dict[str, Span]:
        spans: dict[str, Span] = {}
        for address in self.addresses():
            rows = []
            for frame in self.read(address, 0, len(self.times(address))):
                try:
                    header = read_header(frame)
                except CodecError:
                    continue
                key = self._kinds[address] is Kind.VIDEO and bool(header.flags & Flags.KEYFRAME)
                rows.append((header.bus_ns, header.epoch, header.seq, 0, 0, key))
            found = span(np.array(rows, dtype=ENTRY))
            if found is not None:
                spans[address] = found
        return spans


def _sliced(path: Any, file: Any) -> Any:
    """Return a file to be sliced: of this machine mapped, of a store fetched in ranges."""
    if isinstance(path, Path):
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    return path.ranges()
