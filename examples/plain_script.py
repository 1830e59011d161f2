"""Read a channel from a plain script, without an event loop.

    scot demo                                       # in another terminal
    python examples/plain_script.py or1/monitor/hr --count 20

Prints each value with its time and how well that is known, then their mean. `scot.connect()`
finds the room that runs on this machine and joins it with the console's key, which may read and
not write.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import scot
from scot.bus.keys import Link
from scot.bus.sync import Connection
from scot.sample import NumericValue


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("address", help="such as or1/monitor/hr")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--state", type=Path, help="a room's state folder, when not this machine's")
    arguments = parser.parse_args()
    if arguments.state is None:
        room = scot.connect(arguments.address.split("/")[0])
    else:
        room = Connection.join(Link.load(arguments.state, "console"))
    values = []
    with room:
        samples = room.samples(arguments.address, timeout_s=10.0)
        print("listening", flush=True)
        for sample in samples:
            if isinstance(sample.value, NumericValue) and sample.value.value is not None:
                values.append(sample.value.value)
                known = (
                    "unknown" if sample.time.err_ns is None else f"{sample.time.err_ns / 1e6} ms"
                )
                print(f"{sample.time.bus_ns} ± {known}: {sample.value.value:g}")
            if len(values) == arguments.count:
                break
    if not values:
        print(f"nothing came from {arguments.address} within 10 s")
        return 1
    print(f"{len(values)} samples of {arguments.address}, mean {sum(values) / len(values):g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
