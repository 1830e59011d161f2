"""XDF 1.0 (github.com/sccn/xdf), what LabRecorder writes: written here, read by `pyxdf`.

Every sample keeps its own time, in seconds from the recording's start, so a double holds each
nanosecond; the start itself, in UTC and in bus time, stands in the file's header. A waveform states
the time of each block, and the rate between. What is no figure is a stream of strings.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import struct
import xml.etree.ElementTree as ET  # only to write
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot import channel as declare
from scot.channel import Channel, Kind
from scot.errors import RecordingError
from scot.sample import AlarmValue, AnnotationValue, PoseValue, Value
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.formats import bounds, signals
from scot_replay.formats.foreign import (
    BLOCK_S,
    UNREADABLE,
    Foreign,
    Stream,
    bus_of_utc,
    frame_of,
    numeric,
    plain_stream,
    slug,
)
from scot_replay.formats.units import ucum
from scot_replay.formats.words import WORDS
from scot_replay.formats.written import Asked, Written, WrittenChannel, chosen, done, staged
from scot_replay.layout import iso_utc

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

NAME = "XDF"
S = 1_000_000_000
MAGIC = b"XDF:"
BOUNDARY = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
HEADER, STREAM, SAMPLES, BETWEEN, FOOTER = 1, 2, 3, 5, 6
POSE = ("x", "y", "z", "qx", "qy", "qz", "qw", "quality", "err_mm")
_OURS = "scot"


def write(recording: DirectoryRecording, asked: Asked) -> Written:
    """Write channels as one file, a stream each.

    Raises:
        RecordingError: nothing fits, `out` exists, or the disk does not take it.
    """
    written = Written(file=str(asked.out), format=NAME)
    known = chosen(recording, asked, written)
    for address, channel in known.items():
        if channel.kind in {Kind.VIDEO, Kind.IMAGE}:
            written.left_out[address] = f"XDF has no place for {channel.kind}"
    known = {a: channel for a, channel in known.items() if a not in written.left_out}
    with staged(asked.out, asked.force) as stage, (stage / asked.out.name).open("wb") as file:
        file.write(MAGIC)
        _xml(file, HEADER, b"", "info", {"version": "1.0", "datetime": iso_utc(asked.span[0]),
                                         "bus_ns": str(asked.span[0])})  # fmt: skip
        for number, (address, channel) in enumerate(known.items(), 1):
            asked.progress(number / len(known))
            written.channels[address] = _stream(
                file, recording, (number, address), channel, asked.span
            )
            _chunk(file, BETWEEN, BOUNDARY)
        done(asked, written)
    written.files = [str(asked.out)]
    written.notes = [
        "times are seconds from the start, which the header gives in UTC and in bus time; exact to "
        "the ns. Read them with dejitter_timestamps=False, or the reader moves them",
        "a gap is where no sample is",
    ]
    return written


def _chunk(file: Any, tag: int, *content: bytes) -> None:
    length = 2 + sum(map(len, content))
    file.write(b"\x04" + struct.pack("<IH", length, tag))
    for part in content:
        file.write(part)


def _xml(file: Any, tag: int, before: bytes, root: str, fields: dict[str, Any]) -> None:
    tree = ET.Element(root)
    _fill(tree, fields)
    _chunk(file, tag, before, b'<?xml version="1.0"?>' + ET.tostring(tree, "utf-8"))


def _fill(element: ET.Element, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            child = ET.SubElement(element, name)
            if isinstance(one, dict):
                _fill(child, one)
            else:
                child.text = str(one)


def _stream(
    file: Any,
    recording: DirectoryRecording,
    which: tuple[int, str],
    channel: Channel,
    span: tuple[int, int],
) -> WrittenChannel:
    number, address = which
    said = WrittenChannel(name=address.split("/", 1)[-1], unit=channel.unit, time_error_s=1e-9)
    blocks = None
    if channel.kind is Kind.WAVEFORM:
        blocks = signals.blocks(recording, address, span)
        said.rate_hz = signals.rate_of(channel, blocks)
    parts = POSE if channel.kind is Kind.POSE else ("",)
    form = "float32" if blocks else "string" if channel.kind in WORDS else "double64"
    key = struct.pack("<I", number)
    _xml(file, STREAM, key, "info", {
        "name": said.name,
        "type": channel.kind.value,
        "channel_count": len(parts),
        "nominal_srate": said.rate_hz,
        "channel_format": form,
        "source_id": address,
        "desc": {
            "channels": {"channel": [
                {"label": part or channel.name, "unit": _unit(channel, part)} for part in parts
            ]},
            _OURS: {"address": address, "channel": msgspec.json.encode(channel).decode()},
        },
    })  # fmt: skip
    times, samples = [span[0], span[0]], 0
    for at_ns, count, values, body in _chunks(recording, address, channel, span, blocks):
        _chunk(file, SAMPLES, key, b"\x04" + struct.pack("<I", count), body)
        said.count += values
        times[:] = [times[0] if samples else at_ns, at_ns]
        samples += count
    said.gaps = len(recording.channels[address].gaps)
    _xml(file, FOOTER, key, "info", {
        "first_timestamp": (times[0] - span[0]) / S,
        "last_timestamp": (times[1] - span[0]) / S,
        "sample_count": samples,
    })  # fmt: skip
    return said


def _unit(channel: Channel, part: str) -> str:
    if channel.kind is Kind.POSE:
        return "mm" if part in {"x", "y", "z", "err_mm"} else ""
    return channel.unit


def _chunks(
    recording: DirectoryRecording,
    address: str,
    channel: Channel,
    span: tuple[int, int],
    blocks: signals.Blocks | None,
) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield bus time, samples, values that are known, and body of each chunk."""
    if blocks is not None:
        ends = np.cumsum(blocks.lengths).tolist()
        rows = zip(blocks.starts.tolist(), blocks.lengths.tolist(), ends, strict=True)
        for at_ns, length, end in rows:
            block = blocks.values[end - length : end]
            if length:
                known = int((~np.isnan(block)).sum())
                yield at_ns, length, known, _block(_stamp(at_ns, span), block)
        return
    for sample in signals.samples(recording, address, span):
        at_ns, stamp = sample.time.bus_ns, _stamp(sample.time.bus_ns, span)
        if channel.kind in WORDS:
            data = _words(sample.value)
            yield at_ns, 1, 1, stamp + b"\x04" + struct.pack("<I", len(data)) + data
        else:
            row = _figures(sample.value, bool(sample.flags & signals.INVALID))
            known = int(not np.isnan(row[0]))
            yield at_ns, 1, known, stamp + struct.pack(f"<{len(row)}d", *row)


