"""The wire: ``address NUL | header | payload`` (DESIGN §4), one part of one message (ADR 0022).

The header is a MessagePack array of version, epoch, seq, source_ns, bus_ns, bound_ns, err_ns,
state and flags. Payloads: waveforms are little-endian float32 bytes, video is the access unit,
text is UTF-8; every other kind is MessagePack, without extension types, of at most `MAX_ITEMS`
items and `MAX_DEPTH` levels, which is checked before anything is decoded. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from scot.channel import BULK, Channel, Kind
from scot.errors import UNREADABLE, CodecError
from scot.sample import (
    AlarmValue,
    AnnotationValue,
    Flags,
    ImageValue,
    NumericValue,
    PoseValue,
    Sample,
    Value,
    flags_of,
)
from scot.timestamp import ClockState, Timestamp

VERSION = 1
MAX_TOPIC = 200
MAX_HEADER = 64
MAX_CONTROL = 1 << 20  # any kind but video and image
MAX_BULK = 4 << 20
MAX_BUNDLE = 1 << 20
MAX_DEPTH = 8
MAX_ITEMS = (
    20_000  # maps, lists, keys and values of one payload; an item costs up to 64 times its B
)

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Frame(NamedTuple):
    """A sample as it travels and as the journal keeps it."""

    topic: bytes
    header: bytes
    payload: bytes

    @property
    def address(self) -> str:
        """The channel's address."""
        return self.topic[:-1].decode("ascii", "replace")

    @property
    def size(self) -> int:
        """Bytes of the three parts."""
        return len(self.topic) + len(self.header) + len(self.payload)


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What travels in front of every payload; times as in `Timestamp`."""

    version: Annotated[int, Meta(ge=1, le=255)]
    epoch: _Count
    seq: _Count
    source_ns: _Int64 | None
    bus_ns: _Int64
    bound_ns: _Count | None
    err_ns: _Count | None
    state: ClockState
    flags: Annotated[int, Meta(ge=0, le=0xFFFF)]

    @property
    def time(self) -> Timestamp:
        """The times as a `Timestamp`."""
        return Timestamp(self.source_ns, self.bus_ns, self.bound_ns, self.err_ns, self.state)


_frame = tuple.__new__  # as `Frame` does in twice the time
_F4 = np.dtype("<f4")
_LENGTH = [bytes([size]) for size in range(256)]
_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(Header)


def topic(address: str) -> bytes:
    """Return the subscription that matches exactly `address`."""
    return address.encode("ascii") + b"\0"


def pack(frame: Frame) -> bytes:
    """Return a frame as it travels: topic, size of the header in one byte, header, payload.

    Raises:
        CodecError: the header has more than 255 B.
    """
    topic, header, payload = frame
    try:
        return b"".join((topic, _LENGTH[len(header)], header, payload))
    except IndexError:
        raise CodecError(f"header of {len(header)} B exceeds {MAX_HEADER} B") from None


def measure(data: bytes, size: int) -> tuple[bytes, int]:
    """Return the topic of a packed frame and how many bytes its payload has.

    Args:
        data: its first `MAX_TOPIC` + 1 bytes, or more.
        size: of the whole of it.

    Returns:
        Topic and size of the payload. What begins with no topic has all that could be one for its
        topic; the size is negative where the header is cut short.
    """
    start = data.find(b"\0") + 1
    if not 0 < start < size or start > MAX_TOPIC:
        return data[:MAX_TOPIC], -1
    return data[:start], size - start - 1 - data[start]


def unpack(data: bytes) -> Frame:
    """Return what `pack` was given; topic and header are not read yet, see `read_header`.

    Raises:
        CodecError: there is no topic, or the header is cut short.
    """
    start = data.find(b"\0") + 1
    if not 0 < start < len(data) or start > MAX_TOPIC:
        raise CodecError(f"{len(data)} B do not begin with a topic, within {MAX_TOPIC} B")
    end = start + 1 + data[start]
    if end > len(data):
        raise CodecError(f"a header of {data[start]} B in the {len(data) - start - 1} B left")
    return _frame(Frame, (data[:start], data[start + 1 : end], data[end:]))


def bundle(frames: Iterable[Frame]) -> list[bytes]:
    """Return frames as few parts of a message, as History's answers carry them.

    Each is packed, behind its size in four bytes, big-endian; a part has at most `MAX_BUNDLE` B,
    or one frame that is larger.
    """
    bundles: list[bytes] = []
    pieces: list[bytes] = []
    size = 0
    for frame in frames:
        packed = pack(frame)
        if pieces and size + len(packed) + 4 > MAX_BUNDLE:
            bundles.append(b"".join(pieces))
            pieces, size = [], 0
        pieces += (len(packed).to_bytes(4, "big"), packed)
        size += len(packed) + 4
    return [*bundles, b"".join(pieces)] if pieces else bundles


def unbundle(parts: Iterable[bytes]) -> list[Frame]:
    """Return the frames that `bundle` was given.

    Raises:
        CodecError: a part is cut short, or holds what is no frame.
    """
    frames: list[Frame] = []
    for part in parts:
        at = 0
        while at < len(part):
            start = at + 4
            at = start + int.from_bytes(part[at:start], "big")
            if at > len(part):
                raise CodecError(f"a bundle of {len(part)} B where it says {at}")
            frames.append(unpack(part[start:at]))
    return frames


def encode(sample: Sample, kind: Kind) -> Frame:
    """Return the frame of a sample; raises as `write` does."""
    return write(sample, kind)[0]


def write(sample: Sample, kind: Kind) -> tuple[Frame, Header]:
    """Return the frame of a sample, and its header as it was before it was packed.

    Raises:
        CodecError: the value is not of the channel's kind, or is larger than its class allows.
    """
    time = sample.time
    header = Header(
        VERSION,
        sample.epoch,
        sample.seq,
        time.source_ns,
        time.bus_ns,
        time.bound_ns,
        time.err_ns,
        time.state,
        int(sample.flags) & 0xFFFF,
    )
    try:
        payload = _ENCODERS[kind](sample.value)
    except (CodecError, ValueError, TypeError, OverflowError) as error:
        raise CodecError(f"{sample.address}: not a {kind} value: {error}") from None
    if len(payload) > MAX_CONTROL and (kind not in BULK or len(payload) > MAX_BULK):
        limit = MAX_BULK if kind in BULK else MAX_CONTROL
        raise CodecError(f"{sample.address}: a value of {len(payload)} B exceeds {limit} B")
    return _frame(Frame, (topic(sample.address), _encoder.encode(header), payload)), header


def read_header(frame: Frame) -> Header:
    """Return the header of a frame, checked.

    Raises:
        CodecError: topic or header is malformed, too long, or of another version.
    """
    if not 3 <= len(frame.topic) <= MAX_TOPIC or frame.topic[-1] != 0:
        raise CodecError(f"topic of {len(frame.topic)} B must end in \\0, within {MAX_TOPIC} B")
    return read_known_header(frame)


def read_known_header(frame: Frame) -> Header:
    """Return the header of a frame whose topic is one of the catalogue's, checked.

    Raises:
        CodecError: the header is malformed, too long, or of another version.
    """
    if len(frame.header) > MAX_HEADER:
        raise CodecError(f"header of {len(frame.header)} B exceeds {MAX_HEADER} B")
    try:
        header = _header_decoder.decode(frame.header)
    except UNREADABLE as error:
        raise CodecError(f"{frame.address}: bad header: {error}") from None
    if header.version != VERSION:
        raise CodecError(
            f"{frame.address}: frame version {header.version}, this is {VERSION}; "
            "run the same scot-bus release on both sides"
        )
    return header


def decode(
    frame: Frame, channel: Channel, header: Header | None = None, flags: Flags | None = None
) -> Sample:
    """Return the sample of a frame.

    Args:
        frame: as received.
        channel: from the catalogue; its kind says how to read the payload.
        header: when already read.
        flags: in place of those that travelled.

    Raises:
        CodecError: the frame is malformed, too large, or not of the channel's kind.
    """
    if header is None:
        header = read_header(frame)
    topic, _, payload = frame
    kind = channel.kind
    if len(payload) > MAX_CONTROL and (kind not in BULK or len(payload) > MAX_BULK):
        limit = MAX_BULK if kind in BULK else MAX_CONTROL
        raise CodecError(f"{frame.address}: payload of {len(payload)} B exceeds {limit} B")
    try:
        value = _DECODERS[kind](payload)
    except (CodecError, ValueError, *UNREADABLE) as error:
        raise CodecError(f"{frame.address}: bad {channel.kind} payload: {error}") from None
    if flags is None:
        flags = flags_of(header.flags)
    address = topic[:-1].decode("ascii", "replace")
    return Sample(address, header.epoch, header.seq, header.time, flags, value)


def _of(kind: type[Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """Return writer and reader of a fixed structure, which cannot hold more than its own size."""
    decoder = msgspec.msgpack.Decoder(kind)

    def write(value: Any) -> bytes:
        if not isinstance(value, kind):
            raise CodecError(f"expected {kind.__name__}, got {type(value).__name__}")
        return _encoder.encode(value)

    return write, decoder.decode


def _bounded(kind: type[Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """Return writer and reader of a structure with lists or maps in it."""
    write_any, read_any = _of(kind)

    def write(value: Any) -> bytes:
        payload = write_any(value)
        check_bounds(payload)
        return payload

    def read(payload: bytes) -> Any:
        check_bounds(payload)
        return read_any(payload)

    return write, read


def _write_waveform(value: Value) -> bytes:
    block = np.asarray(value, dtype=_F4)
    if block.ndim != 1:
        raise CodecError(f"a waveform block has one dimension, this has {block.ndim}")
    return block.tobytes()


def _read_waveform(payload: bytes) -> Value:
    return np.frombuffer(payload, dtype=_F4)


def _write_video(value: Value) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise CodecError(f"expected bytes of an access unit, got {type(value).__name__}")
    return bytes(value)


def _write_text(value: Value) -> bytes:
    if not isinstance(value, str):
        raise CodecError(f"expected str, got {type(value).__name__}")
    return value.encode()


_write_dict, _ = _of(dict)
_, _read_map = _bounded(dict)
_write_picture, _read_picture = _bounded(ImageValue)


def _read_event(payload: bytes) -> Value:
    event: dict[str, Any] = _read_map(payload)
    check_plain(event)
    return event


def _write_event(value: Any) -> bytes:
    check_plain(value)  # its depth, too
    payload = _write_dict(value)
    if len(payload) > MAX_ITEMS:  # an item takes a byte at least
        check_bounds(payload)
    return payload


def _read_image(payload: bytes) -> Value:
    image: ImageValue = _read_picture(payload)
    check_plain(image.attrs)
    return image


def _write_image(value: Any) -> bytes:
    if isinstance(value, ImageValue):
        check_plain(value.attrs)
    return _write_picture(value)


def check_plain(value: Any, depth: int = MAX_DEPTH) -> None:
    """Refuse anything but None, bool, int, float, str, bytes, list and dict with str keys.

    Raises:
        CodecError: another type, or nesting deeper than `depth`.
    """
    if depth < 0:
        raise CodecError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise CodecError(f"key {key!r} is not a string")
            check_plain(item, depth - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            check_plain(item, depth - 1)
    elif value is not None and not isinstance(value, bool | int | float | str | bytes):
        raise CodecError(f"{type(value).__name__} is not a plain value")


def _steps() -> list[tuple[int, int, int] | None]:
    """Tabulate MessagePack's first bytes: bytes that follow, size of a length, items a length.

    Of a fixed first byte the second number is 0 and the third its items. None is refused: c1 is
    not used, ext types could stand for anything.
    """
    table: list[tuple[int, int, int] | None] = [(0, 0, 0)] * 256
    for n in range(16):
        table[0x80 + n] = (0, 0, 2 * n)
        table[0x90 + n] = (0, 0, n)
    for n in range(32):
        table[0xA0 + n] = (n, 0, 0)
    for n in range(3):
        table[0xC4 + n] = (0, 1 << n, 0)  # bin
        table[0xD9 + n] = (0, 1 << n, 0)  # str
    for n in range(2):
        table[0xCA + n] = (4 << n, 0, 0)  # float
        table[0xDC + n] = (0, 2 << n, 1)  # array
        table[0xDE + n] = (0, 2 << n, 2)  # map
    for n in range(4):
        table[0xCC + n] = table[0xD0 + n] = (1 << n, 0, 0)  # uint, int
    for refused in (0xC1, *range(0xC7, 0xCA), *range(0xD4, 0xD9)):
        table[refused] = None
    return table


_STEPS = _steps()


def check_bounds(data: bytes, max_items: int = MAX_ITEMS, max_depth: int = MAX_DEPTH) -> None:
    """Refuse MessagePack that would grow beyond its bounds when decoded; allocates nothing.

    Raises:
        CodecError: more items, deeper, cut short, followed by something, or with an ext type.
    """
    at = items = 0
    left = [1]
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        items += 1
        if at >= len(data):
            raise CodecError(f"{len(data)} B end before their value does")
        step = _STEPS[data[at]]
        if step is None:
            raise CodecError(f"type {data[at]:#x} at {at} is not a plain value")
        follow, size, inside = step
        at += 1
        if size:
            length = int.from_bytes(data[at : at + size], "big")
            follow, inside = size + (0 if inside else length), inside * length
        at += follow
        if inside:
            if len(left) > max_depth:
                raise CodecError(f"nested deeper than {max_depth}")
            left.append(inside)
        if items + inside > max_items:
            raise CodecError(f"more than {max_items} items")
    if at != len(data):
        raise CodecError(f"{len(data)} B where the value takes {at}")


_numeric, _pose, _alarm, _annotation = (
    _of(NumericValue),
    _of(PoseValue),
    _bounded(AlarmValue),
    _bounded(AnnotationValue),
)
_ENCODERS: dict[Kind, Callable[[Any], bytes]] = {
    Kind.NUMERIC: _numeric[0],
    Kind.WAVEFORM: _write_waveform,
    Kind.POSE: _pose[0],
    Kind.VIDEO: _write_video,
    Kind.IMAGE: _write_image,
    Kind.TEXT: _write_text,
    Kind.EVENT: _write_event,
    Kind.ALARM: _alarm[0],
    Kind.ANNOTATION: _annotation[0],
}
_DECODERS: dict[Kind, Callable[[bytes], Value]] = {
    Kind.NUMERIC: _numeric[1],
    Kind.WAVEFORM: _read_waveform,
    Kind.POSE: _pose[1],
    Kind.VIDEO: bytes,
    Kind.IMAGE: _read_image,
    Kind.TEXT: lambda payload: payload.decode(),
    Kind.EVENT: _read_event,
    Kind.ALARM: _alarm[1],
    Kind.ANNOTATION: _annotation[1],
}
