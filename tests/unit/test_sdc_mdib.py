"""Reading BICEPS XML: any answer is read or refused as the peer's error, within bounds."""

from __future__ import annotations

import contextlib
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from scot.errors import RemoteProtocolError
from scot_devices.sdc import elements, mdib
from scot_devices.simulators.monitor_mdib import MSG, PM, mdib_xml

NAMESPACES = (
    f'xmlns:pm="{PM}" xmlns:msg="{MSG}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=30)
TYPES = st.sampled_from(
    [
        "NumericMetricState", "RealTimeSampleArrayMetricState", "StringMetricState",
        "LimitAlertConditionState", "AlertSignalState", "AlertSystemState", "PatientContextState",
        "SetValueOperationState", "State", "",
    ]
)  # fmt: skip
ATTRIBUTES = (
    "DescriptorHandle", "StateVersion", "ActivationState", "Presence", "LastSelfCheck",
    "DeterminationTime", "ContextAssociation", "ActualPriority",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0.004S", 0.004),
        ("PT1S", 1.0),
        ("P0Y0M0DT0H0M0.008S", 0.008),
        ("PT1M30S", 90.0),
        ("P1DT2H", 93_600.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert mdib.duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "4 ms", "P1M", "P1Y", "-PT1S", "PT1e3S"])
def test_what_is_no_fixed_duration_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="duration"):
        mdib.duration_s(text)


def test_the_monitors_own_description() -> None:
    found = mdib.description(etree.fromstring(mdib_xml("7")))
    assert len(found.metrics) == 18
    assert len(found.conditions) == len(found.signals) == 12
    assert found.self_check_s == 1.0
    hr = found.metrics["numeric.hr"]
    assert (hr.type.code, hr.unit.code, hr.parent) == ("147842", "264864", "channel.ecg")
    assert hr.type.text["ja"] == "心拍数"


def test_metric_types_without_a_channel_are_passed_over() -> None:
    text = mdib_xml("7").replace(b"pm:NumericMetricDescriptor", b"acme:SpectrumDescriptor")
    found = mdib.description(
        etree.fromstring(
            text.replace(b"<msg:Get", b"<msg:Get", 1).replace(
                b"xmlns:pm", b'xmlns:acme="urn:acme" xmlns:pm', 1
            )
        )
    )
    assert len(found.metrics) == 6  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(kind=TYPES, values=st.lists(WORDS, min_size=8, max_size=8), inner=st.lists(WORDS, min_size=4,
       max_size=4))  # fmt: skip
def test_any_words_in_any_place_are_read_or_refused(
    kind: str, values: list[str], inner: list[str]
) -> None:
    attributes = " ".join(
        f"{name}={quoteattr(value)}" for name, value in zip(ATTRIBUTES, values, strict=True)
    )
    value, samples, time, validity = map(quoteattr, inner)
    element = etree.fromstring(
        f'<msg:Report {NAMESPACES}><msg:State xsi:type="pm:{kind}" {attributes}>'
        f"<pm:MetricValue Value={value} Samples={samples} DeterminationTime={time}>"
        f"<pm:MetricQuality Validity={validity}/></pm:MetricValue>"
        f"<pm:Limits Lower={value} Upper={samples}/><pm:CoreData><pm:Familyname/></pm:CoreData>"
        "</msg:State></msg:Report>"
    )
    with contextlib.suppress(RemoteProtocolError):
        for state in mdib.states(element):
            assert isinstance(state.handle, str)


@settings(max_examples=200, deadline=None)
@given(values=st.lists(WORDS, min_size=7, max_size=7))
def test_any_words_in_a_description_are_read_or_refused(values: list[str]) -> None:
    handle, kind, code, period, low, check, source = map(quoteattr, values)
    element = etree.fromstring(
        f"<msg:M {NAMESPACES}><pm:MdDescription><pm:AlertSystem Handle={handle}"
        f" SelfCheckPeriod={check}><pm:AlertCondition Handle={source} Kind={kind}/>"
        f"<pm:AlertSignal Handle={code} ConditionSignaled={source}/></pm:AlertSystem>"
        f'<pm:Metric xsi:type="pm:RealTimeSampleArrayMetricDescriptor" Handle={handle}'
        f" SamplePeriod={period}><pm:Type Code={code} CodingSystem={kind}/>"
        f"<pm:TechnicalRange Lower={low}/></pm:Metric></pm:MdDescription></msg:M>"
    )
    with contextlib.suppress(RemoteProtocolError):
        assert len(mdib.description(element).metrics) == 1


def test_too_many_samples_are_refused_before_they_are_read() -> None:
    samples = "1 " * (mdib.MAX_SAMPLES + 1)
    element = etree.fromstring(
        f'<msg:W {NAMESPACES}><msg:State DescriptorHandle="w"><pm:MetricValue'
        f' Samples="{samples}"/></msg:State></msg:W>'
    )
    with pytest.raises(RemoteProtocolError, match=f"limit {mdib.MAX_SAMPLES}"):
        list(mdib.states(element))


def test_too_many_states_are_refused() -> None:
    one = '<msg:State xsi:type="pm:AlertSignalState" DescriptorHandle="s"/>'
    body = one * (mdib.MAX_STATES + 1)
    with pytest.raises(RemoteProtocolError, match="states in one message"):
        list(mdib.states(etree.fromstring(f"<msg:W {NAMESPACES}>{body}</msg:W>")))


def test_comments_and_extensions_do_not_disturb() -> None:
    element = etree.fromstring(
        f'<msg:R {NAMESPACES}><!-- a note --><x:Ext xmlns:x="urn:x"><x:Y/></x:Ext>'
        '<msg:MetricState xsi:type="pm:NumericMetricState" DescriptorHandle="n"><!-- b -->'
        '<pm:MetricValue Value="5"><x:Ext xmlns:x="urn:x"/></pm:MetricValue></msg:MetricState>'
        "</msg:R>"
    )
    (state,) = mdib.states(element)
    assert isinstance(state, elements.MetricState)
    assert (state.value, state.validity) == (5.0, "Vld")
