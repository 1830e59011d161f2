"""Keys: who is who on the bus. Files are 0600 in a 0700 folder; identity is the key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import zmq

from scot.access import Grant, Roster, write_private
from scot.errors import AccessError

PORTS = ("ctl_in", "ctl_out", "bulk_in", "bulk_out", "query", "probe")


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A CURVE25519 pair in Z85, as libzmq wants it."""

    public: str
    secret: str

    @classmethod
    def new(cls) -> KeyPair:
        """Make a pair."""
        public, secret = zmq.curve_keypair()
        return cls(public=public.decode(), secret=secret.decode())


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where a workspace's broker listens, and the key it must prove to have.

    Attributes:
        ports: by socket name, see `PORTS`.
        server: the broker's public key.
        probe_udp: UDP port of clock probes; 0: they go over ZeroMQ only.
    """

    workspace: str
    host: str
    ports: dict[str, int]
    server: str
    probe_udp: int = 0

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
            endpoints = msgspec.json.decode((state / "endpoints.json").read_bytes(), type=Endpoints)
            pair = msgspec.json.decode((state / "keys" / f"{name}.json").read_bytes(), type=KeyPair)
        except (OSError, msgspec.DecodeError) as error:
            raise AccessError(
                f"no usable key {name!r} in {state}: {error}; is the room up, and yours?"
            ) from None
        return cls(endpoints=endpoints, name=name, pair=pair)


def issue(
    state: Path,
    host: str,
    ports: dict[str, int],
    workspace: str,
    grants: list[Grant],
    *,
    udp: bool = False,
) -> None:
    """Make every key of a room anew and write keys, roster and endpoints into its state folder."""
    folder = state / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.chmod(0o700)
    folder.chmod(0o700)
    for old in folder.glob("*.json"):
        old.unlink()
    broker = KeyPair.new()
    write_private(folder / "broker.json", msgspec.json.encode(broker))
    roster: dict[str, Grant] = {}
    for grant in grants:
        pair = KeyPair.new()
        roster[pair.public] = grant
        write_private(folder / f"{grant.name}.json", msgspec.json.encode(pair))
    Roster(keys=roster).save(state / "roster.json")
    endpoints = Endpoints(
        workspace=workspace,
        host=host,
        ports=ports,
        server=broker.public,
        probe_udp=ports["probe"] if udp else 0,  # TCP and UDP count their ports apart
    )
    write_private(state / "endpoints.json", msgspec.json.encode(endpoints))
