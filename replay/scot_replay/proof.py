"""A recording sent over a real bus as fast as its reader acknowledges, to prove that it arrives.

No clock takes part: a bounded number of frames is under way at any time, and the reader, a
subscription of its own through the broker, computes the digest of what it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

from scot.bus.connection import Connection
from scot.bus.subscriber import Delivery
from scot.channel import BULK, Catalogue, Channel, Device, Event, Kind, Lifecycle
from scot.errors import BusTimeoutError
from scot.sample import Flags, Sample
from scot_replay.cast import device_changes, published
from scot_replay.digest import Digest
from scot_replay.found import Found
from scot_replay.player import AHEAD
from scot_replay.recording import DirectoryRecording

UNDER_WAY = {False: 1_000, True: 32}  # signals, bulk
PATIENCE_S = 30.0
KNOCK_S = 0.02
NAME = "player"
KNOCKS = {
    False: Event("knock", label={"en": "Knock"}),
    True: Channel(name="knock_bulk", kind=Kind.VIDEO, label={"en": "Knock, bulk"}),
}


class Reader:
    """The sink at the far end: digests, counts, and wakes who waits for it.

    Args:
        addresses: that count; what else there is on the bus is passed over.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = frozenset(addresses)
        self.digest = Digest()
        self.came = {False: 0, True: 0}
        self.knocks = {False: -1, True: -1}
        self.progress = asyncio.Event()

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take what arrived."""
        for delivery in batch:
            bulk = delivery.channel.kind in BULK
            address = delivery.frame.address
            if address.split("/")[1] == NAME:
                self.knocks[bulk] = max(self.knocks[bulk], delivery.header.seq)
            elif address in self._addresses:
                self.digest.add(delivery.frame, delivery.header)
                self.came[bulk] += 1
        self.progress.set()

    def close(self) -> None:
        """Nothing to let go."""


class _Knocker:
    """Publishes numbered knocks on both lanes; frames keep their order within a lane."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._epoch = connection.clock.now()
        self.seq = -1

    def knock(self) -> None:
        self.seq += 1
        for bulk, channel in KNOCKS.items():
            value: bytes | dict[str, int] = b"\0" if bulk else {}
            address = f"{self._connection.workspace}/{NAME}/{channel.name}"
            time = self._connection.clock.stamp()
            sample = Sample(address, self._epoch, self.seq, time, Flags(0), value)
            self._connection.publish(sample, channel)


async def digest_through_bus(recording: DirectoryRecording, connection: Connection) -> str:
    """Send the whole recording and return the digest of what came back.

    Args:
        recording: to send.
        connection: may announce and publish what the recording holds, and read it.

    Raises:
        BusTimeoutError: nothing came for 30 s.
    """
    digests = await digests_through_bus(recording, connection)
    return digests[""]


async def digests_through_bus(
    recording: DirectoryRecording, connection: Connection
) -> dict[str, str]:
    """Send the whole recording; return the digest by channel and, under ``""``, of the whole."""
    addresses = published(recording)
    await _announce(recording, connection, addresses)
    await connection.serve_history(recording.history)
    reader, knocker = Reader(addresses), _Knocker(connection)
    connection.subscribe([f"{connection.workspace}/"], reader, fill=True, fill_bulk=True)
    while min(reader.knocks.values()) < 0:  # until the broker knows of our subscription
        knocker.knock()
        if knocker.seq * KNOCK_S > PATIENCE_S:
            await _progress(reader, connection)
        await _moved(reader, KNOCK_S)
    channels = {address: recording.channel(address) for address in addresses}
    sent = {False: 0, True: 0}
    stream = recording.stream(addresses, (recording.first_ns, recording.last_ns + 1))
    while batch := await asyncio.to_thread(_take, stream):
        for one in batch:
            channel = channels[one.address]
            bulk = channel.kind in BULK
            while sent[bulk] - reader.came[bulk] >= UNDER_WAY[bulk]:
                await _progress(reader, connection)
            connection.publish_frame(one.frame, channel)
            sent[bulk] += 1
    knocker.knock()
    while min(reader.knocks.values()) < knocker.seq or reader.came != sent:
        await _progress(reader, connection)
    return reader.digest.result()


async def _announce(
    recording: DirectoryRecording, connection: Connection, addresses: Sequence[str]
) -> None:
    """Announce what will be sent and wait until our own catalogue has it."""
    await connection.announce(
        Device(
            name=NAME,
            provider=NAME,
            label={"en": "Player", "ja": "再生"},
            state=Lifecycle.RUNNING,
            channels={channel.name: channel for channel in KNOCKS.values()},
        ),
        health=False,
    )
    for device in {device.name: device for _, device in device_changes(recording)}.values():
        await connection.announce(device, health=False)
    knocks = [f"{connection.workspace}/{NAME}/{channel.name}" for channel in KNOCKS.values()]
    needed = [*addresses, *knocks]
    changed = asyncio.Event()

    def look(catalogue: Catalogue) -> None:
        if all(catalogue.channel(address) is not None for address in needed):
            changed.set()

    connection.on_catalogue.append(look)
    look(connection.catalogue)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await changed.wait()
    except TimeoutError:
        raise _late(connection) from None
    finally:
        connection.on_catalogue.remove(look)


async def _moved(reader: Reader, limit_s: float) -> bool:
    """Wait until something arrives; say whether it did."""
    reader.progress.clear()
    try:
        async with asyncio.timeout(limit_s):
            await reader.progress.wait()
    except TimeoutError:
        return False
    return True


async def _progress(reader: Reader, connection: Connection) -> None:
    if not await _moved(reader, PATIENCE_S):
        raise _late(connection)


def _late(connection: Connection) -> BusTimeoutError:
    url = connection.link.endpoints.url("ctl_out")
    return BusTimeoutError("a recording that was sent over the bus", url, PATIENCE_S)


def _take(stream: Iterator[Found]) -> list[Found]:
    return list(islice(stream, AHEAD))
