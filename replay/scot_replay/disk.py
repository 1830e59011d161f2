"""The disk as a journal sees it: files that are written at a place and forced down.

`Directory` is the machine's own; the simulation has one that loses what was not forced down.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any, Protocol

from scot_replay.layout import sync_directory


class File(Protocol):
    """One open file; every method raises OSError when the disk does not do it."""

    def size(self) -> int:
        """Return how many bytes it has."""

    def read(self, size: int, at: int) -> bytes:
        """Return up to `size` bytes from byte `at` on."""

    def view(self) -> memoryview:
        """Return all of it, to be read once."""

    def write(self, data: bytes, at: int) -> None:
        """Write all of `data` from byte `at` on; when it fails, a part may be written."""

    def truncate(self, size: int) -> None:
        """Cut it to `size` bytes."""

    def sync(self) -> None:
        """Force down what was written; when it fails, what was not down yet may be gone."""

    def again(self) -> File:
        """Return it opened once more, to be forced down and closed by another thread."""

    def close(self) -> None:
        """Give it back."""


class Disk(Protocol):
    """Where the files of one recording lie.

    Attributes:
        path: how the directory is called.
    """

    path: Path

    def create(self, name: str, data: bytes) -> File:
        """Make a file with `data`, both forced down with its name; nothing is left on failure.

        Raises:
            OSError: the name is taken, or the disk does not take it.
        """

    def left(self) -> int:
        """Return how many bytes are free for us; -1 when it cannot say."""


class OpenFile:
    """A file of the machine's own.

    Args:
        descriptor: open; it is closed with this object.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def reading(cls, path: Path) -> OpenFile:
        """Open a file to be read.

        Raises:
            OSError: it cannot be.
        """
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def size(self) -> int:
        """Return how many bytes it has."""
        return os.fstat(self._descriptor).st_size

    def read(self, size: int, at: int) -> bytes:
        """Return up to `size` bytes from byte `at` on."""
        return os.pread(self._descriptor, size, at)

    def view(self) -> memoryview:
        """Return all of it, mapped."""
        if not self.size():
            return memoryview(b"")
        return memoryview(mmap.mmap(self._descriptor, 0, prot=mmap.PROT_READ))

    def write(self, data: bytes, at: int) -> None:
        """Write at a place, so that a try that failed half way is written over."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._descriptor, view, at)
            view, at = view[done:], at + done

    def truncate(self, size: int) -> None:
        """Cut it to `size` bytes."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Force down what was written (fdatasync: the length, not the times)."""
        os.fdatasync(self._descriptor)

    def again(self) -> OpenFile:
        """Return it opened once more."""
        return OpenFile(os.dup(self._descriptor))

    def close(self) -> None:
        """Give it back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class Directory:
    """A directory of the machine's own; it exists."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, name: str, data: bytes) -> OpenFile:
        """Make a file with `data`, both forced down with its name; nothing is left on failure."""
        path = self.path / name
        file = OpenFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        try:
            file.write(data, 0)
            file.sync()
            sync_directory(self.path)
        except OSError:
            file.close()
            path.unlink(missing_ok=True)
            raise
        return file

    def left(self) -> int:
        """Return how many bytes are free for us; -1 when it cannot say."""
        try:
            disk: Any = os.statvfs(self.path)
        except OSError:
            return -1
        left: int = disk.f_bavail * disk.f_frsize
        return left
