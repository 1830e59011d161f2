"""An MP4 holds the camera's own bits, at the times they were taken."""

from __future__ import annotations

import csv
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from scot import channel as declare
from scot.channel import Catalogue, Device
from scot.codec import encode
from scot.errors import RecordingError
from scot.sample import Flags, Sample
from scot.timestamp import ClockState, Timestamp
from scot_replay.formats.commands import write
from scot_replay.formats.written import Asked
from scot_replay.layout import Manifest, iso_utc
from scot_replay.new_recording import NewRecording
from scot_replay.recording import DirectoryRecording, open_recording
from tests.golden.made_recording import START_NS

VIDEO = declare.Video("video", rate_hz=25.0, width_px=64, height_px=48)
LOST = {28, 29}
FRAMES = 40


def access_units(reorder: int) -> list[tuple[int, bool, bytes]]:
    """Frame shown as number n, whether it is a keyframe, and its bits, in coding order."""
    codec: Any = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 64, 48, "yuv420p", Fraction(1, 25)
    codec.options = {"preset": "ultrafast", "g": "10", "bf": str(reorder), "threads": "1",
                     "x264-params": "repeat-headers=1:b-adapt=0:open-gop=0"}  # fmt: skip
    made = []
    for n in range(FRAMES):
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 6 * n, np.uint8), "rgb24")
        picture = picture.reformat(format="yuv420p")
        picture.pts = n
        made += codec.encode(picture)
    made += codec.encode(None)
    return [(packet.pts, packet.is_keyframe, bytes(packet)) for packet in made]


def at_ns(n: int) -> int:
    return START_NS + n * 40_000_000 + (n % 5) * 1_234_567


def make(path: Path, reorder: int) -> tuple[DirectoryRecording, list[tuple[int, bytes]]]:
    """A recording of it without some frames, and (number shown, bits) of what is left."""
    known = Catalogue(workspace="or1").with_device(
        Device(name="scope", provider="test", epoch=START_NS, channels={"video": VIDEO})
    )
    kept = [(n, k, seq, data) for seq, (n, k, data) in enumerate(access_units(reorder))
            if seq not in LOST]  # fmt: skip
    manifest = Manifest(workspace="or1", started_ns=START_NS, started=iso_utc(START_NS))
    with NewRecording(path, manifest, known) as made:
        for n, key, seq, data in sorted(kept):
            time = Timestamp(None, at_ns(n), 1_000, 500, ClockState.LOCKED)
            flags = Flags.KEYFRAME if key else Flags(0)
            sample = Sample("or1/scope/video", START_NS, seq, time, flags, data)
            made.put([encode(sample, VIDEO.kind)])
        made.finish(at_ns(FRAMES))
    return open_recording(path), [(n, data) for n, _, _, data in kept]


def export(recording: DirectoryRecording, out: Path) -> Any:
    span = (recording.first_ns, recording.last_ns + 1)
    return write(recording, Asked(out=out, channels=[], span=span), [])


@pytest.mark.parametrize("reorder", [0, 2])
def test_the_bits_and_the_capture_times_are_kept(tmp_path: Path, reorder: int) -> None:
    recording, kept = make(tmp_path / "rec", reorder)
    said = export(recording, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as file:
        video: Any = file.streams.video[0]
        units = av.BitStreamFilterContext("h264_mp4toannexb", video)
        packets: list[Any] = [p for packet in file.demux(video) for p in units.filter(packet)]
    ours = {round((at_ns(n) - START_NS) / 1000): data for n, data in kept}
    theirs = {round(float(p.pts * p.time_base) * 1e6): bytes(p) for p in packets if p.size}
    assert sorted(theirs) == sorted(ours)
    assert all(_slices(theirs[at]) == _slices(ours[at]) for at in ours)
    assert said.channels["or1/scope/video"].gaps == 1
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert len(list(file.decode(video=0))) == len(kept)


def _slices(data: bytes) -> list[bytes]:
    """Return the coded pictures in an access unit: the muxer may write start codes anew."""
    units = data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [unit for unit in units if unit and unit[0] & 31 in {1, 5}]


def test_the_utc_of_each_frame_is_a_track_and_bus_time_a_table(tmp_path: Path) -> None:
    recording, kept = make(tmp_path / "rec", 0)
    export(recording, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as file:
        words = [bytes(p)[2:].decode() for p in file.demux(subtitles=0) if p.size > 2]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.mp4.times.csv").read_text())))
    assert [int(row["bus_ns"]) for row in rows] == [at_ns(n) for n, _ in kept]
    assert [row["utc"] for row in rows] == [word for word in words if word]
    assert rows[1]["utc"] == "2026-11-18T11:06:40.164691356Z"
    assert {row["state"] for row in rows} == {"locked"}


def test_what_has_no_video_or_no_keyframe_says_so(tmp_path: Path) -> None:
    recording, _ = make(tmp_path / "rec", 0)
    asked = Asked(out=tmp_path / "a.mp4", channels=[], span=(at_ns(1), at_ns(9)))
    with pytest.raises(RecordingError, match="no keyframe in this stretch"):
        write(recording, asked, [])
    assert [p.name for p in tmp_path.iterdir()] == ["rec"]
