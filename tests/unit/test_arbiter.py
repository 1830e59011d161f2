"""Guarded control at the device: who may, when, once, and what is said when nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from scot.arbiter import MAX_KNOWN, Arbiter
from scot.arbitration import (
    Audit,
    Effect,
    Ended,
    Execute,
    NotWritten,
    Offered,
    Received,
    Reply,
    Restored,
    Ticked,
    Written,
)
from scot.channel import Argument, ArgumentType, Command, Risk
from scot.command import (
    Answer,
    Ask,
    Call,
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
)
from scot.lease import MAX_AHEAD_NS, MAX_BOUND_NS, MAX_LEASE_NS, OFFER_NS
from scot.timestamp import ClockState, Timestamp

S = 1_000_000_000
MS = 1_000_000
START_NS = 1_000 * S
COMMANDS = {
    "nibp_start": Command("nibp_start", Risk.MEDIUM, limit_s=60.0),
    "limit": Command(
        "limit", Risk.HIGH, [Argument("to", unit="/min", lower=40, upper=200)], limit_s=5.0
    ),
    "halt": Command("halt", Risk.LOW, stops=True),
    "reset": Command("reset", Risk.LOW, roles=("engineer",)),
}


class Host:
    """An arbiter with a disk that is quick, and hands on both clocks."""

    def __init__(self, rows: list[Outcome] | None = None, start_ns: int = START_NS) -> None:
        self.now_ns = start_ns
        self.bound_ns: int | None = MS
        self.state = ClockState.LOCKED
        self.quick = True
        self.executed: list[Execute] = []
        self.book: list[Outcome] = list(rows or [])
        self.steps: list[dict[str, Any]] = []
        self.replies: list[Answer] = []
        self.arbiter = Arbiter("or1/monitor", self.stamp)
        self.feed(Restored(list(self.book)))
        self.feed(Offered(COMMANDS, ready=True))
        self.now_ns += S

    @property
    def stamp(self) -> Timestamp:
        return Timestamp(None, self.now_ns, self.bound_ns, self.bound_ns, self.state)

    def feed(self, event: Any) -> list[Effect]:
        effects = self.arbiter.on(event, self.now_ns)
        for effect in effects:
            if isinstance(effect, Execute):
                self.executed.append(effect)
            elif isinstance(effect, Audit):
                self.steps.append(effect.step)
            elif isinstance(effect, Reply):
                self.replies.append(effect.answer)
            elif self.quick or not effect.durable:
                self.book.append(effect.row)
                if effect.durable:
                    self.feed(Written(effect.row.key, self.stamp))
        return effects

    def call(self, who: str, call: Call, role: str = "or_staff") -> Answer:
        self.feed(Received(b"id", Caller(who, role), call, self.stamp))
        return self.replies[-1]

    def take(self, who: str = "ann", for_s: float = 10.0, id: str = "") -> Standing:
        call = Take(
            address="or1/monitor",
            id=id or f"{who}{len(self.replies)}",
            for_ns=round(for_s * S),
            expires_ns=self.now_ns + 5 * S,
        )
        answer = self.call(who, call)
        assert isinstance(answer, Standing)
        return answer

    def control(self, who: str = "ann") -> int:
        lease = self.take(who).lease
        assert lease is not None
        assert lease.holder == who
        return lease.term

    def request(self, term: int, **more: Any) -> Request:
        plain = {
            "address": "or1/monitor/nibp_start",
            "key": "k1",
            "arguments": {},
            "term": term,
            "issued_ns": self.now_ns,
            "expires_ns": self.now_ns + 10 * S,
        }
        return Request(**{**plain, **more})

    def ask_for(self, who: str, request: Request, role: str = "or_staff") -> Outcome:
        answer = self.call(who, request, role)
        assert isinstance(answer, Outcome)
        return answer

    def limit(self, term: int, to: Any = (120, "/min"), key: str = "k1") -> Request:
        address = "or1/monitor/limit"
        return self.request(term, address=address, key=key, arguments={"to": list(to)})


def test_a_command_runs_once_it_is_written_down_and_its_end_is_told() -> None:
    host = Host()
    outcome = host.ask_for("ann", host.request(host.control()))
    assert outcome.state is State.RUNNING
    assert [row.state for row in host.book] == [State.RUNNING]
    assert [(e.name, e.arguments, e.limit_ns) for e in host.executed] == [
        ("nibp_start", {}, 60 * S)
    ]
    host.feed(Ended("k1", State.DONE, {"sys": 121}))
    found = host.call("ann", Ask(address="or1/monitor/nibp_start", key="k1"))
    assert isinstance(found, Outcome)
    assert (found.state, found.value, found.caller) == (State.DONE, {"sys": 121}, "ann")
    states = [step["state"] for step in host.steps if step["step"] == "command"]
    assert states == ["accepted", "running", "done"]


def test_nothing_runs_before_the_disk_has_it_and_a_disk_that_fails_refuses() -> None:
    host = Host()
    term = host.control()
    host.quick = False
    before = len(host.replies)
    host.feed(Received(b"id", Caller("ann", "or_staff"), host.request(term), host.stamp))
    assert not host.executed
    assert len(host.replies) == before, "answered before it was decided"
    host.feed(NotWritten("k1", "no space left on device"))
    outcome = host.replies[-1]
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.why) == (State.REFUSED, Why.BOOK)
    host.feed(Written("k1", host.stamp))
    assert not host.executed


def test_the_same_request_again_gets_the_same_answer_and_nothing_runs() -> None:
    host = Host()
    request = host.request(host.control())
    host.ask_for("ann", request)
    host.feed(Ended("k1", State.DONE))
    host.take("ben")
    host.now_ns += 60 * S
    assert host.ask_for("ann", request).state is State.DONE
    assert len(host.executed) == 1
    host.feed(Written("k1", host.stamp))  # a disk that says so twice
    assert len(host.executed) == 1


def test_a_key_cannot_stand_for_another_command() -> None:
    host = Host()
    term = host.control()
    host.ask_for("ann", host.request(term))
    for other in (host.limit(term), host.request(term, arguments={"x": 1})):
        answer = host.call("ann", other)
        assert isinstance(answer, Standing)
        assert answer.why is Why.CONFLICT
    answer = host.call("ben", host.request(term))
    assert isinstance(answer, Standing)
    assert answer.why is Why.CONFLICT


def test_after_a_restart_an_executed_key_is_known_and_what_ran_is_unknown() -> None:
    host = Host()
    request = host.request(host.control())
    host.ask_for("ann", request)
    again = Host(host.book, host.now_ns + S)
    outcome = again.ask_for("ann", request)
    assert (outcome.state, outcome.why) == (State.UNKNOWN, Why.RESTARTED)
    assert "look at the device" in outcome.text
    assert not again.executed
    assert [s["state"] for s in again.steps if s["step"] == "command"] == ["unknown"]
    third = Host(again.book, again.now_ns + S)  # and it is not told anew for ever
    assert not [s for s in third.steps if s["step"] == "command"]


def test_even_without_its_book_a_new_host_refuses_what_was_issued_before_it() -> None:
    host = Host()
    request = host.request(host.control())
    host.ask_for("ann", request)
    again = Host([], host.now_ns + S)
    term = again.control()
    late = Request(**{**{f: getattr(request, f) for f in request.__struct_fields__}, "term": term})
    outcome = again.ask_for("ann", late)
    assert (outcome.state, outcome.why) == (State.REFUSED, Why.OLD)


def test_a_command_needs_control_under_its_very_term() -> None:
    host = Host()
    assert host.ask_for("ann", host.request(1, key="a")).why is Why.NO_CONTROL
    old = host.control()
    assert host.ask_for("ben", host.request(old, key="b")).why is Why.NO_CONTROL
    host.call("ann", Release(address="or1/monitor", term=old))
    assert host.ask_for("ann", host.request(old, key="c")).why is Why.NO_CONTROL
    new = host.control()
    assert new != old
    outcome = host.ask_for("ann", host.request(old, key="d"))
    assert outcome.why is Why.NO_CONTROL, "a call from before"
    assert host.ask_for("ann", host.request(new, key="e")).state is State.RUNNING


def test_one_person_controls_a_device_until_their_time_is_over() -> None:
    host = Host()
    host.take("ann", for_s=10)
    refused = host.take("ben")
    assert refused.why is Why.HELD
    assert "ann controls or1/monitor for 10 s more" in refused.text
    host.now_ns += 6 * S
    host.take("ann", for_s=10)  # they are still there
    host.now_ns += 6 * S
    assert host.take("ben").why is Why.HELD
    host.now_ns += 5 * S
    assert host.control("ben")
    told = [step["what"] for step in host.steps if step["step"] == "control"]
    assert told == ["taken", "lost", "taken"]


def test_nobody_holds_control_longer_than_allowed_without_a_sign_of_life() -> None:
    host = Host()
    lease = host.take("ann", for_s=100_000).lease
    assert lease is not None
    assert lease.left_ns == MAX_LEASE_NS


def test_a_take_that_comes_again_takes_nothing_back() -> None:
    host = Host()
    lease = host.take("ann", id="t1").lease
    assert lease is not None
    host.call("ann", Release(address="or1/monitor", term=lease.term))
    assert host.take("ann", id="t1").lease is None
    assert host.control("ben")


def test_control_is_handed_over_by_an_offer_that_is_taken() -> None:
    host = Host()
    term = host.control("ann")
    host.call("ann", Offer(address="or1/monitor", term=term, to="ben"))
    assert host.ask_for("ann", host.request(term)).state is State.RUNNING, "still hers"
    assert host.take("kim").why is Why.HELD
    lease = host.take("ben").lease
    assert lease is not None
    assert lease.holder == "ben"
    assert lease.term != term
    assert host.ask_for("ann", host.request(term, key="k2")).why is Why.NO_CONTROL


def test_an_offer_nobody_takes_is_over_after_a_while() -> None:
    host = Host()
    term = host.control("ann")
    host.call("ann", Offer(address="or1/monitor", term=term, to="ben"))
    host.now_ns += 9 * S
    host.take("ann")
    host.now_ns += OFFER_NS - 9 * S
    host.take("ann")
    assert host.take("ben").why is Why.HELD


def test_only_its_holder_gives_control_up() -> None:
    host = Host()
    term = host.control("ann")
    for call in (
        Release(address="or1/monitor", term=term),
        Offer(address="or1/monitor", term=term, to="ben"),
    ):
        answer = host.call("ben", call)
        assert isinstance(answer, Standing)
        assert answer.why is Why.NO_CONTROL
    answer = host.call("ann", Release(address="or1/monitor", term=term - 1))
    assert isinstance(answer, Standing)
    assert answer.lease == Lease(holder="ann", role="or_staff", term=term, left_ns=10 * S)


def test_a_risky_command_waits_for_a_second_person_who_confirms_these_very_arguments() -> None:
    host = Host()
    request = host.limit(host.control("ann"))
    assert host.ask_for("ann", request).state is State.WAITING
    assert not host.executed
    confirm = Confirm(address=request.address, key="k1", arguments=request.arguments)
    for who, call, why in (
        ("ann", confirm, Why.SAME_PERSON),
        ("ben", Confirm(address=request.address, key="k1", arguments={"to": [130, "/min"]}),
         Why.ARGUMENTS),
        ("ben", Confirm(address=request.address, key="k2", arguments={}), Why.NOT_WAITING),
        ("ben", Confirm(address="or1/monitor/nibp_start", key="k1", arguments={}),
         Why.NOT_WAITING),
    ):  # fmt: skip
        answer = host.call(who, call)
        assert isinstance(answer, Standing)
        assert answer.why is why
    answer = host.call("eve", confirm, role="consultant")
    assert isinstance(answer, Standing)
    assert answer.why is Why.ROLE
    assert not host.executed
    answer = host.call("ben", confirm)
    assert isinstance(answer, Outcome)
    assert (answer.state, answer.caller, answer.second) == (State.RUNNING, "ann", "ben")
    assert host.executed[0].arguments == {"to": 120}
    again = host.call("ben", confirm)
    assert isinstance(again, Outcome)
    assert again.state is State.RUNNING
    assert len(host.executed) == 1


def test_without_a_second_person_it_expires() -> None:
    host = Host()
    term = host.take("ann", for_s=30).lease
    assert term is not None
    request = host.request(
        term.term,
        address="or1/monitor/limit",
        arguments={"to": [120, "/min"]},
        expires_ns=host.now_ns + 100 * S,
    )
    host.ask_for("ann", request)
    host.now_ns += 29 * S
    host.take("ann", for_s=30)
    host.now_ns += 2 * S
    host.feed(Ticked(host.stamp))
    found = host.call("ann", Ask(address=request.address, key="k1"))
    assert isinstance(found, Outcome)
    assert (found.state, found.why) == (State.EXPIRED, Why.UNCONFIRMED)
    late = host.call("ben", Confirm(address=request.address, key="k1", arguments=request.arguments))
    assert isinstance(late, Standing)
    assert late.why is Why.NOT_WAITING


@pytest.mark.parametrize("how", ["release", "lapse", "hand over"])
def test_what_waits_is_refused_when_its_caller_loses_control(how: str) -> None:
    host = Host()
    term = host.control("ann")
    request = host.limit(term)
    host.ask_for("ann", request)
    if how == "release":
        host.call("ann", Release(address="or1/monitor", term=term))
    elif how == "lapse":
        host.now_ns += 11 * S
        host.feed(Ticked(host.stamp))
    else:
        host.call("ann", Offer(address="or1/monitor", term=term, to="ben"))
        host.take("ben")
    answer = host.call("ben", Ask(address=request.address, key="k1"))
    assert isinstance(answer, Outcome)
    assert (answer.state, answer.why) == (State.REFUSED, Why.CONTROL_LOST)
    host.call("ben", Confirm(address=request.address, key="k1", arguments=request.arguments))
    assert not host.executed


def test_either_person_can_call_off_what_waits() -> None:
    for who in ("ann", "ben"):
        host = Host()
        request = host.limit(host.control("ann"))
        host.ask_for("ann", request)
        answer = host.call(who, Withdraw(address=request.address, key="k1"))
        assert isinstance(answer, Outcome)
        assert (answer.state, answer.why) == (State.REFUSED, Why.WITHDRAWN)
        assert who in answer.text
        assert host.ask_for("ann", request).state is State.REFUSED, "for good"


@pytest.mark.parametrize(
    ("later_ns", "bound_ns", "state", "why"),
    [
        (10 * S - 2 * MS, MS, ClockState.LOCKED, Why.NONE),
        (10 * S - MS, MS, ClockState.LOCKED, Why.LATE),  # it may be too late
        (11 * S, MS, ClockState.LOCKED, Why.LATE),
        (0, MAX_BOUND_NS, ClockState.HOLDOVER, Why.NONE),
        (0, MAX_BOUND_NS + 1, ClockState.HOLDOVER, Why.CLOCK),
        (0, None, ClockState.CONVERGING, Why.CLOCK),
        (0, MS, ClockState.ONE_WAY, Why.CLOCK),
        (0, MS, ClockState.UNSYNCED, Why.CLOCK),
    ],
)
def test_what_may_have_expired_and_what_no_clock_can_judge_is_not_run(
    later_ns: int, bound_ns: int | None, state: ClockState, why: Why
) -> None:
    host = Host()
    lease = host.take("ann", for_s=30).lease
    assert lease is not None
    request = host.request(lease.term)
    host.now_ns += later_ns
    host.bound_ns, host.state = bound_ns, state
    outcome = host.ask_for("ann", request)
    assert outcome.why is why
    assert bool(host.executed) is (why is Why.NONE)
    if why is Why.LATE:
        assert outcome.state is State.EXPIRED


def test_a_slow_disk_makes_no_command_late() -> None:
    host = Host()
    lease = host.take("ann", for_s=30).lease
    assert lease is not None
    host.quick = False
    host.feed(Received(b"id", Caller("ann", "or_staff"), host.request(lease.term), host.stamp))
    host.now_ns += 11 * S
    host.feed(Written("k1", host.stamp))
    assert not host.executed
    outcome = host.replies[-1]
    assert isinstance(outcome, Outcome)
    assert outcome.state is State.EXPIRED
    assert host.book[-1].state is State.EXPIRED, "or a restart would call it unknown"


@pytest.mark.parametrize("what", ["control", "device", "limits"])
def test_what_changed_while_the_disk_was_slow_is_looked_at_again(what: str) -> None:
    host = Host()
    term = host.control("ann")
    host.quick = False
    request = host.limit(term)
    host.feed(Received(b"id", Caller("ann", "or_staff"), request, host.stamp))
    confirm = Confirm(address=request.address, key="k1", arguments=request.arguments)
    host.feed(Received(b"id", Caller("ben", "or_staff"), confirm, host.stamp))
    if what == "control":
        host.call("ann", Release(address="or1/monitor", term=term))
    elif what == "device":
        host.feed(Offered(COMMANDS, ready=False, text="no answer"))
    else:
        tighter = Command("limit", Risk.HIGH, [Argument("to", unit="/min", lower=40, upper=100)])
        host.feed(Offered({"limit": tighter}, ready=True))
    host.feed(Written("k1", host.stamp))
    assert not host.executed
    found = host.call("ann", Ask(address=request.address, key="k1"))
    assert isinstance(found, Outcome)
    assert found.state is State.REFUSED


def test_nothing_waits_in_the_network_for_minutes() -> None:
    host = Host()
    term = host.control()
    far = host.request(term, expires_ns=host.now_ns + MAX_AHEAD_NS + S)
    assert host.ask_for("ann", far).why is Why.AHEAD


def test_a_device_that_says_nothing_leaves_the_outcome_unknown_until_it_does() -> None:
    host = Host()
    host.ask_for("ann", host.request(host.control()))
    host.now_ns += 61 * S
    host.feed(Ticked(host.stamp))
    ask = Ask(address="or1/monitor/nibp_start", key="k1")
    found = host.call("ann", ask)
    assert isinstance(found, Outcome)
    assert (found.state, found.why) == (State.UNKNOWN, Why.SILENT)
    host.feed(Ended("k1", State.DONE, 3))
    found = host.call("ann", ask)
    assert isinstance(found, Outcome)
    assert (found.state, found.value) == (State.DONE, 3)
    host.feed(Ended("k1", State.FAILED, None, "too late"))
    assert host.call("ann", ask) == found


def test_a_lost_device_is_unknown_and_a_device_that_says_no_has_failed() -> None:
    for state, why in ((State.UNKNOWN, Why.BROKEN), (State.FAILED, Why.DEVICE)):
        host = Host()
        host.ask_for("ann", host.request(host.control()))
        host.feed(Ended("k1", state, None, "why"))
        found = host.call("ann", Ask(address="or1/monitor/nibp_start", key="k1"))
        assert isinstance(found, Outcome)
        assert (found.state, found.why, found.text) == (state, why, "why")


def test_a_command_does_not_run_beside_itself() -> None:
    host = Host()
    term = host.control()
    host.ask_for("ann", host.request(term))
    assert host.ask_for("ann", host.request(term, key="k2")).why is Why.BUSY
    host.feed(Ended("k1", State.DONE))
    assert host.ask_for("ann", host.request(term, key="k3")).state is State.RUNNING
    assert host.ask_for("ann", host.request(term, key="k2")).why is Why.BUSY, "told is told"


def test_role_name_and_readiness_are_asked_for() -> None:
    host = Host()
    term = host.control()
    reset = host.request(term, address="or1/monitor/reset")
    outcome = host.ask_for("ann", reset)
    assert outcome.why is Why.ROLE
    assert "engineer" in outcome.text
    nothing = host.ask_for("ann", host.request(term, key="k2", address="or1/monitor/explode"))
    assert nothing.why is Why.NO_COMMAND
    assert "nibp_start" in nothing.text
    host.feed(Offered(COMMANDS, ready=False, text="the cable is out"))
    away = host.ask_for("ann", host.request(term, key="k3"))
    assert away.why is Why.NOT_READY
    assert "the cable is out" in away.text


def test_what_only_stops_a_device_waits_for_nobodys_control() -> None:
    host = Host()
    host.control("ann")
    halt = host.request(0, address="or1/monitor/halt")
    assert host.ask_for("ben", halt).state is State.RUNNING
    assert host.ask_for("ben", halt).state is State.RUNNING
    assert [e.name for e in host.executed] == ["halt"]


def test_looking_shows_who_is_in_control_and_what_waits() -> None:
    host = Host()
    request = host.limit(host.control("ann"))
    host.ask_for("ann", request)
    found = host.call("ben", Look(address="or1/monitor"))
    assert isinstance(found, Standing)
    assert found.lease is not None
    assert found.lease.holder == "ann"
    assert [(o.key, o.state, o.arguments) for o in found.open] == [
        ("k1", State.WAITING, {"to": [120, "/min"]})
    ]


def test_a_key_nobody_heard_of_is_said_to_be_so() -> None:
    found = Host().call("ann", Ask(address="or1/monitor/nibp_start", key="lost"))
    assert isinstance(found, Outcome)
    assert (found.state, found.why) == (State.UNKNOWN, Why.NEVER_HEARD)


def test_refused_calls_are_in_the_record() -> None:
    host = Host()
    host.take("ann")
    host.take("ben")
    last = host.steps[-1]
    assert (last["step"], last["do"], last["caller"], last["why"]) == (
        "refused", "take", "ben", "held"
    )  # fmt: skip


def test_memory_is_bounded_and_nothing_that_could_still_run_is_forgotten() -> None:
    host = Host()
    for number in range(MAX_KNOWN):
        host.ask_for("ann", host.request(0, key=f"k{number}"))
    full = host.call("ann", host.request(0, key="one more"))
    assert isinstance(full, Standing)
    assert full.why is Why.FULL
    assert host.ask_for("ann", host.request(0, key="k0")).why is Why.NO_CONTROL
    host.now_ns += 11 * S
    assert host.ask_for("ann", host.request(0, key="one more")).why is Why.NO_CONTROL
    forgotten = host.call("ann", Ask(address="or1/monitor/nibp_start", key="k0"))
    assert isinstance(forgotten, Outcome)
    assert forgotten.why is Why.NEVER_HEARD


ARGUMENTS = Command(
    "set",
    arguments=[
        Argument("rate", unit="/min", lower=40, upper=200),
        Argument("count", ArgumentType.INTEGER, lower=1),
        Argument("on", ArgumentType.BOOLEAN),
        Argument("mode", ArgumentType.CHOICE, choices=["adult", "neonate"]),
        Argument("note", ArgumentType.TEXT, upper=5),
    ],
)
RIGHT = {"rate": [60, "/min"], "count": 2, "on": True, "mode": "adult", "note": "ok"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"rate": [200.0, "/min"]}, ""),
        ({"rate": [201, "/min"]}, "201 is not within 40 to 200 /min"),
        ({"rate": [60, "Hz"]}, "the device takes /min"),
        ({"rate": 60}, "has no unit"),
        ({"rate": [True, "/min"]}, "is not a number"),
        ({"rate": [float("nan"), "/min"]}, "is not a number"),
        ({"rate": [float("inf"), "/min"]}, "is not a number"),
        ({"count": 2.0}, "is not a whole number"),
        ({"count": 0}, "is not within 1 to any"),
        ({"on": 1}, "neither true nor false"),
        ({"mode": "giant"}, "is not one of adult, neonate"),
        ({"mode": ["adult"]}, "is not one of"),
        ({"note": "longer"}, "has 6 characters (limit 5)"),
        ({"note": 7}, "is not a text"),
        ({"more": 1}, "has no argument 'more'; it has: rate, count"),
    ],
)
def test_arguments_are_what_was_declared_in_the_unit_that_was_declared(
    change: dict[str, Any], said: str
) -> None:
    found = check_arguments(ARGUMENTS, {**RIGHT, **change})
    assert said in found if said else not found


def test_every_argument_is_said_there_are_no_defaults() -> None:
    for name in RIGHT:
        given = {k: v for k, v in RIGHT.items() if k != name}
        assert f"needs {name}" in check_arguments(ARGUMENTS, given)
