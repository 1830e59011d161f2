"""The gate answers libzmq's every question, admits the roster alone, and nothing stops it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import zmq
from zmq.utils import z85

from scot.access import Access, Grant, Roster
from scot.bus import binding
from scot.bus.broker import Broker
from scot.bus.keys import PORTS, Endpoints, KeyPair
from scot.bus.socket import DOMAIN, assert_secure, context, serve
from scot.bus.zap import Gate
from scot.channel import Catalogue
from scot.clock.clock import Clock
from scot.errors import BusError
from scot.room import free_ports

PAIR = KeyPair.new()
ROSTER = Roster.of({PAIR.public: Grant(name="monitor")})


class Asked:
    """A gate, and libzmq's end of its socket."""

    def __init__(self) -> None:
        self.context = context()
        self.gate = Gate(self.context, Access(ROSTER))
        self.libzmq = self.context.socket(zmq.DEALER)
        self.libzmq.setsockopt(zmq.LINGER, 0)
        self.libzmq.connect("inproc://zeromq.zap.01")

    def ask(self, *question: bytes) -> list[bytes]:
        """Put one question and return the answer's status and User-Id."""
        self.libzmq.send_multipart([b"", *question])
        self.gate.sock.poll(1_000)
        self.gate.answer()
        assert self.libzmq.poll(1_000), "no answer: libzmq would hang every later client"
        empty, version, _, *verdict = self.libzmq.recv_multipart()
        assert (empty, version) == (b"", b"1.0")
        return verdict

    def close(self) -> None:
        self.libzmq.close()
        self.gate.sock.close()
        self.context.term()


@pytest.fixture
def asked() -> Iterator[Asked]:
    asked = Asked()
    yield asked
    asked.close()


def question(
    *credentials: bytes,
    mechanism: bytes = b"CURVE",
    domain: bytes = DOMAIN,
    version: bytes = b"1.0",
) -> list[bytes]:
    return [version, b"1", domain, b"127.0.0.1", b"", mechanism, *credentials]


def key(pair: KeyPair) -> bytes:
    return bytes(z85.decode(pair.public.encode()))


def test_a_key_on_the_roster_enters_as_the_key_it_is(asked: Asked) -> None:
    """Not by a name: two keys of one name stay two."""
    assert asked.ask(*question(key(PAIR)))[0] == b"200"
    assert asked.ask(*question(key(PAIR)))[2] == PAIR.public.encode()
    assert (asked.gate.admitted, asked.gate.refused) == (2, 0)


REFUSED = {
    "a stranger's key": question(key(KeyPair.new())),
    "no key": question(),
    "an empty key": question(b""),
    "a key cut short": question(key(PAIR)[:31]),
    "a key with more behind it": question(key(PAIR) + b"\0"),
    "the key as text": question(PAIR.public.encode()),
    "a name and a password": question(b"monitor", b"secret", mechanism=b"PLAIN"),
    "no mechanism": question(mechanism=b"NULL"),
    "the right key by the wrong mechanism": question(key(PAIR), mechanism=b"GSSAPI"),
    "another domain": question(key(PAIR), domain=b"global"),
    "no domain": question(key(PAIR), domain=b""),
    "another version": question(key(PAIR), version=b"2.0"),
}


@pytest.mark.parametrize("who", REFUSED)
def test_everybody_else_is_refused_and_gets_no_name(asked: Asked, who: str) -> None:
    status, _, user_id, _ = asked.ask(*REFUSED[who])
    assert status in (b"400", b"500")
    assert user_id == b""
    assert asked.gate.admitted == 0
    assert asked.ask(*question(key(PAIR)))[0] == b"200"


NONSENSE = [[], [b""], [b"1.0"], [b"1.0", b"1"], [b"1.0", b"1", DOMAIN], [b"x"] * 6, [b""] * 40]


@pytest.mark.parametrize("parts", NONSENSE)
def test_a_question_that_is_none_is_refused_and_the_gate_goes_on(
    asked: Asked, parts: list[bytes]
) -> None:
    assert asked.ask(*parts)[0] in (b"400", b"500")
    assert asked.ask(*question(key(PAIR)))[0] == b"200"


