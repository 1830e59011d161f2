"""What a broken segment still holds: every chunk whose CRC fits, found without any index.

A segment that was cut short, half written, or hit in its index or between its chunks is searched
from end to end for the heads of chunks and attachments (MCAP 1.0, records 0x06 and 0x09); what fits
its CRC is taken, whatever lies around it.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.stream_reader import StreamReader, get_chunk_data_stream

from scot.channel import Catalogue, Channel
from scot.codec import Frame
from scot.errors import RecordingError
from scot_replay import came
from scot_replay import segment as names
from scot_replay.came import Came
from scot_replay.index import Span
from scot_replay.layout import FORMAT, Manifest, NewerVersionError
from scot_replay.messages import Carrier, carrier

MAX_CHUNK = 64 << 20
_CHUNK = re.compile(
    rb"\x06[\x00-\xff]{4}\x00{4}[\x00-\xff]{28}(?:\x00{4}|\x04\x00{3}zstd)", re.DOTALL
)
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = 22  # channel id, sequence, log time, publish time
_MAGIC_BYTES = 8
_MESSAGE, _CHANNEL = 0x05, 0x04
_ATTACHMENT, _METADATA = 0x09, 0x0C
BROKEN = (
    McapError, struct.error, zstandard.ZstdError, ValueError, KeyError, OSError,
    msgspec.MsgspecError, MemoryError, OverflowError,
)  # fmt: skip


def faults(path: Path, tell: Callable[[int], None] = lambda at: None) -> list[str]:
    """Return lines that say what of a segment is damaged; empty when all of it is whole.

    Args:
        path: of the file.
        tell: called with the bytes that were checked so far.
    """
    chunks = 0
    index: dict[int, list[tuple[int, int]]] = {}
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            for record in StreamReader(file, emit_chunks=True).records:
                if isinstance(record, records.Chunk):
                    _refuse(index, "has no index")
                    index = _places(_unpacked(record))
                    chunks += 1
                elif isinstance(record, records.MessageIndex):
                    named = sorted((at_ns, offset) for at_ns, offset in record.records)
                    _refuse(index.pop(record.channel_id, None) != named, "has a wrong index")
                elif isinstance(record, records.DataEnd):
                    _refuse(index, "has no index")
                elif isinstance(record, records.Footer):
                    _check_summary(data, record)
                tell(file.tell())
            for name in (names.CATALOGUES, names.STATE, names.SPANS):
                _refuse(not any(True for _ in _attachments(data, name)), f"{name} is broken")
    except BROKEN as error:
        why = str(error) or type(error).__name__
        return [f"{path.name}: damaged at or after chunk {chunks}: {why}"]
    return []


def _refuse(wrong: object, why: str) -> None:
    if wrong:
        raise ValueError(why)


def _check_summary(data: mmap.mmap, footer: records.Footer) -> None:
    """The summary's CRC covers it up to the footer's own CRC (MCAP 1.0, Footer)."""
    if footer.summary_start and footer.summary_crc:
        end = len(data) - _MAGIC_BYTES - 4
        crc = zlib.crc32(data[footer.summary_start : end])
        _refuse(crc != footer.summary_crc, "its summary does not fit its CRC")


def _places(data: bytes) -> dict[int, list[tuple[int, int]]]:
    """Return by channel id the log time and the offset of each message of a chunk."""
    places: dict[int, list[tuple[int, int]]] = {}
    for opcode, at, _ in _inside(data):
        if opcode == _MESSAGE:
            channel_id, _, log_ns = struct.unpack_from("<HIQ", data, at + _RECORD.size)
            places.setdefault(channel_id, []).append((log_ns, at))
    return {channel_id: sorted(found) for channel_id, found in places.items()}


def _unpacked(chunk: records.Chunk) -> bytes:
    """Return the content of a chunk.

    Raises:
        ValueError: it does not fit its size or its CRC.
    """
    stream, length = get_chunk_data_stream(chunk, validate_crc=True)
    data = stream.read(length)
    _refuse(len(data) != chunk.uncompressed_size, f"{len(data)} of {chunk.uncompressed_size} B")
    return data


class Salvage:
    """A broken segment, as far as it can be read.

    Args:
        path: of the file.

    Attributes:
        state, catalogues, losses, came, damage: as of a `scot_replay.parts.Part`.
        manifest: of the recording it belongs to, if it says so.
        chunks: how many are whole.
        spans: by channel, which samples it held when it was whole; empty when that is not known.

    Raises:
        RecordingError: nothing of a segment of SCOT's is in it; or it is of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state: dict[str, Frame] = {}
        self.catalogues: list[tuple[int, Catalogue]] = []
        self.losses: list[dict[str, Any]] = []
        self.came: list[Came] = []
        self.damage: list[str] = []
        self.spans: dict[str, Span] = {}
        self.manifest: Manifest | None = None
        self._carriers: dict[int, Carrier] = {}
        try:
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise RecordingError(f"{path} cannot be read: {error}") from None
        self._take_head()
        self._at = list(self._whole_chunks())
        self.chunks = len(self._at)
        if not self._ours():
            self._data.close()
            raise RecordingError(f"{path}: nothing of a segment of SCOT's is in it")

    def frames(self) -> Iterator[Frame]:
        """Yield every sample of every whole chunk."""
        for at in self._at:
            data = self._chunk(at) or b""
            for opcode, start, length in _inside(data):
                if opcode != _MESSAGE:
                    continue
                (channel_id,) = struct.unpack_from("<H", data, start + _RECORD.size)
                carry = self._carriers.get(channel_id)
                if carry is not None:
                    body = start + _RECORD.size
                    try:
                        yield carry.unpack(data[body + _MESSAGE_HEAD : body + length])
                    except BROKEN:
                        continue

    def close(self) -> None:
        """Give the file back."""
        self._data.close()

    def _ours(self) -> bool:
        return self.manifest is not None or bool(self._carriers)

    def _take_head(self) -> None:
        """Take what stands outside of chunks: whose it is, catalogues, state, losses, notes."""
        for name in (names.SEGMENT, names.LOSS):
            for metadata in _metadata(self._data, name):
                try:
                    self._take_metadata(name, metadata)
                except NewerVersionError:
                    raise
                except BROKEN:
                    continue
        for data in _attachments(self._data, names.STATE):
            frames = msgspec.msgpack.decode(data, type=list[Frame])
            self.state = {frame.address: frame for frame in frames}
        for data in _attachments(self._data, names.CATALOGUES):
            self.catalogues = msgspec.msgpack.decode(data, type=list[tuple[int, Catalogue]])
        for data in _attachments(self._data, names.SPANS):
            self.spans = msgspec.json.decode(data, type=dict[str, Span])
        self.came = [came.decode(data) for data in _attachments(self._data, names.CAME)]

    def _take_metadata(self, name: str, metadata: records.Metadata) -> None:
        if name == names.LOSS:
            found = {a: msgspec.json.decode(loss) for a, loss in metadata.metadata.items()}
            self.losses.append(found)
            return
        self.manifest = msgspec.convert(metadata.metadata, Manifest, strict=False)
        if self.manifest.format > FORMAT:
            raise NewerVersionError(
                f"{self.path} is of format {self.manifest.format}, this release reads up to "
                f"{FORMAT}; install a newer scot-bus"
            )

    def _whole_chunks(self) -> Iterator[int]:
        at = 0
        while (found := _CHUNK.search(self._data, at)) is not None:
            data = self._chunk(found.start())
            if data is None:
                at = found.start() + 1
                continue
            for opcode, start, length in _inside(data):
                if opcode == _CHANNEL:
                    self._take_channel(data[start + _RECORD.size : start + _RECORD.size + length])
            yield found.start()
            at = found.start() + _RECORD.size + self._length(found.start())

    def _take_channel(self, body: bytes) -> None:
        try:
            channel = records.Channel.read(ReadDataStream(io.BytesIO(body)))
            described = msgspec.json.decode(channel.metadata[names.CHANNEL_KEY], type=Channel)
            self._carriers[channel.id] = carrier(channel.topic, described)
        except BROKEN:
            return  # of somebody else

    def _length(self, at: int) -> int:
        length: int = _RECORD.unpack_from(self._data, at)[1]
        return length

    def _chunk(self, at: int) -> bytes | None:
        """Return the content of the chunk whose record begins at a byte; None when it is broken."""
        length = self._length(at)
        start = at + _RECORD.size
        if length > MAX_CHUNK or start + length > len(self._data):
            return None
        try:
            body = io.BytesIO(self._data[start : start + length])
            chunk = records.Chunk.read(ReadDataStream(body))
            if chunk.uncompressed_size > MAX_CHUNK or not chunk.uncompressed_crc:
                return None
            return _unpacked(chunk)
        except BROKEN:
            return None


