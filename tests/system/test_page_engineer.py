"""The engineer's view of a recording: it plots what was recorded and moves the one player."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page

from scot.bus.connection import Connection
from scot.cli.transport import ask
from scot.transport import Wish
from tests.golden.made_recording import NAME, make
from tests.golden.made_recording import START_NS as START_NS_MADE
from tests.golden.recording_frames import START_NS, S, case
from tests.golden.recording_writing import write_recording
from tests.system.conftest import RunningRoom, StartRoom
from tests.system.page_driver import until

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]


def lists(address: str, said: dict[str, Any]) -> bool:
    """Whether the page lists a channel's samples."""
    return said["listed"] == address and bool(said["rows"])


def shares_of(said: dict[str, Any], device: str) -> list[float]:
    """How much of each bin of the recording a device spoke, from the first to its last second."""
    shares: list[float] = said["lanes"]["feeds"].get(device, [0.0])
    return shares[: len(shares) * 11 // 13]  # a second of the axis lies past the end


async def open_engineer(page: Page, room: RunningRoom) -> None:
    """Enter as the wall does, then open the engineer's page."""
    origin, _, secret = room.url.partition("/#wall=")
    headers = {"Origin": origin}
    answer = await page.request.post(f"{origin}/enter", data={"secret": secret}, headers=headers)
    assert answer.status == 204
    await page.goto(f"{origin}/engineer")


async def test_page_and_terminal_move_the_same_player_and_both_see_the_surgerys_time(
    page: Page, start_room: StartRoom, tmp_path: Path
) -> None:
    frames = [f for f in case(12.0) if "/room/" not in f.address]
    write_recording(tmp_path / "rec", [frames], sealed=1)
    arguments = ["replay", str(tmp_path / "rec"), "--no-browser", "--port", "0", "--paused"]
    room = start_room(*arguments)
    await open_engineer(page, room)
    art = "or1/monitor/art"
    shown = await until(page, lambda s: bool(s.get("player") and s["points"].get(art, 0) > 100), 30)
    assert shown["plotted"][:2] == [art, "or1/monitor/hr"]

    def position(said: dict[str, object]) -> int:
        player = said["player"]
        assert isinstance(player, dict)
        return int(player["position_ns"]) - START_NS

    # Nothing was played yet, and the lanes show all of it, to its end; one press goes anywhere.
    await until(page, lambda s: all(shares_of(s, "monitor")) and all(shares_of(s, "tracker")))
    box = await page.locator(".transport .lanes-canvas").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + 10)
    await until(page, lambda s: 6 * S < position(s) < 9 * S)
    await page.keyboard.press("Home")
    await until(page, lambda s: position(s) == 0)

    # Keys as fast as they come: each mark is set where the steps before it lead.
    for key in (">", "[", ">", ">", "]"):
        await page.keyboard.press(key)
    said = await until(page, lambda s: all(m and m["sample"] for m in s["marks"]))
    assert said["delta"].startswith("Δt 0.400000 s")
    assert [mark["address"] for mark in said["marks"]] == [art, art]
    await page.keyboard.press("Escape")
    await page.keyboard.press("Home")
    await until(page, lambda s: position(s) == 0)

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
    await until(page, lambda s: "A is after B" in s["delta"])  # 3 s apart, and known to 40 µs
    await page.keyboard.press("l")
    await until(page, lambda s: len(s["player"]["loop"]) == 2 and s["player"]["lap"] > 4)
    await connection.close()


async def test_the_page_says_what_is_lost_goes_there_and_hands_out_the_report_without_names(
    page: Page, start_room: StartRoom, tmp_path: Path
) -> None:
    make(tmp_path / "rec")
    arguments = ["replay", str(tmp_path / "rec"), "--no-browser", "--port", "0", "--paused"]
    room = start_room(*arguments)
    origin = room.url.split("/#")[0]
    async with page.expect_response(lambda r: r.url.endswith("/engineer") and r.status == 200):
        await page.goto(room.url.replace("/#", "/engineer#"))  # the door lets staff in
    await page.locator("body.engineer").wait_for()  # the door leads to the page
    await until(page, lambda s: bool(s.get("player") and s["plotted"]), 30)
    await page.keyboard.press("c")
    await until(page, lambda s: s["worth"] > 0, 60)
    await page.evaluate(
        """() => [...document.querySelectorAll(".worth tr")]
            .find((row) => row.textContent.startsWith("monitor/hr"))
            .querySelector(".worth-moment.lost").click()"""
    )
    gap_ns = START_NS_MADE + 3 * S  # of the sample before the two that are missing
    await until(page, lambda s: abs(int(s["player"]["position_ns"]) - gap_ns) < 20_000_000)
    answer = await page.request.get(f"{origin}/report?format=html", timeout=90_000)
    assert answer.status == 200, await answer.text()
    assert "case-report-deidentified.html" in answer.headers["content-disposition"]
    text = await answer.text()
    assert "monitor/hr" in text
    assert NAME not in text
    assert "case-4711" not in text
    rows = [msgspec.json.decode(line) for line in (room.state / "audit.jsonl").open()]
    assert [r["entity"] for r in rows if r["what"] == "report"] == ["html, de-identified"]


async def test_two_recordings_are_drawn_together_and_each_stands_in_its_own_time(
    page: Page, start_room: StartRoom, tmp_path: Path
) -> None:
    frames = [f for f in case(12.0) if "/room/" not in f.address]
    for name in ("trainee", "expert"):
        write_recording(tmp_path / name, [frames], sealed=1)
    both = [
        str(tmp_path / "trainee"),
        str(tmp_path / "expert"),
        "--align",
        "0:02,0:05",
        "-w",
        "or1",
    ]
    room = start_room("replay", *both, "--from", "6", "--no-browser", "--port", "0", "--paused")
    await open_engineer(page, room)
    arts = ["or1/a_monitor/art", "or1/b_monitor/art"]
    # Its plot is one: the points of both are counted under the first.
    shown = await until(
        page, lambda s: bool(s.get("player") and s["points"].get(arts[0], 0) > 200), 30
    )
    assert shown["plotted"][:2] == arts
    assert arts[1] not in shown["points"]
    assert await page.locator(".picture").count() == 2
    assert "−00:00:03.000" in shown["sides"]  # how far the expert was moved
    own = [int(seconds) for seconds in re.findall(r"[ABab]\d\d:\d\d:(\d\d)", shown["sides"])]
    assert own[1] - own[0] in {3, -57}
    for mark, address in (("[", "or1/a_monitor/hr"), ("]", "or1/b_monitor/hr")):
        await page.evaluate(
            """(address) => [...document.querySelectorAll("button.tree-name")]
                .find((b) => b.title.startsWith(`${address} `)).click()""",
            address,
        )
        await until(page, partial(lists, address))
        await page.keyboard.press(mark)
    await until(page, lambda s: "across recordings A → B" in s["delta"])
