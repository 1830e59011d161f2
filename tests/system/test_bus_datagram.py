"""Clock probes over real UDP: for key holders only, exact, bounded, and never needed."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scot.access import Grant
from scot.bus.authority import Authority
from scot.bus.connection import Connection
from scot.bus.datagram import BUDGET, ProbePort, Stamped
from scot.bus.issuer import Issuer
from scot.bus.keys import Endpoints, Link
from scot.clock import machine
from scot.clock.arrival import Arrivals
from scot.clock.clock import Clock
from scot.clock.probe import UDP, ZMQ, Reply, Request
from scot.clock.sealed import SIZE, Asking, ProbeKey
from scot.clock.service import ClockService
from scot.errors import BusError
from scot.room import free_ports
from tests.system.conftest import GRANTS, BusProcess, Collector, within

pytestmark = pytest.mark.system

MS, S = 1_000_000, 1_000_000_000


@asynccontextmanager
async def joined(link: Link) -> AsyncIterator[Connection]:
    connection = await Connection.join(link, 15.0)
    try:
        yield connection
    finally:
        await connection.close()


def moved(link: Link, port: int) -> Link:
    """The same room with another UDP port in its `endpoints.json`."""
    return msgspec.structs.replace(
        link, endpoints=msgspec.structs.replace(link.endpoints, probe_udp=port)
    )


def goes_by(connection: Connection, way: str) -> Callable[[], bool]:
    return lambda: connection.probe_way == way


def rows_of(sink: Collector) -> list[dict[str, Any]]:
    """The lines of ``room/clock`` that came."""
    mine = [d for d in sink.deliveries if d.frame.address == "or1/room/clock"]
    return [value for d in mine if isinstance(value := d.sample().value, dict)]


@contextmanager
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5.0)
        yield sock


async def test_probes_go_by_udp_and_each_line_says_by_which_way_it_came(bus: BusProcess) -> None:
    sink = Collector()
    async with joined(bus.link("console")) as console, joined(bus.link("monitor")) as monitor:
        console.subscribe(["or1/room/"], sink, from_start=True)
        await within(10.0, goes_by(monitor, UDP))
        await within(10.0, goes_by(console, UDP))
        await sink.until(
            lambda: (
                {(r["source"][:7], r["way"]) for r in rows_of(sink)}
                >= set(itertools.product(("monitor", "console"), (UDP, ZMQ)))
            )
        )
        sources = {row["source"] for row in rows_of(sink)}
        assert len(sources) == 2  # by both ways one clock each
        stamp = monitor.clock.stamp()
        assert stamp.bound_ns is not None
        assert abs(stamp.bus_ns - console.clock.now()) < stamp.bound_ns + 50 * MS


async def test_where_udp_does_not_pass_a_client_joins_and_knows_the_time(bus: BusProcess) -> None:
    """Its datagrams go into a hole, as a firewall makes it, or to a port where nobody listens."""
    with udp() as hole:
        hole.bind(("127.0.0.1", 0))
        for port in (hole.getsockname()[1], free_ports(1)[0], 0):
            async with joined(moved(bus.link("console"), port)) as console:
                await within(10.0, lambda: console.clock.stamp().state.label == "locked")
                assert console.probe_way == ZMQ
        assert len(hole.recv(4096)) == SIZE  # it was tried


async def test_a_new_broker_gives_a_new_key_and_probes_go_by_udp_again(bus: BusProcess) -> None:
    async with joined(bus.link("console")) as console:
        await within(10.0, goes_by(console, UDP))
        first = console.clock.map
        bus.kill()
        await within(10.0, goes_by(console, ZMQ))
        bus.start()
        await within(15.0, goes_by(console, UDP))
        assert first is not None
        assert console.clock.map is not None


async def key_of(connection: Connection, instance: bytes = b"by hand") -> ProbeKey:
    body, *_ = await connection.request(b"probe_key", msgspec.msgpack.encode(instance))
    return msgspec.msgpack.decode(body, type=ProbeKey)


async def test_a_client_written_from_the_page_wire_format_is_answered(bus: BusProcess) -> None:
    """No code of ours makes or reads its datagrams."""
    async with joined(bus.link("monitor")) as monitor:
        body, *_ = await monitor.request(b"probe_key", msgspec.msgpack.encode(b"stranger's"))
        given = msgspec.msgpack.decode(body)
        assert set(given) == {"id", "key"}

        def tag(person: bytes, rest: bytes) -> bytes:
            return hashlib.blake2s(rest, digest_size=16, key=given["key"], person=person).digest()

        previous = None
        with udp() as sock:
            sock.connect(("127.0.0.1", monitor.link.endpoints.probe_udp))
            for count in range(1, 4):
                t1_ns = machine.monotonic_ns()
                message = msgspec.msgpack.encode([t1_ns, previous])
                rest = given["id"] + count.to_bytes(8, "big")
                rest += bytes([len(message)]) + message + bytes(119 - len(message))
                sock.send(rest + tag(b"scot ask", rest))
                answer = sock.recv(4096)
                t4_ns = machine.monotonic_ns()
                assert len(answer) == 160
                assert answer[-16:] == tag(b"scot ans", answer[:-16])
                assert answer[:24] == rest[:24]
                t1, t2, t3, line = msgspec.msgpack.decode(answer[25 : 25 + answer[24]])
                assert t1 == t1_ns
                assert t1_ns <= t2 <= t3 <= t4_ns  # one machine, one monotonic clock
                assert (line is not None) == (previous is not None)
                previous = [t1, t2, t3, t4_ns]


async def test_who_has_no_key_is_never_answered_and_holds_up_nobody(bus: BusProcess) -> None:
    """Strangers, garbage of every size, wrong tags, replays, and 20,000 datagrams of a flood."""
    noise = random.Random(7)
    async with joined(bus.link("monitor")) as monitor:
        key = await key_of(monitor)
        asking = Asking(key)
        with udp() as honest, udp() as attacker:
            for sock in (honest, attacker):
                sock.connect(("127.0.0.1", monitor.link.endpoints.probe_udp))
            sound = asking.ask(Request(1, None))
            honest.send(sound)
            assert asking.answered(honest.recv(4096)) is not None
            turned = bytearray(asking.ask(Request(2, None)))
            turned[-1] ^= 1
            foreign = Asking(ProbeKey(id=os.urandom(16), key=key.key)).ask(Request(3, None))
            bad = [sound, bytes(turned), foreign, b"", b"\0" * SIZE, key.id, key.id * 10]
            bad += [noise.randbytes(noise.randrange(1_400)) for _ in range(200)]
            for data in bad:
                attacker.send(data)
            for _ in range(20_000):
                attacker.send(foreign)
            for _ in range(20):  # the machine's own queue is full of the flood for a moment
                honest.send(asking.ask(Request(4, None)))
                honest.settimeout(0.5)
                try:
                    answer = honest.recv(4096)
                    break
                except TimeoutError:
                    continue
            assert asking.answered(answer) is not None
            attacker.setblocking(False)
            with pytest.raises(BlockingIOError):
                attacker.recv(4096)
        await monitor.request(b"ping", b"\xc0", 2.0)
    bus.stop()
    assert "refused clock probes over UDP: " in bus.log.read_text()


async def test_a_key_that_is_revoked_takes_its_probe_key_with_it(
    bus: BusProcess, tmp_path: Path
) -> None:
    """Those of everybody else are void too, and they have new ones before their clocks notice."""
    issuer = Issuer(Authority(bus.state), "or1", "tester")
    issuer.add(Grant(name="laptop", subscribe=["or1/"]))
    link = issuer.issue("laptop", tmp_path / "laptop.scotkey", None).link
    async with joined(bus.link("console")) as console:
        async with joined(link) as laptop:
            asking = Asking(await key_of(laptop))
        with udp() as sock:
            sock.connect(("127.0.0.1", link.endpoints.probe_udp))
            sock.send(asking.ask(Request(1, None)))
            assert asking.answered(sock.recv(4096)) is not None
            await within(10.0, goes_by(console, UDP))
            issuer.revoke("laptop")
            sock.setblocking(False)

            def silent() -> bool:
                sock.send(asking.ask(Request(1, None)))
                machine.sleep(0.05)
                try:
                    return not sock.recv(4096)
                except BlockingIOError:
                    return True

            await within(10.0, silent)
            await within(10.0, goes_by(console, ZMQ))
            await within(10.0, goes_by(console, UDP))
            assert silent()


def serving() -> tuple[ProbePort, Endpoints, list[dict[str, Any]]]:
    """The broker's end in this process, on a real socket."""
    rows: list[dict[str, Any]] = []
    clock = Clock.session()
    (port,) = free_ports(1)
    endpoints = Endpoints(workspace="or1", host="127.0.0.1", ports={}, server="", probe_udp=port)
    return ProbePort(endpoints, ClockService(clock, rows.append), clock), endpoints, rows


