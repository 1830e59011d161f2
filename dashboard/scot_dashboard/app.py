"""The web application, and `serve`: the dashboard as a service of a room."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import uvicorn
from fastapi import FastAPI, WebSocket
from starlette.types import ASGIApp

from scot.access import write_private
from scot.clock import machine
from scot.errors import BusError, RoomError, ScotError
from scot.host import Service
from scot_dashboard.audit import Audit
from scot_dashboard.door import SECRET_BYTES, Door, RefusedError
from scot_dashboard.files import Files
from scot_dashboard.gateway import Gateway
from scot_dashboard.layouts import FILE as LAYOUTS_FILE
from scot_dashboard.layouts import Layouts
from scot_dashboard.line import FeedProtocol, SocketLine
from scot_dashboard.metrics import TOKEN_FILE, Metrics, token_of
from scot_dashboard.recordings import Facts, Recordings
from scot_dashboard.rest import Rest
from scot_dashboard.settings import Settings
from scot_dashboard.shield import Shield
from scot_dashboard.viewer import FORBIDDEN, UNKNOWN
from scot_dashboard.volume.store import VolumeRoutes, Volumes
from scot_dashboard.wire import MAX_INBOUND, message

log = logging.getLogger(__name__)

STATE_FILE = "dashboard.json"
PING_S = 5.0
SILENT_S = 10.0


class Kept(msgspec.Struct):
    """What the gateway keeps in the room's state folder over a restart of its process.

    Attributes:
        room: the broker's public key, made anew at each start of the room: a new room forgets.
        wall: the wall's secret; staff who can read this file may enter anyway.
        door: as `Door.save`.
        port: where it listened: pages that are open come back to it.
    """

    room: str
    wall: str
    door: bytes
    port: int = 0


def build(
    gateway: Gateway,
    settings: Settings,
    port: int,
    files: Files,
    volumes: Volumes,
    token: str = "",
    facts: Facts = dict,
) -> ASGIApp:
    """Return the whole application for a gateway that listens on `port`.

    Without a `token` there is no ``/metrics``.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    rest = Rest(gateway, settings, port, files)
    rest.add_to(app)
    VolumeRoutes(volumes, gateway, rest).add_to(app)
    Recordings(gateway, rest, facts).add_to(app)
    if token:
        Metrics(gateway, token, settings.public_host).add_to(app)

    @app.websocket("/feed")
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        address = websocket.client.host if websocket.client else ""
        line = SocketLine(websocket)
        now_ns = machine.utc_ns()
        try:
            person = rest.who(websocket, websocket.query_params.get("as", ""))
        except RefusedError as refused:
            gateway.counters["refused"] += 1
            gateway.audit.refused("feed", refused.status, str(refused), address, now_ns, None)
            code = FORBIDDEN if refused.status == 403 else UNKNOWN
            with contextlib.suppress(ConnectionError):
                await line.send(message("bye", code, str(refused)))
                await line.close(code, str(refused)[:120])
            return
        await gateway.serve(line, person, address)

    return Shield(app, settings.allowed(port))


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the room says when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def serve(service: Service) -> None:
    """Serve the room's page until the room stops.

    Raises:
        ConfigError: the address is not allowed.
        RoomError: the port is taken.
    """
    settings = Settings.of(service.room.dashboard, service.options)
    kept, door = restore(service.state, service.connection.link.endpoints.server, service)
    sock = again(settings, kept.port)
    port = kept.port = sock.getsockname()[1]
    try:
        audit = Audit(service.state / "audit.jsonl", service.connection.workspace)
        gateway = Gateway(service.connection, door, audit, settings.playout_ms)
        gateway.layouts = Layouts(service.state / LAYOUTS_FILE)
        gateway.remember = Memory(service.state / STATE_FILE, kept, door).write
        gateway.remember()
        files = Files()
        await asyncio.gather(gateway.start(), asyncio.to_thread(files.warm))
        volumes = Volumes(service.room, service.state)
        volumes.start()
        token = token_of(service.state)
        app = build(gateway, settings, port, files, volumes, token, service.room_facts)
        server = Server(config_of(app))
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        serving.add_done_callback(lambda _task: service.stopping.set())
        service.ready(
            url=f"{settings.origin(port)}/#wall={kept.wall}",
            metrics=f"{settings.origin(port)}/metrics",
            token=str(service.state / TOKEN_FILE),
        )
        await gateway.run(service.stopping)
        await volumes.close()
        server.should_exit = True
        await serving
        with contextlib.suppress(BusError):
            await gateway.settle()
    finally:
        sock.close()


def again(settings: Settings, port: int) -> socket.socket:
    """Return a socket for the page; with port 0 on the one that an earlier process had, if free.

    Raises:
        RoomError: the port is taken or not allowed.
    """
    if settings.port == 0 and port:
        with contextlib.suppress(RoomError):
            return replace(settings, port=port).bind()
    return settings.bind()


def config_of(app: ASGIApp) -> uvicorn.Config:
    """Return how the page is served (DESIGN §8)."""
    return uvicorn.Config(
        app,
        ws=FeedProtocol,
        ws_max_size=MAX_INBOUND,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_S,
        ws_ping_timeout=SILENT_S,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
        limit_concurrency=512,
    )


def restore(state: Path, room: str, service: Service) -> tuple[Kept, Door]:
    """Return what an earlier process of the same room kept, or begin anew."""
    path = state / STATE_FILE
    case = service.connection.catalogue.case
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        if kept.room == room:
            door = Door(kept.wall, case)
            door.restore(kept.door, machine.utc_ns())
            return kept, door
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, ScotError) as error:
        log.info("no earlier sessions: %s", error)
    kept = Kept(room, secrets.token_urlsafe(SECRET_BYTES), b"")
    door = Door(kept.wall, case)
    Memory(path, kept, door).write()
    return kept, door


class Memory:
    """Keeps the door's state on disk, at once when somebody entered, left or was thrown out."""

    def __init__(self, path: Path, kept: Kept, door: Door) -> None:
        self.path = path
        self.kept = kept
        self.door = door
        self._written = b""

    def write(self) -> None:
        """Write what changed; a disk that is full costs a restart's sessions, not the room."""
        self.kept.door = self.door.save()
        data = msgspec.json.encode(self.kept)
        if data == self._written:
            return
        try:
            write_private(self.path, data)
        except OSError as error:
            log.warning("%s: sessions will not outlive a restart: %s", self.path, error)
        else:
            self._written = data
