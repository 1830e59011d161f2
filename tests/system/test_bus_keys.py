"""Keys that outlive a start come back; they end when they are revoked; nobody else suffers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import zmq

from scot.access import Grant, Quota, Rate, Roster, fingerprint
from scot.audit import Row, read
from scot.bus.authority import Authority
from scot.bus.connection import Connection
from scot.bus.issuer import Issuer
from scot.bus.joining import join_file
from scot.bus.keys import PORTS, KeyFile, Link, issue
from scot.bus.socket import DATA_BYTES, connect, context
from scot.bus.subscriber import Delivery
from scot.bus.trail import TRAIL
from scot.channel import Device, Lifecycle, Numeric
from scot.clock import machine
from scot.errors import BusError, BusTimeoutError
from scot.sample import Flags, NumericValue, Sample
from tests.system.conftest import GRANTS, BusProcess, Collector, child, within

pytestmark = pytest.mark.system

HR = Numeric("hr", unit="/min")
DAY_NS = 86_400 * 10**9
SOCKETS = {
    "ctl_in": (zmq.DEALER, [b"or1/pump/rate\0\6headerpayload"]),
    "bulk_in": (zmq.DEALER, [b"or1/pump/view\0\6headerpayload"]),
    "ctl_out": (zmq.SUB, [b"or1/pump/"]),
    "bulk_out": (zmq.SUB, [b"or1/pump/"]),
    "query": (zmq.DEALER, [b"1", b"ping", b"\xc0"]),
    "probe": (zmq.DEALER, [b"no probe"]),
}


class Site:
    """A broker and a person who hands out its keys."""

    def __init__(self, bus: BusProcess, folder: Path) -> None:
        self.bus = bus
        self.issuer = Issuer(Authority(bus.state), "or1", "tester")
        self._folder = folder

    def admit(
        self,
        name: str,
        until_ns: int | None = None,
        *,
        publish: list[str] | None = None,
        subscribe: list[str] | None = None,
        devices: list[str] | None = None,
    ) -> KeyFile:
        grant = Grant(
            name=name, publish=publish or [], subscribe=subscribe or [], devices=devices or []
        )
        self.issuer.add(grant)
        return self.issuer.issue(name, self._folder / f"{name}.scotkey", until_ns)

    def rows(self, what: str) -> list[Row]:
        path = self.bus.state / TRAIL
        return [row for row in read(path) if row.what == what] if path.exists() else []

    async def told(self, what: str, entity: str = "") -> Row:
        """Wait for a row of the audit by the broker."""
        found: list[Row] = []

        def look() -> bool:
            found[:] = [r for r in self.rows(what) if entity in (r.who or {}).get("id", "")]
            return bool(found)

        await within(10.0, look)
        return found[-1]


@pytest.fixture
def site(bus: BusProcess, tmp_path: Path) -> Site:
    return Site(bus, tmp_path)


@asynccontextmanager
async def joined(link: Link) -> AsyncIterator[Connection]:
    connection = await Connection.join(link, 15.0)
    try:
        yield connection
    finally:
        await connection.close()


class Speaking:
    """Publishes numbers of one device, in order."""

    def __init__(self, connection: Connection, device: str) -> None:
        self.connection = connection
        self.address = f"or1/{device}/hr"
        self.device = device
        self.epoch = connection.clock.now()
        self.seq = 0

    async def announce(self) -> None:
        device = Device(
            name=self.device,
            provider="test",
            state=Lifecycle.RUNNING,
            epoch=self.epoch,
            channels={"hr": HR},
        )
        await self.connection.announce(device)

    def say(self, count: int) -> None:
        for _ in range(count):
            value = NumericValue(float(self.seq))
            stamp = self.connection.clock.stamp()
            sample = Sample(self.address, self.epoch, self.seq, stamp, Flags(0), value)
            self.seq += 1
            self.connection.publish(sample, HR)


class Six:
    """One key on each of the broker's six sockets, having spoken on each."""

    def __init__(self, zmq_context: zmq.Context[zmq.Socket[bytes]], link: Link) -> None:
        self.socks: dict[str, zmq.Socket[bytes]] = {}
        self.monitors: dict[str, zmq.Socket[bytes]] = {}
        for name, (kind, message) in SOCKETS.items():
            sock = self.socks[name] = zmq_context.socket(kind)
            self.monitors[name] = sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            connect(sock, link, name, DATA_BYTES, 1_000)
            if kind == zmq.SUB:
                sock.setsockopt(zmq.SUBSCRIBE, message[0])
            else:
                sock.send_multipart(message)

    def lost(self) -> list[str]:
        """Sockets whose connection ended since they were made."""
        return [name for name, monitor in self.monitors.items() if monitor.poll(0)]

    def close(self) -> None:
        for sock in self.socks.values():
            sock.disable_monitor()
            sock.close(linger=0)


