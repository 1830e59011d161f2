"""EDF+ (Kemp & Olivan 2003), by `edfio`: 16-bit signals, and annotations for the rest.

A signal is 16 bits over its own range; values that lie on a ladder of steps, as an ADC makes them,
are put on exactly that ladder. The least number, -32768, is kept for "no value", and each stretch
of it is an annotation. The file begins at a whole second of UTC, and each signal has one rate.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scot import channel as declare
from scot.channel import Channel, Kind, Sensitivity
from scot.errors import RecordingError
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.formats import bounds, signals
from scot_replay.formats.foreign import (
    UNREADABLE,
    WAVEFORM_HZ,
    Foreign,
    bus_of_utc,
    numeric,
    placed,
    plain_stream,
    waveform,
)
from scot_replay.formats.units import plain, ucum
from scot_replay.formats.words import WORDS
from scot_replay.formats.words import lines as lines_of
from scot_replay.formats.written import Asked, Written, WrittenChannel, chosen, done, staged

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

NAME = "EDF+"
S = 1_000_000_000
NO_VALUE = -32768
LOWEST, HIGHEST = -32767, 32767
MAX_RECORD_S = 60
OURS = "no-value-is-minus-32768"
_ONSET = re.compile(rb"^([+-]\d+(?:\.\d+)?)")


class _Signal(NamedTuple):
    address: str
    channel: Channel
    rate: Fraction
    grid: signals.Grid


def write(recording: DirectoryRecording, asked: Asked) -> Written:
    """Write channels as EDF+C.

    Raises:
        RecordingError: nothing fits, `out` exists, or the disk does not take it.
    """
    written = Written(file=str(asked.out), format=NAME)
    known = chosen(recording, asked, written)
    start_ns = asked.span[0] - (asked.span[0] - TAI_MINUS_UTC_NS) % S
    begins = datetime.fromtimestamp((start_ns - TAI_MINUS_UTC_NS) // S, UTC)
    if not 1985 <= begins.year <= 2084:
        raise RecordingError(f"{begins:%Y} is not a year that EDF can say, 1985 to 2084")
    record_s = _record_s(known, written)
    end_ns = signals.ends_ns(recording, known, asked.span)
    records = math.ceil((end_ns - start_ns) / S / record_s)
    from edfio import Edf, EdfAnnotation, Recording

    made: list[Any] = []
    notes: list[EdfAnnotation] = []
    for number, (address, channel) in enumerate(known.items()):
        asked.progress(number / len(known))
        if address in written.left_out:
            continue
        if channel.kind in WORDS:
            said_lines = list(lines_of(recording, address, asked.span))
            notes += [EdfAnnotation((at - start_ns) / S, None, text) for at, text in said_lines]
            written.channels[address] = WrittenChannel(
                name="EDF Annotations", count=len(said_lines)
            )
            continue
        length_s = Fraction(record_s * records)
        even = signals.even(recording, address, channel, asked.span, start_ns, length_s)
        signal = _Signal(address, channel, *even)
        one, said = _encoded(signal, {signal.label for signal in made})
        made.append(one)
        notes += _gap_notes(signal, said.name)
        written.channels[address] = said
    done(asked, written)
    file = Edf(
        made,
        recording=Recording(startdate=begins.date(), equipment_code="scot-bus", additional=(OURS,)),
        starttime=begins.time(),
        data_record_duration=record_s if made else 0,
        annotations=notes,
    )
    with staged(asked.out, asked.force) as stage:
        file.write(stage / asked.out.name)
    written.files = [str(asked.out)]
    written.notes = [
        "values are 16 bits: `resolution` and `max_error` say what that costs each channel",
        "a place without a value holds -32768 and is named by an annotation 'no value: …'",
        "times lie on one even grid a signal, from a whole second of UTC on",
    ]
    return written


def _record_s(known: dict[str, Channel], written: Written) -> int:
    """Return how long a data record must be so that each signal has a whole number in it."""
    lengths = [1]
    for address, channel in known.items():
        if channel.kind in {Kind.WAVEFORM, Kind.NUMERIC}:
            rate = signals.fraction(channel.rate_hz or signals.NUMERIC_HZ)
            if rate.denominator > MAX_RECORD_S or not rate:
                written.left_out[address] = (
                    f"{channel.rate_hz} Hz is no whole number in {MAX_RECORD_S} s"
                )
            else:
                lengths.append(rate.denominator)
        elif channel.kind not in WORDS:
            written.left_out[address] = f"EDF+ has no place for a {channel.kind}"
    length = math.lcm(*lengths)
    if length > MAX_RECORD_S:
        raise RecordingError(
            f"these rates fit together only in records of {length} s; name fewer channels with -c"
        )
    return length


def _encoded(signal: _Signal, taken: set[str]) -> tuple[Any, WrittenChannel]:
    from edfio import EdfSignal

    values = signal.grid.values
    low, high, digital_max = _range(values)
    gain = (high - low) / (digital_max - NO_VALUE)
    digital = np.full(len(values), NO_VALUE, np.int16)
    known = ~np.isnan(values)
    rungs = np.round((values[known] - low) / gain) + NO_VALUE
    digital[known] = np.clip(rungs, LOWEST, digital_max)
    read = (digital[known].astype(np.float64) - NO_VALUE) * gain + low
    label = _label(signal.address, taken)
    unit = plain(signal.channel.unit)
    one = EdfSignal.from_digital(
        digital,
        float(signal.rate),
        label=label,
        transducer_type=signal.address[:80],
        physical_dimension=unit if len(unit) <= 8 and unit.isascii() else "",
        physical_range=(low, high),
        digital_range=(NO_VALUE, digital_max),
        prefiltering=signal.channel.code[:80],
    )
    return one, WrittenChannel(
        name=label,
        unit=unit,
        rate_hz=float(signal.rate),
        count=int(known.sum()),
        gaps=signals.gaps_within(values),
        resolution=gain,
        max_error=float(np.max(np.abs(read - values[known]), initial=0.0)),
        time_error_s=signal.grid.time_error_s,
        shifted=signal.grid.shifted,
    )


def _range(values: NDArray[np.float64]) -> tuple[float, float, int]:
    """Return the physical values of -32768 and of the highest number, and that number."""
    ladder = signals.step_of(values, HIGHEST - LOWEST)
    if ladder is not None:
        step, origin = ladder
        rungs = max(1, round((np.nanmax(values, initial=origin) - origin) / step))
        low = _eight(origin - step, ROUND_HALF_EVEN)
        high = _eight(origin + rungs * step, ROUND_HALF_EVEN)
        return low, high, LOWEST + rungs
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    step = (most - least) / (HIGHEST - LOWEST)
    return _eight(least - step, ROUND_FLOOR), _eight(most, ROUND_CEILING), HIGHEST


def _eight(value: float, rounding: str) -> float:
    """Return a number near `value` that eight characters say exactly.

    Raises:
        RecordingError: there is none.
    """
    exact = Decimal(repr(value))
    for places in range(6, -1, -1):
        rounded = exact.quantize(Decimal(1).scaleb(-places), rounding=rounding)
        text = f"{rounded:f}"
        short = text.rstrip("0").rstrip(".") if "." in text else text
        if len(short) <= 8:
            return float(rounded)
    raise RecordingError(f"{value} does not fit into the eight characters that EDF has for it")


def _label(address: str, taken: set[str]) -> str:
    """Return the last 16 characters that name a channel, and no other here."""
    name = address.split("/", 1)[-1]
    label, number = name if len(name) <= 16 else name.rsplit("/", 1)[-1][:16], 2
    while label in taken:
        label, number = f"{label[: 15 - len(str(number))]}~{number}", number + 1
    return label


def _gap_notes(signal: _Signal, label: str) -> Iterator[Any]:
    from edfio import EdfAnnotation

    for first, last in signals.gaps(signal.grid.values):
        onset, length = float(first / signal.rate), float((last - first) / signal.rate)
        yield EdfAnnotation(onset, length, f"no value: {label}")


def read(path: Path, workspace: str) -> Foreign:
    """Return what an EDF or EDF+ file holds; one that is not continuous, too.

    Raises:
        RecordingError: it cannot be read.
    """
    from edfio import read_edf

    try:
        bounds.edf(path)
        file = read_edf(path)
        begins = _begins(file)
        foreign = Foreign(path, NAME, workspace, bus_of_utc(begins))
        onsets = _onsets(file)
        for number, signal in enumerate(file.signals):
            _take(foreign, number, signal, (begins, onsets), file.data_record_duration)
        notes = [one for one in file.annotations if not one.text.startswith("no value: ")]
    except UNREADABLE as error:
        raise RecordingError(f"{path} cannot be read as EDF: {error}") from None
    if notes:
        channel = declare.Text("annotations", latched=False)
        address = foreign.add("edf", channel)
        rows = [(begins + round(one.onset * S), one.text) for one in sorted(notes)]
        shift = foreign.begin_ns - begins
        foreign.streams.append(plain_stream(address, channel, rows, shift))
    patient = file.local_patient_identification
    if patient.replace("X", "").strip():
        channel = declare.Text("patient", sensitivity=Sensitivity.IDENTITY)
        address = foreign.add("edf", channel)
        shift = foreign.begin_ns - begins
        foreign.streams.append(plain_stream(address, channel, [(begins, patient)], shift))
    return foreign


def _begins(file: Any) -> int:
    """Return when a file begins: ns since 1970 by its own clock, 0 when it does not say."""
    try:
        begins: datetime = file.startdatetime.replace(tzinfo=UTC)
    except ValueError:  # an anonymised date
        return 0
    if begins.year == 1985 and begins.month == 1 and begins.day == 1:
        return 0
    return (begins - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _onsets(file: Any) -> NDArray[np.float64]:
    """Return when each data record begins, s from the start of the file."""
    even = np.arange(file.num_data_records) * float(file.data_record_duration)
    keeping = next(iter(file._annotation_signals), None)  # the library keeps it to itself
    if keeping is None or file.is_continuous:
        return even
    rows = keeping.digital.reshape(file.num_data_records, -1)
    found = [_ONSET.match(row.tobytes()) for row in rows]
    onsets = np.array([float(one[1]) if one else np.nan for one in found])
    return np.where(np.isnan(onsets), even, onsets - math.floor(onsets[0]))


def _take(
    foreign: Foreign,
    number: int,
    signal: Any,
    when: tuple[int, NDArray[np.float64]],
    record_s: float,
) -> None:
    begins, onsets = when
    name = signal.transducer_type.strip()
    if name.count("/") != 2:
        name = signal.label
    device, channel_name = placed(name, "edf", f"signal_{number + 1}")
    rate = float(signal.sampling_frequency)
    values = np.array(signal.data, np.float64)
    values[_nothing(signal)] = np.nan
    ours = signal.prefiltering.startswith("MDC_")
    more = {"unit": ucum(signal.physical_dimension), "rate_hz": rate, "label": {"en": signal.label}}
    more |= {"code": signal.prefiltering} if ours else {}
    shift = foreign.begin_ns - begins
    for first, last, onset in _runs(onsets, record_s):
        part = values[round(first * record_s * rate) : round(last * record_s * rate)]
        source = begins + round(onset * S)
        if rate >= WAVEFORM_HZ:
            channel = declare.Waveform(channel_name, **more)
            if not first:
                address = foreign.add(device, channel)
            stream = waveform(address, channel, part, (source + shift, source), rate)
        else:
            channel = declare.Numeric(channel_name, **more)
            if not first:
                address = foreign.add(device, channel)
            times = source + np.round(np.arange(len(part)) / rate * S).astype(np.int64)
            stream = numeric(address, channel, times, part, shift, even=True)
        foreign.streams.append(stream)


def _nothing(signal: Any) -> NDArray[np.bool_]:
    """Return where our own files hold no value."""
    if signal.transducer_type.count("/") == 2 and signal.digital_min == NO_VALUE:
        found: NDArray[np.bool_] = signal.digital == NO_VALUE
        return found
    return np.zeros(len(signal.digital), bool)


def _runs(onsets: NDArray[np.float64], record_s: float) -> list[tuple[int, int, float]]:
    """Return stretches of data records that follow each other: first, last, onset in s."""
    if not len(onsets):
        return []
    breaks = np.flatnonzero(np.abs(np.diff(onsets) - record_s) > 1e-6) + 1
    edges = [0, *breaks.tolist(), len(onsets)]
    return [(a, b, float(onsets[a])) for a, b in itertools.pairwise(edges)]
