"""An MDIB as SCOT's channels, and its reports as readings of them. Sans-IO.

A device is a `Mapping` made from its description; each report is handed to it and gives readings.
Alarms go to one channel `alarms`, one value for each alert condition, with its signal, reading and
limit; the patient's name goes to `patient`, which is identity and never leaves the room.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import Element

import msgspec

from scot.channel import Alarm, Channel, Kind, Numeric, Sensitivity, Text, Waveform
from scot.errors import DeviceError
from scot.sample import AlarmValue, Flags, NumericValue, Validity, Value
from scot_devices.sdc import elements, mdib, pacing
from scot_devices.sdc.nomenclature import LIMIT_HIGH, LIMIT_LOW, RANK, TERMS, UCUM, Term, is_mdc
from scot_devices.sdc.operations import Offer, offers

ALARM_REFRESH_NS: Final = 5_000_000_000
"""All alarms are told again after this much device time: a latecomer knows them, and their
channel never looks stale while the alert system checks itself."""

INTERMITTENT_STALE_S: Final = 1_800.0
"""A cuff pressure is shown, with its age, for half an hour."""

STANDING_S: Final = 86_400.0
"""Texts that are told once and stay true: a name, a mode of ventilation."""

_UNUSABLE: Final = frozenset({"Inv", "NA", "Oflw", "Uflw", "Calib"})
_DOUBTFUL: Final = frozenset({"Qst", "Ong"})
_VALIDITIES: Final = {validity.value: validity for validity in Validity}
_KINDS: Final = {"Phy": "Phy", "Tec": "Tec"}
_SIGNAL_RANK: Final = {"Off": 0, "Ack": 1, "Latch": 2, "On": 3}


class Reading(msgspec.Struct, frozen=True):
    """What a report said of one channel.

    Attributes:
        source_ns: device time, ns since 1970; None when the device gave none. Long ago for values
            an MDIB already held, and intermittent ones that are told again.
    """

    channel: Channel
    value: Value
    source_ns: int | None
    flags: Flags


class RestartedError(DeviceError):
    """The device began a new MDIB sequence: it was restarted, or another one took its place."""


def _mdc_code(coded: elements.Coded) -> int | None:
    """The context-free code of a CodedValue in 11073-10101, None in any other system."""
    if is_mdc(coded.system) and coded.code.isdecimal() and len(coded.code) < 10:
        return int(coded.code)
    return None


def _term(metric: elements.Metric) -> Term | None:
    """The term of a metric, if SCOT has one and the metric's kind fits it."""
    code = _mdc_code(metric.type)
    term = None if code is None else TERMS.get(code)
    if term is not None and metric.kind in (elements.MetricKind.STRING, elements.MetricKind.ENUM):
        return None
    return term


def _rank(metric: elements.Metric) -> tuple[bool, int]:
    """Order on a screen: waveforms first, then as in the nomenclature."""
    code = _mdc_code(metric.type)
    return metric.kind is not elements.MetricKind.WAVEFORM, RANK.get(code or 0, len(RANK))


def channel_names(metrics: list[elements.Metric]) -> dict[str, str]:
    """Return each metric's channel name by handle: stable, unique, never a reserved one.

    The first metric of a known code has its short name; others, and those of unknown codes, are
    named after their handles.
    """
    names: dict[str, str] = {}
    taken = {"alarms", "patient", "health", "commands", pacing.NAME}
    for metric in metrics:
        term = _term(metric)
        name = term.name if term is not None else ""
        if not name or name in taken:
            name = re.sub(r"[^a-z0-9]+", "_", metric.handle.lower()).strip("_")[:56]
            if not name[:1].isalpha():
                name = f"m_{name}".rstrip("_")
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique)
        names[metric.handle] = unique
    return names


def _label(metric: elements.Metric, term: Term | None, name: str) -> dict[str, str]:
    if term is not None and term.name == name:
        return {"en": term.en, "ja": term.ja}
    return dict(metric.type.text) or {"en": metric.handle}


