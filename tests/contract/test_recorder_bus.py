"""The recorder on a real bus: everything is kept, answered for, sealed, and survives a crash."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.sync import Connection as SyncConnection
from scot.channel import Kind
from scot.codec import Frame, read_header
from scot.errors import RecordingError
from scot.history import HistoryRequest
from scot_replay.digest import Digest, in_digest
from scot_replay.layout import list_parts
from scot_replay.ledger.keys import SECRET, ensure
from scot_replay.ledger.verify import verify
from scot_replay.live import LiveTimeline
from scot_replay.recorder import serve
from scot_replay.recording import open_recording
from tests.contract.recorder_bus import Bus, Collector, Running, announce, publish, until
from tests.golden.recording_frames import EPOCH, START_NS, S, case

LOST = frozenset({("or1/monitor/hr", 4), ("or1/tracker/probe", 100)})
FRAMES = [f for f in case(8.0, LOST) if f.address.split("/")[1] != "room"]
MINE = ("monitor", "tracker", "scope")


@pytest.fixture
def make_bus(tmp_path: Path) -> Iterator[Callable[..., Bus]]:
    made: list[Bus] = []

    def make(**options: Any) -> Bus:
        state = tmp_path / f"bus{len(made)}"
        state.mkdir(mode=0o700)
        made.append(Bus(state, **options))
        return made[-1]

    yield make
    for bus in made:
        bus.stop()


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    running: list[Running] = []

    async def begin(bus: Bus, **options: Any) -> Running:
        made = Running(bus, await bus.join("recorder"), serve, options)
        running.append(made)
        await made.ready()
        return made

    yield begin
    for one in running:
        if not one.task.done():
            await one.stop()


async def recorded(asking: Connection, publisher: Connection, frames: list[Frame]) -> None:
    """Wait until the recorder's History answers for every one of `frames`.

    The last of each channel is sent again and again: whoever subscribed late learns from it what
    went before, as it would from a device's health. Receivers drop what they have.
    """
    last = list({f.address: f for f in frames}.values())
    addresses = sorted({f.address for f in frames})
    ask = HistoryRequest(addresses=addresses, between=(0, 2**62), holder="recorder")
    async with asyncio.timeout(20):
        while not set(frames) <= set((await asking.history(ask)).frames):
            await publish(publisher, last)


async def test_what_was_on_the_bus_is_in_the_recording_byte_for_byte(
    make_bus: Callable[..., Bus], start: Callable[..., Any], tmp_path: Path
) -> None:
    bus = make_bus()
    running = await start(bus, directory=str(tmp_path / "rec"))
    assert running.said == {"recording": str(tmp_path / "rec")}
    case_ = await bus.join("case")
    await announce(case_)
    await publish(case_, FRAMES)
    await recorded(running.connection, case_, FRAMES)
    console = await bus.join("console")
    seen = Collector()
    console.subscribe(["or1/recorder/health"], seen)
    await seen.until(lambda: len(seen.frames) > 0)
    await console.close()
    await case_.close()
    await running.stop()
    await until((tmp_path / "rec" / "columns" / "index-1.scoti").exists)
    opened = open_recording(tmp_path / "rec")
    assert [f for f in opened.frames() if f.address.split("/")[1] in MINE] == FRAMES
    assert opened.damage == []
    assert opened.manifest.finished is not None
    made = sorted(p.name for p in opened.path.iterdir())
    assert made == ["columns", "ledger.scotl", "manifest.json", "segment-1.mcap"]
    report = verify(opened.path, folder=tmp_path)
    assert report.intact, report.faults
    assert report.known
    assert opened.verify()
    assert ": verified" in repr(opened.verify())
    probe = opened.channels["or1/tracker/probe"]
    assert [(gap.first, gap.last) for gap in probe.gaps] == [(100, 100)]
    expected = Digest()
    for frame in FRAMES:
        expected.add(frame)
    assert opened.digests() == expected.result()
    assert opened.channels["or1/room/clock"].count > 0  # the clock map is inside
    assert opened.channels["or1/recorder/health"].count > 0


async def test_a_key_that_others_can_read_signs_nothing_and_is_an_alarm(
    make_bus: Callable[..., Bus], start: Callable[..., Any], tmp_path: Path
) -> None:
    ensure(where=tmp_path)
    (tmp_path / SECRET).chmod(0o644)
    bus = make_bus()
    console = await bus.join("console")
    seen = Collector()
    console.subscribe(["or1/recorder/alarms"], seen)
    running = await start(bus, directory=str(tmp_path / "rec"))
    await seen.until(lambda: any(b"not-signed" in frame.payload for frame in seen.frames))
    await console.close()
    await running.stop()
    assert open_recording(tmp_path / "rec").manifest.finished is not None
    with pytest.raises(RecordingError, match="has no ledger"):
        verify(tmp_path / "rec", folder=tmp_path)


async def test_encrypted_it_answers_live_and_nothing_is_readable_on_the_disk(
    make_bus: Callable[..., Bus],
    start: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCOT_STATE", str(tmp_path))
    bus = make_bus(encrypt=True)
    running = await start(bus, directory=str(tmp_path / "rec"))
    case_ = await bus.join("case")
    await announce(case_)
    await publish(case_, FRAMES)
    await recorded(running.connection, case_, FRAMES)
    await case_.close()
    await running.stop()
    opened = open_recording(tmp_path / "rec")
    assert [f for f in opened.frames() if f.address.split("/")[1] in MINE] == FRAMES
    stored = b"".join(f.read_bytes() for f in (tmp_path / "rec").rglob("*") if f.is_file())
    assert not any(f.payload in stored for f in FRAMES if len(f.payload) > 16)
    assert verify(tmp_path / "rec", folder=tmp_path).intact
    (key,) = (tmp_path / "case-keys").iterdir()
    key.unlink()
    with pytest.raises(RecordingError, match="cannot be read: its samples are encrypted"):
        open_recording(tmp_path / "rec")


async def test_samples_of_before_it_came_are_asked_for(
    make_bus: Callable[..., Bus], start: Callable[..., Any], tmp_path: Path
) -> None:
    bus = make_bus()
    case_ = await bus.join("case")
    await announce(case_)
    early = [f for f in FRAMES if f.address == "or1/monitor/hr"]
    await publish(case_, early[:4])
    running = await start(bus, directory=str(tmp_path / "rec"))
    await publish(case_, early[4:])
    await recorded(running.connection, case_, early)
    await case_.close()
    await running.stop()
    opened = open_recording(tmp_path / "rec")
    assert list(opened.frames(["monitor/hr"])) == early


async def test_history_answers_over_sealed_and_open_parts(
    make_bus: Callable[..., Bus], start: Callable[..., Any], tmp_path: Path
) -> None:
    bus = make_bus(segment_s=1.0)
    running = await start(bus, directory=str(tmp_path / "rec"))
    case_ = await bus.join("case")
    await announce(case_)
    console = await bus.join("console")
    half = len(FRAMES) // 2
    await publish(case_, FRAMES[:half])
    await recorded(running.connection, case_, FRAMES[:half])
    await until((tmp_path / "rec" / "segment-1.mcap").exists)
    await publish(case_, FRAMES[half:])
    await recorded(running.connection, case_, FRAMES)

    async def ask(**question: Any) -> list[Frame]:
        reply = await console.history(HistoryRequest(holder="recorder", **question))
        return reply.frames

    addresses = sorted({f.address for f in FRAMES})
    assert await ask(addresses=addresses, between=(START_NS, START_NS + 60 * S)) == FRAMES
    video = await ask(addresses=["or1/scope/video"], at=START_NS + 6 * S + S // 2)
    assert [read_header(f).seq for f in video] == list(range(150, 163))
    seqs = await ask(addresses=["or1/tracker/probe"], seqs=(EPOCH, 95, 105))
    assert [read_header(f).seq for f in seqs] == [s for s in range(95, 106) if s != 100]
    state = await ask(addresses=addresses, at=START_NS + 5 * S)
    assert {f.address for f in state} == set(addresses)
    await console.close()
    await case_.close()


async def test_health_says_how_it_stands(
    make_bus: Callable[..., Bus], start: Callable[..., Any], tmp_path: Path
) -> None:
    bus = make_bus()
    console = await bus.join("console")
    seen = Collector()
    console.subscribe(["or1/recorder/"], seen)
    await start(bus, directory=str(tmp_path / "rec"))
    case_ = await bus.join("case")
    await announce(case_)
    await publish(case_, FRAMES[:100])

    def healthy() -> bool:
        found = [msgspec.msgpack.decode(f.payload) for f in seen.frames]
        return any(h.get("samples", 0) >= 100 for h in found)

    await seen.until(healthy)
    health = msgspec.msgpack.decode(seen.frames[-1].payload)
    assert (health["state"], health["lost"], health["segment"]) == ("running", 0, 1)
    assert health["bytes"] > 10_000
    assert health["disk_left_bytes"] > 0
    assert console.catalogue.devices["recorder"].channels["alarms"].kind is Kind.ALARM
    await console.close()
    await case_.close()


async def test_a_directory_of_another_recording_is_refused_and_left_alone(
    make_bus: Callable[..., Bus], start: Callable[..., Any], tmp_path: Path
) -> None:
    first = make_bus()
    running = await start(first, directory=str(tmp_path / "rec"))
    await running.stop()
    await until((tmp_path / "rec" / "columns" / "index-1.scoti").exists)  # the sealer goes on alone
    before = {p: p.read_bytes() for p in (tmp_path / "rec").rglob("*") if p.is_file()}
    with pytest.raises(RecordingError, match=r"already holds a recording.*new directory"):
        await start(make_bus(), directory=str(tmp_path / "rec"))
    assert {p: p.read_bytes() for p in (tmp_path / "rec").rglob("*") if p.is_file()} == before


async def test_a_directory_that_cannot_be_made_is_said_with_the_fix(
    make_bus: Callable[..., Bus], start: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecordingError, match="choose another directory"):
        await start(make_bus(), directory=str(tmp_path / "file" / "rec"))


async def test_without_a_directory_it_is_named_by_start_and_workspace(
    make_bus: Callable[..., Bus], start: Callable[..., Any]
) -> None:
    bus = make_bus()
    running = await start(bus)
    path = Path(running.said["recording"])
    assert path.parent == bus.room.recorder.directory
    stamp, _, workspace = path.name.partition("-")
    assert workspace == "or1"
    assert len(stamp) == 16
    assert stamp.endswith("Z")


def _start(bus: Bus, directory: Path) -> subprocess.Popen[str]:
    """Start the recorder as the room does, in a process of its own, and wait until it is ready."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "scot.host", "service", "recorder"),
            *("--state", str(bus.state), "--options", json.dumps({"directory": str(directory)})),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert "ready" in said, said
    process.stdout.close()
    return process


