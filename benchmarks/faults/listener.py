"""A consumer that notes what it gets, and how old: ``listener STATE KEY PREFIX LOG``.

On SIGTERM it writes what it states as missing beside its log and ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks.bed.wire import die_with_parent
from scot.bus.connection import Connection
from scot.bus.keys import Link
from scot.bus.subscriber import Delivery, Subscription
from scot.clock.clock import Clock


class Notes:
    """A sink: one line a sample, as the source writes them, with its age in µs."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def handle(self, batch: Sequence[Delivery]) -> None:
        """Note what came."""
        now_ns = self._clock.now()
        lines = [
            f"{d.frame.address} {d.header.epoch} {d.header.seq} "
            f"{(now_ns - d.header.bus_ns) // 1000}\n"
            for d in batch
        ]
        os.write(self._file, "".join(lines).encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def stated(subscription: Subscription) -> list[tuple[str, int, int, int]]:
    """Return what it knows to be missing: address, epoch, first and last seq."""
    return [
        (address, gap.epoch, gap.first, gap.last)
        for address, detector in subscription.gaps.items()
        for gap in detector.missing
    ]


async def main(state: Path, key: str, prefix: str, log: Path) -> None:
    """Take everything until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    while True:
        try:
            connection = await Connection.join(Link.load(state, key), 20.0)
            break
        except TimeoutError:
            continue
    subscription = connection.subscribe([prefix], Notes(log, connection.clock), from_start=True)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    await ended.wait()
    log.with_suffix(".stated.json").write_text(json.dumps(stated(subscription)))
    await connection.close()


if __name__ == "__main__":
    die_with_parent()
    state, key, prefix, log = sys.argv[1:]
    uvloop.run(main(Path(state), key, prefix, Path(log)))
