"""What a caller is told: never more than is known, and never by trying again."""

from __future__ import annotations

from scot.command import Ask, Outcome, Request, Standing, State, Why
from scot.issued import ANSWER_NS, Begun, Effect, Issued, Replied, Seen, Send, Ticked, Told
from scot.timestamp import ClockState, Timestamp

S = 1_000_000_000
REQUEST = Request(
    address="or1/monitor/nibp_start", key="k1", arguments={}, term=3, issued_ns=0, expires_ns=10 * S
)


class Caller:
    """Somebody who gave one command at second 0."""

    def __init__(self) -> None:
        self.issued = Issued(REQUEST)
        self.sent: list[object] = []
        self.told: list[Outcome] = []
        self.now_ns = 0
        self.take(self.issued.on(Begun(), 0))

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.sent.append(effect.call)
            elif isinstance(effect, Told):
                self.told.append(effect.outcome)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.now_ns += S // 10
            stamp = Timestamp(None, self.now_ns, S // 5, S // 5, ClockState.LOCKED)
            self.take(self.issued.on(Ticked(stamp), self.now_ns))

    def hear(self, state: State, why: Why = Why.NONE, sent_ns: int | None = None) -> None:
        outcome = Outcome(address=REQUEST.address, key="k1", state=state, why=why)
        at = self.now_ns if sent_ns is None else sent_ns
        call = Ask(address=REQUEST.address, key="k1")
        self.take(self.issued.on(Replied(outcome, call, at), self.now_ns))

    def see(self, state: State, key: str = "k1") -> None:
        outcome = Outcome(address=REQUEST.address, key=key, state=state)
        self.take(self.issued.on(Seen(outcome), self.now_ns))

    @property
    def states(self) -> list[State]:
        return [outcome.state for outcome in self.told]


def test_a_request_is_sent_once_and_an_answer_that_never_comes_is_asked_for() -> None:
    caller = Caller()
    caller.take(caller.issued.on(Begun(), 0))
    caller.wait(8)
    assert [call for call in caller.sent if call == REQUEST] == [REQUEST]
    asked = caller.sent[1:]
    assert set(map(type, asked)) == {Ask}
    assert len(asked) == 7
    assert [(o.state, o.why) for o in caller.told] == [(State.UNKNOWN, Why.NO_ANSWER)]


def test_unknown_is_said_until_somebody_knows() -> None:
    caller = Caller()
    caller.wait(ANSWER_NS / S + 0.5)
    caller.see(State.RUNNING)
    caller.see(State.DONE)
    assert caller.states == [State.UNKNOWN, State.RUNNING, State.DONE]
    assert caller.issued.ended
    sent = len(caller.sent)
    caller.wait(5)
    assert len(caller.sent) == sent


def test_old_news_changes_nothing() -> None:
    caller = Caller()
    caller.hear(State.RUNNING)
    caller.see(State.ACCEPTED)
    caller.see(State.DONE, key="another")
    caller.see(State.DONE)
    caller.hear(State.UNKNOWN, Why.RESTARTED)
    assert caller.states == [State.RUNNING, State.DONE]


def test_never_heard_of_is_believed_only_of_a_question_asked_after_it_surely_expired() -> None:
    caller = Caller()
    caller.wait(9)
    caller.hear(State.UNKNOWN, Why.NEVER_HEARD)  # it may still be on its way
    caller.wait(1.1)
    caller.hear(State.UNKNOWN, Why.NEVER_HEARD)  # by our clock it may not have expired yet
    caller.wait(0.5)
    caller.hear(State.UNKNOWN, Why.NEVER_HEARD, sent_ns=9 * S)  # asked before
    assert caller.states == [State.UNKNOWN]
    caller.hear(State.UNKNOWN, Why.NEVER_HEARD)
    assert caller.states == [State.UNKNOWN, State.EXPIRED]


def test_a_refusal_by_the_broker_or_a_conflict_is_told_and_a_full_host_is_not_a_refusal() -> None:
    for why, states in ((Why.CONFLICT, [State.REFUSED]), (Why.FULL, [])):
        caller = Caller()
        answer = Standing(address="or1/monitor", why=why, text="x")
        caller.take(caller.issued.on(Replied(answer, REQUEST, 0), 0))
        assert caller.states == states


def test_a_question_that_is_refused_says_nothing_of_the_command() -> None:
    """A broker that was just restarted knows of no device yet."""
    away = Standing(address="or1/monitor", why=Why.NO_DEVICE, text="its host is silent")
    for known in ([State.RUNNING], []):
        caller = Caller()
        for state in known:
            caller.hear(state)
        caller.wait(3)
        before = caller.states
        question = caller.sent[-1]
        assert isinstance(question, Ask)
        caller.take(caller.issued.on(Replied(away, question, caller.now_ns), caller.now_ns))
        assert caller.states == before
        assert not caller.issued.ended


def test_what_began_is_never_said_to_have_been_refused() -> None:
    caller = Caller()
    caller.hear(State.RUNNING)
    caller.hear(State.REFUSED)
    caller.hear(State.EXPIRED)
    assert caller.states == [State.RUNNING]