async def test_killed_and_started_again_it_goes_on_in_the_same_recording(
    make_bus: Callable[..., Bus], tmp_path: Path
) -> None:
    bus, directory = make_bus(), tmp_path / "rec"
    case_ = await bus.join("case")
    await announce(case_)
    console = await bus.join("console")
    process = await asyncio.to_thread(_start, bus, directory)
    third = len(FRAMES) // 3
    await publish(case_, FRAMES[:third])

    await recorded(console, case_, FRAMES[:third])
    process.kill()
    process.wait()
    left = open_recording(directory)  # what a crash leaves is readable as it is
    assert [f for f in left.frames() if in_digest(f.address)] == FRAMES[:third]
    assert any("never finished" in line for line in left.damage)
    await publish(case_, FRAMES[third : 2 * third])  # nobody records now
    process = await asyncio.to_thread(_start, bus, directory)
    await publish(case_, FRAMES[2 * third :])
    signals = [f for f in FRAMES if f.address != "or1/scope/video"]
    await recorded(console, case_, signals)
    process.terminate()
    assert await asyncio.to_thread(process.wait, 40) == 0
    await until(lambda: list_parts(directory).unsealed == [])  # what the kill left, too
    opened = open_recording(directory)
    found = [f for f in opened.frames() if in_digest(f.address)]
    assert [f for f in found if f.address != "or1/scope/video"] == signals  # none lost, none twice
    accounts = opened.completeness()
    assert accounts["or1/tracker/probe"].backfilled > 0  # published while nobody recorded
    assert {i.why for a in accounts.values() for i in a.lost_in} <= {"never-came"}
    assert opened.manifest.finished is not None
    assert opened.channels["or1/monitor/hr"].count == 7
    await console.close()
    await case_.close()


