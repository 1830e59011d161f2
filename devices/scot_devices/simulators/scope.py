"""An endoscope's camera head with a network output, as a program: MJPEG over HTTP.

    python -m scot_devices.simulators.scope --port 8554 --seed 7

``http://127.0.0.1:8554/scope.mjpg`` opens in OpenCV, VLC, ffplay and any browser. It serves any
number of clients: a frame is rendered and compressed once, each client gets the newest when it has
taken the last, and nothing is rendered while nobody looks. When it listens it prints one line of
JSON, ``{"listening": 8554, "url": "http://127.0.0.1:8554/scope.mjpg"}``.

- The picture is the operation of `surgery`, `--seed`, `--start-utc-ns`, shown `--latency-ms` late.
- ``--barcode`` draws when the frame was taken into its lowest rows: 64 cells, white for 1, of UTC
  in nanoseconds, the highest bit left (`read_barcode` reads it).
- ``--fault`` breaks the first ``--fault-connections`` connections ``--fault-after`` seconds after
  they began: `silent` sends nothing more, `close` half a picture and the end, `garbage` noise.

The stream is ``multipart/x-mixed-replace`` (RFC 2046, each part a JPEG with its length).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import sys
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from scot.clock import machine
from scot_devices.simulators.relief import Picture
from scot_devices.simulators.scene import FRAME_HEIGHT, FRAME_WIDTH, Scene

FAULTS: Final = ("silent", "close", "garbage")
PATH: Final = "/scope.mjpg"
BARCODE_CELLS: Final = 64
BARCODE_ROWS: Final = 16

_BOUNDARY: Final = b"scope-frame"
_REQUEST_BYTES: Final = 8192
_REQUEST_S: Final = 5.0
_SOCKET_BYTES: Final = 64 << 10
"""What the kernel is asked to hold for a client: one frame, so that a slow one sees no old ones."""


def draw_barcode(frame: Picture, utc_ns: int) -> None:
    """Draw a time into the lowest rows of a frame, in place.

    Args:
        frame: (height, width, 3) uint8, at least 128 px wide.
        utc_ns: 0 to 2**64 - 1.
    """
    bits = np.array([utc_ns >> shift & 1 for shift in range(BARCODE_CELLS - 1, -1, -1)], np.uint8)
    width = frame.shape[1]
    cell = np.arange(width) * BARCODE_CELLS // width
    frame[-BARCODE_ROWS:] = (bits[cell] * 255)[None, :, None]


def read_barcode(frame: Picture) -> int:
    """Return the time drawn by `draw_barcode`, ns, from a frame that was compressed since.

    Args:
        frame: (height, width) or (height, width, 3) uint8.
    """
    grey = frame if frame.ndim == 2 else frame.mean(axis=2)
    rows = grey[-BARCODE_ROWS * 3 // 4 : -BARCODE_ROWS // 4].mean(axis=0)
    middle = (np.arange(BARCODE_CELLS) + 0.5) * frame.shape[1] / BARCODE_CELLS
    bits = rows[middle.astype(int)] > 128.0
    return int("".join("1" if bit else "0" for bit in bits), 2)


class Head:
    """The camera head: renders the surgery and compresses it.

    Args:
        options: the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.scene = Scene(options.seed)
        self._size: tuple[int, int] = options.size
        self._latency_ns = round(options.latency_ms * 1e6)
        self._barcode: bool = options.barcode
        self._quality = [cv2.IMWRITE_JPEG_QUALITY, options.quality]
        begin = options.start_utc_ns
        self._start_utc_ns: int = machine.utc_ns() if begin is None else begin

    def jpeg(self) -> bytes:
        """Return what the head shows now, compressed."""
        shown_utc_ns = machine.utc_ns() - self._latency_ns
        frame = self.scene.frame((shown_utc_ns - self._start_utc_ns) / 1e9)
        if self._size != (FRAME_WIDTH, FRAME_HEIGHT):
            frame = cv2.resize(frame, self._size, interpolation=cv2.INTER_LINEAR)
        if self._barcode:
            frame = frame.copy()
            draw_barcode(frame, shown_utc_ns)
        _, data = cv2.imencode(".jpg", frame, self._quality)
        return data.tobytes()


