"""What an MDIB describes and reports, as plain values: descriptors and states of BICEPS.

Source: ISO/IEEE 11073-10207 (participant model). `scot_devices.sdc.mdib` reads them from XML.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray


class MetricKind(StrEnum):
    """The metric types of BICEPS that SCOT carries."""

    NUMERIC = "NumericMetric"
    WAVEFORM = "RealTimeSampleArrayMetric"
    STRING = "StringMetric"
    ENUM = "EnumStringMetric"


class Coded(msgspec.Struct, frozen=True):
    """A CodedValue: code within its system, the device's own names by language."""

    code: str = ""
    system: str = ""
    symbol: str = ""
    text: dict[str, str] = {}


class Metric(msgspec.Struct, frozen=True):
    """A metric's descriptor; times in s, ranges in the unit."""

    handle: str
    kind: MetricKind
    type: Coded
    unit: Coded
    parent: str
    intermittent: bool
    sample_period_s: float | None
    determination_period_s: float | None
    life_time_s: float | None
    low: float | None
    high: float | None


class Condition(msgspec.Struct, frozen=True):
    """An alert condition's descriptor; `low` and `high` bound its limits (MaxLimits)."""

    handle: str
    type: Coded
    kind: str
    priority: str
    sources: tuple[str, ...]
    low: float | None = None
    high: float | None = None


class Signal(msgspec.Struct, frozen=True):
    """An alert signal's descriptor."""

    handle: str
    condition: str
    manifestation: str


class Operation(msgspec.Struct, frozen=True):
    """A remote operation's descriptor.

    Attributes:
        kind: ``Activate``, ``SetAlertState``, ``SetValue``, …
        target: handle of what it acts on.
        safety: SafetyClassification: ``Inf``, ``MedA``, ``MedB``, ``MedC``; empty if not said.
        limit_s: MaxTimeToFinish, None if the device does not say.
        arguments: of an Activate: name and xsd type.
        modifiable: parts of a state that it may change.
    """

    handle: str
    kind: str
    target: str
    type: Coded
    safety: str
    limit_s: float | None
    arguments: tuple[tuple[str, str], ...]
    modifiable: tuple[str, ...]


class Version(msgspec.Struct, frozen=True):
    """Which MDIB a message speaks of: a new sequence or instance is a restarted device."""

    sequence: str
    instance: str
    version: int


class Mark(msgspec.Struct, frozen=True):
    """An annotation that is applied to one sample of a block (ApplyAnnotation)."""

    type: Coded
    index: int


class MetricState(msgspec.Struct, frozen=True):
    """A metric's value as reported; None when the device has none to give.

    Attributes:
        value: float of a numeric, float32 (n,) of a waveform, text of a string.
        time_ns: DeterminationTime (of a waveform's first sample), device clock, ns since 1970.
        on: the metric is switched on.
        mode: ``Real``, ``Test`` or ``Demo``.
        marks: annotations of a waveform's samples.
    """

    handle: str
    version: int
    value: float | str | NDArray[np.float32] | None
    time_ns: int | None
    validity: str
    on: bool
    mode: str
    marks: tuple[Mark, ...] = ()


class ConditionState(msgspec.Struct, frozen=True):
    """An alert condition as reported; limits in its source's unit."""

    handle: str
    activation: str
    present: bool
    priority: str
    low: float | None
    high: float | None
    time_ns: int | None
    monitored: str = "All"


class SignalState(msgspec.Struct, frozen=True):
    """An alert signal as reported."""

    handle: str
    activation: str
    presence: str


class OperationState(msgspec.Struct, frozen=True):
    """An operation as reported: whether it can be invoked now."""

    handle: str
    enabled: bool


class SystemState(msgspec.Struct, frozen=True):
    """An alert system as reported: its self check is the device's heartbeat."""

    handle: str
    activation: str
    checked_ns: int | None


class ClockState(msgspec.Struct, frozen=True):
    """A device's clock as reported: its own word for how far it may be from UTC, s."""

    handle: str
    accuracy_s: float | None


class PatientState(msgspec.Struct, frozen=True):
    """A patient context as reported: whose monitor it is. Identity; never leaves the room."""

    handle: str
    associated: bool
    name: str


State: TypeAlias = (
    MetricState
    | ConditionState
    | SignalState
    | OperationState
    | SystemState
    | ClockState
    | PatientState
)


class Description(msgspec.Struct, frozen=True):
    """Everything an MDIB describes, in the order of the document, and its heartbeat's period."""

    metrics: dict[str, Metric]
    conditions: dict[str, Condition]
    signals: dict[str, Signal]
    operations: dict[str, Operation]
    self_check_s: float | None
