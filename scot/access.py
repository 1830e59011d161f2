"""Who may publish, read and announce what: default deny, no I/O.

A grant is a list of prefixes. An address is granted when it starts with one of them; a
subscription is granted when its own prefix lies *inside* one of them, so that asking for less
than was granted never yields more.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec

from scot.errors import AccessError

MAX_SUBSCRIPTIONS = 1000


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What one key may do.

    Attributes:
        name: who holds the key; it is the device's name for a device.
        publish: prefixes of addresses it may publish.
        subscribe: prefixes it may read, live and from History.
        devices: names it may announce; ``*`` for any (a player of recordings).
        serve: may answer History for others' channels (recorder, player).
        command: prefixes of the commands it may give (``or1/monitor/``); nobody has any unless
            a room file or the roster says so.
        role: what its holder is when giving commands (``or_staff``).
    """

    name: str
    publish: list[str] = []
    subscribe: list[str] = []
    devices: list[str] = []
    serve: bool = False
    command: list[str] = []
    role: str = ""

    def may_publish(self, address: str) -> bool:
        """Whether a sample of `address` is accepted from this key."""
        return address.startswith(tuple(self.publish))

    def may_read(self, prefix: str) -> bool:
        """Whether this key may read everything that starts with `prefix`."""
        return prefix.startswith(tuple(self.subscribe))

    def may_command(self, address: str) -> bool:
        """Whether this key may give the command at `address` (``or1/monitor/nibp_start``)."""
        return address.startswith(tuple(self.command))

    def may_announce(self, device: str) -> bool:
        """Whether this key may put `device` into the catalogue."""
        return "*" in self.devices or device in self.devices


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """Every key that may enter, by its CURVE public key (Z85)."""

    keys: dict[str, Grant] = {}

    def by_name(self) -> dict[str, Grant]:
        """Grants by holder's name, which the broker sees as the User-Id of each frame."""
        return {grant.name: grant for grant in self.keys.values()}

    def save(self, path: Path) -> None:
        """Write the roster, readable by its owner only."""
        write_private(path, msgspec.json.encode(self))

    @classmethod
    def load(cls, path: Path) -> Roster:
        """Read a roster.

        Raises:
            AccessError: it is missing or malformed.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError, json.JSONDecodeError) as error:
            raise AccessError(f"{path}: not a roster of keys ({error}); start the room") from None


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)  # what an interrupted write left, with whatever mode
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
