"""``scot report`` (entry point ``scot.commands``)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from scot.errors import RecordingError
from scot_replay.case_page import LANGUAGES, draw
from scot_replay.case_report import PICTURES, gather, plain
from scot_replay.chromium import print_pdf
from scot_replay.commands import RecordingPath
from scot_replay.place import name_of, place
from scot_replay.recording import open_recording


def report(
    recording: RecordingPath,
    html: Annotated[
        Path | None, typer.Option("--html", help="File to write; RECORDING.html if none.")
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", help="PDF to write, with the Chromium found here.")
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="en or ja.")] = "en",
    pictures: Annotated[
        int, typer.Option(min=0, max=100, help="Pictures of each video; 0 leaves them out.")
    ] = PICTURES,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Write a case report: devices, channels and completeness, clocks, alarms, notes, pictures.

    One HTML file that needs nothing else, or a PDF of it. It holds pictures of the operation unless
    --pictures 0 is given: handle it as the recording itself.
    """
    if lang not in LANGUAGES:
        raise RecordingError(f"--lang {lang!r} is not known; use {' or '.join(LANGUAGES)}")
    if html is None and pdf is None:
        html = Path(f"{name_of(place(recording))}.html")
    for out in filter(None, (html, pdf)):
        if out.exists() and not force:
            raise RecordingError(f"{out} exists; name another file, or add --force")
    opened = open_recording(recording)
    case = gather(opened, pictures)
    page = draw(case, lang)
    opened.close()
    if html is not None:
        _write(html, page)
    if pdf is not None:
        with tempfile.TemporaryDirectory(prefix="scot-report-") as name:
            source = html or Path(name) / "report.html"
            if html is None:
                _write(source, page)
            print_pdf(source, pdf)
    made = [str(out) for out in (html, pdf) if out is not None]
    if json:
        typer.echo(msgspec.json.encode({"files": made, **plain(case)}).decode())
    else:
        for name in made:
            typer.echo(name)
    return 0


def _write(out: Path, page: str) -> None:
    fresh = out.with_name(f"{out.name}.part")
    try:
        fresh.touch(mode=0o600)
        fresh.write_text(page, "utf-8")
        fresh.rename(out)
    except OSError as error:
        raise RecordingError(f"{out} cannot be written: {error.strerror}") from None
    finally:
        if fresh.parent.is_dir():
            fresh.unlink(missing_ok=True)
