"""The page's own files: from memory, with the type, the hash and the policy that each needs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent / "static"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".bin": "application/octet-stream",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
ALREADY_SMALL = frozenset({".png", ".webp", ".woff2"})
MIN_GZIP = 1_000
MIN_VERSION = 8
_ENTRY = re.compile(r"(?:type=\"module\" src|rel=\"modulepreload\" href)=\"/static/([^\"]+)\"")
_IMPORT = re.compile(r"^(?:import|export)\b[^;]*?from \"(\.[^\"]+)\";", re.MULTILINE)
_IMPORT_MAP = re.compile(rb"<script\s+type=\"importmap\"\s*>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class Asset:
    """One file, ready to send.

    Attributes:
        digest: SHA-256 in hex; its ETag, and what ``?v=`` must begin.
        packed: gzipped, None when that saves nothing.
        script_hashes: CSP sources of the import maps in a page.
    """

    data: bytes
    media_type: str
    digest: str
    packed: bytes | None
    script_hashes: tuple[str, ...]

    @property
    def script(self) -> bool:
        """It may run as a worker."""
        return self.media_type.startswith("text/javascript")

    def immutable(self, version: str) -> bool:
        """Say whether a URL's ``v`` names exactly these bytes."""
        return len(version) >= MIN_VERSION and self.digest.startswith(version)


class Files:
    """Files below a folder; each is read again only when it changed.

    Args:
        root: the folder; nothing outside it is ever served.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root.resolve()
        self._assets: dict[str, tuple[int, int, Asset]] = {}

    def get(self, name: str) -> Asset | None:
        """Return a file by its path below the root; None when there is none to serve."""
        parts = name.split("/")
        if any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            return None
        path = self.root.joinpath(*parts)
        if path.suffix not in TYPES:
            return None
        try:
            resolved = path.resolve(strict=True)
            facts = resolved.stat()
        except OSError:
            return None
        if not resolved.is_relative_to(self.root) or not resolved.is_file():
            return None
        held = self._assets.get(name)
        if held is not None and held[:2] == (facts.st_mtime_ns, facts.st_size):
            return held[2]
        asset = load(resolved, self.root)
        self._assets[name] = (facts.st_mtime_ns, facts.st_size, asset)
        return asset


def load(path: Path, root: Path) -> Asset:
    """Read a file and work out what its answer needs; a page names all its modules, too."""
    data = path.read_bytes()
    packed = None
    hashes: tuple[str, ...] = ()
    if path.suffix == ".html":
        hashes = tuple(_csp_hash(found) for found in _IMPORT_MAP.findall(data))
        data = data.replace(b"</head>", _preloads(data.decode(), root) + b"</head>", 1)
    if len(data) > MIN_GZIP and path.suffix not in ALREADY_SMALL:
        smaller = gzip.compress(data, 9, mtime=0)
        packed = smaller if len(smaller) < len(data) else None
    return Asset(data, TYPES[path.suffix], hashlib.sha256(data).hexdigest(), packed, hashes)


def _preloads(html: str, root: Path) -> bytes:
    """Return links by which a browser asks for a page's modules and its workers' at once.

    Source: HTML Living Standard, 4.6.7.12 Link type "modulepreload".
    """
    found = [path for name in _ENTRY.findall(html) if (path := root / name).is_file()]
    named = len(found)
    for here in found:  # which grows by what each imports
        for name in _IMPORT.findall(here.read_text("utf-8")):
            there = (here.parent / name).resolve()
            if there not in found and there.is_file():
                found.append(there)
    names = [path.relative_to(root).as_posix() for path in found[named:]]
    return "".join(f'  <link rel="modulepreload" href="/static/{n}">\n' for n in names).encode()


def _csp_hash(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
