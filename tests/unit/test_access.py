"""A key gets what lies inside its grants and nothing else: default deny."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from scot.access import Access, Grant, Key, Roster, read_private, write_private
from scot.errors import AccessError

MONITOR = Grant(
    name="monitor",
    publish=["or1/monitor/"],
    subscribe=["or1/room/", "or1/monitor/hr"],
    devices=["monitor"],
)
NOBODY = Grant(name="nobody")


@pytest.mark.parametrize(
    ("prefix", "allowed"),
    [
        ("or1/room/", True),
        ("or1/room/clock", True),
        ("or1/monitor/hr", True),
        ("or1/room", False),  # would also match or1/roommate
        ("or1/", False),
        ("or1", False),
        ("", False),
        ("or1/monitor/", False),
        ("or1/monitor/spo2", False),
        ("or2/room/", False),
        (" or1/room/", False),
    ],
)
def test_a_subscription_must_lie_inside_a_grant(prefix: str, allowed: bool) -> None:
    assert MONITOR.may_read(prefix) is allowed


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("or1/monitor/hr", True),
        ("or1/monitor2/hr", False),
        ("or1/room/catalogue", False),
        ("or1/tracker/probe", False),
        ("", False),
    ],
)
def test_only_granted_addresses_may_be_published(address: str, allowed: bool) -> None:
    assert MONITOR.may_publish(address) is allowed


def test_a_grant_of_nothing_grants_nothing() -> None:
    for text in ("", "or1/", "or1/monitor/hr"):
        assert not NOBODY.may_read(text)
        assert not NOBODY.may_publish(text)
        assert not NOBODY.may_announce(text)
        assert not NOBODY.may_command(text)
    assert not NOBODY.serve


def test_a_command_is_given_only_inside_a_grant_for_commands() -> None:
    nurse = Grant(name="nurse", command=["or1/monitor/nibp"], role="or_staff")
    assert nurse.may_command("or1/monitor/nibp_start")
    assert not nurse.may_command("or1/monitor/limits")
    assert not nurse.may_command("")
    assert not MONITOR.may_command("or1/monitor/nibp_start")


def test_devices_are_announced_by_their_whole_name() -> None:
    assert MONITOR.may_announce("monitor")
    assert not MONITOR.may_announce("monitor2")
    assert not MONITOR.may_announce("")
    assert Grant(name="player", devices=["*"]).may_announce("anything")


ROSTER = Roster.of({"k" * 40: MONITOR, "n" * 40: NOBODY})


def test_the_same_roster_is_the_same_bytes_and_comes_back_whole() -> None:
    text = ROSTER.text()
    turned = Roster(holders=dict(reversed(ROSTER.holders.items())), keys=ROSTER.keys)
    assert turned.text() == text
    assert b"\n\n" not in text, "a blank line would end the signed text"
    assert Roster.parse(text, "here") == ROSTER


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"keys": []}',
        b'{"keys": {"k": {}}}',
        b'{"keys": {"k": {"holder": "nobody"}}}',
        b'{"holders": {"a": {"name": "b"}}}',
        b'{"holders": {"A b": {"name": "A b"}}}',
        b"[" * 100_000,
    ],
)
def test_a_roster_that_contradicts_itself_is_none(content: bytes) -> None:
    with pytest.raises(AccessError, match=r"^here: "):
        Roster.parse(content, "here")


def test_each_change_has_a_serial_of_its_own_and_leaves_the_old_roster_alone() -> None:
    first = Roster(workspace="or1", serial=7)
    second = first.with_holder(MONITOR)
    third = second.with_key("k", Key(holder="monitor"))
    assert [first.serial, second.serial, third.serial] == [7, 8, 9]
    assert (first.holders, second.keys) == ({}, {})
    with pytest.raises(AccessError, match="on the roster already"):
        third.with_key("k", Key(holder="monitor"))
    with pytest.raises(AccessError, match="scot keys add nobody"):
        third.with_key("n", Key(holder="nobody"))


def test_a_revoked_key_stays_on_the_roster_and_cannot_come_back() -> None:
    roster = Roster().with_holder(MONITOR).with_key("k", Key(holder="monitor"))
    gone = roster.revoking(["k"], 5, "lost")
    assert gone.keys["k"].why_not(0) == "revoked"
    assert gone.valid("monitor", 0) == []
    with pytest.raises(AccessError, match="on the roster already"):
        gone.with_key("k", Key(holder="monitor"))


def test_in_the_grace_of_a_rotation_both_keys_are_the_same_holder_and_then_one() -> None:
    roster = Roster().with_holder(MONITOR).with_key("old", Key(holder="monitor"))
    roster = roster.ending(["old"], 100).with_key("new", Key(holder="monitor", until_ns=1_000))
    access = Access(Roster(), roster, 0)
    assert access.valid == {"old": "monitor", "new": "monitor"}
    assert access.tick(99) == set()
    assert access.tick(100) == {"old"}
    assert access.why_not("old", 100) == "expired"
    assert access.tick(1_000) == {"new"}
    assert access.valid == {}


def test_a_key_that_ends_sooner_than_the_grace_ends_when_it_would_have() -> None:
    roster = Roster().with_holder(MONITOR).with_key("old", Key(holder="monitor", until_ns=50))
    assert roster.ending(["old"], 100).keys["old"].until_ns == 50


def test_a_new_roster_says_which_keys_are_gone() -> None:
    own = Roster.of({"o": Grant(name="recorder")})
    both = Roster.of({"a": MONITOR, "b": NOBODY})
    access = Access(own, both, 0)
    assert access.replace(both.revoking(["a"], 1, ""), 1) == {"a"}
    assert access.valid == {"b": "nobody", "o": "recorder"}
    assert access.replace(Roster(), 2) == {"b"}
    assert access.grants == own.holders
    assert access.why_not("a", 3) == "stranger"


def test_nobody_from_elsewhere_is_taken_for_a_part_of_the_room() -> None:
    own = Roster.of({"o": Grant(name="recorder", subscribe=["or1/"])})
    false = Grant(name="recorder", publish=["or1/"], command=["or1/"])
    access = Access(own, Roster.of({"f": false, "b": NOBODY}), 0)
    assert access.shadowed == ["recorder"]
    assert (access.holder("f"), access.why_not("f", 0)) == ("", "shadowed")
    assert access.grants["recorder"] == own.holders["recorder"]
    assert access.holder("b") == "nobody"


def test_a_clock_that_is_set_back_or_forth_is_followed() -> None:
    key = Key(holder="monitor", until_ns=100)
    access = Access(Roster(), Roster().with_holder(MONITOR).with_key("k", key), 0)
    assert access.tick(200) == {"k"}
    assert access.tick(50) == set()
    assert access.holder("k") == "monitor"


def test_a_private_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old and longer")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


def test_a_leftover_of_an_interrupted_write_does_not_leak(tmp_path: Path) -> None:
    leftover = tmp_path / "secret.new"
    leftover.write_bytes(b"half")
    leftover.chmod(0o666)
    write_private(tmp_path / "secret", b"whole")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_a_file_that_others_can_use_is_not_read_and_the_fix_is_named(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "secret"
    write_private(path, b"x")
    assert read_private(path) == b"x"
    path.chmod(mode)
    with pytest.raises(AccessError, match=rf"mode {mode:o}, others can use it; chmod 600 "):
        read_private(path)
