"""Draw the committed brain files the way a page would, so that a person can look at them.

    python tools/preview_brain.py dashboard/scot_dashboard/static/volumes /tmp/brain

It knows the files only through `brain.json` and `brain_mesh.json`: a mistake in their description
shows in the pictures. Needs OpenCV and NumPy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]


def load_volume(folder: Path) -> tuple[Picture, NDArray[np.float64]]:
    """Decode the mosaic.

    Returns:
        (columns, rows, slices) of grey, and the 4 by 4 matrix from those numbers to RAS mm.
    """
    meta: dict[str, Any] = json.loads((folder / "brain.json").read_text(encoding="utf-8"))
    picture = cv2.imread(str(folder / meta["image"]), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise SystemExit(f"{meta['image']} does not decode")
    columns, rows, slices = (meta["shape"][k] for k in ("columns", "rows", "slices"))
    across, down = meta["tiles"]["across"], meta["tiles"]["down"]
    grid = picture.reshape(down, rows, across, columns).transpose(3, 1, 0, 2)
    volume = grid.reshape(columns, rows, across * down)[:, :, :slices]
    return volume.astype(np.uint8), np.array(meta["affine"], dtype=np.float64)


def slices_at(volume: Picture, affine: NDArray[np.float64], point: tuple[float, ...]) -> Picture:
    """Axial, coronal and sagittal through a point in RAS mm, side by side, point marked."""
    inverse = np.linalg.inv(affine)
    column, row, level = (int(v) for v in np.rint(inverse @ np.array([*point, 1.0]))[:3])
    axial = volume[:, :, level].T
    coronal = volume[:, row, ::-1].T
    sagittal = volume[column, ::-1, ::-1].T
    last_row, last_level = volume.shape[1] - 1, volume.shape[2] - 1
    marks = ((column, row), (column, last_level - level), (last_row - row, last_level - level))
    shown = []
    for view, mark in zip((axial, coronal, sagittal), marks, strict=True):
        colour = cv2.cvtColor(np.ascontiguousarray(view), cv2.COLOR_GRAY2BGR)
        big = cv2.resize(colour, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        cv2.circle(big, (2 * mark[0] + 1, 2 * mark[1] + 1), 5, (32, 176, 255), 1, cv2.LINE_AA)
        shown.append(cv2.copyMakeBorder(big, 0, 400 - big.shape[0], 0, 8, cv2.BORDER_CONSTANT))
    return np.hstack(shown).astype(np.uint8)


def from_planes(data: bytes, kind: str) -> NDArray[np.int64]:
    """Numbers whose bytes stand in planes, lowest first."""
    raw = np.frombuffer(data, np.uint8).reshape(np.dtype(kind).itemsize, -1).T
    return np.ascontiguousarray(raw).view(kind)[:, 0].astype(np.int64)


def mesh_view(folder: Path, right: NDArray[np.float64], up: NDArray[np.float64]) -> Picture:
    """The surface, painted from far to near with one lamp behind the eye."""
    meta: dict[str, Any] = json.loads((folder / "brain_mesh.json").read_text(encoding="utf-8"))
    data = (folder / meta["data"]).read_bytes()
    n, m = meta["vertices"], meta["triangles"]
    steps = from_planes(data[: 6 * n], "<i2").reshape(3, n).T
    points = np.cumsum(steps, axis=0) * meta["step_mm"] + np.array(meta["first_mm"])
    shading = np.frombuffer(data, np.int8, n * 4, 6 * n).reshape(4, n).T / meta["shading_full"]
    back = from_planes(data[10 * n :], "<u2")
    triangles = (np.concatenate([[0], np.cumsum(back == 0)[:-1]]) - back).reshape(m, 3)
    towards = np.cross(right, up)
    light = np.clip(
        shading[:, :3] @ (towards + 0.5 * up) / np.linalg.norm(towards + 0.5 * up), 0, 1
    )
    tone = (0.18 + 0.82 * light) * (1.0 - 0.55 * shading[:, 3])
    flat = points - (points.min(axis=0) + points.max(axis=0)) / 2.0
    canvas = np.full((560, 600, 3), 12, dtype=np.uint8)
    screen = np.stack([300 + 3.0 * flat @ right, 280 - 3.0 * flat @ up], axis=1)
    a, b, c = (screen[triangles[:, k]] for k in range(3))
    facing = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    order = np.argsort((flat @ towards)[triangles].mean(axis=1))
    for k in order[facing[order] < 0.0]:
        grey = float(tone[triangles[k]].mean()) * 225.0
        corners = np.rint(screen[triangles[k]] * 16).astype(np.int32)
        cv2.fillConvexPoly(canvas, corners, (grey * 0.86, grey * 0.93, grey), cv2.LINE_8, 4)
    return canvas


def draw(folder: Path, out: Path) -> None:
    """Write `slices.png` and `mesh.png` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    volume, affine = load_volume(folder)
    rows = [slices_at(volume, affine, p) for p in ((-33.0, 18.0, 2.0), (10.0, -18.0, -4.0))]
    cv2.imwrite(str(out / "slices.png"), np.vstack(rows))
    x, y, z = np.eye(3)
    slant = np.array([-0.62, 0.62, 0.48])
    slant /= np.linalg.norm(slant)
    side = np.cross(z, slant)
    side /= np.linalg.norm(side)
    views = ((-y, z), (x, y), (-x, z), (side, np.cross(slant, side)))
    pictures = [mesh_view(folder, right, up) for right, up in views]
    grid = np.vstack([np.hstack(pictures[:2]), np.hstack(pictures[2:])])
    cv2.imwrite(str(out / "mesh.png"), grid)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
