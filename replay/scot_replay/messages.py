"""Samples as MCAP messages and back, byte for byte.

`pack` writes the value in the fields a viewer or an engineer reads. It then restores the payload
from them, and adds the raw bytes only when that gives other bytes than came. So whatever a device
or a foreign client put on the wire comes back exactly, and nothing is stored twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from scot.channel import Channel, Kind
from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.codec import Frame, Header
from scot.errors import CodecError
from scot.sample import AlarmValue, AnnotationValue, ImageValue, NumericValue, PoseValue
from scot_replay.schemas import SCHEMAS, Schema

_mp = msgspec.msgpack.Encoder()
_js = msgspec.json.Encoder()
_header_fields = Header.__struct_fields__


class _Time(msgspec.Struct):
    sec: int
    nsec: int


class _Message(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What every JSON message has; a header that is canonical is written out by field."""

    timestamp: _Time
    scot_header: dict[str, int | None]
    scot_raw_header: bytes | None = None
    scot_payload: bytes | None = None


class _Numeric(_Message, omit_defaults=True, kw_only=True):
    value: float | None = None
    validity: str = "Vld"


class _Text(_Message, omit_defaults=True, kw_only=True):
    text: str = ""


class _Event(_Message, omit_defaults=True, kw_only=True):
    event: dict[str, Any] = {}


class _Alarm(_Message, omit_defaults=True, kw_only=True):
    alarm: AlarmValue | None = None


class _Annotation(_Message, omit_defaults=True, kw_only=True):
    annotation: AnnotationValue | None = None


# What a payload of another kind raises on its way; it is kept as the bytes it is.
_NOT_OF_ITS_KIND = (
    msgspec.MsgspecError,
    CodecError,
    ValueError,
    TypeError,  # an ext type, which JSON has no word for
    RecursionError,
    OverflowError,
)


class Carrier(NamedTuple):
    """Writes and reads the messages of one channel."""

    schema: Schema
    pack: Callable[[Frame, Header], bytes]
    unpack: Callable[[bytes], Frame]


def utc_ns(bus_ns: int) -> int:
    """Return the UTC of a bus time, and 0 for times before 1970, which MCAP cannot say."""
    return max(0, bus_ns - TAI_MINUS_UTC_NS)


def carrier(address: str, channel: Channel) -> Carrier:
    """Return what writes and reads the messages of `channel`."""
    topic = address.encode("ascii") + b"\0"
    schema = SCHEMAS[channel.kind]
    if schema.message == "json":
        model, fill, rebuild = _JSON[channel.kind]
        return Carrier(schema, *_json_carrier(topic, model, fill, rebuild))
    write, read = _PROTO[channel.kind]
    return Carrier(schema, *_proto_carrier(topic, channel, schema.type, write, read))


