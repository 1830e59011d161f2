"""From a source on disk to the two files that the page loads; also as a process of its own.

The gateway starts ``python -m scot_dashboard.volume.convert`` for each volume, so that a header
made to harm, or a gigabyte of voxels, meets a process that holds no session and no key.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from scot_dashboard.volume import dicom, nifti
from scot_dashboard.volume.grid import Axes, Grid, VolumeError, checked, on_axes, write

MEMORY_BYTES: Final = 12 << 30
NIFTI: Final = (".nii", ".nii.gz")


def load(source: Path, *, series: int | None = None, frame_uid: str = "") -> Grid:
    """Return a DICOM folder or a NIfTI file as a volume in LPS millimetres.

    Raises:
        VolumeError: there is none, or it cannot be shown as what it is.
    """
    if source.is_dir():
        return checked(dicom.read(source, series, frame_uid))
    if not source.is_file():
        raise VolumeError(f"{source} is not there; name a folder of DICOM, or a .nii or .nii.gz")
    if not source.name.endswith(NIFTI):
        raise VolumeError(f"{source.name} is neither a folder of DICOM nor a .nii or .nii.gz")
    if frame_uid:
        raise VolumeError("NIfTI holds no Frame of Reference UID; leave frame_uid out")
    return checked(nifti.read(source))


def convert(
    source: Path,
    stem: Path,
    axes: Axes = "RAS",
    *,
    modality: str = "",
    series: int | None = None,
    frame_uid: str = "",
) -> str:
    """Write what the page loads, beside `stem`; return why text may be burnt into its pixels.

    Raises:
        VolumeError: as `load`.
        OSError: the disk.
    """
    grid = on_axes(load(source, series=series, frame_uid=frame_uid), axes)
    write(replace(grid, modality=modality) if modality else grid, stem)
    return grid.text_doubt


def main(arguments: list[str]) -> int:
    """Convert as one JSON document says; answer with another on stdout."""
    wish: dict[str, Any] = json.loads(arguments[0])
    try:
        doubt = convert(Path(wish.pop("source")), Path(wish.pop("stem")), wish.pop("axes"), **wish)
    except (VolumeError, OSError) as error:
        sys.stdout.write(json.dumps({"error": str(error)}))
        return 1
    except MemoryError:
        sys.stdout.write(json.dumps({"error": "it needs more memory than is allowed; crop it"}))
        return 1
    sys.stdout.write(json.dumps({"text_doubt": doubt}))
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.exit(main(sys.argv[1:]))
