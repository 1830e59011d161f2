"""Real processes under real faults; see `benchmarks/README.md`.

    sudo .venv/bin/python -m benchmarks.faults                    # all, about 25 minutes
    .venv/bin/python -m benchmarks.faults kill stop orders        # these; cut and disk need root
    .venv/bin/python -m benchmarks.faults crowd --minutes 0.5     # a quick look at the crowd

Exit code 1 when anything was lost that a promise keeps, or was lost without being stated.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import scot
from benchmarks.bed.bent import Bent, build
from benchmarks.faults.report import Report
from benchmarks.faults.site import SETTLE_S, Pair, Site
from benchmarks.faults.tally import ages_ms, read_log
from benchmarks.table import Limit, compare, here
from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.clock import machine
from scot.sample import AlarmValue

READY_LIMIT_S = 3.0
ALARM_LIMIT_S = 1.0
CAUGHT_UP_S = 10.0
FILL_S = 12.0
CLOCK = "or1/room/clock"
ALL = ("broker", "recorder", "listener", "source0")


@contextmanager
def site(**more: object) -> Iterator[Site]:
    """Make a site in a new folder and end all its processes, however this ends."""
    with tempfile.TemporaryDirectory(prefix="scot-faults-") as folder:
        made = Site(Path(folder), **more)  # type: ignore[arg-type]
        try:
            yield made
        finally:
            made.end()


def kill(report: Report, seed: int) -> None:
    """Kill -9 of each process at random for a minute."""
    rng = random.Random(seed)
    with site() as made:
        for name in (*ALL, "other"):
            made.start(name)
        for _ in range(16):
            machine.sleep(rng.uniform(2.0, 4.5))
            victim = rng.choice(["broker", "recorder", "source0", "other"])
            made.kill(victim)
            machine.sleep(rng.uniform(0.0, 0.5))
            made.start(victim)
        machine.sleep(FILL_S)
        made.end()
        report.take(made)


def cut(report: Report, seconds: float) -> None:
    """Cut the cable between the device and the room."""
    with Pair() as pair, site(host=pair.near_address, near=pair.near, far=pair.far) as made:
        for name in ALL:
            made.start(name)
        machine.sleep(8)
        pair.cut()
        machine.sleep(seconds)
        pair.mend()
        mended_ns = machine.monotonic_ns()
        until_caught_up(made, 60.0)
        after_s = (machine.monotonic_ns() - mended_ns) / 1e9
        report.claim("caught up after the cable was back", "s", after_s, CAUGHT_UP_S)
        machine.sleep(FILL_S)
        made.end()
        report.take(made, may_lose=seconds > 60)


def until_caught_up(made: Site, limit_s: float) -> None:
    """Wait until the listener has nearly all that was sent."""
    begun_s = machine.monotonic_s()
    while machine.monotonic_s() - begun_s < limit_s:
        machine.sleep(0.25)
        sent, got = (lines(made.log(name)) for name in ("source0", "listener"))
        if sent - got < 1_200:
            return


def lines(path: Path) -> int:
    """Count the samples noted, apart from health."""
    return sum(1 for text in path.read_text().splitlines() if "/health " not in text)


def stop(report: Report) -> None:
    """SIGSTOP of a consumer, of the recorder and of the broker, each then continued."""
    with site() as made:
        for name in ALL:
            made.start(name)
        for victim, seconds in (("listener", 30), ("recorder", 20), ("broker", 10)):
            machine.sleep(4)
            made.signal(victim, signal.SIGSTOP)
            machine.sleep(seconds)
            made.signal(victim, signal.SIGCONT)
        machine.sleep(FILL_S)
        made.end()
        report.take(made)


def crowd(report: Report, minutes: float) -> None:
    """Twenty consumers of everything, with video, are stopped and stay so."""
    with site(video_bytes=25_000) as made:
        for name in ALL:
            made.start(name)
        crowd_ = [f"stopped{n}" for n in range(20)]
        for name in crowd_:
            made.start(name)
        machine.sleep(20)
        alone_from = len(made.log("listener").read_text().splitlines())
        machine.sleep(10)
        before = rss_bytes(made.pid("broker"))
        for name in crowd_:
            made.signal(name, signal.SIGSTOP)
        highest = before
        for _ in range(round(minutes * 60)):
            machine.sleep(1)
            highest = max(highest, rss_bytes(made.pid("broker")))
        whole = ages_ms(made.log("listener"), "/tool", alone_from)
        part = len(whole) * 10 / (10 + minutes * 60)
        free, held = (float(np.percentile(w, 99)) for w in (whole[: int(part)], whole[int(part) :]))
        grown = (highest - before) / 2**20
        for name in crowd_:
            made.kill(name)
        machine.sleep(SETTLE_S)
        made.end()
        report.claim(f"broker's growth in {minutes:g} min", "MB", grown, 64)
        what, beside = "the others' p99", "with all reading"
        report.add(compare(what, "ms", [held], [free], beside, Limit(1.5)))
        report.take(made)


def share(report: Report, mbit_s: float, video_bytes: int, limit_ms: float) -> None:
    """A link that signals and video share, to a consumer of both: video goes first."""
    with (
        Pair() as pair,
        site(
            host=pair.near_address,
            near=pair.near,
            far=pair.near,
            beyond=pair.far,
            video_bytes=video_bytes,
        ) as made,
    ):
        pair.narrow(mbit_s)
        for name in ALL:
            made.start(name)
        machine.sleep(5)
        settled = len(made.log("listener").read_text().splitlines())
        machine.sleep(30)
        made.end()
        ages = [ages_ms(made.log("listener"), part, settled) for part in ("/tool", "/number")]
        p99 = max(float(np.percentile(each, 99)) for each in ages)
        sent, got = (
            sum(len(seqs) for key, seqs in read_log(made.log(name)).items() if "/video" in key[0])
            for name in ("source0", "listener")
        )
        report.claim("signals' p99", "ms", p99, limit_ms, f"video {got} of {sent} came")
        report.take(made)


def rss_bytes(pid: int) -> int:
    """Return what a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def orders(report: Report) -> None:
    """Start broker, recorder, listener and device in all 24 orders."""
    slowest = 0.0
    for order in itertools.permutations(ALL):
        with site() as made:
            for name in order:
                made.start(name, ready=False)
                machine.sleep(0.4)
            last_ns = machine.monotonic_ns()
            for name in order:
                made.await_ready(name)
            while not made.log("listener").exists() or lines(made.log("listener")) < 100:
                machine.sleep(0.02)
            slowest = max(slowest, (machine.monotonic_ns() - last_ns) / 1e9)
            machine.sleep(2)
            made.end()
            for tally in made.tallies():
                if tally.lost or not tally.honest:
                    report.add(report.counted(tally, f"{' '.join(order)}: "))
    what = "24 start orders, the slowest from the last start to data"
    report.claim(what, "s", slowest, READY_LIMIT_S)


