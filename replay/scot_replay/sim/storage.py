"""A disk that forgets: what was not forced down is gone when the power goes, or half there.

It also runs full, refuses to write, fails to sync (and then has lost the pages, as fsync(2) of
Linux does), takes its time, and flips a bit.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random


class _Inode:
    """A file: what programs read, what is down, and what lies between.

    Attributes:
        data: as read back while the power is on.
        down: as it is after a power cut.
        dirty: changes that are not down, oldest first: where, and bytes or the new size.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.down = bytearray()
        self.dirty: list[tuple[int, bytes | None]] = []


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        content.extend(bytes(at - len(content)))
        return
    if at > len(content):
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


class SimulatedFile:
    """One open file (`scot_replay.disk.File`)."""

    def __init__(self, disk: SimulatedDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._until = -1  # sync forces down what was written before `again`, and no more

    def size(self) -> int:
        """Return how many bytes it has."""
        return len(self._inode.data)

    def read(self, size: int, at: int) -> bytes:
        """Return up to `size` bytes from byte `at` on."""
        return bytes(self._inode.data[at : at + size])

    def view(self) -> memoryview:
        """Return a copy of all of it."""
        return memoryview(bytes(self._inode.data))

    def write(self, data: bytes, at: int) -> None:
        """Write; on a disk without room for all of it a part may be written."""
        self._disk.check_write()
        room = self._disk.left()
        grows = max(0, at + len(data) - len(self._inode.data))
        taken = data if grows <= room else data[: len(data) - (grows - max(0, room))]
        if taken:
            _apply(self._inode.data, at, taken)
            self._inode.dirty.append((at, bytes(taken)))
        if len(taken) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def truncate(self, size: int) -> None:
        """Cut it."""
        self._disk.check_write()
        _apply(self._inode.data, size, None)
        self._inode.dirty.append((size, None))

    def sync(self) -> None:
        """Force down; a sync that fails has lost the changes, and the next one does not know."""
        inode = self._inode
        until = len(inode.dirty) if self._until < 0 else self._until
        dirty, inode.dirty = inode.dirty[:until], inode.dirty[until:]
        if self._disk.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        for at, data in dirty:
            _apply(inode.down, at, data)

    def again(self) -> SimulatedFile:
        """Return it opened once more."""
        other = SimulatedFile(self._disk, self._inode)
        other._until = len(self._inode.dirty)
        return other

    def close(self) -> None:
        """Give it back."""


class SimulatedDisk:
    """A disk with one directory (`scot_replay.disk.Disk`).

    Attributes:
        capacity: bytes.
        write_fails, sync_fails: answers EIO.
        slow_ns: how long each write or sync takes.
        flipped: files in which a bit was flipped, and where.
    """

    def __init__(self, random: Random) -> None:
        self.path = Path("/recording")
        self.capacity = 1 << 40
        self.write_fails = False
        self.sync_fails = False
        self.slow_ns = 0
        self.flipped: list[tuple[str, int]] = []
        self._random = random
        self._files: dict[str, _Inode] = {}

    def names(self) -> list[str]:
        """Names of the files, in the order they were made."""
        return list(self._files)

    def left(self) -> int:
        """Return how many bytes are free."""
        return self.capacity - sum(len(inode.data) for inode in self._files.values())

    def check_write(self) -> None:
        """Raise OSError while the disk does not write."""
        if self.write_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def create(self, name: str, data: bytes) -> SimulatedFile:
        """Make a file with `data`, forced down with its name."""
        if name in self._files:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        inode = self._files[name] = _Inode()
        file = SimulatedFile(self, inode)
        try:
            file.write(data, 0)
            file.sync()
        except OSError:
            del self._files[name]
            raise
        return file

    def open(self, name: str) -> SimulatedFile:
        """Open a file."""
        return SimulatedFile(self, self._files[name])

    def power_cut(self) -> None:
        """Lose what is not down; of that a part, torn anywhere, may be down all the same."""
        for inode in self._files.values():
            content = bytearray(inode.down)
            keep = self._random.choice((0.0, self._random.random()))
            for at, data in inode.dirty:
                if self._random.random() > keep:
                    continue
                torn = self._random.randrange(len(data) + 1) if data else 0
                _apply(content, at, data[:torn] if data else data)
            inode.down, inode.data, inode.dirty = content, bytearray(content), []

    def flip(self, safe: Callable[[str], int]) -> None:
        """Flip a bit of what is down in one file, within the first `safe(name)` bytes."""
        names = [name for name in self._files if safe(name) > 64]
        if not names:
            return
        name = self._random.choice(names)
        inode = self._files[name]
        at = self._random.randrange(8, min(safe(name), len(inode.down)))
        bit = 1 << self._random.randrange(8)
        for content in (inode.data, inode.down):
            content[at] ^= bit
        self.flipped.append((name, at))

    def down(self, name: str) -> bytes:
        """Return what of a file is down."""
        return bytes(self._files[name].down)

    def data(self, name: str) -> bytes:
        """Return a file as programs read it."""
        return bytes(self._files[name].data)
