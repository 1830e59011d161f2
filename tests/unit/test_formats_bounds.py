"""A header that declares more than its file can hold is refused before anything is made of it."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from scot.errors import RecordingError
from scot_replay.formats import bounds
from scot_replay.formats.commands import read

MUCH = 1 << 40


def edf(records: int, signals: int, each: int) -> bytes:
    """Return the header of an EDF file, and nothing behind it."""
    head = f"{'0':8}{'X X X X':80}{'Startdate X X X X':80}01.01.2601.00.00"
    head += f"{256 * (signals + 1):<8}{'EDF+C':44}{records:<8}{1:<8}{signals:<4}"
    sizes = (16, 80, 8, 8, 8, 8, 8, 80)
    fields = ["ECG", "", "mV", "-1", "1", "-9", "9", ""]
    body = "".join(f"{field:{size}}" for field, size in zip(fields, sizes, strict=True))
    return (head + body + f"{each:<8}" + " " * 32).encode()


def xdf(samples: int, channels: int = 1) -> bytes:
    """Return an XDF file whose one chunk of samples says that it has so many."""

    def chunk(tag: int, content: bytes) -> bytes:
        return b"\x04" + struct.pack("<IH", 2 + len(content), tag) + content

    info = (
        f"<info><name>a</name><channel_count>{channels}</channel_count><nominal_srate>0"
        "</nominal_srate><channel_format>float32</channel_format></info>"
    )
    body = struct.pack("<I", 1) + b"\x08" + struct.pack("<Q", samples) + bytes(40)
    stream = struct.pack("<I", 1) + info.encode()
    return b"XDF:" + chunk(1, b"<info/>") + chunk(2, stream) + chunk(3, body)


def mcap(unpacked: int, data: bytes = b"") -> bytes:
    """Return an MCAP file whose one chunk says that it unpacks to so much."""
    fixed = struct.pack("<QQQI", 0, 0, unpacked, 0)
    body = fixed + struct.pack("<I", 4) + b"zstd" + struct.pack("<Q", len(data)) + data
    return b"\x89MCAP0\r\n" + b"\x06" + struct.pack("<Q", len(body)) + body


def lying(size: int) -> bytes:
    """Return the head of a zstd frame that says of itself what it becomes."""
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", size) + b"\x01\0\0"


FILES = {
    "an EDF of 99,999,999 values a record": ("a.edf", edf(1, 1, 99_999_999), "99,999,999 values"),
    "an EDF of 9,999 signals": ("a.edf", edf(1, 9_999, 1), "9,999 signals"),
    "a WFDB of 2^40 values": (
        "a.hea", f"a 1 100 {MUCH}\na.dat 16 100/mV 12\n".encode(), f"{MUCH:,} values",
    ),
    "a WFDB of 2^40 values a frame": (
        "a.hea", f"a 1 100 10\na.dat 16x{MUCH} 100/mV 12\n".encode(), f"{10 * MUCH:,} values",
    ),
    "a WFDB of 2^40 signals": ("a.hea", f"a {MUCH} 100 1\n".encode(), f"{MUCH:,} signals"),
    "a WFDB that names a file elsewhere": (
        "a.hea", b"a 1 100 1\n../../b.dat 16 100/mV 12\n", "lies elsewhere",
    ),
    "an XDF of 2^40 samples": ("a.xdf", xdf(MUCH), f"{MUCH:,} samples"),
    "an XDF of 2^40 channels": ("a.xdf", xdf(1, MUCH), f"{MUCH:,} channels"),
    "an MCAP of a chunk of 2^40 B": ("a.mcap", mcap(MUCH), f"{MUCH:,} bytes of a chunk"),
    "an MCAP whose packed bytes say so": ("a.mcap", mcap(9, lying(MUCH)), f"{MUCH:,} bytes"),
    "an MCAP of a record of 2^40 B": (
        "a.mcap", b"\x89MCAP0\r\n\x05" + struct.pack("<Q", MUCH), f"{MUCH:,} bytes of a record",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_what_declares_too_much_is_refused_with_the_figure_and_the_limit(
    tmp_path: Path, what: str
) -> None:
    name, data, said = FILES[what]
    (tmp_path / name).write_bytes(data)
    (tmp_path / "a.dat").write_bytes(bytes(100))
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError) as caught:
            read(tmp_path / name, "or1")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert said in str(caught.value)
    assert "lies elsewhere" in said or " at most: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_frame_that_lies_is_what_the_library_would_have_believed() -> None:
    assert zstandard.frame_content_size(lying(MUCH)) == MUCH


def test_a_vital_file_that_unpacks_without_end_is_left_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_UNPACKED", 8 << 20)
    (tmp_path / "a.vital").write_bytes(gzip.compress(b"VITA" + bytes(16 << 20)))
    with pytest.raises(RecordingError, match=r"unpacks to more than 8,388,608 B"):
        read(tmp_path / "a.vital", "or1")
