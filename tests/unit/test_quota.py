"""Who takes more than their quota is slowed and loses nothing; who does not wait is dropped."""

from __future__ import annotations

import msgspec
import pytest

from scot.access import Grant, Quota, Rate
from scot.bus.desk import Desk
from scot.bus.publisher import Lane
from scot.bus.relay import MAX_UNPAID, Credit, Denied, Relay
from scot.channel import Catalogue, Device, Numeric
from scot.codec import Frame
from scot.history import HistoryReply, HistoryRequest
from scot.meter import Meter

MS = 1_000_000
S = 1000 * MS
ME, HR = b"\1me", b"or1/pump/hr\0"
START = 7
FRAME = Frame(HR, b"header", b"payload")


def relay(rate: Rate | None, lane: str = "ctl_in") -> Relay:
    quota = Quota(ctl=rate) if lane == "ctl_in" else Quota(bulk=rate)
    return Relay(START, {"pump": Grant(name="pump", publish=["or1/pump/"], quota=quota)})


class Publishing:
    """A lane and a relay with nothing lost between them."""

    def __init__(self, core: Relay, lane: str = "ctl_in") -> None:
        self.core, self.name = core, lane
        self.lane = Lane(lane)
        self.passed = 0
        self.questions = 0

    def send(self, frames: list[Frame], now_ns: int) -> None:
        for frame in frames:
            self.passed += self.core.admit(self.name, ME, "pump", HR, frame.size)
        for credit in self.core.credits():
            self.send(list(self.lane.on_credit(credit.parts, now_ns)), now_ns)

    def run(self, from_ns: int, to_ns: int) -> None:
        """Tick both, each 100 ms."""
        for now_ns in range(from_ns, to_ns, 100 * MS):
            for effect in self.core.tick(now_ns):
                if isinstance(effect, Credit):
                    self.send(list(self.lane.on_credit(effect.parts, now_ns)), now_ns)
            if self.lane.tick(now_ns):
                self.questions += 1
                parts = self.core.asked(self.name, ME).parts
                self.send(list(self.lane.on_credit(parts, now_ns)), now_ns)


def test_without_a_quota_nobody_waits() -> None:
    one = Publishing(relay(None))
    for _ in range(5_000):
        one.send(list(one.lane.put(FRAME, 0)), 0)
    assert one.passed == 5_000


@pytest.mark.parametrize("rate_hz", [10.0, 100.0, 1_000.0])
def test_a_burst_beyond_the_quota_comes_whole_at_the_rate_of_the_quota(rate_hz: float) -> None:
    core = relay(Rate(messages_hz=rate_hz, bytes_hz=1e9))
    one = Publishing(core)
    core.tick(0)
    count = round(rate_hz * 10) + 1_000
    for _ in range(count):
        one.send(list(one.lane.put(FRAME, 0)), 0)
    one.run(0, 5 * S)
    window = 256
    assert one.passed <= rate_hz * (1 + 5) + 2 * window
    one.run(5 * S, round(count / rate_hz + 10) * S)
    assert one.passed == count, "every one once: none lost, none sent again"
    assert one.lane.idle
    assert not one.lane.dropped
    assert core.denied.total() == 0
    assert core.withheld["pump"] > 0


def test_large_samples_wait_for_their_bytes_and_are_told_to() -> None:
    core = relay(Rate(messages_hz=1e6, bytes_hz=1_000), "bulk_in")
    one = Publishing(core, "bulk_in")
    core.tick(0)
    picture = Frame(b"or1/pump/view\0", b"header", bytes(10_000))
    for _ in range(5):
        one.send(list(one.lane.put(picture, 0)), 0)
    one.run(100 * MS, 60 * S)
    assert one.questions > 10, "it asks, because no credit comes for seconds"
    assert one.passed == 5, "and sends nothing again for being told to wait"
    assert one.lane.idle


