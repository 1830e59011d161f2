"""What ``scot keys doctor`` looks for: each insecure or broken setting of keys, with its fix."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from scot.access import Grant, Roster, fingerprint
from scot.bus.authority import PUBLIC, ROSTER, SECRET, Authority
from scot.bus.issuer import Issuer
from scot.bus.keys import PORTS, next_pair
from scot.checking import Scope
from scot.clock import machine
from scot.config import RoomFile
from scot.errors import AccessError
from scot.finding import Finding

SOON_NS = 14 * 86_400_000_000_000
PARTS = frozenset({"room", "recorder", "dashboard", "consult", "player", "alarms"})


def keys_of_rooms(scope: Scope) -> Iterator[Finding]:
    """Check the keys of the room that is up, or of every room there is, for ``scot doctor``.

    Who can read their files it has looked at already.
    """
    states = [scope.facts.state] if scope.facts is not None else sorted(scope.state.glob("*"))
    for state in states:
        if (state / PUBLIC).exists():
            by = Issuer(Authority(state), state.name, "doctor")
            open_ = set(modes(by.state))
            found = (one for one in check(by, machine.utc_ns()) if one not in open_)
            yield from (one for one in found if one.level != "ok")


def check(by: Issuer, now_ns: int) -> list[Finding]:
    """Look at everything a workspace's keys stand on."""
    found = [*modes(by.state), *authority(by)]
    try:
        roster = by.authority.roster()
    except AccessError as error:
        if any(ROSTER in one.what for one in found):
            return found  # that it cannot be used as it is has been said
        what, _, fix = str(error).partition("; ")
        return [*found, Finding("problem", what, fix or "scot keys init --anew")]
    room = room_file(by.state)
    found += [*holders(by, roster, room, now_ns), *keys(roster, now_ns), *reach(by, roster, room)]
    planned = next_pair(by.state)
    if planned is not None and now_ns >= planned.since_ns:
        text = "the rotation of the broker's key is due and waits for the room's next start"
        found.append(Finding("warning", text, "stop the room after this case, and start it again"))
    if not any(level != "ok" for level, _, _ in found):
        text = f"{len(roster.holders)} holders and {len(roster.keys)} keys on the roster, in order"
        found.append(Finding("ok", text, ""))
    return found


def modes(state: Path) -> list[Finding]:
    """Check that nobody else can read or write anything beside the keys."""
    found: list[Finding] = []
    for folder in (state, state / "keys"):
        found += _private(folder, 0o700)
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.is_file():
                    found += _private(path, 0o600)
    return found or [Finding("ok", f"everything in {state} is private", "")]


def _private(path: Path, mode: int) -> list[Finding]:
    try:
        about = path.stat()
    except OSError:
        return [Finding("problem", f"{path} is missing", "scot keys init, or start the room")]
    if about.st_uid != os.geteuid():
        return [
            Finding(
                "problem", f"{path} belongs to user {about.st_uid}", f"chown {os.geteuid()} {path}"
            )
        ]
    got = stat.S_IMODE(about.st_mode)
    if got & 0o077:
        text = f"{path} has mode {got:o}: others can use it"
        return [Finding("problem", text, f"chmod {mode:o} {path}; rotate what it held")]
    return []


def authority(by: Issuer) -> list[Finding]:
    """Check that the signing key is this room's."""
    secret = by.authority.secret
    if not secret.exists():
        return [
            Finding(
                "ok", f"the authority's secret is not in {by.state}; changes need --authority", ""
            )
        ]
    try:
        by.authority.signer()
    except AccessError as error:
        what, _, fix = str(error).partition("; ")
        return [Finding("problem", what, fix or f"put the right {SECRET} back")]
    return []


def room_file(state: Path) -> RoomFile | None:
    """Return the room file of the last start, if there was one."""
    try:
        return RoomFile.model_validate_json((state / "room.json").read_text())
    except (OSError, ValueError):
        return None


def holders(by: Issuer, roster: Roster, room: RoomFile | None, now_ns: int) -> list[Finding]:
    """Check what each holder was granted."""
    found: list[Finding] = []
    own = by.own().holders
    known = PARTS | {name for grant in roster.holders.values() for name in grant.devices}
    known |= {device.name for device in room.device} if room is not None else set()
    for name, grant in sorted(roster.holders.items()):
        if name in own:
            text = f"{name} is also one of the room's own; the room's counts, this one cannot enter"
            found.append(
                Finding("problem", text, f"take {name} out of the room file, or revoke {name}")
            )
        if not (grant.publish or grant.subscribe or grant.command or grant.serve):
            fix = f"scot keys add {name} --as reader"
            found.append(Finding("warning", f"{name} is on the roster and may do nothing", fix))
        held = [key for key in roster.keys.values() if key.holder == name]
        revoked = bool(held) and all(key.revoked_ns is not None for key in held)
        if not revoked and not roster.valid(name, now_ns):
            text = f"{name} has no valid key"
            found.append(Finding("warning", text, f"scot keys issue {name}"))
        if room is not None:
            found += _aims(name, grant, known, by.workspace)
    return found


def _aims(name: str, grant: Grant, known: Iterable[str], workspace: str) -> list[Finding]:
    """Name prefixes that no device of the room answers to."""
    found: list[Finding] = []
    for what in ("publish", "subscribe", "command"):
        for prefix in getattr(grant, what):
            device = prefix.removeprefix(f"{workspace}/").partition("/")
            if device[1] and device[0] not in known:
                text = f"{name} may {what} {prefix}, and no device of the room is {device[0]!r}"
                fix = f"scot keys add {name} … with the right name, or add the device"
                found.append(Finding("warning", text, fix))
    return found


def keys(roster: Roster, now_ns: int) -> list[Finding]:
    """Check how long each key lasts."""
    found: list[Finding] = []
    for public, key in roster.keys.items():
        which = f"key {fingerprint(public)} of {key.holder}"
        if key.why_not(now_ns):
            continue
        newer = [
            p for p in roster.valid(key.holder, now_ns) if roster.keys[p].since_ns > key.since_ns
        ]
        if key.until_ns is None:
            fix = f"scot keys rotate {key.holder} --days 90"
            found.append(Finding("warning", f"{which} never ends", fix))
        elif key.until_ns - now_ns < SOON_NS and not newer:
            days = (key.until_ns - now_ns) / 86_400_000_000_000
            text = f"{which} ends in {days:.1f} days"
            found.append(Finding("warning", text, f"scot keys rotate {key.holder}"))
    return found


def reach(by: Issuer, roster: Roster, room: RoomFile | None) -> list[Finding]:
    """Check that a key that was carried away finds the room."""
    if room is None or not roster.keys:
        return []
    found: list[Finding] = []
    if not room.bus.port:
        text = "[bus] port is 0: each start takes others, and keys that were carried away are lost"
        fix = f"set [bus] port (the first of {len(PORTS)}) in the room file, then rotate those keys"
        found.append(Finding("problem", text, fix))
    if room.bus.host in ("127.0.0.1", "localhost", "::1"):
        text = f"the room listens on {room.bus.host}: no other machine can reach it"
        found.append(
            Finding("warning", text, "set [bus] host to this machine's address in the OR's network")
        )
    return found
