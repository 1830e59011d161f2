"""What the documents say a test holds is held by a test that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
DOCUMENTS = ["HAZARDS.md", "THREAT_MODEL.md"]


@cache
def functions_of(path: str) -> frozenset[str]:
    """Return the names of a file's test functions."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_that_is_named_exists(document: str) -> None:
    named = NAMED.findall((ROOT / document).read_text("utf-8"))
    assert len(named) >= 20
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or name not in functions_of(path)
    ]
    assert not missing, f"{document} names tests that are not there: {missing}"


def rows(document: str) -> list[str]:
    """Return the rows of a document's tables that name a hazard or an attack."""
    lines = (ROOT / document).read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and "`tests/" in line]


def test_every_hazard_names_what_holds_it() -> None:
    text = (ROOT / "HAZARDS.md").read_text("utf-8")
    table = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert table == rows("HAZARDS.md"), "a hazard without a test"


def test_every_promise_of_the_design_is_held_somewhere() -> None:
    text = "\n".join(rows("HAZARDS.md"))
    missing = [f"P{number}" for number in range(1, 13) if f"P{number}:" not in text]
    assert not missing
