"""WFDB records (PhysioNet), by `wfdb`: header(5), signal(5) and annot(5) of the WFDB package.

Signals have 32 bits in format 32, or 16 when their values lie on a ladder of at most 65,534 steps
as an ADC makes them: then each value comes back exactly. A place without a value has the format's
own mark, so it reads as NaN. The rest is an annotation file, extension ``scot``.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, time
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scot import channel as declare
from scot.channel import Channel, Kind
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

NAME = "WFDB"
S = 1_000_000_000
MAX_PER_FRAME = 10_000
EXTENSION = "scot"
_RUNGS = (1 << 16) - 2


class _Signal(NamedTuple):
    digital: NDArray[np.int64]
    per_frame: int
    form: str
    gain: float
    baseline: int


def write(recording: DirectoryRecording, asked: Asked) -> Written:
    """Write channels as one record: ``NAME.hea`` with ``NAME.dat`` beside it.

    Raises:
        RecordingError: nothing fits, a file exists, or the disk does not take it.
    """
    written = Written(file=str(asked.out), format=NAME)
    known = chosen(recording, asked, written)
    start_ns = asked.span[0] - (asked.span[0] - TAI_MINUS_UTC_NS) % S
    frame_hz = _frame_hz(known, written)
    end_ns = signals.ends_ns(recording, known, asked.span)
    frames = math.ceil((end_ns - start_ns) * frame_hz / S)
    stem = asked.out.with_suffix("").name
    made: dict[str, _Signal] = {}
    notes: list[tuple[int, str]] = []
    for number, (address, channel) in enumerate(known.items()):
        asked.progress(number / len(known))
        if address in written.left_out:
            continue
        if channel.kind in WORDS:
            said = list(lines_of(recording, address, asked.span))
            notes += [(round((at - start_ns) * frame_hz / S), text) for at, text in said]
            written.channels[address] = WrittenChannel(name=f"{stem}.{EXTENSION}", count=len(said))
            continue
        seconds = frames / frame_hz
        rate, grid = signals.even(recording, address, channel, asked.span, start_ns, seconds)
        made[address], written.channels[address] = _encoded(address, channel, rate, frame_hz, grid)
    if not made:
        written.channels.clear()
    done(asked, written)
    with staged(asked.out, asked.force) as stage:
        _store(stage, stem, made, (frame_hz, start_ns), known)
        _annotate(stage, stem, notes, float(frame_hz))
        written.files = [str(asked.out.parent / f.name) for f in sorted(stage.iterdir())]
    written.notes = [
        "a place without a value reads as NaN",
        "times lie on one even grid a signal, from a whole second of UTC on",
    ]
    return written


def _frame_hz(known: dict[str, Channel], written: Written) -> Fraction:
    """Return how many frames a second hold a whole number of each signal's values."""
    rates: list[Fraction] = []
    for address, channel in known.items():
        if channel.kind in {Kind.WAVEFORM, Kind.NUMERIC}:
            rates.append(signals.fraction(channel.rate_hz or signals.NUMERIC_HZ))
        elif channel.kind not in WORDS:
            written.left_out[address] = f"WFDB has no place for a {channel.kind}"
    if not rates:
        return Fraction(1)
    above = reduce(math.gcd, (rate.numerator for rate in rates))
    found = Fraction(above, math.lcm(*(rate.denominator for rate in rates)))
    if max(rates) / found > MAX_PER_FRAME:
        raise RecordingError(
            f"these rates fit together only with {max(rates) / found} values a frame; name fewer "
            "channels with -c"
        )
    return found


def _encoded(
    address: str, channel: Channel, rate: Fraction, frame_hz: Fraction, grid: signals.Grid
) -> tuple[_Signal, WrittenChannel]:
    values = grid.values
    known = ~np.isnan(values)
    form, gain, baseline = _scale(values[known])
    digital = np.full(len(values), -(1 << (int(form) - 1)), np.int64)
    digital[known] = np.round(values[known] * gain + baseline).astype(np.int64)
    read = (digital[known] - baseline) / gain
    per_frame = int(rate / frame_hz)
    return _Signal(digital, per_frame, form, gain, baseline), WrittenChannel(
        name=address.split("/", 1)[-1],
        unit=_unit(channel.unit),
        rate_hz=float(rate),
        count=int(known.sum()),
        gaps=signals.gaps_within(values),
        resolution=1 / gain,
        max_error=float(np.max(np.abs(read - values[known]), initial=0.0)),
        time_error_s=grid.time_error_s,
        shifted=grid.shifted,
    )


def _scale(values: NDArray[np.float64]) -> tuple[str, float, int]:
    """Return format, gain and baseline for values that are all known.

    32 bits over a power of two: a float32 keeps every bit unless it is 128 times smaller than the
    greatest one.
    """
    if not len(values):
        return "16", 1.0, 0
    ladder = signals.step_of(values, _RUNGS)
    if ladder is not None:
        gain = _snapped(1 / ladder[0])
        rungs = np.round(values * gain)
        if np.max(np.abs(values * gain - rungs)) < 0.01 and np.max(np.abs(rungs)) < 1 << 30:
            return "16", gain, -round((np.min(rungs) + np.max(rungs)) / 2)
    _, exponent = math.frexp(float(np.max(np.abs(values))))
    return "32", math.ldexp(1.0, 30 - exponent), 0


def _snapped(gain: float) -> float:
    """Return the gain as an ADC's maker wrote it, when that is within what float32 tells apart."""
    for places in range(4):
        if abs(round(gain, places) - gain) <= 1e-5 * gain:
            return round(gain, places)
    return gain


