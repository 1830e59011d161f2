"""What the simulated monitor says it is: its MDIB, written out from three tables.

The description follows ISO/IEEE 11073-10207 (BICEPS): one MDS, a VMD and a channel for each
measuring module, metrics with MDC codes (IEEE 11073-10101, context-free) and units, one alert
system with a limit condition for each side of a limit and a visible signal for each condition, and
a service control object: the cuff can be started and stopped, and each alarm limit moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

PM = "http://standards.ieee.org/downloads/11073/11073-10207-2017/participant"
MSG = "http://standards.ieee.org/downloads/11073/11073-10207-2017/message"

ALERT_SYSTEM: Final = "alerts"
PATIENT: Final = "context.patient"
LOCATION: Final = "context.location"
LEAD_OFF: Final = "alert.ecg.lead_off"
SELF_CHECK_S: Final = 1

MMHG: Final = 266016
PER_MIN: Final = 264864
BREATHS: Final = 264928
PERCENT: Final = 262688
MILLIVOLT: Final = 266418
CELSIUS: Final = 268192
OHM: Final = 266432

MODULES: Final = {
    "ecg": "ECG",
    "art": "Arterial pressure",
    "nibp": "Non-invasive blood pressure",
    "spo2": "Pulse oximeter",
    "gas": "Sidestream gas analyser",
    "temp": "Temperature",
}


@dataclass(frozen=True)
class Metric:
    """A numeric, or with `period_s` a waveform.

    Attributes:
        name: of the measurement in this program; the handle is derived from it.
        code, unit: MDC context-free codes.
        digits: decimals the device resolves.
        low, high: technical range, in the unit; what a screen would draw.
    """

    name: str
    module: str
    code: int
    unit: int
    text: str
    text_ja: str
    digits: int
    low: float
    high: float
    period_s: str = ""
    intermittent: bool = False

    @property
    def handle(self) -> str:
        """Descriptor handle."""
        return f"{'wave' if self.period_s else 'numeric'}.{self.name}"


NUMERICS: Final = (
    Metric("hr", "ecg", 147842, PER_MIN, "Heart rate", "心拍数", 0, 15, 300),
    Metric("rr", "ecg", 151562, BREATHS, "Respiration rate", "呼吸数", 0, 1, 120),
    Metric("art_sys", "art", 150033, MMHG, "Arterial systolic", "動脈圧 収縮期", 0, -30, 300),
    Metric("art_dia", "art", 150034, MMHG, "Arterial diastolic", "動脈圧 拡張期", 0, -30, 300),
    Metric("art_mean", "art", 150035, MMHG, "Arterial mean", "動脈圧 平均", 0, -30, 300),
    Metric("nibp_sys", "nibp", 150021, MMHG, "NIBP systolic", "非観血血圧 収縮期", 0, 30, 260,
           intermittent=True),
    Metric("nibp_dia", "nibp", 150022, MMHG, "NIBP diastolic", "非観血血圧 拡張期", 0, 20, 220,
           intermittent=True),
    Metric("nibp_mean", "nibp", 150023, MMHG, "NIBP mean", "非観血血圧 平均", 0, 25, 240,
           intermittent=True),
    Metric("spo2", "spo2", 150456, PERCENT, "Oxygen saturation", "酸素飽和度", 0, 0, 100),
    Metric("pr", "spo2", 149530, PER_MIN, "Pulse rate", "脈拍数", 0, 20, 300),
    Metric("etco2", "gas", 151708, MMHG, "End-tidal CO2", "呼気終末CO2", 0, 0, 150),
    Metric("temp_core", "temp", 150368, CELSIUS, "Core temperature", "深部体温", 1, 10, 45),
)  # fmt: skip

WAVES: Final = (
    Metric("ecg_ii", "ecg", 131330, MILLIVOLT, "ECG lead II", "心電図 II", 3, -1, 2, "PT0.004S"),
    Metric("ecg_v5", "ecg", 131335, MILLIVOLT, "ECG lead V5", "心電図 V5", 3, -1, 2, "PT0.004S"),
    Metric("resp", "ecg", 151780, OHM, "Impedance respiration", "呼吸曲線", 3, -0.2, 1.2,
           "PT0.016S"),
    Metric("art", "art", 150032, MMHG, "Arterial pressure", "動脈圧波形", 1, 0, 160, "PT0.008S"),
    Metric("pleth", "spo2", 150452, PERCENT, "Plethysmogram", "脈波", 1, 0, 100, "PT0.008S"),
    Metric("co2", "gas", 151700, MMHG, "Capnogram", "カプノグラム", 1, 0, 50, "PT0.016S"),
)  # fmt: skip

METRICS: Final = (*NUMERICS, *WAVES)


@dataclass(frozen=True)
class Limit:
    """One side of an alarm limit; `upper` says which."""

    source: str
    upper: bool
    at: float
    priority: str
    text: str
    text_ja: str
    latching: bool = False

    @property
    def handle(self) -> str:
        """Descriptor handle of the condition."""
        return f"alert.{self.source}.{'high' if self.upper else 'low'}"


LIMITS: Final = (
    Limit("hr", True, 110, "Me", "HR high", "心拍数 高い"),
    Limit("hr", False, 50, "Me", "HR low", "心拍数 低い"),
    Limit("spo2", False, 90, "Me", "SpO2 low", "SpO2 低い", latching=True),
    Limit("art_mean", True, 110, "Me", "ART mean high", "平均動脈圧 高い"),
    Limit("art_mean", False, 60, "Hi", "ART mean low", "平均動脈圧 低い", latching=True),
    Limit("etco2", True, 45, "Lo", "etCO2 high", "etCO2 高い"),
    Limit("etco2", False, 30, "Lo", "etCO2 low", "etCO2 低い"),
    Limit("rr", True, 24, "Me", "RR high", "呼吸数 高い"),
    Limit("rr", False, 8, "Me", "RR low", "呼吸数 低い"),
    Limit("temp_core", True, 38.5, "Lo", "Temp high", "体温 高い"),
    Limit("temp_core", False, 35.0, "Lo", "Temp low", "体温 低い"),
)


CUFF_START: Final = "op.nibp.start"
CUFF_STOP: Final = "op.nibp.stop"


def limit_handle(limit: Limit) -> str:
    """Descriptor handle of the operation that moves a limit."""
    return limit.handle.replace("alert.", "op.limit.", 1)


def signal_handle(condition: str) -> str:
    """Descriptor handle of a condition's visible signal."""
    return f"{condition}.visible"


