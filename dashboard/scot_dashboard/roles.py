"""Who may what: one table of role × channel class × verb, and one of role × act (DESIGN §10).

What the tables do not name is refused. A channel's class is its sensitivity and its kind; a test
enumerates every combination.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from scot.channel import Channel, Kind, Sensitivity


class Role(StrEnum):
    """What a person is to a room."""

    OR_STAFF = "or_staff"
    CONSULTANT = "consultant"
    ENGINEER = "engineer"
    ADMIN = "admin"


class Verb(StrEnum):
    """What a person does with a channel.

    In a room that plays a recording everything is a recording: `HISTORY` is asked there also for
    what the feed sends by itself.
    """

    LIVE = "live"
    HISTORY = "history"
    ANNOTATE = "annotate"


class Act(StrEnum):
    """What a person does to the room itself.

    `INSPECT` opens the engineer's page; `REPORT` asks what its recording is worth, and for the
    report on its case.
    """

    INVITE = "invite"
    ADMIT = "admit"
    REVOKE = "revoke"
    PEOPLE = "people"
    ACKNOWLEDGE = "acknowledge"
    PLAY = "play"
    ARRANGE = "arrange"
    VOLUME = "volume"
    INSPECT = "inspect"
    REPORT = "report"


ANY_KIND = frozenset(Kind)
ANY_SENSITIVITY = frozenset(Sensitivity)
PICTURES = frozenset({Kind.VIDEO, Kind.IMAGE})
# An image carries DICOM headers and burnt-in text, which nothing here masks: it stays in the room.
NO_IMAGE = ANY_KIND - {Kind.IMAGE}

_Row = tuple[Role, frozenset[Sensitivity], frozenset[Kind], frozenset[Verb]]
_ROWS: tuple[_Row, ...] = (
    (Role.OR_STAFF, ANY_SENSITIVITY, ANY_KIND, frozenset({Verb.LIVE, Verb.HISTORY})),
    (Role.OR_STAFF, ANY_SENSITIVITY, PICTURES, frozenset({Verb.ANNOTATE})),
    (
        Role.CONSULTANT,
        frozenset({Sensitivity.CLINICAL}),
        NO_IMAGE,
        frozenset({Verb.LIVE, Verb.HISTORY}),
    ),
    (
        Role.CONSULTANT,
        frozenset({Sensitivity.CLINICAL}),
        frozenset({Kind.VIDEO}),
        frozenset({Verb.ANNOTATE}),
    ),
    (
        Role.ENGINEER,
        frozenset({Sensitivity.CLINICAL, Sensitivity.TECHNICAL}),
        NO_IMAGE,
        frozenset({Verb.HISTORY}),
    ),
    (
        Role.ADMIN,
        frozenset({Sensitivity.TECHNICAL}),
        ANY_KIND - PICTURES,
        frozenset({Verb.LIVE, Verb.HISTORY}),
    ),
)

_ACTS: dict[Role, frozenset[Act]] = {
    Role.OR_STAFF: frozenset(Act),
    Role.CONSULTANT: frozenset({Act.VOLUME}),  # only those that the room file calls `remote`
    Role.ENGINEER: frozenset({Act.PLAY, Act.INSPECT, Act.REPORT}),
    Role.ADMIN: frozenset({Act.REVOKE, Act.PEOPLE}),
}

INVITABLE = frozenset({Role.CONSULTANT, Role.ENGINEER})
"""Roles that an invitation can carry; staff come in by the wall's own secret."""


def _build(rows: Iterable[_Row]) -> dict[tuple[Role, Sensitivity, Kind], frozenset[Verb]]:
    table: dict[tuple[Role, Sensitivity, Kind], frozenset[Verb]] = {}
    for role, sensitivities, kinds, verbs in rows:
        for sensitivity in sensitivities:
            for kind in kinds:
                key = (role, sensitivity, kind)
                table[key] = table.get(key, frozenset()) | verbs
    return table


GRANTS = _build(_ROWS)


def may(role: Role, channel: Channel, verb: Verb) -> bool:
    """Say whether a role may do this with a channel; what is not granted is refused."""
    return verb in GRANTS.get((role, channel.sensitivity, channel.kind), frozenset())


def may_act(role: Role, act: Act) -> bool:
    """Say whether a role may do this to the room."""
    return act in _ACTS.get(role, frozenset())


def identified(role: Role) -> bool:
    """Say whether a role may know who the patient is: only people in the room do."""
    return role is Role.OR_STAFF
