"""Compressed and multi-frame DICOM, each written here, gives the very values it was made of."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage

from scot_dashboard.volume.convert import load
from scot_dashboard.volume.grid import VolumeError
from tests.unit.volume_sources import Phantom, phantom

gdcm: Any = importlib.import_module("gdcm")
T = gdcm.TransferSyntax


def compress(folder: Path, syntax: int) -> Path:
    """Turn every file of a folder into a transfer syntax, as a station that compresses does."""
    for path in sorted(folder.iterdir()):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        before = dcmread(path)
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        after = dcmread(path)  # its writer would place frames of an enhanced object anew
        before.PixelData = after.PixelData
        before["PixelData"].is_undefined_length = True
        before.file_meta.TransferSyntaxUID = after.file_meta.TransferSyntaxUID
        before.save_as(path)
    return folder


@pytest.mark.parametrize(
    ("syntax", "uid"),
    [
        (T.RLELossless, "1.2.840.10008.1.2.5"),
        (T.JPEGLosslessProcess14_1, "1.2.840.10008.1.2.4.70"),
        (T.JPEGLosslessProcess14, "1.2.840.10008.1.2.4.57"),
        (T.JPEGLSLossless, "1.2.840.10008.1.2.4.80"),
        (T.JPEG2000Lossless, "1.2.840.10008.1.2.4.90"),
    ],
)
def test_every_lossless_transfer_syntax_gives_the_values_that_were_stored(
    tmp_path: Path, syntax: int, uid: str
) -> None:
    made = phantom()
    folder = compress(made.write_dicom(tmp_path / "ct"), syntax)
    headers = [dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    assert {str(header.file_meta.TransferSyntaxUID) for header in headers} == {uid}
    grid = load(folder)
    np.testing.assert_array_equal(grid.values, made.values)
    np.testing.assert_allclose(grid.affine, made.affine, atol=2e-4)
    assert grid.lossy == ""


def smooth() -> Phantom:
    made = phantom()
    return Phantom((made.values // 64).astype(np.int16), made.affine)


def test_what_was_compressed_with_loss_says_so_in_our_own_words(tmp_path: Path) -> None:
    def told(_n: int, image: Dataset) -> None:
        image.LossyImageCompression = "01"
        image.LossyImageCompressionRatio = [7.5, 12]
        image.LossyImageCompressionMethod = ["ISO_15444_1", "YAMADA HANAKO"]

    assert load(phantom().write_dicom(tmp_path / "told", told)).lossy == "JPEG 2000 12:1"
    folder = compress(smooth().write_dicom(tmp_path / "near"), T.JPEGLSNearLossless)
    grid = load(folder)
    assert grid.lossy.startswith("JPEG-LS")
    assert np.abs(grid.values - smooth().values).max() <= 8


def test_pixels_that_are_cut_or_of_another_size_are_refused_with_their_syntax(
    tmp_path: Path,
) -> None:
    folder = compress(phantom().write_dicom(tmp_path / "cut"), T.JPEG2000Lossless)
    victim = sorted(folder.iterdir())[3]
    image = dcmread(victim)
    image.PixelData = image.PixelData[:60] + bytes(len(image.PixelData) - 60)
    image.save_as(victim)
    with pytest.raises(VolumeError, match=r"does not decode \(JPEG 2000 .*; send it uncompressed"):
        load(folder)


def enhanced(made: Phantom, folder: Path, **more: Any) -> Path:
    """Write the phantom as one Enhanced CT object, its frames in an order that is none."""
    folder.mkdir()
    singles = made.write_dicom(folder / "singles")
    frames = sorted(
        (dcmread(path) for path in singles.iterdir()), key=lambda d: str(d.SOPInstanceUID)
    )
    whole = frames[0]
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID = EnhancedCTImageStorage
    shared, own = Dataset(), []
    measures, turn, values, look = (Dataset() for _ in range(4))
    measures.PixelSpacing = whole.PixelSpacing
    turn.ImageOrientationPatient = whole.ImageOrientationPatient
    values.RescaleSlope, values.RescaleIntercept = whole.RescaleSlope, whole.RescaleIntercept
    look.WindowCenter, look.WindowWidth = 40, 80
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([turn])
    shared.PixelValueTransformationSequence = Sequence([values])
    shared.FrameVOILUTSequence = Sequence([look])
    pixels = b"".join(frame.PixelData for frame in frames)
    for frame in frames:
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = frame.ImagePositionPatient
        group.PlanePositionSequence = Sequence([place])
        own.append(group)
    for keyword in (
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"),
        *("RescaleIntercept", "WindowCenter", "WindowWidth"),
    ):
        delattr(whole, keyword)
    whole.NumberOfFrames = len(frames)
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    whole.PerFrameFunctionalGroupsSequence = Sequence(own)
    whole.PixelData = pixels
    for key, value in more.items():
        setattr(whole, key, value)
    for path in singles.iterdir():
        path.unlink()
    whole.save_as(folder / "whole.dcm")
    singles.rmdir()
    return folder


@pytest.mark.parametrize("syntax", [None, T.JPEGLSLossless])
def test_an_enhanced_multi_frame_object_is_its_slices(tmp_path: Path, syntax: int | None) -> None:
    made = phantom()
    folder = enhanced(made, tmp_path / "ct")
    if syntax is not None:
        compress(folder, syntax)
    grid = load(folder)
    np.testing.assert_array_equal(grid.values, made.values)
    np.testing.assert_allclose(grid.affine, made.affine, atol=2e-4)
    assert grid.window == (40.0, 80.0)


def test_a_multi_frame_object_that_does_not_say_where_its_frames_are_is_refused(
    tmp_path: Path,
) -> None:
    folder = enhanced(phantom(), tmp_path / "ct", NumberOfFrames=9)
    with pytest.raises(VolumeError, match="9 frames says of 11 where they are"):
        load(folder)


@pytest.mark.parametrize(
    ("header", "doubt"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, ""),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "derived series"),
        ({"ImageType": ["DERIVED", "SECONDARY"], "BurnedInAnnotation": "NO"}, ""),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.3"}, "secondary capture"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SCREEN SAVE"]}, "derived series"),
    ],
)
def test_a_series_that_may_show_a_name_in_its_picture_is_doubted(
    tmp_path: Path, header: dict[str, Any], doubt: str
) -> None:
    def change(_n: int, image: Dataset) -> None:
        for key, value in header.items():
            setattr(image, key, value)

    told = load(phantom().write_dicom(tmp_path / "ct", change)).text_doubt
    assert doubt in told
    assert bool(told) is bool(doubt)
