"""The authority of a workspace: it signs the roster of keys that outlive a start of the room.

In the state folder: ``authority.key`` (the Ed25519 secret, which may be taken away and given only
when it is needed), ``authority.pub`` (whose signature the broker believes), ``roster.note`` (the
signed roster) and ``roster.lock`` (one change at a time).
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scot.access import Roster, read_private, write_private
from scot.errors import AccessError
from scot.note import Signer, Verifier

SECRET = "authority.key"  # noqa: S105 - the name of a file
PUBLIC = "authority.pub"
ROSTER = "roster.note"


class Authority:
    """Reads and changes a workspace's roster.

    Args:
        state: the workspace's folder.
        secret: where the signing key is, when it is not in `state`.
    """

    def __init__(self, state: Path, secret: Path | None = None) -> None:
        self.state = state
        self.secret = secret or state / SECRET
        self.path = state / ROSTER

    @classmethod
    def ensure(cls, state: Path, workspace: str) -> Authority:
        """Return the workspace's authority; made, with an empty roster, when there is none."""
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = cls(state)
        with authority._locked():
            if not (state / PUBLIC).exists():
                signer = Signer.new(f"scot/{workspace}")
                write_private(state / SECRET, signer.text().encode() + b"\n", durable=True)
                authority._write(Roster(workspace=workspace, serial=1), signer)
                write_private(state / PUBLIC, signer.verifier.text().encode() + b"\n", durable=True)
        return authority

    @property
    def verifier(self) -> Verifier:
        """Whose signature is believed.

        Raises:
            AccessError: there is none, or its file is not private.
        """
        if not (self.state / PUBLIC).exists():
            raise AccessError(
                f"{self.state} has no authority yet; `scot keys init` makes one, and so does the "
                "room's first start"
            )
        return Verifier.parse(read_private(self.state / PUBLIC).decode("utf-8", "replace"))

    def roster(self) -> Roster:
        """Return the roster, its signature checked.

        Raises:
            AccessError: it is missing, readable by others, unsigned, changed or malformed.
        """
        return read_roster(self.path, self.verifier)

    def change(self, edit: Callable[[Roster], Roster]) -> Roster:
        """Change the roster by `edit`, sign it and put it in place; return the new one.

        Raises:
            AccessError: the roster or the secret cannot be used; nothing was changed.
        """
        signer = self.signer()
        with self._locked():
            roster = edit(self.roster())
            self._write(roster, signer)
        return roster

    def signer(self) -> Signer:
        """Return the signing key.

        Raises:
            AccessError: it is not there, not private, or not the one of this workspace.
        """
        if not self.secret.exists():
            raise AccessError(
                f"{self.secret}: the authority's secret is not there; give it with --authority FILE"
            )
        signer = Signer.parse(read_private(self.secret).decode("utf-8", "replace"))
        if signer.verifier != self.verifier:
            raise AccessError(
                f"{self.secret}: is not the secret of {self.state / PUBLIC}; another room's?"
            )
        return signer

    def _write(self, roster: Roster, signer: Signer) -> None:
        write_private(self.path, signer.sign(roster.text()), durable=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.state / "roster.lock").open("a") as file:
            (self.state / "roster.lock").chmod(0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def read_roster(path: Path, verifier: Verifier) -> Roster:
    """Return a signed roster.

    Raises:
        AccessError: it is missing, readable by others, unsigned, changed or malformed.
    """
    if not path.exists():
        raise AccessError(
            f"{path}: is gone; put it back, or make a new one with `scot keys init --anew` (every "
            "key issued before is then worthless)"
        )
    note = read_private(path)
    try:
        text = verifier.open(note)
    except AccessError as error:
        raise AccessError(
            f"{path}: {error}; put the signed one back, or make a new one with `scot keys init "
            "--anew` (every key issued before is then worthless)"
        ) from None
    return Roster.parse(text, path)


class Posted:
    """The roster where it lies: looked at often, read only when it changed.

    Args:
        path: of the roster.
        verifier: whose signature is believed, for as long as this runs; None believes nobody.
        workspace: which room's it must be.

    Attributes:
        fault: why the newest file is not in force; empty when it is.
    """

    def __init__(self, path: Path, verifier: Verifier | None, workspace: str) -> None:
        self.fault = ""
        self._path = path
        self._verifier = verifier
        self._workspace = workspace
        self._serial = 0
        self._seen: tuple[int, ...] | None = None

    @classmethod
    def at(cls, state: Path, workspace: str) -> Posted:
        """Return the roster in a workspace's folder, believing its authority as it is now."""
        try:
            return cls(state / ROSTER, Authority(state).verifier, workspace)
        except AccessError as error:
            posted = cls(state / ROSTER, None, workspace)
            posted.fault = str(error)
            return posted

    def look(self) -> Roster | None:
        """Return the roster if it changed and can be believed; else None, and `fault` says why."""
        if self._verifier is None:
            return None
        try:
            about = self._path.stat()
        except OSError as error:
            self._seen = None
            self.fault = f"{self._path}: cannot be read ({error.strerror}); put it back"
            return None
        seen = (about.st_ino, about.st_mtime_ns, about.st_size, about.st_mode, about.st_uid)
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            roster = self._checked(self._verifier)
        except AccessError as error:
            self.fault = str(error)
            return None
        self.fault = ""
        self._serial = roster.serial
        return roster

    def _checked(self, verifier: Verifier) -> Roster:
        roster = read_roster(self._path, verifier)
        if roster.workspace != self._workspace:
            raise AccessError(
                f"{self._path}: is the roster of {roster.workspace!r}, "
                f"not of {self._workspace!r}; put this room's back"
            )
        if roster.serial < self._serial:
            raise AccessError(
                f"{self._path}: serial {roster.serial} is older than {self._serial}, which is in "
                "force; a key revoked since would come back: put the newer one back, or start "
                "the room anew"
            )
        return roster
