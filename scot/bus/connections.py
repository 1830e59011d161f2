"""Which connection is whose, and how to end it.

libzmq asks about a key once, when the connection is made, and has no call that ends a connection
of a bound socket. But each frame tells the descriptor it came through (``ZMQ_SRCFD``), and the
descriptor can be shut down, which libzmq takes for the peer's going.

A descriptor's number is used again as soon as it is free, so the number alone proves nothing.
What is remembered beside it is the kernel's own mark of the socket (``SO_COOKIE``, never used
twice); what is shut down is a duplicate, after its mark was found to be the one remembered.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import NamedTuple

import zmq

SRCFD = int(zmq.SRCFD)
LINUX = sys.platform.startswith("linux")
SO_COOKIE = 57  # <asm-generic/socket.h>; not in Python's socket module
INTERACTIVE = 6  # TC_PRIO_INTERACTIVE of <linux/pkt_sched.h>


class _Seen(NamedTuple):
    mark: bytes
    keys: frozenset[str]


class Connections:
    """Live connections of the broker by descriptor, with the keys that spoke over them.

    There are never more than the process may have descriptors.

    Attributes:
        spoke: marks of those that were learnt of; whoever looks takes them out.
    """

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self.spoke: set[bytes] = set()

    def learn(self, frame: zmq.Frame, public: str) -> None:
        """Note that `public` spoke over the connection that `frame` came through.

        A frame that waited while its connection ended and its descriptor was used again is
        attributed to the wrong connection. It then has two keys, and ends with either of them:
        at worst an honest peer has to connect again, and loses nothing.
        """
        try:
            descriptor = int(frame.get(SRCFD))
            mark, seen = _mark_at(descriptor), self._seen.get(descriptor)
            if seen is None or seen.mark != mark:
                with duplicate(descriptor) as sock:
                    mark = _mark_of(sock)
                    self._seen[descriptor] = seen = _Seen(mark, frozenset())
                    _hurry(sock)
        except (zmq.ZMQError, OSError):
            return  # it is gone
        self.spoke.add(mark)
        if public not in seen.keys:
            self._seen[descriptor] = _Seen(mark, seen.keys | {public})

    def cut(self, publics: set[str]) -> int:
        """End every connection over which one of these keys spoke; return how many were live."""
        count = 0
        for descriptor, seen in list(self._seen.items()):
            if seen.keys & publics:
                del self._seen[descriptor]
                count += shut_down(descriptor, seen.mark)
        return count


def end(frame: zmq.Frame) -> None:
    """End the connection that a frame came through.

    If that is gone and its descriptor used again, a peer connects once more and loses nothing.
    """
    try:
        with duplicate(int(frame.get(zmq.SRCFD))) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    except (zmq.ZMQError, OSError):
        return  # it is gone


def duplicate(descriptor: int) -> socket.socket:
    """Return a socket of our own onto what libzmq's descriptor is open to.

    Raises:
        OSError: it is closed, or used again for what is no socket. Nothing of it stays open then:
            a file that is kept open keeps its lock, too.
    """
    own = os.dup(descriptor)
    try:
        return socket.socket(fileno=own)
    except OSError:
        os.close(own)
        raise


def _hurry(sock: socket.socket) -> None:
    """Let this machine's own queue prefer a connection that asks routers for low delay.

    Linux gives a socket the priority of its type of service (ip(7)) when that changes. One that
    was accepted has inherited it from the listening socket, and to set it again changes nothing.
    """
    if LINUX and sock.family == socket.AF_INET and sock.getsockopt(socket.SOL_IP, socket.IP_TOS):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, INTERACTIVE)


def shut_down(descriptor: int, mark: bytes) -> bool:
    """End a connection if the descriptor is still its; return whether it was."""
    try:
        with duplicate(descriptor) as sock:
            if _mark_of(sock) != mark:
                return False
            sock.shutdown(socket.SHUT_RDWR)
            return True
    except OSError:
        return False


def _mark_at(descriptor: int) -> bytes:
    """Return the mark of what a descriptor is open to now, for one call of the system.

    Raises:
        OSError: nothing, or no socket.
    """
    if not LINUX:
        with duplicate(descriptor) as sock:
            return _mark_of(sock)
    borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
    try:
        return _mark_of(borrowed)
    finally:
        borrowed.detach()  # libzmq closes it, we never


def _mark_of(sock: socket.socket) -> bytes:
    if LINUX:
        return sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
    return repr((sock.getsockname(), sock.getpeername())).encode()
