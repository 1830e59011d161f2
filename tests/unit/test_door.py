"""Who may enter, and for how long."""

from __future__ import annotations

from itertools import count, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.errors import ScotError
from scot_dashboard.door import (
    HOUR_NS,
    MAX_PEOPLE,
    RETURN_NS,
    SECOND_NS,
    STAFF_IDLE_NS,
    TRANSITIONS,
    Door,
    Person,
    RefusedError,
    State,
)
from scot_dashboard.limits import Limiter
from scot_dashboard.roles import Role

NOW = 1_700_000_000_000_000_000
WALL = "the wall's secret of this room"


def make_door(case: str = "K-17") -> Door:
    numbers = count()
    return Door(WALL, case, token=lambda: f"token {next(numbers)}")


def guest(door: Door, now_ns: int = NOW, hours: float = 4) -> tuple[Person, str, str]:
    """A person who has opened their link: with link and session."""
    _, secret = door.invite(Role.CONSULTANT, hours, "Prof. Sato", now_ns)
    person, session = door.enter(secret, "10.0.0.1", now_ns)
    return person, secret, session


def refusal(status: int) -> pytest.RaisesExc[RefusedError]:
    return pytest.RaisesExc(RefusedError, check=lambda error: error.status == status)


def test_an_invitation_opens_once_and_only_for_the_browser_that_used_it() -> None:
    door = make_door()
    person, secret, session = guest(door)
    with refusal(410):
        door.enter(secret, "10.0.0.2", NOW)
    with refusal(410):
        door.enter(secret, "10.0.0.2", NOW, ["another session"])
    assert door.enter(secret, "10.0.0.1", NOW, ["stale", session]) == (person, session)


def test_the_link_is_a_random_id_and_nothing_that_is_kept_opens_anything() -> None:
    door = Door(WALL, "K-17")
    secrets = {door.invite(Role.CONSULTANT, 1, "", NOW)[1] for _ in range(50)}
    assert len(secrets) == 50
    assert all(len(secret) * 6 >= 128 for secret in secrets)
    _, session = door.enter(secrets.pop(), "10.0.0.1", NOW)
    kept = door.save().decode()
    for secret in (*secrets, session, WALL):
        assert secret not in kept


@pytest.mark.parametrize("hours", [0, -1, 24.001, float("inf"), float("nan")])
def test_no_invitation_is_good_for_more_than_a_day(hours: float) -> None:
    with refusal(400):
        make_door().invite(Role.CONSULTANT, hours, "", NOW)


@pytest.mark.parametrize("role", [Role.OR_STAFF, Role.ADMIN])
def test_a_link_never_makes_staff(role: Role) -> None:
    with refusal(400):
        make_door().invite(role, 1, "", NOW)


def test_an_invitation_runs_out_used_or_not() -> None:
    door = make_door()
    _, unused = door.invite(Role.CONSULTANT, 1, "", NOW)
    person, _, session = guest(door, hours=1)
    door.connect(person, NOW)
    last_ns = NOW + HOUR_NS - 1
    assert door.expired(person, last_ns) is None
    assert door.who(session, last_ns) is person
    over_ns = NOW + HOUR_NS
    with refusal(410):
        door.enter(unused, "10.0.0.1", over_ns)
    with refusal(410):
        door.who(session, over_ns)
    with refusal(410):
        door.connect(person, over_ns)
    assert door.expired(person, over_ns) is not None


def test_staying_does_not_prolong_an_invitation_but_a_wall_in_use_stays_open() -> None:
    door = make_door()
    person, _, _ = guest(door, hours=1)
    staff, session = door.enter(WALL, "127.0.0.1", NOW)
    for minutes in range(0, 60 * 20, 30):
        door.stay(person, NOW + minutes * 60 * SECOND_NS)
        door.stay(staff, NOW + minutes * 60 * SECOND_NS)
    assert person.expires_ns == NOW + HOUR_NS
    assert door.who(session, NOW + 20 * HOUR_NS) is staff
    with refusal(401):
        door.who(session, NOW + 20 * HOUR_NS + STAFF_IDLE_NS)


def test_an_invitation_is_for_one_case() -> None:
    door = make_door("K-17")
    _, unused = door.invite(Role.CONSULTANT, 4, "", NOW)
    person, _, session = guest(door)
    staff, _ = door.enter(WALL, "127.0.0.1", NOW)
    door.case = "K-18"
    assert door.expired(staff, NOW) is None  # the wall belongs to the room
    with refusal(410):
        door.enter(unused, "10.0.0.1", NOW)
    with refusal(410):
        door.who(session, NOW)
    assert door.expired(person, NOW) is not None


def test_the_room_lets_in_each_entry() -> None:
    door = make_door()
    person, _, _ = guest(door)
    assert door.connect(person, NOW) is State.KNOCKING
    door.admit(person.id, NOW)
    door.leave(person, NOW + SECOND_NS)
    assert person.state is State.GONE
    assert door.connect(person, NOW + SECOND_NS + RETURN_NS) is State.ADMITTED
    door.leave(person, NOW + 2 * RETURN_NS)
    assert door.connect(person, NOW + 3 * RETURN_NS + 1) is State.KNOCKING


def test_who_was_never_let_in_knocks_again_even_at_once() -> None:
    door = make_door()
    person, _, _ = guest(door)
    door.connect(person, NOW)
    door.leave(person, NOW)
    assert door.connect(person, NOW) is State.KNOCKING


