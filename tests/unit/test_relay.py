"""The broker's rules for frames: default deny, credit for each message, a bound on everything."""

from __future__ import annotations

import pytest

from scot.access import MAX_SUBSCRIPTIONS, Grant
from scot.bus import relay as module
from scot.bus.relay import (
    CREDIT_EVERY,
    MAX_REFUSED,
    REPORT_NS,
    Credit,
    Cut,
    Denied,
    Listen,
    Relay,
)
from scot.codec import MAX_TOPIC

GRANTS = {
    "monitor": Grant(name="monitor", publish=["or1/monitor/"], subscribe=["or1/room/"]),
    "console": Grant(name="console", subscribe=["or1/"]),
}
HR = b"or1/monitor/hr\0"
ME = b"\1me"


@pytest.fixture
def relay() -> Relay:
    return Relay(7, GRANTS)


def send(relay: Relay, count: int, lane: str = "ctl_in", identity: bytes = ME) -> None:
    for _ in range(count):
        relay.admit(lane, identity, "monitor", HR)


def said(credit: Credit) -> tuple[int, int]:
    return int.from_bytes(credit.parts[0], "big"), int.from_bytes(credit.parts[1], "big")


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("", HR),
        ("nobody", HR),
        ("console", HR),
        ("monitor", b"or1/tracker/tool\0"),
        ("monitor", b"or1/monitor/hr"),
        ("monitor", b"or1/monitor/\xe5\0"),
        ("monitor", b"or1/monitor/" + b"x" * MAX_TOPIC + b"\0"),
        ("monitor", b"\0"),
    ],
)
def test_what_no_grant_holds_is_denied_counted_and_still_credited(
    relay: Relay, user: str, topic: bytes
) -> None:
    for _ in range(2):  # the second verdict comes from memory
        assert not relay.admit("ctl_in", ME, user, topic)
    assert (relay.forwarded, relay.denied[user]) == (0, 2)
    assert said(relay.asked("ctl_in", ME)) == (7, 2)
    relay.malformed("ctl_in", ME, user, topic)
    assert said(relay.asked("ctl_in", ME)) == (7, 3)


def test_a_new_roster_decides_from_the_next_frame_on(relay: Relay) -> None:
    assert relay.admit("ctl_in", ME, "monitor", HR)
    relay.regrant({"console": GRANTS["console"]})
    assert not relay.admit("ctl_in", ME, "monitor", HR)
    relay.regrant(GRANTS)
    assert relay.admit("ctl_in", ME, "monitor", HR)


@pytest.mark.parametrize("lane", CREDIT_EVERY)
def test_credit_comes_after_each_so_many_and_with_each_tick(relay: Relay, lane: str) -> None:
    every = CREDIT_EVERY[lane]
    send(relay, every - 1, lane)
    assert relay.credits() == []
    send(relay, 1, lane)
    assert [said(credit) for credit in relay.credits()] == [(7, every)]
    assert relay.credits() == relay.tick(0) == []
    send(relay, 1, lane)
    effects = relay.tick(0)
    assert [said(effect) for effect in effects if isinstance(effect, Credit)] == [(7, every + 1)]
    assert relay.tick(0) == []


def test_credit_that_could_not_be_sent_stays_owed(relay: Relay) -> None:
    send(relay, 64)
    relay.unsent(relay.credits()[0])
    (again,) = relay.tick(0)
    assert isinstance(again, Credit)
    assert said(again) == (7, 64)


def test_each_connection_and_lane_has_a_count_of_its_own(relay: Relay) -> None:
    send(relay, 3, identity=b"a")
    send(relay, 2, identity=b"b")
    send(relay, 1, "bulk_in", identity=b"a")
    counts = {(e.lane, e.identity): said(e)[1] for e in relay.tick(0) if isinstance(e, Credit)}
    assert counts == {("ctl_in", b"a"): 3, ("ctl_in", b"b"): 2, ("bulk_in", b"a"): 1}


def test_more_connections_than_it_counts_cost_nobody_their_answer(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that reconnects under ever new identities filled the table and broke the next tick."""
    monkeypatch.setattr(module, "MAX_PUBLISHERS", 3)
    for number in range(20):
        send(relay, 1, identity=number.to_bytes(4, "big"))
    assert len(relay.tick(0)) <= 3
    assert said(relay.asked("ctl_in", ME)) == (7, 0)


def test_refusals_are_reported_at_most_once_a_second_for_each_key(relay: Relay) -> None:
    for _ in range(1_000):
        relay.admit("ctl_in", ME, "nobody", HR)
    relay.admit("ctl_in", ME, "console", HR)
    assert denials(relay, 0) == [Denied("nobody", HR, 1_000), Denied("console", HR, 1)]
    relay.admit("ctl_in", ME, "nobody", HR)
    assert denials(relay, REPORT_NS - 1) == []
    assert denials(relay, REPORT_NS) == [Denied("nobody", HR, 1)]


def denials(relay: Relay, now_ns: int) -> list[Denied]:
    return [effect for effect in relay.tick(now_ns) if isinstance(effect, Denied)]


def test_a_subscription_must_lie_inside_a_grant(relay: Relay) -> None:
    for prefix in (b"or1/", b"or1/monitor/hr\0"):
        assert relay.subscribe("ctl_out", "console", b"\1" + prefix) == Listen(
            "ctl_out", prefix, True
        )
    for user, prefix in (
        ("console", b""),
        ("console", b"or1"),
        ("monitor", b"or1/"),
        ("nobody", b"or1/room/"),
        ("console", b"or1/" + b"x" * MAX_TOPIC),
        ("console", b"or1/\xff"),
    ):
        assert relay.subscribe("ctl_out", user, b"\1" + prefix) is None
        assert relay.denied[user]
    assert relay.subscribe("ctl_out", "console", b"\2or1/") is None


def test_who_goes_on_asking_for_what_is_refused_is_cut_off(relay: Relay) -> None:
    """libzmq keeps what was asked for, also what we refuse, as long as the connection lives."""

    def refused(number: int) -> Listen | Cut | None:
        return relay.subscribe("ctl_out", "monitor", b"\1or1/%d" % number)

    for round_ in range(3):
        assert {refused(number) for number in range(MAX_REFUSED - 1)} == {None}, round_
        assert refused(0) == Cut("ctl_out", "monitor")
    assert relay.denied["monitor"] == 3 * MAX_REFUSED


def test_a_key_holds_so_many_subscriptions_and_gets_room_by_letting_go(relay: Relay) -> None:
    def begin(number: int) -> Listen | Cut | None:
        return relay.subscribe("ctl_out", "console", b"\1or1/%d" % number)

    assert all(begin(number) for number in range(MAX_SUBSCRIPTIONS))
    assert begin(MAX_SUBSCRIPTIONS) is None
    assert relay.subscribe("ctl_out", "", b"\0or1/3") == Listen("ctl_out", b"or1/3", False)
    assert begin(MAX_SUBSCRIPTIONS)
    assert begin(MAX_SUBSCRIPTIONS + 1) is None