@contextmanager
def six(link: Link) -> Iterator[Six]:
    with context() as zmq_context:
        made = Six(zmq_context, link)
        try:
            yield made
        finally:
            made.close()


async def heard_of(site: Site, names: list[str]) -> None:
    """Wait until the broker has heard each of these keys, by their probes that are none."""
    await within(10.0, lambda: {(r.who or {}).get("id") for r in site.rows("probe")} >= set(names))


async def test_a_revoked_key_loses_every_connection_and_an_honest_one_none(site: Site) -> None:
    pump = ["or1/pump/"]
    bad, good = (site.admit(name, publish=pump, subscribe=pump) for name in ("bad", "good"))
    with six(bad.link) as bad_six, six(good.link) as good_six:
        await heard_of(site, ["bad", "good"])
        await asyncio.sleep(0.3)  # the other sockets had said theirs before; let the broker read
        site.issuer.revoke("bad", reason="lost")
        await within(10.0, lambda: sorted(bad_six.lost()) == sorted(SOCKETS))
        assert good_six.lost() == []
        row = await site.told("cut", "bad")
        assert row.detail == "revoked"
        await site.told("enter", "bad")  # it tried again
    assert [r.detail for r in site.rows("enter")][:1] == ["revoked"]
    assert not [r for r in site.rows("cut") if r.who and r.who["id"] != "bad"]


async def test_a_revoked_reader_gets_nothing_more_and_the_others_everything(site: Site) -> None:
    laptop = site.admit("laptop", subscribe=["or1/"])
    mine, others = Collector(), Collector()
    async with joined(site.bus.link("monitor")) as monitor, joined(site.bus.link("console")) as on:
        speaking = Speaking(monitor, "monitor")
        await speaking.announce()
        on.subscribe(["or1/"], others, from_start=True)
        async with joined(laptop.link) as reading:
            reading.subscribe(["or1/"], mine, from_start=True)
            speaking.say(50)
            for sink in (mine, others):
                await sink.until(lambda s=sink: len(s.seqs(speaking.address)) == 50)  # type: ignore[misc]
            site.issuer.revoke("laptop")
            await site.told("cut", "laptop")
            before = len(mine.deliveries)
            for _ in range(20):
                speaking.say(10)
                await asyncio.sleep(0.02)
            await others.until(lambda: others.seqs(speaking.address) == list(range(250)))
            assert len(mine.deliveries) == before
            with pytest.raises(BusTimeoutError):
                await reading.request(b"catalogue", b"\xc0", 0.5)


async def test_a_revoked_publisher_is_not_heard_and_its_successor_is(site: Site) -> None:
    old = site.admit("pump", publish=["or1/pump/"], subscribe=["or1/room/"], devices=["pump"])
    sink = Collector()
    async with joined(site.bus.link("console")) as console:
        console.subscribe(["or1/"], sink, from_start=True)
        async with joined(old.link) as first:
            speaking = Speaking(first, "pump")
            await speaking.announce()
            speaking.say(10)
            await sink.until(lambda: len(sink.seqs("or1/pump/hr")) == 10)
            new = site.issuer.rotate("pump", site.bus.state / "new.scotkey", None, DAY_NS)
            async with joined(new.link) as second:  # in the grace both are the pump
                speaking.say(10)
                await sink.until(lambda: len(sink.seqs("or1/pump/hr")) == 20)
                site.issuer.revoke("pump", fingerprint(old.link.pair.public))
                await site.told("cut", "pump")
                speaking.say(10)
                successor = Speaking(second, "pump")
                await successor.announce()
                successor.say(5)
                await sink.until(lambda: sink.seqs("or1/pump/hr")[20:] == list(range(5)))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await first.drained()  # it keeps what nobody took


