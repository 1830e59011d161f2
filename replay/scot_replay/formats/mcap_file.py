"""Plain MCAP of any tool, read by `mcap`: into a recording.

A file of SCOT's own comes back bit for bit, with its clocks. Of others, what Foxglove's schemas say
becomes video, pose, image or text; JSON and other protobuf messages become numerics where they hold
one figure, and events otherwise. Encodings that need another system's message files are left out
and named.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import zstandard
from mcap.exceptions import McapError

from scot import channel as declare
from scot.channel import Channel, Kind
from scot.codec import Frame, read_header
from scot.errors import CodecError, RecordingError
from scot.sample import Flags, ImageValue, NumericValue, PoseValue, Sample, Value
from scot.timestamp import TAI_MINUS_UTC_NS, ClockState, Timestamp
from scot_replay.formats import bounds
from scot_replay.formats.foreign import UNREADABLE, Foreign, Stream, slug

NAME = "MCAP"
MAGIC = b"\x89MCAP0\r\n"
OURS = "scot.channel"
MM = 1000.0  # Foxglove's lengths are metres
_KEY_UNIT = re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]")  # H.264 NAL type 5, Annex B
_FIGURES = ("value", "data")
_BROKEN = (McapError, zstandard.ZstdError, *UNREADABLE)


class _Taken(NamedTuple):
    """How one channel's messages become frames."""

    address: str
    channel: Channel
    make: Callable[[bytes], Frame | Value]


def read(path: Path, workspace: str) -> Foreign:
    """Return what a file holds; one that was cut short as far as it is whole.

    Raises:
        RecordingError: it cannot be read.
    """
    foreign = Foreign(path, NAME, workspace, 0)
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise RecordingError(f"{path} is no MCAP file")
            bounds.mcap(path)
            file.seek(0)
            known, foreign.begin_ns = _channels(file, foreign)
    except _BROKEN as error:
        raise RecordingError(f"{path} cannot be read as MCAP: {error}") from None
    if known:
        foreign.streams.append(_stream(foreign, known))
    return foreign


def _messages(file: BinaryIO, whole: bool) -> Iterator[tuple[Any, Any, Any]]:
    """Yield messages in order of time, or of a file without its end as they stand in it."""
    from mcap.reader import NonSeekingReader, make_reader

    reader: Any = make_reader(file) if whole else NonSeekingReader(file)
    yield from reader.iter_messages(log_time_order=whole)


def _summary(file: BinaryIO) -> Any:
    """Return the summary at a file's end, None when it has none that can be read."""
    from mcap.reader import make_reader

    try:
        summary = make_reader(file).get_summary()
    except _BROKEN:
        return None
    return summary if summary is not None and summary.statistics is not None else None


def _channels(file: BinaryIO, foreign: Foreign) -> tuple[dict[int, _Taken], int]:
    """Return the channels by id, and bus time of the first message."""
    summary = _summary(file)
    if summary is not None:
        begin_ns = summary.statistics.message_start_time
        pairs = [(summary.schemas.get(c.schema_id), c) for c in summary.channels.values()]
    else:
        file.seek(0)
        found: dict[int, tuple[Any, Any]] = {}
        begin_ns = 0
        for schema, channel, message in _whole(file, foreign):
            found.setdefault(channel.id, (schema, channel))
            begin_ns = min(begin_ns or message.log_time, message.log_time)
        pairs = list(found.values())
    known: dict[int, _Taken] = {}
    for schema, channel in sorted(pairs, key=lambda pair: pair[1].topic):
        taken = _take(foreign, schema, channel)
        if taken is not None:
            known[channel.id] = taken
    return known, begin_ns + TAI_MINUS_UTC_NS


def _whole(file: BinaryIO, foreign: Foreign) -> Iterator[tuple[Any, Any, Any]]:
    """Yield messages until the file ends or is broken, which is noted."""
    whole = _summary(file) is not None
    file.seek(0)
    try:
        yield from _messages(file, whole)
    except _BROKEN as error:
        note = f"{foreign.path.name} is cut short or damaged ({error}); what is whole was taken"
        if note not in foreign.notes:
            foreign.notes.append(note)


def _stream(foreign: Foreign, known: dict[int, _Taken]) -> Stream:
    seqs: dict[int, int] = {}
    with foreign.path.open("rb") as file:
        for _, channel, message in _whole(file, foreign):
            taken = known.get(channel.id)
            if taken is None:
                continue
            seq = seqs.get(channel.id, 0)
            try:
                made = taken.make(message.data)
                frame = (
                    made if isinstance(made, Frame) else _frame(foreign, taken, message, seq, made)
                )
            except (CodecError, *UNREADABLE) as error:
                what = f"{channel.topic}: some messages"
                foreign.left_out.setdefault(what, f"are no {taken.channel.kind}: {error}")
                continue
            seqs[channel.id] = seq + 1
            yield read_header(frame).bus_ns, frame


