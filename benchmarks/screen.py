"""The wall in a browser without a GPU, and a page of the same with uPlot, in turn, on one room.

    python -m benchmarks.screen                      # 5 rounds
    python -m benchmarks.screen --rounds 1 --seconds 4 --json

Twelve waveforms of 500 Hz, ten numerics, a pose of 60 Hz and 720p25 video go through a real broker
and gateway (`screen_room.py`) to headless Chromium, 1920 by 1080, `--disable-gpu`. A round opens
the wall, then the peer (`screen_peer.js`: the same origin, feed and decoder, everything on the main
thread as pages are mostly written), each quiet and with a main thread that is blocked 200 ms of
each second. A frame is one in which a waveform was stroked. Then, of the wall alone: rewinds, a
source that is stopped, axe-core, `scot --help`, and a first load over a line of 10 Mbit/s and
40 ms (`slow_line.py`): first paint, live numbers, bytes and layout shift. uPlot is fetched with npm
into the cache, and its hash is checked. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Browser, Page, Request, Route, Worker, async_playwright

from benchmarks.screen_look import (
    LAGS,
    PAINTS,
    READY,
    REWOUND,
    STALL,
    STALL_MS,
    WATCH,
    Meter,
    Seen,
    watched,
)
from benchmarks.screen_room import ROOM, WAVES
from benchmarks.slow_line import SlowLine
from benchmarks.table import Limit, Result, Row, alone, compare, finish, here, unmeasured
from scot.clock import machine

HERE = Path(__file__).resolve().parent
CLI = "import sys; from scot.cli import main; sys.exit(main())"
CHROMIUM = "/usr/bin/chromium"
SIZE: Any = {"width": 1920, "height": 1080}
UPLOT = "uplot@1.6.32"  # MIT
UPLOT_SHA512 = (
    "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw=="
)
SETTLE_S, READY_S = 3.0, 40.0
BITS_S, ROUND_TRIP_S = 10e6, 0.040
REWINDS = 5
SHIFT = 0.1  # what web.dev calls good


@dataclass
class Side:
    """All rounds of one page, quiet and stalled."""

    quiet: list[Seen] = field(default_factory=list)
    stalled: list[Seen] = field(default_factory=list)


def of(seen: Sequence[Seen], what: str) -> list[float]:
    """Return one figure of each round."""
    return [float(getattr(one, what)) for one in seen]


@contextmanager
def room_of(state: Path, text: str) -> Iterator[dict[str, Any]]:
    """Run the room of a room file's text; what its facts say.

    Raises:
        RuntimeError: it did not come up.
    """
    file = state / "room.toml"
    file.write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-c", CLI, "up", str(file), "--port", "0"],
        env={**os.environ, "SCOT_STATE": str(state), "PYTHONPATH": str(HERE.parent)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = []
        for line in process.stderr or ():
            said.append(line)
            if line.startswith("Ctrl-C ends the room"):
                break
        else:
            raise RuntimeError("the room did not come up: " + "".join(said))
        yield json.loads((state / "or1" / "facts.json").read_text())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def uplot() -> str | None:
    """Return uPlot's module, from the cache or npm; None where it is not to be had.

    Raises:
        RuntimeError: what came is not what was expected.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "scot-bench"
    cache.mkdir(parents=True, exist_ok=True)
    package = cache / (UPLOT.replace("@", "-") + ".tgz")
    if not package.exists():
        npm = shutil.which("npm")
        if npm is None:
            return None
        command = [npm, "pack", UPLOT, "--silent", "--pack-destination", str(cache)]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            return None
    found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != UPLOT_SHA512:
        raise RuntimeError(f"{package} is not {UPLOT}: its sha512 is {found}; remove it")
    with tarfile.open(package) as archive:
        member = archive.extractfile("package/dist/uPlot.esm.js")
        assert member is not None
        return member.read().decode("utf-8")


async def wall(page: Page, url: str) -> Worker:
    """Open the wall, wait until all is drawn, and return the worker that draws."""
    await page.goto(url)
    await page.wait_for_function(
        "() => window.scot?.connected && window.scot.videoFramesDrawn > 20"
        " && Object.values(window.scot.tiles).filter((t) => !t.stale).length >= 10",
        timeout=READY_S * 1000,
    )
    shown = await page.locator(".wave-row").count()
    if shown != WAVES:
        raise RuntimeError(f"the wall shows {shown} of {WAVES} waveforms")
    worker = next(w for w in page.workers if w.url.endswith("/feed/traces.js"))
    await worker.evaluate(WATCH)
    await page.evaluate(LAGS)
    return worker


def instead(body: str) -> Callable[[Route], Awaitable[None]]:
    """Return what answers with a script of the benchmark's."""

    async def answer(route: Route) -> None:
        await route.fulfill(body=body, content_type="text/javascript")

    return answer


