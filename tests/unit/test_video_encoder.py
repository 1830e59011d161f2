"""The encoder: every picture comes out at once, decodable, in its own colours."""

from __future__ import annotations

import math
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.frame import PictureType
from numpy.typing import NDArray

from scot_devices.video.encoder import AccessUnit, Encoder, fit
from scot_devices.video.h264 import NalType, is_decodable_alone, nal_units

WIDTH, HEIGHT, FPS = 320, 192, 25
FRAME_NS = 1_000_000_000 // FPS

Picture = NDArray[Any]


def picture(index: int) -> Picture:
    """A soft coloured picture that moves a little with each index."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    wave = 127.5 + 90.0 * np.sin((x + 3.0 * index) / 23.0) * np.cos((y - index) / 17.0)
    return np.dstack([0.5 * wave, 0.7 * wave, 255.0 - wave]).astype(np.uint8)


def encode(count: int, **more: Any) -> list[AccessUnit]:
    encoder = Encoder(WIDTH, HEIGHT, FPS, 1500)
    return [encoder.encode(picture(i), 5_000 + i * FRAME_NS, **more) for i in range(count)]


def decode(units: list[AccessUnit]) -> list[Any]:
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames: list[Any] = []
    for unit in units:
        frames += decoder.decode(av.Packet(unit.data))
    return frames + list(decoder.decode(None))


def psnr_db(a: Picture, b: Picture) -> float:
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return 10.0 * math.log10(255.0**2 / error)


def test_what_is_decoded_looks_like_what_was_encoded() -> None:
    frames = decode(encode(30))
    assert len(frames) == 30
    for index in (0, 7, 29):
        assert psnr_db(picture(index), frames[index].to_ndarray(format="bgr24")) > 33.0


def test_each_picture_comes_out_as_one_access_unit_at_once() -> None:
    for index, unit in enumerate(encode(10)):
        assert unit.data.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01"))
        slices = [nal for nal in nal_units(unit.data) if nal.type in (NalType.SLICE, NalType.IDR)]
        assert len(slices) == 1
        assert unit.captured_ns == 5_000 + index * FRAME_NS


def test_decoding_can_start_at_every_keyframe_and_there_is_one_a_second() -> None:
    units = encode(60)
    keys = [index for index, unit in enumerate(units) if unit.keyframe]
    assert keys == [0, 25, 50]
    assert [is_decodable_alone(unit.data) for unit in units] == [u.keyframe for u in units]
    assert len(decode(units[25:])) == 35


def test_a_slow_source_still_gets_a_keyframe_every_second() -> None:
    encoder = Encoder(WIDTH, HEIGHT, FPS, 1500)
    slow = [encoder.encode(picture(i), i * 300_000_000).keyframe for i in range(9)]
    assert slow == [True, False, False, False, True, False, False, False, True]


def test_a_keyframe_comes_when_asked_for() -> None:
    encoder = Encoder(WIDTH, HEIGHT, FPS, 1500)
    asked = [encoder.encode(picture(i), i * FRAME_NS, keyframe=i == 5) for i in range(8)]
    assert [unit.keyframe for unit in asked] == [i in (0, 5) for i in range(8)]
    assert is_decodable_alone(asked[5].data)


def test_no_picture_refers_to_a_later_one() -> None:
    kinds = {frame.pict_type for frame in decode(encode(30))}
    assert kinds == {PictureType.I, PictureType.P}


def test_the_stream_says_what_its_colours_mean() -> None:
    frame = decode(encode(1))[0]
    # H.273: matrix 6 is SMPTE 170M (BT.601), range 1 is limited.
    assert (frame.colorspace, frame.color_range) == (6, 1)


def test_red_stays_red() -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[:] = (20, 30, 190)
    unit = Encoder(WIDTH, HEIGHT, FPS, 1500).encode(red, 0)
    shown = decode([unit])[0].to_ndarray(format="bgr24")
    assert np.abs(shown.reshape(-1, 3).mean(axis=0) - (20, 30, 190)).max() < 4.0


def test_codec_string_is_constrained_baseline() -> None:
    encoder = Encoder(WIDTH, HEIGHT, FPS, 1500)
    assert encoder.codec == ""
    encoder.encode(picture(0), 0)
    assert encoder.codec.startswith("avc1.42C0")


def test_the_rate_is_kept_and_can_be_changed_without_a_keyframe() -> None:
    rng = np.random.default_rng(3)
    encoder = Encoder(WIDTH, HEIGHT, FPS, 2000)
    sizes: list[int] = []
    keys: list[int] = []
    for index in range(100):
        if index == 50:
            encoder.bitrate_kbps = 500
        noisy = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        shown: Any = cv2.resize(noisy, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        unit = encoder.encode(shown, index * FRAME_NS)
        sizes.append(len(unit.data))
        if unit.keyframe:
            keys.append(index)
    first, second = (sum(part) * 8 * FPS / len(part) for part in (sizes[10:50], sizes[60:]))
    assert 1_000_000 < first < 2_400_000
    assert second < 0.45 * first
    assert keys == [0, 25, 50, 75]
    assert encoder.bitrate_kbps == 500


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="encoder of 320x192"):
        Encoder(WIDTH, HEIGHT, FPS, 1500).encode(np.zeros((100, 100, 3), np.uint8), 0)


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        ((1280, 720), (1920, 1080), (1280, 720)),
        ((641, 481), (1920, 1080), (640, 480)),
        ((3840, 2160), (1920, 1080), (1920, 1080)),
        ((1000, 1000), (1920, 333), (332, 332)),
        ((7680, 100), (1920, 1080), (1920, 24)),
    ],
)
def test_pictures_are_made_to_fit(
    size: tuple[int, int], limit: tuple[int, int], expected: tuple[int, int]
) -> None:
    given = np.zeros((size[1], size[0], 3), np.uint8)
    fitted = fit(given, *limit)
    assert fitted.shape == (expected[1], expected[0], 3)
    assert fitted.flags.c_contiguous


def test_a_view_into_another_picture_is_encoded_as_it_looks() -> None:
    whole = np.zeros((HEIGHT, 2 * WIDTH, 3), np.uint8)
    whole[:, ::2] = picture(4)
    unit = Encoder(WIDTH, HEIGHT, FPS, 1500).encode(fit(whole[:, ::2], 1920, 1080), 0)
    assert psnr_db(picture(4), decode([unit])[0].to_ndarray(format="bgr24")) > 30.0