def test_who_does_not_wait_for_credit_is_dropped_and_told_of() -> None:
    core = relay(Rate(messages_hz=10, bytes_hz=1e9))
    core.tick(0)
    passed = sum(core.admit("ctl_in", ME, "pump", HR, 10) for _ in range(10_000))
    assert passed == 10 + MAX_UNPAID["ctl_in"]
    assert Denied("pump", HR, 10_000 - passed, "quota") in core.tick(0)
    for second in range(1, 1 + MAX_UNPAID["ctl_in"] // 10):
        core.tick(second * S)
    assert not core.admit("ctl_in", ME, "pump", HR, 10)
    core.tick(10_000 * S)
    assert core.admit("ctl_in", ME, "pump", HR, 10), "once it is paid for, it goes on"


def test_the_connections_of_one_holder_share_its_quota_and_others_do_not() -> None:
    grants = {
        name: Grant(
            name=name, publish=["or1/"], quota=Quota(ctl=Rate(messages_hz=10, bytes_hz=1e9))
        )
        for name in ("pump", "monitor")
    }
    core = Relay(START, grants)
    core.tick(0)
    for number in range(20):
        core.admit("ctl_in", bytes([number]), "pump", HR, 1)
    core.admit("ctl_in", b"other", "monitor", HR, 1)
    assert [e.identity for e in core.tick(0) if isinstance(e, Credit)] == [b"other"]


def test_a_new_quota_counts_from_the_next_frame_on() -> None:
    core = relay(Rate(messages_hz=10, bytes_hz=1e9))
    for _ in range(20):
        core.admit("ctl_in", ME, "pump", HR, 1)
    assert core.tick(0) == []
    core.regrant({"pump": Grant(name="pump", publish=["or1/pump/"])})
    assert core.admit("ctl_in", ME, "pump", HR, 1)
    assert [type(effect) for effect in core.tick(0)] == [Credit]


def test_subscriptions_have_a_quota_of_their_own() -> None:
    grant = Grant(name="pump", subscribe=["or1/"], quota=Quota(subscriptions=2))
    core = Relay(START, {"pump": grant})
    heard = [core.subscribe("ctl_out", "pump", b"\1or1/n%d" % n) for n in range(3)]
    assert [one is not None for one in heard] == [True, True, False]


def test_history_beyond_the_quota_is_put_off_with_the_time_to_wait_and_then_comes() -> None:
    grants = {
        "monitor": Grant(name="monitor", devices=["monitor"], publish=["or1/monitor/"]),
        "reader": Grant(name="reader", subscribe=["or1/"], quota=Quota(history_bytes_hz=1_000.0)),
    }
    desk = Desk(START, Catalogue(workspace="or1"), grants, lambda catalogue: None)
    encode = msgspec.msgpack.encode
    device = Device(name="monitor", provider="test", channels={"hr": Numeric("hr", unit="/min")})
    desk.on(b"m", "monitor", [b"1", b"announce", encode(device)], 0)
    ask = encode(HistoryRequest(addresses=["or1/monitor/hr"], between=(0, 9)))
    (asked,) = desk.on(b"r", "reader", [b"2", b"history", ask], 0)
    head = encode(HistoryReply(complete=True))
    desk.on(b"m", "monitor", [asked.parts[0], b"answer", head, b"t", b"h", bytes(5_000)], 0)
    (no,) = desk.on(b"r", "reader", [b"3", b"history", ask], 0)
    assert no.parts[1] == b"no"
    assert "over its quota of History" in msgspec.msgpack.decode(no.parts[2])
    (asked,) = desk.on(b"r", "reader", [b"4", b"history", ask], 5 * S)
    assert asked.parts[1] == b"ask"


def test_a_clock_that_stands_or_leaps_gives_no_more_than_a_second_of_quota() -> None:
    meter = Meter(Rate(messages_hz=10, bytes_hz=1e9), 0)
    meter.refill(10_000 * S)
    for _ in range(10):
        meter.charge(1)
    assert meter.unpaid == 0
    meter.charge(1)
    meter.refill(0)
    assert (meter.over, meter.unpaid) == (True, 1)
    assert meter.wait_s == pytest.approx(0.1)
