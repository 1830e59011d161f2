"""A registration: the rigid transform from a tracker's frame of reference to a picture's, in mm.

No I/O. A transform that scales, shears or mirrors puts a tool where it is not, so how far a matrix
is from rigid is measured and the limit is stated; nothing is repaired.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from scot.errors import ScotError

Rows: TypeAlias = tuple[tuple[float, float, float, float], ...]
"""The upper three rows of a 4 × 4 matrix: rotation, then translation in mm."""

RIGID_WITHIN: Final = 1e-3
"""Largest error of the columns' dot products: 0.1 mm at 100 mm. Single precision leaves 1e-6."""

FAR_MM: Final = 10_000.0
MOST_CHARACTERS: Final = 65_536
_KEYS: Final = frozenset({"matrix", "fre_mm", "tre_mm", "inverse"})
_HINT: Final = "give 4 rows of 4 numbers, or JSON with matrix, tre_mm, fre_mm, inverse"


class RegistrationError(ScotError):
    """A matrix that no tool may be drawn through; says what is wrong with it."""


class Registration(msgspec.Struct, frozen=True):
    """Where a tracker's frame of reference stands in a picture's.

    Attributes:
        rows: maps a point of the tracker's frame to the picture's, mm.
        tre_mm: target registration error, 95 %, mm; None if nobody told.
        fre_mm: fiducial registration error, RMS, mm; says nothing of the error at a target.
    """

    rows: Rows
    tre_mm: float | None = None
    fre_mm: float | None = None

    def place(self, point_mm: Sequence[float]) -> tuple[float, float, float]:
        """Return where a point of the tracker's frame lies in the picture's, mm."""
        x, y, z = point_mm
        a, b, c = (row[0] * x + row[1] * y + row[2] * z + row[3] for row in self.rows)
        return a, b, c


def rigid(rows: Sequence[Sequence[float]], *, inverse: bool = False) -> Rows:
    """Return the three rows of a rigid transform, turned round if it is told the other way.

    Args:
        rows: three or four of four numbers, mm.
        inverse: they map the picture's frame to the tracker's.

    Raises:
        RegistrationError: no such matrix, not finite, mirrored, or scaled or sheared by more than
            `RIGID_WITHIN`.
    """
    if len(rows) not in (3, 4) or any(len(row) != 4 for row in rows):
        raise RegistrationError(f"a registration is a 4 × 4 matrix; {_HINT}")
    if not all(math.isfinite(v) for row in rows for v in row):
        raise RegistrationError("a registration with numbers that are not finite")
    if len(rows) == 4 and any(
        abs(v - w) > 1e-9 for v, w in zip(rows[3], (0, 0, 0, 1), strict=True)
    ):
        raise RegistrationError("the last row of a registration is not 0 0 0 1")
    columns = [[row[k] for row in rows[:3]] for k in range(3)]
    off = max(
        abs(sum(a * b for a, b in zip(columns[i], columns[j], strict=True)) - (i == j))
        for i in range(3)
        for j in range(i, 3)
    )
    if off > RIGID_WITHIN:
        sizes = ", ".join(f"{math.hypot(*column):.4f}" for column in columns)
        raise RegistrationError(
            f"a registration that is not rigid: off by {off:.2g} (limit {RIGID_WITHIN:g}; its axes "
            f"have lengths {sizes}); register again without scaling"
        )
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = columns
    if (ay * bz - az * by) * cx + (az * bx - ax * bz) * cy + (ax * by - ay * bx) * cz < 0:
        raise RegistrationError("a registration that mirrors; check RAS against LPS")
    shift = [float(row[3]) for row in rows[:3]]
    if max(map(abs, shift)) > FAR_MM:
        raise RegistrationError(
            f"a registration {max(map(abs, shift)):.0f} mm away; check its unit"
        )
    if not inverse:
        return tuple((float(r[0]), float(r[1]), float(r[2]), float(r[3])) for r in rows[:3])
    return tuple(
        (float(x), float(y), float(z), -(x * shift[0] + y * shift[1] + z * shift[2]))
        for x, y, z in columns
    )


def parse(text: str) -> Registration:
    """Return the registration that a file holds: 16 numbers, or JSON.

    Raises:
        RegistrationError: it holds none, or none that is rigid.
    """
    if len(text) > MOST_CHARACTERS:
        raise RegistrationError(f"{len(text)} characters are no registration; {_HINT}")
    if not text.lstrip().startswith("{"):
        try:
            numbers = [float(v) for v in text.replace(",", " ").split()]
        except ValueError:
            raise RegistrationError(f"a registration file that is not numbers; {_HINT}") from None
        if len(numbers) != 16:
            raise RegistrationError(f"{len(numbers)} numbers instead of 16; {_HINT}")
        return Registration(rigid([numbers[k : k + 4] for k in range(0, 16, 4)]))
    try:
        told: dict[str, Any] = json.loads(text)
        rows = [[float(v) for v in row] for row in told["matrix"]]
        inverse = told.get("inverse", False)
        errors = [None if told.get(k) is None else float(told[k]) for k in ("tre_mm", "fre_mm")]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RegistrationError(f"JSON that is no registration; {_HINT}") from None
    strange = sorted(set(told) - _KEYS)
    if strange or not isinstance(inverse, bool):
        raise RegistrationError(f"{(strange or ['inverse'])[0]!r} is not understood; {_HINT}")
    for value in errors:
        if value is not None and not 0 < value <= 100:
            raise RegistrationError(f"an error of {value:g} mm; it must be above 0, at most 100")
    return Registration(rigid(rows, inverse=inverse), *errors)
