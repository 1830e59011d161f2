"""What an engineer waits for with a recording of four hours.

    python -m benchmarks.recording make DIRECTORY --hours 4    # some five minutes, 1.2 GB

The recording is made by the recorder's own writer and sealer (see `benchmarks.case`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.case import make
from scot.clock import machine


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="record a case at full speed")
    making.add_argument("directory", type=Path)
    making.add_argument("--hours", type=float, default=4.0)
    making.add_argument("--workers", type=int, help="processes that seal; all cores but one")
    arguments = parser.parse_args()
    if arguments.directory.exists():
        parser.error(f"{arguments.directory} exists; name a new directory")
    began_s = machine.monotonic_s()
    count = make(arguments.directory, arguments.hours, arguments.workers)
    took_s = machine.monotonic_s() - began_s
    size = sum(file.stat().st_size for file in arguments.directory.iterdir())
    print(f"{arguments.directory}: {count} samples, {size / 1e6:.0f} MB, made in {took_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
