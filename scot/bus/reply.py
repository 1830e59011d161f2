"""History's answer as whoever asked reads it: nothing in it but what was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from scot.bus.session import Answered
from scot.codec import topic, unbundle
from scot.errors import UNREADABLE, CodecError
from scot.history import Density, HistoryReply, Level

_reply = msgspec.msgpack.Decoder(HistoryReply)


def read_reply(parts: Sequence[bytes], asked: Iterable[str]) -> HistoryReply:
    """Return History's answer from its body and the bundles of frames.

    A publisher answers for its own channels, and the broker passes that on unread: so it is here
    that it can speak for no other's.

    Args:
        parts: of the answer.
        asked: addresses that were asked for.

    Raises:
        CodecError: it cannot be read, or holds a sample that was not asked for.
    """
    try:
        body, *bundles = parts
        reply = msgspec.structs.replace(_reply.decode(body), frames=unbundle(bundles))
    except (CodecError, ValueError, *UNREADABLE) as error:
        raise CodecError(f"History's answer cannot be read: {error}") from None
    wanted = set(asked)
    topics = set(map(topic, wanted))
    for frame in reply.frames:
        if frame.topic not in topics:
            raise CodecError(f"History's answer holds {frame.address}, which was not asked for")
    levels: list[tuple[str, Level | Density]] = [*reply.levels.items(), *reply.densities.items()]
    for address, level in levels:
        if address not in wanted:
            raise CodecError(f"History's answer holds {address}, which was not asked for")
        if not level.sound:
            raise CodecError(f"History's answer holds a level of {address} that is none")
    return reply


def filled(answer: Answered, asked: list[str]) -> HistoryReply | None:
    """Return the answer to a question for what is missing; None when it is none."""
    if answer.error is not None:
        return None
    try:
        return read_reply(answer.parts, asked)
    except CodecError:
        return None
