"""How old is what a slow viewer sees: video of 30 pictures a second, looked at ten times a second.

    python -m benchmarks.slow_viewer                    # 5 rounds of 6 s
    python -m benchmarks.slow_viewer --rounds 1 --json

Four viewers take 100 ms for each picture. A script of ours iterates `samples(newest=True)`. A page
gets all that the gateway sends, as a browser's network process does, and draws the newest. A line
that is three times too slow is a page that takes a third of the bytes: what waits for it is in the
gateway's outbox, which leaves out whole groups of pictures, and in the kernel. The peer is a SUB
behind libzmq's proxy, with the buffers it has by itself. An age runs from when the picture was made
to when the viewer takes it up; both are on this machine's monotonic clock. Exit code 1 when the
95th percentile of the script or of the page is above one and a half picture periods.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq
from websockets.sync.client import connect

from benchmarks.peers import ours, roles
from benchmarks.peers.buses import PREFIX, Proxy
from benchmarks.peers.load import PACKET_BYTES, PACKET_HZ, STAMP, WARM_S
from benchmarks.peers.run import LEAD_NS, Processes, processes
from benchmarks.table import Limit, Result, Row, alone, compare, finish, here
from scot.access import Grant
from scot.bus.keys import Link
from scot.bus.sync import Connection
from scot.clock import machine

ADDRESS = f"{PREFIX}video0".replace("device", "camera")
LOOK_S = 0.1
LIMIT_MS = 1.5 * 1000 / PACKET_HZ
SOURCE_NS = 3  # of a header
Look = Callable[[int], Iterator[int]]
"""Until when (monotonic ns), and when the picture was made of each look."""


def script(state: Path) -> Look:
    """Return a viewer that is a script."""

    def look(until_ns: int) -> Iterator[int]:
        with Connection.join(Link.load(state, "console")) as room:
            for sample in room.samples(ADDRESS, newest=True, timeout_s=2.0):
                if machine.monotonic_ns() > until_ns:
                    return
                yield sample.time.source_ns or 0
                machine.sleep(LOOK_S)

    return look


def page(url: str) -> Look:
    """Return a viewer that gets all and draws the newest, once each `LOOK_S`."""

    def look(until_ns: int) -> Iterator[int]:
        newest: dict[str, int] = {}
        came = threading.Event()
        with entered(url) as socket:

            def read() -> None:
                for message in socket:
                    newest.update(pictures(message))
                    came.set()

            threading.Thread(target=read, daemon=True).start()
            while machine.monotonic_ns() < until_ns and came.wait(2.0):
                came.clear()
                if ADDRESS in newest:
                    yield newest.pop(ADDRESS)
                    machine.sleep(LOOK_S)

    return look


def slow_line(url: str) -> Look:
    """Return a page on a line that takes a third of the video's bytes."""
    a_second = PACKET_BYTES * PACKET_HZ / 3

    def look(until_ns: int) -> Iterator[int]:
        with entered(url, receive_bytes=16 << 10) as socket:
            while machine.monotonic_ns() < until_ns:
                message = socket.recv(2.0)
                machine.sleep(len(message) / a_second)
                yield from pictures(message).values()

    return look


def peer(where: dict[str, Any]) -> Look:
    """Return a viewer that is a SUB."""

    def look(until_ns: int) -> Iterator[int]:
        with zmq.Context() as context, context.socket(zmq.SUB) as sub:
            sub.setsockopt(zmq.RCVTIMEO, 5000)
            sub.connect(f"tcp://127.0.0.1:{where['ports'][1]}")
            sub.setsockopt(zmq.SUBSCRIBE, f"{PREFIX}video0\0".encode())
            while machine.monotonic_ns() < until_ns:
                sub.recv()
                yield STAMP.unpack_from(sub.recv())[0]
                machine.sleep(LOOK_S)

    return look


