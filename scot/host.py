"""One process of a room: a device's host, a service's host, or the broker.

``python -m scot.host device monitor --state DIR``. It says on stdout, in one JSON line, that it is
ready or why it cannot be; its log goes to stderr.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from scot import plugin, zone
from scot.access import Access, Roster
from scot.bus.authority import Posted
from scot.bus.broker import Broker
from scot.bus.connection import Connection
from scot.bus.keys import OWN, Endpoints, KeyPair, Link
from scot.bus.trail import TRAIL, Trail
from scot.channel import Catalogue, Lifecycle
from scot.clock import machine
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.latency import Latency
from scot.commanding import Commanding
from scot.config import DeviceTable, RoomFile, find_provider, provider_options
from scot.errors import DeviceError, RoomError, ScotError
from scot.provider import DeviceContext, Provider
from scot.recalibration import Given
from scot.sample import Sample

log = logging.getLogger(__name__)

BACKOFF_S = (0.3, 0.6, 1.2, 2.0)
STEADY_S = 10.0
LOOK_S = 0.2
OPEN_FILES = 65_536
RESTARTS = "SCOT_RESTARTS"  # the room says it in the environment of what it starts


@dataclass
class Service:
    """What a service of the room (recorder, player, dashboard) is given.

    Attributes:
        name: as in the entry points ``scot.services``.
        connection: joined.
        room: the checked room file.
        state: the room's 0700 folder.
        options: of this start, plain values.
        stopping: set when the room wants it to end; it then has 10 s.
    """

    name: str
    connection: Connection
    room: RoomFile
    state: Path
    options: dict[str, Any] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def ready(self, **facts: Any) -> None:
        """Say once that it works; `facts` are shown to people and to other services."""
        say(ready=facts)

    def room_facts(self) -> dict[str, dict[str, Any]]:
        """Return what each process said at `ready`, by its name."""
        path = self.state / "facts.json"
        facts: dict[str, dict[str, Any]] = json.loads(path.read_text())["facts"]
        return facts


def settle() -> None:
    """Take what start-up made out of the garbage collector's rounds, which took 15 ms each."""
    gc.collect()
    gc.freeze()


