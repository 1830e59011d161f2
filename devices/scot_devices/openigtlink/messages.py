"""OpenIGTLink messages as values: what `Connection.next_event` returns and `encode` takes.

All positions are millimetres. A `Matrix` is twelve numbers in wire order: the three columns of
the rotation (R11 R21 R31, R12 R22 R32, R13 R23 R33), then the translation; `rigid.pose` turns it
into a position and a quaternion. Times are the sender's own: nanoseconds since 1970 UTC as its
clock has them, None when the header's time field is 0, which means that the sender has no time.

Source: OpenIGTLink protocol 3.0 (2017-01-20), one page a message type; byte layouts in
`scot_devices.openigtlink.content`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, TypeAlias

import msgspec

Matrix: TypeAlias = tuple[
    float, float, float, float, float, float, float, float, float, float, float, float
]
Vector: TypeAlias = tuple[float, float, float]
Quaternion: TypeAlias = tuple[float, float, float, float]


class StatusCode(IntEnum):
    """Status codes, STATUS page (list of 2013-07-06)."""

    INVALID_PACKET = 0
    OK = 1
    UNKNOWN_ERROR = 2
    PANIC_MODE = 3
    NOT_FOUND = 4
    ACCESS_DENIED = 5
    BUSY = 6
    TIME_OUT = 7
    OVERFLOW = 8
    CHECKSUM_ERROR = 9
    CONFIGURATION_ERROR = 10
    NOT_ENOUGH_RESOURCE = 11
    ILLEGAL_INSTRUCTION = 12
    DEVICE_NOT_READY = 13
    MANUAL_MODE = 14
    DEVICE_DISABLED = 15
    DEVICE_NOT_PRESENT = 16
    DEVICE_VERSION_NOT_KNOWN = 17
    HARDWARE_FAILURE = 18
    EXITING = 19


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every message has.

    Attributes:
        device: DEVICE_NAME of the header, often the tool's name; at most 20 bytes.
        time_ns: the sender's time, ns since 1970 UTC by its own clock; None if it gave none.
        message_id: MSG_ID of the extended header, 0 without one.
        metadata: key and value pairs behind the content (protocol 3).
    """

    device: str
    time_ns: int | None = None
    message_id: int = 0
    metadata: dict[str, str] = {}


class Transform(Message, frozen=True, kw_only=True):
    """TRANSFORM: where one thing is; may also scale or shear, which a tool's pose must not."""

    matrix: Matrix


class Tool(msgspec.Struct, frozen=True):
    """One element of TDATA.

    Attributes:
        name: of the instrument, at most 20 bytes.
        matrix: as in `Transform`.
        kind: 1 tracker, 2 six degrees of freedom, 3 tip only, 4 tip and shaft.
    """

    name: str
    matrix: Matrix
    kind: int = 2


class TrackingData(Message, frozen=True, kw_only=True):
    """TDATA: one frame of a tracker. Tools that it cannot see are left out (TDATA page, notes)."""

    tools: tuple[Tool, ...]


class QuaternionTool(msgspec.Struct, frozen=True):
    """One element of QTDATA; `orientation` is x, y, z, w as sent, not yet normalised."""

    name: str
    position_mm: Vector
    orientation: Quaternion
    kind: int = 2


class QuaternionTrackingData(Message, frozen=True, kw_only=True):
    """QTDATA: like TDATA, orientation as a quaternion."""

    tools: tuple[QuaternionTool, ...]


class Status(Message, frozen=True, kw_only=True):
    """STATUS: how the sender, or the tool that `device` names, is.

    Attributes:
        code: see `StatusCode`; other numbers are kept as they came.
        subcode: the maker's own.
        name: "OK", "Error" or anything else; decide nothing by it.
        text: for people, English.
    """

    code: int
    subcode: int = 0
    name: str = ""
    text: str = ""


class String(Message, frozen=True, kw_only=True):
    """STRING: text; `encoding` is the IANA MIBenum it travelled in (3 ASCII, 106 UTF-8)."""

    text: str
    encoding: int = 106


class Point(msgspec.Struct, frozen=True):
    """One fiducial of POINT; colour is red, green, blue, alpha in 0..255."""

    name: str
    group: str
    colour: tuple[int, int, int, int]
    position_mm: Vector
    diameter_mm: float
    owner: str


class Points(Message, frozen=True, kw_only=True):
    """POINT: fiducials and landmarks."""

    points: tuple[Point, ...]


class Sensor(Message, frozen=True, kw_only=True):
    """SENSOR: at most 255 readings of one unit; `unit` is the 64-bit field of the UNIT page."""

    values: tuple[float, ...]
    unit: int
    status: int = 0


class Image(Message, frozen=True, kw_only=True):
    """The header of IMAGE. The pixels were received and checked, and are not kept.

    Attributes:
        components: numbers a pixel.
        scalar: 2 int8, 3 uint8, 4 int16, 5 uint16, 6 int32, 7 uint32, 10 float32, 11 float64.
        little_endian: byte order of the pixels.
        axes: ``RAS`` or ``LPS``.
        size: pixels along i, j, k.
        steps: three vectors, mm from one pixel to the next along i, j, k.
        centre_mm: centre of the whole image.
        offset, extent: the part that this message brings, in pixels.
        pixel_bytes: bytes of that part.
    """

    components: int
    scalar: int
    little_endian: bool
    axes: Literal["RAS", "LPS"]
    size: tuple[int, int, int]
    steps: tuple[Vector, Vector, Vector]
    centre_mm: Vector
    offset: tuple[int, int, int]
    extent: tuple[int, int, int]
    pixel_bytes: int


class Query(Message, frozen=True, kw_only=True):
    """GET_, STT_ or STP_: asks for one, starts a stream, stops it.

    Attributes:
        verb: which.
        what: the type asked for, ``TDATA``; may be cut, a type field holds 12 bytes.
        interval_ms: of STT_TDATA and STT_QTDATA: least time between two frames; 0 is all.
        frame: of the same: coordinate system wished for; empty is the sender's default.
    """

    verb: Literal["GET", "STT", "STP"]
    what: str
    interval_ms: int = 0
    frame: str = ""


class Reply(Message, frozen=True, kw_only=True):
    """RTS_: the answer to STT_ or STP_."""

    what: str
    ok: bool


class Unknown(Message, frozen=True, kw_only=True):
    """A sound message (checksum right) of a type that is not decoded here."""

    type: str
    content_bytes: int
