"""What ``scot doctor`` checks of the page (entry point ``scot.checks``)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from scot.checking import Scope
from scot.clock import machine
from scot.config import RoomFile
from scot.errors import ConfigError
from scot.finding import Finding
from scot_dashboard.settings import Settings

WITHIN_S = 3.0
SOON_DAYS = 21.0


def dashboard(scope: Scope) -> Iterator[Finding]:
    """Check that only who comes through TLS, or sits at this machine, can reach the page.

    And that the patient's own images can stand behind the navigation.
    """
    if scope.file is None or not scope.file.dashboard.enabled:
        return
    yield from volumes(scope.file)
    try:
        settings = Settings.of(scope.file.dashboard, {})
    except ConfigError as error:
        yield Finding("problem", f"[dashboard]: {error.problem}", error.allowed)
        return
    yield Finding("ok", f"the page is bound to {settings.host}")
    if settings.public_url:
        yield from tls(settings.public_url)


def volumes(file: RoomFile) -> Iterator[Finding]:
    """Read each volume that the room file names by its source, whole."""
    from scot_dashboard.volume.convert import load
    from scot_dashboard.volume.grid import VolumeError

    for table in file.volume:
        if table.source is None:
            continue
        what = f"volume of frame {table.frame!r}"
        try:
            grid = load(table.source, series=table.series, frame_uid=table.frame_uid)
        except VolumeError as error:
            problem, _, fix = str(error).rpartition("; ")
            yield Finding("problem", f"{what}: {problem or error}", fix or "docs: patient images")
        else:
            size = " × ".join(f"{mm:.2f}" for mm in grid.voxel_mm)
            yield Finding("ok", f"{what}: {grid.values.size:,} voxels of {size} mm")


def tls(url: str) -> Iterator[Finding]:
    """Check the TLS proxy that people outside use: it answers, and its certificate is sound."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), WITHIN_S) as line,
            context.wrap_socket(line, server_hostname=host) as secure,
        ):
            ends = str((secure.getpeercert() or {}).get("notAfter", ""))
    except ssl.SSLCertVerificationError as error:
        fix = "renew it, or let the proxy send the whole chain; browsers refuse it too"
        yield Finding("problem", f"certificate of {url}: {error.verify_message}", fix)
        return
    except (ssl.SSLError, OSError) as error:
        fix = "start the TLS proxy, or correct [dashboard] public_url; the room goes on without it"
        yield Finding("warning", f"{url} does not answer with TLS: {error}", fix)
        return
    left_days = (ssl.cert_time_to_seconds(ends) - machine.utc_ns() / 1e9) / 86_400
    if left_days < SOON_DAYS:
        what = f"certificate of {url} ends in {left_days:.0f} days (limit {SOON_DAYS:.0f})"
        yield Finding("warning", what, "renew it")
    else:
        yield Finding("ok", f"certificate of {url} holds for {left_days:.0f} days more")
