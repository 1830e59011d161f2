"""History with `density_ns`: when each channel spoke in a whole recording, in some kilobytes."""

from __future__ import annotations

import struct
from collections import Counter

import msgspec
import pytest

import scot
from scot.bus.reply import read_reply
from scot.channel import Channel, Kind
from scot.codec import Frame, read_header
from scot.errors import CodecError
from scot.history import DENSITY_BYTES, LEVEL_BYTES, Density, History, HistoryReply, HistoryRequest
from scot.names import Names
from scot.transport import Laps
from scot_dashboard.egress import Egress
from scot_dashboard.lanes import Lanes
from scot_dashboard.roles import Role
from scot_dashboard.trends import Trends
from scot_dashboard.wire import LanesAsk, TrendsAsk
from scot_replay.columns import columns
from scot_replay.compare import merged
from scot_replay.density import until
from scot_replay.laps import Lap
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.sidecar import remove
from tests.golden.recording_frames import START_NS, S, case, catalogue
from tests.golden.recording_writing import write_recording

LONG_S, RATE = 30, 20
NUMBER, POSE, VIDEO = "or1/monitor/hr", "or1/tracker/probe", "or1/scope/video"
SILENT = frozenset((POSE, n) for n in range(RATE * 10, RATE * 20))
FRAMES = case(float(LONG_S), SILENT)
SPAN = (START_NS, START_NS + LONG_S * S)


@pytest.fixture(scope="module", params=["columns", "segments alone", "journals"])
def recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> DirectoryRecording:
    path = tmp_path_factory.mktemp("density")
    sealed = 0 if request.param == "journals" else 2
    write_recording(path, [FRAMES[:500], FRAMES[500:1_000], FRAMES[1_000:]], sealed=sealed)
    if request.param == "segments alone":
        for number in (1, 2):
            remove(path, number)
    return open_recording(path)


def ask(recording: DirectoryRecording, *addresses: str, width_ns: int = S) -> HistoryReply:
    return recording.history(
        HistoryRequest(addresses=list(addresses), between=SPAN, density_ns=width_ns)
    )


def counts(one: Density) -> dict[int, int]:
    """Samples by the bus time at which their stretch begins."""
    places = struct.unpack(f"<{len(one)}I", one.places)
    found = struct.unpack(f"<{len(one)}I", one.count)
    return {one.first_ns + p * one.width_ns: n for p, n in zip(places, found, strict=True)}


