"""The key by which this machine signs: checkpoints where a room is recorded, or as a witness.

Two files beside the rooms' state folders: ``evidence.key``, which only its owner can read, and
``evidence.pub``, which is what a verifier needs.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from scot.access import read_private, state_folder, write_private
from scot.errors import AccessError
from scot.note import Signer, Verifier

SECRET = "evidence.key"  # noqa: S105 - the name of a file
PUBLIC = "evidence.pub"


def folder() -> Path:
    """Return where the key lies (``SCOT_STATE`` moves it)."""
    return state_folder("x").parent


def ensure(name: str = "", where: Path | None = None) -> Signer:
    """Return this machine's key; made when there is none.

    Args:
        name: of the signer, as checkpoints bear it; by default ``scot/`` and the machine's name.
        where: folder of the files.

    Raises:
        AccessError: the file can be read by others, or is none; or a key of another name is there.
    """
    base = folder() if where is None else where
    path = base / SECRET
    try:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname())
            signer = Signer.new(name or f"scot/{host}")
            write_private(path, signer.text().encode() + b"\n", durable=True)
        signer = Signer.parse(read_private(path).decode("utf-8", "replace"))
        public = base / PUBLIC
        if not public.exists():
            public.write_text(signer.verifier.text() + "\n")
    except OSError as error:
        raise AccessError(f"{path}: cannot be made ({error.strerror})") from None
    if name and signer.name != name:
        raise AccessError(f"{path} is the key of {signer.name}, not of {name}; move it away first")
    return signer


def find(where: Path | None = None) -> Signer | None:
    """Return this machine's key; None when it has none that can be used."""
    try:
        return Signer.parse(read_private((where or folder()) / SECRET).decode("utf-8", "replace"))
    except AccessError:
        return None


def trusted(given: str) -> Verifier:
    """Return the key that somebody gave: its text, or a file that holds it.

    Raises:
        AccessError: it is neither.
    """
    path = Path(given)
    if "+" not in given or path.exists():
        try:
            given = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(
                f"{path}: no public key can be read ({error}); give the file {PUBLIC} or its text"
            ) from None
    return Verifier.parse(given)


def own_key(where: Path | None = None) -> Verifier | None:
    """Return the public key that this machine signs with; None without one."""
    try:
        return Verifier.parse(((where or folder()) / PUBLIC).read_text())
    except (OSError, AccessError, UnicodeDecodeError):
        return None
