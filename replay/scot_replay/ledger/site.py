"""The site's log: a tree over the heads of all recordings that were made with one key.

``site.scotl`` beside the key. A recording stands in it when it begins, when it ends, and when the
next one begins if it never ended; so one that is deleted, or cut, is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scot.errors import RecordingError
from scot.note import Signer
from scot_replay.ledger.checkpoint import Checkpoint
from scot_replay.ledger.entry import Entry, Head, Opening
from scot_replay.ledger.keys import folder as own_folder
from scot_replay.ledger.log import LEDGER, Item, Log, check_magic, lines, opened

SITE = "site.scotl"


def began(directory: Path, origin: str, signer: Signer, folder: Path | None = None) -> Checkpoint:
    """Enter a recording that begins, and the heads of those before it that did not end.

    Returns:
        The head of the site's log, with it.

    Raises:
        OSError, RecordingError: the log cannot be used.
    """
    log = _log(signer, folder)
    with log.turn():
        new: list[tuple[Entry, Opening | None]] = [
            (head, None) for head in _unsaid(log.path) if head.origin != origin
        ]
        here = Head(str(directory.resolve()), origin, 0, b"")
        return log.append([*new, (here, None)], signer)


def head(directory: Path, ledger: Log, signer: Signer, folder: Path | None = None) -> Checkpoint:
    """Enter how far a recording is.

    Raises:
        OSError, RecordingError: the log cannot be used.
    """
    log = _log(signer, folder)
    entry = Head(str(directory.resolve()), ledger.origin, ledger.tree.size, ledger.tree.root())
    with log.turn():
        return log.append([(entry, None)], signer)


def heads(path: Path) -> list[Head]:
    """Return what a site's log says, in order; nothing without one.

    Raises:
        RecordingError: the file is no log.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
    check_magic(data, path)
    found = [opened(line).entry for line in lines(data) if line.kind == Item.ENTRY]
    return [entry for entry in found if isinstance(entry, Head)]


def _log(signer: Signer, folder: Path | None) -> Log:
    return Log((folder or own_folder()) / SITE, f"{signer.name}/recordings")


def _unsaid(path: Path) -> Iterator[Head]:
    """Yield the heads of recordings that the site's log only knows as begun."""
    said: dict[str, Head] = {entry.origin: entry for entry in heads(path)}
    for origin, last in said.items():
        ledger = Path(last.directory) / LEDGER
        if last.size or not ledger.exists():  # it ended, or is gone: who verifies will say so
            continue
        log = Log(ledger)
        try:
            with log.turn():
                pass
        except (OSError, RecordingError):  # one that is broken keeps no other from being signed
            continue
        if log.origin == origin:
            yield Head(last.directory, origin, log.tree.size, log.tree.root())
