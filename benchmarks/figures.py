"""Writes ``docs/reference/figures.md`` from the saved results of all benchmarks.

python -m benchmarks.figures            # after any of them has run
python -m benchmarks.figures --check    # exit code 1 when the page is not what they say
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.table import Machine, Result, cells, load

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "figures.md"
HEADS = ("", "ours", "beside", "peer", "ratio", "spread", "target", "")

INTRODUCTION = """# Figures

What was measured, on which machine, beside whom, and whether the target was met. This page is
made by `make bench` from what the benchmarks saved; `benchmarks/README.md` says what each does and
what is compared with what. A ratio is ours over the peer's in the same round of the same run; the
table has the median of the rounds and, as spread, the lowest and the highest. **Busy** is a table
whose machine had other work just before: its ratios may be far off, in either direction.
"""


def write() -> None:
    """Write the page."""
    PAGE.write_text(text(load()), encoding="utf-8")


def text(results: list[Result]) -> str:
    """Return the page."""
    parts = [INTRODUCTION, *_summary(results)]
    for result in results:
        parts += [f"\n## {result.title}\n", _place(result), "", *_table(result), ""]
    return "\n".join(parts).rstrip() + "\n"


def _summary(results: list[Result]) -> Iterator[str]:
    verdicts = [row.verdict for result in results for row in result.rows]
    yield (
        f"Of {len(verdicts) - verdicts.count('')} figures with a target {verdicts.count('met')} "
        f"are met, {verdicts.count('missed')} are missed and "
        f"{verdicts.count('not measured')} were not measured."
    )
    missed = [(result, row) for result in results for row in result.rows if row.verdict == "missed"]
    if missed:
        yield "\n## Missed\n"
        yield "| figure | is | target | |"
        yield "|---|---|---|---|"
    for result, row in missed:
        what, ours, beside, _, ratio, spread, target, _ = cells(row)
        figure = f"{ratio}x {beside}" if ratio and (row.limit or row.peer is not None) else ours
        if row.limit is not None and row.limit.of == "ours":
            figure = ours
        busy = "busy" if result.machine.busy else ""
        yield f"| {what} | {figure} ({spread}) | {target} | {busy} |".replace(" ()", "")


def _place(result: Result) -> str:
    place = result.machine
    load = f"**busy**: other work took {place.others:.0%} of it" if place.busy else "quiet"
    return f"`{result.command}`, {place.at[:16].replace('T', ' ')} UTC; {_hardware(place)}; {load}."


def _hardware(place: Machine) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in place.packages.items())
    cores = f"{place.cores} cores" if place.cores > 1 else "1 core"
    return f"{place.cpu}, {cores}, Linux {place.kernel}, Python {place.python}, {packages}"


def _table(result: Result) -> Iterator[str]:
    yield "| " + " | ".join(HEADS) + " |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in result.rows:
        line = [cell.replace("|", "\\|") for cell in cells(row)]
        line[-1] = line[-1].replace("missed", "**missed**", 1)
        yield "| " + " | ".join(line) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the page of figures.")
    parser.add_argument("--check", action="store_true", help="only say whether it is as it must be")
    if not parser.parse_args().check:
        write()
        return 0
    if PAGE.read_text(encoding="utf-8") == text(load()):
        return 0
    print(f"{PAGE} is not what the results say; run: python -m benchmarks.figures", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
