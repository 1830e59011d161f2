"""The door: wall secret, invitations, sessions and the states of people. No I/O, no clock.

Every time here is UTC ns handed in by the caller, so that what is saved still means the same after
a restart. Secrets are kept only as SHA-256; a secret has at least 192 random bits, so a plain hash
is enough, and a flood of wrong ones is slowed without ever locking out a right one.

::

    invited ──enter──▶ knocking ──admit──▶ admitted ──revoke──▶ revoked
                          │  ▲                │  ▲
                          │  └──come back─────┤  │ come back within a minute
                       refuse, leave        leave │
                          ▼                   ▼   │
                  revoked, gone              gone ┘
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from scot.errors import AccessError, ScotError
from scot_dashboard.limits import Limiter
from scot_dashboard.roles import INVITABLE, Role

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
MAX_HOURS = 24.0
STAFF_IDLE_NS = 12 * HOUR_NS  # a wall that nobody looked at for so long signs in again
RETURN_NS = 60 * SECOND_NS  # who was admitted and lost the line need not knock again
MAX_PEOPLE = 256
SECRET_BYTES = 24
STAFF_AUTHOR = "OR staff"


class State(StrEnum):
    """Where a person stands."""

    INVITED = "invited"
    KNOCKING = "knocking"
    ADMITTED = "admitted"
    REVOKED = "revoked"
    GONE = "gone"


TRANSITIONS: dict[tuple[State, str], State] = {
    (State.INVITED, "enter"): State.KNOCKING,
    (State.INVITED, "revoke"): State.REVOKED,
    (State.KNOCKING, "admit"): State.ADMITTED,
    (State.KNOCKING, "refuse"): State.REVOKED,
    (State.KNOCKING, "revoke"): State.REVOKED,
    (State.KNOCKING, "leave"): State.GONE,
    (State.ADMITTED, "revoke"): State.REVOKED,
    (State.ADMITTED, "leave"): State.GONE,
    (State.GONE, "return"): State.ADMITTED,
    (State.GONE, "knock"): State.KNOCKING,
    (State.GONE, "revoke"): State.REVOKED,
}


class Person(msgspec.Struct, kw_only=True):
    """Somebody who was invited, or who opened the wall.

    Attributes:
        id: what people and `scot revoke` call the session, such as ``consultant-1``.
        author: what everybody else reads, such as ``consultant 1``; never a person's name.
        label: what the inviter wrote; it stays in the room and is never recorded.
        case: the case they were invited to.
        invitation, session: SHA-256 of the secrets; empty when there is none.
        expires_ns: after this nothing opens.
        since_ns: when they came to this state.
        admitted: the room let them in once.
    """

    id: str
    role: Role
    author: str
    label: str
    case: str
    state: State
    expires_ns: int
    invitation: str = ""
    session: str = ""
    since_ns: int = 0
    admitted: bool = False


class RefusedError(AccessError):
    """Somebody may not enter or act; `status` is the HTTP status, the text names the fix."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Saved(msgspec.Struct):
    counts: dict[str, int]
    people: list[Person]


