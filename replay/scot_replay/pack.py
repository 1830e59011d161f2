"""A whole recording as one MCAP file, for a viewer, a mail or an archive.

It is a segment like any other, only longer: `scot.open` reads it, too. Messages of sealed segments
are taken over as they are; what is not sealed yet is written as the sealer would.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
from mcap.reader import make_reader
from mcap.writer import CompressionType

from scot.channel import Catalogue, Channel, Kind
from scot.codec import Frame
from scot.errors import RecordingError
from scot_replay import seal
from scot_replay.came import Came
from scot_replay.chunks import inside_chunk
from scot_replay.container import Container
from scot_replay.index import Span, join
from scot_replay.layout import MANIFEST, Manifest
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.packed import LEDGER_HELD, MANIFEST_HELD, held
from scot_replay.messages import Carrier, carrier
from scot_replay.parts import Part, newest_catalogue
from scot_replay.recording import DirectoryRecording
from scot_replay.segment import CHANNEL_KEY, SPANS, SegmentPart

_MESSAGE = struct.Struct("<HIQQ")  # channel id, sequence, log time, publish time
_HEAD = 9 + _MESSAGE.size


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """What `pack` wrote."""

    file: str
    messages: int
    channels: int
    bytes: int
    damage: list[str]


@dataclass
class Whole:
    """What stands at the head of the file; see `scot_replay.parts.Part`."""

    number: int
    manifest: Manifest | None
    state: dict[str, Frame]
    catalogues: list[tuple[int, Catalogue]]
    losses: list[dict[str, Any]]
    damage: list[str]
    came: list[Came]


def pack(
    recording: DirectoryRecording,
    out: Path,
    *,
    force: bool = False,
    progress: Callable[[float], None] = lambda part: None,
) -> Packed:
    """Write a recording as one MCAP file.

    Args:
        recording: to read.
        out: file to make.
        force: write over an existing file.
        progress: is told how much is done, from 0 to 1.

    Raises:
        RecordingError: the file exists, or the disk does not take it; then nothing is left of it.
    """
    if out.suffix != ".mcap":
        raise RecordingError(f"{out}: {out.suffix!r} is no MCAP file; end its name in .mcap")
    if out.exists() and not force:
        raise RecordingError(f"{out} exists; name another file, or add --force")
    with _whole(out) as file:
        packer = _Packer(file, recording)
        sizes = [part.path.stat().st_size or 1 for part in recording.parts]
        done = 0
        for part, size in zip(recording.parts, sizes, strict=True):
            start, share = done / sum(sizes), size / sum(sizes)
            packer.add(part, lambda inner, a=start, b=share: progress(a + b * inner))  # type: ignore[misc]
            done += size
        packer.finish()
    return Packed(
        file=str(out),
        messages=packer.messages,
        channels=len(packer.topics),
        bytes=out.stat().st_size,
        damage=recording.damage,
    )


@contextmanager
def _whole(out: Path) -> Iterator[IO[bytes]]:
    """Give a file that gets its name only when everything is in it and on the disk."""
    fresh = out.with_name(f".{out.name}.part")
    try:
        with fresh.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(out)
    except OSError as error:
        raise RecordingError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        fresh.unlink(missing_ok=True)


class _Packer:
    """Takes parts one after the other.

    Attributes:
        messages: written.
        topics: with a channel in the file.
    """

    def __init__(self, file: IO[bytes], recording: DirectoryRecording) -> None:
        self.messages = 0
        self.topics: set[str] = set()
        self._recording = recording
        self._channels: dict[tuple[str, str, str], int] = {}
        self._schemas: dict[tuple[str, str, bytes], int] = {}
        self._kinds: dict[Kind, int] = {}
        self._writer = Container(file)
        seal.write_head(self._writer, _head(recording))

    def add(self, part: Part, progress: Callable[[float], None]) -> None:
        """Take a part."""
        if isinstance(part, SegmentPart) and part.complete():
            self._copy(part, progress)
        else:
            self._write(part, progress)

    def finish(self) -> None:
        """Write what stands at the end of the file."""
        spans = {a: s for a in self._recording.held() if (s := self._span(a)) is not None}
        data = msgspec.json.encode(spans)
        self._writer.add_attachment(0, 0, SPANS, "application/json", data)
        for name, kept in _for_verifying(self._recording).items():
            self._writer.add_attachment(0, 0, name, "application/octet-stream", kept)
        self._writer.finish()

    def _span(self, address: str) -> Span | None:
        parts = [s for part in self._recording.parts if (s := part.span(address)) is not None]
        span = join(parts)
        if span is not None and self._recording.channel(address).kind is Kind.VIDEO:
            keys = [int(t) for part in self._recording.parts for t in part.keyframes(address)]
            span.keys = sorted(set(keys))
        return span

    def _copy(self, part: SegmentPart, progress: Callable[[float], None]) -> None:
        """Take over a segment's messages, chunk by chunk."""
        with part.path.open("rb") as file:
            summary: Any = make_reader(file).get_summary()
        ids = {
            channel.id: self._channel(channel, summary.schemas.get(channel.schema_id))
            for channel in summary.channels.values()
        }
        total = len(summary.chunk_indexes)
        for number, index in enumerate(summary.chunk_indexes):
            packed = CompressionType.ZSTD if index.compression else CompressionType.NONE
            self._writer.compress(packed)
            data = part.chunk(number)
            for at, length in inside_chunk(data):
                channel_id, seq, log_ns, published_ns = _MESSAGE.unpack_from(data, at + 9)
                body = data[at + _HEAD : at + 9 + length]
                self._writer.add_message(ids[channel_id], log_ns, body, published_ns, seq)
                self.messages += 1
            self._writer.flush()
            progress((number + 1) / total)

    def _channel(self, channel: Any, schema: Any) -> int:
        kind = msgspec.json.decode(channel.metadata[CHANNEL_KEY], type=Channel).kind
        key = (channel.topic, kind.value, channel.message_encoding)
        if key not in self._channels:
            known = (schema.name, schema.encoding, schema.data)
            if known not in self._schemas:
                self._schemas[known] = self._writer.register_schema(*known)
            self._channels[key] = self._writer.register_channel(
                channel.topic, channel.message_encoding, self._schemas[known], channel.metadata
            )
            self.topics.add(channel.topic)
        return self._channels[key]

    def _write(self, part: Part, progress: Callable[[float], None]) -> None:
        """Write what is not sealed, or was cut short, as the sealer does."""
        catalogue = newest_catalogue([part, *self._recording.parts])
        channels = {a: catalogue.channel(a) or seal.undescribed(a) for a in part.addresses()}
        ids: dict[str, tuple[int, Carrier]] = {}
        for address, channel in channels.items():
            carry = carrier(address, channel)
            key = (address, channel.kind.value, carry.schema.message)
            if key not in self._channels:
                self._channels[key] = seal.register(self._writer, address, channel, self._kinds)[0]
                self.topics.add(address)
            ids[address] = self._channels[key], carry
        groups = seal.groups(channels)
        for number, group in enumerate(groups):
            video = channels[group[0]].kind is Kind.VIDEO
            packed = CompressionType.NONE if video else CompressionType.ZSTD
            self._writer.compress(packed)
            seal.write_group(self._writer, part, {a: ids[a] for a in group}, channels)
            self.messages += sum(len(part.times(a)) for a in group)
            progress((number + 1) / len(groups))


def _for_verifying(recording: DirectoryRecording) -> dict[str, bytes]:
    """Return what `scot_replay.ledger.packed` wants of a recording: its ledger and manifest.

    There is none of encrypted samples: the ledger knows them as they were recorded, and they are
    packed so that others can read them.
    """
    path = recording.path
    if recording.manifest.encrypted:
        return {}
    if path.is_file():
        return held(path)
    found: dict[str, bytes] = {}
    for name, file in ((LEDGER_HELD, LEDGER), (MANIFEST_HELD, MANIFEST)):
        with suppress(OSError):
            found[name] = (path / file).read_bytes()
    return found if LEDGER_HELD in found else {}


def _head(recording: DirectoryRecording) -> Whole:
    catalogues: list[tuple[int, Catalogue]] = []
    for at_ns, known in recording.catalogues:
        if not catalogues or catalogues[-1][1] != known:
            catalogues.append((at_ns, known))
    return Whole(
        number=1,
        manifest=msgspec.structs.replace(recording.manifest, encrypted=""),
        state=recording.parts[0].state,
        catalogues=catalogues,
        losses=[loss for part in recording.parts for loss in part.losses],
        damage=[line for part in recording.parts for line in part.damage],
        came=[came for part in recording.parts for came in part.came],
    )
