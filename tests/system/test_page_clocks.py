"""How well the room's clocks are known, as the page says it: chips, the ± band, steps."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from scot.bus.connection import Connection
from scot.clock import machine
from scot.clock.estimator import SEASONED
from tests.system.conftest import RunningRoom, within
from tests.system.page_driver import open_wall, until

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]

STEP_NS = 25_000_000
TEXT = r"^±\d+(\.\d+)? ms likely · ≤ \d+(\.\d+)? ms sure$"


def known(now: dict[str, Any]) -> list[float]:
    """The bins of the ± band that have an error, ms."""
    return [err for err in now["band"] if err is not None]


async def test_a_need_is_judged_by_its_table_and_an_unknown_clock_is_never_good(
    page: Page, room: RunningRoom
) -> None:
    await page.goto(room.url)
    levels, texts = await page.evaluate(
        """async () => {
            const { NEEDS_MS, clockText, judge } = await import("/static/js/needs.js");
            const clock = (err_ms, bound_ms, state = 0) => ({ err_ms, bound_ms, state });
            const at = (err) => ["video", "waveform", "other"].map((use) =>
                judge(clock(err, null), NEEDS_MS[use]).level);
            return [[4.9, 5.1, 20.1, 50.1, null].map(at),
                [clock(0.09, 3.4), clock(2.1, null, 3), clock(null, null, 4)].map((c) =>
                    clockText(c))];
        }"""
    )
    assert levels == [
        ["good", "good", "good"],
        ["good", "warn", "good"],
        ["warn", "warn", "good"],
        ["warn", "warn", "warn"],
        ["bad", "bad", "bad"],
    ]
    assert texts == [
        "±0.09 ms likely · ≤ 3.4 ms sure",
        "±2.1 ms likely · one-way",
        "clock error unknown",
    ]


async def test_every_source_has_a_chip_and_is_good_enough_for_its_use(
    page: Page, room: RunningRoom
) -> None:
    await open_wall(page, room)
    now = await until(page, lambda s: {"scope", "monitor", "tracker"} <= set(s["clocks"]))
    assert now["clocks"]["scope"]["err_ms"] <= now["clocks"]["scope"]["bound_ms"]
    picture = page.locator(".picture .clock-chip")
    await picture.wait_for()
    assert await picture.evaluate("(e, t) => new RegExp(t).test(e.textContent)", TEXT)
    await page.locator(".drawer-button", has_text="all channels").click()
    assert await page.locator(".drawer .clock-chip:not([hidden])").count() >= 3
    assert await page.locator(".clock-chip.bad").count() == 0
    await page.locator(".drawer .panel-head button:visible").click()


async def test_the_line_at_the_top_is_coloured_by_what_the_use_needs_not_by_the_kind_of_clock(
    page: Page, room: RunningRoom
) -> None:
    await open_wall(page, room)
    shown = await page.evaluate(
        """async () => {
            const { showClocks } = await import("/static/js/header.js");
            const device = (kind) => ({ label: {}, channels: { c: { kind } } });
            const catalogue = { devices: { scope: device("video"), monitor: device("waveform") } };
            const show = (scope, monitor) => {
                const chip = document.createElement("span");
                showClocks(chip, { clocks: { scope, monitor } }, catalogue);
                return [chip.className, chip.textContent];
            };
            const clock = (err_ms, state) => ({ err_ms, bound_ms: null, state });
            return [show(clock(19, 3), clock(0.1, 0)), show(clock(0.1, 0), clock(19, 3)),
                show(clock(0.1, 0), clock(null, 4))];
        }"""
    )
    assert shown == [
        ["good", "clocks ±19 ms likely · one-way"],
        ["warn", "monitor ±19 ms"],
        ["warn", "monitor clock error unknown"],
    ]
    told = page.locator(".chip-clocks.good, .chip-clocks.warn")  # warn where the machine is busy
    await told.wait_for()
    assert "one-way · needs" in (await told.get_attribute("title") or "")


async def test_the_band_is_there_also_after_a_reload(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    before = await until(page, lambda s: len(known(s)) > 30, 40)
    assert all(0 < err < 1_000 for err in known(before))
    await page.reload()
    after = await until(page, lambda s: len(known(s)) > 0, 20)
    # Bins are 0.2 s at least: what was known before the reload is known again.
    assert len(known(after)) >= 0.5 * len(known(before))


async def test_a_clock_that_steps_is_a_tick_that_names_it(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    console = await Connection.join(room.link())
    try:
        clock = console.clock  # the service looks for steps once it has seen the link a while
        await within(40, lambda: clock.map is not None and clock.map.id > SEASONED + 8)
        console.clock.read = lambda: machine.monotonic_ns() + STEP_NS
        now = await until(page, lambda s: any(e[1] == "console" for e in s["epochs"]), 30)
    finally:
        await console.close()
    (tick, *_) = [e for e in now["epochs"] if e[1] == "console"]
    assert "clock of console stepped" in tick[2]
    assert now["errors"] == []
