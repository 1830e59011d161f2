"""An encrypted recording reads as any other with its key, and only proves itself without."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from scot.cli import run
from scot.errors import CodecError, RecordingError
from scot_replay.layout import hold, write_manifest
from scot_replay.ledger.casekey import CaseKey, key_path
from scot_replay.ledger.keys import ensure
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.shred import shred
from scot_replay.recording import DirectoryRecording, open_recording
from scot_replay.seal import seal
from tests.golden.recording_frames import case
from tests.golden.recording_writing import manifest
from tests.unit.ledger_recording import Desk

FRAMES = case(4.0)
HALF = len(FRAMES) // 2


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the site's keys."""
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "site"))
    return tmp_path / "site"


def recorded(path: Path, site: Path, sealed: int) -> tuple[Desk, CaseKey]:
    """Record as the recorder does, each frame encrypted as it is taken over."""
    key = CaseKey.new(site, path)
    desk = Desk(path, site, encrypted=key.id)
    stored = [key.encrypt(frame) for frame in FRAMES]
    desk.write(stored[:HALF])
    desk.rotate()
    desk.write(stored[HALF:])
    desk.end()
    for number in range(1, sealed + 1):
        seal(path, number)
    return desk, key


@pytest.mark.parametrize("sealed", [0, 1, 2])
def test_with_its_key_it_reads_byte_for_byte(tmp_path: Path, site: Path, sealed: int) -> None:
    desk, _ = recorded(tmp_path / "case", site, sealed)
    opened = open_recording(desk.path)
    assert list(opened.frames()) == FRAMES
    assert not opened.damage
    assert opened.to_pandas(["monitor/hr"])["monitor/hr"].tolist() == [70.0, 71.0, 72.0, 73.0]
    assert len(opened.to_pandas(["monitor/art"])) == 500
    assert opened.at(opened.last_ns)["or1/tracker/status"].sample.value == "追跡中 tracking"
    assert desk.verify().intact
    assert desk.verify(records=True).intact


@pytest.mark.parametrize("sealed", [0, 2])
def test_nothing_of_a_payload_is_readable_in_any_file(
    tmp_path: Path, site: Path, sealed: int
) -> None:
    desk, key = recorded(tmp_path / "case", site, sealed)
    secret = bytes.fromhex(json.loads(key_path(key.id, site).read_bytes())["key"])
    whole = b"".join(file.read_bytes() for file in desk.path.rglob("*") if file.is_file())
    assert not any(f.payload in whole for f in FRAMES if len(f.payload) > 16)
    assert secret not in whole
    assert secret.hex().encode() not in whole
    assert key_path(key.id, site).stat().st_mode & 0o77 == 0
    assert not (desk.path / "columns").exists()


@pytest.mark.parametrize("sealed", [0, 2])
def test_once_shredded_it_is_proven_and_cannot_be_read(
    tmp_path: Path, site: Path, sealed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    desk, key = recorded(tmp_path / "case", site, sealed)
    where = key_path(key.id, site)
    command = ["shred", str(desk.path), "--by", "officer", "--reason", "ten years", "--yes"]
    assert run(command) == 0
    assert not where.exists()
    for again in (False, True):
        report = desk.verify(records=again)
        assert report.intact, report.faults
        assert [one.by for one in report.shredded] == ["officer"]
    capsys.readouterr()
    with pytest.raises(RecordingError, match=r"cannot be read: its samples .* destroyed"):
        open_recording(desk.path)
    assert run(["info", str(desk.path)]) == 0  # who, how many, when: headers are not encrypted
    said = capsys.readouterr().out
    assert "its samples are encrypted, and their key" in said
    assert "destroyed" in said
    assert run(["info", str(desk.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == len(FRAMES)
    assert found["channels"]["or1/monitor/hr"]["count"] == 4
    assert found["encrypted"] == key.id
    assert key.id in found["locked"]
    assert found["damage"] == []
    locked = DirectoryRecording(desk.path, locked=True)
    assert {frame.payload for frame in locked.frames()} == {b""}
    assert run(["verify", str(desk.path)]) == 0
    assert "shredded by officer: ten years" in capsys.readouterr().out
    assert run(command) == 1  # there is nothing left to destroy
    assert len(desk.verify().shredded) == 1


def test_another_key_or_an_altered_payload_gives_no_sample(tmp_path: Path, site: Path) -> None:
    desk, key = recorded(tmp_path / "case", site, 0)
    other = CaseKey(bytes(32))
    stored = key.encrypt(FRAMES[0])
    assert key.decrypt(stored) == FRAMES[0]
    assert key.encrypt(FRAMES[0]) != stored  # a nonce is never used again
    for bad in (
        stored._replace(payload=stored.payload[:-1] + bytes([stored.payload[-1] ^ 1])),
        stored._replace(topic=b"or1/other/hr\0"),
        stored._replace(payload=b""),
        FRAMES[0],
    ):
        with pytest.raises(CodecError, match="cannot be decrypted"):
            key.decrypt(bad)
    with pytest.raises(CodecError):
        other.decrypt(stored)
    path = key_path(key.id, site)
    path.write_bytes(msgspec.json.encode({"key": bytes(32).hex(), "recording": ""}))
    with pytest.raises(RecordingError, match="holds key"):
        open_recording(desk.path)


def test_only_an_ended_encrypted_recording_is_shredded(tmp_path: Path, site: Path) -> None:
    desk, key = recorded(tmp_path / "case", site, 0)
    signer = ensure(where=site)
    held = hold(desk.path)
    assert held is not None
    with pytest.raises(RecordingError, match="being recorded"):
        shred(desk.path, "a", "b", 1, signer)
    os.close(held)
    with pytest.raises(RecordingError, match="not signed by"):
        shred(desk.path, "a", "b", 1, ensure("scot/else", tmp_path / "else"))
    assert key_path(key.id, site).exists()
    write_manifest(desk.path, manifest())
    with pytest.raises(RecordingError, match="is not encrypted"):
        shred(desk.path, "a", "b", 1, signer)


def test_one_without_a_ledger_is_shredded_too(
    tmp_path: Path, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk, key = recorded(tmp_path / "case", site, 1)
    (desk.path / LEDGER).unlink()
    command = ["shred", str(desk.path), "--by", "officer", "--reason", "ten years", "--yes"]
    assert run(command) == 0
    assert "it has no ledger" in capsys.readouterr().out
    assert not key_path(key.id, site).exists()
    assert not (desk.path / LEDGER).exists()
    with pytest.raises(RecordingError, match="destroyed"):
        open_recording(desk.path)
