"""The alarm log: what is listed is counted truly, and what is not listed never leaves the line."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from tests.system.test_page_modules import document

__all__ = ["document"]  # a fixture

pytestmark = [pytest.mark.system, pytest.mark.browser]

# A log with every kind of line, newest first, before a wall that stands at 40 s.
SETTING = """
const { AlarmLog } = await import("/static/js/alarmlog.js");
const { AlarmLine } = await import("/static/js/alarmline.js");
const wishes = [];
const session = { listen: (l) => (session.heard = l), do: (w) => wishes.push(w) };
const log = new AlarmLog(session);
const line = (t, id, kind, priority, to, by = "") => ({ t, id, kind, priority, to, by, was: "",
    device: id.split("/")[0], text: { en: id }, value: null, limit: null, channel: "" });
const lines = [
    line(50_000, "", "", "", "Psd", "OR staff"),
    line(45_000, "monitor/hr", "Phy", "Hi", "acked", "OR staff"),
    line(40_000, "monitor/hr", "Phy", "Hi", "active"),
    line(30_000, "monitor/spo2", "Phy", "Me", "active"),
    line(20_000, "pump/occlusion", "Tec", "Hi", "active"),
    line(10_000, "room/lost/tracker", "Tec", "Lo", "active"),
];
lines[5].device = "tracker";
const catalogue = { workspace: "or1", devices: { monitor: { label: { en: "Monitor" } },
    pump: { label: { en: "Pump" } }, tracker: { label: { en: "Tracker <b>" } } } };
const layout = { byAddress: {} };
const alarm = (id, kind, priority) => ({ id, kind, priority, state: "active", under: "active",
    activation: "On", device: id.split("/")[0], channel: "", text: { en: id }, value: null,
    limit: null, since_ns: 1n, age_ms: 5, by: "", unseen: "", own: false });
const view = { kept: true, connected: true, mode: "frozen", cursor_t: 40_000.2, now_t: 60_000,
    now_unix_ms: 60_000, signals: { activation: "On", left_ms: 0, by: "", since_t: null },
    alarms: [alarm("monitor/hr", "Phy", "Hi"), alarm("pump/occlusion", "Tec", "Hi")] };
document.body.replaceChildren(log.element, log.button);
log.update(view, catalogue, layout);
log.toggle(true);
session.heard.alarmLog(lines);
const press = (key) => log.element.querySelector(`[data-filter=${key}]`).click();
const chips = () => Object.fromEntries([...log.element.querySelectorAll("[data-filter]")].map(
    (c) => [c.dataset.filter, Number(c.querySelector(".log-count").textContent)]));
const told = () => log.told.textContent;
const sources = () => [...log.filter.source.options].map((o) => o.text);
"""


async def run(page: Page, script: str) -> Any:
    return await page.evaluate("async () => {" + SETTING + script + "}")


async def test_counts_are_those_of_the_other_filters_and_the_list_says_how_much_of_the_log_it_is(
    document: Page,
) -> None:
    all_, high, high_technical, of_monitor = await run(
        document,
        """
        const seen = [[chips(), told(), sources()]];
        press("Hi");
        seen.push([chips(), told(), sources()]);
        press("Tec");
        seen.push([chips(), told(), sources()]);
        press("Tec");
        log.filter.source.value = "monitor";
        log.filter.source.dispatchEvent(new Event("change"));
        seen.push([chips(), told(), log.list.children.length]);
        return seen;
        """,
    )
    assert all_ == [
        {"Hi": 3, "Me": 1, "Lo": 1, "Phy": 3, "Tec": 2, "acts": 2},
        "6 of 6 lines",
        ["all sources", "Monitor · 3", "Pump · 1", "Tracker <b> · 1"],
    ]
    assert high == [
        {"Hi": 3, "Me": 1, "Lo": 1, "Phy": 2, "Tec": 1, "acts": 1},
        "3 of 6 lines",
        ["all sources", "Monitor · 2", "Pump · 1", "Tracker <b> · 0"],
    ]
    assert high_technical[1:] == [
        "1 of 6 lines",
        ["all sources", "Monitor · 0", "Pump · 1", "Tracker <b> · 0"],
    ]
    assert of_monitor[1:] == ["2 of 6 lines", 2]


async def test_an_alarm_that_holds_and_is_not_listed_stays_in_the_line_and_is_told_in_the_log(
    document: Page,
) -> None:
    shown, away, after, hidden = await run(
        document,
        """
        const alarmLine = new AlarmLine(session, () => {});
        press("Phy");
        log.update(view, catalogue, layout);
        alarmLine.update(view, catalogue, layout, true);
        const shown = alarmLine.shown.map((l) => l.title);
        const away = log.away.hidden ? "" : log.away.textContent;
        log.away.click();
        return [shown, away, told(), log.away.hidden];
        """,
    )
    assert shown == ["monitor/hr", "pump/occlusion"]
    assert away.startswith("1 alarms hold now and are not in this list")
    assert (after, hidden) == ("6 of 6 lines", True)


async def test_the_moment_of_the_screen_is_marked_and_a_row_goes_to_its_own(document: Page) -> None:
    marked, wishes, focused = await run(
        document,
        """
        const marked = log.list.querySelector("[aria-current]").dataset.line;
        const row = log.list.querySelectorAll("button")[3];
        row.focus();
        session.heard.alarmLog([line(55_000, "pump/air", "Tec", "Me", "active"), ...lines]);
        const focused = document.activeElement.dataset.line;
        document.activeElement.click();
        return [marked, wishes.filter((w) => w.do === "seek"), focused];
        """,
    )
    assert marked == "40000 monitor/hr active"
    assert focused == "30000 monitor/spo2 active", "a new line takes nobody's focus away"
    assert wishes == [{"do": "seek", "t": 30_000, "frozen": False}]


async def test_before_and_after_go_to_the_nearest_that_began_in_whatever_order_they_came(
    document: Page,
) -> None:
    found = await document.evaluate(
        """async () => {
            const { alarmBeside } = await import("/static/js/alarmfilter.js");
            const began = [{ t: 30 }, { t: 10_000 }, { t: 500 }, { t: 5_000 }];
            return [[5_000.4, -1], [5_000.4, 1], [0, -1], [20_000, 1], [300, 1]].map(
                ([t, way]) => alarmBeside(began, t, way)?.t ?? null);
        }"""
    )
    assert found == [500, 10_000, None, None, 5_000]
