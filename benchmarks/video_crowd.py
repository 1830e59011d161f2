"""What many viewers and many cameras cost the server.

    python -m benchmarks.video_crowd                     # all cases, 5 rounds of 8 s
    python -m benchmarks.video_crowd viewers --rounds 1 --seconds 4

- ``viewers``: one camera of 1080p30 at 8 Mbit/s, 1 page and 16 pages in turn. The page's server may
  take 5 % of a core for 16, and what they get may be 8 ms later, at the 95th percentile, than what
  one gets.
- ``cameras``: four cameras of 720p30, encoded and served to a page each, beside aiortc with its
  own defaults (VP8) doing the same in one process. Processor time of everything but the viewers:
  camera, encoder, broker, page's server; of aiortc its process; by picture, since on a busy machine
  both leave some out.
- ``fanout``: 50 messages a second of 100 kB to 32 pages, and to 32 of which one stopped reading.

Pages here are WebSockets that say ``show`` and read everything, in a process of their own; an age
runs from the picture's own time to when its message is there. Processor time is the kernel's, so
those figures hold on a machine that others use, too; ages do not. Exit code 1 when a target is
missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.screen import room_of
from benchmarks.table import Limit, Result, Row, alone, compare, finish, here, unmeasured
from scot.clock import machine

ROOT = Path(__file__).resolve().parent.parent
CASES = ("viewers", "cameras", "fanout")
WARM_S, START_S = 3.0, 40.0
BEGUN = 20  # pictures of the peer, before it counts
HD, SD = (1920, 1080, 8_000), (1280, 720, 4_000)
FAN_HZ, FAN_B, FAN_PAGES = 50, 100_000, 32
TICKS_S = os.sysconf("SC_CLK_TCK")
KEPT_B = 5 << 20

ROOM = """
[room]
title = {{ en = "Benchmark of many viewers" }}
[recorder]
enabled = false
"""
CAMERA = """
[[device]]
name = "camera{number}"
provider = "benchmarks.video_camera:Camera"
options = {{ width_px = {width}, height_px = {height}, kbps = {kbps} }}
"""
SENDER = """
[[device]]
name = "camera0"
provider = "benchmarks.video_camera:Blocks"
options = {{ hz = {hz}, size_b = {size} }}
"""


class Look(NamedTuple):
    """One round of ours.

    Attributes:
        ages_ms: of every picture that came to any page.
        page_cpu: of the page's server, share of a core.
        all_cpu: of everything that captures, encodes and serves.
        grown_b: of the page's server's memory while they looked.
    """

    ages_ms: list[float]
    page_cpu: float
    all_cpu: float
    grown_b: int

    @property
    def p95_ms(self) -> float:
        """Of the ages."""
        return float(np.percentile(self.ages_ms, 95))

    @property
    def p99_ms(self) -> float:
        """Of the ages."""
        return float(np.percentile(self.ages_ms, 99))


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, user and system, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def resident_b(pid: int) -> int:
    """Return what a process holds in memory, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def room(cameras: int, size: tuple[int, int, int]) -> str:
    """Return a room file with so many cameras."""
    width, height, kbps = size
    return ROOM.format() + "".join(
        CAMERA.format(number=number, width=width, height=height, kbps=kbps)
        for number in range(cameras)
    )


@contextmanager
def pages(
    url: str, count: int, addresses: list[str], stalled: int = 0
) -> Iterator[subprocess.Popen[str]]:
    """Open pages in a process of their own; each shows one of the addresses, in turn."""
    told = {"url": url, "count": count, "addresses": addresses, "stalled": stalled}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.video_pages", json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "open":
            raise RuntimeError("the pages could not be opened")
        yield process
    finally:
        process.kill()
        process.wait(10)


def said(process: subprocess.Popen[str], word: str) -> Any:
    """Ask the pages something."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def look(text: str, count: int, cameras: int, seconds: float, stalled: int = 0) -> Look:
    """Run a room and look at it with so many pages."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        state.chmod(0o700)
        with room_of(state, text) as facts:
            url = str(facts["facts"]["dashboard"]["url"])
            addresses = [f"or1/camera{number}/video" for number in range(cameras)]
            pids = {name: one["pid"] for name, one in facts["processes"].items() if one["pid"]}
            page_pid = pids["dashboard"]
            with pages(url, count, addresses, stalled) as process:
                machine.sleep(WARM_S)
                said(process, "begin")
                before = {name: cpu_s(pid) for name, pid in pids.items()}
                held_b, began_s = resident_b(page_pid), machine.monotonic_s()
                machine.sleep(seconds)
                took_s = machine.monotonic_s() - began_s
                used = {name: (cpu_s(pid) - before[name]) / took_s for name, pid in pids.items()}
                grown_b = resident_b(page_pid) - held_b
                ages_ms = said(process, "end")
    if not ages_ms:
        raise RuntimeError("no page got a picture")
    return Look(ages_ms, used["dashboard"], sum(used.values()), grown_b)


