"""Raw frames for consumers on the same host: a ring in shared memory, its descriptors on the bus.

The writer owns an anonymous file in memory (``memfd_create(2)``) that is sealed: nobody can shrink
it under a reader or map it for writing any more. Where it is travels as a sample on ``ctl``: a
`RingFrame`. A reader opens it through ``/proc/PID/fd/N``, for which the kernel asks the same user.
Readers register nowhere, so a killed one leaves nothing behind; the memory goes with its last
user, whoever is killed first.

Layout, little-endian: a page with magic, version, slots, bytes of a slot and the ring's 16 random
bytes; then the slots, each a page that holds the count of the frame in it (0 while it is written),
followed by the frame. Counts begin at 1 and are never used twice, so a reader that finds the count
it was told before *and* after it has read has the whole frame.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import stat
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from scot.errors import CodecError, LocalProtocolError, OverwrittenError, RingError

MAGIC: Final = b"SCOTRING"
VERSION: Final = 1
PAGE: Final = 4096
MAX_SLOTS: Final = 64
MAX_BYTES: Final = 1 << 30
HELD: Final = 8
"""Rings a reader keeps mapped; one that is not used any more goes first."""

_HEAD: Final = struct.Struct("<8sIIQ16s")
_COUNT: Final = struct.Struct("<Q")
_F_SEAL_FUTURE_WRITE: Final = 0x10  # linux/fcntl.h, since 5.1; Python 3.11 has no name for it
_DTYPES: Final = frozenset({"u1", "<u2", "<i2", "<f4"})
_lock: Final = threading.Lock()

_Small = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class RingFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Where one raw frame is: the value of a sample on ``ctl``.

    Attributes:
        ring: identity of the ring, 32 hexadecimal digits.
        pid, fd: whose memory, and its descriptor there.
        count: of the frame in its ring, from 1.
        shape: height, width and channels, px.
        dtype: of one value: ``u1``, ``<u2``, ``<i2``, ``<f4``.
        layout: what the last axis means: ``bgr``, ``rgb``, ``grey``; free text.
    """

    ring: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    pid: _Small
    fd: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    count: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    shape: Annotated[list[_Small], Meta(min_length=1, max_length=4)]
    dtype: str
    layout: str = "bgr"

    @property
    def nbytes(self) -> int:
        """Bytes of the frame."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def value(self) -> dict[str, Any]:
        """Return the value of an `event` sample."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def of(cls, value: Any) -> RingFrame:
        """Read the value of a sample.

        Raises:
            CodecError: it is no descriptor of a raw frame.
        """
        try:
            frame = msgspec.convert(value, cls)
        except msgspec.ValidationError as error:
            raise CodecError(f"not a raw frame's descriptor: {error}") from None
        if frame.dtype not in _DTYPES:
            known = ", ".join(sorted(_DTYPES))
            raise CodecError(f"raw frame of type {frame.dtype[:20]!r}; one of {known} is read")
        return frame


