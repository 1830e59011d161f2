"""A recording on a real bus again: the same bytes, at their time, with History for the whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from scot.channel import Kind, Lifecycle
from scot.clock.clock import Clock
from scot.clock.probe import Probe
from scot.clock.rows import ClockWatch
from scot.clock.service import ClockService
from scot.codec import Frame, read_header
from scot.errors import ConfigError, RecordingError
from scot.history import HistoryRequest
from scot.sample import Flags
from scot_replay.digest import Digest, in_digest
from scot_replay.player import serve
from scot_replay.proof import digest_through_bus, digests_through_bus
from scot_replay.recording import open_recording
from tests.contract.recorder_bus import Bus, Collector, Running
from tests.golden.recording_frames import EPOCH, START_NS, S, case, frame
from tests.golden.recording_writing import write_recording

FRAMES = case(6.0, frozenset({("or1/monitor/hr", 3), ("or1/scope/video", 40)}))
PLAYED = [f for f in FRAMES if f.address.split("/")[1] != "room"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "rec"
    write_recording(path, [FRAMES[:200], FRAMES[200:]], sealed=1)
    return path


@pytest.fixture
def make_bus(tmp_path: Path) -> Iterator[Callable[..., Bus]]:
    made: list[Bus] = []

    def make(start_ns: int = START_NS) -> Bus:
        state = tmp_path / f"bus{len(made)}"
        state.mkdir(mode=0o700)
        made.append(Bus(state, Clock.session(start_ns, 0.0), replay=True))
        return made[-1]

    yield make
    for bus in made:
        bus.stop()


@pytest.fixture
async def play() -> AsyncIterator[Callable[..., Any]]:
    running: list[Running] = []

    async def begin(bus: Bus, **options: Any) -> Running:
        made = Running(bus, await bus.join("player"), serve, options)
        running.append(made)
        await made.ready()
        return made

    yield begin
    for one in running:
        if not one.task.done():
            await one.stop()


async def listen(bus: Bus) -> tuple[Any, Collector]:
    console = await bus.join("console")
    seen = Collector()
    seen.now = console.clock.now
    console.subscribe(["or1/"], seen, fill=False)
    return console, seen


async def test_the_same_bytes_at_their_time(
    recording: Path, make_bus: Callable[..., Bus], play: Callable[..., Any]
) -> None:
    bus = make_bus()
    console, seen = await listen(bus)
    running = await play(bus, recording=str(recording), rate=1.0)
    assert running.said["first_ns"] == START_NS
    await seen.until(lambda: len(seen.of("monitor", "tracker", "scope")) >= len(PLAYED))
    frames = seen.of("monitor", "tracker", "scope")
    assert sorted(frames) == sorted(PLAYED)
    late = np.array(
        [
            at - d.header.bus_ns
            for at, d in zip(seen.at_ns, seen.deliveries, strict=True)
            if d.frame.address.split("/")[1] in {"monitor", "tracker", "scope"}
        ]
    )
    late = late[150:]  # the reader's own clock has followed the player's by then
    assert late.min() > -20_000_000  # none before its time
    # Absolute deadlines: the last second is not later than the first, however busy the machine.
    assert np.median(late[-150:]) - np.median(late[:150]) < 100_000_000
    assert console.catalogue.replay
    assert "room" not in {d.name for d in console.catalogue.devices.values()} or not any(
        f.address == "or1/room/notes" for f in seen.frames
    )
    await console.close()


async def test_at_eight_times_the_rate_it_takes_an_eighth(
    recording: Path, make_bus: Callable[..., Bus], play: Callable[..., Any]
) -> None:
    bus = make_bus()
    console, seen = await listen(bus)
    await play(bus, recording=str(recording), rate=8.0)
    started = asyncio.get_running_loop().time()
    await seen.until(lambda: len(seen.of("monitor", "tracker", "scope")) >= len(PLAYED))
    assert asyncio.get_running_loop().time() - started < 4.0  # 6 s of recording
    assert sorted(seen.of("monitor", "tracker", "scope")) == sorted(PLAYED)
    await console.close()


async def test_from_the_middle_it_begins_with_what_was_true_there(
    recording: Path, make_bus: Callable[..., Bus], play: Callable[..., Any]
) -> None:
    from_ns = START_NS + 4 * S
    bus = make_bus(start_ns=from_ns)
    console, seen = await listen(bus)
    await play(bus, recording=str(recording), from_ns=from_ns)
    alarm = next(f for f in FRAMES if f.address == "or1/monitor/alarms")
    await seen.until(lambda: alarm in seen.frames and len(seen.of("scope")) >= 50)
    early = [f for f in seen.of("monitor", "tracker", "scope") if read_header(f).bus_ns < from_ns]
    signals = [f.address for f in early if f.address != "or1/scope/video"]
    assert sorted(signals) == sorted({f.address for f in PLAYED} - {"or1/scope/video"})
    pictures = [f for f in early if f.address == "or1/scope/video"]
    assert read_header(pictures[0]).flags & Flags.KEYFRAME  # and so on up to that instant
    await console.close()


async def test_history_answers_for_the_whole_file_from_the_first_moment(
    recording: Path, make_bus: Callable[..., Bus], play: Callable[..., Any]
) -> None:
    bus = make_bus()
    console = await bus.join("console")
    await play(bus, recording=str(recording))
    ask = HistoryRequest(
        addresses=["or1/monitor/hr", "or1/scope/video"],
        between=(START_NS, START_NS + 60 * S),
        holder="recorder",
    )
    reply = await console.history(ask)
    assert reply.frames == [f for f in FRAMES if f.address in {"or1/monitor/hr", "or1/scope/video"}]
    for name, at in (
        ("clock", [f for f in FRAMES if f.address == "or1/room/clock"]),
        ("notes", []),
    ):
        ask = HistoryRequest(addresses=[f"or1/room/{name}"], between=(START_NS, START_NS + 60 * S))
        assert (await console.history(ask)).frames == at  # of the room's own only its clocks
    await console.close()


def clock_frames() -> list[Frame]:
    """What a broker published of the monitor's clock, which stepped by 30 ms after 2 s."""
    rows: list[dict[str, Any]] = []
    service = ClockService(Clock.session(START_NS, 1.0), rows.append)
    begun_ns = service.clock.read()
    frames = []
    for seq in range(16):
        t2_ns = begun_ns + seq * S // 4
        t1_ns = t2_ns - 200_000 - (30_000_000 if seq >= 8 else 0)
        service.again(
            "monitor-1", Probe(t1_ns, t2_ns, t2_ns + 20_000, t1_ns + 420_000), first=seq == 0
        )
        row = rows[-1] | {"epoch": int(seq >= 8)}  # the estimator wants longer to be sure of it
        frames.append(frame("or1/room/clock", Kind.EVENT, seq, seq / 4, row))
    return frames


