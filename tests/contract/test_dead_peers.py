"""A peer that dies with our queue full takes nothing down, and one that fell silent is let go.

libzmq's own heartbeats did: their timer sends on a connection that has failed already but whose
input still waits for us, and libzmq ends the process for it (libzmq #4841, `!_io_error`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import zmq

from scot.bus.socket import DEAD_MS, context, profile

HWM = 4
BUSY = f"""
import sys, zmq
from scot.bus.socket import context, profile
with context() as ours, ours.socket(zmq.ROUTER) as sock:
    profile(sock, 1_000, {HWM})
    print(sock.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    sys.stdin.read()  # busy with something else; libzmq's own thread goes on
    count = 0
    while sock.poll(200):
        sock.recv_multipart()
        count += 1
    print(count, flush=True)
"""


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def test_a_peer_that_dies_while_we_are_busy_does_not_end_us(busy: subprocess.Popen[str]) -> None:
    assert busy.stdin is not None
    assert busy.stdout is not None
    with context() as ours:
        peers = [ours.socket(zmq.DEALER) for _ in range(3)]
        port = int(busy.stdout.readline())
        for peer in peers:
            profile(peer, 1_000, 1_000)
            peer.connect(f"tcp://127.0.0.1:{port}")
            for _ in range(200):
                peer.send(bytes(900))
        assert not peers[0].poll(500)  # all that fits is there
        for peer in peers:
            peer.close(linger=0)
    with pytest.raises(subprocess.TimeoutExpired):
        busy.wait(1.5 * DEAD_MS / 1e3)
    busy.stdin.close()
    assert int(busy.stdout.readline()) >= HWM  # what had come before is still there
    assert busy.wait(10) == 0
