"""Blood in the simulated scope's picture: a red film where thin, a dark mirror where deep."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from scot_devices.simulators.glint import LEAN_SCALE, Glint
from scot_devices.simulators.relief import Picture
from scot_devices.simulators.viewpoint import FOCAL_PX, Moment

_NEVER: Final = 250
"""Flood order from which a place stays dry."""

_DRIFT_PX: Final = 512
"""The waves are a picture so much larger than what is seen of it at once."""

_MIRROR: Final = (0.44, 0.47)
"""Share of the picture's width and height where a still pool mirrors the lamp."""

_BLUE_AND_GREEN: Final = 2.4
_RED: Final = 0.85
"""Extinction by a layer of unit thickness (Beer and Lambert): haemoglobin lets the red through."""


class Blood:
    """Lays blood over a picture given as planes.

    Args:
        rng: for the shape of the waves on it.
        size: width and height of the picture, px, even.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self._half = (size[0] // 2, size[1] // 2)
        self._waves = _waves(rng, (self._half[0] + _DRIFT_PX, self._half[1] + _DRIFT_PX))
        self._flat = _flat(self._half)
        self._glint = Glint(size)
        self._table = np.empty((size[1], size[0]), np.uint8)

    def cover(
        self, planes: list[Picture], glint: Picture, order: Picture, moment: Moment, t_s: float
    ) -> None:
        """Cover what the blood has reached, in place.

        Args:
            planes: blue, green, red, each (height, width) uint8.
            glint: the tissue's highlights, replaced by the blood's own where it is deep.
            order: `tissue.Plate.wet`'s flood order at each pixel.
            moment: level of pool and stain.
            t_s: seconds since the start, for the waves.
        """
        level = moment.pool * (1.0 + 0.03 * moment.beat)
        thick, film = _thickness(level, moment.stain, moment.stain_strength)
        blue, green, red = planes
        cv2.LUT(order, _as_table(np.exp(-_BLUE_AND_GREEN * film)), dst=self._table)
        cv2.multiply(blue, self._table, dst=blue, scale=1.0 / 255.0)
        cv2.multiply(green, self._table, dst=green, scale=1.0 / 255.0)
        cv2.LUT(order, _as_table(np.exp(-_RED * film)), dst=self._table)
        cv2.multiply(red, self._table, dst=red, scale=1.0 / 255.0)
        cv2.LUT(order, _own_red(film, moment.bleeding), dst=self._table)
        cv2.add(red, self._table, dst=red)
        if level > 1.0:
            cv2.LUT(order, _as_table(np.exp(-2.4 * thick)), dst=self._table)
            cv2.multiply(glint, self._table, dst=glint, scale=1.0 / 255.0)
            cv2.bitwise_not(self._table, dst=self._table)
            shine = self._mirror(moment, t_s)
            cv2.multiply(shine, self._table, dst=shine, scale=1.0 / 255.0)
            cv2.add(glint, shine, dst=glint)

    def _mirror(self, moment: Moment, t_s: float) -> Picture:
        """Return the lamp's reflections on the moving waves, (height, width) uint8."""
        down, right = int(14.0 * t_s) % _DRIFT_PX, int(9.0 * t_s) % _DRIFT_PX
        first = self._waves[down : down + self._half[1], : self._half[0]]
        second = self._waves[: self._half[1], right : right + self._half[0]]
        waves = cv2.addWeighted(first, 0.5, second, 0.5, 0.0)
        cv2.addWeighted(waves, 1.0, self._flat, 1.0, -128.0, dst=waves)
        lean = (cv2.extractChannel(waves, 0), cv2.extractChannel(waves, 1))
        return self._glint.of(lean, (0.012 * moment.beat, 0.0))


def _thickness(level: float, stain: float, strength: float) -> tuple[Picture, Picture]:
    """Return, by flood order, the pool's thickness and the film's (which includes it)."""
    order = np.arange(256.0)
    above = np.clip(level - order, 0.0, None) * (order < _NEVER)
    # The edge of a drop stands up round: thick at once, then it grows slowly.
    thick = 0.17 * np.sqrt(above) + above / 40.0
    left = strength * 0.22 * np.clip((stain - order) / 45.0, 0.0, 1.0) * (order < _NEVER)
    return thick, np.maximum(thick, left)


def _own_red(film: Picture, bleeding: float) -> Picture:
    """Return the red that blood itself throws back: fresh near the vessel, dark where deep."""
    order = np.arange(256.0)
    body = (1.0 - np.exp(-1.5 * film)) * (40.0 + 66.0 * np.exp(-0.7 * film))
    fresh = 30.0 * bleeding * np.exp(-order / 22.0) * (film > 0.4)
    table: Picture = np.round(np.clip(body + fresh, 0.0, 255.0)).astype(np.uint8)
    return table


def _as_table(share: Picture) -> Picture:
    table: Picture = np.round(255.0 * share).astype(np.uint8)
    return table


def _flat(size: tuple[int, int]) -> Picture:
    """Return the lean of a still surface, (height, width, 2): each line of sight has its own."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    lean = np.dstack([x - _MIRROR[0] * size[0], y - _MIRROR[1] * size[1]]) * (2.0 / FOCAL_PX)
    flat: Picture = np.clip(128.0 + lean / LEAN_SCALE, 0.0, 255.0).astype(np.uint8)
    return flat


def _waves(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Return the lean of waves, right and down, (height, width, 2) uint8 as in `Plate.wet`."""
    height = np.zeros((size[1], size[0]), np.float32)
    for scale_px, weight in ((34.0, 1.0), (15.0, 0.25)):
        knots = rng.standard_normal((int(size[1] / scale_px) + 2, int(size[0] / scale_px) + 2))
        coarse = knots.astype(np.float32)
        height += weight * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    slope = np.dstack(
        [
            cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1.0),
            cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1.0),
        ]
    )
    waves: Picture = np.clip(128.0 + slope / LEAN_SCALE, 0.0, 255.0).astype(np.uint8)
    return waves
