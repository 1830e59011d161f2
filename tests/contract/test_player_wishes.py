"""The player's one control: seek, step, loop, reverse, rate and pause, as receivers see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scot.channel import Kind
from scot.clock import machine
from scot.clock.clock import Clock
from scot.codec import Frame, decode, read_header
from scot.errors import BusError
from scot.history import HistoryRequest
from scot.sample import AlarmValue, Flags
from scot.transport import FLAT_OUT, Answer, Laps, Transport, Wish
from scot_replay.digest import Digest
from scot_replay.player import LEAST_LAP_NS, serve
from scot_replay.recording import open_recording
from tests.contract.recorder_bus import Bus, Collector, Running
from tests.golden.recording_frames import CHANNELS, START_NS, S, case, catalogue, frame
from tests.golden.recording_writing import write_recording

DEVICES = ("monitor", "tracker", "scope")


def alarm(name: str, seq: int, t_s: float, present: bool) -> Frame:
    value = AlarmValue(
        id=name, kind="physiological", priority="Hi", present=present, text={"en": name}
    )
    return frame("or1/monitor/alarms", Kind.ALARM, seq, t_s, value)


# Two conditions: the older one still holds long after the newer one has come and gone.
WORDS = [alarm("low", 0, 0.5, True), alarm("high", 1, 2.0, True), alarm("high", 2, 3.0, False)]
FRAMES = sorted(
    [f for f in case(6.0) if f.address != "or1/monitor/alarms" and "/room/" not in f.address]
    + WORDS,
    key=lambda f: (read_header(f).bus_ns, f.address),
)


class Desk:
    """A replay under one's hands: its bus, its player, what a console sees and says."""

    def __init__(self, bus: Bus, running: Running, console: Any, seen: Collector) -> None:
        self.bus, self.running, self.console, self.seen = bus, running, console, seen
        self.laps: Laps | None = None

    async def ask(self, **wish: Any) -> Answer:
        body = msgspec.msgpack.encode(Wish(**wish))
        answer, *_ = await self.console.request(b"play", body)
        return msgspec.msgpack.decode(answer, type=Answer)

    async def wish(self, **wish: Any) -> Transport:
        answer = await self.ask(**wish)
        assert answer.transport is not None
        assert not answer.error
        self.laps = answer.transport.laps
        return answer.transport

    def of_lap(self, number: int) -> list[Frame]:
        """What came in a lap, with the stamps of the recording."""
        assert self.laps is not None
        found = []
        for one in self.seen.of(*DEVICES):
            header = read_header(one)
            if self.laps.number(header.bus_ns) == number:
                shift_ns = self.laps.shift_ns(number)
                back = msgspec.structs.replace(
                    header, bus_ns=header.bus_ns - shift_ns, epoch=header.epoch - shift_ns
                )
                found.append(one._replace(header=msgspec.msgpack.encode(back)))
        return found


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    write_recording(tmp_path / "rec", [FRAMES[:200], FRAMES[200:]], sealed=1)
    (tmp_path / "bus").mkdir(mode=0o700)
    bus = Bus(tmp_path / "bus", Clock.session(START_NS, 0.0), replay=True)
    console = await bus.join("console")
    seen = Collector()
    console.subscribe(["or1/"], seen)
    options = {"recording": str(tmp_path / "rec"), "playing": False}
    running = Running(bus, await bus.join("player"), serve, options)
    await running.ready()
    made = Desk(bus, running, console, seen)
    await made.wish()
    yield made
    await running.stop()
    await console.close()
    bus.stop()


def values(frames: list[Frame], address: str) -> list[Any]:
    channel = catalogue().channel(address)
    assert channel is not None
    return [decode(f, channel).value for f in frames if f.address == address]


