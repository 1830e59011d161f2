"""Make the brain that the navigation pane shows: a slice mosaic and a surface.

    python tools/make_brain.py dashboard/scot_dashboard/static/volumes

Reads the skull-stripped ICBM 152 T1 average (nonlinear symmetric 2009a, 1 mm) and its grey and
white matter maps, which the `nilearn` wheel ships, and writes what `README.md` in the output
folder describes: `brain.webp` with `brain.json`, and `brain_mesh.bin` with `brain_mesh.json`.
`tools/preview_brain.py` decodes the written files again and draws them, so that a person can look.

This is a developer's tool. It needs nilearn, nibabel, scipy, scikit-image, fast-simplification and
OpenCV; none of them is needed to run SCOT, because the files it writes are committed.
"""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Volume: TypeAlias = NDArray[np.float32]
Bytes: TypeAlias = NDArray[np.uint8]

LICENCE: Final = (
    "ICBM 152 nonlinear symmetric 2009a. Copyright (C) 1993-2004 Louis Collins, McConnell Brain "
    "Imaging Centre, Montreal Neurological Institute, McGill University. See LICENSE-ICBM152.txt."
)
FIRST_MM: Final = (-80, -113, -75)
SIZE: Final = (160, 192, 160)
"""The box that is kept, in RAS order: whole 16-pixel blocks of the codec, 3 mm air or more."""

COLUMNS: Final = 16
QUALITY: Final = 32
WINDOW: Final = (60.0, 236.0)
"""Template intensities drawn as 8 and 255; the air outside is 0."""

TRIANGLES: Final = 15_000
STEP_MM: Final = 0.05
"""To which a vertex is rounded: a fifth of what the decimation moves it."""

DEPTH_MM: Final = 9.0
"""Nothing deeper than this below the hull is worth a triangle: it cannot be seen."""


@dataclass(frozen=True)
class Mesh:
    """A closed surface.

    Attributes:
        vertices: (n, 3), RAS mm.
        normals: (n, 3), unit vectors that point outwards.
        depth: (n,), 0 on a crown, 1 at the floor of a sulcus.
        triangles: (m, 3), vertex numbers, counter-clockwise seen from outside.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    depth: NDArray[np.float32]
    triangles: NDArray[np.uint16]


def template(name: str) -> Volume:
    """One map of the template, cut to the kept box.

    Args:
        name: `t1`, `gm` or `wm`.

    Returns:
        `SIZE`, RAS order, 1 mm, 0 to 255.
    """
    data = importlib.import_module("nilearn.datasets").__file__
    path = Path(str(data)).parent / f"data/mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    image: Any = importlib.import_module("nibabel").load(path)
    whole = np.asarray(image.dataobj, dtype=np.float32)
    first = np.array(FIRST_MM) - image.affine[:3, 3].astype(int)
    if not np.array_equal(image.affine[:3, :3], np.eye(3)):
        raise SystemExit(f"{path.name}: axes are not RAS at 1 mm; this tool knows no other")
    padded = np.pad(whole, 16)
    box = tuple(slice(int(f) + 16, int(f) + 16 + n) for f, n in zip(first, SIZE, strict=True))
    return padded[box]


def mosaic(t1: Volume) -> Bytes:
    """All axial slices in one picture; a tile's top is the forehead, its left is patient left."""
    low, high = WINDOW
    grey = np.clip((t1 - low) / (high - low), 0.0, 1.0) * 247.0 + 8.0
    grey[t1 == 0.0] = 0.0
    tiles = np.rint(grey).astype(np.uint8).transpose(2, 1, 0)[:, ::-1, :]
    rows = SIZE[2] // COLUMNS
    grid = tiles.reshape(rows, COLUMNS, SIZE[1], SIZE[0]).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grid.reshape(rows * SIZE[1], COLUMNS * SIZE[0]))


