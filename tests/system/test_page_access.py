"""The pages for people who cannot see, or not well: axe-core, keyboard, colours, phone."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page

from tests.system.conftest import RunningRoom
from tests.system.page_driver import open_wall, until, violations

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.mark.parametrize("theme", ["dark", "bright"])
async def test_axe_finds_nothing_on_the_wall_with_everything_open(
    page: Page, room: RunningRoom, theme: str
) -> None:
    await page.add_init_script(
        f"localStorage.setItem('scot.display', JSON.stringify({{ theme: '{theme}' }}))"
    )
    await open_wall(page, room)
    assert await violations(page) == []
    await page.keyboard.press("o")
    await page.keyboard.press("s")
    await until(page, lambda s: s["connected"])
    assert await violations(page) == []
    for _ in range(2):
        await page.keyboard.press("Escape")
    assert await page.locator(".panel:not([hidden]), .drawer:not([hidden])").count() == 0
    await page.keyboard.press("?")
    assert await page.locator(".panel-keys").is_visible()
    assert await violations(page) == []


async def test_axe_finds_nothing_on_a_phone_in_japanese_and_nothing_flashes_on_request(
    browser: Browser, room: RunningRoom
) -> None:
    context = await browser.new_context(
        viewport={"width": 390, "height": 844}, locale="ja-JP", reduced_motion="reduce"
    )
    page = await context.new_page()
    await open_wall(page, room)
    assert await violations(page) == []
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, "nothing stands out to the side"
    moving = await page.evaluate("document.getAnimations().length")
    assert moving == 0
    await context.close()
