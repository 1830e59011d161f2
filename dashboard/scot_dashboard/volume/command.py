"""``scot volume`` (entry point ``scot.commands``): how a volume will be read, before a case."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scot.errors import ConfigError
from scot.registration import parse

if TYPE_CHECKING:
    from scot_dashboard.volume.grid import Grid


def volume(
    source: Annotated[Path, typer.Argument(help="Folder of a DICOM series, or .nii, .nii.gz.")],
    at: Annotated[
        str, typer.Option(help="Voxel COLUMN,ROW,SLICE whose place and value to print.")
    ] = "",
    axes: Annotated[
        str, typer.Option(help="Of the poses' frame of reference: RAS or LPS.")
    ] = "RAS",
    series: Annotated[
        int | None, typer.Option(help="Series Number, where the folder holds several.")
    ] = None,
    frame_uid: Annotated[str, typer.Option(help="Frame of Reference UID it must have.")] = "",
    registration: Annotated[
        Path | None, typer.Option(help="File of a registration to check: 16 numbers, or JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Check that a patient's own images can stand behind the navigation, and say how.

    Prints size, place and window; nothing else of a header is read. Says what is wrong with a
    volume that cannot be shown to the millimetre. Put it into the room file as `[[volume]] source`.
    """
    from scot_dashboard.volume.convert import load
    from scot_dashboard.volume.grid import as_int16, bounded, described, on_axes

    if axes not in ("RAS", "LPS"):
        raise ConfigError("--axes", "", f"{axes!r} is not known", "RAS or LPS")
    loaded = load(source, series=series, frame_uid=frame_uid)
    grid = on_axes(loaded, "RAS" if axes == "RAS" else "LPS")
    told = described(as_int16(bounded(grid)), "")
    del told["data"], told["version"]
    if registration is not None:
        told["registration"] = _registration(registration)
    if at:
        told["at"] = _at(grid, at)
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    size = " × ".join(str(told["shape"][k]) for k in ("columns", "rows", "slices"))
    voxel = " × ".join(f"{mm:.3f}" for mm in (told["coarser"] or {}).get("shown_mm", grid.voxel_mm))
    lines = [f"{told['modality'] or 'unknown modality'}: {size} voxels of {voxel} mm, {axes}"]
    if told["coarser"]:
        stored = " × ".join(f"{mm:.3f}" for mm in grid.voxel_mm)
        lines.append(f"averaged: stored as {stored} mm; the page says so")
    lines += ["voxel [column, row, slice] to mm:"]
    lines += ["  " + "  ".join(f"{v:10.4f}" for v in row) for row in told["affine"][:3]]
    lines.append(f"window: level {told['window']['centre']:g}, width {told['window']['width']:g}")
    if registration is not None:
        lines += ["registration, tracker's frame to the picture's, mm:"]
        lines += [
            "  " + "  ".join(f"{v:10.4f}" for v in row) for row in told["registration"]["rows"]
        ]
        errors = {k: told["registration"][k] for k in ("tre_mm", "fre_mm")}
        lines.append(", ".join(f"{k} {'not told' if v is None else v}" for k, v in errors.items()))
    if at:
        place = ", ".join(f"{v:.2f}" for v in told["at"]["mm"])
        lines.append(f"voxel {at}: {told['at']['value']:g} at [{place}] mm {axes}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _registration(file: Path) -> dict[str, Any]:
    """Return what a file registers, or refuse it in one line."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            "--registration", "", f"{file} cannot be read", "a text file of 16 numbers, or JSON"
        ) from None
    told = parse(text)
    return {"rows": told.rows, "tre_mm": told.tre_mm, "fre_mm": told.fre_mm}


def _at(grid: Grid, at: str) -> dict[str, Any]:
    """Return place and value of a voxel that is named ``column,row,slice``."""
    slices, rows, columns = grid.values.shape
    parts = [int(part) if part.isdecimal() else -1 for part in at.replace(" ", "").split(",")]
    limits = (columns, rows, slices)
    if len(parts) != 3 or any(not 0 <= n < most for n, most in zip(parts, limits, strict=True)):
        raise ConfigError(
            "--at", "", f"{at!r} is no voxel", f"COLUMN,ROW,SLICE below {columns},{rows},{slices}"
        )
    mm = (grid.affine @ [*parts, 1.0])[:3].tolist()
    value = float(grid.values[parts[2], parts[1], parts[0]])
    return {"voxel": parts, "mm": mm, "value": value}
