"""``scot doctor``: what is missing or insecure on this machine and in a running room."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from scot import plugin
from scot.channel import Lifecycle
from scot.cli.watch import catalogue_now
from scot.errors import ScotError
from scot.room import find, state_folder

MIN_FREE_BYTES = 5 << 30
Finding = tuple[str, str, str]  # ok | warning | problem, what, fix


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


def clock() -> list[Finding]:
    """Check that the machine's clock is disciplined, for the recorded UTC mapping."""
    tool = shutil.which("timedatectl")
    if tool is None:
        return [("warning", "cannot tell whether this machine's clock is set by NTP", "")]
    shown = subprocess.run(
        [tool, "show", "-p", "NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        check=False,
        timeout=5,
    )
    if shown.stdout.strip() == "yes":
        return [("ok", "this machine's clock is set by NTP", "")]
    return [
        ("warning", "this machine's clock is not set by NTP", "enable chrony or systemd-timesyncd")
    ]


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
