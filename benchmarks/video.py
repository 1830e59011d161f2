"""From capture to canvas: our path and aiortc's, in headless Chromium without a GPU, in turn.

    python -m benchmarks.video                       # 5 rounds of 8 s
    python -m benchmarks.video --rounds 1 --seconds 4 --json

One camera (`video_camera.py`) draws the time of capture as a barcode into each picture. Ours:
encoded once as the provider `video` does, through a real broker and gateway to the wall. The peer:
aiortc as its examples use it, with its own defaults, to an RTCPeerConnection; each picture that the
browser presents is drawn to a canvas. Both canvases are read back at once: the age is that of the
very pixels. Of ours also: how many of the drawn pictures carried exactly the time that the barcode
and the bus say, and how long an exact seek takes, from the key until the last picture that it
draws. Exit code 1 when a target is
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from playwright.async_api import Browser, Page, Route, Worker, async_playwright

from benchmarks.screen import launch, room_of
from benchmarks.table import Limit, Result, Row, alone, compare, finish, here, unmeasured
from benchmarks.video_camera import READ
from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.clock import machine

READY_MS, SETTLE_S = 40_000, 2.0
SEEKS = 12
STEP_MS = 400.0
PAST_NS = 2_000_000_000
ADDRESS = "or1/camera/video"
STATIC = Path(__file__).resolve().parent.parent / "dashboard/scot_dashboard/static"

ROOM = """
[room]
title = {{ en = "Benchmark of video" }}
[recorder]
enabled = false
[[device]]
name = "camera"
provider = "benchmarks.video_camera:Camera"
options = {{ width_px = {width}, height_px = {height}, kbps = {kbps} }}
"""

# Appended to the page's own module: what was drawn, as it stands on the canvas, and when.
WATCH = f"""
const read = {READ};
const draw = Screen.prototype.draw;
globalThis.drawn = [];
Screen.prototype.draw = function (frame, unit) {{
    draw.call(this, frame, unit);
    const now = performance.timeOrigin + performance.now();
    if (this.canvas.width > 640) globalThis.drawn.push([now, String(unit.ns), read(this.pen)]);
}};
"""

PEER = f"""async () => {{
    const read = {READ};
    const peer = new RTCPeerConnection();
    peer.addTransceiver("video", {{ direction: "recvonly" }});
    globalThis.drawn = [];
    globalThis.peer = peer;
    peer.ontrack = ({{ streams, track }}) => {{
        const video = document.createElement("video");
        video.muted = video.autoplay = true;
        video.srcObject = streams[0] ?? new MediaStream([track]);
        const canvas = document.createElement("canvas");
        const pen = canvas.getContext("2d", {{ alpha: false, desynchronized: true }});
        document.body.append(video, canvas);
        const show = () => {{
            if (canvas.width !== video.videoWidth) {{
                canvas.width = video.videoWidth;
                canvas.height = video.videoHeight;
            }}
            pen.drawImage(video, 0, 0);
            const now = performance.timeOrigin + performance.now();
            globalThis.drawn.push([now, "", read(pen)]);
            video.requestVideoFrameCallback(show);
        }};
        video.requestVideoFrameCallback(show);
        video.play();
    }};
    await peer.setLocalDescription(await peer.createOffer());
    if (peer.iceGatheringState !== "complete")
        await new Promise((done) => {{
            peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && done();
        }});
    return {{ sdp: peer.localDescription.sdp, type: peer.localDescription.type }};
}}"""


class Size(NamedTuple):
    """What is sent, and what it may take."""

    name: str
    width: int
    height: int
    kbps: int
    limit_ms: float


SIZES = [
    Size("1080p30, 8 Mbit/s", 1920, 1080, 8_000, 33.0),
    Size("720p30, 4 Mbit/s", 1280, 720, 4_000, 20.0),
]


class Seen(NamedTuple):
    """One look.

    Attributes:
        ages_ms: of each drawn picture.
        exact: share of them that carry exactly their capture's time; None of the peer.
    """

    ages_ms: list[float]
    exact: float | None

    @property
    def p95_ms(self) -> float:
        """Of the ages."""
        return float(np.percentile(self.ages_ms, 95))


class Truth:
    """A sink that keeps what the bus says of each picture: bus time by source time."""

    def __init__(self) -> None:
        self.bus_ns: dict[int, int] = {}

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take what came."""
        for one in batch:
            if one.frame.address == ADDRESS and one.header.source_ns is not None:
                self.bus_ns[one.header.source_ns] = one.header.bus_ns

    def close(self) -> None:
        """No more comes."""


