"""Pages, files, entering and invitations over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from scot.clock import machine
from scot_dashboard.arranging import Arranging
from scot_dashboard.door import Person, RefusedError
from scot_dashboard.files import Asset, Files
from scot_dashboard.gateway import Gateway
from scot_dashboard.roles import Act, Role, may_act
from scot_dashboard.settings import Settings
from scot_dashboard.shield import page_policy

FOREVER = "public, max-age=31536000, immutable"
CHECK = "no-cache"
CHECK_SOON = "private, max-age=5"  # a worker takes what its page asked for before
BEARER = "Bearer "
WHAT = {
    Act.ARRANGE: "see and save layouts",
    Act.INSPECT: "open the engineer's page",
    Act.REPORT: "ask what a recording is worth",
}
FOR_ENGINEERS = frozenset({Act.INSPECT, Act.REPORT})


class EnterBody(BaseModel):
    """What a page sends from its URL's fragment."""

    model_config = ConfigDict(extra="forbid")
    secret: Annotated[str, Field(min_length=1, max_length=200)]


class InviteBody(BaseModel):
    """Whom to invite."""

    model_config = ConfigDict(extra="forbid")
    role: Role = Role.CONSULTANT
    hours: float = 4.0
    label: Annotated[str, Field(max_length=80, description="stays in the room")] = ""


