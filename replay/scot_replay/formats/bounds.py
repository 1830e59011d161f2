"""Looks at what a foreign file declares before anything is made of it.

A header of a few bytes may declare 2^40 values, and a reader that believes it asks for the memory.
What is declared must lie in the file, and unpacked within a limit.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from scot.errors import RecordingError

MAX_UNPACKED = 4 << 30
"""Bytes that a packed file, or a chunk of it, may hold."""
MAX_CHUNK = 1 << 30
MAX_SIGNALS = 10_000
_WORDS = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "double64": 8}
_CHUNK = struct.Struct("<QQQI")  # MCAP: first and last log time, unpacked size, CRC
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def _refuse(path: Path, what: str, declared: int, limit: int, why: str) -> None:
    """Refuse a figure beyond its limit.

    Raises:
        RecordingError: it is.
    """
    if declared > limit:
        raise RecordingError(f"{path} declares {declared:,} {what}, of {limit:,} at most: {why}")


def unpacked(path: Path, size: int) -> None:
    """Look at how much of a packed file was unpacked so far.

    Raises:
        RecordingError: it is too much.
    """
    if size > MAX_UNPACKED:
        raise RecordingError(
            f"{path} unpacks to more than {MAX_UNPACKED:,} B, which is not read; split it"
        )


def edf(path: Path) -> None:
    """Look at the header of an EDF file.

    Raises:
        RecordingError: it declares more signals, or longer records, than the file can hold. One
            that was cut short has fewer records than it declares.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(256)
        records, count = _figure(head[236:244]), _figure(head[252:256])
        _refuse(path, "signals", count, (size - 256) // 256, f"the file has {size:,} B")
        file.seek(256 + 216 * count)
        each = file.read(8 * count)
    values = sum(max(0, _figure(each[at : at + 8])) for at in range(0, len(each), 8))
    left = (size - 256 * (count + 1)) // 2
    _refuse(path, "values in one record", values, max(0, left), f"the file has {size:,} B")
    _refuse(path, "values", max(1, records) * values, MAX_UNPACKED // 2, "split it")


def _figure(text: bytes) -> int:
    """Return the number that a field of an EDF header holds; 0 when it holds none."""
    found = re.fullmatch(rb" *(-?[0-9]{1,8}) *", text)
    return int(found[1]) if found else 0


def wfdb(stem: Path) -> None:
    """Look at the header of a WFDB record.

    Raises:
        RecordingError: it declares more signals or values than its files can hold, or names files
            that lie elsewhere.
    """
    path = stem.with_name(f"{stem.name}.hea")
    rows = [row for row in path.read_text("utf-8", "replace").splitlines() if row.strip()]
    rows = [row.split() for row in rows if not row.startswith("#")]  # type: ignore[misc]
    if not rows:
        return
    first = [*rows[0], "", "", ""]
    count, length = _whole(first[1]), _whole(first[3])
    _refuse(path, "signals", count, min(MAX_SIGNALS, len(rows) - 1), f"it has {len(rows)} lines")
    held = values = 0
    for row in rows[1 : count + 1]:
        name, form = row[0], row[1] if len(row) > 1 else ""
        if "/" in name or "\\" in name:
            raise RecordingError(f"{path} names {name!r}, which lies elsewhere; copy it beside it")
        a_frame = re.search(r"x(\d+)", form)
        values += length * (_whole(a_frame[1]) if a_frame else 1)
    for name in {row[0] for row in rows[1 : count + 1]}:
        held += _size(path.with_name(name))
    # a byte holds a value, or eight of a FLAC that is all silence
    _refuse(path, "values", values, 8 * held, f"its files have {held:,} B")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _whole(text: str) -> int:
    found = re.match(r"[0-9]{1,20}", text)
    return int(found[0]) if found else 0


def xdf(path: Path) -> None:
    """Look at the chunks of an XDF file.

    Raises:
        RecordingError: one declares more samples than it can hold.
    """
    widths: dict[bytes, int] = {}
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(4)
        for tag, length in _chunks(file, size):
            if tag == 2:
                stream, head = file.read(4), file.read(min(length - 4, 1 << 20))
                widths[stream] = _width(path, head, size)
            elif tag == 3:
                stream, count = file.read(4), _varied(file)
                least = 1 + widths.get(stream, 1)
                why = f"their chunk has {length:,} B"
                _refuse(path, "samples in one chunk", count, length // least, why)


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield tag and length of each chunk, where its content begins; up to what is none."""
    while True:
        length = _varied(file) - 2
        tag = int.from_bytes(file.read(2), "little")
        at = file.tell()
        if length < 0 or at + length > size:
            return
        yield tag, length
        file.seek(at + length)


def _varied(file: BinaryIO) -> int:
    """Return a number behind the count of its bytes; 0 when there is none."""
    count = int.from_bytes(file.read(1), "little")
    return int.from_bytes(file.read(count), "little") if count in {1, 4, 8} else 0


def _width(path: Path, head: bytes, size: int) -> int:
    """Return how many bytes a sample of a stream takes at least."""
    found = re.search(rb"<channel_count>\s*(\d{1,20})", head)
    form = re.search(rb"<channel_format>\s*(\w+)", head)
    count = int(found[1]) if found else 1
    _refuse(path, "channels of a stream", count, min(size, MAX_SIGNALS), "no stream has more")
    return count * _WORDS.get(form[1].decode() if form else "", 1)


def mcap(path: Path) -> None:
    """Look at the chunks of an MCAP file.

    Raises:
        RecordingError: one declares more bytes than are unpacked here.
    """
    why = "a viewer could not open it either; write it again in smaller chunks"
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(8)
        while len(head := file.read(9)) == 9:
            opcode, length = head[0], int.from_bytes(head[1:], "little")
            at = file.tell()
            _refuse(path, "bytes of a record", length, max(MAX_CHUNK, size - at), why)
            if opcode == 0x06 and len(fixed := file.read(_CHUNK.size)) == _CHUNK.size:
                _refuse(path, "bytes of a chunk", _CHUNK.unpack(fixed)[2], MAX_CHUNK, why)
                _refuse(path, "bytes of a chunk", _unpacked(file), MAX_CHUNK, why)
            if at + length > size:
                return
            file.seek(at + length)


def _unpacked(file: BinaryIO) -> int:
    """Return what the packed bytes of a chunk themselves say they become; 0 when they do not."""
    import zstandard

    named = int.from_bytes(file.read(4), "little")
    file.read(min(named, 64) + 8)
    head = file.read(18)
    if not head.startswith(_ZSTD_MAGIC):
        return 0
    try:
        return max(0, zstandard.frame_content_size(head))
    except zstandard.ZstdError:
        return 0
