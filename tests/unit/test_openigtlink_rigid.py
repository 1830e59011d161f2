"""Rotation matrices become unit quaternions; what is no rotation is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scot_devices.openigtlink import rigid
from scot_devices.openigtlink.messages import Matrix

component = st.floats(-1.0, 1.0, width=64)


def columns(matrix: Matrix) -> NDArray[np.float64]:
    return np.array(matrix[:9]).reshape(3, 3).T


@settings(deadline=None)
@given(component, component, component, component)
def test_quaternion_to_matrix_and_back(x: float, y: float, z: float, w: float) -> None:
    length = math.sqrt(x * x + y * y + z * z + w * w)
    assume(length > 1e-3)
    sign = math.copysign(1.0, w) / length
    there = rigid.matrix((1.0, -2.0, 3.0), (x * sign, y * sign, z * sign, w * sign))
    back = rigid.pose(there)
    assert back.position_mm == (1.0, -2.0, 3.0)
    assert math.isclose(math.hypot(*back.orientation), 1.0, abs_tol=1e-12)
    np.testing.assert_allclose(
        columns(rigid.matrix(back.position_mm, back.orientation)), columns(there), atol=1e-9
    )
    assert not back.doubtful


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)),
        ((0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0)),
        ((0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 0.0)),
    ],
)
def test_half_turns_where_the_trace_is_lowest(
    axis: tuple[float, float, float], expected: tuple[float, ...]
) -> None:
    x, y, z = axis
    turn: Matrix = (
        2 * x * x - 1, 2 * x * y, 2 * x * z,
        2 * x * y, 2 * y * y - 1, 2 * y * z,
        2 * x * z, 2 * y * z, 2 * z * z - 1,
        0.0, 0.0, 0.0,
    )  # fmt: skip
    np.testing.assert_allclose(np.abs(rigid.pose(turn).orientation), expected, atol=1e-12)


def test_quaternion_turns_vectors_as_the_matrix_does() -> None:
    """A quarter turn about z takes x to y: active, right-handed, x y z w."""
    quarter: Matrix = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    half = math.sqrt(0.5)
    assert rigid.pose(quarter).orientation == pytest.approx((0.0, 0.0, half, half))


def scaled(by: float) -> Matrix:
    return (by, 0.0, 0.0, 0.0, by, 0.0, 0.0, 0.0, by, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("matrix", "problem"),
    [
        (scaled(1.1), "off by 0.21"),
        (scaled(0.0), "off by 1"),
        ((1.0, 0.0, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0), "off by 0.3"),
        ((-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0), "mirrors"),
        ((math.nan, *scaled(1.0)[1:]), "not finite"),
        ((*scaled(1.0)[:11], math.inf), "not finite"),
        ((*scaled(1.0)[:10], math.inf, -math.inf), "not finite"),
    ],
)
def test_what_is_no_rotation_is_refused(matrix: Matrix, problem: str) -> None:
    with pytest.raises(rigid.PoseError, match=problem):
        rigid.pose(matrix)


def test_a_slightly_wrong_rotation_is_flagged_and_still_gives_a_unit_quaternion() -> None:
    pose = rigid.pose(scaled(1.005))
    assert pose.doubtful
    assert math.isclose(math.hypot(*pose.orientation), 1.0, abs_tol=1e-12)
    assert not rigid.pose(scaled(1.0 + 1e-6)).doubtful


def test_quaternions_of_qtdata_are_normalised_or_refused() -> None:
    pose = rigid.from_quaternion((1.0, 2.0, 3.0), (0.0, -0.6, 0.0, -0.8))
    assert pose.orientation == pytest.approx((0.0, 0.6, 0.0, 0.8))
    with pytest.raises(rigid.PoseError, match="length 0, not 1"):
        rigid.from_quaternion((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))
    with pytest.raises(rigid.PoseError, match="not finite"):
        rigid.from_quaternion((0.0, math.nan, 0.0), (0.0, 0.0, 0.0, 1.0))