class Rest:
    """HTTP side of a gateway.

    Args:
        gateway: whose door it is.
        settings, port: for URLs and cookies.
        files: of the page.
    """

    def __init__(self, gateway: Gateway, settings: Settings, port: int, files: Files) -> None:
        self.gateway = gateway
        self.settings = settings
        self.port = port
        self.files = files

    def add_to(self, app: FastAPI) -> None:
        """Add routes and error handlers to an application."""
        app.add_api_route("/", self.wall, methods=["GET"])
        app.add_api_route("/consult", self.consult_page, methods=["GET"])
        app.add_api_route("/engineer", self.engineer_page, methods=["GET"])
        app.add_api_route("/station", self.station_page, methods=["GET"])
        app.add_api_route("/static/{name:path}", self.static, methods=["GET"])
        app.add_api_route("/enter", self.enter, methods=["POST"])
        app.add_api_route("/invitations", self.invite, methods=["POST"], status_code=201)
        app.add_api_route("/invitations", self.people, methods=["GET"])
        app.add_api_route("/invitations/{name}", self.revoke, methods=["DELETE"], status_code=204)
        Arranging(self.gateway, self.may).add_to(app)
        app.add_exception_handler(RefusedError, self._refused)
        app.add_exception_handler(RequestValidationError, self._invalid)

    async def wall(self, request: Request) -> Response:
        """Serve the wall's page."""
        return self._page(request, "wall.html")

    async def consult_page(self, request: Request) -> Response:
        """Serve the consultant's page."""
        return self._page(request, "consult.html")

    async def engineer_page(self, request: Request) -> Response:
        """Serve the engineer's page to who may have it; to others only the door."""
        if not self._sessions(request):
            return self._page(request, "door.html", 401)
        try:
            self.may(request, Act.INSPECT)
        except RefusedError as refused:
            if refused.status == 401:  # a session that is over: the link may open another
                return self._page(request, "door.html", 401)
            raise
        return self._page(request, "engineer.html")

    async def station_page(self, request: Request) -> Response:
        """Serve the wall's page again: at this address it is a clinician's desk."""
        return self._page(request, "wall.html")

    async def static(self, request: Request, name: str) -> Response:
        """Serve a file of the page."""
        asset = self.files.get(name)
        if asset is None:
            raise RefusedError(404, f"no file {name[:80]!r} belongs to the page")
        known = asset.immutable(request.query_params.get("v", ""))
        shared = asset.script or asset.media_type.startswith("font/")
        headers = {"Cache-Control": FOREVER if known else CHECK_SOON if shared else CHECK}
        if asset.script:  # a worker goes by the policy of its own file, not by its page's
            headers["Content-Security-Policy"] = self._policy(request, asset)
        return _send(request, asset, headers)

    async def enter(self, request: Request, body: EnterBody) -> Response:
        """Turn a link's secret into a session cookie."""
        address = request.client.host if request.client else ""
        gateway, now_ns = self.gateway, machine.utc_ns()
        try:
            person, session = gateway.door.enter(
                body.secret, address, now_ns, self._sessions(request)
            )
        except RefusedError as refused:
            gateway.counters["refused"] += 1
            gateway.audit.refused("enter", refused.status, str(refused), address, now_ns, None)
            raise
        secure = self._secure(request)
        response = Response(status_code=204)
        response.set_cookie(
            self._cookie(person.role is Role.OR_STAFF, secure),
            session,
            max_age=max(1, (person.expires_ns - now_ns) // 1_000_000_000),
            path="/",
            secure=secure,
            httponly=True,
            samesite="strict",
        )
        gateway.tell_people()
        return response

    async def invite(self, request: Request, body: InviteBody) -> dict[str, Any]:
        """Make an invitation; the link's secret is shown here and never again."""
        by = self.may(request, Act.INVITE)
        gateway, now_ns = self.gateway, machine.utc_ns()
        person, secret = gateway.door.invite(body.role, body.hours, body.label, now_ns)
        gateway.audit.acted(by, "invite", person.id, address_of(request), now_ns)
        gateway.remember()
        base = self.settings.public_url or self.settings.origin(self.port)
        return {
            "id": person.id,
            "author": person.author,
            "role": person.role.value,
            "url": f"{base}/consult#{secret}",
            "expires_utc_ns": person.expires_ns,
        }

    async def people(self, request: Request) -> dict[str, Any]:
        """List everybody who was invited."""
        self.may(request, Act.PEOPLE)
        now_ns = machine.utc_ns()
        rows = []
        for person in self.gateway.door.people.values():
            if person.role is not Role.OR_STAFF:
                over = self.gateway.door.expired(person, now_ns) is not None
                rows.append(
                    {
                        "id": person.id,
                        "author": person.author,
                        "role": person.role.value,
                        "state": person.state.value,
                        "label": person.label,
                        "expires_utc_ns": person.expires_ns,
                        "over": over,
                    }
                )
        return {"people": rows}

    async def revoke(self, request: Request, name: str) -> Response:
        """Withdraw an invitation, and cut whoever used it."""
        by = self.may(request, Act.REVOKE)
        self.gateway.act(by, Act.REVOKE, name, address_of(request))
        return Response(status_code=204)

    def who(self, request: HTTPConnection, wanted: str) -> Person:
        """Return whose cookies a request carries.

        Args:
            request: HTTP or WebSocket.
            wanted: ``consultant`` looks only at a guest's cookie, else staff's comes first.

        Raises:
            RefusedError: nobody's, or they may not enter any more.
        """
        held = self._sessions(request, guests_only=wanted == "consultant")
        return self.gateway.door.who(held[0] if held else "", machine.utc_ns())

    def may(self, request: Request, what: Act) -> Person | None:
        """Return who asks, None for the command line.

        Raises:
            RefusedError: they may not.
        """
        given = request.headers.get("authorization", "")
        try:
            if given.startswith(BEARER):
                if self.gateway.door.is_wall(given.removeprefix(BEARER)):
                    return None
                raise RefusedError(401, "this is not the secret of this room's wall")
            person = self.who(request, "")
            if not may_act(person.role, what):
                raise RefusedError(403, _refusal(what))
        except RefusedError as refused:
            self.gateway.counters["refused"] += 1
            self.gateway.audit.refused(
                what.value,
                refused.status,
                str(refused),
                address_of(request),
                machine.utc_ns(),
                None,
            )
            raise
        return person

    def _sessions(self, request: HTTPConnection, *, guests_only: bool = False) -> list[str]:
        """Return the sessions in a browser's cookies, staff's first."""
        secure = self._secure(request)
        names = [
            self._cookie(staff, secure) for staff in (True, False) if not (staff and guests_only)
        ]
        return [request.cookies[name] for name in names if request.cookies.get(name)]

    def _secure(self, request: HTTPConnection) -> bool:
        """Whether the browser came through the TLS proxy."""
        public = self.settings.public_url
        return bool(public) and request.headers.get("host", "").lower() == public[len("https://") :]

    def _cookie(self, staff: bool, secure: bool) -> str:
        """Return a cookie's name; rooms of one machine differ by port, which cookies ignore."""
        name = f"scot_{'wall' if staff else 'guest'}_{self.port}"
        return f"__Host-{name}" if secure else name

    def _page(self, request: Request, name: str, status: int = 200) -> Response:
        asset = self.files.get(name)
        if asset is None:
            raise RefusedError(404, f"{name} is not installed; install scot-bus again")
        policy = self._policy(request, asset)
        headers = {"Cache-Control": CHECK if status == 200 else "no-store"}
        headers |= {"Content-Security-Policy": policy, "Vary": "Cookie"}
        sent = _send(request, asset, headers)
        if sent.status_code == 200:
            sent.status_code = status
        return sent

    def _policy(self, request: Request, asset: Asset) -> str:
        scheme = "wss" if self._secure(request) else "ws"
        return page_policy(asset.script_hashes, f"{scheme}://{request.headers['host']}")

    async def _refused(self, _request: Request, error: Exception) -> Response:
        status = error.status if isinstance(error, RefusedError) else 500
        return JSONResponse({"error": str(error)}, status)

    async def _invalid(self, _request: Request, error: Exception) -> Response:
        text = "this request is malformed"
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            text = f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}"
        return JSONResponse({"error": text}, 400)


def _send(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    tag = f'"{asset.digest[:32]}"'
    vary = ", ".join(filter(None, ("Accept-Encoding", headers.get("Vary"))))
    headers = {**headers, "ETag": tag, "Vary": vary}
    seen = [
        one.strip().removeprefix("W/")
        for one in request.headers.get("if-none-match", "").split(",")
    ]
    if tag in seen:
        return Response(status_code=304, headers=headers)
    data, encoding = asset.encoded(request.headers.get("accept-encoding", ""))
    if encoding:
        headers["Content-Encoding"] = encoding
    return Response(data, headers=headers, media_type=asset.media_type)


def _refusal(what: Act) -> str:
    who = "only staff and engineers" if what in FOR_ENGINEERS else "only the operating room"
    return f"{who} may {WHAT.get(what, what.value + ' people')}"


def address_of(request: Request) -> str:
    """Return where a request came from, for the audit."""
    return request.client.host if request.client else ""
