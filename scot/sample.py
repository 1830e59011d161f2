"""The one envelope: a channel's value at a timestamp."""

from __future__ import annotations

from enum import IntFlag, StrEnum
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from scot.timestamp import Timestamp

MAX_TTL_S = 1e9  # of an annotation: no longer than times can count


class Flags(IntFlag):
    """Facts about one sample. The first eight travel; the rest are a receiver's own notes."""

    KEYFRAME = 1  # video: decoding can start here
    ARRIVAL = 2  # the device gave no time: stamped when it arrived
    INFERRED = 4  # time of a constant-rate stream without a counter
    SIMULATED = 8  # from a simulator, not from a patient
    INVALID = 16  # the device says: do not use this value
    DOUBTFUL = 32  # the device, or its clock, says: take care
    LATE = 1 << 16  # came after the watermark had passed its time
    BACKFILLED = 1 << 17  # asked back from History after a gap
    AFTER_GAP = 1 << 18  # the samples before this one are missing

    @property
    def wire(self) -> Flags:
        """Only the flags that travel."""
        return Flags(self & 0xFFFF)


_known: dict[int, Flags] = {}


def flags_of(bits: int) -> Flags:
    """Return `Flags(bits)`, which costs more than all else that is done to a header."""
    flags = _known.get(bits)
    if flags is None:
        flags = Flags(bits)
        if len(_known) < 1024:
            _known[bits] = flags
    return flags


class Validity(StrEnum):
    """ISO/IEEE 11073-10207 MeasurementValidity."""

    VALID = "Vld"
    VALIDATED = "Vldated"
    ONGOING = "Ong"
    QUESTIONABLE = "Qst"
    CALIBRATION = "Calib"
    INVALID = "Inv"
    OVERFLOW = "Oflw"
    UNDERFLOW = "Uflw"
    NOT_AVAILABLE = "NA"


class NumericValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One reading in its channel's unit; None when the device has no value."""

    value: float | None
    validity: Validity = Validity.VALID


class PoseValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A tool in its channel's frame of reference.

    Attributes:
        position_mm: x, y, z.
        orientation: unit quaternion x, y, z, w.
        quality: 0 (worst) to 1 (best) as the tracker says; None if it does not.
        visible: False when the tracker cannot see the tool: the pose is then not usable.
        err_mm: likely position error of this very pose, None if unknown.
    """

    position_mm: tuple[float, float, float]
    orientation: tuple[float, float, float, float]
    quality: float | None = None
    visible: bool = True
    err_mm: float | None = None


class AlarmValue(msgspec.Struct, frozen=True, kw_only=True):
    """One alert condition with its signal (ISO/IEEE 11073-10207).

    Attributes:
        id: the condition's handle, unique within the device.
        kind: ``Phy`` physiological, ``Tec`` technical.
        priority: ``None``, ``Lo``, ``Me``, ``Hi``.
        present: the condition holds.
        presence: of the signal: ``On``, ``Off``, ``Latch``, ``Ack``.
        activation: ``On``, ``Off``, ``Psd`` (paused).
        channel: name of the channel it speaks of, empty if none.
        text: what people read, by language.
        value, limit: reading and the limit it broke, in the channel's unit.
    """

    id: str
    kind: str
    priority: str
    present: bool
    presence: str = "On"
    activation: str = "On"
    channel: str = ""
    text: dict[str, str] = {}
    value: float | None = None
    limit: float | None = None


class AnnotationValue(msgspec.Struct, frozen=True, kw_only=True):
    """What a person drew or said, pinned to the frame they saw (DESIGN §9).

    Attributes:
        id: unique; the same id again replaces, `ttl_s` 0 removes.
        channel: address of the picture it belongs to.
        at_ns: bus time of the frame the author saw.
        author: a role name (``consultant 1``), never a person's name.
        tool: ``pointer``, ``ink``, ``arrow``, ``pin``, ``chapter``, ``text``, ``snapshot``.
        points: x, y in 0..1 of the picture, origin top left.
        text: words, for ``chapter`` and ``text``.
        ttl_s: how long it stays on the wall.
    """

    id: str
    channel: str
    at_ns: int
    author: str
    tool: str
    points: list[tuple[float, float]] = []
    text: str = ""
    ttl_s: Annotated[float, Meta(ge=0, le=MAX_TTL_S)] = 8.0


class ImageValue(msgspec.Struct, frozen=True, kw_only=True):
    """A picture or DICOM instance with its geometry."""

    media_type: str
    data: bytes
    width_px: int
    height_px: int
    attrs: dict[str, Any] = {}


Value: TypeAlias = (
    NumericValue
    | NDArray[np.float32]
    | PoseValue
    | bytes
    | ImageValue
    | str
    | dict[str, Any]
    | AlarmValue
    | AnnotationValue
)


class Sample(msgspec.Struct, frozen=True):
    """A channel's value at a timestamp; the one envelope from device to screen.

    Attributes:
        address: ``workspace/device/channel``.
        epoch: start of the publisher, bus ns; a new one means a new count.
        seq: number within channel and epoch, from 0, without holes.
        time: when; of a waveform block, the time of its first value.
        flags: facts about the sample.
        value: by kind: numeric `NumericValue`, waveform float32 (n,), pose `PoseValue`, video
            bytes (Annex B access unit), image `ImageValue`, text str, event dict, alarm
            `AlarmValue`, annotation `AnnotationValue`.
    """

    address: str
    epoch: int
    seq: int
    time: Timestamp
    flags: Flags
    value: Value

    @property
    def device(self) -> str:
        """The device's name, the middle of the address."""
        return self.address.split("/")[1]

    @property
    def channel(self) -> str:
        """The channel's name, the end of the address."""
        return self.address.split("/")[2]
