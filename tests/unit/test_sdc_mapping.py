"""MDIB to channels, reports to readings: of the simulated monitor, and of devices not ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lxml import etree

from scot.channel import Kind, Sensitivity
from scot.errors import DeviceError, RemoteProtocolError
from scot.sample import AlarmValue, Flags, NumericValue, Validity
from scot_devices.sdc.mapping import Mapping, Reading, RestartedError
from scot_devices.simulators.monitor_mdib import MSG, NUMERICS, PM, WAVES, mdib_xml

NAMESPACES = (
    f'xmlns:pm="{PM}" xmlns:msg="{MSG}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
SEQUENCE = "urn:uuid:00000000-0000-0000-0000-000000000000"
T_MS = 1_700_000_000_000


def numeric(name: str, value: str, at_ms: int = T_MS, validity: str = "Vld", **more: str) -> str:
    attributes = "".join(f' {key}="{text}"' for key, text in more.items())
    number = f' Value="{value}"' if value else ""
    return (
        f'<msg:MetricState xsi:type="pm:NumericMetricState" DescriptorHandle="numeric.{name}"'
        f'{attributes}><pm:MetricValue{number} DeterminationTime="{at_ms}">'
        f'<pm:MetricQuality Validity="{validity}" Mode="Real"/></pm:MetricValue></msg:MetricState>'
    )


def wave(name: str, samples: str, at_ms: int = T_MS, validity: str = "Vld") -> str:
    return (
        f'<msg:State DescriptorHandle="wave.{name}"><pm:MetricValue Samples="{samples}"'
        f' DeterminationTime="{at_ms}"><pm:MetricQuality Validity="{validity}"/>'
        "</pm:MetricValue></msg:State>"
    )


def paced(name: str, samples: str, marks: list[tuple[int, int]], codes: list[int]) -> str:
    kinds = "".join(f'<pm:Annotation><pm:Type Code="{c}"/></pm:Annotation>' for c in codes)
    applied = "".join(
        f'<pm:ApplyAnnotation AnnotationIndex="{kind}" SampleIndex="{at}"/>' for kind, at in marks
    )
    return wave(name, samples).replace("</pm:MetricValue>", f"{kinds}{applied}</pm:MetricValue>")


def limit(handle: str, present: bool, low: str = "", high: str = "", at_ms: int = T_MS) -> str:
    lower = f' Lower="{low}"' if low else ""
    upper = f' Upper="{high}"' if high else ""
    return (
        f'<msg:AlertState xsi:type="pm:LimitAlertConditionState" DescriptorHandle="{handle}"'
        f' ActivationState="On" Presence="{str(present).lower()}" DeterminationTime="{at_ms}"'
        f' MonitoredAlertLimits="All"><pm:Limits{lower}{upper}/></msg:AlertState>'
    )


def signal(condition: str, presence: str) -> str:
    return (
        '<msg:AlertState xsi:type="pm:AlertSignalState" ActivationState="On"'
        f' DescriptorHandle="{condition}.visible" Presence="{presence}"/>'
    )


def checked(at_ms: int) -> str:
    return (
        '<msg:AlertState xsi:type="pm:AlertSystemState" DescriptorHandle="alerts"'
        f' ActivationState="On" LastSelfCheck="{at_ms}"/>'
    )


def report(*states: str, version: int = 1, sequence: str = SEQUENCE, instance: str = "") -> Any:
    which = f' InstanceId="{instance}"' if instance else ""
    body = "".join(states)
    return etree.fromstring(
        f'<msg:Report {NAMESPACES} SequenceId="{sequence}" MdibVersion="{version}"{which}>'
        f"<msg:ReportPart>{body}</msg:ReportPart></msg:Report>"
    )


def monitor(*states: str) -> Mapping:
    """The simulated monitor's MDIB with these states in it."""
    text = mdib_xml("7").decode()
    held = "".join(states).replace("msg:MetricState", "pm:State").replace(
        "msg:AlertState", "pm:State"
    )  # fmt: skip
    message = text.replace("</msg:Mdib>", f"<pm:MdState>{held}</pm:MdState></msg:Mdib>")
    return Mapping(etree.fromstring(message.encode()))


