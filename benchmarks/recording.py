"""What an engineer waits for with a recording of four hours, beside MCAP's own readers.

    python -m benchmarks.recording                              # makes one, measures, about 20 min
    python -m benchmarks.recording make DIRECTORY --hours 4     # some five minutes, 1.2 GB
    python -m benchmarks.recording measure DIRECTORY --keep PLAIN.mcap

Ours is `scot.open` and what it returns, opened anew for each figure. The peers read the same
messages from one MCAP file in order of time, as the `mcap` package writes it: that package, and
small-mcap where it is installed. Cold: the kernel was told to forget the files. The recorder's
processor time is that of the journal with its syncs, of the ledger and of the sealer, with all it
reads back; the peer's, of making the same messages and of the `mcap` package's writer. The
recording is made by the recorder's own writer and sealer (see `benchmarks.case`). Exit code 1 when
a target is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import scot
from benchmarks import case, plain_mcap
from benchmarks.case import make
from benchmarks.recorder_cost import costs
from benchmarks.table import Limit, Result, Row, alone, compare, finish, here, unmeasured
from scot.clock import machine
from scot.clock.machine import TAI_MINUS_UTC_NS

PACKAGES = ("mcap", "small-mcap", "pandas", "pyarrow", "zstandard", "numpy")
POSES_S = 2400
INSTANTS = 40
SMALL = importlib.util.find_spec("small_mcap") is not None
Work = Callable[[], Any]


def timed(work: Work) -> float:
    """Return how many ms something takes."""
    began_ns = machine.monotonic_ns()
    work()
    return (machine.monotonic_ns() - began_ns) / 1e6


def forget(*paths: Path) -> None:
    """Tell the kernel to forget the pages of files."""
    for path in paths:
        for file in [path] if path.is_file() else filter(Path.is_file, path.rglob("*")):
            handle = os.open(file, os.O_RDONLY)
            os.fdatasync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def opened(directory: Path, rounds: int, plain: Path) -> Iterator[Row]:
    """Measure opening."""
    ours, peer = [], []
    for _ in range(rounds):
        ours.append(timed(lambda: scot.open(directory).close()))
        peer.append(timed(lambda: plain_mcap.open_mcap(plain)))
    yield compare("open", "ms", ours, peer, "mcap, its summary", Limit(50, of="ours"))


def sought(directory: Path, rounds: int, plain: Path) -> Iterator[Row]:
    """Measure going to an instant with the state of every channel."""
    rng = np.random.default_rng(7)
    found: dict[str, list[float]] = {"cold": [], "warm": [], "peer": []}
    for _ in range(rounds):
        with closing(scot.open(directory)) as recording:
            spread = rng.uniform(0.02, 0.98, INSTANTS) * (recording.last_ns - recording.first_ns)
            instants = (recording.first_ns + spread.astype(np.int64)).tolist()
            forget(directory)
            for name in ("cold", "warm"):
                took = [timed(lambda t=t: recording.at(t)) for t in instants]  # type: ignore[misc]
                found[name].append(float(np.percentile(took, 95)))
        forget(plain)
        took = [
            timed(lambda t=t: plain_mcap.second_before_mcap(plain, t - TAI_MINUS_UTC_NS))  # type: ignore[misc]
            for t in instants[: INSTANTS // 4]
        ]
        found["peer"].append(float(np.percentile(took, 95)))
    beside = "mcap: the second before, no state"
    for name, limit in (("cold", 100.0), ("warm", 20.0)):
        what = f"seek to the state of every channel, {name}, p95"
        yield compare(what, "ms", found[name], found["peer"], beside, Limit(limit, of="ours"))


def numeric(directory: Path, rounds: int, plain: Path, slow_rounds: int) -> Iterator[Row]:
    """Measure one channel of 1 Hz as a table."""

    def ours() -> None:
        with closing(scot.open(directory)) as recording:
            table = recording.to_pandas([case.NUMERIC])
            assert len(table) == recording.channels[f"or1/{case.NUMERIC}"].count

    what, limit = "one 1 Hz channel to pandas", Limit(50, of="ours")
    ours()  # what it imports is not asked here
    mine = [timed(ours) for _ in range(rounds)]
    topic = f"or1/{case.NUMERIC}"
    if SMALL:
        small = [timed(lambda: plain_mcap.numeric_small(plain, topic)) for _ in range(rounds)]
        yield compare(what, "ms", mine, small, "small-mcap", limit)
    else:
        yield unmeasured(what, "ms", "small-mcap", "small-mcap", limit)
    slow = [timed(lambda: plain_mcap.numeric_mcap(plain, topic)) for _ in range(slow_rounds)]
    yield compare(what, "ms", [median(mine)] * slow_rounds, slow, "mcap", limit)


def poses(directory: Path, rounds: int, plain: Path, slow_rounds: int) -> Iterator[Row]:
    """Measure the poses of eight tools, at most 40 minutes of them."""
    names = [f"tracker/tool{n}" for n in range(case.TOOLS)]
    with closing(scot.open(directory)) as recording:
        from_ns = recording.first_ns
        to_ns = min(recording.last_ns + 1, from_ns + POSES_S * 10**9)
    count = 0

    def ours() -> None:
        nonlocal count
        with closing(scot.open(directory)) as recording:
            tables = [recording.to_pandas([name], between=(from_ns, to_ns)) for name in names]
        count = sum(map(len, tables))

    mine = [timed(ours) / 1e3 for _ in range(rounds)]
    what, limit = f"{count / 1e6:.2f} M poses to pandas", Limit(0.3, of="ours")
    if not SMALL:
        yield unmeasured(what, "s", "small-mcap", "small-mcap", limit)
        return
    topics = [f"or1/{name}" for name in names]
    span = (from_ns - TAI_MINUS_UTC_NS, to_ns - TAI_MINUS_UTC_NS)
    small = [
        timed(lambda: plain_mcap.poses_small(plain, topics, *span)) / 1e3
        for _ in range(slow_rounds)
    ]
    yield compare(what, "s", [median(mine)] * slow_rounds, small, "small-mcap", limit)


def sizes(directory: Path, plain: Path) -> Iterator[Row]:
    """Compare bytes on disk."""
    mcap = sum(file.stat().st_size for file in directory.glob("*.mcap")) / 1e6
    columns = sum(file.stat().st_size for file in directory.rglob("*.parquet")) / 1e6
    whole = plain.stat().st_size / 1e6
    yield compare("size, the segments", "MB", [mcap], [whole], "one MCAP file, zstd", Limit(1.05))
    what = "size of the columns beside the segments"
    if columns:
        yield compare(what, "MB", [columns], [mcap], "the segments", Limit(0.6))
    else:
        yield Row(what=what, unit="MB", limit=Limit(0.6), note="this recording has no columns")


def verified(directory: Path, rounds: int) -> Iterator[Row]:
    """Measure ``scot verify``, where there is a ledger."""
    what, limit = "verify", Limit(3.0, of="ours")
    command = [str(Path(sys.executable).with_name("scot")), "verify", str(directory), "--json"]
    key = case.site_of(directory) / "evidence.pub"
    command += ["--key", str(key)] if key.exists() else []
    took = []
    for _ in range(rounds):
        began_ns = machine.monotonic_ns()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
            yield Row(what=what, unit="s", limit=limit, note=f"not verified: {said[-1][:80]}")
            return
        took.append((machine.monotonic_ns() - began_ns) / 1e9)
    yield alone(what, "s", took, limit, "the whole command")


def rows(directory: Path, plain: Path, rounds: int, slow_rounds: int) -> Iterator[Row]:
    """Measure everything."""
    for part in (
        opened(directory, rounds, plain),
        sought(directory, rounds, plain),
        numeric(directory, rounds, plain, slow_rounds),
        poses(directory, rounds, plain, slow_rounds),
        sizes(directory, plain),
        verified(directory, rounds),
        costs(rounds),
    ):
        for row in part:
            print(f"  {row.what}", file=sys.stderr, flush=True)
            yield row


def measure(directory: Path, plain: Path, rounds: int, slow_rounds: int, as_json: bool) -> int:
    """Measure a recording; return 1 when a target is missed."""
    place = here(PACKAGES)
    if not plain.exists():
        print(f"  writing the peer's {plain.name}", file=sys.stderr, flush=True)
        plain_mcap.write(directory, plain)
    with closing(scot.open(directory)) as recording:
        hours = recording.duration_s / 3600
    result = Result(
        name="recording",
        title=f"A recording of {hours:.3g} hours",
        command="python -m benchmarks.recording",
        machine=place,
        rows=list(rows(directory, plain, rounds, slow_rounds)),
    )
    return finish(result, as_json)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["make", "measure"], help="both when none")
    parser.add_argument("directory", nargs="?", type=Path, help="of the recording")
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--workers", type=int, help="processes that seal; all cores but one")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="the peer's file, to use again")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=1, help="of peers that take a minute")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    told = parser.parse_args()
    if told.what and told.directory is None:
        parser.error(f"{told.what} needs a directory")
    if told.what == "make" and told.directory.exists():
        parser.error(f"{told.directory} exists; name a new directory")
    if told.what == "measure" and not told.directory.is_dir():
        parser.error(f"{told.directory} is no recording; make one first")
    with tempfile.TemporaryDirectory(prefix="scot-bench-") as folder:
        directory = told.directory or Path(folder) / "case"
        if told.what != "measure":
            record(directory, told)
        if told.what == "make":
            return 0
        plain = told.keep or Path(folder) / "plain.mcap"
        return measure(directory, plain, told.rounds, told.slow_rounds, told.json)


def record(directory: Path, told: argparse.Namespace) -> None:
    """Make a recording and say what it is."""
    began_s = machine.monotonic_s()
    count = make(directory, told.hours, told.workers)
    took_s = machine.monotonic_s() - began_s
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    said = {"directory": str(directory), "samples": count, "bytes": size, "seconds": round(took_s)}
    if told.json and told.what == "make":
        print(json.dumps(said))
    else:
        line = f"{directory}: {count} samples, {size / 1e6:.0f} MB, made in {took_s:.0f} s"
        print(line, file=sys.stdout if told.what == "make" else sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
