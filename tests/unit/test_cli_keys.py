"""`scot keys`: what a person types, what they are told, and what it leaves behind."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from scot.access import Key, Roster, fingerprint, write_private
from scot.audit import read
from scot.bus.authority import Authority
from scot.bus.keys import KeyFile, broker_pair, issue
from scot.cli import run
from scot.clock import machine
from scot.config import RoomFile
from scot.note import Signer
from scot.room import Room

DAY_NS = 86_400 * 10**9
PORTS = {"ctl_in": 1, "ctl_out": 2, "bulk_in": 3, "bulk_out": 4, "query": 5, "probe": 6}
ROOM = """
[room]
workspace = "or1"
[bus]
host = "192.0.2.7"
port = 5550
"""


class Person:
    """Types commands in a folder of their own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.state = folder / "state" / "or1"
        self._capsys = capsys

    def types(self, line: str, code: int = 0) -> str:
        """Return what a command said, on whichever stream."""
        got = run(["keys", *line.split()])
        out, err = self._capsys.readouterr()
        assert got == code, out + err
        assert err.count("\n") <= 1, "an error is one line"
        return out + err

    def asks(self, line: str) -> Any:
        return json.loads(self.types(line + " --json"))

    def roster(self) -> Roster:
        return Authority(self.state).roster()

    def valid(self, name: str, at_ns: int) -> set[str]:
        """Return the fingerprints of the keys of a holder that are valid then."""
        return {fingerprint(public) for public in self.roster().valid(name, at_ns)}

    def found(self) -> list[str]:
        """What the doctor says is not in order."""
        run(["keys", "doctor", "--json"])
        out, _ = self._capsys.readouterr()
        return [f"{f['what']} -> {f['fix']}" for f in json.loads(out) if f["level"] != "ok"]


@pytest.fixture
def person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Person:
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "room.toml").write_text(ROOM)
    return Person(tmp_path, capsys)


@pytest.fixture
def owner(person: Person) -> Person:
    person.types("init room.toml")
    return person


def test_from_nothing_to_a_key_file_and_back(owner: Person) -> None:
    assert "nobody from elsewhere may join" in owner.types("list")
    assert "`scot keys issue laptop`" in owner.types("add laptop --as reader")
    assert "no key issued" in owner.types("list")
    said = owner.types("issue laptop --days 30")
    assert said.startswith("or1-laptop.scotkey: key ")
    assert "finds the room at 192.0.2.7:5554" in said
    path = owner.folder / "or1-laptop.scotkey"
    file = KeyFile.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert owner.roster().keys[file.link.pair.public].holder == "laptop"
    assert file.link.endpoints.server == broker_pair(owner.state, 0)[0].public
    assert "valid until" in owner.types("list")
    assert "revoked" in owner.types("revoke laptop --reason lost")
    assert "all keys ended" in owner.types("list")
    assert "revoked 20" in owner.types("list --all")


def test_the_secret_of_a_carried_key_is_in_its_file_and_nowhere_else(owner: Person) -> None:
    owner.types("add laptop --as reader")
    owner.types("issue laptop")
    secret = KeyFile.load(owner.folder / "or1-laptop.scotkey").link.pair.secret
    holding = [p for p in owner.folder.rglob("*") if p.is_file() and secret in p.read_text()]
    assert holding == [owner.folder / "or1-laptop.scotkey"]


def test_every_act_is_a_row_of_the_audit_with_who_did_it(owner: Person) -> None:
    owner.types("add pump --as device")
    owner.types("add pump --as device --may read:or1/monitor/")
    owner.types("issue pump")
    owner.types("rotate pump --out next --grace 1")
    owner.types("revoke pump --reason stolen")
    rows = read(owner.state / "audit.jsonl")
    assert [row.detail.split(" key ")[0] for row in rows] == [
        "added",
        "grant changed",
        "issued",
        "rotated to",
        "revoked",
        "revoked",
    ]
    assert {row.entity for row in rows} == {"pump"}
    assert all(row.who and row.who["id"] for row in rows)
    assert rows[-1].detail.endswith(": stolen")


def test_a_rotated_key_is_followed_and_ends_after_the_grace(owner: Person) -> None:
    owner.types("add pump --as device")
    old = owner.asks("issue pump")["key"]
    before_ns = machine.utc_ns()
    new = owner.asks("rotate pump --out next.scotkey --grace 2")["key"]
    by_key = {fingerprint(public): key for public, key in owner.roster().keys.items()}
    end_ns = by_key[old].until_ns
    assert end_ns is not None
    assert 0 <= end_ns - before_ns - 2 * 3600 * 10**9 < 60 * 10**9
    assert owner.valid("pump", before_ns) == {old, new}
    assert owner.valid("pump", end_ns) == {new}


