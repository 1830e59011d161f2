"""Fuzz one target, guided by coverage: ``python -m tests.fuzz.one TARGET [libFuzzer options]``.

``all`` is every target in turn, chosen by the input's first byte.
"""

from __future__ import annotations

import logging
import sys
import warnings

import atheris

OURS = ["scot", "scot_devices", "scot_replay", "scot_dashboard"]
ALL = "all"


def main() -> None:
    """Instrument, then hand over to libFuzzer, which ends the process."""
    name = sys.argv.pop(1)
    logging.disable()
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=OURS):
        from tests.fuzz.targets import TARGETS
    targets = [TARGETS[each] for each in sorted(TARGETS)]

    def every(data: bytes) -> None:
        if data:
            targets[data[0] % len(targets)](data[1:])

    atheris.Setup(sys.argv, every if name == ALL else TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