@contextmanager
def asked(endpoints: Endpoints) -> Iterator[socket.socket]:
    with udp() as sock:
        sock.connect((endpoints.host, endpoints.probe_udp))
        yield sock


def test_one_turn_takes_no_more_of_a_flood_than_its_budget() -> None:
    port, endpoints, _ = serving()
    with asked(endpoints) as sock:
        for _ in range(100):
            sock.send(b"flood")
        turns = 0
        while port.keys.refused["size"] < 100:
            before = port.keys.refused["size"]
            port.on_readable()
            assert 0 < port.keys.refused["size"] - before <= BUDGET
            turns += 1
        assert turns >= 100 / BUDGET
        port.on_readable()  # nothing left: it does not wait
    port.close()


def test_a_turn_estimates_for_one_source_so_that_signals_wait_for_no_more() -> None:
    port, endpoints, _ = serving()
    asking = [Asking(port.keys.issue("monitor", name, 0)) for name in (b"one", b"two", b"three")]
    with asked(endpoints) as sock:
        for one in asking:
            sock.send(one.ask(Request(machine.monotonic_ns(), None)))
        sock.setblocking(False)
        for one in asking:
            port.on_readable()
            assert one.answered(sock.recv(4096)) is not None
            with pytest.raises(BlockingIOError):
                sock.recv(4096)
    port.close()


