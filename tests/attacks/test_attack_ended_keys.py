"""A key that was good once, in an attacker's own ZMTP: revoked or expired it opens nothing.

Honest clients stop when they are refused; these go on, and say what they like.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scot.access import Grant
from scot.bus.authority import Authority
from scot.bus.issuer import Issuer
from scot.bus.keys import PORTS, Link
from scot.clock import machine
from scot.clock.sealed import SIZE, TAG, ProbeKey, seal
from tests.attacks.conftest import Target
from tests.attacks.honest import ADDRESS, Honest, Memory
from tests.attacks.test_attack_device_key import announcement, ask, desk, header, pack
from tests.attacks.zmtp import Attacker, RefusedError, hung_up

pytestmark = pytest.mark.system

MB = 1 << 20
LIVE_S = 1.5
NAMES = iter(f"visitor{number}" for number in range(20))


@pytest.fixture
def issuer(target: Target) -> Issuer:
    return Issuer(Authority(target.state), "or1", "tester")


def issued(issuer: Issuer, folder: Path, until_ns: int | None = None) -> Link:
    """Return the link of a new device's key on the roster."""
    name = next(NAMES)
    issuer.add(Grant(name=name, publish=[f"or1/{name}/"], subscribe=["or1/room/"], devices=[name]))
    return issuer.issue(name, folder / f"{name}.scotkey", until_ns).link


def refused_everywhere(link: Link) -> None:
    for name in PORTS:
        for identity in (b"", b"\1" + os.urandom(16)):
            with pytest.raises(RefusedError):
                Attacker(link, name, identity=identity)


def test_a_revoked_key_is_cut_off_in_the_middle_and_never_enters_again(
    target: Target, honest: Honest, issuer: Issuer, tmp_path: Path
) -> None:
    link = issued(issuer, tmp_path)
    mine = f"or1/{link.name}/hr"
    with (
        Attacker(link, "ctl_in") as lane,
        Attacker(link, "ctl_out", b"SUB") as reading,
        desk(link) as asking,
    ):
        assert ask(asking, b"announce", announcement(link, hr="numeric"))[0] == b"ok"
        reading.send(b"\1or1/room/")
        lane.say(mine.encode() + b"\0", header(0), pack([1.0, "Vld"]))
        honest.seen(mine)
        reading.receive()
        with target.audited("enter", link.name):
            issuer.revoke(link.name, reason="lost")
            for attacker in (lane, reading, asking):
                assert hung_up(attacker.raw), "it is still inside"
            refused_everywhere(link)
    seen = honest.others[mine]
    honest.unharmed()
    assert honest.others[mine] == seen


def test_an_expired_key_is_cut_off_at_its_time_and_never_enters_again(
    target: Target, honest: Honest, issuer: Issuer, tmp_path: Path
) -> None:
    link = issued(issuer, tmp_path, machine.utc_ns() + round(LIVE_S * 1e9))
    with Attacker(link, "ctl_in") as lane:
        lane.send(b"")
        lane.receive()
        assert hung_up(lane.raw), "it outlived its time"
    with target.audited("enter", link.name):
        refused_everywhere(link)
    honest.unharmed()


@pytest.fixture
def port(target: Target) -> Iterator[socket.socket]:
    endpoints = target.link("console").endpoints
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.3)
        sock.connect((endpoints.host, endpoints.probe_udp))
        yield sock


def test_garbage_at_the_port_of_clock_probes_gets_no_answer_and_harms_nobody(
    thief: Link, honest: Honest, memory: Memory, port: socket.socket
) -> None:
    """Of every size, of strangers, forged under a key that was given out, and said twice."""
    with desk(thief) as asking:
        status, given = ask(asking, b"probe_key", pack(b"attacker"))
    assert status == b"ok"
    assert isinstance(given, dict)
    key = ProbeKey(id=given["id"], key=given["key"])
    true = seal(key, b"scot ask", 1, pack([machine.monotonic_ns(), None]))
    port.send(true)
    assert len(port.recv(4_096)) == SIZE, "the key that was given out is not taken"
    shots = [os.urandom(size) for size in (0, 1, 16, SIZE - 1, SIZE, SIZE + 1, 1_400, 65_000)]
    shots += [true, true[:-TAG] + bytes(TAG), key.id + os.urandom(SIZE - len(key.id))]
    shots += [seal(key, b"scot ans", 2, b""), seal(key, b"scot ask", 0, b"")]
    for count, said in enumerate((b"", b"\xc1", b"\x91" * 100, pack([2**63, None]), pack([])), 2):
        shots.append(seal(key, b"scot ask", count, said))
    for _ in range(100):
        for shot in shots:
            try:
                port.send(shot)
            except OSError:
                continue  # the machine's own queue is full
    with pytest.raises(TimeoutError):
        port.recv(4_096)
    honest.unharmed()
    assert ADDRESS not in honest.others
    assert memory.grown_bytes < 16 * MB