async def peer(page: Page, url: str, module: str) -> None:
    """Open the peer's page at the gateway's origin, and wait until all is drawn."""
    script = (HERE / "screen_peer.js").read_text("utf-8")
    for pattern, body in (("wall", script), ("uplot", module)):
        await page.route(re.compile(rf"/static/js/{pattern}\.js$"), instead(body))
    await page.goto(url)
    await page.wait_for_function(
        f"() => window.peer?.charts.size === {WAVES} && window.peer.lags.length > 5",
        timeout=READY_S * 1000,
    )


@asynccontextmanager
async def fresh(browser: Browser) -> AsyncIterator[tuple[Page, Meter]]:
    """A page with nothing in its cache."""
    context = await browser.new_context(viewport=SIZE)
    try:
        page = await context.new_page()
        meter = Meter(browser, page)
        await meter.start()
        yield page, meter
    finally:
        await context.close()


async def one_round(
    browser: Browser, url: str, seconds: float, module: str | None, ours: Side, theirs: Side
) -> None:
    """Look at the wall, then at the peer, each quiet and stalled."""
    async with fresh(browser) as (page, meter):
        worker = await wall(page, url)
        for seen in (ours.quiet, ours.stalled):
            if seen is ours.stalled:
                await page.evaluate(STALL)
            await asyncio.sleep(SETTLE_S)
            names = ("self.probe.frames", "window.lags")
            seen.append(await watched(meter, worker, page, seconds, names))
    if module is None:
        return
    async with fresh(browser) as (page, meter):
        await peer(page, url, module)
        for seen in (theirs.quiet, theirs.stalled):
            if seen is theirs.stalled:
                await page.evaluate(STALL)
            await asyncio.sleep(SETTLE_S)
            names = ("window.peer.frames", "window.peer.lags")
            seen.append(await watched(meter, page, page, seconds, names))


async def rewinds(browser: Browser, url: str) -> list[float]:
    """Return ms from the key to picture, traces and numbers of that moment, as the page says."""
    async with fresh(browser) as (page, _):
        await wall(page, url)
        await asyncio.sleep(12)
        found = []
        for _ in range(REWINDS):
            found.append(float(await page.evaluate(REWOUND)))
            await page.keyboard.press("l")
            await page.wait_for_function("() => window.scot.mode === 'live'")
            await asyncio.sleep(1.5)
        return found


async def violations(browser: Browser, url: str) -> int:
    """Return how many things axe-core finds on the wall."""
    async with fresh(browser) as (page, _):
        await wall(page, url)
        await page.evaluate(AXE_FILE_PATH.read_text("utf-8"))
        return int(await page.evaluate("async () => (await axe.run(document)).violations.length"))


async def silence(browser: Browser, url: str, pid: int) -> float:
    """Return s from the last sample of a stopped source to its last tile being marked."""
    async with fresh(browser) as (page, _):
        await wall(page, url)
        os.kill(pid, signal.SIGSTOP)
        began_s = machine.monotonic_s()
        try:
            await page.wait_for_function(
                "() => Object.values(window.scot.tiles).every((t) => t.stale)"
                " && !document.querySelector('.wave-row:not(.silent)')",
                timeout=20_000,
                polling=20,
            )
            return machine.monotonic_s() - began_s
        finally:
            os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Load:
    """A first load over a slow line.

    Attributes:
        paint_ms: to the first words on the screen.
        ready_ms: to live numbers.
        kb: of files that had come by then, with their headers.
        shifted: cumulative layout shift until all had settled, as browsers count it.
    """

    paint_ms: float
    ready_ms: float
    kb: float
    shifted: float


async def first_load(url: str) -> Load:
    """Load the wall on a slow line, with nothing in the cache."""
    port = int(url.split(":")[2].split("/", maxsplit=1)[0])
    async with SlowLine(port, BITS_S, ROUND_TRIP_S) as line, async_playwright() as driver:
        mapped = f"--host-resolver-rules=MAP 127.0.0.1:{port} 127.0.0.1:{line.port}"
        browser = await launch(driver, mapped)
        page = await (await browser.new_context(viewport=SIZE)).new_page()
        asked: list[Request] = []

        def finished(request: Request) -> None:
            asked.append(request)

        page.on("requestfinished", finished)
        await page.add_init_script(f"({READY})(); ({PAINTS})();")
        await page.goto(url)
        await page.wait_for_function("() => window.readyMs", timeout=READY_S * 1000)
        ready_ms, came_b = float(await page.evaluate("window.readyMs")), 0
        if not line.received_b:
            raise RuntimeError("the browser went around the slow line")
        for request in asked:
            sizes = await request.sizes()
            came_b += sizes["responseBodySize"] + sizes["responseHeadersSize"]
        await asyncio.sleep(SETTLE_S)
        paints = await page.evaluate("window.paints")
        await browser.close()
        return Load(float(paints["first"]), ready_ms, came_b / 1000, float(paints["shifted"]))


