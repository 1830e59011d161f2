"""What kept only its last minutes, or was recovered, verifies as what it is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from scot.cli import run
from scot_replay.layout import Manifest, iso_utc, journal_path, segment_path
from scot_replay.seal import seal
from tests.golden.recording_frames import START_NS, S, case
from tests.unit.ledger_recording import Desk, recorded

FRAMES = case(12.0)
PART = len(FRAMES) // 6


class Keeper(Desk):
    """Keeps five seconds; something happens after eight of twelve."""

    triggered = ""

    def _manifest(self, finished: bool) -> Manifest:
        ends_ns = START_NS + 12 * S if finished else None
        return msgspec.structs.replace(
            super()._manifest(finished), keep_last_s=5.0, triggered=self.triggered,
            finished_ns=ends_ns, finished=ends_ns and iso_utc(ends_ns),
        )  # fmt: skip


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sealer find the key of the site."""
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "site"))


def kept(tmp_path: Path, *, triggered: bool, ended: bool) -> Desk:
    """Return six parts of two seconds, of which the recorder removed what was too old."""
    desk = Keeper(tmp_path / "case", tmp_path / "site")
    for number in range(6):
        if number:
            desk.rotate()
        desk.write(FRAMES[number * PART : (number + 1) * PART])
    desk.triggered = iso_utc(START_NS + 8 * S) if triggered else ""
    if ended:
        desk.end()
    else:
        (desk.path / "manifest.json").write_bytes(
            msgspec.json.encode(desk._manifest(False))  # as the recorder does when it triggers
        )
    seal(desk.path, 2)
    for number in range(1, 2 if triggered else 4):  # before 3 s; before 7 s
        journal_path(desk.path, number).unlink(missing_ok=True)
        segment_path(desk.path, number).unlink(missing_ok=True)
    return desk


@pytest.mark.parametrize("triggered", [True, False])
@pytest.mark.parametrize("ended", [True, False])
def test_what_the_recorder_removed_is_not_missed_and_what_anyone_else_did_is(
    tmp_path: Path, triggered: bool, ended: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = kept(tmp_path, triggered=triggered, ended=ended)
    report = desk.verify()
    assert report.intact, report.faults
    assert run(["verify", str(desk.path)]) == 0
    said = capsys.readouterr().out
    assert "only its last 5 s were kept until" in said
    assert ("removed part 1," if triggered else "removed parts 1 to 3,") in said
    first = 2 if triggered else 5 - ended  # one that died may have come two seconds further
    for number in range(1, first + 1):
        journal_path(desk.path, number).unlink(missing_ok=True)
        segment_path(desk.path, number).unlink(missing_ok=True)
    report = desk.verify()
    assert [(one.what, one.part) for one in report.faults] == [("missing", first)]


def test_a_manifest_that_claims_another_limit_is_found(tmp_path: Path) -> None:
    desk = kept(tmp_path, triggered=True, ended=True)
    file = desk.path / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b'"keep_last_s": 5.0', b'"keep_last_s": 1.0'))
    assert [one.what for one in desk.verify().faults] == ["altered"]


@pytest.mark.parametrize("in_place", [True, False])
def test_what_a_crash_broke_off_and_scot_recover_mended_is_intact(
    tmp_path: Path, in_place: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = recorded(tmp_path, [FRAMES[:PART], FRAMES[PART : 2 * PART]], 1, end=False)
    journal = journal_path(desk.path, 2)
    journal.write_bytes(journal.read_bytes() + b"\x40\0\0\0torn")
    out = desk.path if in_place else tmp_path / "mended"
    assert (
        run(["recover", str(desk.path), *(["--in-place"] if in_place else ["--out", str(out)])])
        == 0
    )
    capsys.readouterr()
    assert run(["verify", str(out)]) == 0
    assert "recovered at 20" in capsys.readouterr().out


def test_a_segment_that_was_written_anew_is_called_recovered_and_not_altered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = recorded(tmp_path, [FRAMES[:PART], FRAMES[PART : 2 * PART]], 2)
    segment = segment_path(desk.path, 1)
    segment.write_bytes(segment.read_bytes()[:-100])  # its end is gone: no summary any more
    assert desk.verify().state == "altered"
    assert run(["recover", str(desk.path), "--in-place"]) == 0
    report = desk.verify()
    assert report.state == "recovered"
    assert [(one.what, one.part) for one in report.faults] == [("recovered", 1)]
    capsys.readouterr()
    assert run(["verify", str(desk.path)]) == 1
    said = capsys.readouterr().out
    assert ": RECOVERED" in said
    assert "its samples are as they were" in said
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    assert desk.verify().state == "altered"  # the word of a manifest hides nothing