def _json_carrier(
    topic: bytes,
    model: type[_Message],
    fill: Callable[[Any, bytes], None],
    rebuild: Callable[[Any], bytes],
) -> tuple[Callable[[Frame, Header], bytes], Callable[[bytes], Frame]]:
    decode = msgspec.json.Decoder(model).decode

    def restore(data: bytes) -> Frame:
        message = decode(data)
        header = message.scot_raw_header
        if header is None:
            header = _mp.encode([message.scot_header[name] for name in _header_fields])
        payload = message.scot_payload
        return Frame(topic, header, rebuild(message) if payload is None else payload)

    def pack(frame: Frame, header: Header) -> bytes:
        at_ns = utc_ns(header.bus_ns)
        fields = dict(zip(_header_fields, msgspec.structs.astuple(header), strict=True))
        message = model(
            timestamp=_Time(at_ns // 1_000_000_000, at_ns % 1_000_000_000), scot_header=fields
        )
        try:
            fill(message, frame.payload)
            data = _js.encode(message)
            restored = restore(data)
        except _NOT_OF_ITS_KIND:
            message = model(timestamp=message.timestamp, scot_header=fields)
            restored = None
        if restored is None or restored.payload != frame.payload:
            message.scot_payload = frame.payload
        elif restored.header == frame.header:
            return data
        if _mp.encode(header) != frame.header:
            message.scot_raw_header = frame.header
        return _js.encode(message)

    return pack, restore


def _proto_carrier(
    topic: bytes,
    channel: Channel,
    cls: Any,
    write: Callable[[Any, bytes, Channel], None],
    read: Callable[[Any], bytes],
) -> tuple[Callable[[Frame, Header], bytes], Callable[[bytes], Frame]]:
    def restore(data: bytes) -> Frame:
        message = cls.FromString(data)
        raw = message.HasField("scot_payload")
        return Frame(topic, message.scot_header, message.scot_payload if raw else read(message))

    def begin(frame: Frame, header: Header) -> Any:
        at_ns = utc_ns(header.bus_ns)
        message = cls(scot_header=frame.header)
        message.timestamp.seconds, message.timestamp.nanos = divmod(at_ns, 1_000_000_000)
        return message

    def pack(frame: Frame, header: Header) -> bytes:
        message = begin(frame, header)
        try:
            write(message, frame.payload, channel)
            data: bytes = message.SerializeToString()
            if restore(data).payload == frame.payload:
                return data
        except _NOT_OF_ITS_KIND:
            message = begin(frame, header)
        message.scot_payload = frame.payload
        raw: bytes = message.SerializeToString()
        return raw

    return pack, restore


_numeric = msgspec.msgpack.Decoder(NumericValue)
_pose = msgspec.msgpack.Decoder(PoseValue)
_image = msgspec.msgpack.Decoder(ImageValue)
_event = msgspec.msgpack.Decoder(dict[str, Any])
_alarm = msgspec.msgpack.Decoder(AlarmValue)
_annotation = msgspec.msgpack.Decoder(AnnotationValue)


def _fill_numeric(message: _Numeric, payload: bytes) -> None:
    reading = _numeric.decode(payload)
    message.value, message.validity = reading.value, str(reading.validity)


def _fill_text(message: _Text, payload: bytes) -> None:
    message.text = payload.decode()


def _fill_event(message: _Event, payload: bytes) -> None:
    message.event = _event.decode(payload)


def _fill_alarm(message: _Alarm, payload: bytes) -> None:
    message.alarm = _alarm.decode(payload)


def _fill_annotation(message: _Annotation, payload: bytes) -> None:
    message.annotation = _annotation.decode(payload)


_JSON: dict[Kind, tuple[type[_Message], Callable[[Any, bytes], None], Callable[[Any], bytes]]] = {
    Kind.NUMERIC: (_Numeric, _fill_numeric, lambda m: _mp.encode([m.value, m.validity])),
    Kind.TEXT: (_Text, _fill_text, lambda m: m.text.encode()),
    Kind.EVENT: (_Event, _fill_event, lambda m: _mp.encode(m.event)),
    Kind.ALARM: (_Alarm, _fill_alarm, lambda m: _mp.encode(m.alarm)),
    Kind.ANNOTATION: (_Annotation, _fill_annotation, lambda m: _mp.encode(m.annotation)),
}


def _write_video(message: Any, payload: bytes, channel: Channel) -> None:
    message.frame_id = channel.name
    message.format = channel.codec
    message.data = payload


def _write_waveform(message: Any, payload: bytes, channel: Channel) -> None:
    if len(payload) % 4:
        raise ValueError(f"{len(payload)} B are no float32 values")
    message.rate_hz = channel.rate_hz or 0.0
    message.unit = channel.unit
    message.values = payload


def _write_pose(message: Any, payload: bytes, channel: Channel) -> None:
    value = _pose.decode(payload)
    message.frame_id = channel.frame or channel.name
    place, turn = message.pose.position, message.pose.orientation
    place.x, place.y, place.z = value.position_mm
    turn.x, turn.y, turn.z, turn.w = value.orientation
    message.hidden = not value.visible
    if value.quality is not None:
        message.quality = value.quality
    if value.err_mm is not None:
        message.err_mm = value.err_mm


def _read_pose(message: Any) -> bytes:
    place, turn = message.pose.position, message.pose.orientation
    return _mp.encode(
        PoseValue(
            (place.x, place.y, place.z),
            (turn.x, turn.y, turn.z, turn.w),
            message.quality if message.HasField("quality") else None,
            not message.hidden,
            message.err_mm if message.HasField("err_mm") else None,
        )
    )


def _write_image(message: Any, payload: bytes, channel: Channel) -> None:
    value = _image.decode(payload)
    message.frame_id = channel.frame or channel.name
    message.format = value.media_type.removeprefix("image/")
    message.data = value.data
    message.width_px, message.height_px = value.width_px, value.height_px
    message.attrs = _mp.encode(value.attrs)


def _read_image(message: Any) -> bytes:
    kind: str = message.format
    return _mp.encode(
        ImageValue(
            media_type=kind if "/" in kind else f"image/{kind}",
            data=message.data,
            width_px=message.width_px,
            height_px=message.height_px,
            attrs=_event.decode(message.attrs),
        )
    )


def _same(message: Any, field: str) -> bytes:
    data: bytes = getattr(message, field)
    return data


_PROTO: dict[Kind, tuple[Callable[[Any, bytes, Channel], None], Callable[[Any], bytes]]] = {
    Kind.VIDEO: (_write_video, lambda m: _same(m, "data")),
    Kind.WAVEFORM: (_write_waveform, lambda m: _same(m, "values")),
    Kind.POSE: (_write_pose, _read_pose),
    Kind.IMAGE: (_write_image, _read_image),
}
