"""A recorder that keeps the last minutes keeps no more, until something happens; then all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from errno import ENOSPC
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scot.bus.subscriber import Delivery
from scot.channel import Kind
from scot.cli import run
from scot.cli.rooms import read_length
from scot.codec import read_header
from scot.config import RecorderTable
from scot.errors import ConfigError
from scot.sample import AnnotationValue, Flags, NumericValue
from scot_replay import pretrigger, recorder
from scot_replay.layout import (
    Manifest,
    iso_utc,
    journal_path,
    list_parts,
    read_manifest,
    write_manifest,
)
from scot_replay.pretrigger import FILE, PreTrigger
from scot_replay.recorder import serve
from scot_replay.recording import open_recording
from tests.contract.recorder_bus import KNOWN, Bus, Running, announce, publish, until
from tests.golden.recording_frames import START_NS, S, case, frame
from tests.golden.recording_writing import write_recording

FRAMES = [f for f in case(8.0) if f.address.split("/")[1] not in {"room", "scope"}]
BEFORE = [f for f in FRAMES if f.address == "or1/tracker/probe"][:40]
AFTER = [f for f in FRAMES if f.address == "or1/monitor/art"]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    state = tmp_path / "bus"
    state.mkdir(mode=0o700)
    made = Bus(state)
    yield made
    made.stop()


@pytest.fixture
async def start(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    monkeypatch.setattr(pretrigger, "SHORTEST_S", 0.3)
    running: list[Running] = []

    async def begin(directory: Path, **table: Any) -> Running:
        recorder = RecorderTable.model_construct(
            enabled=True, directory=directory.parent, segment_s=300.0, **table
        )
        bus.room = bus.room.model_copy(update={"recorder": recorder})
        options = {"directory": str(directory)}
        running.append(Running(bus, await bus.join("recorder"), serve, options))
        await running[-1].ready()
        return running[-1]

    yield begin
    for one in running:
        if not one.task.done():
            await one.stop()


async def test_what_is_older_goes_until_a_channel_triggers_and_then_all_is_kept(
    bus: Bus, start: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "rec"
    running = await start(path, keep_last_s=1.0, trigger="monitor/hr")
    case_ = await bus.join("case")
    await announce(case_)
    await publish(case_, BEFORE)
    await until(lambda: path.exists() and not journal_path(path, 1).exists())
    assert not list(path.glob("*.mcap"))  # nothing is sealed while it may go
    await publish(case_, [frame("or1/monitor/hr", Kind.NUMERIC, 0, 0.0, NumericValue(140.0))])
    await until(lambda: (found := read_manifest(path)) is not None and found.triggered != "")
    await publish(case_, AFTER)
    await running.stop()
    await case_.close()
    opened = open_recording(path)
    assert opened.damage == []  # that the first parts are not there is no damage
    assert opened.manifest.keep_last_s == 1.0
    found = list(opened.frames())
    assert set(AFTER) <= set(found)
    assert not set(BEFORE) & set(found)
    await until(lambda: list_parts(path).unsealed == [])
    assert opened.completeness()["or1/monitor/art"].lost == 0


async def test_scot_keep_triggers_it(
    bus: Bus, start: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rec"
    running = await start(path, keep_last_s=60.0, trigger="")
    (bus.state / FILE).touch()  # what `scot keep` does
    await until(lambda: (found := read_manifest(path)) is not None and found.triggered != "")
    await running.stop()
    assert read_manifest(path).triggered <= iso_utc(running.connection.clock.now())  # type: ignore[union-attr]
    assert run(["keep", "--workspace", "nowhere"]) == 1
    assert "no room 'nowhere' is up" in capsys.readouterr().err


async def test_a_trigger_that_the_disk_did_not_take_is_written_later(
    bus: Bus, start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rec"
    tries: list[str] = []

    def fails_once(directory: Path, manifest: Manifest) -> None:
        tries.append(manifest.triggered)
        if tries.count(manifest.triggered) == 1 and manifest.triggered:
            raise OSError(ENOSPC, "No space left on device")
        write_manifest(directory, manifest)

    monkeypatch.setattr(recorder, "write_manifest", fails_once)
    await start(path, keep_last_s=60.0, trigger="")
    (bus.state / FILE).touch()
    await until(lambda: (found := read_manifest(path)) is not None and found.triggered != "")


async def test_scot_keep_is_heard_by_a_recorder_that_starts_again(
    bus: Bus, start: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "rec"
    first = await start(path, keep_last_s=60.0, trigger="")
    await first.stop()
    (bus.state / FILE).touch()  # while there was none to see it
    await start(path, keep_last_s=60.0, trigger="")
    await until(lambda: (found := read_manifest(path)) is not None and found.triggered != "")


def delivery(tool: str, ttl_s: float = 8.0) -> Delivery:
    channel = KNOWN.channel("or1/room/notes")
    assert channel is not None
    value = AnnotationValue(
        id="1", channel="or1/scope/video", at_ns=0, author="nurse", tool=tool, ttl_s=ttl_s
    )
    made = frame("or1/room/notes", Kind.ANNOTATION, 0, 0.0, value)
    return Delivery(made, read_header(made), Flags(0), channel)


def test_a_pin_or_a_chapter_triggers_and_ink_does_not() -> None:
    waits = PreTrigger(300.0)
    assert [waits.triggers([delivery(t)]) for t in ("pointer", "ink", "text")] == [False] * 3
    assert not waits.triggers([delivery("pin", ttl_s=0.0)])  # it was taken away
    assert waits.triggers([delivery("pin")])
    assert waits.triggers([delivery("chapter")])
    assert PreTrigger(300.0, "room/notes").triggers([delivery("ink")])
    assert not PreTrigger(300.0, "room/other").triggers([delivery("pin")])
    assert not PreTrigger(0.0).triggers([delivery("pin")])


def test_only_whole_parts_from_the_first_on_are_too_old(tmp_path: Path) -> None:
    frames = case(12.0)
    write_recording(tmp_path, [frames[:150], frames[150:300], frames[300:]])
    parts = open_recording(tmp_path).parts
    end_ns = START_NS + 12 * S
    old = PreTrigger(300.0).outdated(parts, end_ns + 250 * S)
    assert old == []
    old = PreTrigger(300.0).outdated(parts, end_ns + 295 * S)
    assert [part.number for part in old] == [1, 2]
    assert PreTrigger(300.0).segment_s(300.0) == 30.0
    assert PreTrigger(0.0).segment_s(300.0) == 300.0


def test_a_part_that_was_to_be_kept_and_is_not_there_is_named(tmp_path: Path) -> None:
    frames = case(12.0)
    write_recording(tmp_path, [frames[:150], frames[150:300], frames[300:]])
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    triggered = iso_utc(START_NS + 10 * S)
    kept = msgspec.structs.replace(manifest, keep_last_s=6.0, triggered=triggered)
    write_manifest(tmp_path, kept)
    journal_path(tmp_path, 1).unlink()  # too old: its last sample is of 2.8 s
    assert open_recording(tmp_path).damage == []
    journal_path(tmp_path, 2).unlink()  # it reached from 2.8 s to 5.7 s
    assert open_recording(tmp_path).damage == []
    kept = msgspec.structs.replace(kept, keep_last_s=8.0)
    write_manifest(tmp_path, kept)
    (line,) = open_recording(tmp_path).damage
    assert line == f"its first parts are missing: it kept all since {iso_utc(START_NS + 2 * S)}"


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600)])
def test_a_length_of_time_as_people_write_it(text: str, seconds: float) -> None:
    assert read_length(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5x", "-5m", "25h", "a while"])
def test_a_length_that_cannot_be_kept_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(ConfigError, match="as 90s, 5m, 1h"):
        read_length(text)


def test_a_trigger_without_a_length_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room = tmp_path / "room.toml"
    room.write_text('[room]\nworkspace = "or1"\n')
    assert run(["record", str(room), str(tmp_path / "rec"), "--trigger", "monitor/hr"]) == 1
    assert "add --keep-last 5m" in capsys.readouterr().err
    assert (
        run(["record", str(room), str(tmp_path / "rec"), "--keep-last", "5m", "--trigger", "x"])
        == 1
    )
    assert "DEVICE/CHANNEL" in capsys.readouterr().err
