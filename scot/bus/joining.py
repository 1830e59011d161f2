"""Joining a room from another machine, with the file that was carried there."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from scot.bus.connection import JOIN_S, Connection
from scot.bus.keys import KeyFile
from scot.errors import AccessError, BusError, BusTimeoutError

log = logging.getLogger(__name__)


async def join_file(path: Path, timeout_s: float = JOIN_S) -> Connection:
    """Join with a key file; follow the broker's key when its rotation was carried out.

    Raises:
        AccessError: the file cannot be used.
        BusError: the room does not answer, or does not know the key.
    """
    file = KeyFile.load(path)
    try:
        return await Connection.join(file.link, timeout_s)
    except BusTimeoutError:
        if not file.link.endpoints.next_server:
            raise _unreached(path, file) from None
    endpoints = msgspec.structs.replace(
        file.link.endpoints, server=file.link.endpoints.next_server, next_server=""
    )
    followed = msgspec.structs.replace(
        file, link=msgspec.structs.replace(file.link, endpoints=endpoints)
    )
    try:
        connection = await Connection.join(followed.link, timeout_s)
    except BusTimeoutError:
        raise _unreached(path, file) from None
    try:
        followed.save(path)
    except AccessError as error:
        log.warning("the room has its new key, which cannot be noted: %s", error)
    return connection


def _unreached(path: Path, file: KeyFile) -> BusError:
    endpoints = file.link.endpoints
    return BusError(
        f"no answer from {endpoints.url('query')} to {file.link.name!r} ({path}); is the room up, "
        "can this machine reach it, and is the key on its roster (`scot keys list` there)?"
    )
