"""Each attack is counted, and told in the audit in one row or very few, however often it is tried.

The broker here is fresh: its audit holds nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from scot.bus.keys import Link
from scot.channel import Catalogue
from scot.codec import unpack
from tests.attacks.conftest import Target
from tests.attacks.test_attack_device_key import desk, header
from tests.attacks.zmtp import Attacker, RefusedError, dial, greeting, hung_up

pytestmark = pytest.mark.system

pack = msgspec.msgpack.Encoder().encode
TIMES = 500


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    state: Path = tmp_path_factory.mktemp("fresh")
    state.chmod(0o700)
    target = Target(state)
    target.start()
    yield target
    assert target.stop() == 0


def enter(target: Target, _: Link) -> None:
    for name in ("ctl_in", "query"):
        with pytest.raises(RefusedError):
            Attacker(target.stranger(), name)


def garbage(target: Target, _: Link) -> None:
    for data in (bytes(200), greeting(b"NULL") + bytes(20), greeting(b"PLAIN") + bytes(20)):
        with dial(target.link("console").endpoints, "ctl_in") as raw:
            raw.sendall(data)
            assert hung_up(raw)


def publish(_: Target, thief: Link) -> None:
    with Attacker(thief, "ctl_in") as attacker:
        for number in range(TIMES):
            attacker.say(b"or1/monitor/n%d\0" % number, header(), b"")
        attacker.send(b"")
        while attacker.receive()[2:] != [b"?"]:
            pass  # credits on the way


def subscribe(_: Target, thief: Link) -> None:
    with Attacker(thief, "ctl_out", b"SUB") as attacker:
        for _number in range(90):
            attacker.send(b"\1or1/")


def asked(verb: bytes, body: object) -> Callable[[Target, Link], None]:
    def ask(_: Target, thief: Link) -> None:
        with desk(thief) as asking:
            for _number in range(TIMES):
                asking.send(b"1", verb, pack(body))
                assert asking.receive()[1] == b"no"

    return ask


def probe(_: Target, thief: Link) -> None:
    with Attacker(thief, "probe") as attacker:
        for _number in range(TIMES):
            attacker.send(b"\xc1")
        attacker.send(pack([1, None]))
        attacker.receive()


READ = {"addresses": ["or1/monitor/hr"], "between": [0, 1]}
ATTACKS: dict[str, tuple[str, int, Callable[[Target, Link], None]]] = {
    "a stranger's key": ("enter", 2, enter),
    "garbage, NULL and PLAIN": ("handshake", 3, garbage),
    "another's address": ("publish", TIMES, publish),
    "a prefix of its grant": ("subscribe", 90, subscribe),
    "another's device": ("announce", TIMES, asked(b"announce", {"name": "a", "provider": "x"})),
    "answering for others": ("serve", TIMES, asked(b"serve", None)),
    "another's History": ("history", TIMES, asked(b"history", READ)),
    "a probe that is none": ("probe", TIMES, probe),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_counted_and_told_in_few_rows(fresh: Target, attack: str) -> None:
    what, count, do = ATTACKS[attack]
    thief = fresh.link(f"intruder{list(ATTACKS).index(attack)}")
    known = what not in {"enter", "handshake"}
    with fresh.audited(what, thief.name if known else "", count):
        do(fresh, thief)
    rows = fresh.refusals(what)
    assert all(row.who and row.who["id"] == thief.name for row in rows) if known else True
    assert all(row.workspace == "or1" and row.source == "broker" for row in rows)
    if what == "enter":  # of garbage the address is known only while libzmq has not hung up
        assert {row.came for row in rows} == {"127.0.0.1"}


def test_the_room_s_own_health_counts_them_too(fresh: Target) -> None:
    """Who watches the room sees it without the audit: key by key, once a second."""
    with Attacker(fresh.link("console"), "ctl_out", b"SUB") as reader:
        reader.send(b"\1or1/room/health")
        (packed,) = reader.receive()
    health = msgspec.msgpack.decode(unpack(packed).payload)
    assert health["refused"] >= 2
    assert health["denied_of"]["intruder2"] == TIMES
    assert health["faults"] == 0


def test_nothing_of_it_reached_the_catalogue(fresh: Target) -> None:
    with desk(fresh.link("console")) as asking:
        asking.send(b"1", b"catalogue", b"\xc0")
        body = asking.receive()[2]
    assert set(msgspec.msgpack.decode(body, type=Catalogue).devices) == {"room"}
