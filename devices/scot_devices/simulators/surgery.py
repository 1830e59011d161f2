"""The operation that every simulator tells: one craniotomy, repeated every 180 seconds.

The tracker, the monitor and the scope are separate programs, yet the room must make sense: when
the patient bleeds, the picture reddens, the pressure falls and the probe draws back. They agree
because each of them asks this module, which is a pure function of a seed and of the seconds since
the start. It reads no clock, keeps no state between calls and may be asked in any order.

Space is MNI152 RAS in millimetres: x to the patient's right, y to the front, z up. The entry lies
at the skull above a left frontal craniotomy, the target in the anterior insula, so that a straight
line between them goes through the middle frontal gyrus and misses the ventricle.

====== =======================================================================
t, s   what happens
====== =======================================================================
0      the probe waits 30 mm outside the skull
14     it touches the entry, then goes in by stages
48     12 mm from the target: the surgeon stops and looks
60     a vessel bleeds; the probe draws back and moves aside
95     the bleeding has stopped; the probe goes in again
116    less than 2 mm from the target, inspection
158    withdrawn to the entry
174    outside; the same pose as at 0
====== =======================================================================
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]

PERIOD_S: Final = 180.0
TARGET_MM: Final = (-33.0, 18.0, 2.0)
ENTRY_MM: Final = (-44.0, 50.0, 36.0)

TREMOR_PEAK_MM: Final = 0.25
"""Largest excursion of the hand's tremor, below the 0.3 mm of a steadied hand."""

_BLEED_S: Final = (60.0, 69.0, 82.0, 95.0)
"""Begins, is at its worst, begins to stop, has stopped; seconds into the period."""

# (second, mm short of the target along the planned line, mm to the left, mm forward across it).
# Between two rows the hand makes one minimum-jerk movement; equal rows are a pause.
_SCRIPT: Final = (
    (0.0, 78.0, 3.0, -4.0),
    (4.0, 78.0, 3.0, -4.0),
    (10.0, 54.0, 1.0, -1.5),
    (14.0, 48.0, 0.0, 0.0),
    (18.0, 48.0, 0.4, 0.2),
    (25.0, 36.0, 0.8, -0.5),
    (27.5, 36.0, 0.8, -0.5),
    (29.0, 37.5, 0.2, 0.4),
    (38.0, 22.0, -0.6, 0.6),
    (41.0, 22.0, -0.6, 0.6),
    (48.0, 12.0, 0.3, 0.2),
    (58.0, 12.0, 0.5, -0.2),
    (63.0, 12.6, 0.5, -0.2),
    (66.0, 19.0, 1.6, 0.8),
    (72.0, 17.5, 3.0, 2.2),
    (79.0, 16.5, 2.6, -1.6),
    (85.0, 17.0, -1.2, -1.8),
    (92.0, 15.0, 0.2, 0.2),
    (97.0, 12.0, 0.2, 0.1),
    (104.0, 6.0, 0.4, -0.2),
    (108.0, 6.0, 0.4, -0.2),
    (116.0, 1.2, 0.2, 0.2),
    (121.0, 1.0, -0.6, 0.4),
    (126.0, 0.8, 0.5, 0.6),
    (131.0, 1.1, 0.2, -0.5),
    (137.0, 8.0, 1.4, 1.0),
    (142.0, 8.4, -1.4, 1.2),
    (158.0, 46.0, 0.0, 0.0),
    (161.0, 48.0, 0.4, -0.2),
    (174.0, 78.0, 3.0, -4.0),
    (PERIOD_S, 78.0, 3.0, -4.0),
)
_SCRIPT_TIMES: Final = tuple(row[0] for row in _SCRIPT)


