"""The tissue that the simulated scope looks at: an opened Sylvian fissure, painted once.

Two banks of folded cortex (frontal above left, temporal below right) stand apart; between them, in
the depth, lies the insula with the branches of the middle cerebral artery. The whole is a depth
picture with colours, lit by a lamp at the lens. A frame only has to move it, add the highlights
that follow the camera, and blood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np

from scot_devices.simulators import vessels
from scot_devices.simulators.cottonoid import lay
from scot_devices.simulators.glint import LEAN_SCALE
from scot_devices.simulators.relief import (
    HEIGHT,
    WIDTH,
    Picture,
    axes,
    blur,
    facing,
    folds,
    noise,
    smoothstep,
)
from scot_devices.simulators.viewpoint import FLOOR_MM, FOCAL_PX

NODE_PX: Final = 16
"""One node of the coarse fields (`inverse_depth`, `pulse`) stands for so many pixels."""

BLEED_AT_PX: Final = (-46.0, 34.0)
"""Where the vessel bleeds, from the plate's centre."""

_FISSURE_RAD: Final = math.radians(-52.0)
"""Direction of the fissure: up and to the right."""

_FOCUS_MM: Final = 43.0
"""Nearer than this the picture is out of focus."""

_LAMP_MM: Final = 44.0
"""Depth at which the lamp lights a surface by 1."""


class Plate(NamedTuple):
    """The painted tissue.

    Attributes:
        colour: (HEIGHT, WIDTH, 4) uint8, BGR as a screen shows it, lit, without highlights, and
            the order in which blood reaches a place (0 first, 255 never).
        wet: (HEIGHT / 2, WIDTH / 2, 2) uint8: lean of the wet surface from the line of sight, to
            the right and downwards (128 none, steps of `glint.LEAN_SCALE`).
        inverse_depth: coarse, 1/mm.
        pulse: coarse, (…, 2), px that a place moves right and down at the top of a heartbeat.
    """

    colour: Picture
    wet: Picture
    inverse_depth: Picture
    pulse: Picture


@dataclass(frozen=True)
class _Ground:
    """Geometry: depth in mm, relief 0..1 of the folds, and which pixel is which tissue."""

    depth_mm: Picture
    relief: Picture
    insula: Picture
    frontal: Picture
    temporal: Picture


class _Vessels(NamedTuple):
    """What the vessels of all tissues look like together."""

    veins: vessels.Painted
    arteries: vessels.Painted


def build(seed: int) -> Plate:
    """Paint the tissue; takes about two seconds.

    Args:
        seed: of every random number; the anatomy keeps its plan, folds and vessels differ.
    """
    rng = np.random.default_rng(seed)
    x, y = axes()
    ground = _ground(rng, x, y)
    grown = _vessels(rng, ground)
    cotton = lay(rng, x, y)
    lift = np.maximum(grown.veins.lift_px, grown.arteries.lift_px)
    lift = lift * (1.0 - cotton.cover) + cotton.lift_px
    lift_mm = lift * ground.depth_mm / FOCAL_PX
    depth = ground.depth_mm - 0.75 * lift_mm
    lean_x, lean_y, cosine = facing(cv2.GaussianBlur(depth, (0, 0), 1.3), x, y)
    distance = depth * np.sqrt((x * x + y * y) / FOCAL_PX**2 + 1.0)
    open_to_light = _openness(depth)
    lamp = (_LAMP_MM / distance) ** 2.6 * (1.2 - smoothstep(np.hypot(x, y), 120.0, 700.0))
    light = lamp * open_to_light * cosine**1.1
    sheen = np.exp(-(lean_x * lean_x + lean_y * lean_y) / (2.0 * 0.15**2)) * 0.06 * lamp
    albedo = _mix(_albedo(rng, ground, grown), cotton.colour, cotton.cover)
    colour = _expose(albedo, light, sheen * (1.0 - cotton.cover))
    colour = _defocus(colour, distance)
    flood = _flood_order(rng, ground.depth_mm, x, y)
    lit = open_to_light * np.minimum(lamp, 1.0) * (cotton.cover < 0.5)
    wet = _wet(rng, lean_x, lean_y, lit)
    return Plate(
        np.dstack([colour, flood]), wet, _coarse(1.0 / depth), _pulse(ground, grown.arteries, x, y)
    )


