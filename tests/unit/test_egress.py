"""What may leave: nothing that names the patient, nothing that says nothing about itself."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.channel import Catalogue, Channel, Device, Kind, Lifecycle, Pose, Sensitivity
from scot.codec import Frame
from scot.names import WITHHELD, Names
from scot.sample import AlarmValue, AnnotationValue
from scot_dashboard.egress import Cases, Egress
from scot_dashboard.roles import Role
from tests.unit.gateway_room import PATIENT, alarm, catalogue, delivery, ecg, hr, note

OUTSIDE = [role for role in Role if role is not Role.OR_STAFF]


def taught() -> Names:
    names = Names()
    names.learn(PATIENT)
    return names


def names_patient(data: bytes) -> bool:
    text = data.decode("utf-8", "replace").casefold()
    return any(word.casefold() in text for word in PATIENT.split())


def test_a_consultant_gets_clinical_channels_and_no_other() -> None:
    egress = Egress(Role.CONSULTANT, catalogue(), Names(), 1)
    assert egress.addresses == {
        "or1/monitor/hr",
        "or1/monitor/ecg_ii",
        "or1/monitor/alarms",
        "or1/monitor/bed",
        "or1/tracker/probe",
        "or1/scope/video",
        "or1/consult/notes",
    }
    shown = egress.catalogue()["devices"]
    listed = {f"or1/{d}/{c}" for d, device in shown.items() for c in device["channels"]}
    assert listed == egress.addresses
    assert "ward" not in shown  # a device without anything to show does not exist outside


def test_a_channel_that_is_not_in_the_catalogue_does_not_leave() -> None:
    egress = Egress(Role.OR_STAFF, catalogue(), Names(), 1)
    for address in ("or1/monitor/unknown", "or2/monitor/hr", "", "or1", "or1/monitor/hr/x"):
        assert not egress.passes(address)
        assert not egress.history_passes(address)
        assert not egress.annotates(address)


@pytest.mark.parametrize("role", OUTSIDE)
@pytest.mark.parametrize("replay", [False, True])
def test_no_catalogue_outside_the_room_names_the_patient(role: Role, replay: bool) -> None:
    source = catalogue(replay=replay)
    assert names_patient(msgspec.msgpack.encode(source))
    for names in (Names(), taught()):
        told = Egress(role, source, names, 3).catalogue()
        if names.version == 0:  # before the name is known only whole fields can be left out
            for device in told["devices"].values():
                for channel in device["channels"].values():
                    channel["label"] = channel["attrs"] = {}
            told["volumes"] = {}
        assert not names_patient(msgspec.msgpack.encode(told))


def test_a_case_and_a_title_leave_as_a_number() -> None:
    told = Egress(Role.CONSULTANT, catalogue(), Names(), 3).catalogue()
    assert told["case"] == "Case 3"
    assert told["title"] == {"en": "Case 3", "ja": "症例 3"}
    staff = Egress(Role.OR_STAFF, catalogue(), Names(), 3).catalogue()
    assert staff["case"] == "K-17 Tanaka"
    cases = Cases()
    assert [cases.number(case) for case in ("b", "a", "b")] == [1, 2, 1]


def test_free_text_of_devices_stays_and_attrs_leave_as_numbers() -> None:
    inside = Egress(Role.OR_STAFF, catalogue(), taught(), 1).catalogue()["devices"]
    outside = Egress(Role.CONSULTANT, catalogue(), taught(), 1).catalogue()["devices"]
    assert PATIENT in inside["monitor"]["reason"]
    assert outside["monitor"]["reason"] == ""
    assert inside["tracker"]["channels"]["probe"]["attrs"]["serial"] == "A-77"
    assert outside["tracker"]["channels"]["probe"]["attrs"] == {"target_mm": [1.0, 2.0, 3.0]}
    assert outside["monitor"]["channels"]["ecg_ii"]["numeric_of"] == ["hr"]
    assert outside["tracker"]["state"] == "running"


def test_of_words_only_a_shaft_s_axis_and_a_frame_without_a_name_leave() -> None:
    def told(**attrs: Any) -> dict[str, Any]:
        tool = Pose("probe", attrs=attrs)
        tracker = Device(name="tracker", provider="p", channels={"probe": tool})
        room = Catalogue(workspace="or1", devices={"tracker": tracker})
        devices = Egress(Role.CONSULTANT, room, taught(), 1).catalogue()["devices"]
        left: dict[str, Any] = devices["tracker"]["channels"]["probe"]["attrs"]
        return left

    assert told(axis="-x", maps_from="reference") == {"axis": "-x", "maps_from": "reference"}
    assert told(axis="+z Yamada", maps_from=f"of {PATIENT}", tool="Probe") == {}


def test_every_field_of_a_channel_is_told() -> None:
    told = Egress(Role.CONSULTANT, catalogue(), Names(), 1).catalogue()
    channel = told["devices"]["monitor"]["channels"]["hr"]
    assert set(channel) == set(Channel.__struct_fields__)
    assert channel["kind"] == "numeric"
    assert channel["stale_after_s"] == 5.0
    assert set(told["devices"]["monitor"]) == set(Device.__struct_fields__)
    assert msgpack.unpackb(msgspec.msgpack.encode(told)) == told


def test_what_has_no_text_leaves_as_the_very_same_bytes() -> None:
    egress = Egress(Role.CONSULTANT, catalogue(), taught(), 1)
    for one in (hr(1), ecg(1), alarm(1), note(1)):
        assert egress.of(one) is one.frame.payload


def test_staff_get_every_byte_unchanged() -> None:
    egress = Egress(Role.OR_STAFF, catalogue(), taught(), 1)
    for one in (alarm(1, text=f"{PATIENT}: low"), delivery("or1/monitor/patient", PATIENT)):
        assert egress.of(one) is one.frame.payload


@pytest.mark.parametrize("text", [f"{PATIENT}: SpO2 low", "HANAKO low", "(tanaka)", "ＴＡＮＡＫＡ"])
def test_a_name_in_an_alarm_is_withheld_and_the_alarm_is_not(text: str) -> None:
    egress = Egress(Role.CONSULTANT, catalogue(), taught(), 1)
    payload = egress.of(alarm(1, text=text))
    assert payload is not None
    left = msgspec.msgpack.decode(payload, type=AlarmValue)
    assert left.text == {"en": WITHHELD}
    assert (left.id, left.priority, left.present) == ("spo2_low", "Hi", True)


def test_a_name_in_a_clinical_text_or_a_note_is_withheld() -> None:
    egress = Egress(Role.CONSULTANT, catalogue(), taught(), 1)
    assert egress.of(delivery("or1/monitor/bed", f"bed 3, {PATIENT}")) == WITHHELD.encode()
    assert egress.of(delivery("or1/monitor/bed", "bed 3")) == b"bed 3"
    payload = egress.of(note(1, author="OR staff", text="Is Tanaka awake?"))
    assert payload is not None
    left = msgspec.msgpack.decode(payload, type=AnnotationValue)
    assert (left.text, left.author) == (WITHHELD, "OR staff")


@pytest.mark.parametrize(
    ("author", "told"),
    [
        ("consultant 2", "consultant 2"),
        ("OR staff", "OR staff"),
        ("Dr Mori", "room"),
        ("consultant 2 (Dr Mori)", "room"),
        ("consultant 2\n", "room"),
        ("", "room"),
    ],
)
def test_authors_leave_only_as_role_labels(author: str, told: str) -> None:
    egress = Egress(Role.CONSULTANT, catalogue(), Names(), 1)
    payload = egress.of(note(1, author=author))
    assert payload is not None
    assert msgspec.msgpack.decode(payload, type=AnnotationValue).author == told
    inside = Egress(Role.OR_STAFF, catalogue(), Names(), 1)
    assert inside.author(author) == author


@pytest.mark.parametrize("kind", [Kind.ALARM, Kind.EVENT, Kind.ANNOTATION, Kind.TEXT, Kind.IMAGE])
def test_what_cannot_be_read_does_not_leave(kind: Kind) -> None:
    egress = Egress(Role.CONSULTANT, catalogue(), taught(), 1)
    payload = b"\xc1\xff" + PATIENT.encode()
    assert egress.payload(Frame(b"or1/x/y\0", b"", payload), kind) is None


@pytest.mark.parametrize(
    "packed",
    [b"\xdc\xff\xff" + b"\x90" * 65_535, b"\x91" * 60 + b"\xc0"],
    ids=["65,535 lists", "60 deep"],
)
def test_what_would_swell_when_decoded_does_not_leave(packed: bytes) -> None:
    egress = Egress(Role.CONSULTANT, catalogue(), taught(), 1)
    frame = Frame(b"or1/monitor/alarms\0", b"", packed)
    assert egress.payload(frame, Kind.ALARM) is None


def test_a_recording_is_history_so_an_engineer_sees_it_play_but_not_a_live_room() -> None:
    live = Egress(Role.ENGINEER, catalogue(), Names(), 1)
    played = Egress(Role.ENGINEER, catalogue(replay=True), Names(), 1)
    assert not live.addresses
    assert live.history_passes("or1/monitor/hr")
    assert played.passes("or1/monitor/hr")
    assert played.passes("or1/monitor/health")
    assert not played.passes("or1/monitor/patient")
    assert not played.passes("or1/monitor/remark")


def test_a_class_that_changes_shuts_the_channel_at_once() -> None:
    source = catalogue()
    monitor = source.devices["monitor"]
    secret = msgspec.structs.replace(monitor.channels["bed"], sensitivity=Sensitivity.IDENTITY)
    changed = source.with_device(
        msgspec.structs.replace(monitor, channels={**monitor.channels, "bed": secret})
    )
    assert Egress(Role.CONSULTANT, source, Names(), 1).passes("or1/monitor/bed")
    assert not Egress(Role.CONSULTANT, changed, Names(), 1).passes("or1/monitor/bed")


def test_a_device_in_fault_is_told_without_its_reason() -> None:
    source = catalogue()
    fault = msgspec.structs.replace(source.devices["tracker"], state=Lifecycle.FAULT, reason="x")
    told = Egress(Role.CONSULTANT, source.with_device(fault), Names(), 1).catalogue()
    assert told["devices"]["tracker"]["state"] == "fault"
    assert told["devices"]["tracker"]["reason"] == ""


def test_names_in_scripts_without_blanks_are_found_inside_longer_text() -> None:
    names = Names()
    names.learn({"family": "田中", "given": ["花子"]})
    assert names.clean("田中様の血圧") == WITHHELD
    assert names.clean("血圧低下") == "血圧低下"


def test_when_a_word_could_not_be_learnt_no_text_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scot.names.MAX_WORDS", 1)
    names = Names()
    names.learn("Aiko")
    told = names.version
    names.learn("Brighton")
    assert names.version > told, "what was let out before must be looked at again"
    assert names.clean("pressure low") == names.clean("Brighton") == WITHHELD


def test_words_of_forms_are_not_names() -> None:
    names = Names()
    names.learn("Test Patient, unknown, female")
    assert names.version == 0
    assert names.clean("Patient unknown to the ventilator") != WITHHELD


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=20,
    ),
    st.sampled_from(["", "tanaka", "Mrs Tanaka", "HANAKO's"]),
)
def test_no_nesting_hides_a_name(value: object, said: str) -> None:
    names = taught()
    payload = names.clean_packed(msgspec.msgpack.encode({"a": value, said: [said, {"b": said}]}))
    assert not names_patient(payload)


@pytest.mark.parametrize("length", range(6, 300))
def test_no_length_before_a_name_hides_it(length: int) -> None:
    # MessagePack writes a text's length before it, and a number after it, as bytes that may look
    # like letters of the name's own word.
    text = PATIENT.split()[0].ljust(length, "!")
    payload = taught().clean_packed(msgspec.msgpack.encode([text, length]))
    assert not names_patient(payload)
