"""Measuring vital signs on waveforms: right on clean beats, silent where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scot_devices.archive import beats

Wave = NDArray[np.float64]


def spikes(rate_min: float, rate_hz: float, seconds: float, sign: float = 1.0) -> Wave:
    """An ECG of nothing but QRS and T, exactly `rate_min` times a minute."""
    t_s = np.arange(round(seconds * rate_hz)) / rate_hz
    since_s = np.mod(t_s, 60.0 / rate_min) - 30.0 / rate_min
    qrs = np.exp(-0.5 * (since_s / 0.012) ** 2)
    t_wave = 0.25 * np.exp(-0.5 * ((since_s - 0.16) / 0.03) ** 2)
    return np.asarray(sign * (qrs + t_wave), dtype=np.float64)


def pulses(sys: float, dia: float, rate_min: float, rate_hz: float, seconds: float) -> Wave:
    """A saw with a soft upstroke: foot at `dia`, top at `sys`."""
    phase = np.mod(np.arange(round(seconds * rate_hz)) / rate_hz * rate_min / 60.0, 1.0)
    shape = np.where(phase < 0.2, np.sin(phase / 0.2 * np.pi / 2.0), (1.0 - phase) / 0.8)
    return np.asarray(dia + (sys - dia) * shape, dtype=np.float64)


@settings(max_examples=40, deadline=None)
@given(
    rate_min=st.floats(35.0, 200.0),
    rate_hz=st.sampled_from([125.0, 250.0, 500.0]),
    gain=st.floats(1e-3, 1e3),
    sign=st.sampled_from([1.0, -1.0]),
)
def test_heart_rate_needs_no_gain_and_no_polarity(
    rate_min: float, rate_hz: float, gain: float, sign: float
) -> None:
    ecg = gain * spikes(rate_min, rate_hz, 8.0, sign)
    assert beats.heart_rate(ecg, rate_hz) == pytest.approx(rate_min, rel=0.02)


@settings(max_examples=40, deadline=None)
@given(
    dia=st.floats(20.0, 90.0),
    pulse=st.floats(15.0, 90.0),
    rate_min=st.floats(40.0, 160.0),
    rate_hz=st.sampled_from([62.5, 125.0, 250.0]),
)
def test_pressure_of_clean_pulses(
    dia: float, pulse: float, rate_min: float, rate_hz: float
) -> None:
    found = beats.pressure(pulses(dia + pulse, dia, rate_min, rate_hz, 6.0), rate_hz)
    assert found is not None
    assert found.sys == pytest.approx(dia + pulse, abs=0.08 * pulse)
    assert found.dia == pytest.approx(dia, abs=0.12 * pulse)
    assert found.rate_min == pytest.approx(rate_min, rel=0.04)
    assert found.dia < found.mean < found.sys


@pytest.mark.parametrize("rate_hz", [125.0, 250.0, 500.0])
def test_noise_drift_and_flat_lines_have_no_beats(rate_hz: float) -> None:
    rng = np.random.default_rng(5)
    n = round(8.0 * rate_hz)
    t_s = np.arange(n) / rate_hz
    for wave in (rng.standard_normal(n), np.zeros(n), np.full(n, 80.0), np.sin(2.0 * t_s)):
        assert beats.heart_rate(wave, rate_hz) is None
    for wave in (rng.standard_normal(n), np.zeros(n), np.full(n, 80.0)):
        assert beats.pressure(wave, rate_hz) is None
        assert beats.breath_rate(np.zeros(n), rate_hz) is None


def test_short_holes_are_bridged_and_long_ones_say_nothing() -> None:
    ecg = spikes(72.0, 250.0, 8.0)
    ecg[320:350] = np.nan
    assert beats.heart_rate(ecg, 250.0) == pytest.approx(72.0, rel=0.1)
    ecg[300:1000] = np.nan
    assert beats.heart_rate(ecg, 250.0) is None


def test_an_empty_or_short_window_says_nothing() -> None:
    for n in (0, 1, 10):
        window = np.zeros(n)
        assert beats.heart_rate(window, 250.0) is None
        assert beats.pressure(window, 125.0) is None
        assert beats.breath_rate(window, 62.5) is None
        assert beats.end_tidal(window, 62.5) is None


def test_one_artefact_does_not_hide_the_beats() -> None:
    ecg = spikes(80.0, 250.0, 9.0)
    ecg[1000:1010] += 12.0
    found = beats.heart_rate(ecg, 250.0)
    assert found is not None
    assert 72.0 < found < 100.0


def test_breaths_are_counted_through_ripples() -> None:
    t_s = np.arange(0.0, 30.0, 0.016)
    wave = np.sin(2.0 * np.pi * t_s / 4.0) + 0.15 * np.sin(2.0 * np.pi * 1.2 * t_s)
    assert beats.breath_rate(wave, 62.5) == pytest.approx(15.0, rel=0.02)


def test_end_tidal_is_of_the_last_whole_breath() -> None:
    t_s = np.arange(0.0, 22.0, 0.016)
    level = np.where(t_s < 11.0, 40.0, 30.0)
    co2 = np.where(np.mod(t_s, 4.0) > 1.6, level, 0.0)
    assert beats.end_tidal(co2, 62.5) == pytest.approx(30.0, abs=0.1)
