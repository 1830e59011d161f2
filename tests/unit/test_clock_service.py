"""The clock service believes no impossible probe, and estimates each exchange once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scot.clock import service as service_module
from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.probe import MAX_RTT_NS, Probe, Reply, Request, encode, read_reply, read_request
from scot.clock.service import ClockService
from scot.errors import ClockError, RemoteProtocolError
from scot.testing import ManualClock
from scot.timestamp import ClockState

SOUND = Probe(1_000, 900_000, 900_500, 2_000)  # round trip of 500 ns
MOST = 2**63 - 1


def serving(clock: Clock | None = None) -> tuple[ClockService, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    return ClockService(clock or ManualClock(10**12), rows.append), rows


def answered(service: ClockService, probe: Probe, source: str = "monitor-1") -> None:
    """Let the service have answered at the probe's times; its clock goes on from there."""
    service.clock.read = lambda: probe.t3_ns
    user, _, place = source.rpartition("-")
    service.on_request(user, place, encode(Request(probe.t1_ns, None)), probe.t2_ns)


def ask(service: ClockService, probe: Probe, source: str = "monitor-1") -> Reply:
    """One whole exchange, and the request that brings it home."""
    answered(service, probe, source)
    return told(service, probe, source)


def told(service: ClockService, probe: Probe, source: str = "monitor-1") -> Reply:
    data = encode(Request(min(probe.t4_ns + 1, MOST), probe))
    user, _, place = source.rpartition("-")
    return read_reply(service.on_request(user, place, data, service.clock.read()))


@pytest.mark.parametrize(
    "probe",
    [
        Probe(2_000, 10, 20, 1_999),  # back before it left
        Probe(1_000, 21, 20, 9_000),  # answered before it came
        Probe(1_000, 0, 1_001, 2_000),  # longer at the service than away
        Probe(0, 0, 0, MAX_RTT_NS + 1),  # under way for longer than anybody waits
        Probe(0, MOST, MOST, MOST),
        Probe(MOST, 0, MOST, 0),
        Probe(1_000, 10**12 + 1, 10**12 + 1, 2_000),  # answered in the future
        Probe(0, MOST, MOST, 0),
    ],
)
def test_an_impossible_probe_is_refused_and_moves_nothing(probe: Probe) -> None:
    service, rows = serving()
    with pytest.raises(
        RemoteProtocolError, match=r"impossible clock probe \(.*round trip|it was answered at"
    ):
        told(service, probe)
    assert (rows, service.refused) == ([], 1)
    reply = ask(service, SOUND)
    assert reply.map is not None
    assert reply.map.id == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x91" * 100_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode([-1, None]),
        msgspec.msgpack.encode([2**63, None]),
        msgspec.msgpack.encode([1, [1, 2, 3]]),
        msgspec.msgpack.encode([1, [1, 2, 3, -4]]),
        msgspec.msgpack.encode([1.5, None]),
        msgspec.msgpack.encode([1, None]) + b"\0",
    ],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="bad clock probe"):
        read_request(data)
    with pytest.raises(RemoteProtocolError, match="bad clock reply"):
        read_reply(data)


def test_a_first_request_is_answered_with_times_and_no_map() -> None:
    clock = ManualClock(1_000_000)
    service, rows = serving(clock)
    data = encode(Request(3_000, None))
    received_ns = clock.read()
    clock.advance(40)
    reply = read_reply(service.on_request("monitor", "1", data, received_ns))
    assert reply == Reply(3_000, 1_000_000, 1_000_040, None)
    assert rows == []


def test_each_exchange_is_estimated_and_reported_once() -> None:
    service, rows = serving()
    first, again = ask(service, SOUND), told(service, SOUND)
    assert first.map is not None
    assert again.map is None
    assert len(rows) == 1
    assert service.refused == 0  # until the next answer is there a client knows none but this
    later = Probe(5_000, 904_000, 904_500, 6_000)
    second = ask(service, later)
    assert second.map is not None
    assert second.map.id == 2
    assert len(rows) == 2


