"""Colours that mean something stay apart for people who see two primaries only."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

STATIC = Path(__file__).parents[2] / "dashboard" / "scot_dashboard" / "static"
CSS = (STATIC / "css" / "base.css").read_text("utf-8")
PALETTE = (STATIC / "js" / "palette.js").read_text("utf-8")

# Complete dichromacy in linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.0.
SEEN = {
    "everybody": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])


def linear(colour: str) -> NDArray[np.float64]:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = _XYZ @ np.clip(rgb, 0, 1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one: str, other: str, eyes: str) -> float:
    """CIE 1976 difference as those eyes see it; 2.3 is just noticeable."""
    matrix = SEEN[eyes]
    return float(np.linalg.norm(lab(matrix @ linear(one)) - lab(matrix @ linear(other))))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast."""
    lights = sorted(float(np.array([0.2126, 0.7152, 0.0722]) @ linear(c)) for c in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def variable(name: str) -> str:
    found = re.search(rf"--{name}: (#[0-9a-f]{{6}});", CSS)
    assert found is not None
    return found.group(1)


FAMILIES = re.findall(r'^  \["(#[0-9a-f]{6})"', PALETTE, re.MULTILINE)
BRIGHT = dict(re.findall(r'"(#[0-9a-f]{6})": "(#[0-9a-f]{6})"', PALETTE))


@pytest.mark.parametrize("eyes", SEEN)
def test_the_three_priorities_are_told_apart_by_everybody(eyes: str) -> None:
    fills = [variable(name) for name in ("high", "medium", "low")]
    assert min(apart(a, b, eyes) for a, b in combinations(fills, 2)) > 25


@pytest.mark.parametrize("eyes", SEEN)
def test_parameters_are_told_apart_by_everybody_where_they_stand_side_by_side(eyes: str) -> None:
    assert len(FAMILIES) == 7
    for colours in (FAMILIES, [BRIGHT[colour] for colour in FAMILIES]):
        ordered = [colours[i] for i in (0, 2, 3, 4, 5, 6)]  # as rows stand: ECG, ART, SpO2, CO2 …
        assert min(apart(a, b, eyes) for a, b in pairwise(ordered)) > 9


def test_what_is_read_has_contrast_in_both_themes() -> None:
    for colour in FAMILIES:
        assert contrast(colour, variable("surface")) > 4.5, colour
        assert contrast(BRIGHT[colour], "#ffffff") > 4.5, colour
    assert contrast(variable("high"), "#ffffff") > 4.5
    assert contrast(variable("medium"), "#000000") > 4.5
    assert contrast(variable("low"), "#000000") > 4.5
