"""A DICOM series by `pydicom` (MIT): CT, MR, PET Image Storage, single slices or multi-frame.

Geometry is PS3.3 C.7.6.2: Image Position (0020,0032), Image Orientation (0020,0037) and Pixel
Spacing (0028,0030). What would put a voxel elsewhere than it was is refused: a missing slice, two
at one place, a tilted gantry, two series, two frames of reference.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scot_dashboard.volume import frames, pixels
from scot_dashboard.volume.grid import LARGEST, STRAIGHT_DEG, Grid, VolumeError

MOST_FILES: Final = 20_000
EVEN: Final = 0.02
"""By which share of it a slice's distance may differ from the others'."""

_HEADER: Final = [
    "SeriesInstanceUID", "SeriesNumber", "FrameOfReferenceUID", "Modality", "Rows", "Columns",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "WindowCenter", "WindowWidth",
    "BurnedInAnnotation", "ImageType", "SOPClassUID", "RescaleSlope", "RescaleIntercept",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "ModalityLUTSequence", *frames.SEQUENCES,
]  # fmt: skip


def read(folder: Path, series: int | None = None, frame_uid: str = "") -> Grid:
    """Return the one series below a folder as a volume.

    Args:
        folder: searched whole; what is not DICOM is left out.
        series: Series Number (0020,0011), where there are several.
        frame_uid: Frame of Reference UID (0020,0052) that it must have; empty: any.

    Raises:
        VolumeError: it is no such series; says what of it is not.
    """
    try:
        pydicom: Any = importlib.import_module("pydicom")
    except ImportError:
        raise VolumeError('DICOM needs pydicom; pip install "scot-bus[images]"') from None
    images = _one_series(list(_headers(pydicom, folder)), series)
    along = _same(images, frame_uid)
    images.sort(key=lambda image: float(np.dot(_floats(image, "ImagePositionPatient", 3), along)))
    affine = _affine(images, along)
    first = images[0]
    if int(first.Rows) * int(first.Columns) * len(images) > LARGEST:
        raise VolumeError(f"{len(images)} slices of {first.Rows} × {first.Columns} are too many")
    syntaxes = {image.own_syntax for image in images}
    return Grid(
        pixels.read(pydicom, images),
        affine,
        str(first.get("Modality", "")),
        _window(images),
        lossy=pixels.lossy(images, syntaxes),
        text_doubt=pixels.text_doubt(images),
    )


def _headers(pydicom: Any, folder: Path) -> Iterator[Any]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) > MOST_FILES:
        raise VolumeError(f"{len(files)} files (limit {MOST_FILES}); name the series' own folder")
    for path in files:
        try:
            image = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER)
        except (pydicom.errors.InvalidDicomError, OSError, ValueError, EOFError):
            continue  # DICOMDIR's neighbours: viewers, text, pictures
        if "ImagePositionPatient" in image or "NumberOfFrames" in image:
            image.own_path = path
            syntax = str(image.file_meta.get("TransferSyntaxUID", ""))
            for one in frames.slices(image):
                one.own_syntax = syntax
                yield one


def _one_series(images: list[Any], number: int | None) -> list[Any]:
    if number is not None:
        images = [image for image in images if image.get("SeriesNumber") == number]
    uids = Counter(str(image.get("SeriesInstanceUID", "")) for image in images)
    if not uids:
        what = "images with a position" if number is None else f"series {number}"
        raise VolumeError(f"no {what} in this folder; name the folder of a CT or MR series")
    if len(uids) > 1:
        counts = Counter(str(image.get("SeriesNumber", "?")) for image in images)
        names = ", ".join(
            f"{name} with {count} slices" for name, count in sorted(counts.items())[:8]
        )
        raise VolumeError(f"{len(uids)} series here (number {names}); say which: series = N")
    return images


def _same(images: list[Any], frame_uid: str) -> NDArray[np.float64]:
    """Check that all slices are of one kind; return the unit vector across them."""
    first = images[0]
    photometric = str(first.get("PhotometricInterpretation", ""))
    if photometric == "MONOCHROME1":
        raise VolumeError(
            "pixels are MONOCHROME1 (low values are white), as of a radiograph; give the CT or MR "
            "itself, or turn its values first (3D Slicer, dcm2niix)"
        )
    if first.get("SamplesPerPixel", 1) != 1 or photometric != "MONOCHROME2":
        raise VolumeError(f"pixels are {photometric[:16] or 'of no kind'}; give MONOCHROME2")
    if any("ModalityLUTSequence" in image for image in images):
        raise VolumeError("values go by a table (Modality LUT); export the series with a slope")
    if any(str(image.get("BurnedInAnnotation", "NO")) == "YES" for image in images):
        raise VolumeError("text is burnt into its pixels (0028,0301), perhaps a name; give another")
    for key in ("Rows", "Columns", "Modality", "FrameOfReferenceUID", "PixelSpacing"):
        if len({str(image.get(key)) for image in images}) > 1:
            raise VolumeError(f"{key} differs between slices; they are not one volume")
    uid = str(first.get("FrameOfReferenceUID", ""))
    if frame_uid and uid != frame_uid:
        raise VolumeError(
            "its Frame of Reference UID is not the one that the room file names (frame_uid); "
            "give the series that the navigation system was registered to"
        )
    turns = np.array([_floats(image, "ImageOrientationPatient", 6) for image in images])
    if np.abs(turns - turns[0]).max() > 1e-3:
        odd = int((np.abs(turns - np.median(turns, axis=0)).max(axis=1) > 1e-3).sum())
        raise VolumeError(
            f"slices are turned against each other: {odd} of {len(images)} (a localizer?); give "
            "one stack"
        )
    row, column = turns[0, :3], turns[0, 3:]
    if abs(np.linalg.norm(row) - 1) > 1e-3 or abs(np.linalg.norm(column) - 1) > 1e-3:
        raise VolumeError("Image Orientation holds no unit vectors; export the series again")
    across: NDArray[np.float64] = np.cross(row, column)
    return across / np.linalg.norm(across)


def _affine(images: list[Any], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [column, row, slice] to LPS mm of slices in order, evenly spaced and straight."""
    if len(images) < 2:
        raise VolumeError("one slice is no volume; give the whole series")
    places = np.array([_floats(image, "ImagePositionPatient", 3) for image in images])
    depth = places @ along
    steps = np.diff(depth)
    step = float(np.median(steps))
    if steps.min() < 0.1 * step or step <= 0:
        at = depth[int(np.argmin(steps))]
        raise VolumeError(f"two slices at {at:.2f} mm along the stack (phases?); give one of each")
    worst = int(np.argmax(np.abs(steps - step)))
    if abs(steps[worst] - step) > max(EVEN * step, 0.01):
        missing = round(steps[worst] / step) - 1
        what = f"{missing} missing" if missing > 0 else "uneven"
        raise VolumeError(
            f"slices: {what} between {depth[worst]:.2f} and {depth[worst + 1]:.2f} mm along the "
            f"stack ({steps[worst]:.2f} mm apart, others {step:.2f}); send the series whole"
        )
    way = places[-1] - places[0]
    lean_deg = float(np.degrees(np.arccos(min(1.0, float(way @ along / np.linalg.norm(way))))))
    if lean_deg > STRAIGHT_DEG:
        raise VolumeError(
            f"the gantry was tilted by {lean_deg:.1f}° (limit {STRAIGHT_DEG:g}°): a box of these "
            "slices would be sheared; resample it to right angles first (3D Slicer, dcm2niix)"
        )
    turn, spacing = (
        _floats(images[0], "ImageOrientationPatient", 6),
        _floats(images[0], "PixelSpacing", 2),
    )
    affine = np.eye(4)
    affine[:3, 0] = np.array(turn[:3]) * spacing[1]  # PixelSpacing: between rows, between columns
    affine[:3, 1] = np.array(turn[3:]) * spacing[0]
    affine[:3, 2] = way / (len(images) - 1)
    affine[:3, 3] = places[0]
    return affine


def _floats(image: Any, key: str, count: int) -> list[float]:
    try:
        values = [float(v) for v in image.get(key) or ()]
    except (TypeError, ValueError):
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise VolumeError(f"{key} of a slice is missing or damaged; export the series again")
    return values


def _window(images: list[Any]) -> tuple[float, float] | None:
    """Return the middle slice's first window, if it has one."""
    image = images[len(images) // 2]
    found = []
    for key in ("WindowCenter", "WindowWidth"):
        value = image.get(key)
        try:
            found.append(
                float(
                    value[0]
                    if isinstance(value, list | tuple) or hasattr(value, "append")
                    else value
                )
            )
        except (TypeError, ValueError, IndexError):
            return None
    return (found[0], found[1]) if found[1] > 0 and np.isfinite(found).all() else None