def _inside(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield opcode, place and body length of the records in a chunk."""
    at = 0
    while at + _RECORD.size <= len(data):
        opcode, length = _RECORD.unpack_from(data, at)
        yield opcode, at, length
        at += _RECORD.size + length


def _attachments(data: mmap.mmap, name: str) -> Iterator[bytes]:
    """Yield the content of each attachment of a name whose CRC fits."""
    for start, end in _named(data, name, _ATTACHMENT, 16):
        body = data[start:end]
        try:
            attachment = records.Attachment.read(ReadDataStream(io.BytesIO(body)))
        except BROKEN:
            continue
        if zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "little"):
            yield attachment.data


def _metadata(data: mmap.mmap, name: str) -> Iterator[records.Metadata]:
    """Yield each metadata record of a name; they have no CRC."""
    for start, end in _named(data, name, _METADATA, 0):
        try:
            yield records.Metadata.read(ReadDataStream(io.BytesIO(data[start:end])))
        except BROKEN:
            continue


def _named(data: mmap.mmap, name: str, opcode: int, before: int) -> Iterator[tuple[int, int]]:
    """Yield where the body of each record lies whose name stands `before` bytes into it."""
    word = len(name).to_bytes(4, "little") + name.encode()
    at = data.find(word)
    while at >= 0:
        head = at - before - _RECORD.size
        if head >= 0 and data[head] == opcode:
            length = _RECORD.unpack_from(data, head)[1]
            end = head + _RECORD.size + length
            if end <= len(data):
                yield head + _RECORD.size, end
        at = data.find(word, at + 1)