def _ground(rng: np.random.Generator, x: Picture, y: Picture) -> _Ground:
    """Shape the fissure: a floor, and two rounded banks that overhang it."""
    along = x * math.cos(_FISSURE_RAD) + y * math.sin(_FISSURE_RAD)
    across = -x * math.sin(_FISSURE_RAD) + y * math.cos(_FISSURE_RAD)
    fold_frontal, fold_temporal = folds(rng, 340.0, 0.55), folds(rng, 310.0, 0.55)
    fold_insula = folds(rng, 230.0, 0.5)
    opening = np.clip(1.0 - ((along - 20.0) / 700.0) ** 2, 0.0, 1.0)
    inside_frontal = -across - 15.0 - 175.0 * opening - 24.0 * noise(rng, 260.0)
    inside_temporal = across - 5.0 - 150.0 * opening - 24.0 * noise(rng, 260.0)
    inside_frontal += 70.0 * (fold_frontal - 0.8)
    inside_temporal += 60.0 * (fold_temporal - 0.8)
    uneven = 0.30 * noise(rng, 130.0, 2)
    floor = FLOOR_MM + 1.0 - 3.4 * fold_insula - 5.0 * np.exp(-((across / 130.0) ** 2))
    floor += 4.4 + 0.5 * noise(rng, 120.0) + 0.5 * uneven
    frontal = inside_frontal > 0.0
    temporal = (inside_temporal > 0.0) & ~frontal
    depth = np.where(
        frontal,
        _bank(inside_frontal, 200.0, (58.0, 40.0), fold_frontal) + uneven,
        np.where(
            temporal,
            _bank(inside_temporal, 180.0, (60.0, 36.0), fold_temporal) + uneven,
            floor,
        ),
    )
    relief = np.where(frontal, fold_frontal, np.where(temporal, fold_temporal, fold_insula))
    insula = ~(frontal | temporal)
    return _Ground(depth.astype(np.float32), relief, insula, frontal, temporal)


def _bank(
    inside_px: Picture, lip_px: float, depths_mm: tuple[float, float], fold: Picture
) -> Picture:
    """Return the depth of a bank that rises round from its lip and then gently to the rim."""
    share = np.clip(inside_px / lip_px, 0.0, 1.0)
    rise = np.sqrt(1.0 - (1.0 - share) ** 2)
    depth = depths_mm[0] - (depths_mm[0] - depths_mm[1]) * rise
    depth -= 2.4 * np.clip(inside_px - lip_px, 0.0, None) / 100.0
    bank: Picture = depth - 3.6 * (fold - 0.8) * np.clip(1.5 * share, 0.0, 1.0)
    return bank


def _at(across: float, along: float) -> tuple[float, float]:
    """Return the plate pixel at a place of the fissure, px from the centre across and along it."""
    cosine, sine = math.cos(_FISSURE_RAD), math.sin(_FISSURE_RAD)
    return (
        WIDTH / 2.0 + along * cosine - across * sine,
        HEIGHT / 2.0 + along * sine + across * cosine,
    )


