"""The audit of a process that must not wait for the disk: a thread writes its rows."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

from scot.audit import Row, append

log = logging.getLogger(__name__)

TRAIL = "audit.jsonl"  # in the workspace's folder
WAITING = 1_000
CLOSE_S = 2.0


class Trail:
    """Appends rows to a file from a thread of its own.

    Args:
        path: the room's ``audit.jsonl``; None writes nothing (tests).

    Attributes:
        unwritten: rows that were given up, because the disk refused or was too slow.
    """

    def __init__(self, path: Path | None) -> None:
        self.unwritten = 0
        self._path = path
        self._waiting: queue.Queue[list[Row] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
        if path is not None:
            self._thread.start()

    def put(self, rows: list[Row]) -> None:
        """Have rows written; never waits."""
        if not rows or self._path is None:
            return
        try:
            self._waiting.put_nowait(rows)
        except queue.Full:
            self.unwritten += len(rows)

    def close(self) -> None:
        """Write what is waiting, for at most two seconds."""
        if self._thread.is_alive():
            try:
                self._waiting.put(None, timeout=CLOSE_S)
            except queue.Full:
                return
            self._thread.join(CLOSE_S)

    def _write(self) -> None:
        if self._path is None:
            return
        while (rows := self._waiting.get()) is not None:
            try:
                append(self._path, rows)
            except OSError as error:
                self.unwritten += len(rows)
                log.warning("%d rows of the audit are lost: %s", len(rows), error)
