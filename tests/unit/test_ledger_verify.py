"""What was changed is found, and where; what was not is proven, up to a crash."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scot.cli import run
from scot.errors import RecordingError
from scot.note import Signer
from scot_replay.journal import encode_frame
from scot_replay.layout import journal_path, segment_path
from scot_replay.ledger.keys import SECRET, ensure
from scot_replay.ledger.log import LEDGER, MAGIC, Item, Log, encode_line, lines, opened
from scot_replay.ledger.site_report import verify_site
from scot_replay.ledger.verify import Report, verify
from scot_replay.seal import seal
from tests.golden.recording_frames import case
from tests.unit.ledger_recording import Desk, recorded

FRAMES = case(4.0)
HALF = len(FRAMES) // 2


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sealer find the key of the site."""
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "site"))


def whats(report: Report) -> list[str]:
    return [one.what for one in report.faults]


def records(report: Report) -> int:
    return sum(part.proven for part in report.parts)


@pytest.mark.parametrize("sealed", [0, 1, 2])
@pytest.mark.parametrize("again", [False, True])
def test_what_was_recorded_is_proven_to_the_last_record(
    tmp_path: Path, sealed: int, again: bool
) -> None:
    desk = recorded(tmp_path, [FRAMES[:HALF], FRAMES[HALF:]], sealed)
    report = desk.verify(records=again)
    assert report.intact, report.faults
    assert report.known
    assert report.ended
    assert sum(part.beyond for part in report.parts) == 0
    assert records(report) == len(FRAMES)
    how = ["bytes" if n < sealed and not again else "records" for n in range(2)]
    assert [part.how for part in report.parts] == how


def test_a_crash_leaves_a_recording_that_is_proven_as_far_as_it_was_signed(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES[:HALF]], end=False)
    desk.write(FRAMES[HALF : HALF + 30], checkpoint=False)
    journal = journal_path(desk.path, 1)
    journal.write_bytes(journal.read_bytes()[:-7])  # the last record is torn
    ledger = desk.path / LEDGER
    ledger.write_bytes(ledger.read_bytes() + b"\x40\0\0\0torn")
    report = desk.verify()
    assert report.intact, report.faults
    assert not report.ended
    assert report.parts[0].beyond == 29
    assert report.parts[0].beyond_last_ns > report.until_ns - 10**9
    seal(desk.path, 1)  # what a restart does with it
    report = desk.verify()
    assert report.intact, report.faults
    assert report.parts[0].how == "bytes"
    assert report.parts[0].beyond == 29


def test_a_recorder_that_goes_on_continues_the_ledger(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES[:HALF]], end=False)
    ledger = desk.path / LEDGER
    before = ledger.read_bytes()
    ledger.write_bytes(before + b"\x40\0\0\0torn")
    again = Desk(desk.path, desk.site, 2)
    again.write(FRAMES[HALF:])
    again.end()
    assert ledger.read_bytes().startswith(before)
    report = desk.verify()
    assert report.intact, report.faults
    assert len(report.parts) == 2
    assert report.checkpoints == 4


@pytest.mark.parametrize("sealed", [0, 1])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_found(
    tmp_path: Path, sealed: int, data: st.DataObject
) -> None:
    target = tmp_path / "case"
    if not target.exists():
        recorded(tmp_path, [FRAMES[::3]], sealed)
    files = sorted(path for path in target.iterdir() if path.is_file())
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    try:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            report = verify(target, folder=tmp_path / "site")
        except RecordingError:
            return  # it said that the file is none of ours
        assert not report.intact, f"bit {bit} of byte {at} of {file.name}"
        if file.suffix == ".mcap":
            assert whats(report).count("chunk") == 1
    finally:
        file.write_bytes(whole)