def _frame(foreign: Foreign, taken: _Taken, message: Any, seq: int, value: Value) -> Frame:
    from scot.codec import encode

    key = taken.channel.kind is Kind.VIDEO and isinstance(value, bytes) and _KEY_UNIT.search(value)
    time = Timestamp(
        message.publish_time, message.log_time + TAI_MINUS_UTC_NS, None, None, ClockState.UNSYNCED
    )
    flags = Flags.KEYFRAME if key else Flags(0)
    epoch = max(0, foreign.begin_ns)
    return encode(Sample(taken.address, epoch, seq, time, flags, value), taken.channel.kind)


def _take(foreign: Foreign, schema: Any, channel: Any) -> _Taken | None:
    if OURS in channel.metadata:
        return _take_ours(foreign, channel)
    unpack = _unpacker(schema, channel)
    if unpack is None:
        encoding = channel.message_encoding or "no encoding"
        foreign.left_out[channel.topic] = f"messages in {encoding} cannot be read here"
        return None
    parts = [part for part in channel.topic.split("/") if part]
    device = slug("_".join(parts[:-1]), "mcap")
    name = slug(parts[-1] if parts else "", f"channel_{channel.id}")
    described, make = _meaning(name, schema)
    address = foreign.add(device, described)
    return _Taken(address, described, lambda data: make(unpack(data)))


def _take_ours(foreign: Foreign, channel: Any) -> _Taken:
    from scot_replay.messages import carrier

    described = msgspec.json.decode(channel.metadata[OURS], type=Channel)
    address = foreign.add(channel.topic.split("/")[1], described)
    return _Taken(address, described, carrier(address, described).unpack)


def _unpacker(schema: Any, channel: Any) -> Callable[[bytes], dict[str, Any]] | None:
    """Return what makes plain values of a message, or None for an encoding that is not known."""
    if channel.message_encoding == "json":
        return msgspec.json.Decoder(dict[str, Any]).decode
    if channel.message_encoding != "protobuf" or schema is None:
        return None
    from google.protobuf.json_format import MessageToDict
    from mcap_protobuf.decoder import DecoderFactory

    decode = DecoderFactory().decoder_for("protobuf", schema)
    if decode is None:
        return None

    def unpack(data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = MessageToDict(
            decode(data),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        return found

    return unpack


def _meaning(name: str, schema: Any) -> tuple[Channel, Callable[[dict[str, Any]], Value]]:
    """Return the channel that a schema's messages belong into, and what makes a value of them."""
    kind = (schema.name if schema is not None else "").removeprefix("foxglove.")
    if kind == "CompressedVideo":
        return declare.Video(name), lambda found: _bytes(found["data"])
    if kind == "PoseInFrame":
        return declare.Pose(name), lambda found: _pose(found["pose"], "position", "orientation")
    if kind == "FrameTransform":
        return declare.Pose(name), lambda found: _pose(found, "translation", "rotation")
    if kind == "CompressedImage":
        return Channel(name=name, kind=Kind.IMAGE), _image
    if kind == "Log":
        return declare.Text(name, latched=False), lambda found: str(found["message"])
    figure = _figure(schema)
    if figure:
        return declare.Numeric(name), lambda found: NumericValue(float(found[figure]))
    unknown = declare.Sensitivity.UNCLASSIFIED
    return declare.Event(name, sensitivity=unknown), lambda found: found


def _figure(schema: Any) -> str:
    """Return the field of a JSON schema that holds its one figure, or nothing."""
    if schema is None or schema.encoding != "jsonschema":
        return ""
    try:
        properties = msgspec.json.decode(schema.data, type=dict[str, Any]).get("properties") or {}
    except msgspec.DecodeError:
        return ""
    numbers = [
        key
        for key, one in properties.items()
        if isinstance(one, dict) and one.get("type") in ("number", "integer")
    ]
    return next((key for key in _FIGURES if key in numbers), "")


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"its data are no base64: {error}") from None


def _pose(found: dict[str, Any], place: str, turn: str) -> PoseValue:
    where, how = found[place], found[turn]
    x, y, z = (MM * float(where.get(axis, 0.0)) for axis in "xyz")
    qx, qy, qz, qw = (float(how.get(axis, 0.0)) for axis in "xyzw")
    return PoseValue((x, y, z), (qx, qy, qz, qw))


def _image(found: dict[str, Any]) -> ImageValue:
    kind = str(found.get("format", "jpeg"))
    media = kind if "/" in kind else f"image/{kind}"
    return ImageValue(media_type=media, data=_bytes(found["data"]), width_px=0, height_px=0)
