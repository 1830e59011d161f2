"""A volume as numbers with a place: what readers make and the page draws.

Holds geometry, modality and window, and nothing else of what a header says: no name, date, number
or UID can leave by it. Axes are the DICOM patient's (LPS: x to the left, y to the back, z to the
head) until `on_axes` turns them.
"""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from scot.errors import ScotError

Axes = Literal["RAS", "LPS"]
MOST_VOXELS: Final = 256**3
"""That a page is given: 33 MB. A larger volume is averaged, and the page says so."""

COARSE_VOXELS: Final = 64**3
"""Of the picture that comes first, over any line: at most 524 kB."""

LARGEST: Final = 1024 * 1024 * 1024
"""Voxels that are read at all: 2 GB of memory while it is converted."""

STRAIGHT_DEG: Final = 0.5
"""By how much axes may differ from right angles before a picture would be sheared."""

_FULL: Final = 32_000


class VolumeError(ScotError):
    """A volume cannot be shown as what it is; says what is wrong with it and what to do."""


@dataclass(frozen=True)
class Grid:
    """Voxels and where they are.

    Attributes:
        values: (slices, rows, columns).
        affine: (4, 4), from [column, row, slice, 1], voxel centres, to mm.
        modality: DICOM (0008,0060): CT, MR …; empty if unknown.
        window: centre and width in the values' unit; None if the source has none.
        axes: of the millimetres.
        stored_mm: sizes of a stored voxel, where `values` are averages of them.
        lossy: how its pixels were compressed with loss; empty if they were not.
        text_doubt: why text, perhaps a name, may be burnt into its pixels; empty if it is not.
    """

    values: NDArray[Any]
    affine: NDArray[np.float64]
    modality: str = ""
    window: tuple[float, float] | None = None
    axes: Axes = "LPS"
    stored_mm: tuple[float, float, float] | None = None
    lossy: str = ""
    text_doubt: str = ""

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Size of a voxel along columns, rows and slices."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z


def checked(grid: Grid) -> Grid:
    """Return the volume if its geometry is one that can be drawn to the millimetre.

    Raises:
        VolumeError: not finite, flat, sheared by more than `STRAIGHT_DEG`, or without contrast.
    """
    if not np.isfinite(grid.affine).all():
        raise VolumeError("the geometry holds numbers that are not finite; export the volume again")
    sizes = np.array(grid.voxel_mm)
    if (sizes < 1e-3).any() or (sizes > 100).any():
        raise VolumeError(
            f"voxels of {_mm(grid.voxel_mm)} mm are not of a patient (0.001 to 100); check the unit"
        )
    across = grid.affine[:3, :3] / sizes
    cosines = np.abs(across.T @ across - np.eye(3))
    lean_deg = float(np.degrees(np.arcsin(min(1.0, cosines.max()))))
    if lean_deg > STRAIGHT_DEG:
        raise VolumeError(
            f"its axes lean by {lean_deg:.1f}° (limit {STRAIGHT_DEG:g}°), as with a tilted gantry; "
            "resample it to right angles first (3D Slicer, dcm2niix)"
        )
    if min(grid.values.shape) < 2:
        raise VolumeError(f"{grid.values.shape[0]} slices are no volume; give the whole series")
    return grid


def on_axes(grid: Grid, axes: Axes) -> Grid:
    """Return the volume in the other convention; RAS and LPS differ by the signs of x and y."""
    if grid.axes == axes:
        return grid
    return replace(grid, affine=np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine, axes=axes)


