"""A lane loses nothing on the way to the broker: credit, silence, a new broker, a full socket."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scot.bus.publisher import AGAIN_NS, FAR_NS, SILENT_NS, WINDOW, Lane
from scot.codec import Frame

HR = "or1/monitor/hr"


class Pair:
    """A lane, what it has sent, and a broker that says what a test wants it to say."""

    def __init__(self, name: str = "ctl_in", window: int = 0, keep_bytes: int = 0) -> None:
        self.lane = Lane(name, window, keep_bytes)
        self.now_ns = 0
        self.sent: list[int] = []
        self._put = 0

    def put(self, count: int, size: int = 10) -> None:
        for _ in range(count):
            frame = Frame(b"or1/monitor/hr\0", b"%d" % self._put, bytes(size))
            self._sends(self.lane.put(frame, self.now_ns))
            self._put += 1

    def credit(self, received: int, broker: int = 1, *, asked: bool = False) -> None:
        parts = [broker.to_bytes(8, "big"), received.to_bytes(8, "big")]
        self.hear([*parts, b"?"] if asked else parts)

    def hear(self, parts: list[bytes]) -> None:
        self._sends(self.lane.on_credit(parts, self.now_ns))

    def wait(self, ns: int) -> bool:
        """Let time pass; return whether the lane asks."""
        self.now_ns += ns
        return self.lane.tick(self.now_ns)

    def _sends(self, frames: Sequence[Frame]) -> None:
        self.sent += [int(frame.header) for frame in frames]


def test_frames_go_in_order_and_credit_makes_it_idle() -> None:
    ctl = Pair()
    ctl.put(10)
    assert ctl.sent == list(range(10))
    assert not ctl.lane.idle
    ctl.credit(10)
    assert ctl.lane.idle


@pytest.mark.parametrize("name", WINDOW)
def test_no_more_is_under_way_than_the_window(name: str) -> None:
    window = WINDOW[name]
    pair = Pair(name)
    pair.put(3 * window)
    assert len(pair.sent) == window
    assert pair.lane.held == 2 * window
    pair.credit(window // 2)
    assert len(pair.sent) == window + window // 2
    assert pair.lane.held == 2 * window - window // 2
    for received in (window + window // 2, 2 * window + window // 2, 3 * window):
        pair.credit(received)
    assert pair.lane.idle
    assert pair.sent == list(range(3 * window))


@pytest.mark.parametrize("name", WINDOW)
def test_a_new_broker_gets_all_that_was_under_way_again_before_what_waits(name: str) -> None:
    window = WINDOW[name]
    pair = Pair(name)
    pair.put(window + 10)
    pair.credit(0, broker=1)
    pair.credit(0, broker=2)
    pair.credit(window, broker=2)
    assert pair.sent == [*range(window), *range(window + 10)]


def test_a_broker_that_says_nothing_is_asked_again_and_again() -> None:
    ctl = Pair()
    ctl.put(1)
    assert not ctl.wait(SILENT_NS - 1)
    assert ctl.wait(1)
    assert not ctl.wait(AGAIN_NS - 1)
    assert ctl.wait(1)


def test_any_word_of_the_broker_puts_the_question_off() -> None:
    ctl = Pair()
    ctl.put(6)
    for received in range(1, 4):
        assert not ctl.wait(SILENT_NS - 1)
        ctl.credit(received)
    assert ctl.wait(SILENT_NS)


def test_an_answer_settles_what_was_under_way() -> None:
    ctl = Pair()
    ctl.put(6)
    assert ctl.wait(SILENT_NS)
    ctl.credit(4)
    assert ctl.sent == [0, 1, 2, 3, 4, 5]
    ctl.credit(4, asked=True)
    assert ctl.sent == [0, 1, 2, 3, 4, 5, 4, 5]
    ctl.credit(6)
    assert ctl.lane.idle


def test_many_answers_at_once_settle_it_once() -> None:
    """Questions pile up while a link is cut; their answers then come together."""
    ctl = Pair()
    ctl.put(6)
    assert ctl.wait(SILENT_NS)
    for _ in range(100):
        assert ctl.wait(AGAIN_NS)
    for _ in range(101):
        ctl.credit(6, asked=True)
    assert ctl.sent == [0, 1, 2, 3, 4, 5] * 2


def test_an_idle_lane_asks_nothing() -> None:
    ctl = Pair()
    ctl.put(1)
    ctl.credit(1)
    assert not ctl.wait(100 * SILENT_NS)
    assert ctl.lane.due_ns == FAR_NS
    ctl.put(1)
    assert not ctl.wait(SILENT_NS - 1)


def test_credit_that_makes_no_sense_hurts_nothing() -> None:
    ctl = Pair()
    ctl.put(5)
    ctl.hear([b"alone"])
    for received in (3, 2, 2**63):
        ctl.credit(received)
    ctl.put(1)
    assert ctl.sent == list(range(6))


def test_what_a_full_socket_refused_goes_first_when_there_is_word_again() -> None:
    ctl = Pair(window=4)
    ctl.put(4)
    ctl.lane.back([Frame(b"or1/monitor/hr\0", b"%d" % n, bytes(10)) for n in (2, 3)])
    assert ctl.lane.held == 2
    ctl.put(2)
    ctl.credit(2)
    assert ctl.sent == [0, 1, 2, 3, 2, 3, 4, 5]
    ctl.credit(6)
    assert ctl.lane.idle


def test_while_the_broker_is_away_the_oldest_beyond_the_bound_go_and_are_counted() -> None:
    frame = len(b"or1/monitor/hr\0") + 2 + 1_000
    ctl = Pair(window=4, keep_bytes=20 * frame)
    ctl.put(10)  # as two-digit numbers follow, sizes are all but equal
    ctl.put(40, size=1_000)
    dropped = ctl.lane.dropped[HR]
    assert ctl.lane.held == 50 - 4 - dropped
    assert 15 <= ctl.lane.held <= 20
    ctl.credit(4)
    assert ctl.sent == [0, 1, 2, 3, *range(4 + dropped, 8 + dropped)]


@pytest.mark.parametrize("window", [1, 3, 256])
def test_frames_put_all_at_once_leave_in_order_within_the_window_and_within_the_bytes(
    window: int,
) -> None:
    one, all_ = Pair(window=window), Pair(window=window)
    one.put(10)
    frames = [Frame(b"or1/monitor/hr\0", b"%d" % n, bytes(10)) for n in range(10)]
    all_._sends(all_.lane.put_all(frames, 0))
    for pair in (one, all_):
        for received in range(1, 11):
            pair.credit(received)
    assert one.sent == all_.sent == [*range(10)]
    small = Lane("ctl_in", 1, 60)
    small.put_all(frames[:5], 0)
    assert small.dropped == {HR: 3}  # of 26 B each, the oldest that wait went
