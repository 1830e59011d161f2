"""``scot verify`` and ``scot redact`` (entry points ``scot.commands``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from scot.clock import machine
from scot.errors import RecordingError
from scot_replay.layout import iso_utc
from scot_replay.ledger import keys
from scot_replay.ledger.compare import Fault
from scot_replay.ledger.erase import Asked
from scot_replay.ledger.redact import Redacted, finish, redact
from scot_replay.ledger.site_report import SiteReport, verify_site
from scot_replay.ledger.verify import Report, verify
from scot_replay.place import has_parts, is_here, place
from scot_replay.recording import open_recording
from scot_replay.when import HOW, instant

SHOWN = 20
WORDS = {"intact": "INTACT", "unfinished": "ERASING NOT FINISHED", "recovered": "RECOVERED"}

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", "-k", help="Public key whose signature you believe: text or file."),
]


def verify_command(
    recording: Annotated[
        str, typer.Argument(help="A recording: directory, packed file, URL; or the folder of many.")
    ],
    key: Keys = None,
    witness: Annotated[
        list[str] | None,
        typer.Option("--witness", help="Public key of a witness whose word you want."),
    ] = None,
    authority: Annotated[
        Path | None,
        typer.Option("--authority", help="Roots (PEM) of who may have stamped the time."),
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="Every record again, not the sealed bytes.")
    ] = False,
    json: Json = False,
) -> int:
    """Say whether a recording is as it was recorded: who signed that, and how far it goes."""
    believed = [keys.trusted(given) for given in key or []]
    witnesses = [keys.trusted(given) for given in witness or []]
    found: Report | SiteReport
    lines: list[str]
    path = place(recording)
    if _is_folder(path):
        found = verify_site(path, believed)
        lines = site_lines(found)
    else:
        found = verify(
            path,
            believed,
            witnesses=witnesses,
            authorities=_roots(authority),
            records=records,
        )
        lines = report_lines(found)
    if json:
        typer.echo(msgspec.json.encode({**msgspec.to_builtins(found), "intact": found.intact}))
    else:
        typer.echo("\n".join(lines))
    return 0 if found.intact else 1


def _roots(path: Path | None) -> list[Any]:
    if path is None:
        return []
    from scot_replay.ledger.timestamp import roots

    return roots(path)


def _is_folder(path: Path) -> bool:
    """Say whether this is a folder of recordings: none itself, but with some in it."""
    if not is_here(path) or not path.is_dir() or has_parts(path.iterdir()):
        return False
    return any(path.glob("*/ledger.scotl")) or not any(path.glob("ledger.scotl"))


def report_lines(found: Report) -> list[str]:
    """Return a report as people read it."""
    name = found.signer.split("+")[0]
    word = WORDS.get(found.state, "NOT AS RECORDED")
    proven = sum(part.proven for part in found.parts)
    erased = sum(part.erased for part in found.parts)
    lines = [
        f"{found.path}: {word}",
        f"  {proven} samples proven in {len(found.parts)} parts, {found.checkpoints} checkpoints "
        f"signed by {name}",
    ]
    if not found.known:
        lines.append(
            "  NOBODY VOUCHES FOR THAT KEY: it is the one the recording names itself; give the "
            "one you believe with --key"
        )
    if found.until_ns:
        lines.append(f"  covered until {iso_utc(found.until_ns)}" + _after(found))
    if not found.ended:
        lines.append("  it was never ended in order")
    lines += [f"  {line}" for line in [*_sayings(found, erased), *found.remarks]]
    if found.state == "unfinished":
        lines.append(f"  what was erased is not all gone yet: scot redact --resume {found.path}")
    faults = [f"  {_fault_line(one)}" for one in found.faults[:SHOWN]]
    if len(found.faults) > SHOWN:
        faults.append(f"  and {len(found.faults) - SHOWN} more; --json names each")
    return lines + faults


def _after(found: Report) -> str:
    beyond = sum(part.beyond for part in found.parts)
    if not beyond:
        return ", nothing after that"
    times = [part.beyond_last_ns for part in found.parts if part.beyond_last_ns]
    until = f", until {iso_utc(max(times))}" if times else ""
    return f"; {beyond} records after the last checkpoint{until}, of which nothing is proven"


def _sayings(found: Report, erased: int) -> list[str]:
    lines = []
    for one in found.redactions:
        samples = sum(e.count for e in one.erased)
        lines.append(
            f"redacted: {samples} records of {', '.join(one.channels)}, {iso_utc(one.from_ns)} to "
            f"{iso_utc(one.to_ns)}, by {one.by}: {one.reason}"
        )
    if erased:
        lines.append(f"{erased} records are erased; their leaves are left, so the rest still fits")
    lines += [f"shredded by {one.by}: {one.reason}" for one in found.shredded]
    for said in found.witnesses:
        lines.append(
            f"witness {said['witness']} saw {said['size']} of {found.covered} entries at "
            f"{said['at']}"
        )
    for token in found.tokens:
        lines.append(f"time stamp over {token['size']} entries: {token['says']}")
    return lines


def _fault_line(one: Fault) -> str:
    where = " ".join(part for part in (one.file, one.address) if part)
    record = f", first seq {one.seq} of epoch {one.epoch}" if one.seq >= 0 else ""
    many = f" ({one.records} records)" if one.records else ""
    when = f", {iso_utc(one.first_ns)} to {iso_utc(one.last_ns)}" if one.first_ns else ""
    detail = f": {one.detail}" if one.detail else ""
    return f"{one.what}: {where}{record}{many}{when}{detail}"


def site_lines(found: SiteReport) -> list[str]:
    """Return a site's report as people read it."""
    word = "COMPLETE" if found.intact else "NOT COMPLETE"
    lines = [f"{found.path}: {word}, {found.known} recordings in the site's log {found.log}"]
    lines += [f"  {line}" for line in found.faults]
    if found.unknown:
        lines.append(f"  not in the site's log: {', '.join(found.unknown)}")
    return lines


