"""Every input that ever broke a reader, and every seed, is read or refused; none breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.bombs import BOMBS
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert all(any((CORPUS / name).iterdir()) for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_in_the_corpus_breaks_its_reader(name: str) -> None:
    for path in sorted((CORPUS / name).iterdir()):
        data = path.read_bytes()
        for cut in (data, data[: len(data) // 2], data + data):
            try:
                TARGETS[name](cut)
            except Exception as error:
                error.add_note(f"input: {path}, {len(cut)} B of it")
                raise


@pytest.mark.parametrize("name", TARGETS)
def test_no_bomb_breaks_any_reader(name: str) -> None:
    for what, bomb in BOMBS.items():
        for data in (bomb, b"\x00" + bomb, b"\x03" + bomb, b"\x05" + bomb, b"\x07" + bomb):
            try:
                TARGETS[name](data)
            except Exception as error:
                error.add_note(f"bomb: {what}")
                raise