def of(readings: list[Reading], name: str) -> list[Reading]:
    return [reading for reading in readings if reading.channel.name == name]


def alarm(readings: list[Reading], condition: str) -> AlarmValue:
    values = [r.value for r in of(readings, "alarms")]
    return next(v for v in values if isinstance(v, AlarmValue) and v.id == condition)


def test_the_monitor_becomes_the_channels_the_room_knows() -> None:
    channels = monitor().channels
    expected = [metric.name for metric in (*WAVES, *NUMERICS)]
    assert set(channels) == {*expected, "alarms", "pacing", "patient"}
    assert list(channels)[:2] == ["ecg_ii", "ecg_v5"]
    ecg, hr, temp = channels["ecg_ii"], channels["hr"], channels["temp_core"]
    assert (ecg.kind, ecg.unit, ecg.code, ecg.rate_hz) == (
        Kind.WAVEFORM, "mV", "MDC_ECG_ELEC_POTL_II", 250.0,
    )  # fmt: skip
    assert (hr.kind, hr.unit, hr.code, hr.rate_hz) == (
        Kind.NUMERIC, "/min", "MDC_ECG_HEART_RATE", 1.0,
    )  # fmt: skip
    assert hr.label == {"en": "HR", "ja": "心拍数"}
    assert temp.unit == "Cel"
    assert channels["art"].numeric_of == ["art_sys", "art_dia", "art_mean"]
    assert (channels["art"].scale_min, channels["art"].scale_max) == (0.0, 160.0)
    assert [channels[n].rate_hz for n in ("art", "pleth", "co2", "resp")] == [125, 125, 62.5, 62.5]
    assert channels["nibp_sys"].latched
    assert channels["nibp_sys"].rate_hz is None
    assert channels["hr"].attrs["mdc"] == 147842


def test_only_the_patients_name_is_identity_and_nothing_is_unclassified() -> None:
    channels = monitor().channels
    assert channels["patient"].sensitivity is Sensitivity.IDENTITY
    others = {c.sensitivity for name, c in channels.items() if name != "patient"}
    assert others == {Sensitivity.CLINICAL}


def test_alarm_limits_of_both_sides_stand_on_the_numeric() -> None:
    mapping = monitor(
        limit("alert.hr.high", present=False, high="110"),
        limit("alert.hr.low", present=False, low="50"),
        limit("alert.spo2.low", present=False, low="90"),
    )
    assert (mapping.channels["hr"].lower, mapping.channels["hr"].upper) == (50.0, 110.0)
    assert (mapping.channels["spo2"].lower, mapping.channels["spo2"].upper) == (90.0, None)
    assert mapping.channels["rr"].lower is None


def test_a_moved_limit_replaces_the_channel() -> None:
    mapping = monitor(limit("alert.hr.high", present=False, high="110"))
    mapping.report(report(limit("alert.hr.high", present=False, high="130")))
    assert mapping.channels["hr"].upper == 130.0


def test_a_waveform_block_keeps_its_values_and_the_time_of_its_first() -> None:
    (reading,) = monitor().report(report(wave("art", "80.1 80.5 -3 81.25", T_MS + 64)))
    assert reading.channel.name == "art"
    assert reading.source_ns == (T_MS + 64) * 1_000_000
    assert isinstance(reading.value, np.ndarray)
    assert reading.value.dtype == np.float32
    np.testing.assert_allclose(reading.value, [80.1, 80.5, -3.0, 81.25], rtol=1e-6)


