"""Channels and the catalogue: what a workspace offers, described well enough to draw it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import msgspec

from scot.errors import CodecError

NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
NAME_RULE = "a small letter, then small letters, digits or _ (at most 63)"


class Kind(StrEnum):
    """What a channel's samples are."""

    NUMERIC = "numeric"
    WAVEFORM = "waveform"
    POSE = "pose"
    VIDEO = "video"
    IMAGE = "image"
    TEXT = "text"
    EVENT = "event"
    ALARM = "alarm"
    ANNOTATION = "annotation"

    __hash__ = str.__hash__  # an enum's own is Python code, and every sample looks its kind up


BULK = frozenset({Kind.VIDEO, Kind.IMAGE})


class Sensitivity(StrEnum):
    """What may leave the room (DESIGN §10); a channel that says nothing is `unclassified`."""

    CLINICAL = "clinical"  # no identity in it: may be shown to a consultant
    IDENTITY = "identity"  # names, numbers, faces: never leaves
    TECHNICAL = "technical"  # health, clocks
    UNCLASSIFIED = "unclassified"  # not sent to remote people


class Channel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One self-described typed stream of a device.

    Attributes:
        name: last part of the address.
        kind: what the samples are.
        unit: UCUM code (``mm[Hg]``, ``/min``, ``%``, ``mV``), empty if none.
        code: MDC reference id (IEEE 11073-10101), empty if none.
        rate_hz: samples a second: readings, waveform values, frames; None if irregular.
        label: what people call it, by language.
        sensitivity: what may leave the room.
        latched: the last value stays true until the next (alarm, state): sent to late joiners.
        lower, upper: alarm limits of the device at announcement; None if it has none.
        stale_after_s: age at which a screen must stop showing the value.
        frame: frame of reference of poses and images (``mni152``), empty if none.
        codec: of video: ``h264``.
        width_px, height_px: of video and images.
        numeric_of: names of the numerics that belong to a waveform, in reading order.
        scale_min, scale_max: usual drawing range of a waveform.
        err_mm: declared accuracy of a pose (95 %), None if the device does not say.
        attrs: anything else, plain values only.
    """

    name: str
    kind: Kind
    unit: str = ""
    code: str = ""
    rate_hz: float | None = None
    label: dict[str, str] = {}
    sensitivity: Sensitivity = Sensitivity.UNCLASSIFIED
    latched: bool = False
    lower: float | None = None
    upper: float | None = None
    stale_after_s: float = 5.0
    frame: str = ""
    codec: str = ""
    width_px: int | None = None
    height_px: int | None = None
    numeric_of: list[str] = []
    scale_min: float | None = None
    scale_max: float | None = None
    err_mm: float | None = None
    attrs: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse a name that cannot be part of an address."""
        if not NAME.fullmatch(self.name):
            raise CodecError(f"channel name {self.name!r} is not allowed; use {NAME_RULE}")


def _declare(kind: Kind, name: str, **more: Any) -> Channel:
    return Channel(name=name, kind=kind, **more)


def Numeric(name: str, **more: Any) -> Channel:  # noqa: N802 - reads as a type in a provider
    """Declare a numeric: one value at a time (IEEE 11073-10201 NumericMetric)."""
    return _declare(Kind.NUMERIC, name, **{"sensitivity": Sensitivity.CLINICAL, **more})


def Waveform(name: str, **more: Any) -> Channel:  # noqa: N802
    """Declare a waveform: blocks of equally spaced values (RealTimeSampleArray)."""
    return _declare(Kind.WAVEFORM, name, **{"sensitivity": Sensitivity.CLINICAL, **more})


def Pose(name: str, **more: Any) -> Channel:  # noqa: N802
    """Declare a pose: where a tool is (OpenIGTLink TRANSFORM)."""
    default = {"unit": "mm", "sensitivity": Sensitivity.CLINICAL, "stale_after_s": 1.0}
    return _declare(Kind.POSE, name, **{**default, **more})


def Video(name: str, **more: Any) -> Channel:  # noqa: N802
    """Declare a video: one H.264 Annex B access unit a sample."""
    default = {"codec": "h264", "sensitivity": Sensitivity.CLINICAL, "stale_after_s": 1.0}
    return _declare(Kind.VIDEO, name, **{**default, **more})


def Alarm(name: str, **more: Any) -> Channel:  # noqa: N802
    """Declare an alarm channel (BICEPS alert conditions and signals)."""
    default = {"sensitivity": Sensitivity.CLINICAL, "latched": True, "stale_after_s": 10.0}
    return _declare(Kind.ALARM, name, **{**default, **more})


def Text(name: str, **more: Any) -> Channel:  # noqa: N802
    """Declare a text: a line for people; unclassified until somebody says otherwise."""
    return _declare(Kind.TEXT, name, **{"latched": True, **more})


