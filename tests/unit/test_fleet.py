"""One function over many cases: no outcome is ever lost, whatever dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from scot import fleet
from scot.errors import ConfigError
from tests.golden import made_recording as case


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("cases")
    return [case.make(folder / f"rec{seconds}", seconds) for seconds in (2, 3, 4, 5)]


def deadly(folder: Path) -> Any:
    """A function that a notebook might hold: written inside, not importable.

    rec3 kills its worker the first time, rec5 each time; rec4 fails.
    """

    def count(recording: Any) -> int:
        name = recording.path.name
        mark = folder / name
        if name == "rec5" or (name == "rec3" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "rec4":
            raise ValueError("this case\nhas no pulse")
        return len(list(recording.frames(["monitor/hr"])))

    return count


def check(found: fleet.Outcomes, cases: list[Path]) -> None:
    assert [one.case for one in found] == [str(path) for path in cases]
    assert [one.value for one in found[:2]] == found.values == [2, 3]
    assert found[2].error == "ValueError: this case"
    assert "has no pulse" in found[2].traceback
    assert [one.case for one in found.failed] == [str(path) for path in cases[2:]]


@pytest.mark.timeout(240)  # processes start from nothing
def test_here_a_killed_worker_costs_no_other_case(cases: list[Path], tmp_path: Path) -> None:
    done: list[int] = []
    found = fleet.map(deadly(tmp_path), cases, workers=2, progress=done.append)
    check(found, cases)
    assert found[3].error == fleet.DIED
    assert sum(done) == len(cases)
    table = found.to_pandas()
    assert table["error"].tolist()[:2] == ["", ""]


@pytest.mark.timeout(240)
def test_on_a_cluster_a_killed_worker_costs_no_other_case(
    cases: list[Path], tmp_path: Path
) -> None:
    from distributed import LocalCluster

    made: Any = LocalCluster
    with made(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0",
                      host="127.0.0.1", silence_logs=50) as cluster:  # fmt: skip
        found = fleet.map(deadly(tmp_path), cases[:3], on=cluster.scheduler_address)
    check(found, cases[:3])


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="no scheduler answers at tcp"):
        fleet.map(lambda recording: 1, ["somewhere"], on="tcp://127.0.0.1:9")
