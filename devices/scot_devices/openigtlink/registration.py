"""The registration of a tracker to a picture: told, judged, and void when it holds no more.

Sans-IO. It comes as a TRANSFORM by its name, as PLUS and 3D Slicer send one, or from a file; what
it is worth is said by one pose and one line of text, on which screens and recordings rely.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scot.channel import Channel, Pose, Sensitivity, Text
from scot.registration import Registration, RegistrationError, parse, rigid
from scot.sample import PoseValue
from scot_devices.openigtlink import rigid as rotation
from scot_devices.openigtlink.messages import Matrix, Transform
from scot_devices.openigtlink.seen import INVISIBLE, seen

AGAIN_NS: Final = 500_000_000
"""It is told again after so long, so that a late page and a seek know it."""

_SAME_MM: Final = 1e-4


class RegistrationOptions(BaseModel):
    """How tools that are told in the tracker's frame come to stand in a picture's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame: Annotated[str, Field(min_length=1, description="of the picture, as in [[volume]]")]
    name: Annotated[
        str, Field(max_length=20, description="of its TRANSFORM, such as ImageToReference")
    ] = ""
    file: Annotated[Path | None, Field(description="16 numbers or JSON, instead of name")] = None
    inverse: Annotated[
        bool, Field(description="it maps the picture's frame to the tracker's: ImageToReference")
    ] = False
    tre_mm: Annotated[
        float | None, Field(gt=0, le=100, description="error at the target, 95 %, mm")
    ] = None
    fre_mm: Annotated[
        float | None, Field(gt=0, le=100, description="error at the fiducials, RMS, mm; shown only")
    ] = None
    reference: Annotated[
        str,
        Field(max_length=32, description="tool that must not move, if tools are not told in it"),
    ] = ""
    moved_mm: Annotated[float, Field(gt=0, le=50, description="then it has moved, mm")] = 1.0
    moved_deg: Annotated[float, Field(gt=0, le=45, description="then it has moved, degrees")] = 0.5
    told_within_s: Annotated[
        float | None, Field(gt=0, le=86_400, description="void when not told for so long, s")
    ] = None

    @model_validator(mode="after")
    def _one_source(self) -> RegistrationOptions:
        if bool(self.name) == bool(self.file):
            raise ValueError("a registration comes from one source; give name (TRANSFORM) or file")
        if self.file and self.told_within_s:
            raise ValueError("a file is told once; leave told_within_s out")
        return self


def channels(options: RegistrationOptions, frame: str) -> tuple[Channel, Channel]:
    """Return the pose and the line of text that a registered tracker offers."""
    attrs: dict[str, Any] = {"maps_from": frame}
    if options.fre_mm is not None:
        attrs["fre_mm"] = options.fre_mm
    pose = Pose(
        "registration",
        label={"en": "Registration", "ja": "レジストレーション"},
        frame=options.frame,
        err_mm=options.tre_mm,
        stale_after_s=3.0,
        attrs=attrs,
    )
    line = Text(
        "registration_state",
        label={"en": "Registration", "ja": "レジストレーション"},
        sensitivity=Sensitivity.CLINICAL,  # its words are ours, and numbers
        stale_after_s=3600.0,
        attrs={"of": "registration"},
    )
    return pose, line


