"""What the wall says it is worth, when parts of a real room are stopped, stalled and corrupted."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest
from playwright.async_api import Page

from scot.bus.connection import Connection
from scot.sample import Flags, PoseValue, Sample
from scot.timestamp import ClockState, Timestamp
from tests.system.conftest import RunningRoom
from tests.system.page_driver import open_wall, until

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]

BLIND = re.compile(r"no view for \d+.* s, \d\d:\d\d:\d\d–\d\d:\d\d:\d\d")


def standing(now: dict[str, Any]) -> set[str]:
    return set(str(now["standing"]).split())


def alarms(now: dict[str, Any]) -> dict[str, str]:
    return {alarm["id"]: alarm["state"] for alarm in now["alarms"]}


@pytest.fixture
async def wall(page: Page, room: RunningRoom) -> Page:
    """The wall of the shared room, live and well."""
    await open_wall(page, room)
    await until(page, lambda s: "live" in standing(s) and "stale" not in standing(s), 30)
    return page


async def test_live_simulated_and_behind_each_have_their_word_and_a_voice(wall: Page) -> None:
    now = await until(wall, lambda s: {"live", "simulated"} <= standing(s))
    assert not standing(now) & {"lost", "silent", "replay", "behind"}
    await wall.keyboard.press(" ")
    await until(wall, lambda s: "behind" in standing(s) and "live" not in standing(s))
    assert "Behind live" in str(await wall.locator(".standing .unseen").text_content())
    await wall.keyboard.press("l")
    await until(wall, lambda s: "live" in standing(s))
    assert "Live" in str(await wall.locator(".standing .unseen").text_content())


async def test_a_device_that_stalls_is_named_and_its_alarms_are_unknown_and_come_back(
    wall: Page, room: RunningRoom
) -> None:
    os.kill(room.pids["sim-monitor_sim"], signal.SIGSTOP)
    try:
        now = await until(wall, lambda s: "stale" in standing(s), 15)
        assert alarms(now)["room/lost/monitor"] == "active"
        assert {s for i, s in alarms(now).items() if i.startswith("monitor/")} <= {"unknown"}
        await wall.locator(".alarm-pill", has_text="alarms unknown").wait_for()
        assert "live" in standing(now), "what still speaks goes on"
        await wall.keyboard.press("a")
        await until(wall, lambda s: alarms(s).get("room/lost/monitor") == "acked")
    finally:
        os.kill(room.pids["sim-monitor_sim"], signal.SIGCONT)
    await until(wall, lambda s: "stale" not in standing(s), 20)


async def test_a_device_whose_times_and_values_are_wrong_is_doubted_by_name(
    wall: Page, room: RunningRoom
) -> None:
    connection = await Connection.join(room.link("tracker"))
    seq = 0

    def corrupt() -> None:
        nonlocal seq
        seq += 1
        time = Timestamp(0, 37_000_000_000 + seq, None, None, ClockState.UNSYNCED)
        value = PoseValue((float("nan"), 1e308, 0.0), (0, 0, 0, 1))
        channel = connection.catalogue.devices["tracker"].channels["probe"]
        sample = Sample("or1/tracker/probe", connection.client.epoch, seq, time, Flags(0), value)
        connection.publish(sample, channel)

    def doubted(now: dict[str, Any]) -> bool:
        corrupt()
        return alarms(now).get("room/clock/tracker") == "active"

    # The tracker itself stands still: one that is half right is judged by its better half.
    os.kill(room.pids["sim-tracker_sim"], signal.SIGSTOP)
    try:
        now = await until(wall, doubted, 20)
        assert now["errors"] == [], "nonsense is inert"
    finally:
        os.kill(room.pids["sim-tracker_sim"], signal.SIGCONT)
        await connection.close()


@pytest.mark.parametrize("process", ["dashboard", "broker"])
async def test_the_page_outlives_a_restart_and_says_how_long_it_was_blind(
    wall: Page, room: RunningRoom, process: str
) -> None:
    await wall.evaluate(
        """() => {
            window.said = [];
            const voice = document.querySelector(".standing .unseen");
            new MutationObserver(() => window.said.push(voice.textContent))
                .observe(voice, { childList: true, characterData: true, subtree: true });
        }"""
    )
    os.kill(room.pids[process], signal.SIGKILL if process == "dashboard" else signal.SIGSTOP)
    word = {"broker": "silent", "dashboard": "lost"}[process]
    now = await until(wall, lambda s: word in standing(s), 20)
    assert "live" not in standing(now)
    assert await wall.locator(".lost-banner").is_visible()
    known = now["blind"]
    if process == "broker":
        os.kill(room.pids[process], signal.SIGCONT)
    back = await until(wall, lambda s: "live" in standing(s), 60)
    span = back["blind"][-1]
    assert span not in known
    assert 1_500 < span["to"] - span["from"] < 60_000
    note = wall.locator(".blind-note")
    assert BLIND.search(str(await note.text_content()))
    said = await wall.evaluate("window.said.join('|')")
    assert "no view" in said


async def test_every_word_has_a_sentence_of_its_own(wall: Page) -> None:
    shown = await wall.evaluate(
        """async () => {
            const { standingOf, spanWords } = await import("/static/js/standing.js");
            const { word } = await import("/static/js/text.js");
            const view = (more) => ({ connected: true, lost_ms: 0, mode: "live",
                silent_ms: { m: 10 }, alarms: [], clocks: {}, simulated: false, ...more });
            const room = { replay: false, devices: {} };
            const words = ["lost", "silent", "replay", "behind", "unsynced", "simulated", "live"];
            return {
                words: [
                    standingOf(view({ connected: false }), room),
                    standingOf(view({ silent_ms: { m: 11_000, n: 12_000 } }), room),
                    standingOf(view({ silent_ms: { m: 90_000 } }), { ...room, replay: true }),
                    standingOf(view({ mode: "frozen" }), room),
                    standingOf(view({ clocks: { m: { err_ms: null, state: 0 } } }), room),
                    standingOf(view({ simulated: true }), room),
                    standingOf(view({ alarms: [{ own: true, id: "room/lost/m", state: "acked" }] }),
                        room),
                ],
                said: new Set(words.map((w) => word(`say_${w}`))).size,
            }; }"""
    )
    assert shown["words"] == [
        ["lost"],
        ["silent"],
        ["replay"],
        ["behind"],
        ["live", "unsynced"],
        ["live", "simulated"],
        ["live", "stale"],
    ]
    assert shown["said"] == 7