@contextmanager
def entered(url: str, receive_bytes: int | None = None) -> Iterator[Any]:
    """Enter the room as its wall does and yield the feed's WebSocket."""
    import socket

    origin, _, secret = url.partition("/#wall=")
    request = urllib.request.Request(  # noqa: S310 - our own page
        f"{origin}/enter",
        json.dumps({"secret": secret}).encode(),
        {"Content-Type": "application/json", "Origin": origin},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own page
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    host, _, port = origin.removeprefix("http://").partition(":")
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.connect((host, int(port)))
    target = f"ws://{host}:{port}/feed"
    with connect(
        target,
        sock=sock,
        additional_headers={"Cookie": cookie, "Origin": origin},
        compression=None,
        max_size=None,
        max_queue=None if receive_bytes is None else 1,
    ) as line:
        line.send(msgspec.msgpack.encode(["show", {ADDRESS: "full"}]))
        yield line


def pictures(message: Any) -> dict[str, int]:
    """Return when the video's pictures in a message of the feed were made, by a key of each."""
    parts = msgspec.msgpack.decode(message)
    if parts[0] != "samples":
        return {}
    found = [h[SOURCE_NS] for address, h, _ in parts[2] if address == ADDRESS]
    return {ADDRESS: found[-1]} if found else {}


def dashboard(state: Path, stack: ExitStack) -> str:
    """Serve the room's page; return its address with the wall's secret."""
    command = [sys.executable, "-m", "scot.host", "service", "dashboard", "--state", str(state)]
    process = stack.enter_context(
        subprocess.Popen([*command, "--options", '{"port": 0}'], stdout=subprocess.PIPE)
    )
    stack.callback(process.terminate)
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert "ready" in said, said
    return str(said["ready"]["url"])


def ages(look: Look, started: Processes, camera: Callable[[Processes], Any], seconds: float) -> Any:
    """Let a camera run and return the ages, ms, of what a viewer saw after the first second."""
    pipe = camera(started)
    start_ns = machine.monotonic_ns() + LEAD_NS
    pipe.send(start_ns)
    from_ns = start_ns + round(WARM_S * 1e9)
    seen = []
    for made_ns in look(from_ns + round((seconds - 0.5) * 1e9)):
        now_ns = machine.monotonic_ns()
        if now_ns > from_ns:
            seen.append((now_ns - made_ns) / 1e6)
    machine.sleep(max(0.0, (from_ns - machine.monotonic_ns()) / 1e9 + seconds))
    pipe.send("stop")
    pipe.recv()
    return seen


GRANT = Grant(
    name="dashboard",
    publish=["or1/consult/", "or1/dashboard/"],
    subscribe=["or1/"],
    devices=["consult", "dashboard"],
)


def one(who: str, seconds: float) -> list[float]:
    """Run one viewer once."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o700)
        if who == "peer":
            where = stack.enter_context(Proxy().serve(folder))
            started = stack.enter_context(processes())
            return list(
                ages(
                    peer(where),
                    started,
                    lambda p: p.start(roles.camera, "proxy", where, "packets", seconds),
                    seconds,
                )
            )
        state = stack.enter_context(ours.serve(folder, [GRANT]))
        if who == "script":
            look = script(state)
        else:
            look = {"page": page, "line": slow_line}[who](dashboard(state, stack))
        started = stack.enter_context(processes())
        return list(
            ages(
                look,
                started,
                lambda p: p.start(ours.camera, state, "packets", seconds),
                seconds,
            )
        )


def rows(found: dict[str, list[list[float]]]) -> list[Row]:
    """Return the table."""

    def p95(who: str) -> list[float]:
        return [float(np.percentile(seen, 95)) for seen in found[who]]

    limit = Limit(LIMIT_MS, of="ours")
    beside = "SUB behind the C proxy"
    return [
        compare(
            "a script reading the newest, p95", "ms", p95("script"), p95("peer"), beside, limit
        ),
        compare("a page drawing the newest, p95", "ms", p95("page"), p95("peer"), beside, limit),
        alone(
            "a page on a line three times too slow, p95",
            "ms",
            p95("line"),
            note="groups of pictures left out; the age is of what does come",
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    place = here()
    found: dict[str, list[list[float]]] = {}
    for number in range(arguments.rounds):
        for who in ("script", "page", "line", "peer"):
            print(f"  round {number + 1}: {who}", file=sys.stderr, flush=True)
            found.setdefault(who, []).append(one(who, arguments.seconds))
    result = Result(
        name="slow-viewer",
        title="Video of 30 pictures a second, looked at ten times a second: its age",
        command="python -m benchmarks.slow_viewer",
        machine=place,
        rows=rows(found),
    )
    return finish(result, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
