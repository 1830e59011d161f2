"""Bytes written by hand from the protocol's pages decode to what they say, and encode back."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.errors import LocalProtocolError
from scot_devices.openigtlink import messages as m
from scot_devices.openigtlink.protocol import (
    ChecksumError,
    Connection,
    MessageError,
    encode,
    time_field,
    time_ns,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "openigtlink"
HALF_PAST_NS = 1_700_000_000_500_000_000
QUARTER_TURN: m.Matrix = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 10.0, -20.5, 30.25)
UPRIGHT: m.Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0)


def f32(value: float) -> float:
    return float(struct.unpack(">f", struct.pack(">f", value))[0])


EXPECTED: dict[str, m.Message] = {
    "transform_v1": m.Transform(device="Probe", time_ns=HALF_PAST_NS, matrix=QUARTER_TURN),
    "transform_v3": m.Transform(
        device="ProbeToReference",
        time_ns=1_700_000_000_123_456_789,
        message_id=7,
        metadata={"TransformValid": "true", "TransformStatus": "OK"},
        matrix=QUARTER_TURN,
    ),
    "transform_v3_bare": m.Transform(
        device="Probe", time_ns=HALF_PAST_NS, message_id=9, matrix=QUARTER_TURN
    ),
    "transform_v3_long": m.Transform(
        device="Probe", time_ns=HALF_PAST_NS, message_id=9, matrix=QUARTER_TURN
    ),
    "transform_v2_plain": m.Transform(device="Probe", time_ns=HALF_PAST_NS, matrix=UPRIGHT),
    "tdata_v1": m.TrackingData(
        device="Tracker",
        tools=(m.Tool("Probe", QUARTER_TURN, 2), m.Tool("Reference", UPRIGHT, 1)),
    ),
    "qtdata_v1": m.QuaternionTrackingData(
        device="Tracker",
        time_ns=HALF_PAST_NS,
        tools=(m.QuaternionTool("Probe", (1.5, -2.5, 3.5), (0.0, f32(0.6), 0.0, f32(0.8)), 4),),
    ),
    "status_v1": m.Status(
        device="Probe",
        time_ns=HALF_PAST_NS,
        code=m.StatusCode.DEVICE_NOT_PRESENT,
        subcode=-2,
        name="Warning",
        text="tool not visible",
    ),
    "status_v1_short": m.Status(device="Tracker", time_ns=HALF_PAST_NS, code=1, name="OK"),
    "string_utf8": m.String(device="Note", time_ns=HALF_PAST_NS, text="手術室"),
    "string_shift_jis": m.String(device="Note", time_ns=HALF_PAST_NS, text="手術室", encoding=17),
    "get_tdata": m.Query(device="", verb="GET", what="TDATA"),
    "stt_tdata": m.Query(
        device="Tracker", verb="STT", what="TDATA", interval_ms=50, frame="CAMERA"
    ),
    "stp_tdata": m.Query(device="Tracker", verb="STP", what="TDATA"),
    "rts_tdata_ok": m.Reply(device="Tracker", time_ns=HALF_PAST_NS, what="TDATA", ok=True),
    "rts_tdata_error": m.Reply(device="Tracker", time_ns=HALF_PAST_NS, what="TDATA", ok=False),
    "point": m.Points(
        device="Plan",
        time_ns=HALF_PAST_NS,
        points=(
            m.Point("Target", "Fiducial", (255, 176, 32, 255), (-33.0, 18.0, 2.0), 1.5, "MR1"),
        ),
    ),
    "sensor": m.Sensor(
        device="Torque",
        time_ns=HALF_PAST_NS,
        values=(0.5, -0.25, 0.125),
        unit=0x02C0_1000_0000_0000,
    ),
    "image": m.Image(
        device="MR1",
        time_ns=HALF_PAST_NS,
        components=1,
        scalar=5,
        little_endian=True,
        axes="LPS",
        size=(4, 3, 2),
        steps=((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 2.0)),
        centre_mm=(7.0, 8.0, 9.0),
        offset=(2, 0, 1),
        extent=(2, 3, 1),
        pixel_bytes=12,
    ),
    "unknown": m.Unknown(device="LUT", time_ns=HALF_PAST_NS, type="COLORT", content_bytes=5),
}
SAME_BYTES = (
    "transform_v1",
    "tdata_v1",
    "qtdata_v1",
    "status_v1",
    "string_utf8",
    "string_shift_jis",
    "get_tdata",
    "stt_tdata",
    "stp_tdata",
    "rts_tdata_ok",
    "rts_tdata_error",
)


def golden(name: str) -> bytes:
    lines = (GOLDEN / f"{name}.hex").read_text("utf-8").splitlines()
    return bytes.fromhex("".join(line.partition("#")[0] for line in lines))


def decode_one(data: bytes) -> m.Message:
    connection = Connection()
    connection.receive_data(data)
    message = connection.next_event()
    assert message is not None
    assert connection.next_event() is None
    assert connection.pending == 0
    return message


def test_every_golden_file_has_an_expectation() -> None:
    assert {path.stem for path in GOLDEN.glob("*.hex")} == {*EXPECTED, "transform_bad_crc"}


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_bytes_decode(name: str) -> None:
    assert decode_one(golden(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", SAME_BYTES)
def test_golden_message_encodes_to_the_same_bytes(name: str) -> None:
    assert encode(EXPECTED[name]) == golden(name)


def test_bad_checksum_names_device_expected_and_actual() -> None:
    connection = Connection()
    connection.receive_data(golden("transform_bad_crc") + golden("transform_v1"))
    with pytest.raises(ChecksumError, match="TRANSFORM of Probe: checksum") as caught:
        connection.next_event()
    assert caught.value.device == "Probe"
    assert caught.value.expected == caught.value.actual ^ 1
    assert connection.next_event() == EXPECTED["transform_v1"], "still in step"
    assert (connection.bad_crc, connection.messages, connection.garbage_bytes) == (1, 1, 0)


@settings(deadline=None)
@given(st.integers(1, (2**32 - 1) * 10**9 + 999_999_999))
def test_every_nanosecond_survives_a_header(ns: int) -> None:
    seconds, fraction = time_field(ns)
    assert 0 <= fraction < 2**32
    assert time_ns(seconds, fraction) == ns


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_time_is_exact_to_half_a_nanosecond(seconds: int, fraction: int) -> None:
    ns = time_ns(seconds, fraction)
    if seconds == fraction == 0:
        assert ns is None, "0 says that the device has no time"
    else:
        assert ns is not None
        exact = seconds * 10**9 * 2**32 + fraction * 10**9
        assert abs(ns * 2**32 - exact) <= 2**31


def test_no_time_is_none_and_is_sent_as_zero() -> None:
    assert decode_one(golden("tdata_v1")).time_ns is None
    assert time_field(None) == (0, 0)


@pytest.mark.parametrize("ns", [-1, 2**32 * 10**9])
def test_a_time_outside_of_the_field_is_refused(ns: int) -> None:
    with pytest.raises(LocalProtocolError, match="1970 to 2106"):
        time_field(ns)


names = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=20).map(str.strip)
numbers = st.floats(width=32, allow_nan=False)
matrices = st.tuples(*[numbers] * 12)
heads = {
    "device": names,
    "time_ns": st.none() | st.integers(1, 2**32 * 10**9 - 1),
    "message_id": st.integers(0, 2**32 - 1),
    "metadata": st.dictionaries(
        names, st.text(st.characters(exclude_categories=["C"])), max_size=5
    ).map(lambda items: {k: v.strip() for k, v in items.items()}),
}
sendable = st.one_of(
    st.builds(m.Transform, matrix=matrices, **heads),
    st.builds(
        m.TrackingData,
        tools=st.lists(
            st.builds(m.Tool, name=names, matrix=matrices, kind=st.integers(1, 4)), max_size=4
        ).map(tuple),
        **heads,
    ),
    st.builds(
        m.Status,
        code=st.integers(0, 2**16 - 1),
        subcode=st.integers(-(2**63), 2**63 - 1),
        name=names,
        text=names,
        **heads,
    ),
    st.builds(
        m.Query,
        verb=st.just("STT"),
        what=st.sampled_from(["TDATA", "QTDATA"]),
        interval_ms=st.integers(0, 2**32 - 1),
        frame=names,
        **heads,
    ),
)


@settings(deadline=None)
@given(sendable)
def test_what_is_sent_with_protocol_3_is_what_arrives(message: m.Message) -> None:
    assert decode_one(encode(message, 2)) == message


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (m.Transform(device="a name of 21 charact.", matrix=UPRIGHT), "21 bytes"),
        (m.Transform(device="P", matrix=UPRIGHT, metadata={"a": "b"}), "header version 2"),
        (m.TrackingData(device="T", tools=(m.Tool("P", UPRIGHT),) * 257), "257 tools"),
        (m.String(device="N", text="a" * 65536), "65536 bytes"),
        (m.Unknown(device="N", type="COLORT", content_bytes=1), "never sent"),
    ],
)
def test_what_we_would_break_is_not_sent(message: m.Message, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        encode(message)


def test_numbers_that_are_not_finite_still_arrive_as_sent() -> None:
    sent = m.Transform(device="Probe", matrix=(math.nan, *UPRIGHT[1:]))
    received = decode_one(encode(sent))
    assert isinstance(received, m.Transform)
    assert math.isnan(received.matrix[0])


@pytest.mark.parametrize(
    ("name", "at", "new", "problem"),
    [
        ("string_utf8", 60, b"\0\x0a", "length says 10, 9 are there"),
        ("string_utf8", 58, b"\x00\x05", "encoding 5"),
        ("sensor", 58, b"\4", "4 readings"),
        ("image", 61, b"\x09", "scalar 9"),
        ("image", 124, b"\0\5", "outside of"),
        ("transform_v3", 118, b"\0\3", "3 metadata items"),
        ("transform_v3", 120, b"\0\x0f", "metadata of 36 bytes in 35"),
    ],
)
def test_lengths_inside_a_message_are_checked(name: str, at: int, new: bytes, problem: str) -> None:
    body = bytearray(golden(name))
    body[at : at + len(new)] = new
    body[50:58] = crc64_of(bytes(body[58:])).to_bytes(8)
    connection = Connection()
    connection.receive_data(bytes(body) + golden("status_v1"))
    with pytest.raises(MessageError, match=problem):
        connection.next_event()
    assert connection.malformed == 1
    assert connection.next_event() == EXPECTED["status_v1"], "still in step"


def crc64_of(data: bytes) -> int:
    """ECMA-182 annex B, bit by bit: independent of the library under test."""
    register = 0
    for byte in data:
        register ^= byte << 56
        for _ in range(8):
            over = register >> 63
            register = (register << 1) & (2**64 - 1)
            if over:
                register ^= 0x42F0E1EBA9EA3693
    return register