def test_the_first_record_that_was_altered_is_named_with_its_interval(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES])
    path = journal_path(desk.path, 1)
    data = bytearray(path.read_bytes())
    wanted = next(f for f in FRAMES[50:] if f.address == "or1/tracker/probe")
    record = encode_frame(wanted)
    at = data.index(record)
    other = encode_frame(wanted._replace(payload=wanted.payload[:-1] + b"\x01"))
    assert len(other) == len(record)
    data[at : at + len(record)] = other  # with a right CRC: who did it knew the format
    path.write_bytes(data)
    report = desk.verify()
    assert whats(report) == ["altered"]
    fault = report.faults[0]
    assert (fault.address, fault.records) == ("or1/tracker/probe", 1)
    assert f"byte {at}" in fault.detail
    assert fault.first_ns <= fault.last_ns


def test_a_segment_made_anew_is_found_and_its_record_named(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES], end=True)
    path = journal_path(desk.path, 1)
    kept = path.read_bytes()
    seal(desk.path, 1)
    first = next(f for f in FRAMES if f.address == "or1/monitor/hr")
    other = first._replace(payload=first.payload.replace(b"Vld", b"Ong"))
    path.write_bytes(kept.replace(encode_frame(first), encode_frame(other)))
    ledger = (desk.path / LEDGER).read_bytes()
    seal(desk.path, 1)  # a sealer that has not the key, or a ledger put back
    (desk.path / LEDGER).write_bytes(ledger)
    report = desk.verify()
    named = [one for one in report.faults if one.what == "altered"]
    assert [one.address for one in named] == ["or1/monitor/hr"]
    assert any(one.what == "chunk" and "or1/monitor/hr" in one.address for one in report.faults)


def test_a_record_that_was_taken_out_or_put_in_is_named(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES])
    path = journal_path(desk.path, 1)
    whole, record = path.read_bytes(), encode_frame(FRAMES[40])
    path.write_bytes(whole.replace(record, b""))
    report = desk.verify()
    assert whats(report) == ["missing"]
    assert report.faults[0].address == FRAMES[40].address
    added = encode_frame(case(9.0)[-1])
    path.write_bytes(whole.replace(record, added + record))
    report = desk.verify()
    assert whats(report) == ["added"]
    assert report.faults[0].address == case(9.0)[-1].address


def test_a_part_that_is_gone_is_named_with_what_it_held(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES[:HALF], FRAMES[HALF:]], 2)
    segment_path(desk.path, 1).unlink()
    report = desk.verify()
    assert whats(report) == ["missing"]
    assert report.faults[0].part == 1
    assert report.faults[0].records > HALF


def test_a_ledger_that_was_cut_back_is_found_by_the_sites_log(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES])
    ledger = desk.path / LEDGER
    data = ledger.read_bytes()
    ends = [line.end for line in lines(data) if line.kind == Item.CHECKPOINT]
    ledger.write_bytes(data[: ends[0]])
    report = desk.verify()
    assert "ledger" in whats(report)
    assert any("site's log knows" in one.detail for one in report.faults)


def test_an_entry_made_by_somebody_without_the_key_is_not_believed(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES])
    other = Signer.new("scot/other")
    log = Log(desk.path / LEDGER)
    with log.turn():
        assert log.begin is not None
        log.append([(log.begin, None)], other)
    report = desk.verify()
    assert whats(report) == ["signature"]
    assert verify(desk.path, [other.verifier], desk.site).intact is False


def test_only_the_key_that_is_given_is_believed(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES])
    own = ensure(where=desk.site).verifier
    assert verify(desk.path, [own]).known
    assert not verify(desk.path, folder=tmp_path).known
    stranger = verify(desk.path, [Signer.new("scot/stranger").verifier], tmp_path)
    assert not stranger.intact
    assert (desk.site / SECRET).stat().st_mode & 0o77 == 0