class Register:
    """What is known of the registration on one connection.

    Attributes:
        value: its pose; `INVISIBLE` while there is none.
        line: why, in words of ours.
        changed: whether either changed since `taken`.
    """

    def __init__(self, options: RegistrationOptions) -> None:
        self.options = options
        self.value: PoseValue = INVISIBLE
        self.line = ""
        self.changed = True
        self._told: Registration | None = None
        self._told_ns = 0
        self._refused = "not told yet"
        self._moved = ""
        self._reference: rotation.RigidPose | None = None  # as last seen; None while it is not
        self._reference_then: rotation.RigidPose | None = None
        self._sent_ns: int | None = None
        if options.file is not None:
            self._read(options.file)
        self._judge()

    def _read(self, file: Path) -> None:
        try:
            told = parse(file.read_text(encoding="utf-8"))
            rows = rigid(told.rows, inverse=self.options.inverse)
            self._take(Registration(rows, told.tre_mm, told.fre_mm), 0)
        except (OSError, UnicodeDecodeError):
            self._refused = f"{file.name} cannot be read"
        except RegistrationError as error:
            self._refused = str(error)

    def transform(self, message: Transform, now_ns: int) -> None:
        """Take the TRANSFORM that bears its name."""
        if not seen(message):
            self._refused = "the navigation system says that it is not valid"
            return self._judge()
        try:
            rows = rigid(rows_of(message.matrix), inverse=self.options.inverse)
            errors = [_error(message.metadata.get(key)) for key in ("TRE", "FRE")]
            self._take(Registration(rows, *errors), now_ns)
        except RegistrationError as error:
            self._refused = str(error)
        return self._judge()

    def _take(self, told: Registration, now_ns: int) -> None:
        self._told_ns, self._refused = now_ns, ""
        if self._told is not None and _same(self._told, told):
            return  # the same again: a reference that moved since has still moved
        self._told, self._moved = told, ""
        self._reference_then = self._reference
        self.changed = True

    def reference(self, pose: rotation.RigidPose | None) -> None:
        """Take where the reference stands now; None while it is not seen."""
        self._reference = pose
        if pose is not None and self._told is not None:
            self._reference_then = self._reference_then or pose
            away_mm, away_deg = apart(self._reference_then, pose)
            limits = self.options
            if not self._moved and (away_mm > limits.moved_mm or away_deg > limits.moved_deg):
                self._moved = (
                    f"the reference moved by {away_mm:.1f} mm and {away_deg:.1f}° since (limits "
                    f"{limits.moved_mm:g} mm, {limits.moved_deg:g}°); register again"
                )
        self._judge()

    def due(self, now_ns: int) -> bool:
        """Say whether it is to be told now: it changed, or was not told for `AGAIN_NS`."""
        limit_s = self.options.told_within_s
        if limit_s and not self._refused and now_ns - self._told_ns > limit_s * 1e9:
            self._refused = f"not told for more than {limit_s:g} s"
            self._judge()
        return self.changed or self._sent_ns is None or now_ns - self._sent_ns >= AGAIN_NS

    def taken(self, now_ns: int) -> None:
        """Note that it was told."""
        self.changed = False
        self._sent_ns = now_ns

    def _judge(self) -> None:
        hidden = self.options.reference and self._reference is None
        why = self._refused or self._moved or ("the reference is not seen" if hidden else "")
        told = self._told
        if why or told is None:
            return self._say(INVISIBLE, f"not registered: {why}")
        tre_mm = told.tre_mm if told.tre_mm is not None else self.options.tre_mm
        fre_mm = told.fre_mm if told.fre_mm is not None else self.options.fre_mm
        columns = [told.rows[r][c] for c in range(4) for r in range(3)]
        pose = rotation.pose((*columns,))  # type: ignore[arg-type]
        said = [f"{n} {v:.1f} mm" for n, v in (("TRE", tre_mm), ("FRE", fre_mm)) if v is not None]
        return self._say(
            PoseValue(pose.position_mm, pose.orientation, err_mm=tre_mm),
            " · ".join(["registered", *(said or ["error not told"])]),
        )

    def _say(self, value: PoseValue, line: str) -> None:
        self.changed = self.changed or line != self.line
        self.value, self.line = value, line


def rows_of(matrix: Matrix) -> list[list[float]]:
    """Return a wire matrix as three rows of four."""
    return [[matrix[c * 3 + r] for c in range(4)] for r in range(3)]


def apart(a: rotation.RigidPose, b: rotation.RigidPose) -> tuple[float, float]:
    """Return how far two poses are from each other: mm, degrees."""
    dot = abs(sum(p * q for p, q in zip(a.orientation, b.orientation, strict=True)))
    return math.dist(a.position_mm, b.position_mm), math.degrees(2 * math.acos(min(1.0, dot)))


def _same(a: Registration, b: Registration) -> bool:
    near = all(
        abs(p - q) <= _SAME_MM
        for x, y in zip(a.rows, b.rows, strict=True)
        for p, q in zip(x, y, strict=True)
    )
    return near and (a.tre_mm, a.fre_mm) == (b.tre_mm, b.fre_mm)


def _error(text: str | None) -> float | None:
    """Read an error in mm from a message's metadata; None if it tells none."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if 0 < value <= 100 else None
