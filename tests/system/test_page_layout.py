"""Panes on the page: where they stand by themselves, moved by people, saved for the room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.async_api import Locator, Page

from examples.anaesthesia_depth import depth_simulator
from tests.system.conftest import RunningRoom, launch
from tests.system.page_driver import state, until, violations

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]


# -- rooms that nobody has seen before


def device(name: str, *channels: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "label": {"en": name.title()},
        "channels": {channel["name"]: channel for channel in channels},
    }


def channel(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, **more}


def numerics(count: int) -> list[dict[str, Any]]:
    return [channel(f"n{i}", "numeric", unit="1") for i in range(count)]


MONITOR = device(
    "monitor",
    channel("ecg_ii", "waveform", numeric_of=["hr"]),
    channel("hr", "numeric"),
    channel("temp", "numeric"),
)
CAMERAS = [device(f"cam{i}", channel("video", "video")) for i in range(5)]
ROOMS: dict[str, list[dict[str, Any]]] = {
    "a thermometer": [device("thermometer", channel("skin", "numeric", unit="Cel"))],
    "one camera": [CAMERAS[0]],
    "five cameras": CAMERAS,
    "a monitor and five cameras": [MONITOR, *CAMERAS],
    "no video": [MONITOR, device("pump", *numerics(3), channel("state", "text"))],
    "40 numerics": [device("panel", *numerics(40))],
    "500 channels": [
        MONITOR,
        *CAMERAS,
        *(device(f"box{i}", *numerics(47), channel("w", "waveform")) for i in range(10)),
    ],
    "nothing": [],
    "9 tools without a picture": [device("tracker", *[channel(f"t{i}", "pose") for i in range(9)])],
}
SUGGESTED = """async ({ rooms, views }) => {
    const { layoutOf } = await import("/static/js/plan.js");
    const { arranged, panesOf } = await import("/static/js/layout/arrange.js");
    const { sound } = await import("/static/js/layout/grid.js");
    const found = {};
    for (const [name, devices] of Object.entries(rooms)) {
        const catalogue = { workspace: "or1", volumes: {}, title: {},
            devices: Object.fromEntries(devices.map((d) => [d.name, d])) };
        const again = JSON.parse(JSON.stringify(catalogue));
        for (const view of views) {
            const panes = panesOf(layoutOf(catalogue), catalogue);
            const { placed, hidden } = arranged(panes, view);
            const same = arranged(panesOf(layoutOf(again), again), view);
            const least = Object.fromEntries(panes.map((p) => [p.id, p.least]));
            found[`${view}, ${name}`] = {
                placed, hidden, sound: sound(placed), panes: panes.map((p) => p.id),
                same: JSON.stringify(same) === JSON.stringify({ placed, hidden }),
                small: Object.keys(placed).filter((id) =>
                    placed[id].w < least[id][0] || placed[id].h < least[id][1]),
                shown: panes.find((p) => p.id === "numbers")?.places.length ?? 0,
            };
        }
    }
    return found;
}"""


@pytest.fixture
async def suggested(blank: Page) -> dict[str, Any]:
    """What each room of `ROOMS` gets when nobody has arranged anything, by view and room."""
    found: dict[str, Any] = await blank.evaluate(
        SUGGESTED, {"rooms": ROOMS, "views": ["wall", "station"]}
    )
    return found


def area(rect: dict[str, int]) -> int:
    return rect["w"] * rect["h"]


async def test_a_room_never_seen_before_gets_a_layout_that_shows_what_it_has(
    suggested: dict[str, Any],
) -> None:
    for name, found in suggested.items():
        placed = found["placed"]
        assert found["sound"], name
        assert found["same"], f"{name}: the same room must give the same layout"
        assert found["small"] == [], f"{name}: a pane is too small to be read"
        assert sorted([*placed, *found["hidden"]]) == sorted(found["panes"]), name
    wall = {
        name.removeprefix("wall, "): f["placed"] for name, f in suggested.items() if "wall" in name
    }
    assert wall["a thermometer"] == {"numbers": {"x": 0, "y": 0, "w": 24, "h": 24}}
    assert wall["one camera"] == {"pictures": {"x": 0, "y": 0, "w": 24, "h": 24}}
    five = wall["five cameras"]
    assert set(five) == {"pictures"}, "one pane has all of them: one large, the others small"
    own = {f"video:cam{i}/video" for i in range(5)}
    assert own <= set(suggested["wall, five cameras"]["hidden"]), "each may have one of its own"
    assert set(wall["no video"]) == {"waves", "numbers", "device:pump"}
    assert sum(map(area, wall["no video"].values())) == 24 * 24, "no hole where a picture would be"
    assert suggested["wall, 40 numerics"]["shown"] == 40
    assert len(wall["500 channels"]) <= 16, "what cannot be read is not shown"
    assert area(wall["500 channels"]["waves"]) >= 24 * 24 / 5, "the patient first"
    assert wall["nothing"] == {}
    assert {"log", "notes", "trends"} <= set(suggested["station, nothing"]["placed"])


async def test_panes_never_overlap_and_never_leave_the_screen_whatever_is_pressed(
    blank: Page,
) -> None:
    broken = await blank.evaluate(
        """async () => {
            const g = await import("/static/js/layout/grid.js");
            let seed = 12345;
            const any = (n) =>
                ((seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff), (seed >>> 8) % n);
            const ids = ["a", "b", "c", "d", "e", "f", "g"];
            const least = { a: [4, 6], b: [3, 2], c: [3, 4], d: [5, 5], e: [3, 2], f: [2, 2] };
            least.g = [1, 1];
            let placed = { a: { x: 0, y: 0, w: 24, h: 24 } };
            const sides = ["left", "right", "up", "down"];
            const done = { step: 0, resize: 0, hide: 0, show: 0, moveTo: 0, exchange: 0,
                dock: 0 };
            for (let i = 0; i < 4000; i++) {
                const here = Object.keys(placed);
                const id = here[any(here.length)];
                const away = ids.filter((one) => !placed[one]);
                const acts = {
                    step: () => g.step(placed, least, id, sides[any(4)]),
                    resize: () => g.resize(placed, least, id, sides[any(4)], any(9) - 4),
                    hide: () => (here.length > 1 && any(4) === 0 ? g.hide(placed, id) : null),
                    show: () => away.length && g.show(placed, least, away[any(away.length)]),
                    moveTo: () => g.moveTo(placed, least, id, any(30) - 3, any(30) - 3),
                    exchange: () => g.exchange(placed, least, id, here[any(here.length)]),
                    dock: () => g.dock(placed, least, id, here[any(here.length)], sides[any(4)]),
                };
                const name = Object.keys(acts)[any(7)];
                const after = acts[name]();
                if (!after) continue;
                done[name]++;
                const small = Object.entries(after).filter(
                    ([one, r]) => r.w < least[one][0] || r.h < least[one][1]);
                const lost = name === "hide" || name === "show" ? false
                    : Object.keys(after).sort().join() !== here.sort().join();
                if (!g.sound(after) || small.length || lost) return { i, name, id, placed, after };
                placed = after;
            }
            return done;
        }"""
    )
    assert "after" not in broken, broken
    assert all(count > 20 for count in broken.values()), f"not everything was tried: {broken}"


async def test_a_pane_docks_at_the_edge_it_is_dropped_on_and_changes_places_over_the_middle(
    blank: Page,
) -> None:
    """A is left, B right above C; numbers are cells of 24 by 24."""
    drops, refused, words = await blank.evaluate(
        """async () => {
            const { dropAt, dropOn, nearEdge, wordsOf } =
                await import("/static/js/layout/docking.js");
            const placed = { a: { x: 0, y: 0, w: 12, h: 24 }, b: { x: 12, y: 0, w: 12, h: 12 },
                c: { x: 12, y: 12, w: 12, h: 12 } };
            const least = { a: [4, 4], b: [4, 4], c: [4, 4] };
            const flat = (r) => [r.x, r.y, r.w, r.h];
            const at = (id, x, y, needs = least) => {
                const drop = dropAt(placed, needs, id, x, y);
                const after = Object.entries(drop?.placed ?? {}).map(([k, r]) => [k, flat(r)]);
                return drop && [drop.host, drop.side, drop.placed && Object.fromEntries(after)];
            };
            const title = (id) => ({ spec: { title: id.toUpperCase() } });
            const board = { panes: new Map(["a", "b", "c"].map((id) => [id, title(id)])) };
            const said = ["left", "up", null].map((side) =>
                wordsOf(board, dropOn(placed, least, "c", "a", side)));
            return [
                [at("c", 0.5, 12), at("c", 6, 1), at("c", 6, 12), at("b", 23, 18), at("a", 6, 6)],
                at("c", 0.5, 12, { a: [10, 4], b: [4, 4], c: [4, 4] }),
                [...said, nearEdge(placed.b, 18, 6)],
            ];
        }"""
    )
    left, top, middle, right, own = drops
    # C leaves; B, above it, fills its place; A gives it its left or upper half.
    assert left == ["a", "left", {"a": [6, 0, 6, 24], "b": [12, 0, 12, 24], "c": [0, 0, 6, 24]}]
    assert top == ["a", "up", {"a": [0, 12, 12, 12], "b": [12, 0, 12, 24], "c": [0, 0, 12, 12]}]
    assert middle[:2] == ["a", None]
    assert (middle[2]["a"], middle[2]["c"]) == ([12, 12, 12, 12], [0, 0, 12, 24])
    assert right == ["c", "right", {"a": [0, 0, 12, 24], "b": [18, 0, 6, 24], "c": [12, 0, 6, 24]}]
    assert own is None, "over itself it only moves"
    assert refused == ["a", "left", None], "two that cannot be read side by side are not put so"
    assert words == ["left half of A", "upper half of A", "change places with A", None]


async def test_a_saved_layout_keeps_the_place_of_what_is_not_here_and_counts_what_is_new(
    blank: Page,
) -> None:
    found = await blank.evaluate(
        """async () => {
            const { adopted } = await import("/static/js/layout/arrange.js");
            const spec = (id) => ({ id, kind: id.split(":")[0], title: id, least: [3, 2],
                weight: 1, places: [] });
            const panes = ["waves", "numbers", "device:new", "log"].map(spec);
            const at = (pane, x, y, w, h) => ({ pane, x, y, w, h });
            const left = at("waves", 0, 0, 12, 24);
            const hidden = ["numbers"];
            const full = { panes: [left, at("device:gone", 12, 0, 12, 24)], hidden };
            const free = { panes: [left], hidden };
            const bad = { panes: [left, at("numbers", 0, 0, 12, 24)], hidden: [] };
            return [full, free, bad].map((saved) => adopted(panes, saved, "wall"));
        }"""
    )
    full, free, bad = found
    assert set(full["placed"]) == {"waves"}
    assert set(full["absent"]) == {"device:gone"}
    assert full["fresh"] == ["device:new"], "new, and no room: hidden and counted"
    assert free["placed"]["device:new"] == {"x": 12, "y": 0, "w": 12, "h": 24}
    assert "numbers" in free["hidden"], "who hid it meant it"
    assert len(bad["placed"]) > 1, "one that overlaps is not shown; the room's own is"


# -- a room with a device that nobody wrote a pane for


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRoom]:
    """A room of two third-party devices behind real sockets, without cameras."""
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True).start()

    async def probe(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"36.8\n")
                await writer.drain()
                await asyncio.sleep(0.5)

    async def listen() -> tuple[int, int]:
        servers = [
            await asyncio.start_server(one, "127.0.0.1", 0)
            for one in (depth_simulator.serve, probe)
        ]
        depth, thermometer = (server.sockets[0].getsockname()[1] for server in servers)
        return depth, thermometer

    depth, thermometer = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    base = tmp_path_factory.mktemp("layout")
    room_file = base / "room.toml"
    room_file.write_text(
        f"""