class Alarms:
    """A sink: when the recorder's disk alarm came and went, monotonic ns."""

    def __init__(self) -> None:
        self.came: asyncio.Event = asyncio.Event()
        self.went: asyncio.Event = asyncio.Event()

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take alarms."""
        for delivery in batch:
            value = delivery.sample().value
            if isinstance(value, AlarmValue) and value.id == "disk-failing":
                (self.came if value.present else self.went).set()

    def close(self) -> None:
        """Nothing to let go."""


async def fill_the_disk(made: Site, disk: Path) -> tuple[float, float]:
    """Fill the recorder's disk, wait for its alarm, empty it; return both delays, s."""
    connection = await Connection.join(Link.load(made.state, "console"))
    alarms = Alarms()
    connection.subscribe(["or1/recorder/alarms"], alarms)
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            full_ns = machine.monotonic_ns()
    delays = []
    for event in (alarms.came, alarms.went):
        try:
            async with asyncio.timeout(20):
                await event.wait()
            delays.append((machine.monotonic_ns() - full_ns) / 1e9)
        except TimeoutError:
            delays.append(float("inf"))
        if event is alarms.came:
            await asyncio.sleep(8)
            filler.unlink()
            full_ns = machine.monotonic_ns()
    await connection.close()
    return delays[0], delays[1]


