"""``scot catalog`` (entry points ``scot.commands``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from scot import fleet
from scot.errors import RecordingError
from scot_replay.cases import Cases, summarise
from scot_replay.formats.table import inert
from scot_replay.place import is_here, place, recordings_at, source_of
from scot_replay.progress import progress
from scot_replay.recording import open_recording

SHOWN = 200

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True,
    help="Many recordings as one catalogue, asked by SQL.",
)  # fmt: skip

Catalogue = Annotated[
    Path, typer.Option("--catalog", envvar="SCOT_CATALOG", help="Directory of the catalogue.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
HERE = Path("catalog")


@app.command()
def add(
    recordings: Annotated[
        list[str],
        typer.Argument(help="Recordings (directory, packed .mcap, s3://…), or folders of them."),
    ],
    catalog: Catalogue = HERE,
    workers: Annotated[int | None, typer.Option(help="Processes; one a core when none.")] = None,
    json: Json = False,
) -> int:
    """Enter recordings, or what they are now."""
    paths = recordings_at(recordings)
    cases = Cases(catalog)
    cases.prepare()
    job = partial(summarise, catalogue=str(catalog.resolve()))
    entered: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    with progress("cases", len(paths)) as advance:
        for outcome in _outcomes(job, paths, workers):
            advance(1)
            if not outcome.ok:
                failed[outcome.case] = outcome.error
                continue
            moved = cases.enter(outcome.value)
            one = outcome.value.case
            entered.append({"id": one.id, "url": one.url, "rows": outcome.value.rows, "was": moved})
    done = {"catalog": str(catalog), "entered": entered, "failed": failed}
    if json:
        typer.echo(msgspec.json.encode(done).decode())
    else:
        rows = sum(one["rows"] for one in entered)
        typer.echo(f"{catalog}: {len(entered)} recordings entered, {rows} rows")
        for one in entered:
            if one["was"]:
                typer.echo(f"  {one['url']}: the same recording was entered as {one['was']}")
    for path, why in failed.items():
        sys.stderr.write(f"scot: {path}: {why}\n")
    return 1 if failed else 0


@app.command()
def ls(catalog: Catalogue = HERE, json: Json = False) -> int:
    """List the cases, oldest first."""
    found = Cases(catalog).all()
    if json:
        typer.echo(msgspec.json.encode(found).decode())
        return 0
    for one in found:
        notes = [text for text in (one.origin, "damaged" if one.damage else "") if text]
        at = place(one.url)
        gone = "  GONE" if is_here(at) and not at.exists() else ""
        typer.echo(
            f"{one.id[:8]}  {one.started[:19]}Z  {one.workspace:8} {one.case or '-':12} "
            f"{one.duration_s / 60:7.1f} min {one.samples:>10} samples {one.missing:>7} missing  "
            f"{one.url}{'  ' + ', '.join(notes) if notes else ''}{gone}"
        )
    typer.echo(f"{len(found)} cases")
    return 0


@app.command()
def rm(
    case: Annotated[str, typer.Argument(help="Its id, the beginning of it, or where it lies.")],
    catalog: Catalogue = HERE,
    json: Json = False,
) -> int:
    """Take a case out of the catalogue; the recording stays where it is."""
    gone = Cases(catalog).remove(case)
    typer.echo(msgspec.json.encode(gone).decode() if json else f"{gone.id}: taken out ({gone.url})")
    return 0


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="Of the tables cases, channels, numerics and alarms.")
    ],
    catalog: Catalogue = HERE,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated on stdout.")] = False,
    json: Json = False,
) -> int:
    """Ask by SQL, as DuckDB understands it."""
    found = Cases(catalog).sql(query)
    if csv:
        import pyarrow.csv

        pyarrow.csv.write_csv(_inert(found), sys.stdout.buffer)
        return 0
    rows = found.to_pylist()
    if json:
        encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number")
        typer.echo(encoder.encode(rows).decode())
        return 0
    _show(found.column_names, rows)
    return 0


def _inert(found: Any) -> Any:
    """Return an Arrow table with no text that a spreadsheet would run."""
    import pyarrow as pa

    columns = [
        pa.array([inert(one) for one in column.to_pylist()], pa.string())
        if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type)
        else column
        for column in found.columns
    ]
    return pa.table(columns, names=[inert(name) for name in found.column_names])


def _plain(value: Any) -> str:
    """Return as text what JSON has no word for; times in ISO 8601, to the ns."""
    text: Any = getattr(value, "isoformat", None)
    return str(value) if text is None else str(text())


def _outcomes(job: Any, paths: list[Path], workers: int | None) -> Iterator[fleet.Outcome]:
    """Yield what became of each recording; a single one needs no process of its own."""
    if len(paths) > 1:
        shown = {source_of(path): str(path) for path in paths}
        for one in fleet.each(job, shown, workers=workers):
            yield msgspec.structs.replace(one, case=shown[one.case])
        return
    for path in paths:
        try:
            opened = open_recording(path)
            yield fleet.Outcome(case=str(path), value=job(opened))
            opened.close()
        except RecordingError as error:
            yield fleet.Outcome(case=str(path), error=str(error))


def _show(names: list[str], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*names)
    for row in rows[:SHOWN]:
        table.add_row(*("" if row[name] is None else f"{row[name]}" for name in names))
    Console().print(table)
    if len(rows) > SHOWN:
        sys.stderr.write(f"{len(rows)} rows, the first {SHOWN} are shown; --csv gives all\n")