def bounded(grid: Grid, most: int = MOST_VOXELS) -> Grid:
    """Return at most `most` voxels: averages of blocks, finest axes first, as even as can be."""
    factors = [1, 1, 1]  # columns, rows, slices
    shape = grid.values.shape[::-1]
    while np.prod([-(-n // f) for n, f in zip(shape, factors, strict=True)]) > most:
        sizes = [mm * f for mm, f in zip(grid.voxel_mm, factors, strict=True)]
        factors[int(np.argmin(sizes))] += 1
    if factors == [1, 1, 1]:
        return grid
    values = grid.values.astype(np.float32)
    for axis, factor in enumerate(reversed(factors)):
        values = _averaged(values, axis, factor)
    scale = np.diag([*factors, 1.0]).astype(np.float64)
    scale[:3, 3] = [(f - 1) / 2 for f in factors]
    return replace(grid, values=values, affine=grid.affine @ scale, stored_mm=grid.voxel_mm)


def _averaged(values: NDArray[Any], axis: int, factor: int) -> NDArray[Any]:
    """Means of `factor` neighbours along an axis; the last block repeats the edge."""
    if factor == 1:
        return values
    short = -values.shape[axis] % factor
    pad = [(0, short if k == axis else 0) for k in range(3)]
    whole = np.pad(values, pad, mode="edge")
    shape = [*whole.shape[:axis], whole.shape[axis] // factor, factor, *whole.shape[axis + 1 :]]
    means: NDArray[Any] = whole.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return means


def as_int16(grid: Grid) -> Grid:
    """Return values that fit the wire: rounded where they fit, else on a line of their own.

    CT stays in Hounsfield units. What reaches farther (PET, floats) has lost its unit, and the
    window with it.
    """
    values = np.nan_to_num(grid.values, nan=float(np.nanmin(grid.values)), copy=True)
    low, high = float(values.min()), float(values.max())
    if not low < high:
        raise VolumeError(f"every voxel is {low:g}; there is nothing to see, give another series")
    window = grid.window or _window(values)
    fine = high - low < 64 and not np.issubdtype(values.dtype, np.integer)
    if low < -32_768 or high > 32_767 or fine:
        gain = _FULL / (high - low)
        values = (values.astype(np.float64) - low) * gain
        window = (window[0] - low) * gain, window[1] * gain
    return replace(grid, values=np.rint(values).astype("<i2"), window=window)


def _window(values: NDArray[Any]) -> tuple[float, float]:
    """A window from the darkest to the brightest hundredth of what is not background."""
    inside = values[values > values.min()]
    low, high = np.percentile(inside[:: max(1, inside.size // 1_000_000)], [1.0, 99.0]).tolist()
    return (low + high) / 2, max(high - low, 1.0)


def described(grid: Grid, data: str) -> dict[str, Any]:
    """Return what the page needs to know, and nothing that a header said beside it."""
    slices, rows, columns = grid.values.shape
    centre, width = grid.window or (0.0, 1.0)
    coarser = None
    if grid.stored_mm is not None:
        coarser = {"shown_mm": list(grid.voxel_mm), "of_mm": list(grid.stored_mm)}
    return {
        "version": 1,
        "data": data,
        "shape": {"columns": columns, "rows": rows, "slices": slices},
        "affine": grid.affine.tolist(),
        "axes": grid.axes,
        "unit": "mm",
        "modality": grid.modality,
        "window": {"centre": centre, "width": width},
        "coarser": coarser,
        "lossy": grid.lossy,
    }


def write(grid: Grid, stem: Path) -> dict[str, Any]:
    """Write what the page loads, readable by the owner only; all voxels int16, columns fastest.

    ``STEM.json`` describes ``STEM.bin`` and, as ``first``, the small ``STEM_first.bin`` that is
    shown until the other has come. Each ``.bin`` has a ``.bin.gz`` beside it for slow lines.

    Returns:
        What was written to the JSON file.
    """
    grid = as_int16(bounded(checked(grid)))
    meta = described(grid, f"{stem.name}.bin")
    files = {f"{stem.name}.bin": grid.values.tobytes()}
    small = bounded(grid, COARSE_VOXELS)
    if small is not grid:
        small = replace(
            small,
            values=np.rint(small.values).astype("<i2"),
            stored_mm=grid.stored_mm or grid.voxel_mm,
        )
        meta["first"] = described(small, f"{stem.name}_first.bin")
        files[f"{stem.name}_first.bin"] = small.values.tobytes()
    files |= {f"{name}.gz": gzip.compress(content, 6, mtime=0) for name, content in files.items()}
    files[f"{stem.name}.json"] = json.dumps(meta).encode()
    stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        part = stem.with_name(f"{name}.part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        part.replace(stem.with_name(name))
    return meta


def _mm(sizes: tuple[float, ...]) -> str:
    return " × ".join(f"{size:.4g}" for size in sizes)
