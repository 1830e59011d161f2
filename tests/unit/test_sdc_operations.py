"""Of a device's remote operations only what the room file lists is offered, with what is known."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from scot.channel import Risk
from scot_devices.sdc import elements
from scot_devices.sdc.mapping import Mapping
from scot_devices.sdc.operations import command_name, limits
from scot_devices.simulators.monitor_mdib import mdib_xml

STATES = """<pm:MdState xmlns:pm="{pm}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<pm:State xsi:type="pm:LimitAlertConditionState" DescriptorHandle="alert.hr.high"
  ActivationState="On" MonitoredAlertLimits="{monitored}"><pm:Limits Lower="50" Upper="110"/>
</pm:State>
<pm:State xsi:type="pm:ActivateOperationState" DescriptorHandle="op.nibp.stop"
  OperatingMode="{mode}"/>
</pm:MdState>"""
PM = "http://standards.ieee.org/downloads/11073/11073-10207-2017/participant"


def mapping(
    monitored: str = "LoOff", mode: str = "En", change: tuple[str, str] = ("", "")
) -> Mapping:
    text = mdib_xml("7").decode().replace(*change)
    states = STATES.format(pm=PM, monitored=monitored, mode=mode)
    return Mapping(ElementTree.fromstring(text.replace("</msg:Mdib>", states + "</msg:Mdib>")))  # noqa: S314


def test_nothing_is_offered_unless_it_is_listed() -> None:
    assert mapping().offers([]) == {}
    assert list(mapping().offers(["op.nibp.start"])) == ["nibp_start"]
    assert list(mapping().offers(["op.nibp.*"])) == ["nibp_start", "nibp_stop"]
    assert list(mapping().offers(["numeric.*"])) == []


def test_a_disabled_operation_is_not_offered() -> None:
    assert list(mapping(mode="Dis").offers(["op.nibp.*"])) == ["nibp_start"]


@pytest.mark.parametrize(
    ("said", "risk"),
    [("MedA", Risk.LOW), ("MedB", Risk.MEDIUM), ("MedC", Risk.HIGH), ("", Risk.HIGH)],
)
def test_what_does_not_say_how_safe_it_is_is_taken_for_the_most_dangerous(
    said: str, risk: Risk
) -> None:
    attribute = f' SafetyClassification="{said}"' if said else ""
    was = 'Handle="op.nibp.start" SafetyClassification="MedB"'
    found = mapping(change=(was, f'Handle="op.nibp.start"{attribute}')).offers(["op.nibp.start"])
    assert found["nibp_start"].command.risk is risk


def test_an_operation_nobody_here_knows_how_to_ask_for_is_not_offered() -> None:
    of_values = ('"pm:ActivateOperationDescriptor" Handle="op.nibp.start"',
                 '"pm:SetValueOperationDescriptor" Handle="op.nibp.start"')  # fmt: skip
    assert mapping(change=of_values).offers(["op.nibp.start"]) == {}
    of_presence = ("<pm:ModifiableData>Limits<", "<pm:ModifiableData>Presence<")
    assert mapping(change=of_presence).offers(["op.limit.*"]) == {}


@pytest.mark.parametrize(
    ("monitored", "sides"),
    [("LoOff", ["upper"]), ("HiOff", ["lower"]), ("All", ["lower", "upper"]), ("None", None)],
)
def test_only_limits_that_are_watched_can_be_moved(monitored: str, sides: list[str] | None) -> None:
    found = mapping(monitored).offers(["op.limit.hr.high"])
    if sides is None:
        assert found == {}
    else:
        command = found["limit_hr_high"].command
        assert [a.name for a in command.arguments] == sides
        assert {(a.unit, a.lower, a.upper) for a in command.arguments} == {("/min", 15, 300)}


def test_what_is_proposed_is_the_whole_state_with_other_limits() -> None:
    held = mapping("All")
    operation = held.offers(["op.limit.hr.high"])["limit_hr_high"].operation
    state = held.condition("alert.hr.high")
    assert isinstance(state, elements.ConditionState)
    proposed = limits(operation, state, {"upper": 95})
    assert (proposed.condition, proposed.activation) == ("alert.hr.high", "On")
    assert [str(proposed.lower), str(proposed.upper)] == ["50.0", "95"]


def test_names_are_told_apart() -> None:
    assert command_name("op.nibp.start", {}) == "nibp_start"
    assert command_name("OP_Nibp-Start", {"nibp_start": 1}) == "nibp_start_2"
    assert command_name("42", {}) == "op_42"
