"""Volumes made by code, as DICOM and NIfTI: no patient, and a place for every voxel."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

nib: Any = importlib.import_module("nibabel")
PATIENT = "Yamada^Hanako"
FRAME_UID = "1.2.826.0.1.3680043.8.498.1"


def turned() -> NDArray[np.float64]:
    """A rotation about no axis in particular."""
    a, b, c = 0.31, -0.22, 0.17
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turn: NDArray[np.float64] = x @ y @ z
    return turn


@dataclass
class Phantom:
    """An oblique, anisotropic volume whose every voxel has a value of its own.

    Attributes:
        values: (slices, rows, columns).
        affine: [column, row, slice] to LPS mm.
    """

    values: NDArray[np.int16]
    affine: NDArray[np.float64]

    def write_dicom(
        self, folder: Path, change: Callable[[int, Dataset], bool | None] = lambda _n, _d: None
    ) -> Path:
        """Write one file a slice, in an order that is none; `change` may alter or refuse each."""
        folder.mkdir(parents=True, exist_ok=True)
        series = generate_uid(entropy_srcs=["series"])
        for n, plane in enumerate(self.values):
            image = self._slice(n, plane, series)
            if change(n, image) is not False:
                image.save_as(
                    folder / f"IM{(n * 7) % len(self.values):04d}", enforce_file_format=True
                )
        return folder

    def _slice(self, n: int, plane: NDArray[np.int16], series: str) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(n)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        axes = self.affine[:3, :3] / sizes
        plain: dict[str, Any] = {
            "SOPClassUID": CTImageStorage, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "PatientName": PATIENT, "PatientID": "987654", "StudyDate": "20260401",
            "SeriesInstanceUID": series, "SeriesNumber": 4, "FrameOfReferenceUID": FRAME_UID,
            "Modality": "CT", "Rows": plane.shape[0], "Columns": plane.shape[1],
            "ImagePositionPatient": (self.affine @ [0, 0, n, 1])[:3].tolist(),
            "ImageOrientationPatient": [*axes[:, 0].tolist(), *axes[:, 1].tolist()],
            "PixelSpacing": [float(sizes[1]), float(sizes[0])], "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16,
            "HighBit": 15, "PixelRepresentation": 0, "RescaleSlope": 1, "RescaleIntercept": -1024,
            "WindowCenter": [40, 400], "WindowWidth": [80, 1500],
        }  # fmt: skip
        for key, value in plain.items():
            setattr(image, key, value)
        image.PixelData = (plane.astype(np.int32) + 1024).astype("<u2").tobytes()
        return image

    def write_nifti(self, path: Path) -> Path:
        """Write one NIfTI file, RAS as it must be."""
        ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine
        image = nib.Nifti1Image(self.values.transpose(2, 1, 0), ras)
        image.header.set_xyzt_units("mm")
        straight = np.isclose(
            abs(np.linalg.det(ras[:3, :3])), np.prod(nib.affines.voxel_sizes(ras))
        )
        image.set_qform(ras if straight else None, code=int(straight))  # it cannot hold a shear
        image.set_sform(ras, code=1)
        nib.save(image, path)
        return path


def phantom() -> Phantom:
    """19 columns of 0.7 mm, 23 rows of 1.3 mm, 11 slices of 2.1 mm, turned about all axes."""
    columns, rows, slices = 19, 23, 11
    affine = np.eye(4)
    affine[:3, :3] = turned() * [0.7, 1.3, 2.1]
    affine[:3, 3] = [-61.5, 22.25, 130.75]
    count = columns * rows * slices
    values = (np.arange(count) * 37 % count - 1000).astype(np.int16)
    return Phantom(values.reshape(slices, rows, columns), affine)
