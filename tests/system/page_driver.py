"""What the tests of the page share: open the wall, ask the page what it shows, wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Page

from scot.clock import machine
from tests.system.conftest import RunningRoom

DASH = "– –"
FIRST_PICTURE_S = 30.0
ANSWER_S = 30.0  # an answer that never comes costs this; one that comes, what it takes


async def state(page: Page) -> dict[str, Any]:
    """What the page says of itself; its big integers come as strings."""
    read: dict[str, Any] = await page.evaluate(
        """() => JSON.parse(JSON.stringify(window.scot ?? {}, (key, value) =>
            typeof value === "bigint" ? String(value) : value))"""
    )
    return read


async def until(
    page: Page, seen: Callable[[dict[str, Any]], bool], within_s: float = ANSWER_S
) -> dict[str, Any]:
    """Return the page's state as soon as `seen` holds of it."""
    end_ns = machine.monotonic_ns() + round(within_s * 1e9)
    while not seen(now := await state(page)):
        if machine.monotonic_ns() > end_ns:
            pytest.fail(f"not within {within_s} s; the page says {now}")
        await page.wait_for_timeout(50)
    return now


async def violations(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds, with the element and why."""
    await page.evaluate(AXE_FILE_PATH.read_text("utf-8"))
    found: list[dict[str, Any]] = await page.evaluate(
        """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
            (v) => ({ id: v.id,
                nodes: v.nodes.map((n) => n.html.slice(0, 120) + n.failureSummary) })
        )"""
    )
    return found


def drawn_more(than: int, now: dict[str, Any]) -> bool:
    """Whether the page has drawn more pictures than that."""
    return bool(now["videoFramesDrawn"] > than)


async def open_wall(page: Page, room: RunningRoom) -> dict[str, Any]:
    """Open the wall and wait for pictures, numbers and the probe."""
    await page.goto(room.url)
    return await until(
        page,
        lambda s: bool(
            s.get("videoFramesDrawn", 0) > 5
            and s["connected"]
            and s["tiles"].get("or1/monitor/hr", {}).get("stale") is False
        ),
        FIRST_PICTURE_S,
    )