def _stamp(bus_ns: int, span: tuple[int, int]) -> bytes:
    return b"\x08" + struct.pack("<d", (bus_ns - span[0]) / S)


def _block(stamp: bytes, block: NDArray[np.float32]) -> bytes:
    """Return a block's samples: the first with its time, the others a period after another."""
    rows = np.zeros((len(block), 5), np.uint8)
    rows[:, 1:] = block.astype("<f4").view(np.uint8).reshape(-1, 4)
    return stamp + rows.tobytes()[1:]


def _words(value: Value) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def _figures(value: Any, invalid: bool) -> list[float]:
    nan = float("nan")
    if isinstance(value, PoseValue):
        quality = nan if value.quality is None else value.quality
        err_mm = nan if value.err_mm is None else value.err_mm
        if invalid or not value.visible:
            return [nan] * 7 + [quality, nan]
        return [*value.position_mm, *value.orientation, quality, err_mm]
    none = invalid or value.value is None or value.validity in signals.NO_VALUE
    return [nan if none else value.value]


def read(path: Path, workspace: str) -> Foreign:
    """Return what a file holds.

    The streams' clocks are brought together as the file's own clock offsets say, and no time is
    smoothed. The file's time zero is the date in its header, if it has one.

    Raises:
        RecordingError: it cannot be read.
    """
    import pyxdf

    logging.getLogger("pyxdf").setLevel(logging.CRITICAL)
    try:
        bounds.xdf(path)
        streams, header = pyxdf.load_xdf(str(path), dejitter_timestamps=False)
        ours = _one(header.get("info", {}), "bus_ns")
        zero = int(ours) - TAI_MINUS_UTC_NS if ours else _zero(header, streams)
        foreign = Foreign(path, NAME, workspace, bus_of_utc(zero))
        for number, stream in enumerate(streams):
            _take(foreign, number, stream, zero)
    except UNREADABLE as error:
        raise RecordingError(f"{path} cannot be read as XDF: {error}") from None
    if not ours:
        foreign.notes.append(
            "times count from the first sample, which was put at the date in the file's header: "
            "they agree with each other, not with UTC"
        )
    return foreign


def _one(fields: Any, name: str) -> str:
    found = fields.get(name) if isinstance(fields, dict) else None
    return str(found[0]) if found and found[0] is not None else ""


