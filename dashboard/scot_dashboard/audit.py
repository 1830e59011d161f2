"""Who looked, who was refused, who acted: one JSON line each, readable by the owner only.

The fields follow IHE BALP's AuditEvent (who, what, outcome, where from), so that a later export to
FHIR is a renaming. Rows hold role labels and never a person's name; no secret is ever written.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from scot.audit import append_lines
from scot_dashboard.door import Person
from scot_dashboard.limits import Limiter

MAX_DETAIL = 200


class Audit:
    """Appends to ``audit.jsonl``.

    Args:
        path: made 0600 when missing.
        workspace: the room.
    """

    def __init__(self, path: Path, workspace: str) -> None:
        self.path = path
        self.workspace = workspace
        self._refusals = Limiter(burst=100, every_ns=1_000_000_000)
        self._unwritten = 0

    def viewed(self, person: Person, address: str, now_ns: int) -> None:
        """Write that a view session has begun."""
        self._write(now_ns, "view", "success", address, person)

    def acted(self, person: Person | None, what: str, whom: str, address: str, now_ns: int) -> None:
        """Write that somebody invited, admitted, refused or revoked somebody.

        Args:
            person: who did; None for the command line, which holds the wall's secret.
            what: the act.
            whom: id of the other.
            address: where it came from.
            now_ns: UTC.
        """
        self._write(now_ns, what, "success", address, person, entity=whom)

    def refused(
        self, what: str, status: int, detail: str, address: str, now_ns: int, who: Person | None
    ) -> None:
        """Write a refused try; a flood of them is counted instead."""
        if self._refusals.take("all", now_ns):
            self._unwritten += 1
            return
        unwritten, self._unwritten = self._unwritten, 0
        more = {"status": status, "detail": detail[:MAX_DETAIL], "unwritten_before": unwritten}
        self._write(now_ns, what, "failure", address, who, **more)

    def _write(
        self,
        now_ns: int,
        what: str,
        outcome: str,
        address: str,
        person: Person | None,
        **more: Any,
    ) -> None:
        agent = None
        if person is not None:
            agent = {"id": person.id, "role": person.role.value, "author": person.author}
        row = {
            "recorded": datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(
                timespec="milliseconds"
            ),
            "what": what,
            "outcome": outcome,
            "who": agent,
            "from": address,
            "workspace": self.workspace,
            "source": "gateway",
            **more,
        }
        append_lines(self.path, msgspec.json.encode(row) + b"\n")
