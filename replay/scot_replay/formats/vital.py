"""Vital Recorder's ``.vital`` (VitalDB): written here, read by `vitaldb`.

Each block keeps its own start, as seconds of UTC in a double, which steps by 0.24 µs today; float32
waveforms and float64 numerics keep every bit. What a track of figures cannot say, alarms and notes
for one, is a track of strings.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scot import channel as declare
from scot.channel import Channel, Kind
from scot.errors import RecordingError
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.formats import bounds, signals
from scot_replay.formats.foreign import (
    UNREADABLE,
    Foreign,
    Stream,
    bus_of_utc,
    frame_of,
    numeric,
    placed,
    plain_stream,
)
from scot_replay.formats.units import plain, ucum
from scot_replay.formats.words import WORDS, say
from scot_replay.formats.written import Asked, Written, WrittenChannel, chosen, done, staged

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

NAME = "vital"
MAGIC = b"VITA"
WAVEFORM, NUMERIC, STRING = 1, 2, 5
FLOAT32, FLOAT64 = 1, 2
DEVICE, TRACK, RECORD = 9, 0, 1
WHITE = 0xFFFFFFFF
MAX_VALUES = 100_000  # of one record: a reader gives up beyond 1 MB
POSE = ("x", "y", "z", "qx", "qy", "qz", "qw", "quality", "err_mm")
_INTEGERS = {3: -128, 4: 255, 5: -32768, 6: 65535, 7: -(1 << 31), 8: (1 << 32) - 1}


def write(recording: DirectoryRecording, asked: Asked) -> Written:
    """Write channels as one file.

    Raises:
        RecordingError: nothing fits, `out` exists, or the disk does not take it.
    """
    written = Written(file=str(asked.out), format=NAME)
    known = chosen(recording, asked, written)
    for address, channel in known.items():
        if channel.kind in {Kind.VIDEO, Kind.IMAGE}:
            written.left_out[address] = f".vital has no place for {channel.kind}"
    known = {a: channel for a, channel in known.items() if a not in written.left_out}
    with (
        staged(asked.out, asked.force) as stage,
        gzip.open(stage / asked.out.name, "wb", 6) as file,
    ):
        out = _Out(file, asked.span)
        out.devices([address.split("/")[1] for address in known])
        for number, (address, channel) in enumerate(known.items()):
            asked.progress(number / len(known))
            written.channels[address] = _channel(out, recording, address, channel, asked.span)
        done(asked, written)
    written.files = [str(asked.out)]
    written.notes = [
        "times are seconds of UTC in a double: they step by 0.24 µs",
        "a gap is where no record is; a pose is nine tracks, NAME.x to NAME.err_mm",
    ]
    return written


class _Out:
    """Writes packets.

    Args:
        file: open.
        span: bus ns.
    """

    def __init__(self, file: Any, span: tuple[int, int]) -> None:
        self._file = file
        self._devices: dict[str, int] = {}
        self._tracks = 0
        head = struct.pack("<hIIddB", 0, 0, 0, seconds(span[0]), seconds(span[1]), 0)
        file.write(MAGIC + struct.pack("<IH", 3, len(head)) + head)

    def devices(self, names: list[str]) -> None:
        for number, name in enumerate(dict.fromkeys(names), 1):
            self._devices[name] = number
            self._packet(DEVICE, struct.pack("<I", number) + _text(name) + _text(name) + _text(""))

    def track(
        self, device: str, name: str, kind: int, channel: Channel | None, rate: float = 0
    ) -> int:
        """Say what a track is; return its number."""
        self._tracks += 1
        form = FLOAT64 if kind == NUMERIC else FLOAT32
        unit = plain(channel.unit) if channel else ""
        low, high = (channel.scale_min, channel.scale_max) if channel else (None, None)
        body = struct.pack("<HBB", self._tracks, kind, form) + _text(name) + _text(unit)
        body += struct.pack("<ffIfdd", low or 0, high or 0, WHITE, rate, 1.0, 0.0)
        body += struct.pack("<BII", 0, self._devices[device], 0)
        self._packet(TRACK, body)
        return self._tracks

    def wave(self, track: int, bus_ns: int, values: NDArray[np.float32]) -> None:
        self._record(track, bus_ns, struct.pack("<I", len(values)) + values.astype("<f4").tobytes())

    def number(self, track: int, bus_ns: int, value: float) -> None:
        self._record(track, bus_ns, struct.pack("<d", value))

    def string(self, track: int, bus_ns: int, text: str) -> None:
        self._record(track, bus_ns, struct.pack("<I", 0) + _text(text))

    def _record(self, track: int, bus_ns: int, body: bytes) -> None:
        head = struct.pack("<HdH", 10, seconds(bus_ns), track)
        self._packet(RECORD, head + body)

    def _packet(self, kind: int, body: bytes) -> None:
        self._file.write(struct.pack("<BI", kind, len(body)) + body)


def seconds(bus_ns: int) -> float:
    """Return bus time as seconds of UTC."""
    return (bus_ns - TAI_MINUS_UTC_NS) / 1e9


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def _channel(
    out: _Out,
    recording: DirectoryRecording,
    address: str,
    channel: Channel,
    span: tuple[int, int],
) -> WrittenChannel:
    _, device, name = address.split("/")
    said = WrittenChannel(name=f"{device}/{name}", unit=plain(channel.unit), time_error_s=1.2e-7)
    if channel.kind is Kind.WAVEFORM:
        _waveform(out, recording, address, channel, span, said)
    elif channel.kind is Kind.NUMERIC:
        known = signals.readings(recording, address, span)
        track = out.track(device, name, NUMERIC, channel)
        for at_ns, value in zip(known.times.tolist(), known.values.tolist(), strict=True):
            if not math.isnan(value):
                out.number(track, at_ns, value)
                said.count += 1
        said.gaps = len(recording.channels[address].gaps)
    elif channel.kind is Kind.POSE:
        said.count = _poses(out, recording, address, span)
    elif channel.kind in WORDS:
        track = out.track(device, name, STRING, channel)
        for sample in signals.samples(recording, address, span):
            out.string(track, sample.time.bus_ns, say(sample.value))
            said.count += 1
    return said


def _waveform(
    out: _Out,
    recording: DirectoryRecording,
    address: str,
    channel: Channel,
    span: tuple[int, int],
    said: WrittenChannel,
) -> None:
    _, device, name = address.split("/")
    known = signals.blocks(recording, address, span)
    said.rate_hz = signals.rate_of(channel, known)
    track = out.track(device, name, WAVEFORM, channel, said.rate_hz)
    ends = np.cumsum(known.lengths)
    for at_ns, length, end in zip(
        known.starts.tolist(), known.lengths.tolist(), ends.tolist(), strict=True
    ):
        for first in range(end - length, end, MAX_VALUES):
            since = round((first - end + length) / said.rate_hz * 1e9)
            out.wave(track, at_ns + since, known.values[first : min(first + MAX_VALUES, end)])
    said.count = int((~np.isnan(known.values)).sum())
    said.gaps = len(recording.channels[address].gaps)


def _poses(out: _Out, recording: DirectoryRecording, address: str, span: tuple[int, int]) -> int:
    _, device, name = address.split("/")
    table = recording.to_pandas([address], between=span)
    units = {"x": "mm", "y": "mm", "z": "mm", "err_mm": "mm"}
    times = (table.index.as_unit("ns").asi8 + TAI_MINUS_UTC_NS).tolist()
    for part in POSE:
        channel = declare.Numeric("part", unit=units.get(part, ""))
        track = out.track(device, f"{name}.{part}", NUMERIC, channel)
        for at_ns, value in zip(times, table[f"{address}.{part}"].tolist(), strict=True):
            if not math.isnan(value):
                out.number(track, at_ns, value)
    return int(table[f"{address}.x"].notna().sum())


def read(path: Path, workspace: str) -> Foreign:
    """Return what a file holds; one that was cut short as far as it is whole.

    Raises:
        RecordingError: it cannot be read.
    """
    import vitaldb

    notes: list[str] = []
    try:
        with path.open("rb") as raw:
            notes += _check(raw, path)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            file = vitaldb.VitalFile(str(path))
        if said.getvalue():
            notes.append(f"{path.name}: {said.getvalue().strip()}; what came before it was taken")
        return _foreign(path, workspace, file, notes)
    except UNREADABLE as error:
        raise RecordingError(f"{path} cannot be read as .vital: {error}") from None


def _foreign(path: Path, workspace: str, file: Any, notes: list[str]) -> Foreign:
    begins = min(
        (round(one["dt"] * 1e9) for track in file.trks.values() for one in track.recs[:1]),
        default=0,
    )
    foreign = Foreign(path, NAME, workspace, bus_of_utc(begins), notes=notes)
    shift = foreign.begin_ns - begins
    for number, (name, track) in enumerate(file.trks.items()):
        recs = sorted(track.recs, key=lambda one: one["dt"])
        if recs:
            foreign.streams.append(_taken(foreign, number, name, track, recs, shift))
    return foreign


def _check(raw: BinaryIO, path: Path) -> list[str]:
    """Read a file through once.

    Raises:
        RecordingError: it is no .vital file.
    """
    with gzip.GzipFile(fileobj=raw) as file:
        magic = file.read(4)
        if magic != MAGIC:
            raise RecordingError(f"{path} is no .vital file: it starts with {magic!r}")
        try:
            while file.read(1 << 20):
                bounds.unpacked(path, file.tell())
        except (EOFError, OSError) as error:
            return [f"{path.name} is cut short or damaged ({error}); what is whole was taken"]
    return []


def _taken(
    foreign: Foreign, number: int, name: str, track: Any, recs: list[Any], shift: int
) -> Stream:
    device, channel_name = placed(name.replace(".", "_"), "vital", f"track_{number + 1}")
    foreign.labels.setdefault(device, track.dname or device)
    more = {"unit": ucum(track.unit or ""), "label": {"en": track.name}}
    if track.type == STRING:
        channel = declare.Text(channel_name, latched=False, **more)
        address = foreign.add(device, channel)
        rows = [(round(one["dt"] * 1e9), str(one["val"])) for one in recs]
        return plain_stream(address, channel, rows, shift)
    if track.type == WAVEFORM and track.srate > 0:
        channel = declare.Waveform(channel_name, rate_hz=round(float(track.srate), 6), **more)
        address = foreign.add(device, channel)
        return _blocks(address, channel, track, recs, shift)
    channel = declare.Numeric(channel_name, **more)
    address = foreign.add(device, channel)
    times = np.array([round(one["dt"] * 1e9) for one in recs], np.int64)
    values = _scaled(track, np.array([one["val"] for one in recs]))
    return numeric(address, channel, times, values, shift)


def _blocks(
    address: str, channel: Channel, track: Any, recs: list[Any], shift: int
) -> Iterator[tuple[int, Any]]:
    epoch = max(0, round(recs[0]["dt"] * 1e9) + shift)
    for seq, one in enumerate(recs):
        source = round(one["dt"] * 1e9)
        block = _scaled(track, np.asarray(one["val"])).astype("<f4")
        at = (source + shift, source)
        yield at[0], frame_of(address, channel, seq, at, block, epoch)


def _scaled(track: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return a track's values in its unit; the format's own mark for none is NaN."""
    scaled = values.astype(np.float64)
    if track.fmt in _INTEGERS:
        scaled = np.where(
            scaled == _INTEGERS[track.fmt], np.nan, scaled * track.gain + track.offset
        )
    return scaled