def test_a_report_holds_the_raw_probe_and_the_map_that_was_given() -> None:
    service, rows = serving()
    given = ask(service, SOUND).map
    assert given is not None
    raw = {
        "source": "monitor-1",
        "t1_ns": 1_000,
        "t2_ns": 900_000,
        "t3_ns": 900_500,
        "t4_ns": 2_000,
    }
    row = rows[0]
    assert {key: row[key] for key in raw} == raw
    names = ("epoch", "local_ns", "bus_ns", "rate", "bound_ns")
    assert {name: row[name] for name in names} == {name: getattr(given, name) for name in names}
    assert (row["map_id"], row["err_ns"], row["state"]) == (1, given.err_ns, "converging")
    assert (row["drift_ppb"], row["err_ppb"]) == (given.drift_ppb, given.err_ppb)
    session = service.clock.map
    assert session is not None
    assert row["session_local_ns"] == session.local_ns
    assert row["session_bus_ns"] == session.bus_ns
    assert row["session_rate"] == session.rate


def test_the_map_carries_the_clients_reading_to_bus_time() -> None:
    """Broker and client clocks 898,750 ns apart, 250 ns each way, bus time 10 s ahead."""
    start = BusMap(0, 0, 0, 10_000_000_000, 1.0, 0, 0, ClockState.LOCKED)
    service, _ = serving(Clock(start, lambda: 1_000_000))
    given = ask(service, SOUND).map
    assert given is not None
    truth_ns = 10_000_000_000 + 2_000 + 898_750
    assert abs(given.at(2_000) - truth_ns) <= 1
    assert given.bound_ns is not None
    assert given.bound_ns >= 250


def test_a_replay_at_four_times_the_speed_gives_maps_of_that_speed() -> None:
    start = BusMap(0, 0, 0, 10_000_000_000, 4.0, 0, 0, ClockState.LOCKED)
    plain, _ = serving(Clock(msgspec.structs.replace(start, rate=1.0), lambda: 1_000_000))
    fast, _ = serving(Clock(start, lambda: 1_000_000))
    one, four = ask(plain, SOUND).map, ask(fast, SOUND).map
    assert one is not None
    assert four is not None
    assert four.rate == pytest.approx(4 * one.rate)
    assert four.bus_ns - 10_000_000_000 == pytest.approx(4 * (one.bus_ns - 10_000_000_000), abs=4)
    assert (one.bound_ns, four.bound_ns) != (None, None)
    assert (four.bound_ns or 0) == pytest.approx(4 * (one.bound_ns or 0), abs=4)


@pytest.mark.parametrize("reading", [1_000, 2**40, 2**62, MOST])
def test_a_clients_clock_may_read_anything_and_its_map_is_still_of_now(reading: int) -> None:
    """In a replay at 64 times the speed too; nothing overflows on the way to the wire."""
    start = BusMap(0, 0, 0, 10**18, 64.0, 0, 0, ClockState.LOCKED)
    service, rows = serving(Clock(start, lambda: 10**12))
    probe = Probe(reading - 1_000, 10**12 - 800, 10**12 - 700, reading)
    given = ask(service, probe).map
    assert given is not None
    assert abs(given.at(reading) - start.at(10**12)) < 200_000
    assert msgspec.msgpack.encode(rows)


MADE_UP = {
    "never asked": Probe(777, 900_000, 900_500, 2_000),
    "later answer": Probe(1_000, 900_000, 900_501, 2_001),
    "earlier receipt": Probe(1_000, 899_999, 900_500, 2_000),
    "another source's": Probe(4_000, 910_000, 910_500, 5_000),
}


@pytest.mark.parametrize("what", MADE_UP)
def test_an_answer_the_service_never_gave_is_refused_and_harms_nobody(what: str) -> None:
    service, rows = serving()
    answered(service, SOUND)
    answered(service, MADE_UP["another source's"], "pump-1")
    assert told(service, MADE_UP[what]).map is None
    assert (rows, service.refused, service.refused_of) == ([], 1, {"monitor": 1})
    assert told(service, SOUND).map is not None
    assert told(service, MADE_UP["another source's"], "pump-1").map is not None


