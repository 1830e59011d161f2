"""A packed file carries its recording's ledger, and each of its samples is compared with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scot.cli import app
from scot.errors import RecordingError
from scot_replay.ledger import packed as of_packed
from scot_replay.ledger.verify import verify
from scot_replay.pack import pack
from scot_replay.recording import open_recording
from tests.golden.recording_frames import case
from tests.golden.recording_writing import write_recording
from tests.unit.ledger_recording import Desk, recorded

FRAMES = case(4.0)
HALF = len(FRAMES) // 2


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return recorded(tmp_path, [FRAMES[:HALF], FRAMES[HALF:]], sealed=1)


def _packed(desk: Desk, name: str = "case.mcap") -> Path:
    out = desk.path.with_name(name)
    with open_recording(desk.path) as opened:
        pack(opened, out)
    return out


def test_every_sample_of_a_packed_file_is_proven(desk: Desk) -> None:
    report = verify(_packed(desk), folder=desk.site)
    assert (report.state, report.known, report.ended) == ("intact", True, True)
    assert report.parts[0].proven == len(FRAMES)
    assert report.parts[0].beyond == 0
    assert report.origin == desk.verify().origin


def test_a_packed_file_packed_again_still_verifies(desk: Desk) -> None:
    first, again = _packed(desk), desk.path.with_name("again.mcap")
    with open_recording(first) as opened:
        pack(opened, again)
    report = verify(again, folder=desk.site)
    assert (report.state, report.parts[0].proven) == ("intact", len(FRAMES))


def test_a_packed_file_of_other_samples_is_named(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger of one recording in the file of another, which differs in one sample."""
    frame = next(f for f in FRAMES if f.address == "or1/monitor/hr")
    place = FRAMES.index(frame)
    changed = frame._replace(payload=frame.payload[:-1] + bytes([frame.payload[-1] ^ 1]))
    held = of_packed.held(_packed(desk))
    for frames, what in (
        ([*FRAMES[:place], changed, *FRAMES[place + 1 :]], "altered"),
        ([*FRAMES[:place], *FRAMES[place + 1 :]], "missing"),
    ):
        other = recorded(tmp_path / what, [frames])
        monkeypatch.setattr("scot_replay.pack._for_verifying", lambda _recording: held)
        report = verify(_packed(other), folder=desk.site)
        faults = [(f.what, f.address, f.records) for f in report.faults]
        assert faults == [(what, "or1/monitor/hr", 1)]
        assert report.state == "altered"


def test_a_sample_that_no_block_knows_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "short" / "site"))  # whose key seals
    whole = recorded(tmp_path / "whole", [FRAMES], sealed=1)
    short = recorded(tmp_path / "short", [FRAMES[:-1]], sealed=1)
    held = of_packed.held(_packed(short))
    monkeypatch.setattr("scot_replay.pack._for_verifying", lambda _recording: held)
    report = verify(_packed(whole), folder=short.site)
    assert [(f.what, f.address) for f in report.faults] == [("added", FRAMES[-1].address)]


def test_a_flipped_bit_of_a_packed_file_is_named(desk: Desk) -> None:
    out = _packed(desk)
    data = bytearray(out.read_bytes())
    data[len(data) // 3] ^= 4
    out.write_bytes(data)
    report = verify(out, folder=desk.site)
    assert report.state == "altered"
    assert {fault.what for fault in report.faults} >= {"missing", "damaged"}


def test_a_file_without_a_ledger_says_what_to_do(tmp_path: Path) -> None:
    write_recording(tmp_path / "rec", [FRAMES], sealed=1)
    with open_recording(tmp_path / "rec") as opened:
        pack(opened, tmp_path / "plain.mcap")
    with pytest.raises(
        RecordingError, match=r"carries no ledger.*verify the recording's directory"
    ):
        verify(tmp_path / "plain.mcap")
    (tmp_path / "none.mcap").write_bytes(b"no MCAP")
    with pytest.raises(RecordingError, match="cannot be verified"):
        verify(tmp_path / "none.mcap")


def test_the_command_takes_the_file(desk: Desk) -> None:
    out = _packed(desk)
    done = CliRunner().invoke(app, ["verify", str(out), "--key", str(desk.site / "evidence.pub")])
    assert done.exit_code == 0, done.output
    assert f"{out}: INTACT" in done.output
    assert "a packed file" in done.output
