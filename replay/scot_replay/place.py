"""Where a recording lies, as people name it: a directory, a packed file, or a URL of either."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scot.errors import RecordingError

PACKED = ".mcap"


def place(named: str | Path) -> Path:
    """Return where a recording lies; what lies in a store has what of a path reading needs.

    Raises:
        RecordingError: no store of that kind is known.
    """
    if isinstance(named, str) and "://" in named:
        from scot_replay.remote import RemotePath

        return RemotePath.of(named)  # type: ignore[return-value]
    return Path(named) if isinstance(named, str) else named


def is_here(path: Path) -> bool:
    """Say whether a place is of this machine's file systems."""
    return isinstance(path, Path)


def name_of(path: Path) -> str:
    """Return the last part of a place."""
    return path.absolute().name if is_here(path) else path.name


def url_of(path: Path) -> str:
    """Return where a recording lies, so that it can be noted down: whole, and without a secret."""
    return str(path.resolve()) if is_here(path) else path.url  # type: ignore[attr-defined]


def source_of(path: Path) -> str:
    """Return what `place` makes this place of again, secrets too."""
    return str(path) if is_here(path) else path.source  # type: ignore[attr-defined]


def names_of(url: str) -> tuple[str, str]:
    """Return by which names a noted place may be called: with the options of its URL or without."""
    return url, url.partition("?")[0] if "://" in url else url


def size_of(path: Path) -> int:
    """Return how many bytes lie at a place, what lies in directories in it too."""
    if path.is_file():
        return path.stat().st_size
    return sum(size_of(one) for one in path.iterdir())


def sliced(path: Path) -> Any:
    """Return a file that is read where it is sliced: mapped here, by ranges elsewhere.

    Raises:
        OSError, ValueError: it cannot be read, or is empty.
    """
    if not is_here(path):
        return path.ranges()  # type: ignore[attr-defined]
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def whole(path: Path) -> memoryview:
    """Return all of a file, mapped here, fetched elsewhere.

    Raises:
        OSError: it cannot be read.
    """
    if not is_here(path):
        return memoryview(path.read_bytes())
    with path.open("rb") as file:
        size = path.stat().st_size
        return memoryview(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) if size else b"")


def recordings_at(named: list[str]) -> list[Path]:
    """Return the recordings that are named, and those directly in what is named, each once.

    Raises:
        RecordingError: there is nothing, or no recording in it.
    """
    found: dict[str, Path] = {}
    for one in named:
        path = place(one)
        if not path.exists():
            raise RecordingError(f"{path}: there is no such directory or file; name a recording's")
        for recording in _at(path):
            whole = recording.resolve() if is_here(recording) else recording
            found.setdefault(str(whole), whole)
    return [found[name] for name in sorted(found)]


def _at(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix != PACKED:
            raise RecordingError(f"{path} is a file, and no packed recording (.mcap)")
        return [path]
    inside = list(path.iterdir())
    if has_parts(inside):
        return [path]
    below = [
        one
        for one in inside
        if (one.suffix == PACKED and one.is_file()) or (one.is_dir() and has_parts(one.iterdir()))
    ]
    if not below:
        raise RecordingError(f"{path} is no recording, and none lies directly in it")
    return below


def has_parts(entries: Iterable[Path]) -> bool:
    """Say whether one of these is a journal or a segment, so that a recording lies there."""
    names = (entry.name for entry in entries)
    return any(
        name.startswith(start) and name.endswith(end)
        for name in names
        for start, end in (("segment-", PACKED), ("journal-", ".scotj"))
    )
