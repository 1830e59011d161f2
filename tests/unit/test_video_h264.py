"""What is read out of an H.264 byte stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scot_devices.video.h264 import Nal, NalType, codec_string, is_decodable_alone, nal_units

START = b"\x00\x00\x00\x01"
SPS = b"\x67\x42\xc0\x1f\xda\x01"
PPS = b"\x68\xce\x3c\x80\x01"
IDR = b"\x65\x88\x84\x01"
SLICE = b"\x41\x9a\x02\x01"


def test_units_are_found_behind_start_codes_of_three_and_four_bytes() -> None:
    stream = START + SPS + b"\x00\x00\x01" + PPS + START + IDR
    assert list(nal_units(stream)) == [
        Nal(NalType.SPS, SPS),
        Nal(NalType.PPS, PPS),
        Nal(NalType.IDR, IDR),
    ]


def test_bytes_without_a_start_code_hold_no_unit() -> None:
    assert list(nal_units(SPS + START + PPS)) == []
    assert list(nal_units(b"")) == []


def test_codec_string_is_profile_constraints_and_level() -> None:
    assert codec_string(START + SPS + START + PPS + START + IDR) == "avc1.42C01F"
    assert codec_string(START + SLICE) is None


def test_decoding_can_start_only_at_an_idr_behind_both_parameter_sets() -> None:
    assert is_decodable_alone(START + SPS + START + PPS + START + IDR)
    assert not is_decodable_alone(START + SPS + START + IDR)
    assert not is_decodable_alone(START + IDR + START + SPS + START + PPS)
    assert not is_decodable_alone(START + SLICE)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    for unit in nal_units(data):
        assert unit.payload
    codec_string(data)
    is_decodable_alone(data)
