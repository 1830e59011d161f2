"""``scot shred`` (entry point ``scot.commands``): destroys the key of an encrypted recording."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from scot.clock import machine
from scot.errors import RecordingError
from scot.note import Signer
from scot_replay.layout import hold, list_parts, read_manifest
from scot_replay.ledger import keys
from scot_replay.ledger.casekey import destroy, key_path
from scot_replay.ledger.entry import Shredded
from scot_replay.ledger.log import LEDGER, Log


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was destroyed: of which recording, which key, where it lay.

    Attributes:
        told: the recording's ledger says so; without a ledger nothing in it does.
    """

    path: str
    key_id: str
    key: str
    told: bool


def shred(
    path: Path, by: str, reason: str, utc_ns: int, signer: Signer, folder: Path | None = None
) -> Done:
    """Destroy the key of a recording, and say so in its ledger if it has one.

    Raises:
        RecordingError: it is not encrypted, is being recorded, its key is not here, or its ledger
            is signed by another key. The ledger is written first: what it says is then done, or
            can be done again.
    """
    list_parts(path)
    manifest = read_manifest(path)
    if manifest is None or not manifest.encrypted:
        raise RecordingError(
            f"{path} is not encrypted; delete it, or erase from it with scot redact"
        )
    held = hold(path)
    if held is None:
        raise RecordingError(f"{path} is being recorded or repaired; end that first")
    try:
        if not key_path(manifest.encrypted, folder).exists():
            destroy(manifest.encrypted, folder)  # says that it is not here
        told = (path / LEDGER).exists()
        if told:
            entry = Shredded(by, reason, utc_ns, manifest.encrypted)
            _tell(Log(path / LEDGER), entry, signer)
        where = destroy(manifest.encrypted, folder)
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        os.close(held)
    return Done(path=str(path), key_id=manifest.encrypted, key=str(where), told=told)


def _tell(log: Log, entry: Shredded, signer: Signer) -> None:
    with log.turn():
        if log.begin is None or log.begin.key != signer.verifier.text():
            raise RecordingError(f"{log.path} is not signed by {signer.name}; use that machine")
        log.append([(entry, None)], signer)


def shred_command(
    recording: Annotated[Path, typer.Argument(help="Directory of an encrypted recording.")],
    by: Annotated[str, typer.Option(help="Who destroys it; stays in the ledger.")],
    reason: Annotated[str, typer.Option(help="Why; stays in the ledger, so name no patient.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Destroy the key of an encrypted recording: it is still proven, and nobody can read it."""
    if not yes:
        typer.confirm(f"Destroy the key of {recording}? Nothing brings it back.", abort=True)
    done = shred(recording, by, reason, machine.utc_ns(), keys.ensure())
    if json:
        typer.echo(msgspec.json.encode(done))
    else:
        typer.echo(f"{recording}: key {done.key_id} destroyed; the samples cannot be read any more")
        if not done.told:
            typer.echo("  it has no ledger: nothing in it says who did it and why; keep a note")
        typer.echo(f"  copies of {done.key} and clips, exports and packs are not; destroy those")
    return 0
