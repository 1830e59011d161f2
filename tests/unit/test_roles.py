"""The table of roles, written down a second time and compared whole."""

from __future__ import annotations

from itertools import product

import pytest

from scot.channel import Channel, Kind, Sensitivity
from scot_dashboard.roles import GRANTS, INVITABLE, Act, Role, Verb, identified, may, may_act

# One line a role and sensitivity; one letter a kind, in the order of KINDS:
# "." nothing, "h" history, "l" live and history, "a" live, history and annotate.
KINDS = (
    Kind.NUMERIC,
    Kind.WAVEFORM,
    Kind.POSE,
    Kind.VIDEO,
    Kind.IMAGE,
    Kind.TEXT,
    Kind.EVENT,
    Kind.ALARM,
    Kind.ANNOTATION,
)
MATRIX = """
or_staff   clinical     lllaallll
or_staff   identity     lllaallll
or_staff   technical    lllaallll
or_staff   unclassified lllaallll
consultant clinical     llla.llll
consultant identity     .........
consultant technical    .........
consultant unclassified .........
engineer   clinical     hhhh.hhhh
engineer   identity     .........
engineer   technical    hhhh.hhhh
engineer   unclassified .........
admin      clinical     .........
admin      identity     .........
admin      technical    lll..llll
admin      unclassified .........
"""
MEANING = {
    ".": set(),
    "h": {Verb.HISTORY},
    "l": {Verb.LIVE, Verb.HISTORY},
    "a": {Verb.LIVE, Verb.HISTORY, Verb.ANNOTATE},
}
EXPECTED = {
    (Role(role), Sensitivity(sensitivity), kind): MEANING[letter]
    for role, sensitivity, letters in (line.split() for line in MATRIX.strip().splitlines())
    for kind, letter in zip(KINDS, letters, strict=True)
}


def test_the_matrix_names_every_combination() -> None:
    assert set(EXPECTED) == set(product(Role, Sensitivity, Kind))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("sensitivity", Sensitivity)
@pytest.mark.parametrize("kind", Kind)
def test_every_combination_is_granted_as_written(
    role: Role, sensitivity: Sensitivity, kind: Kind
) -> None:
    channel = Channel(name="x", kind=kind, sensitivity=sensitivity)
    granted = {verb for verb in Verb if may(role, channel, verb)}
    assert granted == EXPECTED[role, sensitivity, kind]


def test_nothing_is_granted_that_no_enumeration_reaches() -> None:
    assert set(GRANTS) <= set(product(Role, Sensitivity, Kind))


@pytest.mark.parametrize(
    ("role", "acts"),
    [
        (
            Role.OR_STAFF,
            set(Act),
        ),
        (Role.ADMIN, {Act.REVOKE, Act.PEOPLE}),
        (Role.CONSULTANT, {Act.VOLUME}),
        (Role.ENGINEER, {Act.PLAY, Act.INSPECT, Act.REPORT}),
    ],
)
def test_only_the_room_admits(role: Role, acts: set[Act]) -> None:
    assert {act for act in Act if may_act(role, act)} == acts


def test_only_people_in_the_room_may_know_the_patient() -> None:
    assert [role for role in Role if identified(role)] == [Role.OR_STAFF]


def test_staff_and_admin_are_never_invited_by_a_link() -> None:
    assert {Role.OR_STAFF, Role.ADMIN}.isdisjoint(INVITABLE)
