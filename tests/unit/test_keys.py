"""Keys are private to their owner, new with each room, and say how to fix what is missing."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from scot.access import Grant, Roster
from scot.bus.keys import PORTS, Endpoints, KeyPair, Link, issue
from scot.errors import AccessError

GRANTS = [Grant(name="monitor", publish=["or1/monitor/"]), Grant(name="console")]
NUMBERS = {name: 5_000 + place for place, name in enumerate(PORTS)}


def issued(folder: Path) -> Path:
    state = folder / "or1"
    state.mkdir(exist_ok=True)
    state.chmod(0o755)  # as an older room, or a careless person, may have left it
    issue(state, "127.0.0.1", NUMBERS, "or1", GRANTS)
    return state


def own(state: Path) -> Roster:
    return Roster.parse((state / "own.json").read_bytes(), "own.json")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_0700_and_files_0600(tmp_path: Path) -> None:
    state = issued(tmp_path)
    assert mode(state) == mode(state / "keys") == 0o700
    files = [path for path in state.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "broker.json",
        "monitor.json",
        "console.json",
        "own.json",
        "endpoints.json",
        "authority.key",
        "authority.pub",
        "roster.note",
        "roster.lock",
    }
    assert {mode(path) for path in files} == {0o600}


def test_every_holder_joins_with_its_own_pair_and_the_brokers_public_key(tmp_path: Path) -> None:
    state = issued(tmp_path)
    monitor, console = Link.load(state, "monitor"), Link.load(state, "console")
    broker = msgspec.json.decode((state / "keys" / "broker.json").read_bytes(), type=KeyPair)
    assert monitor.endpoints == console.endpoints
    assert monitor.endpoints.server == broker.public
    assert len({monitor.pair.secret, console.pair.secret, broker.secret}) == 3
    roster = own(state)
    assert roster.holders[roster.keys[monitor.pair.public].holder] == GRANTS[0]
    assert broker.public not in roster.keys


def test_the_rooms_own_keys_are_new_at_each_start_and_the_brokers_stays(tmp_path: Path) -> None:
    state = issued(tmp_path)
    old, broker = Link.load(state, "monitor").pair, Link.load(state, "monitor").endpoints.server
    (state / "keys" / "gone.json").write_text("{}")
    issued(tmp_path)
    assert Link.load(state, "monitor").pair.public != old.public
    assert old.public not in own(state).keys
    assert not (state / "keys" / "gone.json").exists()
    assert Link.load(state, "monitor").endpoints.server == broker


def test_no_secret_is_where_it_need_not_be(tmp_path: Path) -> None:
    state = issued(tmp_path)
    shared = "".join(
        (state / name).read_text() for name in ("own.json", "roster.note", "endpoints.json")
    )
    for name in ("broker", "monitor", "console"):
        pair = msgspec.json.decode((state / "keys" / f"{name}.json").read_bytes(), type=KeyPair)
        assert pair.secret not in shared


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"public": 3, "secret": ""}'])
def test_a_key_that_cannot_be_used_says_whose_and_where(
    tmp_path: Path, content: bytes | None
) -> None:
    state = issued(tmp_path)
    path = state / "keys" / "tracker.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AccessError, match=r"no usable key 'tracker' in .*is the room up, and"):
        Link.load(state, "tracker")


def test_an_endpoint_is_a_zeromq_url() -> None:
    endpoints = Endpoints(workspace="or1", host="127.0.0.1", ports=NUMBERS, server="k")
    assert endpoints.url("ctl_in") == "tcp://127.0.0.1:5000"
    assert endpoints.url("probe") == "tcp://127.0.0.1:5005"
