"""Runs the benchmarks one after another and keeps their figures; what `make bench` does.

    python -m benchmarks                       # all but the long ones, about 56 minutes
    python -m benchmarks latency frames        # these
    python -m benchmarks faults bed            # the long ones need root and are named
    python -m benchmarks --list

Each saves ``benchmarks/results/NAME.json``; at the end ``docs/reference/figures.md`` is written
anew from all that are there. Exit code 1 when a target was missed or a script failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

from benchmarks import figures
from benchmarks.readings import READERS
from benchmarks.table import Result, finish, here
from scot.clock import machine


class Script(NamedTuple):
    """One benchmark.

    Attributes:
        title: of its table.
        arguments: after ``python -m``.
        minutes: it takes on two quiet cores.
        long: only run when named.
        root: it needs network namespaces or mounts.
    """

    title: str
    arguments: list[str]
    minutes: float
    long: bool = False
    root: bool = False


SCRIPTS: dict[str, Script] = {
    "latency": Script(
        "An operating room's signals, end to end", ["benchmarks.latency", "--runs", "5"], 3
    ),
    "latency-video": Script(
        "The same beside packets of video",
        ["benchmarks.latency", "--video", "--runs", "5"],
        3,
        long=True,
    ),
    "throughput": Script("Flat out and lossless, 128 B", ["benchmarks.throughput"], 4),
    "frames": Script("Raw 1080p pictures to programs on the host", ["benchmarks.frames"], 3),
    "peers-latency": Script("", ["benchmarks.peers", "latency"], 13),
    "peers-flat": Script("", ["benchmarks.peers", "flat"], 6),
    "slow-viewer": Script("", ["benchmarks.slow_viewer"], 4),
    "recording": Script("", ["benchmarks.recording"], 11),
    "replay": Script("", ["benchmarks.replay"], 7),
    "screen": Script(
        "The screen, in Chromium without a GPU", ["benchmarks.screen", "--rounds", "5"], 6
    ),
    "video": Script("Video from capture to canvas", ["benchmarks.video"], 6),
    "video-crowd": Script("Many viewers, many cameras", ["benchmarks.video_crowd"], 9),
    "attacks": Script("What an attack costs honest peers", ["benchmarks.attacks"], 5),
    "revocation": Script("A key that is revoked", ["benchmarks.revocation"], 1),
    "clocks": Script("Simulated clocks on simulated links", ["benchmarks.clocks"], 3),
    "streams": Script("The time of a stream's samples", ["benchmarks.streams"], 1),
    "faults": Script("", ["benchmarks.faults"], 36, long=True, root=True),
    "crowd": Script("", ["benchmarks.faults", "crowd"], 11, long=True),
    "content": Script(
        "A scope's latency from its picture",
        ["benchmarks.latency_from_content"],
        15,
        long=True,
    ),
}


def run(name: str, script: Script) -> int:
    """Run one script; return its exit code."""
    command = [sys.executable, "-m", *script.arguments]
    if name not in READERS:
        return subprocess.run(command, check=False).returncode
    place = here()
    done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, check=False)
    try:
        found: Any = json.loads(done.stdout)
    except ValueError:
        print(f"{name}: it printed no figures; exit code {done.returncode}", file=sys.stderr)
        return done.returncode or 1
    rows = list(READERS[name](found))
    said = "python -m " + " ".join(script.arguments)
    result = Result(name=name, title=script.title, command=said, machine=place, rows=rows)
    return max(finish(result), done.returncode)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Run benchmarks.")
    parser.add_argument("script", nargs="*", help=", ".join(SCRIPTS))
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--json", action="store_true", help="with --list: as one JSON document")
    chosen = parser.parse_args()
    unknown = set(chosen.script) - set(SCRIPTS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: use {', '.join(SCRIPTS)}")
    if chosen.list:
        listed = {name: script._asdict() for name, script in SCRIPTS.items()}
        print(json.dumps(listed) if chosen.json else "\n".join(map(_line, SCRIPTS)))
        return 0
    names = chosen.script or [name for name, script in SCRIPTS.items() if not script.long]
    if os.getuid() and (need := [name for name in names if SCRIPTS[name].root]):
        parser.error(f"{', '.join(need)} need root (namespaces, mounts); run with sudo")
    bad = []
    for name in names:
        began_s = machine.monotonic_s()
        print(f"== {name}", flush=True)
        if run(name, SCRIPTS[name]):
            bad.append(name)
        print(f"   {(machine.monotonic_s() - began_s) / 60:.1f} min", flush=True)
    figures.write()
    print(f"figures are in {figures.PAGE}", flush=True)
    if bad:
        print(f"missed or failed: {', '.join(bad)}", file=sys.stderr)
    return int(bool(bad))


def _line(name: str) -> str:
    script = SCRIPTS[name]
    more = ", only when named" * script.long + ", needs root" * script.root
    return f"{name:16} {' '.join(script.arguments):60} {script.minutes:g} min{more}"


if __name__ == "__main__":
    sys.exit(main())
