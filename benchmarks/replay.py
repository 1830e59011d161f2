"""The player on a real bus: the same digest each time; how fast, punctual, soon after a seek.

    python -m benchmarks.replay                     # about 6 minutes
    python -m benchmarks.replay --runs 2 --json

A recording of the benchmark's own case is played by the room's own player through a broker. The
digest is taken in a process of its own that sleeps after each batch and asks back what it missed;
it must be the recording's at 1x, 8x and flat out in every run. Flat out without video is how fast
signals go. Punctual: when the player sends a frame against when the room's clock reaches it; beside
it, in the same run, a process that sleeps with `time.sleep` to a deadline every 4 ms. A seek runs
from the wish to the last frame of what stood there. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.case import make
from benchmarks.table import Limit, Result, Row, alone, cells, compare, finish, here
from scot.access import Grant, write_private
from scot.bus.connection import Connection
from scot.bus.keys import PORTS, Link, issue
from scot.bus.subscriber import Delivery
from scot.channel import BULK
from scot.clock import machine
from scot.clock.clock import Clock
from scot.codec import read_header
from scot.config import RoomFile
from scot.room import free_ports
from scot.transport import FLAT_OUT, Wish
from scot_replay.digest import Digest
from scot_replay.options import Options
from scot_replay.player import Player
from scot_replay.recording import DirectoryRecording, open_recording

S = 1_000_000_000
SLOW_S = 0.002
LOUD_S = 12.0
SEEKS = 25
SLEEPER = """
import sys, time
late = []
for line in sys.stdin:
    due = int(line)
    left = due - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)
    late.append(time.monotonic_ns() - due)
