"""The wall's timeline under a person's hands: markers, the way back, links, a fixed delay."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page

from tests.system.conftest import RunningRoom
from tests.system.page_driver import open_wall, state, until

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]


async def open_page(page: Page, room: RunningRoom) -> None:
    """Open the wall and wait for its numbers: a picture is not needed to stop the time."""
    await page.goto(room.url)
    await until(page, lambda s: bool(s.get("connected") and s["tiles"]), 30)


async def setting(page: Page, field: str, choice: str) -> None:
    """Change what this display remembers, in its dialog."""
    await page.keyboard.press("s")
    group = page.get_by_role("group", name=field)
    await group.get_by_role("button", name=choice, exact=True).click()
    await page.keyboard.press("Escape")
    await group.wait_for(state="hidden")


async def test_key_pedal_and_finger_each_leave_a_marker_in_the_room(
    page: Page, room: RunningRoom
) -> None:
    await open_page(page, room)
    await page.keyboard.press("s")
    await page.get_by_role("button", name="Press here, then the pedal").click()
    await page.keyboard.press("PageDown")
    await page.get_by_role("button", name="Pedal sends PageDown").wait_for()
    await page.keyboard.press("Escape")
    pressed = []
    for number, way in enumerate(["m", "PageDown", ""], 1):
        before = await state(page)
        await (page.keyboard.press(way) if way else page.get_by_text("⚑ Mark").click())
        after = await state(page)
        pressed.append((before["cursorUnixMs"], after["cursorUnixMs"]))
        await page.locator(".toast", has_text=f"Marker {number}").wait_for()
    # The room keeps them, each at the moment when it was pressed.
    now = await until(page, lambda s: len(s["marks"]) == 3)
    assert [mark["text"] for mark in now["marks"]] == ["Marker 1", "Marker 2", "Marker 3"]
    for mark, (first, last) in zip(now["marks"], pressed, strict=True):
        assert first - 50 <= mark["unix_ms"] <= last + 2_000
    # The event before is where the last marker stands.
    last_ms = now["marks"][-1]["unix_ms"]
    await page.keyboard.press(",")
    await until(page, lambda s: s["mode"] == "frozen" and abs(s["cursorUnixMs"] - last_ms) < 5)


async def test_a_wall_left_behind_keeps_the_room_in_sight_and_goes_back_by_itself(
    page: Page, room: RunningRoom
) -> None:
    await open_page(page, room)
    await page.keyboard.press(" ")
    await until(page, lambda s: s["mode"] == "frozen")
    now = page.locator(".live-now")
    assert await now.locator(".tile").count() == 4
    tile = now.locator(".tile", has_text="HR")
    assert re.fullmatch(r"\d{2,3}", await tile.locator(".tile-value").inner_text())
    left = page.locator(".behind-left")
    assert re.fullmatch(r"back in 0[01]:\d\d", await left.inner_text())
    # A wall that somebody wants to stay stays; the next visit to the past counts anew.
    await page.get_by_role("button", name="Stay here").click()
    await setting(page, "Back to live by itself", "30 s")
    await left.filter(has_text=re.compile("^$")).wait_for(state="attached")
    held = await state(page)
    await until(page, lambda s: s["behindLiveMs"] > held["behindLiveMs"] + 900)
    assert (await state(page))["mode"] == "frozen"
    await page.get_by_role("button", name="Back to live · L").click()
    await until(page, lambda s: s["mode"] == "live")
    await page.evaluate(
        """() => {
            window.modes = [];
            new MutationObserver(() => window.modes.push(document.body.matches(".not-live")))
                .observe(document.body, { attributeFilter: ["class"] });
        }"""
    )
    await page.keyboard.press(" ")
    await page.wait_for_function("window.modes.includes(true)")
    await page.evaluate(  # the half minute, without its waiting
        "() => { const now = performance.now() + 31_000; performance.now = () => now; }"
    )
    for _ in range(400):
        modes: list[bool] = await page.evaluate("window.modes")
        if not modes[-1]:
            break
        await page.wait_for_timeout(50)
    else:
        pytest.fail(f"it never went back: {modes} {await state(page)}")


async def test_a_link_leads_to_its_instant_and_lets_nobody_in(
    page: Page, browser: Browser, room: RunningRoom
) -> None:
    await open_wall(page, room)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.keyboard.press(" ")
    held = await until(page, lambda s: s["mode"] == "frozen" and not s["seeking"])
    await page.keyboard.press("y")
    await page.locator(".toast", has_text="must sign in").wait_for()
    link = str(await page.evaluate("navigator.clipboard.readText()"))
    assert set(parse_qs(urlsplit(link).query)) == {"t"}
    assert not urlsplit(link).fragment, "it carries no key"

    context = await browser.new_context()
    stranger = await context.new_page()
    await stranger.goto(link)
    await stranger.locator("#message", has_text="scot demo").wait_for()
    assert (await state(stranger))["tiles"] == {}
    await stranger.goto(room.url)  # the key they were given; where they wanted to go is remembered
    there = await until(stranger, lambda s: s.get("mode") == "frozen" and not s["seeking"], 20)
    assert abs(there["cursorUnixMs"] - held["cursorUnixMs"]) < 2

    def of_that_moment(s: dict[str, Any]) -> bool:
        shown_ms = int(s["lastVideoBusNs"] or 0) / 1e6 - 37_000
        return bool(abs(shown_ms - held["cursorUnixMs"]) < 1_000)

    await until(stranger, of_that_moment)
    await context.close()


async def test_a_fixed_delay_holds_every_picture_back_by_the_same_time(
    page: Page, room: RunningRoom
) -> None:
    await open_wall(page, room)
    await setting(page, "Fixed delay", "500 ms")
    now = await until(page, lambda s: s["videoLagMs"] is not None and s["videoLagMs"] > 480)
    frames = now["videoFramesDrawn"]
    then = await until(page, lambda s: s["videoFramesDrawn"] > frames + 10)
    assert then["mode"] == "live"
    assert then["behindLiveMs"] == 0
    await setting(page, "Fixed delay", "none")
    await until(page, lambda s: s["videoLagMs"] < 450)
