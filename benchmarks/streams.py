"""Sample time of constant-rate streams: ours against Lab Streaming Layer's dejitter, and the truth.

    python benchmarks/streams.py            # what TARGETS B promises of streams
    python benchmarks/streams.py --json

A device samples at 250 Hz by a crystal of 100 or −180 ppm with 3 ppm of thermal swing in ten
minutes, and sends batches of 4 to 40 samples that each take 2 ms and an exponential jitter on the
way, in order. "Gaps": 3 s in each minute do not come. "Lost": 2 % of the batches do not come.

Ours is the product's own path, `scot.clock.dejitter.Dejitter`: with the device's counter, and
without (inferred). The peer is written from liblsl's published description: recursive least squares
of the time stamps on the number of samples received, forgetting with a half-time of 90 s; a batch
is stamped when it arrives, its earlier samples one nominal period before the next. liblsl smooths
what comes over TCP, so it knows no counter, and a sample that its source lost is none.

No stream that only comes can tell the least delay on the way, so the constant 2 ms count for
nobody; the peer, which sits at the mean delay, is also shown with its own median taken off. All
samples count, from the first one on. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from time import thread_time

import numpy as np
from numpy.typing import NDArray

from scot.clock.dejitter import Dejitter
from scot.testing.clocks import CrystalClock

Array = NDArray[np.float64]

MS, S = 1e6, 1e9
RATE_HZ = 250.0
LEAST_NS = 2 * MS
HALF_TIME_S = 90.0
TARGET_US = 100.0
SKEWS_PPM = (100.0, -180.0)


@dataclass(frozen=True)
class Batch:
    """One batch that arrived: counter, count, arrival ns."""

    counter: int
    values: int
    arrived_ns: int


@dataclass
class Row:
    """One line of the report, errors in µs."""

    stream: str
    who: str
    p50: float
    p95: float
    worst: float
    covered: float | None
    cost_us: float
    met: bool | None = None


@dataclass(frozen=True)
class Scenario:
    """What happens to a stream on its way."""

    name: str
    jitter_ms: float
    loss: float = 0.0
    gaps: bool = False
    target: bool = False


SCENARIOS = (
    Scenario("5 ms jitter", 5.0, target=True),
    Scenario("5 ms jitter, 2 % lost", 5.0, 0.02, target=True),
    Scenario("5 ms jitter, gaps, 2 % lost", 5.0, 0.02, gaps=True, target=True),
    Scenario("20 ms jitter, gaps, 2 % lost", 20.0, 0.02, gaps=True),
)


def taken(skew_ppm: float, seconds: float) -> Array:
    """Return the true time of each sample, ns: when the crystal has gone on by its period."""
    clock = CrystalClock(skew_ppm=skew_ppm, thermal_ppm=3.0)
    grid_ns = np.arange(0.0, seconds + 2.0, 0.05) * S
    read_ns = np.array([clock.read(true_ns) for true_ns in grid_ns], dtype=np.float64)
    true_ns: Array = np.interp(np.arange(int(seconds * RATE_HZ)) * S / RATE_HZ, read_ns, grid_ns)
    return true_ns


def arriving(scenario: Scenario, true_ns: Array, seed: int) -> list[Batch]:
    """Return the batches that come, in order."""
    rng = np.random.default_rng(seed)
    counter, came_ns = 0, 0
    found: list[Batch] = []
    while True:
        values = int(rng.integers(4, 41))
        if counter + values > len(true_ns):
            return found
        last_ns = true_ns[counter + values - 1]
        came_ns = max(came_ns, round(last_ns + LEAST_NS + rng.exponential(scenario.jitter_ms) * MS))
        in_gap = scenario.gaps and 30.0 <= (last_ns / S) % 60.0 < 33.0
        if not in_gap and rng.uniform() >= scenario.loss:
            found.append(Batch(counter, values, came_ns))
        counter += values


def ours(batches: list[Batch], counted: bool) -> tuple[Array, Array]:
    """Return the time of every first sample, and its claimed error, ns."""
    stream = Dejitter()
    rows = [
        stream.place(b.counter if counted else None, b.values, RATE_HZ, b.arrived_ns)
        for b in batches
    ]
    return np.array([row[0] for row in rows], float), np.array([row[1] for row in rows], float)


def peer(batches: list[Batch]) -> Array:
    """Return the smoothed time of every first sample, ns, by recursive least squares."""
    forget = 2.0 ** (-1.0 / (RATE_HZ * HALF_TIME_S))
    offset, slope = 0.0, 1.0 / RATE_HZ
    p00, p01, p11 = 1e10, 0.0, 1e10
    begin_s, n, first = batches[0].arrived_ns / S, 0, []
    for batch in batches:
        for k in range(batch.values):
            stamp_s = batch.arrived_ns / S - (batch.values - 1 - k) / RATE_HZ - begin_s
            g0, g1 = p00 + p01 * n, p01 + p11 * n
            scale = forget + g0 + g1 * n
            k0, k1 = g0 / scale, g1 / scale
            off = stamp_s - offset - slope * n
            offset, slope = offset + k0 * off, slope + k1 * off
            p00, p01, p11 = (
                (p00 - k0 * g0) / forget,
                (p01 - k0 * g1) / forget,
                (p11 - k1 * g1) / forget,
            )
            if k == 0:
                first.append((offset + slope * n + begin_s) * S)
            n += 1
    return np.array(first)


def rows(scenario: Scenario, skew_ppm: float, seconds: float, seed: int) -> Iterator[Row]:
    """Yield the lines of one stream."""
    name = f"{scenario.name}, {skew_ppm:+g} ppm"
    true_ns = taken(skew_ppm, seconds)
    batches = arriving(scenario, true_ns, seed)
    values = sum(batch.values for batch in batches)
    wanted = true_ns[[batch.counter for batch in batches]] + LEAST_NS
    for who, counted in (("ours", True), ("ours, inferred", False)):
        began_s = thread_time()
        placed, claim = ours(batches, counted)
        cost_us = (thread_time() - began_s) / values * 1e6
        off = np.abs(placed - wanted)
        row = _row(name, who, off, float(np.mean(off <= claim)), cost_us)
        if scenario.target and counted:
            row.met = row.p95 <= TARGET_US
        yield row
    began_s = thread_time()
    placed = peer(batches)
    cost_us = (thread_time() - began_s) / values * 1e6
    off = placed - wanted
    yield _row(name, "LSL dejitter", np.abs(off), None, cost_us)
    yield _row(name, "LSL dejitter − its median", np.abs(off - np.median(off)), None, cost_us)


def _row(stream: str, who: str, off: Array, covered: float | None, cost_us: float) -> Row:
    p50, p95, worst = (float(x) / 1e3 for x in np.percentile(off, [50, 95, 100]))
    return Row(stream, who, p50, p95, worst, covered, cost_us)


def show(found: list[Row]) -> None:
    """Print the lines as a table."""
    print(f"{'':66}{'p50':>11}{'p95':>11}{'worst':>12} µs  in claim  µs/sample")
    for row in found:
        covered = "" if row.covered is None else f"{row.covered:.3f}"
        verdict = "" if row.met is None else f"  ≤ {TARGET_US:g}: {'met' if row.met else 'MISSED'}"
        print(
            f"{row.stream:40}{row.who:26}{row.p50:11.1f}{row.p95:11.1f}{row.worst:12.1f}"
            f"{covered:>13}{row.cost_us:11.2f}{verdict}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="of each stream")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    found: list[Row] = []
    for scenario in SCENARIOS:
        for skew_ppm in SKEWS_PPM:
            print(f"{scenario.name}, {skew_ppm:+g} ppm …", file=sys.stderr, flush=True)
            found += rows(scenario, skew_ppm, arguments.seconds, arguments.seed)
    if arguments.json:
        print(json.dumps([asdict(row) for row in found], ensure_ascii=False))
    else:
        show(found)
    return int(any(row.met is False for row in found))


if __name__ == "__main__":
    sys.exit(main())
