"""Arteries, veins and capillaries for the simulated scope: grown as trees, painted as tubes.

A vessel walks with a heading that turns smoothly and leans back to where it set out for; it forks
by Murray's law (the flow through the branches is the flow through the trunk) and ends where it
meets another of its bed, so that trees fill the tissue and do not tangle.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from scot_devices.simulators.relief import HEIGHT, WIDTH, Picture

MURRAY: Final = 2.7
"""Exponent of the radius in flow; 3 in Murray's law, a little less in measured brains."""

_CELL_PX: Final = 6
_TUBE_PX: Final = 2.0
"""Radius from which a vessel is a tube with a height, not a line."""


@dataclass(frozen=True)
class Habit:
    """How a kind of vessel grows.

    Attributes:
        curl: how much the heading wanders.
        fork: chance of a fork every five pixels.
        taper: share of the radius lost each pixel.
        thinnest_px: radius at which it ends.
        seek: how strongly it turns into the furrows.
    """

    curl: float = 0.04
    fork: float = 0.09
    taper: float = 0.0007
    thinnest_px: float = 0.5
    seek: float = 0.0


TRUNK: Final = Habit(curl=0.03, fork=0.075, taper=0.0005)
BRANCH: Final = Habit(seek=0.05)
CAPILLARY: Final = Habit(curl=0.055, fork=0.15, taper=0.003, thinnest_px=0.35)


@dataclass
class _Shoot:
    """A vessel that still has to grow."""

    x: float
    y: float
    heading: float
    guide: float
    radius_px: float
    left_px: float
    parent: int
    turn: float = 0.0
    gone_px: float = 0.0
    cells: list[tuple[int, int, int]] = field(default_factory=list)


