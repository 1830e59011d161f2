"""Random surfaces for the simulated scope: noise, folds and the normals of what they make.

Everything is a float32 picture of one size; a depth is in millimetres along the optical axis of a
pinhole camera whose focal length and centre are those of the plate.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from scot_devices.simulators.viewpoint import FOCAL_PX

Picture: TypeAlias = NDArray[Any]

WIDTH: Final = 1600
HEIGHT: Final = 960
"""Size of the plate in pixels; a frame of 1280 by 720 moves about inside it."""


def axes() -> tuple[Picture, Picture]:
    """Return x and y of every pixel from the plate's centre, each (HEIGHT, WIDTH), px."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return x - WIDTH / 2.0, y - HEIGHT / 2.0


def blur(picture: Picture, sigma_px: float) -> Picture:
    """Blur by a Gaussian; wide ones on a reduced picture, which looks the same and is cheap."""
    step = max(1, int(sigma_px / 3.0))
    if step == 1:
        return cv2.GaussianBlur(picture, (0, 0), sigma_px)
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // step, height // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / step)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def smoothstep(value: Picture, low: float, high: float) -> Picture:
    """Rise from 0 at `low` to 1 at `high` without corners."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def noise(
    rng: np.random.Generator,
    scale_px: float,
    octaves: int = 1,
    gain: float = 0.5,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Picture:
    """Return smooth noise of unit deviation, (height, width).

    Args:
        rng: where the numbers come from.
        scale_px: distance of the coarsest grid's knots.
        octaves: grids laid over one another, each twice as fine.
        gain: weight of each finer grid.
        size: width and height, px.
    """
    width, height = size
    total: Picture = np.zeros((height, width), np.float32)
    weight = 1.0
    for _ in range(octaves):
        # Coarse grids are first drawn small: a cubic through few knots needs no more.
        thin = max(1, min(4, int(scale_px / 12.0)))
        step = scale_px / thin
        columns, rows = int(width / scale_px) + 3, int(height / scale_px) + 3
        grid = rng.standard_normal((rows, columns)).astype(np.float32)
        drawn = cv2.resize(
            grid, (int(columns * step) + 1, int(rows * step) + 1), interpolation=cv2.INTER_CUBIC
        )[: -(-height // thin), : -(-width // thin)]
        if thin > 1:
            drawn = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR)
        total += weight * drawn[:height, :width]
        weight *= gain
        scale_px = max(1.5, scale_px / 2.0)
    deviation: Picture = total / total.std()
    return deviation


def _contours(rng: np.random.Generator, scale_px: float) -> Picture:
    """Return band-passed, warped noise, a quarter of the plate; its zero lines meander."""
    width, height, scale = WIDTH // 4, HEIGHT // 4, scale_px / 4.0
    band = noise(rng, scale * 0.45, size=(width, height))
    band = blur(band, scale * 0.16) - blur(band, scale * 0.34)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x += noise(rng, scale * 0.9, 2, size=(width, height)) * scale * 0.14
    y += noise(rng, scale * 0.9, 2, size=(width, height)) * scale * 0.14
    band = cv2.remap(band, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    absolute: Picture = np.abs(band / band.std())
    return absolute


def folds(rng: np.random.Generator, scale_px: float, width: float) -> Picture:
    """Return the relief of a folded cortex: 0 in a sulcus, 1 on the crown of a gyrus.

    Two sets of meandering zero lines, joined softly, make furrows that branch and end.

    Args:
        rng: where the numbers come from.
        scale_px: distance between furrows.
        width: of a furrow's shoulder; larger is rounder.
    """
    first = _contours(rng, scale_px)
    second = _contours(rng, scale_px * 1.25) * 1.2 + 0.12
    soft = 0.18
    joined = -soft * np.log(np.exp(-first / soft) + np.exp(-second / soft))
    joined = cv2.resize(joined, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    flank = 1.0 - np.clip((joined + 0.05) / width, 0.0, 1.0)
    crown: Picture = np.sqrt(1.0 - flank * flank)
    return crown


def facing(depth_mm: Picture, x: Picture, y: Picture) -> tuple[Picture, Picture, Picture]:
    """Return how a surface faces the camera.

    Args:
        depth_mm: (HEIGHT, WIDTH), smooth enough to differentiate.
        x: from `axes`.
        y: the same.

    Returns:
        lean to the right and downwards of the normal from the line of sight (0 where the surface
        looks straight into the lens, in radians for small angles), and the cosine between the two.
    """
    ray_x, ray_y = x / FOCAL_PX, y / FOCAL_PX
    slope_x = cv2.Sobel(depth_mm, cv2.CV_32F, 1, 0, ksize=3, scale=FOCAL_PX / 8.0)
    slope_y = cv2.Sobel(depth_mm, cv2.CV_32F, 0, 1, ksize=3, scale=FOCAL_PX / 8.0)
    # Of the surface depth * (ray_x, ray_y, 1), the cross product of its two tangents.
    toward = depth_mm + ray_x * slope_x + ray_y * slope_y
    length = np.sqrt(slope_x * slope_x + slope_y * slope_y + toward * toward)
    sight = np.sqrt(ray_x * ray_x + ray_y * ray_y + 1.0)
    lean_x = slope_x / length + ray_x / sight
    lean_y = slope_y / length + ray_y / sight
    cosine = (toward - ray_x * slope_x - ray_y * slope_y) / (length * sight)
    return lean_x, lean_y, np.clip(cosine, 0.0, 1.0)
