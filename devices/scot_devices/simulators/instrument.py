"""The suction tube in the simulated scope's picture: a steel cylinder drawn where the probe is."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from scot_devices.simulators.relief import Picture
from scot_devices.simulators.viewpoint import FOCAL_PX

RADIUS_MM: Final = 1.35
"""Outer radius of a 8 French suction tube."""

_LENGTH_MM: Final = 80.0
_ALONG: Final = 10
"""Texture pixels a millimetre along the tube."""

_ACROSS: Final = 64
_NEAREST_MM: Final = 7.0
"""The tube is cut off so close to the lens; it is then outside the picture."""

_LAMP_MM: Final = np.array([2.0, -3.2])
"""Where the lamp sits beside the lens, right and down."""

_SHADE_STEP: Final = 4
"""The shadow is soft: drawn on a picture so many times smaller."""


class Outline(NamedTuple):
    """The tube on the screen: its middle line and half its width at the tip and where it is cut."""

    tip_px: NDArray[np.float64]
    cut_px: NDArray[np.float64]
    tip_half_px: float
    cut_half_px: float
    tip_depth_mm: float
    cut_depth_mm: float
    length_mm: float


def outline(
    tip_mm: NDArray[np.float64], shaft: NDArray[np.float64], centre_px: tuple[float, float]
) -> Outline | None:
    """Project the tube.

    Args:
        tip_mm: (3,), in camera axes: right, down, forward.
        shaft: (3,), unit vector from handle to tip in camera axes.
        centre_px: where the optical axis meets the picture.

    Returns:
        None when all of it is behind the lens or too near.
    """
    if tip_mm[2] <= _NEAREST_MM + 1.0:
        return None
    length = _LENGTH_MM
    if shaft[2] > 1e-6:
        length = min(length, (float(tip_mm[2]) - _NEAREST_MM) / float(shaft[2]))
    cut_mm = tip_mm - shaft * length
    centre = np.array(centre_px)
    return Outline(
        centre + FOCAL_PX * tip_mm[:2] / tip_mm[2],
        centre + FOCAL_PX * cut_mm[:2] / cut_mm[2],
        FOCAL_PX * RADIUS_MM / float(tip_mm[2]),
        FOCAL_PX * RADIUS_MM / float(cut_mm[2]),
        float(tip_mm[2]),
        float(cut_mm[2]),
        length,
    )


def _corners(shape: Outline, moved: tuple[Picture, Picture] | None = None) -> Picture:
    """Return tip left, tip right, cut right, cut left, (4, 2) px; ends moved if asked."""
    tip, cut = shape.tip_px, shape.cut_px
    if moved is not None:
        tip, cut = tip + moved[0], cut + moved[1]
    along = cut - tip
    along /= max(1e-6, float(np.hypot(*along)))
    side = np.array([-along[1], along[0]])
    return np.array(
        [
            tip - side * shape.tip_half_px,
            tip + side * shape.tip_half_px,
            cut + side * shape.cut_half_px,
            cut - side * shape.cut_half_px,
        ],
        np.float32,
    )


class Instrument:
    """Paints the tube and its shadow; made once, drawn every frame."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._steel, self._film, self._cover = _texture(rng)
        self._painted: tuple[int, Picture] | None = None

    def shadow(
        self, shape: Outline, behind_mm: tuple[float, float], size: tuple[int, int]
    ) -> Picture:
        """Return how much light reaches the tissue: (height, width) uint8, 255 all of it.

        Args:
            shape: the tube.
            behind_mm: depth of the tissue behind its tip and behind its cut.
            size: width and height, px.
        """
        moved = (
            FOCAL_PX * _LAMP_MM * (1.0 / behind_mm[0] - 1.0 / shape.tip_depth_mm),
            FOCAL_PX * _LAMP_MM * (1.0 / behind_mm[1] - 1.0 / shape.cut_depth_mm),
        )
        corners = _corners(shape, moved) / _SHADE_STEP
        small = np.full((size[1] // _SHADE_STEP, size[0] // _SHADE_STEP), 255, np.uint8)
        fixed = np.round(np.clip(corners, -2000.0, 2000.0) * 16.0).astype(np.int32)
        cv2.fillConvexPoly(small, fixed, (95,), cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(small, (0, 0), 2.2)
        return cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)

    def draw(self, frame: Picture, shape: Outline, light: Picture, blood: float) -> None:
        """Lay the tube over the frame.

        Args:
            frame: (height, width, 3) uint8, BGR, changed in place.
            shape: the tube.
            light: (height, width) uint8, what the lamp and the lens leave at each pixel.
            blood: 0..1, how much blood clings to it.
        """
        height, width = frame.shape[:2]
        corners = _corners(shape)
        left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
        right, bottom = np.minimum(np.ceil(corners.max(axis=0)) + 1, (width, height)).astype(int)
        if left >= right or top >= bottom:
            return
        end = shape.length_mm * _ALONG
        texture = np.array([[0, 0], [0, _ACROSS], [end, _ACROSS], [end, 0]], np.float32)
        lay = cv2.getPerspectiveTransform(texture, corners - np.array([left, top], np.float32))
        size = (int(right - left), int(bottom - top))
        gain = min(1.35, (46.0 / shape.tip_depth_mm) ** 1.3)
        tube = cv2.warpPerspective(self._paint(round(16.0 * blood)), lay, size)
        cover = cv2.extractChannel(tube, 3)
        seen = cv2.multiply(cover, light[top:bottom, left:right], scale=1.0 / 255.0)
        colour = cv2.cvtColor(tube, cv2.COLOR_BGRA2BGR)
        cv2.multiply(colour, cv2.merge([seen, seen, seen]), dst=colour, scale=gain / 255.0)
        place = frame[top:bottom, left:right]
        hole = cv2.bitwise_not(cover)
        rest = cv2.multiply(place, cv2.merge([hole, hole, hole]), scale=1.0 / 255.0)
        cv2.add(rest, colour, dst=place)

    def _paint(self, blood: int) -> Picture:
        """Return colour and coverage in four channels, with so many sixteenths of blood on it."""
        if self._painted is None or self._painted[0] != blood:
            steel = self._steel * (1.0 - (0.35 + 0.65 * blood / 16.0) * self._film)
            self._painted = blood, np.dstack([steel.astype(np.uint8), self._cover])
        return self._painted[1]


def _texture(rng: np.random.Generator) -> tuple[Picture, Picture, Picture]:
    """Return the tube unrolled, tip at the left: colour (BGR), film of blood, coverage (uint8).

    Steel has no colour of its own: it mirrors the lamp as a bright line, the dark behind the
    camera, and the red tissue along its flanks. The film takes a share 0..1 of each colour.
    """
    columns = int(_LENGTH_MM * _ALONG)
    along = (np.arange(columns, dtype=np.float32)[None, :] + 0.5) / _ALONG
    across = (np.arange(_ACROSS, dtype=np.float32)[:, None] + 0.5) / _ACROSS * 2.0 - 1.0
    grain = _grain(rng, columns, (6, 1))
    blotch = _grain(rng, columns, (14, 10))
    lamp = np.exp(-(((across + 0.24) / 0.13) ** 2))
    glow = np.exp(-(((across + 0.12) / 0.48) ** 2))
    band = np.exp(-(((across - 0.52) / 0.10) ** 2))
    flank = np.clip((np.abs(across) - 0.45) / 0.55, 0.0, 1.0) ** 1.5
    near = (50.0 / (50.0 - 0.88 * np.minimum(along, 45.0))) ** 1.0
    grey = (0.05 + 0.26 * glow + 0.62 * lamp + 0.10 * band) * near * (1.0 + 0.06 * grain)
    red = (0.20 * flank + 0.05 * band) * (1.0 + 0.1 * grain)
    bright = np.dstack([1.02 * grey + 0.26 * red, grey + 0.30 * red, 0.98 * grey + 1.3 * red])
    rim = np.exp(-(((along - 0.35) / 0.22) ** 2))[..., None]
    bright = bright * (1.0 - 0.4 * rim) + 0.22 * rim * (0.3 + lamp[..., None])
    wet = np.clip((9.0 + 4.0 * blotch - along) / 4.0, 0.0, 1.0) * (0.75 + 0.25 * blotch)
    film = np.clip(wet, 0.0, 1.0)[..., None] * (1.0 - 0.75 * lamp)[..., None]
    film = film * np.array([0.86, 0.84, 0.34], np.float32)
    soft = 0.05 + 0.16 * np.clip(along / 45.0, 0.0, 1.0)
    side = np.clip((1.0 - np.abs(across)) / soft, 0.0, 1.0)
    cap_mm = 0.55 * np.sqrt(np.clip(1.0 - across * across, 0.0, 1.0))
    end = np.clip((along - 0.65 + cap_mm) / 0.18, 0.0, 1.0)
    colour = (255.0 * (1.0 - np.exp(-1.9 * bright))).astype(np.float32)
    cover = np.clip(255.0 * side * end, 0.0, 255.0).astype(np.uint8)
    return colour, film.astype(np.float32), cover


def _grain(rng: np.random.Generator, columns: int, knot_px: tuple[int, int]) -> Picture:
    """Return noise over the tube, (_ACROSS, columns); a knot is so long and so wide."""
    shape = (max(2, _ACROSS // knot_px[1] // 2), columns // knot_px[0])
    knots = rng.standard_normal(shape).astype(np.float32)
    return cv2.resize(knots, (columns, _ACROSS), interpolation=cv2.INTER_CUBIC)
