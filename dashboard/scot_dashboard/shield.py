"""What every request must pass before anything looks at it, and what every answer carries.

- Host must be one of ours: a foreign name that resolves to this machine (DNS rebinding) gets
  nothing.
- Origin must be one of ours for WebSockets and for whatever changes something; a program without
  an Origin may act only by the secret in its Authorization header, never by a cookie.
- Bodies are small and announce their length.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 8 << 10
READING = frozenset({"GET", "HEAD"})
BASE_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

HEADERS = {
    "Content-Security-Policy": BASE_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), display-capture=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Allowed:
    """Names this gateway answers to.

    Attributes:
        hosts: values of Host, with the port.
        origins: values of Origin.
    """

    hosts: frozenset[str]
    origins: frozenset[str]


def page_policy(script_hashes: Iterable[str], feed_origin: str) -> str:
    """Return the Content-Security-Policy of a page or worker: its own files and feed, nothing else.

    Args:
        script_hashes: of the page's import map.
        feed_origin: the feed's, which not every browser counts as 'self'.
    """
    return "; ".join(
        (
            BASE_POLICY,
            " ".join(("script-src 'self'", *script_hashes)),
            "worker-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            f"connect-src 'self' {feed_origin}",
        )
    )


class Shield:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, allowed: Allowed) -> None:
        self.app = app
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request; answer it here when it must not go on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            await _refuse(_with_headers(send), *refusal)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self.allowed.hosts:
            return 421, f"this page answers to {', '.join(sorted(self.allowed.hosts))} only"
        origins = headers.getlist("origin")
        foreign = len(origins) > 1 or (bool(origins) and origins[0] not in self.allowed.origins)
        if scope["type"] == "websocket":
            if foreign or not origins:
                return 403, "open the feed from this room's own page"
            return None
        if scope["method"] in READING:
            return None
        if foreign or (not origins and "authorization" not in headers):
            return 403, "act from this room's own page, or with the wall's secret"
        length = headers.get("content-length", "0" if scope["method"] == "DELETE" else "")
        if not length.isdigit() or int(length) > MAX_BODY or "transfer-encoding" in headers:
            return 413, f"a body needs a length of at most {MAX_BODY} B"
        return None


def _with_headers(send: Send) -> Send:
    """Return a `send` that adds our headers where the answer has none of its own."""

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return adding


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
