"""Columns beside a segment are quicker than the segment and say the same; it is believed first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scot.channel import Kind
from scot.errors import RecordingError
from scot.sample import Flags, NumericValue, PoseValue, Validity
from scot_replay import sidecar
from scot_replay.beside import make
from scot_replay.layout import segment_path
from scot_replay.reading_commands import columns
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.segment import SegmentPart
from tests.golden.recording_frames import START_NS, S, case, frame
from tests.golden.recording_writing import write_recording

LOST = frozenset({("or1/monitor/hr", 4), ("or1/tracker/probe", 100), ("or1/monitor/art", 10)})
READ = (
    "monitor/hr", "monitor/art", "monitor/alarms", "tracker/probe", "tracker/status",
    "scope/video", "room/clock",
)  # fmt: skip
FRAMES = case(90.0, LOST)
ODD = [
    frame("or1/monitor/hr", Kind.NUMERIC, 900, 88.1, NumericValue(None, Validity.NOT_AVAILABLE)),
    frame("or1/monitor/hr", Kind.NUMERIC, 901, 88.2, NumericValue(float("nan"))),
    frame("or1/monitor/hr", Kind.NUMERIC, 902, 88.3, NumericValue(61.5, Validity.INVALID)),
    frame("or1/monitor/hr", Kind.NUMERIC, 903, 88.4, NumericValue(250.0), flags=Flags.INVALID),
    frame("or1/tracker/probe", Kind.POSE, 1_900, 88.1,
          PoseValue((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0), None, False)),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("columns") / "rec"
    write_recording(path, [FRAMES[:4_000], [*FRAMES[4_000:], *ODD]], sealed=2)
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(made, tmp_path / "rec"))


@pytest.fixture
def plain(made: Path, tmp_path: Path) -> Iterator[DirectoryRecording]:
    """The same recording without columns."""
    path = Path(shutil.copytree(made, tmp_path / "plain"))
    shutil.rmtree(path / sidecar.DIRECTORY)
    opened = open_recording(path)
    yield opened
    opened.close()


def columns_were_read(opened: DirectoryRecording) -> bool:
    parts = [part for part in opened.parts if isinstance(part, SegmentPart)]
    return bool(parts) and all(
        part.beside is not None and part.beside.index.places and not part.beside.trouble
        for part in parts
    )


@pytest.mark.parametrize("name", READ)
def test_a_table_is_the_same_from_columns_as_from_the_segments(
    made: Path, plain: DirectoryRecording, name: str
) -> None:
    opened = open_recording(made)
    table = opened.to_pandas([name])
    assert columns_were_read(opened)
    assert not columns_were_read(plain)
    pd.testing.assert_frame_equal(table, plain.to_pandas([name]))
    assert len(table) >= 1


@pytest.mark.parametrize("span", [(0, 90), (3.5, 8), (50, 70), (88, 89), (200, 300)])
@pytest.mark.parametrize("name", READ[:2] + READ[3:4])
def test_thinned_samples_are_the_same_too_with_every_field_of_the_header(
    made: Path, plain: DirectoryRecording, name: str, span: tuple[float, float]
) -> None:
    from_ns, to_ns = (START_NS + round(t * S) for t in span)
    for points in (2, 50, 100_000):
        told = open_recording(made).between(from_ns, to_ns, [name], points)
        assert repr(told) == repr(plain.between(from_ns, to_ns, [name], points))
    whole = open_recording(made).between(from_ns, to_ns, [name])
    assert repr(told) == repr(whole)


def flip(name: str, place: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        file = path / sidecar.DIRECTORY / name
        data = bytearray(file.read_bytes())
        data[int(place * (len(data) - 1))] ^= 0x10
        file.write_bytes(data)

    return damage


def cut(path: Path) -> None:
    for file in (path / sidecar.DIRECTORY).iterdir():
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def swap(path: Path) -> None:
    """Columns of the other segment, under this one's name."""
    directory = path / sidecar.DIRECTORY
    for file in directory.glob("*-2.*"):
        file.replace(directory / file.name.replace("-2.", "-1."))


def index_alone(path: Path) -> None:
    for file in (path / sidecar.DIRECTORY).glob("*.parquet"):
        file.unlink()


def other_parquet(path: Path) -> None:
    directory = path / sidecar.DIRECTORY
    for file in directory.glob("*-2.parquet"):
        file.replace(directory / file.name.replace("-2.", "-1."))


def nothing_but_rubbish(path: Path) -> None:
    for file in (path / sidecar.DIRECTORY).iterdir():
        file.write_bytes(b"\x00" * 500)


@pytest.mark.parametrize(
    "damage",
    [
        *(flip("numeric-1.parquet", place) for place in (0.0, 0.1, 0.3, 0.5, 0.999)),
        *(flip("index-1.scoti", place) for place in (0.0, 0.02, 0.5, 1.0)),
        cut,
        swap,
        index_alone,
        other_parquet,
        nothing_but_rubbish,
    ],
)
def test_damaged_stale_or_foreign_columns_change_nothing(
    path: Path, plain: DirectoryRecording, damage: Callable[[Path], None]
) -> None:
    damage(path)
    opened = open_recording(path)
    for name in ("monitor/hr", "tracker/probe"):
        pd.testing.assert_frame_equal(opened.to_pandas([name]), plain.to_pandas([name]))
    assert opened.channels == plain.channels
    assert list(opened.frames()) == list(plain.frames())


