"""A file of another format on its way to a recording.

A foreign file's time is a source time: what the file says, kept as it is. Bus time is that reading
taken for UTC, so that a person finds the day again, and its state is `unsynced`: nobody knows how
far that clock was from the truth. A file without a date begins at 2000-01-01 00:00 UTC.
"""

from __future__ import annotations

import heapq
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from scot.channel import Catalogue, Channel, Device, Lifecycle
from scot.codec import Frame, encode
from scot.errors import CodecError, RecordingError
from scot.sample import Flags, NumericValue, Sample, Validity, Value
from scot.timestamp import TAI_MINUS_UTC_NS, ClockState, Timestamp
from scot_replay.deid import NO_DATE_NS
from scot_replay.layout import Manifest, iso_utc
from scot_replay.new_recording import NewRecording

BLOCK_S = 0.2
WAVEFORM_HZ = 4.0
"""From this rate on an even signal is a waveform; below it each value is a numeric."""
_ADDRESS = re.compile(r"^[a-z][a-z0-9_]{0,62}(/[a-z][a-z0-9_]{0,62}){1,2}$")
_PLAIN = Flags(0)

UNREADABLE = (
    OSError, EOFError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError,
    SyntaxError, RuntimeError, AssertionError, MemoryError, NameError, BufferError, struct.error,
    zlib.error,
    msgspec.MsgspecError, DecodeError, CodecError,
)  # fmt: skip
"""What the libraries raise on files that are not as they expect; found by fuzzing them."""

Stream = Iterator[tuple[int, Frame]]


@dataclass
class Foreign:
    """What a file holds, ready to be recorded.

    Attributes:
        path: of the file.
        format: its name.
        workspace: first part of each address.
        begin_ns: bus time at which it begins.
        channels: by device.
        streams: one a channel, each in order of bus time.
        left_out: what could not be taken, with the reason.
        notes: what a person must know.
        labels: of devices.
    """

    path: Path
    format: str
    workspace: str
    begin_ns: int
    channels: dict[str, dict[str, Channel]] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def add(self, device: str, channel: Channel) -> str:
        """Take a channel and return its address; a name that is taken gets a number."""
        held = self.channels.setdefault(device, {})
        name, number = channel.name, 2
        while name in held:
            name, number = f"{channel.name[:58]}_{number}", number + 1
        held[name] = msgspec.structs.replace(channel, name=name)
        return f"{self.workspace}/{device}/{name}"


class Imported(msgspec.Struct, kw_only=True):
    """What an import made.

    Attributes:
        path: of the recording.
        format: of the file.
        samples: by channel.
        values: of all waveforms and numerics, gaps not counted.
        first, last: UTC, as the file says.
        clock: how its time stands to bus time.
        left_out: what could not be taken, with the reason.
        notes: what a person must know.
    """

    path: str
    format: str
    samples: dict[str, int]
    first: str
    last: str
    clock: str = ClockState.UNSYNCED.label
    left_out: dict[str, str] = {}
    notes: list[str] = []


def bus_of_utc(utc_ns: int) -> int:
    """Return the bus time of a UTC reading; a file without a date begins in 2000."""
    return utc_ns + TAI_MINUS_UTC_NS if utc_ns else NO_DATE_NS


def slug(text: str, otherwise: str) -> str:
    """Return a name that may be part of an address."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60].strip("_")
    if not name:
        return otherwise
    return name if name[0].isalpha() else f"{otherwise}_{name}"[:63]


def placed(text: str, device: str, otherwise: str) -> tuple[str, str]:
    """Return device and channel of a name: one of SCOT's own addresses, or a foreign label."""
    if _ADDRESS.match(text):
        parts = text.split("/")
        return parts[-2], parts[-1]
    if text.count("/") == 1:
        before, after = text.split("/")
        return slug(before, device), slug(after, otherwise)
    return device, slug(text, otherwise)


def frame_of(
    address: str, channel: Channel, seq: int, at: tuple[int, int | None], value: Value, epoch: int
) -> Frame:
    """Return one frame; `at` is bus time and the file's own reading."""
    time = Timestamp(at[1], at[0], None, None, ClockState.UNSYNCED)
    return encode(Sample(address, epoch, seq, time, _PLAIN, value), channel.kind)


