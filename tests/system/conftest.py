"""Real processes for system tests: a broker of one's own, and a whole room.

Every process started here dies with the test run, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page

from scot.access import Grant, write_private
from scot.bus.keys import PORTS, KeyPair, Link, issue
from scot.bus.subscriber import Delivery
from scot.clock import machine
from scot.clock.clock import Clock
from scot.config import RoomFile
from scot.room import free_ports

READY_S = 45.0
STOP_S = 25.0
WORKSPACE = "or1"
STATIC = Path(__file__).parents[2] / "dashboard" / "scot_dashboard" / "static"
# prctl(PR_SET_PDEATHSIG): the child is told to end when the test run is gone.
_CHILD = (
    "import ctypes, sys; ctypes.CDLL(None).prctl(1, {number}); from {module} import main; "
    "sys.exit(main({arguments}))"
)


def child(module: str, arguments: str, number: int) -> list[str]:
    """Return the command that runs `main` of a module and dies with this process."""
    code = _CHILD.format(module=module, arguments=arguments, number=number)
    return [sys.executable, "-c", code]


class Collector:
    """A sink that keeps what it gets, and a way to wait for what a test wants to see."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.closed = False
        self._more = asyncio.Event()

    def handle(self, batch: Sequence[Delivery]) -> None:
        self.deliveries += batch
        self._more.set()

    def close(self) -> None:
        self.closed = True

    def seqs(self, address: str) -> list[int]:
        return [d.header.seq for d in self.deliveries if d.frame.address == address]

    async def until(self, seen: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait until `seen` holds; it is asked after each batch and at least each 50 ms.

        Raises:
            TimeoutError: it never did.
        """
        async with asyncio.timeout(within_s):
            while not seen():
                self._more.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await self._more.wait()
                except TimeoutError:
                    continue


class BusProcess:
    """A broker in a process of its own, with the grants a test chose.

    Attributes:
        state: as a room's: endpoints, keys, roster.
    """

    module = "scot.host"

    def __init__(self, state: Path, grants: list[Grant]) -> None:
        self.state = state
        self.log = state / "broker.log"
        self._process: subprocess.Popen[str] | None = None
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        issue(state, "127.0.0.1", ports, WORKSPACE, grants, udp=True)
        room = RoomFile.model_validate({"room": {"workspace": WORKSPACE}})
        write_private(state / "room.json", room.model_dump_json().encode())
        write_private(state / "session.json", msgspec.json.encode(Clock.session().map))

    @property
    def pid(self) -> int:
        """Of the broker.

        Raises:
            RuntimeError: it does not run.
        """
        if self._process is None:
            raise RuntimeError("the broker does not run")
        return self._process.pid

    def start(self) -> None:
        """Start the broker and wait until it listens."""
        command = [
            *child(self.module, "sys.argv[1:]", signal.SIGTERM),
            *("broker", "-", "--state", str(self.state), "--options", "{}"),
        ]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert '"ready"' in said, f"the broker said {said!r}; its log: {self.log.read_text()}"

    def kill(self) -> None:
        """End it as a power cut of its process would: no word, no flush."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it politely and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        code = process.wait(STOP_S)
        if process.stdout is not None:
            process.stdout.close()
        return code

    def link(self, name: str) -> Link:
        """Return what the holder of key `name` needs to join."""
        return Link.load(self.state, name)

    def stranger(self, name: str = "stranger") -> Link:
        """Return a link whose key is on nobody's roster."""
        endpoints = self.link("console").endpoints
        return Link(endpoints=endpoints, name=name, pair=KeyPair.new())


GRANTS = [
    Grant(
        name="monitor",
        publish=["or1/monitor/"],
        subscribe=["or1/room/"],
        devices=["monitor"],
    ),
    Grant(
        name="tracker",
        publish=["or1/tracker/"],
        subscribe=["or1/room/"],
        devices=["tracker"],
    ),
    Grant(name="recorder", subscribe=["or1/"], devices=["recorder"], serve=True),
    Grant(name="console", subscribe=["or1/"]),
    Grant(name="numerics", subscribe=["or1/monitor/"]),
]


@pytest.fixture
def make_bus(tmp_path: Path) -> Iterator[Callable[[list[Grant]], BusProcess]]:
    """Make brokers, not yet started; each ends with the test."""
    with ExitStack() as stack:

        def make(grants: list[Grant]) -> BusProcess:
            number = len(list(tmp_path.glob("bus*")))
            state = tmp_path / f"bus{number}"
            state.mkdir(mode=0o700)
            bus = BusProcess(state, grants)
            stack.callback(bus.stop)
            return bus

        yield make


@pytest.fixture
def bus(make_bus: Callable[[list[Grant]], BusProcess]) -> BusProcess:
    """A running broker that knows the keys of `GRANTS`."""
    made = make_bus(GRANTS)
    made.start()
    return made


@dataclass
class RunningRoom:
    """A whole room, as ``scot demo`` or ``scot up`` starts it.

    Attributes:
        url: of the wall, with its secret; empty without a page.
        state: the workspace's folder: keys, endpoints, logs, facts.
        recording: where it is being recorded; None when it is not.
        errors: lines it wrote to stderr so far.
    """

    process: subprocess.Popen[str]
    workspace: str
    state: Path
    errors: list[str]

    @property
    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.state / "facts.json").read_text())
        return facts

    @property
    def facts(self) -> dict[str, dict[str, Any]]:
        """What each process said when it was ready, by its name."""
        said: dict[str, dict[str, Any]] = self._facts["facts"]
        return said

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now, by name: broker, sim-tracker_sim, monitor, dashboard …"""
        return {
            name: entry["pid"]
            for name, entry in self._facts["processes"].items()
            if entry["pid"] is not None
        }

    @property
    def url(self) -> str:
        return str(self.facts.get("dashboard", {}).get("url", ""))

    @property
    def recording(self) -> Path | None:
        said = self.facts.get("recorder", {}).get("recording")
        return Path(said) if said else None

    def link(self, name: str = "console") -> Link:
        """Return what the holder of key `name` needs to join this room's bus."""
        return Link.load(self.state, name)

    def log(self, name: str) -> str:
        """Return what a process wrote to its log."""
        return (self.state / "logs" / f"{name}.log").read_text()

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)


