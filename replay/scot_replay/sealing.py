"""Seals complete journals beside the recorder, one after another, each in a process of its own.

What is not sealed when the recorder ends is left to one process that goes on by itself; what a
crash left is sealed by the next recorder that starts in the same parent (`seal_left`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from scot.clock import machine
from scot.errors import RecordingError
from scot_replay.chunks import ChunkCache
from scot_replay.layout import hold, list_parts, segment_path
from scot_replay.parts import JournalPart, Part
from scot_replay.segment import SegmentPart

log = logging.getLogger(__name__)

LOOK_NS = 50_000_000
NEWEST = 200


class Sealing:
    """The journals of one recording on their way to segments.

    Args:
        directory: of the recording.
        cache: for reading segments.

    Attributes:
        parts: journals that wait, and segments made from those that do not any more.
        trouble: why the last one could not be sealed, empty when it could; its journal stays.
        paused: journals only wait.
    """

    def __init__(self, directory: Path, cache: ChunkCache) -> None:
        self.parts: tuple[Part, ...] = ()
        self.trouble = ""
        self.paused = False
        self._directory = directory
        self._cache = cache
        self._waiting: list[JournalPart] = []
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many journals are not sealed yet."""
        return len(self._waiting)

    def add(self, journal: JournalPart) -> None:
        """Take a complete journal; it stays readable all the time."""
        self.parts = (*self.parts, journal)
        self._waiting.append(journal)
        self._go()

    def resume(self) -> None:
        """Seal what waited while it was paused."""
        self.paused = False
        self._go()

    def forget(self, parts: Sequence[Part]) -> None:
        """Leave journals out that are not kept."""
        self.parts = tuple(part for part in self.parts if part not in parts)
        self._waiting = [journal for journal in self._waiting if journal not in parts]

    def _go(self) -> None:
        if not self.paused and self._waiting and (self._running is None or self._running.done()):
            self._running = asyncio.create_task(self._run())

    async def finish(self, limit_s: float | None = None) -> None:
        """Wait until all are sealed; what takes longer than `limit_s` goes on by itself."""
        if self._running is None:
            return
        _, late = await asyncio.wait({self._running}, timeout=limit_s)
        if late:
            numbers = [journal.number for journal in self._waiting]
            _start(self._directory, numbers, stderr=subprocess.DEVNULL)

    async def _run(self) -> None:
        while self._waiting:
            journal = self._waiting[0]
            self.trouble = await self._seal(journal.number)
            if self.trouble:
                log.error("%s", self.trouble)
            else:
                await self._replace(journal)
            self._waiting.pop(0)

    async def _seal(self, number: int) -> str:
        """Return why a journal could not be sealed; empty when it was."""
        why = await _seal(self._directory, [number])
        return f"journal {number} stays unsealed: {why}" if why else ""

    async def _replace(self, journal: JournalPart) -> None:
        path = segment_path(self._directory, journal.number)
        try:
            part: Part = await asyncio.to_thread(SegmentPart, path, journal.number, self._cache)
        except RecordingError as error:  # the journal's file is still open: History goes on
            self.trouble = str(error)
            return
        self.parts = tuple(part if one is journal else one for one in self.parts)


async def seal_left(parent: Path) -> AsyncIterator[str]:
    """Seal what earlier recordings below `parent` left unsealed, one after another.

    Yields:
        A line about each that could not be sealed; one that is still being made is left alone.
    """
    for path, held, unsealed in _left(parent):
        try:
            if why := await _seal(path, unsealed):
                yield f"{path} stays unsealed: {why}"
        finally:
            os.close(held)


def _left(parent: Path) -> Iterator[tuple[Path, int, list[int]]]:
    """Yield recordings that nobody makes, what holds each, and their unsealed journals."""
    found = sorted((p for p in parent.iterdir() if p.is_dir()), reverse=True)
    for path in found[:NEWEST]:
        try:
            unsealed = list_parts(path).unsealed
            held = hold(path) if unsealed else None
        except (RecordingError, OSError):
            continue  # another folder, or one that we may not read
        if held is not None:
            yield path, held, unsealed


async def _seal(directory: Path, numbers: Sequence[int]) -> str:
    """Return why journals could not be sealed; empty when they were."""
    process = await asyncio.to_thread(_start, directory, numbers)
    while process.poll() is None:
        await machine.until(machine.monotonic_ns() + LOOK_NS)
    said = "" if process.stderr is None else process.stderr.read()
    if process.stderr is not None:
        process.stderr.close()
    if process.returncode == 0:
        return ""
    lines = said.strip().splitlines()
    return lines[-1] if lines else f"the sealer ended with code {process.returncode}"


def _start(
    directory: Path, numbers: Sequence[int], stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start the sealer; it ends its work even when the recorder is gone."""
    return subprocess.Popen(
        [sys.executable, "-m", "scot_replay.sealer", str(directory), *map(str, numbers)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
        errors="replace",
        start_new_session=True,
    )