print(" ".join(map(str, late)))
"""


class Bus:
    """A replay room's broker in a process of its own."""

    def __init__(self, state: Path, workspace: str, start_ns: int) -> None:
        state.mkdir(mode=0o700)
        self.state = state
        every = f"{workspace}/"
        grants = [
            Grant(name="player", publish=[every], subscribe=[every], devices=["*"], serve=True),
            Grant(name="console", subscribe=[every], command=[f"{every}player/"]),
        ]
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        issue(state, "127.0.0.1", ports, workspace, grants)
        room = RoomFile.model_validate({"room": {"workspace": workspace}})
        write_private(state / "room.json", room.model_dump_json().encode())
        session = msgspec.json.encode(Clock.session(start_ns, 0.0).map)
        write_private(state / "session.json", session)
        command = [sys.executable, "-m", "scot.host", "broker", "-", "--state", str(state)]
        self._process = subprocess.Popen(
            [*command, "--options", '{"replay": true}'], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert '"ready"' in self._process.stdout.readline()

    async def join(self, name: str) -> Connection:
        """Join as the holder of a key."""
        return await Connection.join(Link.load(self.state, name))

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


class Slow:
    """A sink that sleeps after each batch, and digests what it gets."""

    def __init__(self, sleep_s: float) -> None:
        self.digest = Digest()
        self.count = 0
        self.more = asyncio.Event()
        self._sleep_s = sleep_s

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries."""
        for one in batch:
            self.digest.add(one.frame)
            self.count += one.frame.address.split("/")[1] not in {"player", "room"}
        if self._sleep_s:
            time.sleep(self._sleep_s)
        self.more.set()

    def close(self) -> None:
        """Nothing to let go."""


class Signals:
    """A recording without its video, for the player."""

    def __init__(self, whole: DirectoryRecording) -> None:
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    @property
    def channels(self) -> dict[str, Any]:
        """What there is of each channel that is a signal."""
        found = self._whole.channels
        return {a: one for a, one in found.items() if one.channel.kind not in BULK}


def wanted_of(recording: Any) -> int:
    """Return how many samples a reader gets of a recording."""
    channels = recording.channels.items()
    return sum(known.count for a, known in channels if a.split("/")[1] != "room")


async def read(state: Path, wanted: int, sleep_s: float) -> None:
    """Join, say so, take so many samples and print their digests: a reader in its own process."""
    console = await Connection.join(Link.load(state, "console"))
    sink = Slow(sleep_s)
    console.subscribe([f"{console.workspace}/"], sink, fill=True, fill_bulk=True)
    await asyncio.sleep(0.5)  # the subscription is there
    print("ready", flush=True)
    while sink.count < wanted:
        sink.more.clear()
        await sink.more.wait()
    print(json.dumps(sink.digest.result()), flush=True)
    await console.close()


async def played(
    state: Path, recording: Any, rate: float, sleep_s: float
) -> tuple[dict[str, str], float, float]:
    """Play once for a reader in a process of its own, as in a room.

    Returns:
        The digests of what it got, how long that took, and how long the player's process worked.
    """
    bus = Bus(state, recording.catalogue.workspace, recording.first_ns)
    limit_s = (recording.last_ns - recording.first_ns) / 1e9 / min(rate, 16) + 120
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.replay", "--reader", str(state)),
        *("--wanted", str(wanted_of(recording)), "--sleep", str(sleep_s)),
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    assert reader.stdout is not None
    try:
        connection = await bus.join("player")
        player = Player(connection, recording, Options(recording=str(recording.path), rate=rate))
        await player.announce()
        await connection.serve_history(player.answer)
        async with asyncio.timeout(limit_s):
            assert b"ready" in await reader.stdout.readline()
            began_s, worked_s = machine.monotonic_s(), time.process_time()
            running = asyncio.create_task(player.run())
            found = json.loads(await reader.stdout.readline())
        took_s = machine.monotonic_s() - began_s
        worked_s = time.process_time() - worked_s
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connection.close()
        await reader.wait()
        return found, took_s, worked_s
    finally:
        if reader.returncode is None:
            reader.kill()
        bus.stop()


def sleeping() -> subprocess.Popen[str]:
    """Start the process that sleeps."""
    return subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


async def punctual(state: Path, recording: Any) -> tuple[list[int], list[int]]:
    """Play a while at 1x; return when frames were sent against when they were due, ns.

    The second list is of a process that sleeps to deadlines of its own meanwhile.
    """
    bus = Bus(state, recording.catalogue.workspace, recording.first_ns)
    sleeper = sleeping()
    try:
        connection = await bus.join("player")
        player = Player(connection, recording, Options(recording=str(recording.path)))
        await player.announce()
        late: list[int] = []
        due_ns: list[int] = []
        publish: Callable[..., None] = connection.pass_on

        def sent(frames: Any) -> None:
            now_ns, line, some = machine.monotonic_ns(), connection.clock.map, [*frames]
            for frame, _ in some:
                if line is None or line.rate <= 0:
                    break
                due = line.local(read_header(frame).bus_ns)
                if not due_ns or due > due_ns[-1]:  # one of each instant
                    late.append(now_ns - due)
                    due_ns.append(due)
            publish(some)

        connection.pass_on = sent  # type: ignore[method-assign]
        running = asyncio.create_task(player.run())
        await asyncio.sleep(1.0)
        late.clear()
        begun_ns = machine.monotonic_ns()
        assert sleeper.stdin is not None
        every_ns = 4_000_000
        count = round(LOUD_S * S / every_ns)
        for number in range(count):
            sleeper.stdin.write(f"{begun_ns + number * every_ns}\n")
        sleeper.stdin.flush()
        await asyncio.sleep(LOUD_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connection.close()
        out, _ = sleeper.communicate(timeout=20)
        return late, [int(word) for word in out.split()]
    finally:
        sleeper.kill()
        bus.stop()


async def sought(state: Path, recording: Any) -> list[float]:
    """Seek here and there; return how long each took until all that stood there had come, ms."""
    bus = Bus(state, recording.catalogue.workspace, recording.first_ns)
    try:
        console, connection = await bus.join("console"), await bus.join("player")
        options = Options(recording=str(recording.path), playing=False)
        player = Player(connection, recording, options)
        sink = Slow(0.0)
        console.subscribe([f"{console.workspace}/"], sink, fill=False)
        await player.announce()
        await connection.serve_history(player.answer)
        running = asyncio.create_task(player.run())
        await asyncio.sleep(1.0)
        rng = np.random.default_rng(1)
        took: list[float] = []
        for share in rng.random(SEEKS + 1):
            to_ns = recording.first_ns + int(share * (recording.last_ns - recording.first_ns))
            wanted = sink.count + len(player._standing.at(to_ns))
            began = machine.monotonic_s()
            await console.request(b"play", msgspec.msgpack.encode(Wish(to_ns=to_ns)))
            async with asyncio.timeout(20):
                while sink.count < wanted:
                    sink.more.clear()
                    await sink.more.wait()
            took.append((machine.monotonic_s() - began) * 1e3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await console.close()
        await connection.close()
        return took[1:]  # the first also reads every alarm's words
    finally:
        bus.stop()


def p99(late_ns: Sequence[int]) -> float:
    """Return the 99th percentile of how far off, either way, µs."""
    return float(np.percentile(np.abs(late_ns), 99)) / 1e3


class Told(list[Row]):
    """Rows, each said when it is there."""

    def append(self, row: Row) -> None:
        """Add a row."""
        print("  ".join(cells(row)), file=sys.stderr, flush=True)
        super().append(row)


async def measure(folder: Path, runs: int) -> list[Row]:
    short, long = folder / "short", folder / "long"
    make(short, 8 / 3600)
    make(long, 3 / 60)
    recording = open_recording(short)
    expected = recording.digests()
    rows = Told()
    for rate, name in () if not runs else ((1.0, "1x"), (8.0, "8x"), (FLAT_OUT, "flat out")):
        equal = 0
        for run in range(runs):
            state = folder / f"{name.replace(' ', '')}{run}"
            found, *_ = await played(state, recording, rate, SLOW_S)
            equal += found == expected
        rows.append(
            Row(
                what=f"digest behind a slow subscriber at {name} is the recording's",
                unit=f"of {runs} runs", ours=equal, target=f"{runs}", kept=equal == runs, runs=runs,
            )
        )  # fmt: skip
    whole = open_recording(long)
    length_s = (whole.last_ns - whole.first_ns) / 1e9
    for what, one, limit in (
        ("signals flat out", Signals(whole), Limit(100, True, "ours")),
        ("signals and video flat out", whole, None),
    ):
        speeds, worked = [], []
        for run in range(min(3, max(1, runs))):
            _, took_s, worked_s = await played(folder / f"{what[8:]}{run}", one, FLAT_OUT, 0.0)
            speeds.append(length_s / took_s)
            worked.append(worked_s / wanted_of(one) * 1e6)
        note = f"player's CPU {min(worked):.1f} µs a sample"
        rows.append(alone(what, "x real time", speeds, limit, note))
    ours, peer = [], []
    for run in range(min(3, max(1, runs))):
        late, slept = await punctual(folder / f"punctual{run}", Signals(whole))
        ours.append(p99(late))
        peer.append(p99(slept))
    rows.append(compare("off the deadline at 1x, p99", "µs", ours, peer, "time.sleep", Limit(2.0)))
    took = await sought(folder / "seeks", whole)
    rows.append(
        alone("seek to all that stood there, p95", "ms", [float(np.percentile(took, 95))],
              Limit(100, of="ours"), f"median {np.median(took):.0f} ms")
    )  # fmt: skip
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="of each digest; 0 leaves it out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--reader", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--wanted", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sleep", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader is not None:
        asyncio.run(read(arguments.reader, arguments.wanted, arguments.sleep))
        return 0
    place = here()
    with tempfile.TemporaryDirectory(prefix="scot-replay-") as folder:
        rows = asyncio.run(measure(Path(folder), arguments.runs))
    command = "python -m benchmarks.replay"
    result = Result(name="replay", title="The player", command=command, machine=place, rows=rows)
    return finish(result, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
