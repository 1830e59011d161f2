"""Where the simulated scope stands, what moves in its picture, and how far the blood has come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scot_devices.simulators.surgery import PERIOD_S, Surgery

FOCAL_PX: Final = 620.0
"""Of the lens, for a frame of 1280 by 720."""

FLOOR_MM: Final = 63.0
"""Depth of the insula where the optical axis of the scope at rest meets it."""

_ASIDE_RAD: Final = math.radians(26.0)
"""Between the line of sight and the planned path."""

_COMES_FROM_RAD: Final = math.radians(30.0)
"""Direction on the screen that the tube comes from: right and below."""

_ABOVE_FLOOR_MM: Final = 2.6
"""The target lies so far above the floor's mean depth: on the crown of a gyrus."""

_BREATH_S: Final = 60.0 / 14.0
"""The ventilator's period, as in `physiology`."""

_BEAT_S: Final = PERIOD_S / 216.0
"""72 beats a minute, a whole number in a period."""

_LATE_S: Final = (0.3, 0.7, 1.2, 1.8, 2.5)
"""The assistant who holds the scope follows where the tip was so long ago, on average."""


@dataclass(frozen=True)
class Moment:
    """Everything that moves, at one instant.

    Attributes:
        tip_mm, shaft: (3,), of the tube in the picture's axes: right, down, forward.
        shift_mm: (3,), of the tissue against the camera, in the camera's axes before its roll.
        pan_px: (2,), how the picture moves because the camera has turned.
        roll_rad: turn about the line of sight.
        beat: 0..1, swelling of the heartbeat.
        pool, stain: level of the blood, and of what it has left, in steps of the flood order.
        stain_strength: 0..1.
        bleeding: 0..1.
    """

    tip_mm: NDArray[np.float64]
    shaft: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    pan_px: NDArray[np.float64]
    roll_rad: float
    beat: float
    pool: float
    stain: float
    stain_strength: float
    bleeding: float


