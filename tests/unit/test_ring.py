"""Raw frames in shared memory: whole or refused, whoever is killed, and nothing left behind."""

import ast
import fcntl
import mmap
import os
import signal
import subprocess
import sys
from contextlib import suppress
from math import prod
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scot.errors import CodecError, LocalProtocolError, OverwrittenError, RingError
from scot.ring import Ring, RingFrame, RingReader

SHAPE = (120, 160, 3)
BYTES = 120 * 160 * 3

# Writes frames of one value each without a pause, and says on request which was the last; or stops
# in the middle of one.
WRITER = """
import sys, threading
import numpy as np
from scot.ring import Ring
ring, shape, stop_at = Ring({bytes}, slots=2), {shape}, {stop_at}
done = []
def answer():
    for _ in sys.stdin:
        print(done[-1].value(), flush=True)
while ring.count < 2:
    done.append(ring.write(np.full(shape, ring.count + 1, np.uint8)))
threading.Thread(target=answer).start()
while True:
    with ring.frame(shape) as (slot, described):
        slot[:60] = described.count % 251
        if described.count == stop_at:
            print("mid", flush=True)
            threading.Event().wait()
        slot[60:] = described.count % 251
    done[:] = [described]
"""


def start(stop_at: int = 0, shape: tuple[int, ...] = SHAPE) -> subprocess.Popen[str]:
    code = WRITER.format(bytes=prod(shape), shape=shape, stop_at=stop_at)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def newest(writer: subprocess.Popen[str]) -> RingFrame:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("\n")
    writer.stdin.flush()
    return RingFrame.of(ast.literal_eval(writer.stdout.readline()))


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)


def test_a_frame_comes_back_as_it_was_written() -> None:
    ring, reader = Ring(BYTES), RingReader()
    for seed in range(20):
        frame = RingFrame.of(ring.write(picture(seed)).value())
        assert np.array_equal(reader.read(frame), picture(seed))
        view = reader.view(frame)
        assert np.array_equal(view, picture(seed))
        assert reader.still_there(frame)
        assert not view.flags.writeable


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<i2", "<f4"])
def test_every_type_of_value_travels(dtype: str) -> None:
    ring, reader = Ring(4 * BYTES), RingReader()
    pixels = picture(3)[..., 0].astype(dtype)
    frame = ring.write(pixels, layout="grey")
    assert (frame.dtype, frame.layout) == (dtype, "grey")
    assert np.array_equal(reader.read(frame), pixels)


def test_a_frame_that_was_overwritten_is_refused_and_counted() -> None:
    ring, reader = Ring(BYTES, slots=3), RingReader()
    old = ring.write(picture(1))
    view = reader.view(old)
    for seed in range(3):
        assert reader.still_there(old) == (seed < 3)
        ring.write(picture(seed))
    assert not reader.still_there(old)
    assert view.shape == SHAPE
    with pytest.raises(OverwrittenError, match="3 frames late"):
        reader.read(old)
    assert reader.overwritten == 1


def test_a_frame_that_failed_while_it_was_made_is_never_seen() -> None:
    ring, reader = Ring(BYTES, slots=2), RingReader()
    first = ring.write(picture(1))
    with suppress(ValueError), ring.frame(SHAPE) as (slot, half):
        slot[:60] = 7
        raise ValueError("the camera is gone")
    with pytest.raises(OverwrittenError):
        reader.read(half)
    assert np.array_equal(reader.read(first), picture(1))
    assert ring.write(picture(2)).count == half.count


def test_no_read_is_torn_while_another_process_overwrites() -> None:
    """Frames so large that many are overwritten while they are copied."""
    writer, reader, whole, torn = start(shape=(720, 1280, 3)), RingReader(), 0, 0
    try:
        while whole < 30 or torn < 30:
            frame = newest(writer)
            try:
                reader.view(frame)
                assert (reader.read(frame) == frame.count % 251).all()
                whole += 1
            except OverwrittenError:
                torn += 1
    finally:
        writer.kill()
        writer.wait()


