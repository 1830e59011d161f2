"""Probes go by UDP where it passes and by ZeroMQ where it does not; each exchange counts once."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import pytest

from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.probe import BURST, UDP, ZMQ, Probe, Reply, Request, encode
from scot.clock.prober import KEY_EVERY_NS, SILENT_NS, Prober
from scot.clock.refit import recompute
from scot.clock.sealed import ANSWER, ProbeKeys, seal
from scot.clock.service import ClockService
from scot.errors import RemoteProtocolError
from scot.timestamp import ClockState

MS, S = 1_000_000, 1_000_000_000
START_NS = 10**12
SESSION = BusMap(0, 0, 0, 10**18, 1.0, 0, 0, ClockState.LOCKED, 0, 0)
ROUTE_NS = {ZMQ: 200_000, UDP: 50_000}


class World:
    """A client and a broker on one true clock, with two ways between them.

    Attributes:
        passes: whether UDP does.
        copies: how many of each datagram arrive.
        jitter_ns: greatest excess delay of a message of either way.
        sent: (way, true ns) of each question.
        rows: what the service published.
    """

    def __init__(self, seed: int = 1, *, offers_udp: bool = True) -> None:
        self.now_ns = START_NS
        self.passes = True
        self.copies = 1
        self.jitter_ns = 20_000
        self.ahead_ns = 0
        self.sent: list[tuple[str, int]] = []
        self.keys_asked: list[int] = []
        self.rows: list[dict[str, Any]] = []
        self.refused = 0
        self._offers_udp = offers_udp
        self._rng = Random(seed)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self.prober = Prober(b"process1", self._rng.random)
        self.new_broker()
        self._at(0, self._turn)

    def new_broker(self) -> None:
        tokens = count(self._rng.getrandbits(64))
        self.service = ClockService(Clock(SESSION, lambda: self.now_ns), self.rows.append)
        self.keys = ProbeKeys(lambda length: next(tokens).to_bytes(length, "little"))

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * S)
        while self._events and self._events[0][0] <= end_ns:
            self.now_ns, _, event = heapq.heappop(self._events)
            event()
        self.now_ns = end_ns

    def local(self) -> int:
        return self.now_ns - START_NS + 5 * S + self.ahead_ns

    def ways_since(self, ns: int) -> Counter[str]:
        return Counter(way for way, at_ns in self.sent if at_ns >= ns)

    def _at(self, after_ns: int, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_ns + after_ns, next(self._order), event))

    def _turn(self) -> None:
        if self._offers_udp and self.prober.wants_key(self.local()):
            self.keys_asked.append(self.now_ns)
            key = self.keys.issue("monitor", self.prober.instance, self.now_ns)
            self._at(MS, lambda: self.prober.take_key(key))
        for way in self.prober.ways(self.local()):
            data = self.prober.request(way, self.local())
            self.sent.append((way, self.now_ns))
            self._carry(way, lambda way=way, data=data: self._serve(way, data))  # type: ignore[misc]
        self._at(self.prober.wait_ns(), self._turn)

    def _carry(self, way: str, event: Callable[[], None]) -> None:
        for _ in range(self.copies if way == UDP else 1):
            if way == ZMQ or self.passes:
                self._at(ROUTE_NS[way] + self._rng.randrange(self.jitter_ns), event)

    def _serve(self, way: str, data: bytes) -> None:
        if way == ZMQ:
            reply = self.service.on_request("monitor", "place", data, self.now_ns)
            self._carry(ZMQ, lambda: self._take(ZMQ, reply))
        elif question := self.keys.open(data, self.now_ns):
            place = question.instance.hex()
            said = self.service.on_request("monitor", place, question.message, self.now_ns, UDP)
            answer = seal(question.key, ANSWER, question.number, said)
            self._carry(UDP, lambda: self._take(UDP, answer))

    def _take(self, way: str, data: bytes) -> None:
        self.prober.on_answer(way, data, self.local())
        if self.prober.hurries:
            self._turn()


def test_where_udp_passes_it_carries_the_probes_and_every_fifth_goes_by_zeromq() -> None:
    world = World()
    world.run(35)
    assert world.prober.way(world.local()) == UDP
    from_ns = world.now_ns
    world.run(50)
    ways = world.ways_since(from_ns)
    assert 190 <= ways.total() <= 210  # four a second, as without UDP
    assert abs(ways[ZMQ] - ways.total() / 5) <= 1
    assert len(world.keys_asked) == 1
    assert not world.keys.refused


def test_where_udp_does_not_pass_probes_go_on_as_if_there_were_none() -> None:
    blocked, without = World(), World(offers_udp=False)
    blocked.passes = False
    for world in (blocked, without):
        world.run(60)
        assert world.prober.way(world.local()) == ZMQ
    mine, theirs = blocked.ways_since(0), without.ways_since(0)
    assert abs(mine[ZMQ] - theirs[ZMQ]) <= 5
    assert mine[UDP] <= mine[ZMQ] / 4  # a trial now and then
    assert len(blocked.keys_asked) <= 60 * S // KEY_EVERY_NS + 1
    assert theirs[UDP] == 0
    assert {row["way"] for row in (*blocked.rows, *without.rows)} == {ZMQ}


def test_a_way_that_breaks_is_left_within_two_seconds_and_taken_again_when_it_is_back() -> None:
    world = World()
    world.run(10)
    world.passes = False
    world.run(SILENT_NS / S + 0.5)
    assert world.prober.way(world.local()) == ZMQ
    from_ns = world.now_ns
    world.run(5)
    assert world.ways_since(from_ns)[ZMQ] >= 18
    world.passes = True
    world.run(2)
    assert world.prober.way(world.local()) == UDP


@pytest.mark.parametrize("told", [True, False])
def test_a_new_broker_knows_no_key_of_the_old_and_gives_a_new_one(told: bool) -> None:
    """At once when its client is told; within `KEY_EVERY_NS` and a little when it is not."""
    world = World()
    world.run(10)
    maps = world.prober.maps
    world.new_broker()
    if told:
        world.prober.anew()
    world.run(1 if told else KEY_EVERY_NS / S + SILENT_NS / S + 2)
    assert world.prober.way(world.local()) == UDP
    assert world.prober.maps > maps
    assert world.keys.refused["stranger"] <= (0 if told else 20)


def test_what_arrives_twice_or_in_another_order_counts_once_and_harms_nothing() -> None:
    world = World()
    world.copies = 3
    world.jitter_ns = 400 * MS  # answers overtake one another by both ways
    world.run(60)
    probes = [(row["t1_ns"], row["t2_ns"], row["t3_ns"], row["t4_ns"]) for row in world.rows]
    assert len(probes) > 100
    assert len(set(probes)) == len(probes)
    assert len({t1_ns for t1_ns, *_ in probes}) == len(probes)
    assert world.service.refused < len(probes) / 10  # a question overtaken by a newer one
    for row in world.rows:  # the truth: both ends read one clock
        assert (
            abs(row["bus_ns"] - SESSION.at(START_NS - 5 * S + row["local_ns"])) <= row["bound_ns"]
        )


def test_both_ways_feed_one_estimate_and_from_the_record_it_comes_out_again_bit_for_bit() -> None:
    world = World()
    world.run(60)
    assert Counter(row["way"] for row in world.rows).keys() == {ZMQ, UDP}
    assert {row["source"] for row in world.rows} == {f"monitor-{b'process1'.hex()}"}
    assert [row["map_id"] for row in world.rows] == list(range(1, len(world.rows) + 1))
    assert recompute(world.rows) == world.rows
    old = [{key: value for key, value in row.items() if key != "way"} for row in world.rows]
    assert recompute(old) == old


def test_a_start_is_a_burst_then_half_a_minute_at_twice_the_pace() -> None:
    world = World()
    world.run(1)
    assert BURST <= len(world.sent) <= BURST + 6
    world.run(30)
    assert 250 <= len(world.sent) <= 275
    world.run(30)
    assert 370 <= len(world.sent) <= 400


def test_a_silence_of_both_ways_is_followed_by_a_burst() -> None:
    world = World()
    world.run(10)
    world._carry = lambda way, event: None  # type: ignore[method-assign]  # the broker is stopped
    world.run(SILENT_NS / S + 1)
    del world._carry
    from_ns = world.now_ns
    world.run(1.5)
    assert world.ways_since(from_ns).total() >= BURST


def test_a_step_of_the_clients_clock_is_followed_by_a_burst() -> None:
    world = World()
    world.run(20)
    world.ahead_ns = -500 * MS
    from_ns = world.now_ns
    world.run(2)
    assert world.rows[-1]["epoch"] == 1
    assert world.ways_since(from_ns).total() >= BURST
    assert world.prober.way(world.local()) == UDP


def test_a_stamp_before_its_question_was_sent_is_not_used() -> None:
    prober = Prober(b"p", lambda: 0.5)
    reply = encode(Reply(1_000, 500, 600, None))
    prober.on_answer(ZMQ, reply, 1_400, age_ns=401)
    assert prober.request(ZMQ, 2_000) == encode(
        Request(2_000, previous=Probe(1_000, 500, 600, 1_400), instance=b"p")
    )
    prober.on_answer(ZMQ, reply, 1_400, age_ns=400)
    assert prober.request(ZMQ, 2_000) == encode(
        Request(2_000, previous=Probe(1_000, 500, 600, 1_000), instance=b"p")
    )


def test_a_rehearsal_changes_nothing() -> None:
    """It only makes the next request quick: nothing it makes is ever sent, or counted as asked."""
    plain, rehearsed = (Prober(b"p", lambda: 0.5) for _ in range(2))
    for prober in (plain, rehearsed):
        prober.take_key(ProbeKeys(bytes).issue("monitor", b"p", 0))
    for now_ns in range(5):
        for way in (UDP, ZMQ):
            rehearsed.rehearse(way)
            assert rehearsed.request(way, now_ns) == plain.request(way, now_ns)


def test_a_malformed_answer_by_zeromq_is_said_and_by_udp_counted() -> None:
    prober = Prober(b"p", lambda: 0.5)
    with pytest.raises(RemoteProtocolError):
        prober.on_answer(ZMQ, b"\xc1", 0)
    assert prober.on_answer(UDP, b"anything", 0) is None  # no key yet
    prober.take_key(ProbeKeys(bytes).issue("monitor", b"p", 0))
    assert prober.on_answer(UDP, b"anything", 0) is None
    assert prober.refused == 1