def redact_command(
    recording: Annotated[Path, typer.Argument(help="Directory of a recording.")],
    channel: Annotated[
        list[str] | None, typer.Option("--channel", "-c", help="monitor/hr; repeat it.")
    ] = None,
    between: Annotated[
        tuple[str, str] | None, typer.Option(help=f"From and to (exclusive): {HOW}.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who erases it; stays in the ledger.")] = "",
    reason: Annotated[str, typer.Option(help="Why; stays in the ledger, so name no patient.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="End what a crash broke off; nothing else is given.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> int:
    """Erase samples for good; what is left is still proven, and the ledger says who did it."""
    if resume:
        if channel or between or by or reason:
            raise typer.BadParameter("--resume ends what was begun; give nothing else with it")
        return _redacted(recording, finish(recording, keys.ensure()), json)
    for name, given in (("channel", channel), ("between", between), ("by", by), ("reason", reason)):
        if not given:
            raise typer.BadParameter(f"give --{name}, or --resume to end what was broken off")
    channel, between = channel or [], between or ("", "")
    opened = open_recording(recording)
    addresses = [opened.resolve(name) for name in channel]
    from_ns, to_ns = (instant(text, opened.first_ns) for text in between)
    opened.close()
    if from_ns >= to_ns:
        raise RecordingError(f"{between[0]} is not before {between[1]}; nothing was changed")
    signer = keys.ensure()
    stretch = f"{', '.join(addresses)}, {iso_utc(from_ns)} to {iso_utc(to_ns)}"
    if not yes:
        typer.confirm(f"Erase {stretch} from {recording}? Nothing brings it back.", abort=True)
    asked = Asked(
        addresses=addresses,
        between=(from_ns, to_ns),
        by=by,
        reason=reason,
        utc_ns=machine.utc_ns(),
    )
    return _redacted(recording, redact(recording, asked, signer), json)


def _redacted(recording: Path, done: Redacted, json: bool) -> int:
    if json:
        typer.echo(msgspec.json.encode(done))
    else:
        where = f" in {', '.join(done.files)}" if done.files else ", all was done"
        typer.echo(f"{recording}: {done.records} records erased{where}")
        typer.echo("  copies, clips and exports made before are not changed; erase those, too")
    return 0
