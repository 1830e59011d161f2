"""Check a packed recording with Rerun's own ``rerun mcap check``.

    python tools/rerun_check.py case-17.mcap

By hand only: what it installs into `.venv/rerun` takes half a gigabyte, too much for each run
of CI.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WHEEL = "rerun-sdk>=0.41,<1"


def main() -> int:
    """Install it if it is not there, then check; 0 when all is well."""
    if len(sys.argv) != 2:
        print("usage: python tools/rerun_check.py FILE.mcap", file=sys.stderr)
        return 2
    beside = Path(sys.prefix) / "rerun"
    program = beside / "rerun_cli" / "rerun"
    if not program.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", str(beside), WHEEL], check=True)
    return subprocess.run([str(program), "mcap", "check", sys.argv[1]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
