"""What an export says of itself, and the temporary place it is written in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scot.channel import Channel
from scot.errors import RecordingError

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

Progress = Callable[[float], None]


class WrittenChannel(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How one channel came out.

    Attributes:
        name: in the file.
        unit: in the file.
        rate_hz: in the file; 0 when each value has a time of its own.
        count: values written, those of gaps not counted.
        gaps: stretches without values, and how they are said is in the format's notes.
        resolution: the finest step of a value, in its unit; 0 when every bit is kept.
        max_error: greatest difference between a value and what a reader gets; measured.
        time_error_s: greatest difference between a sample's bus time and its time in the file.
        shifted: values left out, or places without a value put in, because the device's clock
            does not run at the rate the file states.
    """

    name: str
    unit: str = ""
    rate_hz: float = 0.0
    count: int = 0
    gaps: int = 0
    resolution: float = 0.0
    max_error: float = 0.0
    time_error_s: float = 0.0
    shifted: int = 0


class Written(msgspec.Struct, kw_only=True):
    """What an export wrote.

    Attributes:
        file: that was asked for.
        format: its name.
        files: all of them.
        channels: by address.
        left_out: by address, why.
        notes: what a reader must know.
    """

    file: str
    format: str
    files: list[str] = []
    channels: dict[str, WrittenChannel] = {}
    left_out: dict[str, str] = {}
    notes: list[str] = []


class Asked(msgspec.Struct, kw_only=True):
    """What an export is asked for.

    Attributes:
        out: file to write.
        channels: addresses.
        span: from inclusive, to exclusive, bus ns.
        force: write over what is there.
        progress: told of the share that is done.
        named: the channels were named by a person: one that cannot be written is an error.
    """

    out: Path
    channels: list[str]
    span: tuple[int, int]
    force: bool = False
    progress: Progress = lambda done: None
    named: bool = False


def chosen(recording: DirectoryRecording, asked: Asked, written: Written) -> dict[str, Channel]:
    """Return the channels that have samples, with those that have none noted as left out."""
    found: dict[str, Channel] = {}
    known = recording.channels
    for address in asked.channels:
        if known[address].count:
            found[address] = recording.channel(address)
        else:
            written.left_out[address] = "has no samples"
    return found


def done(asked: Asked, written: Written) -> Written:
    """Return what was written.

    Raises:
        RecordingError: nothing was, or a channel that was named was not.
    """
    if asked.named and written.left_out:
        address, why = next(iter(written.left_out.items()))
        raise RecordingError(f"{address} cannot be written as {written.format}: {why}")
    if not written.channels:
        raise RecordingError(
            f"nothing to write as {written.format}: no channel fits; `scot info` names them"
        )
    return written


@contextmanager
def staged(out: Path, force: bool) -> Iterator[Path]:
    """Give a temporary directory; what lies in it at the end is moved beside `out`.

    Raises:
        RecordingError: `out` exists and `force` is not set, or the disk does not take it.
    """
    if out.exists() and not force:
        raise RecordingError(f"{out} exists; name another file, or add --force")
    stage: Path | None = None
    try:
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        yield stage
        fresh = sorted(stage.iterdir())
        taken = [f.name for f in fresh if (out.parent / f.name).exists()]
        if taken and not force:
            raise RecordingError(
                f"{out.parent / taken[0]} exists; name another file, or add --force"
            )
        for file in fresh:
            file.replace(out.parent / file.name)
    except OSError as error:
        why = error.strerror or str(error)
        raise RecordingError(f"{out} cannot be written: {why}") from None
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
