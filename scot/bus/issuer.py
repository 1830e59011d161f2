"""Adding, issuing, rotating and revoking the keys of a workspace; each act is in the audit."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from scot.access import Grant, Key, Roster, fingerprint, write_private
from scot.audit import Audit, append
from scot.bus.authority import Authority
from scot.bus.keys import (
    BROKER,
    ENDPOINTS,
    FORM,
    OWN,
    Endpoints,
    KeyFile,
    KeyPair,
    Link,
    NextPair,
    broker_pair,
)
from scot.bus.trail import TRAIL
from scot.clock import machine
from scot.errors import AccessError

log = logging.getLogger(__name__)


class Issuer:
    """Changes a workspace's roster on behalf of a person.

    Args:
        authority: of the workspace.
        workspace: its name.
        by: the person's login, for the audit.
    """

    def __init__(self, authority: Authority, workspace: str, by: str) -> None:
        self.authority = authority
        self.workspace = workspace
        self.state = authority.state
        self._by = by
        self._audit = Audit(workspace, "keys")

    def own(self) -> Roster:
        """Return the keys of the room's own processes, as of its last start."""
        path = self.state / OWN
        if not path.exists():
            return Roster(workspace=self.workspace)
        return Roster.parse(path.read_bytes(), path)

    def endpoints(self) -> Endpoints:
        """Return where the room's broker listens.

        Raises:
            AccessError: the room was never up and no room file was given to `scot keys init`.
        """
        path = self.state / ENDPOINTS
        try:
            return msgspec.json.decode(path.read_bytes(), type=Endpoints)
        except (OSError, msgspec.DecodeError):
            raise AccessError(
                f"{path}: nobody knows yet where this room listens; start it once, or "
                "`scot keys init ROOM.toml`"
            ) from None

    def add(self, grant: Grant) -> Roster:
        """Put a holder and its grant on the roster, or change the grant.

        Raises:
            AccessError: the name is the room's own, or a prefix reaches outside the workspace.
        """
        if grant.name in self.own().holders or grant.name == BROKER:
            raise AccessError(
                f"{grant.name!r} is one of the room's own; choose another name (a device that "
                "another machine hosts is taken out of the room file first)"
            )
        for prefix in (*grant.publish, *grant.command):
            self._check(prefix, one_device=True)
        for prefix in grant.subscribe:
            self._check(prefix, one_device=False)
        known = grant.name in self.authority.roster().holders
        roster = self.authority.change(lambda old: old.with_holder(grant))
        self._note(grant.name, "grant changed" if known else "added")
        return roster

    def issue(self, name: str, out: Path, until_ns: int | None, host: str = "") -> KeyFile:
        """Make a key for a holder; `out` is the file that is carried away.

        The secret is in that file and nowhere else.

        Args:
            name: a holder of the roster.
            out: must not be there yet.
            until_ns: UTC; None for no end.
            host: address of the room as seen from the other machine, when it is not the one
                the broker listens on.

        Raises:
            AccessError: nobody of that name, or the file cannot be written; no key was made.
        """
        return self._new("issued", name, out, until_ns, host, lambda old: old)

    def rotate(
        self, name: str, out: Path, until_ns: int | None, grace_ns: int, host: str = ""
    ) -> KeyFile:
        """Make a holder's next key; the ones it has end after the grace period.

        Raises:
            AccessError: as `issue`, or it has no valid key to follow.
        """
        now_ns = machine.utc_ns()

        def edit(old: Roster) -> Roster:
            valid = old.valid(name, now_ns)
            if name in old.holders and not valid:
                raise AccessError(f"{name!r} has no valid key; `scot keys issue {name}` makes one")
            return old.ending(valid, now_ns + grace_ns)

        return self._new("rotated to", name, out, until_ns, host, edit)

    def revoke(self, name: str, start: str = "", reason: str = "") -> list[str]:
        """Revoke a holder's keys, or those whose fingerprint starts so; return them.

        Raises:
            AccessError: there is none that is valid.
        """
        now_ns = machine.utc_ns()
        gone: list[str] = []

        def edit(old: Roster) -> Roster:
            if name not in old.holders:
                raise AccessError(self._unknown(name, old))
            valid = old.valid(name, now_ns)
            gone.extend(public for public in valid if fingerprint(public).startswith(start))
            if not gone:
                which = f" that starts with {start!r}" if start else ""
                raise AccessError(
                    f"{name!r} has no valid key{which}; `scot keys list` shows what there is"
                )
            return old.revoking(gone, now_ns, reason)

        self.authority.change(edit)
        for public in gone:
            self._note(
                name, f"revoked key {fingerprint(public)}" + (f": {reason}" if reason else "")
            )
        return gone

    def rotate_broker(self, since_ns: int) -> Endpoints:
        """Plan the broker's next key; the first start of the room from `since_ns` on takes it.

        Files that are issued from now on hold both keys; older ones must be issued again.
        """
        broker_pair(self.state, machine.utc_ns())
        pair = KeyPair.new()
        path = self.state / "keys" / f"{BROKER}.next.json"
        planned = NextPair(pair=pair, since_ns=since_ns)
        write_private(path, msgspec.json.encode(planned), durable=True)
        endpoints = msgspec.structs.replace(self.endpoints(), next_server=pair.public)
        write_private(self.state / ENDPOINTS, msgspec.json.encode(endpoints))
        self._note(BROKER, f"rotation planned to key {fingerprint(pair.public)}")
        return endpoints

    def _new(
        self,
        done: str,
        name: str,
        out: Path,
        until_ns: int | None,
        host: str,
        edit: Callable[[Roster], Roster],
    ) -> KeyFile:
        endpoints = self.endpoints()
        reached = host or endpoints.host
        if reached in ("0.0.0.0", "::", "*"):  # noqa: S104 - it is refused
            raise AccessError(
                f"{reached} is no address to connect to; add --host with the room's address, "
                f"such as {socket.gethostname()}"
            )
        if out.exists():
            raise AccessError(f"{out} is there already; remove it, or name another with --out")
        pair = KeyPair.new()
        link = Link(
            endpoints=msgspec.structs.replace(endpoints, host=reached), name=name, pair=pair
        )
        key = Key(holder=name, since_ns=machine.utc_ns(), until_ns=until_ns)
        file = KeyFile(form=FORM, link=link, until_ns=until_ns)
        file.save(out)
        try:
            self.authority.change(lambda old: edit(old).with_key(pair.public, key))
        except AccessError:
            out.unlink()
            raise
        self._note(name, f"{done} key {fingerprint(pair.public)}")
        return file

    def _check(self, prefix: str, *, one_device: bool) -> None:
        inside = f"{self.workspace}/"
        if not prefix.startswith(inside):
            raise AccessError(f"{prefix!r} reaches outside the room; begin with {inside!r}")
        if one_device and prefix.count("/") < 2:
            raise AccessError(
                f"{prefix!r} is every device of the room, or the start of some; "
                f"name one: '{inside}DEVICE/'"
            )

    def _unknown(self, name: str, roster: Roster) -> str:
        known = ", ".join(sorted(roster.holders)) or "nobody"
        return f"{name!r} is not on the roster; it holds: {known}"

    def _note(self, name: str, detail: str, **more: Any) -> None:
        row = self._audit.acted(
            "key", machine.utc_ns(), who={"id": self._by}, entity=name, detail=detail, **more
        )
        try:
            append(self.state / TRAIL, row)
        except OSError as error:
            log.warning("done, but not in the audit: %s", error)
