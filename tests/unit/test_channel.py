"""A channel describes itself, and a catalogue finds it by its address."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest

from scot import channel as declare
from scot.channel import BULK, Catalogue, Channel, Device, Kind, Lifecycle, Sensitivity
from scot.errors import CodecError

HR = declare.Numeric("hr", unit="/min", code="MDC_ECG_HEART_RATE", label={"en": "HR"}, upper=120.0)
PROBE = declare.Pose("probe", frame="mni152")
MONITOR = Device(name="monitor", provider="sdc", channels={"hr": HR})
TRACKER = Device(name="tracker", provider="openigtlink", channels={"probe": PROBE})


def two_devices() -> Catalogue:
    return Catalogue(workspace="or1").with_device(MONITOR).with_device(TRACKER)


@pytest.mark.parametrize(
    "name", ["", "HR", "1st", "_a", "a b", "a/b", "a-b", "hr\n", "é", "a" * 64, "a\0"]
)
def test_a_name_that_cannot_be_part_of_an_address_is_refused(name: str) -> None:
    with pytest.raises(CodecError, match=r"is not allowed; use a small letter"):
        Channel(name=name, kind=Kind.NUMERIC)


@pytest.mark.parametrize("name", ["a", "hr", "ecg_v5", "a" * 63])
def test_a_sound_name_is_taken(name: str) -> None:
    assert Channel(name=name, kind=Kind.NUMERIC).name == name


def test_a_bad_name_from_the_wire_is_refused_too() -> None:
    data = msgspec.msgpack.encode({"name": "a/b", "kind": "numeric"})
    with pytest.raises(CodecError):
        msgspec.msgpack.decode(data, type=Channel)


@pytest.mark.parametrize(
    ("make", "kind", "sensitivity"),
    [
        (declare.Numeric, Kind.NUMERIC, Sensitivity.CLINICAL),
        (declare.Waveform, Kind.WAVEFORM, Sensitivity.CLINICAL),
        (declare.Pose, Kind.POSE, Sensitivity.CLINICAL),
        (declare.Video, Kind.VIDEO, Sensitivity.CLINICAL),
        (declare.Alarm, Kind.ALARM, Sensitivity.CLINICAL),
        (declare.Annotation, Kind.ANNOTATION, Sensitivity.CLINICAL),
        (declare.Text, Kind.TEXT, Sensitivity.UNCLASSIFIED),
        (declare.Event, Kind.EVENT, Sensitivity.TECHNICAL),
    ],
)
def test_a_declaration_has_its_kind_and_says_who_may_see_it(
    make: Any, kind: Kind, sensitivity: Sensitivity
) -> None:
    assert (make("x").kind, make("x").sensitivity) == (kind, sensitivity)
    assert make("x", sensitivity=Sensitivity.IDENTITY).sensitivity is Sensitivity.IDENTITY


def test_a_channel_that_says_nothing_may_not_leave_the_room() -> None:
    assert Channel(name="x", kind=Kind.TEXT).sensitivity is Sensitivity.UNCLASSIFIED


def test_only_pictures_travel_in_bulk() -> None:
    assert {Kind.VIDEO, Kind.IMAGE} == BULK


def test_a_channel_is_found_by_its_address_and_nothing_else_is() -> None:
    catalogue = two_devices()
    assert catalogue.channel("or1/monitor/hr") is HR
    assert catalogue.channel("or1/tracker/probe") is PROBE
    for wrong in ("or2/monitor/hr", "or1/monitor", "or1/monitor/hr/x", "monitor/hr", "", "or1//hr"):
        assert catalogue.channel(wrong) is None


def test_addresses_are_listed_in_catalogue_order() -> None:
    assert two_devices().addresses() == ["or1/monitor/hr", "or1/tracker/probe"]


def test_each_change_is_a_version_and_leaves_the_old_one_alone() -> None:
    one = two_devices()
    two = one.with_device(msgspec.structs.replace(MONITOR, state=Lifecycle.RUNNING))
    assert (one.version, two.version) == (2, 3)
    assert one.devices["monitor"].state is Lifecycle.CREATED
    assert two.devices["monitor"].state is Lifecycle.RUNNING
    assert list(two.devices) == ["monitor", "tracker"]


def test_a_catalogue_survives_the_wire_and_any_reader_can_read_it() -> None:
    catalogue = two_devices()
    data = msgspec.msgpack.encode(catalogue)
    assert msgspec.msgpack.decode(data, type=Catalogue) == catalogue
    plain = msgpack.unpackb(data)
    assert plain["devices"]["monitor"]["channels"]["hr"] == {
        "name": "hr",
        "kind": "numeric",
        "unit": "/min",
        "code": "MDC_ECG_HEART_RATE",
        "label": {"en": "HR"},
        "sensitivity": "clinical",
        "upper": 120.0,
    }
