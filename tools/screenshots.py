"""Take the documentation's pictures of every view, from one recorded surgery held at one instant.

    python -m tools.screenshots [folder]

They go to `docs/images` unless a folder is named. `tests/system/test_page_matrix.py` takes the same
pictures and compares them with the committed ones: a change of the page shows there until this
has been run again and somebody has looked at what it made.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.golden import screen_case
from tools.chromium import find

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
QUALITY = 82
READY = "Ctrl-C ends the room"
PLAYED_S = 18
POLLS = 400
POLL_MS = 50


@dataclass(frozen=True)
class View:
    """One picture.

    Attributes:
        name: of its file, `screen_NAME.jpg`.
        path: of the page.
        size: of the window, CSS px.
        query: of the address.
        display: what this display remembers, by name; see settings.js.
        held: at the instant of the case; the others show how far it was played.
        video: the picture is in the window when it opens; what is not seen is not decoded.
    """

    name: str
    path: str = "/"
    size: tuple[int, int] = (1920, 1080)
    query: str = ""
    display: dict[str, Any] = field(default_factory=dict)
    held: bool = True
    video: bool = True


VIEWS = [
    View("wall"),
    View("wall_ja", query="lang=ja"),
    View("wall_bright", display={"theme": "bright"}),
    View("wall_live", held=False),
    View("phone", size=(390, 844), video=False),
    View("station", "/station"),
    View("engineer", "/engineer", held=False),
    View("consult", "/consult", (1600, 900), held=False),
]


@contextlib.contextmanager
def held_room(base: Path) -> Iterator[str]:
    """Replay the case, held `PLAYED_S` into it; yields the wall's address with its key.

    Raises:
        RuntimeError: the room did not come up; says what it wrote.
    """
    screen_case.write(base / "case")
    command = [
        *(sys.executable, "-c", "from scot.cli import main; main()", "replay", str(base / "case")),
        *("--paused", "--from", str(PLAYED_S), "--port", "0", "--no-browser"),
    ]
    environment = {**os.environ, "SCOT_STATE": str(base / "state"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith(READY):
                break
        else:
            raise RuntimeError(f"the replay did not come up: {''.join(said)}")
        facts = json.loads((base / "state" / "or1" / "facts.json").read_text())
        yield facts["facts"]["dashboard"]["url"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


async def until(page: Page, holds: str) -> None:
    """Wait until a JavaScript expression holds.

    Raises:
        TimeoutError: it never did.
    """
    for _ in range(POLLS):
        if await page.evaluate(f"() => Boolean({holds})"):
            return
        await page.wait_for_timeout(POLL_MS)
    raise TimeoutError(f"{page.url}: never {holds}; {await page.evaluate('() => window.scot')}")


@contextlib.asynccontextmanager
async def opened(browser: Browser, url: str, view: View) -> AsyncIterator[Page]:
    """Open a view and wait until everything of it is drawn."""
    width, height = view.size
    context = await browser.new_context(
        viewport={"width": width, "height": height}, screen={"width": width, "height": height},
        reduced_motion="reduce", timezone_id="Asia/Tokyo", locale="en-US",
    )  # fmt: skip
    base, _, key = url.partition("/#")
    display = json.dumps(view.display)
    await context.add_init_script(f"localStorage.setItem('scot.display', {display!r})")
    instant = f"t={screen_case.SHOWN_UNIX_MS}" if view.held else ""
    query = "&".join(part for part in (instant, view.query) if part)
    page = await context.new_page()
    if view.path == "/consult":
        await admit(page, browser, url)
    else:
        if view.path != "/":
            await page.goto(url)  # the key is traded for a cookie there
            await until(page, "window.scot?.connected")
        await page.goto(f"{base}{view.path}?{query}#{key}")
    await settled(page, view)
    yield page
    await context.close()


async def admit(page: Page, browser: Browser, url: str) -> None:
    """Invite somebody and let them in at a wall, which closes again."""
    base, _, key = url.partition("/#wall=")
    answer = await page.request.post(
        f"{base}/invitations", data={}, headers={"Authorization": f"Bearer {key}"}
    )
    invitation = await answer.json()
    wall = await browser.new_page()
    await wall.goto(url)
    await until(wall, "window.scot?.connected")
    await page.goto(invitation["url"])
    await wall.locator("button[data-act=admit]").click()
    await until(page, "window.scot?.connected")
    await wall.context.close()


async def settled(page: Page, view: View) -> None:
    """Wait for pictures, fonts, the scrubber's answer, and two frames after them."""
    await until(page, "window.scot?.connected")
    if view.held:
        await until(page, "scot.mode === 'frozen' && !scot.seeking")
        if view.video:
            await until(page, "scot.lastVideoBusNs")
    if view.path in ("/", "/station"):
        await until(page, "scot.marks.length === 2 && scot.navigation?.window")
        await until(page, "Object.values(scot.tiles).every((t) => t.text)")
    elif view.path == "/engineer":
        await until(page, "Object.values(scot.points).some((n) => n > 100) && scot.rows.length")
    await page.evaluate("document.fonts.ready.then(() => null)")
    # The player stands still, so whether its own small picture is drawn is a matter of chance.
    await page.evaluate(
        """() => document.querySelectorAll(".picture-inset").forEach((e) => {
            e.style.visibility = "hidden"; })"""
    )
    await page.wait_for_timeout(1_200)  # the scrubber is drawn once a second


async def shoot(folder: Path, views: list[View]) -> None:
    """Take the pictures of these views."""
    chromium = find()
    if chromium is None:
        raise SystemExit("no Chromium on this machine; `make test` installs one")
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with tempfile.TemporaryDirectory() as base, held_room(Path(base)) as url:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=str(chromium), args=arguments
            )
            for view in views:
                path = folder / f"screen_{view.name}.jpg"
                async with opened(browser, url, view) as page:
                    await page.screenshot(path=path, type="jpeg", quality=QUALITY)
                print(f"{path}  {path.stat().st_size // 1000} kB")
            await browser.close()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=IMAGES)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="of these views")
    given = parser.parse_args()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    views = [view for view in VIEWS if not given.only or view.name in given.only]
    asyncio.run(shoot(folder, views))


if __name__ == "__main__":
    main()
