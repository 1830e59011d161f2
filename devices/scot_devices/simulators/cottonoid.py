"""A cottonoid on the brain: the wet white strip with a thread that every neurosurgeon lays."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import cv2
import numpy as np

from scot_devices.simulators.relief import HEIGHT, WIDTH, Picture, blur, noise

_MIDDLE_PX: Final = (398.0, 560.0)
_HALF_PX: Final = (112.0, 38.0)
_TURN_RAD: Final = math.radians(-50.0)
_THREAD_PX: Final = ((336, 634), (300, 690), (292, 752), (240, 820), (160, 860), (40, 900))


class Cottonoid(NamedTuple):
    """What it adds to the tissue.

    Attributes:
        cover: share 0..1 of each pixel that cotton or thread covers.
        colour: (HEIGHT, WIDTH, 3), BGR 0..1.
        lift_px: how far it stands above the tissue.
    """

    cover: Picture
    colour: Picture
    lift_px: Picture


def lay(rng: np.random.Generator, x: Picture, y: Picture) -> Cottonoid:
    """Lay the strip and its thread.

    Args:
        rng: for the weave, the frayed edge and the stain.
        x: from `relief.axes`.
        y: the same.
    """
    right, down = x + WIDTH / 2.0 - _MIDDLE_PX[0], y + HEIGHT / 2.0 - _MIDDLE_PX[1]
    cosine, sine = math.cos(_TURN_RAD), math.sin(_TURN_RAD)
    along = right * cosine + down * sine + 3.5 * noise(rng, 60.0, 2)
    across = -right * sine + down * cosine + 3.5 * noise(rng, 60.0, 2)
    fray = 1.3 * noise(rng, 5.0, 2)
    outside = np.hypot(
        np.clip(np.abs(along) - _HALF_PX[0] + 14.0, 0.0, None),
        np.clip(np.abs(across) - _HALF_PX[1] + 14.0, 0.0, None),
    )
    cotton = np.clip((14.0 - outside + fray) / 2.5, 0.0, 1.0)
    weave = np.sin(along * 0.85 + 0.8 * noise(rng, 26.0)) * np.sin(across * 0.85)
    rough = 0.55 * weave + 0.8 * noise(rng, 4.0, 2)
    stain = np.clip(0.42 + 0.34 * noise(rng, 55.0, 3) + 0.5 * (outside > 4.0), 0.0, 1.0)[..., None]
    clean = np.array([206.0, 218.0, 226.0], np.float32) / 255.0
    soaked = np.array([92.0, 104.0, 196.0], np.float32) / 255.0
    colour = clean + (soaked - clean) * 0.62 * stain
    colour = colour * (1.0 + 0.05 * rough)[..., None]
    thread, shadow = _thread()
    green = np.array([104.0, 118.0, 30.0], np.float32) / 255.0
    colour = colour + (green - colour) * thread[..., None]
    cover = np.maximum(0.95 * cotton, thread)
    lift = np.maximum(6.0 * blur(cotton, 3.0) + 0.55 * rough * cotton, 3.0 * shadow)
    return Cottonoid(cover, colour.astype(np.float32), lift.astype(np.float32))


def _thread() -> tuple[Picture, Picture]:
    """Return coverage of the thread, and its softened round."""
    points = np.array(_THREAD_PX, np.float32)
    at = np.arange(len(points), dtype=np.float32)
    fine = np.linspace(0.0, len(points) - 1.0, 120)
    path = np.stack([np.interp(fine, at, points[:, 0]), np.interp(fine, at, points[:, 1])], axis=1)
    smooth = cv2.GaussianBlur(path.astype(np.float32), (1, 41), 0, sigmaY=9.0)
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    fixed = np.round(smooth * 16.0).astype(np.int32)
    cv2.polylines(drawn, [fixed], False, (255,), 5, cv2.LINE_AA, 4)
    cover = drawn.astype(np.float32) / 255.0
    return cover, blur(cover, 1.5)
