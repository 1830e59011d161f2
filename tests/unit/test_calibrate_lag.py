"""The lag between what is seen and what is tracked: value, sign, doubt and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from scot.channel import Waveform
from scot_devices.calibrate.curves import Movement, Track, smoothed
from scot_devices.calibrate.lag import CalibrationError, find_lag
from scot_devices.calibrate.waves import physiology, wave_lag

Array = NDArray[np.float64]


def path(t: Array) -> Array:
    """A tool waved irregularly, (n, 3) mm; the same for everybody."""
    rng = np.random.default_rng(1)
    hz, turn = rng.uniform(0.3, 2.5, (3, 9)), rng.uniform(0, 6.28, (3, 9))
    return np.array(
        [
            (np.sin(2 * np.pi * f[:, None] * t + p[:, None]) * 2.0 / f[:, None]).sum(axis=0)
            for f, p in zip(hz, turn, strict=True)
        ]
    ).T


def pair(
    lag_s: float,
    seconds: float = 40.0,
    noise: float = 0.3,
    still: bool = False,
    other: bool = False,
) -> tuple[Track, Movement]:
    """A tracker at 60 Hz and four parts of a picture at 25 fps that is late by `lag_s`."""
    rng = np.random.default_rng(4)
    poses_s = np.arange(-1.0, seconds + 1.0, 1 / 60)
    taken_s = np.arange(0.0, seconds, 1 / 25) + rng.uniform(-0.003, 0.003, round(seconds * 25))
    seen = path(taken_s + 400.0) if other else path(taken_s)
    look = rng.normal(size=(3, 8)) * np.array([2, 2, 1, 1, 0.2, 0.2, 0, 0])
    steps = np.diff(seen @ look, axis=0)
    steps += rng.normal(0, noise, steps.shape)
    places = 0.0 * path(poses_s) if still else path(poses_s)
    return Track(poses_s, places + 5.0), Movement(taken_s + lag_s, steps)


@pytest.mark.parametrize("lag_s", [-0.0375, 0.0, 0.0811, 0.25])
def test_a_known_lag_is_found_within_its_claim_positive_when_the_video_is_late(
    lag_s: float,
) -> None:
    found = find_lag(*pair(lag_s))
    assert abs(found.lag_s - lag_s) < min(0.0004, 1.5 * found.err_s)
    assert 0 < found.err_s < 0.002
    assert found.correlation > 0.9
    assert found.seconds > 35.0


def quick(lag_s: float) -> tuple[Track, Movement]:
    """Turns across the picture, two a second, glints, and parts that show more or less of it."""
    rng = np.random.default_rng(7)

    def at(t: Array) -> Array:
        phase = 2 * np.pi * (2.2 * t + 0.8 * np.sin(0.9 * t) + 0.5 * np.sin(2.3 * t + 1))
        return np.array([8 * np.sin(phase), 3 * np.sin(phase) * np.cos(0.4 * t), 0.2 * np.cos(t)]).T

    poses_s, taken_s = np.arange(-1.0, 41.0, 1 / 60), np.arange(0.0, 40.0, 1 / 30)
    own = 3.0 * np.diff(at(taken_s)[:, :2], axis=0)
    parts = []
    for part in range(4):
        share = 0.5 * (part < 2) * (1 + 0.4 * np.sin(taken_s[1:] / (2.5 + 2 * part) + part))
        noise = rng.normal(size=own.shape) * np.hypot(0.15, 0.05 * share[:, None] * np.abs(own))
        noise[rng.random(len(own)) < 0.02] *= 20
        parts.append(share[:, None] * own + noise)
    track = Track(poses_s, at(poses_s) + rng.normal(0, 0.03, (poses_s.size, 3)))
    return track, Movement(taken_s + lag_s, np.hstack(parts))


def test_quick_turns_tell_a_tenth_of_a_millisecond_wherever_the_search_begins() -> None:
    """Not drawn to the coarse grid it searches first, nor off by what a part shows of the tool."""
    made = [(0.080 + away, find_lag(*quick(0.080 + away))) for away in (0.0, 0.002, 0.004, 0.006)]
    for lag_s, found in made:
        assert abs(found.lag_s - lag_s) < 0.00012
        assert abs(found.lag_s - lag_s) < found.err_s < 0.0003


def test_less_noise_claims_less_error() -> None:
    assert find_lag(*pair(0.08, noise=0.05)).err_s < find_lag(*pair(0.08, noise=1.0)).err_s


def test_hidden_markers_lost_frames_and_bad_pictures_do_not_move_it() -> None:
    track, seen = pair(0.08)
    hidden = (track.times_s > 10) & (track.times_s < 11.2)
    track = Track(track.times_s[~hidden], track.values[~hidden])
    steps = seen.steps.copy()
    steps[200:203] = 500.0
    steps[300, 2] = np.nan
    steps[::40] += 4.0
    found = find_lag(track, Movement(seen.times_s, steps))
    assert abs(found.lag_s - 0.08) < 0.0005


def test_a_camera_that_follows_the_tool_slowly_does_not_pass_for_its_latency() -> None:
    track, seen = pair(0.08)
    late = np.mean([path(seen.times_s - 0.08 - s)[:, :2] for s in (0.4, 0.8, 1.3, 2.0)], axis=0)
    follows = np.diff(late, axis=0)
    steps = np.hstack([seen.steps - 0.1 * np.tile(follows, 4), -0.1 * follows])
    found = find_lag(track, Movement(seen.times_s, steps))
    assert abs(found.lag_s - 0.08) < 0.002


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (pair(0.08, seconds=15.0), r"only 15 s of common movement \(at least 20 s\); go on"),
        (pair(0.08, still=True), r"the tool moved at only 0.0 mm/s .* move it to and fro"),
        (pair(0.08, other=True), "the picture does not follow the tool; move it"),
        (pair(0.08, noise=200.0), "does not follow the tool|only known to"),
        (pair(0.999), "at the edge of what is searched"),
    ],
    ids=["short", "still", "other", "noise", "far"],
)
def test_without_enough_to_go_by_it_refuses_and_says_what_to_do(
    made: tuple[Track, Movement], says: str
) -> None:
    with pytest.raises(CalibrationError, match=says) as refused:
        find_lag(*made)
    assert "\n" not in str(refused.value)


def test_an_even_to_and_fro_fits_more_than_one_lag_and_is_refused() -> None:
    track, seen = pair(0.0)
    wave = np.sin(2 * np.pi * 2.0 * track.times_s)[:, None] * np.ones(3)
    shift = np.diff(np.sin(2 * np.pi * 2.0 * (seen.times_s - 0.1)))[:, None] * np.ones(4)
    shift += np.random.default_rng(3).normal(0, 0.05, shift.shape)
    with pytest.raises(CalibrationError, match=r"move irregularly|does not follow"):
        find_lag(Track(track.times_s, wave), Movement(seen.times_s, shift))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_next_to_nothing_is_refused_not_a_crash(count: int) -> None:
    times_s = np.arange(float(count))
    nothing = Movement(times_s, np.zeros((max(0, count - 1), 4)))
    with pytest.raises(CalibrationError):
        find_lag(Track(times_s, np.zeros((count, 3))), nothing)


def test_smoothing_keeps_straight_movement_exactly() -> None:
    times_s = np.sort(np.random.default_rng(2).uniform(0, 10, 600))
    line = Track(times_s, np.outer(times_s, [1.0, -2.0, 0.5]))
    fine = smoothed(line)
    assert np.allclose(fine.values, np.outer(fine.times_s, [1.0, -2.0, 0.5]), atol=1e-6)


def beats(t: Array, late_s: float, width_s: float) -> Array:
    """A pulse at each beat of an irregular heart."""
    at = np.cumsum(0.8 + 0.05 * np.sin(np.arange(80) / 3.0)) + late_s
    found: Array = np.exp(-0.5 * ((t[:, None] - at) / width_s) ** 2).sum(axis=1)
    return found


def test_the_lag_between_two_waveforms_of_different_shape_is_told() -> None:
    ecg_s, pleth_s = np.arange(0, 50, 1 / 250), np.arange(0, 50, 1 / 125)
    found = wave_lag((ecg_s, beats(ecg_s, 0.0, 0.02)), (pleth_s, beats(pleth_s, 0.28, 0.02)))
    assert found.lag_s == pytest.approx(0.28, abs=0.003)


def test_a_flat_waveform_is_refused() -> None:
    t = np.arange(0, 50, 1 / 125)
    with pytest.raises(CalibrationError, match="flat"):
        wave_lag((t, np.zeros(t.size)), (t, beats(t, 0.0, 0.02)))


def test_from_ecg_to_pulse_is_the_body_but_two_leads_are_the_devices() -> None:
    ecg = Waveform("ecg_ii", unit="mV", code="MDC_ECG_ELEC_POTL_II")
    lead = Waveform("ecg_v5", unit="mV", code="MDC_ECG_ELEC_POTL_V5")
    pleth = Waveform("pleth", unit="%", code="MDC_PULS_OXIM_PLETH")
    art = Waveform("art", unit="mm[Hg]", code="MDC_PRESS_BLD_ART")
    bare = Waveform("x", unit="mV")
    assert "pulse transit time" in physiology(ecg, pleth)
    assert "pulse transit time" in physiology(art, ecg)
    assert physiology(art, pleth)
    assert physiology(bare, bare)
    assert not physiology(ecg, lead)
    assert not physiology(art, art)