def disk(report: Report) -> None:
    """A full tmpfs under the recorder, for ten seconds."""
    with tempfile.TemporaryDirectory(prefix="scot-faults-disk-") as folder:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=48m", "scot-faults", folder], check=True
        )
        try:
            with site(recording=Path(folder) / "case") as made:
                for name in ALL:
                    made.start(name)
                machine.sleep(5)
                came_s, went_s = asyncio.run(fill_the_disk(made, Path(folder)))
                machine.sleep(FILL_S)
                made.end()
                # What was written before the disk was full and before the kernel said so counts.
                report.claim("alarm after it was full", "s", came_s, ALARM_LIMIT_S)
                report.claim("alarm gone after there was room", "s", went_s, 5)
                report.take(made)
        finally:
            subprocess.run(["umount", folder], check=True)


def clock(report: Report) -> None:
    """Step the device's clock by +50 and −30 ms."""
    with site() as made:
        now_ns = machine.monotonic_ns()
        steps = [(now_ns + 20_000_000_000, 50_000_000), (now_ns + 32_000_000_000, -30_000_000)]
        bent = Bent(now_ns, 80_000, steps)
        made.bend("source0", bent.environment(build(made.folder)))
        for name in ALL:
            made.start(name)
        machine.sleep(45)
        made.end()
        found = [epoch_after(made, "source0", at_ns) for at_ns, _ in steps]
        for (_, by_ns), after_s in zip(steps, found, strict=True):
            report.claim(f"step of {by_ns / 1e6:+g} ms found after", "s", after_s, 1.0)
        report.take(made)


def epoch_after(made: Site, source: str, step_ns: int) -> float:
    """Return how long after a step of a device's clock a new epoch of it was recorded, s."""
    recording = scot.open(made.recording)
    step_bus_ns = made.session.at(step_ns)
    epoch = None
    for sample in recording.between(recording.first_ns, recording.last_ns + 1, [CLOCK])[CLOCK]:
        row = sample.value
        if isinstance(row, dict) and str(row.get("source", "")).startswith(source):
            if sample.time.bus_ns > step_bus_ns and row.get("epoch") != epoch:
                return (sample.time.bus_ns - step_bus_ns) / 1e9
            epoch = row.get("epoch")
    return float("inf")


FAULTS: dict[str, Callable[[Report], None]] = {
    "kill": lambda report: kill(report, 1),
    "cut60": lambda report: cut(report, 60),
    "cut180": lambda report: cut(report, 180),
    "stop": stop,
    "orders": orders,
    "disk": disk,
    "clock": clock,
    "crowd": lambda report: crowd(report, 10.0),
    "shared": lambda report: share(report, 100, 150_000, 5),
    "half": lambda report: share(report, 25, 100_000, 100),
}
NEED_ROOT = ("cut60", "cut180", "disk", "shared", "half")


def main() -> int:
    """Run the faults that were named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fault", nargs="*", help=", ".join(FAULTS))
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="how long the crowd is stopped (default 10)"
    )
    arguments = parser.parse_args()
    wanted = arguments.fault or list(FAULTS)
    unknown = set(wanted) - set(FAULTS)
    if unknown:
        parser.error(f"unknown fault {', '.join(sorted(unknown))}: use {', '.join(FAULTS)}")
    if os.getuid() and (need := [name for name in wanted if name in NEED_ROOT]):
        parser.error(f"{', '.join(need)} need root (namespaces, mount); run with sudo")
    broken = []
    for name in wanted:
        report = Report(name, here())
        if name == "crowd":
            crowd(report, arguments.minutes)
        else:
            FAULTS[name](report)
        if not report.end():
            broken.append(name)
    if broken:
        print(f"BROKEN {', '.join(broken)}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