def waveform(
    address: str, channel: Channel, values: NDArray[Any], begin: tuple[int, int | None], rate: float
) -> Stream:
    """Yield an even signal as blocks; a block without any value is a missing seq.

    Args:
        address: of it.
        channel: of it.
        values: (n,), NaN where there is none.
        begin: bus time of the first, and the file's own reading.
        rate: values a second.
    """
    size = max(1, min(round(rate * BLOCK_S), 1 << 16))
    for seq, first in enumerate(range(0, len(values), size)):
        block = np.asarray(values[first : first + size], "<f4")
        if np.isnan(block).all():
            continue
        since = round(first / rate * 1e9)
        at = (begin[0] + since, None if begin[1] is None else begin[1] + since)
        yield at[0], frame_of(address, channel, seq, at, block, max(0, begin[0]))


def numeric(
    address: str,
    channel: Channel,
    times_ns: NDArray[np.int64],
    values: NDArray[Any],
    bus_minus_source_ns: int,
    even: bool = False,
) -> Stream:
    """Yield readings, each with its own time; NaN is a reading without a value.

    Args:
        address: of it.
        channel: of it.
        times_ns: the file's own readings, ascending.
        values: (n,).
        bus_minus_source_ns: added to them.
        even: the file has a place for each value, so that NaN is a missing seq.
    """
    epoch = max(0, int(times_ns[0]) + bus_minus_source_ns) if len(times_ns) else 0
    for seq, (source_ns, value) in enumerate(zip(times_ns.tolist(), values.tolist(), strict=True)):
        known = value == value  # noqa: PLR0124 - NaN is not
        if not known and even:
            continue
        reading = NumericValue(float(value)) if known else _NOTHING
        at = (source_ns + bus_minus_source_ns, source_ns)
        yield at[0], frame_of(address, channel, seq, at, reading, epoch)


_NOTHING = NumericValue(None, Validity.NOT_AVAILABLE)


def plain_stream(
    address: str, channel: Channel, values: Iterable[tuple[int, Value]], bus_minus_source_ns: int
) -> Stream:
    """Yield texts, events or any other values, each with its own time."""
    epoch = 0
    for seq, (source_ns, value) in enumerate(values):
        at = (source_ns + bus_minus_source_ns, source_ns)
        epoch = epoch or max(0, at[0])
        yield at[0], frame_of(address, channel, seq, at, value, epoch)


def record(
    foreign: Foreign, out: Path, case: str = "", progress: Callable[[float], None] | None = None
) -> Imported:
    """Make a recording of a file.

    Args:
        foreign: the file.
        out: directory that is made.
        case: number of the case.
        progress: told of the share that is done.

    Raises:
        RecordingError: the file holds nothing, `out` exists, or the disk does not take it.
    """
    if not foreign.streams:
        raise RecordingError(
            f"{foreign.path} holds nothing that can be recorded"
            + "".join(f"; {what}: {why}" for what, why in list(foreign.left_out.items())[:3])
        )
    manifest = Manifest(
        workspace=foreign.workspace,
        case=case,
        started_ns=foreign.begin_ns,
        started=iso_utc(foreign.begin_ns),
        origin=f"import of {foreign.format}",
    )
    counts: dict[str, int] = {}
    last_ns = foreign.begin_ns
    said = progress or (lambda done: None)
    with NewRecording(out, manifest, _catalogue(foreign, case)) as made:
        for number, (bus_ns, frame) in enumerate(_merged(foreign)):
            made.put([frame])
            last_ns = bus_ns
            counts[frame.address] = counts.get(frame.address, 0) + 1
            if not number % 1000:
                said(0.6 * number / (number + 50_000))
        if not counts:
            raise RecordingError(f"{foreign.path} holds channels, and not one value")
        made.finish(last_ns, lambda done, of: said(0.6 + 0.4 * done / of))
    return Imported(
        path=str(out),
        format=foreign.format,
        samples=counts,
        first=iso_utc(foreign.begin_ns),
        last=iso_utc(last_ns),
        left_out=foreign.left_out,
        notes=foreign.notes,
    )


def _merged(foreign: Foreign) -> Stream:
    """Yield all frames in order of bus time.

    Raises:
        RecordingError: a value is none that can be recorded.
    """
    try:
        yield from heapq.merge(*foreign.streams, key=lambda one: one[0])
    except (*UNREADABLE, CodecError) as error:
        raise RecordingError(f"{foreign.path} cannot be read to its end: {error}") from None


def _catalogue(foreign: Foreign, case: str) -> Catalogue:
    known = Catalogue(workspace=foreign.workspace, case=case)
    for name, channels in foreign.channels.items():
        label = foreign.labels.get(name, name)
        device = Device(
            name=name,
            provider=f"import.{foreign.format.lower()}",
            label={"en": label},
            state=Lifecycle.DISCONNECTED,
            epoch=max(0, foreign.begin_ns),
            channels=channels,
        )
        known = known.with_device(device)
    return known
