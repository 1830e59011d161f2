"""What every benchmark says: ours, the peer, the ratio with its spread, the target, met or missed.

A script makes `Row`s, shows them, saves them as ``benchmarks/results/NAME.json`` with the machine
they were measured on, and ends with what `finish` returns. ``python -m benchmarks.figures`` turns
the saved ones into ``docs/reference/figures.md``.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from scot.clock import machine as clock

RESULTS = Path(__file__).resolve().parent / "results"
BUSY_SHARE = 0.10
LOOK_S = 1.0


class Limit(msgspec.Struct, frozen=True):
    """What a target asks of a figure.

    Attributes:
        value: of the ratio, or of ours where `of` says so.
        at_least: it is a lower limit.
        of: ``ratio`` or ``ours``.
    """

    value: float
    at_least: bool = False
    of: str = "ratio"

    def met(self, figure: float) -> bool:
        """Whether a figure keeps it."""
        return figure >= self.value if self.at_least else figure <= self.value

    def text(self, unit: str) -> str:
        """Return it as people write it."""
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.value:g}{'x' if self.of == 'ratio' else f' {unit}'.rstrip()}"


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure.

    Attributes:
        what: was measured.
        unit: of ours and the peer.
        ours, peer: medians over the runs; None where it was not measured.
        beside: who or what the peer is.
        ratio: median of the runs' ratios; None without a peer.
        low, high: the least and the highest of what the limit is about: ratio, else ours.
        limit: None: for information only.
        target, kept: of a script that judges by itself: its target as text, and whether it is met.
        runs: how many.
        note: anything else; of what was not measured, what to install.
    """

    what: str
    unit: str
    ours: float | None = None
    peer: float | None = None
    beside: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    limit: Limit | None = None
    target: str = ""
    kept: bool | None = None
    runs: int = 0
    note: str = ""

    @property
    def verdict(self) -> str:
        """Return met, missed, not measured, or nothing where no limit is."""
        if self.ours is None:
            return "not measured"
        if self.kept is not None:
            return "met" if self.kept else "missed"
        if self.limit is None:
            return ""
        figure = self.ratio if self.limit.of == "ratio" else self.ours
        if figure is None:
            return "not measured"
        return "met" if self.limit.met(figure) else "missed"


def compare(
    what: str,
    unit: str,
    ours: Sequence[float],
    peer: Sequence[float],
    beside: str,
    limit: Limit | None = None,
    note: str = "",
) -> Row:
    """Return the row of two sides that were measured in turn: medians, and each round's ratio."""
    ratios = sorted(a / b for a, b in zip(ours, peer, strict=True))
    judged = sorted(ours) if limit is not None and limit.of == "ours" else ratios
    return Row(
        what=what,
        unit=unit,
        ours=statistics.median(ours),
        peer=statistics.median(peer),
        beside=beside,
        ratio=statistics.median(ratios),
        low=judged[0],
        high=judged[-1],
        limit=limit,
        runs=len(ratios),
        note=note,
    )


def alone(
    what: str, unit: str, ours: Sequence[float], limit: Limit | None = None, note: str = ""
) -> Row:
    """Return the row of a figure without a peer; its limit is about ours."""
    return Row(
        what=what,
        unit=unit,
        ours=statistics.median(ours),
        low=min(ours),
        high=max(ours),
        limit=limit,
        runs=len(ours),
        note=note,
    )


def unmeasured(what: str, unit: str, beside: str, install: str, limit: Limit | None = None) -> Row:
    """Return the row of a peer that is not there."""
    return Row(what=what, unit=unit, beside=beside, limit=limit, note=f"install {install}")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when figures were measured.

    Attributes:
        cpu, cores, kernel, python: of the machine.
        packages: versions of what was measured.
        others: share of the processors that other work took just before, 0 to 1.
        at: UTC, ISO 8601.
    """

    cpu: str
    cores: int
    kernel: str
    python: str
    packages: dict[str, str]
    others: float
    at: str

    @property
    def busy(self) -> bool:
        """Whether other work disturbed the figures."""
        return self.others > BUSY_SHARE


def here(packages: Iterable[str] = ()) -> Machine:
    """Look at this machine; takes a second. Call it before anything is measured."""
    cpu = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    before = _jiffies()
    clock.sleep(LOOK_S)
    busy, total = (b - a for a, b in zip(before, _jiffies(), strict=True))
    versions = {}
    for name in ("pyzmq", "uvloop", "msgspec", *packages):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        cpu=cpu,
        cores=os.cpu_count() or 1,
        kernel=platform.release(),
        python=platform.python_version(),
        packages=versions,
        others=round(busy / max(1, total), 2),
        at=datetime.fromtimestamp(clock.utc_ns() // 10**9, UTC).isoformat(),
    )


def _jiffies() -> tuple[int, int]:
    """Return what all processors have worked, and in all."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return sum(fields) - fields[3] - fields[4], sum(fields)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one script measured.

    Attributes:
        name: of the file.
        title: of its table.
        command: that measures it again.
        machine: on which.
        rows: in the order of the table.
    """

    name: str
    title: str
    command: str
    machine: Machine
    rows: list[Row]


def save(result: Result) -> Path:
    """Write a result where the documentation is made from."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{result.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path


def load() -> list[Result]:
    """Return all saved results by name."""
    files = sorted(RESULTS.glob("*.json"))
    return [msgspec.json.decode(file.read_bytes(), type=Result) for file in files]


def number(value: float | None) -> str:
    """Return a figure with two or three digits that count; a whole one as it is."""
    if value is None or math.isnan(value):
        return "–"
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3}f}"


def cells(row: Row) -> list[str]:
    """Return a row as text: what, ours, beside, peer, ratio, spread, target, verdict."""
    spread = "" if row.low is None else f"{number(row.low)} to {number(row.high)}"
    unit = f" {row.unit}" if row.unit else ""
    return [
        row.what,
        number(row.ours) + (unit if row.ours is not None else ""),
        row.beside,
        "" if row.peer is None and not row.beside else number(row.peer),
        "" if row.ratio is None else number(row.ratio),
        spread,
        row.target if row.limit is None else row.limit.text(row.unit),
        row.verdict + (f" ({row.note})" if row.note else ""),
    ]


HEADS = ["", "ours", "beside", "peer", "ratio", "spread", "target", ""]


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    lines = [HEADS, *map(cells, rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEADS))]
    print(f"\n{title}")
    for line in lines:
        print("  " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def finish(result: Result, as_json: bool = False) -> int:
    """Save and print a result; return 1 when a target was missed."""
    path = save(result)
    if as_json:
        print(msgspec.json.encode(result).decode())
    else:
        show(result.title, result.rows)
    verdicts = [row.verdict for row in result.rows]
    counted = ", ".join(
        f"{verdicts.count(name)} {name}" for name in ("met", "missed", "not measured")
    )
    busy = f"; other work took {result.machine.others:.0%} of the machine"
    line = f"{result.name}: {counted}{busy if result.machine.busy else ''}; in {path}"
    print(line, file=sys.stderr)
    return int("missed" in verdicts)
