"""Make `.venv` hold what a command needs; do nothing when it already does.

    python3 -m tools.set_up                 what `make demo` needs
    python3 -m tools.set_up test            and what the checks and tests need
    python3 -m tools.set_up test browser    and a Chromium, with what drives it
    python3 -m tools.set_up test docs       and what the documentation needs
    python3 -m tools.set_up test bench      and the peers of the benchmarks

Needs Python 3.11 or newer with `venv`, and nothing else. What was installed is noted in
`.venv/scot-setup.json` with a digest of `pyproject.toml`: only a change there installs again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.chromium import NoBrowserError, find_or_install

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "scot-setup.json"
EXTRAS = {"test": "dev", "browser": "dev", "docs": "docs", "bench": "bench"}
OLDEST = (3, 11)


class SetUpError(Exception):
    """Set-up cannot go on; the text names the fix."""


def main(arguments: list[str] | None = None) -> int:
    """Set up for the named purposes; return 0, or 1 after one line that names the fix."""
    parser = argparse.ArgumentParser(prog="set_up", description="Make .venv hold what is needed.")
    parser.add_argument("purpose", nargs="*", help=f"beside running SCOT: {', '.join(EXTRAS)}")
    purposes = parser.parse_args(arguments).purpose
    unknown = set(purposes) - set(EXTRAS)
    if unknown:
        parser.error(f"unknown purpose {', '.join(sorted(unknown))}: use {', '.join(EXTRAS)}")
    try:
        install({EXTRAS[purpose] for purpose in purposes})
        if "browser" in purposes:
            find_or_install(VENV / "bin" / "python")
    except (SetUpError, NoBrowserError) as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    return 0


def install(extras: set[str]) -> None:
    """Create `.venv` if it is missing and install SCOT there with at least these extras.

    Raises:
        SetUpError: no usable Python, no network, or a library that does not load.
    """
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not _works(VENV / "bin" / "python"):
        _create_venv()
    installed, held = _stamp()
    if installed == digest and extras <= held:
        return
    wanted = sorted(extras | held)
    _pip_install(wanted)
    _check_video()
    STAMP.write_text(json.dumps({"pyproject": digest, "extras": wanted}) + "\n", encoding="utf-8")


def _stamp() -> tuple[str, set[str]]:
    """Return the digest of what was last installed here, and with which extras."""
    try:
        noted = json.loads(STAMP.read_text(encoding="utf-8"))
        return str(noted["pyproject"]), set(noted["extras"])
    except (OSError, ValueError, KeyError):
        return "", set()


def _works(python: str | Path, module: str = "pip") -> bool:
    """Tell whether this is an interpreter of a supported version that has the module."""
    probe = f"import sys, {module}; sys.exit(sys.version_info < {OLDEST})"
    command = [str(python), "-c", probe]
    try:
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def _find_python() -> str:
    """Return a Python of a supported version: this one, or a newer one on PATH."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for minor in (13, 12, 11):
        path = shutil.which(f"python3.{minor}")
        if path and _works(path, "sys"):
            return path
    have = ".".join(map(str, sys.version_info[:3]))
    raise SetUpError(
        f"SCOT needs Python 3.11 or newer; this is {have} and PATH has no python3.11, 3.12 or "
        "3.13. Install one and run: make PYTHON=/path/to/python3.11 demo"
    )


def _create_venv() -> None:
    python = _find_python()
    if not _works(python, "venv, ensurepip"):
        raise SetUpError(
            f"{python} cannot make environments. Install the package that lets it: "
            "apt-get install python3-venv (Debian, Ubuntu), then run the same command again"
        )
    print(f"set-up: making .venv with {python}", flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    made = subprocess.run([python, "-m", "venv", VENV], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetUpError(f"{python} -m venv .venv failed: {(made.stdout + made.stderr).strip()}")


def _pip_install(extras: list[str]) -> None:
    what = f".[{','.join(extras)}]" if extras else "."
    print(f"set-up: installing {what} into .venv (a few minutes the first time)", flush=True)
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--editable", what]
    environment = {
        **os.environ,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise SetUpError(
            "pip could not install; its own message is above. It needs a package index: check the "
            "network, or a proxy in PIP_PROXY or pip.conf, then run the same command again"
        )


def _check_video() -> None:
    """Load OpenCV and PyAV once, so that a missing system library is found here.

    SCOT asks for opencv-python-headless, which needs no libGL. Another package may have brought
    opencv-python into the same environment: both install the module `cv2`, and the other one
    needs libGL, which a bare server lacks and a desktop machine hides.
    """
    python = str(VENV / "bin" / "python")
    loaded = subprocess.run(
        [python, "-c", "import cv2, av"], capture_output=True, text=True, check=False
    )
    if loaded.returncode == 0:
        return
    reason = loaded.stderr.strip().splitlines()[-1]
    if "libGL" in reason or "libgthread" in reason:
        raise SetUpError(
            f"OpenCV does not load ({reason}): opencv-python has replaced the headless build. "
            "Run: .venv/bin/pip uninstall -y opencv-python opencv-contrib-python && "
            ".venv/bin/pip install --force-reinstall --no-deps opencv-python-headless"
        )
    raise SetUpError(f"the video libraries do not load in .venv: {reason}")


if __name__ == "__main__":
    sys.exit(main())
