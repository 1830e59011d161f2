"""The story that all simulators share keeps its promises at every second."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scot_devices.openigtlink import rigid
from scot_devices.simulators.surgery import PERIOD_S, Surgery
from scot_devices.simulators.tracker_scene import TOOLS, Scene

TIMES = np.arange(0.0, PERIOD_S, 1.0 / 30.0)


@pytest.fixture(scope="module")
def tips() -> NDArray[np.float64]:
    surgery = Surgery(7)
    return np.array([surgery.tip_mm(t) for t in TIMES])


def distances(tips: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(tips - Surgery(7).target_mm, axis=1))


def test_the_tip_waits_outside_reaches_the_target_and_comes_back(
    tips: NDArray[np.float64],
) -> None:
    surgery = Surgery(7)
    apart = distances(tips)
    planned = float(np.linalg.norm(surgery.target_mm - surgery.entry_mm))
    assert apart[0] > planned + 20.0
    assert apart.min() < 2.0
    at_twelve = apart[(TIMES > 49.0) & (TIMES < 57.0)]
    assert np.all(np.abs(at_twelve - 12.0) < 1.0), "it stops 12 mm before the target"


def test_a_hand_is_neither_jerky_nor_still(tips: NDArray[np.float64]) -> None:
    speed = np.linalg.norm(np.diff(tips, axis=0), axis=1) * 30.0
    assert speed.max() < 12.0, "mm/s: no hand near the brain is faster"
    pause = tips[(TIMES > 49.0) & (TIMES < 57.0)]
    assert pause.std(axis=0).max() > 0.02, "a hand that pauses still trembles"


def test_tremor_stays_below_its_limit() -> None:
    surgery = Surgery(7)
    for t_s in np.arange(0.0, PERIOD_S, 0.0137):
        steady, _ = surgery._steady_tip(float(t_s))
        assert np.linalg.norm(surgery.tip_mm(float(t_s)) - steady) < 0.3


def test_the_story_repeats_without_a_jump(tips: NDArray[np.float64]) -> None:
    surgery = Surgery(7)
    assert np.linalg.norm(surgery.tip_mm(PERIOD_S - 1e-6) - surgery.tip_mm(0.0)) < 1e-3
    assert np.linalg.norm(surgery.direction(PERIOD_S - 1e-6) - surgery.direction(0.0)) < 1e-3
    np.testing.assert_allclose(surgery.tip_mm(PERIOD_S * 3 + 41.0), surgery.tip_mm(41.0), atol=1e-9)
    assert distances(tips)[0] == pytest.approx(distances(tips)[-1], abs=0.5)


@settings(deadline=None, max_examples=40)
@given(st.floats(-1e6, 1e6), st.integers(0, 50))
def test_direction_is_a_unit_vector_and_bleeding_a_share(t_s: float, seed: int) -> None:
    surgery = Surgery(seed)
    assert float(np.linalg.norm(surgery.direction(t_s))) == pytest.approx(1.0)
    assert 0.0 <= surgery.bleeding(t_s) <= 1.0


def test_it_bleeds_once_a_period() -> None:
    surgery = Surgery(7)
    bleeding = np.array([surgery.bleeding(float(t)) for t in TIMES])
    wet = TIMES[bleeding > 0.0]
    assert 60.0 <= wet.min() < 61.0
    assert 94.0 < wet.max() <= 95.0
    assert bleeding.max() == 1.0
    assert np.abs(np.diff(bleeding)).max() < 0.01, "smooth"


def test_inside_the_head_the_shaft_goes_through_the_craniotomy() -> None:
    surgery = Surgery(7)
    for t_s in np.arange(40.0, 145.0, 0.5):
        tip, along = surgery.tip_mm(float(t_s)), surgery.direction(float(t_s))
        to_entry = surgery.entry_mm - tip
        miss = np.linalg.norm(to_entry - along * float(to_entry @ along))
        assert miss < 4.0, t_s


def test_a_seed_is_a_surgery() -> None:
    assert np.array_equal(Surgery(3).tip_mm(77.7), Surgery(3).tip_mm(77.7))
    assert not np.allclose(Surgery(3).tip_mm(77.7), Surgery(4).tip_mm(77.7), atol=0.01)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_pose_of_the_tracker_is_rigid(tool: str) -> None:
    scene = Scene(7)
    for t_s in TIMES[::30]:
        assert not rigid.pose(scene.pose(tool, float(t_s))).doubtful


def test_the_scope_looks_at_the_tip_from_behind_while_it_works_at_the_target() -> None:
    scene = Scene(7)
    for t_s in np.arange(50.0, 110.0, 1.7):
        matrix = np.array(scene.pose("Scope", float(t_s)))
        lens, view = matrix[9:], matrix[6:9]
        tip = scene.surgery.tip_mm(float(t_s))
        seen_at = float((tip - lens) @ view)
        assert 35.0 < seen_at < 65.0
        assert np.linalg.norm(tip - lens - view * seen_at) < 12.0, "near the picture's middle"


def test_every_tool_is_hidden_now_and_then_and_never_for_long() -> None:
    scene, steady = Scene(7), Scene(7, occlusion=False)
    for tool in TOOLS:
        seen = np.array([scene.visible(tool, float(t)) for t in TIMES])
        assert 0.90 < seen.mean() < 1.0, tool
        assert all(steady.visible(tool, float(t)) for t in TIMES)