def test_a_pacers_spikes_are_events_at_the_very_samples_the_device_marked() -> None:
    normal, ventricle, atrium = 663_568, 660_480, 659_712
    marks = [(1, 2), (0, 1), (2, 0), (2, 9), (7, 1)]  # of a sample, of a kind, that are not there
    state = paced("ecg_ii", "0 0.1 1.2 0", marks, [normal, ventricle, atrium])
    readings = of(monitor().report(report(state)), "pacing")
    assert [(r.source_ns, r.value) for r in readings] == [
        (T_MS * 1_000_000 + at * 4_000_000, {"channel": "ecg_ii", "chamber": where, "mdc": code})
        for at, where, code in [(2, "ventricle", ventricle), (0, "atrium", atrium)]
    ]
    assert monitor().channels["pacing"].attrs["marks"]
    with pytest.raises(RemoteProtocolError, match="annotations"):
        monitor().report(report(paced("ecg_ii", "0 0", [(0, 1)] * 65, [ventricle])))


@pytest.mark.parametrize(
    ("validity", "flag"),
    [("Vld", 0), ("Inv", Flags.INVALID), ("NA", Flags.INVALID), ("Qst", Flags.DOUBTFUL),
     ("Ong", Flags.DOUBTFUL), ("Oflw", Flags.INVALID), ("Calib", Flags.INVALID)],
)  # fmt: skip
def test_validity_travels_as_word_and_flag(validity: str, flag: int) -> None:
    (reading,) = monitor().report(report(numeric("hr", "72", validity=validity)))
    assert reading.value == NumericValue(72.0, Validity(validity))
    assert reading.flags == flag


def test_a_metric_that_is_off_or_without_value_has_none() -> None:
    mapping = monitor()
    (off,) = mapping.report(report(numeric("hr", "72", ActivationState="Off")))
    assert off.value == NumericValue(None, Validity.VALID)
    assert off.flags & Flags.INVALID
    (empty,) = mapping.report(report(numeric("hr", "", validity="NA"), version=2))
    assert empty.value == NumericValue(None, Validity.NOT_AVAILABLE)


def test_demo_data_is_never_taken_for_a_patients() -> None:
    demo = numeric("hr", "72").replace('Mode="Real"', 'Mode="Demo"')
    (reading,) = monitor().report(report(demo))
    assert reading.flags & Flags.SIMULATED


def test_an_alarm_joins_condition_signal_reading_and_limit() -> None:
    mapping = monitor(limit("alert.spo2.low", present=False, low="90"))
    mapping.report(report(numeric("spo2", "88")))
    told = mapping.report(
        report(
            limit("alert.spo2.low", present=True, low="90", at_ms=T_MS + 5),
            signal("alert.spo2.low", "On"),
            version=2,
        )
    )
    assert len(told) == 1
    assert alarm(told, "alert.spo2.low") == AlarmValue(
        id="alert.spo2.low",
        kind="Phy",
        priority="Me",
        present=True,
        presence="On",
        activation="On",
        channel="spo2",
        text={"en": "SpO2 low", "ja": "SpO2 低い"},
        value=88.0,
        limit=90.0,
    )
    assert told[0].source_ns == (T_MS + 5) * 1_000_000


def test_a_latched_signal_outlives_its_condition() -> None:
    mapping = monitor(limit("alert.spo2.low", present=True, low="90"))
    told = mapping.report(
        report(limit("alert.spo2.low", present=False, low="90"), signal("alert.spo2.low", "Latch"))
    )
    value = alarm(told, "alert.spo2.low")
    assert (value.present, value.presence) == (False, "Latch")


def test_a_standing_alarm_follows_its_reading() -> None:
    mapping = monitor(limit("alert.spo2.low", present=True, low="90"))
    worse = mapping.report(report(numeric("spo2", "86")))
    assert alarm(worse, "alert.spo2.low").value == 86.0
    same = mapping.report(report(numeric("spo2", "86", T_MS + 1000), version=2))
    assert not of(same, "alarms")
    elsewhere = mapping.report(report(numeric("hr", "120"), version=3))
    assert not of(elsewhere, "alarms")