def say(**line: Any) -> None:
    """Tell the room one thing, as one JSON line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def restarts() -> int | None:
    """Return how often the room started this process again; None when no room did."""
    told = os.environ.get(RESTARTS, "")
    return int(told) if told.isdigit() else None


class DeviceHost:
    """Runs one provider and publishes what it yields; reconnects for ever, with back-off.

    Args:
        table: of the room file.
        connection: joined.
        state: the room's folder: the book of commands, and what `scot calibrate` gave since.
    """

    def __init__(self, table: DeviceTable, connection: Connection, state: Path) -> None:
        self.table = table
        self._given = Given(state, table.name, table.latency)
        self._look()
        self.connection = connection
        self.provider_type: type[Provider[Any]] = find_provider(table.provider)
        options = provider_options(table, "room file", f"device {table.name}")
        self.device: DeviceContext[Any] = DeviceContext(
            connection.workspace,
            table.name,
            options,
            connection.clock,
            table.simulated,
            self._latency(),
        )
        self.device.offer(*self.provider_type.declared(), *self.provider_type.declared_commands())
        self.provider: Provider[Any] | None = None
        book = state / "commands" / f"{table.name}.book"
        self.commanding = Commanding(connection, self.device, book, lambda: self.provider)
        self.samples = 0
        self.reconnects = 0
        self._first = True  # no sample of this connection to the device has come
        self._announced = -1
        self._last_ns = machine.monotonic_ns()
        self._reason = ""

    async def run(self) -> None:
        """Connect, publish, and begin again when the device is lost; until cancelled."""
        beside = [asyncio.create_task(work) for work in (self._watch(), self.commanding.run())]
        failures = 0
        try:
            while True:
                self._first = True
                started_ns = machine.monotonic_ns()
                self.device.move(Lifecycle.CONNECTING, self._reason)
                reason = await self._once()
                if machine.monotonic_ns() - started_ns > STEADY_S * 1e9:
                    failures = 0
                self._reason = reason
                log.warning("%s: %s", self.device.address, reason)
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _once(self) -> str:
        """Run the provider until it ends; return why it did."""
        device = self.device
        self.provider = self.provider_type()
        samples = self.provider.run(device)
        try:
            async for sample in samples:
                await self._take(sample)
            reason = "the device ended its stream"
            device.move(Lifecycle.DISCONNECTED, reason)
        except (DeviceError, OSError) as error:
            reason = str(error)
            device.move(Lifecycle.DISCONNECTED, reason)
        except Exception as error:
            log.exception("the provider crashed")
            reason = f"the provider crashed: {type(error).__name__}: {error}"
            device.move(Lifecycle.FAULT, reason)
        finally:
            self.provider = None
            if isinstance(samples, AsyncGenerator):
                await samples.aclose()
        await self._announce()
        return reason

    async def _take(self, sample: Sample) -> None:
        device = self.device
        if device.state is not Lifecycle.RUNNING:
            device.move(Lifecycle.RUNNING)
        if self._announced != device.version:
            await self._announce()
        self._last_ns = machine.monotonic_ns()
        if self._first:
            self._first = False
            self.reconnects += self.samples > 0
        self.samples += 1
        self.connection.publish(sample, device.channels[sample.channel])

    async def _watch(self) -> None:
        """Announce changes that come without samples, and silence."""
        limit_s = self.table.silence_limit_s
        while True:
            await asyncio.sleep(LOOK_S)
            device = self.device
            if self._look():
                device.calibrate(self._latency())
            silent_s = (machine.monotonic_ns() - self._last_ns) / 1e9
            if device.state is Lifecycle.RUNNING and silent_s > limit_s:
                device.move(Lifecycle.DEGRADED, f"no sample for more than {limit_s:g} s")
            if self._announced != device.version:
                await self._announce()
            self.connection.reports.accuracy_ns[device.name] = device.accuracy_ns
            self.connection.counters[device.name] = {
                "samples": self.samples,
                "reconnects": self.reconnects,
                **device.health,
            }

    def _look(self) -> bool:
        """Return whether `scot calibrate` has given another latency."""
        try:
            return self._given.look()
        except ScotError as error:
            log.warning("%s", error)
            return False

    def _latency(self) -> Latency | None:
        table = self._given.table
        return None if table is None else table.latency()

    async def _announce(self) -> None:
        version = self.device.version
        info = self.provider_type.info
        label = self.table.label or info.label
        try:
            await self.connection.announce(self.device.device(self.table.provider, label))
            self._announced = version
        except ScotError as error:  # the broker is away; the next look tries again
            log.warning("cannot announce %s: %s", self.device.address, error)


async def host_device(state: Path, room: RoomFile, name: str, stopping: asyncio.Event) -> None:
    """Host one device until `stopping`.

    Raises:
        RoomError: the room file has no such device.
        ScotError: it cannot join, or its provider cannot be loaded.
    """
    tables = {table.name: table for table in room.device}
    if name not in tables:
        raise RoomError(f"no device {name!r} in the room file; it has: {', '.join(tables)}")
    connection = await Connection.join(Link.load(state, name))
    connection.reports.restarts = restarts()
    settle()
    say(ready={"provider": tables[name].provider})
    await serve_device(tables[name], connection, state, stopping)


async def serve_device(
    table: DeviceTable, connection: Connection, state: Path, stopping: asyncio.Event
) -> None:
    """Run a device's provider on a connection until `stopping`, then leave.

    Args:
        table: of the room file.
        connection: joined with the device's key.
        state: a folder of this machine's own, which keeps the book of commands.
        stopping: set when it is to end.
    """
    host = DeviceHost(table, connection, state)
    running = asyncio.create_task(host.run())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    waiting.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    await connection.close()


async def host_service(
    state: Path, room: RoomFile, name: str, options: dict[str, Any], stopping: asyncio.Event
) -> None:
    """Host a service found through the entry points ``scot.services`` until `stopping`."""
    serve = plugin.load("scot.services", name)
    connection = await Connection.join(Link.load(state, name))
    connection.reports.restarts = restarts()
    service = Service(name, connection, room, state, options, stopping)
    settle()
    try:
        await serve(service)
    finally:
        await connection.close()


def host_broker(state: Path, room: RoomFile, options: dict[str, Any]) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    _allow_files()
    endpoints = msgspec.json.decode((state / "endpoints.json").read_bytes(), type=Endpoints)
    pair = msgspec.json.decode((state / "keys" / "broker.json").read_bytes(), type=KeyPair)
    session = msgspec.json.decode((state / "session.json").read_bytes(), type=BusMap)
    catalogue = Catalogue(
        workspace=room.room.workspace,
        replay=bool(options.get("replay")),
        title=room.room.title,
        case=room.room.case,
        volumes={table.frame: stem for stem, table in room.volumes().items()},
        time_zone=room.room.time_zone or ("" if options.get("replay") else zone.of_machine()),
    )
    own = Roster.parse((state / OWN).read_bytes(), state / OWN)
    broker = Broker(
        endpoints,
        pair,
        Access(own, now_ns=machine.utc_ns()),
        Clock(session),
        catalogue,
        posted=Posted.at(state, room.room.workspace),
        trail=Trail(state / TRAIL),
    )
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: stopped.append(got))
    say(ready={"ports": endpoints.ports})
    settle()
    broker.run(lambda: bool(stopped))


def _allow_files() -> None:
    """Allow this process all the open files it may have.

    The usual 1,024 are soon taken by connections that never finish their handshake; then nobody
    else could connect.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it is installed: it wakes for a socket in half the time."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _until_signal(work: Any, stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await work


def main(arguments: list[str]) -> int:
    """Run one process of a room: ``broker|device|service NAME --state DIR [--options JSON]``."""
    role, name, _, state_text, *more = arguments
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.WARNING)
    state = Path(state_text)
    options: dict[str, Any] = json.loads(more[1]) if more else {}
    stopping = asyncio.Event()
    try:
        room = RoomFile.model_validate_json((state / "room.json").read_text())
        if role == "broker":
            host_broker(state, room, options)
        elif role == "device":
            _run(_until_signal(host_device(state, room, name, stopping), stopping))
        else:
            work = host_service(state, room, name, options, stopping)
            _run(_until_signal(work, stopping))
    except ScotError as error:
        log.error("%s", error)
        say(error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