def test_one_of_two_keys_can_be_revoked(owner: Person) -> None:
    owner.types("add pump --as device")
    old = owner.asks("issue pump")["key"]
    new = owner.asks("issue pump --out second.scotkey")["key"]
    assert owner.asks(f"revoke pump --key {old}")["revoked"] == [old]
    assert owner.valid("pump", machine.utc_ns()) == {new}


def test_a_grant_holds_what_was_typed_and_no_more(owner: Person) -> None:
    grant = owner.asks("add nurse --may command:or1/monitor/nibp --may read:or1/ --role or_staff")
    assert (grant["command"], grant["subscribe"]) == (["or1/monitor/nibp"], ["or1/"])
    assert grant["role"] == "or_staff"
    assert "publish" not in grant
    assert grant["quota"]["ctl"]["messages_hz"] > 0
    assert owner.asks("add nurse --may read:or1/ --unlimited")["quota"] == {}


REFUSED = {
    "list --workspace nowhere": "scot keys init",
    "issue nobody": "`scot keys add nobody` first",
    "revoke nobody": "'nobody' is not on the roster; it holds: laptop",
    "revoke laptop": "has no valid key",
    "rotate laptop": "`scot keys issue laptop` makes one",
    "add Laptop": "a small letter, then small letters",
    "add reader": "could do nothing",
    "add reader --as pilot": "write device or reader",
    "add reader --may fly:or1/": "write VERB:PREFIX with one of publish, read, command, announce",
    "add reader --may publish:": "begin with 'or1/'",
    "add reader --may read:": "begin with 'or1/'",
    "add reader --may read:or10/": "begin with 'or1/'",
    "add reader --may publish:or1/": "name one: 'or1/DEVICE/'",
    "add reader --may command:or1/mon": "name one: 'or1/DEVICE/'",
    "add broker --as reader": "is one of the room's own",
    "issue laptop --out no/such/folder": "cannot be written (No such file or directory)",
    "issue laptop --host 0.0.0.0": "add --host with the room's address",
    "issue laptop --out room.toml": "room.toml is there already",
    "init --workspace OR": "a small letter, then small letters",
    "init free.toml": "set it in the room file, such as port = 5550",
    "add laptop --as reader --authority none": "none: the authority's secret is not there",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_wrong_is_said_in_one_line_with_the_fix_and_nothing_changes(
    owner: Person, line: str
) -> None:
    owner.types("add laptop --as reader")
    (owner.folder / "free.toml").write_text("")
    before = owner.roster()
    assert REFUSED[line] in owner.types(line, 1)
    assert owner.roster() == before
    assert not list(owner.folder.glob("*.scotkey"))


def test_the_rooms_own_names_are_not_given_away(owner: Person) -> None:
    file = RoomFile.model_validate({"device": [{"name": "monitor", "provider": "sdc"}]})
    issue(owner.state, "192.0.2.7", PORTS, "or1", Room(file)._grants())
    for name in ("monitor", "console", "recorder"):
        assert "is one of the room's own" in owner.types(f"add {name} --as reader", 1)


def test_the_authoritys_secret_can_be_kept_elsewhere(owner: Person) -> None:
    away = owner.folder / "usb.key"
    (owner.state / "authority.key").rename(away)
    assert "give it with --authority FILE" in owner.types("add laptop --as reader", 1)
    owner.types("add laptop --as reader --authority usb.key")
    assert owner.roster().holders.keys() == {"laptop"}
    write_private(away, Signer.new("scot/or1").text().encode())
    assert "another room's?" in owner.types("add x --as reader --authority usb.key", 1)
    away.chmod(0o644)
    assert "chmod 600" in owner.types("add x --as reader --authority usb.key", 1)


def test_a_planned_key_of_the_broker_is_in_new_files_and_taken_at_a_later_start(
    owner: Person,
) -> None:
    owner.types("add laptop --as reader")
    owner.types("issue laptop --out old")
    assert "rotate the keys that were carried away" in owner.types("rotate broker --grace 1")
    owner.types("issue laptop --out new")
    old, new = (KeyFile.load(owner.folder / n).link.endpoints for n in ("old", "new"))
    now_ns = machine.utc_ns()
    assert broker_pair(owner.state, now_ns)[0].public == old.server == new.server
    assert broker_pair(owner.state, now_ns + DAY_NS) == (broker_pair(owner.state, 0)[0], "")
    assert broker_pair(owner.state, 0)[0].public == new.next_server != old.server


def test_an_expired_or_open_key_file_is_not_used(owner: Person) -> None:
    owner.types("add laptop --as reader")
    owner.types("issue laptop --days 1e-12")
    path = owner.folder / "or1-laptop.scotkey"
    assert run(["devices", "--key", str(path)]) == 1
    assert "has expired; ask for a new one" in owner._capsys.readouterr().err
    path.chmod(0o640)
    assert run(["devices", "--key", str(path)]) == 1
    assert "others can use it; chmod 600" in owner._capsys.readouterr().err
    assert run(["devices", "--key", "none.scotkey"]) == 1
    assert "none.scotkey: cannot be read" in owner._capsys.readouterr().err


# -- the doctor


def room_was_up(person: Person, **bus: Any) -> None:
    """Leave what the last start of a room leaves."""
    file = RoomFile.model_validate({"bus": bus, "device": [{"name": "monitor", "provider": "sdc"}]})
    issue(person.state, "192.0.2.7", PORTS, "or1", Room(file)._grants())
    write_private(person.state / "room.json", file.model_dump_json().encode())


def test_the_doctor_finds_nothing_in_a_sound_room(owner: Person) -> None:
    room_was_up(owner, host="192.0.2.7", port=5550)
    owner.types("add laptop --as reader")
    owner.types("issue laptop")
    owner.types("add pump --as device --may read:or1/monitor/")
    owner.types("issue pump")
    assert owner.found() == []
    assert "in order" in owner.types("doctor")


def test_the_doctor_names_each_file_that_others_can_use(owner: Person) -> None:
    for name, mode in (("authority.key", 0o640), ("roster.note", 0o644), ("keys", 0o755)):
        path = owner.state / name
        was = path.stat().st_mode
        path.chmod(mode)
        (first, *_) = owner.found()
        assert f"{path} has mode {mode:o}: others can use it -> chmod " in first
        path.chmod(was)


def test_the_doctor_names_keys_that_are_wrong_or_end_soon(owner: Person) -> None:
    room_was_up(owner, host="192.0.2.7", port=5550)
    for line in (
        "add laptop --as reader",
        "add soon --as reader",
        "issue soon --days 3",
        "add forever --as reader",
        "issue forever --days 0",
        "add past --as reader",
        "issue past --days 1e-12",
        "add typo --may read:or1/monitr/",
        "issue typo",
        "add gone --as reader",
        "issue gone",
        "revoke gone",
    ):
        owner.types(line)
    said = "\n".join(owner.found())
    assert "laptop has no valid key -> scot keys issue laptop" in said
    assert "of soon ends in 3.0 days -> scot keys rotate soon" in said
    assert "of forever never ends -> scot keys rotate forever --days 90" in said
    assert "past has no valid key -> scot keys issue past" in said
    assert "typo may subscribe or1/monitr/, and no device of the room is 'monitr'" in said
    assert "gone" not in said
    assert len(owner.found()) == 5


def test_the_doctor_names_what_a_carried_key_could_not_find(owner: Person) -> None:
    owner.types("add laptop --as reader")
    owner.types("issue laptop")
    room_was_up(owner)
    said = "\n".join(owner.found())
    assert "[bus] port is 0" in said
    assert "listens on 127.0.0.1: no other machine can reach it -> set [bus] host" in said


def test_the_doctor_says_when_the_roster_was_changed_by_another_hand(owner: Person) -> None:
    owner.types("add laptop --as reader")
    path = owner.state / "roster.note"
    write_private(path, path.read_bytes().replace(b"laptop", b"lapdog"))
    (said,) = owner.found()
    assert "the signature of scot/or1 is wrong" in said
    assert "put the signed one back" in said
    owner.types("doctor", 1)
    assert "signature" in owner.types("list", 1)


def test_a_roster_that_is_gone_is_said_with_the_way_back(owner: Person) -> None:
    (owner.state / "roster.note").unlink()
    (said,) = owner.found()
    assert "roster.note: is gone -> put it back, or make a new one with `scot keys init" in said
    assert "is gone" in owner.types("add laptop --as reader", 1)
    owner.types("init --anew")
    owner.types("add laptop --as reader")
    assert owner.roster().holders.keys() == {"laptop"}


def test_the_doctor_names_a_holder_who_is_also_one_of_the_rooms_own(owner: Person) -> None:
    Authority(owner.state).change(
        lambda old: (
            Roster.of({})
            .with_holder(_monitor())
            .with_key("k" * 40, Key(holder="monitor", until_ns=2**61))
        )
    )
    room_was_up(owner, host="192.0.2.7", port=5550)
    assert any("monitor is also one of the room's own" in one for one in owner.found())


def _monitor() -> Any:
    from scot.access import Grant

    return Grant(name="monitor", publish=["or1/monitor/"])
