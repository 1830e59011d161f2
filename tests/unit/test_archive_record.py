"""WFDB records: read exactly as written, and refused in one line when they are not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scot.errors import DeviceError
from scot_devices.archive.record import open_record

FRAMES = 500
FRAME_HZ = 125


def write_16(folder: Path, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """An ECG at 500 Hz and a pressure at 125 Hz, interleaved by frame, 16 bits (signal(5))."""
    rng = np.random.default_rng(1)
    ecg = rng.integers(-900, 900, (frames, 4)).astype("<i2")
    art = rng.integers(0, 1500, (frames, 1)).astype("<i2")
    ecg[3, 1] = -32768
    (folder / "rec.dat").write_bytes(np.hstack([ecg, art]).tobytes())
    (folder / "rec.hea").write_text(
        f"rec 2 {FRAME_HZ} {frames} 17:27:45 15/08/1994\n"
        "rec.dat 16x4 200/mV 16 0 0 0 0 II\n"
        "rec.dat 16 10(-100)/mmHg 16 0 0 0 0 ABP\n"
    )
    return ecg.reshape(-1), art.reshape(-1)


def test_values_units_rates_and_begin_are_as_written(tmp_path: Path) -> None:
    ecg, art = write_16(tmp_path)
    record = open_record(tmp_path / "rec.hea")
    assert (record.frame_hz, record.frames) == (FRAME_HZ, FRAMES)
    assert [(s.name, s.unit, s.per_frame) for s in record.signals] == [
        ("II", "mV", 4),
        ("ABP", "mmHg", 1),
    ]
    assert record.begin_ns == 776_971_665_000_000_000  # 1994-08-15 17:27:45 UTC
    first, second = record.read(100, 200)
    np.testing.assert_allclose(first, ecg[400:800] / 200.0, atol=1e-9)
    np.testing.assert_allclose(second, (art[100:200] + 100) / 10.0, atol=1e-9)
    assert np.isnan(record.read(0, 10)[0][13])


def test_format_212_is_read_bit_by_bit(tmp_path: Path) -> None:
    pairs = [(-1200, 2047), (0, -1), (5, -2000), (1023, 77)]
    packed = bytearray()
    for a, b in pairs:
        low, high = a & 0xFFF, b & 0xFFF
        packed += bytes([low & 0xFF, (low >> 8) | ((high >> 8) << 4), high & 0xFF])
    (tmp_path / "r.dat").write_bytes(packed)
    (tmp_path / "r.hea").write_text("r 1 100 8\nr.dat 212 100/mV 12 0 0 0 0 V5\n")
    (wave,) = open_record(tmp_path / "r").read(0, 8)
    np.testing.assert_allclose(wave, np.array([x for pair in pairs for x in pair]) / 100.0)


def test_a_missing_header_names_the_file_and_the_fix(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"absent\.hea cannot be read .*give the path"):
        open_record(tmp_path / "absent")


def test_a_missing_signal_file_is_named(tmp_path: Path) -> None:
    write_16(tmp_path)
    (tmp_path / "rec.dat").unlink()
    with pytest.raises(DeviceError, match=r"rec\.dat cannot be read .*beside rec\.hea"):
        open_record(tmp_path / "rec.hea")


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(1, FRAMES * 10))
def test_every_cut_is_found(tmp_path: Path, cut: int) -> None:
    write_16(tmp_path)
    path = tmp_path / "rec.dat"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DeviceError, match=r"cut short: .* s of 4\.0 s"):
        open_record(tmp_path / "rec.hea")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a WFDB header"),
        ("<html>no</html>\n", "not a WFDB header"),
        ("r 0 125 10\n", "names 0 signals"),
        ("r 1 100 10\nr.dat 999 200 12 0 0 0 0 X\n", "format 999 is unknown"),
        ("r/2 1 100 20\nr1 10\nr2 10\n", "several segments"),
    ],
)
def test_what_is_not_a_playable_header_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "r.hea").write_text(text)
    (tmp_path / "r.dat").write_bytes(bytes(200))
    with pytest.raises(DeviceError, match=says):
        open_record(tmp_path / "r.hea")


def test_a_record_that_shrinks_while_it_plays_is_an_error_not_a_crash(tmp_path: Path) -> None:
    write_16(tmp_path)
    record = open_record(tmp_path / "rec.hea")
    (tmp_path / "rec.dat").write_bytes(b"")
    with pytest.raises(DeviceError, match="can no longer be read"):
        record.read(0, 100)
