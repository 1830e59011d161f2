"""BICEPS XML read into plain values: what a device describes, and the states it reports.

Sans-IO. It takes parsed elements (of lxml or of the standard library, they look alike) and never
the network's word for their size: counts and lengths are bounded, numbers must be numbers. What is
unknown (extensions, newer types) is passed over.

Source: ISO/IEEE 11073-10207 (participant and message model).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Final
from xml.etree.ElementTree import Element

import msgspec
import numpy as np
from numpy.typing import NDArray

from scot.errors import RemoteProtocolError
from scot_devices.sdc.elements import (
    ClockState,
    Coded,
    Condition,
    ConditionState,
    Description,
    Mark,
    Metric,
    MetricKind,
    MetricState,
    Operation,
    OperationState,
    PatientState,
    Signal,
    SignalState,
    State,
    SystemState,
    Version,
)

MAX_DESCRIPTORS: Final = 5_000
MAX_STATES: Final = 5_000
MAX_SAMPLES: Final = 20_000
MAX_MARKS: Final = 64
MAX_TEXT: Final = 1_000

_XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_DURATION: Final = re.compile(
    r"^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$"
)


_KINDS: Final = frozenset(kind.value for kind in MetricKind)
_WAVE_STATE: Final = "RealTimeSampleArrayMetricState"


def local(tag: object) -> str:
    """Return an element's or type's name without namespace or prefix."""
    return str(tag).rpartition("}")[2].rpartition(":")[2]


def _children(element: Element) -> Iterator[tuple[str, Element]]:
    """Child elements with their local names; comments and the like are passed over."""
    for child in element:
        if isinstance(child.tag, str):
            yield local(child.tag), child


def _child(element: Element, name: str) -> Element | None:
    return next((child for tag, child in _children(element) if tag == name), None)


def _decimal(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(Decimal(text))
    except InvalidOperation:
        raise RemoteProtocolError(f"{text[:40]!r} is not a decimal number") from None
    if not np.isfinite(number):
        raise RemoteProtocolError(f"{text[:40]!r} is not a finite number")
    return number


def _whole(text: str | None, default: int = 0) -> int:
    if text is None:
        return default
    if not text.strip().lstrip("-").isdecimal() or len(text) > 20:
        raise RemoteProtocolError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _time_ns(text: str | None) -> int | None:
    """BICEPS Timestamp (ms since 1970) to ns."""
    return None if text is None else _whole(text) * 1_000_000


def duration_s(text: str | None) -> float | None:
    """Return an xsd:duration in seconds; months and years have no fixed length and are refused.

    Raises:
        RemoteProtocolError: it is no duration that a device can mean.
    """
    if text is None:
        return None
    found = _DURATION.match(text.strip())
    if found is None or int(found[1] or 0) or int(found[2] or 0):
        raise RemoteProtocolError(f"{text[:40]!r} is not a duration of days to seconds")
    days, hours, minutes = (int(found[k] or 0) for k in (3, 4, 5))
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(found[6] or 0)


def _text(element: Element | None) -> str:
    return "" if element is None else (element.text or "").strip()[:MAX_TEXT]


def coded(element: Element | None) -> Coded:
    """Read a CodedValue; an absent one is empty."""
    if element is None:
        return Coded()
    texts = {
        (child.get("Lang") or "en").partition("-")[0]: _text(child)
        for tag, child in _children(element)
        if tag == "ConceptDescription"
    }
    return Coded(
        element.get("Code") or "",
        element.get("CodingSystem") or "",
        element.get("SymbolicCodeName") or "",
        texts,
    )


def version(element: Element) -> Version | None:
    """Read the MDIB version of a message; None when it carries none."""
    sequence = element.get("SequenceId")
    if sequence is None:
        return None
    instance = element.get("InstanceId") or ""
    return Version(sequence, instance, _whole(element.get("MdibVersion")))


def description(mdib: Element) -> Description:
    """Read the MdDescription of a message with an ``Mdib`` in it.

    Raises:
        RemoteProtocolError: a value is malformed or there are more than `MAX_DESCRIPTORS`.
    """
    found = Description({}, {}, {}, {}, None)
    top = next((e for e in mdib.iter() if local(e.tag) == "MdDescription"), None)
    if top is None:
        raise RemoteProtocolError("the device's MDIB has no MdDescription")
    check_s: float | None = None
    parents = {child: parent for parent in top.iter() for child in parent}
    for count, element in enumerate(top.iter()):
        if count > MAX_DESCRIPTORS * 20:
            raise RemoteProtocolError(f"more than {MAX_DESCRIPTORS} descriptors in one MDIB")
        handle = element.get("Handle")
        if handle is None:
            continue
        tag = local(element.tag)
        if tag == "Metric":
            metric = _metric(handle, element, parents[element].get("Handle") or "")
            if metric is not None:
                found.metrics[handle] = metric
        elif tag == "AlertCondition":
            found.conditions[handle] = _condition(handle, element)
        elif tag == "AlertSignal":
            signalled = element.get("ConditionSignaled") or ""
            manifestation = element.get("Manifestation") or ""
            found.signals[handle] = Signal(handle, signalled, manifestation)
        elif tag == "Operation":
            found.operations[handle] = _operation(handle, element)
        elif tag == "AlertSystem":
            period_s = duration_s(element.get("SelfCheckPeriod"))
            check_s = min(filter(None, (check_s, period_s)), default=None)
    return msgspec.structs.replace(found, self_check_s=check_s)


def _metric(handle: str, element: Element, parent: str) -> Metric | None:
    kind = local(element.get(_XSI_TYPE) or "").removesuffix("Descriptor")
    if kind not in _KINDS:
        return None
    bounds = _child(element, "TechnicalRange")
    return Metric(
        handle=handle,
        kind=MetricKind(kind),
        type=coded(_child(element, "Type")),
        unit=coded(_child(element, "Unit")),
        parent=parent,
        intermittent=element.get("MetricAvailability") == "Intr",
        sample_period_s=duration_s(element.get("SamplePeriod")),
        determination_period_s=duration_s(element.get("DeterminationPeriod")),
        life_time_s=duration_s(element.get("LifeTimePeriod")),
        low=None if bounds is None else _decimal(bounds.get("Lower")),
        high=None if bounds is None else _decimal(bounds.get("Upper")),
    )


def _condition(handle: str, element: Element) -> Condition:
    bounds = _child(element, "MaxLimits")
    return Condition(
        handle=handle,
        type=coded(_child(element, "Type")),
        kind=element.get("Kind") or "Oth",
        priority=element.get("Priority") or "None",
        sources=tuple(_text(child) for tag, child in _children(element) if tag == "Source"),
        low=None if bounds is None else _decimal(bounds.get("Lower")),
        high=None if bounds is None else _decimal(bounds.get("Upper")),
    )


def _operation(handle: str, element: Element) -> Operation:
    arguments = [child for tag, child in _children(element) if tag == "Argument"]
    return Operation(
        handle=handle,
        kind=local(element.get(_XSI_TYPE) or "").removesuffix("OperationDescriptor"),
        target=element.get("OperationTarget") or "",
        type=coded(_child(element, "Type")),
        safety=element.get("SafetyClassification") or "",
        limit_s=duration_s(element.get("MaxTimeToFinish")),
        arguments=tuple(
            (coded(_child(one, "ArgName")).code, local(_text(_child(one, "Arg"))))
            for one in arguments
        ),
        modifiable=tuple(
            _text(child) for tag, child in _children(element) if tag == "ModifiableData"
        ),
    )


def states(message: Element) -> Iterator[State]:
    """Yield every state SCOT carries in a report, waveform stream or MDIB, in document order.

    Raises:
        RemoteProtocolError: a state is malformed; those before it were good.
    """
    count = 0
    for element in message.iter():
        kind = element.get(_XSI_TYPE) or (_WAVE_STATE if local(element.tag) == "State" else "")
        kind = local(kind)
        if not kind.endswith("State"):
            continue
        count += 1
        if count > MAX_STATES:
            raise RemoteProtocolError(f"more than {MAX_STATES} states in one message")
        state = _state(kind, element)
        if state is not None:
            yield state


def _state(kind: str, element: Element) -> State | None:
    handle = element.get("DescriptorHandle") or ""
    activation = element.get("ActivationState") or "On"
    if kind.removesuffix("State") in _KINDS:
        return _metric_state(handle, kind, element, activation == "On")
    if kind in ("AlertConditionState", "LimitAlertConditionState"):
        limits = _child(element, "Limits")
        return ConditionState(
            handle=handle,
            activation=activation,
            present=element.get("Presence") in ("true", "1"),
            priority=element.get("ActualPriority") or "",
            low=None if limits is None else _decimal(limits.get("Lower")),
            high=None if limits is None else _decimal(limits.get("Upper")),
            time_ns=_time_ns(element.get("DeterminationTime")),
            monitored=element.get("MonitoredAlertLimits") or "All",
        )
    if kind.endswith("OperationState"):
        return OperationState(handle, (element.get("OperatingMode") or "En") == "En")
    if kind == "AlertSignalState":
        return SignalState(handle, activation, element.get("Presence") or "Off")
    if kind == "AlertSystemState":
        return SystemState(handle, activation, _time_ns(element.get("LastSelfCheck")))
    if kind == "ClockState":
        return ClockState(handle, _decimal(element.get("Accuracy")))
    if kind == "PatientContextState":
        core = _child(element, "CoreData")
        names = [] if core is None else [_child(core, n) for n in ("Familyname", "Givenname")]
        name = ", ".join(filter(None, map(_text, names)))
        return PatientState(handle, element.get("ContextAssociation") == "Assoc", name)
    return None


def _metric_state(handle: str, kind: str, element: Element, on: bool) -> MetricState:
    holder = _child(element, "MetricValue")
    value: float | str | NDArray[np.float32] | None = None
    time_ns, validity, mode = None, "NA", "Real"
    marks: tuple[Mark, ...] = ()
    if holder is not None:
        quality = _child(holder, "MetricQuality")
        validity = "Vld" if quality is None else quality.get("Validity") or "Vld"
        mode = "Real" if quality is None else quality.get("Mode") or "Real"
        time_ns = _time_ns(holder.get("DeterminationTime"))
        if kind == _WAVE_STATE:
            value = _samples(holder.get("Samples"))
            marks = _marks(holder, 0 if value is None else value.size)
        elif kind == "NumericMetricState":
            value = _decimal(holder.get("Value"))
        else:
            text = holder.get("Value")
            value = None if text is None else text[:MAX_TEXT]
    state_version = _whole(element.get("StateVersion"))
    return MetricState(handle, state_version, value, time_ns, validity, on, mode, marks)


def _marks(holder: Element, samples: int) -> tuple[Mark, ...]:
    """Read the annotations of a block's samples; those of samples it does not have are left out.

    Source: ISO/IEEE 11073-10207, AbstractMetricValue Annotation, SampleArrayValue ApplyAnnotation.
    """
    types = [coded(_child(one, "Type")) for name, one in _children(holder) if name == "Annotation"]
    marks = []
    for name, applied in _children(holder):
        if name != "ApplyAnnotation":
            continue
        which = _whole(applied.get("AnnotationIndex"), -1)
        index = _whole(applied.get("SampleIndex"), -1)
        if 0 <= which < len(types) and 0 <= index < samples:
            marks.append(Mark(types[which], index))
        if len(marks) > MAX_MARKS:
            raise RemoteProtocolError(f"more than {MAX_MARKS} annotations of one block")
    return tuple(marks)


def _samples(text: str | None) -> NDArray[np.float32] | None:
    """Read a list of xsd:decimal; (n,) float32, None when there is none."""
    if text is None:
        return None
    words = text.split()
    if len(words) > MAX_SAMPLES:
        raise RemoteProtocolError(f"{len(words)} samples in one block (limit {MAX_SAMPLES})")
    try:
        samples = np.array(words, dtype=np.float32)
    except ValueError:
        raise RemoteProtocolError(f"a waveform holds {text[:40]!r}, not numbers") from None
    if not np.isfinite(samples).all():
        raise RemoteProtocolError("a waveform holds values that are not finite")
    return samples
