"""What a room's recordings are worth, over HTTP: completeness by channel, and the case report.

`scot info`, `scot clip --deid` and `scot report` make them, each in a process of its own that
neither the feed nor the page waits for. By role, de-identified unless staff ask otherwise, audited.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from scot.clock import machine
from scot_dashboard.door import RefusedError
from scot_dashboard.gateway import Gateway
from scot_dashboard.rest import Rest, address_of
from scot_dashboard.roles import Act, Role, identified

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-c", "import sys; from scot.cli import main; sys.exit(main())")
INFO_S, REPORT_S = 60.0, 900.0
FRESH_S = 8.0
KEYS = "abcdefgh"
COUNTS = ("expected", "received", "backfilled", "late", "lost")
INTERVALS = ("lost_in", "backfilled_in", "late_in")
MOST_INTERVALS = 100
TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}

Facts = Callable[[], dict[str, dict[str, Any]]]


class Recordings:
    """The recordings that a room makes or plays, as people may have them.

    Args:
        gateway, rest: whose room, and who may.
        facts: returns what each process of the room said when it was ready.
    """

    def __init__(self, gateway: Gateway, rest: Rest, facts: Facts) -> None:
        self.gateway = gateway
        self.rest = rest
        self._facts = facts
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}
        self._asking = asyncio.Lock()
        self._reporting = asyncio.Lock()

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.add_api_route("/completeness", self.completeness, methods=["GET"])
        app.add_api_route("/report", self.report, methods=["GET"])

    def paths(self) -> dict[str, str]:
        """Return the recordings by the letter of their devices; one alone has none."""
        try:
            facts = self._facts()
        except (OSError, ValueError, KeyError):
            return {}
        player, recorder = facts.get("player", {}), facts.get("recorder", {})
        if "recording" not in player:
            return {"": str(recorder["recording"])} if recorder.get("recording") else {}
        beside = [str(path) for path in player.get("beside", [])]
        if not beside:
            return {"": str(player["recording"])}
        return dict(zip(KEYS, [str(player["recording"]), *beside], strict=False))

    async def completeness(self, request: Request) -> dict[str, Any]:
        """Return, of each channel that this role sees, what was expected, came and is lost."""
        by = self.rest.may(request, Act.REPORT)
        role = by.role if by is not None else Role.OR_STAFF
        seen = self.gateway.fanout.audiences[role].egress
        rows: list[dict[str, Any]] = []
        damage = 0
        lines: list[str] = []
        for key, path in self._wanted(request):
            told = await self._info(path)
            damage += len(told["damage"])
            lines += told["damage"] if identified(role) else []
            for own, channel in told["channels"].items():
                address = self._out(own, key)
                if seen.visible(address):
                    rows.append(_row(address, channel))
        return {
            "recording": self.gateway.connection.catalogue.replay,
            "channels": rows,
            "damage": lines,
            "damaged": damage,
        }

    async def report(self, request: Request) -> Response:
        """Return the case report as a file: ``format`` html or pdf, ``lang``, ``of`` a letter."""
        by = self.rest.may(request, Act.REPORT)
        asked = request.query_params
        kind, lang = asked.get("format", "html"), asked.get("lang", "en")
        whole = asked.get("identified") == "1"
        if kind not in TYPES or lang not in {"en", "ja"}:
            raise RefusedError(400, "a report is html or pdf, in en or ja")
        if whole and by is not None and not identified(by.role):
            raise self._refuse(request, 403, "only the operating room may have it with names")
        if not self.gateway.connection.catalogue.replay:
            text = "this case is still being recorded; end the room, then `scot replay` it"
            raise RefusedError(409, text)
        key, path = self._wanted(request)[0]
        if self._reporting.locked():
            raise RefusedError(429, "another report is being made; try again in a minute")
        async with self._reporting:
            data = await self._report(path, kind, lang, whole)
        what = f"{kind}{f' of {key}' if key else ''}, {'with names' if whole else 'de-identified'}"
        self.gateway.audit.acted(by, "report", what, address_of(request), machine.utc_ns())
        name = f"case-report{f'-{key}' if key else ''}{'' if whole else '-deidentified'}.{kind}"
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        }
        return Response(data, headers=headers, media_type=TYPES[kind])

    def _wanted(self, request: Request) -> list[tuple[str, str]]:
        """Return which recordings are asked for: all, or the one of a letter.

        Raises:
            RefusedError: there is none.
        """
        paths = self.paths()
        of = request.query_params.get("of", "")
        if of and of not in paths:
            raise RefusedError(404, f"no recording is called {of[:8]!r} here")
        if not paths:
            raise RefusedError(404, "this room records nothing")
        return [(of, paths[of])] if of else [*paths.items()]

    def _out(self, own: str, key: str) -> str:
        """Return an address of a recording as this room's catalogue has it."""
        _, _, rest = own.partition("/")
        return f"{self.gateway.connection.workspace}/{f'{key}_' if key else ''}{rest}"

    async def _info(self, path: str) -> dict[str, Any]:
        """Return what ``scot info`` says, at most `FRESH_S` old; a finished recording's stays."""
        async with self._asking:
            known = self._known.get(path)
            now_s = machine.monotonic_s()
            replay = self.gateway.connection.catalogue.replay
            if known is None or (not replay and now_s - known[0] > FRESH_S):
                out = await _run(["info", path, "--json"], INFO_S)
                known = self._known[path] = machine.monotonic_s(), msgspec.json.decode(out)
            return known[1]

    async def _report(self, path: str, kind: str, lang: str, whole: bool) -> bytes:
        with tempfile.TemporaryDirectory(prefix="scot-report-") as folder:
            source, pictures = path, []
            if not whole:
                await asyncio.to_thread(_room_for, path, folder)
                source, pictures = f"{folder}/case", ["--pictures", "0"]
                await _run(["clip", path, source, "--deid"], REPORT_S)
            out = Path(folder) / f"report.{kind}"
            await _run(
                ["report", source, f"--{kind}", str(out), "--lang", lang, *pictures], REPORT_S
            )
            return await asyncio.to_thread(out.read_bytes)

    def _refuse(self, request: Request, status: int, text: str) -> RefusedError:
        now_ns = machine.utc_ns()
        self.gateway.counters["refused"] += 1
        self.gateway.audit.refused("report", status, text, address_of(request), now_ns, None)
        return RefusedError(status, text)


