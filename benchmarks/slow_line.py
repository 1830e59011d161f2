"""A line of so many bits a second and so much delay, between a browser and a server.

One queue each way for all connections, as on a wire: the bandwidth is shared, each byte waits half
a round trip, and a new connection costs one. Where a browser's own throttling would leave out
workers and WebSockets, this does not.
"""

from __future__ import annotations

import asyncio
import contextlib

from scot.clock import machine

PIECE_B = 1_460


class Way:
    """One direction: bytes leave at a rate, and arrive later."""

    def __init__(self, bits_s: float, delay_s: float) -> None:
        self._seconds_a_byte = 8 / bits_s
        self._delay_s = delay_s
        self._free_s = 0.0

    def due_s(self, size: int) -> float:
        """Return when so many bytes, sent now, have arrived; monotonic s."""
        now_s = machine.monotonic_s()
        self._free_s = max(now_s, self._free_s) + size * self._seconds_a_byte
        return self._free_s + self._delay_s


class SlowLine:
    """Listens on a port of its own and passes everything on to another, slowly.

    Attributes:
        port: of this end.
        received_b: bytes that came down so far.
    """

    def __init__(self, to_port: int, bits_s: float, round_trip_s: float) -> None:
        self.to_port = to_port
        self.port = 0
        self.received_b = 0
        self._round_trip_s = round_trip_s
        self._up = Way(bits_s, round_trip_s / 2)
        self._down = Way(bits_s, round_trip_s / 2)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> SlowLine:
        """Listen."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut the line."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._round_trip_s)  # the handshake
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        for source, sink, way in (
            (reader, far_writer, self._up),
            (far_reader, writer, self._down),
        ):
            task = asyncio.create_task(self._carry(source, sink, way))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way
    ) -> None:
        """Pass pieces on, each when it is due; several may be under way at once."""
        flying: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(4_096)

        async def arrive() -> None:
            while True:
                due_s, piece = await flying.get()
                wait_s = due_s - machine.monotonic_s()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if not piece or sink.transport.is_closing():
                    break
                if way is self._down:
                    self.received_b += len(piece)
                sink.write(piece)
            sink.close()

        arriving = asyncio.create_task(arrive())
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(PIECE_B):
                await flying.put((way.due_s(len(piece)), piece))
        await flying.put((way.due_s(0), b""))
        with contextlib.suppress(ConnectionError):
            await arriving
