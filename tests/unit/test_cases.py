"""Many recordings in one catalogue: entered, listed, asked by SQL."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from scot.cli import run
from scot_replay.cases import Case, Cases, partition
from scot_replay.recording import open_recording
from tests.golden import made_recording as case


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for seconds in (10, 20):
        case.make(folder / f"rec{seconds}", seconds)
    return folder


@pytest.fixture
def catalog(tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCOT_CATALOG", str(tmp_path / "catalog"))
    for name in ("rec10", "rec20"):
        assert run(["catalog", "add", str(recordings / name), "--json"]) == 0
    return tmp_path / "catalog"


def ask(capsys: pytest.CaptureFixture[str], query: str) -> Any:
    capsys.readouterr()
    assert run(["catalog", "sql", query, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_sql_over_cases_gives_what_each_recording_gives(
    catalog: Path, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ask(capsys, "SELECT c.url, avg(value) AS mean, count(value) AS n FROM numerics "
                        "JOIN cases c USING (id) WHERE code = 'MDC_ECG_HEART_RATE' "
                        "GROUP BY ALL ORDER BY n")  # fmt: skip
    assert len(found) == 2
    for row, name in zip(found, ("rec10", "rec20"), strict=True):
        ours = open_recording(recordings / name).to_pandas(["monitor/hr"])["monitor/hr"].dropna()
        assert row["url"] == str(recordings / name)
        assert row["n"] == len(ours)
        assert row["mean"] == pytest.approx(ours.mean())


def test_cases_are_partitioned_by_workspace_and_case_and_say_when(
    catalog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(p.parent.relative_to(catalog) for p in catalog.rglob("*.parquet"))
    assert set(map(str, files)) == {
        "alarms/workspace=or1/case=case-4711",
        "numerics/workspace=or1/case=case-4711",
    }
    (row,) = ask(capsys, 'SELECT min(utc) AS utc, "case" FROM alarms WHERE present GROUP BY ALL')
    assert row["case"] == "case-4711"
    assert row["utc"].startswith("2026-11-18T11:06:42.123456")
    (row,) = ask(capsys, "SELECT sum(missing) AS missing FROM channels WHERE channel = 'hr'")
    assert row["missing"] == 4


def test_a_channel_that_names_the_patient_is_in_no_column(catalog: Path) -> None:
    assert not any(b"Aiko" in p.read_bytes() for p in catalog.rglob("*") if p.is_file())


def test_a_query_reaches_nothing_but_the_catalogue(
    catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    for query in (
        f"FROM read_csv('{outside}')",
        f"COPY (SELECT 1) TO '{tmp_path / 'made.csv'}'",
        "SET enable_external_access = true",
        "SELECT nonsense FROM cases",
    ):
        assert run(["catalog", "sql", query]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "made.csv").exists()


def test_a_query_writes_nothing_into_the_catalogue(
    catalog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = {file: file.read_bytes() for file in catalog.rglob("*") if file.is_file()}
    for query in (
        f"COPY (SELECT 1) TO '{catalog / 'cases.sqlite'}'",
        f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{catalog / 'made.csv'}'",
        f"SELECT 1; COPY (SELECT 1) TO '{catalog / 'made.csv'}'; SELECT 1",
        f"ATTACH '{catalog / 'made.db'}' AS made; SELECT 1",
        "",
    ):
        assert run(["catalog", "sql", query]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert {file: file.read_bytes() for file in catalog.rglob("*") if file.is_file()} == held


def test_no_cell_of_an_answer_in_csv_is_a_formula(
    catalog: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    query = "SELECT '=1+1' AS \"@a\", -2 AS b, '-3'::ENUM('-3') AS c FROM cases"
    assert run(["catalog", "sql", query, "--csv"]) == 0
    assert capfdbinary.readouterr().out.splitlines()[-2:] == [b'"\'=1+1",-2,"\'-3"'] * 2


def test_a_workspace_that_is_a_path_stays_inside_the_catalogue(tmp_path: Path) -> None:
    hostile = Case(id="1", url="x", workspace="../../../out", case="../..")
    assert ".." not in partition(tmp_path, "numerics", hostile).relative_to(tmp_path).parts


def test_a_recording_entered_again_replaces_itself_and_a_copy_is_the_same_case(
    catalog: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(recordings / "rec10", copy)
    capsys.readouterr()
    assert run(["catalog", "add", str(copy), "--json"]) == 0
    (entered,) = json.loads(capsys.readouterr().out)["entered"]
    assert (entered["url"], entered["was"]) == (str(copy), str(recordings / "rec10"))
    assert run(["catalog", "ls", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert run(["catalog", "rm", entered["id"]]) == 0
    assert len(ask(capsys, "SELECT DISTINCT id FROM numerics")) == 1
    assert copy.exists()


@pytest.mark.timeout(240)
def test_a_recording_that_cannot_be_read_is_named_and_the_others_are_entered(
    tmp_path: Path, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "many"
    shutil.copytree(recordings / "rec10", folder / "good")
    (folder / "bad").mkdir()
    (folder / "bad" / "segment-1.mcap").write_bytes(b"nothing")
    catalog = str(tmp_path / "catalog")
    assert run(["catalog", "add", str(folder), "--catalog", catalog, "--workers", "1"]) == 1
    said = capsys.readouterr()
    assert "1 recordings entered" in said.out
    assert "bad" in said.err
    assert said.err.count("\n") == 1
    assert run(["catalog", "ls", "--catalog", str(tmp_path / "none")]) == 1
    assert "scot catalog add" in capsys.readouterr().err


def test_a_catalogue_without_cases_has_its_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Cases(tmp_path).prepare()
    query = (
        "SELECT utc, value, workspace FROM numerics UNION ALL SELECT utc, value, text FROM alarms"
    )
    assert run(["catalog", "sql", query, "--catalog", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
