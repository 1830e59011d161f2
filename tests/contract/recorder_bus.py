"""A broker process and connections for the tests of recorder and player."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from scot.access import Grant, write_private
from scot.bus.connection import Connection
from scot.bus.keys import PORTS, Link, issue
from scot.bus.subscriber import Delivery
from scot.channel import Device
from scot.clock import machine
from scot.clock.clock import Clock
from scot.codec import Frame
from scot.config import RecorderTable, RoomFile
from scot.host import Service
from scot.room import free_ports
from tests.golden.recording_frames import MONITOR, SCOPE, TRACKER, catalogue

ALL = "or1/"
GRANTS = [
    Grant(name="case", publish=[ALL], subscribe=[ALL], devices=["*"]),
    Grant(
        name="recorder",
        publish=["or1/recorder/"],
        subscribe=[ALL],
        devices=["recorder"],
        serve=True,
    ),
    Grant(name="player", publish=[ALL], subscribe=[ALL], devices=["*"], serve=True),
    Grant(name="console", subscribe=[ALL], command=["or1/player/"]),
]
KNOWN = catalogue()


class Bus:
    """One broker in a process of its own.

    Args:
        state: empty folder for keys and endpoints.
        session: the clock of its bus.
        replay: the catalogue says that it plays a recording.
        segment_s: what the room file says to the recorder.
    """

    def __init__(
        self,
        state: Path,
        session: Clock | None = None,
        replay: bool = False,
        segment_s: float = 300.0,
        encrypt: bool = False,
    ) -> None:
        self.state = state
        recorder = RecorderTable.model_construct(
            enabled=True, directory=state / "recordings", segment_s=segment_s, encrypt=encrypt
        )
        self.room = RoomFile.model_validate({"room": {"workspace": "or1"}}).model_copy(
            update={"recorder": recorder}
        )
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        issue(state, "127.0.0.1", ports, "or1", GRANTS)
        room = RoomFile.model_validate({"room": {"workspace": "or1"}})
        write_private(state / "room.json", room.model_dump_json().encode())
        map_ = (session or Clock.session()).map
        write_private(state / "session.json", msgspec.json.encode(map_))
        options = f'{{"replay": {"true" if replay else "false"}}}'
        command = [sys.executable, "-m", "scot.host", "broker", "-", "--state", str(state)]
        self._process = subprocess.Popen(
            [*command, "--options", options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert '"ready"' in said, f"the broker said {said!r}"

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    async def join(self, name: str) -> Connection:
        """Join as the holder of key `name`."""
        return await Connection.join(Link.load(self.state, name))


class Running:
    """A service of the room running in this process, as its host runs it."""

    def __init__(
        self,
        bus: Bus,
        connection: Connection,
        serve: Callable[[Service], Any],
        options: dict[str, Any],
    ) -> None:
        self.said: dict[str, Any] = {}
        self.connection = connection
        self._ready = asyncio.Event()
        test = self

        class Told(Service):
            def ready(self, **facts: Any) -> None:
                test.said = facts
                test._ready.set()

        self.service = Told("service", connection, bus.room, bus.state, options)
        self.task = asyncio.create_task(self._host(serve))

    async def _host(self, serve: Callable[[Service], Any]) -> None:
        try:
            await serve(self.service)
        finally:
            await self.connection.close()

    async def ready(self) -> dict[str, Any]:
        """Wait until it says that it works; raise what it raises."""
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()
        return self.said

    async def stop(self) -> None:
        """Ask it to end and wait until it has."""
        self.service.stopping.set()
        await self.task


class Collector:
    """A sink that keeps what it gets; `until` waits for what a test wants to see."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.deliveries: list[Delivery] = []
        self.at_ns: list[int] = []
        self.now: Callable[[], int] = lambda: 0
        self._more = asyncio.Event()

    def handle(self, batch: Sequence[Delivery]) -> None:
        self.deliveries += batch
        self.frames += [delivery.frame for delivery in batch]
        self.at_ns += [self.now()] * len(batch)
        self._more.set()

    def close(self) -> None:
        pass

    async def until(self, seen: Callable[[], bool], within_s: float = 20.0) -> None:
        async with asyncio.timeout(within_s):
            while not seen():
                self._more.clear()
                await self._more.wait()

    def of(self, *devices: str) -> list[Frame]:
        return [
            d.frame
            for d in self.deliveries
            if d.frame.address.split("/")[1] in devices and not d.frame.address.endswith("/health")
        ]


async def until(seen: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for what gives no event: ask again until `seen` holds."""
    async with asyncio.timeout(within_s):
        while not seen():
            await machine.until(machine.monotonic_ns() + 50_000_000)


async def announce(connection: Connection, devices: Sequence[Device] = ()) -> None:
    """Announce the devices of the made-up case."""
    for device in devices or (MONITOR, TRACKER, SCOPE):
        await connection.announce(device, health=False)


async def publish(connection: Connection, frames: Sequence[Frame]) -> None:
    """Publish frames as they are, and wait until the broker has them."""
    for place, frame in enumerate(frames):
        channel = KNOWN.channel(frame.address)
        assert channel is not None
        connection.publish_frame(frame, channel)
        if place % 100 == 99:
            await connection.drained()
    await connection.drained()
