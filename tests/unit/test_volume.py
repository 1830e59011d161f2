"""A patient's own volume stands where it was, value by value, or is refused in words."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from scot.cli import app
from scot.config import RoomFile, load_room
from scot.errors import ConfigError
from scot_dashboard.checks import volumes
from scot_dashboard.volume.convert import convert, load, main
from scot_dashboard.volume.grid import Grid, VolumeError, as_int16, bounded, checked, on_axes, write
from tests.unit.volume_sources import FRAME_UID, PATIENT, Phantom, phantom

nib: Any = importlib.import_module("nibabel")


def value_at(grid: Grid, mm: Any) -> float:
    """What stands at a place, looked up by the inverse of the affine."""
    column, row, level = np.rint(np.linalg.inv(grid.affine) @ [*mm, 1.0])[:3].astype(int)
    return float(grid.values[level, row, column])


@pytest.mark.parametrize("kind", ["dicom", "nifti"])
def test_every_voxel_of_an_oblique_anisotropic_volume_is_where_it_was(
    tmp_path: Path, kind: str
) -> None:
    made = phantom()
    if kind == "dicom":
        source = made.write_dicom(tmp_path / "ct")
        (source / "README.txt").write_text("what viewers put beside it")
    else:
        source = made.write_nifti(tmp_path / "ct.nii.gz")
    grid = load(source)
    np.testing.assert_allclose(grid.affine, made.affine, atol=2e-4)
    np.testing.assert_array_equal(grid.values, made.values)
    ras = on_axes(grid, "RAS")
    for voxel in ((0, 0, 0), (18, 0, 3), (2, 22, 10), (7, 11, 5)):
        lps_mm = (made.affine @ [*voxel, 1.0])[:3]
        expected = float(made.values[voxel[2], voxel[1], voxel[0]])
        assert value_at(grid, lps_mm) == expected
        assert value_at(ras, lps_mm * [-1, -1, 1]) == expected


def test_what_the_page_is_given_holds_geometry_modality_window_and_nothing_else(
    tmp_path: Path,
) -> None:
    made = phantom()
    convert(made.write_dicom(tmp_path / "ct"), tmp_path / "out" / "room0", "RAS")
    meta = json.loads((tmp_path / "out" / "room0.json").read_text())
    data = (tmp_path / "out" / "room0.bin").read_bytes()
    text = (tmp_path / "out" / "room0.json").read_text()
    assert set(meta) == {
        *("version", "data", "shape", "affine", "axes", "unit", "modality", "window", "coarser"),
        "lossy",
    }
    assert meta["window"] == {"centre": 40.0, "width": 80.0}
    for word in (PATIENT, "Yamada", "987654", "20260401", FRAME_UID):
        assert word not in text
        assert word.encode() not in data
    assert np.array_equal(np.frombuffer(data, "<i2").reshape(made.values.shape), made.values)
    assert (tmp_path / "out" / "room0.bin").stat().st_mode & 0o777 == 0o600


def tilt(made: Phantom, degrees: float) -> None:
    lean = np.tan(np.radians(degrees)) * np.linalg.norm(made.affine[:3, 2])
    made.affine[:3, 2] += made.affine[:3, 1] / np.linalg.norm(made.affine[:3, 1]) * lean


def drop(n: int, _image: Dataset) -> bool:
    return n != 4


def again(n: int, image: Dataset) -> None:
    if n == 5:
        image.ImagePositionPatient = [float(v) for v in image.ImagePositionPatient]
        image.ImagePositionPatient = (phantom().affine @ [0, 0, 6, 1])[:3].tolist()


def set_on(n: int, **values: Any) -> Any:
    def change(at: int, image: Dataset) -> None:
        for key, value in values.items():
            if n in (at, -1):
                setattr(image, key, value)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop, "1 missing between"),
        (again, "two slices at"),
        (set_on(3, Rows=5), "Rows differs"),
        (set_on(3, FrameOfReferenceUID="1.2.3"), "FrameOfReferenceUID differs"),
        (
            set_on(3, SeriesInstanceUID="1.2.3", SeriesNumber=9),
            r"2 series here \(number 4 with 10 slices, 9 with 1",
        ),
        (set_on(3, ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), "turned against each other"),
        (set_on(-1, PixelSpacing=None), "PixelSpacing of a slice is missing"),
        (set_on(-1, NumberOfFrames=40), "40 frames says of 0 where they are"),
        (set_on(-1, PhotometricInterpretation="MONOCHROME1"), "low values are white"),
        (set_on(-1, PhotometricInterpretation="RGB"), "MONOCHROME2"),
        (set_on(2, BurnedInAnnotation="YES"), "burnt into"),
        (set_on(2, PixelData=b"\0\0"), "does not decode"),
    ],
)
def test_a_series_that_would_put_a_voxel_elsewhere_is_refused_in_words(
    tmp_path: Path, change: Any, said: str
) -> None:
    with pytest.raises(VolumeError, match=said):
        load(phantom().write_dicom(tmp_path / "ct", change))


def test_a_tilted_gantry_is_refused_and_a_turned_head_is_not(tmp_path: Path) -> None:
    made = phantom()
    tilt(made, 12.0)
    with pytest.raises(VolumeError, match=r"tilted by 12\.0°"):
        load(made.write_dicom(tmp_path / "ct"))
    with pytest.raises(VolumeError, match=r"lean by 12\.0°"):
        load(made.write_nifti(tmp_path / "ct.nii"))


def test_the_series_must_be_of_the_frame_that_the_room_file_names(tmp_path: Path) -> None:
    folder = phantom().write_dicom(tmp_path / "ct")
    assert load(folder, frame_uid=FRAME_UID, series=4).modality == "CT"
    with pytest.raises(VolumeError, match="Frame of Reference UID is not"):
        load(folder, frame_uid="1.2.3")
    with pytest.raises(VolumeError, match="no series 5"):
        load(folder, series=5)


def test_a_nifti_without_one_place_is_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(phantom().values.transpose(2, 1, 0), None)
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "nowhere.nii")
    with pytest.raises(VolumeError, match="does not say where"):
        load(tmp_path / "nowhere.nii")
    image.set_sform(np.diag([1.0, 1.0, 1.0, 1.0]), code=2)
    image.set_qform(np.diag([1.0, 1.0, 3.0, 1.0]), code=1)
    nib.save(image, tmp_path / "two.nii")
    with pytest.raises(VolumeError, match="two places"):
        load(tmp_path / "two.nii")
    (tmp_path / "cut.nii.gz").write_bytes(
        phantom().write_nifti(tmp_path / "a.nii.gz").read_bytes()[:900]
    )
    for name in ("cut.nii.gz", "none.nii", "a.txt"):
        with pytest.raises(VolumeError):
            load(tmp_path / name)


def test_a_large_volume_is_averaged_where_it_is_finest_and_stays_in_place() -> None:
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    affine[:3, 3] = [-40, 10, 7]
    columns = np.arange(64, dtype=np.int16)
    values = np.broadcast_to(columns, (8, 48, 64)).copy()
    small = bounded(Grid(values, affine), 8 * 24 * 32)
    assert small.values.shape == (8, 24, 32)
    assert small.stored_mm == (0.5, 0.5, 2.0)
    assert small.voxel_mm == (1.0, 1.0, 2.0)
    assert small.values[0, 0, 3] == pytest.approx(6.5), "the mean of columns 6 and 7"
    mm = small.affine @ [3, 0, 0, 1]
    np.testing.assert_allclose(mm[:3], affine[:3] @ [6.5, 0.5, 0, 1])
    odd = bounded(Grid(values[:, :, :63], affine), 8 * 24 * 32)
    assert odd.values.shape == (8, 24, 32)
    assert odd.values[0, 0, 31] == pytest.approx(62)


def test_a_large_volume_has_a_small_one_before_it_that_stands_in_the_same_place(
    tmp_path: Path,
) -> None:
    place = np.diag([0.5, 0.5, 1.0, 1.0])
    place[:3, 3] = [-40, 10, 7]
    z, y, x = np.mgrid[0:80, 0:96, 0:96]
    meta = write(Grid((x + y + z).astype(np.int16), place), tmp_path / "room0")
    first = meta["first"]
    size = first["shape"]
    small = np.frombuffer((tmp_path / "room0_first.bin").read_bytes(), "<i2")
    assert small.size == size["columns"] * size["rows"] * size["slices"] <= 64**3
    assert first["coarser"]["of_mm"] == [0.5, 0.5, 1.0]
    assert first["window"] == meta["window"], "the grey does not jump when the whole one comes"
    small = small.reshape(size["slices"], size["rows"], size["columns"])
    at = np.array(first["affine"]) @ [10, 12, 14, 1]
    column, row, level = (np.linalg.inv(place) @ at)[:3]
    assert abs(small[14, 12, 10] - (column + row + level)) <= 1
    for name in ("room0.bin", "room0_first.bin"):
        packed = gzip.decompress((tmp_path / f"{name}.gz").read_bytes())
        assert packed == (tmp_path / name).read_bytes()


def test_numbers_that_the_wire_cannot_hold_keep_their_order_and_window() -> None:
    values = np.linspace(0.0, 0.004, 4 * 5 * 6).reshape(4, 5, 6)
    values[0, 0, 0] = np.nan
    grid = as_int16(Grid(values, np.eye(4), "PT", (0.002, 0.001)))
    assert grid.values.dtype == np.dtype("<i2")
    assert (np.diff(grid.values.ravel()[1:]) > 0).all()
    assert grid.window is not None
    assert grid.window[0] == pytest.approx(16_000, rel=0.01)
    with pytest.raises(VolumeError, match="every voxel is 3"):
        as_int16(Grid(np.full((4, 4, 4), 3), np.eye(4)))
    with pytest.raises(VolumeError, match="not finite"):
        checked(Grid(values, np.full((4, 4), np.nan)))


def test_the_command_says_where_a_voxel_is_and_refuses_in_one_line(tmp_path: Path) -> None:
    made = phantom()
    folder = made.write_dicom(tmp_path / "ct")
    run = CliRunner()
    told = run.invoke(app, ["volume", str(folder), "--at", "7,11,5", "--axes", "LPS", "--json"])
    assert told.exit_code == 0, told.output
    said = json.loads(told.stdout)
    assert said["at"]["value"] == made.values[5, 11, 7]
    np.testing.assert_allclose(said["at"]["mm"], (made.affine @ [7, 11, 5, 1])[:3], atol=1e-3)
    words = run.invoke(app, ["volume", str(folder)])
    assert "19 × 23 × 11 voxels of 0.700 × 1.300 × 2.100 mm" in words.stdout


def test_the_command_checks_a_registration_before_a_case(tmp_path: Path) -> None:
    folder = phantom().write_dicom(tmp_path / "ct")
    file = tmp_path / "registration.txt"
    file.write_text("0 -1 0 10  1 0 0 20  0 0 1 30  0 0 0 1")
    run = CliRunner()
    asked = ["volume", str(folder), "--registration", str(file)]
    told = json.loads(run.invoke(app, [*asked, "--json"]).stdout)["registration"]
    assert told == {
        "rows": [[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30]], "tre_mm": None, "fre_mm": None
    }  # fmt: skip
    assert "tre_mm not told" in run.invoke(app, asked).stdout
    file.write_text("2 0 0 0  0 2 0 0  0 0 2 0  0 0 0 1")
    refused = run.invoke(app, asked)
    assert refused.exit_code != 0
    assert "not rigid" in str(refused.exception)


def test_the_process_that_converts_answers_with_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wish = {"source": str(tmp_path / "none"), "stem": str(tmp_path / "room0"), "axes": "RAS"}
    assert main([json.dumps(wish)]) == 1
    assert "is not there" in json.loads(capsys.readouterr().out)["error"]


def test_the_doctor_reads_a_rooms_volumes_before_a_case(tmp_path: Path) -> None:
    phantom().write_dicom(tmp_path / "good")
    phantom().write_dicom(tmp_path / "gap", drop)
    path = tmp_path / "room.toml"
    path.write_text(
        '[[volume]]\nframe = "a"\nsource = "good"\n[[volume]]\nframe = "b"\nsource = "gap"\n'
    )
    good, gap = volumes(load_room(path))
    assert (good.level, gap.level) == ("ok", "problem")
    assert "1 missing between" in gap.what
    assert "send the series whole" in gap.fix


def test_a_room_file_names_one_picture_for_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "room.toml"
    path.write_text('[[volume]]\nframe = "ct"\nsource = "scans/ct"\naxes = "LPS"\n')
    room = load_room(path)
    assert room.volume[0].source == tmp_path / "scans" / "ct"
    assert list(room.volumes()) == ["room0"]
    assert RoomFile.model_validate_json(room.model_dump_json()) == room
    path.write_text('[[volume]]\nframe = "ct"\n')
    with pytest.raises(ConfigError, match="needs one picture"):
        load_room(path)
