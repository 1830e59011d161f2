"""The book of commands: what was begun is there after any crash, and one host has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scot.book import KEPT, Book
from scot.command import Outcome, State
from scot.errors import RoomError


def row(key: str, state: State = State.RUNNING) -> Outcome:
    return Outcome(
        address="or1/pump/pulse",
        key=key,
        state=state,
        arguments={"to": [1.5, "mL/h"]},
        caller="ann",
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "commands" / "pump.book"


def test_rows_are_there_again_and_the_newest_of_a_key_counts(path: Path) -> None:
    book = Book(path)
    assert book.rows == []
    for one in (row("a"), row("b"), row("a", State.DONE)):
        book.append(one, durable=one.state is State.RUNNING)
    book.close()
    again = Book(path)
    assert again.rows == [row("a", State.DONE), row("b")]
    assert again.damaged == 0
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_line_cut_short_anywhere_costs_that_line_only(path: Path) -> None:
    book = Book(path)
    book.append(row("a"), durable=True)
    whole = len(path.read_bytes())
    book.append(row("b"), durable=True)
    book.close()
    data = path.read_bytes()
    for cut in range(whole, len(data)):
        path.write_bytes(data[:cut])
        book = Book(path)
        # The last byte is the line's end: without it the line is whole all the same.
        assert [one.key for one in book.rows] == (["a", "b"] if cut == len(data) - 1 else ["a"])
        book.close()


def test_a_flipped_bit_is_passed_over_and_counted(path: Path) -> None:
    book = Book(path)
    for key in "abc":
        book.append(row(key), durable=True)
    book.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    book = Book(path)
    assert [one.key for one in book.rows] == ["a", "c"]
    assert book.damaged == 1
    book.close()


def test_what_comes_after_a_torn_line_is_whole(path: Path) -> None:
    Book(path).close()
    path.write_bytes(b"0000")  # a host died here
    book = Book(path)
    book.append(row("a"), durable=True)
    book.close()
    book = Book(path)
    assert [one.key for one in book.rows] == ["a"]
    book.close()


def test_one_host_at_a_time_has_it(path: Path) -> None:
    book = Book(path)
    with pytest.raises(RoomError, match="another host of this device"):
        Book(path)
    book.close()
    Book(path).close()


def test_a_folder_nobody_can_write_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "commands").write_text("a file")
    with pytest.raises(RoomError, match="no book of commands"):
        Book(tmp_path / "commands" / "pump.book")


def test_it_does_not_grow_for_ever(path: Path) -> None:
    book = Book(path)
    for number in range(KEPT + 5):
        book.append(row(str(number)), durable=False)
    book.close()
    book = Book(path)
    assert [len(book.rows), book.rows[0].key] == [KEPT, "5"]
    book.close()
