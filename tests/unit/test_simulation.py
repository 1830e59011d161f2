"""500 simulated rooms keep every promise, and every planted bug is found by one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO

import pytest

from scot_replay.sim.mutations import MUTATIONS
from scot_replay.sim.room import simulate

SEEDS = 500
BLOCK = 25
SCOT = "import sys; from scot.cli import run; sys.exit(run(sys.argv[1:]))"

# The seed that finds each bug. Those marked with a star were once in our own code.
FOUND_BY = {
    "gap-begins-late": 0,
    "duplicate-passes": 9,
    "history-forgets": 3,
    "asks-once": 6,
    "lane-unbounded": 27,
    "no-heads": 13,
    "open-door": 3,
    "silence-unseen": 5,
    "silence-late": 176,  # *
    "old-place": 4,  # *
    "told-no-more": 74,
    "own-samples-lost": 18,  # *
    "step-unseen": 40,
    "sync-believed": 4,  # *
    "safe-at-once": 4,
    "sync-rare": 94,  # *
    "flush-rare": 327,
    "loss-unsaid": 4,
    "waiting-unbounded": 303,
    "crc-ignored": 3,  # *
    "rot-ends-reading": 0,  # *
    "written-twice": 4,
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_promise_is_kept_in_every_simulated_room(first: int) -> None:
    outcomes = [simulate(seed) for seed in range(first, first + BLOCK)]
    broken = [f"scot sim --seed {one.seed}: {one.broken}" for one in outcomes if one.broken]
    assert not broken, "\n".join(broken)
    assert all(one.samples > 50 and one.faults for one in outcomes)


def test_a_recorder_that_came_second_is_told_of_the_first_catalogues() -> None:
    """Broken once: asked for only when the broker had forgotten them."""
    assert not simulate(6, minutes=5).broken


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTATIONS)
def test_every_planted_bug_is_found(name: str) -> None:
    others = (seed for seed in range(SEEDS) if seed != FOUND_BY[name])
    for seed in (FOUND_BY[name], *others):
        if simulate(seed, mutate=name).broken:
            assert not simulate(seed).broken
            return
    pytest.fail(f"none of {SEEDS} seeds finds that {MUTATIONS[name].text}")


def test_a_planted_bug_is_taken_out_again() -> None:
    before = {name: getattr(bug.of, bug.name) for name, bug in MUTATIONS.items()}
    simulate(0, mutate="open-door")
    assert {name: getattr(bug.of, bug.name) for name, bug in MUTATIONS.items()} == before


@pytest.mark.timeout(600)
def test_the_trace_is_the_same_in_every_process_whatever_its_hashes() -> None:
    here = [simulate(seed).sha256 for seed in (40, 41, 42)]  # 40 finds bus time by probes
    for hashes in ("0", "1729"):
        done = subprocess.run(
            [sys.executable, "-c", SCOT, "sim", "--seed", "40", "--seeds", "3", "--json"],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            check=True,
        )
        there = json.loads(done.stdout)
        assert [one["sha256"] for one in there["seeds"]] == here
        assert there["broken"] == 0


def test_the_trace_tells_what_happened_and_does_not_change_it() -> None:
    out = StringIO()
    outcome = simulate(5, out=out)
    lines = out.getvalue().splitlines()
    assert outcome.sha256 == simulate(5).sha256
    assert outcome.sha256 != simulate(6).sha256
    assert any(line.endswith("broker starts") for line in lines)
    assert any("fault kill monitor" in line for line in lines)