def test_a_recording_that_was_deleted_is_missed(tmp_path: Path) -> None:
    first = recorded(tmp_path, [FRAMES])
    crashed = Desk(tmp_path / "crashed", first.site)
    crashed.write(FRAMES)
    third = Desk(tmp_path / "third", first.site)
    third.write(FRAMES)
    third.end()
    report = verify_site(tmp_path, folder=first.site)
    assert report.intact, report.faults
    assert report.known == 3
    shutil.rmtree(first.path)
    ledger = crashed.path / LEDGER  # what the third knew of it when it began is not there any more
    ledger.write_bytes(ledger.read_bytes()[:-200])
    report = verify_site(tmp_path, folder=first.site)
    assert not report.intact
    assert [str(first.path) in report.faults[0], "crashed" in report.faults[1]] == [True, True]


def test_a_full_disk_keeps_what_is_to_be_signed(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "case", tmp_path / "site")
    desk.notary._log.path = tmp_path / "nowhere" / LEDGER
    desk.journal.put([])
    desk.write(FRAMES[:10], checkpoint=False)
    desk.notary.freeze(1)
    file = desk.journal.begin_sync()
    assert file is not None
    file.sync()
    file.close()
    desk.journal.end_sync()
    desk.notary.take(*desk.journal.safe)
    desk.notary.sign()
    assert "no checkpoint" in desk.notary.trouble
    desk.notary._log.path = desk.path / LEDGER
    desk.end()
    assert desk.verify().intact


def test_a_checkpoint_speaks_of_nothing_that_a_power_cut_could_take(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "case", tmp_path / "site")
    desk.write(FRAMES[:10])
    before = (desk.path / LEDGER).read_bytes()
    desk.write(FRAMES[10:], checkpoint=False)

    def sign() -> bytes:
        desk.notary.freeze(0, at_once=True)
        desk.notary.take(*desk.journal.safe)
        desk.notary.sign()
        return (desk.path / LEDGER).read_bytes()

    assert sign() == before  # written, and not forced down
    assert desk.journal.begin_sync() is not None
    desk.journal.end_sync(OSError(5, "failed"))
    assert sign() == before  # what the disk refused may be gone
    desk.journal.flush(2 * 10**9)  # it is written again
    assert desk.journal.begin_sync() is not None
    desk.journal.end_sync()
    assert sign() != before
    assert records(desk.verify()) == len(FRAMES)


def test_no_salt_is_in_the_tree_and_equal_samples_have_other_leaves(tmp_path: Path) -> None:
    """A leaf that is kept after its record was erased says nothing of what it was."""
    desk = recorded(tmp_path, [FRAMES])
    seeds = set()
    for line in lines((desk.path / LEDGER).read_bytes()):
        if line.kind == Item.ENTRY and (opening := opened(line).opening) is not None:
            assert opening.seed not in line.body.split(opening.seed)[0]
            seeds.add(opening.seed)
            assert len(opening.seed) == 32
    assert len(seeds) > 10


def test_the_command_says_it_in_lines_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = recorded(tmp_path, [FRAMES])
    assert run(["verify", str(desk.path)]) == 0
    said = capsys.readouterr().out
    assert "INTACT" in said
    assert "NOBODY" not in said
    path = journal_path(desk.path, 1)
    path.write_bytes(path.read_bytes()[:4000])
    assert run(["verify", str(desk.path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["intact"] is False
    assert "missing" in [one["what"] for one in found["faults"]]
    assert run(["verify", str(tmp_path)]) == 0
    (desk.path / LEDGER).unlink()
    assert run(["verify", str(desk.path)]) == 1
    assert "has no ledger.scotl" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [b"nonsense", MAGIC + encode_line(Item.ENTRY, b"\xc1")])
def test_a_broken_ledger_of_before_keeps_no_other_recording_from_being_signed(
    tmp_path: Path, wrong: bytes
) -> None:
    before = Desk(tmp_path / "before", tmp_path / "site")
    before.write(FRAMES[:HALF])
    (before.path / LEDGER).write_bytes(wrong)
    desk = Desk(tmp_path / "after", tmp_path / "site")
    desk.write(FRAMES[HALF:])
    assert desk.notary.trouble == ""
    assert desk.verify().covered
