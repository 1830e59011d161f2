"""Who has no key gets nothing, costs little and harms nobody, whatever bytes they send."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle

import pytest

from scot.bus.crowd import MOST
from scot.bus.keys import PORTS, Endpoints, Link
from tests.attacks.conftest import Target
from tests.attacks.honest import Honest, Memory, joins
from tests.attacks.zmtp import (
    COMMAND,
    Attacker,
    RefusedError,
    dial,
    framed,
    greeting,
    heard,
    hung_up,
    ready,
)

pytestmark = pytest.mark.system

MB = 1 << 20
HALF_OPEN = 2_500
HANDSHAKE_S = 8.0  # the broker allows 5
HUGE = [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1]
STEPS = ("greeting", "hello", "inside", "initiate")
MUTANTS = 24
ELSEWHERE = "127.0.0.66"


@contextmanager
def many(endpoints: Endpoints, name: str, shots: list[bytes]) -> Iterator[list[socket.socket]]:
    """Connect once a shot and fire it; all stay open together."""
    with ExitStack() as stack:
        raws = []
        for shot in shots:
            raw = stack.enter_context(dial(endpoints, name))
            raw.settimeout(1.0)
            try:
                raw.sendall(shot)
            except OSError:
                pass  # it hung up before all was said
            raws.append(raw)
        yield raws


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one thing wrong."""
    at = rng.randrange(len(data))
    return rng.choice(
        [
            data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :],
            data[:at],
            data[:at] + rng.randbytes(rng.choice([1, 7, 300])) + data[at:],
            data + data,
            data[at:] + data[:at],
            rng.randbytes(len(data)),
        ]
    )


@pytest.mark.parametrize("name", PORTS)
def test_garbage_is_dropped_at_every_socket(
    endpoints: Endpoints, honest: Honest, memory: Memory, name: str
) -> None:
    rng = random.Random(name)
    shots = [rng.randbytes(64 << 10), bytes(64 << 10), b"\xff" * 4096, b"GET / HTTP/1.1\r\n" * 999]
    shots += [greeting() + rng.randbytes(rng.choice([1, 100, 60_000])) for _ in range(20)]
    shots += [mutated(greeting() + framed(bytes(194), COMMAND), rng) for _ in range(20)]
    shots += [greeting() + framed(rng.randbytes(200), flags) for flags in range(0, 256, 11)]
    with many(endpoints, name, shots):
        honest.unharmed()
    assert memory.grown_bytes < 24 * MB


@pytest.mark.parametrize("name", PORTS)
def test_a_mutated_handshake_of_a_true_key_harms_nobody(
    thief: Link, honest: Honest, memory: Memory, name: str
) -> None:
    rng = random.Random(name)
    broken = 0
    for number in range(MUTANTS):
        wrong = STEPS[number % len(STEPS)]

        def mangle(step: str, data: bytes, wrong: str = wrong) -> bytes:
            return mutated(data, rng) if step == wrong else data

        try:
            with Attacker(thief, name, mangle=mangle, patience_s=0.05):
                pass
        except RefusedError:
            broken += 1
    honest.unharmed()
    assert broken > MUTANTS // 2
    assert memory.grown_bytes < 24 * MB


