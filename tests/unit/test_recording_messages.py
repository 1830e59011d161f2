"""Every sample comes back from its MCAP message byte for byte, whatever wrote it."""

from __future__ import annotations

import json

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.channel import Kind
from scot.codec import Frame, encode, read_header
from scot.sample import Flags, NumericValue, PoseValue, Sample
from scot.timestamp import ClockState, Timestamp
from scot_replay.messages import carrier, utc_ns
from tests.golden.recording_frames import CHANNELS, START_NS, frames

KINDS = st.sampled_from(list(Kind))


def there_and_back(frame: Frame, kind: Kind) -> Frame:
    carry = carrier(frame.address, CHANNELS[kind])
    return carry.unpack(carry.pack(frame, read_header(frame)))


@settings(deadline=None, max_examples=300)
@given(st.data(), KINDS)
def test_every_sample_of_our_codec_is_restored_exactly(data: st.DataObject, kind: Kind) -> None:
    frame = data.draw(frames(kind))
    assert there_and_back(frame, kind) == frame


@settings(deadline=None, max_examples=300)
@given(st.data(), KINDS, st.binary(max_size=60))
def test_bytes_that_are_no_payload_of_the_kind_are_restored_too(
    data: st.DataObject, kind: Kind, payload: bytes
) -> None:
    frame = data.draw(frames(kind))._replace(payload=payload)
    assert there_and_back(frame, kind) == frame


@pytest.mark.parametrize("kind", list(Kind))
def test_a_header_written_by_another_library_keeps_its_bytes(kind: Kind) -> None:
    # bus_ns as a float64-free but wider integer: 0xd3 (int64) where the shortest form is 0xcf
    topic = f"or1/device/{CHANNELS[kind].name}".encode() + b"\0"
    wide = bytes([0x99, 1]) + b"\xd3" + (7).to_bytes(8, "big") + bytes([3, 0xC0])
    wide += b"\xd3" + START_NS.to_bytes(8, "big") + bytes([0xC0, 0xC0, 0, 0])
    frame = Frame(topic, wide, b"")
    assert read_header(frame).epoch == 7
    assert there_and_back(frame, kind) == frame


def test_an_integer_reading_of_a_foreign_client_stays_an_integer() -> None:
    good = encode(
        Sample("or1/device/hr", 1, 2, Timestamp(None, START_NS, None, None, ClockState.LOCKED),
               Flags(0), NumericValue(1.0)),
        Kind.NUMERIC,
    )  # fmt: skip
    frame = good._replace(payload=msgpack.packb([72, "Vld"]))
    assert there_and_back(frame, Kind.NUMERIC) == frame


def test_a_numeric_reads_as_json_without_our_code() -> None:
    sample = Sample("or1/device/hr", 5, 9,
                    Timestamp(None, START_NS + 250, 40, 9, ClockState.LOCKED),
                    Flags.SIMULATED, NumericValue(72.5))  # fmt: skip
    frame = encode(sample, Kind.NUMERIC)
    message = json.loads(
        carrier("or1/device/hr", CHANNELS[Kind.NUMERIC]).pack(frame, read_header(frame))
    )
    assert message["value"] == 72.5
    assert message["timestamp"] == {"sec": START_NS // 10**9 - 37, "nsec": 250}
    assert message["scot_header"]["seq"] == 9
    assert "scot_payload" not in message  # one copy of the bytes


def test_a_pose_carries_its_bytes_once() -> None:
    pose = PoseValue((1.25, -2.5, 3.0), (0.0, 0.0, 0.0, 1.0), 0.5, True, 0.2)
    sample = Sample("or1/device/probe", 5, 9,
                    Timestamp(3, START_NS, 40, 9, ClockState.LOCKED), Flags(0), pose)  # fmt: skip
    frame = encode(sample, Kind.POSE)
    carry = carrier("or1/device/probe", CHANNELS[Kind.POSE])
    message = carry.schema.type.FromString(carry.pack(frame, read_header(frame)))
    assert not message.HasField("scot_payload")
    assert message.frame_id == "mni152"
    assert (message.pose.position.x, message.pose.position.y) == (1.25, -2.5)
    assert message.timestamp.seconds == START_NS // 10**9 - 37


def test_a_pose_the_tracker_cannot_see_says_so_in_its_own_field() -> None:
    frame = _pose_frame(PoseValue((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0), None, False))
    carry = carrier(frame.address, CHANNELS[Kind.POSE])
    message = carry.schema.type.FromString(carry.pack(frame, read_header(frame)))
    assert message.hidden
    assert not message.HasField("scot_payload")
    assert not message.HasField("quality")


def test_a_pose_of_a_foreign_client_in_whole_numbers_keeps_its_bytes() -> None:
    frame = _pose_frame(PoseValue((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    frame = frame._replace(payload=msgpack.packb([[1, 2, 3], [0, 0, 0, 1]]))
    assert there_and_back(frame, Kind.POSE) == frame


def _pose_frame(pose: PoseValue) -> Frame:
    time = Timestamp(3, START_NS, 40, 9, ClockState.LOCKED)
    return encode(Sample("or1/device/probe", 5, 9, time, Flags(0), pose), Kind.POSE)


def test_times_before_1970_are_said_as_zero() -> None:
    assert utc_ns(-5) == 0
    assert utc_ns(37_000_000_001) == 1


def test_schemas_are_what_they_say() -> None:
    for kind, channel in CHANNELS.items():
        schema = carrier("or1/device/x", channel).schema
        if schema.encoding == "jsonschema":
            parsed = msgspec.json.decode(schema.data)
            assert parsed["type"] == "object", kind
            assert "timestamp" in parsed["properties"]
