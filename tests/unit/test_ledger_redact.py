"""What is erased is gone from every file; the rest is proven, and the ledger says who did it."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from scot.cli import run
from scot.codec import Frame, decode, read_header
from scot.errors import RecordingError
from scot.sample import NumericValue
from scot_replay.journal import encode_frame
from scot_replay.layout import hold, journal_path, segment_path
from scot_replay.ledger.entry import Block, record_leaf
from scot_replay.ledger.erase import Asked
from scot_replay.ledger.keys import ensure
from scot_replay.ledger.log import LEDGER, Item, lines, opened
from scot_replay.ledger.redact import Redacted, redact
from scot_replay.recording import open_recording
from scot_replay.seal import seal
from tests.golden.recording_frames import START_NS, S, case
from tests.unit.ledger_recording import Desk, recorded

FRAMES = case(6.0)
HALF = len(FRAMES) // 2
HR = "or1/monitor/hr"
FROM, TO = START_NS + 1 * S, START_NS + 4 * S


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands find the key of the site."""
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "site"))


def gone(frame: Frame, addresses: tuple[str, ...] = (HR,)) -> bool:
    return frame.address in addresses and FROM <= read_header(frame).bus_ns < TO


def erase(desk: Desk, *addresses: str) -> Redacted:
    asked = Asked(
        addresses=list(addresses or (HR,)), between=(FROM, TO), by="officer", reason="withdrawn",
        utc_ns=1,
    )  # fmt: skip
    return redact(desk.path, asked, ensure(where=desk.site))


@pytest.mark.parametrize("sealed", [0, 1, 2])
def test_it_is_erased_and_the_rest_is_proven_byte_for_byte(tmp_path: Path, sealed: int) -> None:
    desk = recorded(tmp_path, [FRAMES[:HALF], FRAMES[HALF:]], sealed)
    done = erase(desk)
    assert list(open_recording(desk.path).frames()) == [f for f in FRAMES if not gone(f)]
    for again in (False, True):
        report = desk.verify(records=again)
        assert report.intact, report.faults
        assert [(one.by, one.reason) for one in report.redactions] == [("officer", "withdrawn")]
        assert sum(part.erased for part in report.parts) == sum(map(gone, FRAMES)) + (
            1 if sealed < 2 else 0  # and the copy in what was true when the second journal began
        )
    assert done.records == sum(map(gone, FRAMES)) + 1


@pytest.mark.parametrize("sealed", [0, 2])
def test_no_byte_of_it_is_left_in_any_file(tmp_path: Path, sealed: int) -> None:
    addresses = (HR, "or1/tracker/status", "or1/scope/video")
    desk = recorded(tmp_path, [FRAMES[:HALF], FRAMES[HALF:]], sealed)
    lost = [f for f in FRAMES if gone(f, addresses) and len(f.payload) > 100]
    assert lost
    before = [file.read_bytes() for file in desk.path.rglob("*") if file.is_file()]
    assert any(frame.payload in data for frame in lost for data in before)
    erase(desk, *addresses)
    for file in desk.path.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert not any(frame.payload in data for frame in lost), file
    table = open_recording(desk.path).to_pandas(["monitor/hr"])
    erased = [decode(f, open_recording(desk.path).channel(HR)) for f in FRAMES if gone(f)]
    values = {sample.value.value for sample in erased if isinstance(sample.value, NumericValue)}
    assert values
    assert not values & set(table["monitor/hr"].dropna())


@pytest.mark.parametrize("sealed", [0, 1])
def test_it_says_that_they_were_erased_and_not_that_they_never_came(
    tmp_path: Path, sealed: int
) -> None:
    desk = recorded(tmp_path, [FRAMES], sealed)
    erase(desk)
    for _ in range(2 - sealed):
        opened_ = open_recording(desk.path)
        assert ["3 samples of or1/monitor/hr are lost" in line for line in opened_.damage] == [True]
        assert "erased" in opened_.damage[0]
        account = opened_.completeness()[HR]
        assert [(one.count, one.why) for one in account.lost_in] == [(3, "erased")]
        if journal_path(desk.path, 1).exists():
            seal(desk.path, 1)  # says so, too, when it is sealed afterwards
    assert desk.verify().intact


@pytest.mark.parametrize("sealed", [0, 2])
def test_what_is_left_cannot_tell_what_was_erased(tmp_path: Path, sealed: int) -> None:
    """Whoever guesses the value cannot check the guess: no seed and no salt of it is left."""
    desk = recorded(tmp_path, [FRAMES[:HALF], FRAMES[HALF:]], sealed)
    seeds = {
        opening.seed
        for line in lines((desk.path / LEDGER).read_bytes())
        if line.kind == Item.ENTRY and (opening := opened(line).opening) is not None
    }
    erase(desk)
    left = (desk.path / LEDGER).read_bytes()
    kept = 0
    for line in lines(left):
        if line.kind != Item.ENTRY:
            continue
        one = opened(line)
        if one.opening is None or not one.opening.kept:
            continue
        assert isinstance(one.entry, Block)
        kept += len(one.opening.kept)
        assert not one.opening.seed
        for place, leaf in one.opening.kept.items():
            assert one.opening.salts[place * 16 : place * 16 + 16] == bytes(16)
            for frame in FRAMES:
                body = bytes((len(frame.topic), len(frame.header))) + b"".join(frame)
                assert record_leaf(bytes(16), 4, body) != leaf
    assert kept >= sum(map(gone, FRAMES))
    assert sum(seed not in left for seed in seeds) >= 2


