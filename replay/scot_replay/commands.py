"""``scot info`` (entry points ``scot.commands``)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from scot_replay.completeness import WHY, Account, report
from scot_replay.layout import iso_utc
from scot_replay.place import place
from scot_replay.recording import DirectoryRecording

LOCKED = (
    "what is counted above is from headers, which are not encrypted; no value can be read, and "
    "what only a value tells (a tail that never came, a clock that was set) is not known"
)
GAPS_SHOWN = 100
LOST_SHOWN = 5
_TOTALS = ("missing", "expected", "backfilled", "late", "lost")

RecordingPath = Annotated[
    str,
    typer.Argument(help="A recording: directory, packed .mcap, or URL of either (s3://cases/17)."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def info(recording: RecordingPath, json: Json = False) -> int:
    """Say what a recording holds, and of each channel what was expected, came late, was lost."""
    opened = DirectoryRecording(place(recording), locked=True)
    found = describe(opened)
    opened.close()
    if json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        for line in _lines(found):
            typer.echo(line)
    return 0


def describe(opened: DirectoryRecording) -> dict[str, Any]:
    """Return what ``scot info --json`` prints, as plain values."""
    accounts = report(opened.parts, opened.catalogue)
    channels: dict[str, dict[str, Any]] = {}
    for address, known in opened.channels.items():
        channel = known.channel
        gaps = [{**msgspec.to_builtins(gap), "count": gap.count} for gap in known.gaps]
        channels[address] = {
            "kind": channel.kind.value,
            "unit": channel.unit,
            "code": channel.code,
            "rate_hz": channel.rate_hz,
            "count": known.count,
            "missing": sum(gap.count for gap in known.gaps),
            "gaps": gaps[:GAPS_SHOWN],
            "first": None if known.first_ns is None else iso_utc(known.first_ns),
            "last": None if known.last_ns is None else iso_utc(known.last_ns),
            **_account(accounts[address]),
        }
    manifest, path = opened.manifest, opened.path
    files = [path] if path.is_file() else [f for f in path.iterdir() if f.is_file()]
    totals = {key: sum(channel[key] for channel in channels.values()) for key in _TOTALS}
    return {
        "path": str(opened.path),
        "workspace": manifest.workspace,
        "case": manifest.case,
        "format": manifest.format,
        "scot": manifest.scot,
        "started": manifest.started,
        "finished": manifest.finished,
        "duration_s": opened.duration_s,
        "first_ns": opened.first_ns,
        "last_ns": opened.last_ns,
        "bytes": sum(f.stat().st_size for f in files),
        "parts": sorted(f.name for f in files if f.suffix in {".mcap", ".scotj"}),
        "samples": sum(channel["count"] for channel in channels.values()),
        **totals,
        "channels": channels,
        "encrypted": manifest.encrypted,
        "locked": opened.missing_key,
        "damage": opened.damage,
    }


def _account(account: Account) -> dict[str, Any]:
    """Return the account of a channel as plain values, times as UTC."""
    found: dict[str, Any] = {
        key: getattr(account, key)
        for key in ("expected", "received", "backfilled", "late", "lost", "doubled")
    }
    for key in ("lost_in", "backfilled_in", "late_in"):
        found[key] = [
            {"from": _utc(one.from_ns), "to": _utc(one.to_ns), "count": one.count, "why": one.why}
            for one in getattr(account, key)[:GAPS_SHOWN]
        ]
    found["steps"] = [{"at": iso_utc(at), "by_s": by / 1e9} for at, by in account.steps]
    return found


def _utc(bus_ns: int | None) -> str | None:
    return None if bus_ns is None else iso_utc(bus_ns)


def _lines(found: dict[str, Any]) -> list[str]:
    case = f", case {found['case']}" if found["case"] else ""
    lines = [
        f"{found['path']}: {found['workspace']}{case}",
        f"  {found['started'] or 'start unknown'} to {found['finished'] or 'not finished'}, "
        f"{found['duration_s']:.1f} s, {found['bytes'] / 1e6:.1f} MB in "
        f"{len(found['parts'])} parts",
        f"  {found['samples']} samples of {found['expected']} expected, "
        f"{found['backfilled']} back-filled, {found['late']} late, {found['lost']} lost",
        "",
    ]
    width = max((len(address) for address in found["channels"]), default=0)
    heads = ("received", "expected", "back-filled", "late", "lost")
    lines.append(f"  {'':{width}}  {'':10} {'':9}" + "".join(f" {head:>11}" for head in heads))
    for address, channel in found["channels"].items():
        counts = (channel[key] for key in ("received", "expected", "backfilled", "late", "lost"))
        lines.append(
            f"  {address:{width}}  {channel['kind']:10} {channel['unit']:9}"
            + "".join(f" {count or '-':>11}" for count in counts)
        )
    if found["locked"]:
        lines += ["", f"  {found['locked']}", f"  {LOCKED}"]
    return [*lines, *_troubles(found)]


def _troubles(found: dict[str, Any]) -> list[str]:
    """Say where samples are lost, where time jumps, and what is damaged."""
    lines: list[str] = []
    for address, channel in found["channels"].items():
        for one in channel["lost_in"][:LOST_SHOWN]:
            since, until = one["from"] or "the start", one["to"] or "the end"
            why = WHY[one["why"]]["en"] if one["why"] in WHY else one["why"]
            lines.append(f"lost: {address}: {one['count']} between {since} and {until}: {why}")
        if (more := len(channel["lost_in"]) - LOST_SHOWN) > 0:
            lines.append(f"lost: {address}: … and in {more} more intervals, see --json")
        if channel["doubled"]:
            lines.append(f"odd: {address}: {channel['doubled']} samples have another one's number")
        lines += [
            f"odd: {address}: time jumps by {step['by_s']:+.3f} s at {step['at']}"
            for step in channel["steps"]
        ]
    return ([""] if lines else []) + lines + [f"damage: {line}" for line in found["damage"]]
