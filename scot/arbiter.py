"""The device's side of guarded control: who is in control, and what runs, at most once. Sans-IO.

One arbiter stands before each device, in the process that would execute. It is fed events and
gives effects; it reads no time. ``now_ns`` is the host's monotonic clock, for how long things last;
bus time comes inside events with its bound, for what has expired.

Why at most once, whatever the network does: a key is written down, durably, before it is executed,
and a key that is written down is never executed again. What was refused is remembered until it has
surely expired; what was issued before this host began is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from scot.arbitration import (
    Audit,
    Effect,
    Ended,
    Event,
    Execute,
    NotWritten,
    Offered,
    Received,
    Reply,
    Ticked,
    Write,
    Written,
)
from scot.channel import Command, Risk
from scot.command import (
    NEXT,
    OPEN,
    Answer,
    Ask,
    Caller,
    Confirm,
    Lease,
    Look,
    Offer,
    Outcome,
    Release,
    Request,
    Standing,
    State,
    Take,
    Why,
    Withdraw,
    check_arguments,
    plain_arguments,
    refusal_step,
)
from scot.errors import LocalProtocolError
from scot.lease import Control, Held, judge, sound, surely_before, surely_past
from scot.timestamp import Timestamp

KEEP_NS: Final = 3_600_000_000_000
"""How long after its expiry a key is still known."""
MAX_KNOWN: Final = 10_000


@dataclass
class _Entry:
    """One command that is known here."""

    outcome: Outcome
    due_ns: int = 0
    owed: list[bytes] = field(default_factory=list)


class Arbiter:
    """Decides for one device.

    Args:
        address: ``workspace/device``.
        start: bus time when this host began, with its bound; it also numbers the terms.
    """

    def __init__(self, address: str, start: Timestamp) -> None:
        self.address = address
        self._start = start
        self._control = Control(address, start.bus_ns)
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._open: dict[str, _Entry] = {}
        self._offered = Offered({}, ready=False, text="the device is not connected yet")
        self._out: list[Effect] = []

    def on(self, event: Event, now_ns: int) -> list[Effect]:
        """Take an event in and return what is to be done, in order."""
        self._lapse(now_ns)
        if isinstance(event, Received):
            self._received(event, now_ns)
        elif isinstance(event, Written):
            self._written(event, now_ns)
        elif isinstance(event, NotWritten):
            self._end(event.key, State.REFUSED, Why.BOOK, f"it cannot be noted: {event.text}")
        elif isinstance(event, Ended):
            self._ended(event)
        elif isinstance(event, Ticked):
            self._tick(event.stamp, now_ns)
        elif isinstance(event, Offered):
            self._offered = event
        else:
            self._restore(event.rows)
        out, self._out = self._out, []
        return out

    # -- control

    def lease(self, now_ns: int) -> Lease | None:
        """Return who is in control."""
        return self._control.lease(now_ns)

    def _lapse(self, now_ns: int) -> None:
        lost = self._control.lapse(now_ns)
        if lost is not None:
            self._changed("lost", lost)

    def _changed(self, what: str, held: Held) -> None:
        """Note a change of control, and refuse what waited under a control that is no more."""
        self._out.append(
            Audit({
                "step": "control", "what": what, "address": self.address, "holder": held.holder,
                "role": held.role, "term": held.term, "offered_to": held.offered_to,
            })
        )  # fmt: skip
        for key, entry in list(self._open.items()):
            was = entry.outcome
            if was.state is State.WAITING and not self._control.covers(was):
                text = f"{was.caller} lost control before it was confirmed"
                self._end(key, State.REFUSED, Why.CONTROL_LOST, text)

    def _pass_on(self, caller: Caller, call: Take | Release | Offer, event: Received,
               now_ns: int) -> Standing:  # fmt: skip
        before = self._control.held
        if isinstance(call, Take):
            why, text, what = self._control.take(caller, call, event.stamp, now_ns)
        else:
            why, text, what = self._control.give_up(caller, call, now_ns)
        held = self._control.held or before
        if what and held is not None:
            self._changed(what, held)
        return self._standing(now_ns, why, text)

    def _standing(self, now_ns: int, why: Why = Why.NONE, text: str = "") -> Standing:
        opened = [entry.outcome for entry in self._open.values()]
        lease = self._control.lease(now_ns)
        return Standing(address=self.address, why=why, text=text, lease=lease, open=opened)

    # -- calls

    def _received(self, event: Received, now_ns: int) -> None:
        call, caller, stamp = event.call, event.caller, event.stamp
        answer: Answer | None
        if isinstance(call, Take | Release | Offer):
            answer = self._pass_on(caller, call, event, now_ns)
        elif isinstance(call, Look):
            answer = self._standing(now_ns)
        elif isinstance(call, Request):
            answer = self._request(event.id, caller, call, stamp, now_ns)
        elif isinstance(call, Ask):
            answer = self._ask(call)
        else:
            answer = self._second(event.id, caller, call, stamp, now_ns)
        if answer is None:
            return  # once it is written down
        if isinstance(answer, Standing) and answer.why is not Why.NONE:
            self._out.append(Audit(refusal_step(call, caller, answer.why, answer.text)))
        self._out.append(Reply(event.id, answer))

    def _ask(self, call: Ask) -> Outcome:
        entry = self._known.get(call.key)
        if entry is not None:
            return entry.outcome
        return Outcome(
            address=call.address,
            key=call.key,
            state=State.UNKNOWN,
            why=Why.NEVER_HEARD,
            text="no command of this key is known here",
        )

    def _request(
        self, id: bytes, caller: Caller, call: Request, stamp: Timestamp, now_ns: int
    ) -> Answer | None:
        entry = self._known.get(call.key)
        if entry is not None:
            was = entry.outcome
            if (was.caller, was.address, was.arguments) == (
                caller.key, call.address, call.arguments
            ):  # fmt: skip
                return was
            return self._standing(now_ns, Why.CONFLICT, "this key was used for another command")
        if not self._make_room(stamp):
            text = f"{MAX_KNOWN} commands have not expired yet; wait a minute"
            return self._standing(now_ns, Why.FULL, text)
        why, text = self._objection(caller, call, stamp, now_ns)
        state = State.ACCEPTED
        command = self._command(call.address)
        if why is not Why.NONE or command is None:
            state = State.EXPIRED if why is Why.LATE else State.REFUSED
        elif command.risk is Risk.HIGH:
            state, text = State.WAITING, "a second person must confirm it"
        outcome = Outcome(
            address=call.address, key=call.key, state=state, why=why, text=text,
            arguments=call.arguments, caller=caller.key, role=caller.role, term=call.term,
            issued_ns=call.issued_ns, expires_ns=call.expires_ns,
        )  # fmt: skip
        entry = self._known[call.key] = _Entry(outcome)
        self._note(entry)
        if state is State.ACCEPTED:
            entry.owed.append(id)
            self._write(entry)
            return None
        if state is State.WAITING and command is not None:
            entry.due_ns = now_ns + round(command.confirm_within_s * 1e9)
        return outcome

    def _command(self, address: str) -> Command | None:
        return self._offered.commands.get(address.rpartition("/")[2])

    def _unfit(self, caller: Caller, call: Request) -> tuple[Why, str]:
        """Return why such a request is never accepted here; NONE when it may be."""
        name = call.address.rpartition("/")[2]
        command = self._command(call.address)
        if command is None:
            allowed = ", ".join(self._offered.commands) or "nothing"
            return Why.NO_COMMAND, f"{self.address} offers no {name!r}; it offers: {allowed}"
        if caller.role not in command.roles:
            allowed = ", ".join(command.roles)
            return Why.ROLE, f"role {caller.role!r} may not; {name} is for {allowed}"
        if text := check_arguments(command, call.arguments):
            return Why.ARGUMENTS, text
        return Why.NONE, ""

    def _objection(
        self, caller: Caller, call: Request, stamp: Timestamp, now_ns: int
    ) -> tuple[Why, str]:
        """Return why a new request is not accepted now; NONE when it is."""
        why, text = self._unfit(caller, call)
        if why is not Why.NONE:
            return why, text
        if not self._offered.ready:
            return Why.NOT_READY, f"{self.address} is not ready: {self._offered.text}"
        why, text = judge(stamp, call.expires_ns)
        if why is not Why.NONE:
            return why, text
        if not surely_before(self._start, call.issued_ns):
            return Why.OLD, "it was issued before the device's host started; ask again"
        command = self._command(call.address)
        stops = command is not None and command.stops
        if not stops and not self._control.has(caller.key, call.term):
            return Why.NO_CONTROL, f"{self._control.describe(now_ns)}; take control first"
        for entry in self._open.values():
            if entry.outcome.address == call.address:
                return Why.BUSY, f"{call.address} is {entry.outcome.state} already"
        return Why.NONE, ""

    def _second(
        self, id: bytes, caller: Caller, call: Confirm | Withdraw, stamp: Timestamp, now_ns: int
    ) -> Answer | None:
        """Take what a second person says; None when the answer must wait for the book."""
        entry = self._known.get(call.key)
        if entry is None or entry.outcome.address != call.address:
            return self._standing(now_ns, Why.NOT_WAITING, "no such command waits here")
        command = self._command(call.address)
        if command is None or caller.role not in command.roles:
            return self._standing(now_ns, Why.ROLE, f"role {caller.role!r} has no say in it")
        if isinstance(call, Withdraw):
            if entry.outcome.state is State.WAITING:
                self._end(call.key, State.REFUSED, Why.WITHDRAWN, f"withdrawn by {caller.key}")
            return entry.outcome
        why, text = self._unconfirmed(caller, call, entry.outcome)
        if why is not Why.NONE:
            return self._standing(now_ns, why, text)
        if entry.outcome.state is not State.WAITING:
            return entry.outcome  # confirmed once already, by the same person
        why, text = judge(stamp, entry.outcome.expires_ns)
        if why is not Why.NONE:
            self._end(call.key, State.EXPIRED if why is Why.LATE else State.REFUSED, why, text)
            return entry.outcome
        entry.owed.append(id)
        self._become(entry, State.ACCEPTED, second=caller.key, text="")
        self._write(entry)
        return None

    def _unconfirmed(self, caller: Caller, call: Confirm, was: Outcome) -> tuple[Why, str]:
        """Return why this confirmation confirms nothing."""
        if caller.key == was.caller:
            return Why.SAME_PERSON, f"{caller.key} asked for it; somebody else must confirm it"
        if call.arguments != was.arguments:
            return Why.ARGUMENTS, "what is confirmed is not what was asked for; look again"
        if was.state is not State.WAITING and was.second != caller.key:
            return Why.NOT_WAITING, f"it is {was.state} already"
        return Why.NONE, ""

    # -- execution

    def _write(self, entry: _Entry) -> None:
        row = msgspec.structs.replace(entry.outcome, state=State.RUNNING)
        self._out.append(Write(row, durable=True))

    def _written(self, event: Written, now_ns: int) -> None:
        entry = self._known.get(event.key)
        if entry is None or entry.outcome.state is not State.ACCEPTED:
            return
        was = entry.outcome
        command = self._command(was.address)
        why, text = self._second_thoughts(was, event.stamp)
        if why is not Why.NONE or command is None:
            self._end(event.key, State.EXPIRED if why is Why.LATE else State.REFUSED, why, text)
            return
        limit_ns = round(command.limit_s * 1e9)
        entry.due_ns = now_ns + limit_ns
        self._become(entry, State.RUNNING)
        arguments = plain_arguments(was.arguments)
        self._out.append(Execute(event.key, command.name, arguments, limit_ns))
        self._settle(entry)

    def _second_thoughts(self, was: Outcome, stamp: Timestamp) -> tuple[Why, str]:
        """Return why an accepted command does not begin: the disk may have been slow."""
        command = self._command(was.address)
        stops = command is not None and command.stops
        if not stops and not self._control.covers(was):
            return Why.CONTROL_LOST, f"{was.caller} lost control before it began"
        if command is None or not self._offered.ready:
            return Why.NOT_READY, f"{self.address} is not ready: {self._offered.text}"
        text = check_arguments(command, was.arguments)
        if text or (command.risk is Risk.HIGH and not was.second):
            return Why.ARGUMENTS, text or "the device now says that a second person must confirm"
        return judge(stamp, was.expires_ns)

    def _ended(self, event: Ended) -> None:
        if event.state not in (State.DONE, State.FAILED, State.UNKNOWN):
            raise LocalProtocolError(f"an execution cannot end as {event.state}")
        why = {State.FAILED: Why.DEVICE, State.UNKNOWN: Why.BROKEN}.get(event.state, Why.NONE)
        self._end(event.key, event.state, why, event.text, event.value)

    def _end(self, key: str, state: State, why: Why, text: str, value: Any = None) -> None:
        """Move a command to its end, if it may still get there."""
        entry = self._known.get(key)
        if entry is None or state not in NEXT[entry.outcome.state]:
            return
        began = entry.outcome.state is not State.WAITING
        self._become(entry, state, why=why, text=text, value=value)
        if began:
            self._out.append(Write(entry.outcome, durable=False))
        self._settle(entry)

    def _become(self, entry: _Entry, state: State, **more: Any) -> None:
        if state not in NEXT[entry.outcome.state]:
            raise LocalProtocolError(f"a command that is {entry.outcome.state} became {state}")
        entry.outcome = msgspec.structs.replace(entry.outcome, state=state, **more)
        self._note(entry)

    def _settle(self, entry: _Entry) -> None:
        self._out.extend(Reply(owed, entry.outcome) for owed in entry.owed)
        entry.owed.clear()

    def _note(self, entry: _Entry) -> None:
        """Note where a command stands now: for the record, and whether it is open."""
        outcome = entry.outcome
        if outcome.state in OPEN:
            self._open[outcome.key] = entry
        else:
            self._open.pop(outcome.key, None)
        step = msgspec.to_builtins(outcome)
        step["step"] = "command"
        del step["type"]
        self._out.append(Audit(step))

    # -- time, and memory

    def _tick(self, stamp: Timestamp, now_ns: int) -> None:
        for key, entry in list(self._open.items()):
            state = entry.outcome.state
            if state is State.WAITING and (
                now_ns >= entry.due_ns or not surely_before(stamp, entry.outcome.expires_ns)
            ):
                text = "nobody confirmed it in time"
                self._end(key, State.EXPIRED, Why.UNCONFIRMED, text)
            elif state is State.RUNNING and now_ns >= entry.due_ns:
                text = "the device has not told its end in time; look at the device"
                self._end(key, State.UNKNOWN, Why.SILENT, text)

    def _make_room(self, stamp: Timestamp) -> bool:
        """Forget what can never run again; False when all that is known still could."""
        while self._known:
            outcome = next(iter(self._known.values())).outcome
            old_ns = outcome.expires_ns + (KEEP_NS if len(self._known) < MAX_KNOWN else 0)
            if outcome.state in OPEN or not (sound(stamp) and surely_past(stamp, old_ns)):
                break
            del self._known[outcome.key]
        return len(self._known) < MAX_KNOWN

    def _restore(self, rows: list[Outcome]) -> None:
        for row in rows:
            self._known[row.key] = _Entry(row)
        for key, entry in self._known.items():
            if entry.outcome.state is State.RUNNING:
                text = "the device's host was restarted while it ran; look at the device"
                self._end(key, State.UNKNOWN, Why.RESTARTED, text)
