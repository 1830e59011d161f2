"""``scot sim`` (entry point ``scot.commands``)."""

from __future__ import annotations

import hashlib
import sys
from typing import Annotated, Any

import msgspec
import typer

from scot.clock import machine
from scot.errors import ConfigError
from scot_replay.sim.mutations import MUTATIONS
from scot_replay.sim.room import MINUTES, Outcome, simulate

MOST_MINUTES = 24 * 60.0


def sim(
    seed: Annotated[int, typer.Option(help="The first seed; it decides everything.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="How many, one after another.")] = 1,
    minutes: Annotated[
        float, typer.Option(help="Simulated minutes within which the faults end.")
    ] = MINUTES,
    mutate: Annotated[str, typer.Option(help="Plant a bug of this name; 'list' names them.")] = "",
    trace: Annotated[bool, typer.Option("--trace", help="Print all that happens.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Simulate whole rooms with faults, and check every promise at every event."""
    if mutate == "list":
        for name, bug in MUTATIONS.items():
            typer.echo(f"{name:20} {bug.text}")
        return 0
    if not 0 < minutes <= MOST_MINUTES:
        raise ConfigError("--minutes", "", f"{minutes} is not possible", f"0 to {MOST_MINUTES:g}")
    out = None if not trace else sys.stderr if json else sys.stdout
    began_ns = machine.monotonic_ns()
    outcomes: list[Outcome] = []
    for number in range(seed, seed + seeds):
        outcome = simulate(number, minutes, out, mutate)
        outcomes.append(outcome)
        if outcome.broken and not json:
            typer.echo(f"seed {number} at {outcome.at_s:.3f} s: {outcome.broken}")
            if seeds > 1:
                typer.echo(f"  faults: {', '.join(outcome.faults)}")
    summary = _summary(outcomes, (machine.monotonic_ns() - began_ns) / 1e9)
    if json:
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        _tell(summary, outcomes)
    return 1 if summary["broken"] else 0


def _summary(outcomes: list[Outcome], took_s: float) -> dict[str, Any]:
    whole = hashlib.sha256("".join(one.sha256 for one in outcomes).encode())
    return {
        "broken": sum(bool(one.broken) for one in outcomes),
        "simulated_s": round(sum(one.at_s for one in outcomes), 3),
        "took_s": round(took_s, 3),
        "events": sum(one.events for one in outcomes),
        "sha256": outcomes[0].sha256 if len(outcomes) == 1 else whole.hexdigest(),
        "seeds": [one._asdict() for one in outcomes],
    }


def _tell(summary: dict[str, Any], outcomes: list[Outcome]) -> None:
    if len(outcomes) == 1:
        typer.echo(f"faults: {', '.join(outcomes[0].faults)}")
    speed = summary["simulated_s"] / max(summary["took_s"], 1e-3)
    typer.echo(
        f"seeds: {len(outcomes)}, broken: {summary['broken']}, events: {summary['events']}, "
        f"simulated: {summary['simulated_s']:.0f} s at {speed:.0f} times real time"
    )
    typer.echo(f"sha256 {summary['sha256']}")
