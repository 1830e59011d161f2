"""The wire never changes by accident, and no bytes from it can hurt their reader."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgpack
import msgspec
import numpy as np
import pytest

from scot.channel import Channel, Kind
from scot.codec import (
    MAX_BULK,
    MAX_CONTROL,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TOPIC,
    Frame,
    bundle,
    check_bounds,
    decode,
    encode,
    measure,
    pack,
    read_header,
    unbundle,
    unpack,
)
from scot.errors import CodecError
from scot.sample import Flags, ImageValue, NumericValue, Sample
from scot.timestamp import ClockState, Timestamp
from tests.golden.wire.samples import FILE, SAMPLES

GOLDEN: dict[str, dict[str, str]] = json.loads(FILE.read_text())
TIME = Timestamp(None, 1_000, 5, 2, ClockState.LOCKED)
HEADER = msgspec.msgpack.encode([1, 7, 0, None, 1_000, 5, 2, 0, 0])
PACKED = (Kind.NUMERIC, Kind.POSE, Kind.IMAGE, Kind.EVENT, Kind.ALARM, Kind.ANNOTATION)


def golden(name: str) -> tuple[Kind, Sample, Frame]:
    row = GOLDEN[name]
    frame = Frame(*(bytes.fromhex(row[part]) for part in Frame._fields))
    return Kind(row["kind"]), SAMPLES[name][1], frame


def of(kind: Kind) -> Channel:
    return Channel(name="x", kind=kind)


def received(payload: bytes, header: bytes = HEADER, topic: bytes = b"or1/d/x\0") -> Frame:
    return Frame(topic, header, payload)


def same(one: Any, other: Any) -> bool:
    """Equal in type and value, where NaN equals itself."""
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.tobytes() == other.tobytes())
    return type(one) is type(other) and repr(one) == repr(other)


# -- golden vectors


def test_every_golden_frame_has_its_sample_and_every_kind_is_among_them() -> None:
    assert GOLDEN.keys() == SAMPLES.keys()
    assert {row["kind"] for row in GOLDEN.values()} == {kind.value for kind in Kind}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_sample_is_written_as_these_very_bytes(name: str) -> None:
    kind, sample, frame = golden(name)
    assert encode(sample, kind) == frame


@pytest.mark.parametrize("name", GOLDEN)
def test_it_travels_as_topic_size_of_header_header_payload(name: str) -> None:
    _, _, frame = golden(name)
    packed = pack(frame)
    assert packed == frame.topic + bytes([len(frame.header)]) + frame.header + frame.payload
    assert unpack(packed) == frame
    assert measure(packed[: MAX_TOPIC + 1], len(packed)) == (frame.topic, len(frame.payload))


def test_wherever_a_frame_is_cut_it_is_refused_or_has_a_shorter_payload() -> None:
    whole = pack(received(b"12345"))
    for size in range(len(whole)):
        topic, payload_size = measure(whole[:size], size)
        if payload_size < 0:
            with pytest.raises(CodecError):
                unpack(whole[:size])
        else:
            assert unpack(whole[:size]) == received(b"12345"[:payload_size], topic=topic)
            assert size >= len(whole) - 5


@pytest.mark.parametrize(
    "data", [b"", b"x", b"x" * 5_000, b"x" * MAX_TOPIC + b"\0\1h", b"or1/d/x\0"]
)
def test_what_begins_with_no_topic_is_no_frame(data: bytes) -> None:
    assert measure(data, len(data)) == (data[:MAX_TOPIC], -1)
    with pytest.raises(CodecError):
        unpack(data)


def test_a_header_too_long_to_say_so_is_not_packed() -> None:
    assert unpack(pack(received(b"", header=bytes(255)))).header == bytes(255)
    with pytest.raises(CodecError, match="256 B"):
        pack(received(b"", header=bytes(256)))


@pytest.mark.parametrize("name", GOLDEN)
def test_these_bytes_are_read_as_that_sample(name: str) -> None:
    kind, sample, frame = golden(name)
    read = decode(frame, of(kind))
    assert same(read.value, sample.value)
    assert (read.address, read.epoch, read.seq, read.time, read.flags) == (
        sample.address,
        sample.epoch,
        sample.seq,
        sample.time,
        sample.flags,
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_the_reference_decoder_reads_the_same_header(name: str) -> None:
    _, sample, frame = golden(name)
    time = sample.time
    assert msgpack.unpackb(frame.header) == [
        1,
        sample.epoch,
        sample.seq,
        time.source_ns,
        time.bus_ns,
        time.bound_ns,
        time.err_ns,
        time.state.value,
        sample.flags.value,
    ]


@pytest.mark.parametrize("name", [name for name in GOLDEN if GOLDEN[name]["kind"] in PACKED])
def test_the_reference_decoder_reads_the_same_payload(name: str) -> None:
    _, sample, frame = golden(name)
    plain = msgspec.to_builtins(sample.value, builtin_types=(bytes,))
    expected = json.loads(json.dumps(plain, default=bytes.hex))
    read = json.loads(json.dumps(msgpack.unpackb(frame.payload), default=bytes.hex))
    if isinstance(read, dict) and isinstance(expected, dict):
        assert read.keys() == expected.keys()
    assert read == expected


def test_the_header_stays_within_60_bytes_at_every_limit() -> None:
    sizes = {name: len(bytes.fromhex(row["header"])) for name, row in GOLDEN.items()}
    assert max(sizes.values()) == sizes["every number at its limit"] == 60


def test_waveforms_and_video_travel_as_they_are() -> None:
    assert golden("waveform")[2].payload == np.array([80, -0.5, 119.25, np.nan], "<f4").tobytes()
    assert golden("video")[2].payload == golden("video")[1].value


def test_a_receivers_own_notes_do_not_travel() -> None:
    flags = Flags.KEYFRAME | Flags.LATE | Flags.BACKFILLED | Flags.AFTER_GAP
    frame = encode(Sample("or1/d/x", 1, 2, TIME, flags, b""), Kind.VIDEO)
    assert read_header(frame).flags == Flags.KEYFRAME


# -- what is refused


@pytest.mark.parametrize("name", GOLDEN)
def test_a_header_cut_anywhere_is_refused(name: str) -> None:
    frame = golden(name)[2]
    for cut in range(len(frame.header)):
        with pytest.raises(CodecError, match="bad header"):
            read_header(frame._replace(header=frame.header[:cut]))


@pytest.mark.parametrize("name", [name for name in GOLDEN if GOLDEN[name]["kind"] in PACKED])
def test_a_payload_cut_anywhere_is_refused(name: str) -> None:
    kind, _, frame = golden(name)
    for cut in range(len(frame.payload)):
        with pytest.raises(CodecError):
            decode(frame._replace(payload=frame.payload[:cut]), of(kind))


@pytest.mark.parametrize("name", [name for name in GOLDEN if GOLDEN[name]["kind"] in PACKED])
def test_a_payload_with_something_behind_it_is_refused(name: str) -> None:
    kind, _, frame = golden(name)
    with pytest.raises(CodecError):
        decode(frame._replace(payload=frame.payload + b"\xc0"), of(kind))


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ([2, 7, 0, None, 1_000, 5, 2, 0, 0], r"frame version 2, this is 1; run the same scot-bus"),
        ([0, 7, 0, None, 1_000, 5, 2, 0, 0], "bad header"),
        ([1, -1, 0, None, 1_000, 5, 2, 0, 0], "bad header"),
        ([1, 7, 2**63, None, 1_000, 5, 2, 0, 0], "bad header"),
        ([1, 7, 0, 1.5, 1_000, 5, 2, 0, 0], "bad header"),
        ([1, 7, 0, None, None, 5, 2, 0, 0], "bad header"),
        ([1, 7, 0, None, 2**63, 5, 2, 0, 0], "bad header"),
        ([1, 7, 0, None, 1_000, -5, 2, 0, 0], "bad header"),
        ([1, 7, 0, None, 1_000, 5, 2, 5, 0], "bad header"),
        ([1, 7, 0, None, 1_000, 5, 2, 0, 0x10000], "bad header"),
        ([1, 7, 0, None, 1_000, 5, 2, 0], "bad header"),
        ({"version": 1}, "bad header"),
        ([1] * 70, r"header of 73 B exceeds 64 B"),
    ],
)
def test_a_wrong_header_is_refused_in_words(header: Any, says: str) -> None:
    with pytest.raises(CodecError, match=says):
        read_header(received(b"", msgspec.msgpack.encode(header)))


@pytest.mark.parametrize("topic", [b"", b"\0", b"or1/d/x", b"a" * 200 + b"\0"])
def test_a_wrong_topic_is_refused(topic: bytes) -> None:
    with pytest.raises(CodecError, match=r"topic of \d+ B must end in .* within 200 B"):
        read_header(received(b"", topic=topic))


HOSTILE = {
    "lists 100,000 deep": b"\x91" * 100_000 + b"\xc0",
    "maps 100,000 deep": b"\x81\xa1a" * 100_000 + b"\xc0",
    "a list that says 2^32-1": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 64,
    "a map that says 2^32-1": b"\xdf\xff\xff\xff\xff" + b"\xa1a\xc0" * 64,
    "a string that says 2^32-1": b"\xdb\xff\xff\xff\xff" + b"a" * 64,
    "bytes that say 2^32-1": b"\xc6\xff\xff\xff\xff" + b"a" * 64,
    "an ext type": b"\x81\xa1a\xc7\x01\x05\x00",
    "an ext type that says 2^32-1": b"\x81\xa1a\xc9\xff\xff\xff\xff\x05",
    "a timestamp ext": b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",
    "a key that is not a number": b"\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xc0",
    "a key that is a number": b"\x81\x01\xc0",
    "a key that is a list": b"\x81\x91\x01\xc0",
    "a key that is a map": b"\x81\x80\xc0",
    "a key that is not UTF-8": b"\x81\xa1\xff\xc0",
    "an inner key that is no string": b"\x81\xa1a\x81\xc2\xc0",
    "the byte that is never used": b"\xc1",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_payloads_are_refused(kind: Kind, what: str) -> None:
    with pytest.raises(CodecError, match=f"^or1/d/x: bad {kind} payload: "):
        decode(received(HOSTILE[what]), of(kind))


SWOLLEN = {
    Kind.EVENT: b"\x81\xa1a\xdd\x00\x0f\xf0\x00" + b"\x90" * 0xFF000,
    Kind.IMAGE: b"\x81\xa5attrs\x81\xa1a\xdd\x00\x3f\x00\x00" + b"\x90" * 0x3F0000,
    Kind.ANNOTATION: b"\x81\xa6points\xdd\x00\x05\x00\x00" + b"\x92\x00\x00" * 0x50000,
    Kind.ALARM: b"\x81\xa4text\xdf\x00\x02\x00\x00"
    + b"".join(b"\xa5%05x\xa0" % n for n in range(0x20000)),
    Kind.NUMERIC: b"\xdd\x00\x0f\x00\x00" + b"\x90" * 0xF0000,
    Kind.POSE: b"\x95\xdd\x00\x0f\x00\x00" + b"\x90" * 0xF0000,
}


@pytest.mark.parametrize("kind", PACKED)
def test_no_payload_grows_beyond_four_megabytes_when_it_is_read(kind: Kind) -> None:
    frame = received(SWOLLEN[kind])
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decode(frame, of(kind))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("kind", Kind)
def test_a_payload_beyond_its_class_is_refused_before_it_is_read(kind: Kind) -> None:
    limit = MAX_BULK if kind in (Kind.VIDEO, Kind.IMAGE) else MAX_CONTROL
    with pytest.raises(CodecError, match=f"payload of {limit + 1} B exceeds {limit} B"):
        decode(received(bytes(limit + 1)), of(kind))


def test_a_value_beyond_its_class_is_refused_before_it_is_sent() -> None:
    with pytest.raises(CodecError, match=r"or1/d/x: a value of 4194305 B exceeds 4194304 B"):
        encode(Sample("or1/d/x", 1, 0, TIME, Flags(0), bytes(MAX_BULK + 1)), Kind.VIDEO)
    with pytest.raises(CodecError, match=r"a value of 1048580 B exceeds 1048576 B"):
        encode(
            Sample("or1/d/x", 1, 0, TIME, Flags(0), np.zeros(0x40001, np.float32)), Kind.WAVEFORM
        )


def test_waveform_bytes_that_are_no_whole_values_are_refused() -> None:
    with pytest.raises(CodecError, match="bad waveform payload"):
        decode(received(b"\0" * 7), of(Kind.WAVEFORM))


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(CodecError, match="bad text payload"):
        decode(received(b"\xff\xfe"), of(Kind.TEXT))


def picture(attrs: dict[str, Any]) -> ImageValue:
    return ImageValue(media_type="image/png", data=b"", width_px=1, height_px=1, attrs=attrs)


WRONG_VALUES: list[tuple[Kind, Any]] = [
    (Kind.NUMERIC, 72.0),
    (Kind.WAVEFORM, [[1.0, 2.0]]),
    (Kind.WAVEFORM, ["one"]),
    (Kind.POSE, NumericValue(1.0)),
    (Kind.VIDEO, "bytes"),
    (Kind.TEXT, b"text"),
    (Kind.TEXT, "\ud800"),
    (Kind.EVENT, ["no map"]),
    (Kind.EVENT, {"a": object()}),
    (Kind.EVENT, {"a": {1, 2}}),
    (Kind.EVENT, {"a": 2**64}),
    (Kind.EVENT, {1: "a"}),
    (Kind.IMAGE, b"picture"),
    (Kind.IMAGE, picture({"a": object()})),
    (Kind.IMAGE, picture({"a": {1: "b"}})),
    (Kind.ALARM, {"id": "a"}),
    (Kind.ANNOTATION, None),
]


@pytest.mark.parametrize(("kind", "value"), WRONG_VALUES)
def test_a_value_of_another_kind_is_never_sent(kind: Kind, value: Any) -> None:
    with pytest.raises(CodecError, match=f"^or1/d/x: not a {kind} value: "):
        encode(Sample("or1/d/x", 1, 0, TIME, Flags(0), value), kind)


# -- bounds of nesting and number


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_nesting_is_allowed_to_the_limit_and_not_beyond() -> None:
    deepest = Sample("or1/d/x", 1, 0, TIME, Flags(0), nested(MAX_DEPTH))
    assert decode(encode(deepest, Kind.EVENT), of(Kind.EVENT)).value == nested(MAX_DEPTH)
    with pytest.raises(CodecError, match=f"nested deeper than {MAX_DEPTH}"):
        decode(received(msgspec.msgpack.encode(nested(MAX_DEPTH + 1))), of(Kind.EVENT))
    with pytest.raises(CodecError, match=f"nested deeper than {MAX_DEPTH}"):
        encode(Sample("or1/d/x", 1, 0, TIME, Flags(0), nested(MAX_DEPTH + 1)), Kind.EVENT)


def test_as_many_items_as_allowed_and_not_one_more() -> None:
    check_bounds(msgspec.msgpack.encode([0] * (MAX_ITEMS - 1)))
    with pytest.raises(CodecError, match=f"more than {MAX_ITEMS} items"):
        check_bounds(msgspec.msgpack.encode([0] * MAX_ITEMS))
    with pytest.raises(CodecError, match=f"more than {MAX_ITEMS} items"):
        encode(Sample("or1/d/x", 1, 0, TIME, Flags(0), {"a": [0] * MAX_ITEMS}), Kind.EVENT)


WHOLE = [0, 127, 128, 256, 65_536, 2**32, 2**63, -1, -33, -129, -32_769, -(2**31) - 1]
TEXTS = ["", "a" * 31, "a" * 32, "a" * 256, "a" * 65_536, b"", b"a" * 256, b"a" * 65_536]
LISTS: list[Any] = [[], [0] * 15, [0] * 16]
MAPS: list[Any] = [{str(n): n for n in range(count)} for count in (0, 15, 16)]
EVERY_TYPE = [None, True, False, 1.5, *WHOLE, *TEXTS, *LISTS, *MAPS]


@pytest.mark.parametrize("value", EVERY_TYPE, ids=lambda value: repr(value)[:20])
def test_every_type_of_messagepack_is_measured_to_its_last_byte(value: Any) -> None:
    data = msgpack.packb(value)
    check_bounds(data)
    check_bounds(msgpack.packb([value, 1]))
    check_bounds(msgpack.packb(3.5, use_single_float=True))
    with pytest.raises(CodecError, match=f"{len(data) + 1} B where the value takes {len(data)}"):
        check_bounds(data + b"\0")
    for cut in range(max(0, len(data) - 20), len(data)):
        with pytest.raises(CodecError):
            check_bounds(data[:cut])


def test_depth_is_counted_in_lists_and_maps() -> None:
    check_bounds(b"\x91" * MAX_DEPTH + b"\xc0")
    check_bounds(b"\x81\xa0" * MAX_DEPTH + b"\xc0")
    with pytest.raises(CodecError, match=f"nested deeper than {MAX_DEPTH}"):
        check_bounds(b"\x91" * (MAX_DEPTH + 1) + b"\xc0")


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.VIDEO])
def test_reading_does_not_need_the_header_twice(kind: Kind) -> None:
    name = next(name for name in GOLDEN if GOLDEN[name]["kind"] == kind)
    _, _, frame = golden(name)
    header = read_header(frame)
    broken = frame._replace(header=b"")
    assert same(decode(broken, of(kind), header).value, decode(frame, of(kind)).value)


# -- bundles


def test_frames_come_out_of_their_bundles_as_they_went_in(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [golden(name)[2] for name in GOLDEN]
    assert bundle([]) == []
    assert unbundle(bundle(frames)) == frames
    monkeypatch.setattr("scot.codec.MAX_BUNDLE", 300)
    parts = bundle(frames * 3)
    assert unbundle(parts) == frames * 3
    assert len(parts) > 3
    assert all(len(part) <= 300 or len(unbundle([part])) == 1 for part in parts)


@pytest.mark.parametrize(
    "part",
    [b"\0", bytes(4), b"\0\0\0\x09or1/d/x\0", b"\xff\xff\xff\xff" + bytes(50), bytes(3_000_000)],
)
def test_a_bundle_of_nonsense_is_refused(part: bytes) -> None:
    with pytest.raises(CodecError):
        unbundle([part])