def ages(drawn: list[list[str]], utc_ns: int, truth: Truth | None = None) -> Seen:
    """Return what a page has drawn.

    Args:
        drawn: UTC ms of the browser, bus time of the unit, barcode.
        utc_ns: of the machine's monotonic zero.
        truth: of ours.
    """
    if not drawn:
        raise RuntimeError("the page drew nothing")
    found = [(float(at) - (int(code) + utc_ns) / 1e6) for at, _, code in drawn]
    exact = [truth.bus_ns.get(int(code)) == int(ns) for _, ns, code in drawn] if truth else []
    return Seen(found, sum(exact) / len(exact) if exact else None)


def monotonic_zero() -> int:
    """Return UTC ns of the machine's monotonic zero: the best of some looks at both."""
    looks = []
    for _ in range(50):
        before = machine.monotonic_ns()
        utc_ns = machine.utc_ns()
        after = machine.monotonic_ns()
        looks.append((after - before, utc_ns - (before + after) // 2))
    return min(looks)[1]


async def watched(route: Route) -> None:
    """Serve the page's screens with the look appended; the worker as it was written, not joined."""
    name = "js/feed/" + route.request.url.rpartition("/")[2].partition("?")[0]
    body = (STATIC / name).read_text("utf-8") + (WATCH if name.endswith("video.js") else "")
    headers = {"Cross-Origin-Embedder-Policy": "require-corp"}
    await route.fulfill(body=body, content_type="text/javascript", headers=headers)


@asynccontextmanager
async def fresh(browser: Browser) -> AsyncIterator[Page]:
    """A page with nothing in its cache."""
    context = await browser.new_context(viewport={"width": 1920, "height": 1080})
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def ours(
    browser: Browser, state: Path, url: str, seconds: float, seeks: int
) -> tuple[Seen, list[float]]:
    """Look at the wall; return what it drew, and how long seeks took, ms."""
    truth = Truth()
    connection = await Connection.join(Link.load(state / "or1", "console"))
    connection.subscribe([ADDRESS], truth, fill=False)
    try:
        async with fresh(browser) as page:
            for name in ("video", "worker"):
                await page.context.route(f"**/js/feed/{name}.js*", watched)
            await page.goto(url)
            await page.wait_for_function(
                "() => window.scot?.videoFramesDrawn > 20", timeout=READY_MS
            )
            worker = next(w for w in page.workers if w.url.endswith("/feed/worker.js"))
            await asyncio.sleep(SETTLE_S)
            await worker.evaluate("() => void (globalThis.drawn.length = 0)")
            utc_ns = monotonic_zero()
            await asyncio.sleep(seconds)
            seen = ages(await worker.evaluate("() => globalThis.drawn"), utc_ns, truth)
            return seen, [await seek(page, worker, utc_ns) for _ in range(seeks)]
    finally:
        await connection.close()


async def seek(page: Page, worker: Worker, utc_ns: int) -> float:
    """Hold the picture and go back 5 s; return ms from the key to the last picture drawn for it."""
    await page.keyboard.press("l")
    await page.wait_for_function("() => window.scot.mode === 'live'")
    await page.keyboard.press(" ")
    await page.wait_for_function("() => window.scot.mode === 'frozen' && !window.scot.seeking")
    await worker.evaluate("() => void (globalThis.drawn.length = 0)")
    began_ms = await page.evaluate(
        """() => {
            window.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
            return performance.timeOrigin + performance.now();
        }"""
    )
    await page.wait_for_function(
        "(t) => performance.timeOrigin + performance.now() > t && !window.scot.seeking",
        arg=began_ms + STEP_MS,
    )
    drawn = await worker.evaluate("() => globalThis.drawn")
    # Live pictures go on small beside the one that is held, which is of the past.
    times = [at for at, _, code in drawn if at * 1e6 - utc_ns - int(code) > PAST_NS]
    if not times:
        raise RuntimeError("a seek drew nothing")
    return float(max(times) - began_ms)


@contextmanager
def aiortc(size: Size) -> Iterator[subprocess.Popen[str]]:
    """The peer's process."""
    command = [sys.executable, "-m", "benchmarks.video_camera", str(size.width), str(size.height)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=STATIC.parents[2]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


async def theirs(browser: Browser, size: Size, seconds: float) -> Seen:
    """Look at what aiortc sends."""
    with aiortc(size) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        async with fresh(browser) as page:
            offer = await page.evaluate(PEER)
            process.stdin.write(json.dumps(offer) + "\n")
            process.stdin.flush()
            answer = json.loads(await asyncio.to_thread(process.stdout.readline))
            await page.evaluate("(answer) => globalThis.peer.setRemoteDescription(answer)", answer)
            await page.wait_for_function("() => globalThis.drawn.length > 20", timeout=READY_MS)
            await asyncio.sleep(SETTLE_S)
            await page.evaluate("() => void (globalThis.drawn.length = 0)")
            utc_ns = monotonic_zero()
            await asyncio.sleep(seconds)
            return ages(await page.evaluate("() => globalThis.drawn"), utc_ns)


def measure(size: Size, rounds: int, seconds: float, peer: bool) -> list[Row]:
    """Measure one size; the camera of ours runs only while ours is looked at."""
    mine: list[Seen] = []
    other: list[Seen] = []
    sought: list[float] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder)
            state.chmod(0o700)
            text = ROOM.format(width=size.width, height=size.height, kbps=size.kbps)
            with room_of(state, text) as facts:
                url = str(facts["facts"]["dashboard"]["url"])
                seen, found = asyncio.run(our_look(state, url, seconds))
        mine.append(seen)
        sought.append(float(np.percentile(found, 95)))
        if peer:
            other.append(asyncio.run(their_look(size, seconds)))
        print(f"{size.name}: round {number + 1} of {rounds}", file=sys.stderr)
    return rows(size, mine, other, sought)


async def our_look(state: Path, url: str, seconds: float) -> tuple[Seen, list[float]]:
    """Look at ours in a browser of its own."""
    async with async_playwright() as driver:
        browser = await launch(driver)
        return await ours(browser, state, url, seconds, SEEKS)


async def their_look(size: Size, seconds: float) -> Seen:
    """Look at the peer in a browser of its own."""
    async with async_playwright() as driver:
        browser = await launch(driver, "--disable-features=WebRtcHideLocalIpsWithMdns")
        return await theirs(browser, size, seconds)


def rows(size: Size, mine: list[Seen], other: list[Seen], sought: list[float]) -> list[Row]:
    """Return the rows of one size."""
    name, limit = f"capture to canvas p95, {size.name}", Limit(size.limit_ms, of="ours")
    p95, beside = [one.p95_ms for one in mine], "aiortc's defaults"
    found = [alone(name, "ms", p95, limit)]
    ratio = Limit(0.3, of="ratio")
    if other:
        theirs = [one.p95_ms for one in other]
        found.append(compare("the same, beside the peer", "ms", p95, theirs, beside, ratio))
    else:
        install = "aiortc with: pip install aiortc"
        found.append(unmeasured("the same, beside the peer", "ms", beside, install, ratio))
    share = [100 * (one.exact or 0.0) for one in mine]
    exact = Limit(100, at_least=True, of="ours")
    what = f"drawn pictures with their exact capture time, {size.name}"
    found.append(alone(what, "%", share, exact))
    found.append(alone(f"exact seek p95, {size.name}", "ms", sought, Limit(100, of="ours")))
    return found


def main() -> int:
    """Print and save the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each look")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    place = here(("playwright", "av", "aiortc"))
    found: list[Row] = []
    for size in SIZES:
        peer = find_spec("aiortc") is not None
        found += measure(size, given.rounds, given.seconds, peer)
    result = Result(
        name="video",
        title="Video from capture to canvas, in Chromium without a GPU",
        command="python -m benchmarks video",
        machine=place,
        rows=found,
    )
    return finish(result, given.json)


if __name__ == "__main__":
    sys.exit(main())
