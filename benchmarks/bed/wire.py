"""Two network namespaces, and between them a wire that we are: no netem, no root namespace route.

Each namespace has a TUN device whose other end is a file descriptor here. A packet read from one is
written to the other after the delay that the link draws, in order, or lost.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
from collections import deque
from types import TracebackType

import numpy as np

from scot.clock import machine
from scot.testing.clocks import LINKS, Draw

NEAR, FAR = "10.213.0.1", "10.213.0.2"
PREFIX = "scot-bed"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
SPIN_NS = 80_000
MTU = 1500


def ip(*words: str) -> str:
    """Run iproute2 and return what it says.

    Raises:
        subprocess.CalledProcessError: it refused.
    """
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Wire:
    """Two namespaces `near` and `far`, joined by a relay process; leaves nothing behind.

    Args:
        link: a name in `scot.testing.clocks.LINKS`.
        seed: of the link's draws.
    """

    def __init__(self, link: str, seed: int) -> None:
        self.near = f"{PREFIX}-{os.getpid()}-near"
        self.far = f"{PREFIX}-{os.getpid()}-far"
        self._link, self._seed = link, seed
        self._relay: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Wire:
        """Make everything; nothing stays when that fails half-way."""
        try:
            ends = [
                self._end(name, address) for name, address in ((self.near, NEAR), (self.far, FAR))
            ]
            python = [sys.executable, "-m", __spec__.name]
            self._relay = subprocess.Popen(
                [*python, *map(str, ends), f"--link={self._link}", f"--seed={self._seed}"],
                pass_fds=ends,
            )
            for end in ends:
                os.close(end)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take everything down."""
        self.close()

    def close(self) -> None:
        """End the relay and delete the namespaces, with all that is in them."""
        if self._relay is not None:
            self._relay.kill()
            self._relay.wait()
        for name in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _end(self, name: str, address: str) -> int:
        """Make one namespace with its TUN device and return the device's other end."""
        end = os.open("/dev/net/tun", os.O_RDWR)
        device = f"bed{os.getpid() % 100_000}{address[-1]}"
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
        ip("netns", "add", name)
        ip("link", "set", device, "netns", name)
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "addr", "add", f"{address}/30", "dev", device)
        ip("-n", name, "link", "set", device, "up")
        return end


def sweep() -> None:
    """Delete namespaces of beds that were killed."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(PREFIX):
            owner = int(name.split("-")[2])
            try:
                os.kill(owner, 0)
            except ProcessLookupError:
                ip("netns", "del", name)


def die_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def before_others() -> None:
    """Let this process and what it starts run before all ordinary ones (SCHED_FIFO).

    On a machine that others use it takes their load out of the figures, of both sides alike.
    """
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))


class Way:
    """One direction: packets wait here for their time."""

    def __init__(self, out: int, draw: Draw, loss: float, rng: np.random.Generator) -> None:
        self._out, self._draw, self._loss, self._rng = out, draw, loss, rng
        self._queue: deque[tuple[int, bytes]] = deque()
        self._begun_ns = machine.monotonic_ns()

    def put(self, packet: bytes) -> None:
        """Take a packet that has just come; a wire does not overtake, nor keep what it loses."""
        now_ns = machine.monotonic_ns()
        if self._rng.uniform() < self._loss:
            return
        delay_ms = self._draw(self._rng, (now_ns - self._begun_ns) / 1e9)
        due_ns = now_ns + int(delay_ms * 1e6)
        if self._queue:
            due_ns = max(due_ns, self._queue[-1][0])
        self._queue.append((due_ns, packet))

    def flush(self) -> int | None:
        """Write what is due; return when the next is."""
        while self._queue:
            due_ns, packet = self._queue[0]
            if machine.monotonic_ns() < due_ns:
                return due_ns
            self._queue.popleft()
            try:
                os.write(self._out, packet)
            except OSError:  # the device is going down
                continue
        return None


def relay(near: int, far: int, link_name: str, seed: int) -> None:
    """Carry packets until killed; the last tenth of a millisecond of a wait is spent looking."""
    link = LINKS[link_name]
    loss = 1 - (1 - link.loss) ** 0.5  # of one way: an exchange has two
    rng = np.random.default_rng(seed)
    ways = {far: Way(near, link.there, loss, rng), near: Way(far, link.back, loss, rng)}
    while True:
        dues = [due_ns for way in ways.values() if (due_ns := way.flush()) is not None]
        if dues:
            wait_s: float | None = max(0, min(dues) - machine.monotonic_ns() - SPIN_NS) / 1e9
        else:
            wait_s = None
        for end in select.select(list(ways), [], [], wait_s)[0]:
            ways[end].put(os.read(end, MTU + 100))


def main() -> None:
    """Run the relay on two inherited descriptors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("near", type=int)
    parser.add_argument("far", type=int)
    parser.add_argument("--link", choices=sorted(LINKS), required=True)
    parser.add_argument("--seed", type=int, default=7)
    told = parser.parse_args()
    die_with_parent()
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
    relay(told.near, told.far, told.link, told.seed)


if __name__ == "__main__":
    main()