class Door:
    """Decides who enters. All state is here; `save` and `restore` carry it over a restart.

    Args:
        wall_secret: opens the wall to people who can read the room's state folder.
        case: the case that is running; an invitation opens only its own.
        token: makes a random secret; tests hand in their own.
    """

    def __init__(
        self,
        wall_secret: str,
        case: str,
        token: Callable[[], str] = lambda: secrets.token_urlsafe(SECRET_BYTES),
    ) -> None:
        self.case = case
        self.people: dict[str, Person] = {}
        self._wall = _hash(wall_secret)
        self._token = token
        self._counts: dict[str, int] = {}
        self._wrong = Limiter(burst=10, every_ns=6 * SECOND_NS)

    def invite(self, role: Role, hours: float, label: str, now_ns: int) -> tuple[Person, str]:
        """Return a new person and the secret of the link, which is not kept.

        Raises:
            RefusedError: the role cannot be invited, the hours are not within 24, or too many wait.
        """
        if role not in INVITABLE:
            allowed = ", ".join(sorted(INVITABLE))
            raise RefusedError(400, f"nobody can be invited as {role}; invite as one of: {allowed}")
        if not 0 < hours <= MAX_HOURS:
            raise RefusedError(
                400, f"{hours:g} hours is not allowed; above 0, at most {MAX_HOURS:g}"
            )
        expires_ns = now_ns + round(hours * HOUR_NS)
        person = self._add(role, role.value, label[:80], State.INVITED, expires_ns)
        secret = self._token()
        person.invitation = _hash(secret)
        return person, secret

    def enter(
        self, secret: str, address: str, now_ns: int, sessions: Sequence[str] = ()
    ) -> tuple[Person, str]:
        """Turn a link's secret into a session.

        Args:
            secret: from the URL's fragment.
            address: of the peer, for slowing down guesses.
            now_ns: UTC.
            sessions: what the browser's cookies hold, so that a reload of a used link works.

        Returns:
            The person, and the session's secret for the cookie.

        Raises:
            RefusedError: 401 wrong, 403 withdrawn, 410 used or over, 429 too many wrong ones.
        """
        digest = _hash(secret)
        known = {_hash(session): session for session in sessions}
        if hmac.compare_digest(digest, self._wall):
            return self._open_wall(known, now_ns)
        invited = self._by("invitation", digest)
        if invited is None:
            wait_s = self._wrong.take(address, now_ns)
            if wait_s:
                raise RefusedError(
                    429, f"too many wrong links from here; wait {wait_s} s and try again"
                )
            raise RefusedError(
                401, "this link opens nothing here; ask the operating room for one (`scot invite`)"
            )
        self._check(invited, now_ns)
        if invited.state is not State.INVITED:
            if invited.session in known:
                return invited, known[invited.session]
            raise RefusedError(
                410, "this link was used already; ask the operating room for a new one"
            )
        self._move(invited, "enter", now_ns)
        return invited, self._open(invited)

    def who(self, session: str, now_ns: int) -> Person:
        """Return whose cookie this is.

        Raises:
            RefusedError: 401 unknown or over, 403 withdrawn, 410 another case.
        """
        person = self._by("session", _hash(session))
        if person is None:
            raise RefusedError(
                401, "nobody is signed in here; open the link from `scot up` or the OR's"
            )
        self._check(person, now_ns)
        return person

    def is_wall(self, secret: str) -> bool:
        """Say whether this is the wall's secret (for the command line's requests)."""
        return hmac.compare_digest(_hash(secret), self._wall)

    def connect(self, person: Person, now_ns: int) -> State:
        """Note that a person's page is there; return `KNOCKING` or `ADMITTED`.

        Raises:
            RefusedError: as `who`.
        """
        self._check(person, now_ns)
        if person.state is State.GONE:
            soon = now_ns - person.since_ns <= RETURN_NS or person.role is Role.OR_STAFF
            self._move(person, "return" if person.admitted and soon else "knock", now_ns)
        self.stay(person, now_ns)
        return person.state

    def stay(self, person: Person, now_ns: int) -> None:
        """Note that a page is still there: a wall in use does not run out, an invitation does."""
        until_ns = now_ns + STAFF_IDLE_NS
        if person.role is Role.OR_STAFF and until_ns - person.expires_ns > RETURN_NS:
            person.expires_ns = until_ns

    def leave(self, person: Person, now_ns: int) -> None:
        """Note that a person's last page is gone."""
        if (person.state, "leave") in TRANSITIONS:
            self._move(person, "leave", now_ns)

    def admit(self, name: str, now_ns: int) -> Person:
        """Let somebody in who knocks.

        Raises:
            RefusedError: nobody of that name knocks.
        """
        person = self._named(name)
        self._move(person, "admit", now_ns)
        person.admitted = True
        return person

    def refuse(self, name: str, now_ns: int) -> Person:
        """Turn away somebody who knocks.

        Raises:
            RefusedError: nobody of that name knocks.
        """
        person = self._named(name)
        self._move(person, "refuse", now_ns)
        return person

    def revoke(self, name: str, now_ns: int) -> Person:
        """Withdraw an invitation or throw out a guest, for good.

        Raises:
            RefusedError: no such person, or they belong to the room.
        """
        person = self._named(name)
        if person.role is Role.OR_STAFF:
            raise RefusedError(400, f"{name} is the room's own wall; close the page instead")
        if person.state is not State.REVOKED:
            self._move(person, "revoke", now_ns)
        return person

    def expired(self, person: Person, now_ns: int) -> RefusedError | None:
        """Return why a person may not stay any longer, or None."""
        try:
            self._check(person, now_ns)
        except RefusedError as refused:
            return refused
        return None

    def save(self) -> bytes:
        """Return everything that must outlive the process; it holds no secret."""
        return msgspec.json.encode(_Saved(self._counts, list(self.people.values())))

    def restore(self, data: bytes, now_ns: int) -> None:
        """Take over what an earlier process saved; nobody is connected then.

        Raises:
            ScotError: the data is not what `save` returned.
        """
        try:
            saved = msgspec.json.decode(data, type=_Saved)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ScotError(
                f"saved sessions are unreadable: {error}; everybody enters again"
            ) from None
        self._counts = saved.counts
        for person in saved.people:
            self.people[person.id] = person
            self.leave(person, now_ns)

    def _open_wall(self, known: dict[str, str], now_ns: int) -> tuple[Person, str]:
        """Return the staff session that a browser has already, or a new one."""
        for digest, session in known.items():
            here = self._by("session", digest)
            if here and here.role is Role.OR_STAFF and self.expired(here, now_ns) is None:
                return here, session
        until_ns = now_ns + STAFF_IDLE_NS
        person = self._add(Role.OR_STAFF, "staff", "", State.GONE, until_ns, STAFF_AUTHOR)
        person.admitted = True
        person.since_ns = now_ns
        return person, self._open(person)

    def _add(
        self, role: Role, stem: str, label: str, state: State, expires_ns: int, author: str = ""
    ) -> Person:
        if len(self.people) >= MAX_PEOPLE and not self._forget():
            raise RefusedError(429, f"{MAX_PEOPLE} people are known; revoke some (`scot people`)")
        number = self._counts[stem] = self._counts.get(stem, 0) + 1
        person = Person(
            id=f"{stem}-{number}",
            role=role,
            author=author or f"{stem} {number}",
            label=label,
            case=self.case,
            state=state,
            expires_ns=expires_ns,
        )
        self.people[person.id] = person
        return person

    def _forget(self) -> bool:
        """Forget whoever has been out the longest; False when everybody is still wanted."""
        out = [p for p in self.people.values() if p.state in (State.GONE, State.REVOKED)]
        if not out:
            return False
        del self.people[min(out, key=lambda p: p.since_ns).id]
        return True

    def _open(self, person: Person) -> str:
        session = self._token()
        person.session = _hash(session)
        return session

    def _by(self, what: str, digest: str) -> Person | None:
        """Find by a hash, comparing with all so that time tells nothing."""
        found = None
        for person in self.people.values():
            if hmac.compare_digest(getattr(person, what), digest):
                found = person
        return found

    def _named(self, name: str) -> Person:
        person = self.people.get(name)
        if person is None:
            raise RefusedError(404, f"nobody here is called {name!r}; `scot people` lists who is")
        return person

    def _move(self, person: Person, event: str, now_ns: int) -> None:
        state = TRANSITIONS.get((person.state, event))
        if state is None:
            raise RefusedError(409, f"{person.id} is {person.state}: nothing to {event}")
        person.state = state
        person.since_ns = now_ns

    def _check(self, person: Person, now_ns: int) -> None:
        if person.state is State.REVOKED:
            raise RefusedError(403, "the operating room has withdrawn this invitation")
        if now_ns >= person.expires_ns:
            status = 401 if person.role is Role.OR_STAFF else 410
            raise RefusedError(
                status, "this link's time is over; ask the operating room for a new one"
            )
        if person.case != self.case and person.role is not Role.OR_STAFF:
            raise RefusedError(410, "this link is for another case; ask the operating room for one")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
