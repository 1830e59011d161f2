"""A tracker that speaks OpenIGTLink, as a program: the other end of the navigation socket.

    python -m scot_devices.simulators.tracker --port 18944 --mode tdata --version 3

It serves any number of clients and pushes to each, `--rate` times a second, where `Probe`,
`Reference` and `Scope` are in the brain of `surgery`; once a second, and whenever a tool is lost
or found, a STATUS. When it listens it prints one line of JSON, ``{"listening": 18944}``.

- ``--mode transform`` sends one TRANSFORM a tool. A hidden tool sends none; with ``--version 3``
  it sends one whose metadata say ``TransformStatus`` ``OUT_OF_VIEW``, as PlusServer does.
- ``--mode tdata`` sends one TDATA a frame; a hidden tool is left out, as the TDATA page demands.
- STT_TDATA, STP_TDATA, GET_TDATA and GET_STATUS are answered in both modes; ``--on-request``
  sends nothing else.
- ``--version`` is the protocol's: 1 knows no TDATA, 3 sends the extended header and metadata.
- ``--registered`` tells tools in the frame of the star on the head clamp, and once a second the
  TRANSFORM ``ImageToReference``; ``--registration-fault`` breaks that one: `none` is never sent,
  `scaled` is no rigid transform, `late` comes after ``--registration-after`` seconds.
- Its clock is its own: ``--clock-offset-s`` and ``--clock-skew-ppm`` set how wrong it is,
  ``--no-time`` sends 0 for every time.
- ``--fault`` breaks the first ``--fault-connections`` connections ``--fault-after`` seconds after
  they began: `garbage` sends noise, `silent` nothing more, `close-mid-message` half a message and
  the end, `bad-crc` every second frame with a wrong checksum.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from scot.clock import machine
from scot.errors import LocalProtocolError, RemoteProtocolError
from scot_devices.openigtlink.messages import (
    Message,
    Query,
    Reply,
    Status,
    StatusCode,
    Tool,
    TrackingData,
    Transform,
)
from scot_devices.openigtlink.protocol import Connection, encode
from scot_devices.simulators.tracker_scene import IMAGE_TO_REFERENCE, TOOLS, Scene

REGISTRATION = "ImageToReference"
REGISTRATION_FAULTS = ("none", "scaled", "late")
FAULTS = ("garbage", "silent", "close-mid-message", "bad-crc")
SLOW_CLIENT_BYTES = 256 << 10
"""A client that lets more than this wait misses frames until it has caught up."""

_NAME = "Tracker"


class DeviceClock:
    """The tracker's own clock, which nobody has set.

    Args:
        offset_s: ahead of UTC at the start.
        skew_ppm: gained a million seconds.
    """

    def __init__(self, offset_s: float, skew_ppm: float) -> None:
        self._begin_ns = machine.monotonic_ns()
        self._begin_utc_ns = machine.utc_ns()
        self._offset_ns = round(offset_s * 1e9)
        self._skew_ppm = skew_ppm

    def utc_ns(self, at_ns: int) -> int:
        """True UTC at a monotonic reading; it never steps while the program runs."""
        return self._begin_utc_ns + at_ns - self._begin_ns

    def reading_ns(self, at_ns: int) -> int:
        """What the device believes UTC to be at a monotonic reading."""
        since_ns = at_ns - self._begin_ns
        gained_ns = round(since_ns * self._skew_ppm * 1e-6)
        return self._begin_utc_ns + self._offset_ns + since_ns + gained_ns


@dataclass(eq=False)
class Client:
    """One connection.

    Attributes:
        fault: what to do wrong once `fault_ns` (monotonic) has come; empty for nothing.
        interval_ns: of a stream that it asked for; None without one.
        due_ns: when that stream's next frame is due.
        missed: frames not sent because it reads too slowly.
    """

    writer: asyncio.StreamWriter
    fault: str
    fault_ns: int
    interval_ns: int | None = None
    due_ns: int = 0
    missed: int = 0
    frames: int = 0
    noise: random.Random = field(default_factory=lambda: random.Random(11))

    def send(self, data: bytes, now_ns: int) -> None:
        """Hand over one frame, or break it as ordered; never waits."""
        transport = self.writer.transport
        if transport.is_closing() or not data:
            return
        if transport.get_write_buffer_size() > SLOW_CLIENT_BYTES:
            self.missed += 1
            return
        self.frames += 1
        if self.fault and now_ns >= self.fault_ns:
            if self.fault == "silent":
                return
            if self.fault == "close-mid-message":
                self.writer.write(data[: len(data) // 2])
                self.writer.close()
                return
            if self.fault == "garbage":
                data = self.noise.randbytes(len(data))
            elif self.frames % 2:
                data = data[:-1] + bytes([data[-1] ^ 0xFF])
        self.writer.write(data)


class Tracker:
    """The server: one scene, one clock, many clients."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.scene = Scene(options.seed, options.occlusion, options.registered)
        self.clock = DeviceClock(options.clock_offset_s, options.clock_skew_ppm)
        self.clients: set[Client] = set()
        self.served = 0
        begin = options.start_utc_ns
        self.start_utc_ns: int = machine.utc_ns() if begin is None else begin
        self._message_id = 0
        self._seen = dict.fromkeys(TOOLS, True)

    def _encode(self, message: Message) -> bytes:
        return encode(message, 2 if self.options.version == 3 else 1)

    def _id(self) -> int:
        self._message_id = (self._message_id + 1) & 0xFFFFFFFF
        return self._message_id

    def _time(self, at_ns: int) -> int | None:
        return self.clock.reading_ns(at_ns) if self.options.time else None

    def seconds(self, at_ns: int) -> float:
        """Seconds of the surgery at a monotonic reading."""
        return (self.clock.utc_ns(at_ns) - self.start_utc_ns) / 1e9

    def transforms(self, at_ns: int) -> bytes:
        """One frame in TRANSFORM mode."""
        t_s, time_ns = self.seconds(at_ns), self._time(at_ns)
        parts = []
        for tool in TOOLS:
            seen = self.scene.visible(tool, t_s)
            metadata: dict[str, str] = {}
            if self.options.version == 3:
                status = "OK" if seen else "OUT_OF_VIEW"
                metadata = {"TransformStatus": status}
            elif not seen:
                continue
            message = Transform(
                device=tool,
                time_ns=time_ns,
                message_id=self._id(),
                metadata=metadata,
                matrix=self.scene.pose(tool, t_s),
            )
            parts.append(self._encode(message))
        return b"".join(parts)

    def tracking_data(self, at_ns: int) -> bytes:
        """One frame in TDATA mode: the tools that are seen."""
        t_s = self.seconds(at_ns)
        tools = tuple(
            Tool(tool, self.scene.pose(tool, t_s))
            for tool in TOOLS
            if self.scene.visible(tool, t_s)
        )
        time_ns = self._time(at_ns)
        return self._encode(
            TrackingData(device=_NAME, time_ns=time_ns, message_id=self._id(), tools=tools)
        )

    def status(self, at_ns: int, tools: Iterable[str] = TOOLS) -> bytes:
        """STATUS of the tracker and of the named tools."""
        t_s, time_ns = self.seconds(at_ns), self._time(at_ns)
        seen = sum(self.scene.visible(tool, t_s) for tool in TOOLS)
        text = f"tracking {seen} of {len(TOOLS)} tools"
        parts = [Status(device=_NAME, time_ns=time_ns, code=StatusCode.OK, name="OK", text=text)]
        for tool in tools:
            good = self.scene.visible(tool, t_s)
            parts.append(
                Status(
                    device=tool,
                    time_ns=time_ns,
                    code=StatusCode.OK if good else StatusCode.DEVICE_NOT_PRESENT,
                    name="OK" if good else "Warning",
                    text="tool visible" if good else "tool not visible",
                )
            )
        return b"".join(self._encode(part) for part in parts)

    def registration(self, at_ns: int) -> bytes:
        """Where the picture's millimetres are in the star's; empty when it is not told."""
        fault = self.options.registration_fault
        late = fault == "late" and self.seconds(at_ns) < self.options.registration_after
        if not self.options.registered or fault == "none" or late:
            return b""
        matrix = IMAGE_TO_REFERENCE
        if fault == "scaled":
            matrix = (*(1.05 * v for v in matrix[:9]), *matrix[9:])  # type: ignore[assignment]
        told = Transform(
            device=REGISTRATION, time_ns=self._time(at_ns), message_id=self._id(), matrix=matrix
        )
        return self._encode(told)

    async def stream(self) -> None:
        """Push frames and STATUS to every client, on the beat, until cancelled."""
        frame = self.transforms if self.options.mode == "transform" else self.tracking_data
        period_ns = round(1e9 / self.options.rate)
        due_ns = machine.monotonic_ns()
        status_ns = due_ns
        while True:
            await machine.until(due_ns)
            now_ns = machine.monotonic_ns()
            due_ns = max(due_ns + period_ns, now_ns)
            pushed = b"" if self.options.on_request else frame(now_ns)
            changed = self._changes(now_ns)
            if now_ns >= status_ns:
                status_ns = now_ns + 1_000_000_000
                hidden = [tool for tool in TOOLS if not self._seen[tool]]
                pushed += self.status(now_ns, hidden) + self.registration(now_ns)
            elif changed:
                pushed += self.status(now_ns, changed)
            asked = b""
            for client in tuple(self.clients):
                data = b"" if self.options.on_request else pushed
                if client.interval_ns is not None and now_ns >= client.due_ns:
                    client.due_ns = max(client.due_ns + client.interval_ns, now_ns)
                    asked = asked or self.tracking_data(now_ns)
                    data += asked
                client.send(data, now_ns)

    def _changes(self, at_ns: int) -> list[str]:
        """Tools that were lost or found since the last call."""
        t_s = self.seconds(at_ns)
        seen = {tool: self.scene.visible(tool, t_s) for tool in TOOLS}
        changed = [tool for tool in TOOLS if seen[tool] is not self._seen[tool]]
        self._seen = seen
        return changed

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep one client until it leaves, answering what it asks."""
        self.served += 1
        faulty = self.served <= self.options.fault_connections
        client = Client(
            writer,
            self.options.fault if faulty else "",
            machine.monotonic_ns() + round(self.options.fault_after * 1e9),
        )
        connection = Connection(max_body=1 << 20)
        self.clients.add(client)
        try:
            while data := await reader.read(65536):
                connection.receive_data(data)
                while (message := connection.next_event()) is not None:
                    self.answer(client, message)
        except (RemoteProtocolError, LocalProtocolError) as error:
            print(f"client dropped: {error}", file=sys.stderr)
        except ConnectionError:
            pass  # it left; that is its right
        finally:
            self.clients.discard(client)
            writer.close()

    def answer(self, client: Client, message: Message) -> None:
        """Do what a query asks; messages that are no queries are ignored."""
        if not isinstance(message, Query):
            return
        now_ns = machine.monotonic_ns()
        reply = b""
        if message.what == "TDATA" and self.options.version > 1:
            if message.verb == "GET":
                reply = self.tracking_data(now_ns)
            else:
                starts = message.verb == "STT"
                client.interval_ns = message.interval_ms * 1_000_000 if starts else None
                client.due_ns = now_ns
                reply = self._reply(message, now_ns, True)
        elif message.verb == "GET" and message.what == "STATUS":
            reply = self.status(now_ns)
        elif message.verb != "GET":
            reply = self._reply(message, now_ns, False)
        client.send(reply, now_ns)

    def _reply(self, query: Query, now_ns: int, ok: bool) -> bytes:
        time_ns = self._time(now_ns)
        return self._encode(
            Reply(
                device=query.device,
                time_ns=time_ns,
                message_id=query.message_id,
                what=query.what,
                ok=ok,
            )
        )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description="simulated OpenIGTLink tracker")
    p.add_argument("--host", default="127.0.0.1", help="address to listen on")
    p.add_argument("--port", type=int, default=18944, help="0 takes a free one")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--start-utc-ns", type=int, help="second 0 of the surgery; now if absent")
    p.add_argument("--mode", choices=("transform", "tdata"), default="transform")
    p.add_argument("--version", type=int, choices=(1, 2, 3), default=3, help="of the protocol")
    p.add_argument("--rate", type=float, default=60.0, help="frames a second, 1 to 1000")
    p.add_argument("--on-request", action="store_true", help="send only what is asked for")
    p.add_argument("--clock-offset-s", type=float, default=0.0)
    p.add_argument("--clock-skew-ppm", type=float, default=0.0)
    p.add_argument("--no-time", dest="time", action="store_false", help="send no times")
    p.add_argument("--no-occlusion", dest="occlusion", action="store_false")
    p.add_argument("--registered", action="store_true", help="tell tools in the star's frame")
    p.add_argument("--registration-fault", choices=REGISTRATION_FAULTS, default="")
    p.add_argument("--registration-after", type=float, default=10.0, metavar="S")
    p.add_argument("--fault", choices=FAULTS, default="")
    p.add_argument("--fault-after", type=float, default=2.0, metavar="S")
    p.add_argument("--fault-connections", type=int, default=1, metavar="N")
    return p


async def run(options: argparse.Namespace) -> None:
    """Listen, say so, and stream until SIGTERM or SIGINT.

    Raises:
        OSError: the port cannot be had.
    """
    tracker = Tracker(options)
    server = await asyncio.start_server(tracker.serve, options.host, options.port)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    print(json.dumps({"listening": server.sockets[0].getsockname()[1]}), flush=True)
    streaming = asyncio.create_task(tracker.stream())
    waiting = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({streaming, waiting}, return_when=asyncio.FIRST_COMPLETED)
    streaming.cancel()
    server.close()
    for client in tuple(tracker.clients):
        client.writer.close()
    if streaming in done:
        await streaming


def main(arguments: list[str] | None = None) -> int:
    """Run the program; 0 when stopped, 1 when it cannot listen, 2 for a wrong command line."""
    p = parser()
    options = p.parse_args(arguments)
    if options.mode == "tdata" and options.version == 1:
        p.error("TDATA came with protocol 2; use --version 2 or 3")
    if not 1.0 <= options.rate <= 1000.0:
        p.error(f"--rate {options.rate:g} must be 1 to 1000")
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
