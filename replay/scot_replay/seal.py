"""Sealing: a finished journal becomes an MCAP segment, and goes only when that was read back.

Runs as a process of its own, ``python -m scot_replay.seal DIRECTORY NUMBER``, so that five minutes
of samples never stand in the recorder's way.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import msgspec
from mcap.writer import CompressionType, Writer

from scot.channel import Catalogue, Channel, Kind
from scot.codec import Frame, read_header
from scot.errors import RecordingError, ScotError
from scot.sample import Flags
from scot_replay import segment as names
from scot_replay.beside import make
from scot_replay.came import Came, gather
from scot_replay.came import encode as encode_came
from scot_replay.container import MAX_CHUNK, Container
from scot_replay.grouping import SIGNAL_CHUNK, VIDEO_CHUNK, Group
from scot_replay.index import Span
from scot_replay.layout import Manifest, journal_path, segment_path, sync_directory
from scot_replay.ledger.sealed import enter
from scot_replay.messages import Carrier, carrier, utc_ns
from scot_replay.parts import Int64s, JournalPart, newest_catalogue

BATCH = 256
_ORDER = (Kind.NUMERIC, Kind.POSE, Kind.WAVEFORM, Kind.IMAGE, Kind.VIDEO)
_TOGETHER = {Kind.TEXT, Kind.EVENT, Kind.ALARM, Kind.ANNOTATION, Kind.NUMERIC}


class Head(Protocol):
    """What a segment says of itself; see `scot_replay.parts.Part`."""

    number: int
    manifest: Manifest | None
    state: dict[str, Frame]
    catalogues: list[tuple[int, Catalogue]]
    damage: list[str]
    losses: list[dict[str, Any]]
    came: list[Came]


class Framed(Protocol):
    """Frames by channel, in order of bus time."""

    def times(self, address: str) -> Int64s:
        """See `scot_replay.parts.Part`."""

    def read(self, address: str, first: int, last: int) -> list[Frame]:
        """See `scot_replay.parts.Part`."""


class Sealable(Head, Framed, Protocol):
    """What a segment is written from: a journal, or a segment without what was erased."""

    def addresses(self) -> list[str]:
        """See `scot_replay.parts.Part`."""

    def span(self, address: str) -> Span | None:
        """See `scot_replay.parts.Part`."""


def seal(directory: Path, number: int) -> Path:
    """Make segment `number` of the journal of the same number, verify it, remove the journal.

    Returns:
        The segment's path.

    Raises:
        RecordingError: the journal cannot be read, or the segment does not give it back.
    """
    journal = JournalPart.open(journal_path(directory, number), number)
    target = segment_path(directory, number)
    fresh = target.with_suffix(".mcap.part")
    try:
        with fresh.open("wb") as out:
            write_segment(journal, out)
            out.flush()
            os.fsync(out.fileno())
        verify(journal, names.SegmentPart(fresh, number))
        fresh.rename(target)
        sync_directory(directory)
        enter(directory, number, journal)
        journal.path.unlink()
        with contextlib.suppress(OSError):  # without columns it is slower to read, nothing else
            make(journal, target, journal.manifest or Manifest())
    except OSError as error:
        raise RecordingError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)
        journal.close()
    return target


def verify(journal: JournalPart, segment: names.SegmentPart) -> None:
    """Compare every frame of a segment with its journal.

    Raises:
        RecordingError: they differ; says where first.
    """
    if sorted(segment.addresses()) != sorted(journal.addresses()):
        raise RecordingError(f"{segment.path} holds other channels than {journal.path}")
    for address in journal.addresses():
        total = len(journal.times(address))
        if len(segment.times(address)) != total:
            raise RecordingError(
                f"{segment.path}: {len(segment.times(address))} samples of {address}, the journal "
                f"has {total}"
            )
        theirs = journal.raw(address).frames(address.encode("ascii") + b"\0")
        for first in range(0, total, BATCH):
            ours = segment.read(address, first, min(first + BATCH, total))
            if ours != list(islice(theirs, BATCH)):
                raise RecordingError(
                    f"{segment.path}: {address} differs from the journal within samples {first} "
                    f"to {first + BATCH}; the journal was kept"
                )
    for what in ("state", "catalogues", "losses"):
        if getattr(segment, what) != getattr(journal, what):
            raise RecordingError(f"{segment.path}: its {what} differ; the journal was kept")
    if gather(segment.came) != gather(journal.came):
        raise RecordingError(f"{segment.path}: says otherwise what came late; the journal was kept")


def write_segment(journal: Sealable, out: Any) -> None:
    """Write a journal's samples as one MCAP file to an open binary file."""
    writer = Container(out)
    write_head(writer, journal)
    catalogue = newest_catalogue([journal])
    channels = {
        address: catalogue.channel(address) or undescribed(address)
        for address in journal.addresses()
    }
    ids: dict[str, tuple[int, Carrier]] = {}
    schemas: dict[Kind, int] = {}
    for address, channel in channels.items():
        ids[address] = register(writer, address, channel, schemas)
    for group in groups(channels):
        video = channels[group[0]].kind is Kind.VIDEO
        writer.compress(CompressionType.NONE if video else CompressionType.ZSTD)
        write_group(writer, journal, {address: ids[address] for address in group}, channels)
    spans = {address: journal.span(address) for address in journal.addresses()}
    for address, channel in channels.items():
        found = spans[address]
        if found is not None and channel.kind is not Kind.VIDEO:
            found.keys = []
    writer.add_attachment(0, 0, names.SPANS, "application/json", msgspec.json.encode(spans))
    writer.finish()