async def test_who_sends_faster_than_their_quota_is_slowed_and_every_sample_comes(
    site: Site, tmp_path: Path
) -> None:
    quota = Quota(ctl=Rate(messages_hz=500.0, bytes_hz=1e6))
    grant = Grant(
        name="pump",
        publish=["or1/pump/"],
        subscribe=["or1/room/"],
        devices=["pump"],
        quota=quota,
    )
    site.issuer.add(grant)
    pump = site.issuer.issue("pump", tmp_path / "pump.scotkey", None)
    sink = Collector()
    async with joined(site.bus.link("console")) as console, joined(pump.link) as fast:
        console.subscribe(["or1/"], sink, from_start=True)
        speaking = Speaking(fast, "pump")
        await speaking.announce()
        began_s = machine.monotonic_s()
        speaking.say(1_500)
        await sink.until(lambda: len(sink.seqs("or1/pump/hr")) == 1_500, 30.0)
        assert sorted(sink.seqs("or1/pump/hr")) == list(
            range(1_500)
        )  # the first may be back-filled
        assert machine.monotonic_s() - began_s > 1.0, "500 at once, then 500 a second"
        assert fast.dropped == 0
        await sink.until(lambda: any(health(d).get("pump") for d in sink.deliveries), 5.0)
    assert not site.rows("quota")


def health(delivery: Delivery) -> dict[str, int]:
    """Return who had to wait, when it is the broker's health that says so."""
    if delivery.frame.address != "or1/room/health":
        return {}
    value = delivery.sample().value
    assert isinstance(value, dict)
    waited: dict[str, int] = value["withheld_of"]
    return waited


async def test_a_key_that_expires_while_it_is_connected_is_cut(site: Site) -> None:
    guest = site.admit("guest", machine.utc_ns() + 2_000_000_000, subscribe=["or1/room/"])
    with six(guest.link) as guest_six:
        await within(15.0, lambda: len(guest_six.lost()) == len(SOCKETS))
        assert (await site.told("cut", "guest")).detail == "expired"
        await site.told("enter", "guest")


async def test_a_carried_key_outlives_a_start_of_the_room_and_the_rooms_own_do_not(
    site: Site,
) -> None:
    laptop = site.admit("laptop", subscribe=["or1/"])
    own = site.bus.link("console")
    async with joined(laptop.link):
        pass
    site.bus.stop()
    endpoints = own.endpoints
    issue(site.bus.state, endpoints.host, endpoints.ports, "or1", GRANTS)
    site.bus.start()
    async with joined(laptop.link) as connection:
        assert connection.catalogue.workspace == "or1"
    with pytest.raises(BusTimeoutError):
        await Connection.join(own, 1.0)


Breaking = Callable[[Path], object]
BROKEN: dict[str, tuple[Breaking, str]] = {
    "changed": (
        lambda p: p.write_bytes(p.read_bytes().replace(b'"or1/"', b'"or1/r"')),
        "signature",
    ),
    "readable by others": (lambda p: p.chmod(0o644), "mode 644, others can use it"),
    "gone": (lambda p: p.unlink(), "cannot be read"),
    "cut short": (lambda p: p.write_bytes(p.read_bytes()[:40]), "no signature"),
}


async def test_a_broken_roster_is_told_of_and_the_one_before_stays_in_force(site: Site) -> None:
    laptop = site.admit("laptop", subscribe=["or1/"])
    path, kept = site.issuer.authority.path, site.bus.state / "kept"
    async with joined(laptop.link) as reading:
        for breaking, said in BROKEN.values():
            shutil.copy2(path, kept)
            breaking(path)
            await within(10.0, lambda said=said: said in site.bus.log.read_text())  # type: ignore[misc]
            await reading.request(b"catalogue", b"\xc0")
            kept.replace(path)
        site.issuer.revoke("laptop")  # the mended one is followed
        await site.told("cut", "laptop")
    rows = [row for row in site.rows("roster") if row.outcome == "failure"]
    assert sum(row.count for row in rows) == len(BROKEN)
    assert site.bus.log.read_text().count("stays in force") == len(BROKEN)


