"""Prints an HTML file as PDF with the Chromium of this machine (docs/decisions, 0024)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from scot.errors import RecordingError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
LIMIT_S = 120
FIX = "install Chromium or set CHROMIUM to its path, or print the HTML from any browser"


def find() -> Path | None:
    """Return the first Chromium: $CHROMIUM, then PATH, then Playwright's."""
    if chosen := os.environ.get("CHROMIUM"):
        return Path(chosen)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    named = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    cache = Path(named) if named else Path.home() / ".cache" / "ms-playwright"
    known = sorted(cache.glob("chromium-*/chrome-linux*/chrome"), reverse=True)
    return known[0] if known else None


def print_pdf(html: Path, pdf: Path) -> None:
    """Print a file as PDF.

    Args:
        html: without scripts; nothing is loaded from the network.
        pdf: written anew.

    Raises:
        RecordingError: there is no Chromium, or it does not print; says the fix.
    """
    program = find()
    if program is None:
        raise RecordingError(f"{pdf} needs a Chromium, and none was found; {FIX}")
    with tempfile.TemporaryDirectory(prefix="scot-pdf-") as profile:
        made = Path(profile) / "report.pdf"
        command = [
            str(program), "--headless", "--disable-gpu", "--no-pdf-header-footer",
            "--disable-dev-shm-usage", f"--user-data-dir={profile}", f"--print-to-pdf={made}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []), html.absolute().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RecordingError(f"{program} does not print: {error}; {FIX}") from None
        if not made.exists():
            lines = done.stderr.strip().splitlines()
            why = lines[-1] if lines else f"it ended with code {done.returncode}"
            raise RecordingError(f"{program} does not print: {why}; {FIX}")
        shutil.copyfile(made, pdf)
