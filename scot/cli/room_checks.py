"""What ``scot doctor`` checks of a room's files, ports and sockets, before it talks to its bus."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from scot.bus.keys import PORTS, Link
from scot.bus.reach import reached
from scot.checking import Scope
from scot.config import RoomFile
from scot.errors import ScotError
from scot.finding import Finding
from scot.room import CONSOLE, RoomFacts

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"  # ZMTP 3.0: signature and version
GREETING_SIZE = 64
MECHANISM = slice(12, 32)
ANSWER_S = 2.0
OTHERS = 0o077


def privacy(scope: Scope) -> Iterator[Finding]:
    """Check that nobody else can read keys, secrets and audits, or change them."""
    well = True
    for path in _private(scope.state):
        found = path.stat()
        mode = stat.S_IMODE(found.st_mode)
        want = 0o700 if path.is_dir() else 0o600
        if mode & OTHERS or found.st_uid != os.getuid():
            well = False
            who = "" if found.st_uid == os.getuid() else f" and belongs to user {found.st_uid}"
            what = f"{path} has mode {mode:o}{who}: others may read it"
            yield Finding(
                "problem", what, f"chmod {want:o} {path}" + (" (as its owner)" * bool(who))
            )
    if well:
        yield Finding("ok", f"keys and secrets under {scope.state} are private")


def _private(base: Path) -> Iterator[Path]:
    """Yield what only its owner may read: each room's folder and what lies in it."""
    for room in sorted(base.glob("*")):
        if room.is_dir() and (room / "keys").is_dir():
            yield room
            yield room / "keys"
            yield from sorted((room / "keys").glob("*"))
            yield from sorted(p for p in room.glob("*") if p.is_file() and p.suffix in _SECRET)


_SECRET = frozenset({".json", ".jsonl", ".token", ".key", ".pub", ".note"})


def processes(facts: RoomFacts) -> Iterator[Finding]:
    """Check that every process of a room runs, and how often it had to be started again."""
    replay = "player" in facts.processes
    kind = "replay" if replay else "room"
    yield Finding("ok", f"{kind} {facts.workspace} is up (pid {facts.pid})")
    for name, process in facts.processes.items():
        see = f"its log: {facts.log(name)}"
        if process["pid"] is None:
            why = process["error"] or "it died"
            yield Finding("problem", f"{name} does not run: {why}", see)
        elif process["restarts"]:
            often = "once" if process["restarts"] == 1 else f"{process['restarts']} times"
            yield Finding("warning", f"{name} had to be started again {often}", see)


def sockets(facts: RoomFacts) -> Iterator[Finding]:
    """Check, from outside, that every socket of the broker asks for CURVE.

    The console's key shakes hands with each; one that does not take it is asked for its mechanism.
    """
    try:
        link = Link.load(facts.state, CONSOLE)
    except ScotError as error:
        yield Finding("problem", str(error), "stop the room and start it again")
        return
    sound = reached(link)
    host = link.endpoints.host
    rest = {name: link.endpoints.ports[name] for name in PORTS if name not in sound}
    with ThreadPoolExecutor(len(PORTS)) as asking:  # a broker that hangs costs 2 s, not 12
        said = dict(zip(rest, asking.map(partial(mechanism, host), rest.values()), strict=True))
    if not any(said.values()) and len(said) == len(PORTS):
        what = f"none of the {len(PORTS)} sockets of the broker on {host} answers"
        what += f" within {ANSWER_S:g} s"
        yield Finding("problem", what, f"the broker hangs; its log: {facts.log('broker')}")
        return
    for name, port in rest.items():
        found = said[name]
        if not found:
            what = f"socket {name} ({host}:{port}) does not answer within {ANSWER_S:g} s"
            yield Finding("problem", what, f"the broker hangs; its log: {facts.log('broker')}")
        elif found == "CURVE":
            what = f"socket {name} ({host}:{port}) does not take the console's key"
            fix = f"stop the room and start it again; its log: {facts.log('broker')}"
            yield Finding("problem", what, fix)
        else:
            what = f"socket {name} ({host}:{port}) speaks {found}, not CURVE: it admits anybody"
            yield Finding("problem", what, "stop that room now; reinstall scot-bus and pyzmq")
    if len(sound) == len(PORTS):
        yield Finding("ok", f"all {len(sound)} sockets of the broker on {host} ask for CURVE")


def mechanism(host: str, port: int) -> str:
    """Return the security mechanism a ZMTP server names; empty when it does not answer.

    Source: ZMTP 3.0 (RFC 23), greeting: the server names its mechanism in octets 12 to 31.
    """
    try:
        with socket.create_connection((host, port), ANSWER_S) as line:
            line.settimeout(ANSWER_S)
            line.sendall(GREETING)  # no mechanism of ours: the server names its own first
            said = b""
            while len(said) < GREETING_SIZE and (more := line.recv(GREETING_SIZE - len(said))):
                said += more
    except OSError:
        return ""
    if len(said) < GREETING_SIZE or said[0] != 0xFF:
        return "no ZMTP" if said else ""
    return said[MECHANISM].rstrip(b"\0").decode("ascii", "replace")


def ports(file: RoomFile, facts: RoomFacts | None) -> Iterator[Finding]:
    """Check that the ports a room file wants are free, unless that very room has them."""
    if facts is not None and facts.workspace == file.room.workspace:
        return
    wanted: list[tuple[str, str, int]] = []
    if file.dashboard.enabled and file.dashboard.port:
        wanted.append(("[dashboard] port", file.dashboard.host, file.dashboard.port))
    if file.bus.port:
        numbers = range(file.bus.port, file.bus.port + len(PORTS))
        wanted += [("[bus] port", file.bus.host, number) for number in numbers]
    busy = [(key, host, port) for key, host, port in wanted if _busy(host, port)]
    for key, host, port in busy:
        what = f"{key}: {host}:{port} is taken, or no address of this machine"
        yield Finding(
            "problem", what, "stop what uses it (ss -ltnp), or choose another; 0: a free one"
        )
    if wanted and not busy:
        yield Finding("ok", f"{len(wanted)} ports the room wants are free")


def _busy(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def bus(file: RoomFile) -> Iterator[Finding]:
    """Say when other machines can reach the bus: CURVE guards it, a firewall should too."""
    if file.bus.host not in ("127.0.0.1", "localhost", "::1"):
        what = f"[bus] host {file.bus.host}: other machines can reach the broker's sockets"
        fix = "let a firewall admit only the devices' hosts; every connection needs a key anyway"
        yield Finding("warning", what, fix)
