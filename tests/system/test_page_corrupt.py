"""Every state of the page and back by itself: connecting, corrupted, cut, stalled, replay.

The tracker and its provider are real; what lies between them is a wire that a test spoils.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from scot.room import free_ports
from tests.system.conftest import RunningRoom, launch
from tests.system.page_driver import state, until
from tools.screenshots import View, held_room, opened

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(240)]

ROOM = """
[room]
workspace = "or1"
[recorder]
enabled = false
[[simulator]]
name = "tracker_sim"
module = "scot_devices.simulators.tracker"
arguments = ["--port", "{port}", "--seed", "7", "--no-occlusion"]
[[device]]
name = "tracker"
provider = "openigtlink"
simulated = true
label = {{ en = "Navigation", ja = "ナビゲーション" }}
[device.options]
host = "127.0.0.1"
port = {wire}
frame = "mni152"
tools = [{{ name = "Probe", error_mm = 0.8, axis = "+z", target_mm = [-33, 18, 2] }}]
"""


class Wire:
    """Carries bytes from the simulator to the provider as a test says.

    Attributes:
        far, near: ports of the simulator, and for the provider.
        how: `whole`, `flipped` (a bit of each piece), `cut` (ends after some bytes), `stalled`.
    """

    def __init__(self, far: int) -> None:
        self.how = "whole"
        self.far = far
        self.near, *_ = free_ports(1)
        self.moves = asyncio.Event()
        self.loop = asyncio.new_event_loop()

    def set(self, how: str) -> None:
        """Carry so from now on."""
        self.how = how
        act = self.moves.clear if how == "stalled" else self.moves.set
        self.loop.call_soon_threadsafe(act)

    async def serve(self) -> None:
        """Listen for the provider."""
        await asyncio.start_server(self._carry, "127.0.0.1", self.near)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, up = await asyncio.open_connection("127.0.0.1", self.far)
            back = asyncio.create_task(self._back(reader, up))
            while data := await there.read(4096):
                await self.moves.wait()
                if self.how == "cut":
                    writer.write(data[:30])  # in the middle of a header
                    break
                if self.how == "flipped":  # a bit of every message at least
                    data = bytes(b ^ (i % 40 == 39) for i, b in enumerate(data))
                writer.write(data)
                await writer.drain()
            back.cancel()
            up.close()
        writer.close()

    async def _back(self, reader: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                up.write(data)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """The wire, between ports that the room file names."""
    made = Wire(free_ports(1)[0])
    Thread(target=made.loop.run_forever, daemon=True).start()
    made.set("whole")
    asyncio.run_coroutine_threadsafe(made.serve(), made.loop).result()
    yield made
    made.loop.call_soon_threadsafe(made.loop.stop)


@pytest.fixture(scope="module")
def room(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRoom]:
    """A room with a tracker behind the wire."""
    base = tmp_path_factory.mktemp("corrupt")
    (base / "room.toml").write_text(ROOM.format(port=wire.far, wire=wire.near))
    started = launch(base / "state", ["up", str(base / "room.toml"), "--port", "0"])
    yield started
    started.stop()


def words(now: dict[str, Any]) -> set[str]:
    return set(str(now.get("standing", "")).split())


@pytest.fixture
async def wall(page: Page, room: RunningRoom, wire: Wire) -> AsyncIterator[Page]:
    """The wall, live; what it says aloud is kept in `window.said`."""
    await page.goto(room.url)
    await until(page, lambda s: "live" in words(s) and "stale" not in words(s), 60)
    await page.evaluate(
        """() => {
            window.said = [];
            const voice = document.querySelector(".standing .unseen");
            new MutationObserver(() => window.said.push(voice.textContent))
                .observe(voice, { childList: true, characterData: true, subtree: true });
        }"""
    )
    yield page
    wire.set("whole")


@pytest.mark.parametrize("how", ["flipped", "cut", "stalled"])
async def test_what_a_spoilt_wire_brings_is_never_live_and_it_comes_back_by_itself(
    wall: Page, wire: Wire, how: str
) -> None:
    wire.set(how)
    await until(wall, lambda s: "live" not in words(s), 60)
    # Words in a banner, not colour alone; and of the tool no distance.
    await wall.locator(".lost-banner strong", has_text="no view for").wait_for()
    await until(
        wall, lambda s: not any(c.isdigit() for c in (s["navigation"] or {}).get("text", ""))
    )
    wire.set("whole")
    now = await until(wall, lambda s: "live" in words(s) and bool(s["blind"]), 60)
    assert now["errors"] == []
    await wall.locator(".blind-note", has_text="no view for").wait_for()
    said = "|".join(await wall.evaluate("window.said"))
    assert "No data" in said or "Connection lost" in said
    assert "Live" in said, said


HOLD = """() => {
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (wish, ...more) {
        if (wish?.do !== "open") return postMessage.call(this, wish, ...more);
        window.go = () => postMessage.call(this, wish, ...more);
    };
}"""


@pytest.mark.parametrize("path", ["/", "/engineer"])
async def test_a_page_that_gets_no_answer_says_so_and_opens_by_itself(
    page: Page, room: RunningRoom, path: str
) -> None:
    await page.goto(room.url)  # the key is traded for a cookie here
    await until(page, lambda s: bool(s.get("connected")))
    # The page is whole when its room stops: it is the line that gets no answer.
    await page.add_init_script(f"({HOLD})()")
    await page.goto(f"{room.url.partition('/#')[0]}{path}")
    message = page.locator("#message")
    await message.filter(has_text="Opening the room").wait_for()
    await page.wait_for_function("Boolean(window.go)")
    os.kill(room.pids["dashboard"], signal.SIGSTOP)
    try:
        await page.evaluate("window.go()")
        await message.filter(has_text="does not answer").wait_for()
        assert await message.get_attribute("role") == "status", "and it is announced"
        now = await state(page)
        assert words(now) <= {"connecting"}
        assert not now.get("tiles")
    finally:
        os.kill(room.pids["dashboard"], signal.SIGCONT)
    await until(page, lambda s: bool(s.get("connected")) and "live" in words(s), 60)
    await message.wait_for(state="hidden")


async def test_a_replay_is_told_from_live_by_words_frame_date_and_voice_on_every_view(
    browser: Browser, tmp_path: Path
) -> None:
    with held_room(tmp_path) as url:
        for path in ("/", "/station", "/engineer"):
            async with opened(browser, url, View("replay", path, held=False)) as page:
                now = await until(page, lambda s: "replay" in words(s))
                assert not words(now) & {"live", "stale", "lost", "silent"}
                assert "REPLAY" in await page.locator(".chip-state").inner_text()
                assert "not the patient" in str(
                    await page.locator(".standing .unseen").text_content()
                )
                assert await page.locator("body.replayed").count() == 1
                date = page.locator(".clock-date")
                assert await date.is_visible(), "a recording may be years old"
                assert any(c.isdigit() for c in await date.inner_text())
