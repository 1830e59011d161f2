"""A key's live connections can be found and ended, and nobody else's."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import zmq

from scot.bus.connections import Connections, duplicate
from scot.bus.handshakes import NO_ZMTP, UNFINISHED, Failed, Handshakes
from scot.bus.keys import KeyPair
from scot.bus.listening import arrival
from scot.bus.socket import context, profile, rank, serve


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Board:
    """An XPUB that serves everybody, and subscribers to it."""

    def __init__(self, name: str = "ctl_out") -> None:
        self.context = context()
        self.sock = self.context.socket(zmq.XPUB)
        rank(self.sock, name)
        self.sock.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.port = self.sock.bind_to_random_port("tcp://127.0.0.1")
        self.subscribers: list[zmq.Socket[bytes]] = []
        self.frames: dict[zmq.Socket[bytes], zmq.Frame] = {}

    def join(self) -> tuple[zmq.Socket[bytes], zmq.Frame]:
        """Return a new subscriber that stays away once cut, and its first frame."""
        sock = self.context.socket(zmq.SUB)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RECONNECT_IVL, -1)
        sock.connect(f"tcp://127.0.0.1:{self.port}")
        sock.setsockopt(zmq.SUBSCRIBE, b"")
        self.subscribers.append(sock)
        assert self.sock.poll(5_000)
        frame = self.frames[sock] = self.sock.recv(copy=False)
        return sock, frame

    def join_through(self, descriptor: int) -> zmq.Socket[bytes] | None:
        """Return a new subscriber whose connection has this very descriptor at our end.

        None when something else in this process took it.
        """
        for _ in range(50):
            sock, frame = self.join()
            if int(frame.get(zmq.SRCFD)) == descriptor:
                return sock
        return None

    def close(self) -> None:
        for sock in (*self.subscribers, self.sock):
            sock.close(linger=0)
        self.context.term()


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


@contextmanager
def succession(
    before: Callable[[zmq.Frame], None] = lambda _: None,
) -> Iterator[tuple[Board, zmq.Frame, zmq.Socket[bytes]]]:
    """A board, the first frame of a connection that is gone, and the one that has its descriptor.

    Args:
        before: is shown the frame while its connection lives.
    """
    for _ in range(20):
        with closing(Board()) as board:
            gone, stale = board.join()
            before(stale)
            gone.close()
            assert board.sock.poll(5_000)
            board.sock.recv()  # its subscription ended: the broker's end is closed too
            living = board.join_through(int(stale.get(zmq.SRCFD)))
            if living is not None:
                yield board, stale, living
                return
    pytest.fail("no descriptor was ever used again")


def heard(board: Board, sock: zmq.Socket[bytes], text: bytes) -> bool:
    board.sock.send(text)
    return bool(sock.poll(200)) and sock.recv() == text


def test_the_connections_of_one_key_end_and_the_others_stay(board: Board) -> None:
    known = Connections()
    (first, a), (second, b), (honest, c) = board.join(), board.join(), board.join()
    known.learn(a, "bad")
    known.learn(b, "bad")
    known.learn(c, "good")
    assert known.cut({"bad"}) == 2
    assert heard(board, honest, b"now")
    assert not first.poll(0)
    assert not second.poll(0)
    assert known.cut({"bad"}) == 0


def test_a_descriptor_that_was_used_again_is_not_shut_down() -> None:
    known = Connections()
    with succession(lambda frame: known.learn(frame, "bad")) as (board, _, honest):
        assert known.cut({"bad"}) == 0
        assert heard(board, honest, b"still here")


def test_a_waiting_frame_of_a_gone_connection_never_spares_the_living() -> None:
    """It is attributed to whoever has the descriptor now; that one then ends with either key."""
    known = Connections()
    with succession() as (board, stale, living):
        known.learn(board.frames[living], "bad")
        known.learn(stale, "good")
        assert known.cut({"bad"}) == 1
        assert not heard(board, living, b"x")


def test_a_descriptor_that_is_no_socket_any_more_is_left_alone(board: Board) -> None:
    known = Connections()
    _, frame = board.join()
    known.learn(frame, "bad")
    read, write = os.pipe()
    try:
        known._seen = dict.fromkeys([read], *known._seen.values())
        assert known.cut({"bad"}) == 0
        os.write(write, b"x")
        assert os.read(read, 1) == b"x"
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(("name", "priority"), [("ctl_out", 6), ("bulk_out", 0)])
def test_signals_are_preferred_to_video_by_this_machines_own_queue(
    name: str, priority: int
) -> None:
    """libzmq's TOS alone does not: an accepted connection has inherited it, and no priority."""
    board = Board(name)
    try:
        _, frame = board.join()
        Connections().learn(frame, "key")
        with socket.socket(fileno=os.dup(int(frame.get(zmq.SRCFD)))) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == priority
    finally:
        board.close()