def test_all_alarms_are_told_again_with_the_self_check_every_five_seconds() -> None:
    mapping = monitor(
        limit("alert.hr.high", present=False, high="110"),
        limit("alert.spo2.low", present=True, low="90"),
    )
    told = [
        len(of(mapping.report(report(checked(T_MS + 1000 * k), version=k + 1)), "alarms"))
        for k in range(11)
    ]
    assert told == [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2]


def test_missing_versions_are_counted_and_old_reports_dropped() -> None:
    mapping = monitor()
    mapping.report(report(numeric("hr", "70"), version=1))
    mapping.report(report(numeric("hr", "71"), version=2))
    assert mapping.missing == 0
    mapping.report(report(numeric("hr", "72"), version=6))
    assert mapping.missing == 3
    assert mapping.report(report(numeric("hr", "60"), version=5)) == []
    assert len(mapping.report(report(numeric("rr", "14"), version=6))) == 1
    assert mapping.missing == 3


@pytest.mark.parametrize(("sequence", "instance"), [("urn:uuid:other", ""), (SEQUENCE, "2")])
def test_a_restarted_device_is_noticed(sequence: str, instance: str) -> None:
    with pytest.raises(RestartedError, match="restarted"):
        monitor().report(
            report(numeric("hr", "70"), version=9, sequence=sequence, instance=instance)
        )


def test_what_the_mdib_held_keeps_the_time_it_was_taken() -> None:
    mapping = monitor(
        numeric("nibp_sys", "118", T_MS - 40_000),
        numeric("hr", "72", T_MS - 200),
        checked(T_MS),
    )
    assert mapping.newest_ns == T_MS * 1_000_000
    held = mapping.snapshot()
    assert of(held, "nibp_sys")[0].source_ns == (T_MS - 40_000) * 1_000_000
    assert of(held, "hr")[0].source_ns == (T_MS - 200) * 1_000_000
    assert of(mapping.snapshot(), "hr") == []


@pytest.mark.parametrize(
    ("more", "accuracy_s"),
    [("", None), ('Accuracy="0.05"', 0.05), ('Accuracy="180"', 180.0), ('Accuracy="0"', None)],
)
def test_the_clocks_own_word_for_its_accuracy_is_kept(more: str, accuracy_s: float | None) -> None:
    clock = (
        f'<pm:State xsi:type="pm:ClockState" DescriptorHandle="clock" RemoteSync="true" {more}/>'
    )
    assert monitor(clock).accuracy_s == accuracy_s


def test_another_instance_is_another_run_of_the_device() -> None:
    assert monitor().sequence == SEQUENCE


def test_the_patients_name_is_told_while_associated() -> None:
    def context(association: str) -> str:
        return (
            '<pm:State xsi:type="pm:PatientContextState" DescriptorHandle="context.patient"'
            f' Handle="p1" ContextAssociation="{association}"><pm:CoreData>'
            "<pm:Givenname>Patient</pm:Givenname><pm:Familyname>DEMO</pm:Familyname>"
            "</pm:CoreData></pm:State>"
        )

    (reading,) = of(monitor(context("Assoc")).snapshot(), "patient")
    assert reading.value == "DEMO, Patient"
    assert of(monitor(context("Dis")).snapshot(), "patient") == []


def foreign(metrics: str, alerts: str = "") -> Mapping:
    """The MDIB of a device that is not ours."""
    text = (
        f'<msg:GetMdibResponse {NAMESPACES} SequenceId="s" MdibVersion="3"><msg:Mdib>'
        f'<pm:MdDescription><pm:Mds Handle="m">{alerts}<pm:Vmd Handle="v"><pm:Channel Handle="c">'
        f"{metrics}</pm:Channel></pm:Vmd></pm:Mds></pm:MdDescription></msg:Mdib>"
        "</msg:GetMdibResponse>"
    )
    return Mapping(etree.fromstring(text))


def described(kind: str, handle: str, code: str, unit: str = "266016", more: str = "") -> str:
    return (
        f'<pm:Metric xsi:type="pm:{kind}Descriptor" Handle="{handle}" MetricAvailability="Cont"'
        f' MetricCategory="Msrmt" {more}><pm:Type {code}/><pm:Unit Code="{unit}"/></pm:Metric>'
    )


