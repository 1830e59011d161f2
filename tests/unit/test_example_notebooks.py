"""The example notebooks run from the first cell to the last, and show what their text says."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scot.channel import Kind
from scot.sample import AlarmValue
from tests.golden.recording_frames import frame
from tests.golden.recording_video import with_video
from tests.golden.recording_writing import write_recording

NOTEBOOKS = Path(__file__).parents[2] / "examples" / "notebooks"
LOST = frozenset({("or1/monitor/hr", 4), ("or1/monitor/hr", 5)})


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("notebooks") / "rec"
    frames = with_video(30.0, LOST)
    off = AlarmValue(id="hr-high", kind="Phy", priority="Me", present=False, channel="hr")
    frames.append(frame("or1/monitor/alarms", Kind.ALARM, 1, 29.99, off))
    write_recording(path, [frames[:900], frames[900:]], sealed=1)
    return path


def run(name: str) -> list[Any]:
    """Run a notebook's cells in order; return what each shows, the value of its last line."""
    cells = re.split(r"^# %%.*\n", (NOTEBOOKS / name).read_text(), flags=re.MULTILINE)
    heads = re.findall(r"^# %%(.*)\n", (NOTEBOOKS / name).read_text(), flags=re.MULTILINE)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown: list[Any] = []
    for head, cell in zip(heads, cells[1:], strict=True):
        if "[markdown]" in head:
            assert all(line.startswith("#") or not line for line in cell.splitlines()), cell
            continue
        tree = ast.parse(cell, name)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)  # noqa: S102 - our own example
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)  # noqa: S307
            shown.append(value)
            picture = getattr(value, "_repr_png_", getattr(value, "_repr_html_", value.__repr__))
            assert picture()
    return shown


@pytest.fixture(autouse=True)
def chosen(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOT_RECORDING", str(recording))


def test_a_first_look_at_a_surgery() -> None:
    rec, state, figure, began, pictures, heart = run("first_look.py")
    assert "rec" in rec.title
    assert len(state) == 7
    assert len(figure.axes) == 3
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert began["id"].tolist() == ["hr-high"]
    assert [shape for shape, _ in pictures] == [(48, 64, 3)] * 3
    assert heart["count"] == 28


def test_heart_rate_beside_the_tools_path() -> None:
    units, speed, slow, correlation, told = run("heart_and_tool.py")
    assert units["tracker/probe.x"] == "mm"
    assert speed["mean"] == pytest.approx(1.0, abs=0.02)  # the made-up tool goes 1 mm/s
    assert slow["seen"].min() > 0.9
    assert -1 <= correlation <= 1
    assert told[0] in {"BEFORE", "AFTER", "CANNOT_TELL"}


def test_clocks_and_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    damage, missing, lost, errors, report, again = run("clocks_and_gaps.py")
    assert damage == []
    assert missing.to_dict() == {"or1/monitor/hr": 2}
    assert isinstance(lost, pd.DataFrame)
    assert len(lost) == 2
    assert "monitor/hr lacks 2 samples" in capsys.readouterr().out
    assert errors.loc["monitor/hr", "err_ms"] == pytest.approx(0.009)
    assert "clock" in report
    assert len(again) == len(report)


def test_every_notebook_is_run_here_and_named_in_the_documentation() -> None:
    names = {path.name for path in NOTEBOOKS.glob("*.py")}
    assert names == {"first_look.py", "heart_and_tool.py", "clocks_and_gaps.py"}
    page = (NOTEBOOKS.parents[1] / "docs" / "howto" / "load_into_pandas.md").read_text()
    assert all(name in page for name in names)
