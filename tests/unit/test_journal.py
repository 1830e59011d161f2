"""The journal gives back what was written, up to the byte where a crash cut it."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot.codec import MAX_BULK, Frame
from scot.errors import CodecError, RecordingError
from scot_replay.journal import (
    MAGIC,
    JournalReader,
    RecordKind,
    decode_catalogue,
    decode_frame,
    encode_catalogue,
    encode_frame,
    encode_record,
    read_frame,
)
from scot_replay.layout import NewerVersionError
from tests.golden.recording_frames import START_NS, case, catalogue

FRAMES = case(2.0)
JOURNAL = MAGIC + b"".join(encode_frame(frame) for frame in FRAMES)
ENDS = [*accumulate((len(encode_frame(frame)) for frame in FRAMES), initial=len(MAGIC))]

some_frames = st.lists(
    st.builds(
        Frame,
        st.binary(min_size=3, max_size=40),
        st.binary(max_size=64),
        st.binary(max_size=300),
    ),
    max_size=8,
)


def frames_of(data: bytes) -> list[Frame]:
    return [decode_frame(record.body) for record in JournalReader(data).records()]


@settings(deadline=None)
@given(some_frames)
def test_frames_come_back_as_they_were(frames: Sequence[Frame]) -> None:
    data = MAGIC + b"".join(encode_frame(frame) for frame in frames)
    reader = JournalReader(data)
    assert [decode_frame(record.body) for record in reader.records()] == list(frames)
    assert reader.tail.left == 0


@settings(deadline=None)
@given(st.integers(0, len(JOURNAL)))
def test_a_journal_cut_anywhere_gives_every_whole_record_and_counts_the_rest(cut: int) -> None:
    reader = JournalReader(JOURNAL[:cut])
    found = [decode_frame(record.body) for record in reader.records()]
    assert found == FRAMES[: len(found)]
    whole = len(MAGIC) + sum(len(encode_frame(f)) for f in found) if cut >= len(MAGIC) else 0
    assert reader.tail.at == whole
    assert reader.tail.left == cut - whole
    following = encode_frame(FRAMES[len(found)]) if len(found) < len(FRAMES) else b""
    assert reader.tail.left < max(len(following), len(MAGIC), 1)


@settings(deadline=None)
@given(st.integers(len(MAGIC), len(JOURNAL) - 1), st.integers(0, 7))
def test_a_flipped_bit_costs_the_record_it_is_in_and_no_other(at: int, bit: int) -> None:
    broken = bytearray(JOURNAL)
    broken[at] ^= 1 << bit
    reader = JournalReader(bytes(broken))
    found = [decode_frame(record.body) for record in reader.records()]
    hit = bisect_right(ENDS, at) - 1
    last = hit == len(FRAMES) - 1
    assert found == FRAMES[:hit] + FRAMES[hit + 1 :]
    assert reader.damaged == ([] if last else [(ENDS[hit], ENDS[hit + 1])])
    assert reader.tail.left == (ENDS[-1] - ENDS[-2] if last else 0)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_its_first_bytes_does_not_cost_the_journal(bit: int) -> None:
    broken = bytearray(JOURNAL)
    broken[2] ^= 1 << bit
    assert frames_of(bytes(broken)) == FRAMES


def test_zeros_and_noise_after_the_last_record_are_passed_over_quickly() -> None:
    noise = random.Random(7).randbytes(1 << 20) + bytes(1 << 20)
    assert frames_of(JOURNAL + noise) == FRAMES
    assert frames_of(JOURNAL + noise + encode_frame(FRAMES[0])) == [*FRAMES, FRAMES[0]]


def test_an_end_record_says_that_nothing_was_cut() -> None:
    reader = JournalReader(JOURNAL + encode_record(RecordKind.END, b""))
    assert len(list(reader.records())) == len(FRAMES) + 1
    assert reader.tail.closed
    half = JournalReader(JOURNAL)
    list(half.records())
    assert not half.tail.closed


def test_a_record_kind_of_a_later_release_is_passed_over_not_fatal() -> None:
    later = encode_record(RecordKind.FRAME, b"news")
    assert later[8] == RecordKind.FRAME
    data = MAGIC + encode_frame(FRAMES[0]) + encode_record(99, b"news") + encode_frame(FRAMES[1])  # type: ignore[arg-type]
    kinds = [record.kind for record in JournalReader(data).records()]
    assert kinds == [RecordKind.FRAME, 99, RecordKind.FRAME]


def test_a_catalogue_comes_back() -> None:
    record = next(JournalReader(MAGIC + encode_catalogue(START_NS, catalogue())).records())
    assert record.kind == RecordKind.CATALOGUE
    assert decode_catalogue(record.body) == (START_NS, catalogue())


@pytest.mark.parametrize("body", [b"", b"\x05", b"\x05\x40or1/x"])
def test_a_frame_record_that_states_more_than_it_has_is_refused(body: bytes) -> None:
    with pytest.raises(CodecError, match="frame record"):
        decode_frame(body)


def test_what_is_no_catalogue_is_refused() -> None:
    with pytest.raises(CodecError, match="catalogue"):
        decode_catalogue(b"\0" * 8 + msgspec.msgpack.encode(7))


def test_something_else_is_refused_in_one_clear_line() -> None:
    with pytest.raises(RecordingError, match="not a SCOT journal"):
        JournalReader(b"\x89MCAP0\r\n and more", "x.scotj")


def test_a_newer_journal_is_refused_with_the_fix() -> None:
    with pytest.raises(NewerVersionError, match=r"version 2.*install a newer"):
        JournalReader(b"SCOTJ\x02\0\0", "journal-1.scotj")


def test_the_bounds_of_the_wire_hold_for_the_journal() -> None:
    with pytest.raises(CodecError, match="exceed"):
        encode_frame(Frame(b"t" * 201, b"", b""))
    with pytest.raises(CodecError, match="exceeds"):
        encode_record(RecordKind.FRAME, bytes(MAX_BULK + 1000))
    largest = Frame(b"or1/scope/video\0", b"h" * 64, bytes(MAX_BULK))
    assert frames_of(MAGIC + encode_frame(largest)) == [largest]


def test_one_record_read_by_itself_is_what_the_whole_journal_gives() -> None:
    record = encode_frame(frame := Frame(b"or1/a/b\0", b"head", b"payload"))
    assert read_frame(record) == frame
    for wrong in (b"", record[:8], record[:-1], record + b"\0", record[:-1] + b"?"):
        assert read_frame(wrong) is None
    lying = encode_record(RecordKind.FRAME, b"\xff\xffshort")
    with pytest.raises(CodecError, match="states"):
        read_frame(lying)
