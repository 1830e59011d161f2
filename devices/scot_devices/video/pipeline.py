"""Two threads between a source and the event loop: one captures, one encodes.

Capturing must never wait, or the source queues up old pictures; so between the two is a slot where
the newest picture wins. What is encoded must all arrive, or the next picture cannot be decoded; so
between encoder and event loop is a short queue on which the encoder waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from scot.clock import machine
from scot.errors import DeviceError, DeviceTimeoutError
from scot.ring import Ring, RingFrame
from scot_devices.video.encoder import AccessUnit, Encoder, fit
from scot_devices.video.source import (
    MAX_HEIGHT_PX,
    MAX_WIDTH_PX,
    READ_TIMEOUT_MS,
    Capture,
    Source,
    SourceKind,
)

SLOT: Final = 1
QUEUE: Final = 3
RAW_SLOTS: Final = 8
BROKEN_LIMIT: Final = 50
"""Broken pictures in a row after which a source is given up."""


class Settings(NamedTuple):
    """How to capture and encode: the options of the provider."""

    source: Source
    fps: float | None
    max_width_px: int
    max_height_px: int
    bitrate_kbps: int
    loop: bool
    raw: bool = False


class Raw(NamedTuple):
    """A picture as it was captured, in shared memory.

    Attributes:
        counter: as of `Coded`.
    """

    frame: RingFrame
    captured_ns: int
    counter: int | None
    fps: float


class Coded(NamedTuple):
    """An access unit, with what its stream now looks like.

    Attributes:
        counter: of a paced file: place of the picture on a grid of `fps`; None where nothing
            counts.
    """

    unit: AccessUnit
    counter: int | None
    width_px: int
    height_px: int
    fps: float
    codec: str


class _Picture(NamedTuple):
    """A captured picture: (height, width, 3) uint8 BGR, when, and its counter if it has one."""

    pixels: Any
    captured_ns: int
    counter: int | None


class Ended(Exception):  # noqa: N818 - not an error: a file that is not looped has been shown
    """The source is over, as it should be."""


class Pipeline:
    """Runs both threads; the event loop takes `next`.

    Args:
        settings: what to capture.
        read: the host's monotonic clock, ns; asked as soon as a picture is there.
        count: told of each ``skipped`` and ``broken_pictures``; may be called on any thread.
    """

    def __init__(
        self, settings: Settings, read: Callable[[], int], count: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._read = read
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._changed = threading.Condition()
        self._slot: deque[_Picture] = deque()
        self._coded: deque[Coded] = deque()
        self._raw: deque[Raw] = deque(maxlen=RAW_SLOTS - 1)
        self._ring: Ring | None = None
        self._fps = 0.0
        self._stopping = False
        self._failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=name, daemon=True)
            for name, work in (("capture", self._capture), ("encode", self._encode))
        ]

    def start(self) -> None:
        """Begin to open the source."""
        for thread in self._threads:
            thread.start()

    async def next(self, limit_s: float) -> Coded | Raw:
        """Return the next access unit, or a raw picture that came before it.

        Raises:
            DeviceError: the source cannot be opened, is lost or sends what is no video.
            TimeoutError: nothing came within `limit_s`.
            Ended: a file that is not looped has been shown.
        """
        async with asyncio.timeout(limit_s):
            while True:
                with self._changed:
                    if self._raw:
                        return self._raw.popleft()
                    if self._coded:
                        coded = self._coded.popleft()
                        self._changed.notify_all()
                        return coded
                    if self._failure is not None:
                        raise self._failure
                    self._arrived.clear()
                await self._arrived.wait()

    async def stop(self, limit_s: float = 0.3) -> None:
        """End both threads; one that is blocked in the source is left to end by itself."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        due_ns = machine.monotonic_ns() + round(limit_s * 1e9)
        for thread in self._threads:
            left_s = max(0.0, (due_ns - machine.monotonic_ns()) / 1e9)
            await asyncio.to_thread(thread.join, left_s)
        if self._ring is not None and not self._threads[0].is_alive():
            self._ring.close()

    def _guard(self, work: Callable[[], None]) -> None:
        """Run a thread's work; what it raises goes to whoever awaits `next`."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - handed over, not swallowed
            with self._changed:
                self._failure = self._failure or error
                self._stopping = True
                self._changed.notify_all()
            self._tell()

    def _tell(self) -> None:
        """Wake the event loop, unless it has ended meanwhile."""
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    def _capture(self) -> None:
        settings = self._settings
        wanted = (settings.max_width_px, settings.max_height_px)
        again, pace = True, None
        while again:
            capture = Capture(settings.source, settings.fps, wanted)
            try:
                if pace is None:
                    paced = settings.source.kind is SourceKind.FILE
                    pace = _Pace(capture.fps if paced else None)
                pace.skip()
                pictures = self._run(capture, pace)
            finally:
                capture.close()
            again = settings.loop and not self._stopping
            if not pictures and not self._stopping:
                raise DeviceError(f"{settings.source.shown} holds no picture")
        if not self._stopping:
            raise Ended

    def _run(self, capture: Capture, pace: _Pace) -> int:
        """Capture until a file is over or `stop`; return how many pictures there were.

        Raises:
            DeviceError: a device or stream was lost.
        """
        source, fps = self._settings.source, self._settings.fps
        self._fps = min(capture.fps, fps or capture.fps)
        whole = self._fps == capture.fps
        thin = _Thin(fps)
        pictures = broken = 0
        while self._wait_until(pace.due_ns):
            asked_ns = machine.monotonic_ns()
            if not capture.grab():
                if source.kind is SourceKind.FILE:
                    break
                raise _lost(source, (machine.monotonic_ns() - asked_ns) / 1e9)
            captured_ns = self._read()
            place = pace.took()
            if not thin.wants(captured_ns):
                continue
            picture = capture.retrieve()
            if picture is not None:
                pictures, broken = pictures + 1, 0
                self._offer(_Picture(picture, captured_ns, place if whole else None))
                continue
            self._count("broken_pictures")
            broken += 1
            if broken >= BROKEN_LIMIT:
                raise DeviceError(
                    f"{source.shown} sent {broken} broken pictures in a row; "
                    "look at its cable and its network"
                )
        return pictures

    def _wait_until(self, due_ns: int) -> bool:
        """Sleep until it is time for the next picture; False when stopping."""
        with self._changed:
            while not self._stopping:
                left_ns = due_ns - machine.monotonic_ns()
                if left_ns <= 0:
                    return True
                self._changed.wait(left_ns / 1e9)
        return False

    def _offer(self, picture: _Picture) -> None:
        """Put a picture into the slot; one that is still there is skipped."""
        height, width = picture.pixels.shape[:2]
        if width > MAX_WIDTH_PX or height > MAX_HEIGHT_PX or width < 16 or height < 16:
            raise DeviceError(
                f"{self._settings.source.shown} sent a picture of {width}x{height}; "
                f"16x16 to {MAX_WIDTH_PX}x{MAX_HEIGHT_PX} is accepted"
            )
        if self._settings.raw:
            self._share(picture)
        with self._changed:
            if len(self._slot) >= SLOT:
                self._slot.popleft()
                self._count("skipped")
            self._slot.append(picture)
            self._changed.notify_all()

    def _share(self, picture: _Picture) -> None:
        """Put a picture into shared memory; one of another size begins another ring."""
        pixels = picture.pixels
        if self._ring is None or self._ring.frame_bytes != pixels.nbytes:
            if self._ring is not None:
                self._ring.close()
            self._ring = Ring(pixels.nbytes, RAW_SLOTS)
        frame = self._ring.write(pixels)
        with self._changed:
            self._raw.append(Raw(frame, picture.captured_ns, picture.counter, self._fps))
        self._tell()

    def _encode(self) -> None:
        encoder: Encoder | None = None
        while (taken := self._take()) is not None:
            picture = fit(taken.pixels, self._settings.max_width_px, self._settings.max_height_px)
            height, width = picture.shape[:2]
            if encoder is None or (encoder.width_px, encoder.height_px) != (width, height):
                encoder = Encoder(width, height, self._fps, self._settings.bitrate_kbps)
            unit = encoder.encode(picture, taken.captured_ns)
            with self._changed:
                while len(self._coded) >= QUEUE and not self._stopping:
                    self._changed.wait()
                self._coded.append(
                    Coded(unit, taken.counter, width, height, self._fps, encoder.codec)
                )
            self._tell()

    def _take(self) -> _Picture | None:
        """Wait for a picture; None when stopping."""
        with self._changed:
            while not self._slot and not self._stopping:
                self._changed.wait()
            return None if self._stopping else self._slot.popleft()


def _lost(source: Source, waited_s: float) -> DeviceError:
    """Say how a device or stream was lost: it fell silent, or it closed."""
    limit_s = READ_TIMEOUT_MS / 1000.0
    if waited_s >= 0.9 * limit_s:
        return DeviceTimeoutError(source.shown, waited_s, limit_s)
    return DeviceError(f"{source.shown} stopped sending video")


class _Pace:
    """When a file's next picture is due, on a grid of its rate; other sources keep their own time.

    Args:
        fps: of the file; None does not pace.
    """

    def __init__(self, fps: float | None) -> None:
        self._period_ns = round(1e9 / fps) if fps else 0
        self._begin_ns = machine.monotonic_ns()
        self._place = 0

    @property
    def due_ns(self) -> int:
        """Monotonic time of the next picture."""
        return self._begin_ns + self._place * self._period_ns

    def took(self) -> int | None:
        """Note that a picture was taken, and return its place on the grid.

        After a long delay the file goes on from there.
        """
        if not self._period_ns:
            return None
        place = self._place
        if machine.monotonic_ns() - self.due_ns >= 4 * self._period_ns:
            self.skip()
        self._place += 1
        return place

    def skip(self) -> None:
        """Go on from now, as after the file was opened again."""
        if self._period_ns:
            late_ns = machine.monotonic_ns() - self.due_ns
            self._place += max(0, -(-late_ns // self._period_ns))


class _Thin:
    """Which pictures to keep so that at most so many a second are left.

    Args:
        fps: the most; None keeps all.
    """

    def __init__(self, fps: float | None) -> None:
        self._period_ns = round(1e9 / fps) if fps else 0
        self._due_ns = 0

    def wants(self, captured_ns: int) -> bool:
        """Say whether to keep the picture captured then."""
        if not self._period_ns:
            return True
        if captured_ns < self._due_ns - self._period_ns // 8:
            return False
        self._due_ns = max(self._due_ns + self._period_ns, captured_ns + self._period_ns // 2)
        return True
