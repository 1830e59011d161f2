"""What the simulated tracker sees: where its tools are, and when a hand hides their markers.

Pure functions of a seed and of seconds since the start, like `surgery`, on which they rest. Every
pose maps the tool's own axes into MNI152 RAS millimetres. A tool's z axis runs along its shaft:
of the probe from the handle to the tip, of the scope in the direction of view; the origin is the
tip, or the scope's lens.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from scot_devices.openigtlink.messages import Matrix
from scot_devices.simulators.surgery import PERIOD_S, Surgery, Vector
from scot_devices.simulators.viewpoint import Viewpoint

PROBE: Final = "Probe"
REFERENCE: Final = "Reference"
SCOPE: Final = "Scope"
TOOLS: Final = (PROBE, REFERENCE, SCOPE)

REFERENCE_MM: Final = (68.0, 78.0, 34.0)
"""The star on the head clamp, before the patient's right brow."""

_STAR: Final = np.array([[0.8, -0.48, 0.36], [0.6, 0.64, -0.48], [0.0, 0.6, 0.8]])
"""The star's own axes, as columns in the brain's: it was clamped as it fitted."""

IMAGE_TO_REFERENCE: Final[Matrix] = (*_STAR.ravel().tolist(), *(-_STAR.T @ REFERENCE_MM).tolist())
"""The registration: from the brain's millimetres to the star's, in wire order."""

# Of each tool: mean seconds between two occlusions, and the longest.
_HIDDEN: Final = {PROBE: (34.0, 1.6), REFERENCE: (90.0, 0.7), SCOPE: (55.0, 1.2)}
_NOSE: Final = np.array([0.0, 1.0, 0.0])


class Scene:
    """Poses and visibility of every tool at any second.

    Args:
        seed: of the surgery and of the occlusions.
        occlusion: hide tools now and then.
        registered: tell tools in the star's own frame; `registration` then leads to it.
    """

    def __init__(self, seed: int = 7, occlusion: bool = True, registered: bool = False) -> None:
        self.surgery = Surgery(seed)
        self.registered = registered
        self._viewpoint = Viewpoint(self.surgery)
        self._hidden: dict[str, list[tuple[float, float]]] = {}
        rng = np.random.default_rng([seed, 0x7217])
        for tool, (apart_s, longest_s) in _HIDDEN.items():
            windows: list[tuple[float, float]] = []
            at_s = float(rng.uniform(0.3, 0.7)) * apart_s
            while occlusion and at_s < PERIOD_S - longest_s:
                windows.append((at_s, at_s + float(rng.uniform(0.3, longest_s))))
                at_s += float(rng.uniform(0.6, 1.4)) * apart_s
            self._hidden[tool] = windows

    def visible(self, tool: str, t_s: float) -> bool:
        """Whether the tracker sees enough of the tool's markers at a second since the start."""
        t_s %= PERIOD_S
        return not any(begin <= t_s < end for begin, end in self._hidden[tool])

    def pose(self, tool: str, t_s: float) -> Matrix:
        """Where a tool is, seen or not, as a matrix in wire order, mm.

        In MNI152 RAS; in the frame of the star on the head clamp where this scene is registered.
        """
        matrix = self._in_brain(tool, t_s)
        return _through(IMAGE_TO_REFERENCE, matrix) if self.registered else matrix

    def _in_brain(self, tool: str, t_s: float) -> Matrix:
        if tool == PROBE:
            roll = 0.25 * math.sin(2.0 * math.pi * 4.0 * t_s / PERIOD_S)
            return _matrix(self.surgery.tip_mm(t_s), self.surgery.direction(t_s), _NOSE, roll)
        if tool == SCOPE:
            lens_mm, axes = self._viewpoint.pose(t_s)
            return (*axes.ravel().tolist(), *lens_mm.tolist())
        if self.registered:
            return (*_STAR.T.ravel().tolist(), *REFERENCE_MM)
        return (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, *REFERENCE_MM)


def _through(outer: Matrix, inner: Matrix) -> Matrix:
    """Return the matrix that does `inner` and then `outer`, in wire order."""
    a = np.array(outer).reshape(4, 3).T
    b = np.array(inner).reshape(4, 3).T
    turn, shift = a[:, :3] @ b[:, :3], a[:, :3] @ b[:, 3] + a[:, 3]
    return (*turn.T.ravel().tolist(), *shift.tolist())


def _matrix(origin_mm: Vector, z_axis: Vector, y_hint: Vector, roll: float) -> Matrix:
    """Matrix of a tool whose z points along `z_axis` and whose y is as near `y_hint` as can be.

    Args:
        origin_mm: (3,), mm.
        z_axis: (3,), any length but 0.
        y_hint: (3,), not parallel to `z_axis`.
        roll: radians about z.
    """
    zx, zy, zz = _unit(*z_axis.tolist())
    hx, hy, hz = y_hint.tolist()
    along = zx * hx + zy * hy + zz * hz
    yx, yy, yz = _unit(hx - zx * along, hy - zy * along, hz - zz * along)
    xx, xy, xz = yy * zz - yz * zy, yz * zx - yx * zz, yx * zy - yy * zx
    c, s = math.cos(roll), math.sin(roll)
    return (
        *(xx * c + yx * s, xy * c + yy * s, xz * c + yz * s),
        *(yx * c - xx * s, yy * c - xy * s, yz * c - xz * s),
        *(zx, zy, zz),
        *origin_mm.tolist(),
    )  # fmt: skip


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length
