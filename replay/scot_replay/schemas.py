"""The schemas of SCOT's MCAP messages (DESIGN §7).

What viewers draw travels in Foxglove's protobuf messages, to which SCOT adds fields from number
1000 on that viewers ignore; the rest is JSON with a JSON Schema. Field 1000 (`scot_header` in
both) is the sample's header as on the wire, so that a message restores its sample exactly;
field 1001 (`scot_payload`) is there only when the other fields cannot say the payload byte for
byte, for example a JSON number that is not a number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from foxglove_schemas_protobuf import CompressedImage_pb2, CompressedVideo_pb2, PoseInFrame_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pb2 import FileDescriptorSet as FileSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP

from scot.channel import Kind

HEADER_FIELD = 1000
PAYLOAD_FIELD = 1001

_Field = FieldDescriptorProto
_EXTRA: tuple[tuple[str, int, int], ...] = (
    ("scot_header", HEADER_FIELD, _Field.TYPE_BYTES),
    ("scot_payload", PAYLOAD_FIELD, _Field.TYPE_BYTES),
)
POSE_EXTRA = (
    ("quality", 1002, _Field.TYPE_DOUBLE),
    ("hidden", 1003, _Field.TYPE_BOOL),
    ("err_mm", 1004, _Field.TYPE_DOUBLE),
)
_IMAGE_EXTRA = (
    ("width_px", 1002, _Field.TYPE_UINT32),
    ("height_px", 1003, _Field.TYPE_UINT32),
    ("attrs", 1004, _Field.TYPE_BYTES),
)


class Schema(NamedTuple):
    """How one kind of channel is written.

    Attributes:
        name, encoding, data: as MCAP's Schema record wants them.
        message: encoding of the messages, ``protobuf`` or ``json``.
        type: class of the messages when they are protobuf.
    """

    name: str
    encoding: str
    data: bytes
    message: str
    type: Any = None


def _with(files: FileSet, name: str, extra: tuple[tuple[str, int, int], ...]) -> Schema:
    """Return the schema of message `name`, whose file is the last of `files`, with more fields."""
    message = files.file[-1].message_type[0]
    oneofs = 0
    for field, number, kind in (*_EXTRA, *extra):
        added = message.field.add(name=field, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
        if field in {"scot_payload", "quality", "err_mm"}:  # absent is not the same as empty
            message.oneof_decl.add(name=f"_{field}")
            added.proto3_optional, added.oneof_index = True, oneofs
            oneofs += 1
    return Schema(name, "protobuf", files.SerializeToString(), "protobuf", _class(files, name))


def _class(files: FileSet, name: str) -> Any:
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(name))


def _files(module: Any) -> FileSet:
    """Return a module's file descriptor after everything it needs."""
    files, seen = FileSet(), set()

    def add(descriptor: Any) -> None:
        if descriptor.name in seen:
            return
        seen.add(descriptor.name)
        for needed in descriptor.dependencies:
            add(needed)
        descriptor.CopyToProto(files.file.add())

    add(module.DESCRIPTOR)
    return files


_WAVEFORM_PROTO = (
    ("timestamp", 1, _Field.TYPE_MESSAGE, "UTC of the first value."),
    ("rate_hz", 2, _Field.TYPE_DOUBLE, "Values a second; 0 when the channel does not say."),
    ("unit", 3, _Field.TYPE_STRING, "Unit of the values, UCUM code."),
    ("values", 4, _Field.TYPE_FLOAT, "Equally spaced values, one block as the device sent it."),
    ("scot_header", HEADER_FIELD, _Field.TYPE_BYTES, "SCOT's header as on the wire, MessagePack."),
    ("scot_payload", PAYLOAD_FIELD, _Field.TYPE_BYTES, "Payload, when it is no block of floats."),
)


