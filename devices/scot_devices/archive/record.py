"""One WFDB record: checked as a whole when it is opened, then read piece by piece.

Source: WFDB header and signal files, header(5) and signal(5) of the WFDB software package. The
files are decoded by `wfdb`; this module says in one line what is wrong with those that are not
whole. It blocks: call it from a thread.
"""

from __future__ import annotations

from datetime import UTC, datetime, time
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot.errors import DeviceError

Wave = NDArray[np.float64]

# What `wfdb` raises on files that are not as it expects; found by fuzzing it.
_UNREADABLE = (OSError, ValueError, IndexError, KeyError, TypeError, ArithmeticError)

MAX_SIGNALS: Final = 64

# Bytes a sample takes in a signal file, by WFDB format.
_SAMPLE_BYTES: Final = {
    "8": Fraction(1), "16": Fraction(2), "24": Fraction(3), "32": Fraction(4), "61": Fraction(2),
    "80": Fraction(1), "160": Fraction(2), "212": Fraction(3, 2), "310": Fraction(4, 3),
    "311": Fraction(4, 3),
}  # fmt: skip
_COMPRESSED: Final = frozenset({"508", "516", "524"})


class Signal(msgspec.Struct, frozen=True):
    """One signal of a record: its name and unit as the header says, samples in each frame."""

    name: str
    unit: str
    per_frame: int


class Record(msgspec.Struct, frozen=True):
    """A whole, readable record.

    Attributes:
        path: without extension, as `wfdb` wants it.
        frame_hz: frames a second; a signal has ``per_frame`` samples in each.
        frames: length.
        begin_ns: when the first frame was taken, ns since 1970 by the record's own clock; 0 when
            it does not say.
        signals: in the order of the header.
    """

    path: str
    frame_hz: float
    frames: int
    begin_ns: int
    signals: tuple[Signal, ...]

    def read(self, begin: int, end: int) -> list[Wave]:
        """Return frames `begin` to `end` of every signal in its unit; NaN where there is no value.

        Returns:
            For each signal a (n,) array, n = (end - begin) × its samples a frame.

        Raises:
            DeviceError: the files can no longer be read.
        """
        import wfdb

        try:
            part: Any = wfdb.rdrecord(
                self.path, sampfrom=begin, sampto=end, smooth_frames=False, physical=True
            )
            return [np.asarray(signal, dtype=np.float64) for signal in part.e_p_signal]
        except _UNREADABLE as error:
            raise DeviceError(f"{self.path} can no longer be read: {error}") from None


def open_record(path: Path) -> Record:
    """Check a record's header and signal files, and return it.

    Args:
        path: of the header, with or without ``.hea``.

    Raises:
        DeviceError: a file is missing, cut short or not WFDB; says which, and how much there is.
    """
    stem = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    header = _header(stem)
    if not header.fs or header.fs <= 0:
        raise DeviceError(f"{stem}.hea gives no sampling frequency; it cannot be played in time")
    if not 0 < len(header.file_name or ()) <= MAX_SIGNALS:
        raise DeviceError(
            f"{stem}.hea names {len(header.file_name or ())} signals; 1 to {MAX_SIGNALS} can play"
        )
    frames = _check_files(stem, header)
    names = header.sig_name or [None] * header.n_sig
    units = header.units or [None] * header.n_sig
    signals = tuple(
        Signal(name or f"signal {k}", unit or "", per or 1)
        for k, (name, unit, per) in enumerate(
            zip(names, units, header.samps_per_frame, strict=True), start=1
        )
    )
    return Record(str(stem), float(header.fs), frames, _begin_ns(header), signals)


def _header(stem: Path) -> Any:
    import wfdb

    try:
        header: Any = wfdb.rdheader(str(stem))
    except OSError as error:
        raise DeviceError(
            f"no WFDB record {stem}: {stem.name}.hea cannot be read ({error.strerror}); "
            "give the path of the .hea file"
        ) from None
    except _UNREADABLE as error:
        raise DeviceError(f"{stem}.hea is not a WFDB header: {error}") from None
    if getattr(header, "segments", None) is not None or getattr(header, "seg_name", None):
        raise DeviceError(f"{stem} has several segments; give the record of one of them")
    return header


def _check_files(stem: Path, header: Any) -> int:
    """Make sure that each signal file holds what the header promises; return the frames."""
    frames = header.sig_len
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(header.file_name):
        groups.setdefault(name, []).append(index)
    for name, members in groups.items():
        path = stem.parent / name
        form = str(header.fmt[members[0]])
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DeviceError(
                f"signal file {path} cannot be read ({error.strerror}); "
                f"it belongs beside {stem.name}.hea"
            ) from None
        if form in _COMPRESSED:
            continue
        if form not in _SAMPLE_BYTES:
            raise DeviceError(
                f"{path}: WFDB format {form} is unknown; known: {', '.join(_SAMPLE_BYTES)}"
            )
        frame_bytes = _SAMPLE_BYTES[form] * sum(header.samps_per_frame[k] or 1 for k in members)
        held = int((size - (header.byte_offset[members[0]] or 0)) / frame_bytes)
        if frames is None:
            frames = held
        if held < frames:
            raise DeviceError(
                f"{path} is cut short: {held / header.fs:.1f} s of {frames / header.fs:.1f} s "
                f"({size} bytes); copy it again"
            )
    if not frames:
        raise DeviceError(f"{stem}.hea does not say how long the record is, or it is empty")
    return int(frames)


def _begin_ns(header: Any) -> int:
    if header.base_date is None:
        return 0
    begin = datetime.combine(header.base_date, header.base_time or time(0), tzinfo=UTC)
    return round(begin.timestamp() * 1_000) * 1_000_000
