"""The journal writer survives a disk that is full, and says exactly what it could not keep."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from scot.clock import machine
from scot.codec import Frame, read_header
from scot_replay import open_journal as writing
from scot_replay.journal import JournalReader, RecordKind
from scot_replay.layout import journal_path
from scot_replay.losses import Loss
from scot_replay.parts import JournalPart
from scot_replay.recording import open_recording
from scot_replay.writer import Arrival, JournalWriter
from tests.golden.recording_frames import START_NS, case, catalogue
from tests.golden.recording_writing import manifest

FRAMES = case(14.0)
KNOWN = catalogue()


def arrivals(frames: list[Frame]) -> list[Arrival]:
    made = []
    for frame in frames:
        channel = KNOWN.channel(frame.address)
        assert channel is not None
        made.append(Arrival(frame, read_header(frame), channel.kind))
    return made


def make(
    path: Path, segment_s: float = 300.0, ended: list[JournalPart] | None = None
) -> JournalWriter:
    taken = [] if ended is None else ended
    return JournalWriter(path, manifest(False), (START_NS, KNOWN), segment_s, taken.append)


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` B: the kernel refuses, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)


def until(seen: Callable[[], bool], within_s: float = 10.0) -> None:
    ends_ns = machine.monotonic_ns() + round(within_s * 1e9)
    pause = threading.Event()
    while not seen():
        assert machine.monotonic_ns() < ends_ns, "it never happened"
        pause.wait(0.01)


def test_what_is_handed_over_is_on_disk_soon_and_readable_while_it_grows(tmp_path: Path) -> None:
    writer = make(tmp_path)
    writer.put(arrivals(FRAMES[:200]))
    until(lambda: writer.facts().samples == 200, within_s=2.0)
    assert list(open_recording(tmp_path).frames()) == FRAMES[:200]
    assert writer.part.read("or1/monitor/art", 0, 1) == [FRAMES[0]]
    writer.put(arrivals(FRAMES[200:]))
    writer.flush()
    assert writer.facts().samples == len(FRAMES)
    part = writer.close()
    assert [a for a in part.addresses() if len(part.times(a))] == part.addresses()
    reader = JournalReader(part.path.read_bytes())
    kinds = [record.kind for record in reader.records()]
    assert kinds[:2] == [RecordKind.MANIFEST, RecordKind.CATALOGUE]
    assert (kinds[-1], reader.tail.closed, reader.tail.left) == (RecordKind.END, True, 0)


def test_a_journal_ends_after_its_time_and_the_next_begins_with_the_state(tmp_path: Path) -> None:
    ended: list[JournalPart] = []
    writer = make(tmp_path, 0.2, ended)
    writer.put(arrivals(FRAMES[:600]))
    until(lambda: len(ended) > 0)
    live = writer.part
    writer.put(arrivals(FRAMES[600:]))
    writer.close()
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES
    second = JournalPart.open(journal_path(tmp_path, 2), 2)
    expected = {}
    for frame in FRAMES[:600]:
        if frame.address not in {"or1/scope/video", "or1/monitor/art"}:
            expected[frame.address] = frame
    assert second.state == expected
    assert live.state == expected  # History asks the open part too
    assert ended[0].path == journal_path(tmp_path, 1)


def test_a_new_catalogue_is_in_the_journal_at_its_place(tmp_path: Path) -> None:
    writer = make(tmp_path)
    newer = msgspec.structs.replace(KNOWN, version=KNOWN.version + 1)
    writer.put(arrivals(FRAMES[:10]))
    writer.note(START_NS + 5, newer)
    writer.put(arrivals(FRAMES[10:20]))
    writer.close()
    part = JournalPart.open(journal_path(tmp_path, 1), 1)
    assert part.catalogues == [(START_NS, KNOWN), (START_NS + 5, newer)]


def test_a_full_disk_is_said_and_nothing_is_lost_when_it_takes_bytes_again(tmp_path: Path) -> None:
    writer = make(tmp_path)
    writer.put(arrivals(FRAMES[:300]))
    writer.flush()
    size = journal_path(tmp_path, 1).stat().st_size
    with full_at(size + 1000):  # the write fails half way
        writer.put(arrivals(FRAMES[300:500]))
        writer.flush()
        assert "cannot write journal-1.scotj: File too large" in writer.facts().trouble
        assert writer.facts().waiting_bytes > 0
        found = list(open_recording(tmp_path).frames())  # its tail is torn
        assert 300 <= len(found) < 500
        assert found == FRAMES[: len(found)]
        writer.put(arrivals(FRAMES[500:600]))
    until(lambda: writer.facts().samples == 600, within_s=4.0)
    assert writer.facts().trouble == ""
    assert writer.facts().lost == {}
    writer.close()
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES[:600]
    assert not any("cut short" in line for line in opened.damage)


def test_what_does_not_fit_any_more_is_counted_by_channel_and_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_WAITING", 20_000)
    monkeypatch.setattr(writing, "RETRY_NS", 0)
    writer = make(tmp_path)
    size = journal_path(tmp_path, 1).stat().st_size
    with full_at(size + 10):
        for frame in FRAMES:
            writer.put(arrivals([frame]))
        writer.flush()  # tries again, and fails again
        facts = writer.facts()
        assert facts.waiting_bytes <= 20_000
        assert sum(loss.count for loss in facts.lost.values()) > 0
    until(lambda: writer.facts().waiting_bytes == 0, within_s=4.0)
    lost = writer.facts().lost
    part = writer.close()
    kept = {address: len(part.times(address)) for address in part.addresses()}
    for address in {frame.address for frame in FRAMES}:
        mine = [frame for frame in FRAMES if frame.address == address]
        gone = lost[address].count if address in lost else 0
        assert kept.get(address, 0) + gone == len(mine), address
    again = JournalPart.open(part.path, 1)
    said = {address: msgspec.convert(v, Loss) for address, v in again.losses[0].items()}
    assert said == lost  # the recording itself says what is missing
    video = [read_header(f).bus_ns for f in FRAMES if f.address == "or1/scope/video"]
    assert lost["or1/scope/video"].last_ns == video[-1]


def test_what_a_full_disk_refuses_to_the_very_end_is_said(tmp_path: Path) -> None:
    writer = make(tmp_path)
    writer.put(arrivals(FRAMES[:300]))
    writer.flush()
    size = journal_path(tmp_path, 1).stat().st_size
    with full_at(size + 1200):
        writer.put(arrivals(FRAMES[300:500]))
        part = writer.close()
    assert sum(loss.count for loss in writer.facts().lost.values()) == 200
    again = JournalPart.open(part.path, 1)
    assert again.damage == []  # what the failed try left is gone
    assert sum(loss["count"] for loss in again.losses[0].values()) == 200
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES[:300]
    assert any("could not be written" in line for line in opened.damage)


def test_when_the_next_journal_cannot_be_made_this_one_goes_on(tmp_path: Path) -> None:
    writer = make(tmp_path, 0.15)
    blocker = journal_path(tmp_path, 2)
    blocker.mkdir()  # its name is taken, by what is no journal
    writer.put(arrivals(FRAMES[:100]))
    until(lambda: "cannot begin a journal" in writer.facts().trouble)
    writer.put(arrivals(FRAMES[100:200]))
    writer.flush()
    assert writer.part.number == 1
    blocker.rmdir()
    until(lambda: writer.part.number == 2)
    writer.put(arrivals(FRAMES[200:300]))
    writer.close()
    assert list(open_recording(tmp_path).frames()) == FRAMES[:300]


def test_a_directory_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        make(tmp_path / "missing")
    with full_at(100), pytest.raises(OSError, match="File too large"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_older_sample_that_comes_late_does_not_become_the_state(tmp_path: Path) -> None:
    hr = [frame for frame in FRAMES if frame.address == "or1/monitor/hr"]
    ended: list[JournalPart] = []
    writer = make(tmp_path, 0.2, ended)
    writer.put(arrivals([hr[0], hr[2], hr[1]]))
    until(lambda: len(ended) > 0)
    writer.close()
    assert JournalPart.open(journal_path(tmp_path, 2), 2).state["or1/monitor/hr"] == hr[2]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from tests.golden.recording_frames import *
    from tests.unit.test_recorder_writer import arrivals, make, FRAMES
    writer = make(Path(sys.argv[1]))
    writer.put(arrivals(FRAMES[:500]))
    writer.flush()
    writer.put(arrivals(FRAMES[500:]))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_recorder_that_is_killed_loses_only_what_was_not_flushed(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join(str(root / part) for part in ("", "replay", "devices", "dashboard"))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    found = list(open_recording(tmp_path).frames())
    assert found[:500] == FRAMES[:500]
    assert found == FRAMES[: len(found)]


def test_a_record_that_rots_while_we_record_is_never_given_out(tmp_path: Path) -> None:
    writer = make(tmp_path)
    writer.put(arrivals(FRAMES[:50]))
    writer.flush()
    address = FRAMES[0].address
    places = len(writer.part.times(address))
    at = int(writer.part.entries(address)[1]["at"])
    with journal_path(tmp_path, 1).open("r+b") as file:
        file.seek(at + 40)
        byte = file.read(1)
        file.seek(at + 40)
        file.write(bytes((byte[0] ^ 4,)))
    mine = [frame for frame in FRAMES[:50] if frame.address == address]
    assert writer.part.read(address, 0, places) == [mine[0], *mine[2:]]
    writer.close()


def test_a_thread_that_fails_is_trouble_and_goes_on(tmp_path: Path) -> None:
    """Something that nobody thought of: the room's alarm for it is the one of a failing disk."""
    path = tmp_path / "rec"
    path.mkdir()
    refuses = threading.Event()
    refuses.set()

    def finished(part: JournalPart) -> None:
        if refuses.is_set():
            raise LookupError("nobody thought of it")

    writer = JournalWriter(path, manifest(False), (START_NS, KNOWN), 0.05, finished)
    writer.put(arrivals(FRAMES[:50]))
    said = "journal-flush failed: LookupError: 'nobody thought of it'"
    until(lambda: writer.facts().trouble.replace('"', "'").startswith(said[:34]))
    refuses.clear()
    until(lambda: not writer.facts().trouble)
    writer.put(arrivals(FRAMES[50:100]))
    writer.close()
    with open_recording(path) as opened:
        assert sum(1 for _ in opened.frames()) == 100