StartRoom = Callable[..., RunningRoom]


def launch(base: Path, arguments: Sequence[str], workspace: str = WORKSPACE) -> RunningRoom:
    """Start a room through the command line and wait until it says that it is up."""
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    process = subprocess.Popen(
        [*child("scot.cli", "", signal.SIGINT), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SCOT_STATE": str(base), "PYTHONUNBUFFERED": "1"},
        cwd=base,
    )
    errors: list[str] = []
    heard = threading.Event()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            errors.append(line)
            if line.startswith("Ctrl-C ends the room"):
                heard.set()
        heard.set()

    threading.Thread(target=listen, daemon=True).start()
    up = heard.wait(READY_S) and process.poll() is None
    room = RunningRoom(process, workspace, base / workspace, errors)
    if not up:
        room.stop()
        pytest.fail(f"the room did not come up: {''.join(errors)}")
    return room


@pytest.fixture
def start_room(tmp_path: Path) -> Iterator[StartRoom]:
    """Start rooms of one's own: ``start_room("up", "room.toml", "--headless")``.

    Each has a state folder of its own and ends with the test. Without arguments it is the demo,
    with its page on a free port and its recording in the test's folder.
    """
    with ExitStack() as stack:

        def start(*arguments: str, workspace: str = WORKSPACE) -> RunningRoom:
            base = tmp_path / f"state{len(list(tmp_path.glob('state*')))}"
            room = launch(base, arguments or demo_arguments(base), workspace)
            stack.callback(room.stop)
            return room

        yield start


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRoom]:
    """The demo room, shared by the tests of one module: look, but leave it running."""
    base = tmp_path_factory.mktemp("room") / "state"
    started = launch(base, demo_arguments(base))
    yield started
    started.stop()


def demo_arguments(base: Path) -> list[str]:
    """The demo with its page on a free port, no browser, and a recording beside its state."""
    return ["demo", "--port", "0", "--no-browser", "--record", str(base / "recording")]


async def within(seconds: float, seen: Callable[[], bool]) -> float:
    """Wait until `seen` holds and return how long that took, s; for what gives no event.

    Raises:
        TimeoutError: it never did.
    """
    started_s = machine.monotonic_s()
    await Collector().until(seen, seconds)
    return machine.monotonic_s() - started_s


class Peer:
    """A publisher or subscriber in a process of its own; see `tests.system.bus_peers`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def hear(self, within_s: float = 30.0) -> dict[str, Any]:
        """Return the next thing it says."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        assert line, "the peer ended"
        said: dict[str, Any] = json.loads(line)
        return said

    def tell(self, *words: object) -> None:
        """Give it a command, without waiting for it."""
        assert self._process.stdin is not None
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())

    async def ask(self, *words: object, within_s: float = 30.0) -> dict[str, Any]:
        """Give it a command and return what it says when it is done."""
        self.tell(*words)
        return await self.hear(within_s)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


StartPeer = Callable[..., Awaitable[Peer]]


@pytest.fixture
async def start_peer() -> AsyncIterator[StartPeer]:
    """Start peers: ``await start_peer(bus, "publish", "monitor")``."""
    peers: list[Peer] = []

    async def start(bus: BusProcess, role: str, name: str, *more: str) -> Peer:
        process = await asyncio.create_subprocess_exec(
            *child("tests.system.bus_peers", "sys.argv[1:]", signal.SIGTERM),
            *(role, str(bus.state), name, *more),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        peers.append(Peer(process))
        return peers[-1]

    yield start
    for peer in peers:
        await peer.end()


class _Quiet(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/static"))

    def log_message(self, format: str, *args: Any) -> None:
        """A test reports what it sees, not each request."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Serves the page's files, and nothing else."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=STATIC))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
async def blank(page: Page, origin: str) -> Page:
    """A page of our origin with nothing on it, to import modules into."""
    await page.goto(f"{origin}/static/icon.svg")
    return page
