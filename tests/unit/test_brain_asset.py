"""The bundled brain is where its description says, and looks like the template's anatomy."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[2] / "dashboard/scot_dashboard/static/volumes"


@pytest.fixture(scope="module")
def brain() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    meta: dict[str, Any] = json.loads((FOLDER / "brain.json").read_text(encoding="utf-8"))
    picture = cv2.imread(str(FOLDER / meta["image"]), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    shape, tiles = meta["shape"], meta["tiles"]
    assert picture.shape == (tiles["down"] * shape["rows"], tiles["across"] * shape["columns"])
    grid = picture.reshape(tiles["down"], shape["rows"], tiles["across"], shape["columns"])
    volume = grid.transpose(3, 1, 0, 2).reshape(shape["columns"], shape["rows"], shape["slices"])
    return volume.astype(np.uint8), np.array(meta["affine"], dtype=np.float64)


def grey_at(brain: tuple[NDArray[np.uint8], NDArray[np.float64]], *ras_mm: float) -> float:
    volume, affine = brain
    c, r, s = (int(v) for v in np.rint(np.linalg.inv(affine) @ np.array([*ras_mm, 1.0]))[:3])
    return float(volume[c - 1 : c + 2, r - 1 : r + 2, s - 1 : s + 2].mean())


def test_known_anatomy_is_where_mni_has_it(
    brain: tuple[NDArray[np.uint8], NDArray[np.float64]],
) -> None:
    corpus_callosum = grey_at(brain, 0.0, 27.0, 4.0)
    left_ventricle = grey_at(brain, -4.0, 8.0, 10.0)
    insula = grey_at(brain, -37.0, 8.0, 0.0)
    assert corpus_callosum > 210.0
    assert left_ventricle < 60.0
    assert left_ventricle + 40.0 < insula < corpus_callosum - 20.0
    assert grey_at(brain, 0.0, -60.0, -30.0) > 90.0, "cerebellum: low and behind"
    assert grey_at(brain, 0.0, 60.0, -30.0) < 5.0, "air: low and in front"


def test_box_of_the_brain_is_the_templates(
    brain: tuple[NDArray[np.uint8], NDArray[np.float64]],
) -> None:
    volume, affine = brain
    inside = np.argwhere(volume > 60)
    corners = [affine @ np.array([*edge, 1.0]) for edge in (inside.min(axis=0), inside.max(axis=0))]
    low = np.minimum(corners[0], corners[1])[:3]
    high = np.maximum(corners[0], corners[1])[:3]
    np.testing.assert_allclose(low, [-72.0, -107.0, -72.0], atol=1.0)
    np.testing.assert_allclose(high, [72.0, 73.0, 82.0], atol=1.0)


def number_planes(data: bytes, kind: str) -> NDArray[np.int64]:
    size = np.dtype(kind).itemsize
    raw = np.frombuffer(data, np.uint8).reshape(size, -1).T
    return np.ascontiguousarray(raw).view(kind)[:, 0].astype(np.int64)


def test_mesh_is_closed_outward_and_in_the_same_space() -> None:
    meta: dict[str, Any] = json.loads((FOLDER / "brain_mesh.json").read_text(encoding="utf-8"))
    data = (FOLDER / meta["data"]).read_bytes()
    n, m = meta["vertices"], meta["triangles"]
    assert len(data) == 10 * n + 6 * m
    assert len(zlib.compress(data, 9)) <= 90_000, "the wheel has 1.5 MB for everything"
    steps = number_planes(data[: 6 * n], "<i2").reshape(3, n).T
    points = np.cumsum(steps, axis=0) * meta["step_mm"] + np.array(meta["first_mm"])
    shading = np.frombuffer(data, np.int8, 4 * n, 6 * n).reshape(4, n).T
    back = number_planes(data[10 * n :], "<u2")
    fresh = np.concatenate([[0], np.cumsum(back == 0)[:-1]])
    triangles = (fresh - back).reshape(m, 3)
    assert int(triangles.max()) == n - 1
    np.testing.assert_allclose(points.min(axis=0), [-72.0, -107.0, -72.0], atol=2.5)
    np.testing.assert_allclose(points.max(axis=0), [72.0, 73.0, 82.0], atol=2.5)
    a, b, c = (points[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    litres = float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6.0 / 1e6
    assert 1.2 < litres < 2.0
    agree = np.einsum("ij,ij->i", faces, shading[triangles[:, 0], :3].astype(float)) > 0.0
    assert agree.mean() > 0.95, "normals and winding both point outwards"
    edges = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    )
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert (uses == 2).mean() > 0.999, "closed: two triangles at an edge"
