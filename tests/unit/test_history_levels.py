"""History with `max_points`: hours in some kilobytes, no peak hidden, bounded whatever is asked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from scot.bus.reply import read_reply
from scot.channel import Catalogue, Channel, Device, Kind, Lifecycle
from scot.codec import Header, read_header
from scot.errors import CodecError
from scot.history import LEVEL_BYTES, POINT_BYTES, History, HistoryReply, HistoryRequest, Level
from scot.transport import Laps
from scot_replay.columns import columns
from scot_replay.holder import Holder
from scot_replay.laps import Lap
from scot_replay.levels import of_level
from scot_replay.parts import JournalPart
from scot_replay.recording import DirectoryRecording, open_recording
from tests.golden.recording_frames import START_NS, S, case
from tests.golden.recording_writing import write_journal, write_recording

FRAMES = case(60.0)
WAVE, NUMBER, POSE = "or1/monitor/art", "or1/monitor/hr", "or1/tracker/probe"
SPAN = (START_NS, START_NS + 60 * S)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> DirectoryRecording:
    path = tmp_path_factory.mktemp("levels")
    write_recording(path, [FRAMES[:1_500], FRAMES[1_500:3_000], FRAMES[3_000:]], sealed=2)
    return open_recording(path)


def ask(recording: DirectoryRecording, *addresses: str, max_points: int = 0) -> HistoryReply:
    question = HistoryRequest(addresses=list(addresses), between=SPAN, max_points=max_points)
    return recording.history(question)


@pytest.mark.parametrize("points", [1, 2, 7, 100, 1_000, 10**9])
def test_the_least_and_the_greatest_value_of_every_stretch_arrive(
    recording: DirectoryRecording, points: int
) -> None:
    reply = ask(recording, WAVE, NUMBER, max_points=points)
    assert (reply.frames, reply.complete) == ([], True)
    for address in (WAVE, NUMBER):
        level = reply.levels[address]
        assert len(level) <= max(2, points)
        found = of_level(level)
        known = columns(recording.rows(address), recording.channel(address))
        values = known.values[""]
        assert np.nanmin(found.low) == np.nanmin(values)
        assert np.nanmax(found.high) == np.nanmax(values)
        assert found.count.sum() == (~np.isnan(values)).sum()
        for start_ns, low, high in zip(found.start_ns, found.low, found.high, strict=True):
            inside = (known.times >= start_ns) & (known.times < start_ns + level.width_ns)
            assert low == np.nanmin(values[inside])
            assert high == np.nanmax(values[inside])


def test_what_has_no_least_value_comes_as_samples_beside_the_levels(
    recording: DirectoryRecording,
) -> None:
    reply = ask(recording, NUMBER, POSE, max_points=10)
    assert set(reply.levels) == {NUMBER}
    assert {frame.address for frame in reply.frames} == {POSE}
    assert ask(recording, NUMBER).levels == {}


def test_levels_go_as_far_as_the_samples_of_an_answer_that_was_cut(
    recording: DirectoryRecording,
) -> None:
    at_ns: int | None = SPAN[0]
    seen = 0
    while at_ns is not None:
        question = HistoryRequest(
            addresses=[NUMBER, POSE], between=(at_ns, SPAN[1]), max_bytes=20_000, max_points=1_000
        )
        reply = recording.history(question)
        upto_ns = reply.next_ns or SPAN[1]
        found = of_level(reply.levels[NUMBER])
        assert found.start_ns[-1] < upto_ns
        assert found.start_ns[0] + found.width_ns > at_ns
        at_ns, seen = reply.next_ns, seen + len(reply.frames)
    assert seen == sum(frame.address == POSE for frame in FRAMES)


def test_an_answer_fits_into_one_message_however_much_is_asked(tmp_path: Path) -> None:
    """A thousand numerics of a second each: a waveform's worth of points for all of them."""
    names = [f"n{place}" for place in range(1_000)]
    channels = {
        name: Channel(name=name, kind=Kind.NUMERIC, label={"en": name}, rate_hz=1.0)
        for name in names
    }
    device = Device(
        name="lab", provider="lab", label={"en": "Lab"}, state=Lifecycle.RUNNING, channels=channels
    )
    number = next(frame for frame in FRAMES if frame.address == NUMBER)
    header = read_header(number)
    frames = [
        number._replace(
            topic=f"or1/lab/{name}".encode() + b"\0", header=_header(header, n, START_NS + n * S)
        )
        for n in range(60)
        for name in names
    ]
    write_journal(tmp_path / "journal-1.scotj", frames)
    holder = Holder([JournalPart.open(tmp_path / "journal-1.scotj", 1)])
    addresses = [f"or1/lab/{name}" for name in names]
    question = HistoryRequest(addresses=addresses, between=SPAN, max_points=10**6)
    reply = holder.answer(question, Catalogue(workspace="or1", devices={"lab": device}))
    assert len(reply.levels) == 1_000
    assert sum(map(len, reply.levels.values())) * POINT_BYTES <= LEVEL_BYTES
    assert len(msgspec.msgpack.encode(reply)) < 1 << 20


def _header(header: Header, seq: int, bus_ns: int) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(header, seq=seq, bus_ns=bus_ns))


def test_a_holder_without_levels_answers_with_samples() -> None:
    history = History()
    for frame in FRAMES[:200]:
        history.add(frame, read_header(frame))
    few = HistoryRequest(addresses=[NUMBER], between=SPAN, max_points=2)
    assert history.answer(few) == history.answer(msgspec.structs.replace(few, max_points=0))


def test_a_later_lap_of_a_replay_answers_with_its_own_times(recording: DirectoryRecording) -> None:
    laps = Laps(origin_ns=recording.first_ns, period_ns=100 * S)
    later = Lap(1, laps)
    shift_ns = later.shift_ns
    between = SPAN[0] + shift_ns, SPAN[1] + shift_ns
    question = HistoryRequest(addresses=[NUMBER], between=between, max_points=10)
    assert shift_ns
    level = later.answer(question, recording).levels[NUMBER]
    assert level == ask(recording, NUMBER, max_points=10).levels[NUMBER].moved(shift_ns)


@pytest.mark.parametrize(
    ("address", "wrong", "said"),
    [
        (NUMBER, {"low": b""}, "a level of or1/monitor/hr that is none"),
        (NUMBER, {"width_ns": 0}, "a level of or1/monitor/hr that is none"),
        (NUMBER, {"places": b"abc"}, "a level of or1/monitor/hr that is none"),
        (POSE, {}, "or1/tracker/probe, which was not asked for"),
    ],
)
def test_a_level_that_is_none_or_was_not_asked_for_is_refused(
    address: str, wrong: dict[str, bytes | int], said: str
) -> None:
    level = Level(
        width_ns=S, first_ns=0, places=bytes(4), low=bytes(8), high=bytes(8), count=bytes(4)
    )
    level = msgspec.structs.replace(level, **wrong)
    body = msgspec.msgpack.encode(HistoryReply(levels={address: level}))
    with pytest.raises(CodecError, match=said):
        read_reply([body], [NUMBER])
