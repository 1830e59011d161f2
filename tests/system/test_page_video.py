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


async def test_a_page_is_sent_and_decodes_only_the_pictures_it_shows(
    page: Page, cameras: RunningRoom
) -> None:
    await page.goto(cameras.url)
    now = await until(page, lambda s: s.get("videoFramesDrawn", 0) > 5 and bool(s["pictures"]), 30)
    assert large(now) == SCOPE
    now = await until(page, lambda s: s["shows"] == {SCOPE: "full", HAND: "keys"})
    thumb = page.locator(f".thumb[data-address='{HAND}'] .thumb-age")
    await thumb.get_by_text("key picture · ").wait_for()
    await until(page, lambda s: s["unshown"].get(HAND, 0) > 5)

    # Large and small change places: each begins at once, with the group under way.
    await page.keyboard.press("1")
    drawn = await until(page, lambda s: s["shows"] == {HAND: "full", SCOPE: "keys"})
    await until(page, lambda s: s["videoFramesDrawn"] > drawn["videoFramesDrawn"] + 5)

    # Nobody sees the pictures: none is sent, none is decoded, and no camera is taken for silent.
    gallery = page.locator(".gallery")
    await gallery.evaluate("(element) => void (element.style.display = 'none')")
    hidden = await until(page, lambda s: s["shows"] == {} and s["decoders"] == 0)
    seen = {HAND: hidden["unshown"].get(HAND, 0), SCOPE: hidden["unshown"].get(SCOPE, 0)}

    def gone_on(now: dict[str, Any]) -> bool:
        assert "silent" not in now["standing"], "what is not shown is not silent"
        return all(now["unshown"].get(a, 0) > n + 25 for a, n in seen.items())

    later = await until(page, gone_on)
    assert later["videoFramesDrawn"] <= hidden["videoFramesDrawn"] + 2
    assert later["conflated"] == hidden["conflated"], "what is not asked for is not lost"

    # What was not sent live is there when somebody goes back to it.
    await page.keyboard.press("ArrowLeft")
    await gallery.evaluate("(element) => void (element.style.display = '')")
    back = await until(
        page,
        lambda s: s["mode"] != "live" and not s["seeking"] and s["lastVideoBusNs"] is not None
        and int(s["lastVideoBusNs"]) > int(hidden["lastVideoBusNs"]),
    )  # fmt: skip
    assert back["shows"] == {HAND: "full", SCOPE: "keys"}
    await page.keyboard.press("l")
    await until(page, lambda s: s["mode"] == "live" and 0 < (s["videoLagMs"] or 0) < 1_000)
    assert now["errors"] == []