def _coded(tag: str, code: int | str, text: str = "", text_ja: str = "", system: str = "") -> str:
    """One CodedValue element; without a coding system a code is MDC (10207, clause B.6)."""
    where = f' CodingSystem="{system}"' if system else ""
    names = (
        f'<pm:ConceptDescription Lang="en">{escape(text)}</pm:ConceptDescription>' if text else ""
    )
    if text_ja:
        names += f'<pm:ConceptDescription Lang="ja">{escape(text_ja)}</pm:ConceptDescription>'
    return f'<pm:{tag} Code="{code}"{where}>{names}</pm:{tag}>'


def _metric(metric: Metric) -> str:
    kind = "RealTimeSampleArrayMetricDescriptor" if metric.period_s else "NumericMetricDescriptor"
    extra = f' SamplePeriod="{metric.period_s}"' if metric.period_s else ""
    if not metric.period_s and not metric.intermittent:
        extra = ' DeterminationPeriod="PT1S"'
    availability = "Intr" if metric.intermittent else "Cont"
    resolution = f"{10.0**-metric.digits:.{metric.digits}f}"
    return (
        f'<pm:Metric xsi:type="pm:{kind}" Handle="{metric.handle}" SafetyClassification="MedB"'
        f' MetricCategory="Msrmt" MetricAvailability="{availability}"'
        f' Resolution="{resolution}"{extra}>'
        + _coded("Type", metric.code, metric.text, metric.text_ja)
        + _coded("Unit", metric.unit)
        + f'<pm:TechnicalRange Lower="{metric.low}" Upper="{metric.high}"/></pm:Metric>'
    )


def _module(name: str) -> str:
    metrics = "".join(_metric(metric) for metric in METRICS if metric.module == name)
    return (
        f'<pm:Vmd Handle="vmd.{name}" SafetyClassification="MedB">'
        f'<pm:Channel Handle="channel.{name}" SafetyClassification="MedB">{metrics}</pm:Channel>'
        "</pm:Vmd>"
    )


def _limit(limit: Limit) -> str:
    metric = next(m for m in NUMERICS if m.name == limit.source)
    code = 196650 if limit.upper else 196672  # MDC_EVT_HI_GT_LIM, MDC_EVT_LO_LT_LIM
    return (
        f'<pm:AlertCondition xsi:type="pm:LimitAlertConditionDescriptor" Handle="{limit.handle}"'
        f' SafetyClassification="MedB" Kind="Phy" Priority="{limit.priority}"'
        ' DefaultConditionGenerationDelay="PT2S">'
        + _coded("Type", code, limit.text, limit.text_ja)
        + f"<pm:Source>{metric.handle}</pm:Source>"
        + f'<pm:MaxLimits Lower="{metric.low}" Upper="{metric.high}"/></pm:AlertCondition>'
    )


