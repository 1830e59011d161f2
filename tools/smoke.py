"""Prove an installed SCOT outside its repository: every module loads, a room runs and is recorded.

    python smoke.py [--seconds 5]

Run by the interpreter of the environment to prove, from a directory that holds no SCOT.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGES = ("scot", "scot_devices", "scot_replay", "scot_dashboard")
SCOT = str(Path(sys.executable).parent / "scot")


def main() -> int:
    """Run every check; return 0, or 1 after saying which promise is broken."""
    parser = argparse.ArgumentParser(description="Prove an installed SCOT.")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the room runs")
    seconds = parser.parse_args().seconds
    try:
        print(f"smoke: {import_everything()} modules load from {sys.prefix}")
        help_text = run([SCOT, "--help"])
        require("demo" in help_text, "`scot --help` does not name demo")
        with tempfile.TemporaryDirectory() as folder:
            recording = Path(folder) / "recording"
            print(f"smoke: {prove_demo(recording, seconds)}")
            print(f"smoke: {prove_recording(recording)}")
    except BrokenPromiseError as broken:
        print(f"smoke: {broken}", file=sys.stderr)
        return 1
    return 0


class BrokenPromiseError(Exception):
    """An installed SCOT does not do what the README says."""


def require(kept: bool, otherwise: str) -> None:
    """Raise `BrokenPromiseError` unless the promise is kept."""
    if not kept:
        raise BrokenPromiseError(otherwise)


def import_everything() -> int:
    """Import every module of the four packages; return how many there are."""
    count = 0
    for name in PACKAGES:
        package = importlib.import_module(name)
        home = Path(package.__file__ or "").resolve()
        require(Path(sys.prefix).resolve() in home.parents, f"{name} comes from {home}")
        count += 1
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
                count += 1
    return count


def prove_demo(recording: Path, seconds: float) -> str:
    """Run the demo without a page for some seconds, recorded, and judge its own summary."""
    command = [SCOT, "demo", "--headless", "--seconds", str(seconds), "--json"]
    summary = load(run([*command, "--record", str(recording)]))
    require(summary["lost"] == 0, f"the demo lost {summary['lost']} samples")
    require(count(summary["devices"]) >= 3, f"the demo had only {summary['devices']} devices")
    require(count(summary["channels"]) >= 15, f"the demo had only {summary['channels']} channels")
    require(count(summary["samples"]) > 100 * seconds, f"only {summary['samples']} samples")
    return f"a room of {count(summary['channels'])} channels ran, {summary['samples']} samples"


def prove_recording(recording: Path) -> str:
    """Replay the recording twice to the same digest and read heart rates from it."""
    command = [SCOT, "replay", str(recording), "--rate", "max", "--digest"]
    first, second = run(command), run(command)
    require(first == second, f"two replays differ: {first.strip()} and {second.strip()}")
    script = (
        f"import scot; print(scot.open({str(recording)!r}).to_pandas(['monitor/hr']).to_json())"
    )
    columns = load(run([sys.executable, "-c", script]))
    require(any(columns.values()), "to_pandas(['monitor/hr']) is empty")
    return f"its digest repeats, pandas reads {len(columns)} columns"


def count(value: Any) -> int:
    """Return a number, or how many entries a list or table has."""
    return int(value) if isinstance(value, (int, float)) else len(value)


def load(text: str) -> dict[str, Any]:
    """Read the one JSON object a command printed."""
    try:
        read: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise BrokenPromiseError(f"not one JSON object ({error}): {text[:200]!r}") from None
    return read


def run(command: list[str]) -> str:
    """Run a command to its end and return what it printed; a failure is a broken promise."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = f"{done.stderr.strip()[-2000:]}"
    require(done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {said}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