def test_it_can_be_done_twice_and_again_after_a_crash(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES[:HALF], FRAMES[HALF:]], 1)
    kept = {f: f.read_bytes() for f in (segment_path(desk.path, 1), journal_path(desk.path, 2))}
    erase(desk)
    for file, data in kept.items():  # as if it had died before the bytes went
        file.write_bytes(data)
    report = desk.verify()
    assert not report.intact
    assert {one.what for one in report.faults} >= {"not erased"}
    erase(desk)
    assert desk.verify().intact
    assert len(desk.verify().redactions) == 1
    erase(desk, "or1/tracker/probe")
    report = desk.verify(records=True)
    assert report.intact, report.faults
    assert len(report.redactions) == 2
    assert list(open_recording(desk.path).frames()) == [
        f for f in FRAMES if not gone(f, (HR, "or1/tracker/probe"))
    ]


STEPS = 16  # up to the new name of the segment; after it only columns are made


def kill_at(step: int, desk: Desk) -> bool:
    """Erase in a process that is killed before its `step`th change of the directory; say if so."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    left = step

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        opened_to_write = event == "open" and int(str(arguments[2] or 0)) & (
            os.O_WRONLY | os.O_RDWR
        )
        if opened_to_write or event in {"os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        erase(desk, HR, "or1/tracker/probe")
    finally:
        os._exit(0)


def test_killed_at_any_step_nothing_is_done_or_what_is_left_to_do_is_said_and_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = recorded(tmp_path, [FRAMES[:HALF], FRAMES[HALF:]], 1)
    whole = tmp_path / "whole"
    shutil.copytree(desk.path, whole)
    states = []
    for step in range(STEPS):
        shutil.rmtree(desk.path)
        shutil.copytree(whole, desk.path)
        assert kill_at(step, desk)
        report = desk.verify()
        states.append(report.state)
        assert report.state in {"intact", "unfinished"}, report.faults
        if report.state == "unfinished":
            capsys.readouterr()
            assert run(["verify", str(desk.path)]) == 1
            said = capsys.readouterr().out
            assert "ERASING NOT FINISHED" in said
            assert f"scot redact --resume {desk.path}" in said
        if report.redactions:
            assert run(["redact", str(desk.path), "--resume"]) == 0
            expected = [f for f in FRAMES if not gone(f, (HR, "or1/tracker/probe"))]
        else:
            expected = FRAMES
        assert list(open_recording(desk.path).frames()) == expected
        assert desk.verify().intact
    assert states[0] == "intact"
    assert states == ["intact"] * 3 + ["unfinished"] * (STEPS - 4) + ["intact"]
    assert not list(desk.path.rglob("*.part"))


def test_there_is_nothing_to_resume_where_nothing_was_erased(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = recorded(tmp_path, [FRAMES], 1)
    assert run(["redact", str(desk.path), "--resume"]) == 1
    assert "nothing was ever erased" in capsys.readouterr().err
    assert run(["redact", str(desk.path), "--resume", "--by", "me"]) == 2
    assert run(["redact", str(desk.path), "--by", "me"]) == 2


def test_what_was_altered_or_is_still_being_made_is_left_alone(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES])
    held = hold(desk.path)
    assert held is not None
    with pytest.raises(RecordingError, match="being recorded"):
        erase(desk)
    os.close(held)
    path = journal_path(desk.path, 1)
    whole, frame = path.read_bytes(), next(f for f in FRAMES if gone(f))
    other = frame._replace(payload=frame.payload.replace(b"Vld", b"Ong"))
    path.write_bytes(whole.replace(encode_frame(frame), encode_frame(other)))
    with pytest.raises(RecordingError, match="not as it was recorded"):
        erase(desk)
    path.write_bytes(whole)
    asked = Asked(addresses=["or1/none/such"], between=(0, 1), by="a", reason="b", utc_ns=1)
    with pytest.raises(RecordingError, match="holds nothing"):
        redact(desk.path, asked, ensure(where=desk.site))
    with pytest.raises(RecordingError, match="is signed by"):
        redact(desk.path, asked, ensure("scot/other", tmp_path / "other"))
    assert desk.verify().intact
    assert not desk.verify().redactions


def test_the_command_asks_erases_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = recorded(tmp_path, [FRAMES], 1)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    command = [
        "redact", str(desk.path), "-c", "monitor/hr", "--between", "0:01", "0:04",
        "--by", "officer", "--reason", "withdrawn",
    ]  # fmt: skip
    assert run(command) != 0  # nobody said yes
    assert desk.verify().redactions == []
    capsys.readouterr()
    assert run([*command, "--yes", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["records"] == 3
    assert msgspec.convert(done, Redacted).files == ["segment-1.mcap"]
    assert run(["verify", str(desk.path)]) == 0
    said = capsys.readouterr().out
    assert "redacted: 3 records of or1/monitor/hr" in said
    assert "by officer: withdrawn" in said


def test_what_sealing_left_of_a_journal_goes_too(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES], 0)
    path = journal_path(desk.path, 1)
    left = [path.with_name(f"{path.name}.damaged"), desk.path / "segment-1.mcap.part"]
    for one in left:
        one.write_bytes(path.read_bytes())
    erase(desk)
    assert not any(one.exists() for one in left)


@pytest.mark.parametrize("name", ["damaged", ".recovery", "journal-01.scotj"])
def test_files_that_nothing_accounts_for_are_named_before_anything_changes(
    tmp_path: Path, name: str
) -> None:
    desk = recorded(tmp_path, [FRAMES], 0)
    kept = desk.path / name
    kept.write_bytes(journal_path(desk.path, 1).read_bytes())
    before = {p: p.read_bytes() for p in desk.path.rglob("*") if p.is_file()}
    with pytest.raises(RecordingError, match="may hold what is to be erased"):
        erase(desk)
    assert {p: p.read_bytes() for p in desk.path.rglob("*") if p.is_file()} == before