class Ring:
    """The writer's end. Used by one thread at a time.

    Args:
        frame_bytes: of the largest frame.
        slots: frames that are there at once; a reader has `slots` − 1 frame periods.

    Raises:
        RingError: the memory is not there.
    """

    def __init__(self, frame_bytes: int, slots: int = 8) -> None:
        if not 2 <= slots <= MAX_SLOTS or not 1 <= frame_bytes <= MAX_BYTES // slots:
            raise LocalProtocolError(
                f"a ring of {slots} slots of {frame_bytes} B: 2 to {MAX_SLOTS} slots and at most "
                f"{MAX_BYTES >> 20} MiB in all are allowed"
            )
        self.slots = slots
        self.frame_bytes = frame_bytes
        self.count = 0
        self._stride = PAGE + -(-frame_bytes // PAGE) * PAGE
        self._identity = secrets.token_bytes(16)
        size = PAGE + slots * self._stride
        self._fd = os.memfd_create("scot-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.fchmod(self._fd, stat.S_IRUSR | stat.S_IWUSR)
            os.posix_fallocate(self._fd, 0, size)
            self._map = mmap.mmap(self._fd, size)
        except OSError as error:
            os.close(self._fd)
            raise RingError(
                f"no memory for a ring of {size >> 20} MiB ({error.strerror}); "
                "free some, or use fewer slots or a smaller picture"
            ) from None
        head = _HEAD.pack(MAGIC, VERSION, slots, self._stride, self._identity)
        self._map[: len(head)] = head
        _seal(self._fd)

    @contextmanager
    def frame(
        self, shape: tuple[int, ...], dtype: str = "u1", layout: str = "bgr"
    ) -> Iterator[tuple[NDArray[Any], RingFrame]]:
        """Give the next slot to be filled in place, with the descriptor to publish afterwards.

        The frame is there for readers when the block is left without an exception.

        Raises:
            LocalProtocolError: the frame is larger than `frame_bytes`, or of no known type.
        """
        if dtype not in _DTYPES:
            raise LocalProtocolError(f"raw frame of type {dtype!r}: {sorted(_DTYPES)} are allowed")
        count = self.count + 1
        described = RingFrame(
            ring=self._identity.hex(),
            pid=os.getpid(),
            fd=self._fd,
            count=count,
            shape=list(shape),
            dtype=dtype,
            layout=layout,
        )
        if described.nbytes > self.frame_bytes:
            raise LocalProtocolError(
                f"a frame of {described.nbytes} B in a ring of {self.frame_bytes} B"
            )
        at = PAGE + (count % self.slots) * self._stride
        _COUNT.pack_into(self._map, at, 0)
        _fence()
        pixels: NDArray[Any] = np.ndarray(shape, np.dtype(dtype), self._map, at + PAGE)
        yield pixels, described
        _fence()
        _COUNT.pack_into(self._map, at, count)
        self.count = count

    def write(self, pixels: NDArray[Any], layout: str = "bgr") -> RingFrame:
        """Copy a frame in and return the descriptor to publish.

        Raises:
            LocalProtocolError: it is larger than `frame_bytes`, or of no known type.
        """
        with self.frame(pixels.shape, _code(pixels.dtype), layout) as (slot, described):
            np.copyto(slot, pixels)
        return described

    def close(self) -> None:
        """Let go; readers keep what they have mapped for as long as they need it."""
        if self._fd >= 0:
            _unmap(self._map)
            os.close(self._fd)
            self._fd = -1


class RingReader:
    """A consumer's end: follows whatever rings the descriptors name. Used by one thread at a time.

    Attributes:
        overwritten: frames that were gone, or went, while they were read.
    """

    def __init__(self) -> None:
        self.overwritten = 0
        self._open: OrderedDict[str, _Opened] = OrderedDict()

    def view(self, frame: RingFrame) -> NDArray[Any]:
        """Return the frame where it lies, read-only; ask `still_there` when done with it.

        Raises:
            RingError: the ring is not there: another host, another user, a recording, or its
                writer has ended.
            OverwrittenError: newer frames have taken its place.
        """
        opened = self._opened(frame)
        if not opened.holds(frame.count):
            self.overwritten += 1
            raise OverwrittenError(frame.count, opened.slots)
        return opened.pixels(frame)

    def still_there(self, frame: RingFrame) -> bool:
        """Say whether what was read from `view` until now is the whole frame and nothing else."""
        opened = self._open.get(frame.ring)
        return opened is not None and opened.holds(frame.count)

    def read(self, frame: RingFrame, into: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return a copy of the frame, whole.

        Args:
            frame: its descriptor.
            into: of the same shape and type, to be filled and returned.

        Raises:
            RingError: as `view`.
            OverwrittenError: newer frames took its place, before or while it was copied.
        """
        seen = self.view(frame)
        copied = np.empty_like(seen) if into is None else into
        np.copyto(copied, seen, casting="no")
        if not self.still_there(frame):
            self.overwritten += 1
            raise OverwrittenError(frame.count, self._open[frame.ring].slots)
        return copied

    def close(self) -> None:
        """Let go of every ring."""
        while self._open:
            self._open.popitem()[1].close()

    def _opened(self, frame: RingFrame) -> _Opened:
        opened = self._open.get(frame.ring)
        if opened is None:
            opened = self._open[frame.ring] = _Opened(frame)
            if len(self._open) > HELD:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(frame.ring)
        return opened


class _Opened:
    """One ring, mapped for reading."""

    def __init__(self, frame: RingFrame) -> None:
        fd = _reach(frame)
        try:
            size = os.fstat(fd).st_size
            self._map = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise RingError(f"ring {frame.ring[:8]} cannot be mapped: {error}") from None
        finally:
            os.close(fd)
        magic, version, self.slots, self._stride, identity = _HEAD.unpack_from(self._map, 0)
        sound = magic == MAGIC and version == VERSION and identity.hex() == frame.ring
        if not sound or PAGE + self.slots * self._stride > size or self._stride <= PAGE:
            _unmap(self._map)
            raise RingError(
                f"process {frame.pid} no longer holds ring {frame.ring[:8]}; its writer has ended: "
                "take the next descriptor"
            )

    def holds(self, count: int) -> bool:
        """Whether the frame of this count is in its slot, whole."""
        at = PAGE + (count % self.slots) * self._stride
        _fence()
        held: int = _COUNT.unpack_from(self._map, at)[0]
        _fence()
        return held == count

    def pixels(self, frame: RingFrame) -> NDArray[Any]:
        """Return a view of a frame."""
        if frame.nbytes > self._stride - PAGE:
            raise RingError(
                f"ring {frame.ring[:8]}: a frame of {frame.nbytes} B is said to be in a slot of "
                f"{self._stride - PAGE} B; its writer is broken"
            )
        at = PAGE + (frame.count % self.slots) * self._stride + PAGE
        return np.ndarray(tuple(frame.shape), np.dtype(frame.dtype), self._map, at)

    def close(self) -> None:
        """Unmap."""
        _unmap(self._map)


def _reach(frame: RingFrame) -> int:
    """Open another process's memory; what it is, is checked before it is read.

    Raises:
        RingError: it is not there, not ours, or could change under our hands.
    """
    path = f"/proc/{frame.pid}/fd/{frame.fd}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise RingError(
            f"ring {frame.ring[:8]} of process {frame.pid} cannot be opened ({error.strerror}); "
            "raw frames are for the same user on the same host while their writer runs"
        ) from None
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0
    if not seals & fcntl.F_SEAL_SHRINK or os.fstat(fd).st_size < PAGE:
        os.close(fd)
        raise RingError(
            f"descriptor {frame.fd} of process {frame.pid} is no ring; its writer ended"
        )
    return fd


def _seal(fd: int) -> None:
    """Forbid everybody to resize the memory, and all but us to write into it."""
    fixed = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fixed | _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL)
    except OSError:  # a kernel older than 5.1
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fixed | fcntl.F_SEAL_SEAL)


def _fence() -> None:
    """Keep what is before it before what is after it, on processors that reorder (ARM).

    An uncontended lock's release and the next acquire are a full barrier there; x86 keeps the
    order of stores anyway.
    """
    with _lock:
        pass
    with _lock:
        pass


def _code(dtype: np.dtype[Any]) -> str:
    code = dtype.str
    return "u1" if code == "|u1" else code


def _unmap(area: mmap.mmap) -> None:
    """Unmap, unless a view of it is still in use: then the last view does."""
    try:
        area.close()
    except BufferError:
        pass