def test_many_questions_at_once_are_all_answered(asked: Asked) -> None:
    for _ in range(500):
        asked.libzmq.send_multipart([b"", *question(key(PAIR))])
    answers = 0
    while answers < 500:
        assert asked.gate.sock.poll(1_000) or asked.libzmq.poll(1_000)
        asked.gate.answer()
        while asked.libzmq.poll(0):
            asked.libzmq.recv_multipart()
            answers += 1
    assert asked.gate.admitted == 500


# -- the profile of every socket


def test_a_served_socket_is_protected_and_bounded() -> None:
    with context() as zmq_context, zmq_context.socket(zmq.ROUTER) as sock:
        serve(sock, PAIR, 1_000, 64)
        sock.bind("tcp://127.0.0.1:0")
        assert_secure(sock, "query")
        assert sock.getsockopt(zmq.MAXMSGSIZE) == 1_000
        assert sock.getsockopt(zmq.RCVHWM) == sock.getsockopt(zmq.SNDHWM) == 64
        assert sock.getsockopt(zmq.HANDSHAKE_IVL) == 5_000
        assert sock.getsockopt(zmq.ZAP_DOMAIN) == DOMAIN


Wrong = Callable[[zmq.Socket[bytes]], object]
WRONG: dict[str, tuple[Wrong, str]] = {
    "no mechanism": (lambda s: setattr(s, "curve_server", False), "not protected by CURVE"),
    "a client's side of CURVE": (
        lambda s: setattr(s, "curve_serverkey", PAIR.public.encode()),
        "not protected by CURVE",
    ),
    "a name and a password": (lambda s: setattr(s, "plain_server", True), "not protected by CURVE"),
    "another domain": (lambda s: s.setsockopt(zmq.ZAP_DOMAIN, b"x"), "not protected by our gate"),
    "a domain that is not enforced": (
        lambda s: s.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 0),
        "not protected by our gate",
    ),
    "messages of any size": (lambda s: s.setsockopt(zmq.MAXMSGSIZE, -1), "MAXMSGSIZE is -1"),
    "messages too big": (lambda s: s.setsockopt(zmq.MAXMSGSIZE, 1 << 30), "MAXMSGSIZE is 1073"),
    "an endless queue out": (lambda s: s.setsockopt(zmq.SNDHWM, 0), "SNDHWM is 0, must be 1 to"),
    "an endless queue in": (lambda s: s.setsockopt(zmq.RCVHWM, 0), "RCVHWM is 0"),
    "an endless handshake": (lambda s: s.setsockopt(zmq.HANDSHAKE_IVL, 0), "HANDSHAKE_IVL is 0"),
    "no keep-alive": (lambda s: s.setsockopt(zmq.TCP_KEEPALIVE, 0), "TCP_KEEPALIVE is 0"),
    "a peer silent for ever": (lambda s: s.setsockopt(zmq.TCP_MAXRT, 0), "TCP_MAXRT is 0"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_socket_whose_profile_is_wrong_stops_the_start(what: str) -> None:
    spoil, says = WRONG[what]
    with context() as zmq_context, zmq_context.socket(zmq.ROUTER) as sock:
        serve(sock, PAIR, 1_000, 64)
        spoil(sock)
        with pytest.raises(BusError, match=rf"^socket query.*{says}.*; refusing to start$"):
            assert_secure(sock, "query")


def test_curve_without_a_domain_stops_the_start_too() -> None:
    with context() as zmq_context, zmq_context.socket(zmq.ROUTER) as sock:
        sock.curve_server = True
        sock.curve_secretkey = PAIR.secret.encode()
        with pytest.raises(BusError, match="not protected by our gate"):
            assert_secure(sock, "query")


def test_the_broker_refuses_to_start_with_a_wrong_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(binding.HWM, "bulk_out", 0)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    endpoints = Endpoints(workspace="or1", host="127.0.0.1", ports=ports, server=PAIR.public)
    with pytest.raises(BusError, match="socket bulk_out: SNDHWM is 0"):
        Broker(endpoints, PAIR, Access(ROSTER), Clock.session(), Catalogue(workspace="or1"))


def test_an_old_libzmq_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: (4, 3, 4))
    with pytest.raises(BusError, match=r"4\.3\.5 with CURVE is needed"):
        context()


ABANDON = """
import gc
from scot.bus.socket import context

class Holder: pass

holder = Holder()
holder.context = context()
holder.sock = holder.context.socket(5)
holder.itself = holder
del holder
gc.collect()
print("went on")
"""


def test_an_abandoned_connection_does_not_stop_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABANDON], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "went on\n"