@pytest.mark.parametrize("with_recorder", [True, False])
async def test_a_live_room_is_a_timeline_like_a_recording(
    make_bus: Callable[..., Bus], start: Callable[..., Any], tmp_path: Path, with_recorder: bool
) -> None:
    bus = make_bus()
    case_ = await bus.join("case")
    await announce(case_)
    if with_recorder:
        running = await start(bus, directory=str(tmp_path / "rec"))
    await publish(case_, FRAMES)
    if with_recorder:
        await recorded(running.connection, case_, FRAMES)

    def look() -> None:
        with LiveTimeline(SyncConnection.join(Link.load(bus.state, "console"))) as room:
            assert room.span[0] == START_NS
            heart = room["monitor/hr"].df
            assert heart["monitor/hr"].dropna().tolist() == [70, 71, 72, 73, 75, 76, 77]
            state = room.at(START_NS + 5 * S + S // 2)
            assert state["tracker/probe"].sample.seq == 110
            assert state["monitor/hr"].age_ns == S // 2
            assert state["scope/video"].sample.seq == 137
            group = room.pictures("or1/scope/video", START_NS + 5 * S + S // 2)
            assert [one.seq for one in group] == list(range(125, 138))
            table = room.to_pandas(
                ["monitor/hr", "monitor/art"], "1s", between=(START_NS, START_NS + 8 * S)
            )
            assert len(table) == 8
            assert room.alarms["id"].tolist() == ["hr-high"]
            assert ">monitor/art<" in room._repr_html_()
            drawn = room.envelope("monitor/hr", START_NS, START_NS + 8 * S, max_points=5)
            assert (drawn.low.min(), drawn.high.max(), drawn.count.sum()) == (70, 77, 7)
            with pytest.raises(RecordingError, match=r"did you mean monitor/hr\?"):
                room["monitor/hrr"]

    await asyncio.to_thread(look)
    await case_.close()
