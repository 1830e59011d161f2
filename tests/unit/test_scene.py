"""The simulated scope's picture agrees with the surgery that every simulator tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scot_devices.simulators import tissue, vessels
from scot_devices.simulators.relief import HEIGHT, WIDTH
from scot_devices.simulators.scene import FRAME_HEIGHT, FRAME_WIDTH, Scene
from scot_devices.simulators.scope import BARCODE_ROWS, draw_barcode, read_barcode
from scot_devices.simulators.surgery import PERIOD_S, Surgery
from scot_devices.simulators.viewpoint import FOCAL_PX, Viewpoint

Picture = NDArray[Any]
Shoot = Callable[[float], Picture]

CENTRE = np.array([FRAME_WIDTH / 2, FRAME_HEIGHT / 2])


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(7)


@pytest.fixture
def shoot(scene: Scene) -> Shoot:
    """Frames that stay: the scene itself overwrites its last."""
    return lambda t_s: scene.frame(t_s).copy()


def tip_and_shaft_px(t_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the tip is in the picture, and the unit vector from there along the shaft."""
    moment = Viewpoint(Surgery(7)).at(t_s)
    behind = moment.tip_mm - moment.shaft * 6.0
    tip = FOCAL_PX * moment.tip_mm[:2] / moment.tip_mm[2]
    along = FOCAL_PX * behind[:2] / behind[2] - tip
    return CENTRE + moment.pan_px + tip, along / np.linalg.norm(along)


def colourfulness(picture: Picture, at_px: NDArray[np.float64], half: int = 3) -> float:
    """Red minus blue, mean of a small square: steel has little, tissue a lot."""
    x, y = np.round(at_px).astype(int)
    part = picture[y - half : y + half + 1, x - half : x + half + 1].astype(np.float64)
    return float((part[..., 2] - part[..., 0]).mean())


@pytest.mark.parametrize("t_s", [28.0, 34.0, 44.0, 55.0, 118.0, 128.0, 150.0])
def test_the_tube_ends_where_the_tracker_says_the_tip_is(shoot: Shoot, t_s: float) -> None:
    picture = shoot(t_s)
    tip, along = tip_and_shaft_px(t_s)
    # Behind the first millimetres, which blood may cover.
    on_tube = [colourfulness(picture, tip + along * px) for px in (70, 90, 110)]
    assert max(on_tube) < 30.0
    beyond = colourfulness(picture, tip - along * 24.0, half=12)
    assert beyond > 40.0, "no steel beyond the tip"


def test_the_tube_is_outside_the_picture_before_the_skull_is_reached(shoot: Shoot) -> None:
    assert Viewpoint(Surgery(7)).at(2.0).tip_mm[2] < 0.0, "behind the lens"
    grey = np.abs(shoot(2.0).astype(int)[..., 2] - shoot(2.0).astype(int)[..., 0])[360:, 760:1150]
    assert np.mean(grey > 30) > 0.9


def test_the_tracked_scope_sees_the_tip_where_the_picture_has_it() -> None:
    surgery = Surgery(7)
    viewpoint = Viewpoint(surgery)
    for t_s in (44.0, 90.0, 118.0, 150.0):
        lens_mm, axes = viewpoint.pose(t_s)
        assert np.allclose(axes @ axes.T, np.eye(3))
        assert np.linalg.det(axes) == pytest.approx(1.0), "right-handed"
        seen = axes @ (surgery.tip_mm(t_s) - lens_mm)
        expected, _ = tip_and_shaft_px(t_s)
        assert np.abs(CENTRE + FOCAL_PX * seen[:2] / seen[2] - expected).max() < 8.0


def test_blood_wells_up_when_the_patient_bleeds_and_is_washed_away(shoot: Shoot) -> None:
    def bloody(t_s: float) -> float:
        """Share of the middle that is blood: green and blue nearly gone, red left."""
        middle = shoot(t_s)[160:560, 380:800].astype(int)
        return float(np.mean((middle[..., 1] < 32) & (middle[..., 2] > 50)))

    shares = [bloody(t_s) for t_s in (55.0, 66.0, 72.0, 86.0)]
    assert shares[0] < 0.08, "vessels"
    assert shares == sorted(shares)
    assert shares[-1] > 0.6
    assert bloody(110.0) < 0.5 * shares[-1]
    assert bloody(175.0) < 0.08


def test_the_field_is_round_and_all_else_black(shoot: Shoot) -> None:
    picture = shoot(30.0)
    assert picture.shape == (FRAME_HEIGHT, FRAME_WIDTH, 3)
    y, x = np.mgrid[0:FRAME_HEIGHT, 0:FRAME_WIDTH]
    away = np.hypot(x + 0.5 - CENTRE[0], y + 0.5 - CENTRE[1])
    assert picture[away > 562].max() == 0
    assert np.mean(picture[away < 540].max(axis=-1) > 25) > 0.97


def test_the_same_second_gives_the_same_picture(shoot: Shoot) -> None:
    assert np.array_equal(shoot(71.0), shoot(71.0))
    again = Scene(7).frame(71.0)
    assert np.array_equal(again, shoot(71.0))


def test_it_repeats_each_period_without_a_jump(shoot: Shoot) -> None:
    end, begin = shoot(PERIOD_S - 1e-4).astype(int), shoot(0.0).astype(int)
    usual = np.abs(shoot(0.04).astype(int) - begin).mean()
    assert np.abs(end - begin).mean() < 1.5 * usual + 1.0


def test_it_always_moves_but_never_jumps(shoot: Shoot) -> None:
    for t_s in (5.0, 40.0, 80.0, 140.0):
        change = np.abs(shoot(t_s).astype(int) - shoot(t_s + 0.04).astype(int)).mean()
        assert 1.0 < change < 14.0


def test_another_seed_is_another_patient(shoot: Shoot) -> None:
    other = Scene(8).frame(30.0).astype(int)
    assert np.abs(other - shoot(30.0)).mean() > 10.0


def test_the_tissue_is_lit_and_red() -> None:
    plate = tissue.build(7)
    assert plate.colour.shape == (HEIGHT, WIDTH, 4)
    blue, _, red = (float(plate.colour[..., k].mean()) for k in range(3))
    assert red > 1.5 * blue
    assert 80.0 < red < 220.0


def test_a_vessel_gets_thinner_and_stays_on_the_plate() -> None:
    bed = vessels.Bed(np.random.default_rng(1))
    bed.grow((200.0, 480.0), 0.1, 12.0, 900.0, vessels.TRUNK)
    assert len(bed.paths) > 5, "it forks"
    trunk = max(bed.paths, key=len)
    inner = trunk[14:-14, 2]
    assert np.all(np.diff(inner) <= 0.0)
    for path in bed.paths:
        assert path[:, 0].min() >= -6.0
        assert path[:, 0].max() <= WIDTH + 6.0


@pytest.mark.parametrize("width", [640, 1280, 1920])
@pytest.mark.parametrize("utc_ns", [0, 1, 2**64 - 1, 1_753_000_123_456_789_012])
def test_a_barcode_is_read_back(width: int, utc_ns: int) -> None:
    picture = np.full((360, width, 3), 77, np.uint8)
    draw_barcode(picture, utc_ns)
    assert read_barcode(picture) == utc_ns
    assert np.all(picture[:-BARCODE_ROWS] == 77)
