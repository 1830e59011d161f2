"""A key gets what lies inside its grants and nothing else: default deny."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from scot.access import Grant, Roster, write_private
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


def test_a_roster_is_found_by_key_and_by_name_and_is_private(tmp_path: Path) -> None:
    roster = Roster(keys={"k" * 40: MONITOR, "n" * 40: NOBODY})
    roster.save(tmp_path / "roster.json")
    assert Roster.load(tmp_path / "roster.json") == roster
    assert roster.by_name() == {"monitor": MONITOR, "nobody": NOBODY}
    assert stat.S_IMODE((tmp_path / "roster.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"keys": []}', b'{"keys": {"k": {}}}'])
def test_a_roster_that_cannot_be_read_admits_nobody(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "roster.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AccessError, match=r"roster.json: not a roster of keys"):
        Roster.load(path)


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
