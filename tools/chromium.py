"""Find or install the Chromium that the browser tests drive.

Needs nothing but the standard library: set-up runs it before anything is installed, and
`tests/conftest.py` asks it which browser to start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
# A page in Japanese draws boxes without a Japanese font; minimal systems carry none at all.
DEBIAN_PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-ipafont-gothic")
# Playwright's own Node is linked against it; a minimal system does not carry it.
DRIVER_PACKAGES = ("libatomic1",)


class NoBrowserError(Exception):
    """No Chromium was found and none could be installed; the text says what to do."""


def find() -> Path | None:
    """Return the first Chromium that starts: $CHROMIUM, then PATH, then Playwright's cache.

    Raises:
        NoBrowserError: $CHROMIUM is set but does not start.
    """
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        if not _starts(Path(chosen)):
            raise NoBrowserError(
                f"CHROMIUM={chosen} does not answer to --version; set it to a Chromium that "
                "starts, or unset it to let set-up look for one"
            )
        return Path(chosen)
    on_path = (shutil.which(name) for name in NAMES)
    candidates = [Path(name) for name in on_path if name] + _playwright_cache()
    return next((path for path in candidates if _starts(path)), None)


def find_or_install(playwright_python: Path) -> Path:
    """Return a Chromium that starts and can be driven, installing what this system lacks.

    Args:
        playwright_python: the interpreter of an environment that holds Playwright.

    Raises:
        NoBrowserError: nothing worked.
    """
    _need_driver(playwright_python)
    found = find()
    if found:
        return found
    tried = []
    for install in _ways(playwright_python):
        print(f"set-up: no Chromium yet; running: {' '.join(install[-1])}", flush=True)
        tried.append(" && ".join(" ".join(command) for command in install))
        if all(_run(command) for command in install):
            found = find()
            if found:
                return found
    raise NoBrowserError(
        "no Chromium starts on this machine and none could be installed (tried: "
        + "; ".join(tried)
        + "). Install one as an administrator (Debian: apt-get install "
        + " ".join(DEBIAN_PACKAGES)
        + ") or set CHROMIUM to the path of one."
    )


def _ways(playwright_python: Path) -> list[list[list[str]]]:
    """List the ways to install a browser here, best first; each is a list of commands."""
    playwright = [str(playwright_python), "-m", "playwright", "install"]
    ways = [_apt_install(*DEBIAN_PACKAGES)] if _can_apt() and _is_debian() else []
    # Ubuntu's `chromium` package is a snap, which containers cannot run: Playwright brings one.
    ways.append([[*playwright, *(["--with-deps"] if _can_apt() else []), "chromium"]])
    return ways


def _need_driver(python: Path) -> None:
    """Make Playwright's driver start."""
    probe = [str(python), "-m", "playwright", "--version"]
    if _run(probe, quiet=True):
        return
    if _can_apt():
        print(f"set-up: Playwright lacks {' '.join(DRIVER_PACKAGES)}; installing", flush=True)
        if all(_run(command) for command in [*_apt_install(*DRIVER_PACKAGES), probe]):
            return
    raise NoBrowserError(
        "Playwright does not start, so no browser test can run. Install what it needs as an "
        f"administrator (Debian, Ubuntu: apt-get install {' '.join(DRIVER_PACKAGES)}); "
        f"`{' '.join(probe)}` says more"
    )


def _can_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt_install(*packages: str) -> list[list[str]]:
    return [
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ]


def _is_debian() -> bool:
    release = Path("/etc/os-release")
    lines = release.read_text(encoding="utf-8").splitlines() if release.exists() else []
    return "ID=debian" in lines


def _playwright_cache() -> list[Path]:
    named = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    cache = Path(named) if named else Path.home() / ".cache" / "ms-playwright"
    return sorted(cache.glob("chromium-*/chrome-linux*/chrome"), reverse=True)


def _starts(path: Path) -> bool:
    try:
        return _run([str(path), "--version"], quiet=True)
    except OSError:
        return False


def _run(command: list[str], quiet: bool = False) -> bool:
    """Run a command and tell whether it succeeded; what it prints about errors is shown."""
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
        check=False,
    )
    return done.returncode == 0


if __name__ == "__main__":
    path = find()
    print(path or "no Chromium found")
    sys.exit(0 if path else 1)
