"""The honest room beside every attack: one stream that must arrive whole, and what it costs.

Publisher and reader run on an event loop of their own in a thread, so that attacks may block.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.channel import Device, Lifecycle, Numeric, Pose
from scot.sample import Flags, PoseValue, Sample

ADDRESS = "or1/monitor/tool"
EVERY_S = 0.005
MORE = 20  # samples: 0.1 s of the stream
WITHIN_S = 15.0
POSE = Pose("tool")


class Honest:
    """A pose stream of device `monitor`, read by key `console`.

    Attributes:
        seqs: of the stream, as they arrived.
        others: how many samples of each other address arrived.
    """

    def __init__(self, publisher: Link, reader: Link) -> None:
        self.seqs: list[int] = []
        self.others: dict[str, int] = {}
        self.sent = 0
        self.error: BaseException | None = None
        self.connection: Connection
        self.reader: Connection
        self._links = publisher, reader
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Honest:
        self._thread.start()
        assert self._ready.wait(WITHIN_S), "the honest stream did not begin"
        assert self.error is None, self.error
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(WITHIN_S)

    # -- what a test asks

    def unharmed(self) -> None:
        """Wait until the stream has gone on for `MORE` samples; assert that all of it is here."""
        goal = self.sent + MORE
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.seqs) >= goal, WITHIN_S)
        assert self.error is None, self.error
        assert came, f"{len(self.seqs)} of {goal} honest samples came within {WITHIN_S:g} s"
        seqs = self.seqs[:]
        assert seqs == list(range(len(seqs))), "samples are missing, doubled or out of order"
        assert ADDRESS not in self.reader.lost
        assert self.connection.dropped == 0

    def seen(self, address: str, count: int = 1) -> None:
        """Wait until so many samples of an address have arrived."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.others.get(address, 0) >= count, WITHIN_S)
        assert came, f"{self.others.get(address, 0)} of {count} samples of {address} came"

    # -- the sink

    def handle(self, batch: Sequence[Delivery]) -> None:
        with self._changed:
            for delivery in batch:
                if delivery.frame.address == ADDRESS:
                    self.seqs.append(delivery.header.seq)
                else:
                    address = delivery.frame.address
                    self.others[address] = self.others.get(address, 0) + 1
            self._changed.notify_all()
        self._first.set()

    def close(self) -> None:
        """Nothing to let go."""

    # -- its thread

    def _run(self) -> None:
        try:
            asyncio.run(self._stream())
        except BaseException as error:  # noqa: BLE001 - the test thread reports it
            self.error = error
            self._ready.set()

    async def _stream(self) -> None:
        self._first = asyncio.Event()
        self.connection = await Connection.join(self._links[0], WITHIN_S)
        self.reader = await Connection.join(self._links[1], WITHIN_S)
        epoch = self.connection.clock.now()
        channels = {"tool": POSE, "hr": Numeric("hr", unit="/min")}
        self.reader.subscribe(["or1/"], self, from_start=True)
        await self.connection.announce(
            Device(
                name="monitor",
                provider="test",
                state=Lifecycle.RUNNING,
                epoch=epoch,
                channels=channels,
            )
        )
        await self._first.wait()  # of anything: the reader's subscriptions are in force
        while not self._stopping.is_set():
            time = self.connection.clock.stamp()
            value = PoseValue((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0))
            self.connection.publish(
                Sample(ADDRESS, epoch, self.sent, time, Flags.SIMULATED, value), POSE
            )
            self.sent += 1
            if self.sent == 10:
                self._ready.set()
            await asyncio.sleep(EVERY_S)
        await self.connection.close()
        await self.reader.close()


def joins(link: Link) -> None:
    """Join as an honest process does, and leave.

    Raises:
        BusTimeoutError: it could not.
    """

    async def once() -> None:
        connection = await Connection.join(link, WITHIN_S)
        await connection.close()

    asyncio.run(once())


class Memory:
    """Resident memory of a process: what it had at most since `__init__`, beyond what it had then.

    Linux only: VmHWM of ``/proc/PID/status`` (kB), begun anew through ``clear_refs``.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    def _read(self, field: str) -> int:
        for line in self._status.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) << 10
        raise ValueError(f"{self._status} has no {field}")

    @property
    def grown_bytes(self) -> int:
        """The most it held beyond the beginning."""
        return self._read("VmHWM") - self._before

    @property
    def kept_bytes(self) -> int:
        """What it still holds beyond the beginning."""
        return self._read("VmRSS") - self._before