def _minimum_jerk(x: float) -> float:
    """Share of the way that a hand has gone at the share `x` of its time (Flash, Hogan 1985)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))


def _across(axis: Vector) -> tuple[Vector, Vector]:
    """Two unit vectors at right angles to `axis` and to one another: leftwards and forwards."""
    left = np.array([-1.0, 0.0, 0.0])
    left -= axis * float(left @ axis)
    left /= np.linalg.norm(left)
    forward = np.cross(axis, left)
    if forward[1] < 0.0:
        forward = -forward
    return left, forward


class Surgery:
    """Where the probe is and how much the patient bleeds, at any second of the operation.

    Two objects with the same seed answer alike on any machine. A seed changes the hand (tremor,
    drift, where exactly it inspects) and never the plan or the times of the table above.

    Attributes:
        period_s: seconds after which everything repeats without a jump.
        target_mm: (3,), planned target, MNI RAS mm.
        entry_mm: (3,), planned entry at the skull, MNI RAS mm.
    """

    period_s: float = PERIOD_S

    def __init__(self, seed: int = 7) -> None:
        self.target_mm: Vector = np.array(TARGET_MM)
        self.entry_mm: Vector = np.array(ENTRY_MM)
        line = self.target_mm - self.entry_mm
        self._axis: Vector = line / np.linalg.norm(line)
        self._depth_mm = float(np.linalg.norm(line))
        self._left, self._forward = _across(self._axis)
        rng = np.random.default_rng(seed)
        self._aside = rng.uniform(-0.35, 0.35, (len(_SCRIPT), 2))
        self._aside[-1] = self._aside[0]
        self._make_tremor(rng)
        self._make_sway(rng)

    def _make_tremor(self, rng: np.random.Generator) -> None:
        """Sines on whole multiples of 1/period: 1/f in amplitude, with the 8 to 12 Hz hand peak."""
        slow_hz = np.geomspace(0.25, 6.0, 18)
        hand_hz = rng.uniform(8.0, 12.0, 6)
        turns = np.unique(np.rint(np.concatenate([slow_hz, hand_hz]) * PERIOD_S))
        hz = turns / PERIOD_S
        amplitude = 1.0 / hz
        amplitude[hz >= 8.0] *= 2.0
        self._tremor_rate: Vector = 2.0 * math.pi * hz
        phase = rng.uniform(0.0, 2.0 * math.pi, (3, hz.size))
        weight = amplitude * rng.uniform(0.6, 1.4, (3, hz.size))
        self._tremor_sin: Vector = weight * np.cos(phase)
        self._tremor_cos: Vector = weight * np.sin(phase)
        times = np.arange(0.0, PERIOD_S, 0.01)
        angle = self._tremor_rate[:, None] * times
        whole = self._tremor_sin @ np.sin(angle) + self._tremor_cos @ np.cos(angle)
        scale = TREMOR_PEAK_MM / float(np.linalg.norm(whole, axis=0).max())
        self._tremor_sin *= scale
        self._tremor_cos *= scale

    def _make_sway(self, rng: np.random.Generator) -> None:
        """Slow drift of the arm, periods of 12 to 60 s: three sines for each of two directions."""
        turns = rng.permuted(np.arange(3, 16))[:6].reshape(2, 3)
        self._sway = [
            [
                (2.0 * math.pi * float(n) / PERIOD_S, float(rng.uniform(0.0, 2.0 * math.pi)))
                for n in row
            ]
            for row in turns
        ]

    def _sway_at(self, t_s: float) -> tuple[float, float]:
        """Drift in two directions, each within -1..1, at a second of the period."""
        first, second = self._sway
        return (
            sum(math.sin(rate * t_s + phase) for rate, phase in first) / 3.0,
            sum(math.sin(rate * t_s + phase) for rate, phase in second) / 3.0,
        )

    def _script_at(self, t_s: float) -> tuple[float, float, float]:
        """Planned millimetres short of the target, to the left and forward, from the script."""
        k = bisect_right(_SCRIPT_TIMES, t_s) - 1
        if k >= len(_SCRIPT) - 1:
            k = len(_SCRIPT) - 2
        begin_s, short, left, forward = _SCRIPT[k]
        end_s, next_short, next_left, next_forward = _SCRIPT[k + 1]
        share = _minimum_jerk((t_s - begin_s) / (end_s - begin_s))
        aside = self._aside[k] + share * (self._aside[k + 1] - self._aside[k])
        return (
            short + share * (next_short - short),
            left + share * (next_left - left) + float(aside[0]),
            forward + share * (next_forward - forward) + float(aside[1]),
        )

    def _steady_tip(self, t_s: float) -> tuple[Vector, float]:
        """The tip without tremor, and its millimetres short of the target along the plan."""
        short, left, forward = self._script_at(t_s)
        sway_left, sway_forward = self._sway_at(t_s)
        # A hand rests on the skull when it works deep, and hangs free outside.
        reach = 0.25 + 0.012 * short
        tip = (
            self.target_mm
            - self._axis * short
            + self._left * (left + reach * sway_left)
            + self._forward * (forward + reach * sway_forward)
        )
        return tip, short

    def tip_mm(self, t_s: float) -> Vector:
        """The probe's tip.

        Args:
            t_s: seconds since the start of the simulation; any real number.

        Returns:
            (3,), MNI RAS mm, a new array.
        """
        t_s %= PERIOD_S
        tip, _ = self._steady_tip(t_s)
        angle = self._tremor_rate * t_s
        tip += self._tremor_sin @ np.sin(angle) + self._tremor_cos @ np.cos(angle)
        return tip

    def direction(self, t_s: float) -> Vector:
        """The probe's shaft, from the handle to the tip.

        Inside the head the shaft turns about the craniotomy; outside it follows the plan within a
        few degrees.

        Args:
            t_s: seconds since the start of the simulation; any real number.

        Returns:
            (3,), unit vector in MNI RAS axes, a new array.
        """
        t_s %= PERIOD_S
        tip, short = self._steady_tip(t_s)
        sway_left, sway_forward = self._sway_at(t_s * 2.0)
        tilt = self._left * (0.05 * sway_left) + self._forward * (0.05 * sway_forward)
        free = self._axis + tilt
        inside = _minimum_jerk((self._depth_mm - short) / 15.0)
        if inside > 0.0:
            pivot = self.entry_mm + tilt * 25.0
            through = tip - pivot
            through /= math.sqrt(float(through @ through))
            free = inside * through + (1.0 - inside) * free
        free /= math.sqrt(float(free @ free))
        return free

    def bleeding(self, t_s: float) -> float:
        """How much the wound bleeds.

        Args:
            t_s: seconds since the start of the simulation; any real number.

        Returns:
            0 (dry) to 1 (worst), smooth; one bleed a period, from 60 s to 95 s.
        """
        t_s %= PERIOD_S
        begin_s, worst_s, ease_s, end_s = _BLEED_S
        if t_s <= begin_s or t_s >= end_s:
            return 0.0
        rise = _minimum_jerk((t_s - begin_s) / (worst_s - begin_s))
        fall = _minimum_jerk((t_s - ease_s) / (end_s - ease_s))
        return rise - fall