[room]
title = {{ en = "Ward 3", ja = "第3病室" }}
[recorder]
enabled = false
[[device]]
name = "depth"
provider = "scot_anaesthesia_depth:AnaesthesiaDepth"
options = {{ port = {depth} }}
[[device]]
name = "thermometer"
provider = "scot_thermometer:Thermometer"
options = {{ port = {thermometer} }}
"""
    )
    with pytest.MonkeyPatch.context() as patch:
        folders = [str(EXAMPLES / "thermometer"), str(EXAMPLES / "anaesthesia_depth")]
        patch.setenv("PYTHONPATH", ":".join(folders))
        started = launch(base / "state", ["up", str(room_file), "--port", "0"])
    yield started
    started.stop()
    loop.call_soon_threadsafe(loop.stop)


async def opened(page: Page, room: RunningRoom, path: str = "/") -> dict[str, Any]:
    """Enter the room, then open a page of it and wait until its panes stand."""
    secret = room.url.partition("#")[2]
    await page.goto(f"{room.url.partition('/#')[0]}{path}#{secret}")
    return await until(
        page,
        lambda s: (
            bool(s.get("layout", {}).get("placed"))
            and "or1/depth/index" in s["tiles"]
            and not s["tiles"]["or1/depth/index"]["stale"]
        ),
        30,
    )


async def test_a_device_that_nobody_wrote_a_pane_for_is_shown_from_its_catalogue(
    page: Page, room: RunningRoom
) -> None:
    now = await opened(page, room)
    assert now["errors"] == []
    row = page.locator(".pane .wave-row", has_text="EEG")
    assert "µV" in await row.locator(".wave-unit").inner_text()
    assert await row.evaluate("(e) => e.style.getPropertyValue('--color')") == "#d6a8ff"
    tile = row.locator(".tile", has_text="Depth index")
    assert "40–60" in await tile.locator(".tile-note").inner_text()
    assert "Signal quality" in await page.locator(".pane-numbers").inner_text()
    assert "≥ 50" in await page.locator(".pane .tile", has_text="Signal quality").inner_text()
    words = page.locator(".pane-device[data-pane='device:depth']")
    assert await words.locator(".card-words").inner_text() in ("light", "adequate", "deep")
    assert "36.8" in await page.locator("[data-pane='device:thermometer']").inner_text()
    columns = now["waveformColumnsDrawn"]
    await until(page, lambda s: s["waveformColumnsDrawn"] > columns + 50)
    await opened(page, room, "/?lang=ja")
    assert "脳波" in await page.locator(".wave-row").first.inner_text()
    assert await words.locator(".card-words").inner_text() in ("浅い", "適切", "深い")
    assert "麻酔深度モニタ" in await words.inner_text()


async def touch_drag(page: Page, start: Locator, end: Locator) -> None:
    """One finger down on an element, over to another, and up."""
    finger = await page.context.new_cdp_session(page)
    boxes = [await one.bounding_box() for one in (start, end)]
    (x, y), (to_x, to_y) = [
        (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes if box
    ]
    for kind, points in (
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": (x + to_x) / 2, "y": (y + to_y) / 2}]),
        ("touchMove", [{"x": to_x, "y": to_y}]),
        ("touchEnd", []),
    ):
        await finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


async def test_panes_are_arranged_by_keys_and_mouse_saved_and_followed_by_a_second_page(
    page: Page, room: RunningRoom
) -> None:
    first = await opened(page, room)
    before = first["layout"]["placed"]
    header = await page.locator(".alarm-line").bounding_box()
    await page.keyboard.press("e")
    # Keys: one step wider, then the thermometer away, then that undone.
    await page.locator("[data-frame='waves']").focus()
    await page.keyboard.press("Shift+ArrowRight")
    wider = await until(
        page, lambda s: s["layout"]["placed"]["waves"]["w"] == before["waves"]["w"] + 1
    )
    assert wider["layout"]["changed"]
    # Docking by keys is shown and said before anything moves, and can be taken back.
    await page.locator("[data-frame='device:thermometer']").focus()
    ghost = page.locator(".pane-ghost:not(.ghost-host)")
    for _ in range(len(before)):  # D again is the next neighbour: the nearest may be too small
        await page.keyboard.press("d")
        await ghost.wait_for()
        if "half of" in await ghost.inner_text():
            break
    assert "half of" in await ghost.inner_text()
    assert "Enter" in await page.locator(".layout-status").inner_text()
    assert (await state(page))["layout"]["placed"] == wider["layout"]["placed"]
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    docked = await until(page, lambda s: s["layout"]["placed"] != wider["layout"]["placed"])
    assert docked["layout"]["placed"].keys() == wider["layout"]["placed"].keys()
    assert await page.locator(".pane-ghost").count() == 0
    await page.keyboard.press("Control+z")
    await until(page, lambda s: s["layout"]["placed"] == wider["layout"]["placed"])
    await page.locator("[data-frame='device:thermometer']").focus()
    await page.keyboard.press("h")
    await until(page, lambda s: "device:thermometer" in s["layout"]["hidden"])
    assert "not shown" in await page.locator(".side-tools").inner_text()
    await page.locator("[data-frame='waves']").focus()
    await page.keyboard.press("Control+z")
    now = await until(page, lambda s: "device:thermometer" in s["layout"]["placed"])
    assert now["layout"]["placed"] == wider["layout"]["placed"]
    # Mouse: one pane onto another changes their places; an edge is pulled.
    a, b = page.locator("[data-frame='device:depth']"), page.locator("[data-frame='numbers']")
    await a.drag_to(b)
    swapped = await until(
        page, lambda s: s["layout"]["placed"]["numbers"] == now["layout"]["placed"]["device:depth"]
    )
    assert swapped["layout"]["placed"]["device:depth"] == now["layout"]["placed"]["numbers"]
    edge = await page.locator("[data-frame='waves'] .edge-right").bounding_box()
    assert edge is not None
    await page.mouse.move(edge["x"] + edge["width"] / 2, edge["y"] + edge["height"] / 3)
    await page.mouse.down()
    await page.mouse.move(edge["x"] - 300, edge["y"] + 20, steps=4)
    await page.mouse.up()
    pulled = await until(
        page,
        lambda s: s["layout"]["placed"]["waves"]["w"] < wider["layout"]["placed"]["waves"]["w"] - 2,
    )
    assert await page.locator(".alarm-line").bounding_box() == header, "never moved, never hidden"
    # Touch: the two change places again.
    await touch_drag(page, b, a)
    await until(
        page,
        lambda s: s["layout"]["placed"]["numbers"] == pulled["layout"]["placed"]["device:depth"],
    )
    await page.locator("[data-frame='waves']").focus()
    await page.keyboard.press("Control+z")
    await until(page, lambda s: s["layout"]["placed"] == pulled["layout"]["placed"])
    assert await page.locator(".lanes-canvas").is_visible()
    # Saved for the room, shown again after a reload, followed by a second page.
    await page.click("[data-act=savedLayouts]")
    await page.fill(".shelf input", "Ward night")
    await page.keyboard.press("Enter")
    saved = await until(page, lambda s: s["layout"]["version"] == 1 and not s["layout"]["changed"])
    assert "layout=Ward+night" in page.url
    await page.reload()
    again = await until(page, lambda s: bool(s.get("layout", {}).get("version") == 1))
    assert again["layout"]["placed"] == saved["layout"]["placed"] == pulled["layout"]["placed"]
    second = await page.context.new_page()
    await second.goto(page.url)
    await until(second, lambda s: s.get("layout", {}).get("placed") == saved["layout"]["placed"])
    await page.keyboard.press("e")
    await page.locator("[data-frame='waves']").focus()
    await page.keyboard.press("h")
    await page.click("[data-act=savedLayouts]")
    await page.keyboard.press("Enter")
    followed = await until(second, lambda s: s["layout"]["version"] == 2)
    assert "waves" in followed["layout"]["hidden"]
    # A fixed version does not follow.
    await second.goto(f"{page.url.partition('?')[0]}?layout=Ward+night@1")
    fixed = await until(second, lambda s: s.get("layout", {}).get("version") == 1)
    assert fixed["layout"]["placed"] == saved["layout"]["placed"]
    await second.close()


async def test_of_two_editors_the_second_is_told_and_keeps_what_they_made(
    page: Page, room: RunningRoom
) -> None:
    await opened(page, room)
    other = await page.context.new_page()
    await opened(other, room)

    async def save(one: Page, name: str) -> None:
        if await one.locator(".shelf").is_hidden():
            await one.click("[data-act=savedLayouts]")
        await one.fill(".shelf input", name)
        await one.keyboard.press("Enter")

    async def hide(one: Page, pane: str) -> None:
        await one.keyboard.press("e")
        await one.locator(f"[data-frame='{pane}']").focus()
        await one.keyboard.press("h")

    await hide(page, "numbers")
    await save(page, "Shared")
    await until(page, lambda s: s["layout"]["version"] == 1)
    await hide(other, "device:depth")
    await save(other, "Shared")  # a new name for this page, and there already
    told = await until(other, lambda s: s["layout"]["conflict"] == 1)
    assert "device:depth" in told["layout"]["hidden"], "what they made is still there"
    assert "version 1" in await other.locator(".shelf-trouble").inner_text()
    assert await violations(other) == [], "the editor and the shelf, with everything open"
    await save(other, "Shared by two")
    mine = await until(other, lambda s: s["layout"]["name"] == "Shared by two")
    assert "device:depth" in mine["layout"]["hidden"]
    assert (await until(page, lambda s: True))["layout"]["version"] == 1, "theirs stands"
    await other.close()


async def test_a_hidden_pane_with_an_alarm_is_named_and_one_press_away(
    page: Page, room: RunningRoom
) -> None:
    await opened(page, room)
    await page.keyboard.press("e")
    await page.locator("[data-frame='waves']").focus()
    await page.keyboard.press("h")
    await until(page, lambda s: "waves" in s["layout"]["hidden"])
    assert await page.locator(".hidden-alarm").is_hidden()
    os.kill(room.pids["depth"], signal.SIGSTOP)  # its source is lost: an alarm of the room
    try:
        await page.locator(".hidden-alarm:not([hidden])").wait_for(timeout=15_000)
        assert "Waveforms" in await page.locator(".hidden-alarm").inner_text()
        assert any(line["alarm"]["device"] == "depth" for line in (await state(page))["alarmLine"])
        assert await page.locator(".alarm-pill").first.is_visible()
        await page.locator(".hidden-alarm").click()
        await until(page, lambda s: "waves" in s["layout"]["placed"])
    finally:
        os.kill(room.pids["depth"], signal.SIGCONT)


async def test_the_station_has_time_under_its_hands_and_fits_a_desk_and_a_phone(
    page: Page, room: RunningRoom
) -> None:
    now = await opened(page, room, "/station")
    assert {"log", "notes", "trends", "waves"} <= set(now["layout"]["placed"])
    assert await page.locator(".pane .drawer.docked").count() == 2
    assert await violations(page) == []
    await page.click(".dvr-button:has-text('−5 s')")
    await until(page, lambda s: s["behindLiveMs"] > 3_000)
    await page.keyboard.press("Escape")
    await until(page, lambda s: s["mode"] == "live")
    small = await page.evaluate(
        """() => [...document.querySelectorAll(".dvr-button")]
            .map((b) => b.getBoundingClientRect())
            .filter((r) => r.width < 44 || r.height < 44).length"""
    )
    assert small == 0
    await page.set_viewport_size({"width": 390, "height": 844})
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
