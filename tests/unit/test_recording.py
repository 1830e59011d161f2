"""A directory of journals and segments, mixed and damaged, reads as one Timeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scot
from scot.channel import Kind
from scot.codec import Frame, read_header
from scot.errors import RecordingError
from scot.history import HistoryRequest
from scot.recording import Gap
from scot.sample import NumericValue, PoseValue
from scot_replay.journal import MAGIC, RecordKind, encode_catalogue, encode_frame
from scot_replay.layout import NewerVersionError, journal_path, segment_path
from scot_replay.recording import open_recording
from scot_replay.seal import seal
from tests.golden.recording_frames import (
    EPOCH,
    START_NS,
    S,
    case,
    catalogue,
    frame,
)
from tests.golden.recording_writing import write_journal, write_recording

LOST = frozenset({("or1/monitor/hr", 4), ("or1/monitor/hr", 5), ("or1/tracker/probe", 100)})
FRAMES = case(12.0, LOST)
LAYOUTS: dict[str, Callable[[Path], None]] = {
    "one journal": lambda path: write_recording(path, [FRAMES]),
    "two journals": lambda path: write_recording(path, [FRAMES[:400], FRAMES[400:]]),
    "segments": lambda path: write_recording(path, [FRAMES[:400], FRAMES[400:]], sealed=2),
    "a segment and a journal": lambda path: write_recording(
        path, [FRAMES[:400], FRAMES[400:]], sealed=1
    ),
    "out of order over parts": lambda path: write_recording(
        path, [FRAMES[:390] + FRAMES[420:500], FRAMES[390:420] + FRAMES[500:]], sealed=1
    ),
    "the same samples in two parts": lambda path: write_recording(
        path, [FRAMES[:500], FRAMES[450:]], sealed=1
    ),
}


@pytest.fixture(params=LAYOUTS)
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    LAYOUTS[request.param](tmp_path)
    return tmp_path


def test_every_frame_comes_back_once_in_bus_time_order(recording: Path) -> None:
    assert list(open_recording(recording).frames()) == FRAMES


def test_frames_of_some_channels_within_a_time(recording: Path) -> None:
    opened = open_recording(recording)
    wanted = {"or1/monitor/hr", "or1/scope/video"}
    first, last = START_NS + 2 * S, START_NS + 7 * S
    expected = [f for f in FRAMES if f.address in wanted and first <= read_header(f).bus_ns < last]
    assert list(opened.frames(["monitor/hr", "or1/scope/video"], (first, last))) == expected


def test_channels_say_count_and_exactly_what_is_missing(recording: Path) -> None:
    channels = open_recording(recording).channels
    assert channels["or1/monitor/hr"].count == 10
    assert channels["or1/monitor/hr"].gaps == [Gap(epoch=EPOCH, first=4, last=5)]
    assert channels["or1/monitor/hr"].channel.unit == "/min"
    assert channels["or1/tracker/probe"].gaps == [Gap(epoch=EPOCH, first=100, last=100)]
    assert channels["or1/scope/video"].gaps == []
    assert channels["or1/room/notes"].count == 0
    assert sum(known.count for known in channels.values()) == len(FRAMES)


def test_the_state_of_every_channel_at_an_instant(recording: Path) -> None:
    moments = open_recording(recording).at(START_NS + 7 * S + 20_000_000)
    heart = moments["or1/monitor/hr"].sample.value
    assert heart == NumericValue(77.0)
    assert moments["or1/monitor/hr"].age_ns == 20_000_000
    pose = moments["or1/tracker/probe"].sample.value
    assert isinstance(pose, PoseValue)
    assert pose.position_mm[0] == pytest.approx(7.0)
    assert moments["or1/monitor/alarms"].sample.seq == 0  # 4.5 s ago, in another part
    assert moments["or1/scope/video"].err_ns == 9_000


def test_nothing_is_known_before_the_first_sample(recording: Path) -> None:
    assert open_recording(recording).at(START_NS - 1) == {}


def test_between_gives_samples_and_thins_them(recording: Path) -> None:
    opened = open_recording(recording)
    whole = opened.between(START_NS, START_NS + 3 * S, ["tracker/probe"])
    assert [s.seq for s in whole["or1/tracker/probe"]] == list(range(60))
    few = opened.between(START_NS, START_NS + 3 * S, ["tracker/probe"], max_points=10)
    assert len(few["or1/tracker/probe"]) == 10


def test_history_at_an_instant_gives_video_from_its_keyframe(recording: Path) -> None:
    opened = open_recording(recording)
    ask = HistoryRequest(addresses=["or1/scope/video"], at=START_NS + 6 * S + 500_000_000)
    reply = opened.history(ask)
    headers = [read_header(frame) for frame in reply.frames]
    assert [h.seq for h in headers] == list(range(150, 163))
    assert headers[0].flags & 1
    assert reply.first_ns == START_NS


def test_history_between_is_cut_at_max_bytes_and_goes_on_without_loss(recording: Path) -> None:
    opened = open_recording(recording)
    addresses = ["or1/scope/video", "or1/monitor/hr"]
    expected = list(opened.frames(addresses))
    got: list[Frame] = []
    at: int | None = START_NS
    rounds = 0
    while at is not None:
        ask = HistoryRequest(addresses=addresses, between=(at, 2**62), max_bytes=20_000)
        reply = opened.history(ask)
        assert sum(sum(map(len, frame)) for frame in reply.frames) <= 20_000
        got += reply.frames
        at = reply.next_ns
        assert reply.complete is (at is None)
        rounds += 1
    assert got == expected
    assert rounds > 5


def test_one_instant_larger_than_max_bytes_still_goes(recording: Path) -> None:
    ask = HistoryRequest(addresses=["or1/scope/video"], between=(START_NS, 2**62), max_bytes=1)
    reply = open_recording(recording).history(ask)
    assert len(reply.frames) == 1
    assert reply.next_ns == START_NS + S // 25


@pytest.mark.parametrize(("first", "last"), [(0, 0), (95, 105), (0, 10_000), (230, 239)])
def test_history_by_seq(recording: Path, first: int, last: int) -> None:
    ask = HistoryRequest(addresses=["or1/tracker/probe"], seqs=(EPOCH, first, last))
    seqs = [read_header(frame).seq for frame in open_recording(recording).history(ask).frames]
    assert seqs == [s for s in range(240) if first <= s <= last and s != 100]


def test_history_of_what_is_not_there_is_empty_and_complete(recording: Path) -> None:
    opened = open_recording(recording)
    for ask in (
        HistoryRequest(addresses=["or1/nobody/x"], at=START_NS + S),
        HistoryRequest(addresses=["or1/monitor/hr"], seqs=(EPOCH + 1, 0, 9)),
        HistoryRequest(addresses=["or1/monitor/hr"], between=(0, START_NS)),
        HistoryRequest(addresses=[], between=(0, 2**62)),
        HistoryRequest(addresses=["or1/monitor/hr"]),
    ):
        reply = opened.history(ask)
        assert (reply.frames, reply.complete) == ([], True)


def test_the_digest_does_not_depend_on_the_layout(recording: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_recording(other, [FRAMES])
    assert open_recording(recording).digest() == open_recording(other).digest()


def test_scot_open_finds_it(recording: Path) -> None:
    opened = scot.open(str(recording))
    assert opened.catalogue.workspace == "or1"
    assert opened.duration_s == pytest.approx(11.96)
    assert opened.damage == []


def test_a_name_that_is_not_there_is_refused_with_what_comes_close(recording: Path) -> None:
    with pytest.raises(RecordingError, match=r"no channel 'monitor/hrr'; did you mean monitor/hr"):
        open_recording(recording).between(0, 1, ["monitor/hrr"])


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, len(FRAMES)), max_size=3), st.integers(0, 4), st.data())
def test_how_a_recording_was_cut_into_parts_never_matters(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], sealed: int, data: st.DataObject
) -> None:
    edges = [0, *sorted(cuts), len(FRAMES)]
    parts = [FRAMES[a:b] for a, b in pairwise(edges)]
    path = tmp_path_factory.mktemp("cut")
    write_recording(path, parts, sealed=sealed)
    opened = open_recording(path)
    assert list(opened.frames()) == FRAMES
    at_ns = START_NS + data.draw(st.integers(-S, 13 * S))
    expected = {}
    for one in FRAMES:
        if read_header(one).bus_ns <= at_ns:
            expected[one.address] = read_header(one).seq
    assert {a: m.sample.seq for a, m in opened.at(at_ns).items()} == expected
    opened.close()


# -- what is damaged


def test_a_torn_journal_opens_as_far_as_it_goes_and_says_what_is_missing(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES[:100], FRAMES[100:300]], finished=False)
    torn = journal_path(tmp_path, 2)
    torn.write_bytes(torn.read_bytes()[:-7])
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES[:299]
    left = len(encode_frame(FRAMES[299])) - 7
    assert any(f"cut short: {left} B" in line for line in opened.damage)
    assert any("never finished" in line for line in opened.damage)


def test_a_segment_cut_short_gives_the_chunks_it_still_has(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES], sealed=1)
    segment = segment_path(tmp_path, 1)
    segment.write_bytes(segment.read_bytes()[:-2_000])  # its summary is gone
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES
    assert any("cut short" in line for line in opened.damage)
    segment.write_bytes(segment.read_bytes()[:150_000])
    opened = open_recording(tmp_path)
    signals = [frame for frame in FRAMES if frame.address != "or1/scope/video"]
    assert list(opened.frames()) == signals
    assert opened.channels["or1/monitor/hr"].gaps == [Gap(epoch=EPOCH, first=4, last=5)]


def test_a_broken_chunk_is_named_and_costs_only_itself(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES], sealed=1)
    segment = segment_path(tmp_path, 1)
    data = bytearray(segment.read_bytes())
    payload = next(f for f in FRAMES if f.address == "or1/scope/video").payload
    data[data.index(payload) + 100] ^= 4
    segment.write_bytes(data)
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == [f for f in FRAMES if f.address != "or1/scope/video"]
    assert any("chunk" in line and "broken" in line for line in opened.damage)


def test_a_journal_beside_a_damaged_segment_is_used_instead(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES], sealed=1)
    write_journal(journal_path(tmp_path, 1), FRAMES)
    segment = segment_path(tmp_path, 1)
    segment.write_bytes(segment.read_bytes()[:5_000])
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES
    assert opened.damage == []


def test_a_missing_part_is_said(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES[:100], FRAMES[100:200], FRAMES[200:300]])
    journal_path(tmp_path, 2).unlink()
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES[:100] + FRAMES[200:300]
    assert any("part 2 is missing" in line for line in opened.damage)


def test_an_empty_journal_is_said_and_the_rest_opens(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES[:100], []])
    journal_path(tmp_path, 2).write_bytes(b"")
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == FRAMES[:100]
    assert any("journal-2.scotj: the file is empty" in line for line in opened.damage)


def test_without_its_manifest_it_opens_and_says_so(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES])
    (tmp_path / "manifest.json").unlink()
    opened = open_recording(tmp_path)
    assert opened.catalogue.workspace == "or1"
    assert any("manifest.json is missing" in line for line in opened.damage)


def test_a_sample_no_catalogue_knows_is_kept_and_sealed(tmp_path: Path) -> None:
    path = journal_path(tmp_path, 1)
    odd = Frame(b"or1/odd/thing\0", FRAMES[0].header, b"\xc1 no payload of any kind")
    path.write_bytes(MAGIC + encode_catalogue(START_NS, catalogue()) + encode_frame(odd))
    assert list(open_recording(tmp_path).frames()) == [odd]
    seal(tmp_path, 1)
    assert list(open_recording(tmp_path).frames()) == [odd]


def test_the_state_at_the_start_of_a_part_answers_for_before(tmp_path: Path) -> None:
    alarm = next(frame for frame in FRAMES if frame.address == "or1/monitor/alarms")
    path = journal_path(tmp_path, 1)
    later = [f for f in FRAMES if read_header(f).bus_ns > START_NS + 6 * S]
    head = MAGIC + encode_catalogue(START_NS, catalogue())
    head += encode_frame(alarm, RecordKind.STATE)
    path.write_bytes(head + b"".join(encode_frame(frame) for frame in later))
    for _ in ("as a journal", "as a segment"):
        opened = open_recording(tmp_path)
        assert opened.at(START_NS + 8 * S)["or1/monitor/alarms"].sample.seq == 0
        assert alarm not in list(opened.frames())  # it is no sample of this recording's
        if path.exists():
            seal(tmp_path, 1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "is empty"),
        (lambda path: (path / "manifest.json").write_text("{}"), "is empty"),
        (lambda path: (path / "notes.txt").write_text("x"), "not a recording"),
        (lambda path: path.rmdir(), "no such directory"),
        (lambda path: (path.rmdir(), path.write_text("x")), "is a file"),
        (lambda path: journal_path(path, 1).write_bytes(b"garbage here"), "not a SCOT journal"),
        (lambda path: segment_path(path, 1).write_bytes(b"garbage here"), "holds nothing"),
        (lambda path: segment_path(path, 1).write_bytes(b""), "holds nothing"),
    ],
)
def test_what_is_no_recording_gets_one_clear_line(
    tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "rec"
    path.mkdir()
    make(path)
    with pytest.raises(RecordingError, match=says) as caught:
        scot.open(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_newer_recording_is_refused_with_the_fix(tmp_path: Path) -> None:
    write_recording(tmp_path, [FRAMES])
    manifest = tmp_path / "manifest.json"
    fields = msgspec.json.decode(manifest.read_bytes())
    manifest.write_bytes(msgspec.json.encode({**fields, "format": 2, "novelty": [1]}))
    with pytest.raises(NewerVersionError, match=r"format 2.*reads up to 1; install a newer"):
        scot.open(tmp_path)
    manifest.write_bytes(msgspec.json.encode(fields))
    path = journal_path(tmp_path, 1)
    path.write_bytes(b"SCOTJ\x09\0\0" + path.read_bytes()[8:])
    with pytest.raises(NewerVersionError, match="version 9"):
        scot.open(tmp_path)


def test_an_mcap_of_somebody_else_is_not_taken_for_ours(tmp_path: Path) -> None:
    from mcap.writer import Writer

    with segment_path(tmp_path, 1).open("wb") as out:
        writer = Writer(out)
        writer.start()
        writer.finish()  # type: ignore[no-untyped-call]
    with pytest.raises(RecordingError, match="not a segment of SCOT's"):
        scot.open(tmp_path)


def _seqs(frames: Sequence[Frame]) -> list[int]:
    return [read_header(frame).seq for frame in frames]


def test_a_channel_whose_times_jump_back_keeps_every_sample(tmp_path: Path) -> None:
    probe = [frame for frame in FRAMES if frame.address == "or1/tracker/probe"]
    order = np.random.default_rng(3).permutation(len(probe))
    write_recording(tmp_path, [[probe[i] for i in order]], sealed=1)
    opened = open_recording(tmp_path)
    assert list(opened.frames()) == probe
    ask = HistoryRequest(addresses=["or1/tracker/probe"], seqs=(EPOCH, 20, 29))
    assert _seqs(opened.history(ask).frames) == list(range(20, 30))


@pytest.mark.parametrize("sealed", [0, 2])
def test_a_late_sample_in_a_later_part_does_not_hide_a_newer_one(
    tmp_path: Path, sealed: int
) -> None:
    hr = [frame for frame in FRAMES if frame.address == "or1/monitor/hr"]
    write_recording(tmp_path, [[hr[0], hr[2]], [hr[1], hr[3]]], sealed=sealed)
    moment = open_recording(tmp_path).at(START_NS + 2 * S + S // 2)["or1/monitor/hr"]
    assert moment.sample.seq == 2


@pytest.mark.parametrize("sealed", [0, 1])
def test_seqs_that_run_against_time_are_found_all_the_same(tmp_path: Path, sealed: int) -> None:
    value = NumericValue(1.0)
    frames = [frame("or1/monitor/hr", Kind.NUMERIC, 399 - n, float(n), value) for n in range(400)]
    write_recording(tmp_path, [frames], sealed=sealed)
    ask = HistoryRequest(addresses=["or1/monitor/hr"], seqs=(EPOCH, 20, 29))
    assert sorted(_seqs(open_recording(tmp_path).history(ask).frames)) == list(range(20, 30))
