"""The recorder's side of the ledger: blocks of what is on the disk, and a checkpoint every 10 s.

It works in the writer's threads, never on the event loop, and it never stands in the recorder's
way: what cannot be signed now is kept and signed later, and `trouble` says why.
"""

from __future__ import annotations

import os
import threading
from hashlib import sha256
from pathlib import Path

from scot.errors import ScotError
from scot.note import Signer
from scot_replay.layout import MANIFEST, Manifest
from scot_replay.ledger import site
from scot_replay.ledger.entry import Begin, Block, End, Entry, Opening
from scot_replay.ledger.keys import ensure
from scot_replay.ledger.log import LEDGER, Log
from scot_replay.ledger.tally import Tally

EVERY_NS = 10_000_000_000


class Notary:
    """Signs what one recorder writes.

    Args:
        directory: of the recording; exists.
        manifest: of it.
        folder: of the key and of the site's log; by default this machine's.
        home: where the recording will lie when it has another name while it is made.

    Attributes:
        tally: for the open journal to tell what it wrote.
        trouble: why the last checkpoint was not written; empty when it was.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        folder: Path | None = None,
        home: Path | None = None,
    ) -> None:
        self.tally = Tally()
        self.trouble = ""
        self._directory = directory
        self._home = home or directory
        self._manifest = manifest
        self._folder = folder
        self._signer: Signer | None = None
        self._log = Log(directory / LEDGER)
        self._waiting: list[tuple[Block, Opening]] = []
        self._due_ns = 0
        self._lock = threading.Lock()

    def freeze(self, now_ns: int, *, at_once: bool = False) -> None:
        """End the blocks when a checkpoint is due; within the writer's own lock."""
        if at_once or now_ns >= self._due_ns:
            self._due_ns = now_ns + EVERY_NS
            self.tally.freeze()

    def take(self, part: int, end: int) -> None:
        """Take the blocks before byte `end` of journal `part`; within the writer's own lock."""
        self._waiting += self.tally.take(part, end)

    def sign(self) -> None:
        """Append the blocks that were taken and a checkpoint; trouble is noted, not raised."""
        with self._lock:
            blocks = self._waiting[:]
            if not blocks:
                return
            try:
                self._append(blocks)
            except (OSError, ScotError) as error:
                self.trouble = f"no checkpoint in {self._directory / LEDGER}: {error}"
                return
            self.trouble = ""
            del self._waiting[: len(blocks)]

    def finish(self) -> None:
        """Say that the recording ended, and where, in its ledger and in the site's log.

        Trouble is noted, not raised.
        """
        with self._lock:
            signer = self._signer
            if signer is None or not self._log.tree.size:
                return
            try:
                digest = sha256((self._directory / MANIFEST).read_bytes()).digest()
                with self._log.turn():
                    self._log.append([(End(digest), None)], signer)
                site.head(self._home, self._log, signer, self._folder)
            except (OSError, ScotError) as error:
                self.trouble = f"the end is not in {self._directory / LEDGER}: {error}"

    def _append(self, blocks: list[tuple[Block, Opening]]) -> None:
        signer = self._signer = self._signer or ensure(where=self._folder)
        with self._log.turn():
            first: list[tuple[Entry, Opening | None]] = []
            if not self._log.tree.size:
                first.append((self._begin(signer), None))
            self._log.append([*first, *blocks], signer)

    def _begin(self, signer: Signer) -> Begin:
        name, session = self._home.name, self._manifest.session or os.urandom(16).hex()
        origin = f"{signer.name}/{name}/{session[:12]}"
        known = site.began(self._home, origin, signer, self._folder)
        return Begin(
            recording=name,
            origin=origin,
            session=session,
            key=signer.verifier.text(),
            site=known.origin,
            site_size=known.size,
            site_root=known.root,
        )
