"""What is exported is read by the formats' own libraries, value by value, and comes back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyedflib
import pytest
import pyxdf
import vitaldb
import wfdb

from scot.cli import run
from scot.codec import read_header
from scot.errors import RecordingError
from scot.timestamp import TAI_MINUS_UTC_NS, ClockState
from scot_replay.formats.commands import read, write
from scot_replay.formats.foreign import record
from scot_replay.formats.written import Asked, Written
from scot_replay.recording import DirectoryRecording, open_recording
from tests.golden import made_recording as case
from tests.golden.made_recording import BLOCK, RATE, START_NS, S

HR, ART = "or1/monitor/hr", "or1/monitor/art"
UTC_NS = START_NS - TAI_MINUS_UTC_NS
SECOND_NS = UTC_NS // S * S


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> DirectoryRecording:
    return open_recording(case.make(tmp_path_factory.mktemp("case") / "rec"))


def export(recording: DirectoryRecording, out: Path, *names: str) -> Written:
    span = (recording.first_ns, recording.last_ns + 1)
    return write(recording, Asked(out=out, channels=[], span=span), list(names))


def back(file: Path, out: Path) -> DirectoryRecording:
    made = record(read(file, "or1"), out)
    assert made.clock == "unsynced"
    return open_recording(out)


def pressures() -> dict[int, float]:
    """Value of each sample of the waveform by its number, without those that are missing."""
    return {
        n * BLOCK + k: float(value)
        for n in range(50)
        if not 20 <= n < 25
        for k, value in enumerate(case.pressure(n))
    }


def test_edf_holds_what_it_says_within_what_it_says(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    said = export(recording, tmp_path / "a.edf", "monitor/hr", "monitor/art", "monitor/alarms")
    with pyedflib.EdfReader(str(tmp_path / "a.edf")) as file:
        assert file.getSignalLabels() == ["monitor/hr", "monitor/art"]
        assert [file.getPhysicalDimension(n) for n in (0, 1)] == ["/min", "mmHg"]
        assert file.getStartdatetime().timestamp() % 1 == 0
        heart, pressure = (file.readSignal(n) for n in (0, 1))
        onsets, lengths, texts = file.readAnnotations()
    first = round((UTC_NS - SECOND_NS) / S * RATE)
    known = pressures()
    limit = said.channels[ART].max_error + 1e-9
    assert limit < 0.01
    assert all(abs(pressure[first + n] - value) <= limit for n, value in known.items())
    assert said.channels[ART].time_error_s <= 0.5 / RATE
    empty = {round(o): round(float(n)) for o, n, t in zip(onsets, lengths, texts, strict=True)
             if t == "no value: monitor/art"}  # fmt: skip
    assert empty[4] == 1  # blocks 20 to 24 are second 4
    assert heart[1:4] == pytest.approx([60.1, 61.1, 62.1], abs=said.channels[HR].max_error + 1e-9)
    assert "monitor/alarms: Me on HR high" in list(texts)


def test_edf_comes_back_with_its_values_its_gaps_and_its_units(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    said = export(recording, tmp_path / "a.edf", "monitor/hr", "monitor/art")
    again = back(tmp_path / "a.edf", tmp_path / "back")
    ours = recording.to_pandas(["monitor/art"])["monitor/art"].dropna()
    theirs = again.to_pandas(["monitor/art"])["monitor/art"].dropna()
    assert np.abs(ours.to_numpy() - theirs.to_numpy()).max() <= said.channels[ART].max_error + 1e-6
    assert again.channel(ART).unit == "mm[Hg]"
    assert again.channel(HR).code == "MDC_ECG_HEART_RATE"
    header = read_header(next(iter(again.frames([HR]))))
    assert header.state == ClockState.UNSYNCED
    assert header.bound_ns is header.err_ns is None
    assert header.source_ns == header.bus_ns - TAI_MINUS_UTC_NS


def test_wfdb_keeps_what_an_adc_made_to_the_bit(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    said = export(recording, tmp_path / "a.hea", "monitor/hr", "monitor/art", "room/notes")
    found: Any = wfdb.rdrecord(str(tmp_path / "a"), smooth_frames=False)
    signals = dict(zip(found.sig_name, found.e_p_signal, strict=True))
    first = round((UTC_NS - SECOND_NS) / S * RATE)
    pressure = signals["monitor/art"]
    assert {n: pressure[first + n] for n in pressures()} == pressures()
    assert said.channels[ART].max_error == 0.0
    assert int((~np.isnan(pressure)).sum()) == said.channels[ART].count == len(pressures())
    assert signals["monitor/hr"][1] == pytest.approx(60.1, abs=1e-6)
    assert np.isnan(signals["monitor/hr"][5:7]).all()  # seqs 4 and 5 are missing
    notes: Any = wfdb.rdann(str(tmp_path / "a"), "scot")
    assert notes.aux_note[0].rstrip("\0") == "room/notes: chapter incision"
    again = back(tmp_path / "a.hea", tmp_path / "back")
    ours = recording.to_pandas(["monitor/art"])["monitor/art"].dropna()
    theirs = again.to_pandas(["monitor/art"])["monitor/art"].dropna()
    assert ours.to_numpy().tolist() == theirs.to_numpy().tolist()


@pytest.mark.parametrize(("suffix", "apart_ns"), [(".vital", 240), (".xdf", 1)])
def test_what_keeps_each_time_comes_back_with_every_bit(
    recording: DirectoryRecording, tmp_path: Path, suffix: str, apart_ns: int
) -> None:
    export(recording, tmp_path / f"a{suffix}")
    again = back(tmp_path / f"a{suffix}", tmp_path / "back")
    for name in ("monitor/hr", "monitor/art"):
        ours = recording.to_pandas([name])[name].dropna()
        theirs = again.to_pandas([name])[name].dropna()
        assert ours.to_numpy().tolist() == theirs.to_numpy().tolist()
        assert np.abs(ours.index.asi8 - theirs.index.asi8).max() <= apart_ns
    frames = [recording.frames(["room/health"]), again.frames(["room/health"])]
    assert len(list(frames[0])) == len(list(frames[1])) == 1


def test_vital_is_read_by_its_own_library(recording: DirectoryRecording, tmp_path: Path) -> None:
    export(recording, tmp_path / "a.vital", "monitor/hr", "monitor/art", "tracker/probe")
    file: Any = vitaldb.VitalFile(str(tmp_path / "a.vital"))
    recs = file.trks["monitor/art"].recs
    assert file.trks["monitor/art"].unit == "mmHg"
    assert file.trks["monitor/art"].srate == RATE
    assert len(recs) == 45
    assert np.concatenate([one["val"] for one in recs]).tolist() == list(pressures().values())
    assert abs(recs[0]["dt"] * 1e9 - UTC_NS) < 240
    assert [one["val"] for one in file.trks["monitor/hr"].recs][:2] == [60.1, 61.1]
    assert len(file.trks["tracker/probe.x"].recs) == 90  # ten were out of sight


def test_xdf_is_read_by_its_own_library(recording: DirectoryRecording, tmp_path: Path) -> None:
    export(recording, tmp_path / "a.xdf")
    streams, _ = pyxdf.load_xdf(str(tmp_path / "a.xdf"), dejitter_timestamps=False)
    by_name = {one["info"]["name"][0]: one for one in streams}
    art = by_name["monitor/art"]
    assert art["time_series"][:, 0].tolist() == list(pressures().values())
    stamps = np.array([n / RATE for n in pressures()])
    assert np.abs(art["time_stamps"] - stamps).max() < 1e-9
    assert art["info"]["desc"][0]["channels"][0]["channel"][0]["unit"] == ["mm[Hg]"]
    assert int(art["footer"]["info"]["sample_count"][0]) == len(pressures())
    probe = by_name["tracker/probe"]["time_series"]
    assert probe[1].tolist() == [1 / 3, 2.0, -3.5, 0.0, 0.6, 0.0, 0.8, 0.9, 0.25]
    assert math.isnan(probe[9][0])
    assert "HR high" in by_name["monitor/alarms"]["time_series"][0][0]


def test_poses_alarms_and_notes_come_back_from_xdf_as_they_were(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    export(recording, tmp_path / "a.xdf")
    again = back(tmp_path / "a.xdf", tmp_path / "back")
    span = (START_NS, START_NS + 20 * S)
    for address in ("or1/monitor/alarms", "or1/room/notes", "or1/room/health"):
        values = [
            [one.value for one in opened.between(*span, [address])[address]]
            for opened in (recording, again)
        ]
        assert values[0] == values[1] != []
        assert recording.channel(address) == again.channel(address)


@pytest.mark.parametrize("suffix", [".edf", ".hea", ".vital", ".xdf"])
def test_who_is_named_stays_unless_asked_for_by_name(
    recording: DirectoryRecording, tmp_path: Path, suffix: str
) -> None:
    said = export(recording, tmp_path / f"a{suffix}")
    assert "names the patient" in said.left_out["or1/monitor/patient"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(Path(f).name for f in said.files)
    assert not any(b"Aiko" in p.read_bytes() for p in tmp_path.iterdir())
    named = export(recording, tmp_path / f"b{suffix}", "monitor/patient", "monitor/hr")
    assert named.channels["or1/monitor/patient"].count == 1


@pytest.mark.parametrize("suffix", [".edf", ".hea", ".vital", ".xdf", ".mcap"])
@pytest.mark.parametrize("content", [b"", b"not at all", bytes(3000)])
def test_a_file_that_is_none_is_refused_in_one_line(
    tmp_path: Path, suffix: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert run(["import", str(tmp_path / f"a{suffix}"), str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert f"a{suffix}" in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize("suffix", [".vital", ".xdf"])
def test_a_file_that_was_cut_short_gives_what_is_whole(
    recording: DirectoryRecording, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"a{suffix}"
    export(recording, file, "monitor/art")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])
    again = back(file, tmp_path / "back")
    assert 0 < len(list(again.frames([ART]))) < 45


def test_an_export_says_what_it_wrote_and_never_writes_over_a_file(
    recording: DirectoryRecording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(recording.path), str(tmp_path / "a.hea"), "--between", "0:02", "0:03"]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["channels"][ART]["count"] == RATE
    assert found["left_out"]["or1/tracker/probe"] == "WFDB has no place for a pose"
    assert run(command) == 1
    assert "exists; name another file, or add --force" in capsys.readouterr().err
    assert run([*command, "--force"]) == 0
    assert "125 values, 125 Hz" in capsys.readouterr().out
    with pytest.raises(RecordingError, match="cannot be written as EDF"):
        export(recording, tmp_path / "b.edf", "tracker/probe")
    assert not (tmp_path / "b.edf").exists()


def test_an_xdf_header_that_is_no_xml_is_refused_in_one_line(
    recording: DirectoryRecording, tmp_path: Path
) -> None:
    export(recording, tmp_path / "a.xdf", "monitor/hr")
    data = (tmp_path / "a.xdf").read_bytes()
    (tmp_path / "a.xdf").write_bytes(data.replace(b"</version>", b"<<version>", 1))
    with pytest.raises(RecordingError, match=r"a\.xdf cannot be read as XDF"):
        back(tmp_path / "a.xdf", tmp_path / "back")
    assert [p.name for p in tmp_path.iterdir()] == ["a.xdf"]
