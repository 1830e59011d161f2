"""Highlights: where a wet surface mirrors the lamp at the lens back into it.

Tables of 256 entries stand in for the exponentials: a picture of 0.8 megapixels then costs a
millisecond.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from scot_devices.simulators.relief import Picture

LEAN_SCALE: Final = 0.0032
"""Radians of lean from the line of sight in one step of an 8-bit picture; 128 is none."""

GLINT_RAD: Final = 0.058
"""How far a surface may lean and still mirror a good part of the lamp."""


class Glint:
    """Finds highlights from a lean known on every other pixel; the next call overwrites its result.

    The smooth share of mirrored light is spread to the full size before it is burnt out, so that
    edges stay sharp.

    Args:
        size: width and height of the result, px, even.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._across = np.empty((size[1] // 2, size[0] // 2), np.uint8)
        self._down = np.empty_like(self._across)
        self._full = np.empty((size[1], size[0]), np.uint8)

    def of(self, lean: tuple[Picture, Picture], centre_rad: tuple[float, float]) -> Picture:
        """Return the highlights, (height, width) uint8.

        Args:
            lean: to the right and downwards, each half the size, uint8 in steps of `LEAN_SCALE`.
            centre_rad: lean that mirrors the lamp best; moves when the camera does.
        """
        cv2.LUT(lean[0], _share(centre_rad[0]), dst=self._across)
        cv2.LUT(lean[1], _share(centre_rad[1]), dst=self._down)
        cv2.multiply(self._across, self._down, dst=self._down, scale=1.0 / 255.0)
        cv2.GaussianBlur(self._down, (3, 3), 0.7, dst=self._down)
        cv2.resize(self._down, self._size, dst=self._full, interpolation=cv2.INTER_LINEAR)
        return cv2.LUT(self._full, _BURNT, dst=self._full)


def _share(centre_rad: float) -> Picture:
    """Return the share of light mirrored at each step of lean, 0..255."""
    lean = (np.arange(256) - 128.0) * LEAN_SCALE
    share = np.exp(-((lean - centre_rad) ** 2) / (2.0 * GLINT_RAD**2))
    table: Picture = np.round(255.0 * share).astype(np.uint8)
    return table


def _burnt() -> Picture:
    """Return the table that gives highlights the hard edge of a burnt-out sensor."""
    share = np.clip((np.arange(256) / 255.0 - 0.20) / 0.42, 0.0, 1.0)
    table: Picture = np.round(255.0 * share * share * (3.0 - 2.0 * share)).astype(np.uint8)
    return table


_BURNT: Final = _burnt()
