"""Two recordings on one axis: nothing of one is taken for the other's, and no time for surer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import scot
from scot import channel as declare
from scot.channel import Catalogue, Device, Kind
from scot.codec import encode, read_header
from scot.errors import RecordingError
from scot.history import HistoryRequest
from scot.sample import AnnotationValue, Flags, NumericValue, Sample
from scot.timestamp import ClockState, Timestamp
from scot_replay.cast import device_changes, published
from scot_replay.layout import Manifest, iso_utc
from scot_replay.new_recording import NewRecording
from scot_replay.recording import open_recording
from tests.golden.made_recording import START_NS, S, make

LATER_NS = START_NS + 3 * 86_400 * S + 123_456_789
EXPERT_S = 25


def expert(path: Path) -> Path:
    """Another room, three days later, longer, with a monitor and nothing else of the first."""
    channels = [declare.Numeric("hr", unit="/min", rate_hz=1.0), declare.Annotation("marks")]
    device = Device(
        name="monitor",
        provider="test",
        label={"en": "Ward monitor"},
        epoch=LATER_NS,
        channels={channel.name: channel for channel in channels},
    )
    known = Catalogue(workspace="or2", case="case-9").with_device(device)
    manifest = Manifest(
        workspace="or2", case="case-9", started_ns=LATER_NS, started=iso_utc(LATER_NS)
    )
    with NewRecording(path, manifest, known) as made:
        for n in range(EXPERT_S):
            time = Timestamp(n * S, LATER_NS + n * S, 7_000_000, 1_000_000, ClockState.LOCKED)
            value: Any = NumericValue(100.0 + n)
            frame = Sample("or2/monitor/hr", LATER_NS, n, time, Flags(0), value)
            made.put([encode(frame, Kind.NUMERIC)])
            if n == 12:
                value = AnnotationValue(
                    id="n0", channel="or2/monitor/hr", at_ns=LATER_NS + n * S, text="Incision",
                    author="OR staff", tool="chapter",
                )  # fmt: skip
                note = Sample("or2/monitor/marks", LATER_NS, 0, time, Flags(0), value)
                made.put([encode(note, Kind.ANNOTATION)])
        made.finish(LATER_NS + EXPERT_S * S)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return make(tmp_path / "trainee"), expert(tmp_path / "expert")


def test_each_channel_says_whose_it_is_and_each_sample_keeps_its_own_errors(
    pair: tuple[Path, Path],
) -> None:
    with scot.compare(*pair) as both:
        assert both.twins("monitor/hr") == {
            "a": "compare/a_monitor/hr",
            "b": "compare/b_monitor/hr",
        }
        assert both.catalogue.replay
        assert both.catalogue.devices["b_monitor"].label == {"en": "B · Ward monitor"}
        assert both.span == (START_NS, START_NS + (EXPERT_S - 1) * S)
        table = both.to_pandas(["a_monitor/hr", "b_monitor/hr"], "1s")
        assert [*table["b_monitor/hr"][:3]] == [100.0, 101.0, 102.0]
        one, two = (both.latest(START_NS + S // 2, a) for a in both.twins("monitor/hr").values())
        assert (one.time.bound_ns, two.time.bound_ns) == (40_000, 7_000_000)
        found = both.delta(one, two)
        assert (found.delta_ns, found.bound_ns, found.order) == (0, 7_040_000, "cannot tell")
        with pytest.raises(RecordingError, match="a_monitor/hr or b_monitor/hr"):
            both["monitor/hr"]
        assert both.overlay("monitor/hr")._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("align", "shift_ns", "bound_ns"),
    [
        ("start", START_NS - LATER_NS, 0),
        ("chapter:incision", START_NS + S - (LATER_NS + 12 * S), 7_000_000),
        ("utc", 0, None),
        ("0:02.5,0:10", START_NS + 2_500_000_000 - (LATER_NS + 10 * S), 0),
    ],
)
def test_an_alignment_says_what_it_moved_and_how_well_that_is_known(
    pair: tuple[Path, Path], align: str, shift_ns: int, bound_ns: int | None
) -> None:
    with scot.compare(*pair, align=align) as both:
        assert [side.shift_ns for side in both.sides] == [0, shift_ns]
        assert both.sides[1].anchor.bound_ns == bound_ns
        assert f"{shift_ns / 1e9:+,.6f} s" in both.lines()[1]


@pytest.mark.parametrize(
    ("align", "said"),
    [
        ("chapter:closure", "has no chapter 'closure'; it has incision"),
        ("0:01", "1 instants for 2 recordings"),
        ("0:01,1:00:00", "is outside .*expert, which lasts 24.0 s"),
        ("yesterday,0:01", "'yesterday' is no time"),
    ],
)
def test_what_cannot_be_aligned_is_said_with_what_could(
    pair: tuple[Path, Path], align: str, said: str
) -> None:
    with pytest.raises(RecordingError, match=said):
        scot.compare(*pair, align=align)


def test_what_a_player_is_given_is_in_order_and_byte_for_byte_but_for_the_shift(
    pair: tuple[Path, Path],
) -> None:
    both: Any
    with scot.compare(*pair, align="chapter:incision") as both, open_recording(pair[1]) as alone:
        addresses = published(both)
        assert not [a for a in addresses if a.split("/")[1] in {"room", "a_room"}]  # not played
        span = both.first_ns, both.last_ns + 1
        found = [*both.stream(addresses, span)]
        assert [one[:4] for one in found] == sorted(one[:4] for one in found)
        mine = [one for one in found if one.address == "compare/b_monitor/hr"]
        shift_ns = both.sides[1].shift_ns
        for one, own in zip(mine, alone.found("or2/monitor/hr"), strict=True):
            assert one.frame.payload == own.frame.payload
            header = read_header(one.frame)
            assert (header.bus_ns, header.epoch) == (own.bus_ns + shift_ns, own.epoch + shift_ns)
            assert header.source_ns == own.header.source_ns
            assert (header.bound_ns, header.err_ns) == (own.header.bound_ns, own.header.err_ns)
        note = both.samples("compare/b_monitor/marks", span)[0].value
        assert note.channel == "compare/b_monitor/hr"
        assert note.at_ns == mine[12].bus_ns
        ask = HistoryRequest(addresses=addresses, between=span, max_bytes=4_000)
        frames, pages = [], 0
        while True:
            reply = both.history(ask)
            frames += reply.frames
            pages += 1
            if reply.complete:
                break
            ask = HistoryRequest(
                addresses=addresses, between=(reply.next_ns, span[1]), max_bytes=4_000
            )
        assert pages > 1
        assert frames == [one.frame for one in found]
        assert {device.name for _, device in device_changes(both)} == {
            "a_monitor", "a_tracker", "b_monitor"
        }  # fmt: skip


def test_a_damaged_one_is_named_and_leaves_the_other_whole(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(pair[0], torn)
    for part in sorted(torn.glob("*.mcap")) + sorted(torn.glob("*.scotj")):
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    with scot.compare(torn, pair[1]) as both:
        assert all(line.startswith("A: ") for line in both.damage)
        assert both.damage
        assert len(both.samples("compare/b_monitor/hr", (0, both.last_ns + 1))) == EXPERT_S


def test_one_recording_is_no_comparison_and_nine_are_too_many(pair: tuple[Path, Path]) -> None:
    for count in (1, 9):
        with pytest.raises(RecordingError, match=f"{count} recordings cannot be compared"):
            scot.compare(*[pair[0]] * count)
