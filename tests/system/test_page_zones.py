"""Every time on a screen is the room's, with its zone; whoever looks from elsewhere has both."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Page

from tests.golden.recording_frames import START_NS, S, case
from tests.golden.recording_writing import write_recording
from tests.system.conftest import StartRoom
from tests.system.page_driver import until

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]

ZONES = [
    *("Asia/Tokyo", "Europe/Berlin", "America/New_York", "America/St_Johns"),
    *("Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"),
]
TAI_S = 37


async def test_a_time_of_day_is_that_of_the_zone_at_that_moment_over_every_change_of_clocks(
    blank: Page,
) -> None:
    chance = random.Random(7)  # the past: rules for what comes change with each database
    asked = [(zone, chance.randrange(0, 1_700_000_000)) for zone in ZONES for _ in range(120)]
    # The last second of summer time in Berlin, and the first of winter, five years ago.
    asked += [("Europe/Berlin", 1_635_641_999), ("Europe/Berlin", 1_635_642_000)]
    read = await blank.evaluate(
        """async (asked) => {
            const { clockText, dateText, zoneText } = await import("/static/js/feed/zone.js");
            return asked.map(([zone, s]) =>
                [dateText(s * 1000, zone), clockText(s * 1000, zone), zoneText(s * 1000, zone)]);
        }""",
        asked,
    )
    for (zone, unix_s), (date, clock, _) in zip(asked, read, strict=True):
        there = datetime.fromtimestamp(unix_s, UTC).astimezone(ZoneInfo(zone))
        assert f"{date} {clock}" == there.strftime("%Y-%m-%d %H:%M:%S"), (zone, unix_s)
    assert [line[1:] for line in read[-2:]] == [["02:59:59", "UTC+2"], ["02:00:00", "UTC+1"]]


async def test_nonsense_is_no_time_and_an_unknown_zone_is_none(blank: Page) -> None:
    read = await blank.evaluate(
        """async () => {
            const { clockText, knownZone, zoneText } = await import("/static/js/feed/zone.js");
            return [clockText(NaN, "Asia/Tokyo"), clockText(Infinity, ""), clockText(1e300, "UTC"),
                clockText(0, "Asia/Tokyo"), zoneText(0, "America/St_Johns"),
                knownZone("Mars/Base<b>"), knownZone(undefined), knownZone(7),
                knownZone("Asia/Tokyo")];
        }"""
    )
    none = "--:--:--"
    assert read == [none, none, none, "09:00:00", "UTC−3:30", "", "", "", "Asia/Tokyo"]


@pytest.fixture
async def abroad(browser: Browser) -> AsyncIterator[Page]:
    """The browser of somebody in Tokyo."""
    context = await browser.new_context(timezone_id="Asia/Tokyo")
    yield await context.new_page()
    await context.close()


async def test_a_recording_is_read_in_the_zone_of_its_room_and_beside_it_the_viewers_own(
    abroad: Page, start_room: StartRoom, tmp_path: Path
) -> None:
    frames = [f for f in case(8.0) if "/room/" not in f.address]
    write_recording(tmp_path / "rec", [frames], sealed=1, time_zone="America/St_Johns")
    room = start_room("replay", str(tmp_path / "rec"), "--no-browser", "--port", "0", "--paused")
    await abroad.goto(room.url)
    await until(abroad, lambda s: bool(s.get("player") or s.get("connected")), 30)
    clock = abroad.locator(".clock")
    await clock.locator(".clock-beside", has_text="you").wait_for()
    began = datetime.fromtimestamp(START_NS // S - TAI_S, UTC)
    there, here = (began.astimezone(ZoneInfo(z)) for z in ("America/St_Johns", "Asia/Tokyo"))

    # 03:36 on a Wednesday there, 16:06 here: the date of a recording stands with its time.
    assert (await clock.locator(".clock-time").inner_text()).startswith(f"{there:%H:%M}")
    assert await clock.locator(".clock-date").inner_text() == f"{there:%Y-%m-%d}"
    assert "UTC−3:30" in await clock.inner_text()
    assert await clock.locator(".clock-beside").inner_text() == f"you {here:%H:%M}"
    await clock.click()
    await clock.locator(".clock-zone", has_text="you UTC+9").wait_for()
    assert await clock.locator(".clock-time").inner_text() == f"{here:%H:%M:%S}"
    assert await clock.locator(".clock-beside").inner_text() == f"room {there:%H:%M}"
    await clock.click()
    await clock.locator(".clock-zone", has_text="UTC").wait_for()
    await clock.click()
    await clock.locator(".clock-zone", has_text="UTC−3:30").wait_for()
