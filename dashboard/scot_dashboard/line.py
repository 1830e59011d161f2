"""A page's WebSocket, closer to the socket than ASGI allows: little buffer, and a real cut.

With the defaults of a server, a page that does not read has megabytes under way that a revoked
person would still get, and a slow one is shown the past.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

from fastapi import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HIGH_WATER = 64 << 10
LOW_WATER = 16 << 10
UNSENT = 128 << 10  # in the kernel; what the network has under way is not counted


class FeedProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol with small buffers; hands ``cut`` to the application's scope."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what waits between us and the peer."""
        super().connection_made(transport)
        wire = cast(asyncio.Transport, transport)
        wire.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        sock = wire.get_extra_info("socket")
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # not on every system
        if sock is not None and option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, UNSENT)
        self.app_state = {**self.app_state, "cut": wire.abort}


class SocketLine:
    """A `scot_dashboard.viewer.Line` over a WebSocket that was accepted."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def send(self, data: bytes) -> None:
        """Send one binary message.

        Raises:
            ConnectionError: the peer is gone.
        """
        try:
            await self._websocket.send_bytes(data)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise ConnectionResetError("the page is gone") from error

    async def receive(self) -> bytes | None:
        """Return the next message; None when it was text.

        Raises:
            ConnectionError: the peer is gone.
        """
        try:
            message = await self._websocket.receive()
        except RuntimeError as error:
            raise ConnectionResetError("the page is gone") from error
        if message["type"] == "websocket.disconnect":
            raise ConnectionResetError("the page is gone")
        data: bytes | None = message.get("bytes")
        return data

    async def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake.

        Raises:
            ConnectionError: the peer is gone.
        """
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise ConnectionResetError("the page is gone") from error

    def cut(self) -> None:
        """Drop the connection and what was not sent."""
        cut = self._websocket.scope.get("state", {}).get("cut")
        if cut is not None:
            cut()