def write_head(writer: Writer, head: Head) -> None:
    """Say whose segment this is, what the catalogue was, and what was true when it began."""
    manifest = head.manifest or Manifest()
    fields = {k: v for k, v in msgspec.to_builtins(manifest).items() if v is not None}
    writer.add_metadata(
        names.SEGMENT,
        {
            **{key: str(value) for key, value in fields.items()},
            "number": str(head.number),
            "log_time": "UTC, ns: the sample's bus time minus 37 s",
            "exact": "scot_header, and scot_payload where present, restore each sample's bytes",
        },
    )
    for bus_ns, catalogue in head.catalogues:
        writer.add_metadata(
            names.CATALOGUE,
            {
                "bus_ns": str(bus_ns),
                "version": str(catalogue.version),
                "catalogue": msgspec.json.encode(catalogue).decode(),
            },
        )
    for losses in head.losses:
        said = {address: msgspec.json.encode(loss).decode() for address, loss in losses.items()}
        writer.add_metadata(names.LOSS, said)
    if head.damage:
        lines = {str(number): line for number, line in enumerate(head.damage)}
        writer.add_metadata(names.DAMAGE, lines)
    if came := gather(head.came):
        writer.add_attachment(0, 0, names.CAME, "application/json", encode_came(came))
    catalogues = msgspec.msgpack.encode(head.catalogues)
    writer.add_attachment(0, 0, names.CATALOGUES, "application/msgpack", catalogues)
    state = msgspec.msgpack.encode(list(head.state.values()))
    writer.add_attachment(0, 0, names.STATE, "application/msgpack", state)


def undescribed(address: str) -> Channel:
    """Return a description for samples whose channel no catalogue knew; their bytes are kept."""
    return Channel(name=address.rsplit("/", 1)[-1], kind=Kind.EVENT)


def register(
    writer: Writer, address: str, channel: Channel, schemas: dict[Kind, int]
) -> tuple[int, Carrier]:
    """Describe a channel in the file; return its id there, and what writes its messages."""
    carry = carrier(address, channel)
    if channel.kind not in schemas:
        schema = carry.schema
        schemas[channel.kind] = writer.register_schema(schema.name, schema.encoding, schema.data)
    metadata = {
        "kind": channel.kind.value,
        "unit": channel.unit,
        "code": channel.code,
        "frame": channel.frame,
        names.CHANNEL_KEY: msgspec.json.encode(channel).decode(),
    }
    channel_id = writer.register_channel(
        address, carry.schema.message, schemas[channel.kind], metadata
    )
    return channel_id, carry


def groups(channels: dict[str, Channel]) -> list[list[str]]:
    """Return addresses that share chunks.

    Vitals and events do, navigation, the waveforms of a device; each other one is for itself.
    """
    groups: dict[tuple[int, str], list[str]] = {}
    for address, channel in channels.items():
        kind = Kind.NUMERIC if channel.kind in _TOGETHER else channel.kind
        own = "" if kind in {Kind.NUMERIC, Kind.POSE} else address
        if kind is Kind.WAVEFORM:  # those of one device bear the same times
            own = address.rpartition("/")[0]
        groups.setdefault((_ORDER.index(kind), own), []).append(address)
    return [groups[key] for key in sorted(groups)]


def write_group(
    writer: Container,
    part: Framed,
    group: dict[str, tuple[int, Carrier]],
    channels: dict[str, Channel],
) -> None:
    """Write the frames of channels that share chunks, in order of bus time."""
    video = any(channels[address].kind is Kind.VIDEO for address in group)
    if isinstance(part, JournalPart):
        Group({a: part.raw(a) for a in group}, group, channels).write(writer)
        return
    pending = 0
    for address, frame in _in_order(part, list(group)):
        header = read_header(frame)
        opens = video and bool(header.flags & Flags.KEYFRAME)
        if (
            pending > MAX_CHUNK
            or (pending > VIDEO_CHUNK and opens)
            or (pending > SIGNAL_CHUNK and not video)
        ):
            writer.flush()
            pending = 0
        channel_id, carry = group[address]
        data = carry.pack(frame, header)
        at_ns = utc_ns(header.bus_ns)
        writer.add_message(channel_id, at_ns, data, at_ns, header.seq & 0xFFFFFFFF)
        pending += len(data) + 31
    writer.flush()


def _in_order(part: Framed, addresses: Sequence[str]) -> Iterator[tuple[str, Frame]]:
    """Yield a group's frames in order of bus time."""
    if len(addresses) == 1:
        yield from ((addresses[0], frame) for frame in _frames(part, addresses[0]))
        return
    places = sorted(
        (bus_ns, address, place)
        for address in addresses
        for place, bus_ns in enumerate(part.times(address).tolist())
    )
    frames = {address: _frames(part, address) for address in addresses}
    for _, address, _ in places:
        frame = next(frames[address], None)
        if frame is not None:  # one has rotted since: `verify` says so
            yield address, frame


def _frames(part: Framed, address: str) -> Iterator[Frame]:
    """Yield a channel's frames in order of bus time, read many at a time."""
    total = len(part.times(address))
    for first in range(0, total, BATCH):
        yield from part.read(address, first, min(first + BATCH, total))


def main(arguments: Sequence[str]) -> int:
    """Seal one journal; returns 0, or 1 with one line on stderr."""
    directory, number = Path(arguments[0]), int(arguments[1])
    with contextlib.suppress(OSError):
        os.nice(10)
    try:
        seal(directory, number)
    except ScotError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
