"""The room's own volumes at the gateway: converted once, given to whoever may see them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from scot.clock import machine
from scot.config import RoomFile, VolumeTable
from scot_dashboard.door import Person, RefusedError, State
from scot_dashboard.gateway import Gateway
from scot_dashboard.rest import Rest
from scot_dashboard.roles import Act, identified, may_act

log = logging.getLogger(__name__)

FOLDER = "volumes"
_NAME = re.compile(r"(room\d{1,3})(?:\.json|(?:_first)?\.bin)")
PIECE_BYTES: Final = 8_192
LATE_MS: Final = 400.0
"""A consultant whose video is later than this gets voxels at a quarter of their rate."""


class Volumes:
    """Volumes that the room file names by their source.

    Args:
        room: whose ``[[volume]]`` tables.
        state: the room's 0700 folder; converted volumes lie in it until the room starts anew.

    Attributes:
        problems: what could not be shown, and why, by stem.
        withheld: what consultants may not see though the room file lets them, and why, by stem.
    """

    def __init__(self, room: RoomFile, state: Path) -> None:
        self.folder = state / FOLDER
        self.tables = {stem: table for stem, table in room.volumes().items() if table.source}
        self.problems: dict[str, str] = {}
        self.withheld: dict[str, str] = {}
        self._work: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to convert; whoever asks for a volume waits for it."""
        for stem, table in self.tables.items():
            self._work[stem] = asyncio.create_task(self._convert(stem, table))

    async def close(self) -> None:
        """Stop converting."""
        for task in self._work.values():
            task.cancel()
        await asyncio.gather(*self._work.values(), return_exceptions=True)

    async def _convert(self, stem: str, table: VolumeTable) -> None:
        wish = {
            "source": str(table.source),
            "stem": str(self.folder / stem),
            "axes": table.axes,
            "modality": table.modality,
            "series": table.series,
            "frame_uid": table.frame_uid,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scot_dashboard.volume.convert", json.dumps(wish)),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            told, _ = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        try:
            answer = json.loads(told)
            problem = answer.get("error", "")
        except json.JSONDecodeError:
            problem = f"its conversion ended with code {process.returncode}; see the page's log"
            answer = {}
        doubt = answer.get("text_doubt", "")
        if doubt and table.remote and not table.text_checked:
            self.withheld[stem] = (
                f"{doubt}: it stays in the room until somebody has looked (text_checked = true)"
            )
            log.warning("volume of frame %s: %s", table.frame, self.withheld[stem])
        if problem:
            self.problems[stem] = problem
            log.warning("volume of frame %s: %s", table.frame, problem)

    async def ready(self, stem: str) -> None:
        """Wait until a volume is converted.

        Raises:
            RefusedError: 404 there is none, 409 it could not be converted.
        """
        if stem not in self._work:
            raise RefusedError(404, "this room holds no such volume")
        await asyncio.shield(self._work[stem])
        if stem in self.problems:
            raise RefusedError(409, self.problems[stem])


class VolumeRoutes:
    """``/volumes/…``: descriptions and voxels over HTTP, by role."""

    def __init__(self, volumes: Volumes, gateway: Gateway, rest: Rest) -> None:
        self.volumes = volumes
        self.gateway = gateway
        self.rest = rest

    def add_to(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route("/volumes/{name}", self.get, methods=["GET"])

    async def get(self, request: Request, name: str) -> Response:
        """Serve a file of a volume to whom its room lets see it."""
        address = request.client.host if request.client else ""
        person: Person | None = None
        try:
            person = self.rest.who(request, request.query_params.get("as", ""))
            found = _NAME.fullmatch(name)
            stem = found[1] if found else ""
            self._check(person, stem)
        except RefusedError as refused:
            self.gateway.counters["refused"] += 1
            self.gateway.audit.refused(
                "volume", refused.status, str(refused), address, machine.utc_ns(), person
            )
            raise
        await self.volumes.ready(stem)
        media = "application/json" if name.endswith(".json") else "application/octet-stream"
        if identified(person.role):
            return FileResponse(self.volumes.folder / name, media_type=media)
        if stem in self.volumes.withheld:
            raise RefusedError(403, "text may be burnt into the patient's images")
        if name.endswith(".json"):
            return FileResponse(self.volumes.folder / name, media_type=media)
        packed = self.volumes.folder / f"{name}.gz"
        headers = {"content-encoding": "gzip", "content-length": str(packed.stat().st_size)}
        return StreamingResponse(
            self._paced(packed, person, self.volumes.tables[stem].remote_kbit_s),
            media_type=media,
            headers=headers,
        )

    async def _paced(self, packed: Path, person: Person, kbit_s: int) -> AsyncIterator[bytes]:
        """Yield a file no faster than its share of the line, and slower while video is late."""
        piece_ns = PIECE_BYTES * 8 * 1_000_000 // kbit_s
        due_ns = machine.monotonic_ns()
        with packed.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
                if person.state is not State.ADMITTED:
                    return  # sent away: what is on its way ends with them
                late = self.gateway.consult.behind_ms(person) > LATE_MS
                due_ns = max(due_ns, machine.monotonic_ns()) + piece_ns * (4 if late else 1)
                await machine.until(due_ns)

    def _check(self, person: Person, stem: str) -> None:
        """Refuse whom neither role nor room file let see it.

        Raises:
            RefusedError: 403.
        """
        table = self.volumes.tables.get(stem)
        if not may_act(person.role, Act.VOLUME):
            raise RefusedError(403, "this role sees no volumes")
        if identified(person.role):
            return
        if person.state is not State.ADMITTED or (table is not None and not table.remote):
            raise RefusedError(403, "the patient's images stay in the room")