def _signal(condition: str, latching: bool) -> str:
    return (
        f'<pm:AlertSignal Handle="{signal_handle(condition)}" SafetyClassification="MedB"'
        f' ConditionSignaled="{condition}" Manifestation="Vis"'
        f' Latching="{"true" if latching else "false"}"/>'
    )


def _alert_system() -> str:
    lead_off = (
        f'<pm:AlertCondition Handle="{LEAD_OFF}" SafetyClassification="MedB" Kind="Tec"'
        ' Priority="Lo">'
        + _coded("Type", "ecg_lead_off", "ECG lead off", "心電図 電極外れ", "urn:scot:simulator")
        + "<pm:Source>wave.ecg_ii</pm:Source></pm:AlertCondition>"
    )
    return (
        f'<pm:AlertSystem Handle="{ALERT_SYSTEM}" SafetyClassification="MedB"'
        f' SelfCheckPeriod="PT{SELF_CHECK_S}S">'
        + "".join(_limit(limit) for limit in LIMITS)
        + lead_off
        + "".join(_signal(limit.handle, limit.latching) for limit in LIMITS)
        + _signal(LEAD_OFF, latching=False)
        + "</pm:AlertSystem>"
    )


def _operation(kind: str, handle: str, target: str, risk: str, limit_s: int, inside: str) -> str:
    return (
        f'<pm:Operation xsi:type="pm:{kind}OperationDescriptor" Handle="{handle}"'
        f' SafetyClassification="{risk}" OperationTarget="{target}"'
        f' MaxTimeToFinish="PT{limit_s}S" Retriggerable="false">{inside}</pm:Operation>'
    )


def _control() -> str:
    """The service control object; a wrong limit hides a danger, so it is of the highest class."""
    own = "urn:scot:simulator"
    start = _coded("Type", "nibp_start", "Start NIBP", "血圧測定 開始", own)
    stop = _coded("Type", "nibp_stop", "Stop NIBP", "血圧測定 中止", own)
    limits = "".join(
        _operation(
            "SetAlertState",
            limit_handle(limit),
            limit.handle,
            "MedC",
            5,
            _coded("Type", "alarm_limit", f"{limit.text} limit", f"{limit.text_ja} 限界値", own)
            + "<pm:ModifiableData>Limits</pm:ModifiableData>",
        )
        for limit in LIMITS
    )
    return (
        '<pm:Sco Handle="sco" SafetyClassification="MedC">'
        + _operation("Activate", CUFF_START, "channel.nibp", "MedB", 60, start)
        + _operation("Activate", CUFF_STOP, "channel.nibp", "MedA", 5, stop)
        + limits
        + "</pm:Sco>"
    )


def mdib_xml(serial: str) -> bytes:
    """Return the whole description, ready for a BICEPS participant; states come at run time.

    Args:
        serial: serial number in the meta data.
    """
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><msg:GetMdibResponse xmlns:msg="{MSG}"'
        f' xmlns:pm="{PM}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' SequenceId="urn:uuid:00000000-0000-0000-0000-000000000000" MdibVersion="0">'
        '<msg:Mdib SequenceId="urn:uuid:00000000-0000-0000-0000-000000000000" MdibVersion="0">'
        '<pm:MdDescription><pm:Mds Handle="mds" SafetyClassification="MedB">'
        + _coded("Type", 69965, "Patient monitor", "生体情報モニタ")
        + _alert_system()
        + _control()
        + '<pm:MetaData><pm:Manufacturer Lang="en">SCOT</pm:Manufacturer>'
        '<pm:ModelName Lang="en">Simulated patient monitor</pm:ModelName>'
        f"<pm:SerialNumber>{escape(serial)}</pm:SerialNumber></pm:MetaData>"
        '<pm:SystemContext Handle="context">'
        f'<pm:PatientContext Handle="{PATIENT}"/><pm:LocationContext Handle="{LOCATION}"/>'
        "</pm:SystemContext>"
        '<pm:Clock Handle="clock" Resolution="PT0.001S"/>'
        + "".join(_module(name) for name in MODULES)
        + "</pm:Mds></pm:MdDescription></msg:Mdib></msg:GetMdibResponse>"
    )
    return text.encode()