def test_an_answer_is_as_long_as_its_question_and_goes_only_where_that_came_from() -> None:
    port, endpoints, _ = serving()
    asking = Asking(port.keys.issue("monitor", b"one", 0))
    with asked(endpoints) as sock, asked(endpoints) as other:
        question = asking.ask(Request(machine.monotonic_ns(), None))
        sock.send(question)
        port.on_readable()
        assert len(sock.recv(4096)) == len(question)
        other.send(question)  # overheard, and sent again from elsewhere
        port.on_readable()
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(4096)
    port.close()


def exchange(
    port: ProbePort, sock: socket.socket, asking: Asking, previous: Any, wait_s: float = 0.0
) -> tuple[Reply, int]:
    """One exchange whose question waits `wait_s` at the broker's socket; reply and t4."""
    sock.send(asking.ask(Request(machine.monotonic_ns(), previous)))
    machine.sleep(wait_s)
    port.on_readable()
    data = sock.recv(4096)
    t4_ns = machine.monotonic_ns()
    reply = asking.answered(data)
    assert reply is not None
    return reply, t4_ns


def test_a_question_is_stamped_when_it_came_and_not_when_the_broker_had_time() -> None:
    port, endpoints, _ = serving()
    asking = Asking(port.keys.issue("monitor", b"one", 0))
    with asked(endpoints) as sock:
        waits_ns = [0]
        while len(waits_ns) < 30 and waits_ns[-1] < 45 * MS:
            reply, _ = exchange(port, sock, asking, None, wait_s=0.05)
            assert reply.t1_ns <= reply.t2_ns
            waits_ns.append(reply.t3_ns - reply.t2_ns)
        assert waits_ns[-1] >= 45 * MS  # it knows for how long it let the question wait
    port.close()


@pytest.mark.parametrize("by_ns", [-3_600 * S, -20 * MS, 20 * MS, 3_600 * S])
def test_a_wall_clock_that_is_set_while_a_question_waits_breaks_no_limit(by_ns: int) -> None:
    set_by = [0]
    port, endpoints, _ = serving()
    assert port._end is not None
    port._end.arrivals = Arrivals(wall=lambda: machine.utc_ns() + set_by[0])
    asking = Asking(port.keys.issue("monitor", b"one", 0))
    with asked(endpoints) as sock:
        for wait_s in (0.0, 0.03):
            set_by[0] = by_ns if wait_s else 0
            reply, t4_ns = exchange(port, sock, asking, None, wait_s)
            assert reply.t1_ns <= reply.t2_ns <= reply.t3_ns <= t4_ns
    refused = port._end.arrivals.refused
    assert refused["set"] == 1
    port.close()


def test_a_client_that_lies_harms_its_own_clock_only() -> None:
    port, endpoints, rows = serving()
    honest = Asking(port.keys.issue("monitor", b"one", 0))
    liar = Asking(port.keys.issue("pump", b"one", 0))
    with asked(endpoints) as sock, asked(endpoints) as other:
        previous = lie = None
        for number in range(1, 12):
            reply, t4_ns = exchange(port, sock, honest, previous)
            previous = [reply.t1_ns, reply.t2_ns, reply.t3_ns, t4_ns]
            said, t4_ns = exchange(port, other, liar, lie)
            never = number % 2  # answers it was never given, and in turn a false t4
            lie = [said.t1_ns, said.t2_ns + never, said.t3_ns + never, t4_ns + number % 10 * S // 2]
    port.close()
    mine = [row for row in rows if row["source"].startswith("monitor")]
    false = [row for row in rows if row["source"].startswith("pump")]
    assert (len(mine), len(false)) == (10, 5)
    session = port._clock.map
    assert session is not None
    for row in mine:
        assert row["bound_ns"] < S
        assert abs(row["bus_ns"] - session.at(row["local_ns"])) <= row["bound_ns"]


async def test_a_room_whose_udp_port_is_taken_starts_and_says_so(
    make_bus: Callable[[list[Grant]], BusProcess],
) -> None:
    bus = make_bus(GRANTS)
    with udp() as taken:
        taken.bind(("127.0.0.1", bus.link("console").endpoints.probe_udp))
        bus.start()
        async with joined(bus.link("console")) as console:
            assert console.probe_way == ZMQ
            with pytest.raises(BusError, match="takes no clock probes over UDP"):
                await key_of(console)
    assert "no clock probes over UDP: cannot listen on udp://127.0.0.1:" in bus.log.read_text()


def test_a_socket_here_gets_stamps_from_the_kernel() -> None:
    """Linux gives them to anybody; were they gone, everything above would still pass."""
    end = Stamped("127.0.0.1", 0, serve=True)
    with udp() as sock:
        sock.connect(end.sock.getsockname())
        ages_ns = [0]
        while len(ages_ns) < 200 and ages_ns[-1] < 9 * MS:  # it begins to, some time after
            sock.send(b"one")
            machine.sleep(0.01)
            got = end.receive()
            assert got is not None
            ages_ns.append(got[2])
    assert ages_ns[-1] >= 9 * MS
    end.close()