def _store(
    stage: Path,
    stem: str,
    made: dict[str, _Signal],
    when: tuple[Fraction, int],
    known: dict[str, Channel],
) -> None:
    import wfdb

    frame_hz, start_ns = when
    begins = datetime.fromtimestamp((start_ns - TAI_MINUS_UTC_NS) // S, UTC)
    files = {"16": f"{stem}.dat", "32": f"{stem}_32.dat"}
    order = sorted(made, key=lambda address: made[address].form)
    ordered = [made[address] for address in order]
    record = wfdb.Record(
        record_name=stem,
        n_sig=len(ordered),
        fs=float(frame_hz),
        sig_len=len(ordered[0].digital) // ordered[0].per_frame,
        base_time=begins.time(),
        base_date=begins.date(),
        file_name=[files[one.form] for one in ordered],
        fmt=[one.form for one in ordered],
        samps_per_frame=[one.per_frame for one in ordered],
        adc_gain=[one.gain for one in ordered],
        baseline=[one.baseline for one in ordered],
        units=[_unit(known[a].unit) for a in order],
        adc_res=[int(one.form) for one in ordered],
        adc_zero=[0] * len(ordered),
        block_size=[0] * len(ordered),
        sig_name=[address.split("/", 1)[-1] for address in order],
        comments=["written by scot-bus; times are UTC"],
    )
    record.e_d_signal = [one.digital for one in ordered]
    record.init_value = [int(one.digital[0]) for one in ordered]
    record.checksum = record.calc_checksum(expanded=True)
    record.wrsamp(expanded=True, write_dir=str(stage))


def _unit(unit: str) -> str:
    """Return a unit as a header can hold it: without blanks, and not beginning with a slash."""
    text = plain(unit).replace(" ", "") or "nu"
    return f"1{text}" if text.startswith("/") else text


def _annotate(stage: Path, stem: str, notes: list[tuple[int, str]], frame_hz: float) -> None:
    if not notes:
        return
    import wfdb

    notes.sort()
    wfdb.wrann(
        stem,
        EXTENSION,
        np.array([max(0, place) for place, _ in notes]),
        symbol=['"'] * len(notes),
        aux_note=[_short(text) for _, text in notes],
        fs=frame_hz,
        write_dir=str(stage),
    )


def _short(text: str) -> str:
    """Return a text of at most 254 bytes of UTF-8, which is all that an annotation holds."""
    return text.encode()[:254].decode(errors="ignore")


def read(path: Path, workspace: str) -> Foreign:
    """Return what a record holds.

    Raises:
        RecordingError: it cannot be read, or has several segments.
    """
    import wfdb

    stem = path.with_suffix("") if path.suffix in {".hea", ".dat"} else path
    try:
        bounds.wfdb(stem)
        record: Any = wfdb.rdrecord(str(stem), smooth_frames=False, physical=True)
        if not hasattr(record, "e_p_signal") or record.e_p_signal is None:
            raise ValueError("it has several segments or no signals; give one of its segments")
        begins = _begins(record)
        foreign = Foreign(path, NAME, workspace, bus_of_utc(begins))
        for number, values in enumerate(record.e_p_signal):
            _take(foreign, record, number, np.asarray(values, np.float64), begins)
    except FileNotFoundError as error:
        raise RecordingError(
            f"{error.filename}: there is no such file; a record's .hea and .dat belong together"
        ) from None
    except UNREADABLE as error:
        raise RecordingError(f"{path} cannot be read as WFDB: {error}") from None
    _take_notes(foreign, stem, float(record.fs), begins)
    return foreign


def _begins(record: Any) -> int:
    if record.base_date is None:
        return 0
    begin = datetime.combine(record.base_date, record.base_time or time(0), tzinfo=UTC)
    return round(begin.timestamp() * 1e6) * 1000


def _take(
    foreign: Foreign, record: Any, number: int, values: NDArray[np.float64], begins: int
) -> None:
    label = record.sig_name[number] or f"signal {number + 1}"
    device, name = placed(label, "wfdb", f"signal_{number + 1}")
    rate = float(record.fs) * record.samps_per_frame[number]
    unit = ucum(record.units[number] or "")
    more: dict[str, Any] = {"unit": "" if unit == "nu" else unit, "rate_hz": rate,
                            "label": {"en": label}}  # fmt: skip
    if rate >= WAVEFORM_HZ:
        address = foreign.add(device, channel := declare.Waveform(name, **more))
        begin = (foreign.begin_ns, begins)
        foreign.streams.append(waveform(address, channel, values, begin, rate))
        return
    address = foreign.add(device, channel := declare.Numeric(name, **more))
    times = begins + np.round(np.arange(len(values)) / rate * S).astype(np.int64)
    shift = foreign.begin_ns - begins
    foreign.streams.append(numeric(address, channel, times, values, shift, even=True))


def _take_notes(foreign: Foreign, stem: Path, frame_hz: float, begins: int) -> None:
    """Take our own annotations, and the reference beats or rhythm of an archive."""
    import wfdb

    shift = foreign.begin_ns - begins
    for extension in (EXTENSION, "atr"):
        if not stem.with_suffix(f".{extension}").exists():
            continue
        try:
            found: Any = wfdb.rdann(str(stem), extension)
        except UNREADABLE as error:
            foreign.left_out[f"{stem.name}.{extension}"] = f"cannot be read: {error}"
            continue
        rate = float(found.fs or frame_hz)
        notes = found.aux_note or [""] * len(found.sample)
        rows = [
            (begins + round(int(place) / rate * S), f"{symbol} {note}".strip('" \0'))
            for place, symbol, note in zip(found.sample, found.symbol, notes, strict=True)
        ]
        channel = declare.Text(f"annotations_{extension}", latched=False)
        foreign.streams.append(plain_stream(foreign.add("wfdb", channel), channel, rows, shift))
