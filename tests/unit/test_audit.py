"""The audit tells of every try and cannot be flooded: the rest is counted, not lost."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from scot import audit as module
from scot.audit import BURST, MAX_KINDS, MAX_TEXT, Audit, Outcome, append, read
from scot.bus.trail import Trail

S = 1_000_000_000
NOW_NS = 1_790_000_000 * S


def test_a_row_says_who_what_when_where_and_what_came_of_it(tmp_path: Path) -> None:
    rows = Audit("or1", "broker").refused(
        "enter", NOW_NS, who={"key": "abc"}, came="10.0.0.9", detail="revoked"
    )
    append(tmp_path / "audit.jsonl", rows)
    assert json.loads((tmp_path / "audit.jsonl").read_text()) == {
        "recorded": "2026-09-21T14:13:20.000+00:00",
        "what": "enter",
        "outcome": "failure",
        "who": {"key": "abc"},
        "from": "10.0.0.9",
        "workspace": "or1",
        "source": "broker",
        "detail": "revoked",
    }


def test_the_first_of_a_kind_is_a_row_and_the_rest_of_the_second_another() -> None:
    audit = Audit("or1", "broker")
    assert [r.count for r in audit.refused("enter", NOW_NS, came="10.0.0.9")] == [1]
    for number in range(1, 500):
        assert audit.refused("enter", NOW_NS + number * 1_000_000, came="10.0.0.9") == []
    assert audit.tick(NOW_NS + S - 1) == []
    assert [r.count for r in audit.tick(NOW_NS + S)] == [499]
    assert audit.tick(NOW_NS + 3 * S) == []


def test_addresses_verbs_and_holders_are_counted_apart() -> None:
    audit = Audit("or1", "broker")
    for fields in ({"came": "10.0.0.9"}, {"came": "10.0.0.8"}, {"who": {"id": "monitor"}}):
        assert len(audit.refused("enter", NOW_NS, **fields)) == 1
    assert len(audit.refused("publish", NOW_NS, who={"id": "monitor"})) == 1


def test_a_flood_of_kinds_shares_an_allowance_and_every_try_is_counted_once() -> None:
    audit = Audit("or1", "broker")
    tries = 5 * MAX_KINDS
    rows = [
        row
        for number in range(tries)
        for row in audit.refused("enter", NOW_NS, came=f"10.0.{number // 256}.{number % 256}")
    ]
    assert len(rows) == BURST
    assert len(audit._tallies) <= MAX_KINDS + 1
    for second in range(1, 3 * MAX_KINDS):
        now_ns = NOW_NS + second * S
        more = audit.tick(now_ns)
        assert len(more) <= 1
        rows += more
    assert sum(row.count for row in rows) == tries
    assert not audit._tallies


def test_what_was_done_is_always_written() -> None:
    audit = Audit("or1", "keys")
    rows = [audit.acted("key", NOW_NS, entity="laptop", detail="issued") for _ in range(3 * BURST)]
    assert all(len(one) == 1 and one[0].outcome is Outcome.SUCCESS for one in rows)


def test_a_clock_that_is_set_back_does_not_silence_it() -> None:
    audit = Audit("or1", "broker")
    audit.refused("enter", NOW_NS, came="10.0.0.9")
    assert len(audit.refused("enter", NOW_NS - 3600 * S, came="10.0.0.9")) == 1


def test_a_long_text_of_a_peer_is_cut() -> None:
    (row,) = Audit("or1", "broker").refused("publish", NOW_NS, entity="x" * 10_000)
    assert len(row.entity) == MAX_TEXT


def test_the_file_is_private_bounded_and_only_ever_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 2_000)
    path = tmp_path / "audit.jsonl"
    audit = Audit("or1", "broker")
    for number in range(300):
        append(path, audit.acted("key", NOW_NS, entity=f"n{number}"))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1 + module.KEEP
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert all(file.stat().st_size < 2_400 for file in files)
    newest = [row.entity for row in read(path)]
    before = [row.entity for row in read(tmp_path / "audit.jsonl.1")]
    assert (newest or before)[-1] == "n299"
    assert [int(name[1:]) for name in before + newest] == list(
        range(300 - len(before + newest), 300)
    )


def test_a_line_cut_short_by_a_crash_does_not_hide_the_others(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    rows = Audit("or1", "broker").acted("key", NOW_NS, entity="a")
    append(path, rows)
    with path.open("ab") as file:
        file.write(b'{"recorded": "2026\n')
    append(path, rows)
    assert read(path) == rows * 2


def test_a_trail_writes_from_its_own_thread_and_a_full_disk_only_counts(tmp_path: Path) -> None:
    rows = Audit("or1", "broker").acted("key", NOW_NS)
    trail = Trail(tmp_path / "audit.jsonl")
    trail.put(rows)
    trail.close()
    assert read(tmp_path / "audit.jsonl") == rows
    lost = Trail(tmp_path / "no such folder" / "audit.jsonl")
    lost.put(rows)
    lost.close()
    assert lost.unwritten == 1
