"""The page's own files: from memory, small, with the type, hash and policy that each needs.

A page's script, each of its workers and all its style sheets are one file each (`pack.py`); what
a browser would have to ask for one by one, at one round trip for six, comes at once.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import zstandard

from scot_dashboard.pack import PackError, joined, members, sheets

log = logging.getLogger(__name__)

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
MIN_PACKED = 1_000
MIN_VERSION = 8
ZSTD_LEVEL = 22
ZSTD_WINDOW = 23  # log2 of 8 MB, the most that a browser must take (RFC 9659, 3)
SHEET = ".page.css"
_ENTRY = re.compile(r"type=\"module\" src=\"/static/([^\"]+)\"")
_WORKER = re.compile(r"new Worker\(\"/static/([^\"]+)\"")
_SHEETS = re.compile(r"(?:[ \t]*<link rel=\"stylesheet\" href=\"/static/css/[^\"]+\">\s*?\n?)+")
_SHEET = re.compile(r"rel=\"stylesheet\" href=\"/static/([^\"]+)\"")
_IMPORT_MAP = re.compile(rb"<script\s+type=\"importmap\"\s*>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class Asset:
    """One file, ready to send.

    Attributes:
        digest: SHA-256 in hex; its ETag, and what ``?v=`` must begin.
        packed: gzipped, None when that saves nothing.
        zstd: the same in Zstandard (RFC 8878), for browsers that say they read it.
        script_hashes: CSP sources of the import maps in a page.
    """

    data: bytes
    media_type: str
    digest: str
    packed: bytes | None
    zstd: bytes | None
    script_hashes: tuple[str, ...]

    @property
    def script(self) -> bool:
        """It may run as a worker."""
        return self.media_type.startswith("text/javascript")

    def immutable(self, version: str) -> bool:
        """Say whether a URL's ``v`` names exactly these bytes."""
        return len(version) >= MIN_VERSION and self.digest.startswith(version)

    def encoded(self, accepted: str) -> tuple[bytes, str]:
        """Return the bytes to send and their Content-Encoding, "" for none, by Accept-Encoding."""
        offered = {one.partition(";")[0].strip() for one in accepted.split(",")}
        if self.zstd is not None and "zstd" in offered:
            return self.zstd, "zstd"
        if self.packed is not None and "gzip" in offered:
            return self.packed, "gzip"
        return self.data, ""


@dataclass(frozen=True)
class Held:
    """An asset, the files it is made of, and how they were."""

    asset: Asset
    parts: tuple[Path, ...]
    seen: tuple[tuple[int, int], ...]


class Files:
    """Files below a folder; each is read again only when it, or a part of it, changed.

    Args:
        root: the folder; nothing outside it is ever served.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root.resolve()
        self._held: dict[str, Held] = {}

    def get(self, name: str) -> Asset | None:
        """Return a file by its path below the root; None when there is none to serve."""
        held = self._held.get(name)
        if held is not None and held.seen == _facts(held.parts):
            return held.asset
        parts = self._parts(name)
        facts = _facts(parts)
        if not parts or facts is None:
            return None
        asset = load(name, parts)
        self._held[name] = Held(asset, tuple(parts), facts)
        return asset

    def warm(self) -> None:
        """Make ready what a page asks for, so that nobody waits while it is made small."""
        pages = [path.stem for path in self.root.glob("*.html")]
        volumes = [f"volumes/{path.name}" for path in self.root.glob("volumes/*")]
        for name in (*(f"{page}.html" for page in pages), *self.entries, *volumes):
            self.get(name)
        for page in pages:
            self.get(f"css/{page}{SHEET}")

    @cached_property
    def entries(self) -> frozenset[str]:
        """Scripts that a page or a worker begins with: they come with all that they import."""
        found: set[str] = set()
        for page in self.root.glob("*.html"):
            found.update(_ENTRY.findall(page.read_text("utf-8")))
        for script in self.root.glob("js/**/*.js"):
            found.update(_WORKER.findall(script.read_text("utf-8")))
        return frozenset(found)

    def _parts(self, name: str) -> list[Path]:
        """Return the files that are sent under a name, the one that gives its type last."""
        if name.startswith("css/") and name.endswith(SHEET):
            page = self._file(name.removeprefix("css/").removesuffix(SHEET) + ".html")
            linked = _SHEET.findall(page.read_text("utf-8")) if page is not None else []
            return [path for one in linked if (path := self._file(one)) is not None]
        path = self._file(name)
        if path is None:
            return []
        if name in self.entries:
            try:
                return members(path)
            except (PackError, OSError) as error:
                log.warning("%s is sent alone, and slowly: %s", name, error)
        return [path]

    def _file(self, name: str) -> Path | None:
        parts = name.split("/")
        if any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            return None
        path = self.root.joinpath(*parts)
        if path.suffix not in TYPES:
            return None
        try:
            resolved = path.resolve(strict=True)
        except OSError:
            return None
        return resolved if resolved.is_relative_to(self.root) and resolved.is_file() else None


def load(name: str, parts: Sequence[Path]) -> Asset:
    """Read a file's parts and work out what its answer needs."""
    suffix = parts[-1].suffix
    data = _joined(name, parts)
    hashes: tuple[str, ...] = ()
    if suffix == ".html":
        hashes = tuple(_csp_hash(found) for found in _IMPORT_MAP.findall(data))
        data = _one_sheet(data.decode(), parts[-1].stem).encode()
    packed = zstd = None
    if len(data) > MIN_PACKED and suffix not in ALREADY_SMALL:
        packed = _smaller(gzip.compress(data, 9, mtime=0), data)
        zstd = _smaller(_zstd(data), packed or data)
    return Asset(data, TYPES[suffix], hashlib.sha256(data).hexdigest(), packed, zstd, hashes)


def _joined(name: str, parts: Sequence[Path]) -> bytes:
    if name.endswith(SHEET):
        return sheets(parts)
    if len(parts) > 1:
        try:
            return joined(parts)
        except PackError as error:
            log.warning("%s is sent alone, and slowly: %s", name, error)
    return parts[-1].read_bytes()


def _one_sheet(html: str, page: str) -> str:
    link = f'  <link rel="stylesheet" href="/static/css/{page}{SHEET}">\n'
    return _SHEETS.sub(link, html, count=1)


def _zstd(data: bytes) -> bytes:
    found = zstandard.ZstdCompressionParameters.from_level(ZSTD_LEVEL, source_size=len(data))
    if found.window_log > ZSTD_WINDOW:
        found = zstandard.ZstdCompressionParameters.from_level(
            ZSTD_LEVEL, source_size=len(data), window_log=ZSTD_WINDOW
        )
    return zstandard.ZstdCompressor(compression_params=found).compress(data)


def _smaller(packed: bytes, than: bytes) -> bytes | None:
    return packed if len(packed) < len(than) else None


def _facts(parts: Sequence[Path]) -> tuple[tuple[int, int], ...] | None:
    try:
        facts = [path.stat() for path in parts]
    except OSError:
        return None
    return tuple((one.st_mtime_ns, one.st_size) for one in facts)


def _csp_hash(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
