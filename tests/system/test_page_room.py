"""The wall in a real browser, on a real demo room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.async_api import Page

from scot.bus.connection import Connection
from scot.channel import Kind
from scot.sample import NumericValue
from tests.system.conftest import Collector, RunningRoom, StartRoom
from tests.system.page_driver import (
    DASH,
    FIRST_PICTURE_S,
    drawn_more,
    open_wall,
    state,
    until,
)

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]


async def test_no_canvas_is_clipped_to_round_corners(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    clipped = await page.evaluate(
        """() => [...document.querySelectorAll("canvas")].flatMap((canvas) => {
            const round = [];
            for (let at = canvas; at; at = at.parentElement) {
                const { overflow, borderRadius } = getComputedStyle(at);
                if (borderRadius !== "0px" && (at === canvas || overflow !== "visible"))
                    round.push(at.className);
            }
            return round;
        })"""
    )
    assert clipped == [], "without a GPU that doubles the cost of every frame of the screen"


async def test_pictures_are_drawn_and_each_names_its_own_bus_time(
    page: Page, room: RunningRoom
) -> None:
    first = await open_wall(page, room)
    later = await until(page, lambda s: s["videoFramesDrawn"] >= first["videoFramesDrawn"] + 25)
    passed_s = (int(later["lastVideoBusNs"]) - int(first["lastVideoBusNs"])) / 1e9
    frames = later["videoFramesDrawn"] - first["videoFramesDrawn"]
    assert frames / passed_s <= 26, "a picture was counted twice, or its time is not its own"
    assert later["errors"] == []


async def test_a_picture_on_the_screen_is_one_that_the_bus_carried(
    page: Page, room: RunningRoom
) -> None:
    await open_wall(page, room)
    connection = await Connection.join(room.link())
    sink = Collector()
    connection.subscribe(["or1/scope/video"], sink)
    await sink.until(lambda: len(sink.deliveries) > 30, 20)
    shown = set()
    for _ in range(4):
        drawn = (await state(page))["videoFramesDrawn"]
        now = await until(page, partial(drawn_more, drawn + 3))
        shown.add(int(now["lastVideoBusNs"]))
    await sink.until(lambda: sink.deliveries[-1].header.bus_ns > max(shown), 20)
    await connection.close()
    carried = {delivery.header.bus_ns for delivery in sink.deliveries}
    assert shown <= carried


async def test_waveforms_move(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    box = await page.locator(".waves-canvas").first.bounding_box()
    assert box is not None
    # The top row's trace, without its text and without the numbers beside it.
    clip = {"x": box["x"], "y": box["y"] + 30, "width": box["width"] * 0.6, "height": 60}
    first = await state(page)
    before = await page.screenshot(clip=clip)  # type: ignore[arg-type]
    await until(
        page, lambda s: s["waveformColumnsDrawn"] >= first["waveformColumnsDrawn"] + 600, 20
    )
    after = await page.screenshot(clip=clip)  # type: ignore[arg-type]
    assert before != after


async def test_numerics_are_those_of_the_bus(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    connection = await Connection.join(room.link())
    numerics = [
        address
        for address in connection.catalogue.addresses()
        if (channel := connection.catalogue.channel(address)) and channel.kind is Kind.NUMERIC
    ]
    assert len(numerics) >= 12
    sink = Collector()
    connection.subscribe(numerics, sink)
    often = [address for address in numerics if "nibp" not in address]
    await sink.until(lambda: {d.frame.address for d in sink.deliveries} >= set(often), 20)

    def said(address: str, value: float | None) -> str:
        return f"{value:.1f}" if "temp" in address else f"{value:g}"

    def shown(now: dict[str, Any]) -> bool:
        newest = {
            d.frame.address: cast(NumericValue, d.sample().value).value for d in sink.deliveries
        }
        return all(
            now["tiles"][address]["text"] == said(address, newest[address]) for address in often
        )

    for _ in range(3):
        await until(page, shown)
        count = len(sink.deliveries)
        await sink.until(lambda: len(sink.deliveries) >= count + len(often), 20)  # noqa: B023
    await connection.close()


async def test_the_probe_has_a_distance_with_its_error(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    await until(page, lambda s: (s["navigation"] or {}).get("text", DASH) not in ("", DASH))
    assert "±" in await page.locator(".distance-unit").inner_text()
    assert [await p.inner_text() for p in await page.locator(".nav-view .pane-title").all()][
        :3
    ] == [
        "Axial",
        "Coronal",
        "Sagittal",
    ]


async def test_rewind_moves_every_pane_and_the_room_goes_on(page: Page, room: RunningRoom) -> None:
    live = await open_wall(page, room)
    await until(page, lambda s: int(s["lastVideoBusNs"]) - int(live["lastVideoBusNs"]) > 8e9, 30)
    before = await state(page)
    columns = before["waveformColumnsDrawn"]
    await page.keyboard.press("ArrowLeft")
    then = await until(
        page,
        lambda s: (
            s["mode"] == "play"
            and not s["seeking"]
            and int(s["lastVideoBusNs"]) < int(before["lastVideoBusNs"]) - 2e9
            and s["waveformColumnsDrawn"] > columns + 300
        ),
    )
    assert 4_000 < then["behindLiveMs"] < 12_000
    banner = page.locator(".behind-banner")
    assert "BEHIND LIVE" in await banner.inner_text()
    assert await page.locator(".picture-inset").is_visible(), "live stays in sight"
    # All panes stand at one moment: the picture is no further from the cursor than a frame or two,
    # and the numbers are as old as they were then.
    picture_ms = int(then["lastVideoBusNs"]) / 1e6 - 37_000
    assert abs(picture_ms - then["cursorUnixMs"]) < 1_000
    assert all(
        tile["age_ms"] is None or tile["age_ms"] < 5_000 or "nibp" in address
        for address, tile in then["tiles"].items()
    )
    await page.keyboard.press(" ")
    frozen = await until(page, lambda s: s["mode"] == "frozen" and not s["seeking"])
    await until(page, lambda s: s["behindLiveMs"] > frozen["behindLiveMs"] + 1_000)
    assert (await state(page))["cursorUnixMs"] == frozen["cursorUnixMs"]
    await page.keyboard.press("l")
    back = await until(
        page,
        lambda s: s["mode"] == "live" and int(s["lastVideoBusNs"]) > int(before["lastVideoBusNs"]),
    )
    assert back["behindLiveMs"] == 0
    assert not await banner.is_visible()


async def test_the_alarm_line_stays_live_while_the_panes_are_behind(
    page: Page, room: RunningRoom
) -> None:
    await open_wall(page, room)
    await page.keyboard.press("ArrowLeft")
    await until(page, lambda s: s["mode"] == "play")
    connection = await Connection.join(room.link())
    sink = Collector()
    connection.subscribe(["or1/monitor/alarms"], sink)
    ids: dict[str, bool] = {}

    def agree(now: dict[str, Any]) -> bool:
        for delivery in sink.deliveries:
            alarm: Any = delivery.sample().value
            ids[alarm.id] = alarm.present
        on = {name for name, present in ids.items() if present}
        return on <= {alarm["id"] for alarm in now["alarms"]}

    await until(page, agree)
    note = await page.locator(".alarm-note").inner_text()
    assert "not for primary alarm notification" in note
    await connection.close()


async def test_the_scrubber_rewinds_where_it_is_pressed(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    box = await page.locator(".lanes-canvas").bounding_box()
    assert box is not None
    now = await state(page)
    await until(page, lambda s: s["cursorUnixMs"] > now["cursorUnixMs"] + 3_000)
    await page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 3)
    await until(page, lambda s: s["mode"] == "play" and s["behindLiveMs"] > 1_000)
    await page.locator(".live-pill").click()
    await until(page, lambda s: s["mode"] == "live")


async def test_without_its_key_the_wall_says_what_to_do(page: Page, room: RunningRoom) -> None:
    await page.goto(room.url.split("#")[0])
    await page.locator("#message", has_text="scot demo").wait_for(timeout=10_000)


async def test_a_wrong_key_says_what_to_do(page: Page, room: RunningRoom) -> None:
    await page.goto(room.url.split("#")[0] + "#wall=wrong")
    await until(page, lambda s: s.get("connected") is False)
    await page.locator("#message:not(:has-text('Opening'))").wait_for(timeout=10_000)
    assert len(await page.locator("#message").inner_text()) > 20


@pytest.mark.timeout(240)
async def test_when_a_device_falls_silent_its_tiles_turn_grey_and_hold_no_number(
    page: Page, start_room: StartRoom
) -> None:
    room = start_room()
    await open_wall(page, room)
    await page.evaluate(
        """() => { window.oldest = 0; setInterval(() => {
            for (const name of ["hr", "spo2"]) {
                const tile = window.scot.tiles[`or1/monitor/${name}`];
                if (!tile.stale) window.oldest = Math.max(window.oldest, tile.age_ms);
            }
        }, 50); }"""
    )
    os.kill(room.pids["sim-monitor_sim"], signal.SIGSTOP)
    stale = await until(
        page,
        lambda s: s["tiles"]["or1/monitor/hr"]["stale"] and s["tiles"]["or1/monitor/spo2"]["stale"],
        40,
    )
    assert await page.evaluate("window.oldest") <= 5_000, "no number stood longer than its limit"
    assert stale["tiles"]["or1/monitor/hr"]["text"] == DASH
    tile = page.locator(".pane .tile", has_text="HR").first
    assert "no data" in await tile.inner_text()
    assert await page.locator(".wave-row.silent").count() >= 6
    await page.locator(".alarm-pill", has_text="alarms unknown").wait_for(timeout=10_000)
    # What still speaks goes on.
    frames = stale["videoFramesDrawn"]
    await until(page, lambda s: s["videoFramesDrawn"] > frames + 5)
    os.kill(room.pids["sim-monitor_sim"], signal.SIGCONT)
    back = await until(page, lambda s: not s["tiles"]["or1/monitor/hr"]["stale"], 30)
    assert back["tiles"]["or1/monitor/hr"]["text"] != DASH


@pytest.mark.timeout(240)
async def test_when_the_line_is_lost_every_tile_goes_stale_by_itself(
    page: Page, start_room: StartRoom
) -> None:
    room = start_room()
    await open_wall(page, room)
    os.kill(room.pids["dashboard"], signal.SIGSTOP)
    lost = await until(page, lambda s: not s["connected"], 15)
    assert lost["errors"] == []
    now = await until(
        page,
        lambda s: all(
            tile["stale"] for address, tile in s["tiles"].items() if "nibp" not in address
        ),
        15,
    )
    assert {t["text"] for a, t in now["tiles"].items() if "nibp" not in a} == {DASH}
    assert "connection lost" in await page.locator(".chip-lost").inner_text()
    os.kill(room.pids["dashboard"], signal.SIGCONT)
    await until(page, lambda s: s["connected"] and not s["tiles"]["or1/monitor/hr"]["stale"], 30)


async def test_when_the_worker_hangs_its_numbers_do_not_stay(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    feed = next(worker for worker in page.workers if worker.url.endswith("/feed/worker.js"))
    hung = asyncio.create_task(feed.evaluate("() => { for (;;); }"))
    now = await until(page, lambda s: not s["connected"] and s["tiles"]["or1/monitor/hr"]["stale"])
    fresh = [address for address, tile in now["tiles"].items() if not tile["stale"]]
    assert all("nibp" in address for address in fresh), "a cuff's reading keeps for half an hour"
    assert await page.locator(".wave-row .tile:not(.stale)").count() == 0
    hung.cancel()


async def test_rewind_goes_past_what_the_page_itself_holds(page: Page, room: RunningRoom) -> None:
    await open_wall(page, room)
    await until(page, lambda s: s["cursorUnixMs"] - s["oldestUnixMs"] > 30_000, 60)
    for _ in range(4):
        await page.keyboard.press("ArrowLeft")
    then = await until(
        page,
        lambda s: (  # it plays on meanwhile: what counts is the cursor, not where it began
            s["behindLiveMs"] > 19_000
            and not s["seeking"]
            and abs(int(s["lastVideoBusNs"]) / 1e6 - 37_000 - s["cursorUnixMs"]) < 1_000
            and not s["tiles"]["or1/monitor/hr"]["stale"]
        ),
    )
    on = await until(page, lambda s: s["cursorUnixMs"] > then["cursorUnixMs"] + 6_000, 15)
    assert int(on["lastVideoBusNs"]) > int(then["lastVideoBusNs"]), "it plays on from there"
    assert not on["tiles"]["or1/monitor/hr"]["stale"]


@pytest.mark.timeout(240)
async def test_a_new_device_gets_its_place_with_no_code(
    page: Page, start_room: StartRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def probe(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"36.8\n")
                await writer.drain()
                await asyncio.sleep(0.5)

    server = await asyncio.start_server(probe, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    room_file = tmp_path / "room.toml"
    room_file.write_text(
        f"""
