"""A table of channels: Parquet, or CSV for a spreadsheet.

Parquet keeps every number and both times; CSV has units in its heads, and no cell that a
spreadsheet would run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scot.channel import Kind, Sensitivity
from scot.errors import RecordingError
from scot_replay.formats.written import staged

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

FORMATS = ("parquet", "csv")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_BY_DEFAULT = {Kind.NUMERIC, Kind.POSE}


def write_table(
    opened: DirectoryRecording,
    out: Path,
    names: list[str],
    rate: str | None,
    how: str = "last",
    force: bool = False,
    between: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Write channels to a file and return what was written.

    Args:
        opened: the recording.
        out: ``.parquet`` or ``.csv``.
        names: channels; all numerics and poses when empty.
        rate: as in `scot_replay.frames.to_pandas`.
        how: as there.
        force: write over an existing file.
        between: from inclusive, to exclusive, bus ns.

    Raises:
        RecordingError: the format is not known, the file exists or cannot be written.
    """
    format_ = out.suffix.removeprefix(".").lower()
    if format_ not in FORMATS:
        raise RecordingError(f"{out}: {out.suffix!r} is not known; end it in .parquet or .csv")
    if not names:
        prefix = f"{opened.catalogue.workspace}/"
        names = [
            address.removeprefix(prefix)
            for address, known in opened.channels.items()
            if known.count
            and known.channel.kind in _BY_DEFAULT
            and known.channel.sensitivity is not Sensitivity.IDENTITY
        ]
    if not names:
        raise RecordingError(f"{opened.path} has no numerics and no poses; name channels with -c")
    with staged(out, force) as stage:
        table = opened.to_pandas(names, rate, how=how, between=between)
        if format_ == "parquet":
            table.to_parquet(stage / out.name)
        else:
            safe_csv(table).to_csv(stage / out.name)
    return {
        "file": str(out),
        "format": format_,
        "rows": len(table),
        "columns": [str(column) for column in table.columns],
        "channels": names,
    }


def safe_csv(table: Any) -> Any:
    """Return the table with units in its headers and no text that a spreadsheet would run."""
    safe = table.copy()
    for column in safe.columns:
        if safe[column].dtype.kind not in "biufM":
            safe[column] = [inert(value) for value in safe[column]]
    units = table.attrs.get("units", {})
    return safe.rename(columns={c: f"{c} [{units[c]}]" for c in safe.columns if units.get(c)})


def inert(value: Any) -> Any:
    """Return a cell that no spreadsheet runs.

    Text that begins like a formula gets an apostrophe in front (OWASP, CSV injection).
    """
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
