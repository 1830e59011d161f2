"""A real broker, a real gateway process and a real page's WebSocket, for the gateway's tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgpack
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from scot.access import Grant, write_private
from scot.bus.connection import Connection
from scot.bus.keys import PORTS, Link, issue
from scot.channel import Channel, Device, Lifecycle
from scot.clock import machine
from scot.clock.clock import Clock
from scot.config import RoomFile
from scot.room import free_ports
from scot.sample import Flags, Sample, Value

STOP_S = 15.0
WORKSPACE = "or1"
GRANTS = [
    Grant(
        name="room",
        publish=["or1/monitor/", "or1/scope/", "or1/tracker/"],
        subscribe=["or1/"],
        devices=["monitor", "scope", "tracker"],
    ),
    Grant(name="ward", publish=["or1/ward/"], subscribe=["or1/"], devices=["ward"]),
    Grant(
        name="dashboard",
        publish=["or1/consult/", "or1/alarms/"],
        subscribe=["or1/"],
        devices=["consult", "alarms"],
    ),
    Grant(name="console", subscribe=["or1/"]),
]


class Process:
    """One process of the room; the first line it says is its readiness, or why not."""

    def __init__(self, state: Path, role: str, name: str, options: dict[str, Any]) -> None:
        self.log = state / f"{role}-{name}.log"
        command = [sys.executable, "-m", "scot.host", role, name, "--state", str(state)]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--options", json.dumps(options)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.said: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait(STOP_S)

    def ended(self) -> int:
        """Wait until it has ended by itself; return its exit code."""
        return self._process.wait(STOP_S)

    def stop(self) -> int:
        """End it politely; return its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        code = self._process.wait(STOP_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code


class Room:
    """A broker, and a dashboard that can be started, killed and started again.

    Attributes:
        state: its folder.
        dashboard: the gateway's process; None until `open`.
    """

    def __init__(self, state: Path, options: dict[str, Any], **tables: Any) -> None:
        self.state = state
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        issue(state, "127.0.0.1", ports, WORKSPACE, GRANTS)
        dashboard = {"port": 0, **tables.pop("dashboard", {})}
        room = {"workspace": WORKSPACE, "case": "K-17", **tables.pop("room", {})}
        self.file = RoomFile.model_validate({"room": room, "dashboard": dashboard, **tables})
        write_private(state / "room.json", self.file.model_dump_json().encode())
        write_private(state / "session.json", msgspec.json.encode(Clock.session().map))
        self.broker = Process(state, "broker", "-", options)
        self.dashboard: Process | None = None

    def open(self, **options: Any) -> Process:
        """Start the gateway."""
        self.dashboard = Process(self.state, "service", "dashboard", options)
        return self.dashboard

    @property
    def url(self) -> str:
        """Of the wall, with its secret."""
        assert self.dashboard is not None
        url: str = self.dashboard.said["ready"]["url"]
        return url

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def wall(self) -> str:
        """The wall's secret."""
        return urlsplit(self.url).fragment.removeprefix("wall=")

    def link(self, name: str) -> Link:
        return Link.load(self.state, name)

    @property
    def audit(self) -> list[dict[str, Any]]:
        """Every row written so far."""
        path = self.state / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def invite(self, **body: Any) -> dict[str, Any]:
        """Invite somebody as ``scot invite`` does."""
        answer = httpx.post(
            f"{self.origin}/invitations",
            json=body,
            headers={"Authorization": f"Bearer {self.wall}"},
            trust_env=False,
        )
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def stop(self) -> None:
        if self.dashboard is not None:
            self.dashboard.stop()
        self.broker.stop()


@contextmanager
def running_room(state: Path, replay: bool = False, **tables: Any) -> Iterator[Room]:
    """A room whose broker and gateway run."""
    state.mkdir(mode=0o700, exist_ok=True)
    room = Room(state, {"replay": replay}, **tables)
    try:
        room.open()
        yield room
    finally:
        room.stop()


class Source:
    """The devices of a room: announces and publishes on the bus from the test itself."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.epoch = connection.clock.now()
        self.channels: dict[str, Channel] = {}
        self._seqs: dict[str, int] = {}

    async def announce(self, device: str, *channels: Channel, reason: str = "") -> None:
        """Put a device into the catalogue."""
        for channel in channels:
            self.channels[f"{device}/{channel.name}"] = channel
        await self.connection.announce(
            Device(
                name=device,
                provider="test",
                state=Lifecycle.RUNNING,
                reason=reason,
                epoch=self.epoch,
                channels={channel.name: channel for channel in channels},
            ),
            health=False,
        )

    def say(self, name: str, value: Value, *, key: bool = False, at_ns: int | None = None) -> int:
        """Publish the next sample of ``device/channel``; return its bus time."""
        seq = self._seqs.get(name, 0)
        self._seqs[name] = seq + 1
        time = self.connection.clock.stamp()
        if at_ns is not None:
            time = msgspec.structs.replace(time, bus_ns=at_ns)
        flags = Flags.KEYFRAME if key else Flags(0)
        sample = Sample(f"{WORKSPACE}/{name}", self.epoch, seq, time, flags, value)
        self.connection.publish(sample, self.channels[name])
        return time.bus_ns


@asynccontextmanager
async def source(room: Room, name: str = "room") -> AsyncIterator[Source]:
    """The devices of one key, joined."""
    connection = await Connection.join(room.link(name))
    try:
        yield Source(connection)
    finally:
        await connection.close()


class Page:
    """A page as a browser would be: cookies, a WebSocket, and everything it was ever sent.

    Attributes:
        received: messages, decoded.
        raw: their bytes.
        closed: code of the close, None while open.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.received: list[list[Any]] = []
        self.raw: list[bytes] = []
        self.closed: int | None = None
        self.closed_ns = 0
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for data in self.socket:
                assert isinstance(data, bytes)
                self.raw.append(data)
                self.received.append(msgpack.unpackb(data))
                self._more.set()
        except ConnectionClosed:
            pass
        self.closed = self.socket.close_code
        self.closed_ns = machine.monotonic_ns()
        self._more.set()

    async def say(self, *parts: Any) -> None:
        """Send one message."""
        await self.socket.send(msgpack.packb(parts))

    async def until(self, seen: Callable[[], Any], within_s: float = 10.0) -> Any:
        """Wait until `seen` returns something true; it is asked after each message.

        Raises:
            TimeoutError: it never did.
        """
        async with asyncio.timeout(within_s):
            while not (found := seen()):
                self._more.clear()
                await self._more.wait()
        return found

    async def message(self, name: str, *start: Any) -> list[Any]:
        """Wait for a message that begins like this and return it."""
        found: list[Any] = await self.until(
            lambda: next((m for m in self.received if m[: 1 + len(start)] == [name, *start]), None)
        )
        return found

    def all(self, name: str) -> list[list[Any]]:
        return [message for message in self.received if message[0] == name]

    def samples(self, address: str) -> list[tuple[list[Any], bytes]]:
        """Header and payload of every sample of a channel that came by itself."""
        return [
            (header, payload)
            for message in self.all("samples")
            for where, header, payload in message[2]
            if where == address
        ]

    async def count(self, address: str, count: int) -> None:
        """Wait until so many samples of a channel have come."""
        await self.until(lambda: len(self.samples(address)) >= count)

    def history(self, request: int) -> list[list[Any]]:
        """Entries of an answer so far."""
        return [entry for m in self.all("history") if m[1] == request for entry in m[4]]

    async def leave(self) -> None:
        await self.socket.close()
        await self._reading


async def enter(room: Room, secret: str, cookies: httpx.Cookies) -> httpx.Response:
    """Send a link's secret as a page does; the session lands in `cookies`."""
    async with httpx.AsyncClient(trust_env=False, cookies=cookies) as client:
        answer = await client.post(
            f"{room.origin}/enter", json={"secret": secret}, headers={"Origin": room.origin}
        )
        cookies.update(client.cookies)
        return answer


@asynccontextmanager
async def page(
    room: Room,
    secret: str = "",
    *,
    cookies: httpx.Cookies | None = None,
    guest: bool = False,
    origin: str | None = None,
    shows: dict[str, str] | None = None,
) -> AsyncIterator[Page]:
    """Open a page: enter with a link's secret (the wall's when empty), then the feed.

    Args:
        room: whose page.
        secret: of a link; the wall's own when empty, unless `cookies` are given.
        cookies: of the browser; a new browser when None.
        guest: the consultant's page.
        origin: what the browser says; the room's own when None.
        shows: the videos that it shows; the scope's, large, when None.
    """
    if cookies is None:
        cookies = httpx.Cookies()
        answer = await enter(room, secret or room.wall, cookies)
        assert answer.status_code == 204, answer.text
    url = room.origin.replace("http", "ws") + "/feed" + ("?as=consultant" if guest else "")
    header = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies.jar)}
    socket = await connect(
        url,
        origin=origin or room.origin,  # type: ignore[arg-type]
        additional_headers=header,
        compression=None,
        max_size=None,
        proxy=None,
    )
    opened = Page(socket)
    try:
        with contextlib.suppress(ConnectionClosed):
            await opened.say("show", {"or1/scope/video": "full"} if shows is None else shows)
        yield opened
    finally:
        await opened.leave()
