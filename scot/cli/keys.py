"""``scot keys``: who may join a room from another machine, and until when."""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from scot.access import Grant, Key, Quota, Roster, fingerprint, state_folder, write_private
from scot.bus.authority import PUBLIC, ROSTER, SECRET, Authority
from scot.bus.issuer import Issuer
from scot.bus.keys import BROKER, ENDPOINTS, PORTS, Endpoints, KeyFile, broker_pair
from scot.channel import NAME, NAME_RULE
from scot.cli.keycheck import check
from scot.clock import machine
from scot.config import BusTable, load_room
from scot.errors import AccessError, ConfigError
from scot.finding import worst_first
from scot.room import QUOTA

SIGNS = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
DAY_NS = 86_400_000_000_000
HOUR_NS = 3_600_000_000_000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Workspace = Annotated[
    str | None, typer.Option("--workspace", "-w", help="Which room, when there are several.")
]
Secret = Annotated[
    Path | None,
    typer.Option("--authority", help="The authority's secret, when it is kept elsewhere."),
]
Name = Annotated[str, typer.Argument(help="Who holds the key: a device, a person's role, a place.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="File to carry to the other machine.")
]
Days = Annotated[float, typer.Option("--days", min=0, help="Valid for so many days; 0 for no end.")]
Host = Annotated[
    str, typer.Option("--host", help="The room's address as the other machine sees it.")
]


@app.callback()
def keys() -> None:
    """Say who may join a room from another machine, and until when."""


def issuer(workspace: str | None, secret: Path | None = None) -> Issuer:
    """Return what changes the keys of a workspace: the named one, or the only one there is.

    Raises:
        AccessError: there is none, or there are several.
    """
    base = state_folder("x").parent
    if workspace is None:
        names = sorted(path.parent.name for path in base.glob(f"*/{PUBLIC}"))
        if not names:
            raise AccessError(
                f"no room has keys under {base}; `scot keys init` makes them, and so does the "
                "first start of a room"
            )
        if len(names) > 1:
            raise AccessError(
                f"several rooms have keys ({', '.join(names)}); choose one with --workspace"
            )
        workspace = names[0]
    state = state_folder(workspace)
    return Issuer(Authority(state, secret), workspace, login())


def login() -> str:
    """Return who runs this, for the audit."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"


@app.command()
def init(
    room_file: Annotated[
        Path | None, typer.Argument(help="A room file: workspace, address and ports.")
    ] = None,
    workspace: Workspace = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="A new authority; every key issued so far is worthless.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Make a workspace's authority, the broker's own key and an empty roster."""
    room = load_room(room_file) if room_file is not None else None
    if workspace is None:
        workspace = room.room.workspace if room is not None else "or1"
    if not NAME.fullmatch(workspace):
        raise ConfigError("--workspace", "", f"{workspace!r} is not allowed", NAME_RULE)
    state = state_folder(workspace)
    if anew:
        for name in (PUBLIC, SECRET, ROSTER):
            (state / name).unlink(missing_ok=True)
    was = (state / PUBLIC).exists()
    authority = Authority.ensure(state, workspace)
    (state / "keys").mkdir(exist_ok=True, mode=0o700)
    pair, following = broker_pair(state, machine.utc_ns())
    if room is not None:
        _settle(state, workspace, room.bus, pair.public, following)
    verifier = authority.verifier
    roster = authority.roster()
    if as_json:
        print(json.dumps({"state": str(state), "authority": verifier.text(), "made": not was}))
        return 0
    print(f"{'made' if not was else 'there already:'} authority {verifier.text()}")
    print(f"in {state}; the roster has {len(roster.holders)} holders, {len(roster.keys)} keys")
    return 0


def _settle(state: Path, workspace: str, bus: BusTable, public: str, following: str) -> None:
    """Write where a room will listen, before its first start."""
    if not bus.port:
        raise AccessError(
            "[bus] port is 0, free ones at each start: keys carried away would not find the room "
            "again; set it in the room file, such as port = 5550"
        )
    ports = {name: bus.port + number for number, name in enumerate(PORTS)}
    endpoints = Endpoints(
        workspace=workspace,
        host=bus.host,
        ports=ports,
        server=public,
        probe_udp=ports["probe"] if bus.udp else 0,
        next_server=following,
    )
    write_private(state / ENDPOINTS, msgspec.json.encode(endpoints))


@app.command()
def add(
    name: Name,
    as_: Annotated[str, typer.Option("--as", help="device or reader: what such a one needs.")] = "",
    grants: Annotated[
        list[str] | None,
        typer.Option("--may", help="publish:PREFIX, read:PREFIX, command:PREFIX, announce:DEVICE."),
    ] = None,
    role: Annotated[str, typer.Option(help="Its role when it gives commands.")] = "",
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Without quotas.")] = False,
    workspace: Workspace = None,
    secret: Secret = None,
    as_json: Json = False,
) -> int:
    """Put somebody on the roster, with what they may do; or change it. Gives no key yet."""
    if not NAME.fullmatch(name):
        raise ConfigError("scot keys add", "", f"{name!r} is not allowed", NAME_RULE)
    by = issuer(workspace, secret)
    room = f"{by.workspace}/"
    wanted = list(grants or ())
    if as_ == "device":
        wanted += [f"publish:{room}{name}/", f"read:{room}room/", f"announce:{name}"]
    elif as_ == "reader":
        wanted += [f"read:{room}"]
    elif as_:
        raise ConfigError("--as", "", f"{as_!r} is not allowed", "write device or reader")
    if not wanted:
        fix = "add --as reader, --as device, or --may"
        raise ConfigError("scot keys add", "", f"{name!r} could do nothing", fix)
    grant = read_grant(name, wanted, role, Quota() if unlimited else QUOTA)
    by.add(grant)
    if as_json:
        print(json.dumps(msgspec.to_builtins(grant)))
    else:
        print(f"{name}: {may(grant)}; `scot keys issue {name}` makes its key")
    return 0


def read_grant(name: str, wanted: list[str], role: str, quota: Quota) -> Grant:
    """Return the grant that ``--may VERB:WHAT`` describes.

    Raises:
        ConfigError: one has no verb that we know.
    """
    held: dict[str, list[str]] = {"publish": [], "read": [], "command": [], "announce": []}
    for text in wanted:
        verb, colon, what = text.partition(":")
        if verb not in held or not colon:
            allowed = f"write VERB:PREFIX with one of {', '.join(held)}"
            raise ConfigError("--may", "", f"{text!r} is not allowed", allowed)
        held[verb].append(what)
    return Grant(
        name=name,
        publish=held["publish"],
        subscribe=held["read"],
        command=held["command"],
        devices=held["announce"],
        role=role,
        quota=quota,
    )


@app.command()
def issue(
    name: Name,
    out: Out = None,
    days: Days = 90,
    host: Host = "",
    workspace: Workspace = None,
    secret: Secret = None,
    as_json: Json = False,
) -> int:
    """Make a key for somebody on the roster: one file, to be carried to the other machine."""
    by = issuer(workspace, secret)
    path = out or Path(f"{by.workspace}-{name}.scotkey")
    file = by.issue(name, path, _until(days), host)
    _tell_file(path, file, as_json)
    return 0


@app.command()
def rotate(
    name: Annotated[str, typer.Argument(help="Whose key; `broker` for the room's own.")],
    out: Out = None,
    days: Days = 90,
    grace: Annotated[
        float, typer.Option(min=0, help="Hours for which the old key stays valid.")
    ] = 24,
    host: Host = "",
    workspace: Workspace = None,
    secret: Secret = None,
    as_json: Json = False,
) -> int:
    """Follow a key by a new one; for some hours both are valid."""
    by = issuer(workspace, secret)
    if name == BROKER:
        since_ns = machine.utc_ns() + round(grace * HOUR_NS)
        endpoints = by.rotate_broker(since_ns)
        if as_json:
            print(json.dumps({"next_server": endpoints.next_server, "from": when(since_ns)}))
        else:
            print(f"the first start from {when(since_ns)} on takes key {endpoints.next_server}")
            print("rotate the keys that were carried away before then: new files know both")
        return 0
    path = out or Path(f"{by.workspace}-{name}.scotkey")
    file = by.rotate(name, path, _until(days), round(grace * HOUR_NS), host)
    _tell_file(path, file, as_json, f"the old key is valid for {grace:g} h more")
    return 0


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Whose keys.")],
    key: Annotated[
        str, typer.Option("--key", help="Only the one whose fingerprint starts so.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why, for the roster and the audit.")] = "",
    workspace: Workspace = None,
    secret: Secret = None,
    as_json: Json = False,
) -> int:
    """Revoke keys; in a running room their connections end within a second."""
    gone = issuer(workspace, secret).revoke(name, key, reason)
    if as_json:
        print(json.dumps({"name": name, "revoked": [fingerprint(public) for public in gone]}))
    else:
        shown = ", ".join(fingerprint(public) for public in gone)
        print(f"{name}: revoked {shown}; a running room ends their connections within a second")
    return 0