def test_codes_we_do_not_know_are_named_after_their_handles() -> None:
    channels = foreign(
        described("NumericMetric", "0x34F00100", 'Code="67108874"')
        + described("NumericMetric", "Flow-Rate 2", 'Code="x" CodingSystem="urn:acme"')
        + described("NumericMetric", "hr.a", 'Code="147842"')
        + described("NumericMetric", "hr.b", 'Code="147842"')
        + described("NumericMetric", "alarms", 'Code="1" CodingSystem="urn:acme"')
    ).channels
    assert set(channels) == {
        "m_0x34f00100", "flow_rate_2", "hr", "hr_b", "alarms_2", "patient",
    }  # fmt: skip
    assert channels["flow_rate_2"].attrs["coding_system"] == "urn:acme"
    assert channels["hr_b"].code == "MDC_ECG_HEART_RATE"


def test_units_and_periods_of_other_devices() -> None:
    channels = foreign(
        described("NumericMetric", "p", 'Code="67108875"', "265987")
        + described("NumericMetric", "q", 'Code="67108876"', "999999")
        + described(
            "RealTimeSampleArrayMetric", "w", 'Code="131329"', "266418",
            'SamplePeriod="P0DT0H0M0.002S"',
        )
        + described("EnumStringMetric", "mode", 'Code="67108877"', "262656")
        + described("NumericMetric", "slow", 'Code="67108878"', "262656",
                    'DeterminationPeriod="PT10S"')
    ).channels  # fmt: skip
    assert channels["p"].unit == "kPa"
    assert (channels["q"].unit, channels["q"].attrs["unit_code"]) == ("", "999999")
    assert channels["ecg_i"].rate_hz == 500.0
    assert (channels["mode"].kind, channels["mode"].sensitivity) == (
        Kind.TEXT, Sensitivity.UNCLASSIFIED,
    )  # fmt: skip
    assert channels["slow"].stale_after_s == 30.0


def test_an_alarm_without_words_is_named_after_its_channel() -> None:
    mapping = foreign(
        described("NumericMetric", "n", 'Code="147842"'),
        '<pm:AlertSystem Handle="a"><pm:AlertCondition Handle="c1" Kind="Phy" Priority="Hi">'
        '<pm:Type Code="196648"/><pm:Source>n</pm:Source></pm:AlertCondition></pm:AlertSystem>',
    )
    state = (
        '<msg:AlertState xsi:type="pm:AlertConditionState" DescriptorHandle="c1"'
        ' ActivationState="On" Presence="true"/>'
    )
    told = mapping.report(report(state, version=4, sequence="s"))
    value = alarm(told, "c1")
    assert value.text == {"en": "HR high", "ja": "心拍数 高い"}
    assert (value.priority, value.presence, value.limit) == ("Hi", "On", None)


def test_states_of_what_was_never_described_are_passed_over() -> None:
    mapping = monitor()
    assert mapping.report(report(numeric("unknown", "1"), signal("nothing", "On"))) == []


@pytest.mark.parametrize(
    "state",
    [
        numeric("hr", "seventy"),
        numeric("hr", "NaN"),
        numeric("hr", "1e400"),
        numeric("hr", "70", at_ms=-1).replace('"-1"', '"yesterday"'),
        wave("art", "1 2 x"),
        wave("art", "1 2 inf"),
        limit("alert.hr.high", present=True, high="high"),
    ],
)
def test_a_malformed_state_is_the_peers_error(state: str) -> None:
    with pytest.raises(RemoteProtocolError):
        monitor().report(report(state))


def test_what_is_no_mdib_is_refused() -> None:
    with pytest.raises(DeviceError, match="no SequenceId"):
        Mapping(etree.fromstring("<html><body/></html>"))
    with pytest.raises(RemoteProtocolError, match="no MdDescription"):
        Mapping(report())
