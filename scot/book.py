"""The book of a device's commands: what was begun, on the disk before it begins.

One line a row: a CRC-32 in hexadecimal, a blank, the row as JSON. A line that is cut short or does
not match is passed over. One process at a time has the book, so two hosts of one device never both
execute.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from scot.command import Outcome
from scot.errors import RoomError

KEPT: Final = 10_000
"""Keys that a book goes on with when it is opened; older ones have long expired."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Outcome).decode


class Book:
    """Open with the file's path; its folder is made.

    Attributes:
        rows: what it held: of each key the newest row, in the order in which keys began.
        damaged: lines passed over.

    Raises:
        RoomError: another process has it, or it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found = {row.key: row for row in self._read(path)}
                self.rows = list(found.values())[-KEPT:]
                _rewrite(path, self.rows)
                self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
            except BaseException:
                os.close(self._lock)
                raise
        except BlockingIOError:
            raise RoomError(
                f"{path}: another host of this device has the book of commands"
            ) from None
        except OSError as error:
            raise RoomError(f"{path}: no book of commands ({error.strerror})") from None

    def append(self, row: Outcome, *, durable: bool) -> None:
        """Write a row; with `durable`, return only when it is on the disk.

        Raises:
            OSError: it is not there, or may not be.
        """
        line = _line(row)
        written = os.write(self._file, line)
        if written < len(line):
            os.write(self._file, b"\n")  # so that the next line is whole
            raise OSError(f"only {written} of {len(line)} bytes were written")
        if durable:
            os.fdatasync(self._file)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)
        os.close(self._lock)

    def _read(self, path: Path) -> Iterator[Outcome]:
        if not path.exists():
            return
        for line in path.read_bytes().split(b"\n"):
            check, _, data = line.partition(b" ")
            if not line:
                continue
            if check != b"%08x" % zlib.crc32(data):
                self.damaged += 1
                continue
            yield _decode(data)


def _line(row: Outcome) -> bytes:
    data = _encode(row)
    return b"%08x %s\n" % (zlib.crc32(data), data)


def _rewrite(path: Path, rows: list[Outcome]) -> None:
    """Replace the book by these rows, whole or not at all."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(map(_line, rows))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