async def test_a_seek_shows_all_that_stood_there_before_anything_plays(desk: Desk) -> None:
    stood = await desk.wish(to_ns=START_NS + 4 * S + 10_000_000)
    assert (stood.playing, stood.position_ns, stood.lap) == (False, START_NS + 4_010_000_000, 1)
    whole = {f.address for f in FRAMES}
    await desk.seen.until(lambda: {f.address for f in desk.of_lap(1)} == whole)
    frames = desk.of_lap(1)
    assert max(read_header(f).bus_ns for f in frames) <= stood.position_ns
    words = [v for v in values(frames, "or1/monitor/alarms") if isinstance(v, AlarmValue)]
    assert {(w.id, w.present) for w in words} == {("low", True), ("high", False)}
    # The picture of that very instant, and what its decoder needs, from an IDR on.
    pictures = [f for f in frames if f.address == "or1/scope/video"]
    due = [f for f in FRAMES if f.address == "or1/scope/video"]
    due = [f for f in due if read_header(f).bus_ns <= stood.position_ns]
    assert pictures == due[-len(pictures) :]
    assert read_header(pictures[0]).flags & Flags.KEYFRAME


async def test_bus_time_never_goes_back_and_whole_periods_less_it_is_the_surgerys(
    desk: Desk,
) -> None:
    for to_s in (5, 1, 3):
        await desk.wish(to_ns=START_NS + to_s * S)
    await desk.wish(playing=True, rate=16.0)
    await desk.seen.until(lambda: FRAMES[-1] in desk.of_lap(3))
    newest: dict[str, tuple[int, int]] = {}
    for one in desk.seen.deliveries:
        if Flags.BACKFILLED in one.flags or one.frame.address.split("/")[1] not in DEVICES:
            continue
        header = one.header
        key = (header.epoch, header.bus_ns)
        assert key >= newest.get(one.frame.address, (0, 0))
        newest[one.frame.address] = key
    assert set(desk.of_lap(3)) <= set(FRAMES)  # byte for byte, once the shift is taken off
    assert not desk.console.lost  # the next lap is no gap: nothing was asked back


async def test_steps_go_a_picture_or_a_sample_on_and_back(desk: Desk) -> None:
    at = await desk.wish(to_ns=START_NS + 2 * S)
    on = await desk.wish(step=1)
    assert on.position_ns - at.position_ns == 40_000_000  # the next picture of 25 a second
    back = await desk.wish(step=-3)
    assert on.position_ns - back.position_ns == 120_000_000
    number = await desk.wish(step=2, of="or1/monitor/hr")
    assert number.position_ns == START_NS + 3 * S
    end = await desk.wish(step=1000, of="or1/monitor/hr")
    assert end.position_ns == START_NS + 5 * S


async def test_a_loop_plays_its_stretch_again_and_again(desk: Desk) -> None:
    a_ns, b_ns = START_NS + 2 * S, START_NS + 3 * S
    await desk.wish(loop=[a_ns, b_ns], playing=True, rate=8.0)
    await desk.seen.until(lambda: len(desk.of_lap(3)) > 20)
    first, second = desk.of_lap(1), desk.of_lap(2)
    assert sorted(first) == sorted(second)
    assert max(read_header(f).bus_ns for f in first) <= b_ns


async def test_a_loop_of_a_millisecond_turns_no_more_than_ten_times_a_second(desk: Desk) -> None:
    at_ns = START_NS + 2 * S
    begun = await desk.wish(loop=[at_ns, at_ns + 1_000_000], playing=True, rate=16.0)
    await desk.seen.until(lambda: bool(desk.of_lap(begun.lap + 1)))
    since_ns = machine.monotonic_ns()
    await desk.seen.until(lambda: bool(desk.of_lap(begun.lap + 5)))
    assert machine.monotonic_ns() - since_ns > 3 * LEAST_LAP_NS  # a slow machine takes longer


async def test_with_no_lap_left_it_stands_still_and_still_answers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood = await desk.wish()
    most_ns = stood.laps.origin_ns + 4 * stood.laps.period_ns
    monkeypatch.setattr("scot.transport.LAST_NS", most_ns)
    await desk.wish(loop=[START_NS + 2 * S, START_NS + 3 * S], playing=True, rate=16.0)
    async with asyncio.timeout(10):
        while not stood.ended:
            await asyncio.sleep(0.05)
            stood = await desk.wish()
    assert (stood.playing, stood.lap) == (False, 3)