def _vessels(rng: np.random.Generator, ground: _Ground) -> _Vessels:
    """Grow the vessels: the artery's branches over the insula, pial vessels over the banks."""
    up, down = _FISSURE_RAD - math.pi / 2.0, _FISSURE_RAD + math.pi / 2.0
    insula, insula_veins = vessels.Bed(rng), vessels.Bed(rng)
    for across, along, radius, lean in (
        (-10.0, -520.0, 12.5, 0.10),
        (-60.0, -500.0, 8.0, -0.14),
        (40.0, -420.0, 8.5, 0.20),
    ):
        start = _at(across, along)
        insula.grow(start, _FISSURE_RAD + lean, radius, 1500.0, vessels.TRUNK)
    for across, along, side in ((-130.0, 260.0, down), (130.0, 120.0, up), (-120.0, -120.0, down)):
        heading = side + float(rng.normal(0.5, 0.3))
        insula_veins.grow(_at(across, along), heading, 5.0, 520.0, vessels.TRUNK)
    beds = [(ground.insula, insula, insula_veins)]
    for tissue, side, outwards in ((ground.frontal, -1.0, up), (ground.temporal, 1.0, down)):
        arteries, veins = vessels.Bed(rng, ground.relief), vessels.Bed(rng, ground.relief)
        for along in (-420.0, -120.0, 130.0, 420.0):
            heading = outwards + float(rng.normal(0.0, 0.5))
            radius = float(rng.uniform(3.5, 6.0))
            arteries.grow(_at(side * 160.0, along), heading, radius, 800.0, vessels.BRANCH)
        for along in (-330.0, 40.0, 330.0):
            heading = outwards + math.pi + float(rng.normal(0.0, 0.25))
            radius = float(rng.uniform(7.0, 11.0))
            veins.grow(_at(side * 560.0, along), heading, radius, 700.0, vessels.BRANCH)
        beds.append((tissue, arteries, veins))
    for tissue, arteries, _ in beds:
        rows, columns = np.nonzero(tissue[::8, ::8])
        for pick in rng.integers(0, len(rows), 190):
            start = (float(columns[pick]) * 8.0, float(rows[pick]) * 8.0)
            heading, radius = float(rng.uniform(0.0, 6.28)), float(rng.uniform(0.8, 1.4))
            arteries.grow(start, heading, radius, 180.0, vessels.CAPILLARY)
    return _Vessels(
        vessels.within([(tissue, vessels.paint(veins.paths)) for tissue, _, veins in beds]),
        vessels.within([(tissue, vessels.paint(arteries.paths)) for tissue, arteries, _ in beds]),
    )


def _rgb(red: int, green: int, blue: int) -> Picture:
    return np.array([blue, green, red], np.float32) / 255.0


def _mix(under: Picture, over: Picture, share: Picture) -> Picture:
    """Lay a colour over a picture, by the share 0..1 of every pixel."""
    mixed: Picture = under + (over - under) * np.clip(share, 0.0, 1.0)[..., None]
    return mixed


def _albedo(rng: np.random.Generator, ground: _Ground, grown: _Vessels) -> Picture:
    """Return the tissue's own colour, (HEIGHT, WIDTH, 3), BGR 0..1 as a screen shows it."""
    colour = np.empty((HEIGHT, WIDTH, 3), np.float32)
    colour[:] = _rgb(228, 152, 134)
    colour = _mix(colour, _rgb(200, 96, 86), 0.42 + 0.26 * noise(rng, 110.0, 6, 0.62))
    colour = _mix(colour, _rgb(240, 194, 168), 0.28 * noise(rng, 70.0, 4) - 0.12)
    colour = _mix(colour, _rgb(186, 76, 70), 0.36 * ground.temporal.astype(np.float32))
    colour = _mix(colour, _rgb(232, 172, 148), 0.38 * ground.insula.astype(np.float32))
    colour = _mix(colour, _rgb(150, 44, 40), 0.09 * noise(rng, 7.0, 3, 0.8) + 0.04)
    # The arachnoid: a milky skin, in places thick.
    milky = np.clip(0.20 * noise(rng, 150.0, 4, 0.6) + 0.02, 0.0, 0.4)
    furrow = np.clip(1.0 - 1.15 * ground.relief, 0.0, 1.0) ** 1.5
    colour = _mix(colour, _rgb(120, 26, 28), 0.9 * furrow)
    for painted, tone in ((grown.veins, _rgb(94, 38, 56)), (grown.arteries, _rgb(140, 24, 24))):
        colour = _mix(colour, tone, 0.58 * painted.fine)
        colour = _mix(colour, tone, 0.32 * blur(painted.cover, 5.0))
        colour = _mix(colour, tone, 0.84 * painted.cover)
    return _mix(colour, _rgb(218, 190, 178), milky)


def _openness(depth_mm: Picture) -> Picture:
    """Return how much light reaches a place, 0..1: what lies deeper than all around gets less."""
    shut = np.zeros_like(depth_mm)
    for sigma_px, weight in ((60.0, 0.085), (16.0, 0.12), (5.0, 0.18)):
        shut += weight * np.clip(depth_mm - blur(depth_mm, sigma_px), 0.0, 20.0)
    return np.exp(-shut)


