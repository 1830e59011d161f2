"""How the screen's benchmark looks at a page: what runs inside it, and what is read of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, Page, Worker

from scot.clock import machine

STALL_MS = 200
STALL = f"""() => {{ setInterval(() => {{
    const end = performance.now() + {STALL_MS};
    while (performance.now() < end);
}}, 1000); }}"""
WATCH = """() => {
    const probe = self.probe = { frames: [], drew: false };
    const pen = OffscreenCanvasRenderingContext2D.prototype;
    const { stroke } = pen;
    pen.stroke = function (...given) { probe.drew = true; return stroke.apply(this, given); };
    const look = (t) => {
        requestAnimationFrame(look);
        if (probe.drew) probe.frames.push(t);
        probe.drew = false;
    };
    requestAnimationFrame(look);
}"""
LAGS = """() => {
    let last = null;
    window.lags = [];
    setInterval(() => {
        const { lastVideoBusNs, videoLagMs } = window.scot;
        if (videoLagMs !== null && lastVideoBusNs !== last) window.lags.push(videoLagMs);
        last = lastVideoBusNs;
    }, 60);
}"""
READY = """() => {
    const look = () => {
        const page = window.scot;
        const tiles = Object.values(page?.tiles ?? {});
        if (page?.connected && tiles.some((t) => !t.stale)) window.readyMs = performance.now();
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""
PAINTS = """() => {
    window.paints = { first: null, shifted: 0 };
    new PerformanceObserver((list) => {
        for (const { name, startTime } of list.getEntries())
            if (name === "first-contentful-paint") window.paints.first = startTime;
    }).observe({ type: "paint", buffered: true });
    new PerformanceObserver((list) => {
        for (const shift of list.getEntries())
            if (!shift.hadRecentInput) window.paints.shifted += shift.value;
    }).observe({ type: "layout-shift", buffered: true });
}"""
REWOUND = """async () => {
    const before = window.scot;
    const began = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
    const utc = 37_000;
    for (;;) {
        await new Promise((done) => setTimeout(done, 4));
        const now = window.scot;
        const picture = Number(now.lastVideoBusNs / 1000n) / 1000 - utc;
        const there = now.mode === "play" && !now.seeking
            && Math.abs(picture - now.cursorUnixMs) < 100
            && now.waveformColumnsDrawn > before.waveformColumnsDrawn + 1000
            && Object.values(now.tiles).every((t) => !t.stale);
        if (there || performance.now() - began > 5000) return performance.now() - began;
    }
}"""


@dataclass
class Seen:
    """What was seen of a page for some seconds.

    Attributes:
        fps: frames in which waveforms were drawn, a second.
        p99_ms: time from one to the next.
        busy: share of the main thread's time, 0 to 1.
        cores: processor time of the browser, s a second.
        lag_ms: video, from sending to drawn, p95.
    """

    fps: float
    p99_ms: float
    busy: float
    cores: float
    lag_ms: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so many of them do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Meter:
    """Reads how busy a page's main thread and the whole browser are."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self._browser, self._page = browser, page
        self._sessions: list[Any] = []

    async def start(self) -> None:
        """Attach to both."""
        self._sessions = [
            await self._page.context.new_cdp_session(self._page),
            await self._browser.new_browser_cdp_session(),
        ]
        await self._sessions[0].send("Performance.enable")

    async def read(self) -> tuple[float, float, float]:
        """Return seconds: now, of the main thread's tasks, of the browser's processors."""
        told = await self._sessions[0].send("Performance.getMetrics")
        metrics = {m["name"]: m["value"] for m in told["metrics"]}
        processes = (await self._sessions[1].send("SystemInfo.getProcessInfo"))["processInfo"]
        cpu_s = sum(p["cpuTime"] for p in processes)
        return machine.monotonic_s(), float(metrics["TaskDuration"]), float(cpu_s)


async def watched(
    meter: Meter, where: Page | Worker, page: Page, seconds: float, names: tuple[str, str]
) -> Seen:
    """Look at a page that runs for some seconds.

    Args:
        meter: of the page.
        where: its waveforms are drawn: the page or its worker.
        page: it is.
        seconds: how long.
        names: of the arrays of frames (there) and of lags (in the page).
    """
    frames, lags = names
    await where.evaluate(f"() => {{ {frames}.length = 0; }}")
    await page.evaluate(f"() => {{ {lags}.length = 0; }}")
    before = await meter.read()
    await asyncio.sleep(seconds)
    after = await meter.read()
    drawn: list[float] = await where.evaluate(f"() => {frames}")
    late: list[float] = await page.evaluate(f"() => {lags}")
    steps = [b - a for a, b in itertools.pairwise(drawn)]
    wall_s = after[0] - before[0]
    return Seen(
        fps=1000 * len(steps) / max(1e-9, drawn[-1] - drawn[0]) if steps else 0.0,
        p99_ms=percentile(steps, 0.99),
        busy=(after[1] - before[1]) / wall_s,
        cores=(after[2] - before[2]) / wall_s,
        lag_ms=percentile(late, 0.95),
    )