@app.command("list")
def list_(
    all_: Annotated[
        bool, typer.Option("--all", help="Also the room's own, and ended keys.")
    ] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> int:
    """List who is on the roster, what they may, and until when."""
    by = issuer(workspace)
    now_ns = machine.utc_ns()
    roster = by.authority.roster()
    rows = _rows(roster, now_ns, all_)
    if all_:
        rows += [{**row, "state": "the room's own"} for row in _rows(by.own(), now_ns, True)]
    if as_json:
        print(json.dumps({"workspace": by.workspace, "serial": roster.serial, "keys": rows}))
        return 0
    for row in rows:
        print(f"{row['name']:20} {row['key'] or '-':9} {row['state']:28} {row['may']}")
    if not rows:
        print(f"{by.workspace}: nobody from elsewhere may join; `scot keys add` changes that")
    return 0


def _rows(roster: Roster, now_ns: int, ended: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, grant in sorted(roster.holders.items()):
        held = {public: key for public, key in roster.keys.items() if key.holder == name}
        shown = {p: k for p, k in held.items() if ended or not k.why_not(now_ns)}
        common = {"name": name, "may": may(grant), "grant": msgspec.to_builtins(grant)}
        for public, key in shown.items():
            state = standing(key, now_ns)
            times = {"since": when(key.since_ns), "until": key.until_ns and when(key.until_ns)}
            rows.append(
                {**common, "key": fingerprint(public), "state": state, "public": public, **times}
            )
        if not shown:
            state = "all keys ended" if held else "no key issued"
            rows.append({**common, "key": "", "state": state, "public": ""})
    return rows


def standing(key: Key, now_ns: int) -> str:
    """Return in words how a key stands."""
    why_not = key.why_not(now_ns)
    if why_not == "revoked" and key.revoked_ns is not None:
        return f"revoked {when(key.revoked_ns)}"
    if key.until_ns is None:
        return "valid, no end"
    return f"{'expired' if why_not else 'valid until'} {when(key.until_ns)}"


def may(grant: Grant) -> str:
    """Return in words what a grant holds."""
    parts = [
        f"{verb} {', '.join(values)}"
        for verb, values in (
            ("publish", grant.publish),
            ("read", grant.subscribe),
            ("announce", grant.devices),
            ("command", grant.command),
        )
        if values
    ]
    return " · ".join(parts) or "nothing"


@app.command()
def doctor(workspace: Workspace = None, as_json: Json = False) -> int:
    """Name each insecure or broken setting of a room's keys, and its fix."""
    by = issuer(workspace)
    found = worst_first(check(by, machine.utc_ns()))
    if as_json:
        print(json.dumps([one._asdict() for one in found]))
    else:
        for one in found:
            print(SIGNS[one.level] + one.what + (f"\n         fix: {one.fix}" if one.fix else ""))
    return int(any(one.level == "problem" for one in found))


def when(utc_ns: int) -> str:
    """Return a time to the minute, UTC."""
    return datetime.fromtimestamp(utc_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%MZ")


def _until(days: float) -> int | None:
    return machine.utc_ns() + round(days * DAY_NS) if days else None


def _tell_file(path: Path, file: KeyFile, as_json: bool, more: str = "") -> None:
    endpoints, public = file.link.endpoints, file.link.pair.public
    until = when(file.until_ns) if file.until_ns is not None else None
    if as_json:
        key = fingerprint(public)
        about = {"name": file.link.name, "key": key, "file": str(path), "until": until}
        print(json.dumps({**about, "host": endpoints.host, "ports": endpoints.ports}))
        return
    ends = f"valid until {until}" if until else "no end"
    print(f"{path}: key {fingerprint(public)} of {file.link.name}, {ends}")
    print(
        f"it finds the room at {endpoints.host}:{endpoints.ports['query']}; whoever has it is them"
    )
    if more:
        print(more)