def _expose(albedo: Picture, light: Picture, sheen: Picture) -> Picture:
    """Light the tissue, let red scatter in it, and return what a camera makes of it, 0..255."""
    own = albedo**2.2
    scattered = np.dstack([blur(light, 1.0), blur(light, 2.0), blur(light, 6.0)])
    lit = own * scattered * 2.1
    lit += own * blur(lit, 50.0) * 0.5
    lit += sheen[..., None]
    shown = (1.0 - np.exp(-1.5 * lit)) ** (1.0 / 2.2)
    # A camera head's own look: more contrast about the middle, and more colour.
    shown = shown + 0.42 * shown * (1.0 - shown) * (2.0 * shown - 0.95)
    grey = shown.mean(axis=2, keepdims=True)
    graded: Picture = 255.0 * np.clip(grey + 1.10 * (shown - grey), 0.0, 1.0)
    return graded


def _defocus(colour: Picture, distance_mm: Picture) -> Picture:
    """Blur what is nearer than the lens is focused on; returns uint8."""
    near = smoothstep(-distance_mm, -_FOCUS_MM, 12.0 - _FOCUS_MM)
    soft = _mix(cv2.GaussianBlur(colour, (0, 0), 0.8), cv2.GaussianBlur(colour, (0, 0), 4.0), near)
    shown: Picture = np.clip(soft, 0.0, 255.0).astype(np.uint8)
    return shown


def _flood_order(rng: np.random.Generator, depth_mm: Picture, x: Picture, y: Picture) -> Picture:
    """Return when blood reaches a place, 0..255: near the vessel first, and the furrows first."""
    away = np.hypot(x - BLEED_AT_PX[0], y - BLEED_AT_PX[1])
    above_mm = FLOOR_MM + 6.0 - cv2.GaussianBlur(depth_mm, (0, 0), 2.5)
    order = 7.0 * above_mm + 0.26 * away + 5.0 * noise(rng, 90.0, 2)
    # The nearest places are wet from the first drop on.
    counted: Picture = np.clip(order - order.min() - 9.0, 0.0, 255.0).astype(np.uint8)
    return counted


def _wet(rng: np.random.Generator, lean_x: Picture, lean_y: Picture, lit: Picture) -> Picture:
    """Return `Plate.wet`: the film of fluid is rougher than the tissue, and rough in patches."""
    patches = np.clip(0.7 * noise(rng, 170.0, 2) + 0.3, 0.0, 1.5)
    film = 1.1 * patches * noise(rng, 13.0, 2) + 3.0 * noise(rng, 42.0, 2) + 1.6 * noise(rng, 90.0)
    rough_x = cv2.Sobel(film, cv2.CV_32F, 1, 0, ksize=3, scale=0.5 / 8.0)
    rough_y = cv2.Sobel(film, cv2.CV_32F, 0, 1, ksize=3, scale=0.5 / 8.0)
    # Where no light comes nothing glints: such a place is made to lean away.
    dark = np.where(lit > 0.25, 0.0, 1.0).astype(np.float32)
    lean = np.dstack([blur(lean_x, 1.8) + rough_x + dark, blur(lean_y, 1.8) + rough_y + dark])
    lean = cv2.resize(lean, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    wet: Picture = np.clip(128.0 + lean / LEAN_SCALE, 0.0, 255.0).astype(np.uint8)
    return wet


def _coarse(field: Picture) -> Picture:
    """Reduce a field to its coarse nodes."""
    size = (WIDTH // NODE_PX, HEIGHT // NODE_PX)
    return cv2.resize(field, size, interpolation=cv2.INTER_AREA)


def _pulse(ground: _Ground, arteries: vessels.Painted, x: Picture, y: Picture) -> Picture:
    """Return how a heartbeat moves every place: away from the arteries and the insula's middle."""
    swell = blur(arteries.cover * ground.insula, 42.0) * 60.0
    swell += 34.0 * np.exp(-(x * x + y * y) / (2.0 * 300.0**2))
    swell = _coarse(swell.astype(np.float32))
    scale = 2.2 / NODE_PX
    right = -cv2.Sobel(swell, cv2.CV_32F, 1, 0, ksize=3, scale=scale)
    down = -cv2.Sobel(swell, cv2.CV_32F, 0, 1, ksize=3, scale=scale)
    return np.dstack([right, down])