[room]
title = {{ en = "Ward 3" }}
[recorder]
enabled = false
[[device]]
name = "thermometer"
provider = "scot_thermometer:Thermometer"
options = {{ port = {port} }}
"""
    )
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES / "thermometer"))
    room = await asyncio.to_thread(start_room, "up", str(room_file), "--port", "0")
    await page.goto(room.url)
    address = "or1/thermometer/skin"
    now = await until(page, lambda s: s.get("tiles", {}).get(address, {}).get("text") == "36.8", 30)
    assert not now["tiles"][address]["stale"]
    assert "°C" in await page.locator(".pane .tile", has_text="Skin temperature").inner_text()
    server.close()


@pytest.mark.parametrize(("path", "width"), [("/", 390), ("/station", 1920)])
async def test_nothing_jumps_from_the_cold_page_to_its_first_values(
    page: Page, room: RunningRoom, path: str, width: int
) -> None:
    await page.set_viewport_size({"width": width, "height": 1080 if width > 900 else 844})
    await page.add_init_script(
        """window.jumped = [];
        new PerformanceObserver((list) => { for (const e of list.getEntries())
            jumped.push([e.value, e.sources.map((s) => s.node?.className ?? "")]); }).observe(
            { type: "layout-shift", buffered: true });"""
    )
    base, _, key = room.url.partition("/#")
    await page.goto(f"{base}{path}#{key}")
    await until(
        page,
        lambda s: s.get("tiles", {}).get("or1/monitor/hr", {}).get("text", DASH) not in ("", DASH),
        FIRST_PICTURE_S,
    )
    jumped = await page.evaluate("jumped")
    assert sum(value for value, _ in jumped) <= 0.01, jumped
