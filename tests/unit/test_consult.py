"""Remote people: what they report, what they draw, and who knows of whom."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from scot.channel import Kind
from scot.codec import encode, read_header
from scot.names import Names
from scot.sample import AnnotationValue
from scot_dashboard import consult
from scot_dashboard.consult import Consult
from scot_dashboard.door import Door, Person, RefusedError, State
from scot_dashboard.egress import Egress
from scot_dashboard.roles import Role
from scot_dashboard.strokes import Stroke
from scot_dashboard.wire import Seen
from tests.unit.gateway_room import SECOND_NS, START_NS, catalogue, note

NOW = 1_700_000_000_000_000_000
BUS_NOW = START_NS + 100 * SECOND_NS
VIDEO = "or1/scope/video"
STROKE = Stroke("a1", VIDEO, START_NS + 99 * SECOND_NS + 7, "pointer", [(0.25, 0.5)])


@dataclass
class Room:
    door: Door
    consult: Consult
    staff: Person
    guest: Person
    other: Person
    engineer: Person

    def egress(self, person: Person, *, replay: bool = False) -> Egress:
        return Egress(person.role, catalogue(replay=replay), Names(), 1)

    def draw(self, person: Person, **changes: object) -> AnnotationValue:
        stroke = msgspec.structs.replace(STROKE, **changes)
        return self.consult.note(person, stroke, self.egress(person), BUS_NOW, NOW)


@pytest.fixture
def room() -> Room:
    door = Door("wall", "K-17")
    people = []
    for role in (Role.CONSULTANT, Role.CONSULTANT, Role.ENGINEER):
        _, secret = door.invite(role, 4, "Prof. Sato", NOW)
        person, _ = door.enter(secret, "", NOW)
        door.connect(person, NOW)
        door.admit(person.id, NOW)
        people.append(person)
    staff, _ = door.enter("wall", "", NOW)
    door.connect(staff, NOW)
    return Room(door, Consult(door), staff, *people)


def refusal(status: int) -> pytest.RaisesExc[RefusedError]:
    return pytest.RaisesExc(RefusedError, check=lambda error: error.status == status)


def test_the_author_is_who_is_signed_in_and_the_frames_time_is_exact(room: Room) -> None:
    drawn = room.draw(room.guest, text="here\x00\x1b[2J", tool="text")
    assert drawn.author == "consultant 1"
    assert drawn.at_ns == STROKE.at_ns
    assert drawn.points == [(0.25, 0.5)]
    assert drawn.text == "here[2J"
    assert room.draw(room.staff, id="s1").author == "OR staff"


def test_what_is_drawn_is_a_sample_the_bus_takes(room: Room) -> None:
    assert consult.NOTES.kind is Kind.ANNOTATION
    assert set(consult.device(START_NS).channels) == {"views", "notes", "health"}
    one = note(1)
    assert read_header(encode(one.sample(), Kind.ANNOTATION)) == one.header


@pytest.mark.parametrize(
    ("who", "changes", "status"),
    [
        ("guest", {"channel": "or1/scope/photo"}, 403),
        ("guest", {"channel": "or1/monitor/hr"}, 403),
        ("guest", {"channel": "or1/monitor/patient"}, 403),
        ("guest", {"channel": "or1/scope/unknown"}, 403),
        ("guest", {"channel": ""}, 403),
        ("staff", {"channel": "or1/scope/unknown"}, 403),
        ("engineer", {}, 403),
        ("engineer", {"channel": "", "tool": "chapter"}, 403),
        ("guest", {"at_ns": BUS_NOW + 6 * SECOND_NS}, 400),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    room: Room, who: str, changes: dict[str, object], status: int
) -> None:
    with refusal(status):
        room.draw(getattr(room, who), **changes)


def test_a_chapter_may_speak_of_the_whole_room(room: Room) -> None:
    drawn = room.draw(room.guest, channel="", tool="chapter", text="Approach finished", points=[])
    assert (drawn.channel, drawn.tool) == ("", "chapter")


def test_nobody_changes_or_removes_what_somebody_else_drew(room: Room) -> None:
    room.draw(room.guest)
    room.draw(room.guest, points=[(0.5, 0.5)])
    for person in (room.other, room.staff):
        with refusal(403):
            room.draw(person, ttl_s=0.0)
    assert room.draw(room.guest, ttl_s=0.0).ttl_s == 0


def test_a_recording_takes_no_notes_and_says_why(room: Room) -> None:
    with pytest.raises(RefusedError, match="recording"):
        room.consult.note(room.staff, STROKE, room.egress(room.staff, replay=True), BUS_NOW, NOW)


def test_strokes_come_at_a_persons_pace_and_one_does_not_use_up_anothers(room: Room) -> None:
    for number in range(120):
        room.draw(room.guest, id=f"g{number}")
    with refusal(429):
        room.draw(room.guest)
    room.draw(room.other, id="o1")


def test_the_room_sees_who_sees_what_and_how_late(room: Room) -> None:
    seen = Seen(VIDEO, BUS_NOW - 190_000_000, 190.0)
    room.consult.saw(room.guest, seen, room.egress(room.guest), BUS_NOW)
    rows = {row["id"]: row for row in room.consult.people(room.staff, NOW)}
    assert set(rows) == {"consultant-1", "consultant-2", "engineer-1"}
    assert rows["consultant-1"] == {
        "id": "consultant-1",
        "author": "consultant 1",
        "role": "consultant",
        "state": "admitted",
        "behind_ms": 190.0,
        "seen_ns": seen.bus_ns,
        "label": "Prof. Sato",
    }
    assert rows["consultant-2"]["behind_ms"] is None


def test_guests_know_only_of_themselves_and_never_a_label(room: Room) -> None:
    (row,) = room.consult.people(room.guest, NOW)
    assert row["id"] == "consultant-1"
    assert "label" not in row


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (Seen("or1/monitor/patient", BUS_NOW, 1.0), 400),
        (Seen("or1/nobody/video", BUS_NOW, 1.0), 400),
        (Seen(VIDEO, BUS_NOW + 6 * SECOND_NS, 1.0), 400),
    ],
)
def test_a_report_that_cannot_be_true_is_refused(room: Room, seen: Seen, status: int) -> None:
    with refusal(status):
        room.consult.saw(room.guest, seen, room.egress(room.guest), BUS_NOW)
    assert room.consult.people(room.guest, NOW)[0]["seen_ns"] is None


def test_views_are_published_when_they_change_without_labels_or_staff(room: Room) -> None:
    first = room.consult.views()
    assert {row["id"] for row in first} == {"consultant-1", "consultant-2", "engineer-1"}
    assert room.consult.views() == []
    room.consult.saw(room.guest, Seen(VIDEO, BUS_NOW, 50.0), room.egress(room.guest), BUS_NOW)
    (row,) = room.consult.views()
    assert (row["id"], row["channel"], row["behind_ms"]) == ("consultant-1", VIDEO, 50.0)
    room.door.revoke("consultant-1", NOW)
    room.consult.left(room.guest)
    (row,) = room.consult.views()
    assert (row["state"], row["channel"]) == ("revoked", "")
    assert "Sato" not in str(first)


def test_who_left_stays_on_the_list_for_a_while(room: Room) -> None:
    room.door.leave(room.guest, NOW)
    states = {row["id"]: row["state"] for row in room.consult.people(room.staff, NOW + 1)}
    assert states["consultant-1"] == State.GONE
    later = room.consult.people(room.staff, NOW + consult.LISTED_NS + 1)
    assert [row["id"] for row in later] == ["consultant-2", "engineer-1"]
