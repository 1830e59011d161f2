"""The directory of a recording: its names and its manifest.

::

    recordings/20261124T034608Z-or1/
        manifest.json       who, when, which format
        segment-1.mcap      sealed: five minutes each, opened by any MCAP reader
        journal-2.scotj     not sealed yet: the last minutes, or what a crash left
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from scot import __version__
from scot.errors import RecordingError
from scot.timestamp import TAI_MINUS_UTC_NS

FORMAT = 1
MANIFEST = "manifest.json"
DAMAGED = "damaged"  # broken files that a recovery in place replaced
WORK = ".recovery"
_JOURNAL = re.compile(r"^journal-(\d{1,6})\.scotj$")
_SEGMENT = re.compile(r"^segment-(\d{1,6})\.mcap$")


class NewerVersionError(RecordingError):
    """A recording, or a part of it, was written by a later release."""


class Manifest(msgspec.Struct, kw_only=True):
    """What ``manifest.json`` says.

    Attributes:
        format: version of the directory's layout.
        workspace, case: of the room; a case is a number, never a name.
        started_ns, finished_ns: bus time; `finished_ns` is None until an orderly end.
        started, finished: the same as UTC, for people.
        scot: release that wrote it.
        session: tells the run of the room from others; a recorder that restarts goes on in it.
        origin: what it was made from (``clip``, ``import of EDF+``); empty for what was recorded.
        origin_head: root of that recording's ledger, hexadecimal; empty when it has none.
        recovered: when and how `scot recover` made it; empty when it did not.
        keep_last_s: only so much of what was before the trigger was kept; 0 keeps all. The first
            parts are then missing, and that is no damage.
        encrypted: id of the key that payloads are encrypted with; empty when they are not.
        triggered: since when all is kept, as UTC; empty until then.
    """

    format: int = FORMAT
    workspace: str = ""
    case: str = ""
    started_ns: int = 0
    started: str = ""
    finished_ns: int | None = None
    finished: str | None = None
    scot: str = __version__
    session: str = ""
    origin: str = ""
    origin_head: str = ""
    recovered: str = ""
    keep_last_s: float = 0.0
    encrypted: str = ""
    triggered: str = ""


@dataclass
class Layout:
    """What lies in a recording's directory; `doubles` have the number of another file."""

    path: Path
    journals: dict[int, Path] = field(default_factory=dict)
    segments: dict[int, Path] = field(default_factory=dict)
    doubles: list[Path] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the parts, ascending; one may have a journal and a segment."""
        return sorted({*self.journals, *self.segments})

    @property
    def unsealed(self) -> list[int]:
        """Numbers of the journals without a segment, ascending."""
        return sorted(set(self.journals) - set(self.segments))


def journal_path(directory: Path, number: int) -> Path:
    """Return where journal `number` lies."""
    return directory / f"journal-{number}.scotj"


def segment_path(directory: Path, number: int) -> Path:
    """Return where segment `number` lies."""
    return directory / f"segment-{number}.mcap"


def iso_utc(bus_ns: int) -> str:
    """Return a bus time as UTC in ISO 8601, to the millisecond."""
    ns = bus_ns - TAI_MINUS_UTC_NS
    stamp = datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{ns // 1_000_000 % 1000:03d}Z"


def bus_ns_of(utc: str) -> int:
    """Return the bus time of UTC as `iso_utc` writes it.

    Raises:
        ValueError: it is written otherwise.
    """
    since_s = datetime.fromisoformat(utc).timestamp()
    return round(since_s * 1000) * 1_000_000 + TAI_MINUS_UTC_NS


def directory_name(bus_ns: int, workspace: str, case: str) -> str:
    """Return the name of a recording that starts now: UTC, workspace and case."""
    seconds = (bus_ns - TAI_MINUS_UTC_NS) // 1_000_000_000
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
    safe_case = re.sub(r"[^A-Za-z0-9_.-]+", "_", case).strip("._-")
    return "-".join(part for part in (stamp, workspace, safe_case) if part)


def list_parts(path: Path) -> Layout:
    """Return what lies in a recording's directory.

    Raises:
        RecordingError: there is no such directory, or nothing in it was recorded.
    """
    if not path.exists():
        raise RecordingError(f"{path}: there is no such directory; name one of a recording")
    if not path.is_dir():
        raise RecordingError(f"{path} is a file; name the recording's directory, which holds it")
    layout, other = Layout(path), 0
    for entry in sorted(path.iterdir(), key=lambda entry: (len(entry.name), entry.name)):
        found = _JOURNAL.match(entry.name) or _SEGMENT.match(entry.name)
        if found is None:
            other += entry.name != MANIFEST
            continue
        files = layout.journals if entry.suffix == ".scotj" else layout.segments
        if files.setdefault(int(found[1]), entry) is not entry:
            layout.doubles.append(entry)  # its number is written with zeros in front
    if not layout.numbers:
        if (path / MANIFEST).exists() or not other:
            raise RecordingError(
                f"{path} is empty: no journal-N.scotj and no segment-N.mcap; nothing was recorded"
            )
        raise RecordingError(
            f"{path} is not a recording: among its {other} files is no journal-N.scotj and no "
            "segment-N.mcap; name the directory that holds them"
        )
    return layout


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest of the directory; None when it has none.

    Raises:
        RecordingError: it is of a newer version, or not readable.
    """
    file = path / MANIFEST
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    return parse_manifest(data, str(file))


def parse_manifest(data: bytes, name: str) -> Manifest:
    """Return the manifest in `data`.

    Raises:
        RecordingError: it is of a newer version, or not readable.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordingError(
            f"{name} cannot be read: {error}; remove it to open the recording without it"
        ) from None
    if manifest.format > FORMAT:
        raise NewerVersionError(
            f"{name} is of format {manifest.format} (scot-bus {manifest.scot}), this release "
            f"reads up to {FORMAT}; install a newer scot-bus"
        )
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as its file has it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest so that a crash leaves the old one or the new one."""
    file, fresh = path / MANIFEST, path / f"{MANIFEST}.part"
    data = encode_manifest(manifest)
    with fresh.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(file)
    sync_directory(path)


def hold(path: Path) -> int | None:
    """Say to other processes that a recording is being made or repaired.

    Returns:
        A descriptor that holds it until it is closed; None when another process has it.

    Raises:
        OSError: the directory cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        pass  # a file system without locks: nobody can be asked
    return handle


def sync_directory(path: Path) -> None:
    """Make names that were just given survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
