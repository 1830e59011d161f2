"""Fuzz every place that reads other people's bytes.

``python -m tests.fuzz --seconds 60 desk`` fuzzes one target, without a name each in turn; with
``--together`` all share one process and the seconds, which is what CI does.

Each target starts from its committed corpus. What broke one is written into that corpus, so that
the tests fail until it is mended and know it for ever; commit it with the fix. What only reached
new code is kept in ``.fuzz/`` for the next run here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parent / "corpus"
KEPT = ROOT / ".fuzz"
MAX_BYTES = 64 << 10
MEMORY_MB = 1_500
ALL = "all"
ONE_S = 10  # no input may take longer


def names() -> list[str]:
    """Return the targets' names; each has a corpus."""
    return sorted(folder.name for folder in CORPUS.iterdir() if folder.is_dir())


def fuzz(name: str, seconds: int, begin: Path, broken: Path) -> tuple[str, int, str]:
    """Fuzz one target; return its name, libFuzzer's exit code and what it said.

    Args:
        name: of the target, or ``all``.
        seconds: how long.
        begin: folder of the inputs it starts from.
        broken: folder that gets what broke it.
    """
    kept = KEPT / name
    kept.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={ONE_S}",
        f"-artifact_prefix={broken}/",
        "-print_final_stats=1",
    ]
    parents = [str(ROOT / part) for part in ("", "devices", "dashboard", "replay")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.one", name, *options, str(kept), str(begin)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(parents)},
        check=False,
    )
    return name, done.returncode, done.stdout + done.stderr


def together(seconds: int) -> tuple[str, int, str]:
    """Fuzz all targets in one process; what broke one goes into its own corpus."""
    with tempfile.TemporaryDirectory() as folder:
        begin, broken = Path(folder) / "begin", Path(folder) / "broken"
        begin.mkdir()
        broken.mkdir()
        for index, name in enumerate(names()):
            for path in (CORPUS / name).iterdir():
                (begin / f"{name}-{path.name}").write_bytes(bytes([index]) + path.read_bytes())
        result = fuzz(ALL, seconds, begin, broken)
        for path in broken.iterdir():
            data = path.read_bytes()
            name = names()[(data or b"\0")[0] % len(names())]
            (CORPUS / name / path.name).write_bytes(data[1:])
            print(f"broke {name}: {CORPUS / name / path.name}", file=sys.stderr)
    return result


def report(name: str, code: int, said: str) -> None:
    """Print one line of how a target did, and the end of what was said when it broke."""
    lines = [line for line in said.splitlines() if "number_of_executed_units" in line]
    count = lines[-1].rsplit(maxsplit=1)[-1] if lines else "?"
    print(f"{name:14} {count:>10} inputs  {'ok' if code == 0 else 'BROKEN'}", flush=True)
    if code:
        print("\n".join(said.splitlines()[-40:]), file=sys.stderr)


def main() -> int:
    """Fuzz; return 1 when anything broke."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Fuzz, guided by coverage.")
    parser.add_argument("target", nargs="*", help=f"of: {', '.join(names())}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--together", action="store_true", help="all in one process")
    chosen = parser.parse_args()
    unknown = set(chosen.target) - set(names())
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}: use {', '.join(names())}")
    if chosen.together:
        result = together(chosen.seconds)
        report(*result)
        return int(result[1] != 0)
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(
            lambda name: fuzz(name, chosen.seconds, CORPUS / name, CORPUS / name),
            chosen.target or names(),
        ):
            report(*result)
            failed |= result[1] != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
