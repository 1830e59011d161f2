"""A recording's clocks made again: identical when nothing changed, and by how much when it did."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import scot
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.probe import Probe, Request, encode, read_reply
from scot.clock.service import ClockService
from scot.codec import Frame, read_header
from scot.codec import encode as encode_sample
from scot.errors import RecordingError
from scot.history import HistoryRequest
from scot.sample import Flags, NumericValue, Sample
from scot.testing.clocks import LINKS, CrystalClock, exchanges
from scot.timestamp import ClockState, Timestamp
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.rows import of
from tests.golden.recording_frames import CHANNELS, EPOCH, START_NS, S, catalogue
from tests.golden.recording_writing import write_recording

SECONDS = 40
EVENT = catalogue().devices["room"].channels["clock"].kind
NUMERIC = next(kind for kind, channel in CHANNELS.items() if channel.name == "hr")
SESSION = BusMap(0, 0, 0, START_NS, 1.0, 0, 0, ClockState.LOCKED, drift_ppb=0)
Change = Callable[[dict[str, Any]], dict[str, Any]]


def as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


def ten_ms_late(row: dict[str, Any]) -> dict[str, Any]:
    """An estimator of long ago, which went wrong after 20 s."""
    late_ns = 10_000_000 if row["bus_ns"] > START_NS + 20 * S else 0
    return {**row, "bus_ns": row["bus_ns"] + late_ns}


class Live:
    """A monitor on a host with a clock of its own, recorded: its frames and the truth.

    Args:
        change: what the live service made of a row (as an older one might have).
        source: the process's name on the bus; "" records no probes.
        skip: probes at the beginning that were not recorded.
        state: of the samples, when not that of the host's clock.
    """

    def __init__(
        self,
        change: Change = as_it_is,
        source: str = "monitor-1a2b",
        skip: int = 0,
        state: ClockState | None = None,
    ) -> None:
        self.frames: list[Frame] = []
        self.truth: dict[int, int] = {}
        self.wanted: dict[int, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._now = 0
        self._state = state
        service = ClockService(Clock(SESSION, read=lambda: self._now), self._rows.append)
        crystal = CrystalClock(offset_ns=7 * S, skew_ppm=80.0)
        previous: Probe | None = None
        good: BusMap | None = None
        used: BusMap | None = None
        done_ns = 0
        for probe, true_ns in exchanges(crystal, LINKS["LAN"], SECONDS, seed=3):
            self._samples(crystal, good, used, done_ns, round(true_ns))
            self._now = probe.t3_ns
            request = encode(Request(probe.t1_ns, previous))
            good = read_reply(service.on_request("monitor", "1a2b", request, probe.t2_ns)).map
            used = good
            if good is not None:
                row = change(self._rows[-1])
                used = msgspec.structs.replace(good, bus_ns=row["bus_ns"])
                if source and len(self._rows) > skip:
                    self._row({**row, "source": source})
            previous, done_ns = probe, round(true_ns)

    def _row(self, row: dict[str, Any]) -> None:
        time = Timestamp(self._now, SESSION.at(self._now), 0, 0, ClockState.LOCKED)
        seq = len(self._rows)
        sample = Sample("or1/room/clock", EPOCH, seq, time, Flags(0), row)
        self.frames.append(encode_sample(sample, EVENT))

    def _samples(
        self,
        crystal: CrystalClock,
        good: BusMap | None,
        used: BusMap | None,
        from_ns: int,
        to_ns: int,
    ) -> None:
        """One sample each 50 ms, stamped with the map the host had."""
        if good is None or used is None:
            return
        for true_ns in range(-(-from_ns // 50_000_000) * 50_000_000, to_ns, 50_000_000):
            local_ns, seq = crystal.read(true_ns), len(self.truth)
            time = used.stamp(local_ns, local_ns)
            if self._state is not None:
                time = msgspec.structs.replace(time, state=self._state, bound_ns=None)
            value = NumericValue(float(seq))
            sample = Sample("or1/monitor/hr", EPOCH, seq, time, Flags(0), value)
            self.frames.append(encode_sample(sample, NUMERIC))
            self.truth[seq] = START_NS + true_ns
            self.wanted[seq] = good.stamp(local_ns).bus_ns

    def record(self, path: Path, sealed: int = 0) -> Path:
        half = len(self.frames) // 2
        write_recording(path, [self.frames[:half], self.frames[half:]], sealed)
        return path


@cache
def as_live() -> Live:
    return Live()


@pytest.fixture(params=[0, 2], ids=["journals", "segments"])
def unchanged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return as_live().record(tmp_path / "rec", request.param)


@pytest.fixture(scope="module")
def late() -> Live:
    return Live(ten_ms_late)


def heart_rates(opened: DirectoryRecording) -> list[Frame]:
    return list(opened.frames(["monitor/hr"]))


def test_recomputed_maps_are_bit_for_bit_those_of_live(unchanged: Path) -> None:
    recorded, again = open_recording(unchanged), open_recording(unchanged, "recomputed")
    report = again.sync_report()["monitor"]
    assert report["maps"] > 150
    assert (report["clock"], report["differing"], report["max_shift_ns"]) == ("identical", 0, 0)
    assert report["missing"] == 0
    assert report["samples"] == len(heart_rates(recorded)) > 700
    assert list(again.frames()) == list(recorded.frames())
    assert again.digest() == recorded.digest()
    assert (again.first_ns, again.last_ns) == (recorded.first_ns, recorded.last_ns)


def test_as_recorded_says_what_recomputing_would_do(unchanged: Path) -> None:
    recorded = open_recording(unchanged)
    assert recorded.sync_report() == open_recording(unchanged, "recomputed").sync_report()


def test_stamps_of_a_wrong_estimator_come_right(late: Live, tmp_path: Path) -> None:
    path = late.record(tmp_path / "rec")
    before, after = open_recording(path), open_recording(path, "recomputed")
    report = after.sync_report()["monitor"]
    assert report["clock"] == "differs"
    assert 60 <= report["differing"] < report["maps"]
    assert report["max_shift_ns"] == pytest.approx(10_000_000, abs=2)
    for one in heart_rates(after):
        header = read_header(one)
        if abs(header.bus_ns - START_NS - 20 * S) > S:  # the map that was under way at the change
            assert abs(header.bus_ns - late.wanted[header.seq]) <= 1
    assert before.digest() != after.digest()


def test_what_moved_is_found_by_its_new_time(late: Live, tmp_path: Path) -> None:
    opened = open_recording(late.record(tmp_path / "rec"), "recomputed")
    frames = heart_rates(opened)
    times = [read_header(one).bus_ns for one in frames]
    assert times == sorted(times)
    for at_ns in (times[0], times[300] - 1, times[300], times[401] + 5, times[-1] + S):
        last = max(t for t in times if t <= at_ns)
        moment = opened.at(at_ns, ["or1/monitor/hr"])["or1/monitor/hr"]
        assert moment.sample.time.bus_ns == last
        assert moment.age_ns == at_ns - last
    assert opened.at(times[0] - 1, ["or1/monitor/hr"]) == {}
    first_ns, last_ns = times[100], times[650]
    found = opened.between(first_ns, last_ns, ["or1/monitor/hr"])["or1/monitor/hr"]
    assert [s.time.bus_ns for s in found] == times[100:650]
    just = opened.between(first_ns, last_ns + 1, ["or1/monitor/hr"])["or1/monitor/hr"]
    assert [s.time.bus_ns for s in just] == times[100:651]  # recorded 10 ms after that
    ask = HistoryRequest(addresses=["or1/monitor/hr"], seqs=(EPOCH, 500, 502))
    assert opened.history(ask).frames == [
        f for f in frames if read_header(f).seq in range(500, 503)
    ]
    table = opened.to_pandas(["monitor/hr"])
    known = table["monitor/hr.bus_time"].astype("int64").to_numpy() * _unit(table)
    assert np.array_equal(known + 37 * S, np.array(times))


@pytest.mark.parametrize("sync", ["recomputed", "refined"])
@pytest.mark.parametrize("sealed", [0, 2])
def test_arrays_move_with_the_clock_to_the_nanosecond_as_samples_do(
    late: Live, tmp_path: Path, sync: str, sealed: int
) -> None:
    opened = open_recording(late.record(tmp_path / "rec", sealed), sync)
    address = "or1/monitor/hr"
    for span in ((opened.first_ns, opened.last_ns + 1), (START_NS + 15 * S, START_NS + 26 * S)):
        ours, theirs = opened.rows(address, span), of(opened.found(address, span), NUMERIC)
        assert len(ours) > 100
        for name, column in ours.fixed().items():
            assert np.array_equal(column, theirs.fixed()[name]), name


def _unit(table: Any) -> int:
    return {"ns": 1, "us": 1_000}[str(table["monitor/hr.bus_time"].dtype.unit)]


def test_refined_is_nearer_to_the_truth_than_live(tmp_path: Path) -> None:
    live = as_live()
    path = live.record(tmp_path / "rec")
    off: dict[str, float] = {}
    said: dict[str, float] = {}
    for sync in ("as-recorded", "refined"):
        headers = [read_header(one) for one in heart_rates(open_recording(path, sync))]
        wrong = [abs(h.bus_ns - live.truth[h.seq]) for h in headers]
        off[sync] = float(np.percentile(wrong, 95))
        said[sync] = float(np.median([h.err_ns or 0 for h in headers]))
        sure = [h.bound_ns for h in headers]
        assert all(b is None or w <= b + 1 for w, b in zip(wrong, sure, strict=True))
    assert off["refined"] < off["as-recorded"]
    assert 0 < said["refined"] < said["as-recorded"]
    report = open_recording(path, "refined").sync_report()["monitor"]
    assert 0 < report["median_shift_ns"] <= report["max_shift_ns"] < 1_000_000


def test_a_one_way_device_moves_with_its_host_and_stays_one_way(tmp_path: Path) -> None:
    live = Live(ten_ms_late, state=ClockState.ONE_WAY)
    path = live.record(tmp_path / "rec")
    headers = [read_header(one) for one in heart_rates(open_recording(path, "recomputed"))]
    assert {h.state for h in headers} == {ClockState.ONE_WAY}
    assert {h.bound_ns for h in headers} == {None}
    assert abs(headers[-1].bus_ns - live.wanted[headers[-1].seq]) <= 1


def test_probes_that_were_missed_are_said(tmp_path: Path) -> None:
    report = open_recording(Live(skip=30).record(tmp_path / "rec"), "recomputed").sync_report()
    assert report["monitor"]["missing"] == 30
    assert report["monitor"]["clock"] == "differs"


def test_without_probes_the_stamps_stand(tmp_path: Path) -> None:
    live = Live(source="")
    opened = open_recording(live.record(tmp_path / "rec"), "recomputed")
    assert heart_rates(opened) == live.frames
    assert opened.sync_report() == {"monitor": {"clock": "unknown", "samples": len(live.frames)}}


def test_a_line_that_is_no_map_is_counted_and_harms_nobody(tmp_path: Path) -> None:
    live = copy(as_live())
    time = Timestamp(None, START_NS + 5 * S, 0, 0, ClockState.LOCKED)
    bad = Sample("or1/room/clock", EPOCH, 100_000, time, Flags(0), {"source": "monitor-1a2b"})
    live.frames = [*live.frames, encode_sample(bad, EVENT)]
    report = open_recording(live.record(tmp_path / "rec"), "recomputed").sync_report()
    assert report["room"] == {"clock": "exact", "samples": report["monitor"]["maps"] + 1, "bad": 1}
    assert report["monitor"]["clock"] == "identical"


def test_a_room_that_did_not_record_its_sessions_map_is_read_by_the_brokers_stamps(
    tmp_path: Path,
) -> None:
    def older(row: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in row.items() if not key.startswith("session_")}

    report = open_recording(Live(older).record(tmp_path / "rec"), "recomputed").sync_report()
    assert report["monitor"]["clock"] == "identical"


def test_an_unknown_way_is_refused_with_those_there_are(unchanged: Path) -> None:
    with pytest.raises(RecordingError, match="as-recorded, recomputed, refined"):
        scot.open(unchanged, sync="guessed")
    assert scot.open(unchanged, sync="refined").sync == "refined"