def viewers(rounds: int, seconds: float) -> list[Row]:
    """One camera, one page and sixteen."""
    few, many = [], []
    for _ in range(rounds):
        few.append(look(room(1, HD), 1, 1, seconds))
        many.append(look(room(1, HD), 16, 1, seconds))
    cpu = [100 * one.page_cpu for one in many]
    later = [b.p95_ms - a.p95_ms for a, b in zip(few, many, strict=True)]
    return [
        alone("16 pages of 1080p30, page's server", "% of a core", cpu, Limit(5, of="ours")),
        alone("the same with 1 page", "% of a core", [100 * one.page_cpu for one in few]),
        alone("p95 of 16 pages less that of 1", "ms", later, Limit(8, of="ours")),
        alone("p95 of 1 page, at its socket", "ms", [one.p95_ms for one in few]),
    ]


def cameras(rounds: int, seconds: float) -> list[Row]:
    """Four cameras, encoded and served."""
    what, limit = "4 x 720p30 encoded and served", Limit(0.15)
    mine, other = [], []
    for _ in range(rounds):
        seen = look(room(4, SD), 4, 4, seconds)
        mine.append(1000 * seen.all_cpu * seconds / len(seen.ages_ms))
        if find_spec("aiortc"):
            other.append(1000 * aiortc(4, SD, seconds))
    if other:
        return [compare(what, "ms a picture", mine, other, "aiortc's defaults", limit)]
    install = "aiortc with: pip install aiortc"
    row = unmeasured(what, "ms a picture", "aiortc's defaults", install, limit)
    return [row, alone(f"{what}, ours", "ms a picture", mine)]


def aiortc(cameras: int, size: tuple[int, int, int], seconds: float) -> float:
    """Return what aiortc takes to encode and serve one picture of so many cameras, s."""
    command = [sys.executable, "-m", "benchmarks.video_peers"]
    sizes = [str(cameras), str(size[0]), str(size[1])]
    told = tempfile.NamedTemporaryFile("r+", suffix=".txt")  # noqa: SIM115 - closed below
    server = subprocess.Popen(
        [*command, "serve", *sizes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=told.fileno(),
        cwd=ROOT,
    )
    watcher = subprocess.Popen(
        [*command, "watch", *sizes], stdin=server.stdout, stdout=server.stdin, cwd=ROOT
    )
    try:
        due_s = machine.monotonic_s() + START_S
        while pictures(told.name) < BEGUN and machine.monotonic_s() < due_s:
            machine.sleep(0.2)
        machine.sleep(WARM_S)
        before_s, before = cpu_s(server.pid), pictures(told.name)
        machine.sleep(seconds)
        if server.poll() is not None or watcher.poll() is not None:
            raise RuntimeError("aiortc has ended")
        return (cpu_s(server.pid) - before_s) / (pictures(told.name) - before)
    finally:
        told.close()
        for process in (watcher, server):
            process.kill()
            process.wait(10)


def pictures(path: str) -> int:
    """Return how many pictures the peer says that it has taken."""
    return int((Path(path).read_text().split() or ["0"])[-1])


def fanout(rounds: int, seconds: float) -> list[Row]:
    """Large messages to 32 pages, and to 32 of which one has stopped reading."""
    text = ROOM.format() + SENDER.format(hz=FAN_HZ, size=FAN_B)
    good, bad = [], []
    for _ in range(rounds):
        good.append(look(text, FAN_PAGES, 1, seconds))
        bad.append(look(text, FAN_PAGES, 1, seconds, stalled=1))
    cpu = [100 * one.page_cpu for one in good]
    ratio = [b.p99_ms / a.p99_ms for a, b in zip(good, bad, strict=True)]
    grown = [one.grown_b / (1 << 20) for one in bad]
    name = f"{FAN_PAGES} pages x {FAN_HZ}/s x {FAN_B // 1000} kB"
    return [
        alone(f"{name}, p99", "ms", [one.p99_ms for one in good], Limit(15, of="ours")),
        alone(f"{name}, page's server", "% of a core", cpu, Limit(10, of="ours")),
        alone("the others' p99 while one has stopped", "times", ratio, Limit(1.2, of="ours")),
        alone("the server's memory meanwhile", "MiB", grown, Limit(KEPT_B >> 20, of="ours")),
    ]


def main() -> int:
    """Print and save the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("case", nargs="*", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each look")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    unknown = set(given.case) - set(CASES)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}: use {', '.join(CASES)}")
    place = here(("websockets", "uvicorn", "av", "aiortc"))
    rows: list[Row] = []
    for case in given.case or CASES:
        rows += {"viewers": viewers, "cameras": cameras, "fanout": fanout}[case](
            given.rounds, given.seconds
        )
        print(f"{case}: {given.rounds} rounds", file=sys.stderr)
    result = Result(
        name="video-crowd",
        title="Many viewers, many cameras",
        command="python -m benchmarks video-crowd",
        machine=place,
        rows=rows,
    )
    return finish(result, given.json)


if __name__ == "__main__":
    sys.exit(main())