def test_a_segment_that_was_written_again_is_read_and_not_its_old_columns(path: Path) -> None:
    other = path.with_name("other")
    frames = [frame("or1/monitor/hr", Kind.NUMERIC, n, float(n), NumericValue(1.0)) for n in (0, 1)]
    write_recording(other, [frames], sealed=1)
    shutil.copy(segment_path(other, 1), segment_path(path, 1))
    table = open_recording(path).to_pandas(["monitor/hr"])
    assert table["monitor/hr"].tolist()[:2] == [1.0, 1.0]


def test_opening_reads_the_index_and_not_the_segments(path: Path) -> None:
    before = open_recording(path).channels
    for number in (1, 2):
        data = bytearray(segment_path(path, number).read_bytes())
        data[100:-100] = bytes(len(data) - 200)  # whoever opened it would notice
        segment_path(path, number).write_bytes(data)
    opened = open_recording(path)
    assert opened.channels == before
    assert opened.first_ns == START_NS
    assert opened.catalogue.channel("or1/monitor/hr") is not None


def test_what_lies_beside_a_segment_can_be_made_again_from_it(path: Path) -> None:
    directory = path / sidecar.DIRECTORY
    kept = {file.name: file.read_bytes() for file in directory.iterdir()}
    shutil.rmtree(directory)
    for number in (1, 2):
        part = SegmentPart(segment_path(path, number), number)
        assert part.manifest is not None
        make(part, part.path, part.manifest)
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == kept


def test_what_is_taken_out_of_a_segment_can_be_taken_from_its_columns(path: Path) -> None:
    sidecar.remove(path, 1)
    assert not list((path / sidecar.DIRECTORY).glob("*-1.*"))
    assert list((path / sidecar.DIRECTORY).glob("*-2.*"))


def test_the_columns_are_plain_parquet_that_others_read(made: Path) -> None:
    files = sorted((made / sidecar.DIRECTORY).glob("numeric-*.parquet"))
    table = pd.concat([pd.read_parquet(file) for file in files])
    heart = table[table["channel"] == "or1/monitor/hr"]
    assert heart["utc"].iloc[0] == pd.Timestamp(START_NS - 37 * S, tz="UTC")
    assert heart["value"].tolist()[:4] == [70.0, 71.0, 72.0, 73.0]
    assert heart["seq"].tolist()[:5] == [0, 1, 2, 3, 5]  # one was lost
    assert heart["source_ns"].tolist()[:2] == [0, S]
    assert set(heart["validity"]) == {"Vld", "NA", "Inv"}


@pytest.mark.parametrize("points", [3, 23, 90, 400])
def test_an_envelope_hides_no_peak(made: Path, plain: DirectoryRecording, points: int) -> None:
    opened = open_recording(made)
    values = opened.to_pandas(["monitor/art"])["monitor/art"]
    found = opened.envelope("monitor/art", opened.first_ns, opened.last_ns + 1, points)
    assert len(found) <= points
    assert np.nanmin(found.low) == values.min()
    assert np.nanmax(found.high) == values.max()
    assert found.count.sum() == values.notna().sum()
    again = plain.envelope("monitor/art", plain.first_ns, plain.last_ns + 1, points)
    for name in ("start_ns", "low", "high", "count"):
        assert np.array_equal(getattr(found, name), getattr(again, name), equal_nan=True)


def test_each_stretch_of_an_envelope_is_of_its_own_values(made: Path) -> None:
    opened = open_recording(made)
    from_ns, to_ns = START_NS + 8 * S, START_NS + 84 * S
    found = opened.envelope("monitor/hr", from_ns, to_ns, 20)
    table = opened.to_pandas(["monitor/hr"])["monitor/hr"]
    times = table.index.as_unit("ns").asi8 + 37 * S
    for start, low, high in zip(found.start_ns, found.low, found.high, strict=True):
        inside = table[(times >= start) & (times < start + found.width_ns)]
        assert (low, high) == (inside.min(), inside.max())


def test_scot_columns_makes_what_is_missing_and_says_so(
    path: Path, plain: DirectoryRecording, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar.index_path(path, 2).unlink()
    assert columns(path, json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["made"], told["kept"], told["skipped"]) == (1, 1, [])
    opened = open_recording(path)
    pd.testing.assert_frame_equal(opened.to_pandas(["monitor/hr"]), plain.to_pandas(["monitor/hr"]))
    assert columns_were_read(opened)
    assert columns(path, remove=True) == 0
    assert not (path / sidecar.DIRECTORY).exists()
    assert "as it was" in capsys.readouterr().out
    with pytest.raises(RecordingError, match="exclude each other"):
        columns(path, again=True, remove=True)


def test_scot_columns_leaves_out_a_broken_segment_and_names_it(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = segment_path(path, 1).read_bytes()
    segment_path(path, 1).write_bytes(whole[: len(whole) // 2])
    assert columns(path) == 0
    out = capsys.readouterr().out
    assert "of 0 segments made, 1 were there" in out
    assert "skipped: segment-1.mcap: cut short" in out
