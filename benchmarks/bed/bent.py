"""A clock that runs fast and steps: for ours in Python, for the peer's process in `bent.c`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from scot.clock import machine


class Bent(msgspec.Struct, frozen=True):
    """How a device's monotonic clock differs from the machine's; all in ns of the machine's.

    Attributes:
        from_ns: where it begins to differ.
        ppb: its excess in ns a second.
        steps: (at_ns, by_ns) by which the reading jumps.
        offset_ns: constant, of our reading only: a shift of the peer's would shift its timers too.
    """

    from_ns: int
    ppb: int
    steps: list[tuple[int, int]]
    offset_ns: int = 0

    def at(self, true_ns: int) -> int:
        """Return the reading at a time of the machine's clock, without `offset_ns`."""
        jumps_ns = sum(by_ns for at_ns, by_ns in self.steps if true_ns >= at_ns)
        return true_ns + (true_ns - self.from_ns) * self.ppb // 1_000_000_000 + jumps_ns

    def read(self) -> int:
        """Return the reading now, ns; what a `scot.clock.clock.Clock` is handed."""
        return self.at(machine.monotonic_ns()) + self.offset_ns

    def environment(self, library: Path) -> dict[str, str]:
        """Return what makes a process read this clock."""
        return {
            "LD_PRELOAD": str(library),
            "BENT_FROM_NS": str(self.from_ns),
            "BENT_PPB": str(self.ppb),
            "BENT_STEPS": ",".join(f"{at_ns}:{by_ns}" for at_ns, by_ns in self.steps),
        }


def build(folder: Path) -> Path:
    """Compile `bent.c` into a folder and return the library.

    Raises:
        OSError, subprocess.CalledProcessError: there is no working C compiler named `cc`.
    """
    library = folder / "bent.so"
    source = Path(__file__).with_name("bent.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return library
