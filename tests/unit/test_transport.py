"""Laps, wishes, and a player under one's hands in a terminal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.access import Grant
from scot.bus.subscriber import Delivery
from scot.bus.turntable import Turntable, check_wish
from scot.channel import Catalogue, Channel, Device, Kind
from scot.cli.replay import read_loop, read_rate
from scot.cli.transport import Keys, Line, line_of
from scot.clock.clock import Clock
from scot.clock.service import ClockService
from scot.codec import read_header
from scot.errors import AccessError, BusError, ClockError, ConfigError
from scot.history import HistoryReply, HistoryRequest
from scot.sample import Flags
from scot.transport import FLAT_OUT, LAST_NS, PLAYER, STATE, Laps, Pace, Transport, Wish
from scot_dashboard.recorded import Recorded
from tests.golden.recording_frames import CHANNELS, START_NS, S, case

LAPS = Laps(origin_ns=START_NS, period_ns=100 * S)
STOOD = Transport(
    lap=0, bus_ns=START_NS, position_ns=START_NS + 10 * S, rate=1.0, playing=False, loop=[],
    again=False, ended=False, first_ns=START_NS, last_ns=START_NS + 60 * S, laps=LAPS,
)  # fmt: skip


@given(st.integers(0, 90 * S), st.integers(0, 10_000), st.integers(0, 10_000))
def test_whole_periods_less_every_lap_is_the_surgery_and_later_laps_are_later(
    since_ns: int, lap: int, other: int
) -> None:
    recorded_ns = LAPS.origin_ns + since_ns
    bus_ns = recorded_ns + LAPS.shift_ns(lap)
    assert (LAPS.number(bus_ns), LAPS.recorded(bus_ns)) == (lap, recorded_ns)
    if other > lap:
        assert bus_ns < LAPS.origin_ns + LAPS.shift_ns(other)


def test_bus_time_of_a_replay_changes_its_pace_and_never_goes_back() -> None:
    reading = 0
    clock = Clock.session(START_NS, 1.0)
    base = clock.map.local_ns  # type: ignore[union-attr]
    clock.read = lambda: base + reading
    service = ClockService(clock, lambda row: None)
    reading = 2 * S
    stood = service.pace(None, 0.0)
    reading = 9 * S
    assert clock.now() == stood.bus_ns == START_NS + 2 * S
    service.pace(START_NS + 50 * S, 16.0)
    reading = 10 * S
    assert clock.now() == START_NS + 66 * S
    with pytest.raises(ClockError, match="go back by 1 ns"):
        service.pace(START_NS + 66 * S - 1, 1.0)


def test_only_its_player_turns_a_replays_clock_and_nobody_a_live_rooms() -> None:
    player = Grant(name="player", devices=["*"], serve=True)
    body = msgspec.msgpack.encode(Pace(rate=2.0))
    live, replay = Catalogue(workspace="or1"), Catalogue(workspace="or1", replay=True)
    turns: list[tuple[int | None, float]] = []

    def turn(bus_ns: int | None, rate: float) -> Any:
        turns.append((bus_ns, rate))

    with pytest.raises(AccessError, match="live room"):
        Turntable(turn).turn(player, live, body)
    with pytest.raises(AccessError, match="not the player"):
        Turntable(turn).turn(Grant(name="recorder", serve=True), replay, body)
    Turntable(turn).turn(player, replay, body)
    assert turns == [(None, 2.0)]
    with pytest.raises(BusError, match="no player"):
        check_wish(Grant(name="console", command=["or1/player/"]), live)
    with pytest.raises(AccessError, match="may not move"):
        check_wish(Grant(name="guest"), replay)
    check_wish(Grant(name="console", command=["or1/player/"]), replay)


def recorded() -> Recorded:
    connection: Any = SimpleNamespace(
        workspace="or1",
        clock=SimpleNamespace(now=lambda: START_NS + 210 * S),
        retime=lambda: None,
    )
    time = Recorded(connection)
    channel = Channel(name=STATE, kind=Kind.EVENT, attrs=msgspec.to_builtins(LAPS))
    device = Device(name=PLAYER, provider=PLAYER, channels={STATE: channel})
    time.follow(Catalogue(workspace="or1", replay=True, devices={PLAYER: device}))
    return time


def test_a_page_sees_the_surgerys_time_and_nothing_of_a_lap_that_is_over() -> None:
    time = recorded()
    (plain,) = [f for f in case(1.0) if f.address == "or1/monitor/hr"]

    def of_lap(number: int) -> Delivery:
        header = read_header(plain)
        shift_ns = LAPS.shift_ns(number)
        header = msgspec.structs.replace(
            header, bus_ns=header.bus_ns + shift_ns, epoch=header.epoch + shift_ns
        )
        frame = plain._replace(header=msgspec.msgpack.encode(header))
        return Delivery(frame, header, Flags(0), CHANNELS[Kind.NUMERIC])

    assert time.take([of_lap(0)]) == ([of_lap(0)], False)
    kept, turned = time.take([of_lap(0), of_lap(2)])
    assert turned
    assert [one.frame for one in kept] == [plain]
    assert time.take([of_lap(1)]) == ([], False)
    assert time.now() == START_NS + 10 * S
    ask = time.ask(HistoryRequest(addresses=["or1/monitor/hr"], between=(0, 2**62)))
    assert ask.between == (START_NS + 200 * S, 2**62 + 200 * S)
    held = HistoryReply(first_ns=START_NS + 200 * S, next_ns=START_NS + 203 * S)
    reply = time.answered(held, ask)
    assert (reply.first_ns, reply.next_ns) == (START_NS, START_NS + 3 * S)


def test_keys_wish_what_they_say() -> None:
    line = Line(SimpleNamespace(retime=lambda: None), lambda said: None)  # type: ignore[arg-type]
    line.take(STOOD)
    keys = Keys(line)
    assert keys.wish(" ") == Wish(playing=True)
    assert keys.wish("\x1b[D") == Wish(to_ns=START_NS + 5 * S)
    assert keys.wish("\x1b[A") == Wish(to_ns=START_NS + 60 * S)  # not past the end
    assert (keys.wish("."), keys.wish(",")) == (Wish(step=1), Wish(step=-1))
    assert (keys.wish("+"), keys.wish("-")) == (Wish(rate=2.0), Wish(rate=0.5))
    assert keys.wish("r") == Wish(rate=-1.0)
    assert keys.wish("[") is None
    line.take(msgspec.structs.replace(STOOD, position_ns=START_NS + 12 * S, rate=16.0))
    assert keys.wish("]") == Wish(loop=[START_NS + 10 * S, START_NS + 12 * S])
    assert keys.wish("+") == Wish(rate=FLAT_OUT)
    assert keys.wish("x") is None
    assert keys.wish("q") is None
    assert keys.quit


def test_the_line_says_where_it_stands() -> None:
    stood = msgspec.structs.replace(STOOD, rate=-2.0, playing=True)
    text = line_of(stood, START_NS + 61_250_000_000)
    assert text.startswith("◀ 0:01:01.250 / 0:01:00.000")
    assert "-2×" in text


def test_rates_and_stretches_of_the_command_line() -> None:
    assert (read_rate("max"), read_rate("-0.5")) == (FLAT_OUT, -0.5)
    assert read_loop("1:00-1:30.5", 0) == {"stretch": [60 * S, 90_500_000_000]}
    assert (read_loop(None, 0), read_loop("all", 0)) == ({}, {"loop": True})
    for text, says in (("5-3", "before it begins"), ("5", "write A-B"), ("a-b", "not a time")):
        with pytest.raises(ConfigError, match=says):
            read_loop(text, 0)
    for bad in ("0", "17", "-20", "fast"):
        with pytest.raises(ConfigError, match="or max"):
            read_rate(bad)


def test_who_moves_the_player_is_told_before_its_moves_run_out() -> None:
    assert "moves left" not in line_of(STOOD, START_NS)
    last = LAPS.left(0)
    near = msgspec.structs.replace(STOOD, lap=last - 5)
    assert "5 moves left, then start it again" in line_of(near, START_NS)
    assert LAPS.left(last + 3) == 0
    assert LAPS.origin_ns + (last + 1) * LAPS.period_ns <= LAST_NS
