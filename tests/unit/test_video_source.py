"""What can be named as a source, and what is said when it cannot be opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from scot.config import DeviceTable, provider_options
from scot.errors import ConfigError, DeviceError
from scot_devices.video.source import Capture, SourceKind, parse


@pytest.mark.parametrize(
    ("text", "kind", "where"),
    [
        ("clip.mp4", SourceKind.FILE, "clip.mp4"),
        ("/data/a b.mkv", SourceKind.FILE, "/data/a b.mkv"),
        ("0", SourceKind.DEVICE, "0"),
        ("/dev/video12", SourceKind.DEVICE, "12"),
        ("rtsp://192.0.2.9/s", SourceKind.STREAM, "rtsp://192.0.2.9/s"),
        ("udp://@239.1.1.1:5000", SourceKind.STREAM, "udp://@239.1.1.1:5000"),
    ],
)
def test_sources_are_told_apart(text: str, kind: SourceKind, where: str) -> None:
    source = parse(text)
    assert (source.kind, source.where) == (kind, where)


def test_a_password_is_never_shown() -> None:
    source = parse("rtsp://nurse:secret@192.0.2.9:554/main?token=secret")
    assert source.where == "rtsp://nurse:secret@192.0.2.9:554/main?token=secret"
    assert source.shown == "rtsp://192.0.2.9:554/main"


@pytest.mark.parametrize("text", ["file:///etc/passwd", "concat://a|b", "rtsp:///x", "ftp://h/a"])
def test_other_urls_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: a file, /dev/video0, rtsp://"):
        parse(text)


def test_a_bad_source_in_a_room_file_names_file_key_and_fix() -> None:
    table = DeviceTable(name="scope", provider="video", options={"source": "ftp://h/clip"})
    with pytest.raises(ConfigError) as caught:
        provider_options(table, "or1.toml", "device[0]")
    text = str(caught.value)
    assert text.startswith("or1.toml: device[0].options.source")
    assert "rtsp://" in text
    assert "\n" not in text


def line(path: Path | str) -> str:
    with pytest.raises(DeviceError) as caught:
        Capture(parse(str(path)), None, (1920, 1080))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_cannot_be_opened_is_named_in_one_line_with_the_fix(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    empty, words = tmp_path / "empty.mp4", tmp_path / "words.mp4"
    empty.touch()
    words.write_text("no video in here\n" * 100)
    assert line(tmp_path / "gone.mp4").endswith(
        "gone.mp4 does not exist; name a video file in `source`"
    )
    assert "is empty" in line(empty)
    assert "is not a file" in line(tmp_path)
    assert "is not a video that FFmpeg can read" in line(words)
    assert line("/dev/video999") == "/dev/video999 does not exist; is the camera plugged in?"
    assert capfd.readouterr() == ("", ""), "OpenCV and FFmpeg keep quiet"


def test_a_stream_that_nobody_serves_is_said_within_the_limit(free_port: int) -> None:
    text = line(f"http://127.0.0.1:{free_port}/scope.mjpg")
    assert text.startswith(f"no video from http://127.0.0.1:{free_port}/scope.mjpg within 5 s")
