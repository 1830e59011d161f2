"""``scot keep`` (entry point ``scot.commands``)."""

from __future__ import annotations

import json as js
from pathlib import Path
from typing import Annotated

import typer

from scot.errors import RecordingError
from scot.room import find
from scot_replay.layout import read_manifest
from scot_replay.pretrigger import FILE


def keep(
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="Which room, when several are up.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Tell a room that records with --keep-last to keep everything from now on."""
    room = find(workspace)
    path = room.facts.get("recorder", {}).get("recording")
    if not path:
        raise RecordingError("this room has no recorder; see [recorder] in its room file")
    manifest = read_manifest(Path(path))
    if manifest is None or not manifest.keep_last_s:
        raise RecordingError(f"{path} keeps everything already; --keep-last was not given")
    if not manifest.triggered:
        (room.state / FILE).touch(mode=0o600)
    since = manifest.triggered or "now"
    if json:
        typer.echo(js.dumps({"recording": path, "keep_last_s": manifest.keep_last_s,
                             "triggered": manifest.triggered or None}))  # fmt: skip
    else:
        typer.echo(f"{path} keeps everything since {since}, and {manifest.keep_last_s:g} s before")
    return 0
