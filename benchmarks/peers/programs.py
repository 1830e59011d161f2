"""Brokers that are programs: found on the machine, or unpacked from Debian's packages.

Nothing is installed on the system and no service is started: a package and what it lacks are
downloaded by apt-get, which needs no root, and unpacked below ``.venv``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scot.clock import machine

PACKAGES = {"mosquitto": "mosquitto", "redis-server": "redis-server"}
"""Program to Debian package."""
UNPACKED = Path(sys.prefix) / "peers"
ROS = UNPACKED / "ros"
"""An environment of its own: its wheels start Python anew when they find themselves loaded."""
ROS_WHEELS = ("ros-rclpy", "ros-std-msgs", "ros-rmw-fastrtps-cpp", "ros-fastdds", "numpy")
READY_S = 10.0


def find(program: str) -> str | None:
    """Return where a program is: in the environment, unpacked, or on the machine."""
    places = [Path(sys.prefix) / "bin", *(UNPACKED / "usr" / part for part in ("bin", "sbin"))]
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", ""), "/usr/sbin"])
    return shutil.which(program, path=path)


def unpack(package: str) -> str:
    """Download a Debian package with what it needs and unpack it; return why not, or nothing."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "apt-get and dpkg-deb are not here"
    plan = subprocess.run(
        ["apt-get", "--simulate", "install", "--no-install-recommends", package],
        capture_output=True,
        text=True,
        check=False,
    )
    names = [line.split()[1] for line in plan.stdout.splitlines() if line.startswith("Inst ")]
    if plan.returncode or not names:
        lines = plan.stderr.strip().splitlines()
        return lines[-1] if lines else f"apt-get knows no {package}; run apt-get update"
    with tempfile.TemporaryDirectory() as folder:
        command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", *names]
        got = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if got.returncode:
            return got.stderr.strip().splitlines()[-1]
        UNPACKED.mkdir(parents=True, exist_ok=True)
        for file in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", file, UNPACKED], check=True)
    return ""


def install() -> list[str]:
    """Unpack what is missing; return a line for each program that is still missing."""
    missing = []
    for program, package in PACKAGES.items():
        if find(program) is None:
            why = unpack(package)
            if why or find(program) is None:
                missing.append(f"{program}: {why or 'not in its package'}")
    if ros_packages() is None:
        why = _install_ros()
        if why:
            missing.append(f"ROS 2: {why}")
    return missing


def _install_ros() -> str:
    """Make ROS 2's environment; return why not, or nothing."""
    make = [sys.executable, "-m", "venv", str(ROS)]
    fill = [str(ROS / "bin" / "pip"), "install", "--quiet", *ROS_WHEELS]
    for command in (make, fill):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(ROS, ignore_errors=True)
            lines = (done.stderr or done.stdout).strip().splitlines()
            return lines[-1] if lines else f"{command[0]} failed"
    return ""


def ros_packages() -> Path | None:
    """Return where rclpy is, or None."""
    return next(iter(ROS.glob("lib/python*/site-packages/rclpy/..")), None)


def see_ros() -> None:
    """Let processes that are started from now on load ROS 2's libraries."""
    folders = [ROS / "lib", *ROS.glob("lib/python*/site-packages/ros_*.libs")]
    known = os.environ.get("LD_LIBRARY_PATH", "")
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([*map(str, folders), known]).strip(os.pathsep)
    os.environ["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"


@contextmanager
def running(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    """Run a broker until the block ends; it listens on `port` of loopback when this yields.

    Raises:
        RuntimeError: it does not listen within ten seconds.
    """
    path = find(command[0])
    assert path is not None
    libraries = UNPACKED / "usr" / "lib"
    folders = [*libraries.glob("*-linux-gnu*"), libraries, UNPACKED / "lib"]
    folders += (UNPACKED / "lib").glob("*-linux-gnu*")
    environment = dict(os.environ)
    if str(UNPACKED) in path:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, folders))
    with log.open("wb") as out:
        process = subprocess.Popen(
            [path, *command[1:]], stdout=out, stderr=subprocess.STDOUT, env=environment
        )
    try:
        _await_port(process, port, log)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import socket

    until_s = machine.monotonic_s() + READY_S
    while machine.monotonic_s() < until_s and process.poll() is None:
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        machine.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on {port}: {log.read_text()[-500:]}")
