"""The broker's part in commands: who may, to whom it goes, and what is said when it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scot.access import Grant
from scot.bus.routes import ANSWER_WITHIN_NS, MAX_BODY, MAX_WAITING, Out, Routes
from scot.command import (
    Answer,
    Ask,
    Call,
    Caller,
    Look,
    Offer,
    Outcome,
    Request,
    Standing,
    State,
    Take,
    Why,
)
from scot.errors import UNREADABLE, BusError, CodecError

S = 1_000_000_000
GRANTS = {
    "ann": Grant(name="ann", command=["or1/monitor/"], role="or_staff"),
    "ben": Grant(name="ben", command=["or1/monitor/nibp_start"], role="or_staff"),
    "console": Grant(name="console", subscribe=["or1/"]),
    "monitor": Grant(name="monitor", publish=["or1/monitor/"], devices=["monitor"]),
}
REQUEST = Request(
    address="or1/monitor/nibp_start", key="k1", arguments={}, term=3, issued_ns=1, expires_ns=2
)


class Broker:
    """Routes with one live device, its monitor."""

    def __init__(self, replay: bool = False) -> None:
        self.steps: list[dict[str, Any]] = []
        self.routes = Routes("or1", replay, self.steps.append)
        self.alive = True
        self.now_ns = 0

    def host_of(self, device: str) -> tuple[str, bytes] | None:
        return ("monitor", b"M") if device == "monitor" and self.alive else None

    def call(self, who: str, call: Call | bytes) -> list[Out]:
        body = call if isinstance(call, bytes) else msgspec.msgpack.encode(call)
        return self.routes.on_call(
            who.encode(), GRANTS[who], b"r1", body, self.host_of, GRANTS, self.now_ns
        )

    def refused(self, who: str, call: Call) -> tuple[State | None, Why]:
        (out,) = self.call(who, call)
        assert out.identity == who.encode()
        assert out.parts[:2] == [b"r1", b"ok"]
        answer: Answer = msgspec.msgpack.decode(out.parts[2], type=Answer)
        assert self.steps[-1]["why"] == answer.why
        return (answer.state if isinstance(answer, Outcome) else None), answer.why


def test_a_call_goes_to_the_devices_host_with_the_name_of_the_key_that_gave_it() -> None:
    broker = Broker()
    (out,) = broker.call("ann", REQUEST)
    assert out.identity == b"M"
    key, verb, body = out.parts
    assert verb == b"command"
    caller, call = msgspec.msgpack.decode(body, type=tuple[Caller, Call])
    assert (caller, call) == (Caller("ann", "or_staff"), REQUEST)
    answer = msgspec.msgpack.encode(Outcome(address="a", key="k1", state=State.RUNNING))
    assert broker.routes.on_answer("monitor", key, answer) == [Out(b"ann", [b"r1", b"ok", answer])]
    assert not broker.steps


def test_nobody_may_command_unless_a_grant_says_so() -> None:
    broker = Broker()
    assert broker.refused("console", REQUEST) == (State.REFUSED, Why.GRANT)
    assert broker.refused("monitor", REQUEST) == (State.REFUSED, Why.GRANT)
    other = msgspec.structs.replace(REQUEST, address="or1/monitor/limit")
    assert broker.refused("ben", other) == (State.REFUSED, Why.GRANT)
    assert broker.steps[-1]["caller"] == "ben"
    for address in ("or1/tracker", "or1", "or1/", "", "or2/monitor", "or1/monitor2"):
        assert broker.refused("ann", Look(address=address)) == (None, Why.GRANT)


def test_control_of_a_device_needs_a_grant_for_one_of_its_commands() -> None:
    broker = Broker()
    take = Take(address="or1/monitor", id="t", for_ns=1, expires_ns=2)
    for who in ("ann", "ben"):
        (out,) = broker.call(who, take)
        assert out.identity == b"M"
    assert broker.refused("console", take) == (None, Why.GRANT)


def test_control_is_handed_only_to_somebody_who_may_command() -> None:
    broker = Broker()
    assert broker.call("ann", Offer(address="or1/monitor", term=1, to="ben"))[0].identity == b"M"
    for to in ("console", "nobody"):
        assert broker.refused("ann", Offer(address="or1/monitor", term=1, to=to))[1] is Why.GRANT


def test_a_recording_is_never_commanded() -> None:
    broker = Broker(replay=True)
    assert broker.refused("ann", REQUEST) == (State.REFUSED, Why.REPLAY)
    assert broker.refused("ann", Look(address="or1/monitor")) == (None, Why.REPLAY)


def test_a_device_that_is_not_there_is_said_to_be_so_at_once() -> None:
    broker = Broker()
    broker.alive = False
    assert broker.refused("ann", REQUEST) == (State.REFUSED, Why.NO_DEVICE)


def test_what_was_refused_stays_refused_should_it_come_again() -> None:
    broker = Broker()
    broker.alive = False
    (refused,) = broker.call("ann", REQUEST)
    broker.alive = True
    assert broker.call("ann", REQUEST) == [refused]
    other = msgspec.structs.replace(REQUEST, key="k2")
    assert broker.call("ann", other)[0].identity == b"M"


def test_no_answer_is_not_a_refusal() -> None:
    broker = Broker()
    (sent,) = broker.call("ann", REQUEST)
    assert broker.routes.tick(ANSWER_WITHIN_NS) == []
    (out,) = broker.routes.tick(ANSWER_WITHIN_NS + 1)
    assert (out.identity, out.parts[:2]) == (b"ann", [b"r1", b"no"])
    answer = msgspec.msgpack.encode(Outcome(address="a", key="k1", state=State.RUNNING))
    with pytest.raises(CodecError, match="nobody waits"):
        broker.routes.on_answer("monitor", sent.parts[0], answer)


def test_only_the_host_that_was_asked_can_answer_and_only_with_an_answer() -> None:
    broker = Broker()
    (sent,) = broker.call("ann", REQUEST)
    key = sent.parts[0]
    answer = msgspec.msgpack.encode(Outcome(address="a", key="k1", state=State.DONE))
    for user, at in (("tracker", key), ("monitor", b"other")):
        with pytest.raises(CodecError):
            broker.routes.on_answer(user, at, answer)
    for bad in (b"", b"\xc0", b"\xdd\xff\xff\xff\xff", b"\x91" * 100, answer + b"\xc0"):
        with pytest.raises((CodecError, *UNREADABLE)):
            broker.routes.on_answer("monitor", key, bad)
    assert broker.routes.on_answer("monitor", key, answer)


def test_what_is_no_call_is_not_passed_on() -> None:
    broker = Broker()
    huge = msgspec.structs.replace(REQUEST, arguments={"x": "y" * MAX_BODY})
    long = msgspec.structs.replace(REQUEST, key="y" * 201)
    deep = msgspec.msgpack.encode({"do": "request", "arguments": [[[[[[[[[[1]]]]]]]]]]})
    for bad in (b"", b"\xc0", b"\x81", deep, msgspec.msgpack.encode({"do": "explode"})):
        with pytest.raises((CodecError, *UNREADABLE)):
            broker.call("ann", bad)
    for call in (huge, long):
        with pytest.raises(CodecError):
            broker.call("ann", call)


def test_one_key_cannot_keep_everybody_waiting() -> None:
    broker = Broker()
    ask = Ask(address="or1/monitor/nibp_start", key="k")
    for _ in range(MAX_WAITING):
        broker.call("ann", ask)
    with pytest.raises(BusError, match="wait for an answer already"):
        broker.call("ann", ask)
    assert broker.call("ben", ask)


def test_a_refusal_repeats_what_was_asked_so_that_its_caller_knows_it_again() -> None:
    (out,) = Broker().call("console", REQUEST)
    answer: Answer = msgspec.msgpack.decode(out.parts[2], type=Answer)
    assert isinstance(answer, Outcome)
    assert (answer.key, answer.address) == ("k1", REQUEST.address)
    assert "[[control]]" in answer.text
    standing: Any = Standing(address="or1/monitor", why=Why.GRANT)
    assert standing.lease is None