@pytest.mark.parametrize("when", ["invited", "knocking", "admitted", "gone"])
def test_what_is_withdrawn_never_opens_again(when: str) -> None:
    door = make_door()
    person, secret = door.invite(Role.CONSULTANT, 4, "", NOW)
    session = ""
    if when != "invited":
        _, session = door.enter(secret, "10.0.0.1", NOW)
        door.connect(person, NOW)
    if when in ("admitted", "gone"):
        door.admit(person.id, NOW)
    if when == "gone":
        door.leave(person, NOW)
    assert person.state == when
    door.revoke(person.id, NOW)
    door.revoke(person.id, NOW)  # twice is not an error: two people at the wall may press it
    for sessions in ([], [session]):
        with refusal(403):
            door.enter(secret, "10.0.0.1", NOW, sessions)
    if session:
        with refusal(403):
            door.who(session, NOW)
    with refusal(403):
        door.connect(person, NOW)
    with refusal(409):
        door.admit(person.id, NOW)


def test_who_is_refused_is_out() -> None:
    door = make_door()
    person, _, session = guest(door)
    door.connect(person, NOW)
    door.refuse(person.id, NOW)
    with refusal(403):
        door.who(session, NOW)


def test_the_wall_opens_to_its_secret_as_often_as_needed_and_keeps_a_browsers_session() -> None:
    door = make_door()
    first, session = door.enter(WALL, "127.0.0.1", NOW)
    assert door.enter(WALL, "127.0.0.1", NOW, [session]) == (first, session)
    second, _ = door.enter(WALL, "127.0.0.1", NOW, ["no session of ours"])
    assert second is not first
    assert first.role is second.role is Role.OR_STAFF
    assert door.connect(first, NOW) is State.ADMITTED
    with refusal(400):
        door.revoke(first.id, NOW)


def test_a_flood_of_wrong_links_is_slowed_and_never_locks_out_a_right_one() -> None:
    door = make_door()
    _, secret = door.invite(Role.CONSULTANT, 4, "", NOW)
    statuses = []
    for number in range(30):
        with pytest.raises(RefusedError) as caught:
            door.enter(f"guess {number}", "10.0.0.9", NOW)
        statuses.append(caught.value.status)
    assert statuses == [401] * 10 + [429] * 20
    with refusal(401):
        door.enter("guess", "10.0.0.10", NOW)  # somebody else is not slowed
    assert door.enter(secret, "10.0.0.9", NOW)[0].state is State.KNOCKING


def test_authors_are_numbered_roles_and_never_names() -> None:
    door = make_door()
    authors = [door.invite(Role.CONSULTANT, 1, "Prof. Sato", NOW)[0].author for _ in range(2)]
    authors.append(door.invite(Role.ENGINEER, 1, "Dr Mori", NOW)[0].author)
    assert authors == ["consultant 1", "consultant 2", "engineer 1"]


def test_a_restart_keeps_sessions_numbers_and_what_was_withdrawn() -> None:
    door = make_door()
    person, secret, session = guest(door)
    door.connect(person, NOW)
    door.admit(person.id, NOW)
    out, _, out_session = guest(door)
    door.revoke(out.id, NOW)
    again = make_door()
    again.restore(door.save(), NOW + SECOND_NS)
    back = again.who(session, NOW + SECOND_NS)
    assert again.connect(back, NOW + SECOND_NS) is State.ADMITTED
    with refusal(403):
        again.who(out_session, NOW + SECOND_NS)
    with refusal(410):
        again.enter(secret, "10.0.0.1", NOW + SECOND_NS)
    assert again.invite(Role.CONSULTANT, 1, "", NOW)[0].id == "consultant-3"


def test_saved_state_that_is_broken_is_refused_in_one_line() -> None:
    with pytest.raises(ScotError, match="unreadable"):
        make_door().restore(b'{"counts": {}', NOW)


def test_nobody_can_fill_the_memory_with_people() -> None:
    door = make_door()
    for _ in range(MAX_PEOPLE):
        door.invite(Role.CONSULTANT, 1, "", NOW)
    with refusal(429):
        door.invite(Role.CONSULTANT, 1, "", NOW)
    door.revoke("consultant-7", NOW)
    door.invite(Role.CONSULTANT, 1, "", NOW)
    assert "consultant-7" not in door.people
    assert len(door.people) == MAX_PEOPLE


def test_only_the_tables_transitions_happen() -> None:
    doors = {"admit": Door.admit, "refuse": Door.refuse}
    for state, event in product(State, doors):
        door = make_door()
        person, _ = door.invite(Role.CONSULTANT, 4, "", NOW)
        person.state = state
        if (state, event) in TRANSITIONS:
            doors[event](door, person.id, NOW)
            assert person.state is TRANSITIONS[state, event]
        else:
            with refusal(409):
                doors[event](door, person.id, NOW)
            assert person.state is state


def test_somebody_unknown_is_named_in_the_error() -> None:
    with pytest.raises(RefusedError, match=r"'nobody-1'.*scot people"):
        make_door().admit("nobody-1", NOW)


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 5), st.integers(1, 4))
def test_a_limiter_never_lets_through_more_than_its_rate(
    steps: list[int], burst: int, every_s: int
) -> None:
    limiter = Limiter(burst, every_s * SECOND_NS)
    now_s, let_through = 0, []
    for step in steps:
        now_s += step
        wait_s = limiter.take("name", now_s * SECOND_NS)
        if wait_s == 0:
            let_through.append(now_s)
        else:
            assert limiter.take("name", (now_s + wait_s) * SECOND_NS - 1) > 0
    for index, start_s in enumerate(let_through):
        for end_s, number in zip(let_through[index:], range(1, 1000), strict=False):
            assert number <= burst + (end_s - start_s) // every_s
