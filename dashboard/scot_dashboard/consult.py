"""Remote people in a room: who is there, what they see and how late, and what they draw.

No I/O and no clock. What comes out is published on the bus, so that everybody, the recorder and a
replay see it by the one path.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from scot.channel import Annotation, Device, Event, Lifecycle
from scot.health.fields import DASHBOARD, LISTENING, declare
from scot.sample import AnnotationValue
from scot_dashboard.door import SECOND_NS, Door, Person, RefusedError, State
from scot_dashboard.egress import Egress
from scot_dashboard.limits import Limiter
from scot_dashboard.roles import Act, Role, may_act
from scot_dashboard.strokes import Stroke
from scot_dashboard.wire import Seen

DEVICE = "consult"
VIEWS = Event("views", label={"en": "Who watches", "ja": "視聴者"}, stale_after_s=60.0)
HEALTH = declare(LISTENING, DASHBOARD)
NOTES = Annotation("notes", label={"en": "Notes", "ja": "注記"}, latched=True)
LISTED_NS = 600 * SECOND_NS  # how long somebody who left stays on the list
MAX_OWNERS = 4_096
AHEAD_NS = 5 * SECOND_NS
AUTHORS = frozenset({Role.OR_STAFF, Role.CONSULTANT})
ROOM_TOOLS = frozenset({"chapter", "text"})  # they may speak of the whole room


def device(epoch: int) -> Device:
    """Return what the gateway announces on the bus."""
    return Device(
        name=DEVICE,
        provider="scot.dashboard",
        label={"en": "Consultation", "ja": "遠隔支援"},
        state=Lifecycle.RUNNING,
        epoch=epoch,
        channels={channel.name: channel for channel in (VIEWS, NOTES, HEALTH)},
    )


class Consult:
    """Keeps what remote people report and checks what people draw."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._seen: dict[str, Seen] = {}
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._strokes = Limiter(burst=120, every_ns=SECOND_NS // 60)
        self._published: dict[str, dict[str, Any]] = {}

    def saw(self, person: Person, seen: Seen, egress: Egress, bus_now_ns: int) -> None:
        """Keep what a viewer reports to have on its screen.

        Raises:
            RefusedError: the channel is not theirs, or the time is ahead of the room.
        """
        if not egress.visible(seen.channel):
            raise RefusedError(400, f"{seen.channel} is not in your catalogue")
        if seen.bus_ns > bus_now_ns + AHEAD_NS:
            raise RefusedError(400, "a picture of the future was reported")
        self._seen[person.id] = seen

    def behind_ms(self, person: Person) -> float:
        """Return how late their picture was at their last report; 0 if they told of none."""
        seen = self._seen.get(person.id)
        return seen.behind_ms if seen else 0.0

    def left(self, person: Person) -> None:
        """Forget what somebody saw who is no longer there."""
        self._seen.pop(person.id, None)

    def note(
        self, person: Person, stroke: Stroke, egress: Egress, bus_now_ns: int, now_ns: int
    ) -> AnnotationValue:
        """Return a stroke as the annotation to publish.

        Args:
            person: who drew; the author is theirs whatever the page says.
            stroke: as the page sent it.
            egress: of their role.
            bus_now_ns: bus time.
            now_ns: UTC.

        Raises:
            RefusedError: a replay, not their picture, somebody else's id, or too many at once.
        """
        if egress.source.replay:
            raise RefusedError(409, "this is a recording; pointers and notes need the live room")
        whole_room = not stroke.channel and stroke.tool in ROOM_TOOLS
        if not egress.annotates(stroke.channel) and not whole_room:
            raise RefusedError(
                403, f"{stroke.channel or 'the room'} takes no {stroke.tool} of yours"
            )
        if person.role not in (Role.OR_STAFF, Role.CONSULTANT):
            raise RefusedError(403, f"{person.role.value} may look, not draw")
        if stroke.at_ns > bus_now_ns + AHEAD_NS:
            raise RefusedError(400, "the note is pinned to a frame of the future")
        owner = self._owners.get(stroke.id, person.author)
        if owner != person.author:
            raise RefusedError(403, f"note {stroke.id!r} is somebody else's; use an id of your own")
        if self._strokes.take(person.id, now_ns):
            raise RefusedError(429, "more than 60 strokes a second")
        self._owners[stroke.id] = person.author
        while len(self._owners) > MAX_OWNERS:
            self._owners.popitem(last=False)
        plain = msgspec.structs.asdict(stroke)
        return AnnotationValue(**{**plain, "text": _printable(stroke.text)}, author=person.author)

    def people(self, viewer: Person, now_ns: int) -> list[dict[str, Any]]:
        """Return the remote people that a viewer may know of: staff all, others themselves."""
        all_of_them = may_act(viewer.role, Act.PEOPLE)
        rows = []
        for person in self.door.people.values():
            out = person.state in (State.GONE, State.REVOKED)
            listed = person.state is not State.INVITED and not (
                out and now_ns - person.since_ns > LISTED_NS
            )
            mine = person is viewer and person.role is not Role.OR_STAFF
            if mine or (all_of_them and listed and person.role is not Role.OR_STAFF):
                row = self._row(person)
                if all_of_them:
                    row["label"] = person.label
                rows.append(row)
        return rows

    def views(self) -> list[dict[str, Any]]:
        """Return the rows that changed since the last call, for the bus."""
        changed = []
        for person in self.door.people.values():
            if person.role is Role.OR_STAFF or person.state is State.INVITED:
                continue
            seen = self._seen.get(person.id)
            row = self._row(person) | {"channel": seen.channel if seen else ""}
            if self._published.get(person.id) != row:
                self._published[person.id] = row
                changed.append(row)
        return changed

    def _row(self, person: Person) -> dict[str, Any]:
        seen = self._seen.get(person.id)
        return {
            "id": person.id,
            "author": person.author,
            "role": person.role.value,
            "state": person.state.value,
            "behind_ms": seen.behind_ms if seen else None,
            "seen_ns": seen.bus_ns if seen else None,
        }


def _printable(text: str) -> str:
    """Return the text without control characters, which screens and logs might obey."""
    return "".join(c for c in text if c.isprintable() or c == "\n")
