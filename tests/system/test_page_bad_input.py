"""What no device should send and some will: the page stays honest, inert, bounded and legible."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page

from scot.bus.connection import Connection
from scot.channel import Text
from scot.sample import Flags, NumericValue, Sample, Value
from scot.timestamp import ClockState, Timestamp
from tests.system.conftest import RunningRoom, launch
from tests.system.page_driver import DASH, state, until

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


STALLS = """() => {
    window.stall = (ms) => { for (const end = performance.now() + ms; performance.now() < end; ); };
    window.views = 0;
    const Real = window.Worker;
    window.Worker = class extends Real {
        constructor(...of) {
            super(...of);
            this.addEventListener("message", ({ data }) => { window.views += data.is === "view"; });
        }
    };
}"""


async def test_a_viewer_that_stalls_each_second_states_the_true_age_and_queues_nothing(
    page: Page, room: RunningRoom, mouth: Mouth
) -> None:
    await page.add_init_script(f"({STALLS})()")
    await page.goto(room.url)
    await until(page, lambda s: bool(s.get("connected") and HR in s["tiles"]), 30)
    await page.evaluate("() => setInterval(() => window.stall(300), 1000)")
    said: dict[str, float] = {}
    wrong: list[tuple[str, float]] = []
    right = 0

    def looked(now: dict[str, Any]) -> bool:
        nonlocal right
        value = str(100 + mouth.said(HR))
        said[value] = mouth.now_ns / 1e6 - 37_000
        mouth.say(HR, NumericValue(float(value)))
        tile = now["tiles"][HR]
        if not tile["stale"] and tile["text"] in said:
            off = now["cursorUnixMs"] - tile["age_ms"] - said[tile["text"]]
            right += 1
            if abs(off) > 100 + (now["syncMs"] or 0):
                wrong.append((tile["text"], off))
        return right >= 30

    await until(page, looked, 40)
    assert wrong == [], "what is shown is as old as the page says, also after a stall"
    # Three seconds without a moment's time: then the newest, and none of what it replaced.
    count = await page.evaluate(
        """async () => {
            const before = window.views;
            window.stall(3000);
            for (let i = 0; i < 2; i++) await new Promise((done) => setTimeout(done));
            return window.views - before; }"""
    )
    assert count <= 3
    # It is silent: that is said although the viewer stalls.
    await until(page, lambda s: "silent" in str(s["standing"]).split(), 10)


async def test_names_turn_nothing_around_run_nothing_and_stay_in_their_place(
    wall: Page, mouth: Mouth
) -> None:
    await spoken(wall, mouth, lambda s: s["tiles"][SPO2]["text"] == "93", (SPO2, NumericValue(93)))
    found = await wall.evaluate(
        """() => {
            const texts = [...document.querySelectorAll("#room *")]
                .flatMap((e) => [...e.childNodes].filter((n) => n.nodeType === 3))
                .map((n) => n.textContent);
            const overlap = [...document.querySelectorAll(".tile .tile-label")].filter((e) => {
                const [a, b] = [e, e.closest(".tile")].map((x) => x.getBoundingClientRect());
                return b.width && (a.right > b.right + 1 || a.bottom > b.bottom + 1);
            });
            return { hit: window.hit ?? 0, images: document.querySelectorAll("img[src=x]").length,
                turned: texts.filter((t) => /[\\u202a-\\u202e\\u200b]/.test(t)),
                shown: texts.join(),
                overlap: overlap.length, wide: document.documentElement.scrollWidth > innerWidth };
        }"""
    )
    assert (found["hit"], found["images"], found["overlap"], found["wide"]) == (0, 0, 0, False)
    assert found["turned"] == []
    assert "<img src=x" in found["shown"], "what they sent is there to be read"


async def test_ten_kilohertz_and_five_hundred_channels_are_drawn_and_bounded(
    wall: Page, mouth: Mouth
) -> None:
    before = await state(wall)
    wave = np.sin(np.arange(1000, dtype=np.float32) / 50)

    def drawn(now: dict[str, Any]) -> bool:
        mouth.say(FAST, wave)
        mouth.say(HR, NumericValue(70.0))
        return bool(now["waveformColumnsDrawn"] > before["waveformColumnsDrawn"] + 300)

    now = await until(wall, drawn, 30)
    assert now["errors"] == []
    assert len(now["tiles"]) < 80, "the rest is in the list of all channels"
    drawer = await wall.locator(".drawer-button", has_text="all channels").inner_text()
    assert int(drawer.rpartition(" ")[2]) > MORE, drawer
    assert await wall.evaluate("document.querySelectorAll('*').length") < 12_000
