"""What no device should send and some will: the page stays honest, inert, bounded and legible."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from scot.bus.connection import Connection
from scot.channel import Text
from scot.sample import Flags, NumericValue, Sample, Value
from scot.timestamp import ClockState, Timestamp
from tests.system.conftest import RunningRoom, launch
from tests.system.page_driver import DASH, until

ROOT = Path(__file__).parents[2]
HR, SPO2, ECG, FAST = "or1/liar/hr", "or1/liar/spo2", "or1/liar/ecg", "or1/liar/fast"
HOUR_NS = 3_600_000_000_000
MORE = 500

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(180)]

ROOM = f"""
[room]
workspace = "or1"
title = {{ en = "Ward <b>3</b> \\u202eabc" }}
[recorder]
enabled = false
[[device]]
name = "liar"
provider = "tests.system.liar:Liar"
options = {{ more = {MORE} }}
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRoom]:
    """A room whose only device says what a test makes it say."""
    base = tmp_path_factory.mktemp("bad")
    (base / "room.toml").write_text(ROOM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        started = launch(base / "state", ["up", str(base / "room.toml"), "--port", "0"])
    yield started
    started.stop()


class Mouth:
    """Speaks as the device, with any value at any time."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._seq: dict[str, int] = {}

    @property
    def now_ns(self) -> int:
        """Bus time."""
        return self.connection.clock.now()

    def said(self, address: str) -> int:
        """How often it spoke on a channel."""
        return self._seq.get(address, -1) + 1

    def say(self, address: str, value: Value, late_ns: int = 0, **as_if: Any) -> None:
        """Publish one value whose time is so long ago; to come when negative."""
        channel = self.connection.catalogue.channel(address)
        assert channel is not None
        seq = self._seq[address] = self._seq.get(address, -1) + 1
        time = Timestamp(None, self.now_ns - late_ns, 1_000_000, 100_000, ClockState.LOCKED)
        sample = Sample(address, self.connection.client.epoch, seq, time, Flags(0), value)
        self.connection.publish(sample, as_if.get("channel", channel))


@pytest.fixture
async def mouth(room: RunningRoom) -> AsyncIterator[Mouth]:
    """The device's voice."""
    connection = await Connection.join(room.link("liar"))
    yield Mouth(connection)
    await connection.close()


@pytest.fixture
async def wall(page: Page, room: RunningRoom, mouth: Mouth) -> Page:
    """The wall of the room with every tile there."""
    await page.goto(room.url)
    await until(page, lambda s: bool(s.get("connected") and HR in s["tiles"]), 30)
    return page


async def spoken(page: Page, mouth: Mouth, seen: Any, *said: Any, within_s: float = 20) -> Any:
    """Say the same again and again until the page shows what is awaited."""

    def asked(now: dict[str, Any]) -> bool:
        for address, value, *late in said:
            mouth.say(address, value, *late)
        return bool(seen(now))

    return await until(page, asked, within_s)


@pytest.mark.parametrize("late_ns", [-HOUR_NS, 0])
async def test_a_number_that_stands_still_goes_whatever_time_its_device_gave_it(
    wall: Page, mouth: Mouth, late_ns: int
) -> None:
    def shows(now: dict[str, Any]) -> bool:
        return bool(now["tiles"][HR]["text"] == "72" and not now["tiles"][HR]["stale"])

    now = await spoken(wall, mouth, shows, (HR, NumericValue(72.0), late_ns))
    doubt = await wall.locator(".tile.doubtful").count()
    assert bool(doubt) == (late_ns < 0), "a time that is still to come is said to be doubtful"
    # Nothing more is said: what stands there must not stay.
    now = await until(wall, lambda s: s["tiles"][HR]["stale"], 15)
    assert now["tiles"][HR]["text"] == DASH
    assert "no data" in await wall.locator(".tile", has_text="HR").first.inner_text()
    await until(wall, lambda s: "live" not in str(s["standing"]).split())


async def test_one_wrong_time_does_not_hide_the_right_ones_after_it(
    wall: Page, mouth: Mouth
) -> None:
    mouth.say(HR, NumericValue(66.0), -HOUR_NS)
    now = await spoken(
        wall, mouth, lambda s: s["tiles"][HR]["text"] == "81", (HR, NumericValue(81.0))
    )
    assert not now["tiles"][HR]["stale"]
    mouth.say(HR, NumericValue(55.0), mouth.now_ns - 37_000_000_000)  # 1970
    now = await spoken(
        wall, mouth, lambda s: s["tiles"][HR]["text"] == "82", (HR, NumericValue(82.0))
    )
    assert now["errors"] == []


async def test_a_value_that_nobody_can_read_costs_none_of_those_beside_it(
    wall: Page, mouth: Mouth
) -> None:
    words = Text("hr")
    rubbish = ("\x05", "\x93\x01", "", "\x81\xa1")

    def both(now: dict[str, Any]) -> bool:
        mouth.say(HR, rubbish[mouth.said(HR) % len(rubbish)], channel=words)
        mouth.say(SPO2, NumericValue(91.0))
        return bool(now["tiles"][SPO2]["text"] == "91" and now["unread"].get(HR, 0) >= 4)

    now = await until(wall, both, 20)
    assert now["errors"] == []
    assert now["connected"], "nor the line"
