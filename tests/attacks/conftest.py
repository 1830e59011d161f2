"""One broker with recorder, gateway and an honest stream under every attack.

All attacks meet the same processes, so that what one leaves behind is seen by the next.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scot.access import Grant, Quota, write_private
from scot.audit import Outcome, Row, read
from scot.bus.keys import Endpoints, Link
from scot.config import RoomFile
from tests.attacks.honest import Honest, Memory
from tests.system.conftest import STOP_S, BusProcess, child

SOFT_LIMIT = 1_024  # open files, as most systems begin a process
OURS = 6_000
INTRUDERS = 90
ASKED_HZ = 20.0
FILE = "audit.jsonl"
AUDIT_S, LOOK_S = 4.0, 0.02
MOST_ROWS = 12
GRANTS = [
    Grant(name="monitor", publish=["or1/monitor/"], subscribe=["or1/room/"], devices=["monitor"]),
    Grant(name="console", subscribe=["or1/"]),
    Grant(name="late", subscribe=["or1/"]),
    Grant(name="asker", subscribe=["or1/"], quota=Quota(questions_hz=ASKED_HZ)),
    Grant(
        name="recorder",
        publish=["or1/recorder/"],
        subscribe=["or1/"],
        devices=["recorder"],
        serve=True,
    ),
    Grant(
        name="dashboard",
        publish=["or1/consult/", "or1/dashboard/"],
        subscribe=["or1/"],
        devices=["consult", "dashboard"],
    ),
]


def intruder(number: int) -> Grant:
    """A device's key as any room has it."""
    name = f"intruder{number}"
    return Grant(name=name, publish=[f"or1/{name}/"], subscribe=["or1/room/"], devices=[name])


class Target(BusProcess):
    """The broker, and the services of a room beside it.

    Attributes:
        recording: where the recorder writes.
    """

    def __init__(self, state: Path) -> None:
        super().__init__(state, [*GRANTS, *map(intruder, range(INTRUDERS))])
        file = RoomFile.model_validate({"room": {"workspace": "or1"}, "dashboard": {"port": 0}})
        write_private(state / "room.json", file.model_dump_json().encode())
        self.recording = state / "recording"
        self.services: dict[str, subprocess.Popen[str]] = {}

    def serve(self, name: str, **options: str) -> None:
        """Start a service and wait until it is ready."""
        command = [
            *child("scot.host", "sys.argv[1:]", signal.SIGTERM),
            *("service", name, "--state", str(self.state), "--options", json.dumps(options)),
        ]
        with (self.state / f"{name}.log").open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self.services[name] = process
        assert process.stdout is not None
        said = process.stdout.readline()
        assert '"ready"' in said, f"{name} said {said!r}"

    def logged(self, name: str) -> str:
        """Return what a service wrote to its log."""
        return (self.state / f"{name}.log").read_text()

    def refusals(self, what: str, who: str = "") -> list[Row]:
        """Return the audit's rows of refused tries of a kind so far."""
        path = self.state / FILE
        rows = read(path) if path.exists() else []
        return [
            row
            for row in rows
            if row.what == what
            and row.outcome is Outcome.FAILURE
            and (not who or (row.who or {}).get("id") == who)
        ]

    @contextmanager
    def audited(self, what: str, who: str = "", count: int = 1) -> Iterator[None]:
        """Expect that what is tried inside is refused, counted, and told in a few rows.

        The audit writes the first of a kind at once and one row a second for the rest; rows are
        waited for, because the rest comes with a tick.
        """
        before = len(self.refusals(what, who))
        yield
        rows: list[Row] = []
        for _ in range(round(AUDIT_S / LOOK_S)):
            rows = self.refusals(what, who)[before:]
            if sum(row.count for row in rows) >= count:
                break
            threading.Event().wait(LOOK_S)
        told = sum(row.count for row in rows)
        assert told >= count, f"{told} of {count} refusals to {what} are in the audit"
        assert len(rows) <= MOST_ROWS, f"{len(rows)} rows for one attack"

    def end(self, name: str) -> int:
        """End a service politely; return its exit code."""
        process = self.services.pop(name)
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_S)
        if process.stdout is not None:
            process.stdout.close()
        return code


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """What is attacked; its processes must be the same at the end."""
    state = tmp_path_factory.mktemp("target")
    state.chmod(0o700)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(SOFT_LIMIT, hard), hard))
    target = Target(state)
    target.start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(OURS, hard)), hard))
    target.serve("recorder", directory=str(target.recording))
    target.serve("dashboard")
    yield target
    codes = {name: target.end(name) for name in list(target.services)}
    codes["broker"] = target.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    said = target.log.read_text()[-2_000:]
    assert set(codes.values()) == {0}, f"not every process lived to the end: {codes}\n{said}"
    assert "unsealed" not in target.logged("recorder"), target.logged("recorder")


@pytest.fixture(scope="session")
def endpoints(target: Target) -> Endpoints:
    return target.link("console").endpoints


@pytest.fixture(scope="session")
def stream(target: Target) -> Iterator[Honest]:
    with Honest(target.link("monitor"), target.link("console")) as honest:
        yield honest


@pytest.fixture
def honest(stream: Honest) -> Iterator[Honest]:
    """The honest stream, whole after the test."""
    yield stream
    stream.unharmed()


@pytest.fixture(scope="session")
def keys(target: Target) -> Iterator[Link]:
    return iter([target.link(f"intruder{number}") for number in range(INTRUDERS)])


@pytest.fixture
def thief(keys: Iterator[Link]) -> Link:
    """A valid device key that nobody else uses, in the wrong hands."""
    return next(keys)


@pytest.fixture
def memory(target: Target, honest: Honest) -> Memory:
    """The broker's memory from here on."""
    return Memory(target.pid)
