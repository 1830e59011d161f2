"""A lane loses nothing on the way to the broker: credit, silence, and a new broker.

At the other end is a plain ROUTER that says what a test wants it to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import zmq

from scot.bus import publisher
from scot.bus.keys import Endpoints, KeyPair, Link
from scot.bus.publisher import WINDOW, Lane
from scot.bus.socket import BULK_BYTES, Drained, context, profile
from scot.codec import Frame

WITHIN_S = 5.0


class Broker:
    """Keeps what arrives and gives credit only when told to."""

    def __init__(self, zmq_context: zmq.Context[zmq.Socket[bytes]], pair: KeyPair) -> None:
        sock = zmq_context.socket(zmq.ROUTER)
        profile(sock, BULK_BYTES, 20_000)
        sock.curve_server = True
        sock.curve_secretkey = pair.secret.encode()
        self.port = sock.bind_to_random_port("tcp://127.0.0.1")
        self.frames: list[Frame] = []
        self.questions = 0
        self.identity = b""
        self._more = asyncio.Event()
        self._sock = Drained(sock, self._on_batch)

    def credit(self, received: int, epoch: int = 1, *, asked: bool = False) -> None:
        """Tell the lane how many of its frames have come."""
        parts = [self.identity, epoch.to_bytes(8, "big"), received.to_bytes(8, "big")]
        self._sock.send([*parts, b"?"] if asked else parts)

    @property
    def numbers(self) -> list[int]:
        return [int(frame.header) for frame in self.frames]

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not seen():
                self._more.clear()
                await self._more.wait()

    def close(self) -> None:
        self._sock.close()

    def _on_batch(self, batch: list[list[bytes]]) -> None:
        for identity, *parts in batch:
            self.identity = identity
            if len(parts) == 3:
                self.frames.append(Frame(*parts))
            else:
                self.questions += 1
        self._more.set()


class Pair:
    """A lane and its broker."""

    def __init__(self, name: str) -> None:
        self.context = context()
        pair = KeyPair.new()
        self.broker = Broker(self.context, pair)
        endpoints = Endpoints(
            workspace="or1", host="127.0.0.1", ports={name: self.broker.port}, server=pair.public
        )
        link = Link(endpoints=endpoints, name="monitor", pair=KeyPair.new())
        self.lane = Lane(self.context, link, name)
        self.sent = 0

    def put(self, count: int, size: int = 10) -> None:
        for _ in range(count):
            self.lane.put(Frame(b"or1/monitor/hr\0", b"%d" % self.sent, bytes(size)))
            self.sent += 1

    def close(self) -> None:
        self.lane.close()
        self.broker.close()
        self.context.term()


@pytest.fixture
async def ctl() -> AsyncIterator[Pair]:
    pair = Pair("ctl_in")
    yield pair
    pair.close()


@pytest.fixture(params=WINDOW)
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    made = Pair(request.param)
    yield made
    made.close()


async def idle(pair: Pair) -> None:
    async with asyncio.timeout(WITHIN_S):
        await pair.lane.idle.wait()


async def test_frames_arrive_whole_and_in_order_and_credit_makes_it_idle(ctl: Pair) -> None:
    assert ctl.lane.idle.is_set()
    ctl.put(10)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 10)
    assert ctl.broker.numbers == list(range(10))
    assert not ctl.lane.idle.is_set()
    ctl.broker.credit(10)
    await idle(ctl)


async def test_no_more_is_under_way_than_the_window(pair: Pair) -> None:
    window = WINDOW[pair.lane.name]
    pair.put(3 * window)
    await pair.broker.until(lambda: len(pair.broker.frames) == window)
    assert pair.lane.held == 2 * window
    pair.broker.credit(window // 2)
    await pair.broker.until(lambda: len(pair.broker.frames) == window + window // 2)
    assert pair.lane.held == 2 * window - window // 2
    pair.broker.credit(window + window // 2)
    await pair.broker.until(lambda: len(pair.broker.frames) == 2 * window + window // 2)
    pair.broker.credit(2 * window + window // 2)
    await idle_after_the_rest(pair, 3 * window)


async def idle_after_the_rest(pair: Pair, count: int) -> None:
    await pair.broker.until(lambda: len(pair.broker.frames) == count)
    pair.broker.credit(count)
    await idle(pair)
    assert pair.broker.numbers == list(range(count))


async def test_a_new_broker_gets_what_the_old_one_may_not_have_passed_on(ctl: Pair) -> None:
    ctl.put(20)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 20)
    ctl.broker.credit(12, epoch=1)
    ctl.broker.credit(0, epoch=2)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 28)
    assert ctl.broker.numbers == [*range(20), *range(12, 20)]
    ctl.broker.credit(8, epoch=2)
    await idle(ctl)


async def test_what_is_sent_again_goes_before_what_still_waits(pair: Pair) -> None:
    window = WINDOW[pair.lane.name]
    pair.put(window + 10)
    await pair.broker.until(lambda: len(pair.broker.frames) == window)
    pair.broker.credit(0, epoch=1)
    pair.broker.credit(0, epoch=2)
    await pair.broker.until(lambda: len(pair.broker.frames) == 2 * window)
    pair.broker.credit(window, epoch=2)
    await pair.broker.until(lambda: len(pair.broker.frames) == 2 * window + 10)
    assert pair.broker.numbers == [*range(window), *range(window + 10)]


async def test_any_word_of_the_broker_puts_the_question_off(ctl: Pair) -> None:
    ctl.put(6)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 6)
    for received in range(1, 4):
        ctl.lane.poke()
        ctl.broker.credit(received)
        ctl.put(1)  # its echo below shows that the credit has been heard
        await ctl.broker.until(lambda received=received: len(ctl.broker.frames) == 6 + received)  # type: ignore[misc]
        await asyncio.sleep(0.02)
    assert ctl.broker.questions == 0


async def test_a_broker_that_says_nothing_is_asked_and_its_answer_settles(ctl: Pair) -> None:
    ctl.put(6)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 6)
    ctl.lane.poke()
    assert ctl.broker.questions == 0
    ctl.lane.poke()
    await ctl.broker.until(lambda: ctl.broker.questions == 1)
    ctl.broker.credit(4)
    ctl.broker.credit(4, asked=True)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 8)
    assert ctl.broker.numbers == [0, 1, 2, 3, 4, 5, 4, 5]
    ctl.broker.credit(6)
    await idle(ctl)


async def test_an_idle_lane_asks_nothing(ctl: Pair) -> None:
    ctl.put(1)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 1)
    ctl.broker.credit(1)
    await idle(ctl)
    for _ in range(5):
        ctl.lane.poke()
    ctl.put(1)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 2)
    assert ctl.broker.questions == 0


async def test_credit_that_makes_no_sense_hurts_nothing(ctl: Pair) -> None:
    ctl.put(5)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 5)
    ctl.broker._sock.send([ctl.broker.identity, b"alone"])
    ctl.broker.credit(3)
    ctl.broker.credit(2)
    ctl.broker.credit(2**63)
    ctl.put(1)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 6)
    assert ctl.broker.numbers == list(range(6))


async def test_while_the_broker_is_away_the_oldest_beyond_the_bound_go_and_are_counted(
    ctl: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(publisher.WINDOW, "ctl_in", 4)
    ctl.lane._window = 4
    frame = len(b"or1/monitor/hr\0") + 2 + 1_000
    monkeypatch.setitem(publisher.KEEP_BYTES, "ctl_in", 20 * frame)
    ctl.put(10)  # as two-digit numbers follow, sizes are all but equal
    ctl.put(40, size=1_000)
    dropped = ctl.lane.dropped["or1/monitor/hr"]
    assert ctl.lane.held == 50 - 4 - dropped
    assert 15 <= ctl.lane.held <= 20
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 4)
    ctl.broker.credit(4)
    await ctl.broker.until(lambda: len(ctl.broker.frames) == 8)
    assert ctl.broker.numbers == [0, 1, 2, 3, *range(4 + dropped, 8 + dropped)]
