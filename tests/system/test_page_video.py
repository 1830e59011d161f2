"""Several cameras on the page: choose, hold, turn, point, keep a picture in the recording."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

import scot
from scot.bus.connection import Connection
from tests.system.conftest import Collector, RunningRoom, launch
from tests.system.moving_pictures import clip
from tests.system.page_driver import until
from tests.system.test_page_consult import admitted, draw

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]

ROOM = """
[room]
workspace = "or1"
[[device]]
name = "hand"
provider = "video"
label = {{ en = "Hand camera", ja = "ハンドカメラ" }}
options = {{ source = "{hand}" }}
[[device]]
name = "scope"
provider = "video"
label = {{ en = "Endoscope", ja = "内視鏡" }}
options = {{ source = "{scope}" }}
"""
SCOPE, HAND = "or1/scope/video", "or1/hand/video"


@pytest.fixture
def cameras(tmp_path: Path) -> Iterator[RunningRoom]:
    """A room with an endoscope and a camera that stands upright, recorded."""
    file = tmp_path / "room.toml"
    hand, scope = clip(tmp_path / "hand.mp4", 180, 320), clip(tmp_path / "scope.mp4", 640, 360)
    file.write_text(ROOM.format(hand=hand, scope=scope))
    base = tmp_path / "state"
    room = launch(base, ["up", str(file), "--port", "0", "--record", str(base / "recording")])
    yield room
    room.stop()


@pytest.fixture
async def guest(browser: Browser) -> AsyncIterator[Page]:
    """A professor's browser."""
    context = await browser.new_context(viewport={"width": 1600, "height": 900})
    yield await context.new_page()
    await context.close()


def large(now: dict[str, Any]) -> str:
    return str((now.get("pictures") or {}).get("large"))


def notes(sink: Collector) -> list[Any]:
    """What people drew and kept, as it came on the bus."""
    return [d.sample().value for d in sink.deliveries if d.frame.address.endswith("/notes")]


async def test_one_is_large_the_others_small_and_a_snapshot_is_in_the_recording(
    page: Page, guest: Page, cameras: RunningRoom
) -> None:
    await page.goto(cameras.url)
    now = await until(page, lambda s: s.get("videoFramesDrawn", 0) > 5 and bool(s["pictures"]), 30)
    thumbs = now["pictures"]["thumbs"]
    assert set(thumbs) == {HAND, SCOPE}
    await page.keyboard.press("1")  # by address: the hand camera
    await until(page, lambda s: large(s) == HAND and s["lastVideoBusNs"] is not None)
    await page.locator(f".thumb[data-address='{SCOPE}']").click()
    await until(page, lambda s: large(s) == SCOPE)
    await until(page, lambda s: s["pictures"]["thumbs"][HAND].endswith(" s"))
    canvas = page.locator(f".thumb[data-address='{HAND}'] canvas")
    assert await canvas.is_visible(), "the other one is small, and has a picture with its age"

    # A professor turns their own picture by 90° and points at what is red: it stays what is red.
    await admitted(guest, page, cameras)
    connection = await Connection.join(cameras.link())
    sink = Collector()
    connection.subscribe(["or1/consult/"], sink, fill=False)
    await guest.keyboard.press("2")
    await guest.keyboard.press("r")
    await until(guest, lambda s: large(s) == SCOPE and s["pictures"]["framing"]["turn"] == 90)
    await guest.locator(".picture-framed", has_text="90°").wait_for(timeout=10_000)
    box = await guest.locator(".picture").bounding_box()
    assert box is not None
    across = box["height"] * 360 / 640 / box["width"]  # of the pane that the turned picture fills
    await draw(guest, "ink", [(0.5 + across * 0.25, 0.25), (0.5 + across * 0.24, 0.24)])
    await sink.until(lambda: bool(notes(sink)))
    stroke: Any = notes(sink)[0]
    assert stroke.channel == SCOPE
    assert stroke.points[0] == pytest.approx((0.25, 0.25), abs=0.02), "top left as the camera saw"
    held = await until(guest, lambda s: s["mode"] == "frozen" and not s["seeking"])
    assert str(stroke.at_ns) == held["lastVideoBusNs"]

    # Space holds what is seen: amber frame, its time on the picture, the room small and live.
    await page.keyboard.press(" ")
    held = await until(page, lambda s: s["mode"] == "frozen" and not s["seeking"])
    assert await page.locator(".picture.held").count() == 1
    corner = await page.locator(".picture-corner").inner_text()
    assert len(corner.split(":")) == 3, f"the time of the frozen picture, not {corner!r}"
    await page.locator(".picture-inset").wait_for()

    # K keeps that very frame; the room hears of it, and who did it is in the audit.
    await page.keyboard.press("k")
    await page.locator(".snapshot-word", has_text="in the recording").wait_for(timeout=15_000)
    await sink.until(lambda: any(note.tool == "snapshot" for note in notes(sink)))
    mark: Any = next(note for note in notes(sink) if note.tool == "snapshot")
    assert (mark.channel, str(mark.at_ns)) == (SCOPE, held["lastVideoBusNs"])
    assert mark.author == "OR staff"
    rows = (cameras.state / "audit.jsonl").read_text().splitlines()
    made = [row for row in map(json.loads, rows) if row["what"] == "snapshot"]
    assert [row["entity"] for row in made] == [f"{SCOPE}@{mark.at_ns}"]
    assert (await until(page, lambda s: True))["errors"] == []
    await connection.close()

    recording = cameras.recording
    assert recording is not None
    cameras.stop()
    with scot.open(recording) as opened:
        (kept,) = opened.snapshots
    assert (kept.channel, kept.at_ns) == (SCOPE, mark.at_ns)
    assert kept.image is not None
    assert kept.image.shape == (360, 640, 3)
    assert kept.image[90, 160, 0] > 120 > kept.image[90, 160, 1], "its top left is red"
