"""A figure is met only when it was measured and keeps its target; the page says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import figures, table
from benchmarks.table import Limit, Machine, Result, Row, alone, compare, unmeasured

PLACE = Machine(
    cpu="a processor", cores=2, kernel="6", python="3.11", packages={}, others=0.5, at="2026-11-24"
)


def result(*rows: Row) -> Result:
    return Result(name="name", title="Title", command="python -m x", machine=PLACE, rows=[*rows])


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (Limit(0.5), "met"),
        (Limit(0.4), "missed"),
        (Limit(0.5, at_least=True), "met"),
        (Limit(0.6, at_least=True), "missed"),
        (Limit(2.0, of="ours"), "met"),
        (Limit(1.9, of="ours"), "missed"),
        (None, ""),
    ],
)
def test_a_target_is_about_the_median_of_the_rounds_ratios_or_of_ours(
    limit: Limit | None, verdict: str
) -> None:
    row = compare("what", "ms", [1.0, 2.0, 30.0], [2.0, 4.0, 10.0], "peer", limit)
    assert (row.ours, row.peer, row.ratio) == (2.0, 4.0, 0.5)
    assert row.verdict == verdict


def test_a_peer_that_is_not_there_is_named_and_its_row_is_not_met() -> None:
    row = unmeasured("poses, p50", "µs", "NATS", "nats-py", Limit(0.75))
    assert row.verdict == "not measured"
    assert "install nats-py" in row.note
    assert "1 were not measured" in figures.text([result(row)])


def test_a_missed_target_ends_the_script_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    good, bad = (alone("what", "ms", [1.0], Limit(limit, of="ours")) for limit in (1.0, 0.9))
    assert table.finish(result(good)) == 0
    assert table.finish(result(good, bad)) == 1
    assert table.load() == [result(good, bad)]


def test_the_page_names_what_is_missed_and_that_the_machine_was_busy() -> None:
    page = figures.text([result(alone("recorder", "ms", [3.5], Limit(2.0, of="ours")))])
    missed = page[page.index("## Missed") : page.index("## Title")]
    assert "| recorder | 3.50 ms (3.50 to 3.50) | ≤ 2 ms | busy |" in missed
    assert "**busy**: other work took 50% of it" in page


def test_the_page_in_the_documentation_is_what_the_saved_results_say() -> None:
    assert figures.PAGE.read_text("utf-8") == figures.text(table.load())
