"""Rotation matrices of trackers to unit quaternions, and back.

A tool's pose is rigid. A matrix that scales, mirrors or shears was calibrated or packed wrongly,
and a position read off it may be wrong as well; so its distance from a rotation is measured, and
beyond a limit it is refused. Single precision alone leaves about 1e-6.
"""

from __future__ import annotations

import math

import msgspec

from scot.errors import RemoteProtocolError
from scot_devices.openigtlink.messages import Matrix, Quaternion, Vector

DOUBTFUL_FROM = 1e-3
"""Largest error of the columns' dot products that is taken as rounding."""

REFUSED_FROM = 0.05
"""... beyond which the matrix is no rotation."""


class PoseError(RemoteProtocolError):
    """A matrix or quaternion that is no rotation, or holds numbers that are not finite."""


class RigidPose(msgspec.Struct, frozen=True, gc=False):
    """A position and a unit quaternion.

    Attributes:
        position_mm: x, y, z.
        orientation: x, y, z, w; length 1, w not negative.
        deviation: how far the sent rotation was from one, 0 at best (no unit).
    """

    position_mm: Vector
    orientation: Quaternion
    deviation: float

    @property
    def doubtful(self) -> bool:
        """The sent rotation was worse than rounding explains."""
        return self.deviation > DOUBTFUL_FROM


def pose(matrix: Matrix) -> RigidPose:
    """Return the pose that a TRANSFORM or TDATA matrix holds.

    Args:
        matrix: wire order: rotation columns, then translation in mm.

    Raises:
        PoseError: not finite, mirrored, or further from a rotation than `REFUSED_FROM`.
    """
    ax, ay, az, bx, by, bz, cx, cy, cz, x, y, z = matrix
    total = ax + ay + az + bx + by + bz + cx + cy + cz + x + y + z
    if not math.isfinite(total):
        raise PoseError("a pose with numbers that are not finite")
    deviation = max(
        abs(ax * ax + ay * ay + az * az - 1.0),
        abs(bx * bx + by * by + bz * bz - 1.0),
        abs(cx * cx + cy * cy + cz * cz - 1.0),
        abs(ax * bx + ay * by + az * bz),
        abs(ax * cx + ay * cy + az * cz),
        abs(bx * cx + by * cy + bz * cz),
    )
    if deviation > REFUSED_FROM:
        raise PoseError(f"a rotation whose columns are off by {deviation:.3g} (limit 0.05)")
    if (ay * bz - az * by) * cx + (az * bx - ax * bz) * cy + (ax * by - ay * bx) * cz < 0.0:
        raise PoseError("a rotation that mirrors; check the axes of the tool's calibration")
    return RigidPose((x, y, z), _quaternion(ax, ay, az, bx, by, bz, cx, cy, cz), deviation)


def from_quaternion(position_mm: Vector, orientation: Quaternion) -> RigidPose:
    """Return the pose of a QTDATA element, its quaternion made one of length 1.

    Raises:
        PoseError: not finite, or its length is off by more than `REFUSED_FROM`.
    """
    x, y, z, w = orientation
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if not math.isfinite(length + sum(position_mm)):
        raise PoseError("a pose with numbers that are not finite")
    if abs(length - 1.0) > REFUSED_FROM:
        raise PoseError(f"a quaternion of length {length:.3g}, not 1 (limit 0.05)")
    scale = (1.0 if w >= 0.0 else -1.0) / length
    unit = (x * scale, y * scale, z * scale, w * scale)
    return RigidPose(position_mm, unit, abs(length - 1.0))


def matrix(position_mm: Vector, orientation: Quaternion) -> Matrix:
    """Return the wire matrix of a position in mm and a unit quaternion x, y, z, w."""
    x, y, z, w = orientation
    return (
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y + z * w),
        2.0 * (x * z - y * w),
        2.0 * (x * y - z * w),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z + x * w),
        2.0 * (x * z + y * w),
        2.0 * (y * z - x * w),
        1.0 - 2.0 * (x * x + y * y),
        *position_mm,
    )


def _quaternion(  # noqa: PLR0913, PLR0917 - nine numbers are what a rotation is
    ax: float,
    ay: float,
    az: float,
    bx: float,
    by: float,
    bz: float,
    cx: float,
    cy: float,
    cz: float,
) -> Quaternion:
    """Quaternion of the columns a, b, c, from its largest component (Shepperd 1978)."""
    trace = ax + by + cz
    if trace >= max(ax, by, cz):
        x, y, z, w = bz - cy, cx - az, ay - bx, 1.0 + trace
    elif ax >= by and ax >= cz:
        x, y, z, w = 1.0 + ax - by - cz, ay + bx, cx + az, bz - cy
    elif by >= cz:
        x, y, z, w = ay + bx, 1.0 - ax + by - cz, bz + cy, cx - az
    else:
        x, y, z, w = cx + az, bz + cy, 1.0 - ax - by + cz, ay - bx
    scale = (1.0 if w >= 0.0 else -1.0) / math.sqrt(x * x + y * y + z * z + w * w)
    return x * scale, y * scale, z * scale, w * scale
