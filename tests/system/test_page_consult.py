"""A professor from the invitation to the door: knock, watch, draw on the frame, be shut out."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from scot.bus.connection import Connection
from tests.system.conftest import Collector, RunningRoom
from tests.system.page_driver import open_wall, state, until

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
async def guest(browser: Browser) -> AsyncIterator[Page]:
    """Another person's browser."""
    context = await browser.new_context(viewport={"width": 1600, "height": 900})
    page = await context.new_page()
    yield page
    await context.close()


async def invite(room: RunningRoom) -> str:
    """Return the link that `scot invite` prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from scot.cli import main; main()", "invite", "--json"),
        env={**os.environ, "SCOT_STATE": str(room.state.parent)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return str(json.loads(out)["url"])


async def admitted(guest: Page, wall: Page, room: RunningRoom) -> dict[str, Any]:
    """Knock, be let in at the wall, and wait for pictures."""
    await guest.goto(await invite(room))
    await guest.locator("#message", has_text="The room has been asked").wait_for(timeout=15_000)
    assert (await state(guest))["tiles"] == {}, "nothing is shown before the room says so"
    await wall.locator("button[data-act=admit]").click(timeout=15_000)
    return await until(guest, lambda s: s["videoFramesDrawn"] > 5, 30)


async def draw(page: Page, tool: str, path: list[tuple[float, float]]) -> None:
    """Draw over the picture; the path in shares of the pane."""
    await page.locator(f"button[data-tool={tool}]").click()
    box = await page.locator(".picture").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in path]
    await page.mouse.move(*places[0])
    await page.mouse.down()
    for place in places[1:]:
        await page.mouse.move(*place)
    await page.mouse.up()


async def test_a_professor_is_let_in_draws_on_a_frame_and_is_shut_out(
    page: Page, guest: Page, room: RunningRoom
) -> None:
    await open_wall(page, room)
    await admitted(guest, page, room)
    connection = await Connection.join(room.link())
    sink = Collector()
    connection.subscribe(["or1/"], sink, fill=False)

    # Four numbers, no names; the wall sees who watches and how late.
    assert await guest.locator(".numbers .tile").count() == 4
    await page.locator(".person", has_text="consultant").wait_for(timeout=10_000)
    await page.locator(".person", has_text="behind").wait_for(timeout=10_000)

    # Ink holds the picture; the stroke carries exactly the frame that was on the screen.
    await draw(guest, "ink", [(0.45, 0.4), (0.5, 0.35), (0.55, 0.4), (0.5, 0.5), (0.46, 0.42)])
    held = await until(guest, lambda s: s["mode"] == "frozen" and not s["seeking"])
    assert "FROZEN" in await guest.locator(".behind-banner").inner_text()
    await guest.locator(".picture-inset").wait_for()  # the room stays in sight
    notes = "/notes"
    await sink.until(lambda: any(d.frame.address.endswith(notes) for d in sink.deliveries), 10)
    stroke: Any = next(d.sample().value for d in sink.deliveries if d.frame.address.endswith(notes))
    assert stroke.tool == "ink"
    assert str(stroke.at_ns) == held["lastVideoBusNs"]
    assert stroke.author.startswith("consultant")
    assert len(stroke.points) >= 4

    # The wall shows the very frame, with the stroke.
    on_wall = await until(page, lambda s: s["pinned"] is not None)
    assert on_wall["pinned"] == held["lastVideoBusNs"]
    await page.locator(".picture-still").wait_for()

    # What they write is read in the room; a click on its time brings the frame back.
    await guest.keyboard.press("l")
    await until(guest, lambda s: s["mode"] == "live")
    await guest.locator(".thread-form input").fill("Is this the feeding vessel?")
    await guest.locator(".thread-form input").press("Enter")
    await page.locator(".toast", has_text="feeding vessel").wait_for(timeout=10_000)
    await guest.locator(".thread-list li", has_text="Ink").locator(".thread-time").click()
    again = await until(
        guest, lambda s: s["mode"] == "frozen" and s["lastVideoBusNs"] == held["lastVideoBusNs"]
    )
    assert again["errors"] == []

    # Removed at the wall, they see nothing more: the gateway cuts who does not close by itself.
    await page.locator(".person").first.click()
    await page.locator("button[data-act=revoke]").click()
    await guest.locator("#message").wait_for(state="visible", timeout=15_000)
    await until(guest, lambda s: not s["connected"])
    assert await guest.locator(".picture").count() == 0, "nothing of the room stays on the screen"
    await connection.close()


async def test_who_is_refused_reads_so_and_sees_nothing(
    page: Page, guest: Page, room: RunningRoom
) -> None:
    await open_wall(page, room)
    await guest.goto(await invite(room))
    await page.locator("button[data-act=refuse]").click(timeout=15_000)
    await guest.locator("#message:not(:has-text('asked'))").wait_for(timeout=10_000)
    assert await guest.locator(".picture").count() == 0


async def test_without_an_invitation_the_page_says_how_to_get_one(
    guest: Page, room: RunningRoom
) -> None:
    await guest.goto(room.url.split("#")[0].rstrip("/") + "/consult")
    await guest.locator("#message", has_text="You need an invitation").wait_for(timeout=10_000)


async def test_an_invitation_opens_one_browser_once(
    page: Page, guest: Page, room: RunningRoom
) -> None:
    url = await invite(room)
    await guest.goto(url)
    await guest.locator("#message", has_text="asked").wait_for(timeout=15_000)
    await page.goto(url)
    await page.locator("#message", has_text="used already").wait_for(timeout=10_000)