def test_a_killed_writer_harms_no_reader_and_leaves_no_memory() -> None:
    writer = start(stop_at=3)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "mid\n"  # it writes frame 3 into the slot of frame 1
    second, reader = newest(writer), RingReader()
    memory = str(Path(f"/proc/{second.pid}/fd/{second.fd}").stat().st_ino)
    assert (reader.read(second) == 2).all()
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert (reader.read(second) == 2).all()
    for count in (1, 3):
        with pytest.raises(OverwrittenError):
            reader.read(msgspec.structs.replace(second, count=count))
    with pytest.raises(RingError, match="cannot be opened"):
        RingReader().read(second)
    assert memory in Path("/proc/self/maps").read_text()
    reader.close()
    assert memory not in Path("/proc/self/maps").read_text()  # ours was the last


def test_a_killed_reader_costs_the_writer_nothing() -> None:
    ring = Ring(BYTES, slots=2)
    frame = ring.write(picture(1))
    code = (
        "import sys; from scot.ring import *; frame = RingFrame.of(eval(sys.argv[1]))\n"
        "reader = RingReader(); view = reader.view(frame); print(int(view.sum()), flush=True)\n"
        "sys.stdin.read()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code, str(frame.value())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert int(reader.stdout.readline()) == picture(1).sum(dtype=int)
    reader.kill()
    reader.wait()
    for seed in range(5):
        assert np.array_equal(RingReader().read(ring.write(picture(seed))), picture(seed))


def test_nobody_can_write_into_or_resize_a_ring() -> None:
    ring = Ring(BYTES)
    frame = ring.write(picture(1))
    fd = os.open(f"/proc/{frame.pid}/fd/{frame.fd}", os.O_RDWR)
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        with pytest.raises(PermissionError):
            mmap.mmap(fd, 4096)
        with pytest.raises(PermissionError):
            os.write(fd, b"x")
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL
    finally:
        os.close(fd)


def test_a_new_writer_is_another_ring() -> None:
    reader = RingReader()
    first = Ring(BYTES)
    old = first.write(picture(1))
    assert np.array_equal(reader.read(old), picture(1))
    first.close()
    second = Ring(BYTES)
    new = second.write(picture(2))
    assert np.array_equal(reader.read(new), picture(2))
    assert np.array_equal(reader.read(old), picture(1))  # still mapped, still whole
    with pytest.raises(RingError):
        RingReader().read(old)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"pid": 2**31 - 1}, "cannot be opened"),
        ({"fd": 0}, "no ring|cannot be opened"),
        ({"ring": "0" * 32}, "no longer holds"),
        ({"shape": [4000, 4000, 3]}, "its writer is broken"),
        ({"count": 2**62}, "overwritten"),
    ],
)
def test_a_descriptor_that_lies_is_refused(change: dict[str, object], problem: str) -> None:
    ring = Ring(BYTES)
    frame = msgspec.structs.replace(ring.write(picture(1)), **change)
    with pytest.raises(RingError, match=problem):
        RingReader().read(frame)


@pytest.mark.parametrize(
    "change",
    [{"ring": "../etc"}, {"shape": [-1, 2]}, {"shape": []}, {"dtype": "O"}, {"count": 0}],
)
def test_a_malformed_descriptor_is_refused(change: dict[str, object]) -> None:
    value = {**Ring(BYTES).write(picture(1)).value(), **change}
    with pytest.raises(CodecError):
        RingFrame.of(value)


def test_a_ring_too_large_or_a_frame_too_large_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="slots"):
        Ring(1 << 30, slots=8)
    with pytest.raises(LocalProtocolError, match="in a ring of"):
        Ring(100).write(picture(1))
    with pytest.raises(LocalProtocolError, match="type"):
        Ring(8 * BYTES).write(picture(1).astype("f8"))
