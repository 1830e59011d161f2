"""What people draw and say, as it comes from a page: bounded before anything looks at it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_POINTS = 512
MAX_TEXT = 500
MAX_TTL_S = 60.0

_Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Tool = Literal["pointer", "ink", "arrow", "pin", "chapter", "text", "snapshot"]


class Stroke(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One annotation as a page sends it; the gateway adds the author.

    Attributes:
        id: unique for its author; the same id again replaces, `ttl_s` 0 removes.
        channel: address of the picture; empty for a chapter or text of the whole room.
        at_ns: bus time of the frame the author saw; comes back exactly.
        points: x, y in 0..1 of the picture, origin top left.
    """

    id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+\Z")]
    channel: Annotated[str, Meta(max_length=200)]
    at_ns: Annotated[int, Meta(ge=0, le=2**62)]
    tool: Tool
    points: Annotated[list[tuple[_Unit, _Unit]], Meta(max_length=MAX_POINTS)] = []
    text: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    ttl_s: Annotated[float, Meta(ge=0.0, le=MAX_TTL_S)] = 8.0