async def test_the_recordings_clocks_come_again_and_those_of_the_replay_stay_out_of_the_way(
    tmp_path: Path, make_bus: Callable[..., Bus], play: Callable[..., Any]
) -> None:
    clocks = clock_frames()
    whole = sorted([*PLAYED, *clocks], key=lambda one: read_header(one).bus_ns)
    write_recording(tmp_path / "clocks", [whole], sealed=1)
    opened = open_recording(tmp_path / "clocks")
    bus = make_bus()
    console, seen = await listen(bus)
    await play(bus, recording=str(tmp_path / "clocks"), rate=4.0)
    await seen.until(lambda: len(seen.of("monitor", "tracker", "scope")) >= len(PLAYED))
    mine = [f for f in seen.of("room") if f.address == "or1/room/clock"]
    assert mine == clocks  # the bytes, each once, and no line of this replay's own processes
    watch = ClockWatch()
    for one in mine:
        watch.take(read_header(one).bus_ns, one.payload)
    assert watch.bad == 0
    assert [(s.bus_ns - START_NS, s.name) for s in watch.steps()] == [(2 * S, "monitor")]
    assert console.clock.map is not None  # and yet the replay's own clock service goes on
    assert console.clock.map.id > 4
    digest = Digest()
    for one in seen.frames:
        digest.add(one)
    assert digest.result() == opened.digests()
    await console.close()