def test_no_descriptor_is_left_open(board: Board) -> None:
    known = Connections()
    _, frame = board.join()
    before = open_descriptors()
    for _ in range(100):
        known.learn(frame, "k")
        known.cut({"other"})
    read, write = os.pipe()
    with pytest.raises(OSError, match="Socket operation on non-socket"):
        duplicate(read)
    os.close(read)
    os.close(write)
    assert open_descriptors() == before


def test_a_file_in_a_gone_connection_s_place_does_not_keep_its_lock(tmp_path: Path) -> None:
    """The audit's own file was it once: its lock was kept for ever, and no row written any more."""
    with (tmp_path / "audit.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert arrival("query", file.fileno(), 0) is None
    with (tmp_path / "audit.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01"
BAD = {
    "HTTP": (b"GET / HTTP/1.1\r\n" * 8, NO_ZMTP),
    "zeros": (bytes(4096), NO_ZMTP),
    "no mechanism": (GREETING + b"NULL".ljust(52, b"\0"), "protocol error 0x11000002"),
    "a password": (GREETING + b"PLAIN".ljust(52, b"\0"), "protocol error 0x11000002"),
    "noise behind a greeting": (
        GREETING + b"CURVE".ljust(52, b"\0") + bytes(range(256)),
        "protocol error 0x10000011",
    ),
    "half a greeting": (GREETING, UNFINISHED),
    "nothing": (b"", UNFINISHED),
}


@pytest.mark.parametrize("what", BAD)
def test_a_connection_that_never_was_one_is_told_of(what: str) -> None:
    data, why = BAD[what]
    with context() as zmq_context, zmq_context.socket(zmq.ROUTER) as sock:
        serve(sock, KeyPair.new(), 1_000, 64)
        sock.setsockopt(zmq.HANDSHAKE_IVL, 200)
        handshakes = Handshakes("query", sock)
        port = sock.bind_to_random_port("tcp://127.0.0.1")
        failed: list[Failed] = []
        with socket.create_connection(("127.0.0.1", port), 5) as raw:
            raw.sendall(data)
            while not failed and handshakes.monitor.poll(5_000):
                failed = handshakes.failures(0)
        # the address is known as long as libzmq has not hung up before we look
        assert failed in ([Failed("query", came, why)] for came in ("127.0.0.1", ""))
        assert failed[0].came or why != UNFINISHED
        handshakes.close()


def test_an_honest_connection_that_comes_and_goes_is_not_told_of() -> None:
    with context() as zmq_context, zmq_context.socket(zmq.ROUTER) as sock:
        profile(sock, 1_000, 64)
        handshakes = Handshakes("query", sock)
        port = sock.bind_to_random_port("tcp://127.0.0.1")
        for _ in range(3):
            with zmq_context.socket(zmq.DEALER) as dealer:
                dealer.connect(f"tcp://127.0.0.1:{port}")
                dealer.send(b"hello")
                assert sock.poll(5_000)
                sock.recv_multipart()
        seen: list[Failed] = []
        while handshakes.monitor.poll(300):
            seen += handshakes.failures(0)
        assert seen == []
        assert handshakes._made == 3
        assert not handshakes._open
        handshakes.close()