@dataclass(eq=False)
class Client:
    """One connection: what to do wrong, and when (monotonic)."""

    writer: asyncio.StreamWriter
    fault: str
    fault_ns: int
    noise: random.Random = field(default_factory=lambda: random.Random(11))

    async def send(self, jpeg: bytes) -> bool:
        """Send one frame, or break it as ordered; False when the connection is over."""
        head = b"--%b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        data = head % (_BOUNDARY, len(jpeg)) + jpeg + b"\r\n"
        if self.fault and machine.monotonic_ns() >= self.fault_ns:
            if self.fault == "silent":
                return True
            if self.fault == "close":
                self.writer.write(data[: len(data) // 2])
                return False
            data = self.noise.randbytes(len(data))
        self.writer.write(data)
        await self.writer.drain()
        return True


class Scope:
    """The server: one head, many clients."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.head = Head(options)
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._watching = 0
        self._served = 0
        self._stopping = False
        self._newest = b""
        self._taken = asyncio.Condition()
        self._wanted = asyncio.Event()

    async def render(self) -> None:
        """Take frames on the beat while somebody looks, until cancelled."""
        period_ns = round(1e9 / self.options.fps)
        due_ns = machine.monotonic_ns()
        while True:
            await self._wanted.wait()
            await machine.until(due_ns)
            due_ns = max(due_ns + period_ns, machine.monotonic_ns())
            jpeg = await asyncio.to_thread(self.head.jpeg)
            async with self._taken:
                self._newest = jpeg
                self._taken.notify_all()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep one client until it leaves."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio calls this in a task of its own
        self._open[task] = writer
        try:
            async with asyncio.timeout(_REQUEST_S):
                request = await reader.readuntil(b"\r\n\r\n")
            await self._answer(request, reader, writer)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it said nothing that can be answered
        except ConnectionError:
            pass  # it left; that is its right
        finally:
            del self._open[task]
            writer.close()

    async def close(self) -> None:
        """Let go of every client and wait until their tasks have ended."""
        tasks = tuple(self._open)
        for writer in self._open.values():
            writer.transport.abort()
        self._stopping = True
        async with self._taken:
            self._taken.notify_all()
        await asyncio.gather(*tasks)

    async def _answer(
        self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer a request with the stream, or with a line that says where it is."""
        words = request.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or words[0] != b"GET" or words[1].decode("latin-1") not in (PATH, "/"):
            text = f"the picture is at GET {PATH}\n".encode()
            head = (
                b"HTTP/1.0 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
            )
            writer.write(head % len(text) + text)
            return
        self._served += 1
        faulty = self._served <= self.options.fault_connections
        begins_ns = machine.monotonic_ns() + round(self.options.fault_after * 1e9)
        client = Client(writer, self.options.fault if faulty else "", begins_ns)
        self._watching += 1
        self._wanted.set()
        try:
            await self._stream(client, reader)
        finally:
            self._watching -= 1
            if not self._watching:
                self._wanted.clear()

    async def _stream(self, client: Client, reader: asyncio.StreamReader) -> None:
        """Send the newest frame whenever the client has taken the last."""
        own = client.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.writer.transport.set_write_buffer_limits(high=0)
        client.writer.write(
            b"HTTP/1.0 200 OK\r\nCache-Control: no-store\r\nConnection: close\r\n"
            b"Content-Type: multipart/x-mixed-replace; boundary=%b\r\n\r\n" % _BOUNDARY
        )
        last = self._newest  # from before: this client is to see now
        while not reader.at_eof() and not self._stopping:
            async with self._taken:
                while self._newest is last and not self._stopping:
                    await self._taken.wait()
                last = self._newest
            if not await client.send(last):
                break


def _size(text: str) -> tuple[int, int]:
    """Read ``1280x720``."""
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT") from None
    if not (128 <= width <= 3840 and 72 <= height <= 2160) or width % 2 or height % 2:
        raise argparse.ArgumentTypeError(f"{text}: even, 128x72 to 3840x2160")
    return width, height


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description="simulated endoscope, MJPEG over HTTP")
    p.add_argument("--host", default="127.0.0.1", help="address to listen on")
    p.add_argument("--port", type=int, default=8554, help="0 takes a free one")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--start-utc-ns", type=int, help="second 0 of the surgery; now if absent")
    p.add_argument("--fps", type=float, default=25.0, help="frames a second, 1 to 60")
    p.add_argument("--size", type=_size, default=(FRAME_WIDTH, FRAME_HEIGHT), metavar="WxH")
    p.add_argument("--quality", type=int, default=88, help="of the JPEG, 1 to 100")
    p.add_argument("--latency-ms", type=float, default=0.0, help="the picture is so late")
    p.add_argument("--barcode", action="store_true", help="draw the time into each frame")
    p.add_argument("--fault", choices=FAULTS, default="")
    p.add_argument("--fault-after", type=float, default=2.0, metavar="S")
    p.add_argument("--fault-connections", type=int, default=1, metavar="N")
    return p


async def run(options: argparse.Namespace) -> None:
    """Listen, say so, and stream until SIGTERM or SIGINT.

    Raises:
        OSError: the port cannot be had.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    bound = socket.create_server((options.host, options.port))
    port = bound.getsockname()[1]
    scope = Scope(options)
    server = await asyncio.start_server(scope.serve, sock=bound, limit=_REQUEST_BYTES)
    line = {"listening": port, "url": f"http://{options.host}:{port}{PATH}"}
    print(json.dumps(line), flush=True)
    rendering = asyncio.create_task(scope.render())
    waiting = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({rendering, waiting}, return_when=asyncio.FIRST_COMPLETED)
    rendering.cancel()
    server.close()
    await scope.close()
    if rendering in done:
        await rendering


def main(arguments: list[str] | None = None) -> int:
    """Run the program; 0 when stopped, 1 when it cannot listen, 2 for a wrong command line."""
    p = parser()
    options = p.parse_args(arguments)
    if not 1.0 <= options.fps <= 60.0:
        p.error(f"--fps {options.fps:g} must be 1 to 60")
    if not 1 <= options.quality <= 100:
        p.error(f"--quality {options.quality} must be 1 to 100")
    cv2.setNumThreads(1)
    try:
        asyncio.run(run(options))
    except OSError as error:
        print(
            f"cannot listen on {options.host}:{options.port} ({error.strerror}); "
            "choose another with --port, 0 takes a free one",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
