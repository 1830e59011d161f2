"""The real processes of a room, each started, killed, stopped and started again by hand."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.bed.wire import ip
from benchmarks.faults.tally import Key, Tally, compare, read_log, read_recording, read_stated
from scot.access import Grant, write_private
from scot.bus.keys import PORTS, issue
from scot.clock import machine
from scot.clock.clock import Clock
from scot.config import RoomFile
from scot.room import free_ports

READY_S = 30.0
PREFIX = "or1/source"
SETTLE_S = 3.0


class Site:
    """One workspace without a supervisor: broker, recorder, sources and listeners.

    Args:
        folder: for state, logs and the recording.
        sources: names of the devices; each makes an operating room's signals.
        host, ports: of the broker; free ports of loopback when None.
        far, near, beyond: network namespace of the sources, of all else, and of the listener.
        recording: where the recorder writes.
        video_bytes: of each access unit of the sources' videos; 0: no video.
    """

    def __init__(
        self,
        folder: Path,
        sources: Iterable[str] = ("source0",),
        host: str = "127.0.0.1",
        far: str | None = None,
        near: str | None = None,
        beyond: str | None = None,
        recording: Path | None = None,
        video_bytes: int = 0,
    ) -> None:
        self.folder, self.state = folder, folder / "state"
        self.sources = list(sources)
        self.recording = recording or folder / "case"
        self.killed: set[Key] = set()
        self._spaces = dict.fromkeys(self.sources, far)
        self._spaces |= {} if beyond is None else {"listener": beyond}
        self._near = near
        session = Clock.session().map
        assert session is not None
        self.session = session
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._environment: dict[str, dict[str, str]] = {}
        self.state.mkdir(mode=0o700)
        ports = (
            dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
            if host == "127.0.0.1"
            else {name: 18_970 + i for i, name in enumerate(PORTS)}
        )
        issue(self.state, host, ports, "or1", self._grants())
        room = RoomFile.model_validate(
            {
                "room": {"workspace": "or1"},
                "device": [
                    {
                        "name": name,
                        "provider": "benchmarks.faults.source:Source",
                        "options": {"log": str(self.log(name)), "video_bytes": video_bytes},
                    }
                    for name in self.sources
                ],
            }
        )
        write_private(self.state / "room.json", room.model_dump_json().encode())
        write_private(self.state / "session.json", msgspec.json.encode(self.session))

    def _grants(self) -> list[Grant]:
        return [
            *(
                Grant(name=name, publish=[f"or1/{name}/"], subscribe=["or1/room/"], devices=[name])
                for name in self.sources
            ),
            Grant(
                name="recorder",
                publish=["or1/recorder/"],
                subscribe=["or1/"],
                devices=["recorder"],
                serve=True,
            ),
            Grant(name="console", subscribe=["or1/"]),
        ]

    def log(self, name: str) -> Path:
        """Return where a source or a listener notes its samples."""
        return self.folder / f"{name}.samples"

    def start(self, name: str, ready: bool = True) -> None:
        """Start ``broker``, ``recorder``, a source, or a listener (any other name)."""
        host = [sys.executable, "-m", "scot.host"]
        state = ["--state", str(self.state)]
        if name == "broker":
            command = [*host, "broker", "-", *state, "--options", "{}"]
        elif name == "recorder":
            options = json.dumps({"directory": str(self.recording)})
            command = [*host, "service", name, *state, "--options", options]
        elif name in self.sources:
            command = [*host, "device", name, *state, "--options", "{}"]
        else:
            listener = [sys.executable, "-m", "benchmarks.faults.listener"]
            command = [*listener, str(self.state), "console", PREFIX, str(self.log(name))]
        space = self._spaces.get(name, self._near)
        if space is not None:
            command = ["ip", "netns", "exec", space, *command]
        with (self.folder / f"{name}.log").open("a") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self._environment.get(name, {})},
            )
        if ready:
            self.await_ready(name)

    def bend(self, name: str, environment: dict[str, str]) -> None:
        """Give a process another clock from its next start on."""
        self._environment[name] = environment

    def await_ready(self, name: str) -> None:
        """Wait until a process says that it is.

        Raises:
            RuntimeError: it ended or said why it cannot.
        """
        process = self._running[name]
        assert process.stdout is not None
        said = process.stdout.readline()
        if "ready" not in said:
            text = (self.folder / f"{name}.log").read_text()[-2000:]
            raise RuntimeError(f"{name} said {said!r}\n{text}")

    def kill(self, name: str) -> None:
        """End a process as the kernel would for want of memory."""
        process = self._running.pop(name)
        process.kill()
        process.wait()
        if name in self.sources:
            self.killed |= set(read_log(self.log(name)))

    def signal(self, name: str, number: int) -> None:
        """Send a signal."""
        self._running[name].send_signal(number)

    def pid(self, name: str) -> int:
        """Return the pid of a running process."""
        return self._running[name].pid

    def end(self) -> None:
        """End all that runs: sources, listeners, recorder, broker, so that nothing is cut off."""
        rest = [n for n in self._running if n not in (*self.sources, "recorder", "broker")]
        for names in (self.sources, ["recorder"], rest, ["broker"]):
            here = [self._running.pop(name) for name in names if name in self._running]
            for process in here:
                process.send_signal(signal.SIGTERM)
            for process in here:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                process.kill()
                process.wait()
            if names is self.sources:
                machine.sleep(SETTLE_S)

    def tallies(self, listeners: Iterable[str] = ("listener",)) -> list[Tally]:
        """Compare what the sources noted with what each receiver has."""
        sent = {
            key: seqs
            for name in self.sources
            for key, seqs in read_log(self.log(name)).items()
            if counts(key)
        }
        found = []
        if self.recording.exists():
            held, missing = read_recording(self.recording, PREFIX)
            found.append(_compare("recorder", sent, held, missing, self.killed))
        for name in listeners:
            log = self.log(name)
            named = read_stated(log.with_suffix(".stated.json"), PREFIX)
            found.append(_compare(name, sent, read_log(log), named, self.killed))
        return found


def counts(key: Key) -> bool:
    """Whether a channel is one whose samples must all come: no video, and noted by its source."""
    return not key[0].endswith(("/health", "/video0", "/video1"))


def _compare(
    receiver: str,
    sent: dict[Key, Counter[int]],
    got: dict[Key, Counter[int]],
    stated: set[tuple[Key, int]],
    killed: set[Key],
) -> Tally:
    here = {key: seqs for key, seqs in got.items() if counts(key)}
    return compare(receiver, sent, here, {item for item in stated if counts(item[0])}, killed)


class Pair:
    """Two network namespaces joined by a virtual cable that can be cut (veth)."""

    near_address, far_address = "10.214.0.1", "10.214.0.2"

    def __init__(self) -> None:
        self.near, self.far = (f"scot-faults-{os.getpid()}-{end}" for end in ("near", "far"))

    def __enter__(self) -> Pair:
        """Make both."""
        ends = ((self.near, self.near_address, "n"), (self.far, self.far_address, "f"))
        try:
            for name, _, _ in ends:
                ip("netns", "add", name)
            ip("link", "add", self._device("n"), "type", "veth", "peer", "name", self._device("f"))
            for name, address, letter in ends:
                device = self._device(letter)
                ip("link", "set", device, "netns", name)
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "addr", "add", f"{address}/30", "dev", device)
                ip("-n", name, "link", "set", device, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        """Remove both."""
        for name in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def cut(self) -> None:
        """Pull the plug."""
        ip("-n", self.far, "link", "set", self._device("f"), "down")

    def mend(self) -> None:
        """Put it back."""
        ip("-n", self.far, "link", "set", self._device("f"), "up")

    def narrow(self, mbit_s: float) -> None:
        """Let only so much through from near to far, as a switch port with a small buffer does."""
        device = self._device("n")
        rate = f"{round(mbit_s * 1000)}kbit"
        shaped = ("root", "handle", "1:", "tbf", "rate", rate, "burst", "64kb", "latency", "50ms")
        for more in (shaped, ("parent", "1:1", "handle", "2:", "pfifo_fast")):
            ip("netns", "exec", self.near, "tc", "qdisc", "add", "dev", device, *more)

    def _device(self, letter: str) -> str:
        return f"sf{os.getpid() % 1_000_000}{letter}"
