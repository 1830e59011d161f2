"""Keys: who is who on the bus. Files are 0600 in a 0700 folder; identity is the key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import zmq

from scot.access import Grant, Roster, read_private, write_private
from scot.bus.authority import Authority
from scot.clock import machine
from scot.errors import AccessError

PORTS = ("ctl_in", "ctl_out", "bulk_in", "bulk_out", "query", "probe")
OWN = "own.json"
ENDPOINTS = "endpoints.json"
FORM = "scot-key/1"
BROKER = "broker"


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A CURVE25519 pair in Z85, as libzmq wants it."""

    public: str
    secret: str

    @classmethod
    def new(cls) -> KeyPair:
        """Make a pair."""
        public, secret = zmq.curve_keypair()
        return cls(public=public.decode(), secret=secret.decode())


class Endpoints(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a workspace's broker listens, and the key it must prove to have.

    Attributes:
        ports: by socket name, see `PORTS`.
        server: the broker's public key.
        probe_udp: UDP port of clock probes; 0: they go over ZeroMQ only.
        next_server: its key after its next rotation; empty when none is planned.
    """

    workspace: str
    host: str
    ports: dict[str, int]
    server: str
    probe_udp: int = 0
    next_server: str = ""

    def url(self, socket: str) -> str:
        """Return the ZeroMQ endpoint of one of the broker's sockets."""
        return f"tcp://{self.host}:{self.ports[socket]}"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """All that a process needs to join: where, and as whom."""

    endpoints: Endpoints
    name: str
    pair: KeyPair

    @classmethod
    def load(cls, state: Path, name: str) -> Link:
        """Read the link of key `name` from a room's state folder.

        Raises:
            AccessError: the room has no such key, or its files cannot be read.
        """
        try:
            endpoints = msgspec.json.decode((state / ENDPOINTS).read_bytes(), type=Endpoints)
            pair = msgspec.json.decode((state / "keys" / f"{name}.json").read_bytes(), type=KeyPair)
        except (OSError, msgspec.DecodeError) as error:
            raise AccessError(
                f"no usable key {name!r} in {state}: {error}; is the room up, and yours?"
            ) from None
        return cls(endpoints=endpoints, name=name, pair=pair)


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one file that a person carries to another machine.

    Attributes:
        form: `FORM`.
        until_ns: the key is not valid from then on (UTC); None for no end.
    """

    form: str
    link: Link
    until_ns: int | None = None

    def save(self, path: Path) -> None:
        """Write it, readable by its owner only.

        Raises:
            AccessError: the folder is missing or cannot be written.
        """
        data = msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"
        try:
            write_private(path, data, durable=True)
        except OSError as error:
            raise AccessError(f"{path}: cannot be written ({error.strerror})") from None

    @classmethod
    def load(cls, path: Path) -> KeyFile:
        """Read a carried file.

        Raises:
            AccessError: it is missing, others can read it, it is none, or its time is over.
        """
        try:
            found = msgspec.json.decode(read_private(path), type=cls)
        except msgspec.DecodeError as error:
            raise AccessError(
                f"{path}: not a key file ({error}); `scot keys issue` writes one"
            ) from None
        if found.form != FORM:
            raise AccessError(f"{path}: form {found.form[:20]!r}; this release reads {FORM}")
        if found.until_ns is not None and machine.utc_ns() >= found.until_ns:
            name = found.link.name
            raise AccessError(
                f"{path}: key {name!r} has expired; ask for a new one (`scot keys rotate {name}`)"
            )
        return found


class NextPair(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's key after its rotation: the first start from `since_ns` (UTC) on takes it."""

    pair: KeyPair
    since_ns: int


def issue(
    state: Path,
    host: str,
    ports: dict[str, int],
    workspace: str,
    grants: list[Grant],
    *,
    udp: bool = False,
) -> None:
    """Make the keys of a room's own processes anew; write them, their grants and the endpoints.

    The broker's own key stays, so that keys that were carried away still find it, unless its
    rotation is due.
    """
    folder = state / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.chmod(0o700)
    folder.chmod(0o700)
    broker, following = broker_pair(state, machine.utc_ns())
    for old in folder.glob("*.json"):
        if old.stem not in (BROKER, f"{BROKER}.next"):
            old.unlink()
    own: dict[str, Grant] = {}
    for grant in grants:
        pair = KeyPair.new()
        own[pair.public] = grant
        write_private(folder / f"{grant.name}.json", msgspec.json.encode(pair))
    write_private(state / OWN, Roster.of(own).text())
    endpoints = Endpoints(
        workspace=workspace,
        host=host,
        ports=ports,
        server=broker.public,
        probe_udp=ports["probe"] if udp else 0,  # TCP and UDP count their ports apart
        next_server=following,
    )
    write_private(state / ENDPOINTS, msgspec.json.encode(endpoints))
    Authority.ensure(state, workspace)


def broker_pair(state: Path, now_ns: int) -> tuple[KeyPair, str]:
    """Return the broker's pair and the public key that follows it; made when there is none.

    A pair that is there is kept, its file made private again; a rotation that is due is carried
    out.
    """
    path = state / "keys" / f"{BROKER}.json"
    planned = next_pair(state)
    if planned is not None and now_ns >= planned.since_ns:
        write_private(path, msgspec.json.encode(planned.pair), durable=True)
        (state / "keys" / f"{BROKER}.next.json").unlink()
        planned = None
    try:
        pair = msgspec.json.decode(path.read_bytes(), type=KeyPair)
        path.chmod(0o600)
    except (OSError, msgspec.DecodeError):
        pair = KeyPair.new()
        write_private(path, msgspec.json.encode(pair), durable=True)
    return pair, planned.pair.public if planned is not None else ""


def next_pair(state: Path) -> NextPair | None:
    """Return the planned rotation of the broker's key, if there is one."""
    path = state / "keys" / f"{BROKER}.next.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=NextPair)
    except (OSError, msgspec.DecodeError):
        return None