def help_ms() -> float:
    """Return ms until `scot --help` has said what it can do."""
    began_s = machine.monotonic_s()
    subprocess.run([sys.executable, "-c", CLI, "--help"], check=True, stdout=subprocess.DEVNULL)
    return 1000 * (machine.monotonic_s() - began_s)


async def launch(driver: Any, *more: str) -> Browser:
    """Start Chromium without a GPU."""
    browser: Browser = await driver.chromium.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *more]
    )
    return browser


def rows_of(ours: Side, theirs: Side) -> Iterator[Row]:
    """Yield what was seen in all rounds, beside the peer where there is one."""
    asked: list[tuple[str, str, str, Limit | None, Limit | None]] = [
        ("waveforms", "fps", "fps", Limit(59, True, "ours"), Limit(59, True, "ours")),
        ("time of a frame, p99", "ms", "p99_ms", Limit(17, of="ours"), Limit(17, of="ours")),
        ("main thread busy", "%", "busy", Limit(15, of="ours"), None),
        ("video, sent to drawn, p95", "ms", "lag_ms", Limit(25, of="ours"), None),
        ("processor time of the browser", "cores", "cores", None, None),
    ]
    for name, unit, what, limit, stalled in asked:
        scale = 100.0 if unit == "%" else 1.0
        for seen, beside, bound, suffix in (
            (ours.quiet, theirs.quiet, limit, ""),
            (ours.stalled, theirs.stalled, stalled, f", stalls of {STALL_MS} ms"),
        ):
            if suffix and what in ("busy", "cores"):
                continue
            mine = [scale * value for value in of(seen, what)]
            if not beside:
                yield alone(name + suffix, unit, mine, bound)
                continue
            other = [scale * value for value in of(beside, what)]
            yield compare(name + suffix, unit, mine, other, "uPlot", bound)


def loaded(loads: Sequence[Load]) -> list[Row]:
    """Return what was seen of first loads over the slow line."""
    asked: list[tuple[str, str, str, float]] = [
        ("first paint, 10 Mbit/s, 40 ms", "ms", "paint_ms", 1000),
        ("page ready, 10 Mbit/s, 40 ms", "ms", "ready_ms", 900),
        ("first load, without the feed", "kB", "kb", 250),
        ("layout shift of a first load (CLS)", "", "shifted", SHIFT),
    ]
    return [
        alone(name, unit, [float(getattr(load, what)) for load in loads], Limit(most, of="ours"))
        for name, unit, what, most in asked
    ]


async def measure(facts: dict[str, Any], rounds: int, seconds: float) -> list[Row]:
    """Measure everything; the room is up."""
    url = str(facts["facts"]["dashboard"]["url"])
    module = await asyncio.to_thread(uplot)
    ours, theirs = Side(), Side()
    helped = [await asyncio.to_thread(help_ms) for _ in range(max(3, rounds))]
    loads = [await first_load(url) for _ in range(rounds)]
    async with async_playwright() as driver:
        browser = await launch(driver)
        for number in range(rounds):
            await one_round(browser, url, seconds, module, ours, theirs)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
        rewound = await rewinds(browser, url)
        pid = int(facts["processes"]["monitor"]["pid"])
        silent = [await silence(browser, url, pid) for _ in range(min(3, rounds))]
        found = await violations(browser, url)
        await browser.close()
    rows = list(rows_of(ours, theirs))
    if module is None:
        rows.append(unmeasured("the same with uPlot", "fps", "uPlot", "npm, and a network"))
    return [
        *rows,
        alone("rewind, all redrawn", "ms", rewound, Limit(250, of="ours"), "seen at 8 Hz"),
        alone("silent source: tiles marked", "s", silent, Limit(2, of="ours")),
        *loaded(loads),
        alone("axe-core violations", "", [float(found)], Limit(0, of="ours")),
        alone("scot --help", "ms", helped, Limit(150, of="ours")),
    ]  # fmt: skip


def main() -> int:
    """Print and save the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each look")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    place = here(("playwright", "av"))
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        state.chmod(0o700)
        with room_of(state, ROOM) as facts:
            rows = asyncio.run(measure(facts, given.rounds, given.seconds))
    result = Result(
        name="screen",
        title="The screen, in Chromium without a GPU",
        command="python -m benchmarks screen",
        machine=place,
        rows=rows,
    )
    return finish(result, given.json)


if __name__ == "__main__":
    sys.exit(main())
