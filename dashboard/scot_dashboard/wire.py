"""Messages to and from the page: MessagePack arrays, one WebSocket message each.

What the page may send is checked against types before anything looks at it; what the gateway sends
is joined from bytes that were packed once.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from scot.codec import Frame, Header
from scot.errors import RemoteProtocolError
from scot.sample import Flags
from scot.transport import Wish
from scot_dashboard.showing import Size
from scot_dashboard.strokes import Stroke

PROTOCOL = 1
MAX_INBOUND = 64 << 10

Address = Annotated[
    str, Meta(min_length=5, max_length=200, pattern=r"^[a-z0-9_]+(/[a-z0-9_]+){2}\Z")
]
_Ns = Annotated[int, Meta(ge=0, le=2**62)]
_RequestId = Annotated[int, Meta(ge=0, le=2**53)]
_PersonId = Annotated[str, Meta(max_length=40)]


class HistoryAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch (`between`, end exclusive) or the state at an instant (`at`), bus ns."""

    addresses: Annotated[list[Address], Meta(min_length=1, max_length=1024)]
    between: tuple[_Ns, _Ns] | None = None
    at: _Ns | None = None


class LanesAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of the scrubber in so many bins."""

    from_ns: _Ns
    to_ns: _Ns
    bins: Annotated[int, Meta(ge=1, le=4000)]


class TrendsAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Trend lines of numerics over a stretch, in so many bins."""

    addresses: Annotated[list[Address], Meta(min_length=1, max_length=64)]
    from_ns: _Ns
    to_ns: _Ns
    bins: Annotated[int, Meta(ge=1, le=1000)]


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which picture is on a viewer's screen, and how late."""

    channel: Address
    bus_ns: _Ns
    behind_ms: Annotated[float, Meta(ge=-10_000, le=86_400_000)]


class Clock(msgspec.Struct, frozen=True, array_like=True, tag="clock"):
    """The page asks for bus time; its own reading comes back."""

    t1_page_ms: Annotated[float, Meta(ge=-1e15, le=1e15)]


class Took(msgspec.Struct, frozen=True, array_like=True, tag="took"):
    """How many bytes the page has taken since it opened; what it has not, waits in its browser."""

    total_bytes: Annotated[int, Meta(ge=0, le=2**53)]


class History(msgspec.Struct, frozen=True, array_like=True, tag="history"):
    """The page asks for what is not live."""

    id: _RequestId
    ask: HistoryAsk


class Lanes(msgspec.Struct, frozen=True, array_like=True, tag="lanes"):
    """The page draws its scrubber."""

    id: _RequestId
    ask: LanesAsk


class Trends(msgspec.Struct, frozen=True, array_like=True, tag="trends"):
    """The page draws trend lines."""

    id: _RequestId
    ask: TrendsAsk


class Annotate(msgspec.Struct, frozen=True, array_like=True, tag="annotate"):
    """Somebody points or draws."""

    stroke: Stroke


class Play(msgspec.Struct, frozen=True, array_like=True, tag="play"):
    """Somebody moves the player of a replay."""

    id: _RequestId
    wish: Wish


class SeenReport(msgspec.Struct, frozen=True, array_like=True, tag="seen"):
    """A viewer of video says what it sees, every 250 ms."""

    seen: Seen


class Show(msgspec.Struct, frozen=True, array_like=True, tag="show"):
    """The videos that a page shows from now on, and how large; it gets no others."""

    videos: Annotated[dict[Address, Size], Meta(max_length=128)]


class Admit(msgspec.Struct, frozen=True, array_like=True, tag="admit"):
    """Staff let somebody in."""

    person: _PersonId


class Refuse(msgspec.Struct, frozen=True, array_like=True, tag="refuse"):
    """Staff turn somebody away."""

    person: _PersonId


class Revoke(msgspec.Struct, frozen=True, array_like=True, tag="revoke"):
    """Staff throw somebody out."""

    person: _PersonId


class AlarmWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Acknowledge the occurrences that were `seen` (id, since ns), or change the signals."""

    do: Literal["ack", "pause", "off", "on"]
    seen: Annotated[
        list[tuple[Annotated[str, Meta(max_length=400)], _Ns]], Meta(max_length=400)
    ] = []


class AlarmAct(msgspec.Struct, frozen=True, array_like=True, tag="alarm"):
    """Staff acknowledge alarms, or pause their signals."""

    wish: AlarmWish


Question = History | Lanes | Trends
_People = Admit | Refuse | Revoke
Inbound = Clock | Took | Question | Show | Annotate | Play | SeenReport | _People | AlarmAct

_inbound = msgspec.msgpack.Decoder(Inbound)
_encode = msgspec.msgpack.Encoder().encode


def read(data: bytes) -> Inbound:
    """Return what a page sent.

    Raises:
        RemoteProtocolError: too long, not MessagePack, unknown, or out of bounds.
    """
    if len(data) > MAX_INBOUND:
        raise RemoteProtocolError(f"a message of {len(data)} B exceeds {MAX_INBOUND} B")
    try:
        received: Inbound = _inbound.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"not a message of the feed: {error}") from None
    return received


def message(*parts: Any) -> bytes:
    """Return any message as bytes."""
    return _encode(parts)


def lanes(request: int, told: dict[str, Any]) -> bytes:
    """Return a ``lanes`` message: of each feed a byte a bin, 255 where it spoke all the time."""
    feeds = {
        device: bytes(math.ceil(share * 255) for share in shares)
        for device, shares in told["feeds"].items()
    }
    return message("lanes", request, {**told, "feeds": feeds})


def trends(request: int, told: dict[str, Any]) -> bytes:
    """Return a ``trends`` message: little-endian float32, NaN where there was nothing."""
    series = {address: [_floats(line) for line in both] for address, both in told["series"].items()}
    return message("trends", request, {**told, "series": series})


def entry(frame: Frame, header: Header, flags: Flags, payload: bytes) -> bytes:
    """Return one ``[address, header, payload]``; the header's bytes go through unchanged.

    Only a receiver's own flags make the header be packed again.
    """
    packed = frame.header
    if flags != header.flags:
        packed = _encode([*msgspec.structs.astuple(header)[:8], int(flags)])
    return b"".join((b"\x93", _encode(frame.address), packed, _encode(payload)))


def samples(bus_now_ns: int, entries: Sequence[bytes]) -> bytes:
    """Return a ``samples`` message of packed entries."""
    head = b"\x93\xa7samples\xd3" + bus_now_ns.to_bytes(8, "big", signed=True)
    return b"".join((head, _array(len(entries)), *entries))


def history(request: int, complete: bool, next_ns: int | None, entries: Sequence[bytes]) -> bytes:
    """Return a ``history`` message of packed entries."""
    head = (b"\x95\xa7history", _encode(request), _encode(complete), _encode(next_ns))
    return b"".join((*head, _array(len(entries)), *entries))


def _array(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    return struct.pack(">BH", 0xDC, count) if count < 1 << 16 else struct.pack(">BI", 0xDD, count)


def _floats(line: Sequence[float | None]) -> bytes:
    return struct.pack(f"<{len(line)}f", *(math.nan if v is None else v for v in line))
