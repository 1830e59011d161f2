"""Who may enter, and who must go: our own ZAP handler (RFC 27), default deny, live.

No exception can stop it. The User-Id it gives each connection is the public key itself, which
libzmq then attaches to each frame: names are for people, and two keys of one name stay two.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import zmq
from zmq.utils import z85

from scot.access import STRANGER, Access, Grant, Roster, fingerprint
from scot.audit import Audit
from scot.bus.authority import Posted
from scot.bus.connections import Connections, shut_down
from scot.bus.crowd import SHUT_NS, Crowd
from scot.bus.handshakes import Handshakes
from scot.bus.listening import end_unless_inside, received, shut_out
from scot.bus.socket import DOMAIN
from scot.bus.trail import Trail
from scot.bus.unended import Unended
from scot.clock import machine

log = logging.getLogger(__name__)

LOOK_NS = 200_000_000
BUDGET = 8  # questions about handshakes a turn
LOOK_AT = 128  # connections a tick, whether a message of theirs ends
ENDLESS = "a message without end"

USER_ID: Any = b"User-Id"  # pyzmq would make these bytes of a string, for each frame


class _Question(NamedTuple):
    public: str
    address: str
    why_not: str


class Gate:
    """Answers libzmq's question about every handshake, and ends what is no longer granted.

    Args:
        context: the broker's.
        access: which keys may enter.
        posted: the signed roster, looked at while this runs; None for none.
        audit: which rows are written; None for none.
        trail: where they go.
        utc_ns: wall-clock time, for keys that end.

    Attributes:
        admitted: handshakes since start.
        refusals: handshakes refused since start, by reason.
        cuts: live connections ended because their key was no longer valid.
        faults: questions that could not be judged.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        access: Access,
        posted: Posted | None = None,
        audit: Audit | None = None,
        trail: Trail | None = None,
        utc_ns: Callable[[], int] = machine.utc_ns,
    ) -> None:
        self.access = access
        self.audit = audit or Audit("", "broker")
        self.trail = trail or Trail(None)
        self.admitted = 0
        self.refusals: Counter[str] = Counter()
        self.cuts = 0
        self.faults = 0
        self.connections = Connections()
        self.crowd = Crowd()
        self._unended = Unended()
        self._turn = 0  # where in the live connections the next look begins
        self._posted = posted
        self._told = ""
        self._utc_ns = utc_ns
        self._look_ns = 0
        self._changed = False
        self._unasked = False
        self._handshakes: list[Handshakes] = []
        self.sock = context.socket(zmq.ROUTER)
        self.sock.setsockopt(zmq.LINGER, 0)
        self.sock.bind("inproc://zeromq.zap.01")

    @property
    def refused(self) -> int:
        """Handshakes refused since start."""
        return self.refusals.total()

    @property
    def grants(self) -> dict[str, Grant]:
        """What each holder may."""
        return self.access.grants

    # -- entering

    def watch(self, name: str, sock: zmq.Socket[bytes]) -> None:
        """Watch the handshakes of a socket that is about to be bound."""
        self._handshakes.append(Handshakes(name, sock, self.crowd))

    @property
    def socks(self) -> list[zmq.Socket[bytes]]:
        """What to poll; `answer` takes what they have."""
        return [self.sock, *(one.monitor for one in self._handshakes)]

    @property
    def unheard(self) -> bool:
        """Whether more waits than was heard of in one turn."""
        return self._unasked or any(handshakes.more for handshakes in self._handshakes)

    def answer(self) -> None:
        """Answer waiting questions, and hear of handshakes that failed, as many as a turn may."""
        now_ns = machine.monotonic_ns()
        for handshakes in self._handshakes:
            self._hear(handshakes, now_ns)
        self._thin_out(now_ns)
        self._unasked = True
        for _ in range(BUDGET):
            try:
                parts = self.sock.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                self._unasked = False
                return
            cut = parts.index(b"") + 1 if b"" in parts else len(parts)
            envelope, question = parts[:cut], parts[cut:]
            try:
                verdict = self._judge(question)
            except Exception:
                log.exception("refused a handshake that could not be judged")
                self.faults += 1
                self.refusals["unjudged"] += 1
                verdict = [b"500", b"internal error", b"", b""]
            request_id = question[1] if len(question) > 1 else b""
            self.sock.send_multipart([*envelope, b"1.0", request_id, *verdict])

    def _judge(self, question: list[bytes]) -> list[bytes]:
        asked = _read(question)
        now_ns = self._utc_ns()
        why_not = asked.why_not or self.access.why_not(asked.public, now_ns)
        if why_not == STRANGER:  # it may have been put on the roster a moment ago
            self._look(now_ns)
            why_not = self.access.why_not(asked.public, now_ns)
        if not why_not:
            self.admitted += 1
            return [b"200", b"OK", asked.public.encode(), b""]
        self.refusals[why_not] += 1
        key = self.access.standing.keys.get(asked.public)
        who = {"key": fingerprint(asked.public)} if asked.public else {}
        if key is not None:
            who["id"] = key.holder
        rows = self.audit.refused("enter", now_ns, who=who, came=asked.address, detail=why_not)
        if rows:
            whose = f"{key.holder}'s key ({why_not})" if key is not None else f"a peer ({why_not})"
            log.warning(
                "refused %s from %s", "a stranger" if why_not == STRANGER else whose, asked.address
            )
        self.trail.put(rows)
        # 400 ends the client's tries; without a roster nobody can know, and 300 lets it try again
        passing = why_not == STRANGER and self._posted is not None and self._posted.fault
        return [b"300" if passing else b"400", why_not.encode(), b"", b""]

    # -- being inside

    def user(self, frame: zmq.Frame) -> str:
        """Return the holder whose frame it is; empty when nobody's, or no longer valid."""
        try:
            return self.access.valid.get(str(frame.get(USER_ID)), "")
        except zmq.ZMQError:
            return ""

    def learn(self, frame: zmq.Frame) -> str:
        """Note whose the frame's connection is, and return the holder as `user` does.

        A connection over which a key speaks that is no longer valid ends at once.
        """
        public = public_key(frame)
        holder = self.access.holder(public)
        if public:
            self.connections.learn(frame, public)
            if not holder:
                self._cut({public}, self._utc_ns())
        return holder

    def denied(self, what: str, user: str, entity: str, detail: str = "", count: int = 1) -> None:
        """Put what a holder may not do into the audit."""
        who = {"id": user or "nobody"}
        now_ns = self._utc_ns()
        rows = self.audit.refused(
            what, now_ns, count=count, who=who, entity=entity, detail=detail or "not granted"
        )
        self.trail.put(rows)

    def tick(self) -> None:
        """Do what is due.

        At least twice a second the roster is looked at; keys that were revoked, replaced or have
        expired lose their live connections.
        """
        now_ns = self._utc_ns()
        self.trail.put(self.audit.tick(now_ns))
        self._end(self.access.tick(now_ns), now_ns)
        if not 0 <= now_ns - self._look_ns < LOOK_NS:
            self._look(now_ns)
        self._thin_out(machine.monotonic_ns())
        self._end_endless()

    def regranted(self) -> bool:
        """Whether the grants are others since this was last asked."""
        changed, self._changed = self._changed, False
        return changed

    def health(self) -> dict[str, Any]:
        """Return what a person must know of keys, as fields of the broker's ``health``."""
        return {
            "reason": self._told,
            "roster": self.access.standing.serial,
            "refused_of": dict(self.refusals),
            "cuts": self.cuts,
            "half_open_ended": self.crowd.ended,
            "shut_out": len(self.crowd.shut),
            "unjudged": self.faults,
            "audit_lost": self.trail.unwritten,
        }

    def close(self) -> None:
        """Close the sockets; before the watched ones are closed."""
        for handshakes in self._handshakes:
            handshakes.close()
        self.sock.close()
        self.trail.close()

    def _thin_out(self, now_ns: int) -> None:
        """End handshakes of who has too many, and keep out who goes on."""
        for arrival in self.crowd.excess(now_ns):
            if end_unless_inside(arrival):
                self.crowd.end(arrival, now_ns)
            else:
                self.crowd.gone(arrival.place, now_ns)
        self.crowd.tick(now_ns)
        if not self.crowd.changed:
            return
        self.crowd.changed = False
        shut_out([one.listener for one in self._handshakes if one.listener >= 0], self.crowd.shut)
        news, self.crowd.news = self.crowd.news, []
        for address in news:
            log.warning("%s opens too many connections: shut out for %g s", address, SHUT_NS / 1e9)
            rows = self.audit.refused(
                "connect", self._utc_ns(), came=address, detail="too many handshakes: shut out"
            )
            self.trail.put(rows)

    def _end_endless(self) -> None:
        """End connections whose message grows and grows."""
        live = [one for handshakes in self._handshakes for one in handshakes.arrivals]
        marks = {one.mark for one in live}
        self.connections.spoke &= marks
        self._unended.keep(marks)
        if self._turn >= len(live):
            self._turn = 0
        some = live[self._turn : self._turn + LOOK_AT]
        self._turn += LOOK_AT
        sizes = [(one, received(one)) for one in some]
        for one in self._unended.look(sizes, self.connections.spoke):
            if shut_down(one.place.descriptor, one.mark):
                self.refusals[ENDLESS] += 1
                log.warning(
                    "ended a connection from %s to %s: %s", one.address, one.place.name, ENDLESS
                )
                rows = self.audit.refused(
                    "message",
                    self._utc_ns(),
                    came=one.address,
                    entity=one.place.name,
                    detail=ENDLESS,
                )
                self.trail.put(rows)

    def _hear(self, handshakes: Handshakes, now_ns: int) -> None:
        for failed, count in Counter(handshakes.failures(now_ns)).items():
            self.refusals[failed.why] += count
            rows = self.audit.refused(
                "handshake",
                self._utc_ns(),
                count=count,
                came=failed.came,
                entity=failed.name,
                detail=failed.why,
            )
            self.trail.put(rows)

    def _look(self, now_ns: int) -> None:
        """Look whether there is a new roster, and take it."""
        self._look_ns = now_ns
        if self._posted is None:
            return
        roster = self._posted.look()
        if roster is not None:
            gone = self.access.replace(roster, now_ns)
            self._changed = True
            self._end(gone, now_ns)
        self._tell(roster, now_ns)

    def _end(self, publics: set[str], now_ns: int) -> None:
        if publics:
            self._changed = True
            self._cut(publics, now_ns)

    def _cut(self, publics: set[str], now_ns: int) -> None:
        count = self.connections.cut(publics)
        self.cuts += count
        for public in publics if count else ():
            key = self.access.standing.keys.get(public)
            name = key.holder if key is not None else "nobody"
            why = (key.why_not(now_ns) if key is not None else "") or "no longer on the roster"
            log.warning("cut %s (key %s): %s", name, fingerprint(public), why)
            who = {"id": name, "key": fingerprint(public)}
            self.trail.put(self.audit.acted("cut", now_ns, who=who, detail=why, count=count))

    def _tell(self, roster: Roster | None, now_ns: int) -> None:
        """Say in log and audit that a roster is in force, or why it is not."""
        if roster is not None:
            shadowed = ", ".join(self.access.shadowed)
            detail = f"serial {roster.serial}, {len(roster.keys)} keys"
            if shadowed:
                detail += f"; left out, because the room has its own: {shadowed}"
                log.warning("the roster's %s are left out: the room has its own", shadowed)
            self.trail.put(self.audit.acted("roster", now_ns, detail=detail))
        fault = self._posted.fault if self._posted is not None else ""
        if fault and fault != self._told:
            log.error("%s; the roster before it stays in force", fault)
            self.trail.put(self.audit.failed("roster", now_ns, detail=fault))
        self._told = fault


def public_key(frame: zmq.Frame) -> str:
    """Return the public key whose frame it is; empty when nobody's."""
    try:
        return str(frame.get(USER_ID))
    except zmq.ZMQError:
        return ""


def _read(question: list[bytes]) -> _Question:
    """Return what a question asks.

    Raises:
        ValueError: it is none.
    """
    version, _, domain, address, _, mechanism, *credentials = question
    came = address.decode("ascii", "replace")
    if version != b"1.0":
        return _Question("", came, "version")
    if domain != DOMAIN:
        return _Question("", came, "domain")
    if mechanism != b"CURVE":
        return _Question("", came, "mechanism")
    if len(credentials) != 1 or len(credentials[0]) != 32:
        return _Question("", came, "malformed")
    return _Question(z85.encode(credentials[0]).decode(), came, "")
