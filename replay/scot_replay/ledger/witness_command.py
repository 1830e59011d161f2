"""``scot witness`` (entry point ``scot.commands``)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from scot.clock import machine
from scot.errors import RecordingError
from scot.note import Verifier
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.layout import iso_utc
from scot_replay.ledger import keys, site
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.witness import Witness
from scot_replay.ledger.witnessing import Witnessed, ask, server

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.callback()
def witness() -> None:
    """Let a second machine remember how far recordings are, so that none is made shorter."""


@app.command("key")
def key(
    name: Annotated[
        str, typer.Option(help="Of a key that is made: scot/MACHINE when not given.")
    ] = "",
    json: Json = False,
) -> int:
    """Print this machine's public key, by which it signs or witnesses; made if there is none."""
    text = keys.ensure(name).verifier.text()
    typer.echo(msgspec.json.encode({"key": text}) if json else text)
    return 0


@app.command("serve")
def serve(
    key: Annotated[
        list[str], typer.Option("--key", "-k", help="Public key of a site: text or file.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 7161,
    state: Annotated[
        Path | None, typer.Option(help="Folder of what it remembers; beside the key otherwise.")
    ] = None,
    json: Json = False,
) -> int:
    """Cosign checkpoints of those sites, as long as each follows from the one before."""
    folder = state or keys.folder() / "witness"
    remembers = Witness(folder, keys.ensure(), [keys.trusted(given) for given in key])
    try:
        serving = server(remembers, host, port)
    except OSError as error:
        raise RecordingError(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another --port"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    said = {
        "url": f"http://{shown}:{serving.server_address[1]}",
        "key": remembers.signer.verifier.text(),
        "state": str(folder),
    }
    if json:
        typer.echo(msgspec.json.encode(said))
    else:
        typer.echo(f"witness at {said['url']}, key {said['key']}, remembers in {folder}")
    sys.stdout.flush()
    with serving:
        serving.serve_forever(poll_interval=0.2)
    return 0


@app.command("ask")
def ask_command(
    url: Annotated[str, typer.Argument(help="http://HOST:PORT of the witness.")],
    witness: Annotated[str, typer.Option("--witness", help="Its public key: text or file.")],
    recording: Annotated[
        list[Path] | None,
        typer.Argument(help="Recordings; the site's log of this machine when not given."),
    ] = None,
    every: Annotated[
        float, typer.Option(min=0, help="Ask again after so many seconds; 0: once.")
    ] = 0,
    json: Json = False,
) -> int:
    """Have the last checkpoint cosigned, and keep that beside it."""
    verifier = keys.trusted(witness)
    while True:
        found = [ask(path / LEDGER, url, verifier, []) for path in recording or []]
        if not recording:
            found = [_site(url, verifier)]
        for one in found:
            typer.echo(msgspec.json.encode(one._asdict()) if json else _line(one))
        if not every:
            return 0
        machine.sleep(every)


@app.command("stamp")
def stamp_command(
    url: Annotated[str, typer.Argument(help="Address of a time-stamping authority (RFC 3161).")],
    recording: Annotated[Path, typer.Argument(help="Directory of a recording.")],
    authority: Annotated[Path, typer.Option("--authority", help="Its root certificates (PEM).")],
    json: Json = False,
) -> int:
    """Have an authority state that the last checkpoint was there at this time."""
    from scot_replay.ledger.timestamp import roots, stamp

    done = stamp(recording / LEDGER, url, roots(authority))
    said = f"{done.origin}: {done.size} entries time-stamped at {done.at}"
    typer.echo(msgspec.json.encode(done._asdict()) if json else said)
    return 0


def _site(url: str, verifier: Verifier) -> Witnessed:
    own = keys.own_key()
    path = keys.folder() / site.SITE
    if own is None or not path.exists():
        raise RecordingError(f"{path} is not there: this machine has recorded nothing yet")
    return ask(path, url, verifier, [own])


def _line(one: Witnessed) -> str:
    at = iso_utc(one.at_s * 1_000_000_000 + TAI_MINUS_UTC_NS)
    return f"{one.origin}: {one.size} entries cosigned at {at}"