class Viewpoint:
    """A scope beside the planned path, looking at the target.

    The probe comes in from the lower right and its tip is where the tracker says it is.

    Attributes:
        axes: (3, 3), rows are right, down and forward in MNI RAS axes.
        position_mm: (3,), of the lens at rest, MNI RAS mm.
    """

    def __init__(self, surgery: Surgery) -> None:
        self._surgery = surgery
        path = surgery.target_mm - surgery.entry_mm
        self.axes = _camera_axes(path / np.linalg.norm(path))
        self.position_mm = surgery.target_mm - (FLOOR_MM - _ABOVE_FLOOR_MM) * self.axes[2]
        self._pools = _pool_levels(surgery)

    def at(self, t_s: float) -> Moment:
        """Return where everything is, `t_s` seconds after the start; repeats each period."""
        t_s %= PERIOD_S
        turn = 2.0 * math.pi * t_s / PERIOD_S
        hand_mm = _hand_mm(turn)
        roll_rad = _roll_rad(turn)
        breath = math.sin(math.pi * t_s / _BREATH_S) ** 4
        pool, stain, strength = self._blood(t_s)
        return Moment(
            tip_mm=_rolled(self._seen(t_s) - hand_mm, roll_rad),
            shaft=_rolled(self.axes @ self._surgery.direction(t_s), roll_rad),
            shift_mm=np.array([0.25, 0.65, -0.35]) * breath - hand_mm,
            pan_px=self._pan_px(t_s, turn),
            roll_rad=roll_rad,
            beat=_beat(t_s),
            pool=pool,
            stain=stain,
            stain_strength=strength,
            bleeding=self._surgery.bleeding(t_s),
        )

    def pose(self, t_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where a tracker sees the scope.

        Args:
            t_s: seconds since the start.

        Returns:
            (3,) of the lens, MNI RAS mm, and (3, 3): its right, down and forward axes as rows.
        """
        t_s %= PERIOD_S
        turn = 2.0 * math.pi * t_s / PERIOD_S
        right, down, forward = self.axes
        cosine, sine = math.cos(_roll_rad(turn)), math.sin(_roll_rad(turn))
        pan_px = self._pan_px(t_s, turn)
        # Turning the lens by an angle moves the picture the other way by focal length times it.
        sight = forward - (pan_px[0] * right + pan_px[1] * down) / FOCAL_PX
        sight = sight / np.linalg.norm(sight)
        across = cosine * right + sine * down
        across = across - sight * float(across @ sight)
        across = across / np.linalg.norm(across)
        lens = self.position_mm + self.axes.T @ _hand_mm(turn)
        return lens, np.array([across, np.cross(sight, across), sight])

    def _seen(self, t_s: float) -> NDArray[np.float64]:
        """Return the tip in the axes of the camera at rest, (3,), mm."""
        seen: NDArray[np.float64] = self.axes @ (self._surgery.tip_mm(t_s) - self.position_mm)
        return seen

    def _pan_px(self, t_s: float, turn: float) -> NDArray[np.float64]:
        """Return how the picture moves as the assistant follows the tip: late, and not all the way.

        Args:
            t_s: second of the period.
            turn: the same as an angle.
        """
        tip_px = np.zeros(2)
        for late_s in _LATE_S:
            tip = self._seen(t_s - late_s)
            tip_px += np.clip(FOCAL_PX * tip[:2] / max(20.0, float(tip[2])), -320.0, 320.0)
        unsteady = np.array([5.0 * math.sin(17 * turn), 4.0 * math.sin(19 * turn + 0.7)])
        return unsteady - 0.16 / len(_LATE_S) * tip_px

    def _blood(self, t_s: float) -> tuple[float, float, float]:
        """Return the level of the pool, of the stain and the stain's strength."""
        at = t_s / PERIOD_S * (len(self._pools) - 1)
        first = min(int(at), len(self._pools) - 2)
        row = self._pools[first] + (at - first) * (self._pools[first + 1] - self._pools[first])
        return float(row[0]), float(row[1]), float(row[2])


def _hand_mm(turn: float) -> NDArray[np.float64]:
    """Return how far the assistant's hand has moved the scope: right, down, forward, (3,), mm."""
    return np.array(
        [
            0.55 * math.sin(11 * turn) + 0.25 * math.sin(37 * turn + 1.0),
            0.45 * math.sin(13 * turn + 2.0) + 0.22 * math.sin(41 * turn),
            0.80 * math.sin(7 * turn + 0.5),
        ]
    )


def _roll_rad(turn: float) -> float:
    """Return how far the hand has turned the scope about the line of sight."""
    return 0.012 * math.sin(5 * turn) + 0.006 * math.sin(23 * turn)


def _rolled(seen: NDArray[np.float64], roll_rad: float) -> NDArray[np.float64]:
    """Return a vector of camera axes in the axes of the rolled picture, (3,)."""
    cosine, sine = math.cos(roll_rad), math.sin(roll_rad)
    x, y, z = seen.tolist()
    return np.array([cosine * x + sine * y, cosine * y - sine * x, z])


def _beat(t_s: float) -> float:
    """Return the swelling of the brain in a heartbeat: quick up, slow down, 0..1."""
    since_s = t_s % _BEAT_S
    return 4.02 * (math.exp(-since_s / 0.22) - math.exp(-since_s / 0.10))


def _camera_axes(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return right, down and forward as rows, (3, 3), in MNI axes.

    Args:
        path: (3,), unit vector of the planned path, inwards.
    """
    beside = np.cross(path, [0.0, 0.0, 1.0])
    beside /= np.linalg.norm(beside)
    forward = math.cos(_ASIDE_RAD) * path + math.sin(_ASIDE_RAD) * beside
    back = -path - forward * float(-path @ forward)
    back /= np.linalg.norm(back)
    third = np.cross(forward, back)
    cosine, sine = math.cos(_COMES_FROM_RAD), math.sin(_COMES_FROM_RAD)
    return np.array([cosine * back - sine * third, sine * back + cosine * third, forward])


def _pool_levels(surgery: Surgery) -> NDArray[np.float64]:
    """Follow the blood through a period: (n, 3) pool, stain, strength of the stain.

    The pool fills while the vessel bleeds and the suction empties it; what it covered stays red
    and is washed clean before the period ends.
    """
    steps = 900
    step_s = PERIOD_S / steps
    rows = np.zeros((steps + 1, 3))
    level = stain = strength = 0.0
    for step in range(steps + 1):
        t_s = step * step_s
        bleeding = surgery.bleeding(t_s)
        level = max(0.0, level + (8.4 * bleeding - 0.065 * level - 0.4) * step_s)
        stain = max(stain, level)
        if bleeding > 0.05:
            strength = 1.0
        elif t_s > 100.0:
            strength *= 1.0 - step_s / 26.0
        rows[step] = level, stain, strength * min(1.0, (PERIOD_S - t_s) / 12.0)
    return rows
