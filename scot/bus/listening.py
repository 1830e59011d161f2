"""What the kernel knows and does for listening sockets: who is there, how far, who may not come.

libzmq accepts whoever comes. On Linux a filter on its listening sockets (SO_ATTACH_FILTER, see
socket(7)) drops the first packet of machines that are shut out: that takes no right, libzmq never
hears of them, and connections that exist are not touched. Elsewhere nobody is shut out.
"""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
import sys
from collections.abc import Iterable

from scot.bus.connections import LINUX, SO_COOKIE, duplicate, shut_down
from scot.bus.crowd import Arrival, Place

log = logging.getLogger(__name__)

SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>; neither is in Python's socket module
SO_DETACH_FILTER = 27
INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter of <linux/filter.h>
PROGRAM = "@HP"  # struct sock_fprog
LOAD_BYTE, LOAD_WORD, MASK, EQUAL, RETURN = 0x30, 0x20, 0x54, 0x15, 0x06
NETWORK = 0xFFF00000  # SKF_NET_OFF: from here on an offset counts from the IP header
SENDER = NETWORK + 12  # of IPv4
ALL = 0xFFFFFFFF
TCP_INFO_BYTES = 256
ACKED, RECEIVED = 120, 128  # tcpi_bytes_acked and _received of <linux/tcp.h>
SENT = 200  # tcpi_bytes_sent, since Linux 4.19
BEFORE_READY = 64 + 170  # greeting and WELCOME (RFC 23, RFC 26): who was sent more is inside


def arrival(name: str, descriptor: int, now_ns: int) -> Arrival | None:
    """Return who came through a descriptor; None when they are gone already."""
    borrowed = None
    try:
        borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
        peer, own = borrowed.getpeername()[0], borrowed.getsockname()[0]
        mark = borrowed.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8) if LINUX else b""
    except (OSError, IndexError):
        return None
    finally:
        if borrowed is not None:
            borrowed.detach()  # libzmq closes it, we never
    return Arrival(Place(name, descriptor), mark, str(peer), peer == own, now_ns)


def end_unless_inside(one: Arrival) -> bool:
    """End a connection whose handshake is not done; return whether that was so.

    libzmq does not say over which connection a handshake ended well; how much it has sent there
    does.
    """
    info = _info(one)
    at = SENT if len(info) >= SENT + 8 else ACKED
    if not info or int.from_bytes(info[at : at + 8], sys.byteorder) > BEFORE_READY:
        return False
    return shut_down(one.place.descriptor, one.mark)


def received(one: Arrival) -> int:
    """Return how many bytes have come over a connection; 0 where that is not known."""
    return int.from_bytes(_info(one)[RECEIVED : RECEIVED + 8], sys.byteorder)


def _info(one: Arrival) -> bytes:
    """Return the kernel's TCP_INFO of a connection; nothing when it is gone, or not on Linux."""
    borrowed = None
    try:
        borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=one.place.descriptor)
        if not LINUX or borrowed.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8) != one.mark:
            return b""
        return borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    except OSError:
        return b""
    finally:
        if borrowed is not None:
            borrowed.detach()


def shut_out(listeners: Iterable[int], addresses: Iterable[str]) -> None:
    """Let listening sockets drop new connections of these addresses, and of no others."""
    if not LINUX:
        return
    code = _program([socket.inet_aton(one) for one in addresses if ":" not in one])
    for descriptor in listeners:
        try:
            with duplicate(descriptor) as sock:
                if code:
                    held = ctypes.create_string_buffer(code, len(code))
                    count = len(code) // INSTRUCTION.size
                    program = struct.pack(PROGRAM, count, ctypes.addressof(held))
                    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
                else:
                    sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        except OSError as error:
            log.warning("nobody can be shut out: %s", error)


def _program(senders: list[bytes]) -> bytes:
    """Return the instructions that drop IPv4 packets of these senders; none for nobody."""
    count = len(senders)
    if not count:
        return b""
    code = [
        (LOAD_BYTE, 0, 0, NETWORK),
        (MASK, 0, 0, 0xF0),
        (EQUAL, 0, count + 1, 0x40),  # another version: to the end, which lets it pass
        (LOAD_WORD, 0, 0, SENDER),
        *(
            (EQUAL, count - number, 0, int.from_bytes(sender, "big"))
            for number, sender in enumerate(senders)
        ),
        (RETURN, 0, 0, ALL),
        (RETURN, 0, 0, 0),
    ]
    return b"".join(INSTRUCTION.pack(*one) for one in code)
