"""The simulated scope's picture: an opened Sylvian fissure, a suction tube, blood, one lens.

A frame is a pure function of the seed and of the seconds since the start; none depends on the one
before. The tissue is painted once (`tissue`), where things are follows from `viewpoint`; a frame
moves the tissue, lets blood cover it, adds highlights and noise, and lays the tube over it.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import cv2
import numpy as np

from scot_devices.simulators import tissue
from scot_devices.simulators.blood import Blood
from scot_devices.simulators.glint import Glint
from scot_devices.simulators.instrument import Instrument, Outline, outline
from scot_devices.simulators.relief import HEIGHT, WIDTH, Picture
from scot_devices.simulators.surgery import Surgery
from scot_devices.simulators.viewpoint import FOCAL_PX, Moment, Viewpoint

FRAME_WIDTH: Final = 1280
FRAME_HEIGHT: Final = 720

_RADIUS_PX: Final = 560
"""Of the round field; the picture cuts it above and below, as a camera head does."""

_FIELD: Final = (2 * _RADIUS_PX, FRAME_HEIGHT)
_LEFT: Final = FRAME_WIDTH // 2 - _RADIUS_PX
_CENTRE: Final = (_FIELD[0] / 2.0, _FIELD[1] / 2.0)

_GLINT_DEPTH_MM: Final = 52.0
"""Highlights move as on a surface at this depth."""

_NOISE: Final = 9
"""Mean of the noise pictures; the tissue is darkened by as much."""

_NOISE_MARGIN: Final = 160

_Map: TypeAlias = tuple[Picture, Picture]
"""For each pixel, x and y of the plate pixel it shows; float32."""


class Scene:
    """Renders frames of 1280 by 720. Not for two threads at once: it works in its own buffers.

    Args:
        seed: of anatomy, hand and noise; the same seed gives the same pictures.
    """

    def __init__(self, seed: int = 7) -> None:
        self.viewpoint = Viewpoint(Surgery(seed))
        plate = tissue.build(seed)
        rng = np.random.default_rng(seed + 1)
        darker = np.full_like(plate.colour, _NOISE)
        darker[..., 3] = 0
        self._colour = cv2.subtract(plate.colour, darker)
        # Pictures of four channels are moved three times as fast as those of two.
        self._wet = np.dstack([plate.wet, plate.wet])
        self._inverse_depth = plate.inverse_depth
        self._pulse = plate.pulse
        self._tube = Instrument(rng)
        self._blood = Blood(rng, _FIELD)
        self._glint = Glint(_FIELD)
        self._lens, self._rim = _lens()
        self._noise = _sensor_noise(rng)
        self._seed = seed
        self._colour_planes = _planes(_FIELD)
        self._wet_planes = _planes((_FIELD[0] // 2, _FIELD[1] // 2))
        self._light = np.empty_like(self._lens)
        self._whole = np.zeros((FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)

    def frame(self, t_s: float) -> Picture:
        """Return the picture `t_s` seconds after the start.

        Returns:
            (720, 1280, 3) uint8, BGR; the next call overwrites it.
        """
        moment = self.viewpoint.at(t_s)
        where, halfway = self._where(moment)
        *planes, order = _move(self._colour, where, self._colour_planes)
        lean_x, lean_y, _, _ = _move(self._wet, halfway, self._wet_planes)
        lean = -moment.shift_mm / _GLINT_DEPTH_MM
        glint = self._glint.of(
            (lean_x, lean_y),
            (float(lean[0]) + 0.010 * moment.beat, float(lean[1]) + 0.006 * moment.beat),
        )
        if moment.pool > 0.5 or moment.stain_strength > 0.02:
            self._blood.cover(planes, glint, order, moment, t_s)
        shape = outline(moment.tip_mm, moment.shaft, self._centre(moment))
        light = self._lens if shape is None else self._shade(shape, where, glint)
        cv2.multiply(glint, self._rim, dst=glint, scale=1.0 / 255.0)
        for plane, noise in zip(planes, self._grain(t_s), strict=True):
            cv2.add(plane, noise, dst=plane)
            cv2.multiply(plane, light, dst=plane, scale=1.0 / 255.0)
            cv2.add(plane, glint, dst=plane)
        field = self._whole[:, _LEFT : _LEFT + _FIELD[0]]
        cv2.merge(planes, dst=field)
        if shape is not None:
            clinging = max(moment.bleeding, 0.6 * moment.stain_strength)
            self._tube.draw(field, shape, self._lens, clinging)
        return self._whole

    @staticmethod
    def _centre(moment: Moment) -> tuple[float, float]:
        return _CENTRE[0] + float(moment.pan_px[0]), _CENTRE[1] + float(moment.pan_px[1])

    def _where(self, moment: Moment) -> tuple[_Map, _Map]:
        """Return for every pixel of the field which plate pixel it shows.

        Worked out on the coarse nodes, one more than needed on each side, then spread. The second
        map is for a field and a plate of half the size.
        """
        step = tissue.NODE_PX
        columns, rows = _FIELD[0] // step + 2, _FIELD[1] // step + 2
        x = (np.arange(columns) - 0.5) * step - 0.5 - self._centre(moment)[0]
        y = (np.arange(rows) - 0.5) * step - 0.5 - self._centre(moment)[1]
        cosine, sine = math.cos(moment.roll_rad), math.sin(moment.roll_rad)
        across = (x[None, :] * cosine - y[:, None] * sine).astype(np.float32)
        down = (x[None, :] * sine + y[:, None] * cosine).astype(np.float32)
        node_x = (across + WIDTH / 2.0) / step - 0.5
        node_y = (down + HEIGHT / 2.0) / step - 0.5
        edge = cv2.BORDER_REPLICATE
        inverse = cv2.remap(self._inverse_depth, node_x, node_y, cv2.INTER_LINEAR, borderMode=edge)
        pulse = cv2.remap(self._pulse, node_x, node_y, cv2.INTER_LINEAR, borderMode=edge)
        right_mm, down_mm, forward_mm = (float(value) for value in moment.shift_mm)
        closer = 1.0 + forward_mm * inverse
        across = across * closer + WIDTH / 2.0 - FOCAL_PX * right_mm * inverse
        down = down * closer + HEIGHT / 2.0 - FOCAL_PX * down_mm * inverse
        across = (across - moment.beat * pulse[..., 0]).astype(np.float32)
        down = (down - moment.beat * pulse[..., 1]).astype(np.float32)
        return (
            (_spread(across, step), _spread(down, step)),
            (_spread(0.5 * across - 0.25, step // 2), _spread(0.5 * down - 0.25, step // 2)),
        )

    def _shade(self, shape: Outline, where: _Map, glint: Picture) -> Picture:
        """Return the light left by lens and tube; no highlight stays in the tube's shadow."""
        behind = (self._depth_at(shape.tip_px, where), self._depth_at(shape.cut_px, where))
        shade = self._tube.shadow(shape, behind, _FIELD)
        cv2.multiply(glint, shade, dst=glint, scale=1.0 / 255.0)
        return cv2.multiply(self._lens, shade, dst=self._light, scale=1.0 / 255.0)

    def _depth_at(self, place_px: Picture, where: _Map) -> float:
        """Return the depth of the tissue seen at a place of the field, mm."""
        column = int(np.clip(place_px[0], 0, _FIELD[0] - 1))
        row = int(np.clip(place_px[1], 0, _FIELD[1] - 1))
        x = float(where[0][row, column]) / tissue.NODE_PX
        y = float(where[1][row, column]) / tissue.NODE_PX
        rows, columns = self._inverse_depth.shape
        inside = int(np.clip(y, 0, rows - 1)), int(np.clip(x, 0, columns - 1))
        return 1.0 / float(self._inverse_depth[inside])

    def _grain(self, t_s: float) -> list[Picture]:
        """Return the sensor's noise now, three planes: another part of the noise each time."""
        mixed = (round(t_s * 1000.0) * 2654435761 + self._seed) & 0xFFFFFFFF
        left, top = mixed % _NOISE_MARGIN, (mixed >> 12) % _NOISE_MARGIN
        return [plane[top : top + _FIELD[1], left : left + _FIELD[0]] for plane in self._noise]