def test_half_open_handshakes_lock_nobody_out_and_are_ended(
    target: Target, endpoints: Endpoints, honest: Honest, memory: Memory
) -> None:
    """More than a process may have open by default; the broker asked for more at its start."""
    kinds = cycle([b"", greeting()[:11], greeting(), greeting() + framed(b"\x05HELLO", COMMAND)])
    with ExitStack() as stack:
        raws = []
        for number in range(HALF_OPEN):
            raw = stack.enter_context(dial(endpoints, PORTS[number % len(PORTS)]))
            raw.sendall(next(kinds))
            raws.append(raw)
        joins(target.link("late"))
        honest.unharmed()
        assert memory.grown_bytes < 96 * MB
        for raw in raws[:: len(raws) // 12]:
            assert hung_up(raw, HANDSHAKE_S), "a handshake that never ends was not ended"


@pytest.mark.parametrize("name", PORTS)
def test_a_frame_that_declares_more_than_may_be_is_not_waited_for(
    endpoints: Endpoints, honest: Honest, memory: Memory, name: str
) -> None:
    flags = [0, COMMAND]
    shots = [greeting() + framed(b"x", flag, size) for size in HUGE for flag in flags]
    with many(endpoints, name, shots) as raws:
        for raw in raws:
            assert hung_up(raw, 2.0), "it waits for a frame that no peer may send"
    honest.unharmed()
    assert memory.grown_bytes < 16 * MB


def test_another_machine_that_opens_and_never_ends_is_shut_out_and_nobody_else_is(
    target: Target, endpoints: Endpoints, honest: Honest, memory: Memory
) -> None:
    """All of 127.0.0.0/8 is this host: the attacker has an address of its own there."""
    out, raws = False, []
    with target.audited("connect"), ExitStack() as stack:
        for number in range(10 * MOST):
            try:
                raw = dial(endpoints, PORTS[number % len(PORTS)], ELSEWHERE, 0.5)
            except TimeoutError:
                out = True
                break
            raws.append(stack.enter_context(raw))
            with suppress(OSError):  # it is ended already
                raw.sendall(greeting())
        assert out, "it still gets in"
        joins(target.link("late"))
        honest.unharmed()
        left = [raw for raw in raws if not hung_up(raw, 0.01)]
        assert len(left) <= MOST + len(PORTS)  # some that were made while it was shut out
    assert memory.grown_bytes < 24 * MB


@pytest.mark.parametrize("name", PORTS)
def test_a_stranger_s_key_is_refused(target: Target, honest: Honest, name: str) -> None:
    with pytest.raises(RefusedError):
        Attacker(target.stranger(), name)
    honest.unharmed()


def plain() -> bytes:
    """Return PLAIN's HELLO with a name and a word that might be true somewhere."""
    return framed(b"\x05HELLO\x07console\x07console", COMMAND)


DOWNGRADES = {
    "NULL": greeting(b"NULL") + ready(b"SUB") + framed(b"\x01or1/"),
    "NULL as a server": greeting(b"NULL", server=True) + ready(b"SUB") + framed(b"\x01"),
    "PLAIN": greeting(b"PLAIN") + plain(),
    "GSSAPI": greeting(b"GSSAPI") + framed(b"\x08INITIATE" + bytes(64), COMMAND),
    "no mechanism": greeting(b"") + ready(b"SUB") + framed(b"\x01"),
    "CURVE, then READY in clear": greeting() + ready(b"SUB") + framed(b"\x01or1/"),
    "CURVE, then a message in clear": greeting() + framed(b"\x01or1/"),
    "CURVE as a server": greeting(server=True) + ready(b"SUB") + framed(b"\x01"),
    "ZMTP 2.0": b"\xff" + bytes(8) + b"\x7f\x01\x02\x00\x00" + framed(b"\x01or1/"),
    "ZMTP 1.0": b"\x01\x00" + b"\x06\x00\x01or1/",
    "ZMTP 1.0 with an id": b"\x08\x00monitor" + b"\x06\x00\x01or1/",
}


@pytest.mark.parametrize("how", DOWNGRADES)
def test_a_downgrade_is_not_followed(
    endpoints: Endpoints, honest: Honest, memory: Memory, how: str
) -> None:
    """No socket goes on with less than CURVE: beyond its greeting it says nothing but ERROR."""
    with ExitStack() as stack:
        raws = [stack.enter_context(dial(endpoints, name)) for name in PORTS]
        for raw in raws:
            raw.sendall(DOWNGRADES[how])
        honest.unharmed()
        for raw in raws:
            said = heard(raw, 0.02)
            assert len(said) <= 64 or b"\x05ERROR" in said[64:76], said[64:]
            assert b"or1/" not in said
    assert memory.grown_bytes < 16 * MB


def test_a_name_that_a_stranger_only_claims_counts_for_nothing(
    target: Target, honest: Honest
) -> None:
    claims = {b"User-Id": b"console", b"user-id": b"console", b"Peer-Address": b"127.0.0.1"}
    for name in PORTS:
        with pytest.raises(RefusedError):
            Attacker(target.stranger(), name, b"SUB", b"console", claims)