class Bed:
    """The vessels of one piece of tissue.

    Attributes:
        paths: of each vessel, (n, 3): x, y and radius in plate pixels.
    """

    def __init__(self, rng: np.random.Generator, furrows: Picture | None = None) -> None:
        self.paths: list[Picture] = []
        self._rng = rng
        self._taken = np.zeros((HEIGHT // _CELL_PX + 1, WIDTH // _CELL_PX + 1), np.int32)
        self._slope: tuple[Picture, Picture] | None = None
        if furrows is not None:
            self._slope = (
                cv2.Sobel(furrows, cv2.CV_32F, 1, 0, ksize=5),
                cv2.Sobel(furrows, cv2.CV_32F, 0, 1, ksize=5),
            )

    def grow(
        self,
        start: tuple[float, float],
        heading: float,
        radius_px: float,
        length_px: float,
        habit: Habit,
    ) -> None:
        """Add one tree from a place (moved into the plate) in a direction, radians clockwise."""
        x = max(0.0, min(WIDTH - 1.0, start[0]))
        y = max(0.0, min(HEIGHT - 1.0, start[1]))
        waiting = deque([_Shoot(x, y, heading, heading, radius_px, length_px, 0)])
        while waiting and len(self.paths) < 2000:
            shoot = waiting.popleft()
            path = self._walk(shoot, habit, waiting)
            for row, column, reach in shoot.cells:
                near = self._taken[
                    max(0, row - reach) : row + reach + 1,
                    max(0, column - reach) : column + reach + 1,
                ]
                near[:] = len(self.paths) + 1
            if len(path) > 3:
                self.paths.append(_thin_ends(np.array(path, np.float32), shoot.parent == 0))

    def _walk(
        self, shoot: _Shoot, habit: Habit, waiting: deque[_Shoot]
    ) -> list[tuple[float, float, float]]:
        """Follow one vessel to its end; its branches join `waiting`."""
        me = len(self.paths) + 1
        path = [(shoot.x, shoot.y, shoot.radius_px)]
        while shoot.radius_px > habit.thinnest_px and shoot.left_px > 0.0:
            step = max(2.5, min(6.0, shoot.radius_px))
            self._turn(shoot, habit, step)
            if not self._advance(shoot, step):
                break
            shoot.radius_px *= 1.0 - habit.taper * step
            path.append((shoot.x, shoot.y, shoot.radius_px))
            row, column = int(shoot.y) // _CELL_PX, int(shoot.x) // _CELL_PX
            other = int(self._taken[row, column])
            if other not in (0, me) and shoot.gone_px > shoot.radius_px * 2.0 + 18.0:
                break
            shoot.cells.append((row, column, int(shoot.radius_px / _CELL_PX)))
            thick = shoot.radius_px > habit.thinnest_px * 1.3 and shoot.gone_px > 20.0
            if thick and self._rng.random() < habit.fork * step / 5.0:
                waiting.append(self._fork(shoot, me))
        return path

    def _turn(self, shoot: _Shoot, habit: Habit, step: float) -> None:
        wander = float(self._rng.normal(0.0, habit.curl)) * math.sqrt(step / 4.0)
        back = 0.010 * step * math.sin(shoot.heading - shoot.guide)
        turn = 0.9 * shoot.turn + wander * (1.0 + 0.9 / shoot.radius_px) - back
        shoot.turn = max(-0.16, min(0.16, turn))
        shoot.heading += shoot.turn * step / 4.0
        if habit.seek and self._slope is not None:
            down_x = -float(self._slope[0][int(shoot.y), int(shoot.x)])
            down_y = -float(self._slope[1][int(shoot.y), int(shoot.x)])
            pull = math.cos(shoot.heading) * down_y - math.sin(shoot.heading) * down_x
            shoot.heading += max(-0.06, min(0.06, habit.seek * pull))

    @staticmethod
    def _advance(shoot: _Shoot, step: float) -> bool:
        """Take one step; False if it would leave the plate."""
        shoot.x += step * math.cos(shoot.heading)
        shoot.y += step * math.sin(shoot.heading)
        shoot.left_px -= step
        shoot.gone_px += step
        return 0.0 <= shoot.x < WIDTH and 0.0 <= shoot.y < HEIGHT

    def _fork(self, shoot: _Shoot, parent: int) -> _Shoot:
        """Split off a branch that takes a share of the flow; the trunk leans the other way."""
        share = float(self._rng.uniform(0.12, 0.6))
        side = float(self._rng.choice([-1.0, 1.0]))
        angle = side * float(self._rng.uniform(0.45, 1.0))
        branch = _Shoot(
            shoot.x,
            shoot.y,
            shoot.heading + angle,
            shoot.guide + 0.8 * angle,
            shoot.radius_px * share ** (1.0 / MURRAY) * 0.9,
            shoot.left_px * float(self._rng.uniform(0.4, 0.9)),
            parent,
        )
        shoot.radius_px *= (1.0 - 0.3 * share) ** (1.0 / MURRAY)
        shoot.heading -= side * 0.12 * share
        return branch


def _thin_ends(path: Picture, root: bool) -> Picture:
    """Let a vessel come out of the tissue (a root) and sink back into it at its end."""
    count = len(path)
    reach = min(count // 2, 14)
    ramp = np.linspace(0.25, 1.0, reach, dtype=np.float32)
    if root:
        path[:reach, 2] *= ramp
    path[count - reach :, 2] *= ramp[::-1]
    return path


@dataclass(frozen=True)
class Painted:
    """Vessels as pictures: coverage of tubes 0..1, their height in px, coverage of fine lines."""

    cover: Picture
    lift_px: Picture
    fine: Picture


def paint(paths: list[Picture]) -> Painted:
    """Draw vessels: tubes with their round height, and fine ones as soft lines."""
    cover = np.zeros((HEIGHT, WIDTH), np.float32)
    lift = np.zeros((HEIGHT, WIDTH), np.float32)
    fine = np.zeros((HEIGHT, WIDTH), np.uint8)
    for path in paths:
        for first in range(0, len(path) - 1, 6):
            piece = path[first : first + 7]
            radius = float(piece[:, 2].mean())
            if radius >= _TUBE_PX:
                _tube(cover, lift, piece)
                continue
            points = np.round(piece[:, :2] * 16.0).astype(np.int32)
            strength = min(255, int(150.0 * radius))
            width = max(1, round(1.6 * radius))
            cv2.polylines(fine, [points], False, (strength,), width, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(fine, (0, 0), 0.7).astype(np.float32) / 255.0
    return Painted(cover, lift, soft)


def within(parts: list[tuple[Picture, Painted]]) -> Painted:
    """Return vessels of several tissues as one picture, each only where its tissue is.

    Args:
        parts: of each tissue, its mask (no two overlap) and its vessels.
    """
    whole = Painted(*(np.zeros((HEIGHT, WIDTH), np.float32) for _ in range(3)))
    for tissue, painted in parts:
        for target, source in (
            (whole.cover, painted.cover),
            (whole.lift_px, painted.lift_px),
            (whole.fine, painted.fine),
        ):
            np.copyto(target, source, where=tissue)
    return whole


def _tube(cover: Picture, lift: Picture, path: Picture) -> None:
    """Lay the pieces of a tube into `cover` and `lift`; where two meet the higher one shows."""
    for (x0, y0, r0), (x1, y1, r1) in zip(path[:-1].tolist(), path[1:].tolist(), strict=True):
        reach = max(r0, r1) + 2.0
        left, right = max(0, int(min(x0, x1) - reach)), min(WIDTH, int(max(x0, x1) + reach) + 1)
        top, bottom = max(0, int(min(y0, y1) - reach)), min(HEIGHT, int(max(y0, y1) + reach) + 1)
        if left >= right or top >= bottom:
            continue
        x = np.arange(left, right, dtype=np.float32)[None, :] - x0
        y = np.arange(top, bottom, dtype=np.float32)[:, None] - y0
        along_x, along_y = x1 - x0, y1 - y0
        share = (x * along_x + y * along_y) / (along_x * along_x + along_y * along_y + 1e-6)
        share = np.clip(share, 0.0, 1.0)
        away = np.hypot(x - share * along_x, y - share * along_y)
        radius = r0 + share * (r1 - r0)
        place = np.s_[top:bottom, left:right]
        np.maximum(cover[place], np.clip(radius - away + 0.5, 0.0, 1.0), out=cover[place])
        round_px = np.sqrt(np.clip(radius * radius - away * away, 0.0, None))
        np.maximum(lift[place], round_px, out=lift[place])
