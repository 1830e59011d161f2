"""Every view of the page on one recorded surgery, held at one instant: sizes, languages, eyes.

`python -m tools.screenshots` takes the pictures in `docs/images` that are compared here. Fonts
differ between machines, so not pixels but tiles are compared: a tile of 1/16 by 1/9 of the screen
may differ a little in its mean and in how much stands on it. A missing pane differs by far.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import Browser, Page

from tests.system.conftest import STATIC
from tests.system.page_driver import violations
from tools.screenshots import IMAGES, VIEWS, View, held_room, opened

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(240)]

Picture: TypeAlias = NDArray[np.uint8]

GRID: Final = (16, 9)
MEAN: Final = 14.0  # of 255, of one tile's colour
BUSY: Final = 9.0  # standard deviation of a tile that something stands on
MOST: Final = 2  # tiles that another machine's fonts may change
TOUCH_PX: Final = 44
NAMED = {view.name: view for view in VIEWS}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The wall's address in the replay that all of these share."""
    with held_room(tmp_path_factory.mktemp("held")) as address:
        yield address


def decoded(data: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8)


def changed(before: Picture, now: Picture) -> list[tuple[int, int]]:
    """Return the tiles, column and row, in which two pictures differ."""
    assert before.shape == now.shape
    columns, rows = GRID
    height, width = (now.shape[0] // rows, now.shape[1] // columns)
    found = []
    for column in range(columns):
        for row in range(rows):
            place = np.s_[row * height : (row + 1) * height, column * width : (column + 1) * width]
            a, b = before[place].astype(float), now[place].astype(float)
            busy = sorted((float(a.std()), float(b.std())))
            emptied = busy[1] > BUSY and busy[0] < 0.5 * busy[1]
            if emptied or np.abs(a.mean((0, 1)) - b.mean((0, 1))).max() > MEAN:
                found.append((column, row))
    return found


# What a wall must never be without: where, in shares of the screen (left, top, right, bottom),
# and how much of the screen it takes at least.
Box: TypeAlias = tuple[float, float, float, float]
LANDMARKS: Final[dict[str, tuple[str, Box, float]]] = {
    "alarm line": (".alarm-line", (0, 0, 1, 0.1), 0.002),
    "clock": (".clock", (0.4, 0, 1, 0.1), 0.002),
    "scrubber": (".lanes-canvas", (0, 0.8, 1, 1), 0.02),
    "key to live": (".live-pill", (0, 0.8, 1, 1), 0.0005),
    "picture": (".picture", (0, 0.03, 1, 0.95), 0.05),
    "traces": (".waves-canvas", (0, 0.03, 1, 0.95), 0.05),
    "first tile": (".pane .tile", (0, 0.03, 1, 0.95), 0.002),
    "navigation": (".nav-view", (0, 0.03, 1, 0.95), 0.01),
}


async def missing(page: Page) -> list[str]:
    """Return the landmarks that are not seen, or not where they belong."""
    found = []
    for name, (selector, (left, top, right, bottom), least) in LANDMARKS.items():
        box = await page.locator(selector).first.evaluate(
            """(e) => {
                const b = e.getBoundingClientRect();
                const seen = e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
                const [w, h] = [innerWidth, innerHeight];
                return seen ? [b.left / w, b.top / h, b.right / w, b.bottom / h] : null;
            }"""
        )
        fits = box is not None and (
            box[0] >= left - 0.001
            and box[1] >= top - 0.001
            and box[2] <= right + 0.001
            and box[3] <= bottom + 0.001
            and (box[2] - box[0]) * (box[3] - box[1]) >= least
        )
        if not fits:
            found.append(name)
    return found


async def shown(page: Page) -> Picture:
    return decoded(await page.screenshot())


@pytest.mark.parametrize("name", ["wall", "wall_ja"])
async def test_a_view_looks_as_its_picture_in_the_documentation(
    browser: Browser, url: str, name: str
) -> None:
    path = IMAGES / f"screen_{name}.jpg"
    async with opened(browser, url, NAMED[name]) as page:
        now = await shown(page)
        assert len(where := changed(decoded(path.read_bytes()), now)) <= MOST, (
            f"{path.name} differs at {where}; look at it, then `python -m tools.screenshots`"
        )
        # The comparison sees what it is for: the traces are not there.
        await page.locator(".waves-canvas").evaluate("(e) => { e.style.visibility = 'hidden'; }")
        assert len(changed(now, await shown(page))) > MOST


@pytest.mark.parametrize("name", ["wall", "wall_ja"])
async def test_what_a_wall_must_never_be_without_is_there_and_missed_by_name(
    browser: Browser, url: str, name: str
) -> None:
    async with opened(browser, url, NAMED[name]) as page:
        assert await missing(page) == []
        for landmark, (selector, *_) in LANDMARKS.items():
            where = page.locator(selector).first
            await where.evaluate("(e) => { e.style.visibility = 'hidden'; }")
            assert landmark in await missing(page), f"nobody would miss the {landmark}"
            await where.evaluate("(e) => { e.style.visibility = ''; }")


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("size", [(1920, 1080), (3840, 2160), (390, 844)])
async def test_nothing_is_cut_off_and_every_target_fits_a_finger(
    browser: Browser, url: str, size: tuple[int, int], lang: str
) -> None:
    view = View("wall", size=size, query=f"lang={lang}", video=size[0] > 900)
    async with opened(browser, url, view) as page:
        cut = await page.evaluate(
            """() => [...document.querySelectorAll(
                    ".chip-room, .alarm-note, .behind-banner strong")]
                .filter((e) => e.offsetParent && e.clientWidth
                    && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 2))
                .map((e) => e.textContent)"""
        )
        assert cut == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        small = await page.evaluate(
            """(least) => [...document.querySelectorAll(
                    ".lanes button, .behind-box button, .alarm-pill, .alarm-act, .clock")]
                .filter((e) => e.offsetParent)
                .map((e) => [e.textContent, e.getBoundingClientRect()])
                .filter(([, box]) => Math.min(box.width, box.height) < least - 0.5)
                .map(([text, box]) => `${text}: ${box.width} x ${box.height}`)""",
            TOUCH_PX,
        )
        assert small == []


async def test_a_target_is_15_mm_where_the_width_of_the_display_is_known(
    browser: Browser, url: str
) -> None:
    tablet = View("tablet", size=(1280, 800), display={"screen_mm": 260})
    async with opened(browser, url, tablet) as page:
        heights: list[float] = await page.evaluate(
            """() => [...document.querySelectorAll(".live-pill, .drawer-button, .behind-act")]
                .filter((e) => e.offsetParent).map((e) => e.getBoundingClientRect().height)"""
        )
        assert len(heights) >= 6
        assert min(heights) / (1280 / 260) >= 14.9


@pytest.mark.parametrize("name", ["wall", "wall_bright", "phone", "station", "engineer", "consult"])
async def test_axe_finds_nothing(browser: Browser, url: str, name: str) -> None:
    async with opened(browser, url, NAMED[name]) as page:
        assert await violations(page) == []


PAIRS: Final = [  # that a glance must tell apart
    ("#e3002b", "#ffd21f"), ("#ffd21f", "#19c8de"), ("#e3002b", "#19c8de"),
    ("#22c55e", "#ffb020"), ("#22c55e", "#6d3fc0"), ("#ffb020", "#6d3fc0"),
    ("#3ee6a0", "#ff6f61"), ("#ff6f61", "#59c2ff"), ("#59c2ff", "#e8ecf1"), ("#e8ecf1", "#b99cff"),
]  # fmt: skip
DELTA_E: Final = 12.0


@pytest.mark.parametrize("eyes", ["deuteranopia", "protanopia", "tritanopia"])
async def test_colours_stay_apart_to_eyes_that_see_fewer(page: Page, eyes: str) -> None:
    drawn = "".join(
        path.read_text("utf-8")
        for path in [*STATIC.glob("css/*.css"), STATIC / "js" / "palette.js"]
    )
    assert {colour for pair in PAIRS for colour in pair if colour not in drawn} == set()
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setEmulatedVisionDeficiency", {"type": eyes})
    colours = sorted({colour for pair in PAIRS for colour in pair})
    squares = "".join(f'<div style="background:{c};height:40px"></div>' for c in colours)
    await page.set_content(f'<body style="margin:0">{squares}</body>')
    lab = cv2.cvtColor((await shown(page)).astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    seen: dict[str, Any] = {c: lab[40 * i + 20, 100] for i, c in enumerate(colours)}
    near = {
        pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]]))
        for pair in PAIRS
        if np.linalg.norm(seen[pair[0]] - seen[pair[1]]) < DELTA_E
    }
    assert near == {}