async def test_an_older_roster_that_is_put_back_does_not_bring_a_revoked_key_back(
    site: Site,
) -> None:
    laptop = site.admit("laptop", subscribe=["or1/"])
    old = site.bus.state / "old"
    shutil.copy2(site.issuer.authority.path, old)
    async with joined(laptop.link):
        site.issuer.revoke("laptop")
        await site.told("cut", "laptop")
    old.replace(site.issuer.authority.path)
    await within(10.0, lambda: any("is older than" in row.detail for row in site.rows("roster")))
    with pytest.raises(BusTimeoutError):
        await Connection.join(laptop.link, 1.0)


async def test_a_client_that_came_while_the_roster_was_broken_joins_when_it_is_mended(
    site: Site,
) -> None:
    laptop = site.admit("laptop", subscribe=["or1/"])
    path, kept = site.issuer.authority.path, site.bus.state / "kept"
    shutil.copy2(path, kept)
    path.write_bytes(b"nonsense")
    site.bus.stop()
    site.bus.start()
    joining = asyncio.create_task(Connection.join(laptop.link, 20.0))
    await site.told("enter")
    kept.replace(path)
    await (await joining).close()


async def test_a_rotated_key_of_the_broker_is_followed_by_the_files_that_know_it(
    site: Site, tmp_path: Path
) -> None:
    site.admit("before", subscribe=["or1/"])
    planned = site.issuer.rotate_broker(machine.utc_ns())
    new = site.admit("after", subscribe=["or1/"]).link.endpoints
    assert new.next_server == planned.next_server != new.server
    site.bus.stop()
    issue(site.bus.state, new.host, new.ports, "or1", GRANTS)
    site.bus.start()
    await (await join_file(tmp_path / "after.scotkey", 3.0)).close()
    noted = KeyFile.load(tmp_path / "after.scotkey").link.endpoints
    assert (noted.server, noted.next_server) == (planned.next_server, "")
    with pytest.raises(BusError, match=r"before.scotkey.*is the key on its roster"):
        await join_file(tmp_path / "before.scotkey", 1.0)


HOSTED = """
[[device]]
name = "thermometer"
provider = "examples.thermometer.scot_thermometer:Thermometer"
[device.options]
port = $port
"""


async def test_a_device_is_hosted_on_another_machine_with_the_file_that_was_carried_there(
    site: Site, tmp_path: Path
) -> None:
    """The other machine has the room file of its device, the key file, and no state of ours."""
    site.admit(
        "thermometer",
        publish=["or1/thermometer/"],
        subscribe=["or1/room/"],
        devices=["thermometer"],
    )
    site.admit("laptop", subscribe=["or1/"])
    (tmp_path / "device.toml").write_text(HOSTED)

    async def probe(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(100):
            writer.write(f"{30 + number / 10}\n".encode())
            await asyncio.sleep(0.05)

    async with await asyncio.start_server(probe, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        command = ["host", str(tmp_path / "device.toml"), "thermometer", "--set", f"port={port}"]
        process = await asyncio.create_subprocess_exec(
            *child("scot.cli", "", signal.SIGINT),
            *command,
            env={
                **os.environ,
                "SCOT_STATE": str(tmp_path / "elsewhere"),
                "SCOT_KEY": str(tmp_path / "thermometer.scotkey"),
            },
            cwd=Path(__file__).parents[2],
        )
        sink = Collector()
        laptop = await join_file(tmp_path / "laptop.scotkey", 10.0)
        laptop.subscribe(["or1/thermometer/skin"], sink)
        await sink.until(lambda: len(sink.deliveries) >= 5, 20.0)
        await laptop.close()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert not (tmp_path / "elsewhere").exists()


def test_every_socket_of_the_broker_is_tried() -> None:
    assert sorted(SOCKETS) == sorted(PORTS)
    assert Roster().serial == 0
