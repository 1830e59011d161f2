"""The page's messages: what is sent is plain MessagePack, what comes is checked first."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scot.errors import RemoteProtocolError
from scot.sample import Flags
from scot_dashboard import wire
from scot_dashboard.strokes import Stroke
from tests.unit.gateway_room import START_NS, ecg, hr

STROKE = {
    "id": "a1",
    "channel": "or1/scope/video",
    "at_ns": START_NS + 7,
    "tool": "pointer",
    "points": [[0.0, 1.0], [0.5, 0.5]],
    "text": "here",
    "ttl_s": 8,
}


def packed(*parts: Any) -> bytes:
    data: bytes = msgpack.packb(parts)
    return data


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 65_535, 65_536])
def test_any_number_of_entries_makes_one_plain_message(count: int) -> None:
    one = hr(1)
    entry = wire.entry(one.frame, one.header, one.flags, one.frame.payload)
    name, bus_now_ns, entries = msgpack.unpackb(wire.samples(START_NS, [entry] * count))
    assert (name, bus_now_ns, len(entries)) == ("samples", START_NS, count)
    if entries:
        assert entries[-1] == [
            "or1/monitor/hr",
            msgpack.unpackb(one.frame.header),
            one.frame.payload,
        ]


def test_a_history_message_is_plain_messagepack() -> None:
    one = ecg(4)
    entry = wire.entry(one.frame, one.header, one.flags, one.frame.payload)
    assert msgpack.unpackb(wire.history(9, False, None, []))[:4] == ["history", 9, False, None]
    told = msgpack.unpackb(wire.history(2**40, True, START_NS, [entry]))
    assert told[:4] == ["history", 2**40, True, START_NS]
    assert told[4] == [["or1/monitor/ecg_ii", msgpack.unpackb(one.frame.header), one.frame.payload]]


def test_a_receivers_flags_are_added_and_nothing_else_changes() -> None:
    one = hr(1, flags=Flags.SIMULATED, own=Flags.BACKFILLED | Flags.LATE)
    _, header, _ = msgpack.unpackb(wire.entry(one.frame, one.header, one.flags, one.frame.payload))
    assert header[:8] == msgpack.unpackb(one.frame.header)[:8]
    assert Flags(header[8]) == Flags.SIMULATED | Flags.BACKFILLED | Flags.LATE


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("clock", 12.5), wire.Clock(12.5)),
        (("clock", 12), wire.Clock(12.0)),
        (
            ("history", 3, {"addresses": ["or1/monitor/hr"], "between": [1, 2**62]}),
            wire.History(3, wire.HistoryAsk(["or1/monitor/hr"], between=(1, 2**62))),
        ),
        (
            ("history", 3, {"addresses": ["or1/monitor/hr"], "at": START_NS}),
            wire.History(3, wire.HistoryAsk(["or1/monitor/hr"], at=START_NS)),
        ),
        (
            ("lanes", 4, {"from_ns": 1, "to_ns": 2, "bins": 100}),
            wire.Lanes(4, wire.LanesAsk(1, 2, 100)),
        ),
        (
            ("seen", {"channel": "or1/scope/video", "bus_ns": 5, "behind_ms": 190}),
            wire.SeenReport(wire.Seen("or1/scope/video", 5, 190.0)),
        ),
        (("admit", "consultant-1"), wire.Admit("consultant-1")),
        (("refuse", "consultant-1"), wire.Refuse("consultant-1")),
        (("revoke", "consultant-1"), wire.Revoke("consultant-1")),
    ],
)
def test_what_a_page_may_say(parts: tuple[Any, ...], expected: wire.Inbound) -> None:
    assert wire.read(packed(*parts)) == expected


def test_the_time_a_stroke_is_pinned_to_comes_through_exactly() -> None:
    said = wire.read(packed("annotate", STROKE))
    assert isinstance(said, wire.Annotate)
    assert isinstance(said.stroke, Stroke)
    assert said.stroke.at_ns == START_NS + 7
    assert said.stroke.points == [(0.0, 1.0), (0.5, 0.5)]


@pytest.mark.parametrize(
    "change",
    [
        {"author": "OR staff"},
        {"points": [[0.5, 1.01]]},
        {"points": [[-0.01, 0.5]]},
        {"points": [[float("nan"), 0.5]]},
        {"points": [[float("inf"), 0.5]]},
        {"points": [[0.5]]},
        {"points": [[0.5, 0.5]] * 513},
        {"text": "x" * 501},
        {"ttl_s": 60.1},
        {"ttl_s": -1},
        {"ttl_s": float("nan")},
        {"tool": "eraser"},
        {"id": ""},
        {"id": "x" * 65},
        {"id": "a\n"},
        {"at_ns": -1},
        {"at_ns": 2**63},
        {"at_ns": 1.5},
        {"channel": "x" * 201},
    ],
)
def test_a_stroke_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        wire.read(packed("annotate", {**STROKE, **change}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93",
        packed(),
        packed("nonsense", 1),
        packed("clock"),
        packed("clock", "now"),
        packed("clock", float("nan")),
        packed("clock", 1.0, "more", {})[:-1],
        packed("history", 1, {"addresses": []}),
        packed("history", 1, {"addresses": ["or1/monitor/hr"] * 1025, "at": 1}),
        packed("history", 1, {"addresses": ["../../etc/passwd"], "at": 1}),
        packed("history", -1, {"addresses": ["or1/monitor/hr"], "at": 1}),
        packed("lanes", 1, {"from_ns": 1, "to_ns": 2, "bins": 4_001}),
        packed("lanes", 1, {"from_ns": 1, "to_ns": 2, "bins": 0}),
        packed("seen", {"channel": "or1/scope/video", "bus_ns": 5, "behind_ms": 1e12}),
        packed("admit", 7),
        packed("admit", "x" * 41),
        packed({"clock": 1}),
        b"\x91" * 60_000,
        b"\xdd\xff\xff\xff\xff",
        b"\x92\xa5clock\xc7\x01\x05a",
        packed("annotate", {**STROKE, "text": "x" * 70_000}),
    ],
)
def test_anything_else_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        wire.read(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_read_or_refused(data: bytes) -> None:
    try:
        said = wire.read(data)
    except RemoteProtocolError:
        return
    assert isinstance(said, msgspec.Struct)
