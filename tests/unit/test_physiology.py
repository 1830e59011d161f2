"""The simulated patient: believable, repeatable, and measurable by other means than ours."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal  # type: ignore[import-untyped]

from scot_devices.archive import beats
from scot_devices.simulators.physiology import RATE_HZ, SAMPLES_A_TICK, TICK_S, Patient

Waves = dict[str, NDArray[np.float64]]


def record(start_s: float, seconds: float, seed: int = 7) -> tuple[Waves, Patient]:
    patient = Patient(seed, start_s=start_s)
    return patient.advance(round(seconds / TICK_S)).waves, patient


def tops_of(x: NDArray[np.float64], apart: int, **more: float) -> NDArray[np.intp]:
    return np.asarray(signal.find_peaks(x, distance=apart, **more)[0], dtype=np.intp)


def r_peaks(ecg: NDArray[np.float64]) -> NDArray[np.intp]:
    return tops_of(ecg, round(0.3 * RATE_HZ["ecg_ii"]), height=0.7)


@pytest.mark.parametrize("start_s", [5.0, 68.0, 77.0, 95.0, 130.0])
def test_measured_numerics_agree_with_an_independent_measurement(start_s: float) -> None:
    waves, _ = record(start_s, 8.0)
    rate_hz = RATE_HZ["ecg_ii"]
    rr_s = np.diff(r_peaks(waves["ecg_ii"])) / rate_hz
    for lead in ("ecg_ii", "ecg_v5"):
        assert beats.heart_rate(waves[lead], rate_hz) == pytest.approx(60.0 / rr_s.mean(), rel=0.03)

    art, art_hz = waves["art"], RATE_HZ["art"]
    calm = signal.sosfiltfilt(signal.butter(2, 8.0, fs=art_hz, output="sos"), art)
    apart = round(0.7 * rr_s.min() * art_hz)
    tops = tops_of(calm, apart, prominence=10.0)
    feet = tops_of(-calm, apart, prominence=10.0)
    ours = beats.pressure(art, art_hz)
    assert ours is not None
    assert ours.sys == pytest.approx(art[tops].mean(), abs=2.5)
    assert ours.dia == pytest.approx(art[feet].mean(), abs=2.5)
    assert ours.mean == pytest.approx(art[feet[0] : feet[-1]].mean(), abs=1.5)
    assert ours.rate_min == pytest.approx(60.0 / rr_s.mean(), rel=0.06)


def test_breathing_is_the_same_on_capnogram_and_impedance() -> None:
    waves, _ = record(10.0, 30.0)
    on_co2 = beats.breath_rate(waves["co2"], RATE_HZ["co2"])
    on_chest = beats.breath_rate(waves["resp"], RATE_HZ["resp"])
    assert on_co2 == pytest.approx(14.0, abs=0.3)
    assert on_chest == pytest.approx(14.0, abs=0.3)
    assert beats.end_tidal(waves["co2"], RATE_HZ["co2"]) == pytest.approx(36.0, abs=0.6)


def test_a_calm_patient_has_the_textbooks_numbers() -> None:
    waves, patient = record(20.0, 12.0)
    ours = beats.pressure(waves["art"], RATE_HZ["art"])
    assert ours is not None
    assert beats.heart_rate(waves["ecg_ii"], 250.0) == pytest.approx(72.0, abs=3.0)
    assert (ours.sys, ours.dia, ours.mean) == pytest.approx((121.0, 74.0, 91.0), abs=3.0)
    assert 97.0 < patient.spo2_percent < 99.0
    assert 36.0 < patient.temp_cel < 36.8
    assert 0.9 < waves["ecg_ii"].max() < 1.5
    assert -0.5 < waves["ecg_ii"].min() < -0.1


def test_a_bleeding_patient_is_in_shock_and_saturation_follows_late() -> None:
    patient = Patient(7, start_s=55.0)
    lowest_bp_s = lowest_spo2_s = 0.0
    lowest_bp = lowest_spo2 = 999.0
    for _ in range(70):
        block = patient.advance(round(1.0 / TICK_S))
        if block.waves["art"].mean() < lowest_bp:
            lowest_bp, lowest_bp_s = float(block.waves["art"].mean()), block.t_s
        if patient.spo2_percent < lowest_spo2:
            lowest_spo2, lowest_spo2_s = patient.spo2_percent, block.t_s
    assert 48.0 < lowest_bp < 58.0
    assert 86.5 < lowest_spo2 < 89.0
    assert lowest_spo2_s > lowest_bp_s + 1.0

    shock, _ = record(75.0, 8.0)
    ours = beats.pressure(shock["art"], RATE_HZ["art"])
    assert ours is not None
    assert beats.heart_rate(shock["ecg_ii"], 250.0) == pytest.approx(125.0, abs=4.0)
    assert (ours.sys, ours.dia) == pytest.approx((70.0, 42.0), abs=4.0)
    late, _ = record(70.0, 15.0)
    assert beats.end_tidal(late["co2"], RATE_HZ["co2"]) == pytest.approx(26.0, abs=1.5)


def test_shock_makes_pulses_small_and_varying() -> None:
    def swings(art: NDArray[np.float64]) -> NDArray[np.float64]:
        feet = beats.upstrokes(art, RATE_HZ["art"])
        return np.array([np.ptp(art[a:b]) for a, b in pairwise(feet)])

    calm, shock = record(20.0, 12.0)[0], record(74.0, 9.0)[0]
    before, after = swings(calm["art"]), swings(shock["art"])
    assert np.ptp(after) / after.mean() > 1.6 * np.ptp(before) / before.mean()
    assert np.ptp(shock["pleth"]) < 0.6 * np.ptp(calm["pleth"])


def test_the_patient_has_recovered_when_the_story_repeats() -> None:
    waves, patient = record(170.0, 10.0)
    assert beats.heart_rate(waves["ecg_ii"], 250.0) == pytest.approx(72.0, abs=3.0)
    assert patient.spo2_percent > 97.0


def test_the_finger_pulses_after_the_heart() -> None:
    waves, _ = record(15.0, 10.0)
    heart_s = r_peaks(waves["ecg_ii"]) / RATE_HZ["ecg_ii"]
    finger_s = beats.upstrokes(waves["pleth"], RATE_HZ["pleth"]) / RATE_HZ["pleth"]
    delays = [finger_s[finger_s > r][0] - r for r in heart_s if (finger_s > r).any()]
    assert all(0.15 < delay < 0.40 for delay in delays)


def test_heart_rate_varies_as_a_living_heart_does() -> None:
    waves, _ = record(0.0, 50.0)
    rr_ms = np.diff(r_peaks(waves["ecg_ii"])) * 4.0
    assert 8.0 < rr_ms.std() < 40.0


@settings(max_examples=20, deadline=None)
@example([1, 1, 1, 1, 15, 30, 30, 30, 30, 30, 30, 27])  # its last sample begins a breath
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_chunking_never_changes_a_sample(cuts: list[int]) -> None:
    whole = Patient(3, start_s=58.0).advance(sum(cuts)).waves
    patient = Patient(3, start_s=58.0)
    parts = [patient.advance(n).waves for n in cuts]
    for name in SAMPLES_A_TICK:
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_allclose(joined, whole[name], rtol=0, atol=1e-9)


def test_the_seed_is_the_patient() -> None:
    one, same, other = (record(3.0, 4.0, seed)[0] for seed in (1, 1, 2))
    for name, wave in one.items():
        np.testing.assert_array_equal(wave, same[name])
    assert not np.array_equal(one["ecg_ii"], other["ecg_ii"])


def test_blocks_follow_one_another_without_a_seam() -> None:
    patient = Patient(7, start_s=0.0)
    blocks = [patient.advance(4) for _ in range(50)]
    starts_s = np.array([block.t_s for block in blocks])
    np.testing.assert_allclose(np.diff(starts_s), 4 * TICK_S, atol=1e-9)
    art = np.concatenate([block.waves["art"] for block in blocks])
    assert np.abs(np.diff(art)).max() < 9.0
