"""OpenIGTLink on the wire: headers, checksums, and a connection that stays in step.

Sans-IO: feed `Connection` whatever bytes came, in any pieces, and take messages out; `encode`
makes the bytes of a message. Nothing here waits, reads a clock or owns a socket.

::

    0   2            14                 34         42         50     58
    | V | TYPE 12s   | DEVICE_NAME 20s  | time u64 | size u64 | CRC  | body
                                                                     |
              V ≥ 2: | ext size u16 | metadata header u16 | metadata u32 | id u32 | content | meta

- **Versions.** V is the version of the *header*: 1 for protocols 1 and 2, 2 for protocol 3 (some
  early senders of protocol 3 wrote 3). The header page gives 2 to protocol 2 as well; a body that
  starts with no possible extended header is therefore read as plain content.
- **Time** is seconds u32 and a fraction u32 in units of 2⁻³² s; 0 says that the sender has none.
- **Checksum** is CRC-64 ECMA-182, start 0, not reflected, over the body.
- **Keeping step.** Bytes that cannot be a header are skipped up to the next that can. When a
  checksum fails, the size in the same header is not believed either: the search goes on inside
  that message, so that a sender whose threads interleave their writes costs only what they broke.
- **Bounds.** A header that announces more than its type can have, or more than 64 MB, is no
  header. A body above `max_body` is skipped without being kept. What is kept never exceeds one
  such body and one chunk.

Source: OpenIGTLink protocol 3.0 (2017-01-20), pages header, timestamp, v3; ECMA-182 annex B.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from typing import Final

from fastcrc import crc64

from scot.errors import LocalProtocolError, RemoteProtocolError
from scot_devices.openigtlink import content
from scot_devices.openigtlink.messages import Message

HEADER_BYTES: Final = 58
MAX_BODY: Final = 8 << 20
"""Default of the largest body that is read, bytes."""

LARGEST_BODY: Final = 64 << 20
"""No header may announce more, bytes."""

MAX_METADATA: Final = 64 << 10
MAX_METADATA_ITEMS: Final = 256

_HEADER = struct.Struct(">H12s20sIIQQ")
_EXTENDED = struct.Struct(">HHII")
_ITEM = struct.Struct(">HHI")
_FRACTIONS: Final = 1 << 32
_S: Final = 1_000_000_000

_SMALL: Final = 256 << 10
_LARGEST = {
    **dict.fromkeys(("TRANSFORM", "TDATA", "QTDATA", "STATUS", "STRING", "SENSOR"), _SMALL),
    "POINT": 1 << 20,
}
_TYPE = re.compile(rb"[A-Z][A-Z0-9_]{0,11}[\0 ]*")
# Version, type, name, time and the four upper bytes of the size, plus its lowest possible fourth.
_CANDIDATE = re.compile(rb"\0[\1-\3][A-Z][A-Z0-9_\0 ]{11}.{28}\0{4}[\0-\4]", re.DOTALL)


class ChecksumError(RemoteProtocolError):
    """A body does not have the checksum that its header states."""

    def __init__(self, device: str, type_name: str, expected: int, actual: int) -> None:
        super().__init__(
            f"{type_name} of {device or 'unnamed'}: checksum {actual:016x}, "
            f"header says {expected:016x}; message dropped"
        )
        self.device = device
        self.type_name = type_name
        self.expected = expected
        self.actual = actual


class MessageError(RemoteProtocolError):
    """A sound body (checksum right) that its type does not allow, or that is too large."""

    def __init__(self, device: str, type_name: str, problem: str) -> None:
        super().__init__(f"{type_name} of {device or 'unnamed'}: {problem}; message dropped")
        self.device = device
        self.type_name = type_name
        self.problem = problem


class FramingError(RemoteProtocolError):
    """Bytes that are no header; raised once for each run of them."""


def time_ns(seconds: int, fraction: int) -> int | None:
    """Return a header's time in ns since 1970 UTC, to the nearest; None when it is 0."""
    if not seconds and not fraction:
        return None
    return seconds * _S + ((fraction * _S + _FRACTIONS // 2) >> 32)


def time_field(ns: int | None) -> tuple[int, int]:
    """Return seconds and fraction of a time; `time_ns` returns exactly the same again.

    Raises:
        LocalProtocolError: before 1970 or after 2106-02-07, where 32 bits of seconds end.
    """
    seconds, rest = divmod(ns or 0, _S)
    if not 0 <= seconds < _FRACTIONS:
        raise LocalProtocolError(f"{ns} ns is outside of 1970 to 2106, all that a header can say")
    return seconds, ((rest << 32) + _S // 2) // _S


@lru_cache(maxsize=256)
def _type_name(raw: bytes) -> str:
    """Return a type field's name, empty when it cannot be one."""
    return raw.rstrip(b"\0 ").decode("ascii") if _TYPE.fullmatch(raw) else ""


class Connection:
    """Takes bytes as they come; gives messages.

    Args:
        max_body: largest body that is read, bytes; larger ones are skipped.

    Attributes:
        messages: sound messages so far.
        bad_crc, malformed, too_large: messages dropped, by reason.
        garbage_bytes: bytes skipped because they were part of no message.
    """

    def __init__(self, max_body: int = MAX_BODY) -> None:
        if not 0 < max_body <= LARGEST_BODY:
            raise LocalProtocolError(f"max_body {max_body} must be 1 to {LARGEST_BODY}")
        self.max_body = max_body
        self.messages = 0
        self.bad_crc = 0
        self.malformed = 0
        self.too_large = 0
        self.garbage_bytes = 0
        self._buffer = bytearray()
        self._at = 0
        self._base = 0  # stream position of the buffer's first byte
        self._skip = 0  # bytes of a body that is too large
        self._failed_until = 0  # stream position where a message with a bad checksum ends
        self._lost = False

    @property
    def pending(self) -> int:
        """Bytes of a message that has begun and is not complete."""
        return len(self._buffer) - self._at + self._skip

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes from the peer, in pieces of any size.

        Raises:
            LocalProtocolError: more than a whole message already waits for `next_event`.
        """
        waiting = len(self._buffer) - self._at
        if waiting > self.max_body + HEADER_BYTES:
            raise LocalProtocolError(f"{waiting} bytes wait; call next_event until it returns None")
        if self._at:
            self._base += self._at
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def next_event(self) -> Message | None:
        """Return the next message, or None until more bytes come.

        Raises:
            ChecksumError, MessageError, FramingError: the peer sent something broken. It has been
                dropped and counted; call again.
        """
        while True:
            if self._skip and not self._skip_body():
                return None
            if len(self._buffer) - self._at < HEADER_BYTES:
                return None
            version, raw_type, raw_device, seconds, fraction, size, crc = _HEADER.unpack_from(
                self._buffer, self._at
            )
            type_name = _type_name(raw_type)
            if (
                not type_name
                or not 1 <= version <= 3
                or size > _LARGEST.get(type_name, LARGEST_BODY)
            ):
                self._find_header()
                continue
            begin = self._at + HEADER_BYTES
            if size > self.max_body:
                self._at, self._skip = begin, size
                self.too_large += 1
                problem = f"{size} bytes, more than max_body ({self.max_body})"
                raise MessageError(content.text(raw_device), type_name, problem)
            if len(self._buffer) < begin + size:
                return None
            body = self._buffer[begin : begin + size]
            device = content.text(raw_device)
            actual = crc64.ecma_182(body)
            if actual != crc:
                self.bad_crc += 1
                self._failed_until = self._base + begin + size
                self._at += 1
                raise ChecksumError(device, type_name, crc, actual)
            self._at = begin + size
            self._lost = False
            return self._message(version, type_name, device, time_ns(seconds, fraction), body)

    def _message(
        self, version: int, type_name: str, device: str, when_ns: int | None, body: bytearray
    ) -> Message:
        head: content.Head = {"device": device, "time_ns": when_ns}
        try:
            if version > 1:
                body, message_id, metadata = _split(body)
                if message_id:
                    head["message_id"] = message_id
                if metadata:
                    head["metadata"] = metadata
            message = content.decode(type_name, body, head)
        except content.ContentError as error:
            self.malformed += 1
            raise MessageError(device, type_name, str(error)) from None
        self.messages += 1
        return message

    def _skip_body(self) -> bool:
        """Pass over a body that is too large; True once all of it is gone."""
        n = min(self._skip, len(self._buffer) - self._at)
        self._at += n
        self._skip -= n
        return not self._skip

    def _find_header(self) -> None:
        """Move to the next bytes that may be a header, or to the last that may begin one.

        Raises:
            FramingError: at the start of a run of bytes that belong to no message.
        """
        found = _CANDIDATE.search(self._buffer, self._at + 1)
        target = found.start() if found else len(self._buffer) - HEADER_BYTES + 1
        begin = max(self._base + self._at, self._failed_until)
        self._at = target
        garbage = self._base + target - begin
        if garbage <= 0:
            return
        self.garbage_bytes += garbage
        if not self._lost:
            self._lost = True
            raise FramingError(
                f"bytes that are no OpenIGTLink header, after {self.messages} messages; "
                "skipping to the next header"
            )


def _split(body: bytearray) -> tuple[bytearray, int, dict[str, str]]:
    """Split the body behind a header of version 2 into content, message id and metadata."""
    if len(body) < _EXTENDED.size:
        return body, 0, {}
    size, index_size, data_size, message_id = _EXTENDED.unpack_from(body)
    end = len(body) - index_size - data_size
    if not _EXTENDED.size <= size <= end:
        return body, 0, {}
    if index_size == 0:
        return body[size:end], message_id, {}
    if index_size + data_size > MAX_METADATA:
        raise content.ContentError(f"{index_size + data_size} bytes of metadata (limit 65536)")
    index = body[end : end + index_size]
    return body[size:end], message_id, _metadata(index, body[end + index_size :])


def _metadata(index: bytearray, data: bytearray) -> dict[str, str]:
    count = int.from_bytes(index[:2])
    if count > MAX_METADATA_ITEMS or len(index) != 2 + count * _ITEM.size:
        raise content.ContentError(f"{count} metadata items in {len(index)} bytes of index")
    items: dict[str, str] = {}
    at = 0
    for key_size, _, value_size in _ITEM.iter_unpack(index[2:]):
        key = content.prose(bytes(data[at : at + key_size]))
        items[key] = content.prose(bytes(data[at + key_size : at + key_size + value_size]))
        at += key_size + value_size
    if at != len(data):
        raise content.ContentError(f"metadata of {at} bytes in {len(data)}")
    return items


def encode(message: Message, header_version: int = 1) -> bytes:
    """Return the bytes of a message.

    Args:
        message: any that `messages` says can be sent.
        header_version: 1 (protocols 1 and 2) or 2 (protocol 3: id and metadata travel).

    Raises:
        LocalProtocolError: a value does not fit, or metadata would be lost.
    """
    type_name, body = content.encode(message)
    if header_version == 2:
        index, data = _pack_metadata(message.metadata)
        extended = _EXTENDED.pack(_EXTENDED.size, len(index), len(data), message.message_id)
        body = extended + body + index + data
    elif header_version != 1:
        raise LocalProtocolError(f"header version {header_version}; 1 and 2 are defined")
    elif message.metadata:
        raise LocalProtocolError("metadata needs header version 2")
    device = content.field(message.device, 20, "device name")
    seconds, fraction = time_field(message.time_ns)
    head = _HEADER.pack(
        header_version,
        type_name.encode("ascii"),
        device,
        seconds,
        fraction,
        len(body),
        crc64.ecma_182(body),
    )
    return head + body


def _pack_metadata(metadata: dict[str, str]) -> tuple[bytes, bytes]:
    pairs = [(key.encode(), value.encode()) for key, value in metadata.items()]
    index = len(pairs).to_bytes(2)
    index += b"".join(_ITEM.pack(len(key), 106, len(value)) for key, value in pairs)
    data = b"".join(key + value for key, value in pairs)
    if len(pairs) > MAX_METADATA_ITEMS or len(index) + len(data) > MAX_METADATA:
        raise LocalProtocolError(f"{len(pairs)} metadata items of {len(data)} bytes are too many")
    return index, data