def _channel(
    metric: elements.Metric, name: str, limits: tuple[float | None, float | None]
) -> Channel:
    """The channel of one metric, without the numerics beside it."""
    term, code, unit = _term(metric), _mdc_code(metric.type), _mdc_code(metric.unit)
    refid = metric.type.symbol if metric.type.symbol.startswith("MDC_") else ""
    attrs: dict[str, object] = {"handle": metric.handle}
    if code is not None:
        attrs["mdc"] = code
    elif metric.type.code:
        attrs["code"], attrs["coding_system"] = metric.type.code, metric.type.system
    if metric.unit.code and unit not in UCUM:
        attrs["unit_code"], attrs["unit_system"] = metric.unit.code, metric.unit.system
    if metric.type.text:
        attrs["text"] = dict(metric.type.text)
    common = {
        "code": term.refid if term is not None else refid,
        "label": _label(metric, term, name),
        "attrs": attrs,
    }
    if metric.kind in (elements.MetricKind.STRING, elements.MetricKind.ENUM):
        return Text(name, stale_after_s=STANDING_S, **common)
    common["unit"] = UCUM.get(unit or 0, "")
    if metric.kind is elements.MetricKind.WAVEFORM:
        period_s = metric.sample_period_s
        rate_hz = None if not period_s else round(1.0 / period_s, 6)
        scale = {"scale_min": metric.low, "scale_max": metric.high}
        return Waveform(name, rate_hz=rate_hz, stale_after_s=2.0, **scale, **common)
    lower, upper = limits
    if metric.intermittent:
        stale_s = metric.life_time_s or INTERMITTENT_STALE_S
        return Numeric(
            name, latched=True, stale_after_s=stale_s, lower=lower, upper=upper, **common
        )
    period_s = metric.determination_period_s
    stale_s = max(5.0, 3.0 * (period_s or 0.0))
    rate_hz = None if not period_s else 1.0 / period_s
    return Numeric(name, rate_hz=rate_hz, stale_after_s=stale_s, lower=lower, upper=upper, **common)


