"""Layouts over HTTP, and told to every page of the room: who may arrange, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from scot.clock import machine
from scot_dashboard.door import STAFF_AUTHOR, Person
from scot_dashboard.gateway import Gateway
from scot_dashboard.layouts import ConflictError, Name, RestoreBody, SaveBody, Version
from scot_dashboard.roles import Act, may_act

InPath = Annotated[Name, Path()]
BY_COMMAND = "command line"


class Arranging:
    """The routes under ``/layouts``; for staff only, reading too: they name the room's devices.

    Args:
        gateway: whose layouts.
        may: returns who asks, None for the command line; raises `RefusedError`.
    """

    def __init__(self, gateway: Gateway, may: Callable[[Request, Act], Person | None]) -> None:
        self.gateway = gateway
        self._may = may

    def add_to(self, app: FastAPI) -> None:
        """Add routes to an application."""
        app.add_api_route("/layouts", self.all, methods=["GET"])
        app.add_api_route("/layouts/{name}", self.get, methods=["GET"])
        app.add_api_route("/layouts/{name}/versions", self.versions, methods=["GET"])
        app.add_api_route("/layouts/{name}", self.save, methods=["PUT"], response_model=None)
        app.add_api_route(
            "/layouts/{name}/restore", self.restore, methods=["POST"], response_model=None
        )
        app.add_api_route("/layouts/{name}", self.delete, methods=["DELETE"], status_code=204)
        app.add_exception_handler(ConflictError, self._conflict)

    async def all(self, request: Request) -> dict[str, Any]:
        """List the newest version of each layout."""
        self._may(request, Act.ARRANGE)
        return {"layouts": self.gateway.layouts.newest()}

    async def get(
        self, request: Request, name: InPath, version: Annotated[int, Query(ge=0)] = 0
    ) -> dict[str, Any]:
        """Return one layout."""
        self._may(request, Act.ARRANGE)
        return self.gateway.layouts.get(name, version).told(name)

    async def versions(self, request: Request, name: InPath) -> dict[str, Any]:
        """List who saved a layout when."""
        self._may(request, Act.ARRANGE)
        return {"versions": self.gateway.layouts.versions(name)}

    async def save(self, request: Request, name: InPath, body: SaveBody) -> JSONResponse:
        """Keep a new version."""
        by = self._may(request, Act.ARRANGE)
        made = self.gateway.layouts.save(
            name, body.base, body.layout, _author(by), self.gateway.connection.clock.now()
        )
        return self._made(request, by, name, made)

    async def restore(self, request: Request, name: InPath, body: RestoreBody) -> JSONResponse:
        """Bring an old version back, as a new one."""
        by = self._may(request, Act.ARRANGE)
        made = self.gateway.layouts.restore(
            name, body.base, body.version, _author(by), self.gateway.connection.clock.now()
        )
        return self._made(request, by, name, made)

    async def delete(
        self, request: Request, name: InPath, base: Annotated[int, Query(ge=1)]
    ) -> Response:
        """Delete a layout with all its versions."""
        by = self._may(request, Act.ARRANGE)
        self.gateway.layouts.delete(name, base)
        self._tell(request, by, "delete layout", name)
        return Response(status_code=204)

    def _made(self, request: Request, by: Person | None, name: str, made: Version) -> JSONResponse:
        self._tell(request, by, "save layout", f"{name}@{made.version}")
        return JSONResponse(made.told(name), 201)

    def _tell(self, request: Request, by: Person | None, what: str, which: str) -> None:
        address = request.client.host if request.client else ""
        self.gateway.audit.acted(by, what, which, address, machine.utc_ns())
        for viewer in self.gateway.viewers.values():
            if viewer.admitted and may_act(viewer.person.role, Act.ARRANGE):
                viewer.say("layouts", self.gateway.layouts.newest(), replaces="layouts")

    async def _conflict(self, _request: Request, error: Exception) -> Response:
        current = error.current if isinstance(error, ConflictError) else None
        told = current.model_dump() if current else None
        return JSONResponse({"error": str(error), "current": told}, 409)


def _author(by: Person | None) -> str:
    """Return who a version is by."""
    return BY_COMMAND if by is None else by.author or STAFF_AUTHOR
