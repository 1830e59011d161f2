"""The content section of each OpenIGTLink message type: bytes to values, values to bytes.

Everything on the wire is big-endian; text fields are padded with NUL. Every count and length is
checked against the bytes that are there before anything is built from it.

========== ==================================================================================
type       content
========== ==================================================================================
TRANSFORM  12 × f32: R11 R21 R31 R12 R22 R32 R13 R23 R33 TX TY TZ
TDATA      n × 70: name 20s, type u8, reserved u8, 12 × f32 as above
QTDATA     n × 50: name 20s, type u8, reserved u8, position 3 × f32, quaternion 4 × f32 (xyzw)
STATUS     code u16, subcode i64, name 20s, text to the end
STRING     encoding u16 (IANA MIBenum), length u16, bytes
POINT      n × 136: name 64s, group 32s, RGBA 4 × u8, x y z f32, diameter f32, owner 20s
SENSOR     length u8, status u8, unit u64, length × f64
IMAGE      72-byte header (IMAGE page), then pixels
STT_TDATA  interval u32 in ms, coordinate system 32s (STT_QTDATA likewise)
RTS_…      status u8: 0 success, 1 error
========== ==================================================================================

The QTDATA page prints a 32-byte name; every implementation writes the 20 bytes of its C header,
and so does this one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from scot.errors import LocalProtocolError
from scot_devices.openigtlink.messages import (
    Image,
    Message,
    Point,
    Points,
    QuaternionTool,
    QuaternionTrackingData,
    Query,
    Reply,
    Sensor,
    Status,
    String,
    Tool,
    TrackingData,
    Transform,
    Unknown,
)

MAX_TOOLS: Final = 256
MAX_POINTS: Final = 4096

_TRANSFORM = struct.Struct(">12f")
_TOOL = struct.Struct(">20sBx12f")
_QUATERNION_TOOL = struct.Struct(">20sBx3f4f")
_STATUS = struct.Struct(">Hq20s")
_STRING = struct.Struct(">HH")
_POINT = struct.Struct(">64s32s4B3ff20s")
_SENSOR = struct.Struct(">BBQ")
_IMAGE = struct.Struct(">HBBBB3H12f6H")
_START = struct.Struct(">I32s")

_SCALAR_BYTES = {2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 10: 4, 11: 8}
_ENCODINGS = {
    3: "ascii",
    4: "latin-1",
    17: "shift_jis",
    18: "euc_jp",
    106: "utf-8",
    1013: "utf-16-be",
    1014: "utf-16-le",
    2252: "cp1252",
}

Head = dict[str, Any]
"""The fields that `Message` has, by name."""


class ContentError(ValueError):
    """Content that its type does not allow; `protocol` adds the type and the device."""


# Control characters, and those that turn the direction of writing on a screen.
_CONTROLS = dict.fromkeys(
    [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd"
)
_CONTROLS_OF_PROSE = {k: v for k, v in _CONTROLS.items() if k not in {0x09, 0x0A}}


@lru_cache(maxsize=512)
def text(field: bytes) -> str:
    """Read a NUL-padded text field; a control character becomes U+FFFD."""
    return field.partition(b"\0")[0].decode("utf-8", "replace").strip().translate(_CONTROLS)


def prose(data: bytes) -> str:
    """Read text for people; line breaks and tabs stay, other control characters do not."""
    decoded = data.partition(b"\0")[0].decode("utf-8", "replace").strip()
    return decoded.translate(_CONTROLS_OF_PROSE)


def field(value: str, size: int, what: str) -> bytes:
    """Write a text field of `size` bytes; struct pads it with NUL.

    Raises:
        LocalProtocolError: it does not fit.
    """
    encoded = value.encode()
    if len(encoded) > size:
        raise LocalProtocolError(f"{what} {value!r} has {len(encoded)} bytes (limit {size})")
    return encoded


def decode(type_name: str, content: bytearray, head: Head) -> Message:
    """Return the message that a content section holds.

    Args:
        type_name: TYPE of the header.
        content: the content section alone, without extended header and metadata.
        head: device, time_ns, message_id, metadata.

    Raises:
        ContentError: the content does not fit its type.
    """
    decoder = _DECODERS.get(type_name)
    if decoder is not None:
        return decoder(content, head)
    verb, mark, what = type_name.partition("_")
    if mark and verb == "RTS":
        return _reply(what, content, head)
    if mark and verb in {"GET", "STT", "STP"}:
        return _query(verb, what, content, head)
    return Unknown(type=type_name, content_bytes=len(content), **head)


def _items(content: bytearray, item: struct.Struct, limit: int) -> list[tuple[Any, ...]]:
    count, rest = divmod(len(content), item.size)
    if rest:
        raise ContentError(f"{len(content)} bytes are no multiple of {item.size}")
    if count > limit:
        raise ContentError(f"{count} elements (limit {limit})")
    return list(item.iter_unpack(content))


def _transform(content: bytearray, head: Head) -> Message:
    if len(content) != _TRANSFORM.size:
        raise ContentError(f"{len(content)} bytes instead of {_TRANSFORM.size}")
    return Transform(matrix=_TRANSFORM.unpack(content), **head)


def _tracking_data(content: bytearray, head: Head) -> Message:
    tools = tuple(
        Tool(text(name), tuple(numbers), kind)
        for name, kind, *numbers in _items(content, _TOOL, MAX_TOOLS)
    )
    return TrackingData(tools=tools, **head)


def _quaternion_tracking_data(content: bytearray, head: Head) -> Message:
    tools = tuple(
        QuaternionTool(text(name), (x, y, z), (i, j, k, w), kind)
        for name, kind, x, y, z, i, j, k, w in _items(content, _QUATERNION_TOOL, MAX_TOOLS)
    )
    return QuaternionTrackingData(tools=tools, **head)


def _status(content: bytearray, head: Head) -> Message:
    if len(content) < _STATUS.size:
        raise ContentError(f"{len(content)} bytes, at least {_STATUS.size} are needed")
    code, subcode, name = _STATUS.unpack_from(content)
    rest = prose(bytes(content[_STATUS.size :]))
    return Status(code=code, subcode=subcode, name=text(name), text=rest, **head)


def _string(content: bytearray, head: Head) -> Message:
    if len(content) < _STRING.size:
        raise ContentError(f"{len(content)} bytes, at least {_STRING.size} are needed")
    encoding, length = _STRING.unpack_from(content)
    if _STRING.size + length != len(content):
        raise ContentError(f"length says {length}, {len(content) - _STRING.size} are there")
    if encoding not in _ENCODINGS:
        raise ContentError(f"encoding {encoding} (known: {', '.join(map(str, _ENCODINGS))})")
    value = content[_STRING.size :].decode(_ENCODINGS[encoding], "replace")
    return String(text=value.rstrip("\0"), encoding=encoding, **head)


def _points(content: bytearray, head: Head) -> Message:
    points = tuple(
        Point(text(name), text(group), (red, green, blue, alpha), (x, y, z), size, text(owner))
        for name, group, red, green, blue, alpha, x, y, z, size, owner in _items(
            content, _POINT, MAX_POINTS
        )
    )
    return Points(points=points, **head)


def _sensor(content: bytearray, head: Head) -> Message:
    if len(content) < _SENSOR.size:
        raise ContentError(f"{len(content)} bytes, at least {_SENSOR.size} are needed")
    length, status, unit = _SENSOR.unpack_from(content)
    if _SENSOR.size + 8 * length != len(content):
        raise ContentError(f"{length} readings do not fill {len(content)} bytes")
    values = struct.unpack_from(f">{length}d", content, _SENSOR.size)
    return Sensor(values=values, unit=unit, status=status, **head)


def _image(content: bytearray, head: Head) -> Message:
    if len(content) < _IMAGE.size:
        raise ContentError(f"{len(content)} bytes, at least {_IMAGE.size} are needed")
    _, components, scalar, order, axes, *rest = _IMAGE.unpack_from(content)
    if scalar not in _SCALAR_BYTES or order not in {1, 2} or axes not in {1, 2} or not components:
        raise ContentError(f"scalar {scalar}, byte order {order}, axes {axes}, {components} parts")
    size, steps, centre = rest[:3], rest[3:12], rest[12:15]
    offset, extent = rest[15:18], rest[18:21]
    if any(o + e > s for o, e, s in zip(offset, extent, size, strict=True)):
        raise ContentError(f"part {extent} at {offset} lies outside of {size}")
    pixel_bytes = extent[0] * extent[1] * extent[2] * components * _SCALAR_BYTES[scalar]
    if _IMAGE.size + pixel_bytes != len(content):
        raise ContentError(f"{pixel_bytes} bytes of pixels, {len(content) - _IMAGE.size} are there")
    return Image(
        components=components,
        scalar=scalar,
        little_endian=order == 2,
        axes="RAS" if axes == 1 else "LPS",
        size=tuple(size),
        steps=(tuple(steps[0:3]), tuple(steps[3:6]), tuple(steps[6:9])),
        centre_mm=tuple(centre),
        offset=tuple(offset),
        extent=tuple(extent),
        pixel_bytes=pixel_bytes,
        **head,
    )


def _query(verb: str, what: str, content: bytearray, head: Head) -> Message:
    interval_ms, frame = 0, ""
    if verb == "STT" and what in {"TDATA", "QTDATA"}:
        if len(content) != _START.size:
            raise ContentError(f"{len(content)} bytes instead of {_START.size}")
        interval_ms, raw = _START.unpack(content)
        frame = text(raw)
    return Query(verb=verb, what=what, interval_ms=interval_ms, frame=frame, **head)  # type: ignore[arg-type]


def _reply(what: str, content: bytearray, head: Head) -> Message:
    if len(content) < 1:
        raise ContentError("no status byte")
    return Reply(what=what, ok=content[0] == 0, **head)


_DECODERS: dict[str, Callable[[bytearray, Head], Message]] = {
    "TRANSFORM": _transform,
    "TDATA": _tracking_data,
    "QTDATA": _quaternion_tracking_data,
    "STATUS": _status,
    "STRING": _string,
    "POINT": _points,
    "SENSOR": _sensor,
    "IMAGE": _image,
}


def encode(message: Message) -> tuple[str, bytes]:
    """Return the type name and the content section of a message.

    Raises:
        LocalProtocolError: a value does not fit its field, or the type is only decoded here.
    """
    match message:
        case Transform(matrix=matrix):
            return "TRANSFORM", _TRANSFORM.pack(*matrix)
        case TrackingData(tools=tools):
            _few(len(tools))
            parts = [_TOOL.pack(field(t.name, 20, "tool"), t.kind, *t.matrix) for t in tools]
            return "TDATA", b"".join(parts)
        case QuaternionTrackingData(tools=frames):
            _few(len(frames))
            return "QTDATA", b"".join(
                _QUATERNION_TOOL.pack(
                    field(t.name, 20, "tool"), t.kind, *t.position_mm, *t.orientation
                )
                for t in frames
            )
        case Status():
            name = field(message.name, 20, "status name")
            packed = _STATUS.pack(message.code, message.subcode, name)
            return "STATUS", packed + message.text.encode() + b"\0"
        case String():
            return "STRING", _encode_string(message)
        case Query():
            content = b""
            if message.verb == "STT" and message.what in {"TDATA", "QTDATA"}:
                content = _START.pack(message.interval_ms, field(message.frame, 32, "frame"))
            return f"{message.verb}_{message.what}"[:12], content
        case Reply():
            return f"RTS_{message.what}"[:12], b"\0" if message.ok else b"\1"
        case _:
            raise LocalProtocolError(f"{type(message).__name__} is received here, never sent")


def _few(tools: int) -> None:
    if tools > MAX_TOOLS:
        raise LocalProtocolError(f"{tools} tools in one frame (limit {MAX_TOOLS})")


def _encode_string(message: String) -> bytes:
    if message.encoding not in _ENCODINGS:
        raise LocalProtocolError(f"encoding {message.encoding} is not one of {list(_ENCODINGS)}")
    data = message.text.encode(_ENCODINGS[message.encoding], "replace")
    if len(data) > 0xFFFF:
        raise LocalProtocolError(f"a STRING of {len(data)} bytes (limit 65535)")
    return _STRING.pack(message.encoding, len(data)) + data