class Mapping:
    """One device's MDIB and what is known of it now.

    Args:
        message: GetMdibResponse, or any element that holds an MDIB with description and states.

    Attributes:
        channels: by name, in screen order; replaced when the device moves an alarm limit.
        self_check_s: period of the alert system's heartbeat, None if it has none.
        newest_ns: latest device time seen: the device's clock, as far as one can tell.
        accuracy_s: how far that clock is from UTC at most, by the device's word; None if it is
            silent.
        missing: MDIB versions that were never received.

    Raises:
        RemoteProtocolError: the MDIB is malformed or too large.
        DeviceError: it carries no version, so nothing could be followed.
    """

    def __init__(self, message: Element) -> None:
        held = next((e for e in message.iter() if mdib.version(e) is not None), message)
        version = mdib.version(held)
        if version is None:
            raise DeviceError("the device's MDIB has no SequenceId; it does not speak BICEPS")
        described = mdib.description(message)
        self._version = version
        self._described = described
        self._metrics = described.metrics
        self._conditions = described.conditions
        self._signals = described.signals
        self.self_check_s = described.self_check_s
        self.newest_ns: int | None = None
        self.accuracy_s: float | None = None
        self.missing = 0
        ordered = sorted(described.metrics.values(), key=_rank)
        self._names = channel_names(ordered)
        self._condition_states: dict[str, elements.ConditionState] = {}
        self._signal_states: dict[str, elements.SignalState] = {}
        self._disabled: set[str] = set()
        self._last: dict[str, float | None] = {}
        self._told_alarms_ns: int | None = None
        self._snapshot = list(mdib.states(message))
        for state in self._snapshot:
            self._remember(state)
        self._has_waves = any(m.kind is elements.MetricKind.WAVEFORM for m in ordered)
        self.channels = self._describe(ordered)

    @property
    def sequence(self) -> str:
        """Which run of the device this is: its MDIB's sequence and instance."""
        return f"{self._version.sequence} {self._version.instance}".rstrip()

    @property
    def has_waves(self) -> bool:
        """The device streams, so that its silence shows within a second or two."""
        return self._has_waves

    def offers(self, listed: Sequence[str], stopping: Sequence[str] = ()) -> dict[str, Offer]:
        """Return what the device can be told to do now, of what the room file lists."""
        by_handle = {handle: self.channels[name] for handle, name in self._names.items()}
        states, disabled = self._condition_states, frozenset(self._disabled)
        return offers(self._described, states, disabled, by_handle, listed, stopping)

    def condition(self, handle: str) -> elements.ConditionState | None:
        """Return an alert condition as it stands."""
        return self._condition_states.get(handle)

    def snapshot(self) -> list[Reading]:
        """Return the values, alarms and patient that the MDIB itself held."""
        readings = [r for state in self._snapshot for r in self._readings(state)]
        readings.extend(self._alarms(self._conditions, None))
        self._snapshot = []
        return readings

    def report(self, message: Element) -> list[Reading]:
        """Take in one report and return what it says.

        Raises:
            RestartedError: it belongs to another MDIB sequence or instance.
            RemoteProtocolError: it is malformed; nothing of it is used.
        """
        if not self._accept(mdib.version(message)):
            return []
        readings: list[Reading] = []
        touched: dict[str, None] = {}
        checked_ns: int | None = None
        changed_ns: int | None = None
        for state in list(mdib.states(message)):
            before = self._last.get(state.handle)
            self._remember(state)
            readings.extend(self._readings(state))
            if isinstance(state, elements.ConditionState):
                touched[state.handle] = None
                changed_ns = state.time_ns
            elif isinstance(state, elements.SignalState) and state.handle in self._signals:
                touched[self._signals[state.handle].condition] = None
            elif isinstance(state, elements.SystemState):
                checked_ns = state.checked_ns
            elif self._last.get(state.handle) != before and isinstance(state, elements.MetricState):
                touched.update(dict.fromkeys(self._speaking_of(state.handle)))
                changed_ns = state.time_ns
        if checked_ns is not None and self._alarms_due(checked_ns):
            touched.update(dict.fromkeys(self._conditions))
        readings.extend(self._alarms(touched, checked_ns or changed_ns))
        return readings

    def _accept(self, version: elements.Version | None) -> bool:
        """Whether to use a report; counts what is missing before it."""
        if version is None:
            return False
        ours = self._version
        if (version.sequence, version.instance) != (ours.sequence, ours.instance):
            raise RestartedError(
                "the device began a new MDIB sequence (it was restarted); reading it again"
            )
        if version.version < ours.version:
            return False
        self.missing += max(0, version.version - ours.version - 1)
        self._version = version
        return True

    def _remember(self, state: elements.State) -> None:
        """Keep what later readings need: alert states, last values, limits, the device's time."""
        if isinstance(state, elements.ConditionState):
            before = self._condition_states.get(state.handle)
            self._condition_states[state.handle] = state
            if before is not None and (before.low, before.high) != (state.low, state.high):
                self._move_limits(state)
        elif isinstance(state, elements.SignalState):
            self._signal_states[state.handle] = state
        elif isinstance(state, elements.OperationState):
            (self._disabled.discard if state.enabled else self._disabled.add)(state.handle)
        elif isinstance(state, elements.SystemState):
            self._saw(state.checked_ns, live=True)
        elif isinstance(state, elements.ClockState):
            self.accuracy_s = state.accuracy_s if (state.accuracy_s or 0.0) > 0 else None
        elif isinstance(state, elements.MetricState):
            wave = not isinstance(state.value, float | str | None)
            if not wave:
                self._last[state.handle] = state.value if isinstance(state.value, float) else None
            self._saw(state.time_ns, live=wave)

    def _saw(self, time_ns: int | None, live: bool) -> None:
        """Follow the device's clock: waves and self checks are now, even when it went back."""
        if time_ns is not None and (live or time_ns > (self.newest_ns or 0)):
            self.newest_ns = time_ns

    def _describe(self, ordered: list[elements.Metric]) -> dict[str, Channel]:
        channels: dict[str, Channel] = {}
        for metric in ordered:
            channel = _channel(metric, self._names[metric.handle], self._limits(metric.handle))
            channels[channel.name] = channel
        for metric in ordered:
            term = _term(metric)
            name = self._names[metric.handle]
            if (
                metric.kind is elements.MetricKind.WAVEFORM
                and term is not None
                and term.name == name
            ):
                beside = [n for n in term.numerics if n in channels]
                channels[name] = msgspec.structs.replace(channels[name], numeric_of=beside)
        traces = [one for one in channels.values() if one.kind is Kind.WAVEFORM]
        if any(one.code.startswith("MDC_ECG_") for one in traces):
            channels[pacing.NAME] = pacing.channel()
        if self._conditions:
            channels["alarms"] = Alarm("alarms", label={"en": "Alarms", "ja": "アラーム"})
        channels["patient"] = Text(
            "patient",
            label={"en": "Patient", "ja": "患者"},
            sensitivity=Sensitivity.IDENTITY,
            stale_after_s=STANDING_S,
        )
        return channels

    def _speaking_of(self, metric: str) -> Iterator[str]:
        """Conditions that hold now and have this metric as their source."""
        for handle, condition in self._conditions.items():
            state = self._condition_states.get(handle)
            if state is not None and state.present and metric in condition.sources:
                yield handle

    def _limits(self, metric: str) -> tuple[float | None, float | None]:
        """The tightest active limits on a metric: lower, upper."""
        lower: list[float] = []
        upper: list[float] = []
        for handle, condition in self._conditions.items():
            state = self._condition_states.get(handle)
            if state is None or state.activation == "Off" or metric not in condition.sources:
                continue
            code = _mdc_code(condition.type)
            if state.low is not None and code not in LIMIT_HIGH:
                lower.append(state.low)
            if state.high is not None and code not in LIMIT_LOW:
                upper.append(state.high)
        return max(lower, default=None), min(upper, default=None)

    def _move_limits(self, state: elements.ConditionState) -> None:
        """Put a condition's new limits into the channels it speaks of."""
        condition = self._conditions.get(state.handle)
        for source in condition.sources if condition is not None else ():
            name = self._names.get(source)
            if name is not None:
                lower, upper = self._limits(source)
                channel = self.channels[name]
                self.channels[name] = msgspec.structs.replace(channel, lower=lower, upper=upper)

    def _readings(self, state: elements.State) -> Iterator[Reading]:
        if isinstance(state, elements.PatientState):
            if state.associated:
                yield Reading(self.channels["patient"], state.name, None, Flags(0))
        elif isinstance(state, elements.MetricState) and state.handle in self._names:
            reading = self._metric_reading(state)
            if reading is not None:
                yield reading
            paced = self.channels.get(pacing.NAME)
            if state.marks and reading is not None and paced is not None:
                period_s = self._metrics[state.handle].sample_period_s
                own = reading.flags & Flags.SIMULATED
                for at_ns, value in pacing.spikes(state, reading.channel.name, period_s):
                    yield Reading(paced, value, at_ns, own)

    def _metric_reading(self, state: elements.MetricState) -> Reading | None:
        channel = self.channels[self._names[state.handle]]
        kind = self._metrics[state.handle].kind
        flags = Flags(0)
        if state.validity in _UNUSABLE or not state.on:
            flags |= Flags.INVALID
        elif state.validity in _DOUBTFUL:
            flags |= Flags.DOUBTFUL
        if state.mode != "Real":
            flags |= Flags.SIMULATED
        if kind is elements.MetricKind.NUMERIC:
            validity = _VALIDITIES.get(state.validity, Validity.QUESTIONABLE)
            number = state.value if isinstance(state.value, float) and state.on else None
            if state.time_ns is None and number is None:
                return None
            return Reading(channel, NumericValue(number, validity), state.time_ns, flags)
        if state.value is None or isinstance(state.value, float):
            return None
        return Reading(channel, state.value, state.time_ns, flags)

    def _alarms_due(self, checked_ns: int) -> bool:
        """Whether all alarms are to be told again at a self check."""
        told_ns = self._told_alarms_ns
        if told_ns is None or abs(checked_ns - told_ns) >= ALARM_REFRESH_NS:
            self._told_alarms_ns = checked_ns
            return True
        return False

    def _alarms(self, handles: Iterable[str], source_ns: int | None) -> Iterator[Reading]:
        for handle in handles:
            condition = self._conditions.get(handle)
            state = self._condition_states.get(handle)
            if condition is not None and state is not None:
                value = self._alarm(condition, state)
                yield Reading(self.channels["alarms"], value, source_ns, Flags(0))

    def _alarm(self, condition: elements.Condition, state: elements.ConditionState) -> AlarmValue:
        source = next((s for s in condition.sources if s in self._names), "")
        name = self._names.get(source, "")
        reading = self._last.get(source)
        code = _mdc_code(condition.type)
        limit = state.low if code in LIMIT_LOW else state.high if code in LIMIT_HIGH else None
        if limit is None:
            low_broken = reading is not None and state.low is not None and reading < state.low
            limit = state.low if low_broken or state.high is None else state.high
        return AlarmValue(
            id=condition.handle,
            kind=_KINDS.get(condition.kind, "Tec"),
            priority=state.priority or condition.priority,
            present=state.present,
            presence=self._presence(condition.handle, state.present),
            activation=state.activation,
            channel=name,
            text=self._alarm_text(condition, name, code),
            value=reading,
            limit=limit,
        )

    def _presence(self, condition: str, present: bool) -> str:
        """The loudest of a condition's signals; without a signal the condition speaks itself."""
        shown = [
            self._signal_states[signal.handle].presence
            for signal in self._signals.values()
            if signal.condition == condition and signal.handle in self._signal_states
        ]
        if not shown:
            return "On" if present else "Off"
        return max(shown, key=lambda presence: _SIGNAL_RANK.get(presence, 3))

    def _alarm_text(
        self, condition: elements.Condition, name: str, code: int | None
    ) -> dict[str, str]:
        if condition.type.text:
            return dict(condition.type.text)
        channel = self.channels.get(name)
        label = channel.label if channel is not None else {"en": condition.handle}
        words = {"en": "alarm", "ja": "アラーム"}
        if code in LIMIT_HIGH:
            words = {"en": "high", "ja": "高い"}
        elif code in LIMIT_LOW:
            words = {"en": "low", "ja": "低い"}
        return {lang: f"{text} {words.get(lang, words['en'])}" for lang, text in label.items()}
