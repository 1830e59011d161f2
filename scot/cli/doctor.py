"""``scot doctor``: what is missing or insecure on this machine and in a running room."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from scot import plugin
from scot.channel import Lifecycle
from scot.cli.clocks import Finding, judge, listen
from scot.cli.watch import catalogue_now, join
from scot.clock import discipline
from scot.clock.discipline import Discipline
from scot.errors import ScotError
from scot.room import find, state_folder

MIN_FREE_BYTES = 5 << 30


def doctor(
    workspace: Annotated[str | None, typer.Option("--workspace", "-w")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> int:
    """Say what is missing or insecure here, and its fix. Exit code 1 when something is broken."""
    checks: list[Callable[[], list[Finding]]] = [
        zeromq,
        opencv,
        video,
        plugins,
        disk,
        clock,
        state,
        lambda: room(workspace),
        lambda: clocks(workspace),
    ]
    findings = [finding for check in checks for finding in check()]
    if as_json:
        rows = [{"level": level, "what": what, "fix": fix} for level, what, fix in findings]
        print(json.dumps(rows))
    else:
        signs = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
        for level, what, fix in findings:
            print(signs[level] + what + (f"\n         fix: {fix}" if fix else ""))
    return int(any(level == "problem" for level, _, _ in findings))


def zeromq() -> list[Finding]:
    """Check libzmq and its CURVE."""
    try:
        plugin.resolve("scot.bus.socket:context")().term()
    except ScotError as error:
        return [("problem", str(error), "pip install --force-reinstall pyzmq")]
    zmq: Any = importlib.import_module("zmq")
    return [("ok", f"libzmq {zmq.zmq_version()} with CURVE", "")]


def opencv() -> list[Finding]:
    """Check that OpenCV loads; the full opencv-python needs the system's libGL."""
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError as error:
        fix = "pip uninstall opencv-python; pip install --force-reinstall opencv-python-headless"
        if "libGL" in str(error):
            fix += " (or, to keep opencv-python: apt-get install libgl1)"
        return [("problem", f"OpenCV does not load: {error}", fix)]
    return [("ok", f"OpenCV {cv2.__version__}", "")]


def video() -> list[Finding]:
    """Check that PyAV has an H.264 encoder."""
    try:
        av: Any = importlib.import_module("av")
        av.codec.Codec("libx264", "w")
    except (ImportError, ValueError) as error:  # PyAV's own errors are ValueErrors
        return [("problem", f"no H.264 encoder: {error}", "pip install --force-reinstall av")]
    return [("ok", f"PyAV {av.__version__} with libx264", "")]


def plugins() -> list[Finding]:
    """Check that every registered provider and service can be imported."""
    found: list[Finding] = []
    for group in ("scot.devices", "scot.services", "scot.recordings"):
        names = plugin.names(group)
        if not names:
            fix = "pip install --force-reinstall scot-bus"
            found.append(("problem", f"nothing is registered as {group}", fix))
        for name in names:
            try:
                plugin.load(group, name)
            except ScotError as error:
                found.append(("problem", str(error), "reinstall that package"))
    return found or [("ok", "providers: " + ", ".join(plugin.names("scot.devices")), "")]


def disk() -> list[Finding]:
    """Check the room that is left where recordings go by default."""
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    if free < MIN_FREE_BYTES:
        return [("warning", text, "a surgery takes about 3 GiB an hour; choose another [recorder]")]
    return [("ok", text, "")]


def clock(read: Callable[[], Discipline | None] = discipline.read) -> list[Finding]:
    """Check that something sets this machine's clock, for the recorded UTC mapping."""
    found = read()
    if found is None:
        return [("warning", "cannot tell whether this machine's clock is set by NTP", "")]
    if found.synchronised:
        return [("ok", f"this machine's clock is set by NTP, within {found.within_s:.3f} s", "")]
    fix = "apt-get install chrony (or timedatectl set-ntp true); bus time does not depend on it, "
    fix += "but the UTC of recordings does"
    return [("warning", "this machine's clock is not set by NTP", fix)]


def state() -> list[Finding]:
    """Check that nobody else can read keys."""
    base = state_folder("x").parent
    found: list[Finding] = []
    for key in base.glob("*/keys/*.json"):
        mode = stat.S_IMODE(key.stat().st_mode)
        if mode & 0o077 or key.stat().st_uid != os.getuid():
            found.append(("problem", f"{key} has mode {mode:o}", f"chmod 600 {key}"))
    return found or [("ok", f"keys under {base} are private", "")]


def room(workspace: str | None) -> list[Finding]:
    """Check the processes and devices of a running room."""
    try:
        up = find(workspace)
    except ScotError as error:
        return [("ok", str(error), "")]
    found: list[Finding] = [("ok", f"room {up.workspace} is up (pid {up.pid})", "")]
    for name, process in up.processes.items():
        if process["pid"] is None:
            log = up.state / "logs" / f"{name}.log"
            why = process["error"] or "it died"
            found.append(("problem", f"{name} does not run: {why}", f"see {log}"))
        elif process["restarts"]:
            text = f"{name} was restarted {process['restarts']} times"
            found.append(("warning", text, f"see {up.state / 'logs' / name}.log"))
    for device in catalogue_now(up.workspace).devices.values():
        if device.state is not Lifecycle.RUNNING:
            text = f"device {device.name} is {device.state}: {device.reason}"
            found.append(("problem", text, "check its cable, address and power"))
    return found


def clocks(workspace: str | None) -> list[Finding]:
    """Check the clocks of a running room: steps, drift, silence, devices that answer no probes."""
    try:
        find(workspace)
    except ScotError:
        return []
    return asyncio.run(_clocks(workspace))


async def _clocks(workspace: str | None) -> list[Finding]:
    connection = await join(workspace)
    try:
        heard = await listen(connection)
        return judge(heard, connection.clock.now())
    finally:
        await connection.close()