def _row(address: str, channel: dict[str, Any]) -> dict[str, Any]:
    intervals = {key: channel[key][:MOST_INTERVALS] for key in INTERVALS}
    return {"address": address, **{key: channel[key] for key in COUNTS}, **intervals}


def _room_for(path: str, folder: str) -> None:
    """Raise RefusedError when a de-identified copy would fill the disk."""
    files = [f for f in Path(path).rglob("*") if f.is_file()] or [Path(path)]
    size = sum(f.stat().st_size for f in files if f.exists())
    free = shutil.disk_usage(folder).free
    if free < 2 * size + (256 << 20):
        raise RefusedError(
            507, f"a de-identified copy needs {2 * size >> 20} MB and {free >> 20} MB are free"
        )


async def _run(arguments: Sequence[str], limit_s: float) -> bytes:
    """Run a ``scot`` command out of the way of the room; return what it printed.

    Raises:
        RefusedError: it failed, in its own words, or took too long.
    """
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1"},
    )
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, 15)
    try:
        async with asyncio.timeout(limit_s):
            out, said = await process.communicate()
    except TimeoutError:
        raise RefusedError(504, f"scot {arguments[0]} took longer than {limit_s:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = said.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        log.warning("scot %s: %s", arguments[0], lines[-1])
        raise RefusedError(500, f"scot {arguments[0]} failed; the room's log says why")
    return out
