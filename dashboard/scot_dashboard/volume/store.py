"""The room's own volumes at the gateway: converted once, given to whoever may see them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

from scot.clock import machine
from scot.config import RoomFile, VolumeTable
from scot_dashboard.door import Person, RefusedError, State
from scot_dashboard.gateway import Gateway
from scot_dashboard.rest import Rest
from scot_dashboard.roles import Act, identified, may_act

log = logging.getLogger(__name__)

FOLDER = "volumes"
_NAME = re.compile(r"(room\d{1,3})\.(json|bin)")


class Volumes:
    """Volumes that the room file names by their source.

    Args:
        room: whose ``[[volume]]`` tables.
        state: the room's 0700 folder; converted volumes lie in it until the room starts anew.

    Attributes:
        problems: what could not be shown, and why, by stem.
    """

    def __init__(self, room: RoomFile, state: Path) -> None:
        self.folder = state / FOLDER
        self.tables = {stem: table for stem, table in room.volumes().items() if table.source}
        self.problems: dict[str, str] = {}
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
            problem = json.loads(told).get("error", "")
        except json.JSONDecodeError:
            problem = f"its conversion ended with code {process.returncode}; see the page's log"
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
        return FileResponse(self.volumes.folder / name, media_type=media)

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