def plain(frames: list[Frame], address: str, width_ns: int) -> dict[int, int]:
    mine = [read_header(f).bus_ns for f in frames if f.address == address]
    return dict(Counter(ns // width_ns * width_ns for ns in mine))


@pytest.mark.parametrize("width_ns", [S, 7 * S, 250_000_000])
def test_every_sample_is_counted_in_its_second_and_silence_stays_silence(
    recording: DirectoryRecording, width_ns: int
) -> None:
    reply = ask(recording, NUMBER, POSE, VIDEO, width_ns=width_ns)
    assert (reply.frames, reply.complete, reply.next_ns) == ([], True, None)
    for address in (NUMBER, POSE, VIDEO):
        assert counts(reply.densities[address]) == plain(FRAMES, address, width_ns)
    known = {read_header(f).err_ns for f in FRAMES if f.address == POSE}
    errs = reply.densities[POSE].err_ns
    assert set(struct.unpack(f"<{len(errs) // 8}q", errs)) <= {
        -1 if e is None else e for e in known
    }


def test_an_answer_fits_into_one_message_and_goes_on_where_it_was_cut(
    recording: DirectoryRecording,
) -> None:
    width_ns, found = 100_000, dict[int, int]()
    at_ns: int | None = SPAN[0]
    while at_ns is not None:
        question = HistoryRequest(
            addresses=[POSE, NUMBER], between=(at_ns, SPAN[1]), density_ns=width_ns
        )
        reply = recording.history(question)
        size = sum(len(one) * DENSITY_BYTES for one in reply.densities.values())
        assert size <= LEVEL_BYTES
        if POSE in reply.densities:  # not while it is silent
            found |= counts(reply.densities[POSE])
        assert reply.complete == (reply.next_ns is None)
        at_ns = reply.next_ns
    assert found == plain(FRAMES, POSE, width_ns)


def test_a_later_lap_and_a_recording_beside_another_answer_in_their_own_time(
    recording: DirectoryRecording,
) -> None:
    plainly = ask(recording, NUMBER)
    later = Lap(3, Laps(origin_ns=recording.first_ns, period_ns=100 * S))
    between = SPAN[0] + later.shift_ns, SPAN[1] + later.shift_ns
    question = HistoryRequest(addresses=[NUMBER], between=between, density_ns=S)
    reply = later.answer(question, recording)
    assert reply.densities[NUMBER] == plainly.densities[NUMBER].moved(later.shift_ns)

    with scot.compare(recording.path, recording.path, align="0:00,0:05") as both:
        twins = ["compare/a_monitor/hr", "compare/b_monitor/hr"]
        asked = HistoryRequest(addresses=twins, between=(0, 2**62), density_ns=S)
        shown = both.history(asked)
        levels = both.history(msgspec.structs.replace(asked, density_ns=0, max_points=9)).levels
    assert shown.densities[twins[0]] == plainly.densities[NUMBER]
    assert shown.densities[twins[1]] == plainly.densities[NUMBER].moved(-5 * S)
    assert set(levels) == set(twins)


def test_what_is_merged_goes_as_far_as_the_first_that_was_cut(
    recording: DirectoryRecording,
) -> None:
    whole = ask(recording, NUMBER)
    cut_ns = START_NS + 5 * S
    short = msgspec.structs.replace(ask(recording, POSE), complete=False, next_ns=cut_ns)
    both = merged([whole, short])
    assert (both.complete, both.next_ns) == (False, cut_ns)
    for address in (NUMBER, POSE):
        assert counts(both.densities[address]) == {
            ns: n for ns, n in plain(FRAMES, address, S).items() if ns < cut_ns
        }
    assert until(whole.densities[NUMBER], None) == whole.densities[NUMBER]
    assert len(until(whole.densities[NUMBER], START_NS)) == 0


def test_a_publisher_answers_with_its_samples() -> None:
    history = History()
    for frame in FRAMES[:200]:
        history.add(frame, read_header(frame))
    few = HistoryRequest(addresses=[NUMBER], between=SPAN, density_ns=S)
    assert history.answer(few) == history.answer(msgspec.structs.replace(few, density_ns=0))


@pytest.mark.parametrize(
    ("address", "wrong"),
    [("or1/monitor/art", {}), (NUMBER, {"err_ns": b""}), (NUMBER, {"width_ns": 0})],
)
def test_an_answer_that_is_no_density_or_of_another_channel_is_refused(
    address: str, wrong: dict[str, object]
) -> None:
    fields = {"width_ns": S, "first_ns": 0, "places": b"\0" * 4, "count": b"\0" * 4}
    one = Density(**{**fields, "err_ns": b"\0" * 8, **wrong})  # type: ignore[arg-type]
    reply = HistoryReply(densities={address: one})
    with pytest.raises(CodecError):
        read_reply([msgspec.msgpack.encode(reply)], [NUMBER])


def test_lanes_and_trends_filled_at_once_are_those_of_every_sample(
    recording: DirectoryRecording,
) -> None:
    lanes, trends = Lanes(), Trends()
    room = catalogue()
    for address in (NUMBER, POSE, VIDEO):
        channel = room.channel(address)
        assert channel is not None
        lanes.fill(address.split("/")[1], channel, ask(recording, address).densities[address])
    staff = Egress(Role.OR_STAFF, room, Names(), 1)
    told = lanes.answer(LanesAsk(*SPAN, LONG_S), staff)
    assert told["feeds"]["tracker"] == [1.0] * 10 + [0.0] * 10 + [1.0] * 10
    assert told["feeds"]["monitor"] == [1.0] * LONG_S
    assert None not in told["band"]

    points = HistoryRequest(addresses=[NUMBER], between=SPAN, max_points=LONG_S * 2 // 5 + 1)
    trends.fill(NUMBER, recording.history(points).levels[NUMBER])
    least, most = trends.answer(TrendsAsk([NUMBER], *SPAN, 3), staff)["series"][NUMBER]
    values = columns(recording.rows(NUMBER), Channel(name="hr", kind=Kind.NUMERIC)).values[""]
    for place, (low, high) in enumerate(zip(least, most, strict=True)):
        inside = values[place * 10 : place * 10 + 10]
        assert (low, high) == (min(inside), max(inside))


def test_the_worst_error_of_a_second_is_told_and_an_unknown_one_is_worse_than_any() -> None:
    lanes = Lanes()
    fields = {"width_ns": S, "first_ns": START_NS, "places": struct.pack("<2I", 0, 1)}
    for errs in ((2_000_000, -1), (7_000_000, 3_000_000)):
        one = Density(**fields, count=struct.pack("<2I", 1, 1), err_ns=struct.pack("<2q", *errs))  # type: ignore[arg-type]
        lanes.fill("monitor", Channel(name="hr", kind=Kind.NUMERIC, rate_hz=1.0), one)
    staff = Egress(Role.OR_STAFF, catalogue(), Names(), 1)
    told = lanes.answer(LanesAsk(START_NS, START_NS + 2 * S, 2), staff)
    assert told["band"][0] == 7.0
    assert told["band"][1] == float("inf")