async def test_the_digest_of_the_replay_is_that_of_the_recording_every_time(
    recording: Path, make_bus: Callable[..., Bus]
) -> None:
    opened = open_recording(recording)
    expected = opened.digests()
    assert len(expected) > 4
    for _ in range(2):
        bus = make_bus()
        player = await bus.join("player")
        assert await digests_through_bus(opened, player) == expected
        await player.close()
    bus = make_bus()
    player = await bus.join("player")
    assert await digest_through_bus(opened, player) == opened.digest() == expected[""]
    await player.close()


async def test_a_loop_begins_again_later_under_new_epochs(
    tmp_path: Path, make_bus: Callable[..., Bus], play: Callable[..., Any]
) -> None:
    short = [f for f in case(1.0) if f.address == "or1/tracker/probe"]
    write_recording(tmp_path / "short", [short])
    bus = make_bus()
    console, seen = await listen(bus)
    await play(bus, recording=str(tmp_path / "short"), loop=True, rate=4.0)
    await seen.until(lambda: len(seen.of("tracker")) >= 50)
    headers = [read_header(f) for f in seen.of("tracker")]
    period = 60 * S  # whole seconds, a minute longer than the recording
    assert [h.seq for h in headers[:50]] == [*range(20), *range(20), *range(10)]
    assert headers[20].bus_ns == START_NS + period
    assert headers[20].epoch == EPOCH + period
    assert [f.payload for f in seen.of("tracker")[20:40]] == [f.payload for f in short]
    ask = HistoryRequest(
        addresses=["or1/tracker/probe"], at=START_NS + period + S // 2, holder="recorder"
    )
    (frame,) = (await console.history(ask)).frames
    assert frame == seen.of("tracker")[30]
    ask = HistoryRequest(
        addresses=["or1/tracker/probe"], seqs=(EPOCH + period, 3, 5), holder="recorder"
    )
    assert (await console.history(ask)).frames == seen.of("tracker")[23:26]
    await console.close()


async def test_a_devices_states_come_back_with_the_recording(
    tmp_path: Path, make_bus: Callable[..., Bus], play: Callable[..., Any]
) -> None:
    from scot_replay.journal import MAGIC, encode_catalogue, encode_frame
    from scot_replay.layout import journal_path
    from tests.golden.recording_frames import MONITOR, catalogue

    frames = [f for f in case(2.0) if in_digest(f.address)]
    known = catalogue()
    broken = msgspec.structs.replace(
        MONITOR, state=Lifecycle.DISCONNECTED, reason="cable out", channels={}
    )
    path = tmp_path / "rec"
    path.mkdir()
    journal_path(path, 1).write_bytes(
        MAGIC
        + encode_catalogue(START_NS, known)
        + b"".join(encode_frame(f) for f in frames)
        + encode_catalogue(START_NS + S, known.with_device(broken))
    )
    bus = make_bus()
    console, seen = await listen(bus)
    states: list[tuple[Lifecycle, int]] = []
    console.on_catalogue.append(
        lambda c: states.append(
            (c.devices["monitor"].state, len(c.devices["monitor"].channels))
        ) if "monitor" in c.devices else None
    )  # fmt: skip
    await play(bus, recording=str(path))
    await seen.until(lambda: (Lifecycle.DISCONNECTED, 3) in states)
    assert states[0] == (Lifecycle.CREATED, 3)
    await console.close()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({}, ConfigError, "recording"),
        ({"recording": "x", "speed": 2}, ConfigError, "allowed: recording, beside, align, rate"),
        ({"recording": "/nowhere/at/all"}, RecordingError, "no such directory"),
    ],
)
async def test_what_cannot_be_played_is_said_in_one_line(
    make_bus: Callable[..., Bus],
    play: Callable[..., Any],
    options: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        await play(make_bus(), **options)
