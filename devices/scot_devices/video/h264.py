"""What must be known of an H.264 byte stream to describe it (ITU-T H.264, Annex B and 7.3)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple


class NalType(IntEnum):
    """nal_unit_type of the units that matter here (ITU-T H.264, table 7-1)."""

    SLICE = 1
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    DELIMITER = 9


class Nal(NamedTuple):
    """One unit of an access unit, without its start code."""

    type: int
    payload: bytes


def nal_units(access_unit: bytes) -> Iterator[Nal]:
    """Yield the units of an Annex B access unit, in order.

    Args:
        access_unit: begins with a start code of three or four bytes; else nothing is yielded.
    """
    begin = _after_start_code(access_unit, 0)
    while begin is not None:
        following = access_unit.find(b"\x00\x00\x01", begin)
        end = len(access_unit) if following < 0 else following
        unit = access_unit[begin:end].rstrip(b"\x00")
        if unit:
            yield Nal(unit[0] & 0x1F, unit)
        begin = None if following < 0 else following + 3


def _after_start_code(data: bytes, at: int) -> int | None:
    """Return where the first unit begins, or None when `at` has no start code."""
    if data.startswith(b"\x00\x00\x01", at):
        return at + 3
    if data.startswith(b"\x00\x00\x00\x01", at):
        return at + 4
    return None


def codec_string(access_unit: bytes) -> str | None:
    """Return ``avc1.PPCCLL`` (RFC 6381) as WebCodecs wants it, or None without a parameter set.

    PP, CC and LL are profile_idc, the constraint flags and level_idc of the first SPS.
    """
    for unit in nal_units(access_unit):
        if unit.type == NalType.SPS and len(unit.payload) >= 4:
            return f"avc1.{unit.payload[1:4].hex().upper()}"
    return None


def is_decodable_alone(access_unit: bytes) -> bool:
    """Say whether a decoder can begin here: an IDR picture with its parameter sets before it."""
    seen: set[int] = set()
    for unit in nal_units(access_unit):
        if unit.type == NalType.IDR:
            return {NalType.SPS, NalType.PPS} <= seen
        seen.add(unit.type)
    return False
