"""What ``scot doctor`` checks of the machine: libraries, clock, kernel, disk."""

from __future__ import annotations

import importlib
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scot import plugin
from scot.checking import Scope
from scot.clock import discipline
from scot.clock.discipline import Discipline
from scot.errors import ScotError
from scot.finding import Finding

MIN_FREE_BYTES = 5 << 30
MIN_SHARED_BYTES = 256 << 20  # of /dev/shm: raw pictures for programs on this host
MIN_FILES = 1_024
MIN_BUFFER = 1 << 20  # of a UDP socket: a keyframe of 1080p comes in one burst
PROC = Path("/proc")
SHARED = Path("/dev/shm")  # noqa: S108 - what is asked is how large it is


def zeromq() -> Iterator[Finding]:
    """Check libzmq and its CURVE."""
    try:
        plugin.resolve("scot.bus.socket:context")().term()
    except ScotError as error:
        yield Finding("problem", str(error), "pip install --force-reinstall pyzmq")
        return
    zmq: Any = importlib.import_module("zmq")
    yield Finding("ok", f"libzmq {zmq.zmq_version()} with CURVE")


def opencv() -> Iterator[Finding]:
    """Check that OpenCV loads; the full opencv-python needs the system's libGL."""
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError as error:
        fix = "pip uninstall opencv-python; pip install --force-reinstall opencv-python-headless"
        if "libGL" in str(error):
            fix += " (or, to keep opencv-python: apt-get install libgl1)"
        yield Finding("problem", f"OpenCV does not load: {error}", fix)
        return
    yield Finding("ok", f"OpenCV {cv2.__version__}")


def video() -> Iterator[Finding]:
    """Check that PyAV has an H.264 encoder."""
    try:
        av: Any = importlib.import_module("av")
        av.codec.Codec("libx264", "w")
    except (ImportError, ValueError) as error:  # PyAV's own errors are ValueErrors
        fix = "pip install --force-reinstall av"
        yield Finding("problem", f"no H.264 encoder: {error}", fix)
        return
    yield Finding("ok", f"PyAV {av.__version__} with libx264")


def plugins() -> Iterator[Finding]:
    """Check that every registered provider, service and check can be imported."""
    well = True
    for group in ("scot.devices", "scot.services", "scot.recordings", "scot.checks"):
        names = plugin.names(group)
        if not names:
            well = False
            fix = "pip install --force-reinstall scot-bus"
            yield Finding("problem", f"nothing is registered as {group}", fix)
        for name in names:
            try:
                plugin.load(group, name)
            except ScotError as error:
                well = False
                yield Finding("problem", str(error), "reinstall that package")
    if well:
        yield Finding("ok", "providers: " + ", ".join(plugin.names("scot.devices")))


def clock(read: Callable[[], Discipline | None] = discipline.read) -> Iterator[Finding]:
    """Check that something sets this machine's clock, for the recorded UTC mapping."""
    found = read()
    if found is None:
        what = "cannot tell whether this machine's clock is set by NTP"
        yield Finding("warning", what, "ask chronyc tracking, or timedatectl, outside a container")
    elif found.synchronised:
        what = f"this machine's clock is set by NTP, within {found.within_s:.3f} s"
        yield Finding("ok", what)
    else:
        fix = "apt-get install chrony (or timedatectl set-ntp true); bus time does not depend on "
        fix += "it, but the UTC of recordings does"
        yield Finding("warning", "this machine's clock is not set by NTP", fix)


def disk(scope: Scope) -> Iterator[Finding]:
    """Check the room that is left where recordings go."""
    where = Path.cwd()
    recording = scope.facts.facts.get("recorder", {}).get("recording") if scope.facts else None
    if recording:
        where = Path(recording)
    elif scope.file is not None:
        where = scope.file.recorder.directory.absolute()
    while not where.exists() and where != where.parent:
        where = where.parent
    free = shutil.disk_usage(where).free
    what = f"{free / 2**30:.1f} GiB free in {where}"
    if free < MIN_FREE_BYTES:
        fix = "a surgery takes about 3 GiB an hour: free some, or choose another [recorder] "
        yield Finding("warning", f"{what} (5 GiB are wanted)", fix + "directory")
        return
    yield Finding("ok", what)


def kernel(scope: Scope, proc: Path = PROC, shared: Path = SHARED) -> Iterator[Finding]:
    """Check open files, shared memory and the buffers of UDP sockets.

    Args:
        scope: video from the network needs larger buffers.
        proc: where the kernel tells of itself.
        shared: where shared memory is.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # a room's processes take all they may
    if 0 <= most < MIN_FILES:
        what = f"a process may open {most} files ({MIN_FILES} are wanted)"
        yield Finding(
            "warning", what, f"ulimit -Hn {16 * MIN_FILES}, or LimitNOFILE= of the service"
        )
    try:
        size = shutil.disk_usage(shared).free
        if size < MIN_SHARED_BYTES:
            what = f"{size >> 20} MiB free in {shared} ({MIN_SHARED_BYTES >> 20} are wanted)"
            fix = "mount -o remount,size=1G /dev/shm (docker: --shm-size 1g); raw pictures for "
            yield Finding("warning", what, fix + "programs on this host go through it")
    except OSError:
        pass  # not Linux
    yield from _buffers(scope, proc)


def _buffers(scope: Scope, proc: Path) -> Iterator[Finding]:
    try:
        largest = int((proc / "sys/net/core/rmem_max").read_text())
    except (OSError, ValueError):
        return
    fix = f"sysctl -w net.core.rmem_max={4 * MIN_BUFFER} (and in /etc/sysctl.d to keep it)"
    udp = [name for name, source in _sources(scope) if source.startswith(("udp:", "rtsp:", "rtp:"))]
    if udp and largest < MIN_BUFFER:
        what = f"UDP sockets may hold {largest} B (limit {MIN_BUFFER}); {', '.join(udp)} comes so"
        yield Finding("warning", what, fix)
    else:
        yield Finding("ok", f"UDP sockets may hold {largest} B")
    dropped = _udp_dropped(proc)
    if udp and dropped:
        what = f"the kernel dropped {dropped} UDP datagrams since it started: buffers were full"
        yield Finding("warning", what, fix)


def _sources(scope: Scope) -> Iterator[tuple[str, str]]:
    """Yield each device that has a source, such as a camera's address."""
    for device in scope.file.device if scope.file is not None else ():
        source = device.options.get("source")
        if isinstance(source, str):
            yield device.name, source.lower()


def _udp_dropped(proc: Path) -> int:
    """Return RcvbufErrors of /proc/net/snmp; 0 where there is none."""
    try:
        lines = (proc / "net/snmp").read_text().splitlines()
    except OSError:
        return 0
    udp = [line.split() for line in lines if line.startswith("Udp:")]
    if len(udp) < 2:
        return 0
    row = dict(zip(udp[0], udp[1], strict=False))
    found = row.get("RcvbufErrors", "0")
    return int(found) if found.isdigit() else 0
