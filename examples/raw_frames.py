"""Look at raw pictures where they lie in shared memory, as an inference program would.

    scot up ROOM.toml                            # a camera with  [device.options]  raw = true
    python raw_frames.py or1/scope/raw           # in a second terminal, as the same user

Prints for each picture how old it was when it could be used and how bright it is. What must be kept
is copied with `RingReader.read`; a reader that is too slow is told so and takes the newest.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery
from scot.errors import RingError
from scot.ring import RingFrame, RingReader
from scot.room import find


class Brightness:
    """A sink: one line a picture.

    Args:
        connection: whose clock says how old a picture is.
        count: pictures to take; `done` is set after the last.
    """

    def __init__(self, connection: Connection, count: int) -> None:
        self.done = asyncio.Event()
        self._connection = connection
        self._left = count
        self._reader = RingReader()

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Take descriptors; of several that came together only the newest is worth reading."""
        sample = batch[-1].sample()
        frame = RingFrame.of(sample.value)
        try:
            pixels = self._reader.view(frame)
            age_ms = (self._connection.clock.now() - sample.time.bus_ns) / 1e6
            mean = float(pixels[::8, ::8].mean())
            if not self._reader.still_there(frame):
                return
        except RingError as error:
            print(error)
            return
        print(f"{frame.shape[1]}x{frame.shape[0]} #{frame.count}: {age_ms:.1f} ms, mean {mean:.1f}")
        self._left -= 1
        if self._left <= 0:
            self.done.set()

    def close(self) -> None:
        """Let go of the memory."""
        self._reader.close()


async def main(address: str, count: int) -> None:
    """Join the room that is up, as its console, and look."""
    connection = await Connection.join(Link.load(find().state, "console"))
    sink = Brightness(connection, count)
    connection.subscribe([address], sink, fill=False)
    await sink.done.wait()
    await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("address", help="workspace/device/raw")
    parser.add_argument("--count", type=int, default=2**31, help="pictures to look at")
    given = parser.parse_args()
    asyncio.run(main(given.address, given.count))