def _zero(header: Any, streams: list[Any]) -> int:
    """Return the UTC, ns, at which the file's clock read 0, taken from the header's date."""
    stamps = [s["time_stamps"][0] for s in streams if len(s["time_stamps"])]
    first = round(min(stamps, default=0.0) * S)
    begins = NOTHING
    with contextlib.suppress(ValueError):
        begins = datetime.fromisoformat(_one(header.get("info", {}), "datetime"))
    begins = begins.replace(tzinfo=begins.tzinfo or UTC)
    utc_ns = (begins - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    return utc_ns - first


NOTHING = datetime(2000, 1, 1, tzinfo=UTC)


def _take(foreign: Foreign, number: int, stream: Any, zero: int) -> None:
    info = stream["info"]
    stamps = np.asarray(stream["time_stamps"], np.float64)
    if not len(stamps):
        foreign.left_out[_one(info, "name") or f"stream {number + 1}"] = "has no samples"
        return
    times = zero + np.round(stamps * S).astype(np.int64)
    desc = (info.get("desc") or [None])[0]
    ours = ((desc or {}).get(_OURS) or [None])[0]
    shift = foreign.begin_ns - zero
    if ours:
        channel = msgspec.json.decode(_one(ours, "channel"), type=Channel)
        device = _one(ours, "address").split("/")[1]
        address = foreign.add(device, channel)
        foreign.streams.append(_own(address, channel, times, stream["time_series"], shift))
        return
    name = _one(info, "name") or f"stream {number + 1}"
    device = slug(name, f"stream_{number + 1}")
    foreign.labels.setdefault(device, name)
    _foreign(foreign, device, stream, desc, (times, shift))


def _foreign(
    foreign: Foreign, device: str, stream: Any, desc: Any, when: tuple[NDArray[np.int64], int]
) -> None:
    times, shift = when
    info = stream["info"]
    series = stream["time_series"]
    rate = float(_one(info, "nominal_srate") or 0)
    labels = _channels(desc, int(_one(info, "channel_count")))
    if _one(info, "channel_format") == "string":
        for place, (label, _) in enumerate(labels):
            channel = declare.Text(label, latched=False)
            address = foreign.add(device, channel)
            rows = [(at, str(row[place])) for at, row in zip(times.tolist(), series, strict=True)]
            foreign.streams.append(plain_stream(address, channel, rows, shift))
        return
    table = np.asarray(series, np.float64)
    for place, (label, unit) in enumerate(labels):
        if rate > 0:
            channel = declare.Waveform(label, unit=unit, rate_hz=rate)
            address = foreign.add(device, channel)
            stream_ = _even(address, channel, times, table[:, place], shift)
        else:
            channel = declare.Numeric(label, unit=unit)
            address = foreign.add(device, channel)
            stream_ = numeric(address, channel, times, table[:, place], shift)
        foreign.streams.append(stream_)


def _channels(desc: Any, count: int) -> list[tuple[str, str]]:
    """Return name and unit of each channel of a stream."""
    described = ((desc or {}).get("channels") or [None])[0]
    found = (described or {}).get("channel") or []
    names: list[tuple[str, str]] = []
    for place in range(count):
        one = found[place] if place < len(found) and found[place] else {}
        name = slug(_one(one, "label"), f"channel_{place + 1}")
        names.append((name, ucum(_one(one, "unit"))))
    return names


def _own(
    address: str, channel: Channel, times: NDArray[np.int64], series: Any, shift: int
) -> Stream:
    if channel.kind is Kind.WAVEFORM:
        return _even(address, channel, times, np.asarray(series)[:, 0], shift)
    if channel.kind is Kind.NUMERIC:
        return numeric(address, channel, times, np.asarray(series)[:, 0], shift)
    rows = zip(times.tolist(), series, strict=True)
    values = ((at, _value(channel.kind, row)) for at, row in rows)
    return plain_stream(address, channel, values, shift)


def _value(kind: Kind, row: Any) -> Value:
    if kind is Kind.TEXT:
        return str(row[0])
    if kind is Kind.POSE:
        x, y, z, qx, qy, qz, qw, quality, err_mm = (float(one) for one in row)
        seen = not np.isnan(x)
        where = ((x, y, z), (qx, qy, qz, qw)) if seen else ((0.0,) * 3, (0.0, 0.0, 0.0, 1.0))
        return PoseValue(
            *where,
            None if np.isnan(quality) else quality,
            seen,
            None if np.isnan(err_mm) else err_mm,
        )
    types: dict[Kind, Any] = {Kind.ALARM: AlarmValue, Kind.ANNOTATION: AnnotationValue}
    value: Value = msgspec.json.decode(row[0], type=types.get(kind, dict[str, Any]))
    return value


def _even(
    address: str, channel: Channel, times: NDArray[np.int64], values: NDArray[Any], shift: int
) -> Stream:
    """Yield a signal as blocks that follow its times to half a period."""
    rate = channel.rate_hz or 1.0
    size = max(1, min(round(rate * BLOCK_S), 1 << 16))
    period = S / rate
    jumps = np.abs(np.diff(times) - period) > period / 2
    edges = [0, *(np.flatnonzero(jumps) + 1).tolist(), len(times)]
    epoch = max(0, int(times[0]) + shift)
    seq = 0
    for begin, end in itertools.pairwise(edges):
        for first in range(begin, end, size):
            source = int(times[first])
            block = np.asarray(values[first : min(first + size, end)], "<f4")
            at = (source + shift, source)
            yield at[0], frame_of(address, channel, seq, at, block, epoch)
            seq += 1
