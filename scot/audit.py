"""Who tried what, when, and what came of it: rows of one shape in one file of the room.

The fields are those of IHE BALP's AuditEvent (agent, action, outcome, source, entity), so that an
export to FHIR is a renaming. A row never holds a secret, a value of a sample or a person's name.
Refusals are bounded: the first of a kind is written at once, what follows is counted and written
as one row a second, and a flood of kinds shares one allowance.
"""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

MAX_TEXT = 200
MAX_KINDS = 1_000
EVERY_NS = 1_000_000_000
BURST = 100
MAX_BYTES = 16 << 20
KEEP = 9
OTHERS = "others"


class Outcome(StrEnum):
    """What came of it."""

    SUCCESS = "success"
    FAILURE = "failure"


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"came": "from"}):
    """One line of the audit.

    Attributes:
        recorded: UTC, ISO 8601 with milliseconds; of the last try when `count` is more than one.
        what: the verb: enter, handshake, publish, subscribe, announce, history, command, roster,
            key, view, pace, play …
        outcome: success or failure.
        who: the agent: ``id`` (holder's name, or a person's role label) and ``key``
            (fingerprint of its public key), as far as they are known.
        came: network address it came from; ``from`` in the file.
        workspace: the room.
        source: which part of the room saw it: broker, keys, gateway.
        entity: what it was done to: an address, a prefix, a key's name.
        detail: why, in words.
        count: how many tries this row stands for.
    """

    recorded: str
    what: str
    outcome: Outcome
    who: dict[str, str] | None = None
    came: str = ""
    workspace: str = ""
    source: str = ""
    entity: str = ""
    detail: str = ""
    count: int = 1


class _Tally:
    __slots__ = ("count", "due_ns", "last")

    def __init__(self, due_ns: int) -> None:
        self.due_ns = due_ns
        self.count = 0
        self.last: dict[str, Any] = {}


class Audit:
    """Decides which rows are written. Sans-IO: all times are UTC, ns.

    Args:
        workspace: the room.
        source: which part of it.
    """

    def __init__(self, workspace: str, source: str) -> None:
        self.workspace = workspace
        self.source = source
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self._allowance = float(BURST)
        self._filled_ns = 0

    def acted(self, what: str, now_ns: int, count: int = 1, **fields: Any) -> list[Row]:
        """Return the row of something that was done; these are never held back."""
        return [self._row(what, Outcome.SUCCESS, now_ns, fields, count)]

    def failed(self, what: str, now_ns: int, **fields: Any) -> list[Row]:
        """Return the row of a fault of the room's own; these are never held back either."""
        return [self._row(what, Outcome.FAILURE, now_ns, fields)]

    def refused(self, what: str, now_ns: int, count: int = 1, **fields: Any) -> list[Row]:
        """Return the rows to write for a refused try; none while it is only counted.

        Args:
            what: the verb.
            now_ns: UTC.
            count: how many tries at once.
            fields: `who`, `came`, `entity`, `detail` of a `Row`.
        """
        who = fields.get("who") or {}
        key = (what, who.get("id") or who.get("key") or fields.get("came", ""))
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= MAX_KINDS:
                key = (what[:MAX_TEXT], OTHERS)
            tally = self._tallies.setdefault(key, _Tally(now_ns))
        tally.count += count
        tally.last = fields
        return self._write(key, tally, now_ns)

    def tick(self, now_ns: int) -> list[Row]:
        """Return the rows of what was only counted and is due, and forget what is over."""
        rows: list[Row] = []
        for key, tally in list(self._tallies.items()):
            if tally.count:
                rows += self._write(key, tally, now_ns)
            elif not 0 <= tally.due_ns - now_ns <= EVERY_NS:  # a second passed, or the clock leapt
                del self._tallies[key]
        return rows

    def _write(self, key: tuple[str, str], tally: _Tally, now_ns: int) -> list[Row]:
        if 0 < tally.due_ns - now_ns <= EVERY_NS or not self._take(now_ns):
            return []
        row = self._row(key[0], Outcome.FAILURE, now_ns, tally.last, tally.count)
        tally.count, tally.last, tally.due_ns = 0, {}, now_ns + EVERY_NS
        return [row]

    def _take(self, now_ns: int) -> bool:
        passed_ns = max(0, now_ns - self._filled_ns)
        self._allowance = min(float(BURST), self._allowance + passed_ns / EVERY_NS)
        self._filled_ns = now_ns
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True

    def _row(
        self, what: str, outcome: Outcome, now_ns: int, fields: dict[str, Any], count: int = 1
    ) -> Row:
        cut: dict[str, Any] = {
            name: value[:MAX_TEXT] if isinstance(value, str) else value
            for name, value in fields.items()
        }
        moment = datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        return Row(
            recorded=moment,
            what=what,
            outcome=outcome,
            workspace=self.workspace,
            source=self.source,
            count=count,
            **cut,
        )


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Row)


def append(path: Path, rows: list[Row]) -> None:
    """Append rows to the audit, readable by its owner only; the oldest tenth goes when it is full.

    Raises:
        OSError: the disk refuses.
    """
    append_lines(path, b"".join(_encode(row) + b"\n" for row in rows))


def append_lines(path: Path, lines: bytes) -> None:
    """Append whole lines, as `append` does."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # several processes of a room write
        file.write(lines)
        file.flush()
        full = os.fstat(file.fileno()).st_size > MAX_BYTES and _is_at(path, file.fileno())
        if full:
            for number in range(KEEP - 1, 0, -1):
                older = path.with_name(f"{path.name}.{number}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{number + 1}"))
            path.replace(path.with_name(f"{path.name}.1"))


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at `path`: another process may have moved it."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def read(path: Path) -> list[Row]:
    """Return the rows of an audit file; lines that are no rows (cut by a crash) are left out."""
    rows: list[Row] = []
    for line in path.read_bytes().splitlines():
        try:
            rows.append(_decode.decode(line))
        except msgspec.DecodeError:
            continue
    return rows
