"""The engineer's view of a recording: it plots what was recorded and moves the one player."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from playwright.async_api import Page

from scot.bus.connection import Connection
from scot.cli.transport import ask
from scot.transport import Wish
from tests.golden.recording_frames import START_NS, S, case
from tests.golden.recording_writing import write_recording
from tests.system.conftest import StartRoom
from tests.system.page_driver import until

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]


async def test_page_and_terminal_move_the_same_player_and_both_see_the_surgerys_time(
    page: Page, start_room: StartRoom, tmp_path: Path
) -> None:
    frames = [f for f in case(12.0) if "/room/" not in f.address]
    write_recording(tmp_path / "rec", [frames], sealed=1)
    arguments = ["replay", str(tmp_path / "rec"), "--no-browser", "--port", "0", "--paused"]
    room = start_room(*arguments)
    await page.goto(room.url)
    await page.goto(f"{room.url.split('/#')[0]}/engineer")
    art = "or1/monitor/art"
    shown = await until(page, lambda s: bool(s.get("player") and s["points"].get(art, 0) > 100))
    assert shown["plotted"][:2] == [art, "or1/monitor/hr"]

    def position(said: dict[str, object]) -> int:
        player = said["player"]
        assert isinstance(player, dict)
        return int(player["position_ns"]) - START_NS

    await page.keyboard.press("ArrowRight")
    await until(page, lambda s: position(s) == 5 * S)
    await page.keyboard.press(">")  # to the next sample of the listed channel
    await until(page, lambda s: 5 * S < position(s) <= 6 * S and not s["player"]["playing"])
    await page.keyboard.press("[")
    connection = await Connection.join(room.link())  # what a terminal, or a script, is
    answer = await ask(connection, Wish(to_ns=START_NS + 2 * S))
    assert not answer.error
    said = await until(page, lambda s: position(s) == 2 * S)
    assert answer.transport is not None
    assert answer.transport.bus_ns > START_NS + 12 * S  # bus time itself went on
    hour = msgspec.json.decode(msgspec.json.encode(said))["cursorUnixMs"]
    assert abs(hour * 1_000_000 + 37 * S - (START_NS + 2 * S)) < 2_000_000
    await until(page, lambda s: bool(s["rows"]))
    await page.keyboard.press("]")
    said = await until(page, lambda s: s["delta"].startswith("Δt -"))
    assert "A is after B" in said["delta"]  # 3 s apart, and known to 40 µs
    await page.keyboard.press("l")
    await until(page, lambda s: len(s["player"]["loop"]) == 2 and s["player"]["lap"] > 4)
    await connection.close()