def Event(name: str, **more: Any) -> Channel:  # noqa: N802
    """Declare an event: something that happened, as a map of plain values."""
    return _declare(Kind.EVENT, name, **{"sensitivity": Sensitivity.TECHNICAL, **more})


def Annotation(name: str, **more: Any) -> Channel:  # noqa: N802
    """Declare annotations: pointers, ink, pins and chapters made by people."""
    return _declare(Kind.ANNOTATION, name, **{"sensitivity": Sensitivity.CLINICAL, **more})


class Risk(StrEnum):
    """What a command can do to the patient; the classes of IEC 62304, clause 4.3.

    ISO/IEEE 11073-10207 calls them SafetyClassification: Inf and MedA, MedB, MedC.
    """

    LOW = "low"  # class A: no injury
    MEDIUM = "medium"  # class B: no serious injury
    HIGH = "high"  # class C: serious injury; needs two persons


class ArgumentType(StrEnum):
    """What an argument's value is."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    TEXT = "text"


class Argument(msgspec.Struct, frozen=True, omit_defaults=True):
    """One argument of a command. Each must be given in a call: there are no defaults.

    Attributes:
        name: as in a call.
        type: of the value.
        unit: UCUM; a number with a unit is sent as ``[value, unit]`` and refused in another.
        lower, upper: limits, inclusive, in the unit; of a text, of its length.
        choices: of a choice.
        label: what people call it, by language.
    """

    name: str
    type: ArgumentType = ArgumentType.NUMBER
    unit: str = ""
    lower: float | None = None
    upper: float | None = None
    choices: list[str] = []
    label: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse a name that a call could not carry."""
        if not NAME.fullmatch(self.name):
            raise CodecError(f"argument name {self.name!r} is not allowed; use {NAME_RULE}")


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """A guarded call that a device offers; the rules are in `scot.arbiter`.

    Attributes:
        name: last part of its address (``or1/monitor/nibp_start``).
        risk: ``high`` needs a second person who confirms.
        arguments: all of them, in the order they are shown.
        label: what people call it, by language.
        roles: who may ask and confirm.
        stops: only ever makes the device safer: given without control of it, whoever has that.
        limit_s: its outcome is unknown when the device has not told it by then.
        confirm_within_s: how long a second person has.
        code: MDC reference id, empty if none.
        attrs: anything else, plain values only.
    """

    name: str
    risk: Risk = Risk.HIGH
    arguments: list[Argument] = []
    label: dict[str, str] = {}
    roles: tuple[str, ...] = ("or_staff",)
    stops: bool = False
    limit_s: float = 30.0
    confirm_within_s: float = 30.0
    code: str = ""
    attrs: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse a name that cannot be part of an address."""
        if not NAME.fullmatch(self.name):
            raise CodecError(f"command name {self.name!r} is not allowed; use {NAME_RULE}")


class Lifecycle(StrEnum):
    """Where a device stands (DESIGN §6)."""

    CREATED = "created"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RUNNING = "running"
    DEGRADED = "degraded"
    DISCONNECTED = "disconnected"
    FAULT = "fault"


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One connected thing in the catalogue, with its channels and commands by name."""

    name: str
    provider: str
    label: dict[str, str] = {}
    state: Lifecycle = Lifecycle.CREATED
    reason: str = ""
    epoch: int = 0
    channels: dict[str, Channel] = {}
    commands: dict[str, Command] = {}


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Every device and channel of a workspace. `version` grows with each change.

    Attributes:
        replay: the workspace plays a recording; commands are refused and screens say so.
        title, case: for people; `case` never holds a patient's name.
        time_zone: IANA name of the zone that clocks in the room read; empty where nobody said.
        volumes: frames of reference that have a picture: frame to file stem.
    """

    workspace: str
    version: int = 0
    replay: bool = False
    title: dict[str, str] = {}
    case: str = ""
    devices: dict[str, Device] = {}
    volumes: dict[str, str] = {}
    time_zone: str = ""

    def channel(self, address: str) -> Channel | None:
        """Return the channel at `address` (``or1/monitor/hr``), or None."""
        workspace, _, rest = address.partition("/")
        device, _, name = rest.partition("/")
        if workspace != self.workspace or device not in self.devices:
            return None
        return self.devices[device].channels.get(name)

    def command(self, address: str) -> Command | None:
        """Return the command at `address` (``or1/monitor/nibp_start``), or None."""
        workspace, _, rest = address.partition("/")
        device, _, name = rest.partition("/")
        if workspace != self.workspace or device not in self.devices:
            return None
        return self.devices[device].commands.get(name)

    def addresses(self) -> list[str]:
        """Every channel's address, in catalogue order."""
        return [
            f"{self.workspace}/{device.name}/{name}"
            for device in self.devices.values()
            for name in device.channels
        ]

    def with_device(self, device: Device) -> Catalogue:
        """Return the next version, with `device` added or replaced."""
        devices = {**self.devices, device.name: device}
        return msgspec.structs.replace(self, version=self.version + 1, devices=devices)
