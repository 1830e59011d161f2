"""Where the page is served, and under which names it may be asked for."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from scot.config import DashboardTable
from scot.errors import ConfigError, RoomError
from scot_dashboard.shield import Allowed

WHERE = "room file"


@dataclass(frozen=True)
class Settings:
    """What `of` has checked.

    Attributes:
        host, port: where to listen; port 0 takes a free one.
        public_url: how people outside reach a TLS proxy in front of the page; empty without one.
        playout_ms: fixed delay of live.
    """

    host: str
    port: int
    public_url: str
    playout_ms: int

    @classmethod
    def of(cls, table: DashboardTable, options: dict[str, Any]) -> Settings:
        """Check the room file's ``[dashboard]``, overlaid with a service's options.

        Raises:
            ConfigError: an address that others could reach without TLS, or a public URL without it.
        """
        host = str(options.get("host", table.host))
        if not _loopback(host):
            raise ConfigError(
                WHERE,
                "dashboard.host",
                f"{host!r} can be reached by others, and this page speaks no TLS itself",
                "use 127.0.0.1, and for others a TLS proxy named in dashboard.public_url",
            )
        public = str(options.get("public_url", getattr(table, "public_url", "")) or "")
        public = public.rstrip("/").lower()
        parts = urlsplit(public)
        if public and (parts.scheme != "https" or not parts.hostname or parts.path):
            raise ConfigError(
                WHERE,
                "dashboard.public_url",
                f"{public!r} is not the https:// address of a host",
                "write it like https://or1.hospital.example",
            )
        port = int(options.get("port", table.port))
        return cls(host, port, public, table.playout_ms)

    def origin(self, port: int) -> str:
        """Return the page's own origin at a port."""
        return f"http://{_bracketed(self.host)}:{port}"

    def allowed(self, port: int) -> Allowed:
        """Return the names this gateway answers to at a port."""
        names = {_bracketed(self.host), "127.0.0.1", "localhost", "[::1]"}
        hosts = {f"{name}:{port}" for name in names}
        origins = {f"http://{host}" for host in hosts}
        if port == 80:
            hosts |= names
            origins |= {f"http://{name}" for name in names}
        if self.public_url:
            hosts.add(urlsplit(self.public_url).netloc)
            origins.add(self.public_url)
        return Allowed(frozenset(hosts), frozenset(origins))

    @property
    def public_host(self) -> str:
        """Host of `public_url`; empty without one."""
        return urlsplit(self.public_url).netloc

    def bind(self) -> socket.socket:
        """Return a socket bound to the address.

        Raises:
            RoomError: the port is taken or not allowed; says which, and what to do.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((self.host, self.port))
            sock.listen(128)  # only now does a second room on the port find out
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise RoomError(
                    f"port {self.port} of {self.host} is taken: another room may run; stop it, or "
                    f"choose a port with `--port {self.port + 1 if self.port < 65535 else 8080}`"
                ) from None
            raise RoomError(
                f"cannot listen on {self.host}:{self.port} ({error.strerror}); choose another port "
                "with `--port`"
            ) from None
        return sock


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