def write_volume(out: Path, t1: Volume) -> None:
    """Write `brain.webp` and `brain.json`."""
    picture = mosaic(t1)
    ok, encoded = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not ok:
        raise SystemExit("OpenCV was built without WebP")
    (out / "brain.webp").write_bytes(encoded.tobytes())
    x, y, z = FIRST_MM
    meta = {
        "version": 1,
        "image": "brain.webp",
        "shape": {"columns": SIZE[0], "rows": SIZE[1], "slices": SIZE[2]},
        "tiles": {"across": COLUMNS, "down": SIZE[2] // COLUMNS, "order": "row-major"},
        "space": "MNI152NLin2009aSym",
        "axes": "RAS",
        "unit": "mm",
        "convention": "neurological",
        "affine": [[1, 0, 0, x], [0, -1, 0, y + SIZE[1] - 1], [0, 0, 1, z], [0, 0, 0, 1]],
        "modality": "MR",
        "window": {"centre": 136, "width": 236},
        "grey": {
            "air": 0,
            "from": {"t1": WINDOW[0], "grey": 8},
            "to": {"t1": WINDOW[1], "grey": 255},
        },
        "licence": LICENCE,
    }
    (out / "brain.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def cortex_field(t1: Volume, matter: Volume) -> tuple[Volume, Volume]:
    """What the surface is cut from: matter in 0..1 with the inside filled, and depth in mm."""
    ndimage = importlib.import_module("scipy.ndimage")
    ball = importlib.import_module("skimage.morphology").ball(10)
    head = np.pad(t1 > 0.0, 12)
    hull = ndimage.binary_closing(head, ball)[12:-12, 12:-12, 12:-12]
    depth = ndimage.distance_transform_edt(hull).astype(np.float32)
    field: Volume = ndimage.gaussian_filter(matter / 255.0, 0.9)
    inside = np.clip((depth - DEPTH_MM) / 2.0, 0.0, 1.0)
    field = np.maximum(field, inside)
    return field, depth


def surface(t1: Volume, matter: Volume) -> Mesh:
    """The cortical surface, decimated, with normals taken from the field and not the triangles."""
    ndimage = importlib.import_module("scipy.ndimage")
    measure = importlib.import_module("skimage.measure")
    simplify = importlib.import_module("fast_simplification").simplify
    field, depth = cortex_field(t1, matter)
    fine, triangles, _, _ = measure.marching_cubes(field, 0.5, gradient_direction="ascent")
    keep = largest_part(triangles, len(fine))
    vertices, kept = simplify(
        fine.astype(np.float32),
        triangles[keep].astype(np.int32),
        target_count=TRIANGLES,
        agg=7.0,
    )
    used, numbers = np.unique(kept, return_inverse=True)
    vertices = vertices[used]
    kept = numbers.reshape(-1, 3)
    smooth = ndimage.gaussian_filter(field, 0.8)
    slope = np.stack(
        [ndimage.map_coordinates(part, vertices.T, order=1) for part in np.gradient(smooth)], axis=1
    )
    normals = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    below = ndimage.map_coordinates(depth, vertices.T, order=1)
    return Mesh(
        vertices=(vertices + np.array(FIRST_MM)).astype(np.float32),
        normals=normals.astype(np.float32),
        depth=np.clip((below - 1.0) / (DEPTH_MM - 1.0), 0.0, 1.0).astype(np.float32),
        triangles=outward(vertices, kept).astype(np.uint16),
    )


def largest_part(triangles: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Which triangles belong to the largest connected surface."""
    sparse = importlib.import_module("scipy.sparse")
    graph = importlib.import_module("scipy.sparse.csgraph")
    ones = np.ones(len(triangles) * 2, dtype=np.int8)
    begin = np.concatenate([triangles[:, 0], triangles[:, 1]])
    end = np.concatenate([triangles[:, 1], triangles[:, 2]])
    _, part = graph.connected_components(sparse.coo_matrix((ones, (begin, end)), (count, count)))
    owner = part[triangles[:, 0]]
    return np.asarray(owner == np.bincount(owner).argmax())


def outward(vertices: NDArray[np.float32], triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The triangles, turned so that their enclosed volume is positive."""
    a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
    volume = float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum())
    return triangles if volume > 0.0 else triangles[:, ::-1]


def in_order(mesh: Mesh) -> Mesh:
    """The same surface along a walk over its edges, vertices numbered as the walk meets them.

    Neighbours in the file are then neighbours on the surface, which makes every difference small.
    """
    by_edge: dict[tuple[int, int], int] = {}
    for t, triangle in enumerate(mesh.triangles.tolist()):
        for k in range(3):
            by_edge[triangle[k], triangle[(k + 1) % 3]] = t
    left = set(range(len(mesh.triangles)))
    ring: list[tuple[int, int]] = []
    walked: list[list[int]] = []
    while left:
        at = by_edge.get(ring.pop(), -1) if ring else min(left)
        if at not in left:
            continue
        left.discard(at)
        triangle = mesh.triangles[at].tolist()
        walked.append(triangle)
        ring += [(triangle[(k + 1) % 3], triangle[k]) for k in range(3)]
    flat = np.array(walked).ravel()
    _, first = np.unique(flat, return_index=True)
    order = flat[np.sort(first)]
    number = np.empty(len(mesh.vertices), dtype=np.int64)
    number[order] = np.arange(len(order))
    return Mesh(
        mesh.vertices[order],
        mesh.normals[order],
        mesh.depth[order],
        number[np.array(walked)].astype(np.uint16),
    )


def planes(values: NDArray[np.integer[Any]], kind: str) -> bytes:
    """Numbers as byte planes, lowest first: what differs little then repeats much."""
    raw = np.ascontiguousarray(values.astype(kind)).view(np.uint8)
    return raw.reshape(-1, np.dtype(kind).itemsize).T.tobytes()


def packed_mesh(
    positions: NDArray[np.int64], shading: NDArray[np.int8], triangles: NDArray[np.uint16]
) -> list[bytes]:
    """The three blocks of the file, as its README describes them."""
    steps = np.diff(positions, axis=0, prepend=0)
    flat = triangles.astype(np.int64).ravel()
    next_new = np.maximum.accumulate(np.concatenate([[-1], flat[:-1]])) + 1
    return [
        planes(steps.T.ravel(), "<i2"),
        shading.T.tobytes(),
        planes(next_new - flat, "<u2"),
    ]


def write_mesh(out: Path, mesh: Mesh) -> None:
    """Write `brain_mesh.bin` (three blocks) and `brain_mesh.json`."""
    if len(mesh.vertices) > 0xFFFF:
        raise SystemExit(f"{len(mesh.vertices)} vertices; 16-bit indices reach 65,535")
    mesh = in_order(mesh)
    low = mesh.vertices.min(axis=0)
    positions = np.rint((mesh.vertices - low) / STEP_MM).astype(np.int64)
    shading = np.empty((len(positions), 4), dtype=np.int8)
    shading[:, :3] = np.rint(mesh.normals * 31.0)
    shading[:, 3] = np.rint(mesh.depth * 31.0)
    blocks = packed_mesh(positions, shading, mesh.triangles)
    (out / "brain_mesh.bin").write_bytes(b"".join(blocks))
    meta = {
        "version": 2,
        "data": "brain_mesh.bin",
        "vertices": len(positions),
        "triangles": len(mesh.triangles),
        "step_mm": STEP_MM,
        "first_mm": [round(float(v), 4) for v in low],
        "shading_full": 31,
        "space": "MNI152NLin2009aSym",
        "axes": "RAS",
        "unit": "mm",
        "licence": LICENCE,
    }
    (out / "brain_mesh.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Write the four files and say how large they are."""
    parser = argparse.ArgumentParser(description="make the brain of the navigation pane")
    parser.add_argument("out", type=Path, help="folder for brain.webp and the rest")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    t1 = template("t1")
    write_volume(args.out, t1)
    write_mesh(args.out, surface(t1, template("gm") + template("wm")))
    for path in sorted(args.out.glob("brain*")):
        print(f"{path.name} {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