async def test_backwards_each_stride_is_a_lap_that_stands_earlier(desk: Desk) -> None:
    await desk.wish(to_ns=START_NS + 5 * S)
    await desk.wish(playing=True, rate=-4.0)
    await desk.seen.until(lambda: len(desk.of_lap(8)) > 5)
    stood = await desk.wish(playing=False)
    assert stood.position_ns < START_NS + 4 * S
    last = [max(read_header(f).bus_ns for f in desk.of_lap(n) or FRAMES[:1]) for n in range(2, 9)]
    assert last == sorted(last, reverse=True)


async def test_paused_it_stands_still_and_at_its_end_too(desk: Desk) -> None:
    stood = await desk.wish(playing=True, rate=8.0)
    assert stood.playing
    stood = await desk.wish(playing=False)
    again = await desk.wish()
    assert (again.position_ns, again.bus_ns) == (stood.position_ns, stood.bus_ns)
    await desk.wish(to_ns=START_NS + 5 * S, playing=True)

    def ended() -> bool:
        said = [f for f in desk.seen.of("player") if f.address == "or1/player/state"]
        return bool(said) and bool(msgspec.msgpack.decode(said[-1].payload)["ended"])

    await desk.seen.until(ended)
    stood = await desk.wish()
    assert not stood.playing
    assert stood.position_ns == read_header(FRAMES[-1]).bus_ns


async def test_flat_out_there_is_no_clock_and_the_digest_is_the_recordings(
    desk: Desk, tmp_path: Path
) -> None:
    await desk.wish(playing=True, rate=FLAT_OUT)
    await desk.seen.until(lambda: len(desk.seen.of(*DEVICES)) >= len(FRAMES))
    digest = Digest()
    for one in desk.seen.frames:
        digest.add(one)
    assert digest.result() == open_recording(tmp_path / "rec").digests()


async def test_history_follows_the_lap(desk: Desk) -> None:
    at = await desk.wish(to_ns=START_NS + 2 * S)
    shift_ns = at.bus_ns - at.position_ns
    ask = HistoryRequest(addresses=["or1/monitor/hr"], at=at.bus_ns)
    (one,) = (await desk.console.history(ask)).frames
    assert read_header(one).bus_ns == START_NS + 2 * S + shift_ns
    whole = HistoryRequest(addresses=["or1/monitor/hr"], between=(START_NS, at.bus_ns))
    reply = await desk.console.history(whole)  # a stretch that begins in an earlier lap
    assert len(reply.frames) == 6
    assert reply.next_ns == START_NS + shift_ns


async def test_what_cannot_be_played_is_refused_in_words(desk: Desk) -> None:
    last_ns = (await desk.wish()).last_ns
    for wish, says in (
        ({"rate": 40.0}, "0.1 to 16"),
        ({"to_ns": START_NS + 900 * S}, "outside the recording"),
        ({"step": 1, "of": "or1/monitor/nothing"}, "no samples"),
        ({"loop": [START_NS + S, START_NS]}, "not after its start"),
        ({"loop": [last_ns + S // 10, last_ns + S // 2]}, "nothing of it is inside"),
    ):
        answer = await desk.ask(**wish)
        assert says in answer.error
    assert CHANNELS  # the made-up case is that of the other tests
    player = desk.running.connection
    with pytest.raises(BusError, match="may not move the player"):
        await player.request(b"play", msgspec.msgpack.encode(Wish(playing=True)))
    with pytest.raises(BusError, match="not the player"):
        await desk.console.request(b"pace", msgspec.msgpack.encode({"rate": 2.0}))
    with pytest.raises(BusError, match="go back"):
        await player.pace(START_NS - 5 * S, 1.0)