def test_a_replayed_or_overtaken_exchange_is_refused() -> None:
    service, rows = serving()
    probes = [
        Probe(n * 10_000, n * 10_000 + 500, n * 10_000 + 600, n * 10_000 + 900) for n in (1, 2, 3)
    ]
    for probe in probes:
        answered(service, probe)
    assert told(service, probes[1]).map is not None
    assert told(service, probes[0]).map is None  # older than one that counted
    assert told(service, probes[2]).map is not None
    assert told(service, probes[1]).map is None
    assert (len(rows), service.refused) == (2, 2)


def test_answers_that_never_come_home_are_forgotten_in_the_end() -> None:
    service, _ = serving()
    for n in range(service_module.UNDER_WAY + 1):
        answered(service, Probe(1_000 + n, 900_000 + n, 900_500 + n, 3_000 + n))
    assert told(service, Probe(1_000, 900_000, 900_500, 3_000)).map is None
    assert told(service, Probe(1_002, 900_002, 900_502, 3_002)).map is not None


def test_sources_are_told_apart() -> None:
    service, rows = serving()
    far = Probe(1_000, 500_000_900_000, 500_000_900_500, 2_000)
    near_map, far_map = ask(service, SOUND, "a-1").map, ask(service, far, "b-1").map
    assert near_map is not None
    assert far_map is not None
    assert far_map.bus_ns - near_map.bus_ns == 500_000_000_000
    assert [row["source"] for row in rows] == ["a-1", "b-1"]


def test_a_flood_of_sources_is_bounded_and_known_ones_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_module, "MAX_SOURCES", 3)
    service, _ = serving()
    maps = [ask(service, SOUND, f"source-{n}").map for n in range(5)]
    assert [one is not None for one in maps] == [True, True, True, False, False]
    assert service.refused == 4  # two requests each
    assert ask(service, Probe(5_000, 904_000, 904_500, 6_000), "source-1").map is not None


def test_one_key_cannot_use_up_the_places_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_SOURCES", 100)
    service, _ = serving()
    for number in range(300):
        assert ask(service, SOUND, f"greedy-key-{number:x}").map is not None
    assert ask(service, SOUND, "monitor-1").map is not None
    assert service.refused == 0


def test_a_flood_of_exchanges_becomes_no_flood_of_rows() -> None:
    """A row a source at each exchange would be published to everybody and recorded."""
    service, rows = serving()
    for at_ns in range(10**9, 2 * 10**9, 1_000_000):
        ask(service, Probe(at_ns, at_ns + 100, at_ns + 200, at_ns + 300))
    most = (service_module.AT_ONCE_NS + 10**9) // service_module.MOST_EVERY_NS
    assert most - 2 <= len(rows) <= most
    assert service.refused == 1_000 - len(rows)


def test_who_has_been_silent_for_long_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room of many days sees more than a thousand processes come and go."""
    monkeypatch.setattr(service_module, "MAX_SOURCES", 3)
    clock = ManualClock(10**12)
    service, _ = serving(clock)
    for n in range(20):
        at_ns = clock.local_ns
        for source in (f"source-{n}", "stays-1"):
            probe = Probe(at_ns, at_ns + 100, at_ns + 200, at_ns + 300)
            assert ask(service, probe, source).map is not None
        clock.advance(service_module.IDLE_NS)
    assert service.refused == 0
    at_ns = clock.local_ns
    last = ask(service, Probe(at_ns, at_ns + 100, at_ns + 200, at_ns + 300), "stays-1").map
    assert last is not None
    assert last.id == 21


def test_a_service_without_the_sessions_clock_cannot_be() -> None:
    with pytest.raises(ClockError, match="session's own clock"):
        ClockService(Clock(), lambda row: None)
