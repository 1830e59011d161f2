"""NIfTI-1 and -2 by `nibabel` (MIT)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scot_dashboard.volume.grid import LARGEST, Grid, VolumeError

_UNIT_MM: Final = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
SAME_MM: Final = 0.1
"""By how much the two placements that a file may hold can differ and still be one."""


def read(path: Path) -> Grid:
    """Return a NIfTI file's volume.

    Raises:
        VolumeError: it does not open, has no place, or two, or is no single grey volume.
    """
    try:
        nibabel: Any = importlib.import_module("nibabel")
    except ImportError:
        raise VolumeError('NIfTI needs nibabel; pip install "scot-bus[images]"') from None
    try:
        image = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        affine = _placed(image, path)
        if len(shape) == 4 and shape[3] == 1:
            shape = shape[:3]
        if len(shape) != 3:
            raise VolumeError(f"{path.name} has {len(shape)} dimensions; give one volume of three")
        if np.prod(shape, dtype=np.int64) > LARGEST:
            raise VolumeError(f"{path.name} has {np.prod(shape)} voxels (limit {LARGEST}); crop it")
        if image.get_data_dtype().fields is not None or np.iscomplexobj(image.dataobj[:1, :1, :1]):
            raise VolumeError(f"{path.name} holds colours or complex numbers; give a grey volume")
        values = np.asanyarray(image.dataobj).reshape(shape)
    except VolumeError:
        raise
    except (OSError, ValueError, EOFError, KeyError, nibabel.filebasedimages.ImageFileError) as bad:
        raise VolumeError(
            f"{path.name} is no NIfTI file that opens ({bad}); export it again"
        ) from bad
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's millimetres are RAS
    return Grid(np.ascontiguousarray(values.transpose(2, 1, 0)), flip @ affine)


def _placed(image: Any, path: Path) -> NDArray[np.float64]:
    """Return the one placement that the file states, RAS mm."""
    header = image.header
    unit = header.get_xyzt_units()[0]
    if unit not in _UNIT_MM:
        raise VolumeError(f"{path.name} measures in {unit!r}; use mm")
    sform, scode = image.get_sform(coded=True)
    qform, qcode = image.get_qform(coded=True)
    if not scode and not qcode:
        raise VolumeError(
            f"{path.name} does not say where its voxels are (sform and qform code 0); export it "
            "again with its orientation"
        )
    if scode and qcode:
        corners = np.array([[x * (n - 1) for x, n in zip(c, image.shape, strict=False)] + [1.0]
                            for c in np.ndindex(2, 2, 2)])  # fmt: skip
        apart = float(np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max())
        if apart > SAME_MM / _UNIT_MM[unit]:
            raise VolumeError(
                f"{path.name} says two places (sform and qform {apart:.1f} {unit} apart); keep "
                "the one of the frame of reference (nifti_tool, 3D Slicer)"
            )
    affine = np.array(sform if scode else qform, dtype=np.float64)
    affine[:3] *= _UNIT_MM[unit]
    return affine
