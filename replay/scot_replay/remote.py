"""A recording in an object store, read by ranges: what a question needs, not the files.

pyarrow's own file systems do the talking (S3 and what speaks like it, Google, Azure), so nothing
more is installed. Only reading is offered; a recording is made on a disk, and copied.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from pyarrow import fs as stores

from scot.errors import RecordingError

OPTIONS = frozenset(
    {"region", "scheme", "endpoint_override", "tls_verify_certificates", "enable_tls",
     "blob_storage_authority", "dfs_storage_authority"}
)  # fmt: skip
"""What of a URL says where something lies, and is no secret."""
NOBODY = "anonymous@"
BLOCK = 64 << 10
KEPT_BLOCKS = 256


class Stat(NamedTuple):
    """What is known of a file."""

    st_size: int


@dataclass
class Store:
    """Where recordings lie.

    Attributes:
        system: pyarrow's file system.
        scheme: of its URLs.
        user, query: of its URLs, as they were given; secrets may stand there.
        fetched: bytes that were asked for so far.
    """

    system: Any
    scheme: str
    user: str = ""
    query: str = ""
    fetched: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, size: int) -> None:
        """Note that so many bytes were asked for."""
        with self.lock:
            self.fetched += size


class RemotePath:
    """A path in a store, with as much of `pathlib.Path` as reading needs.

    Args:
        store: where.
        key: bucket and path.
        type_: what is known to lie there, from a listing.
    """

    def __init__(self, store: Store, key: str, type_: Any = None) -> None:
        self.store = store
        self._key = PurePosixPath(key)
        self._known = type_

    @classmethod
    def of(cls, url: str) -> RemotePath:
        """Return the path of a URL, such as ``s3://cases/case-17``.

        Raises:
            RecordingError: no file system of that kind is known, or its options are wrong.
        """
        try:
            system, key = stores.FileSystem.from_uri(url)
        except (ValueError, OSError, ImportError) as error:
            name = url.partition("?")[0]
            scheme, _, rest = name.partition("://")
            shown = f"{scheme}://{rest.rpartition('@')[2]}"  # never a key that stands in it
            why = str(error).replace(url, shown)
            raise RecordingError(f"{shown} cannot be opened: {why}") from None
        scheme, _, rest = url.partition("://")
        before, _, query = rest.partition("?")
        user, at, _ = before.rpartition("@")
        return cls(Store(system, scheme, user + at, query), key)

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.store, str(self._key / name))

    def __str__(self) -> str:
        return f"{self.store.scheme}://{self._key}"

    __repr__ = __str__

    @property
    def source(self) -> str:
        """The URL that opens it again, with the secrets it was opened with."""
        query = f"?{self.store.query}" if self.store.query else ""
        return f"{self.store.scheme}://{self.store.user}{self._key}{query}"

    @property
    def url(self) -> str:
        """The URL that says where it lies, and no secret: who opens it needs keys of their own."""
        options = [o for o in self.store.query.split("&") if o.partition("=")[0] in OPTIONS]
        user = NOBODY if self.store.user == NOBODY else ""
        return (
            f"{self.store.scheme}://{user}{self._key}"
            + ("?" if options else "")
            + "&".join(options)
        )

    @property
    def name(self) -> str:
        """The last part."""
        return self._key.name

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return self._key.stem

    @property
    def suffix(self) -> str:
        """The ending, with its dot."""
        return self._key.suffix

    @property
    def parent(self) -> RemotePath:
        """What it lies in."""
        return RemotePath(self.store, str(self._key.parent))

    def exists(self) -> bool:
        """Say whether there is something."""
        return self._type() is not stores.FileType.NotFound

    def is_dir(self) -> bool:
        """Say whether there is a directory."""
        return self._type() is stores.FileType.Directory

    def is_file(self) -> bool:
        """Say whether there is a file."""
        return self._type() is stores.FileType.File

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield what lies in it."""
        for info in self.store.system.get_file_info(stores.FileSelector(str(self._key))):
            yield RemotePath(self.store, info.path, info.type)

    def stat(self) -> Stat:
        """Return its size; raises OSError when there is no such file."""
        info = self.store.system.get_file_info(str(self._key))
        if info.type is not stores.FileType.File:
            raise FileNotFoundError(2, "No such file", str(self))
        return Stat(info.size)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """Open it to be read."""
        return io.BufferedReader(self.ranges(), BLOCK)

    def ranges(self) -> RangeFile:
        """Open it to be read in pieces."""
        return RangeFile(self.store, self.store.system.open_input_file(str(self._key)))

    def read_bytes(self) -> bytes:
        """Return all of it."""
        with self.ranges() as file:
            return file[0 : len(file)]

    def _type(self) -> Any:
        if self._known is not None:
            return self._known
        try:
            return self.store.system.get_file_info(str(self._key)).type
        except OSError as error:
            raise RecordingError(f"{self} cannot be reached: {error}") from None


class RangeFile(io.RawIOBase):
    """A file that is fetched in blocks as they are needed; also sliced, as an mmap is."""

    def __init__(self, store: Store, file: Any) -> None:
        super().__init__()
        self._store = store
        self._file = file
        self._size: int = file.size()
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: slice) -> bytes:
        start, end, _ = place.indices(self._size)
        if start >= end:
            return b""
        first, last = start // BLOCK, (end - 1) // BLOCK
        with self._lock:
            self._fetch(first, last)
            data = b"".join(self._blocks[number] for number in range(first, last + 1))
            while len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        return data[start - first * BLOCK : end - first * BLOCK]

    def _fetch(self, first: int, last: int) -> None:
        missing = [n for n in range(first, last + 1) if n not in self._blocks]
        if not missing:
            return
        start = missing[0] * BLOCK
        size = min(self._size, (missing[-1] + 1) * BLOCK) - start
        data = self._file.read_at(size, start)
        self._store.count(len(data))
        for number in range(missing[0], missing[-1] + 1):
            at = number * BLOCK - start
            self._blocks[number] = data[at : at + BLOCK]

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read anywhere."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read on from where it stands."""
        data = self[self._at : self._at + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; returns it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return where it stands."""
        return self._at

    def close(self) -> None:
        """Give it back."""
        if not self.closed:
            self._file.close()
        super().close()


class HeldFile:
    """A journal that was fetched whole: it is short, and has no index."""

    def __init__(self, path: RemotePath) -> None:
        self._data = path.read_bytes()

    def size(self) -> int:
        """Return how many bytes it has."""
        return len(self._data)

    def view(self) -> memoryview:
        """Return all of it."""
        return memoryview(self._data)

    def read(self, size: int, at: int) -> bytes:
        """Return up to `size` bytes from byte `at` on."""
        return self._data[at : at + size]

    def close(self) -> None:
        """Forget it."""
        self._data = b""
