"""Nobody gets or gives on the bus what their key does not hold, and garbage hurts nobody."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import zmq

from scot.access import MAX_SUBSCRIPTIONS
from scot.bus.connection import Connection
from scot.bus.keys import PORTS, Link
from scot.bus.socket import DATA_BYTES, connect, context
from scot.channel import Device, Lifecycle, Numeric
from scot.clock import machine
from scot.errors import BusError, BusTimeoutError
from scot.history import HistoryRequest
from scot.sample import Flags, NumericValue, Sample
from tests.system.conftest import BusProcess, Collector, StartPeer, within

pytestmark = pytest.mark.system

HR = Numeric("hr", unit="/min")


@asynccontextmanager
async def joined(bus: BusProcess, name: str) -> AsyncIterator[Connection]:
    connection = await Connection.join(bus.link(name), 15.0)
    try:
        yield connection
    finally:
        await connection.close()


class Speaking:
    """Publishes numbers of one device."""

    def __init__(self, connection: Connection, device: str) -> None:
        self.connection = connection
        self.device = device
        self.epoch = connection.clock.now()
        self.seq = 0

    async def announce(self) -> None:
        await self.connection.announce(
            Device(
                name=self.device,
                provider="test",
                state=Lifecycle.RUNNING,
                epoch=self.epoch,
                channels={"hr": HR},
            )
        )

    def say(self, value: float, address: str = "") -> None:
        where = address or f"or1/{self.device}/hr"
        time = self.connection.clock.stamp()
        sample = Sample(where, self.epoch, self.seq, time, Flags(0), NumericValue(value))
        self.seq += 1
        self.connection.publish(sample, HR)


def values(sink: Collector, address: str) -> list[object]:
    return [d.sample().value for d in sink.deliveries if d.frame.address == address]


async def test_a_stranger_is_not_answered_and_told_where_to_look(bus: BusProcess) -> None:
    with pytest.raises(BusTimeoutError) as caught:
        await Connection.join(bus.stranger(), 1.0)
    line = str(caught.value)
    assert line.startswith("no answer to hello from tcp://127.0.0.1:")
    assert line.endswith("within 1 s; is the room up? `scot doctor` says what is missing")
    async with joined(bus, "console") as console:
        assert console.catalogue.workspace == "or1"
    assert "refused a stranger from 127.0.0.1" in bus.log.read_text()


@contextmanager
def listening(link: Link | None, bus: BusProcess) -> Iterator[list[zmq.Socket[bytes]]]:
    """SUB sockets to everything, by a key that nobody knows or by none."""
    with context() as zmq_context:
        socks = []
        for name in ("ctl_out", "bulk_out"):
            sock = zmq_context.socket(zmq.SUB)
            if link is not None:
                connect(sock, link, name, DATA_BYTES, 1_000)
            else:
                sock.setsockopt(zmq.LINGER, 0)
                sock.connect(bus.link("console").endpoints.url(name))
            sock.setsockopt(zmq.SUBSCRIBE, b"")
            socks.append(sock)
        try:
            yield socks
        finally:
            for sock in socks:
                sock.close()


@pytest.mark.parametrize("who", ["stranger", "nobody", "a key that may read less"])
async def test_who_asks_for_everything_without_the_right_gets_nothing(
    bus: BusProcess, who: str
) -> None:
    links = {"stranger": bus.stranger(), "nobody": None}
    link = links.get(who, bus.link("numerics"))
    sink = Collector()
    with listening(link, bus) as socks:
        async with joined(bus, "monitor") as monitor, joined(bus, "console") as console:
            console.subscribe(["or1/"], sink, from_start=True)
            speaking = Speaking(monitor, "monitor")
            await speaking.announce()
            for number in range(50):
                speaking.say(float(number))
                await asyncio.sleep(0.01)  # over half a second: time enough to shake hands
            await sink.until(lambda: len(values(sink, "or1/monitor/hr")) == 50)
        assert [sock.poll(0) for sock in socks] == [0, 0]


async def test_a_socket_without_a_key_cannot_even_ask(bus: BusProcess) -> None:
    with context() as zmq_context:
        sock = zmq_context.socket(zmq.DEALER)
        sock.setsockopt(zmq.LINGER, 0)
        sock.connect(bus.link("console").endpoints.url("query"))
        sock.send_multipart([b"1", b"catalogue", b"\xc0"])
        async with joined(bus, "console") as console:
            await console.request(b"ping", b"\xc0")
        assert sock.poll(300) == 0
        sock.close()


async def test_a_valid_key_cannot_speak_for_another_device(bus: BusProcess) -> None:
    sink = Collector()
    async with (
        joined(bus, "monitor") as monitor,
        joined(bus, "tracker") as tracker,
        joined(bus, "console") as console,
    ):
        console.subscribe(["or1/"], sink, from_start=True)
        true, forger = Speaking(monitor, "monitor"), Speaking(tracker, "tracker")
        await true.announce()
        await forger.announce()
        for address in ("or1/monitor/hr", "or1/room/clock", "or1/tracker2/hr", "or2/tracker/hr"):
            forger.say(666.0, address)
        forger.seq = 0
        forger.say(1.0)
        true.say(70.0)
        await sink.until(lambda: bool(values(sink, "or1/tracker/hr")))
        await sink.until(lambda: bool(values(sink, "or1/monitor/hr")))
        assert values(sink, "or1/monitor/hr") == [NumericValue(70.0)]
        assert values(sink, "or1/tracker/hr") == [NumericValue(1.0)]
        assert NumericValue(666.0) not in [d.sample().value for d in sink.deliveries]
    await within(
        2.0, lambda: "denied 'tracker' 4 times; the last was b'or2/" in bus.log.read_text()
    )


async def test_announcing_and_asking_beyond_a_grant_is_refused_in_words(bus: BusProcess) -> None:
    async with joined(bus, "tracker") as tracker, joined(bus, "numerics") as numerics:
        with pytest.raises(BusError, match="key 'tracker' may not announce device 'monitor'"):
            await Speaking(tracker, "monitor").announce()
        ask = HistoryRequest(addresses=["or1/tracker/hr"], between=(0, 2**62))
        with pytest.raises(BusError, match="key 'numerics' may not read 'or1/tracker/hr'"):
            await numerics.history(ask)
        with pytest.raises(BusError, match="nobody holds this History"):
            await numerics.history(HistoryRequest(addresses=["or1/monitor/hr"], between=(0, 1)))


async def test_a_key_reads_what_it_was_granted_and_only_that(bus: BusProcess) -> None:
    sink = Collector()
    async with (
        joined(bus, "monitor") as monitor,
        joined(bus, "tracker") as tracker,
        joined(bus, "numerics") as numerics,
    ):
        numerics.subscribe(["or1/monitor/", "or1/tracker/", "or1/"], sink, from_start=True)
        true, other = Speaking(monitor, "monitor"), Speaking(tracker, "tracker")
        await true.announce()
        await other.announce()
        for number in range(30):
            other.say(float(number))
            true.say(float(number))
        await sink.until(lambda: len(values(sink, "or1/monitor/hr")) == 30)
        assert {d.channel.name for d in sink.deliveries} <= {"hr", "health"}
        assert values(sink, "or1/tracker/hr") == []


async def test_a_silent_host_is_shown_as_gone_and_back_again(bus: BusProcess) -> None:
    async with joined(bus, "console") as console:
        console.subscribe(["or1/"], Collector())
        states: list[Lifecycle] = []
        changed = asyncio.Event()

        def note(_: object) -> None:
            if (device := console.catalogue.devices.get("monitor")) is not None:
                states.append(device.state)
                changed.set()

        console.on_catalogue.append(note)

        async def until(state: Lifecycle, within_s: float) -> float:
            started_s = machine.monotonic_s()
            async with asyncio.timeout(within_s):
                while states[-1:] != [state]:
                    changed.clear()
                    await changed.wait()
            return machine.monotonic_s() - started_s

        async with joined(bus, "monitor") as monitor:
            await Speaking(monitor, "monitor").announce()
            await until(Lifecycle.RUNNING, 2.0)
        assert await until(Lifecycle.DISCONNECTED, 4.0) < 3.0
        assert "'monitor' has been silent" in console.catalogue.devices["monitor"].reason
        async with joined(bus, "monitor"):
            await until(Lifecycle.RUNNING, 2.0)


def hostile() -> list[bytes]:
    """64 kB that no peer of ours would send: noise, and noise behind a true ZMTP greeting."""
    noise = random.Random(7).randbytes(64 << 10)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE".ljust(24, b"\0") + bytes(32)
    null = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL".ljust(24, b"\0") + bytes(32)
    huge = b"\x02" + (2**63 - 1).to_bytes(8, "big")
    return [
        noise,
        bytes(64 << 10),
        greeting + noise,
        null + huge + noise,
        b"GET / HTTP/1.1\r\n" * 4096,
    ]


async def test_garbage_at_every_port_hurts_nobody(bus: BusProcess) -> None:
    endpoints = bus.link("console").endpoints
    sink = Collector()
    async with joined(bus, "monitor") as monitor, joined(bus, "console") as console:
        console.subscribe(["or1/"], sink, from_start=True)
        speaking = Speaking(monitor, "monitor")
        await speaking.announce()
        pid = bus.pid
        for name in PORTS:
            for data in hostile():
                with socket.create_connection((endpoints.host, endpoints.ports[name]), 5) as raw:
                    try:
                        raw.sendall(data)
                    except OSError:
                        pass  # it may hang up on us before we are done
                speaking.say(1.0)
            async with joined(bus, "recorder") as late:
                assert late.catalogue.devices["monitor"].state is Lifecycle.RUNNING
        count = len(PORTS) * len(hostile())
        await sink.until(lambda: len(values(sink, "or1/monitor/hr")) == count and not console.lost)
        assert bus.pid == pid


async def test_a_key_that_reconnects_is_not_locked_out_by_what_it_held_before(
    bus: BusProcess, start_peer: StartPeer
) -> None:
    """Five times in a row all the subscriptions a key may hold; the last of them is served."""
    other = await start_peer(bus, "subscribe", "recorder", "or1/")  # its probes are published
    await other.hear()
    for _ in range(5):
        with context() as zmq_context, zmq_context.socket(zmq.SUB) as sock:
            connect(sock, bus.link("console"), "ctl_out", DATA_BYTES, 2_000)
            for number in range(MAX_SUBSCRIPTIONS - 1):
                sock.setsockopt(zmq.SUBSCRIBE, f"or1/monitor/n{number}".encode())
            sock.setsockopt(zmq.SUBSCRIBE, b"or1/room/clock")
            assert sock.poll(5_000), "no longer served"


async def test_more_subscriptions_than_a_key_may_hold_are_not_served(
    bus: BusProcess, start_peer: StartPeer
) -> None:
    other = await start_peer(bus, "subscribe", "recorder", "or1/")
    await other.hear()
    with context() as zmq_context, zmq_context.socket(zmq.SUB) as sock:
        connect(sock, bus.link("console"), "ctl_out", DATA_BYTES, 2_000)
        for number in range(MAX_SUBSCRIPTIONS):
            sock.setsockopt(zmq.SUBSCRIBE, f"or1/monitor/n{number}".encode())
        sock.setsockopt(zmq.SUBSCRIBE, b"or1/room/clock")
        assert not sock.poll(1_000)  # four probes a second are published
