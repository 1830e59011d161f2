"""The tour: short, gone at once, never over an alarm, never by itself on a wall, shown once."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from tests.system.test_page_modules import document

__all__ = ["document"]  # a fixture

pytestmark = [pytest.mark.system, pytest.mark.browser]

# A screen with something to show for each step of a room's tour.
SCREEN = """
Object.defineProperty(navigator, "webdriver", { value: false, configurable: true });
const { STEPS, Tour, placeFor } = await import("/static/js/tour.js");
const { h } = await import("/static/js/dom.js");
const side = h("div.side-tools", {}, [h("button", { text: "Mark" }),
    h("button", { text: "Layout", "data-tour": "layout" }),
    h("button", { text: "?", "data-tour": "help" })]);
const typed = h("input", { type: "text" });
document.body.replaceChildren(h("div.alarm-line", { text: "line" }),
    h("div.wave-tiles", { text: "72" }), h("canvas.lanes-canvas"), side, typed);
const SOON = { settle_ms: 100 };
const card = () => document.querySelector(".tour-card");
const frame = () => new Promise((done) => requestAnimationFrame(done));
const press = (key) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
/** Views until it has begun, or as many as it would take. */
const look = async (tour, alarmed = false, ready = true, frames = 60) => {
    for (let i = 0; i < frames && !tour.open; i++) { tour.update(alarmed, ready); await frame(); }
    return tour.open;
};
"""


async def run(page: Page, script: str) -> Any:
    return await page.evaluate("async () => {" + SCREEN + script + "}")


async def test_every_role_has_a_tour_of_at_most_six_steps(document: Page) -> None:
    lengths = await run(document, "return Object.values(STEPS).map((steps) => steps.length);")
    assert len(lengths) == 3
    assert max(lengths) <= 6


async def test_it_comes_once_by_itself_takes_the_focus_and_gives_it_back(document: Page) -> None:
    seen = await run(
        document,
        """
        const tour = new Tour("room", SOON);
        const began = await look(tour);
        const first = [document.activeElement.textContent, card().getAttribute("role")];
        const steps = [];
        while (tour.open) {
            steps.push(card().querySelector(".tour-count").textContent);
            document.activeElement.click();
        }
        const again = await look(new Tour("room", SOON), false, true, 20);
        typed.focus();
        tour.begin();                       // from the help, by a person
        press("ArrowRight");
        const moved = card().querySelector(".tour-count").textContent;
        press("Escape");
        return [began, first, steps, new Tour("room").itself || again, moved, tour.open,
            document.activeElement === typed];
        """,
    )
    began, first, steps, again, moved, still, given_back = seen
    assert began
    assert first == ["Next", "dialog"]
    assert steps == [f"{i} of 6" for i in range(1, 7)]
    assert again is False
    assert (moved, still, given_back) == ("2 of 6", False, True)


async def test_it_waits_for_whoever_types_and_for_every_alarm_and_never_begins_on_a_wall(
    document: Page,
) -> None:
    alarmed, blind, wall, typing = await run(
        document,
        """
        const seen = [await look(new Tour("room", SOON), true, true),
            await look(new Tour("room", SOON), false, false),
            await look(new Tour("room", { ...SOON, itself: false }))];
        typed.focus();
        return [...seen, await look(new Tour("room", SOON))];
        """,
    )
    assert (alarmed, blind, wall, typing) == (False, False, False, False)


async def test_an_alarm_ends_it_at_once_and_a_press_outside_still_does_what_it_is_for(
    document: Page,
) -> None:
    ended, comes_again, pressed, closed = await run(
        document,
        """
        const tour = new Tour("room");
        tour.begin();
        tour.update(true, true);
        const ended = !tour.open;
        const again = new Tour("room").itself;
        tour.begin();
        let pressed = 0;
        const button = side.firstElementChild;
        button.addEventListener("click", () => (pressed += 1));
        button.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
        button.click();
        return [ended, again, pressed, !tour.open];
        """,
    )
    assert (ended, comes_again, pressed, closed) == (True, True, 1, True)


async def test_its_card_lies_whole_on_the_screen_and_never_on_the_alarm_line(
    document: Page,
) -> None:
    wrong = await run(
        document,
        """
        const box = (left, top, width, height) =>
            ({ left, top, width, height, right: left + width, bottom: top + height });
        const wrong = [];
        for (const [w, h] of [[1920, 1080], [3840, 2160], [390, 844]])
            for (let i = 0; i < 400; i++) {
                const line = box(0, 0, w * 0.6, 60);
                const [u, v] = [((i * 37) % 100) * 0.009 * w, ((i * 53) % 100) * 0.009 * h];
                const target = i % 9 ? box(u, v, w * 0.1 + i % 300, 40 + i % 500) : line;
                const card = { width: Math.min(416, w - 20), height: 190 };
                const [x, y] = placeFor(target, card, { width: w, height: h }, line);
                const inside = x >= 0 && y >= 0
                    && x + card.width <= w && y + card.height <= h;
                const over = x < line.right && y < line.bottom;
                if (!inside || over) wrong.push([w, target, x, y]);
            }
        return wrong;
        """,
    )
    assert wrong == []
