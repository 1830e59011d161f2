"""What is fuzzed of recordings and of other people's files: imports, columns, ledgers, levels."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from scot.bus.reply import read_reply
from scot.channel import Kind
from scot.errors import UNREADABLE, CodecError, RecordingError
from scot_replay import sidecar
from scot_replay.formats.commands import READERS
from scot_replay.formats.foreign import Foreign, _merged
from scot_replay.layout import segment_path
from scot_replay.ledger.log import MAGIC, Item, encode_line
from scot_replay.ledger.read import Ledger
from scot_replay.levels import of_level
from scot_replay.segment import SegmentPart
from tests.golden.recording_frames import case, catalogue
from tests.golden.recording_writing import write_recording

ADDRESS = "or1/monitor/hr"
KNOWN = catalogue()
_KEPT: list[tempfile.TemporaryDirectory[str]] = []
_MEMORY = Path("/dev/shm")  # noqa: S108 - only what a fuzzer made up goes there
SHARED = _MEMORY if _MEMORY.is_dir() else None
TAKEN = 500  # frames of a file that are looked at


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder in memory, where there is such a thing."""
    with tempfile.TemporaryDirectory(dir=SHARED) as name:
        yield Path(name)


def imported(suffix: str) -> Callable[[bytes], None]:
    """Return the target of a format: a file is read, or refused in one line."""

    def target(data: bytes) -> None:
        with folder() as path:
            file = path / f"rec{suffix}"
            file.write_bytes(data)
            if suffix == ".hea":
                (path / "rec.dat").write_bytes(bytes(1000))
            with contextlib.suppress(RecordingError):
                module: Any = import_module(READERS[suffix])
                found: Foreign = module.read(file, "or1")
                for _ in islice(_merged(found), TAKEN):
                    pass

    return target


@cache
def segment() -> Path:
    """Return a sealed segment with its columns; it is made once and never changed."""
    made = tempfile.TemporaryDirectory(prefix="scot-fuzz-", dir=SHARED)
    _KEPT.append(made)  # it goes when this process ends
    path = Path(made.name)
    write_recording(path, [case(0.5)], sealed=1)
    return segment_path(path, 1)


COLUMNS = ("index", "numeric", "waveform", "pose", "events", "video", "levels")


def columns(data: bytes) -> None:
    """First byte: which file beside a segment. Whatever is in it, the samples are read."""
    if not data:
        return
    name, body = COLUMNS[data[0] % len(COLUMNS)], data[1:]
    with folder() as path:
        shutil.copytree(segment().parent, path, copy_function=os.link, dirs_exist_ok=True)
        here = segment_path(path, 1)
        if name == "index":
            try:
                index = msgspec.msgpack.decode(body, type=sidecar.Index)
                own = msgspec.structs.replace(index, segment=sidecar.identity(here))
                body = msgspec.msgpack.encode(own)
            except UNREADABLE:
                own = None
            sidecar.index_path(path, 1).unlink()
            checked = sidecar.MAGIC + zlib.crc32(body).to_bytes(4, "little") + body
            sidecar.index_path(path, 1).write_bytes(checked)
            if own is None:  # not believed; the segment is read without it, as tests have it
                assert sidecar.read_index(here, 1) is None
                return
        else:
            sidecar.file_path(path, 1, name).unlink(missing_ok=True)
            sidecar.file_path(path, 1, name).write_bytes(body)
        with contextlib.suppress(RecordingError):
            part = SegmentPart(here, 1)
            for address in part.addresses():
                channel = KNOWN.channel(address)
                with contextlib.suppress(RecordingError):
                    part.rows(address, channel.kind if channel else Kind.NUMERIC, 0, 1 << 62)
                part.level(address, 4_000_000_000)
            part.close()


def ledger(data: bytes) -> None:
    """A whole file, and behind a right checksum one record of it."""
    for file in (data, MAGIC + encode_line(Item(1 + data[0] % 3 if data else 1), data[1:])):
        with contextlib.suppress(RecordingError):
            found = Ledger(file, Path("ledger.scotl"))
            assert 0 <= found.covered <= len(found.entries)


def levels(data: bytes) -> None:
    """History's answer with levels is sound, or refused."""
    with contextlib.suppress(CodecError):
        for level in read_reply([data], [ADDRESS]).levels.values():
            found = of_level(level)
            assert len(found.start_ns) == len(found.low) == len(found.high) == len(found.count)
            assert np.all(found.count >= 0)


READ = {
    "columns": columns,
    "edf": imported(".edf"),
    "ledger": ledger,
    "levels": levels,
    "mcap": imported(".mcap"),
    "vital": imported(".vital"),
    "wfdb_import": imported(".hea"),
    "xdf": imported(".xdf"),
}