def _waveform() -> Schema:
    """Return the schema of ``scot.Waveform``.

    A packed float field and a bytes field look the same on the wire. The schema in the file says
    packed floats; our own class says bytes, so that a NaN keeps its bits and a block is one copy.
    """
    files = FileSet()
    TIMESTAMP.CopyToProto(files.file.add())
    file = files.file.add(name="scot/Waveform.proto", package="scot", syntax="proto3")
    file.dependency.append(TIMESTAMP.name)
    message = file.message_type.add(name="Waveform")
    _comment(file, [4, 0], "A block of a waveform: equally spaced values, the first at timestamp.")
    for index, (name, number, kind, comment) in enumerate(_WAVEFORM_PROTO):
        field = message.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
        if kind == _Field.TYPE_MESSAGE:
            field.type_name = ".google.protobuf.Timestamp"
        if name == "values":
            field.label = _Field.LABEL_REPEATED
        if name == "scot_payload":
            message.oneof_decl.add(name="_scot_payload")
            field.proto3_optional, field.oneof_index = True, 0
        _comment(file, [4, 0, 2, index], comment)
    data = files.SerializeToString()
    values = next(f for f in message.field if f.name == "values")
    values.label, values.type = _Field.LABEL_OPTIONAL, _Field.TYPE_BYTES
    return Schema("scot.Waveform", "protobuf", data, "protobuf", _class(files, "scot.Waveform"))


def _comment(file: FileDescriptorProto, path: list[int], text: str) -> None:
    place = file.source_code_info.location.add(leading_comments=f" {text}\n")
    place.path.extend(path)
    place.span.extend([0, 0, 0])


_TIME = {
    "type": "object",
    "title": "time",
    "description": "UTC of the sample",
    "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
}
_HEADER = {
    "type": "object",
    "description": "SCOT's header: times in ns, state locked 0 converging 1 holdover 2 one-way 3 "
    "unsynced 4; flags as in scot.sample.Flags",
    "properties": {
        name: {"type": ["integer", "null"]}
        for name in (
            "version", "epoch", "seq", "source_ns", "bus_ns", "bound_ns", "err_ns", "state",
            "flags",
        )
    },
}  # fmt: skip
_RAW = {
    "type": ["string", "null"],
    "contentEncoding": "base64",
    "description": "bytes as on the wire, only when the other fields cannot restore them",
}
_NUMBER, _WORD = {"type": ["number", "null"]}, {"type": "string"}
_WORDS = {"type": "object", "additionalProperties": _WORD}


def _json(name: str, description: str, **properties: Any) -> Schema:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "description": description,
        "type": "object",
        "properties": {
            "timestamp": _TIME,
            **properties,
            "scot_header": _HEADER,
            "scot_raw_header": _RAW,
            "scot_payload": _RAW,
        },
    }
    return Schema(name, "jsonschema", msgspec.json.encode(schema), "json")


_POINTS = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number"}},
    "description": "x, y in 0..1 of the picture, origin top left",
}

SCHEMAS: dict[Kind, Schema] = {
    Kind.VIDEO: _with(_files(CompressedVideo_pb2), "foxglove.CompressedVideo", ()),
    Kind.POSE: _with(_files(PoseInFrame_pb2), "foxglove.PoseInFrame", POSE_EXTRA),
    Kind.IMAGE: _with(_files(CompressedImage_pb2), "foxglove.CompressedImage", _IMAGE_EXTRA),
    Kind.WAVEFORM: _waveform(),
    Kind.NUMERIC: _json(
        "scot.Numeric",
        "One reading in the channel's unit; null when the device has none",
        value=_NUMBER,
        validity={**_WORD, "description": "ISO/IEEE 11073-10207 MeasurementValidity"},
    ),
    Kind.TEXT: _json("scot.Text", "A line for people", text=_WORD),
    Kind.EVENT: _json(
        "scot.Event", "Something that happened, as plain values", event={"type": "object"}
    ),
    Kind.ALARM: _json(
        "scot.Alarm",
        "One alert condition with its signal, ISO/IEEE 11073-10207",
        alarm={
            "type": "object",
            "properties": {
                **dict.fromkeys(("id", "kind", "priority", "presence"), _WORD),
                "activation": _WORD,
                "channel": _WORD,
                "present": {"type": "boolean"},
                "text": _WORDS,
                "value": _NUMBER,
                "limit": _NUMBER,
            },
        },
    ),
    Kind.ANNOTATION: _json(
        "scot.Annotation",
        "What a person drew or said, pinned to the frame they saw",
        annotation={
            "type": "object",
            "properties": {
                **dict.fromkeys(("id", "channel", "author", "tool", "text"), _WORD),
                "at_ns": {"type": "integer", "description": "bus time of that frame"},
                "points": _POINTS,
                "ttl_s": {"type": "number"},
            },
        },
    ),
}