def _planes(size: tuple[int, int]) -> tuple[Picture, list[Picture]]:
    """Return room for a picture of four channels and for its planes."""
    return (
        np.empty((size[1], size[0], 4), np.uint8),
        [np.empty((size[1], size[0]), np.uint8) for _ in range(4)],
    )


def _spread(nodes: Picture, step: int) -> Picture:
    """Return a field given on nodes `step` pixels apart, without the outermost nodes' share."""
    rows, columns = nodes.shape
    whole = cv2.resize(nodes, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    return whole[step:-step, step:-step]


def _move(plate: Picture, where: _Map, room: tuple[Picture, list[Picture]]) -> list[Picture]:
    """Return the four planes of a plate as the camera sees them."""
    cv2.remap(plate, where[0], where[1], cv2.INTER_LINEAR, dst=room[0])
    cv2.split(room[0], room[1])
    return room[1]


def _lens() -> tuple[Picture, Picture]:
    """Return what the lens leaves of the tissue's light and of highlights, (720, field) uint8.

    The field is round and darker outwards; highlights burn out the sensor nearly everywhere.
    """
    y, x = np.mgrid[0 : _FIELD[1], 0 : _FIELD[0]].astype(np.float32)
    away = np.hypot(x + 0.5 - _CENTRE[0], y + 0.5 - _CENTRE[1])
    edge = np.clip((_RADIUS_PX - 1.0 - away) / 3.0, 0.0, 1.0)
    fall = np.clip((away - 200.0) / 360.0, 0.0, 1.0) ** 1.6
    tissue_light = np.round(255.0 * edge * (1.0 - 0.40 * fall)).astype(np.uint8)
    return tissue_light, np.round(255.0 * edge * (1.0 - 0.12 * fall)).astype(np.uint8)


def _sensor_noise(rng: np.random.Generator) -> list[Picture]:
    """Return three planes of noise around `_NOISE`: fine in brightness, coarse in colour; uint8."""
    height, width = _FIELD[1] + _NOISE_MARGIN, _FIELD[0] + _NOISE_MARGIN
    sharp = rng.standard_normal((height, width)).astype(np.float32)
    fine: Picture = cv2.GaussianBlur(sharp, (0, 0), 0.6)
    fine = fine / fine.std()
    planes: list[Picture] = []
    for strength in (1.5, 0.6, 1.2):
        knots = rng.standard_normal((height // 4, width // 4)).astype(np.float32)
        colour = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
        mixed = _NOISE + 1.9 * fine + strength * colour
        planes.append(np.clip(np.round(mixed), 0.0, 255.0).astype(np.uint8))
    return planes
