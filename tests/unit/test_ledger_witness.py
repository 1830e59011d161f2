"""A witness cosigns what follows from what it saw, and names a history that does not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from scot.cli import run
from scot.errors import RecordingError
from scot.note import Signer
from scot_replay.ledger.checkpoint import Checkpoint, cosigned
from scot_replay.ledger.keys import ensure
from scot_replay.ledger.log import LEDGER, Item, encode_line, lines
from scot_replay.ledger.merkle import Frontier, consistency_proof, leaf_hash, root
from scot_replay.ledger.verify import verify
from scot_replay.ledger.witness import Witness, encode_request
from scot_replay.ledger.witnessing import ask
from tests.golden.recording_frames import case
from tests.unit.ledger_recording import Desk, recorded

FRAMES = case(3.0)
SITE, WITNESS = Signer("scot/or1", bytes(range(32))), Signer("hall", bytes(range(1, 33)))
ORIGIN = "scot/or1/case/1"
LEAVES = [leaf_hash(bytes([n])) for n in range(20)]


def note(leaves: list[bytes], signer: Signer = SITE, origin: str = ORIGIN) -> bytes:
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return signer.sign(Checkpoint(origin, tree.size, tree.root()).text())


def request(old: int, leaves: list[bytes], signer: Signer = SITE) -> bytes:
    proof = consistency_proof(leaves, old) if 0 < old < len(leaves) else []
    return encode_request(old, proof, note(leaves, signer))


def test_each_step_is_cosigned_and_remembered_over_a_restart(tmp_path: Path) -> None:
    old = 0
    for size in (1, 7, 7, 8, 20):
        witness = Witness(tmp_path, WITNESS, [SITE.verifier])  # started again each time
        answer = witness.add(request(old, LEAVES[:size]), 1_800_000_000 + size)
        assert answer.status == 200, answer.body
        said = cosigned(note(LEAVES[:size]) + answer.body, WITNESS.verifier)
        assert said is not None
        assert said.at_s == 1_800_000_000 + size
        assert cosigned(note(LEAVES[: size - 1]) + answer.body, WITNESS.verifier) is None
        old = size


def test_a_fork_is_refused_named_and_both_sides_are_kept(tmp_path: Path) -> None:
    witness = Witness(tmp_path, WITNESS, [SITE.verifier])
    assert witness.add(request(0, LEAVES[:9]), 1).status == 200
    other = [*LEAVES[:4], leaf_hash(b"other"), *LEAVES[5:14]]
    answer = witness.add(request(9, other), 2)
    assert answer.status == 422
    assert b"FORK of scot/or1/case/1: 9 entries with root" in answer.body
    assert root(LEAVES[:9]).hex().encode() in answer.body
    (kept,) = tmp_path.glob("*.fork-*")
    assert note(LEAVES[:9]) in kept.read_bytes()
    assert note(other) in kept.read_bytes()
    assert witness.add(request(9, other[:9]), 3).status == 422  # the same size, another root
    assert witness.add(request(9, LEAVES), 4).status == 200  # the true one goes on


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"old x\n\n" + note(LEAVES[:3]), 400),
        (b"old 0\nnot base64!\n\n" + note(LEAVES[:3]), 400),
        (b"old 0\n" + b"AAAA\n" * 80 + b"\n" + note(LEAVES[:3]), 400),
        (b"old 0\n\nno checkpoint\n", 400),
        (b"\xff\xfe" * 20_000, 400),
        (request(0, LEAVES[:3], Signer("scot/or1", bytes(32))), 403),
        (encode_request(0, [], note(LEAVES, SITE, "scot/or11/case")), 404),
        (request(5, LEAVES[:5]), 409),
        (encode_request(9, [], note(LEAVES[:5])), 400),
    ],
)
def test_what_is_no_request_is_answered_and_changes_nothing(
    tmp_path: Path, body: bytes, status: int
) -> None:
    witness = Witness(tmp_path, WITNESS, [SITE.verifier])
    answer = witness.add(body, 1)
    assert answer.status == status, answer.body
    assert not list(tmp_path.iterdir())
    if status == 409:
        assert answer.body == b"0\n"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "site"))


RUN = """
import signal
from scot.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # parallel tests start us deaf to Ctrl-C
main()
"""


@pytest.mark.usefixtures("state")
def test_a_witness_on_a_second_machine_sees_a_recording_grow_and_then_forked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path / "case", tmp_path / "site")
    desk.write(FRAMES[:50])
    own = ensure(where=desk.site).verifier
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "witness", "serve",
         "--key", own.text(), "--port", "0", "--json"],
        env={**os.environ, "SCOT_STATE": str(tmp_path / "hall")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        command = ["witness", "ask", said["url"], "--witness", said["key"]]
        assert run([*command, str(desk.path)]) == 0
        copy = tmp_path / "copy"
        shutil.copytree(desk.path, copy)
        desk.write(FRAMES[50:])
        desk.end()
        assert run([*command, str(desk.path)]) == 0
        assert run(command) == 0  # the site's log
        assert "recordings: " in capsys.readouterr().out
        assert run(["verify", str(desk.path), "--witness", said["key"]]) == 0
        assert "witness scot/" in capsys.readouterr().out
        assert run([*command, str(copy)]) == 1  # it was cut back
        assert "was cut back" in capsys.readouterr().err
        _forge(copy / LEDGER, ensure(where=desk.site), desk)
        assert run([*command, str(copy)]) == 1
        assert "FORK of" in capsys.readouterr().err
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert "FORK of" in err


def _forge(ledger: Path, signer: Signer, desk: Desk) -> None:
    """Sign another history of the same recording, longer than the true one, with the true key."""
    data = ledger.read_bytes()
    entries = [line for line in lines(data) if line.kind == Item.ENTRY]
    tree = Frontier()
    body = data[: next(iter(lines(data))).end]
    forged = [entries[0], *[entries[1]] * (desk.notary._log.tree.size + 4)]
    for line in forged:
        leaf = _leaf(line.body)
        tree.append(leaf_hash(leaf))
    origin = desk.notary._log.origin
    body += b"".join(encode_line(Item.ENTRY, line.body) for line in forged[1:])
    note_ = signer.sign(Checkpoint(origin, tree.size, tree.root()).text())
    ledger.write_bytes(body + encode_line(Item.CHECKPOINT, note_))


def _leaf(body: bytes) -> bytes:
    return msgspec.msgpack.decode(body, type=tuple[bytes, bytes])[0]


@pytest.mark.usefixtures("state")
def test_who_cannot_be_asked_is_said(tmp_path: Path) -> None:
    desk = recorded(tmp_path, [FRAMES])
    with pytest.raises(RecordingError, match="cannot be reached"):
        ask(desk.path / LEDGER, "http://127.0.0.1:9", WITNESS.verifier, [])
    with pytest.raises(RecordingError, match="write http"):
        ask(desk.path / LEDGER, "witness.example", WITNESS.verifier, [])
    report = verify(desk.path, folder=desk.site, witnesses=[WITNESS.verifier])
    assert not report.intact
    assert "the witness hall says nothing of it" in report.faults[-1].detail
