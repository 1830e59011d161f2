"""Which of many sockets have input, waited for in one call of the operating system.

`zmq.Poller` asks each socket twice for each wait; with the broker's thirteen that cost more than
forwarding a sample. libzmq's descriptor says less than a poll, and that less is enough: it is
readable when something has happened to its socket since it was last used. So a socket that was
received from until it was empty needs no look until its descriptor shows something, and one that
was sent on needs one look, since sending may have used the sign up.
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Mapping
from typing import Any

import zmq

EVENTS = int(zmq.EVENTS)
IN = int(zmq.POLLIN)


class Readiness:
    """Waits for input on sockets, by name.

    Whoever is told that a socket is ready receives until it is empty, or says `again`.
    """

    def __init__(self, socks: Mapping[str, zmq.Socket[bytes]]) -> None:
        self._socks = socks
        self._names: dict[int, str] = {}
        self._again: set[str] = set(socks)
        self._sent: set[str] = set()
        self._poll: Any = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._unit = 1.0 if hasattr(select, "epoll") else 1e3  # s, or ms
        for name, sock in socks.items():
            self.watch(name, int(sock.getsockopt(zmq.FD)))

    def watch(self, name: str, descriptor: int) -> None:
        """Watch something that is no ZeroMQ socket, too."""
        self._names[descriptor] = name
        self._poll.register(descriptor, select.POLLIN)

    def again(self, names: Iterable[str]) -> None:
        """Look at these without waiting: they were not received from until empty."""
        self._again.update(names)

    def sent(self, name: str) -> None:
        """Note that something was sent on a socket, so that it is looked at before we wait."""
        self._sent.add(name)

    def wait(self, timeout_s: float) -> set[str]:
        """Return the names of sockets to receive from; empty when the time is over."""
        ready, self._again = self._again, set()
        for name in self._sent:
            if int(self._socks[name].getsockopt(EVENTS)) & IN:
                ready.add(name)
        self._sent.clear()
        for descriptor, _ in self._poll.poll(0 if ready else timeout_s * self._unit):
            ready.add(self._names[descriptor])
        return ready

    def close(self) -> None:
        """Let the descriptors go; the sockets are not closed."""
        if hasattr(self._poll, "close"):
            self._poll.close()
