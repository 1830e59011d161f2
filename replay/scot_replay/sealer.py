"""The process that seals: ``python -m scot_replay.sealer DIRECTORY NUMBER...``.

One journal after another, each by one process only whoever started it: the recorder, one that came
after a crash, or ``scot recover``. A journal that has rotted in the middle keeps its bytes beside
its segment, as ``journal-N.scotj.damaged``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scot.errors import RecordingError, ScotError
from scot_replay.disk import OpenFile
from scot_replay.journal import JournalReader
from scot_replay.layout import journal_path, segment_path
from scot_replay.seal import seal


def seal_once(directory: Path, number: int) -> None:
    """Seal journal `number`, unless somebody has done it meanwhile.

    Raises:
        RecordingError: see `scot_replay.seal.seal`; the journal is then still there.
    """
    path = journal_path(directory, number)
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists():
                return  # another process sealed it while we waited
            _keep_damaged(path)
            seal(directory, number)
    except FileNotFoundError:
        if not segment_path(directory, number).exists():
            raise RecordingError(f"{path}: there is no such journal") from None
    except OSError as error:
        raise RecordingError(f"{path} cannot be sealed: {error.strerror}") from None


def _keep_damaged(path: Path) -> None:
    file = OpenFile.reading(path)
    reader = JournalReader(file.view(), path.name)
    for _ in reader.records():
        pass
    if reader.damaged:
        with contextlib.suppress(FileExistsError):
            path.with_name(f"{path.name}.damaged").hardlink_to(path)


def main(arguments: Sequence[str]) -> int:
    """Seal journals; returns 0, or 1 with a line on stderr for each that stays."""
    directory = Path(arguments[0])
    failed = 0
    with contextlib.suppress(OSError):
        os.nice(10)
    for number in map(int, arguments[1:]):
        try:
            seal_once(directory, number)
        except ScotError as error:
            failed = 1
            sys.stderr.write(f"{error}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
