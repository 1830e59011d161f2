"""A calibrated latency moves bus time only, widens the error, and is told in the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from scot.channel import Numeric, Video
from scot.clock.latency import Latency, applied_ns
from scot.config import DeviceTable, LatencyTable
from scot.errors import ConfigError
from scot.provider import DeviceContext, NoOptions
from scot.recalibration import Given, forget, give
from scot.sample import Flags, NumericValue, Sample
from scot.testing import ManualClock
from scot.timestamp import ClockState, Timestamp

VIDEO = Video("video")
LEVEL = Numeric("level")
LATE = Latency(value_ns=80_000_000, err_ns=300_000, method="content", channel="video")


def device(latency: Latency | None) -> DeviceContext[NoOptions]:
    made = DeviceContext("or1", "scope", NoOptions(), ManualClock(10**9), latency=latency)
    made.offer(VIDEO, LEVEL)
    return made


def test_the_world_is_earlier_than_the_picture_and_less_surely_known() -> None:
    plain = device(None).sample(VIDEO, b"x", source_ns=77, base="host").time
    moved = device(LATE).sample(VIDEO, b"x", source_ns=77, base="host").time
    assert moved.source_ns == plain.source_ns == 77
    assert moved.bus_ns == plain.bus_ns - 80_000_000
    assert plain.err_ns is not None
    assert plain.bound_ns is not None
    assert moved.err_ns == plain.err_ns + 300_000
    assert moved.bound_ns == plain.bound_ns + 600_000
    assert moved.state is plain.state


def test_what_is_unknown_stays_unknown() -> None:
    blind = Timestamp(None, 5, None, None, ClockState.UNSYNCED)
    assert LATE.apply(blind) == Timestamp(None, 5 - 80_000_000, None, None, ClockState.UNSYNCED)


def test_it_concerns_its_channel_only_or_all() -> None:
    one, every = device(LATE), device(Latency(value_ns=1, err_ns=0, method="declared"))
    base = device(None).sample(LEVEL, NumericValue(1.0), source_ns=9, base="host").time
    assert one.sample(LEVEL, NumericValue(1.0), source_ns=9, base="host").time == base
    shifted = every.sample(LEVEL, NumericValue(1.0), source_ns=9, base="host").time
    assert shifted.bus_ns == base.bus_ns - 1


def test_the_catalogue_tells_it_also_when_the_provider_offers_the_channel_anew() -> None:
    made = device(LATE)
    assert made.channels["video"].attrs["latency_err_ns"] == 300_000
    assert applied_ns(made.channels["video"]) == 80_000_000
    assert applied_ns(made.channels["level"]) == 0
    version = made.version
    made.offer(VIDEO)
    assert made.version == version
    made.offer(Video("video", width_px=640))
    assert made.channels["video"].attrs["latency_method"] == "content"


def test_the_room_file_says_it_in_milliseconds() -> None:
    table = DeviceTable.model_validate(
        {
            "name": "scope",
            "provider": "video",
            "latency": {"value_ms": 80.0, "err_ms": 0.3, "method": "content", "channel": "video"},
        }
    )
    assert table.latency is not None
    assert table.latency.latency() == LATE


def test_it_may_change_while_samples_flow_and_none_of_them_runs_back() -> None:
    clock = ManualClock(10**9)
    made = DeviceContext("or1", "scope", NoOptions(), clock)
    made.offer(VIDEO, LEVEL)

    def pictures(first: int, count: int) -> list[Sample]:
        return [
            made.sample(VIDEO, b"x", source_ns=(first + i) * 33_000_000, base="host")
            for i in range(count)
        ]

    before = pictures(0, 10)
    version = made.version
    made.calibrate(LATE)
    after = pictures(10, 10)
    assert made.version > version  # announced before the next sample
    assert applied_ns(made.channels["video"]) == 80_000_000
    seen = [s.time.bus_ns for s in (*before, *after)]
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen)
    held = [s for s in after if s.flags & Flags.DOUBTFUL]
    assert held == after[:2]  # 80 ms are two pictures and a bit
    offset_ns = before[0].time.bus_ns - 0
    for index, sample in enumerate(after):
        true_ns = offset_ns + (10 + index) * 33_000_000 - 80_000_000
        assert sample.time.err_ns is not None
        assert abs(sample.time.bus_ns - true_ns) <= sample.time.err_ns
        if sample not in held:
            assert sample.time.bus_ns == true_ns
    made.calibrate(None)
    assert "latency_ns" not in made.channels["video"].attrs
    assert pictures(20, 1)[0].time.bus_ns == offset_ns + 20 * 33_000_000
    assert not made.sample(LEVEL, NumericValue(1.0), source_ns=9, base="host").flags


def test_a_host_takes_up_what_the_room_was_given_and_a_start_forgets_it(tmp_path: Path) -> None:
    first = LatencyTable(value_ms=80.0, err_ms=1.0)
    given = Given(tmp_path, "scope", first)
    assert (given.look(), given.table) == (False, first)
    other = LatencyTable(value_ms=70.0, err_ms=0.2, method="content", channel="video")
    give(tmp_path, "scope", other)
    give(tmp_path, "camera", first)
    assert (given.look(), given.table) == (True, other)
    assert given.look() is False
    again = Given(tmp_path, "scope", first)  # its host was started again meanwhile
    assert (again.look(), again.table) == (True, other)
    give(tmp_path, "scope", None)
    assert (given.look(), given.table) == (True, None)
    (tmp_path / "latency" / "scope.json").write_text('{"latency": {"value_ms": "late"}}')
    with pytest.raises(ConfigError, match="run `scot calibrate` again"):
        given.look()
    assert (given.look(), given.table) == (False, None)  # said once, and nothing changed
    forget(tmp_path)
    assert Given(tmp_path, "scope", first).look() is False


@pytest.mark.parametrize(
    "wrong", [{"value_ms": 1e9}, {"err_ms": -1.0}, {"channel": "No"}, {"value": 3}]
)
def test_a_table_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LatencyTable.model_validate({"value_ms": 1.0, "err_ms": 1.0, **wrong})
