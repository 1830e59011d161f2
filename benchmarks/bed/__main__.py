"""The bed: our clock service and the peer's on one wire with one bent clock, against the truth.

    sudo .venv/bin/python -m benchmarks.bed

See `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.bed import ends
from benchmarks.bed.bent import Bent, build
from benchmarks.bed.figures import SETTLE, Errors, Figures, figures, middle, missed
from benchmarks.bed.wire import FAR, NEAR, Wire, before_others, sweep
from scot.access import Grant
from scot.bus.keys import PORTS, issue
from scot.clock import machine
from scot.clock.clock import Clock
from scot.testing.clocks import LINKS

SHARES = {"LAN": 0.2, "5±2 ms, 2 % loss": 0.44, "400 ms": 0.19, "asymmetric 3:1": 0.17}
STEPS_MS = ((13.0, 20.0), (5.5, -4.0))  # s before the end, by how much
LEAST_S = 22.0  # of one link: to settle, to be looked at, and to step twice
START_S = 1.5
END_S = 10.0
OFFSET_NS = 7_777_000_000_000


def run(link: str, seconds: float, told: argparse.Namespace, seed: int, folder: Path) -> Figures:
    """Run everything on one link and return what it showed."""
    state = folder / "state"
    issue(
        state,
        NEAR,
        {name: 18_950 + i for i, name in enumerate(PORTS)},
        "bed",
        [Grant(name="device"), Grant(name="plain")],
        udp=True,
    )
    session = Clock.session().map
    assert session is not None
    now_ns = machine.monotonic_ns()
    begin_ns = now_ns + round(START_S * 1e9)
    steps = [(begin_ns + round((seconds - s) * 1e9), round(ms * 1e6)) for s, ms in STEPS_MS]
    bent = Bent(now_ns, round(told.ppm * 1000), steps, OFFSET_NS)
    until_ns = begin_ns + round(seconds * 1e9)
    plan = ends.Plan(str(state), session, bent, until_ns, told.busy / 1e3)
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    config = folder / "lsl_api.cfg"
    config.write_text(
        f"[ports]\nIPv6 = disable\n[lab]\nKnownPeers = {{{FAR}}}\n"
        "[multicast]\nResolveScope = machine\n",
        encoding="utf-8",
    )
    peer_env = {"LSLAPICFG": str(config)}
    bent_peer = peer_env | bent.environment(build(folder))
    with Wire(link, seed) as wire:
        broker = _start(wire.near, "broker", folder, {})
        others = [
            _start(wire.far, "device", folder, {}),
            _start(wire.far, "plain", folder, {}),
            _start(wire.far, "outlet", folder, bent_peer),
            _start(wire.near, "inlet", folder, peer_env),
        ]
        try:
            for process in others:
                process.wait(timeout=START_S + seconds + END_S)
        finally:
            for process in (broker, *others):
                process.kill()
                process.wait()
    from_ns = begin_ns + round(SETTLE * seconds * 1e9)
    ours, plain, peer = (_rows(folder, role) for role in ("device", "plain", "inlet"))
    return figures(ours, peer, from_ns, steps, plain)


def _start(space: str, role: str, folder: Path, extra: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start one end in its namespace; the peer's chatter goes to a file."""
    into = ["ip", "netns", "exec", space, "env", *(f"{k}={v}" for k, v in extra.items())]
    answer = folder / f"{role}.json"
    with (folder / f"{role}.log").open("wb") as log:
        return subprocess.Popen(
            [*into, sys.executable, "-m", ends.__name__, role, folder / "plan.json", answer],
            stdout=log,
            stderr=log,
        )


def _rows(folder: Path, role: str) -> list[ends.Look]:
    try:
        return msgspec.json.decode((folder / f"{role}.json").read_bytes(), type=list[ends.Look])
    except FileNotFoundError:
        said = (folder / f"{role}.log").read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"the {role} wrote nothing; it said:\n{said}") from None


def show(link: str, got: Figures) -> None:
    """Print one run's figures, or the medians of several."""
    print(f"\n{link}")
    for name, errors in (("ours", got.ours), ("by ZeroMQ", got.plain), ("pylsl", got.peer)):
        if errors.looks:
            print(
                f"  {name:10} error p50 {errors.p50_us:9.1f}  p95 {errors.p95_us:9.1f}  "
                f"max {errors.max_us:9.1f} µs   ({errors.looks} looks)"
            )
        else:
            print(f"  {name:10} gave no correction")
    if got.peer.looks:
        print(f"  ratio of p95 to pylsl's: {got.ours.p95_us / got.peer.p95_us:.3f}")
    print(
        f"  against ZeroMQ alone: p95 {_ratio(got.ours, got.plain):.2f}x, sure half-width "
        f"{got.bound_us / (got.plain_bound_us or float('nan')):.2f}x of {got.plain_bound_us:.1f}, "
        f"mean {got.mean_us:+.1f} instead of {got.plain_mean_us:+.1f} µs"
    )
    print(
        f"  claimed: likely ± {got.err_us:.1f} µs (exceeded by {got.unlikely:.1%}), "
        f"sure ± {got.bound_us:.1f} µs (exceeded {got.outside} times)"
    )
    for step in got.steps:
        when = "not found" if step.found_s is None else f"found after {step.found_s:.2f} s"
        print(f"  step of {step.by_ms:+g} ms: {when}")
    for word in missed(link, got):
        print(f"  MISSED: {word}")


def _ratio(ours: Errors, other: Errors) -> float:
    return ours.p95_us / other.p95_us if other.looks else float("nan")


def spread(runs: list[Figures]) -> None:
    """Print of each figure its least and greatest."""
    for what, values in (
        ("ours p95", [run.ours.p95_us for run in runs]),
        ("ours sure", [run.bound_us for run in runs]),
        ("by ZeroMQ p95", [run.plain.p95_us for run in runs]),
        ("by ZeroMQ sure", [run.plain_bound_us for run in runs]),
        ("pylsl p95", [run.peer.p95_us for run in runs]),
    ):
        print(f"  {what:14} {min(values):9.1f} to {max(values):9.1f} µs in {len(runs)} runs")


def main() -> None:
    """Run the bed; exit with 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=160.0, help="of all links together")
    parser.add_argument("--ppm", type=float, default=200.0, help="excess of the device's clock")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--link", choices=sorted(LINKS), action="append", help="one or more")
    parser.add_argument("--fifo", action="store_true", help="before others on a busy machine")
    parser.add_argument("--runs", type=int, default=1, help="of each link; medians and spread")
    parser.add_argument("--busy", type=float, default=0.0, help="ms of each 10 a device works")
    told = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root: sudo .venv/bin/python -m benchmarks.bed")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sweep()
    if told.fifo:
        before_others()
    bad = False
    links = told.link or list(SHARES)
    shares = {link: SHARES.get(link, min(SHARES.values())) for link in links}
    if told.seconds * min(shares.values()) / sum(shares.values()) < LEAST_S:
        parser.error(f"too short: each link needs {LEAST_S:g} s, all four 130 s")
    for link in links:
        seconds = told.seconds * shares[link] / sum(shares.values())
        runs = []
        for number in range(told.runs):
            with tempfile.TemporaryDirectory(prefix="scot-bed-") as folder:
                runs.append(run(link, seconds, told, told.seed + number, Path(folder)))
        got = middle(runs)
        show(link, got)
        if told.runs > 1:
            spread(runs)
        bad = bad or bool(missed(link, got))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
