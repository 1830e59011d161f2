"""Taking samples from a running room for a while, decoded beside the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.channel import Catalogue
from scot.errors import CodecError
from scot.room import CONSOLE, find
from scot_devices.calibrate.gather import Taker

TELL_S: Final = 5.0
_HELD: Final = 20_000


class Worker:
    """A sink that hands samples to their takers on a thread of its own.

    Attributes:
        dropped: samples that were not taken because the thread was too far behind.
        failure: what a taker raised; nothing is taken after that.
    """

    def __init__(self, takers: Mapping[str, Taker]) -> None:
        self.dropped = 0
        self.failure: Exception | None = None
        self._takers = takers
        self._queue: queue.Queue[Delivery | None] = queue.Queue(_HELD)
        self._thread = threading.Thread(target=self._work, name="calibrate", daemon=True)
        self._thread.start()

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Queue what belongs to a taker."""
        for delivery in batch:
            if delivery.frame.address in self._takers:
                try:
                    self._queue.put_nowait(delivery)
                except queue.Full:
                    self.dropped += 1

    def close(self) -> None:
        """Nothing to let go; `finish` ends the thread."""

    def finish(self) -> None:
        """Take what is queued and end; blocks."""
        self._queue.put(None)
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        while (delivery := self._queue.get()) is not None:
            if self.failure is not None:
                continue
            try:
                self._takers[delivery.frame.address].take(delivery.sample())
            except CodecError:
                self.dropped += 1
            except Exception as error:  # noqa: BLE001 - handed over, not swallowed
                self.failure = error


async def listen(
    workspace: str | None,
    choose: Callable[[Catalogue], dict[str, Taker]],
    seconds: float,
    tell: Callable[[float], None],
) -> None:
    """Give the samples of some channels of a running room to their takers.

    Args:
        workspace: which room; the only one that is up when None.
        choose: says what takes which address, knowing the catalogue.
        seconds: for how long.
        tell: called every few seconds with the seconds that passed.

    Raises:
        RoomError, BusError: no room is up, or it cannot be joined.
    """
    connection = await Connection.join(Link.load(find(workspace).state, CONSOLE))
    try:
        takers = choose(connection.catalogue)
        worker = Worker(takers)
        connection.subscribe(list(takers), worker)
        passed = 0.0
        while passed < seconds:
            step = min(TELL_S, seconds - passed)
            await asyncio.sleep(step)
            passed += step
            tell(passed)
        await asyncio.to_thread(worker.finish)
    finally:
        await connection.close()
