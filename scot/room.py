"""The whole room: starts every process, restarts what dies, and stops them all."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import msgspec

from scot.access import Grant, Quota, Rate, state_folder, write_private
from scot.bus.keys import PORTS, issue
from scot.clock import machine
from scot.clock.clock import Clock
from scot.config import RoomFile
from scot.errors import RoomError
from scot.host import RESTARTS
from scot.recalibration import forget
from scot.transport import PLAYER

log = logging.getLogger(__name__)

READY_S = 30.0
STOP_S = 12.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_S = 30.0
CONSOLE = "console"
SPARING = {"OPENBLAS_NUM_THREADS": "1"}  # nobody uses its threads; each start spun 0.1 s in one
QUOTA = Quota(  # of one device: far above the busiest we know, far below what harms the others
    ctl=Rate(messages_hz=20_000, bytes_hz=32 << 20),
    bulk=Rate(messages_hz=1_000, bytes_hz=128 << 20),
    history_bytes_hz=64 << 20,
)


@dataclass(frozen=True)
class RoomFacts:
    """A room that is up, as other commands see it.

    Attributes:
        facts: what each process said when it was ready (``facts["dashboard"]["url"]``).
        room_file: what it was started from; None for a replay.
    """

    workspace: str
    state: Path
    pid: int
    processes: dict[str, dict[str, Any]]
    facts: dict[str, dict[str, Any]]
    room_file: Path | None = None

    def log(self, name: str) -> Path:
        """Return the file that one of its processes writes its log to."""
        return self.state / "logs" / f"{name}.log"


def running(workspace: str | None = None) -> list[RoomFacts]:
    """Return the rooms that are up, or only that of a workspace."""
    base = state_folder("x").parent
    names = [workspace] if workspace else sorted(p.name for p in base.glob("*") if p.is_dir())
    return [facts for name in names if (facts := _facts(base / name)) is not None]


def find(workspace: str | None = None) -> RoomFacts:
    """Return the running room of a workspace, or the only one there is.

    Raises:
        RoomError: no room, or more than one, is up.
    """
    found = running(workspace)
    if len(found) == 1:
        return found[0]
    if not found:
        which = f"room {workspace!r}" if workspace else "room"
        raise RoomError(f"no {which} is up; start one with `scot demo` or `scot up ROOM.toml`")
    up = ", ".join(facts.workspace for facts in found)
    raise RoomError(f"several rooms are up ({up}); choose one with --workspace")


def _facts(state: Path) -> RoomFacts | None:
    try:
        held = json.loads((state / "facts.json").read_text())
        os.kill(held["pid"], 0)
        named = held.get("room_file")
        return RoomFacts(
            state.name,
            state,
            held["pid"],
            held["processes"],
            held["facts"],
            Path(named) if named else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass
class Process:
    """One supervised process of the room.

    Attributes:
        ready: what it said when it was; None until then.
        error: why it cannot start, in its own words.
        restarts: how often it was started again.
    """

    name: str
    command: list[str]
    essential: bool = False
    pid: int | None = None
    ready: dict[str, Any] | None = None
    error: str = ""
    restarts: int = -1
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False

    async def supervise(self, logs: Path, told: Callable[[], None]) -> None:
        """Run it until `stopping`; start it again, with back-off, when it dies."""
        failures = 0
        while not self.stopping:
            started_ns = machine.monotonic_ns()
            self.restarts += 1
            code = await self._run_once(logs, told)
            if self._may_end():
                return
            if machine.monotonic_ns() - started_ns > STEADY_S * 1e9:
                failures = 0
            why = self.error or f"it ended with code {code}"
            log.warning("%s: %s; see %s", self.name, why, logs / f"{self.name}.log")
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1

    def is_ready(self) -> bool:
        """Whether it has said so."""
        return self.ready is not None

    def failed(self) -> bool:
        """Whether it ended, or said why it cannot start, before it was ready."""
        return self.ready is None and (bool(self.error) or self.pid is None)

    def _may_end(self) -> bool:
        return self.stopping

    async def _run_once(self, logs: Path, told: Callable[[], None]) -> int:
        with (logs / f"{self.name}.log").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env={**SPARING, **os.environ, RESTARTS: str(self.restarts)},
                preexec_fn=_die_with_parent,
            )
        self.pid = process.pid
        if process.stdout is not None:
            async for line in process.stdout:
                self._hear(line)
                told()
        code = await process.wait()
        self.pid = None
        self.changed.set()
        told()
        return code

    def _hear(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if isinstance(said, dict):
            self.error = str(said.get("error", ""))
            if not self.error:
                self.ready = said["ready"] if isinstance(said.get("ready"), dict) else said
            self.changed.set()

    def signal(self, number: int) -> None:
        """Send a signal if it runs."""
        if self.pid is not None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass


def _die_with_parent() -> None:
    """Ask Linux to end this process when the room's does (prctl PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Room:
    """Every process that serves one workspace.

    Args:
        room: the checked room file.
        session: the clock of its bus; a player's room runs at its recording's time and rate.
        services: options of each service to start, by name; as the room file says when None.
        replay: the catalogue says that this is a recording.
        path: of the room file, for commands that read or change it; None for a replay.
    """

    def __init__(
        self,
        room: RoomFile,
        *,
        session: Clock | None = None,
        services: dict[str, dict[str, Any]] | None = None,
        replay: bool = False,
        path: Path | None = None,
    ) -> None:
        self.file = room
        self.path = None if path is None else path.absolute()
        self.state = state_folder(room.room.workspace)
        self.replay = replay
        if services is None:
            services = {}
            if room.recorder.enabled:
                services["recorder"] = {}
            if room.dashboard.enabled:
                services["dashboard"] = {}
        self.services = services
        self.processes: dict[str, Process] = {}
        self._session = session or Clock.session()
        self._tasks: list[asyncio.Task[None]] = []
        self._lock: TextIO | None = None

    async def start(self) -> None:
        """Issue keys and start every process; returns when all that must be ready is.

        Raises:
            RoomError: the workspace is already up, a port is busy, or a process cannot start.
        """
        self._take_state()
        base = [sys.executable, "-m", "scot.host"]
        self._add("broker", [*base, "broker", "-"], {"replay": self.replay}, essential=True)
        await self._launch(["broker"])
        for simulator in self.file.simulator:
            command = [sys.executable, "-m", simulator.module, *simulator.arguments]
            self.processes[f"sim-{simulator.name}"] = Process(f"sim-{simulator.name}", command)
        for name, options in self.services.items():
            self._add(name, [*base, "service", name], options, essential=True)
        for device in self.file.device:
            self._add(device.name, [*base, "device", device.name], {})
        await self._launch([name for name in self.processes if name != "broker"])

    async def stop(self) -> None:
        """Stop devices first, then services, then the broker, so that nothing is cut off."""
        services = set(self.services)
        devices = [n for n in self.processes if n not in services and n != "broker"]
        for names in (devices, ["recorder"], [*services], ["broker"]):
            await self._end([n for n in names if n in self.processes])
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        (self.state / "facts.json").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    @property
    def facts(self) -> dict[str, dict[str, Any]]:
        """What each process said when it was ready."""
        return {name: p.ready for name, p in self.processes.items() if p.ready is not None}

    def _add(
        self, name: str, command: list[str], options: dict[str, Any], essential: bool = False
    ) -> None:
        whole = [*command, "--state", str(self.state), "--options", json.dumps(options)]
        self.processes[name] = Process(name, whole, essential)

    async def _launch(self, names: list[str]) -> None:
        logs = self.state / "logs"
        for name in names:
            process = self.processes[name]
            self._tasks.append(asyncio.create_task(process.supervise(logs, self._write_facts)))
        for name in names:
            process = self.processes[name]
            if process.essential:
                await self._await_ready(process)

    async def _await_ready(self, process: Process) -> None:
        try:
            async with asyncio.timeout(READY_S):
                while not process.is_ready():
                    await process.changed.wait()
                    process.changed.clear()
                    if process.failed():
                        why = process.error or "it ended at once"
                        await self.stop()
                        raise RoomError(f"{process.name}: {why}")
        except TimeoutError:
            await self.stop()
            raise RoomError(
                f"{process.name} was not ready within {READY_S:g} s; see "
                f"{self.state / 'logs' / process.name}.log"
            ) from None

    async def _end(self, names: list[str]) -> None:
        for name in names:
            self.processes[name].stopping = True
            self.processes[name].signal(signal.SIGTERM)
        for name in names:
            process = self.processes[name]
            try:
                async with asyncio.timeout(STOP_S):
                    while process.pid is not None:
                        await process.changed.wait()
                        process.changed.clear()
            except TimeoutError:
                log.warning("%s did not stop within %g s; ended by force", name, STOP_S)
                process.signal(signal.SIGKILL)

    def _take_state(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.state / "logs").mkdir(exist_ok=True, mode=0o700)
        self._lock = os.fdopen(_private(self.state / "lock"), "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RoomError(
                f"room {self.file.room.workspace!r} is already up; stop it there with Ctrl-C, or "
                "give this one another [room] workspace"
            ) from None
        for old in (self.state / "logs").glob("*.log"):
            old.unlink()
        forget(self.state)
        bus = self.file.bus
        ports = dict(zip(PORTS, _ports(bus.host, bus.port), strict=True))
        workspace = self.file.room.workspace
        issue(self.state, bus.host, ports, workspace, self._grants(), udp=bus.udp)
        write_private(self.state / "room.json", self.file.model_dump_json().encode())
        write_private(self.state / "session.json", msgspec.json.encode(self._session.map))
        self._write_facts()

    def _grants(self) -> list[Grant]:
        """Every key of the room and the least it needs."""
        all_of = f"{self.file.room.workspace}/"
        grants = [
            Grant(
                name=device.name,
                publish=[f"{all_of}{device.name}/"],
                subscribe=[f"{all_of}room/"],
                devices=[device.name],
                quota=QUOTA,
            )
            for device in self.file.device
        ]
        recorder = [f"{all_of}recorder/"]
        own = ["alarms", "consult", "dashboard"]
        player = Grant(
            name="player", publish=[all_of], subscribe=[all_of], devices=["*"], serve=True
        )
        wishes = [f"{all_of}{PLAYER}/"] if self.replay else []
        return [
            *grants,
            Grant(name=CONSOLE, subscribe=[all_of], command=wishes),
            Grant(
                name="recorder",
                publish=recorder,
                subscribe=[all_of],
                devices=["recorder"],
                serve=True,
            ),
            Grant(
                name="dashboard",
                publish=[f"{all_of}{device}/" for device in own],
                subscribe=[all_of],
                devices=own,
                command=wishes,
            ),
            *([player] if self.replay else []),
            *(
                Grant(
                    name=person.name,
                    subscribe=[all_of],
                    command=[f"{all_of}{prefix}" for prefix in person.commands],
                    role=person.role,
                )
                for person in self.file.control
            ),
        ]

    def _write_facts(self) -> None:
        processes = {
            name: {"pid": p.pid, "restarts": max(0, p.restarts), "error": p.error}
            for name, p in self.processes.items()
        }
        facts = {
            "pid": os.getpid(),
            "workspace": self.file.room.workspace,
            "room_file": None if self.path is None else str(self.path),
            "processes": processes,
            "facts": self.facts,
        }
        write_private(self.state / "facts.json", json.dumps(facts).encode())


def _private(path: Path) -> int:
    """Open a file that only its owner can use, whatever mode an older room left it with."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def _ports(host: str, first: int) -> list[int]:
    """Return six ports: from `first` on, or free ones when it is 0."""
    if first:
        return list(range(first, first + len(PORTS)))
    return free_ports(len(PORTS), host)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return TCP ports that are free now.

    Raises:
        RoomError: the address is not one of this machine's.
    """
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind((host, 0))
        return [sock.getsockname()[1] for sock in sockets]
    except OSError as error:
        raise RoomError(
            f"cannot listen on {host}: {error.strerror}; use an address of this machine"
        ) from None
    finally:
        for sock in sockets:
            sock.close()
